/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The step of the attach table about the VF's interrupts. Bringing them where they belong goes on for as long as the lease is attached
 * (irq_follow.h) and begins when it is; giving them back is for whoever takes the VF, while they are there.
 */
#include "irq_keep.h"
#include "op.h"

static void on_released(void *ctx)
{
	op_step_done(ctx, 0, NULL);
}

/* What the kernel refuses keeps nobody from detaching: it was said in the log. */
int undo_interrupts(void *ctx, struct err *err)
{
	struct op *op = ctx;

	(void)err;
	return irq_keep_release(op->lease, on_released, op) ? STEP_PENDING : 0;
}
