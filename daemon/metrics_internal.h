/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the metrics*.c files share. metrics.c: the numbers; metrics_ask.c: who asks, and when; metrics_http.c, metrics_listen.c: HTTP. */
#ifndef GANGWAY_METRICS_INTERNAL_H
#define GANGWAY_METRICS_INTERNAL_H

#include "config.h"
#include "metrics.h"
#include "metrics_http.h"

struct metrics_job;

/* @tree is the callee's; NULL: no memory. */
typedef void (*metrics_tree_fn)(void *ctx, json_t *tree);

/*
 * PFs and VFs are looked at on a worker, the rest is known: @done is called from the loop, later. 0; -ENOMEM: it is not called.
 * The job is for metrics_job_forget(), until @done.
 */
int metrics_gather(struct daemon *d, metrics_tree_fn done, void *ctx, struct metrics_job **ret);
/* gangwayd stops, its workers have ended: the end of the job is told to nobody. NULL is fine. */
void metrics_job_forget(struct metrics_job *job);

/* A listening socket at config->metrics_listen, non-blocking, the caller's; -errno "metrics.listen". */
int metrics_listen(const struct config *config, struct err *err);

#endif
