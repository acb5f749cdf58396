/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VF that QEMU has unplugged for a migration stays in its tree when the migration completes: out of the guest, not to be plugged (its id is
 * taken) and not to be unplugged (device_del does nothing to it). QEMU plugs it back where a migration fails, and then only (11.1.3: one that
 * got as far as to begin; hw/net/virtio-net.c, failover_replug_primary()). So one is begun that must fail: into a pipe that nobody reads.
 *
 *	getfd -> migrate fd: -> our end of the pipe is closed -> MIGRATION: failed -> called back
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

enum step { GETFD, MIGRATE, CLOSEFD };

struct replug {
	struct vmm_op op;
	vmm_done_fn done;
	void *ctx;
	int pipe[2];
	bool begun; /* `migrate` is answered */
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

static int send(struct replug *p, enum step step, struct err *err)
{
	static const char *const command[] = { [GETFD] = "getfd", [MIGRATE] = "migrate", [CLOSEFD] = "closefd" };
	json_t *args = step == MIGRATE ? json_pack("{s:s}", "uri", "fd:" FD_NAME) : json_pack("{s:s}", "fdname", FD_NAME);

	if (!args)
		return err_set(err, -ENOMEM, "vmm.no-memory", "guest %s: %s: no memory", p->op.vmm->name, command[step]);
	return vmm_op_send_fd(&p->op, command[step], args, step == GETFD ? p->pipe[1] : -1, 0, step, on_answer, err);
}

static void end_if_over(struct replug *p)
{
	if (p->begun && !vmm_mig_is_under_way(p->op.vmm->watching.now.status))
		finish(p, 0, NULL);
}

static void on_answer(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct replug *p = (struct replug *)op;
	enum step step = tag;

	(void)ret;
	if (r < 0 && !p->why.num) {
		p->why = *err;
		vmm_explain(&p->why);
	}
	if (step == GETFD && r == 0) {
		fd_close(&p->pipe[1]);
		r = send(p, MIGRATE, &p->why);
	} else if (step == MIGRATE && r == 0) {
		p->begun = true;
		fd_close(&p->pipe[0]);
		end_if_over(p);
		return;
	} else if (step == MIGRATE && r != -ECONNRESET && r != -ETIMEDOUT) {
		r = send(p, CLOSEFD, &p->why); /* a refusal may leave the name */
	}
	if (r < 0 || step == CLOSEFD)
		finish(p, p->why.num, &p->why);
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
		r = send(p, GETFD, err);
	}
	if (r < 0) {
		fd_close(&p->pipe[0]);
		fd_close(&p->pipe[1]);
		vmm_op_unref(vmm_op_finish(op));
	}
	return r;
}
