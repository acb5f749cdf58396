/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pf.* and vf.*: looked up, and changed, on a worker (a PF whose driver is busy makes rtnetlink wait); rendered in the loop, where the
 * leases are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "daemon.h"
#include "db.h"
#include "lease.h"
#include "objects.h"
#include "op.h"
#include "policy_json.h"
#include "sriov.h"
#include "work.h"

struct nic_job {
	struct daemon *d;
	struct ctl_req *req;
	char name[128];
	int (*run)(struct nic_job *j);
	json_t *(*render)(struct nic_job *j);
	struct err err;
	/* found */
	struct sriov_pf *pfs;
	size_t nr_pfs;
	struct nic_vfs { /* of pfs[i] */
		struct sriov_vf *vf;
		size_t nr;
	} * vfs;
	/* wanted */
	unsigned numvfs;
	struct sys_vf policy;
	json_t *record; /* of the lease that has the VF, with the new fields among those to be put back */
	char lease_id[LEASE_ID_MAX];
	bool counts; /* d->nr_numvfs was raised for it */
};

static void job_free(struct nic_job *j)
{
	for (size_t i = 0; j->vfs && i < j->nr_pfs; i++)
		free(j->vfs[i].vf);
	free(j->vfs);
	free(j->pfs);
	json_decref(j->record);
	free(j);
}

static int job_run(void *arg)
{
	struct nic_job *j = arg;

	return j->run(j);
}

static void job_done(int r, void *arg)
{
	struct nic_job *j = arg;

	if (j->counts)
		j->d->nr_numvfs--;
	if (r < 0)
		ctl_fail(j->req, &j->err);
	else
		ctl_reply(j->req, j->render(j));
	job_free(j);
}

static struct nic_job *job_new(struct daemon *d, struct ctl_req *req, const char *name, int (*run)(struct nic_job *),
			       json_t *(*render)(struct nic_job *))
{
	struct nic_job *j;

	if (strlen(name) >= sizeof(j->name)) {
		ctl_fail_params(req, "the name of the device is too long");
		return NULL;
	}
	j = calloc(1, sizeof(*j));
	if (!j) {
		ctl_fail_params(req, "no memory");
		return NULL;
	}
	j->d = d;
	j->req = req;
	j->run = run;
	j->render = render;
	strcpy(j->name, name);
	return j;
}

static void job_submit(struct nic_job *j)
{
	if (work_submit(j->d->pool, job_run, job_done, j) < 0) {
		err_set(&j->err, -ENOMEM, "daemon.no-memory", "no memory for the call");
		job_done(-ENOMEM, j);
	}
}

/* --- looked up, on a worker --- */

static int find_one_pf(struct nic_job *j)
{
	int r;

	j->pfs = calloc(1, sizeof(*j->pfs));
	if (!j->pfs)
		return err_set(&j->err, -ENOMEM, "daemon.no-memory", "no memory for the list of PFs");
	r = sriov_pf_get(j->d->sys, j->name, j->pfs, &j->err);
	if (r == 0)
		j->nr_pfs = 1;
	return r;
}

static int find_pfs(struct nic_job *j)
{
	return j->name[0] ? find_one_pf(j) : sriov_pf_list(j->d->sys, &j->pfs, &j->nr_pfs, &j->err);
}

static int find_their_vfs(struct nic_job *j)
{
	j->vfs = calloc(j->nr_pfs ? j->nr_pfs : 1, sizeof(*j->vfs));
	if (!j->vfs)
		return err_set(&j->err, -ENOMEM, "daemon.no-memory", "no memory for the list of VFs");
	for (size_t i = 0; i < j->nr_pfs; i++) {
		int r = sriov_vf_list(j->d->sys, &j->pfs[i], &j->vfs[i].vf, &j->vfs[i].nr, &j->err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int find_pfs_and_vfs(struct nic_job *j)
{
	int r = find_pfs(j);

	return r < 0 ? r : find_their_vfs(j);
}

static int find_vf(struct nic_job *j)
{
	int r;

	j->pfs = calloc(1, sizeof(*j->pfs));
	j->vfs = calloc(1, sizeof(*j->vfs));
	if (j->vfs)
		j->vfs->vf = calloc(1, sizeof(*j->vfs->vf));
	if (!j->pfs || !j->vfs || !j->vfs->vf)
		return err_set(&j->err, -ENOMEM, "daemon.no-memory", "no memory for a VF");
	j->nr_pfs = 1;
	r = sriov_vf_get(j->d->sys, j->name, j->vfs->vf, j->pfs, &j->err);
	if (r == 0)
		j->vfs->nr = 1;
	return r;
}

static int set_numvfs(struct nic_job *j)
{
	int r = find_one_pf(j);

	if (r == 0)
		r = sriov_pf_set_numvfs(j->d->sys, j->pfs, j->numvfs, &j->err);
	if (r == 0)
		r = sriov_pf_get(j->d->sys, j->name, j->pfs, &j->err);
	return r < 0 ? r : find_their_vfs(j);
}

static int set_policy(struct nic_job *j)
{
	struct sriov_vf *vf = j->vfs->vf;
	int r;

	r = j->policy.fields & SYS_VF_MAC ? policy_check_mac(j->d->sys, j->pfs, vf->index, j->policy.mac, &j->err) : 0;
	/* what is to be put back is on disk before it is changed */
	if (r == 0 && j->record)
		r = db_put_lease(j->d->db, j->lease_id, j->record, &j->err);
	if (r == 0)
		r = policy_apply(j->d->sys, j->pfs, vf->index, &j->policy, &j->err);
	return r < 0 ? r : sriov_vf_get(j->d->sys, j->name, vf, j->pfs, &j->err);
}

/* --- rendered, in the loop --- */

static json_t *vfs_to_json(struct nic_job *j)
{
	json_t *list = json_array();

	for (size_t i = 0; i < j->nr_pfs; i++)
		for (size_t k = 0; k < j->vfs[i].nr; k++)
			json_array_append_new(list, vf_to_json(j->d, &j->pfs[i], &j->vfs[i].vf[k]));
	return list;
}

static json_t *render_pfs(struct nic_job *j)
{
	json_t *list = json_array();

	for (size_t i = 0; i < j->nr_pfs; i++)
		json_array_append_new(list, pf_to_json(j->d, &j->pfs[i]));
	return json_pack("{s:o}", "pfs", list);
}

static json_t *render_vfs(struct nic_job *j)
{
	return json_pack("{s:o}", "vfs", vfs_to_json(j));
}

static json_t *render_pf(struct nic_job *j)
{
	return json_pack("{s:o, s:o}", "pf", pf_to_json(j->d, j->pfs), "vfs", vfs_to_json(j));
}

static json_t *render_vf(struct nic_job *j)
{
	return json_pack("{s:o}", "vf", vf_to_json(j->d, j->pfs, j->vfs->vf));
}

/* --- the calls --- */

static void start(struct daemon *d, struct ctl_req *req, const char *name, int (*run)(struct nic_job *),
		  json_t *(*render)(struct nic_job *))
{
	struct nic_job *j = job_new(d, req, name, run, render);

	if (j)
		job_submit(j);
}

void call_pf_list(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	if (call_params(req, params, "{!}"))
		start(d, req, "", find_pfs, render_pfs);
}

void call_pf_show(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	const char *pf;

	if (call_params(req, params, "{s:s !}", "pf", &pf))
		start(d, req, pf, find_pfs_and_vfs, render_pf);
}

void call_vf_list(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	const char *pf = "";

	if (call_params(req, params, "{s?:s !}", "pf", &pf))
		start(d, req, pf, find_pfs_and_vfs, render_vfs);
}

void call_vf_show(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	const char *vf;

	if (call_params(req, params, "{s:s !}", "vf", &vf))
		start(d, req, vf, find_vf, render_vf);
}

/* Before the number of VFs is changed: all of the PF's go away with it, so nobody may have one. */
static void numvfs_checked(int r, void *arg)
{
	struct nic_job *j = arg;
	char held[256] = "";
	struct lease *l;
	size_t n = 0;

	if (r == 0) {
		TAILQ_FOREACH(l, &j->d->leases, link)
		if (!strcmp(l->pf_key, j->pfs->key) && n < sizeof(held))
			n += (size_t)snprintf(held + n, sizeof(held) - n, "%s%s", n ? ", " : "", l->id);
		if (n) {
			err_set(&j->err, -EBUSY, "sriov.vfs-leased", "PF %s: its VFs are held by leases: %s", j->name, held);
			err_hint(&j->err, "changing their number takes all VFs away: `gangway detach` these first");
			r = -EBUSY;
		}
	}
	if (r < 0) {
		job_done(r, j);
		return;
	}
	free(j->pfs);
	j->pfs = NULL;
	j->nr_pfs = 0;
	j->run = set_numvfs;
	job_submit(j);
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
	j = job_new(d, req, pf, find_one_pf, render_pf);
	if (!j)
		return;
	j->numvfs = (unsigned)vfs;
	j->counts = true;
	d->nr_numvfs++; /* from here on no attach reserves a VF */
	if (work_submit(d->pool, job_run, numvfs_checked, j) < 0) {
		err_set(&j->err, -ENOMEM, "daemon.no-memory", "no memory for the call");
		job_done(-ENOMEM, j);
	}
}

/* The lease goes on with the policy that its VF now has. */
static void policy_was_set(int r, void *arg)
{
	struct nic_job *j = arg;
	struct lease *l = j->record ? lease_of_vf(j->d, j->vfs->vf->bdf) : NULL;

	if (l && r == 0) {
		l->undo.touched |= j->policy.fields;
		policy_merge(&l->want, &j->policy);
	}
	job_done(r, j);
}

static void policy_vf_found(int r, void *arg)
{
	struct nic_job *j = arg;
	struct lease *l = r == 0 ? lease_of_vf(j->d, j->vfs->vf->bdf) : NULL;

	if (l && l->op) {
		r = err_set(&j->err, -EBUSY, "lease.busy", "VF %s: its lease %s is being %s", j->name, l->id,
			    l->op->detach ? "detached" : "attached");
		err_hint(&j->err, "`gangway status` shows when that is over");
	} else if (l) {
		struct lease_undo undo = l->undo;

		undo.touched |= j->policy.fields;
		snprintf(j->lease_id, sizeof(j->lease_id), "%s", l->id);
		j->record = lease_to_record(l, &undo);
		r = j->record ? 0 : err_set(&j->err, -ENOMEM, "daemon.no-memory", "no memory for the call");
	}
	j->run = set_policy;
	if (r == 0)
		r = work_submit(j->d->pool, job_run, policy_was_set, j);
	if (r < 0)
		job_done(r, j);
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
	j = job_new(d, req, vf, find_vf, render_vf);
	if (!j)
		return;
	j->policy = policy;
	if (work_submit(d->pool, job_run, policy_vf_found, j) < 0) {
		err_set(&j->err, -ENOMEM, "daemon.no-memory", "no memory for the call");
		job_done(-ENOMEM, j);
	}
}
