/* SPDX-License-Identifier: GPL-2.0-or-later */
/* metrics: everything that is worth a curve, at one moment: guests, PFs, leases, vectors. As JSON; metrics_text.h makes text of it. */
#ifndef GANGWAY_METRICS_H
#define GANGWAY_METRICS_H

#include <jansson.h>

struct ctl_req;
struct daemon;
struct metrics_job;

/* @tree is the callee's; NULL: no memory. */
typedef void (*metrics_fn)(void *ctx, json_t *tree);

/*
 * PFs and VFs are looked at on a worker, the rest is known: @done is called from the loop, later. 0; -ENOMEM: it is not called.
 * The job is for metrics_forget(), until @done.
 */
int metrics_gather(struct daemon *d, metrics_fn done, void *ctx, struct metrics_job **ret);
/* gangwayd stops, its workers have ended: the end of the job is told to nobody. NULL is fine. */
void metrics_forget(struct metrics_job *job);

void call_metrics(struct daemon *d, struct ctl_req *req, const json_t *params);

#endif
