/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "metrics_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"
#include "daemon.h"
#include "err.h"
#include "faults.h"
#include "gangway_limits.h"
#include "guests.h"
#include "irq_follow.h"
#include "lease.h"
#include "sriov.h"
#include "sys.h"
#include "vmm.h"
#include "work.h"

struct pf_vfs {
	struct sriov_vf *vf;
	size_t nr;
	bool known;
};

struct metrics_job {
	struct daemon *d;
	metrics_tree_fn done;
	void *ctx;
	struct sriov_pf *pfs;
	size_t nr_pfs;
	struct pf_vfs *vfs; /* of pfs[i] */
	struct err err; /* why PFs, or one of them, are not known; .num 0 */
};

void metrics_job_forget(struct metrics_job *job)
{
	if (!job)
		return;
	for (size_t i = 0; job->vfs && i < job->nr_pfs; i++)
		free(job->vfs[i].vf);
	free(job->vfs);
	free(job->pfs);
	free(job);
}

/* --- on a worker --- */

/* A PF that goes away meanwhile, or whose driver does not answer, has no VFs here; the others have. */
static int look(void *arg)
{
	struct metrics_job *j = arg;
	struct err left_out;
	int r = sriov_pf_list(j->d->sys, &j->pfs, &j->nr_pfs, &left_out, &j->err);

	if (r < 0) {
		j->nr_pfs = 0;
		return r;
	}
	j->err = left_out;
	j->vfs = calloc(j->nr_pfs ? j->nr_pfs : 1, sizeof(*j->vfs));
	if (!j->vfs)
		return err_set(&j->err, -ENOMEM, "daemon.no-memory", "no memory for the list of VFs");
	for (size_t i = 0; i < j->nr_pfs; i++)
		j->vfs[i].known = sriov_vf_list(j->d->sys, &j->pfs[i], &j->vfs[i].vf, &j->vfs[i].nr, NULL) == 0;
	return 0;
}

/* --- in the loop --- */

static json_t *guests_to_json(struct daemon *d)
{
	json_t *list = json_array();
	struct guest *g;

	TAILQ_FOREACH(g, &d->guests, link)
	json_array_append_new(list, json_pack("{s:s, s:b, s:i}", "guest", g->name, "up", vmm_get_state(g->vmm) == VMM_UP,
					      "leases", (int)lease_count(d, g->name)));
	return list;
}

static json_t *pf_counts(struct daemon *d, const struct sriov_pf *pf, const struct pf_vfs *vfs)
{
	unsigned leased = 0, nr_free = 0;
	json_t *j;

	for (size_t i = 0; i < vfs->nr; i++) {
		if (lease_of_vf_index(d, pf->key, vfs->vf[i].index))
			leased++;
		else if (sriov_vf_check_unused(&vfs->vf[i], NULL) == 0)
			nr_free++;
	}
	j = json_pack("{s:s, s:s, s:i, s:i}", "pf", pf->ifname[0] ? pf->ifname : pf->bdf, "bdf", pf->bdf, "total_vfs",
		      (int)pf->total_vfs, "vfs", (int)pf->nr_vfs);
	if (j && vfs->known) {
		json_object_set_new(j, "leased", json_integer(leased));
		json_object_set_new(j, "used", json_integer((json_int_t)(vfs->nr - nr_free)));
		json_object_set_new(j, "free", json_integer(nr_free));
	}
	return j;
}

static json_t *pfs_to_json(const struct metrics_job *job)
{
	json_t *list = json_array();

	for (size_t i = 0; job->vfs && i < job->nr_pfs; i++)
		json_array_append_new(list, pf_counts(job->d, &job->pfs[i], &job->vfs[i]));
	return list;
}

/* Since when it has its reason, or its state where there is none; a clock that was set back since has it be so since now. */
static json_t *since(const json_t *lease)
{
	json_t *t = json_object_get(json_object_get(lease, "switch"), "since");
	json_int_t s;

	if (!json_is_integer(t))
		t = json_object_get(lease, "since");
	s = (json_int_t)time(NULL) - json_integer_value(t);
	return json_integer(s > 0 ? s : 0);
}

/* Of what `status` says. */
static json_t *lease_to_metrics(const struct lease *l)
{
	static const char *const same[] = { "id", "guest", "nic", "state", "leg", "reason", "pf", "vf", "via" };
	static const char *const of_irq[] = { "rate", "storm", "moved" };
	json_t *all = lease_to_json(l), *j = json_object(), *irq = json_object_get(all, "irq");

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		json_object_set(j, same[i], json_object_get(all, same[i]));
	for (size_t i = 0; irq && i < sizeof(of_irq) / sizeof(of_irq[0]); i++)
		json_object_set(j, of_irq[i], json_is_object(irq) ? json_object_get(irq, of_irq[i]) : irq);
	json_object_set_new(j, "since_s", since(all));
	json_object_set_new(j, "faults", json_integer((json_int_t)l->faults.nr));
	json_object_set_new(j, "quarantined", json_boolean(l->faults.quarantined));
	json_decref(all);
	return j;
}

static json_t *tree_of(const struct metrics_job *job)
{
	json_t *leases = json_array(), *vectors = json_array();
	struct daemon *d = job->d;
	unsigned left_out = 0;
	struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	{
		json_array_append_new(leases, lease_to_metrics(l));
		left_out += irq_metrics(l, vectors, LIMIT_METRICS_VECTORS);
	}
	return json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:i, s:o}", "version", GANGWAY_VERSION, "uptime_s",
			 (json_int_t)((d->sys->ops->now_us(d->sys) - d->started_us) / 1000000), "faults",
			 faults_host_to_json(d->faults), "guests", guests_to_json(d), "pfs", pfs_to_json(job), "leases", leases,
			 "vectors", vectors, "vectors_left_out", (int)left_out, "error", err_to_json(&job->err));
}

static void looked(int r, void *arg)
{
	struct metrics_job *j = arg;

	(void)r; /* what is not known has no samples */
	j->done(j->ctx, tree_of(j));
	metrics_job_forget(j);
}

int metrics_gather(struct daemon *d, metrics_tree_fn done, void *ctx, struct metrics_job **ret)
{
	struct metrics_job *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->d = d;
	j->done = done;
	j->ctx = ctx;
	if (work_submit(d->pool, look, looked, j) < 0) {
		free(j);
		return -ENOMEM;
	}
	*ret = j;
	return 0;
}
