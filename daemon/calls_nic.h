/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What pf.* and vf.* have in common: a job that looks, or changes, on a worker, and is answered in the loop. Private to calls_nic*.c and calls_dma.c. */
#ifndef GANGWAY_CALLS_NIC_H
#define GANGWAY_CALLS_NIC_H

#include <jansson.h>

#include "daemon.h"
#include "err.h"
#include "sriov.h"
#include "work.h"

struct ctl_req;
struct lease;

struct nic_job {
	struct daemon *d;
	struct ctl_req *req; /* NULL: answered elsewhere */
	char name[128];
	int (*run)(struct nic_job *j);
	json_t *(*render)(struct nic_job *j);
	struct err err;
	struct err left_out; /* why a PF is not among those found, or its VFs are not; .num 0 */
	/* found */
	struct sriov_pf *pfs;
	size_t nr_pfs;
	struct nic_vfs { /* of pfs[i] */
		struct sriov_vf *vf;
		size_t nr;
	} * vfs;
	/* wanted */
	unsigned numvfs;
	uint64_t from; /* vf.dma: address */
	struct sys_vf policy;
	json_t *record; /* of the lease that has the VF, with the new fields among those to be put back */
	json_t *record_after; /* the same with the new policy as the lease's own */
	struct lease *lease; /* it, marked busy: so it stays */
	struct sys_vf old, new; /* its policy, for its emulated leg */
	struct hold hold; /* of the PF, or the VF without a lease: keeps the others away */
	bool holds;
	bool touched; /* something of the policy may have been written */
	bool applied; /* the VF has the policy wanted */
	bool counts; /* d->nr_numvfs was raised for it */
};

/* NULL: answered. */
struct nic_job *nic_job_new(struct daemon *d, struct ctl_req *req, const char *name, int (*run)(struct nic_job *),
			    json_t *(*render)(struct nic_job *));
/* Runs @j->run, then @done in the loop; where that cannot be, @j is answered at once. */
void nic_job_submit(struct nic_job *j, work_done_fn done);
/* Answers and frees it. */
void nic_job_done(int r, void *job);

/* On a worker. -ENODEV and the like as of sriov.h */
int nic_find_pf(struct nic_job *j);
int nic_find_their_vfs(struct nic_job *j);
int nic_find_vf(struct nic_job *j);

json_t *nic_render_pf(struct nic_job *j);
json_t *nic_render_vf(struct nic_job *j);

#endif
