/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of an operation on a lease: made, reported on, over and answered. */
#include "op.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "daemon.h"
#include "irq_follow.h"
#include "log.h"
#include "switcher.h"
#include "vdev.h"

void op_warn(struct op *op, const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_warn("lease %s: %s", op->lease->id, text);
	json_array_append_new(op->warnings, json_string(text));
}

struct op *op_free(struct op *op)
{
	if (!op)
		return NULL;
	if (op->lease) {
		if (!op->vf_only) /* else the switch goes on */
			mem_account_settle(op->lease);
		op->lease->op = NULL;
		irq_follow_hint(op->lease);
	}
	op_forget_question(op);
	sd_event_source_disable_unref(op->timer);
	steps_free(op->steps);
	vdev_close(op->vdev);
	emul_leg_free(op->leg);
	op_close_leg_fds(op);
	free(op->leased);
	free(op->facts);
	json_decref(op->warnings);
	free(op);
	return NULL;
}

/* --- the end --- */

static void on_progress(void *ctx, const struct step *step, size_t index)
{
	struct op *op = ctx;
	char what[160];

	if (!op->req)
		return;
	op_step_words(op, step, what, sizeof(what));
	ctl_progress(op->req, step->name, op->detach ? attach_table_len - 1 - index : index, attach_table_len, what);
}

static void attach_finished(struct op *op, int r, const struct err *err, const struct step *stuck)
{
	struct lease *l = op->lease;
	struct err why;

	if (r == 0) {
		if (!op->dry_run && (op->vf.policy.fields & SYS_VF_MAC) && !(l->want.fields & SYS_VF_MAC) &&
		    !memcmp(op->undo.policy.mac, (uint8_t[SYS_MAC_LEN]){ 0 }, SYS_MAC_LEN))
			op_warn(op, "the VF has no MAC of its own: the guest makes one up, another one each time; --mac gives it "
				    "one");
		op_answer(op);
		op_free(op);
		if (l->state == LEASE_ATTACHING) /* a dry run */
			lease_free(l);
		return;
	}
	op_answer_error(op, err);
	why = *err; /* it goes with the steps */
	op_free(op);
	if (stuck) {
		l->error = why;
		lease_set_state(l, LEASE_FAILED, stuck->name);
	} else if (l->again.wanted) {
		again_failed(l, &why);
	} else {
		lease_set_state(l, LEASE_GONE, why.code);
		lease_free(l);
	}
}

/* What a former gangwayd was cut short with is undone: it is to be prepared again, not ended. */
static void interrupted(struct op *op)
{
	struct lease *l = op->lease;
	struct err err;

	op_free(op);
	err_set(&err, -EINTR, "lease.interrupted", "lease %s: gangwayd ended while it was being prepared", l->id);
	err_hint(&err, "it is tried again by itself; `gangway detach %s %s` gives it up", l->guest, l->nic);
	again_failed(l, &err);
	again_hint(l->daemon);
}

static void detach_finished(struct op *op, int r, const struct err *err, const struct step *stuck)
{
	struct lease *l = op->lease;
	bool kept = false, in = !op->had_switcher || op->had_vf;
	struct err why;

	if (r == 0 && l->again.wanted) {
		interrupted(op);
		return;
	}
	if (r == 0) {
		struct daemon *d = op->d;

		lease_set_state(l, LEASE_GONE, op->why);
		op_answer(op);
		op_free(op);
		lease_free(l);
		attach_vf_free(d); /* its VF or its MAC may be what another one waits for */
		return;
	}
	op_answer_error(op, err);
	if (stuck && !strcmp(stuck->name, "plug") && (l->leg == LEG_PASSTHROUGH || op->had_switcher)) {
		/* nothing was taken away yet: the guest goes on with its VF */
		lease_set_state(l, LEASE_ATTACHED, in ? "the guest has kept the VF" : "the guest was not reached");
		kept = op->had_switcher;
	} else {
		l->error = *err;
		lease_set_state(l, LEASE_FAILED, stuck ? stuck->name : "detach");
	}
	op_free(op);
	if (kept && switcher_start(l, in, false, &why) < 0)
		log_warn("%s", why.msg);
}

static void on_finished(void *ctx, int r, const struct err *err, const struct step *stuck)
{
	struct op *op = ctx;

	if (op->vf_only)
		op_vf_finished(op, r, err, stuck);
	else if (op->detach)
		detach_finished(op, r, err, stuck);
	else
		attach_finished(op, r, err, stuck);
}

static const struct steps_ops ops = { .progress = on_progress, .finished = on_finished };

struct op *op_new(struct lease *l, struct ctl_req *req)
{
	struct op *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	op->d = l->daemon;
	op->req = req;
	op->tap_fd = op->vhost_fd = -1;
	op->warnings = json_array();
	op->steps = steps_new(l->daemon->sys, l->daemon->pool, attach_table, attach_table_len, &ops, op);
	if (!op->warnings || !op->steps)
		return op_free(op);
	op->nr_mem_settled = l->daemon->nr_mem_settled;
	op->lease = l;
	l->op = op;
	return op;
}

void attach_abandon(struct daemon *d)
{
	struct lease *l;
	struct err err;

	err_set(&err, -ESHUTDOWN, "daemon.stopping", "gangwayd stops");
	TAILQ_FOREACH(l, &d->leases, link)
	{
		if (!l->op)
			continue;
		if (l->op->req)
			ctl_fail(l->op->req, &err);
		l->op = op_free(l->op);
	}
}

void op_step_done(struct op *op, int r, const struct err *err)
{
	/* a VMM's last word, cancelled by the daemon that stops: the next one goes on from the record */
	if (!op->d->stopping)
		steps_done(op->steps, r, err);
}
