/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which thread is which vCPU, and its APIC id.
 *
 * query-cpus-fast has no APIC id. Its "props" (socket, die, core, thread) give one only to who knows how this QEMU packs them: there are gaps
 * where a level has no power of two of members, levels were added over time (die, module), and 5.0 and 5.1 packed AMD's EPYC otherwise.
 * query-hotpluggable-cpus has the same props. "info lapic" names no id but that of the last IPI. What is left is the property "apic-id" of
 * the vCPU's object, whose path query-cpus-fast gives (target/i386/cpu.c): the id itself, the same in 7.2.22 and 11.1.3.
 */
#include "vmm_internal.h"
#include "vmm_irq.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gangway_limits.h"

#define PATH_LEN_MAX 128
#define TID_MAX 4194304 /* PID_MAX_LIMIT of include/linux/threads.h */

struct query {
	struct vmm_op op;
	vmm_vcpus_fn done;
	void *ctx;
	unsigned nr, next;
	struct vmm_vcpu *vcpus;
	char (*paths)[PATH_LEN_MAX]; /* of the objects, in the same order; "" not usable */
};

static void finish(struct query *q, int r, const struct err *err)
{
	vmm_op_finish(&q->op);
	q->done(q->ctx, r, r < 0 ? NULL : q->vcpus, r < 0 ? 0 : q->nr, r < 0 ? err : NULL);
	vmm_op_unref(&q->op);
}

static void cancel(struct vmm_op *op, const struct err *err)
{
	finish((struct query *)op, err->num, err);
}

static void release(struct vmm_op *op)
{
	struct query *q = (struct query *)op;

	free(q->vcpus);
	free(q->paths);
}

static const struct vmm_op_class vcpus_class = { .cancel = cancel, .release = release, .alone = true };

static int bad_answer(const struct query *q, const char *command, struct err *err)
{
	return err_set(err, -EPROTO, "vmm.bad-answer", "guest %s: %s: not the answer of a QEMU", q->op.vmm->name, command);
}

static int take_vcpu(const json_t *v, struct vmm_vcpu *ret, char path[static PATH_LEN_MAX])
{
	const json_t *index = json_object_get(v, "cpu-index"), *tid = json_object_get(v, "thread-id");
	const char *qom = json_string_value(json_object_get(v, "qom-path"));

	if (!json_is_integer(index) || !json_is_integer(tid) || !qom)
		return -EPROTO;
	if (json_integer_value(index) < 0 || json_integer_value(index) > INT32_MAX || json_integer_value(tid) <= 0 ||
	    json_integer_value(tid) > TID_MAX)
		return -EPROTO;
	*ret = (struct vmm_vcpu){ .index = (unsigned)json_integer_value(index), .tid = (pid_t)json_integer_value(tid) };
	snprintf(path, PATH_LEN_MAX, "%s", strlen(qom) < PATH_LEN_MAX ? qom : "");
	return 0;
}

/* In its place by index: the list is of the order in which they were plugged. -EPROTO: that index is there already. */
static int insert(struct query *q, const struct vmm_vcpu *vcpu, const char path[static PATH_LEN_MAX])
{
	unsigned at = q->nr;

	while (at > 0 && q->vcpus[at - 1].index > vcpu->index)
		at--;
	if (at > 0 && q->vcpus[at - 1].index == vcpu->index)
		return -EPROTO;
	memmove(&q->vcpus[at + 1], &q->vcpus[at], (q->nr - at) * sizeof(*q->vcpus));
	memmove(&q->paths[at + 1], &q->paths[at], (q->nr - at) * sizeof(*q->paths));
	q->vcpus[at] = *vcpu;
	memcpy(q->paths[at], path, PATH_LEN_MAX);
	q->nr++;
	return 0;
}

static int take_vcpus(struct query *q, const json_t *ret, struct err *err)
{
	char path[PATH_LEN_MAX];
	struct vmm_vcpu vcpu;
	const json_t *v;
	size_t i;

	if (!json_is_array(ret) || json_array_size(ret) == 0)
		return bad_answer(q, "query-cpus-fast", err);
	if (json_array_size(ret) > LIMIT_VCPUS)
		return err_set(err, -E2BIG, "vmm.too-many-vcpus", "guest %s: more than %d vCPUs", q->op.vmm->name, LIMIT_VCPUS);
	q->vcpus = calloc(json_array_size(ret), sizeof(*q->vcpus));
	q->paths = calloc(json_array_size(ret), sizeof(*q->paths));
	if (!q->vcpus || !q->paths)
		return err_set(err, -ENOMEM, "vmm.no-memory", "guest %s: query-cpus-fast: no memory", q->op.vmm->name);
	json_array_foreach (ret, i, v)
		if (take_vcpu(v, &vcpu, path) < 0 || insert(q, &vcpu, path) < 0)
			return bad_answer(q, "query-cpus-fast", err);
	return 0;
}

/* No APIC id belongs to two. */
static int take_apic_id(struct query *q, const json_t *ret, struct err *err)
{
	struct vmm_vcpu *vcpu = &q->vcpus[q->next];

	if (!json_is_integer(ret) || json_integer_value(ret) < 0 || json_integer_value(ret) > UINT32_MAX)
		return bad_answer(q, "qom-get apic-id", err);
	vcpu->apic_id = (uint32_t)json_integer_value(ret);
	vcpu->has_apic_id = true;
	for (unsigned i = 0; i < q->next; i++)
		if (q->vcpus[i].has_apic_id && q->vcpus[i].apic_id == vcpu->apic_id)
			return bad_answer(q, "qom-get apic-id", err);
	return 0;
}

static void on_apic_id(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err);

/* The next one's, or that was all. */
static void go_on(struct query *q)
{
	struct err err;
	int r;

	while (q->next < q->nr && !q->paths[q->next][0])
		q->next++;
	if (q->next == q->nr) {
		finish(q, 0, NULL);
		return;
	}
	r = vmm_op_send(&q->op, "qom-get", json_pack("{s:s, s:s}", "path", q->paths[q->next], "property", "apic-id"), 0, 0,
			on_apic_id, &err);
	if (r < 0)
		finish(q, r, &err);
}

static void on_apic_id(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct query *q = (struct query *)op;
	struct err why;

	(void)tag;
	/* another error: no such property, or the vCPU has just been unplugged */
	if (r == -ECONNRESET || r == -ETIMEDOUT) {
		finish(q, r, err);
		return;
	}
	r = r == 0 ? take_apic_id(q, ret, &why) : 0;
	if (r < 0) {
		finish(q, r, &why);
		return;
	}
	q->next++;
	go_on(q);
}

static void on_vcpus(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct query *q = (struct query *)op;
	struct err why;

	(void)tag;
	if (r < 0)
		why = *err;
	else
		r = take_vcpus(q, ret, &why);
	if (r < 0)
		finish(q, r, &why);
	else
		go_on(q);
}

int vmm_query_vcpus(struct vmm *vmm, vmm_vcpus_fn done, void *ctx, struct err *err)
{
	struct vmm_op *op = NULL;
	struct query *q;
	int r = vmm_op_new_alone(vmm, "query-cpus-fast", sizeof(*q), &vcpus_class, &op, err);

	if (r < 0)
		return r;
	q = (struct query *)op;
	q->done = done; /* NOLINT(clang-analyzer-core.NullDereference): vmm_op_new_alone() gave 0 */
	q->ctx = ctx;
	r = vmm_op_send(op, "query-cpus-fast", NULL, 0, 0, on_vcpus, err);
	if (r < 0)
		vmm_op_unref(vmm_op_finish(op));
	return r;
}
