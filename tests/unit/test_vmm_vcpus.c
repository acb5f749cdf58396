/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which thread is which vCPU, as QEMU 7.2.22 and 11.1.3 tell it, and as nobody should. */
#include "gangway_limits.h"
#include "vmm_irq.h"
#include "vmm_table_test.h"

static struct result {
	struct outcome o;
	unsigned nr;
	struct vmm_vcpu vcpus[LIMIT_VCPUS];
} res;

static void on_vcpus(void *ctx, int r, const struct vmm_vcpu *vcpus, unsigned nr, const struct err *err)
{
	cr_assert_eq(ctx, &res.o);
	cr_assert_eq(r == 0, vcpus != NULL);
	cr_assert_eq(r == 0, nr > 0);
	res.nr = nr;
	if (vcpus)
		memcpy(res.vcpus, vcpus, nr * sizeof(*vcpus));
	on_done(ctx, r, err);
}

/* One at a time. */
static int ask(struct outcome *o)
{
	int r = vmm_query_vcpus(vmm, on_vcpus, o, NULL);

	cr_assert_eq(vmm_query_vcpus(vmm, on_vcpus, o, NULL), -EBUSY);
	return r;
}

static void query(const struct fake_qmp_answer *table)
{
	memset(&res, 0, sizeof(res));
	ask_by_table(table, ask, &res.o);
}

#define VCPU(index, tid, path)                                                                                                   \
	"{\"thread-id\": " #tid ", \"props\": {\"core-id\": 0, \"thread-id\": 0, \"socket-id\": 0}, \"qom-path\": \"" path       \
	"\", \"cpu-index\": " #index ", \"target\": \"x86_64\"}"
#define AT(n) "/machine/unattached/device[" #n "]"
#define TWO "[" VCPU(0, 13549, AT(0)) ", " VCPU(1, 13550, AT(2)) "]"
#define CPUS(list)                                                                                                               \
	{                                                                                                                        \
		"query-cpus-fast", NULL, "\"return\": " list                                                                     \
	}
#define ID(path, value)                                                                                                          \
	{                                                                                                                        \
		"qom-get", "\"" path "\", \"property\": \"apic-id\"", value                                                      \
	}
#define NO_PROPERTY "\"error\": {\"class\": \"GenericError\", \"desc\": \"Property 'x.apic-id' not found\"}"

/* Three cores a socket: the second socket begins at id 4. The last one was plugged first, and one has gone meanwhile. */
Test(vmm_vcpus, as_qemu_answers)
{
	query((struct fake_qmp_answer[]){ CPUS("[" VCPU(3, 104, "/machine/peripheral/cpu3") ", " VCPU(0, 101, AT(0)) ", " VCPU(
						  1, 102, AT(2)) ", " VCPU(2, 103, AT(3)) "]"),
					  ID(AT(0), IS("0")),
					  ID(AT(2), IS("1")),
					  ID(AT(3), GONE),
					  ID("/machine/peripheral/cpu3", IS("4")),
					  { 0 } });
	cr_assert_eq(res.o.r, 0, "%s", res.o.err.msg);
	cr_assert_eq(res.nr, 4);
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(res.vcpus[i].index, i);
		cr_assert_eq(res.vcpus[i].tid, (pid_t)(101 + i));
		cr_assert_eq(res.vcpus[i].has_apic_id, i != 2);
		cr_assert_eq(res.vcpus[i].apic_id, i == 3 ? 4 : i == 2 ? 0 : i);
	}
}

/* No x86; a path that is too long is not asked for. Threads may be shared (TCG with one). */
Test(vmm_vcpus, without_apic_ids)
{
	query((struct fake_qmp_answer[]){
		CPUS("[" VCPU(0, 7,
			      AT(0)) ", " VCPU(1, 7,
					       "/machine/unattached/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
					       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") "]"),
		ID(AT(0), NO_PROPERTY),
		{ 0 } });
	cr_assert_eq(res.o.r, 0);
	cr_assert_eq(res.nr, 2);
	cr_assert(!res.vcpus[0].has_apic_id && !res.vcpus[1].has_apic_id);
	query((struct fake_qmp_answer[]){ CPUS("[" VCPU(2147483647, 4194304, "") "]"), { 0 } });
	cr_assert_eq(res.o.r, 0);
	cr_assert_eq(res.vcpus[0].index, 2147483647);
}

Test(vmm_vcpus, hostile_lists, .timeout = 60)
{
	static const char *const bad[] = {
		"\"return\": 7",
		"\"return\": {}",
		"\"return\": []",
		"\"return\": [1]",
		"\"return\": [{}]",
		"\"return\": [{\"cpu-index\": 0, \"thread-id\": 5}]",
		"\"return\": [{\"cpu-index\": 0, \"thread-id\": \"5\", \"qom-path\": \"/m\"}]",
		"\"return\": [{\"cpu-index\": 0.5, \"thread-id\": 5, \"qom-path\": \"/m\"}]",
		"\"return\": [" VCPU(0, 0, AT(0)) "]",
		"\"return\": [" VCPU(0, -1, AT(0)) "]",
		"\"return\": [" VCPU(0, 4194305, AT(0)) "]",
		"\"return\": [" VCPU(0, 4294967297, AT(0)) "]",
		"\"return\": [" VCPU(-1, 5, AT(0)) "]",
		"\"return\": [" VCPU(2147483648, 5, AT(0)) "]",
		"\"return\": [" VCPU(0, 5, AT(0)) ", " VCPU(1, 6, AT(1)) ", " VCPU(0, 7, AT(2)) "]",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		query((struct fake_qmp_answer[]){ { "query-cpus-fast", NULL, bad[i] }, { 0 } });
		cr_assert_eq(res.o.r, -EPROTO, "%s: %d", bad[i], res.o.r);
		cr_assert_str_eq(res.o.err.code, "vmm.bad-answer");
	}
}

Test(vmm_vcpus, hostile_apic_ids, .timeout = 60)
{
	static const char *const bad[] = { IS("-1"), IS("4294967296"), IS("\"0\""), IS("null"), IS("{}"), IS("1.5"), IS("0") };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) { /* the last one: two have the same */
		query((struct fake_qmp_answer[]){ CPUS(TWO), ID(AT(0), IS("0")), ID(AT(2), bad[i]), { 0 } });
		cr_assert_eq(res.o.r, -EPROTO, "%s: %d", bad[i], res.o.r);
		cr_assert_str_eq(res.o.err.code, "vmm.bad-answer");
	}
	query((struct fake_qmp_answer[]){ CPUS(TWO), ID(AT(0), IS("4294967295")), ID(AT(2), IS("0")), { 0 } });
	cr_assert_eq(res.o.r, 0);
	cr_assert_eq(res.vcpus[0].apic_id, UINT32_MAX);
}

/* At the limit, and above it. */
Test(vmm_vcpus, many, .timeout = 60)
{
	for (unsigned n = LIMIT_VCPUS; n <= LIMIT_VCPUS + 1; n++) {
		char *list = malloc(n * 80 + 64);
		int len = sprintf(list, "\"return\": [");

		for (unsigned i = 0; i < n; i++) /* the last first: each one is put in front of those before */
			len += sprintf(list + len, "%s{\"cpu-index\": %u, \"thread-id\": %u, \"qom-path\": \"/m/%u\"}",
				       i ? ", " : "", n - i - 1, i + 1, i);
		strcpy(list + len, "]");
		query((struct fake_qmp_answer[]){ { "query-cpus-fast", NULL, list }, { "qom-get", NULL, NO_PROPERTY }, { 0 } });
		cr_assert_eq(res.o.r, n == LIMIT_VCPUS ? 0 : -E2BIG, "%u: %d", n, res.o.r);
		cr_assert_eq(res.nr, n == LIMIT_VCPUS ? n : 0);
		if (res.nr)
			cr_assert(res.vcpus[0].index == 0 && res.vcpus[n - 1].index == n - 1 && res.vcpus[0].tid == (pid_t)n);
		else
			cr_assert_str_eq(res.o.err.code, "vmm.too-many-vcpus");
		free(list);
	}
}

/* It dies, or is given up, at each question in turn; each is asked when the one before is answered. */
Test(vmm_vcpus, it_dies_at_each_question, .timeout = 60)
{
	static const struct question questions[] = { { "query-cpus-fast", TWO }, { "qom-get", "0" }, { "qom-get", "1" } };

	lose_at_each_question(questions, sizeof(questions) / sizeof(questions[0]), ask, &res.o);
}
