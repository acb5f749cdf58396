/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults from the kernel's log, counted for the lease that has the VF (faults_owner.c), and told (faults_tell.c).
 *
 * A storm is thousands of faults a second, of which the kernel prints about two and says every 5 s how many it has left out. So counts are of
 * what was printed and a share of what was left out, and nothing here grows with their number: a lease has one last fault, and a few lines
 * and events in each window.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "daemon.h"
#include "err.h"
#include "faults_internal.h"
#include "lease.h"
#include "log.h"
#include "sys.h"

#define RECORDS_PER_TURN 64 /* then others in the loop have theirs; the descriptor stays readable */
#define WINDOW_US (FAULT_WINDOW_SEC * UINT64_C(1000000))
#define SAMPLE_US (10 * UINT64_C(1000000)) /* twice the window of the kernel's own limit: what is older says nothing of it */
#define SAMPLE_PART                                                                                                              \
	4 /* who has printed less than a quarter gets nothing of what was not: it may have faulted once, beside a storm */
#define AGAIN_US UINT64_C(1000000) /* a VF that is quarantined and faults is looked at so often at the most */
#define TICK_US (1000 * 1000)

struct faults {
	struct daemon *d;
	int fd; /* ours, closed through the seam */
	sd_event_source *source, *timer;
	uint64_t nr_others; /* of functions without lease, and shares that are nobody's */
	uint64_t nr_lost; /* times that records were overwritten before they were read */
	uint64_t sample_from_us;
	unsigned nr_sample; /* of all functions */
};

static uint64_t now_us(struct daemon *d)
{
	return d->sys->ops->now_us(d->sys);
}

/* --- counted --- */

static void count(struct lease *l, uint64_t n)
{
	const struct config *c = &l->daemon->config;
	struct lease_faults *lf = &l->faults;
	uint64_t now = now_us(l->daemon);

	lf->nr += n;
	if (now - lf->limit_from_us >= c->fault_window * UINT64_C(1000000)) {
		lf->limit_from_us = now;
		lf->nr_limit = 0;
	}
	lf->nr_limit += n;
	if (lf->quarantined && !lf->due) {
		if (now - lf->acted_us >= AGAIN_US)
			quarantine_again(l);
	} else if (!lf->due && c->fault_limit && lf->nr_limit > c->fault_limit) {
		lf->due = true;
		quarantine_start(l);
		if (lf->due)
			faults_start_timer(l->daemon->faults);
	}
}

static void forget_sample(struct faults *faults)
{
	struct lease *l;

	faults->nr_sample = 0;
	faults->sample_from_us = now_us(faults->d);
	TAILQ_FOREACH(l, &faults->d->leases, link)
	l->faults.nr_sample = 0;
}

static void on_fault(struct faults *faults, const struct fault *f)
{
	struct lease *l = faults_owner(faults->d, f);

	if (now_us(faults->d) - faults->sample_from_us > SAMPLE_US)
		forget_sample(faults);
	if (f->kind != FAULT_AER) /* has no part in the limit of the IOMMU's lines */
		faults->nr_sample++;
	if (!l) {
		faults->nr_others++;
		return;
	}
	if (f->kind != FAULT_AER)
		l->faults.nr_sample++;
	l->faults.last = *f;
	l->faults.last_time = time(NULL);
	count(l, 1);
	faults_tell(l);
}

/*
 * The kernel has left lines out. Whose they were is known only from those before them, so they go to whom these name, each its part. A guest
 * cannot put the blame on another: that one would have to fault itself, and not once.
 */
static void on_suppressed(struct faults *faults, uint64_t nr)
{
	unsigned all = faults->nr_sample;
	uint64_t rest = nr;
	struct lease *l;

	TAILQ_FOREACH(l, &faults->d->leases, link)
	{
		uint64_t share = all ? nr * l->faults.nr_sample / all : 0;

		if (!share || l->faults.nr_sample * SAMPLE_PART < all)
			continue;
		rest -= share;
		faults_open_window(l);
		l->faults.nr_unwritten += share;
		l->faults.nr_untold += share;
		count(l, share);
	}
	faults->nr_others += rest;
	forget_sample(faults);
}

/* --- the loop --- */

void faults_start_timer(struct faults *faults)
{
	if (faults && faults->timer && sd_event_source_set_time_relative(faults->timer, TICK_US) >= 0)
		sd_event_source_set_enabled(faults->timer, SD_EVENT_ONESHOT);
}

void faults_tick(struct faults *faults)
{
	uint64_t now = now_us(faults->d);
	bool more = false;
	struct lease *l;

	TAILQ_FOREACH(l, &faults->d->leases, link)
	{
		if (l->faults.telling && now - l->faults.told_from_us >= WINDOW_US)
			faults_close_window(l);
		if (l->faults.due)
			quarantine_start(l);
		more = more || l->faults.telling || l->faults.due;
	}
	if (more)
		faults_start_timer(faults);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	faults_tick(userdata);
	return 0;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct faults *faults = userdata;
	struct sys *sys = faults->d->sys;
	struct sys_event ev;
	struct fault f;
	int r = 0;

	(void)revents;
	for (int i = 0; i < RECORDS_PER_TURN && (r == 0 || r == -ENOBUFS); i++) {
		r = sys->ops->watch_read(sys, fd, &ev);
		if (r == -ENOBUFS)
			faults->nr_lost++;
		if (r != 0 || !fault_parse_record(ev.record, strnlen(ev.record, sizeof(ev.record)), &f))
			continue;
		if (f.kind == FAULT_SUPPRESSED)
			on_suppressed(faults, f.count);
		else
			on_fault(faults, &f);
	}
	if (r < 0 && r != -ENOBUFS && r != -EAGAIN && r != -EINTR) {
		log_err("the kernel's log: %s: faults of VFs are not seen any more", strerror(-r));
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	}
	return 0;
}

int faults_new(struct daemon *d, struct faults **ret, struct err *err)
{
	struct faults *faults = calloc(1, sizeof(*faults));
	int r;

	if (!faults)
		return err_set(err, -ENOMEM, "faults.log", "the kernel's log: no memory");
	*faults = (struct faults){ .d = d, .fd = d->sys->ops->watch_open(d->sys, SYS_WATCH_KMSG) };
	r = faults->fd;
	if (r >= 0)
		r = sd_event_add_io(d->event, &faults->source, faults->fd, EPOLLIN, on_readable, faults);
	if (r >= 0)
		r = sd_event_add_time_relative(d->event, &faults->timer, CLOCK_MONOTONIC, TICK_US, 0, on_timer, faults);
	if (r < 0) {
		faults_free(faults);
		return err_set(err, r, "faults.log", "the kernel's log cannot be read: %s", strerror(-r));
	}
	sd_event_source_set_description(faults->source, "kernel-log");
	*ret = faults;
	return 0;
}

struct faults *faults_free(struct faults *faults)
{
	if (!faults)
		return NULL;
	sd_event_source_disable_unref(faults->source);
	sd_event_source_disable_unref(faults->timer);
	if (faults->fd >= 0)
		faults->d->sys->ops->close(faults->d->sys, faults->fd);
	free(faults);
	return NULL;
}

/* --- asked for --- */

uint64_t faults_of_others(const struct faults *faults)
{
	return faults ? faults->nr_others : 0;
}

json_t *faults_host_to_json(const struct faults *faults)
{
	if (!faults)
		return json_null();
	return json_pack("{s:I, s:I}", "others", (json_int_t)faults->nr_others, "lost", (json_int_t)faults->nr_lost);
}
