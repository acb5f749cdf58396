/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What mapper.c (jobs, threads) and mapper_areas.c share. */
#ifndef GANGWAY_MAPPER_INTERNAL_H
#define GANGWAY_MAPPER_INTERNAL_H

#include <pthread.h>

#include "mapper.h"

struct queue {
	struct map_job *head, **tail;
};

struct mapper {
	struct sys *sys;
	const struct iommu_backend *backend;
	int fd, event;
	pthread_mutex_t lock; /* guards the queues, the areas, busy of each job, and stopping */
	pthread_cond_t wake, idle; /* there is something to do; a job has ended */
	struct queue todo, over;
	struct map_area *areas, *kept, *spent; /* to be unmapped, that could not be, and that are */
	unsigned nr_areas; /* of the first two, and those that a thread is at */
	int unmap_error; /* since the last time that there was none */
	bool quiet; /* nothing was asked for QUIET_MS */
	bool stopping;
	atomic_uint_least64_t populated;
	unsigned nr_threads, nr_running;
	pthread_t threads[MAPPER_THREADS_MAX];
};

/* Both are called on a thread, and left, with the lock held. */
void areas_do_one(struct mapper *m); /* the first of those to be unmapped, there is one */
bool areas_wait(struct mapper *m); /* it is too early for that: true, and some time has passed, or something has come */
void areas_free(struct map_area **list); /* the objects alone */

#endif
