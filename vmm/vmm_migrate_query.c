/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far a migration has come. */
#include "vmm_migration.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct query {
	struct vmm_op op;
	vmm_migrate_info_fn done;
	void *ctx;
};

static void finish(struct query *q, int r, const struct vmm_migrate_info *info, const struct err *err)
{
	vmm_op_finish(&q->op);
	q->done(q->ctx, r, r < 0 ? NULL : info, r < 0 ? err : NULL);
	vmm_op_unref(&q->op);
}

static void cancel(struct vmm_op *op, const struct err *err)
{
	finish((struct query *)op, err->num, NULL, err);
}

static const struct vmm_op_class query_class = { .cancel = cancel };

/* A number that may be missing: 0 then. Reals: where one number of a line does not fit, all of them are read as such. */
static int take_number(const json_t *object, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(object, key);

	if (!v)
		return 0;
	if (json_is_integer(v) && json_integer_value(v) >= 0)
		*ret = (uint64_t)json_integer_value(v);
	else if (json_is_real(v) && json_real_value(v) >= 0 && json_real_value(v) < 9e18)
		*ret = (uint64_t)json_real_value(v);
	else
		return -EPROTO;
	return 0;
}

static int take_ram(const json_t *ram, struct vmm_migrate_info *info)
{
	const json_t *mbps = json_object_get(ram, "mbps");
	uint64_t pages = 0, page_size = 0;

	if (!ram)
		return 0;
	if (!json_is_object(ram) || take_number(ram, "transferred", &info->transferred) < 0 ||
	    take_number(ram, "remaining", &info->remaining) < 0 || take_number(ram, "total", &info->total) < 0 ||
	    take_number(ram, "dirty-pages-rate", &pages) < 0 || take_number(ram, "page-size", &page_size) < 0)
		return -EPROTO;
	if (__builtin_mul_overflow(pages, page_size, &info->dirty_rate))
		return -EPROTO;
	if (mbps && (!json_is_number(mbps) || !(json_number_value(mbps) >= 0 && json_number_value(mbps) < 1e13)))
		return -EPROTO;
	info->bandwidth = (uint64_t)(json_number_value(mbps) * 1e6 / 8);
	return 0;
}

static int take_info(const json_t *ret, struct vmm_migrate_info *info)
{
	const json_t *status = json_object_get(ret, "status"), *error = json_object_get(ret, "error-desc");

	if (!json_is_object(ret) || (status && !json_is_string(status)) || (error && !json_is_string(error)))
		return -EPROTO;
	if (take_ram(json_object_get(ret, "ram"), info) < 0 || take_number(ret, "total-time", &info->total_ms) < 0 ||
	    take_number(ret, "setup-time", &info->setup_ms) < 0 || take_number(ret, "downtime", &info->downtime_ms) < 0 ||
	    take_number(ret, "expected-downtime", &info->expected_downtime_ms) < 0)
		return -EPROTO;
	snprintf(info->migration.word, sizeof(info->migration.word), "%s", status ? json_string_value(status) : "none");
	info->migration.status = vmm_mig_status_parse(status ? json_string_value(status) : "none");
	snprintf(info->error, sizeof(info->error), "%s", error ? json_string_value(error) : "");
	for (char *p = info->error; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	for (char *p = info->migration.word; *p; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
			*p = '?';
	return 0;
}

static void on_answer(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct vmm_migrate_info info = { .migration.role = op->vmm->watching.now.role };
	struct err why;

	(void)tag;
	if (r == 0) {
		r = take_info(ret, &info);
		if (r < 0)
			err_set(&why, r, "vmm.bad-answer", "guest %s: query-migrate: not the answer of a QEMU", op->vmm->name);
	} else {
		why = *err;
	}
	finish((struct query *)op, r, &info, &why);
}

int vmm_query_migrate(struct vmm *vmm, vmm_migrate_info_fn done, void *ctx, struct err *err)
{
	struct vmm_op *op = NULL;
	struct query *q;
	int r = vmm_op_new(vmm, "query-migrate", sizeof(*q), &query_class, &op, err);

	if (r < 0)
		return r;
	q = (struct query *)op;
	q->done = done; /* NOLINT(clang-analyzer-core.NullDereference): vmm_op_new() gave 0 */
	q->ctx = ctx;
	r = vmm_op_send(op, "query-migrate", NULL, 0, 0, on_answer, err);
	if (r < 0)
		vmm_op_unref(vmm_op_finish(op));
	return r;
}
