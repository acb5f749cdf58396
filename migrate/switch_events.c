/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What comes in from outside: the begin and the end, causes, the operator's choice, events, time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "switch_internal.h"

/* --- begin and end --- */

struct leg_switch *switch_new(const char *name, const struct switch_config *config, const struct switch_ops *ops, void *ctx)
{
	struct leg_switch *sw = calloc(1, sizeof(*sw));

	if (!sw)
		return NULL;
	snprintf(sw->name, sizeof(sw->name), "%s", name);
	sw->config = config;
	sw->ops = ops;
	sw->ctx = ctx;
	sw->why = "";
	sw->causes = causes_new(&config->cause);
	return sw->causes ? sw : switch_free(sw);
}

struct leg_switch *switch_free(struct leg_switch *sw)
{
	if (sw) {
		causes_free(sw->causes);
		free(sw);
	}
	return NULL;
}

static enum switch_state state_of(const struct leg_switch *sw)
{
	if (sw->f.place == PLACE_IN && !switch_first_needed(sw, SWITCH_PASSTHROUGH))
		return SWITCH_PASSTHROUGH;
	if (sw->f.place != PLACE_IN && !switch_first_needed(sw, SWITCH_EMULATED))
		return SWITCH_EMULATED;
	return sw->f.place == PLACE_IN && switch_goal(sw) == LEG_PASSTHROUGH ? SWITCH_TO_PASSTHROUGH : SWITCH_TO_EMULATED;
}

void switch_begin(struct leg_switch *sw, const struct switch_facts *facts, bool running, uint64_t now_ms)
{
	enum switch_state state;

	sw->now = now_ms;
	if (sw->state != SWITCH_OFF)
		return;
	sw->f = *facts;
	sw->f.prepared |= facts->place != PLACE_OUT;
	sw->running = running;
	sw->awaited = !running && facts->place == PLACE_OUT;
	sw->stopped_at = now_ms;
	sw->given_up = facts->place == PLACE_IN && facts->revoked;
	sw->half_revoked = sw->given_up; /* noted before it is done: once more */
	sw->was_driven = facts->place == PLACE_IN && facts->driven;
	/* where nothing is to be moved there is nothing to announce, but that a guest has come */
	sw->announced = facts->place == PLACE_IN ? LEG_PASSTHROUGH : sw->awaited ? LEG_NONE : LEG_EMULATED;
	state = state_of(sw);
	if (state != SWITCH_EMULATED && state != SWITCH_PASSTHROUGH)
		sw->announced = LEG_NONE;
	switch_set_state(sw, state, "begun");
	switch_advance(sw);
}

void switch_stop(struct leg_switch *sw, const char *why, uint64_t now_ms)
{
	sw->now = now_ms;
	if (sw->state == SWITCH_OFF)
		return;
	switch_set_state(sw, SWITCH_OFF, why);
	sw->stale = sw->busy;
	sw->migrating = false;
	sw->asked = false;
	sw->given_up = false;
	sw->falling_back = false;
}

/* --- what ought to be --- */

void switch_cause(struct leg_switch *sw, enum lease_reason reason, bool active, uint64_t now_ms)
{
	sw->now = now_ms;
	if (active)
		causes_begin(sw->causes, reason, now_ms);
	else
		causes_end(sw->causes, reason, now_ms);
	switch_advance(sw);
}

int switch_choose(struct leg_switch *sw, enum lease_leg leg, uint64_t now_ms, struct err *err)
{
	sw->now = now_ms;
	if (leg != LEG_EMULATED && leg != LEG_PASSTHROUGH)
		return err_set(err, -EINVAL, "switch.bad-leg", "lease %s: leg \"%s\": emulated or passthrough", sw->name,
			       lease_leg_to_string(leg));
	if (leg == LEG_EMULATED && sw->config->unplug_unsafe && sw->f.place == PLACE_IN && sw->state != SWITCH_OFF &&
	    !sw->migrating) {
		err_set(err, -EBUSY, "vmm.unplug-unsafe",
			"lease %s: this VMM aborts the guest when a vfio-user device is unplugged (vmm-unplug-unsafe): not tried",
			sw->name);
		err_hint(err, "attach it with --via vfio-pci; a migration may unplug it all the same, and gangway follows");
		return -EBUSY;
	}
	if (leg == LEG_PASSTHROUGH) {
		err_clear(&sw->error); /* who asks is told what keeps it, also where that was told before */
		causes_end(sw->causes, REASON_OPERATOR, now_ms);
		if (sw->state != SWITCH_PASSTHROUGH)
			causes_grant(sw->causes);
	} else {
		causes_begin(sw->causes, REASON_OPERATOR, now_ms);
	}
	switch_advance(sw);
	return 0;
}

/* --- what happens --- */

/* The VF is no longer in the guest. */
static void on_gone(struct leg_switch *sw, enum switch_place place)
{
	bool expected = sw->state == SWITCH_TO_EMULATED || sw->state == SWITCH_EMULATED || sw->migrating;

	if (place == PLACE_HELD && sw->f.place != PLACE_IN)
		return;
	if (sw->f.place == PLACE_IN && !expected)
		switch_fail(sw, REASON_NO_VF); /* somebody else took it: not to be plugged again and again */
	sw->f.place = place;
	sw->f.driven = false;
	sw->f.revoked &= place == PLACE_HELD; /* it comes back as it went */
	sw->given_up = false;
}

static void on_running(struct leg_switch *sw)
{
	uint64_t from = sw->stopped_at > sw->step_began ? sw->stopped_at : sw->step_began;

	sw->awaited = false;
	if (sw->running)
		return;
	sw->running = true;
	sw->step_began += sw->now - from; /* a paused guest is not late */
	sw->retry_at = 0;
}

static void on_stopped(struct leg_switch *sw)
{
	if (sw->running)
		sw->stopped_at = sw->now;
	sw->running = false;
}

/*
 * Another system comes up, or another driver in it: what failed before may succeed now. The deadline of an unplug stays: else a guest
 * could put it off for ever.
 */
static void on_reboot(struct leg_switch *sw)
{
	if (sw->at && sw->at->action == SWITCH_AWAIT_DRIVER)
		switch_restart_step(sw);
	sw->retry_at = 0;
	causes_retry(sw->causes);
}

static void on_refused(struct leg_switch *sw)
{
	struct err err;

	if (!sw->migrating || sw->step_told)
		return; /* a refusal of what we asked for ends that action */
	sw->step_told = true;
	err_set(&err, -EBUSY, "switch.unplug-refused",
		"lease %s: the guest refuses to let its VF go, and its migration waits for that", sw->name);
	err_hint(&err, "the VF still carries; cancel the migration, or see the guest's kernel log for what holds the device");
	switch_tell(sw, &err);
}

/* VMM: device_add and device_del are refused from now on, or taken again; the step that is due is another one now. */
static void on_migrating(struct leg_switch *sw, bool migrating)
{
	if (sw->migrating != migrating)
		switch_restart_step(sw);
	sw->migrating = migrating;
}

static void take_in(struct leg_switch *sw, enum switch_event event)
{
	bool lasting = event == SWITCH_EV_MIGRATING || event == SWITCH_EV_MIGRATED || event == SWITCH_EV_VF_FREE;

	if (sw->state == SWITCH_OFF && !lasting)
		return; /* switch_begin() says how things stand */
	switch (event) {
	case SWITCH_EV_RUNNING:
		on_running(sw);
		break;
	case SWITCH_EV_STOPPED:
		on_stopped(sw);
		break;
	case SWITCH_EV_RESET:
	case SWITCH_EV_NEGOTIATED:
		on_reboot(sw);
		break;
	case SWITCH_EV_DRIVEN:
	case SWITCH_EV_UNDRIVEN:
		sw->f.driven = event == SWITCH_EV_DRIVEN;
		break;
	case SWITCH_EV_DELETED:
		on_gone(sw, PLACE_OUT);
		break;
	case SWITCH_EV_ASKED:
		sw->asked = sw->f.place == PLACE_IN;
		break;
	case SWITCH_EV_LET_GO:
		on_gone(sw, PLACE_HELD);
		break;
	case SWITCH_EV_REPLUGGED:
		sw->f.driven = false; /* of one that was asked for nobody says whether it was out in between */
		switch_book_replugged(sw);
		break;
	case SWITCH_EV_REFUSED:
		on_refused(sw);
		break;
	case SWITCH_EV_MIGRATING:
	case SWITCH_EV_MIGRATED:
		on_migrating(sw, event == SWITCH_EV_MIGRATING);
		break;
	case SWITCH_EV_VF_FREE:
		/* another failure is no reason for haste: what was tried may have freed the VF itself, in vain and again and again */
		sw->vf_freed = true;
		if (causes_end(sw->causes, REASON_NO_VF, sw->now))
			causes_retry(sw->causes);
		break;
	case SWITCH_EVENT_NUM_:
		break;
	}
}

void switch_event(struct leg_switch *sw, enum switch_event event, uint64_t now_ms)
{
	sw->now = now_ms;
	take_in(sw, event);
	switch_advance(sw);
}

void switch_tick(struct leg_switch *sw, uint64_t now_ms)
{
	struct err err;

	sw->now = now_ms;
	if (sw->busy && now_ms >= sw->pending_until && sw->pending_until != CAUSE_NEVER) {
		sw->pending_until = CAUSE_NEVER;
		err_set(&err, -ETIMEDOUT, "switch.overdue", "lease %s: %s takes longer than it should", sw->name,
			switch_action_to_string(sw->pending));
		sw->ops->told(sw->ctx, &err);
	}
	switch_advance(sw);
}
