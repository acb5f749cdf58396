/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *            OFF -----------> any of the four, as the facts are; any -> OFF
 *
 *            +--------------> TO_PASSTHROUGH -----------+
 *            |                 |    ^   ^               v
 *         EMULATED   (a cause, |    |   |          PASSTHROUGH
 *            ^  |     failure) |    |   +--------------+|  (the guest's driver stopped: a reboot)
 *            |  |              v    | (cause over)      |
 *            +--|--------- TO_EMULATED <----------------+
 *               +--------------^  (the VMM plugged the VF back; something is left to tidy up)
 *
 * switch_advance() is called after whatever may have changed something, and goes on until an action is under way or a step has to
 * wait. State and step follow from the facts each time anew: there is no position in a table that could be wrong.
 */
#include "switch_internal.h"

#include <errno.h>
#include <string.h>

#include "log.h"

/* row: from, column: to */
static const bool legal[SWITCH_STATE_NUM_][SWITCH_STATE_NUM_] = {
	[SWITCH_OFF] = { [SWITCH_EMULATED] = true,
			 [SWITCH_TO_PASSTHROUGH] = true,
			 [SWITCH_PASSTHROUGH] = true,
			 [SWITCH_TO_EMULATED] = true },
	[SWITCH_EMULATED] = { [SWITCH_OFF] = true, [SWITCH_TO_PASSTHROUGH] = true, [SWITCH_TO_EMULATED] = true },
	[SWITCH_TO_PASSTHROUGH] = { [SWITCH_OFF] = true, [SWITCH_PASSTHROUGH] = true, [SWITCH_TO_EMULATED] = true },
	[SWITCH_PASSTHROUGH] = { [SWITCH_OFF] = true, [SWITCH_TO_EMULATED] = true, [SWITCH_TO_PASSTHROUGH] = true },
	[SWITCH_TO_EMULATED] = { [SWITCH_OFF] = true, [SWITCH_EMULATED] = true, [SWITCH_TO_PASSTHROUGH] = true },
};

bool switch_transition_legal(enum switch_state from, enum switch_state to)
{
	return from < SWITCH_STATE_NUM_ && to < SWITCH_STATE_NUM_ && legal[from][to];
}

void switch_set_state(struct leg_switch *sw, enum switch_state to, const char *why)
{
	enum switch_state from = sw->state;

	if (!switch_transition_legal(from, to)) {
		log_debug("lease %s: switch: %s -> %s (%s) is illegal, ignoring", sw->name, switch_state_to_string(from),
			  switch_state_to_string(to), why);
		return;
	}
	log_debug("lease %s: switch: %s -> %s (%s)", sw->name, switch_state_to_string(from), switch_state_to_string(to), why);
	sw->state = to;
	sw->why = why;
	sw->at = NULL;
	sw->hold = NULL;
	/* it was set for a guest that lets its VF go, which hears it late: once more, for one that may be on its standby meanwhile */
	if (from == SWITCH_TO_EMULATED && to == SWITCH_TO_PASSTHROUGH && sw->f.standby == FILTER_YES)
		sw->f.standby = FILTER_MAYBE;
	if (to == SWITCH_PASSTHROUGH || to == SWITCH_EMULATED) {
		sw->asked = false;
		sw->falling_back = false;
		sw->standby_ready = false;
	}
	if (to == SWITCH_PASSTHROUGH) {
		sw->was_driven = true;
		causes_held(sw->causes);
		err_clear(&sw->error);
	}
	sw->ops->moved(sw->ctx, from, to, why);
}

void switch_tell(struct leg_switch *sw, const struct err *err)
{
	sw->error = *err;
	sw->ops->told(sw->ctx, err);
}

/* Which leg it is to move to. What cannot be unplugged stays, whatever the causes; what the guest was given up on never stays. */
enum lease_leg switch_goal(const struct leg_switch *sw)
{
	struct verdict v;

	if (sw->f.place == PLACE_IN && sw->config->unplug_unsafe && !sw->migrating)
		return LEG_PASSTHROUGH;
	if (sw->falling_back || sw->given_up)
		return LEG_EMULATED;
	causes_decide(sw->causes, sw->now, &v);
	return v.wait == CAUSE_WAIT_CAUSE ? LEG_EMULATED : LEG_PASSTHROUGH;
}

/* The way to passthrough failed: back to emulated, and later once more. */
void switch_fail(struct leg_switch *sw, enum lease_reason reason)
{
	causes_failed(sw->causes, reason, sw->now);
	sw->falling_back = true;
}

/* --- the step that is due --- */

void switch_restart_step(struct leg_switch *sw)
{
	sw->step_began = sw->now;
	sw->retry_at = 0;
	sw->nr_failures = 0;
	sw->step_told = false;
}

/* When the step that is due becomes late; a paused guest cannot be. */
uint64_t switch_deadline(const struct leg_switch *sw)
{
	uint64_t limit = sw->at ? switch_step_limit(sw, sw->at) : CAUSE_NEVER;

	return limit == CAUSE_NEVER || !sw->running ? CAUSE_NEVER : sw->step_began + limit;
}

static unsigned time_for(const struct leg_switch *sw, enum switch_action action)
{
	uint64_t deadline = switch_deadline(sw), left = sw->config->unplug_ms;

	if (action == SWITCH_PLUG || action == SWITCH_REPLUG)
		return sw->config->plug_ms;
	if (action != SWITCH_UNPLUG)
		return sw->config->action_ms;
	if (deadline != CAUSE_NEVER && deadline - sw->now < left)
		left = deadline - sw->now;
	return (unsigned)left;
}

/* Can the VF be taken from the guest again, if it got there? */
static bool can_fall_back(const struct leg_switch *sw)
{
	return sw->f.place != PLACE_IN || (!sw->config->unplug_unsafe && !sw->migrating);
}

static void tell_late(struct leg_switch *sw, const char *code, const char *what, const char *then, const char *hint)
{
	struct err err;

	if (sw->step_told)
		return;
	sw->step_told = true;
	err_set(&err, -ETIMEDOUT, code, "lease %s: %s within %llu ms: %s", sw->name, what,
		(unsigned long long)(sw->now - sw->step_began), then);
	err_hint(&err, "%s", hint);
	switch_tell(sw, &err);
}

#define NOT_LET_GO "the guest has not let its VF go"

/* The guest drove the VF once and does not now: it reboots, or its interface is down. No reason to take it away. */
static bool may_come_back(const struct leg_switch *sw, const struct switch_step *step)
{
	return step->action == SWITCH_AWAIT_DRIVER && sw->was_driven;
}

/* The time of the step is over. True: there is something else to do now. */
static bool is_late(struct leg_switch *sw, const struct switch_step *step)
{
	bool told = sw->step_told;

	if (step->action == SWITCH_UNPLUG && sw->migrating) {
		tell_late(sw, "switch.unplug-ignored", NOT_LET_GO, "its migration waits for that",
			  "the VF still carries; cancel the migration, or see the guest's kernel log for what holds the device");
		return false;
	}
	if (step->action == SWITCH_UNPLUG && sw->state == SWITCH_TO_EMULATED) {
		tell_late(sw, "switch.unplug-ignored", NOT_LET_GO, "its DMA is taken away",
			  "the VF is free when the guest lets it go or restarts; see its kernel log for what holds the device");
		sw->given_up = true;
		return true;
	}
	if (step->action == SWITCH_AWAIT_DRIVER)
		tell_late(sw, "switch.no-driver", "the guest has not started its VF", "the standby carries",
			  "is the VF's driver in the guest, and the interface up?");
	else if (step->action == SWITCH_UNPLUG)
		tell_late(sw, "switch.unplug-ignored", "the VMM has not given the VF back", "the standby carries",
			  "it may do so when the guest restarts");
	else
		tell_late(sw, "switch.plug-timeout", "the guest could not be given its VF", "the standby carries",
			  "it is tried again; what the VMM answered was told before, or it was busy all the time");
	if (!can_fall_back(sw) || may_come_back(sw, step)) {
		if (!told)
			causes_failed(sw->causes, step->reason, sw->now); /* shown, though it stays plugged and awaited */
		return false;
	}
	switch_fail(sw, step->reason);
	return true;
}

static uint64_t pause_after(const struct leg_switch *sw)
{
	uint64_t pause = sw->config->retry_first_ms;

	if (sw->f.place != PLACE_IN && sw->f.standby != FILTER_YES)
		return pause; /* the guest hears nothing meanwhile */
	for (unsigned i = 1; i < sw->nr_failures && pause < sw->config->retry_max_ms; i++)
		pause *= 2;
	return pause < sw->config->retry_max_ms ? pause : sw->config->retry_max_ms;
}

/* The action of step @sw->at failed for good, this time. */
static void failed(struct leg_switch *sw, int r, const struct err *err)
{
	const struct switch_step *step = sw->at;
	bool back = sw->state == SWITCH_TO_PASSTHROUGH && step->action != SWITCH_DROP_STANDBY && can_fall_back(sw);
	struct err e;

	if (err && err->num)
		e = *err;
	else
		err_set(&e, r, "switch.action-failed", "%s failed", switch_action_to_string(step->action));
	err_prefix(&e, "lease %s", sw->name);
	/* each hint that there may be a VF now may be wrong */
	if (sw->nr_failures++ == 0 && !(step->action == SWITCH_PREPARE && !strcmp(sw->error.code, e.code)))
		switch_tell(sw, &e);
	if (!back) {
		sw->retry_at = sw->now + pause_after(sw);
		return;
	}
	if (step->action == SWITCH_PREPARE)
		causes_cost_nothing(sw->causes);
	if (step->action != SWITCH_PREPARE || r != -ENODEV) {
		switch_fail(sw, step->reason);
		return;
	}
	/* no failure: else each hint in vain would have the first real one wait longer. While it was looked for one may have become free */
	if (!sw->vf_freed)
		causes_begin(sw->causes, REASON_NO_VF, sw->now);
	sw->falling_back = true;
}

/* The guest or the VMM was not able to answer: says nothing of them. */
static bool is_busy(const struct leg_switch *sw, int r, const struct err *err)
{
	if (r == -EAGAIN || (err && !strcmp(err->code, "vmm.migrating")))
		return true;
	return sw->pending == SWITCH_UNPLUG && (!sw->running || sw->migrating);
}

static void finish(struct leg_switch *sw, int r, const struct err *err)
{
	enum switch_action action = sw->pending;

	sw->busy = false;
	if (sw->stale) {
		sw->stale = false;
		return;
	}
	if (action == SWITCH_ANNOUNCE && r < 0) {
		log_debug("lease %s: announce: %s, ignoring", sw->name, err ? err->msg : strerror(-r));
		r = 0;
	}
	switch_book_end(sw, action, r);
	if (r >= 0)
		sw->nr_failures = 0;
	else if (is_busy(sw, r, err))
		sw->retry_at = sw->now + sw->config->busy_ms;
	else if (sw->at->needed(sw))
		failed(sw, r, err);
}

static void start(struct leg_switch *sw, enum switch_action action)
{
	unsigned ms = time_for(sw, action);
	struct err err;
	int r;

	err_clear(&err);
	sw->busy = true;
	sw->pending = action;
	sw->pending_until = sw->now + ms;
	if (action == SWITCH_PREPARE)
		sw->vf_freed = false;
	switch_book_start(sw, action);
	r = sw->ops->start(sw->ctx, action, ms, &err);
	if (r < 0 && sw->busy)
		finish(sw, r, &err);
}

/* False: nothing to do before the next call. */
static bool take_step(struct leg_switch *sw, const struct switch_step *step)
{
	if (sw->at != step) {
		sw->at = step;
		switch_restart_step(sw);
	}
	sw->hold = switch_step_hold(sw, step);
	if (sw->now >= switch_deadline(sw))
		return is_late(sw, step);
	if (sw->hold || sw->now < sw->retry_at)
		return false;
	start(sw, step->action);
	return true;
}

/* --- from state to state --- */

static bool leave_emulated(struct leg_switch *sw)
{
	struct verdict v;

	if (sw->f.place == PLACE_IN) {
		if (switch_goal(sw) == LEG_PASSTHROUGH)
			switch_set_state(sw, SWITCH_TO_PASSTHROUGH, "the VMM has plugged the VF");
		else
			switch_set_state(sw, SWITCH_TO_EMULATED, "the VMM has plugged the VF, and it is not wanted");
		return true;
	}
	if (switch_first_needed(sw, SWITCH_EMULATED)) {
		switch_set_state(sw, SWITCH_TO_EMULATED, "something is left to do");
		return true;
	}
	causes_decide(sw->causes, sw->now, &v);
	if (v.wait != CAUSE_WAIT_NOTHING || sw->migrating)
		return false;
	causes_started(sw->causes, sw->now);
	switch_set_state(sw, SWITCH_TO_PASSTHROUGH, "nothing keeps it off its VF");
	return true;
}

static bool leave_passthrough(struct leg_switch *sw)
{
	if (sw->f.place != PLACE_IN)
		switch_set_state(sw, SWITCH_TO_EMULATED, "the VF left the guest");
	else if (switch_goal(sw) == LEG_EMULATED)
		switch_set_state(sw, SWITCH_TO_EMULATED, "a cause began");
	else if (switch_first_needed(sw, SWITCH_PASSTHROUGH))
		switch_set_state(sw, SWITCH_TO_PASSTHROUGH, "the guest does not drive its VF");
	else
		return false;
	return true;
}

static bool go_on(struct leg_switch *sw)
{
	bool back = sw->state == SWITCH_TO_PASSTHROUGH;
	enum lease_leg goal = switch_goal(sw);
	const struct switch_step *step;

	if (back && goal == LEG_EMULATED) {
		switch_set_state(sw, SWITCH_TO_EMULATED, sw->falling_back ? "it failed" : "a cause began");
		return true;
	}
	if (!back && goal == LEG_PASSTHROUGH && sw->f.place == PLACE_IN && !sw->asked) {
		switch_set_state(sw, SWITCH_TO_PASSTHROUGH, "the cause ended before the guest let go");
		return true;
	}
	step = switch_first_needed(sw, sw->state);
	if (step)
		return take_step(sw, step);
	switch_set_state(sw, back ? SWITCH_PASSTHROUGH : SWITCH_EMULATED, "arrived");
	return true;
}

static bool advance_once(struct leg_switch *sw)
{
	switch (sw->state) {
	case SWITCH_EMULATED:
		return leave_emulated(sw);
	case SWITCH_PASSTHROUGH:
		return leave_passthrough(sw);
	case SWITCH_TO_PASSTHROUGH:
	case SWITCH_TO_EMULATED:
		return go_on(sw);
	case SWITCH_OFF:
	case SWITCH_STATE_NUM_:
		break;
	}
	return false;
}

void switch_advance(struct leg_switch *sw)
{
	if (sw->advancing)
		return;
	sw->advancing = true;
	while (!sw->busy && advance_once(sw))
		;
	sw->advancing = false;
}

void switch_done(struct leg_switch *sw, int r, const struct err *err, uint64_t now_ms)
{
	sw->now = now_ms;
	if (!sw->busy)
		return;
	finish(sw, r, err);
	switch_advance(sw);
}
