/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "fdutil.h"
#include "mapper_internal.h"
#include "sys.h"

/*
 * Faulted in at a time. The kernel holds the process's memory map for reading meanwhile, and an mmap(2) of the owner waits for that; and
 * between two steps a job can be cancelled.
 */
#define STEP_BYTES (UINT64_C(16) << 20)
#define STACK_BYTES (256u << 10) /* threads run two system calls, and sanitizers */

unsigned iommu_nr_threads(unsigned cpus, const char *cpu_max, uint64_t bytes)
{
	unsigned long long quota, period;
	uint64_t nr = cpus;

	if (cpu_max && sscanf(cpu_max, "%19llu %19llu", &quota, &period) == 2 && period && quota / period < nr)
		nr = quota / period + (quota % period != 0);
	if (bytes >> 30 < nr)
		nr = (bytes >> 30) + ((bytes & ((1u << 30) - 1)) != 0);
	return nr ? (unsigned)nr : 1;
}

static void push(struct queue *q, struct map_job *job)
{
	job->next = NULL;
	job->link = q->tail;
	*q->tail = job;
	q->tail = &job->next;
}

static void take_out(struct queue *q, struct map_job *job)
{
	*job->link = job->next;
	if (job->next)
		job->next->link = job->link;
	else
		q->tail = job->link;
	job->link = NULL;
}

/* A kernel before 5.14 cannot; then pinning faults the pages in, one by one. */
static int populate(struct mapper *m, struct map_job *job)
{
	char *hva = job->map.hva;
	uint64_t done = 0, size = job->map.size;

	while (done < size) {
		uint64_t step = size - done < STEP_BYTES ? size - done : STEP_BYTES;
		int r = job->cancelled ? -ECANCELED : 0;

		if (r == 0)
			r = m->sys->ops->populate(m->sys, hva + done, step, job->map.prot & IOMMU_PROT_WRITE);
		if (r == -EINVAL)
			return 0;
		if (r < 0)
			return r;
		done += step;
		m->populated += step;
	}
	return 0;
}

static void run(struct mapper *m, struct map_job *job)
{
	/* for who has no threads, pinning faults in as well */
	int r = job->map.hva && m->nr_threads ? populate(m, job) : 0;

	if (r == 0)
		r = job->cancelled ? -ECANCELED : m->backend->map(m->sys, m->fd, &job->map);
	job->result = r;
}

static void do_job(struct mapper *m)
{
	struct map_job *job = m->todo.head;

	take_out(&m->todo, job);
	job->busy = true;
	pthread_mutex_unlock(&m->lock);
	run(m, job);
	pthread_mutex_lock(&m->lock);
	job->busy = false;
	push(&m->over, job);
	pthread_cond_broadcast(&m->idle);
}

static void *thread_main(void *arg)
{
	struct mapper *m = arg;
	uint64_t one = 1;

	pthread_mutex_lock(&m->lock);
	m->nr_running++;
	pthread_cond_broadcast(&m->idle);
	while (!m->stopping) {
		if (!m->areas && !m->todo.head) {
			pthread_cond_wait(&m->wake, &m->lock);
			continue;
		}
		if (!m->todo.head && areas_wait(m))
			continue;
		/* the VMM waits for what is to be pinned, nobody for what is to be given back */
		if (m->todo.head)
			do_job(m);
		else
			areas_do_one(m);
		/* the counter is read long before it could overflow */
		if (write(m->event, &one, sizeof(one)) < 0)
			abort();
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

static int start_threads(struct mapper *m, unsigned nr)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int r = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	/* signals are the owner's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (r == 0 && m->nr_threads < nr && m->nr_threads < MAPPER_THREADS_MAX) {
		r = -pthread_create(&m->threads[m->nr_threads], &attr, thread_main, m);
		m->nr_threads += r == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	/* they run: what the C library does in a new thread is over before the caller forbids it */
	pthread_mutex_lock(&m->lock);
	while (m->nr_running < m->nr_threads)
		pthread_cond_wait(&m->idle, &m->lock);
	pthread_mutex_unlock(&m->lock);
	/* one is enough to go on with */
	return m->nr_threads ? 0 : r;
}

int mapper_new(struct sys *sys, const struct iommu_backend *backend, int fd, unsigned nr_threads, struct mapper **ret)
{
	struct mapper *m = calloc(1, sizeof(*m));
	pthread_condattr_t attr;
	int r = 0;

	if (!m)
		return -ENOMEM;
	m->sys = sys;
	m->backend = backend;
	m->fd = fd;
	m->event = -1;
	m->todo.tail = &m->todo.head;
	m->over.tail = &m->over.head;
	pthread_mutex_init(&m->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->wake, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&m->idle, NULL);
	if (nr_threads) {
		m->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r = m->event < 0 ? -errno : start_threads(m, nr_threads);
	}
	if (r < 0) {
		mapper_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

struct mapper *mapper_free(struct mapper *m)
{
	if (!m)
		return NULL;
	pthread_mutex_lock(&m->lock);
	m->stopping = true;
	pthread_cond_broadcast(&m->wake);
	pthread_mutex_unlock(&m->lock);
	for (unsigned i = 0; i < m->nr_threads; i++)
		pthread_join(m->threads[i], NULL);
	m->nr_threads = 0;
	mapper_unmap_again(m);
	areas_free(&m->spent);
	areas_free(&m->kept); /* the end of the process will */
	pthread_cond_destroy(&m->idle);
	pthread_cond_destroy(&m->wake);
	pthread_mutex_destroy(&m->lock);
	fd_close(&m->event);
	free(m);
	return NULL;
}

void mapper_submit(struct mapper *m, struct map_job *job)
{
	job->over = job->busy = false;
	job->cancelled = false;
	job->result = -EINPROGRESS;
	if (!m->nr_threads) {
		run(m, job);
		job->over = true;
		return;
	}
	pthread_mutex_lock(&m->lock);
	push(&m->todo, job);
	m->quiet = false;
	pthread_cond_signal(&m->wake);
	pthread_mutex_unlock(&m->lock);
}

struct map_job *mapper_next_over(struct mapper *m)
{
	struct map_job *job;
	uint64_t count;

	if (!m->nr_threads)
		return NULL;
	pthread_mutex_lock(&m->lock);
	job = m->over.head;
	if (job)
		take_out(&m->over, job);
	else if (read(m->event, &count, sizeof(count)) < 0 && errno != EAGAIN)
		abort();
	areas_free(&m->spent);
	pthread_mutex_unlock(&m->lock);
	if (job)
		job->over = true;
	return job;
}

void mapper_take_back(struct mapper *m, struct map_job *job)
{
	if (job->over)
		return;
	pthread_mutex_lock(&m->lock);
	job->cancelled = true;
	while (job->busy)
		pthread_cond_wait(&m->idle, &m->lock);
	if (job->result == -EINPROGRESS) {
		take_out(&m->todo, job);
		job->result = -ECANCELED;
	} else {
		take_out(&m->over, job);
	}
	pthread_mutex_unlock(&m->lock);
	job->over = true;
}

bool mapper_has_begun(struct mapper *m, const struct map_job *job)
{
	bool begun;

	pthread_mutex_lock(&m->lock);
	begun = job->busy || job->result != -EINPROGRESS;
	pthread_mutex_unlock(&m->lock);
	return begun;
}

int mapper_fd(const struct mapper *m)
{
	return m->event;
}

uint64_t mapper_populated(const struct mapper *m)
{
	return m->populated;
}
