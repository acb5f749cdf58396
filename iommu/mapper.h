/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mapper: has pieces of memory pinned and mapped by threads, so that who asked does not wait: pinning cold memory takes a quarter of a
 * second a GiB. Each thread takes a job, faults its memory in (in parallel with the others) and then has the backend map it (one at a
 * time: the kernel's container has one lock). What is pinned is unmapped from the process by a thread as well: 20 ms a GiB of small pages.
 *
 * The owner of jobs is one thread. A job belongs to the mapper from mapper_submit() until mapper_next_over() or mapper_take_back()
 * returns it.
 */
#ifndef GANGWAY_IOMMU_MAPPER_H
#define GANGWAY_IOMMU_MAPPER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "iommu_internal.h"

#define MAPPER_THREADS_MAX 16

struct mapper;

struct map_job {
	struct map_job *next, **link; /* the mapper's */
	struct iommu_backend_map map;
	bool over; /* the owner's: it has the job back, and the result is known */
	bool busy; /* the mapper's, under its lock: a thread is at it */
	atomic_bool cancelled; /* set by the owner, who takes it back later: it need not be done */
	int result; /* 0: mapped; -ECANCELED: taken back in time; else why not */
};

/* Address space of this process that is no longer needed. malloc'ed. */
struct map_area {
	struct map_area *next; /* the mapper's */
	char *at;
	size_t len, step; /* bytes; unmapped so many at a time, a multiple of the page behind it */
};

/* @nr_threads 0: jobs are done in mapper_submit(), by who submits. */
int mapper_new(struct sys *sys, const struct iommu_backend *backend, int fd, unsigned nr_threads, struct mapper **ret);
struct mapper *mapper_free(struct mapper *mapper); /* none of its jobs may be under way; NULL is fine */

void mapper_submit(struct mapper *mapper, struct map_job *job);
/* The next job that has ended; NULL: none. */
struct map_job *mapper_next_over(struct mapper *mapper);
/*
 * The job is wanted back at once: what has not begun will not, what is under way is waited for (the kernel's ioctl for one piece at the
 * most). Its result tells which.
 */
void mapper_take_back(struct mapper *mapper, struct map_job *job);
bool mapper_has_begun(struct mapper *mapper, const struct map_job *job); /* a thread is at it, or was */
/* The area, taken over, is unmapped. What the kernel does not unmap is kept, for mapper_unmap_again(). */
void mapper_unmap(struct mapper *mapper, struct map_area *area);
void mapper_unmap_again(struct mapper *mapper);
int mapper_unmap_error(struct mapper *mapper); /* why some is kept; 0: none is */
unsigned mapper_nr_areas(struct mapper *mapper); /* that are still to be unmapped */
int mapper_fd(
	const struct mapper *mapper); /* readable: mapper_next_over() is to be called till it has none. -1 without threads */
uint64_t mapper_populated(const struct mapper *mapper); /* bytes faulted in since the start */

#endif
