/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults from the kernel's log, counted for the lease that has the VF.
 *
 * A storm is thousands of faults a second, of which the kernel prints about two and says every 5 s how many it has left out. So counts are of
 * what was printed and a share of what was left out, and nothing here grows with their number: a lease has one last fault, and a few lines
 * and events in each window.
 */
#include "faults.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "ctl.h"
#include "daemon.h"
#include "err.h"
#include "lease.h"
#include "log.h"
#include "sys.h"
#include "work.h"

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

/* --- whose it is --- */

/* Is there a function with the same bus, device and function in another segment? Negative: not known. */
static int has_twin(struct sys *sys, const char *bdf)
{
	char **names;
	int found = 0, r;

	r = sys->ops->list(sys, "/sys/bus/pci/devices", &names);
	if (r < 0)
		return r;
	for (char **n = names; *n; n++)
		found = found || (strlen(*n) == strlen(bdf) && strcmp(*n, bdf) != 0 && !strcmp(*n + 4, bdf + 4));
	sys_list_free(names);
	return found;
}

struct look {
	struct daemon *d;
	struct sys *sys;
	char id[LEASE_ID_MAX], bdf[BDF_LEN];
};

static int look_run(void *arg)
{
	struct look *look = arg;

	return has_twin(look->sys, look->bdf);
}

static void look_done(int r, void *arg)
{
	struct look *look = arg;
	struct lease *l;

	TAILQ_FOREACH(l, &look->d->leases, link)
	if (!strcmp(l->id, look->id) && !strcmp(l->vf_bdf, look->bdf))
		l->faults.segment = r < 0 ? SEGMENT_UNASKED : r ? SEGMENT_DOUBTED : SEGMENT_SURE;
	free(look);
}

void faults_expect(struct lease *l)
{
	struct look *look = l->daemon->pool ? malloc(sizeof(*look)) : NULL;

	if (!look)
		return;
	*look = (struct look){ .d = l->daemon, .sys = l->daemon->sys };
	memcpy(look->id, l->id, sizeof(look->id));
	memcpy(look->bdf, l->vf_bdf, sizeof(look->bdf));
	if (work_submit(l->daemon->pool, look_run, look_done, look) < 0)
		free(look);
	else
		l->faults.segment = SEGMENT_ASKED;
}

/* Intel's lines do not say which segment. Where that leaves a doubt, or it is not known yet, nobody is blamed. */
static bool is_sure(struct lease *l)
{
	if (l->faults.segment == SEGMENT_UNASKED)
		faults_expect(l);
	return l->faults.segment == SEGMENT_SURE;
}

static struct lease *lease_of_fault(struct daemon *d, const struct fault *f)
{
	size_t from = f->has_segment ? 0 : 4; /* ":3b:10.0" */
	struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	if (f->bdf[0] && l->vf_bdf[0] && !strcmp(l->vf_bdf + from, f->bdf + from))
		return f->has_segment || is_sure(l) ? l : NULL;
	return NULL;
}

/* --- told --- */

static void fault_words(const struct fault *f, char *buf, size_t size)
{
	const char *direction = fault_direction_to_string(f->direction);
	const char *what = f->kind == FAULT_AER ? "PCIe error" : f->kind == FAULT_INTERRUPT ? "interrupt refused" : "DMA fault";
	char address[40] = "";

	if (f->has_address)
		snprintf(address, sizeof(address), "%s 0x%" PRIx64, f->kind == FAULT_INTERRUPT ? ", index" : " at", f->address);
	snprintf(buf, size, "%s%s%s%s%s%s", what, direction ? ", " : "", direction ? direction : "", address,
		 f->reason[0] ? ": " : "", f->reason);
}

static json_t *fault_to_json(const struct fault *f)
{
	char address[24];

	snprintf(address, sizeof(address), "0x%" PRIx64, f->address);
	return json_pack("{s:s, s:s?, s:s?, s:s?}", "kind", fault_kind_to_string(f->kind), "address",
			 f->has_address ? address : NULL, "direction", fault_direction_to_string(f->direction), "reason",
			 f->reason[0] ? f->reason : NULL);
}

static void start_timer(struct faults *faults)
{
	if (faults->timer && sd_event_source_set_time_relative(faults->timer, TICK_US) >= 0)
		sd_event_source_set_enabled(faults->timer, SD_EVENT_ONESHOT);
}

static void open_window(struct lease *l)
{
	struct lease_faults *lf = &l->faults;

	if (lf->telling)
		return;
	lf->telling = true;
	lf->told_from_us = now_us(l->daemon);
	lf->nr_lines = lf->nr_events = 0;
	lf->nr_unwritten = lf->nr_untold = 0;
	if (l->daemon->faults)
		start_timer(l->daemon->faults);
}

bool faults_may_log(struct lease *l)
{
	open_window(l);
	if (l->faults.nr_lines == LIMIT_FAULT_LINES)
		return false;
	l->faults.nr_lines++;
	return true;
}

/* @more: so many that had no event. */
static void event(struct lease *l, uint64_t more)
{
	json_t *j = fault_to_json(&l->faults.last);

	json_object_set_new(j, "vf", json_string(l->vf_bdf));
	json_object_set_new(j, "count", json_integer((json_int_t)l->faults.nr));
	if (more)
		json_object_set_new(j, "more", json_integer((json_int_t)more));
	ctl_event(l->daemon->ctl, "fault", l->id, j);
}

static void tell(struct lease *l)
{
	struct lease_faults *lf = &l->faults;
	char words[FAULT_REASON_MAX + 80];

	fault_words(&lf->last, words, sizeof(words));
	if (faults_may_log(l))
		log_warn("lease %s: VF %s: %s", l->id, l->vf_bdf, words);
	else
		lf->nr_unwritten++;
	if (lf->nr_events == LIMIT_FAULT_EVENTS) {
		lf->nr_untold++;
		return;
	}
	lf->nr_events++;
	event(l, 0);
}

/* The one line, and the one event, for all that had none. */
static void close_window(struct lease *l)
{
	struct lease_faults *lf = &l->faults;

	lf->telling = false;
	if (lf->nr_unwritten)
		log_warn("lease %s: VF %s: %" PRIu64 " more faults in %d s, %" PRIu64 " in all", l->id, l->vf_bdf,
			 lf->nr_unwritten, FAULT_WINDOW_SEC, lf->nr);
	if (lf->nr_untold)
		event(l, lf->nr_untold);
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
		if (lf->due && l->daemon->faults)
			start_timer(l->daemon->faults);
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
	struct lease *l = lease_of_fault(faults->d, f);

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
	tell(l);
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
		open_window(l);
		l->faults.nr_unwritten += share;
		l->faults.nr_untold += share;
		count(l, share);
	}
	faults->nr_others += rest;
	forget_sample(faults);
}

/* --- the loop --- */

void faults_tick(struct faults *faults)
{
	uint64_t now = now_us(faults->d);
	bool more = false;
	struct lease *l;

	TAILQ_FOREACH(l, &faults->d->leases, link)
	{
		if (l->faults.telling && now - l->faults.told_from_us >= WINDOW_US)
			close_window(l);
		if (l->faults.due)
			quarantine_start(l);
		more = more || l->faults.telling || l->faults.due;
	}
	if (more)
		start_timer(faults);
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

json_t *faults_to_json(const struct lease *l)
{
	json_t *last = l->faults.last_time ? fault_to_json(&l->faults.last) : json_null();

	if (json_is_object(last))
		json_object_set_new(last, "time", json_integer(l->faults.last_time));
	return json_pack("{s:I, s:b, s:o}", "count", (json_int_t)l->faults.nr, "quarantined", l->faults.quarantined, "last",
			 last);
}
