/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pf.* and vf.*: looked up on a worker (a PF whose driver is busy makes rtnetlink wait); rendered in the loop, where the leases are.
 * What changes something: calls_nic_set.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "calls.h"
#include "calls_nic.h"
#include "objects.h"

static void job_free(struct nic_job *j)
{
	for (size_t i = 0; j->vfs && i < j->nr_pfs; i++)
		free(j->vfs[i].vf);
	free(j->vfs);
	free(j->pfs);
	json_decref(j->record);
	json_decref(j->record_after);
	free(j);
}

static int job_run(void *arg)
{
	struct nic_job *j = arg;

	return j->run(j);
}

void nic_job_done(int r, void *job)
{
	struct nic_job *j = job;

	if (j->counts)
		j->d->nr_numvfs--;
	if (j->holds) {
		LIST_REMOVE(&j->hold, link);
		j->d->nr_changes++;
	}
	if (j->counts || j->holds)
		attach_vf_free(j->d);
	if (r < 0)
		ctl_fail(j->req, &j->err);
	else
		ctl_reply(j->req, j->render(j));
	job_free(j);
}

struct nic_job *nic_job_new(struct daemon *d, struct ctl_req *req, const char *name, int (*run)(struct nic_job *),
			    json_t *(*render)(struct nic_job *))
{
	struct nic_job *j;
	struct err err;

	if (strlen(name) >= sizeof(j->name)) {
		ctl_fail_params(req, "the name of the device is too long");
		return NULL;
	}
	j = calloc(1, sizeof(*j));
	if (!j) {
		err_set(&err, -ENOMEM, "daemon.no-memory", "no memory for the call");
		ctl_fail(req, &err);
		return NULL;
	}
	j->d = d;
	j->req = req;
	j->run = run;
	j->render = render;
	strcpy(j->name, name);
	return j;
}

void nic_job_submit(struct nic_job *j, work_done_fn done)
{
	if (work_submit(j->d->pool, job_run, done, j) < 0) {
		err_set(&j->err, -ENOMEM, "daemon.no-memory", "no memory for the call");
		done(-ENOMEM, j);
	}
}

/* --- looked up, on a worker --- */

int nic_find_pf(struct nic_job *j)
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
	return sriov_pf_list(j->d->sys, &j->pfs, &j->nr_pfs, &j->left_out, &j->err);
}

/* Of several PFs those whose VFs cannot be looked at are left out. */
int nic_find_their_vfs(struct nic_job *j)
{
	j->vfs = calloc(j->nr_pfs ? j->nr_pfs : 1, sizeof(*j->vfs));
	if (!j->vfs)
		return err_set(&j->err, -ENOMEM, "daemon.no-memory", "no memory for the list of VFs");
	for (size_t i = 0; i < j->nr_pfs; i++) {
		struct err err;
		int r = sriov_vf_list(j->d->sys, &j->pfs[i], &j->vfs[i].vf, &j->vfs[i].nr, &err);

		if (r < 0 && j->name[0]) {
			j->err = err;
			return r;
		}
		if (r < 0 && !j->left_out.num)
			j->left_out = err;
	}
	return 0;
}

static int find_pf_and_vfs(struct nic_job *j)
{
	int r = nic_find_pf(j);

	return r < 0 ? r : nic_find_their_vfs(j);
}

static int find_pfs_and_vfs(struct nic_job *j)
{
	int r = find_pfs(j);

	return r < 0 ? r : nic_find_their_vfs(j);
}

int nic_find_vf(struct nic_job *j)
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
	return json_pack("{s:o, s:o}", "pfs", list, "error", err_to_json(&j->left_out));
}

static json_t *render_vfs(struct nic_job *j)
{
	return json_pack("{s:o, s:o}", "vfs", vfs_to_json(j), "error", err_to_json(&j->left_out));
}

json_t *nic_render_pf(struct nic_job *j)
{
	return json_pack("{s:o, s:o}", "pf", pf_to_json(j->d, j->pfs), "vfs", vfs_to_json(j));
}

json_t *nic_render_vf(struct nic_job *j)
{
	return json_pack("{s:o}", "vf", vf_to_json(j->d, j->pfs, j->vfs->vf));
}

/* --- the calls --- */

static void start(struct daemon *d, struct ctl_req *req, const char *name, int (*run)(struct nic_job *),
		  json_t *(*render)(struct nic_job *))
{
	struct nic_job *j = nic_job_new(d, req, name, run, render);

	if (j)
		nic_job_submit(j, nic_job_done);
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
		start(d, req, pf, find_pf_and_vfs, nic_render_pf);
}

void call_vf_list(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	const char *pf = NULL;

	if (call_params(req, params, "{s?:s !}", "pf", &pf))
		start(d, req, pf ? pf : "", pf ? find_pf_and_vfs : find_pfs_and_vfs, render_vfs);
}

void call_vf_show(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	const char *vf;

	if (call_params(req, params, "{s:s !}", "vf", &vf))
		start(d, req, vf, nic_find_vf, nic_render_vf);
}
