/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What guests report, and what becomes of their leases by that: they come and go, give devices up, and are asked what they have.
 *
 * Nothing is undone while the guest may still use the VF: its VMM is up and has the device, or its state is not known yet.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "daemon.h"
#include "guests.h"
#include "log.h"
#include "mem_watch.h"
#include "op.h"
#include "switcher.h"
#include "vmm.h"

void op_end(struct lease *l, const char *why)
{
	struct err err;

	if (op_undo_start(l, NULL, why, 0, &err) < 0)
		log_err("lease %s: %s", l->id, err.msg);
}

/* --- the guest ends --- */

#define READY "ready for the guest to start"

static void back_to_prepared(struct lease *l, const char *why)
{
	lease_set_leg(l, LEG_NONE, REASON_NONE);
	lease_set_state(l, LEASE_PREPARED, why);
}

static void guest_gone_lease(struct lease *l)
{
	if (attach_has(l)) {
		op_guest_lost(l->op, "it ended");
		return;
	}
	if (again_is_waiting(l))
		return;
	if (l->prepared && l->state == LEASE_ATTACHED) {
		back_to_prepared(l, "the guest has ended");
	} else if (l->state == LEASE_PREPARED) {
		lease_confirm(l, READY);
	} else if (l->state == LEASE_ATTACHED || l->state == LEASE_ATTACHING || l->state == LEASE_FAILED) {
		op_end(l, "the guest has ended");
	}
}

void attach_guest_gone(struct daemon *d, const char *guest)
{
	struct lease *l, *next;

	for (l = TAILQ_FIRST(&d->leases); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (!strcmp(l->guest, guest))
			guest_gone_lease(l);
	}
}

/* --- the guest comes --- */

/* A question to the VMM about a lease that may be gone when the answer comes: so it carries names, not pointers. */
struct question {
	struct daemon *d;
	char guest[LIMIT_NAME + 1], nic[LIMIT_NAME + 1];
	bool has_vf, has_standby; /* what is answered */
};

static void start_switcher(struct lease *l, const struct question *q)
{
	struct guest *g = guest_find(l->daemon, l->guest);
	bool incoming = g && !strcmp(vmm_run_state(g->vmm), "inmigrate");
	struct err err;

	if (l->sw && (q->has_standby || l->busy || l->left)) {
		switcher_found(l, q->has_vf);
		return;
	}
	if (l->emul && !q->has_standby) {
		switcher_end(l, "its standby has gone");
		err_set(&l->error, -ENODEV, "lease.standby-gone", "lease %s: its standby NIC %s is not in the guest any more",
			l->id, l->standby_id);
		err_hint(&l->error, "gangway detach %s %s, then attach it again: until then it cannot leave its VF", l->guest,
			 l->nic);
		log_warn("%s", l->error.msg);
		return;
	}
	if (switcher_start(l, q->has_vf, incoming, &err) < 0)
		log_warn("%s, ignoring", err.msg);
}

static void guest_has_vf(struct lease *l, const struct question *q)
{
	const char *why = l->prepared ? "the guest started with the VF" : "the guest has the VF";

	l->half_vf = false; /* it came through, but for its record */
	switch (l->state) {
	case LEASE_PREPARED:
	case LEASE_ATTACHING:
		lease_set_state(l, LEASE_ATTACHED, why);
		lease_set_leg(l, LEG_PASSTHROUGH, REASON_NONE);
		start_switcher(l, q);
		break;
	case LEASE_ATTACHED:
		lease_confirm(l, why);
		start_switcher(l, q);
		break;
	case LEASE_FAILED:
		op_end(l, "tried again");
		break;
	case LEASE_DETACHING: /* an operation has it */
	case LEASE_GONE:
	case LEASE_STATE_NUM_:
		break;
	}
}

static void guest_has_no_vf(struct lease *l, const struct question *q)
{
	if (l->state == LEASE_PREPARED)
		lease_confirm(l, READY);
	else if (l->prepared && l->state == LEASE_ATTACHED)
		back_to_prepared(l, "the guest does not have the VF");
	else if (q->has_standby && l->state == LEASE_ATTACHED) {
		if (!l->confirmed)
			mem_watch_adopt(l);
		lease_confirm(l, "the guest is on its emulated leg");
		start_switcher(l, q);
	} else
		op_end(l, q->has_standby ? "it was not attached" : "the guest does not have the VF");
}

/* What @q is about; NULL: it is not to be decided any more, or not known. @q is gone then. */
static struct lease *asked_about(struct question *q, int r, const struct err *err)
{
	struct lease *l = lease_find(q->d, q->guest, q->nic);

	if (l)
		l->looking = false;
	if (l && (attach_has(l) || again_is_waiting(l)))
		l = NULL;
	if (l && r < 0) {
		log_warn("lease %s: whether the guest still has the VF is not known: %s, ignoring", l->id, err ? err->msg : "?");
		l = NULL;
	}
	if (!l)
		free(q);
	return l;
}

static void decide(struct lease *l, struct question *q)
{
	if (q->has_vf)
		guest_has_vf(l, q);
	else
		guest_has_no_vf(l, q);
	free(q);
	if (l->look_again)
		attach_look_again(l);
}

/*
 * A standby of gangway's is gone with the VMM that it was plugged into; the guest's own is there again in the next one, by the same name, which
 * nobody has given the lease to: its tap is another, and the guest's MAC still leads where the former one was.
 */
static bool is_of_former_vmm(const struct lease *l)
{
	const struct guest *g = guest_find(l->daemon, l->guest);
	pid_t pid = g ? guest_vmm_pid(g) : 0;

	return l->standby.kind == EMUL_OWN && l->standby_pid > 0 && pid > 0 && pid != l->standby_pid;
}

static void on_has_standby(void *ctx, int r, const struct err *err)
{
	struct question *q = ctx;
	struct lease *l = asked_about(q, r, err);

	if (!l)
		return;
	q->has_standby = r > 0 && !is_of_former_vmm(l);
	decide(l, q);
}

static void on_has_device(void *ctx, int r, const struct err *err)
{
	struct question *q = ctx;
	struct lease *l = asked_about(q, r, err);
	struct guest *g;
	struct err why;

	if (!l)
		return;
	q->has_vf = r > 0;
	g = guest_find(l->daemon, l->guest);
	if (!l->emul) {
		decide(l, q);
	} else if (!g || vmm_has_device(g->vmm, l->standby_id, on_has_standby, q, &why) < 0) {
		log_warn("lease %s: whether the guest has its standby is not known, ignoring", l->id);
		free(q);
	} else {
		l->looking = true;
	}
}

static void guest_up_lease(struct guest *g, struct lease *l)
{
	struct question *q;
	struct err err;

	if (attach_has(l) || again_is_waiting(l))
		return;
	l->look_again = l->looking; /* one question at a time, however many events a VMM sends */
	if (l->looking)
		return;
	q = calloc(1, sizeof(*q));
	if (!q)
		return;
	q->d = g->daemon;
	snprintf(q->guest, sizeof(q->guest), "%s", l->guest);
	snprintf(q->nic, sizeof(q->nic), "%s", l->nic);
	if (vmm_has_device(g->vmm, l->device_id, on_has_device, q, &err) < 0) {
		log_warn("lease %s: %s, ignoring", l->id, err.msg);
		free(q);
		return;
	}
	l->looking = true;
}

void attach_look_again(struct lease *l)
{
	struct guest *g = guest_find(l->daemon, l->guest);

	if (g && vmm_get_state(g->vmm) == VMM_UP)
		guest_up_lease(g, l);
}

void attach_guest_up(struct daemon *d, const char *guest)
{
	struct guest *g = guest_find(d, guest);
	struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	if (g && !strcmp(l->guest, guest))
		guest_up_lease(g, l);
}

/* Without it the guest must not be taken off its VF. */
static void standby_deleted(struct lease *l)
{
	if (l->state == LEASE_FAILED)
		op_end(l, "the guest let its standby NIC go");
	else
		attach_look_again(l);
}

void attach_device_deleted(struct daemon *d, const char *guest, const char *device_id)
{
	struct lease *l, *next;

	for (l = TAILQ_FIRST(&d->leases); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (strcmp(l->guest, guest) || again_is_waiting(l))
			continue;
		if (l->emul && !attach_has(l) && !strcmp(l->standby_id, device_id))
			standby_deleted(l);
		if (strcmp(l->device_id, device_id))
			continue;
		if (switcher_device_deleted(l))
			continue;
		if (attach_has(l))
			op_guest_lost(l->op, "it gave the VF back");
		else if (l->state == LEASE_ATTACHED || l->state == LEASE_FAILED)
			op_end(l, "the guest let the VF go");
	}
}
