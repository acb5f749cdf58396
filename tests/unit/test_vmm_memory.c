/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's memory as QEMU 7.2.22 and 11.1.3 tell of it, and as nobody should. */
#include "vmm_memory.h"
#include "vmm_table_test.h"

static struct result {
	struct outcome o;
	struct vmm_memory memory;
} res;

static void on_memory(void *ctx, int r, const struct vmm_memory *memory, const struct err *err)
{
	cr_assert_eq(ctx, &res.o);
	cr_assert_eq(r == 0, memory != NULL);
	if (memory)
		res.memory = *memory;
	on_done(ctx, r, err);
}

static int ask(struct outcome *o)
{
	return vmm_query_memory(vmm, on_memory, o, NULL);
}

/* clang-format off */
#define SIZE { "query-memory-size-summary", NULL, IS("{\"base-memory\": 134217728, \"plugged-memory\": 1048576}") }
#define MEMDEV(list) { "query-memdev", NULL, IS(list) }
#define ONE MEMDEV("[{\"id\": \"mem0\", \"share\": true, \"prealloc\": false, \"merge\": true, \"size\": 134217728, \"dump\": true}]")
#define OBJECTS { "qom-list", "/objects", IS("[" TYPE ", {\"name\": \"mem0\", \"type\": \"child<memory-backend-memfd>\"}, {\"name\": 3}]") }
#define DEVICES(list) { "query-memory-devices", NULL, IS(list) }
#define NO_BALLOON { "query-balloon", NULL, "\"error\": {\"class\": \"DeviceNotActive\", \"desc\": \"No balloon device has been activated\"}" }
#define VIRTIO_MEM "{\"type\": \"virtio-mem\", \"data\": {\"id\": \"vm0\", \"size\": 1048576, \"requested-size\": 2097152, \"max-size\": 9, \"memdev\": \"/objects/m\"}}"
#define DIMM "{\"type\": \"dimm\", \"data\": {\"size\": 4096, \"addr\": 1, \"memdev\": \"/objects/d\"}}"

static const struct {
	const char *what;
	struct fake_qmp_answer table[8];
	int r;
} rows[] = {
	{ "all", { SIZE, ONE, OBJECTS, DEVICES("[" VIRTIO_MEM ", " DIMM ", {\"type\": \"sgx-epc\", \"data\": {}}]"),
		   { "query-balloon", NULL, IS("{\"actual\": 67108864}") } }, 0 },
	{ "no more than must be", { SIZE, ONE, NO_BALLOON }, 0 },
	{ "no size", { ONE, OBJECTS }, -EOPNOTSUPP },
	{ "no backends", { SIZE, OBJECTS }, -EOPNOTSUPP },
	{ "size: negative", { { "query-memory-size-summary", NULL, IS("{\"base-memory\": -1}") } }, -EPROTO },
	{ "backends: a number", { SIZE, MEMDEV("3") }, -EPROTO },
	{ "backends: more than there are bytes", { SIZE, MEMDEV("[{\"share\": true, \"size\": 9223372036854775807}, {\"share\": true, \"size\": "
		"9223372036854775807}, {\"share\": true, \"size\": 9223372036854775807}]") }, -EPROTO },
	{ "backends: share is a number", { SIZE, MEMDEV("[{\"share\": 1, \"size\": 1}]") }, -EPROTO },
	{ "types: no list", { SIZE, ONE, { "qom-list", "/objects", IS("{}") } }, -EPROTO },
	{ "devices: no list", { SIZE, ONE, OBJECTS, DEVICES("{}") }, -EPROTO },
	{ "devices: without data", { SIZE, ONE, OBJECTS, DEVICES("[{\"type\": \"dimm\"}]") }, -EPROTO },
	{ "devices: to have less than nothing", { SIZE, ONE, OBJECTS, DEVICES("[{\"type\": \"virtio-mem\", \"data\": {\"size\": 1, "
		"\"requested-size\": -1}}]") }, -EPROTO },
	{ "balloon: a word", { SIZE, ONE, OBJECTS, DEVICES("[]"), { "query-balloon", NULL, IS("{\"actual\": \"all\"}") } }, -EPROTO },
};
/* clang-format on */

Test(vmm_memory, rows, .timeout = 60)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct vmm_memory *m = &res.memory;

		res = (struct result){ 0 };
		ask_by_table(rows[i].table, ask, &res.o);
		cr_assert_eq(res.o.r, rows[i].r, "%s: %d %s", rows[i].what, res.o.r, res.o.err.msg);
		if (res.o.r == -EPROTO)
			cr_assert_str_eq(res.o.err.code, "vmm.bad-answer");
		if (res.o.r < 0)
			continue;
		cr_assert_eq(m->ram_bytes, 135266304u);
		cr_assert(m->memdevs.nr == 1 && m->memdevs.all_shared && m->memdevs.v[0].merge && !m->memdevs.v[0].prealloc);
		cr_assert_str_eq(m->memdevs.v[0].type, i == 0 ? "memfd" : "");
		cr_assert_eq(m->has_balloon, i == 0);
		cr_assert_eq(m->nr_devices, i == 0 ? 2u : 0u);
	}
}

Test(vmm_memory, what_it_says)
{
	res = (struct result){ 0 };
	ask_by_table(rows[0].table, ask, &res.o);
	cr_assert_eq(res.memory.balloon_bytes, 67108864u);
	cr_assert_str_eq(res.memory.devices[0].type, "virtio-mem");
	cr_assert(res.memory.devices[0].size == 1048576 && res.memory.devices[0].requested == 2097152);
	cr_assert_str_eq(res.memory.devices[1].id, "(unnamed)");
	cr_assert_eq(res.memory.devices[1].requested, 4096u);
}

/* Room is for 63 bytes and 15: both end before the character that has none. */
Test(vmm_memory, names_that_are_cut)
{
	char id[64], type[16], list[400];
	struct fake_qmp_answer table[] = { SIZE, ONE, OBJECTS, { "query-memory-devices", NULL, list }, NO_BALLOON, { 0 } };

	snprintf(id, sizeof(id), "%062d", 0);
	snprintf(type, sizeof(type), "%013d", 0);
	snprintf(list, sizeof(list), "\"return\": [{\"type\": \"%s\u20ac\", \"data\": {\"id\": \"%s\xc3\xa9\", \"size\": 1}}]",
		 type, id);
	res = (struct result){ 0 };
	ask_by_table(table, ask, &res.o);
	cr_assert(res.o.r == 0 && res.memory.nr_devices == 1, "%s", res.o.err.msg);
	cr_assert_str_eq(res.memory.devices[0].id, id);
	cr_assert_str_eq(res.memory.devices[0].type, type);
}

/* As many backends as are kept, and one more: it counts, and is not told. */
Test(vmm_memory, many_backends, .timeout = 60)
{
	static char list[VMM_MEMDEVS_MAX * 64 + 200];

	for (unsigned nr = VMM_MEMDEVS_MAX; nr <= VMM_MEMDEVS_MAX + 1; nr++) {
		struct fake_qmp_answer table[] = { SIZE, { "query-memdev", NULL, list }, { 0 } };
		size_t n = (size_t)sprintf(list, "\"return\": [");

		for (unsigned i = 0; i < nr; i++)
			n += (size_t)sprintf(list + n, "%s{\"id\": \"m%u\", \"share\": %s, \"size\": 1}", i ? ", " : "", i,
					     i < VMM_MEMDEVS_MAX ? "true" : "false");
		sprintf(list + n, "]");
		res = (struct result){ 0 };
		ask_by_table(table, ask, &res.o);
		cr_assert_eq(res.o.r, 0, "%s", res.o.err.msg);
		cr_assert(res.memory.memdevs.nr == VMM_MEMDEVS_MAX && res.memory.memdevs.bytes == nr);
		cr_assert_eq(res.memory.memdevs.all_shared, nr == VMM_MEMDEVS_MAX);
	}
	cr_assert_str_eq(res.memory.memdevs.unshared_id, "m32");
}

/* It dies, or is given up, at each question in turn. */
Test(vmm_memory, it_dies_at_each_question, .timeout = 60)
{
	static const struct question questions[] = {
		{ "query-memory-size-summary", "{\"base-memory\": 1}" },
		{ "query-memdev", "[]" },
		{ "qom-list", "[]" },
		{ "query-memory-devices", "[]" },
		{ "query-balloon", "{\"actual\": 1}" },
	};

	lose_at_each_question(questions, sizeof(questions) / sizeof(questions[0]), ask, &res.o);
}
