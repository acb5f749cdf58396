/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VF that faults without end is quarantined: its bus mastering is off, so it neither reads nor writes memory. Its lease goes to the emulated
 * leg, or stays as it is where it has none. `detach` ends that, as it ends everything else of a lease; the VF is reset on its way back.
 *
 * vfio-user: its gangway-device withholds the bit, whatever the guest writes. vfio-pci: the bit is cleared in the VF's configuration space,
 * and the guest's VMM can set it again; that is seen at the next fault. Also where the VMM of a vfio-user lease writes past gangway-device.
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
#include "err.h"
#include "faults.h"
#include "lease.h"
#include "log.h"
#include "switcher.h"
#include "sys.h"
#include "work.h"

/* Configuration space may be held by the kernel for a second while it resets a function: on a worker. */
struct job {
	struct lease *lease; /* marked busy: so it stays */
	struct sys *sys;
	struct db *db;
	char id[LEASE_ID_MAX], bdf[BDF_LEN];
	json_t *record; /* NULL: it is there already */
	bool was_on; /* bus mastering */
	struct err err;
};

/* It is in force, so far as the lease knows. */
static void set_quarantined(struct lease *l)
{
	struct lease_faults *lf = &l->faults;
	bool known = lf->quarantined;

	lf->due = lf->failing = false;
	lf->quarantined = true;
	lf->acted_us = l->daemon->sys->ops->now_us(l->daemon->sys);
	if (known)
		return;
	err_set(&l->error, -EIO, "vf.quarantined",
		"lease %s: VF %s faults without end: it is quarantined, its bus mastering is off", l->id, l->vf_bdf);
	err_hint(&l->error, "`gangway detach %s %s`, then attach again, ends it; the host's log has its faults", l->guest,
		 l->nic);
	log_err("%s", l->error.msg);
	lease_set_leg(l, l->leg, REASON_VF_FAULT);
	switcher_cause(l, REASON_VF_FAULT, true);
}

/* Tried again each second: said once. */
static void not_yet(struct lease *l, const struct err *err)
{
	if (!l->faults.failing)
		log_err("%s", err->msg);
	l->faults.failing = true;
}

static int job_run(void *arg)
{
	struct job *j = arg;
	int r = 0;

	/* first: a gangwayd that dies in between finds it due, and what is done twice is done once */
	if (j->record)
		r = db_put_lease(j->db, j->id, j->record, &j->err);
	if (r < 0)
		return r;
	r = sriov_clear_master(j->sys, j->bdf, &j->was_on);
	if (r < 0)
		err_set(&j->err, r, "vf.not-quarantined", "lease %s: VF %s: its bus mastering cannot be switched off: %s", j->id,
			j->bdf, strerror(-r));
	return r;
}

static void job_done(int r, void *arg)
{
	struct job *j = arg;
	struct lease *l = j->lease;

	if (r < 0) {
		l->faults.due = true; /* the next tick, or fault, tries again */
		l->faults.acted_us = l->daemon->sys->ops->now_us(l->daemon->sys);
		not_yet(l, &j->err);
	} else if (l->faults.quarantined && j->was_on && faults_may_log(l)) {
		log_warn("lease %s: VF %s: the VMM has switched bus mastering on in quarantine; it is off again", l->id,
			 l->vf_bdf);
	}
	json_decref(j->record);
	free(j);
	if (!l->end_why[0])
		l->busy = NULL; /* first: its switch has something to do now */
	if (r == 0)
		set_quarantined(l);
	if (l->end_why[0])
		attach_unbusy(l);
}

static int submit(struct lease *l)
{
	struct job *j = calloc(1, sizeof(*j));
	bool was = l->faults.quarantined;
	int r;

	if (!j)
		return -ENOMEM;
	*j = (struct job){ .lease = l, .sys = l->daemon->sys, .db = l->daemon->db };
	memcpy(j->id, l->id, sizeof(j->id));
	memcpy(j->bdf, l->vf_bdf, sizeof(j->bdf));
	if (!was) {
		l->faults.quarantined = true;
		j->record = lease_to_record(l, &l->undo);
		l->faults.quarantined = false;
	}
	r = was || j->record ? work_submit(l->daemon->pool, job_run, job_done, j) : -ENOMEM;
	if (r < 0) {
		json_decref(j->record);
		free(j);
		return r;
	}
	l->busy = "its VF is being quarantined";
	return 0;
}

/* By the lease's process, or past it where that is gone. */
static int act(struct lease *l)
{
	int r;

	if (!l->dev)
		return submit(l);
	r = devproc_quarantine(l->dev, true);
	if (r == 0)
		set_quarantined(l);
	return r;
}

void quarantine_start(struct lease *l)
{
	struct err err;
	int r;

	/* in other states the VF is not the guest's yet, or perhaps not any more */
	if (l->op || l->busy || l->daemon->stopping || (l->state != LEASE_ATTACHED && l->state != LEASE_PREPARED))
		return;
	r = act(l);
	if (r < 0) {
		err_set(&err, r, "vf.not-quarantined", "lease %s: VF %s: it cannot be quarantined yet: %s", l->id, l->vf_bdf,
			strerror(-r));
		not_yet(l, &err);
	}
}

void quarantine_again(struct lease *l)
{
	l->faults.acted_us = l->daemon->sys->ops->now_us(l->daemon->sys);
	quarantine_start(l);
}

void quarantine_seen(struct lease *l, bool held)
{
	if (held && !l->faults.quarantined)
		set_quarantined(l);
}
