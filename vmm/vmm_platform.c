/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's interrupt hardware, as far as its MSI messages depend on it. A vIOMMU is a device that was given on the command line, so it is in
 * one of QEMU's two trees of those; there can be only one. Its "intremap" is on or off once it exists, auto is settled by then
 * (hw/i386/x86-iommu.c). A vCPU's feature properties are what is left of them (target/i386/cpu.c, x86_cpu_filter_features()).
 */
#include "vmm_internal.h"
#include "vmm_irq.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_LEN 96
#define PATH_LEN_MAX 128

enum question { LIST, LIST_ANON, INTREMAP, VCPUS, EXT_DEST_ID, NUM_QUESTIONS };

struct query {
	struct vmm_op op;
	vmm_platform_fn done;
	void *ctx;
	struct vmm_platform platform;
	bool *remaps; /* of the platform, whose device @iommu is; NULL: no vIOMMU that may */
	char iommu[NAME_MAX_LEN + 32], vcpu[PATH_LEN_MAX]; /* paths; "" none */
};

static void finish(struct query *q, int r, const struct err *err)
{
	vmm_op_finish(&q->op);
	q->done(q->ctx, r, r < 0 ? NULL : &q->platform, r < 0 ? err : NULL);
	vmm_op_unref(&q->op);
}

static void cancel(struct vmm_op *op, const struct err *err)
{
	finish((struct query *)op, err->num, err);
}

static const struct vmm_op_class platform_class = { .cancel = cancel, .alone = true };

/* The first vIOMMU of a tree. -EPROTO. */
static int take_list(struct query *q, const char *tree, const json_t *ret)
{
	const json_t *v;
	size_t i;

	if (!json_is_array(ret))
		return -EPROTO;
	json_array_foreach (ret, i, v) {
		const char *type = json_string_value(json_object_get(v, "type"));
		const char *name = json_string_value(json_object_get(v, "name"));
		bool intel = type && !strcmp(type, "child<intel-iommu>"), amd = type && !strcmp(type, "child<amd-iommu>");

		if (!type || !name)
			return -EPROTO;
		if (q->remaps || !(intel || amd))
			continue;
		q->remaps = intel ? &q->platform.vtd_remaps : &q->platform.amd_remaps;
		*q->remaps = true; /* until it says otherwise */
		if (strlen(name) < NAME_MAX_LEN && !strchr(name, '/'))
			snprintf(q->iommu, sizeof(q->iommu), "/machine/%s/%s", tree, name);
	}
	return 0;
}

static int take_vcpus(struct query *q, const json_t *ret)
{
	const char *path = json_string_value(json_object_get(json_array_get(ret, 0), "qom-path"));

	if (!path)
		return -EPROTO;
	if (strlen(path) < sizeof(q->vcpu))
		strcpy(q->vcpu, path);
	return 0;
}

static int take(struct query *q, enum question question, const json_t *ret)
{
	switch (question) {
	case LIST:
		return take_list(q, "peripheral", ret);
	case LIST_ANON:
		return take_list(q, "peripheral-anon", ret);
	case INTREMAP:
		if (!json_is_string(ret) && !json_is_boolean(ret))
			return -EPROTO;
		*q->remaps = !json_is_false(ret) && (!json_is_string(ret) || strcmp(json_string_value(ret), "off") != 0);
		return 0;
	case VCPUS:
		return take_vcpus(q, ret);
	case EXT_DEST_ID:
		if (!json_is_boolean(ret))
			return -EPROTO;
		q->platform.ext_dest_id = json_is_true(ret);
		return 0;
	case NUM_QUESTIONS:
		break;
	}
	return 0;
}

static void on_answer(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err);

/* @question, or the first one after it that there is reason to ask. 1: none. */
static int ask(struct query *q, enum question question, struct err *err)
{
	static const char *const commands[] = { "qom-list", "qom-list", "qom-get", "query-cpus-fast", "qom-get" };
	json_t *args = NULL;

	if (question == INTREMAP && !q->iommu[0])
		question = VCPUS;
	if (question >= NUM_QUESTIONS || (question == EXT_DEST_ID && !q->vcpu[0]))
		return 1;
	if (question == LIST || question == LIST_ANON)
		args = json_pack("{s:s}", "path", question == LIST ? "/machine/peripheral" : "/machine/peripheral-anon");
	else if (question == INTREMAP)
		args = json_pack("{s:s, s:s}", "path", q->iommu, "property", "intremap");
	else if (question == EXT_DEST_ID)
		args = json_pack("{s:s, s:s}", "path", q->vcpu, "property", "kvm-msi-ext-dest-id");
	return vmm_op_send(&q->op, commands[question], args, 0, question, on_answer, err);
}

/* Not there: no tree, no property, no x86. The connection is another matter. */
static bool is_survivable(enum question question, int r)
{
	return question != VCPUS && r != -ECONNRESET && r != -ETIMEDOUT;
}

static void on_answer(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct query *q = (struct query *)op;
	enum question question = tag;
	struct err why;

	if (r < 0 && !is_survivable(question, r)) {
		finish(q, r, err);
		return;
	}
	if (r == 0 && take(q, question, ret) < 0)
		r = err_set(&why, -EPROTO, "vmm.bad-answer", "guest %s: its vIOMMU and vCPUs: not the answers of a QEMU",
			    op->vmm->name);
	else
		r = ask(q, question + 1, &why);
	if (r != 0)
		finish(q, r < 0 ? r : 0, &why);
}

int vmm_query_platform(struct vmm *vmm, vmm_platform_fn done, void *ctx, struct err *err)
{
	struct vmm_op *op = NULL;
	struct query *q;
	int r = vmm_op_new_alone(vmm, "look for a vIOMMU", sizeof(*q), &platform_class, &op, err);

	if (r < 0)
		return r;
	q = (struct query *)op;
	q->done = done; /* NOLINT(clang-analyzer-core.NullDereference): vmm_op_new_alone() gave 0 */
	q->ctx = ctx;
	r = ask(q, LIST, err);
	if (r < 0)
		vmm_op_unref(vmm_op_finish(op));
	return r;
}
