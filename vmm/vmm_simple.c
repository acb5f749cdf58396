/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations of one command: send it, judge the answer, call back. */
#include "vmm_internal.h"

#include <errno.h>
#include <string.h>

void vmm_simple_finish(struct vmm_op *op, int r, const struct err *err)
{
	struct vmm_simple *s = (struct vmm_simple *)op;

	vmm_op_finish(op);
	s->done(s->ctx, r, r < 0 ? err : NULL);
	vmm_op_unref(op);
}

static void cancel(struct vmm_op *op, const struct err *err)
{
	vmm_simple_finish(op, err->num, err);
}

static const struct vmm_op_class simple_class = { .cancel = cancel };

void vmm_simple_reply(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct err why;

	(void)tag;
	(void)ret;
	if (r < 0) {
		why = *err;
		r = vmm_explain(&why);
		err = &why;
	}
	vmm_simple_finish(op, r, err);
}

int vmm_simple_start(struct vmm *vmm, const struct vmm_command *command, vmm_done_fn done, void *ctx, struct err *err)
{
	struct vmm_op *op;
	struct vmm_simple *s;
	int r;

	if (!command->args)
		return err_set(err, -ENOMEM, "vmm.no-memory", "guest %s: %s: no memory", vmm->name, command->name);
	r = vmm_op_new(vmm, command->name, sizeof(*s), &simple_class, &op, err);
	if (r < 0) {
		json_decref(command->args);
		return r;
	}
	s = (struct vmm_simple *)op;
	s->done = done;
	s->ctx = ctx;
	if (command->id)
		strcpy(s->id, command->id);
	r = vmm_op_send(op, command->name, command->args, command->timeout_ms, command->tag,
			command->reply ? command->reply : vmm_simple_reply, err);
	if (r < 0)
		vmm_op_unref(vmm_op_finish(op));
	return r;
}
