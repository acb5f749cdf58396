/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens to leases without anybody asking: guests that come and go, devices that a guest gives up, and the state a former
 * gangwayd left behind.
 *
 * Nothing is undone while the guest may still use the VF: its VMM is up and has the device, or its state is not known yet.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "ctl.h"
#include "daemon.h"
#include "db.h"
#include "devproc.h"
#include "guests.h"
#include "host_events.h"
#include "log.h"
#include "op.h"
#include "sriov.h"
#include "switcher.h"
#include "vmm.h"

#define ADOPT_TRIES 3 /* of one lease's process */
#define ADOPT_RETRIES 8 /* second and third tries, of all leases */

static void end_lease(struct lease *l, const char *why)
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
		end_lease(l, "the guest has ended");
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
		end_lease(l, "tried again");
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
		lease_confirm(l, "the guest is on its emulated leg");
		start_switcher(l, q);
	} else
		end_lease(l, q->has_standby ? "it was not attached" : "the guest does not have the VF");
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

static void on_has_standby(void *ctx, int r, const struct err *err)
{
	struct question *q = ctx;
	struct lease *l = asked_about(q, r, err);

	if (!l)
		return;
	q->has_standby = r > 0;
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
		end_lease(l, "the guest let its standby NIC go");
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
			end_lease(l, "the guest let the VF go");
	}
}

/* --- after a restart --- */

/* Of another boot: the VF, its driver and its policy are as the boot made them. Only a prepared lease is wanted again. */
static void other_boot(struct lease *l)
{
	struct err err;

	if (l->prepared && guest_find(l->daemon, l->guest)) {
		log_info("lease %s: the host has booted anew: preparing %s/vf%u again", l->id, l->pf_name, l->vf_index);
		again_want(l);
		return;
	}
	log_info("lease %s: the host has booted since, nothing is left of it", l->id);
	if (db_delete_lease(l->daemon->db, l->id, &err) < 0)
		log_warn("lease %s: %s, ignoring", l->id, err.msg);
	lease_free(l);
}

struct recovery {
	struct daemon *d;
	unsigned
		nr_retries; /* of adoptions, of all leases: each may wait for a process that says nothing, and start-up with it */
};

static bool is_gone(const struct err *err)
{
	return !strcmp(err->code, "devproc.gone");
}

/* A process that is there but was not got hold of (busy, or descriptors ran out) may be the next time: only one that is gone is not. */
static int adopt(struct recovery *rec, struct lease *l, struct err *err)
{
	int r = -EAGAIN;

	for (unsigned i = 0; i < ADOPT_TRIES; i++) {
		r = lease_adopt_process(l, err);
		if (r == 0 || is_gone(err) || rec->nr_retries == ADOPT_RETRIES)
			break;
		rec->nr_retries++;
	}
	return r;
}

/* The lease stays: the guest may have its VF, and if the process does run, its VFIO keeps anybody from taking the VF away. */
static void not_adopted(struct lease *l, const struct err *err)
{
	l->error = *err;
	if (is_gone(err)) {
		err_prefix(&l->error, "lease %s: its gangway-device process is gone", l->id);
	} else {
		err_prefix(&l->error, "lease %s: its gangway-device process may still run, but gangwayd has lost it", l->id);
		err_hint(&l->error,
			 "restart gangwayd to try again; `fuser -v /dev/vfio/%d` names the process, to be ended once the "
			 "guest is shut down",
			 l->group_id);
	}
	log_warn("%s", l->error.msg);
	lease_set_leg(l, l->leg, REASON_DEVICE_PROCESS_LOST);
}

/* The PF's name is that of then. */
static void find_pf(struct lease *l)
{
	char path[96], name[BDF_LEN];
	struct sriov_pf pf;

	if (!l->vf_bdf[0]) {
		if (sriov_pf_by_key(l->daemon->sys, l->pf_key, &pf, NULL) == 0) {
			memcpy(l->pf_bdf, pf.bdf, sizeof(l->pf_bdf));
			lease_follow_pf(l);
		}
		return;
	}

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/physfn", l->vf_bdf);
	if (sys_link_name(l->daemon->sys, path, name, sizeof(name)) == 0 && bdf_parse(name, l->pf_bdf) == 0)
		lease_follow_pf(l);
}

static void same_boot(struct recovery *rec, struct lease *l)
{
	struct guest *g = guest_find(l->daemon, l->guest);
	struct err err;

	find_pf(l);
	host_look_at_link(l);
	/* of half a VF there may be no process yet, or none any more */
	if (l->via == VIA_VFIO_USER && l->vf_bdf[0] && adopt(rec, l, &err) < 0 && !(l->half_vf && is_gone(&err)))
		not_adopted(l, &err);
	/* in the state recorded; the guest is asked whether it has the device once its VMM is connected to */
	if (!g) {
		l->again.wanted = false;
		end_lease(l, "its guest is not known any more");
		return;
	}
	log_info("lease %s: adopted (%s)", l->id, lease_state_to_string(l->state));
}

static int on_lease(void *ctx, const char *id, const json_t *record, struct err *err)
{
	struct recovery *rec = ctx;
	struct lease *l;
	int r;

	r = lease_from_record(rec->d, record, &l, err);
	if (r < 0) {
		/* one bad record must not keep the others from being looked after; it stays for a person to read */
		log_err("state: lease %s: %s, ignoring", id, err->msg);
		err_clear(err);
		return 0;
	}
	if (strcmp(l->boot_id, rec->d->boot_id))
		other_boot(l);
	else
		same_boot(rec, l);
	return 0;
}

int attach_recover(struct daemon *d, struct err *err)
{
	struct recovery rec = { .d = d };
	struct lease *l;
	int r;

	r = db_each_lease(d->db, on_lease, &rec, err);
	/* once all are known: each has its VF, its port and its uid then */
	TAILQ_FOREACH(l, &d->leases, link)
	if (r == 0 && l->again.wanted && !l->op && !l->undo.valid)
		attach_again(l);
	return r;
}
