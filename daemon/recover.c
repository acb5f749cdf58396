/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state that a former gangwayd left behind: leases of this boot are adopted, with what their record says, until their guests have been asked
 * (guest_reports.c); those of another boot are nothing but wishes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "daemon.h"
#include "db.h"
#include "guests.h"
#include "host_events.h"
#include "log.h"
#include "op.h"
#include "sriov.h"

#define ADOPT_TRIES 3 /* of one lease's process */
#define ADOPT_RETRIES 8 /* second and third tries, of all leases */

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
		op_end(l, "its guest is not known any more");
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
