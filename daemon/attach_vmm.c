/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is the guest's VMM there? What the steps of an operation that talk to it have to know first. */
#include <errno.h>
#include <string.h>

#include "daemon.h"
#include "guests.h"
#include "op.h"

/*
 * How long it may take to know whether a VMM runs. One that is just being connected to (the operator has made its guest known this
 * moment, gangwayd has just started, the connection was lost) says hello at once if it listens, unless it is busy starting its guest;
 * one that has closed its socket has ended soon.
 */
#define VMM_SETTLE_US 3000000

void op_timer_off(struct op *op)
{
	op->timer = sd_event_source_disable_unref(op->timer);
}

/* Is it yet to be known what @step has to know: can the VMM be asked; to take a device from it, is it there at all? */
static bool is_unsettled(const struct op *op, int (*step)(void *ctx, struct err *err))
{
	struct guest *g = guest_find(op->d, op->lease->guest);

	if (!g)
		return false;
	switch (vmm_get_state(g->vmm)) {
	case VMM_CONNECTING:
		return true;
	case VMM_DOWN:
		return step != step_ask_guest && !guest_is_gone(g);
	case VMM_UP:
	case VMM_DENIED:
		break;
	}
	return false;
}

static void vmm_awaited(struct op *op)
{
	struct err err = { 0 };
	int r;

	op_timer_off(op);
	op->awaiting_vmm = false;
	r = op->vmm_awaited_by(op, &err);
	if (r != STEP_PENDING)
		op_step_done(op, r, &err);
}

static int on_settle_timer(sd_event_source *s, uint64_t usec, void *ctx)
{
	(void)s;
	(void)usec;
	vmm_awaited(ctx);
	return 0;
}

/* @step, from which this is called, is called again then. */
static int await_vmm(struct op *op, int (*step)(void *ctx, struct err *err), struct err *err)
{
	uint64_t now;
	int r = sd_event_now(op->d->event, CLOCK_MONOTONIC, &now);

	if (r >= 0)
		r = sd_event_add_time(op->d->event, &op->timer, CLOCK_MONOTONIC, now + VMM_SETTLE_US, 10000, on_settle_timer, op);
	if (r < 0)
		return err_set(err, r, "daemon.no-memory", "lease %s: no timer", op->lease->id);
	op->awaiting_vmm = true;
	op->vmm_awaited_by = step;
	return STEP_PENDING;
}

void attach_vmm_changed(struct daemon *d, const char *guest)
{
	struct lease *l = TAILQ_FIRST(&d->leases);

	while (l) {
		if (strcmp(l->guest, guest) || !l->op || !l->op->awaiting_vmm || is_unsettled(l->op, l->op->vmm_awaited_by)) {
			l = TAILQ_NEXT(l, link);
			continue;
		}
		vmm_awaited(l->op);
		l = TAILQ_FIRST(&d->leases); /* the lease may be gone now, others with it */
	}
}

int op_need_vmm(struct op *op, struct guest **ret, struct err *err)
{
	const struct err *why;
	int r;

	r = guest_get(op->d, op->lease->guest, ret, err);
	if (r < 0)
		return r;
	if (vmm_get_state((*ret)->vmm) == VMM_UP)
		return 0;
	why = vmm_why((*ret)->vmm);
	if (vmm_get_state((*ret)->vmm) == VMM_DENIED && why && why->num) {
		if (err)
			*err = *why;
		err_prefix(err, "guest %s", op->lease->guest);
		return why->num;
	}
	err_set(err, -ENXIO, "guest.down", "guest %s: nothing answers at its QMP socket %s%s%s", op->lease->guest, (*ret)->qmp,
		why && why->num ? ": " : "", why && why->num ? why->msg : "");
	err_hint(err, "is it running, with -qmp unix:%s,server=on,wait=off? For a guest not started yet: --prepare", (*ret)->qmp);
	return -ENXIO;
}

int op_vmm_to_ask(struct op *op, int (*step)(void *ctx, struct err *err), struct guest **ret, struct err *err)
{
	if (op->vmm_awaited_by != step && is_unsettled(op, step))
		return await_vmm(op, step, err);
	return op_need_vmm(op, ret, err);
}

int op_vmm_to_undo(struct op *op, int (*step)(void *ctx, struct err *err), struct guest **ret, struct err *err)
{
	*ret = guest_find(op->d, op->lease->guest);
	if (!*ret || guest_is_gone(*ret)) {
		*ret = NULL;
		return 0;
	}
	return op_vmm_to_ask(op, step, ret, err);
}
