/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VF that QEMU has unplugged for a migration stays in its tree when the migration completes: out of the guest, not to be plugged (its id is
 * taken) and not to be unplugged (device_del does nothing to it). QEMU plugs it back where a migration fails, and then only (11.1.3: one that
 * got as far as to begin; hw/net/virtio-net.c, failover_replug_primary()). So one is begun that must fail: into a pipe that nobody reads.
 *
 *	query-migrate-capabilities (-> migrate-set-capabilities) -> getfd -> migrate fd: -> our end of the pipe is closed -> MIGRATION: failed
 *	-> (set back ->) called back
 *
 * What somebody has left on is set off for it: a background-snapshot would be one more of those, which plugs nothing back, and into a pipe goes
 * neither multifd nor mapped-ram. query-migrate tells of this migration from then on.
 *
 * A pipe holds less than the state of any guest. gangwayd's end closes with gangwayd, too: then the migration fails as well.
 */
#include "vmm_migration.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fdutil.h"

#define FD_NAME "gangway-replug"
#define UNWANTED (VMM_CAP_BACKGROUND_SNAPSHOT | VMM_CAP_MULTIFD | VMM_CAP_MAPPED_RAM)

enum step { CAPABILITIES, SET, GETFD, MIGRATE, CLOSEFD, SET_BACK };

struct replug {
	struct vmm_op op;
	vmm_done_fn done;
	void *ctx;
	int pipe[2];
	bool begun; /* `migrate` is answered */
	unsigned changed; /* capabilities that are to be set back on */
	struct err why; /* num 0: nothing has failed */
};

static void finish(struct replug *p, int r, const struct err *err)
{
	fd_close(&p->pipe[0]);
	fd_close(&p->pipe[1]);
	vmm_op_finish(&p->op);
	p->done(p->ctx, r, r < 0 ? err : NULL);
	vmm_op_unref(&p->op);
}

static void cancel(struct vmm_op *op, const struct err *err)
{
	finish((struct replug *)op, err->num, err);
}

static void on_answer(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err);

static json_t *args_of(const struct replug *p, enum step step)
{
	switch (step) {
	case SET:
		return vmm_capabilities_args(p->changed, 0);
	case SET_BACK:
		return vmm_capabilities_args(p->changed, p->changed);
	case MIGRATE:
		return json_pack("{s:s}", "uri", "fd:" FD_NAME);
	case GETFD:
	case CLOSEFD:
		return json_pack("{s:s}", "fdname", FD_NAME);
	case CAPABILITIES:
		break;
	}
	return json_object();
}

static int send(struct replug *p, enum step step, struct err *err)
{
	static const char *const command[] = { [CAPABILITIES] = "query-migrate-capabilities",
					       [SET] = "migrate-set-capabilities",
					       [GETFD] = "getfd",
					       [MIGRATE] = "migrate",
					       [CLOSEFD] = "closefd",
					       [SET_BACK] = "migrate-set-capabilities" };
	json_t *args = args_of(p, step);

	if (!args)
		return err_set(err, -ENOMEM, "vmm.no-memory", "guest %s: %s: no memory", p->op.vmm->name, command[step]);
	return vmm_op_send_fd(&p->op, command[step], args, step == GETFD ? p->pipe[1] : -1, 0, step, on_answer, err);
}

/* Whatever has become of it: what was changed is set back. */
static void end(struct replug *p)
{
	p->begun = false;
	if (!p->changed || send(p, SET_BACK, NULL) < 0)
		finish(p, p->why.num, &p->why);
}

static void end_if_over(struct replug *p)
{
	if (p->begun && !vmm_mig_is_under_way(p->op.vmm->watching.now.status))
		end(p);
}

static enum step next_step(struct replug *p, enum step step, const json_t *ret)
{
	unsigned known = 0, on = 0;

	if (step == CAPABILITIES && vmm_capabilities_take(ret, &known, &on) == 0)
		p->changed = on & UNWANTED;
	if (step == CAPABILITIES && p->changed)
		return SET;
	return step < GETFD ? GETFD : MIGRATE;
}

static void on_answer(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct replug *p = (struct replug *)op;
	enum step step = tag;

	if (step == SET_BACK) { /* refused: the next snapshot sets what it needs */
		finish(p, p->why.num, &p->why);
		return;
	}
	if (r < 0 && !p->why.num) {
		p->why = *err;
		vmm_explain(&p->why);
	}
	if (r < 0 && step == SET)
		p->changed = 0; /* refused as a whole */
	if (r == -ECONNRESET || r == -ETIMEDOUT) {
		finish(p, p->why.num, &p->why);
	} else if (step == MIGRATE && r == 0) {
		p->begun = true;
		fd_close(&p->pipe[0]);
		end_if_over(p);
	} else if (step == MIGRATE) {
		if (send(p, CLOSEFD, NULL) < 0) /* a refusal may leave the name */
			end(p);
	} else if (step == CLOSEFD || r < 0 || send(p, next_step(p, step, ret), &p->why) < 0) {
		end(p);
	}
}

static void on_event(struct vmm_op *op, const char *event, json_t *data)
{
	(void)data;
	if (!strcmp(event, "MIGRATION"))
		end_if_over((struct replug *)op);
}

/* The answer that is awaited fails by itself. Once there is none, only a new connection tells how it ended, or the VMM's end that it has. */
static void on_state(struct vmm_op *op, enum vmm_state state)
{
	struct replug *p = (struct replug *)op;
	struct err err;

	if (!p->begun)
		return;
	if (state == VMM_UP) {
		end_if_over(p);
	} else if (state == VMM_DOWN) {
		err_set(&err, -ECONNRESET, "vmm.gone", "guest %s: its VMM has ended", op->vmm->name);
		finish(p, -ECONNRESET, &err);
	}
}

static const struct vmm_op_class replug_class = { .cancel = cancel, .on_event = on_event, .on_state = on_state };

int vmm_replug(struct vmm *vmm, vmm_done_fn done, void *ctx, struct err *err)
{
	struct vmm_op *op = NULL;
	struct replug *p;
	int r = vmm_op_new(vmm, "have the VMM plug back", sizeof(*p), &replug_class, &op, err);

	if (r < 0)
		return r;
	p = (struct replug *)op; /* NOLINT(clang-analyzer-core.NullDereference): vmm_op_new() gave 0 */
	p->done = done;
	p->ctx = ctx;
	if (pipe2(p->pipe, O_CLOEXEC) < 0) {
		r = err_set(err, -errno, "vmm.no-memory", "guest %s: a pipe: %s", vmm->name, strerror(errno));
		p->pipe[0] = p->pipe[1] = -1;
	} else {
		r = send(p, CAPABILITIES, err);
	}
	if (r < 0) {
		fd_close(&p->pipe[0]);
		fd_close(&p->pipe[1]);
		vmm_op_unref(vmm_op_finish(op));
	}
	return r;
}
