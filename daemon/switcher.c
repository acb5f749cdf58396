/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "switcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "ctl.h"
#include "daemon.h"
#include "emul.h"
#include "guests.h"
#include "host_events.h"
#include "irq_follow.h"
#include "lease.h"
#include "log.h"
#include "mem_check.h"
#include "mem_watch.h"
#include "op.h"
#include "switcher_internal.h"
#include "vmm.h"
#include "vmm_migrate.h"

/* With vfio-pci nothing tells when the guest's driver starts the VF: it is looked at, one config cycle each time (see attach_guest.c). */
#define DRIVE_POLL_MS 10

/* A guest that does not start the VF in time may do so a day later. */
#define DRIVE_POLL_SLOW_MS 1000

uint64_t switcher_now_ms(const struct switcher *s)
{
	uint64_t now = 0;

	sd_event_now(s->lease->daemon->event, CLOCK_MONOTONIC, &now);
	return now / 1000;
}

/* --- what the switch tells --- */

static void on_moved(void *ctx, enum switch_state from, enum switch_state to, const char *why)
{
	struct switcher *s = ctx;
	struct lease *l = s->lease;

	log_info("lease %s: switch: %s -> %s (%s)", l->id, switch_state_to_string(from), switch_state_to_string(to), why);
	ctl_event(
		l->daemon->ctl, "switch", l->id,
		json_pack("{s:s, s:s, s:s}", "from", switch_state_to_string(from), "to", switch_state_to_string(to), "why", why));
	if (s->told && (to == SWITCH_EMULATED || to == SWITCH_PASSTHROUGH)) {
		err_clear(&l->error);
		s->told = false;
	}
	irq_follow_hint(l);
	if (to != SWITCH_TO_PASSTHROUGH) /* it has its memory, or does not want it any more */
		mem_account_settle(l);
	if (to == SWITCH_EMULATED || to == SWITCH_PASSTHROUGH)
		mem_watch_hint(l->daemon);
}

static void on_told(void *ctx, const struct err *err)
{
	struct switcher *s = ctx;

	log_warn("%s", err->msg);
	if (s->told || !s->lease->error.num) { /* what else is wrong with the lease is not the switch's to hide */
		s->lease->error = *err;
		s->told = true;
	}
	ctl_event(s->lease->daemon->ctl, "switch", s->lease->id, json_pack("{s:o}", "error", err_to_json(err)));
	switcher_answer(s, err);
}

static const struct switch_ops ops = { .start = switcher_act_recorded, .moved = on_moved, .told = on_told };

/* --- time --- */

/* To who waits, when the lease is where it was sent, or cannot get there for now. */
static void answer_choice(struct switcher *s, const struct switch_status *status)
{
	enum switch_state there = s->wanted == LEG_EMULATED ? SWITCH_EMULATED : SWITCH_PASSTHROUGH;
	struct err err;

	if (!s->req || s->choice_due)
		return;
	if (status->state == there) {
		switcher_answer(s, NULL);
	} else if (s->wanted == LEG_PASSTHROUGH && status->state == SWITCH_EMULATED && status->wait == CAUSE_WAIT_CAUSE) {
		err_set(&err, -EBUSY, "switch.held", "lease %s: it stays on its emulated leg for now: %s", s->lease->id,
			lease_reason_to_string(status->reason));
		err_hint(&err, "it goes back to its VF by itself when that is over");
		switcher_answer(s, &err);
	}
}

static uint64_t wake_at(const struct switcher *s, const struct switch_status *status)
{
	uint64_t wake = switch_wake_ms(s->sw), now = switcher_now_ms(s), poll;

	if (status->step != SWITCH_AWAIT_DRIVER)
		return wake;
	poll = now + (now < status->deadline_ms ? DRIVE_POLL_MS : DRIVE_POLL_SLOW_MS);
	return poll < wake ? poll : wake;
}

/* A VMM that is not connected is looked at when it is. */
static void look_again(struct switcher *s)
{
	if (!s->look_due || s->left || s->action != SWITCH_ACTION_NUM_ || s->held ||
	    migration_role(s->migration) == MIGRATION_SOURCE)
		return;
	s->look_due = false;
	attach_look_again(s->lease);
}

void switcher_settle(struct switcher *s)
{
	struct switch_status status;
	uint64_t wake;

	look_again(s);
	switch_get_status(s->sw, &status);
	if (!s->lease->left)
		switcher_show(s, &status);
	answer_choice(s, &status);
	if (s->left && s->action == SWITCH_ACTION_NUM_ && !s->held) {
		switcher_left(s);
		return;
	}
	wake = wake_at(s, &status);
	if (sd_event_source_set_time(s->timer, wake == CAUSE_NEVER ? UINT64_MAX : wake * 1000) < 0 ||
	    sd_event_source_set_enabled(s->timer, wake == CAUSE_NEVER ? SD_EVENT_OFF : SD_EVENT_ONESHOT) < 0)
		log_err("lease %s: no timer for its switch", s->lease->id);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct switcher *s = ctx;
	struct switch_status status;

	(void)source;
	(void)usec;
	switch_get_status(s->sw, &status);
	if (status.step == SWITCH_AWAIT_DRIVER)
		switcher_look_at_driver(s, false);
	switch_tick(s->sw, switcher_now_ms(s));
	switcher_settle(s);
	return 0;
}

void switcher_acted(struct switcher *s, int r, const struct err *err)
{
	struct lease *l = s->lease;

	if (l->daemon->stopping)
		return;
	/* whatever it failed with, the device may be there: plugged by the VMM itself, or by this and not told */
	s->look_due = s->look_due || (s->action == SWITCH_PLUG && r < 0 && r != -EAGAIN);
	if (s->action == SWITCH_PLUG && r == 0 && l->via == VIA_VFIO_PCI) /* the VMM has pinned before it answers */
		mem_account_settle(l);
	s->action = SWITCH_ACTION_NUM_;
	if (l->end_why[0]) {
		attach_unbusy(l); /* the lease ends now, and @s with it */
		return;
	}
	if (l->left) {
		l->busy = NULL;
		switcher_cleared(s, r, err);
		switcher_settle(s);
		return;
	}
	if (s->choice_due) { /* first, and while nobody has the lease */
		s->held = true;
		s->held_r = r;
		err_clear(&s->held_err);
		if (err)
			s->held_err = *err;
		switcher_record_choice(s);
		return;
	}
	l->busy = NULL;
	switch_done(s->sw, r, err, switcher_now_ms(s));
	switcher_settle(s);
}

/* --- begin and end --- */

static void on_left(void *ctx)
{
	struct switcher *s = ctx;
	struct switch_facts facts;

	switch_get_facts(s->sw, &facts);
	s->had_vf = facts.place != PLACE_OUT;
	s->had_revoked = facts.revoked;
	s->left = true;
}

static const struct migration_ops migration_ops = { .left = on_left };

static struct switcher *switcher_free(struct switcher *s)
{
	sd_event_source_disable_unref(s->timer);
	migration_free(s->migration);
	switch_free(s->sw);
	mem_check_forget(s->check);
	json_decref(s->record);
	free(s->job);
	free(s);
	return NULL;
}

static struct switcher *switcher_new(struct lease *l)
{
	struct switcher *s = calloc(1, sizeof(*s));
	struct guest *g = guest_find(l->daemon, l->guest);
	struct vmm_version version = { 0 };

	if (!s)
		return NULL;
	s->lease = l;
	s->action = SWITCH_ACTION_NUM_;
	s->config = switch_defaults;
	s->config.unplug_ms = l->daemon->config.unplug_timeout_ms;
	s->config.unplug_deadline_ms = l->daemon->config.unplug_deadline_ms;
	/* its time to start, and then to settle */
	s->config.drive_ms = l->daemon->config.guest_timeout_ms + l->daemon->config.settle_ms;
	s->config.cause.return_delay_ms = l->daemon->config.return_delay_ms;
	s->config.cause.rate_max = l->daemon->config.rate_limit;
	s->config.cause.rate_window_ms = l->daemon->config.rate_window * 1000;
	if (g)
		vmm_get_version(g->vmm, &version);
	s->config.unplug_unsafe = l->via == VIA_VFIO_USER && !version.unplug_vfio_user;
	s->sw = switch_new(l->id, &s->config, &ops, s);
	s->migration = s->sw ? migration_new(s->sw, l->device_id, l->standby_id, &migration_ops, s) : NULL;
	if (!s->migration || sd_event_add_time(l->daemon->event, &s->timer, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_timer, s) < 0 ||
	    sd_event_source_set_enabled(s->timer, SD_EVENT_OFF) < 0)
		return switcher_free(s);
	return s;
}

/*
 * The VMM has asked the guest for its VF, and may still have it. Of a migration that comes to nothing nobody tells how far it was: then both legs
 * carry until it is over.
 */
static bool is_asked(const struct vmm_migration *m)
{
	return m->role == VMM_MIG_SOURCE &&
	       (m->status == VMM_MIG_WAIT_UNPLUG || m->status == VMM_MIG_CANCELLING || m->status == VMM_MIG_FAILING);
}

/* The guest has let its VF go before the VMM copies its memory; the VMM keeps the device. */
static bool is_held(const struct vmm_migration *m)
{
	return m->role == VMM_MIG_SOURCE && vmm_mig_is_under_way(m->status) && m->status != VMM_MIG_SETUP && !is_asked(m);
}

/* Nobody listened when the guest was asked for its VF. */
void switcher_missed(struct switcher *s)
{
	const struct lease *l = s->lease;
	struct guest *g = guest_find(l->daemon, l->guest);
	struct vmm_migration m = { 0 };
	struct switch_facts facts;

	if (g)
		vmm_get_migration(g->vmm, &m);
	switch_get_facts(s->sw, &facts);
	if (facts.place != PLACE_IN || migration_role(s->migration) != MIGRATION_SOURCE || (!is_asked(&m) && !is_held(&m)))
		return;
	migration_event(s->migration, "UNPLUG_PRIMARY", l->device_id, switcher_now_ms(s));
	migration_event(s->migration, "MIGRATION", m.word, switcher_now_ms(s));
}

void switcher_begin_causes(struct switcher *s)
{
	const struct lease *l = s->lease;
	uint64_t now = switcher_now_ms(s);

	switch_cause(s->sw, REASON_OPERATOR, l->stay_emulated, now);
	switch_cause(s->sw, REASON_PF_DOWN, host_is_standby_better_off(l), now);
	switch_cause(s->sw, REASON_VF_FAULT, l->faults.quarantined, now);
	switch_cause(s->sw, REASON_MEMORY_NOT_RESIDENT, l->memory.held == REASON_MEMORY_NOT_RESIDENT, now);
	switch_cause(s->sw, REASON_MEMORY_PRESSURE, l->memory.pressed, now);
	switch_cause(s->sw, REASON_MEMORY_PRIVATE, l->memory.held == REASON_MEMORY_PRIVATE, now);
	switch_cause(s->sw, REASON_DEVICE_PROCESS_LOST, l->via == VIA_VFIO_USER && !l->dev && !lease_lacks_vf(l), now);
}

/* Which side of a migration it is on, if there is one: that of before gangwayd, too. */
static void begin_migration(struct switcher *s, const struct vmm_migration *m, bool incoming, bool running)
{
	bool under_way = vmm_mig_is_under_way(m->status), here = incoming || (under_way && m->role == VMM_MIG_DESTINATION);
	uint64_t now = switcher_now_ms(s);

	if (here)
		migration_incoming(s->migration, now);
	if (under_way)
		migration_event(s->migration, "MIGRATION", m->word, now);
	if (here && running) /* with postcopy, long before the last page is here */
		migration_event(s->migration, "RESUME", NULL, now);
}

/* How things stand, as attach leaves them or nobody knows: what is not sure is set once more. */
static void begin(struct switcher *s, bool in, bool incoming)
{
	struct lease *l = s->lease;
	struct guest *g = guest_find(l->daemon, l->guest);
	bool running = g && !strcmp(vmm_run_state(g->vmm), "running");
	struct switch_facts facts = { .prepared = !lease_lacks_vf(l),
				      .place = in ? PLACE_IN : PLACE_OUT,
				      .vf = l->vf_bdf[0] ? FILTER_MAYBE : FILTER_NO,
				      .standby = FILTER_MAYBE };
	struct vmm_migration m = { 0 };

	if (g && !strcmp(vmm_run_state(g->vmm), "postmigrate")) {
		s->left = true;
		s->had_vf = in;
		s->had_revoked = l->revoked;
		switcher_settle(s);
		return;
	}
	if (g)
		vmm_get_migration(g->vmm, &m);
	facts.revoked = in && l->revoked;
	if (in && is_held(&m))
		facts.place = PLACE_HELD;
	facts.driven = facts.place == PLACE_IN && lease_vf_is_driven(l);
	s->settled = facts.driven;
	begin_migration(s, &m, incoming, running);
	switcher_begin_causes(s);
	switch_begin(s->sw, &facts, running, switcher_now_ms(s));
	switcher_missed(s);
	switcher_settle(s);
}

int switcher_start(struct lease *l, bool in, bool incoming, struct err *err)
{
	if (!l->emul || l->sw)
		return 0;
	l->sw = switcher_new(l);
	if (!l->sw)
		return err_set(err, -ENOMEM, "daemon.no-memory", "lease %s: no memory for its switch", l->id);
	begin(l->sw, in, incoming);
	return 0;
}

void switcher_end(struct lease *l, const char *why)
{
	struct switcher *s = l->sw;
	struct err err;

	if (!s)
		return;
	mem_account_settle(l);
	l->sw = NULL;
	err_set(&err, -ECANCELED, "switch.ended", "lease %s: not switched: %s", l->id, why);
	switcher_answer(s, &err);
	switch_stop(s->sw, why, switcher_now_ms(s));
	switcher_free(s);
}
