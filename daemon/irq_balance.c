/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "daemon.h"
#include "err.h"
#include "irq_balance_internal.h"
#include "irq_keep.h"
#include "lease.h"
#include "log.h"
#include "work.h"

#define CHECK_US 1000000 /* whether something is to be told */
#define AGAIN_US 30000000 /* whether it was started anew */
#define PAUSE_MIN_US 1000000 /* after it could not be told; each time twice as long, up to AGAIN_US */

struct irq_balance {
	struct daemon *d;
	char socket[BALANCE_SOCKET_MAX]; /* of the one that was told; "" none */
	struct irq_list told, ours; /* what it was told; of that, what was not in its list before */
	unsigned beyond; /* for which @told has no room */
	unsigned left_out; /* for which its list has none, and those */
	struct err err; /* why it could not be told; .num 0 */
	uint64_t checked_us, looked_us;
	sd_event_source *again; /* until it is told what it could not be; NULL: nothing waits for that */
	uint64_t pause_us; /* the last one's; 0 none */
	bool moved; /* while it was being told */
	struct balance_job *job;
};

/* --- in the loop --- */

static int on_again(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct irq_balance *b = ctx;

	(void)s;
	(void)usec;
	b->again = sd_event_source_disable_unref(b->again);
	irq_balance_update(b->d, true);
	return 0;
}

/* Who follows interrupts comes back by itself; after the last detach nobody else does, and its list would keep what is ours. */
static void tell_later(struct irq_balance *b)
{
	uint64_t now = 0;

	b->pause_us = b->pause_us ? b->pause_us * 2 : PAUSE_MIN_US;
	if (b->pause_us > AGAIN_US)
		b->pause_us = AGAIN_US;
	b->again = sd_event_source_disable_unref(b->again);
	sd_event_now(b->d->event, CLOCK_MONOTONIC, &now);
	if (sd_event_add_time(b->d->event, &b->again, CLOCK_MONOTONIC, now + b->pause_us, 10000, on_again, b) < 0)
		log_err("irqbalance: no timer to tell it later");
}

static void nothing_to_tell(struct irq_balance *b)
{
	b->again = sd_event_source_disable_unref(b->again);
	b->pause_us = 0;
}

static void done(int r, void *arg)
{
	struct balance_job *j = arg;
	struct irq_balance *b = j->b;

	if (b) {
		b->job = NULL;
		if (r < 0 && b->err.num != j->err.num)
			log_warn("%s, ignoring", j->err.msg);
		b->err = j->err;
		memcpy(b->socket, j->socket, sizeof(b->socket));
		b->ours = j->ours; /* none where there is nobody: one that comes later has none of ours */
		if (!b->socket[0]) {
			b->told.nr = b->beyond = b->left_out = 0;
		} else if (r == 0) {
			b->told = j->want;
			b->beyond = j->beyond;
			b->left_out = j->left_out;
		}
		if (r < 0 && (b->ours.nr || j->want.nr))
			tell_later(b);
		else
			nothing_to_tell(b);
	}
	free(j);
	if (b && b->moved) {
		b->moved = false;
		irq_balance_update(b->d, true);
	}
}

/* All that gangway has moved. Returns for how many there is no room. */
static unsigned take_moved(struct daemon *d, struct irq_list *ret)
{
	unsigned irqs[LIMIT_IRQ_VECTORS], beyond = 0;
	const struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	{
		unsigned nr = irq_keep_irqs(l, irqs);

		for (unsigned i = 0; i < nr; i++) {
			irq_list_add(ret, irqs[i]);
			beyond += !irq_list_has(ret, irqs[i]);
		}
	}
	return beyond;
}

static void record_path(const struct daemon *d, char path[static PATH_MAX + 16])
{
	snprintf(path, PATH_MAX + 16, "%s/irqbalance", d->config.runtime_dir);
}

static void begin(struct irq_balance *b, const struct irq_list *want, unsigned beyond)
{
	struct balance_job *j = calloc(1, sizeof(*j));

	if (!j) {
		tell_later(b);
		return;
	}
	j->b = b;
	j->sys = b->d->sys;
	j->want = *want;
	j->beyond = beyond;
	j->ours = b->ours;
	record_path(b->d, j->record);
	memcpy(j->socket, b->socket, sizeof(j->socket));
	memcpy(j->dir, b->d->config.irqbalance, sizeof(j->dir));
	if (work_submit(b->d->pool, irq_balance_run, done, j) < 0) {
		free(j);
		tell_later(b);
		return;
	}
	b->job = j;
}

static struct irq_balance *balance_of(struct daemon *d)
{
	if (!d->irq_balance) {
		d->irq_balance = calloc(1, sizeof(*d->irq_balance));
		if (d->irq_balance)
			d->irq_balance->d = d;
	}
	return d->irq_balance;
}

void irq_balance_start(struct daemon *d)
{
	char path[PATH_MAX + 16];
	struct irq_balance *b;
	int r;

	record_path(d, path);
	if (access(path, F_OK) < 0)
		return;
	b = balance_of(d);
	r = b ? irq_balance_recorded(path, b->socket, &b->ours) : -ENOMEM;
	if (r == 0)
		irq_balance_update(d, true);
	else
		log_warn("irqbalance, %s: what it was told before is not known: %s, ignoring", path, strerror(-r));
}

/* Where it is not to be told anything, it is until it has given back what it was told before. */
static struct irq_balance *balance_to_tell(struct daemon *d)
{
	struct irq_balance *b = d->irq_balance;

	if (d->stopping || (!d->config.irqbalance[0] && !(b && b->ours.nr)))
		return NULL;
	return balance_of(d);
}

void irq_balance_update(struct daemon *d, bool moved)
{
	struct irq_balance *b = balance_to_tell(d);
	struct irq_list want = { 0 };
	unsigned beyond = 0;
	uint64_t now = 0;
	bool same;

	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	if (b)
		b->moved |= moved && b->job;
	/* one that could not be told has its pause, whatever guests do with their vectors meanwhile: then it hears of the newest */
	if (!b || b->job || b->again || (!moved && b->checked_us && now - b->checked_us < CHECK_US))
		return;
	b->checked_us = now;
	if (d->config.irqbalance[0])
		beyond = take_moved(d, &want);
	same = b->socket[0] && !b->err.num && irq_list_is_same(&want, &b->told) && beyond == b->beyond;
	if ((same || (!b->socket[0] && !moved) || (b->err.num && !moved)) && b->looked_us && now - b->looked_us < AGAIN_US)
		return;
	b->looked_us = now;
	begin(b, &want, beyond);
}

void irq_balance_free(struct irq_balance *b)
{
	if (!b)
		return;
	sd_event_source_disable_unref(b->again);
	free(b->job); /* gangwayd stops: its worker has ended */
	free(b);
}

json_t *irq_balance_to_json(const struct irq_balance *b)
{
	if (!b || !b->socket[0] || !b->d->config.irqbalance[0])
		return json_null();
	return json_pack("{s:s, s:i, s:i, s:o}", "socket", b->socket, "kept_off", (int)(b->told.nr + b->beyond - b->left_out),
			 "left_out", (int)b->left_out, "error", err_to_json(&b->err));
}
