/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue, up to WORK_MAX threads that take from it, and an eventfd that wakes the loop for what has ended. Threads are
 * started when needed and stay: binding and resetting come in bursts, and an idle thread costs its stack's touched pages only.
 */
#include "work.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct item {
	struct item *next;
	work_fn fn;
	work_done_fn done;
	void *arg;
	int r;
};

struct queue {
	struct item *head, **tail;
};

struct work_pool {
	pthread_mutex_t lock; /* guards everything below but source, efd */
	pthread_cond_t wake;
	struct queue todo, done;
	pthread_t threads[WORK_MAX];
	unsigned nr_threads, nr_idle, nr_todo;
	bool stopping;
	int efd;
	sd_event_source *source;
};

static void push(struct queue *q, struct item *i)
{
	i->next = NULL;
	*q->tail = i;
	q->tail = &i->next;
}

static struct item *pop(struct queue *q)
{
	struct item *i = q->head;

	if (i) {
		q->head = i->next;
		if (!q->head)
			q->tail = &q->head;
	}
	return i;
}

static void *thread_main(void *arg)
{
	struct work_pool *p = arg;
	uint64_t one = 1;

	pthread_mutex_lock(&p->lock);
	while (!p->stopping) {
		struct item *i = pop(&p->todo);

		if (!i) {
			p->nr_idle++;
			pthread_cond_wait(&p->wake, &p->lock);
			p->nr_idle--;
			continue;
		}
		p->nr_todo--;
		pthread_mutex_unlock(&p->lock);
		i->r = i->fn(i->arg);
		pthread_mutex_lock(&p->lock);
		push(&p->done, i);
		/* the counter cannot overflow: it is read before 2^64 items end */
		if (write(p->efd, &one, sizeof(one)) < 0)
			continue;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int on_done(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct work_pool *p = userdata;
	struct item *i;
	uint64_t n;

	(void)s;
	(void)revents;
	if (read(fd, &n, sizeof(n)) < 0)
		return 0;
	for (;;) {
		pthread_mutex_lock(&p->lock);
		i = pop(&p->done);
		pthread_mutex_unlock(&p->lock);
		if (!i)
			return 0;
		i->done(i->r, i->arg);
		free(i);
	}
}

int work_pool_new(sd_event *event, struct work_pool **ret)
{
	struct work_pool *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	p->todo.tail = &p->todo.head;
	p->done.tail = &p->done.head;
	p->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = p->efd < 0 ? -errno : sd_event_add_io(event, &p->source, p->efd, EPOLLIN, on_done, p);
	if (r < 0) {
		work_pool_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

struct work_pool *work_pool_free(struct work_pool *p)
{
	struct item *i;

	if (!p)
		return NULL;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (unsigned t = 0; t < p->nr_threads; t++)
		pthread_join(p->threads[t], NULL);
	while ((i = pop(&p->todo)) || (i = pop(&p->done)))
		free(i);
	sd_event_source_disable_unref(p->source);
	if (p->efd >= 0)
		close(p->efd);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}

/* Threads take no signals: the loop's signalfd is to see them. */
static int start_thread(struct work_pool *p)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&p->threads[p->nr_threads], NULL, thread_main, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0)
		p->nr_threads++;
	return -r;
}

int work_submit(struct work_pool *p, work_fn fn, work_done_fn done, void *arg)
{
	struct item *i = malloc(sizeof(*i));
	int r = 0;

	if (!i)
		return -ENOMEM;
	*i = (struct item){ .fn = fn, .done = done, .arg = arg };
	pthread_mutex_lock(&p->lock);
	/* threads that wait may have been woken for earlier items already */
	if (p->nr_todo >= p->nr_idle && p->nr_threads < WORK_MAX)
		r = start_thread(p);
	if (r < 0 && p->nr_threads > 0)
		r = 0; /* an existing thread will come to it */
	if (r == 0) {
		push(&p->todo, i);
		p->nr_todo++;
		pthread_cond_signal(&p->wake);
	}
	pthread_mutex_unlock(&p->lock);
	if (r < 0)
		free(i);
	return r; /* NOLINT(clang-analyzer-unix.Malloc): the queue has it */
}
