/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Driving a migration:
 *
 *	query-migrate-capabilities -> migrate-set-capabilities -> migrate-set-parameters -> migrate -> called back
 *	                                        (only what is to be changed)                   |
 *	                              set back <- refused, or later: the migration is over <---+
 *
 * A background-snapshot or postcopy-ram that stayed on would make something else of the next migration, whoever begins it. So the operation
 * lives on until that is set back, silently.
 */
#include "vmm_migration.h"

#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DOWNTIME_MAX_MS 2000000 /* MAX_MIGRATE_DOWNTIME of QEMU */
#define BANDWIDTH_MAX (1ull << 62)
#define MIGRATE_TIMEOUT_MS 30000 /* exec: and file: are opened before it returns */

enum step { CAPABILITIES, SET, PARAMETERS, MIGRATE, BEGUN, SET_BACK };

struct start {
	struct vmm_op op;
	vmm_done_fn done; /* NULL: called back */
	void *ctx;
	char *uri;
	uint64_t bandwidth;
	unsigned downtime_ms;
	unsigned wanted, unwanted; /* capabilities */
	unsigned changed, before; /* to be set back: which, and to what */
	bool sent, begun, over; /* `migrate`: on its way, accepted; an event has said that it is over */
	struct err why; /* num 0: nothing has failed */
};

static void call_back(struct start *s, int r, const struct err *err)
{
	vmm_done_fn done = s->done;

	s->done = NULL;
	if (done)
		done(s->ctx, r, r < 0 ? err : NULL);
}

/* Out of the list first: the callback may begin another, or give the guest up. */
static void finish(struct start *s, int r, const struct err *err)
{
	vmm_op_finish(&s->op);
	call_back(s, r, err);
	vmm_op_unref(&s->op);
}

static void cancel(struct vmm_op *op, const struct err *err)
{
	finish((struct start *)op, err->num, err);
}

static void release(struct vmm_op *op)
{
	free(((struct start *)op)->uri);
}

static void on_answer(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err);

static json_t *parameters(const struct start *s)
{
	json_t *args = json_object();
	int r = 0;

	if (s->bandwidth)
		r |= json_object_set_new(args, "max-bandwidth", json_integer((json_int_t)s->bandwidth));
	if (s->downtime_ms)
		r |= json_object_set_new(args, "downtime-limit", json_integer(s->downtime_ms));
	if (r == 0)
		return args;
	json_decref(args);
	return NULL;
}

static int send(struct start *s, enum step step, struct err *err)
{
	switch (step) {
	case CAPABILITIES:
		return vmm_op_send(&s->op, "query-migrate-capabilities", NULL, 0, step, on_answer, err);
	case SET:
		return vmm_op_send(&s->op, "migrate-set-capabilities", vmm_capabilities_args(s->changed, s->wanted), 0, step,
				   on_answer, err);
	case PARAMETERS:
		return vmm_op_send(&s->op, "migrate-set-parameters", parameters(s), 0, step, on_answer, err);
	case MIGRATE:
		s->sent = true;
		return vmm_op_send(&s->op, "migrate", json_pack("{s:s}", "uri", s->uri), MIGRATE_TIMEOUT_MS, step, on_answer,
				   err);
	case SET_BACK:
		return vmm_op_send(&s->op, "migrate-set-capabilities", vmm_capabilities_args(s->changed, s->before), 0, step,
				   on_answer, err);
	case BEGUN:
		break;
	}
	return 0;
}

/* The migration is over, or was refused. */
static void set_back(struct start *s)
{
	s->begun = false;
	s->changed &= ~(unsigned)VMM_CAP_EVENTS;
	if (!s->changed || send(s, SET_BACK, NULL) < 0)
		finish(s, s->why.num, &s->why);
}

static void refused(struct start *s, const struct err *err)
{
	s->why = *err;
	vmm_explain(&s->why);
	if (s->why.num == -ECONNRESET || s->why.num == -ETIMEDOUT)
		finish(s, s->why.num, &s->why);
	else
		set_back(s);
}

/* What is to be changed of the capabilities. */
static int take_capabilities(struct start *s, const json_t *ret, struct err *err)
{
	const char *guest = s->op.vmm->name;
	unsigned known = 0, on = 0;

	if (vmm_capabilities_take(ret, &known, &on) < 0)
		return err_set(err, -EPROTO, "vmm.bad-answer", "guest %s: query-migrate-capabilities: not the answer of a QEMU",
			       guest);
	if (s->wanted & ~(unsigned)(VMM_CAP_EVENTS | VMM_CAP_RETURN_PATH) & ~known)
		return err_set(err, -EOPNOTSUPP, "vmm.no-capability", "guest %s: this QEMU has no %s", guest,
			       s->wanted & VMM_CAP_POSTCOPY_RAM & ~known ? "postcopy-ram" : "background-snapshot");
	s->before = on;
	s->changed = known & ((s->wanted & ~on) | (s->unwanted & on));
	return 0;
}

static enum step next_step(const struct start *s, enum step step)
{
	if (step == CAPABILITIES && s->changed)
		return SET;
	if (step < PARAMETERS && (s->bandwidth || s->downtime_ms))
		return PARAMETERS;
	return step < MIGRATE ? MIGRATE : BEGUN;
}

static void on_answer(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct start *s = (struct start *)op;
	enum step step = tag;
	struct err why;

	if (step == SET_BACK) {
		if (r < 0)
			log_debug("vmm %s: capabilities of a migration not set back: %s, ignoring", op->vmm->name, err->msg);
		finish(s, s->why.num, &s->why);
		return;
	}
	if (r < 0 && step == SET)
		s->changed = 0; /* refused as a whole */
	if (r < 0)
		why = *err;
	else if (step == CAPABILITIES)
		r = take_capabilities(s, ret, &why);
	if (r == 0) {
		step = next_step(s, step);
		r = send(s, step, &why);
	}
	if (r < 0) {
		refused(s, &why);
		return;
	}
	if (step != BEGUN)
		return;
	s->begun = true;
	if (!(s->changed & ~(unsigned)VMM_CAP_EVENTS)) {
		finish(s, 0, NULL);
		return;
	}
	op->refs++;
	call_back(s, 0, NULL);
	if (op->link && s->begun && s->over)
		set_back(s);
	vmm_op_unref(op);
}

static void on_event(struct vmm_op *op, const char *event, json_t *data)
{
	struct start *s = (struct start *)op;

	(void)data;
	if (!s->sent || strcmp(event, "MIGRATION") != 0)
		return;
	s->over = !vmm_mig_is_under_way(op->vmm->watching.now.status); /* a short one is before `migrate` is answered */
	if (s->begun && s->over)
		set_back(s);
}

/* The connection was lost: the migration may be over when it is back. */
static void on_state(struct vmm_op *op, enum vmm_state state)
{
	struct start *s = (struct start *)op;

	if (!s->begun)
		return; /* the answer that is awaited fails */
	if (state == VMM_DOWN)
		finish(s, 0, NULL);
	else if (state == VMM_UP && !vmm_mig_is_under_way(op->vmm->watching.now.status))
		set_back(s);
}

static const struct vmm_op_class start_class = {
	.cancel = cancel, .on_event = on_event, .on_state = on_state, .release = release
};

static int check(const struct vmm *vmm, const struct vmm_migrate *m, struct err *err)
{
	int r = vmm_migrate_uri_check(m->uri, m->allow, err);

	if (r < 0) {
		err_prefix(err, "guest %s", vmm->name);
		return r;
	}
	if (m->bandwidth > BANDWIDTH_MAX || m->downtime_ms > DOWNTIME_MAX_MS)
		return err_set(err, -ERANGE, "vmm.migrate-range", "guest %s: migrate: at most %llu bytes/s and %d ms of downtime",
			       vmm->name, BANDWIDTH_MAX, DOWNTIME_MAX_MS);
	if (m->postcopy && m->background_snapshot)
		return err_set(err, -EINVAL, "vmm.migrate-both", "guest %s: migrate: a snapshot has no postcopy", vmm->name);
	return 0;
}

/*
 * With a way back the migration is complete when the destination has said that it has it all. Without, a destination that fails at the end takes
 * the guest with it: the source believes it gone. Files and commands have none.
 */
static unsigned return_path(const char *uri)
{
	return !strncmp(uri, "tcp:", 4) || !strncmp(uri, "unix:", 5) ? VMM_CAP_RETURN_PATH : 0;
}

int vmm_migrate_start(struct vmm *vmm, const struct vmm_migrate *migrate, vmm_done_fn done, void *ctx, struct err *err)
{
	struct vmm_op *op = NULL;
	struct start *s;
	int r = check(vmm, migrate, err);

	if (r == 0)
		r = vmm_op_new(vmm, "migrate", sizeof(*s), &start_class, &op, err);
	if (r < 0)
		return r;
	s = (struct start *)op;
	s->done = done; /* NOLINT(clang-analyzer-core.NullDereference): vmm_op_new() gave 0 */
	s->ctx = ctx;
	s->bandwidth = migrate->bandwidth;
	s->downtime_ms = migrate->downtime_ms;
	s->wanted = VMM_CAP_EVENTS | (migrate->background_snapshot ? 0 : return_path(migrate->uri)) |
		    (migrate->postcopy ? VMM_CAP_POSTCOPY_RAM : 0) |
		    (migrate->background_snapshot ? VMM_CAP_BACKGROUND_SNAPSHOT : 0);
	s->unwanted = migrate->background_snapshot ? VMM_CAP_POSTCOPY_RAM | VMM_CAP_RETURN_PATH : VMM_CAP_BACKGROUND_SNAPSHOT;
	s->uri = strdup(migrate->uri);
	r = s->uri ? send(s, CAPABILITIES, err)
		   : err_set(err, -ENOMEM, "vmm.no-memory", "guest %s: migrate: no memory", vmm->name);
	if (r < 0)
		vmm_op_unref(vmm_op_finish(op));
	return r;
}

/* Of one command ------------------------------------------------------------------------------------------------------- */

static int simple(struct vmm *vmm, const char *name, json_t *args, vmm_done_fn done, void *ctx, struct err *err)
{
	struct vmm_command command = { .name = name, .args = args };

	return vmm_simple_start(vmm, &command, done, ctx, err);
}

int vmm_migrate_postcopy(struct vmm *vmm, vmm_done_fn done, void *ctx, struct err *err)
{
	return simple(vmm, "migrate-start-postcopy", json_object(), done, ctx, err);
}

int vmm_migrate_cancel(struct vmm *vmm, vmm_done_fn done, void *ctx, struct err *err)
{
	return simple(vmm, "migrate_cancel", json_object(), done, ctx, err);
}
