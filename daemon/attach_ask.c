/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of the attach table that ask the guest's VMM what the guest is like, and take the answer. */
#include <errno.h>
#include <stdlib.h>

#include "daemon.h"
#include "guests.h"
#include "mac.h"
#include "op.h"
#include "preflight.h"
#include "vmm_standby.h"

/*
 * The VMM takes its time to answer: meanwhile the host is looked at. So asking is one step, and taking the answer a later one; the
 * question outlives an operation that ends before.
 */
struct vmm_question {
	struct op *op; /* NULL: nobody wants to know any more */
	unsigned nr_open; /* what it is like, and whether it has a standby of its own: asked at once */
};

void op_forget_question(struct op *op)
{
	if (op->question)
		op->question->op = NULL;
	op->question = NULL;
}

static int take_answer(struct op *op, struct err *err)
{
	int r;

	if (op->answer_r < 0) {
		*err = op->answer_err;
		return op->answer_r;
	}
	r = op_choose_standby(op, err);
	return r < 0 ? r : preflight_guest(op, err);
}

/* One of the answers is there. */
static void answered(struct vmm_question *question)
{
	struct op *op = question->op;
	struct err err = { 0 };
	int r;

	if (--question->nr_open)
		return;
	free(question);
	if (!op)
		return;
	op->question = NULL;
	op->answered_us = op->d->sys->ops->now_us(op->d->sys);
	if (!op->awaiting_answer)
		return;
	op->awaiting_answer = false;
	r = take_answer(op, &err);
	op_step_done(op, r, &err);
}

static void on_info(void *ctx, int r, const struct vmm_info *info, const struct err *why)
{
	struct vmm_question *question = ctx;
	struct op *op = question->op;

	if (op) {
		op->answer_r = r;
		if (r == 0)
			op->info = *info;
		else if (why)
			op->answer_err = *why;
	}
	answered(question);
}

static void on_own(void *ctx, int r, const struct vmm_standby *own, const struct err *why)
{
	struct vmm_question *question = ctx;
	struct op *op = question->op;

	if (op) {
		op->own_r = r;
		if (r > 0)
			op->own = *own;
		else if (why)
			op->own_err = *why;
	}
	answered(question);
}

static unsigned ports_wanted(const struct op *op)
{
	if (op->vf_only) /* chosen when the lease was made */
		return 0;
	return op_plugs_standby(op) ? 2 : 1;
}

static int ask_own(struct op *op, struct guest *g, struct err *err)
{
	char mac[MAC_TEXT];
	int r;

	if (op->vf_only || op->lease->standby.kind == EMUL_NONE)
		return 0;
	mac_format(op->lease->want.mac, mac);
	r = vmm_find_standby(g->vmm, mac, on_own, op->question, err);
	op->question->nr_open += r == 0;
	return r;
}

int step_ask_guest(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct guest *g;
	int r;

	if (!op->asked_us)
		op->asked_us = op->d->sys->ops->now_us(op->d->sys);
	r = op_vmm_to_ask(op, step_ask_guest, &g, err);
	if (r != 0)
		return r;
	op->lease->owner_uid = vmm_uid(g->vmm);
	op->lease->owner_gid = vmm_gid(g->vmm);
	op->vmm_pid = guest_vmm_pid(g);
	if (g->manager[0])
		op_warn(op,
			"%s, pid %d, listens at the QMP socket and is no QEMU: uid %u is taken for the VMM's, how much it may "
			"lock is "
			"not known",
			g->manager, (int)vmm_pid(g->vmm), op->lease->owner_uid);
	op->question = calloc(1, sizeof(*op->question));
	if (!op->question)
		return err_set(err, -ENOMEM, "daemon.no-memory", "lease %s: no memory to ask its guest", op->lease->id);
	op->question->op = op;
	r = vmm_query(g->vmm, ports_wanted(op), on_info, op->question, err);
	op->question->nr_open += r == 0;
	if (r == 0)
		r = ask_own(op, g, err);
	if (r < 0) {
		op->question->op = NULL; /* freed with the answer that is still to come */
		if (!op->question->nr_open)
			free(op->question);
		op->question = NULL;
	}
	return r;
}

int step_answer(void *ctx, struct err *err)
{
	struct op *op = ctx;

	if (!op->question)
		return take_answer(op, err);
	op->awaiting_answer = true;
	return STEP_PENDING;
}
