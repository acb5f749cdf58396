/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's memory, one question after the other. query-memdev has no types: those are in the object tree, as "child<memory-backend-memfd>". A balloon
 * that is not there is DeviceNotActive, one that KVM cannot serve KVMMissingCap: either way there is none.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm_internal.h"
#include "vmm_memory.h"
#include "vmm_query_internal.h"

#define BACKEND "child<memory-backend-"

enum question { SIZE, MEMDEVS, TYPES, DEVICES, BALLOON, NUM_QUESTIONS };

struct memory_query {
	struct vmm_op op;
	vmm_memory_fn done;
	void *ctx;
	struct vmm_memory memory;
};

static void finish(struct memory_query *q, int r, const struct err *err)
{
	vmm_op_finish(&q->op);
	q->done(q->ctx, r, r < 0 ? NULL : &q->memory, r < 0 ? err : NULL);
	vmm_op_unref(&q->op);
}

static void cancel(struct vmm_op *op, const struct err *err)
{
	finish((struct memory_query *)op, err->num, err);
}

static const struct vmm_op_class memory_class = { .cancel = cancel };

/* --- answers; -EPROTO: not what QEMU answers to this --- */

int vmm_take_bytes(const json_t *object, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(object, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return -EPROTO;
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

int vmm_take_ram(const json_t *ret, uint64_t *ret_bytes)
{
	uint64_t base, plugged = 0;

	if (vmm_take_bytes(ret, "base-memory", &base) < 0)
		return -EPROTO;
	if (json_object_get(ret, "plugged-memory") && vmm_take_bytes(ret, "plugged-memory", &plugged) < 0)
		return -EPROTO;
	*ret_bytes = base + plugged; /* two non-negative int64: no wrap */
	return 0;
}

/* @text, UTF-8 as all that comes by JSON, or as many whole characters of it as there is room for. */
static void copy_text(char *buf, size_t size, const char *text)
{
	size_t n = strlen(text);

	if (n >= size)
		for (n = size - 1; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
			n--;
	memcpy(buf, text, n);
	buf[n] = '\0';
}

static int take_memdev(const json_t *v, struct vmm_memdev *ret)
{
	const json_t *share = json_object_get(v, "share");
	const char *id = json_string_value(json_object_get(v, "id")); /* absent: a backend without a name */
	struct vmm_memdev m = { 0 };

	if (!json_is_boolean(share) || vmm_take_bytes(v, "size", &m.size) < 0)
		return -EPROTO;
	copy_text(m.id, sizeof(m.id), id ? id : "(unnamed)");
	m.shared = json_is_true(share);
	m.prealloc = json_is_true(json_object_get(v, "prealloc"));
	m.merge = json_is_true(json_object_get(v, "merge"));
	*ret = m;
	return 0;
}

int vmm_take_memdevs(const json_t *list, struct vmm_memdevs *ret)
{
	struct vmm_memdev m;
	const json_t *v;
	size_t i;

	if (!json_is_array(list))
		return -EPROTO;
	*ret = (struct vmm_memdevs){ .all_shared = true };
	json_array_foreach (list, i, v) {
		if (take_memdev(v, &m) < 0 || __builtin_add_overflow(ret->bytes, m.size, &ret->bytes))
			return -EPROTO;
		if (!m.shared && ret->all_shared)
			memcpy(ret->unshared_id, m.id, sizeof(ret->unshared_id));
		ret->all_shared = ret->all_shared && m.shared;
		if (ret->nr < VMM_MEMDEVS_MAX)
			ret->v[ret->nr++] = m;
	}
	return 0;
}

static int take_types(struct vmm_memory *m, const json_t *list)
{
	const json_t *v;
	size_t i, len;

	if (!json_is_array(list))
		return -EPROTO;
	json_array_foreach (list, i, v) {
		const char *name = json_string_value(json_object_get(v, "name"));
		const char *type = json_string_value(json_object_get(v, "type"));

		if (!name || !type || strncmp(type, BACKEND, strlen(BACKEND)) != 0)
			continue;
		type += strlen(BACKEND);
		len = strcspn(type, ">");
		for (unsigned k = 0; k < m->memdevs.nr && len < sizeof(m->memdevs.v[k].type); k++)
			if (!strcmp(m->memdevs.v[k].id, name))
				snprintf(m->memdevs.v[k].type, sizeof(m->memdevs.v[k].type), "%.*s", (int)len, type);
	}
	return 0;
}

static int take_devices(struct vmm_memory *m, const json_t *list)
{
	const json_t *v;
	size_t i;

	if (!json_is_array(list))
		return -EPROTO;
	json_array_foreach (list, i, v) {
		const char *type = json_string_value(json_object_get(v, "type")), *id;
		const json_t *data = json_object_get(v, "data");
		struct vmm_memdevice d = { 0 };

		if (!type || !json_is_object(data))
			return -EPROTO;
		if (vmm_take_bytes(data, "size", &d.size) < 0) /* sgx-epc and what is yet to come may have none */
			continue;
		id = json_string_value(json_object_get(data, "id"));
		copy_text(d.type, sizeof(d.type), type);
		copy_text(d.id, sizeof(d.id), id ? id : "(unnamed)");
		d.requested = d.size;
		if (json_object_get(data, "requested-size") && vmm_take_bytes(data, "requested-size", &d.requested) < 0)
			return -EPROTO;
		if (m->nr_devices < VMM_MEMDEVICES_MAX)
			m->devices[m->nr_devices++] = d;
	}
	return 0;
}

static int take(struct memory_query *q, enum question question, const json_t *ret)
{
	switch (question) {
	case SIZE:
		return vmm_take_ram(ret, &q->memory.ram_bytes);
	case MEMDEVS:
		return vmm_take_memdevs(ret, &q->memory.memdevs);
	case TYPES:
		return take_types(&q->memory, ret);
	case DEVICES:
		return take_devices(&q->memory, ret);
	case BALLOON:
		q->memory.has_balloon = true;
		return vmm_take_bytes(ret, "actual", &q->memory.balloon_bytes);
	case NUM_QUESTIONS:
		break;
	}
	return 0;
}

/* --- questions --- */

static void on_answer(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err);

static int ask(struct memory_query *q, enum question question, struct err *err)
{
	static const char *const commands[] = { "query-memory-size-summary", "query-memdev", "qom-list", "query-memory-devices",
						"query-balloon" };
	json_t *args = question == TYPES ? json_pack("{s:s}", "path", "/objects") : NULL;

	return vmm_op_send(&q->op, commands[question], args, 0, question, on_answer, err);
}

static bool is_survivable(enum question question, int r)
{
	return question >= TYPES && r != -ECONNRESET && r != -ETIMEDOUT;
}

static void on_answer(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct memory_query *q = (struct memory_query *)op;
	enum question question = tag;
	struct err why = { 0 };

	if (r < 0 && !is_survivable(question, r)) {
		finish(q, r, err);
		return;
	}
	if (r == 0 && take(q, question, ret) < 0)
		r = err_set(&why, -EPROTO, "vmm.bad-answer", "guest %s: its memory: not the answers of a QEMU", op->vmm->name);
	else if (question + 1 >= NUM_QUESTIONS)
		r = 1;
	else
		r = ask(q, question + 1, &why);
	if (r != 0)
		finish(q, r < 0 ? r : 0, &why);
}

int vmm_query_memory(struct vmm *vmm, vmm_memory_fn done, void *ctx, struct err *err)
{
	struct vmm_op *op = NULL;
	struct memory_query *q;
	int r = vmm_op_new(vmm, "query-memdev", sizeof(*q), &memory_class, &op, err);

	if (r < 0)
		return r;
	q = (struct memory_query *)op;
	q->done = done; /* NOLINT(clang-analyzer-core.NullDereference): vmm_op_new() gave 0 */
	q->ctx = ctx;
	r = ask(q, SIZE, err);
	if (r < 0)
		vmm_op_unref(vmm_op_finish(op));
	return r;
}
