/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "irq_follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "daemon.h"
#include "guests.h"
#include "irq_balance.h"
#include "irq_internal.h"
#include "log.h"
#include "switcher.h"
#include "sys.h"
#include "vmm.h"

#define HINT_US 50000 /* what is hinted at often comes in bunches, and a guest can make it come */
#define BUSY_US 200000 /* what is under way tells when it is over; should it not, it is looked for */
#define ACCURACY_US 50000 /* guests are looked at together */
/* A guest that nothing interrupts is looked at less often: after so many looks half as often, down to an eighth. */
#define QUIET_LOOKS 4
#define QUIET_SHIFT_MAX 3

uint64_t irq_now_us(const struct irq_follow *f)
{
	uint64_t now = 0;

	sd_event_now(f->d->event, CLOCK_MONOTONIC, &now);
	return now;
}

void irq_failed(struct irq_follow *f, enum irq_what what, const struct err *err)
{
	f->err = *err;
	f->err_of = what;
}

void irq_succeeded(struct irq_follow *f, enum irq_what what)
{
	if (f->err_of == what)
		err_clear(&f->err);
}

/* --- which leases --- */

bool irq_is_followed(const struct lease *l)
{
	if (l->state != LEASE_ATTACHED || !l->confirmed || lease_lacks_vf(l) || l->left || l->op ||
	    !l->daemon->config.irq_follow_ms)
		return false;
	return l->sw ? switcher_uses_vf(l) : l->leg == LEG_PASSTHROUGH;
}

static struct lease *first_of(const struct irq_follow *f, struct lease *l)
{
	while (l &&
	       (strcmp(l->guest, f->guest->name) || !l->irq_nic || !irq_is_followed(l) || strcmp(l->irq_nic->bdf, l->vf_bdf)))
		l = TAILQ_NEXT(l, link);
	return l;
}

struct lease *irq_next(const struct irq_follow *f, const struct lease *l)
{
	return first_of(f, l ? TAILQ_NEXT(l, link) : TAILQ_FIRST(&f->d->leases));
}

void irq_nic_free(struct irq_nic *n)
{
	if (!n)
		return;
	for (unsigned i = 0; i < n->nr; i++)
		free(n->v[i].counts);
	free(n->v);
	free(n->table);
	free(n);
}

/* What is known of its VF, and what was done to that, as far as there is still reason to. True: it is followed. */
static bool reconcile(struct lease *l)
{
	bool followed = irq_is_followed(l);

	if (l->irq_nic && (!followed || strcmp(l->irq_nic->bdf, l->vf_bdf))) {
		irq_nic_free(l->irq_nic);
		l->irq_nic = NULL;
	}
	/* an operation that ends the lease, or takes its VF, gives them back by itself */
	if (irq_keep_has(l) && !l->op && l->confirmed && (!followed || !l->daemon->config.irq_route))
		irq_keep_release(l, NULL, NULL);
	if (!followed)
		return false;
	if (!l->irq_nic)
		l->irq_nic = calloc(1, sizeof(*l->irq_nic));
	if (l->irq_nic)
		memcpy(l->irq_nic->bdf, l->vf_bdf, sizeof(l->irq_nic->bdf));
	return l->irq_nic;
}

/* --- what is due, in this order --- */

/*
 * May its VMM be asked? The main loop of one whose guest does not run may be busy for long, with a migration as a rule, and a question without an answer
 * costs the connection. Nor has such a guest's memory to be what it will be.
 */
static bool is_up(const struct irq_follow *f)
{
	return vmm_get_state(f->guest->vmm) == VMM_UP && !strcmp(vmm_run_state(f->guest->vmm), "running");
}

static bool platform_is_due(const struct irq_follow *f)
{
	return f->platform_due && is_up(f);
}

static bool vcpus_are_due(const struct irq_follow *f)
{
	return f->vcpus_due && is_up(f);
}

static bool look_is_due(const struct irq_follow *f)
{
	return f->look_due;
}

static bool table_is_due(const struct irq_follow *f)
{
	return is_up(f) && irq_table_is_due(f);
}

static bool lapic_is_due(const struct irq_follow *f)
{
	return f->lapic_due && is_up(f);
}

static bool route_is_due(const struct irq_follow *f)
{
	return f->route_due;
}

/* Each makes itself not due before anything else: so all of it ends. */
static const struct due {
	enum irq_what what;
	const char *name;
	bool (*is)(const struct irq_follow *f);
	int (*begin)(struct irq_follow *f, struct err *err);
} dues[] = {
	{ IRQ_PLATFORM, "platform", platform_is_due, irq_ask_platform },
	{ IRQ_VCPUS, "vcpus", vcpus_are_due, irq_ask_vcpus },
	{ IRQ_LOOK, "look", look_is_due, irq_look_begin },
	{ IRQ_TABLE, "table", table_is_due, irq_ask_table },
	{ IRQ_LAPIC, "lapic", lapic_is_due, irq_ask_lapic },
	{ IRQ_ROUTE, "route", route_is_due, irq_route_all },
};

static const struct due *next_due(const struct irq_follow *f)
{
	for (size_t i = 0; i < sizeof(dues) / sizeof(dues[0]); i++)
		if (dues[i].is(f))
			return &dues[i];
	return NULL;
}

static bool is_moving(const struct irq_follow *f)
{
	const struct lease *l;

	TAILQ_FOREACH(l, &f->d->leases, link)
	if (!strcmp(l->guest, f->guest->name) && irq_keep_is_busy(l))
		return true;
	return false;
}

static bool is_under_way(const struct irq_follow *f)
{
	return f->asking || f->look || is_moving(f);
}

uint64_t irq_wait_us(const struct irq_follow *f, uint64_t asked_us)
{
	uint64_t again = asked_us + (uint64_t)f->d->config.irq_table_ms * 1000, now = irq_now_us(f);

	return asked_us && again > now ? again - now : 0;
}

static void wake_in(struct irq_follow *f, uint64_t us)
{
	if (sd_event_source_set_time(f->timer, irq_now_us(f) + us) < 0 ||
	    sd_event_source_set_enabled(f->timer, SD_EVENT_ONESHOT) < 0)
		log_err("guest %s: no timer for its interrupts", f->guest->name);
}

static uint64_t min_us(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Who hints again and again brings it no nearer, and no further away. */
static void wake_within(struct irq_follow *f, uint64_t us)
{
	uint64_t at = 0;
	int on = SD_EVENT_OFF;

	if (sd_event_source_get_enabled(f->timer, &on) >= 0 && on != SD_EVENT_OFF &&
	    sd_event_source_get_time(f->timer, &at) >= 0 && at <= irq_now_us(f) + us)
		return;
	wake_in(f, us);
}

/* Until what is stale may be asked again. UINT64_MAX: nothing is. */
static uint64_t stale_in_us(const struct irq_follow *f)
{
	const struct lease *l = NULL;
	uint64_t us = UINT64_MAX;

	while (is_up(f) && (l = irq_next(f, l)))
		if (l->irq_nic->table_due)
			us = min_us(us, irq_wait_us(f, l->irq_nic->table_us));
	if (f->vcpus_stale)
		us = min_us(us, irq_wait_us(f, f->vcpus_us));
	if (f->platform_stale)
		us = min_us(us, irq_wait_us(f, f->platform_us));
	if (f->was_reset)
		us = min_us(us, irq_wait_us(f, f->reset_us));
	return us < HINT_US ? HINT_US : us;
}

static void pause_for_next(struct irq_follow *f)
{
	unsigned shift = f->nr_quiet / QUIET_LOOKS;
	uint64_t us = (uint64_t)f->d->config.irq_follow_ms * 1000;

	us = f->hinted ? HINT_US : us << (shift < QUIET_SHIFT_MAX ? shift : QUIET_SHIFT_MAX);
	wake_in(f, min_us(us, stale_in_us(f)));
	f->hinted = false;
}

void irq_go_on(struct irq_follow *f)
{
	const struct due *due;
	struct err err;

	if (f->ending || f->d->stopping)
		return;
	while (!is_under_way(f)) {
		due = next_due(f);
		if (!due) {
			pause_for_next(f);
			return;
		}
		err_clear(&err);
		if (due->begin(f, &err) < 0) {
			log_debug("guest %s: its interrupts: %s: %s, ignoring", f->guest->name, due->name, err.msg);
			irq_failed(f, due->what, &err);
		}
	}
}

/* --- a round --- */

void irq_forget_pid(struct irq_follow *f)
{
	f->found_pid = 0;
	f->find_us = 0;
	err_clear(&f->pid_err);
}

static void forget_vmm(struct irq_follow *f)
{
	free(f->vcpus);
	f->vcpus = NULL;
	f->nr_vcpus = 0;
	f->flags = 0;
	irq_forget_pid(f);
	f->platform_due = f->vcpus_due = true;
	f->platform_stale = f->vcpus_stale = false;
}

static void rest(struct irq_follow *f)
{
	f->route = irq_route_free(f->route);
	forget_vmm(f);
	err_clear(&f->err);
	f->looked_us = 0;
	f->nr_quiet = 0;
	f->was_reset = false;
	f->look_due = f->lapic_due = f->route_due = false;
}

static void all_tables_are_due(struct irq_follow *f)
{
	struct lease *l = NULL;

	while ((l = irq_next(f, l)))
		l->irq_nic->table_due = l->irq_nic->has_cap;
	for (unsigned i = 0; i < f->nr_vcpus; i++)
		f->vcpus[i].lapic_asked = false;
}

/* A guest can make events come as fast as it likes, and a question that fails may fail again: neither is asked more often than a table. */
static void take_stale(struct irq_follow *f)
{
	if (f->platform_stale && irq_wait_us(f, f->platform_us) == 0) {
		f->platform_due = true;
		f->platform_stale = false;
	}
	if (f->vcpus_stale && irq_wait_us(f, f->vcpus_us) == 0) {
		f->vcpus_due = true;
		f->vcpus_stale = false;
	}
	if (f->was_reset && irq_wait_us(f, f->reset_us) == 0) {
		all_tables_are_due(f);
		f->reset_us = irq_now_us(f);
		f->was_reset = false;
	}
}

static int on_timer(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct irq_follow *f = ctx;
	unsigned nr = 0;
	struct lease *l;

	(void)s;
	(void)usec;
	if (is_under_way(f)) {
		wake_in(f, BUSY_US);
		return 0;
	}
	TAILQ_FOREACH(l, &f->d->leases, link)
	nr += !strcmp(l->guest, f->guest->name) && reconcile(l);
	if (nr == 0) {
		rest(f);
		return 0;
	}
	irq_balance_update(f->d, false);
	f->pid = guest_vmm_pid(f->guest);
	if (!f->pid && vmm_get_state(f->guest->vmm) == VMM_UP)
		f->pid = f->found_pid;
	f->look_due = true;
	take_stale(f);
	irq_go_on(f);
	return 0;
}

/* --- what others tell --- */

static struct irq_follow *follow_new(struct guest *g)
{
	struct irq_follow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->guest = g;
	f->d = g->daemon;
	f->platform_due = f->vcpus_due = true;
	if (sd_event_add_time(f->d->event, &f->timer, CLOCK_MONOTONIC, UINT64_MAX, ACCURACY_US, on_timer, f) < 0 ||
	    sd_event_source_set_enabled(f->timer, SD_EVENT_OFF) < 0) {
		irq_follow_free(f);
		return NULL;
	}
	return f;
}

static void look_soon(struct irq_follow *f)
{
	f->nr_quiet = 0;
	if (is_under_way(f))
		f->hinted = true;
	else
		wake_within(f, HINT_US);
}

void irq_follow_hint(struct lease *l)
{
	struct guest *g = guest_find(l->daemon, l->guest);

	if (!g || l->daemon->stopping)
		return;
	if (!g->irq && (irq_is_followed(l) || irq_keep_has(l)))
		g->irq = follow_new(g);
	if (g->irq && !g->irq->ending)
		look_soon(g->irq);
}

/* A thread moves with its CPU, and an interrupt with its own: what nothing else tells of, and what a guest at rest is not looked at for in seconds. */
void irq_follow_cpus(struct daemon *d)
{
	struct guest *g;

	TAILQ_FOREACH(g, &d->guests, link)
	if (g->irq && !g->irq->ending)
		look_soon(g->irq);
}

void irq_follow_vmm_up(struct guest *g)
{
	if (!g->irq)
		return;
	forget_vmm(g->irq);
	look_soon(g->irq);
}

void irq_follow_event(struct guest *g, const char *event)
{
	struct irq_follow *f = g->irq;

	if (!f || f->ending)
		return;
	if (!strcmp(event, "RESUME")) { /* what was due waits for it */
		look_soon(f);
		return;
	}
	if (!strcmp(event, "ACPI_DEVICE_OST") || !strcmp(event, "DEVICE_DELETED"))
		f->vcpus_stale = true; /* a vCPU, maybe */
	else if (!strcmp(event, "RESET"))
		f->was_reset = true;
	else
		return;
	f->nr_quiet = 0;
	if (!is_under_way(f)) /* else the pause after it is as short */
		wake_within(f, stale_in_us(f));
}

void irq_follow_stop(struct irq_follow *f)
{
	if (f)
		f->ending = true;
}

void irq_follow_free(struct irq_follow *f)
{
	if (!f)
		return;
	irq_look_forget(f->look, f->d->stopping);
	sd_event_source_disable_unref(f->timer);
	irq_route_free(f->route);
	free(f->vcpus);
	free(f);
}
