/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mapper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "fdutil.h"
#include "sys.h"

/*
 * Faulted in at a time. The kernel holds the process's memory map for reading meanwhile, and an mmap(2) of the owner waits for that; and
 * between two steps a job can be cancelled.
 */
#define STEP_BYTES (UINT64_C(16) << 20)
/*
 * Memory is given back when nothing was asked for so long: an exchange of the VMM's is then over. To unmap takes the lock of the process's
 * memory map, and interrupts the processors that run the other threads. More areas than this do not wait: the kernel has a limit of them.
 */
#define QUIET_MS 20
#define AREAS_WAIT_MAX 64
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

static void free_areas(struct map_area **list)
{
	for (struct map_area *area; (area = *list);) {
		*list = area->next;
		free(area);
	}
}

/* Called and left with the lock held. */
static void do_area(struct mapper *m)
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

/* Called and left with the lock held. */
static void wait_for_quiet(struct mapper *m)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += QUIET_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	if (pthread_cond_timedwait(&m->wake, &m->lock, &until) == ETIMEDOUT)
		m->quiet = true;
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
		if (!m->todo.head && !m->quiet && m->nr_areas <= AREAS_WAIT_MAX) {
			wait_for_quiet(m);
			continue;
		}
		/* the VMM waits for what is to be pinned, nobody for what is to be given back */
		if (m->todo.head)
			do_job(m);
		else
			do_area(m);
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
	free_areas(&m->spent);
	free_areas(&m->kept); /* the end of the process will */
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
	free_areas(&m->spent);
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

/* With the lock held: whose turn it is. */
static void areas_begin(struct mapper *m)
{
	if (m->nr_threads)
		pthread_cond_signal(&m->wake);
	while (!m->nr_threads && m->areas)
		do_area(m);
	if (!m->nr_threads)
		free_areas(&m->spent);
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

int mapper_fd(const struct mapper *m)
{
	return m->event;
}

uint64_t mapper_populated(const struct mapper *m)
{
	return m->populated;
}
