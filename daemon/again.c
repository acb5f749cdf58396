/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "again.h"

#include <string.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "attach.h"
#include "daemon.h"
#include "err.h"
#include "lease.h"
#include "log.h"

/*
 * What has changed is seldom alone: the events of one driver that starts are taken as one. A try makes events of its own, too, so each that
 * fails doubles the pause: where only trying tells, that is not done all day.
 */
#define SETTLE_US 300000
#define PAUSE_MIN_US 1000000
#define PAUSE_MAX_US 64000000

bool again_is_waiting(const struct lease *l)
{
	return l->again.wanted && l->state == LEASE_FAILED && !l->undo.valid && !l->op && !l->busy;
}

static uint64_t now_us(const struct daemon *d)
{
	uint64_t now = 0;

	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	return now;
}

static void arm(struct daemon *d, uint64_t from_us);

static int on_timer(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct daemon *d = ctx;
	uint64_t now = now_us(d);
	struct lease *l;

	(void)s;
	(void)usec;
	TAILQ_FOREACH(l, &d->leases, link)
	if (again_is_waiting(l) && l->again.hinted && l->again.due_us <= now)
		attach_again(l);
	arm(d, now);
	return 0;
}

/* For the first that is due at @from_us or later. */
static void arm(struct daemon *d, uint64_t from_us)
{
	uint64_t at = UINT64_MAX;
	struct lease *l;

	d->again_timer = sd_event_source_disable_unref(d->again_timer);
	TAILQ_FOREACH(l, &d->leases, link)
	if (again_is_waiting(l) && l->again.hinted && l->again.due_us < at)
		at = l->again.due_us;
	if (at == UINT64_MAX || d->stopping)
		return;
	if (at < from_us)
		at = from_us;
	if (sd_event_add_time(d->event, &d->again_timer, CLOCK_MONOTONIC, at, 10000, on_timer, d) < 0)
		log_err("leases that are to be prepared again: no timer");
}

void again_want(struct lease *l)
{
	l->again = (struct lease_again){ .wanted = true, .pause_us = PAUSE_MIN_US };
	l->confirmed = true;
	l->undo = (struct lease_undo){ .group_id = -1 };
	l->group_id = -1;
	l->faults.due = false;
	memcpy(l->boot_id, l->daemon->boot_id, sizeof(l->boot_id));
}

void again_failed(struct lease *l, const struct err *err)
{
	struct lease_again again = l->again;

	again_want(l);
	again.due_us = now_us(l->daemon) + again.pause_us;
	again.pause_us = again.pause_us * 2 < PAUSE_MAX_US ? again.pause_us * 2 : PAUSE_MAX_US;
	l->again = again;
	l->error = *err;
	lease_set_state(l, LEASE_FAILED, "it waits to be prepared again");
	arm(l->daemon, 0);
}

struct lease *again_find(struct daemon *d, const char *guest, const char *nic)
{
	struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	if (!strcmp(l->guest, guest) && (!nic || !strcmp(l->nic, nic)) && again_is_waiting(l))
		return l;
	return NULL;
}

void again_hint(struct daemon *d)
{
	bool any = false;
	struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	{
		any = any || (l->again.wanted && !l->again.hinted);
		l->again.hinted = l->again.wanted;
	}
	if (any)
		arm(d, now_us(d) + SETTLE_US);
}
