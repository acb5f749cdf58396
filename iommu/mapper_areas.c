/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that was pinned is no longer needed in this process: it is unmapped by the threads of the mapper, when nobody waits for them. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "mapper_internal.h"
#include "sys.h"

/*
 * Memory is given back when nothing was asked for so long: an exchange of the VMM's is then over. To unmap takes the lock of the process's
 * memory map, and interrupts the processors that run the other threads. More areas than this do not wait: the kernel has a limit of them.
 */
#define QUIET_MS 20
#define AREAS_WAIT_MAX 64

/* In steps, as the kernel lets nobody else change the process's memory map meanwhile. */
static int unmap(struct mapper *m, struct map_area *area)
{
	while (area->len) {
		size_t step = area->len < area->step ? area->len : area->step;
		int r = m->sys->ops->munmap(m->sys, area->at, step);

		/* at vm.max_map_count a mapping cannot be cut, but it can go as a whole */
		if (r == -ENOMEM && step < area->len) {
			step = area->len;
			r = m->sys->ops->munmap(m->sys, area->at, step);
		}
		if (r < 0)
			return r;
		area->at += step;
		area->len -= step;
	}
	return 0;
}

void areas_free(struct map_area **list)
{
	for (struct map_area *area; (area = *list);) {
		*list = area->next;
		free(area);
	}
}

void areas_do_one(struct mapper *m)
{
	struct map_area *area = m->areas;
	int r;

	m->areas = area->next;
	pthread_mutex_unlock(&m->lock);
	r = unmap(m, area);
	pthread_mutex_lock(&m->lock);
	if (r < 0) {
		m->unmap_error = r;
		area->next = m->kept;
		m->kept = area;
		return;
	}
	/* the owner frees it: malloc would make a heap of its own for this thread */
	area->next = m->spent;
	m->spent = area;
	if (!--m->nr_areas)
		m->unmap_error = 0;
}

bool areas_wait(struct mapper *m)
{
	struct timespec until;

	if (m->quiet || m->nr_areas > AREAS_WAIT_MAX)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += QUIET_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	if (pthread_cond_timedwait(&m->wake, &m->lock, &until) == ETIMEDOUT)
		m->quiet = true;
	return true;
}

/* With the lock held: whose turn it is. */
static void areas_begin(struct mapper *m)
{
	if (m->nr_threads)
		pthread_cond_signal(&m->wake);
	while (!m->nr_threads && m->areas)
		areas_do_one(m);
	if (!m->nr_threads)
		areas_free(&m->spent);
}

void mapper_unmap(struct mapper *m, struct map_area *area)
{
	pthread_mutex_lock(&m->lock);
	area->next = m->areas;
	m->areas = area;
	m->nr_areas++;
	m->quiet = false;
	areas_begin(m);
	pthread_mutex_unlock(&m->lock);
}

void mapper_unmap_again(struct mapper *m)
{
	pthread_mutex_lock(&m->lock);
	while (m->kept) {
		struct map_area *area = m->kept;

		m->kept = area->next;
		area->next = m->areas;
		m->areas = area;
	}
	areas_begin(m);
	pthread_mutex_unlock(&m->lock);
}

int mapper_unmap_error(struct mapper *m)
{
	int r;

	pthread_mutex_lock(&m->lock);
	r = m->unmap_error;
	pthread_mutex_unlock(&m->lock);
	return r;
}

unsigned mapper_nr_areas(struct mapper *m)
{
	unsigned nr;

	pthread_mutex_lock(&m->lock);
	nr = m->nr_areas;
	pthread_mutex_unlock(&m->lock);
	return nr;
}
