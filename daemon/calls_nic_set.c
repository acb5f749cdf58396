/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pf.set and vf.set: checked in the loop, against the leases, and done on a worker while the leases concerned are kept as they are. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "calls.h"
#include "calls_nic.h"
#include "db.h"
#include "lease.h"
#include "op.h"
#include "policy_json.h"
#include "sys.h"

/* --- pf.set --- */

/* A VF under vfio-pci that no lease has may be somebody else's: the kernel lets a group be opened once. */
static int check_group_closed(struct nic_job *j, const struct sriov_vf *vf)
{
	struct sys *sys = j->d->sys;
	char node[64];
	int fd;

	if (strcmp(vf->driver, VFIO_DRIVER) != 0 || vf->group_id < 0)
		return 0;
	snprintf(node, sizeof(node), "/dev/vfio/%d", vf->group_id);
	fd = sys->ops->open(sys, node, O_RDWR);
	if (fd >= 0)
		sys->ops->close(sys, fd);
	if (fd != -EBUSY)
		return 0;
	err_set(&j->err, -EBUSY, "sriov.vf-in-use", "VF %s: in use: a program outside gangway has %s open", vf->bdf, node);
	err_hint(&j->err, "changing the number of VFs takes all of them away: end the program first (fuser -v %s)", node);
	return -EBUSY;
}

/* All VFs go away with a change: does the host, or another program, need one of them? */
static int check_unused(struct nic_job *j)
{
	struct sriov_vf *vfs = NULL;
	size_t nr = 0;
	int r;

	r = sriov_vf_list(j->d->sys, j->pfs, &vfs, &nr, &j->err);
	for (size_t i = 0; r == 0 && i < nr; i++) {
		r = sriov_vf_check_unused(&vfs[i], &j->err);
		if (r < 0)
			err_hint(&j->err,
				 "changing the number of VFs takes all of them away: take %s out of use first (ip addr show %s; "
				 "ip route show dev %s)",
				 vfs[i].ifname, vfs[i].ifname, vfs[i].ifname);
		else
			r = check_group_closed(j, &vfs[i]);
	}
	free(vfs);
	return r;
}

static int set_numvfs(struct nic_job *j)
{
	int r = nic_find_pf(j);

	if (r == 0 && j->numvfs != j->pfs->nr_vfs)
		r = check_unused(j);
	if (r == 0)
		r = sriov_pf_set_numvfs(j->d->sys, j->pfs, j->numvfs, &j->err);
	if (r == 0)
		r = sriov_pf_get(j->d->sys, j->name, j->pfs, &j->err);
	return r < 0 ? r : nic_find_their_vfs(j);
}

/* Until the job has ended, nobody else changes or attaches what is called @bdf. */
static void hold_bdf(struct nic_job *j, const char *bdf)
{
	snprintf(j->hold.bdf, sizeof(j->hold.bdf), "%s", bdf);
	LIST_INSERT_HEAD(&j->d->holds, &j->hold, link);
	j->holds = true;
}

/* Before the number of VFs is changed: all of the PF's go away with it, so nobody may have one. */
static int claim_pf(struct nic_job *j)
{
	char held[256] = "";
	struct lease *l;
	size_t n = 0;

	TAILQ_FOREACH(l, &j->d->leases, link)
	if (l->vf_bdf[0] && !again_is_waiting(l) && !strcmp(l->pf_key, j->pfs->key) && n < sizeof(held))
		n += (size_t)snprintf(held + n, sizeof(held) - n, "%s%s", n ? ", " : "", l->id);
	if (n) {
		err_set(&j->err, -EBUSY, "sriov.vfs-leased", "PF %s: its VFs are held by leases: %s", j->name, held);
		err_hint(&j->err, "changing their number takes all VFs away: `gangway detach` these first");
		return -EBUSY;
	}
	if (bdf_is_held(j->d, j->pfs->bdf)) {
		err_set(&j->err, -EBUSY, "sriov.busy", "PF %s: the number of its VFs is being changed", j->name);
		err_hint(&j->err, "wait for the answer to that, then again");
		return -EBUSY;
	}
	hold_bdf(j, j->pfs->bdf);
	return 0;
}

static void numvfs_checked(int r, void *arg)
{
	struct nic_job *j = arg;

	if (r == 0)
		r = claim_pf(j);
	if (r < 0) {
		nic_job_done(r, j);
		return;
	}
	free(j->pfs);
	j->pfs = NULL;
	j->nr_pfs = 0;
	j->run = set_numvfs;
	nic_job_submit(j, nic_job_done);
}

void call_pf_set(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	struct nic_job *j;
	json_int_t vfs;
	const char *pf;

	if (!call_params(req, params, "{s:s, s:I !}", "pf", &pf, "vfs", &vfs))
		return;
	if (vfs < 0 || vfs > 65535) {
		ctl_fail_params(req, "vfs: 0 to 65535");
		return;
	}
	j = nic_job_new(d, req, pf, nic_find_pf, nic_render_pf);
	if (!j)
		return;
	j->numvfs = (unsigned)vfs;
	j->counts = true;
	d->nr_numvfs++; /* from here on no attach reserves a VF */
	nic_job_submit(j, numvfs_checked);
}

/* --- vf.set --- */

/* The emulated leg has the policy, too, and its record says so. NULL: the lease has none. */
static struct emul_leg *leg_of(const struct nic_job *j)
{
	return j->lease ? j->lease->emul : NULL;
}

static int record_after(struct nic_job *j)
{
	json_t *emul = json_object_get(j->record_after, "emul");

	if (!j->record_after)
		return 0;
	if (emul && json_object_set_new(emul, "leg", emul_leg_to_json(leg_of(j))) < 0)
		return err_set(&j->err, -ENOMEM, "daemon.no-memory", "no memory for the call");
	return db_put_lease(j->d->db, j->lease->id, j->record_after, &j->err);
}

/* First where it may be refused for good: what cannot be changed while the guest has it. */
static int apply(struct nic_job *j, unsigned vf_index)
{
	struct emul_leg *leg = leg_of(j);
	int r = leg ? emul_leg_apply(leg, &j->new, &j->err) : 0;

	j->touched = strcmp(j->err.code, "emul.vlan-fixed") != 0;
	if (r == 0)
		r = policy_apply(j->d->sys, j->pfs, vf_index, &j->policy, &j->err);
	return r < 0 ? r : record_after(j);
}

static void put_back(struct nic_job *j, const struct sriov_vf *vf)
{
	struct emul_leg *leg = leg_of(j);
	struct err undo = { 0 };
	int r = policy_restore(j->d->sys, j->pfs, vf->index, &vf->policy, j->policy.fields, &undo);

	if (leg && emul_leg_apply(leg, &j->old, r < 0 ? NULL : &undo) < 0)
		r = -EIO;
	if (r < 0)
		err_prefix(&j->err, "(and what it was before is not all back: %.200s)", undo.msg);
}

/* All of it or nothing. */
static int set_policy(struct nic_job *j)
{
	struct sriov_vf *vf = j->vfs->vf;
	char bdf[BDF_LEN];
	int r;

	/* as it is now that nobody else may change it */
	memcpy(bdf, vf->bdf, sizeof(bdf));
	r = sriov_vf_get(j->d->sys, bdf, vf, j->pfs, &j->err);
	if (r == 0 && (j->policy.fields & SYS_VF_MAC))
		r = policy_check_mac(j->d->sys, j->pfs, vf->index, j->policy.mac, &j->err);
	/* what is to be put back is on disk before it is changed */
	if (r == 0 && j->record)
		r = db_put_lease(j->d->db, j->lease->id, j->record, &j->err);
	if (r < 0)
		return r;
	r = apply(j, vf->index);
	j->applied = r == 0;
	if (r == 0)
		return sriov_vf_get(j->d->sys, bdf, vf, j->pfs, &j->err);
	if (j->touched)
		put_back(j, vf);
	return r;
}

/* The lease goes on with the policy that its VF now has. */
static void policy_was_set(int r, void *arg)
{
	struct nic_job *j = arg;
	struct lease *l = j->lease;

	if (l && j->applied)
		policy_merge(&l->want, &j->policy);
	nic_job_done(r, j);
	if (l)
		attach_unbusy(l);
}

static int vf_busy(struct nic_job *j, const struct lease *l)
{
	if (l && l->op)
		err_set(&j->err, -EBUSY, "lease.busy", "VF %s: its lease %s is being %s", j->name, l->id,
			l->op->detach ? "detached" : "attached");
	else
		err_set(&j->err, -EBUSY, l ? "lease.busy" : "sriov.busy", "VF %s: %s", j->name,
			l && l->busy ? l->busy : "its policy is being changed");
	err_hint(&j->err, l ? "`gangway status` shows when that is over" : "wait for the answer to that, then again");
	return -EBUSY;
}

/*
 * The guest knows its NIC by its MAC, on both legs. And as long as the emulated leg carries, the VF must not have it: so the same one once more
 * is no wish to write it.
 */
static int check_fixed(struct nic_job *j, const struct lease *l)
{
	if (!(j->policy.fields & SYS_VF_MAC))
		return 0;
	if (memcmp(j->policy.mac, l->want.mac, SYS_MAC_LEN)) {
		err_set(&j->err, -EOPNOTSUPP, "emul.mac-fixed", "lease %s: the MAC of a NIC with a standby cannot be changed",
			l->id);
		err_hint(&j->err, "gangway detach %s %s, then attach it with the new --mac", l->guest, l->nic);
		return -EOPNOTSUPP;
	}
	j->policy.fields &= ~(unsigned)SYS_VF_MAC;
	return 0;
}

/* Nobody attaches, detaches or sets it again until the job has ended. */
static int claim_vf(struct nic_job *j)
{
	const char *bdf = j->vfs->vf->bdf;
	struct lease *l = lease_of_vf(j->d, bdf), after;

	if (l ? l->op || l->busy : bdf_is_held(j->d, bdf))
		return vf_busy(j, l);
	if (!l) {
		hold_bdf(j, bdf);
		return 0;
	}
	if (l->emul && check_fixed(j, l) < 0)
		return -EOPNOTSUPP;
	/* in memory as on disk, and whatever comes of it: what was not changed after all is put back to what it is */
	l->undo.touched |= j->policy.fields;
	j->record = lease_to_record(l, &l->undo);
	after = *l;
	policy_merge(&after.want, &j->policy);
	j->record_after = lease_to_record(&after, &l->undo);
	lease_leg_policy(l, &l->undo.policy, &j->old);
	lease_leg_policy(&after, &l->undo.policy, &j->new);
	if (!j->record || !j->record_after)
		return err_set(&j->err, -ENOMEM, "daemon.no-memory", "no memory for the call");
	l->busy = "its policy is being changed";
	j->lease = l;
	return 0;
}

static void policy_vf_found(int r, void *arg)
{
	struct nic_job *j = arg;

	if (r == 0)
		r = claim_vf(j);
	if (r < 0) {
		nic_job_done(r, j);
		return;
	}
	j->run = set_policy;
	nic_job_submit(j, policy_was_set);
}

void call_vf_set(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	struct sys_vf policy;
	struct nic_job *j;
	const char *vf;
	struct err err;
	json_t *set;

	if (!call_params(req, params, "{s:s, s:o !}", "vf", &vf, "set", &set))
		return;
	if (policy_from_json(set, &policy, &err) < 0) {
		ctl_fail(req, &err);
		return;
	}
	j = nic_job_new(d, req, vf, nic_find_vf, nic_render_vf);
	if (!j)
		return;
	j->policy = policy;
	nic_job_submit(j, policy_vf_found);
}
