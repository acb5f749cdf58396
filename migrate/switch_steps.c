/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two sequences of the switch, as tables. The step that is due is the first one that the facts say is needed; when none is, the
 * lease has arrived. What an action makes of the facts is here, too: nothing else changes them but events.
 */
#include "switch_internal.h"

#include <errno.h>

/* --- to emulated: make before break --- */

static bool lacks_standby(const struct leg_switch *sw)
{
	return sw->f.standby != FILTER_YES && !sw->standby_ready;
}

static bool is_in(const struct leg_switch *sw)
{
	return sw->f.place == PLACE_IN;
}

/* A guest whose VF the VMM has plugged back hears only what comes there, until it has let go once more. */
static bool lacks_filter(const struct leg_switch *sw)
{
	return sw->f.standby != FILTER_YES || (is_in(sw) && !sw->given_up && !sw->falling_back && sw->f.vf == FILTER_NO);
}

static bool is_in_and_awaited(const struct leg_switch *sw)
{
	return is_in(sw) && !sw->given_up;
}

static bool is_kept_by_guest(const struct leg_switch *sw)
{
	return is_in(sw) && sw->given_up && (!sw->f.revoked || sw->half_revoked);
}

static bool has_vf_filter(const struct leg_switch *sw)
{
	return sw->f.vf != FILTER_NO;
}

/* Of a guest that still runs elsewhere, the network must not be told that it is here. */
static bool is_unannounced_emulated(const struct leg_switch *sw)
{
	return sw->announced != LEG_EMULATED && !sw->awaited;
}

static bool is_left_over(const struct leg_switch *sw)
{
	return sw->f.prepared && sw->f.place == PLACE_OUT;
}

static const struct switch_step to_emulated[] = {
	{ SWITCH_READY_STANDBY, lacks_standby, REASON_NONE },
	{ SWITCH_STEER_BOTH, lacks_filter, REASON_NONE },
	/* by us, or during a migration by the VMM: then only followed */
	{ SWITCH_UNPLUG, is_in_and_awaited, REASON_NONE },
	{ SWITCH_REVOKE_DMA, is_kept_by_guest, REASON_NONE },
	{ SWITCH_DROP_VF, has_vf_filter, REASON_NONE },
	{ SWITCH_ANNOUNCE, is_unannounced_emulated, REASON_NONE },
	/* the guest that was given up on may still let go, and until then the VF is not to be had by anybody */
	{ SWITCH_UNPLUG, is_in, REASON_NONE },
	{ SWITCH_RELEASE, is_left_over, REASON_NONE },
};

/* --- to passthrough: everything prepared while the standby carries --- */

static bool is_held(const struct leg_switch *sw)
{
	return sw->f.place == PLACE_HELD;
}

static bool is_unprepared(const struct leg_switch *sw)
{
	return !sw->f.prepared;
}

static bool drives(const struct leg_switch *sw)
{
	return sw->f.driven && !sw->f.revoked;
}

static bool is_out(const struct leg_switch *sw)
{
	return sw->f.place == PLACE_OUT;
}

/* Until the guest drives the VF, the standby carries: also while a guest that was on its VF reboots. */
static bool lacks_both_filters(const struct leg_switch *sw)
{
	return sw->f.vf != FILTER_YES || (!drives(sw) && sw->f.standby != FILTER_YES);
}

static bool is_undriven(const struct leg_switch *sw)
{
	return !drives(sw);
}

static bool has_standby_filter(const struct leg_switch *sw)
{
	return sw->f.standby != FILTER_NO;
}

static bool is_unannounced_passthrough(const struct leg_switch *sw)
{
	return sw->announced != LEG_PASSTHROUGH;
}

static const struct switch_step to_passthrough[] = {
	/* what the VMM kept for a migration and did not plug back: nobody else can, nor unplug it */
	{ SWITCH_REPLUG, is_held, REASON_NO_VF },
	{ SWITCH_PREPARE, is_unprepared, REASON_NO_VF },
	{ SWITCH_PLUG, is_out, REASON_NO_VF },
	{ SWITCH_STEER_BOTH, lacks_both_filters, REASON_NO_VF },
	{ SWITCH_AWAIT_DRIVER, is_undriven, REASON_GUEST_NO_DRIVER },
	{ SWITCH_DROP_STANDBY, has_standby_filter, REASON_NO_VF },
	{ SWITCH_ANNOUNCE, is_unannounced_passthrough, REASON_NO_VF },
};

#define LEN(table) (sizeof(table) / sizeof((table)[0]))

const struct switch_step *switch_first_needed(const struct leg_switch *sw, enum switch_state state)
{
	bool back = state == SWITCH_TO_PASSTHROUGH || state == SWITCH_PASSTHROUGH;
	const struct switch_step *table = back ? to_passthrough : to_emulated;
	size_t nr = back ? LEN(to_passthrough) : LEN(to_emulated);

	for (size_t i = 0; i < nr; i++)
		if (table[i].needed(sw))
			return &table[i];
	return NULL;
}

const char *switch_step_hold(const struct leg_switch *sw, const struct switch_step *step)
{
	if (step->action == SWITCH_AWAIT_DRIVER)
		return sw->running ? "the guest starts its driver" : "the guest is paused";
	if (step->action != SWITCH_UNPLUG && step->action != SWITCH_PLUG && step->action != SWITCH_REPLUG)
		return NULL;
	if (sw->migrating)
		return step->action == SWITCH_UNPLUG ? "the VMM asks the guest to let go" : "the guest migrates";
	if (!sw->running)
		return "the guest is paused";
	if (step->action == SWITCH_UNPLUG && sw->config->unplug_unsafe)
		return "this VMM cannot unplug it safely";
	return NULL;
}

const char *switch_hold(const struct leg_switch *sw, enum switch_action action)
{
	const struct switch_step step = { .action = action };

	return switch_step_hold(sw, &step);
}

uint64_t switch_step_limit(const struct leg_switch *sw, const struct switch_step *step)
{
	if (step->action == SWITCH_PLUG || step->action == SWITCH_REPLUG)
		return sw->config->plug_ms;
	if (step->action == SWITCH_AWAIT_DRIVER)
		return sw->config->drive_ms;
	if (step->action == SWITCH_UNPLUG && !sw->given_up)
		return sw->config->unplug_deadline_ms;
	return CAUSE_NEVER;
}

/* An action may get half-way: what it changes is unknown from its start on. */
void switch_book_start(struct leg_switch *sw, enum switch_action action)
{
	switch (action) {
	case SWITCH_STEER_BOTH:
		sw->f.vf = sw->f.vf == FILTER_NO ? FILTER_MAYBE : sw->f.vf;
		sw->f.standby = sw->f.standby == FILTER_NO ? FILTER_MAYBE : sw->f.standby;
		sw->announced = LEG_NONE;
		break;
	case SWITCH_PREPARE: /* the MAC in the policy may steer already */
		sw->f.vf = sw->f.vf == FILTER_NO ? FILTER_MAYBE : sw->f.vf;
		break;
	case SWITCH_UNPLUG:
		sw->asked = true;
		break;
	case SWITCH_REVOKE_DMA: /* from now on nobody may take this VF for one that carries */
		sw->f.revoked = true;
		sw->half_revoked = true;
		break;
	case SWITCH_DROP_VF:
		sw->f.vf = FILTER_MAYBE;
		break;
	case SWITCH_DROP_STANDBY:
		sw->f.standby = FILTER_MAYBE;
		break;
	case SWITCH_PLUG:
	case SWITCH_REPLUG:
		sw->f.driven = false;
		break;
	case SWITCH_READY_STANDBY:
	case SWITCH_ANNOUNCE:
	case SWITCH_RELEASE:
	case SWITCH_AWAIT_DRIVER:
	case SWITCH_ACTION_NUM_:
		break;
	}
}

static void book_plugged(struct leg_switch *sw)
{
	sw->f.place = PLACE_IN;
	sw->f.revoked = false;
	sw->asked = false;
	sw->given_up = false;
	sw->was_driven = false;
}

void switch_book_replugged(struct leg_switch *sw)
{
	if (sw->f.place == PLACE_OUT)
		return;
	sw->f.place = PLACE_IN;
	sw->asked = false;
	sw->given_up = sw->f.revoked;
}

static void book_success(struct leg_switch *sw, enum switch_action action)
{
	switch (action) {
	case SWITCH_READY_STANDBY:
		sw->standby_ready = true;
		break;
	case SWITCH_STEER_BOTH:
		sw->f.vf = FILTER_YES;
		sw->f.standby = FILTER_YES;
		break;
	case SWITCH_UNPLUG:
		sw->f.place = PLACE_OUT;
		sw->f.driven = false;
		sw->f.revoked = false;
		sw->given_up = false;
		break;
	case SWITCH_REVOKE_DMA:
		sw->half_revoked = false;
		break;
	case SWITCH_DROP_VF:
		sw->f.vf = FILTER_NO;
		break;
	case SWITCH_ANNOUNCE:
		sw->announced = sw->state == SWITCH_TO_PASSTHROUGH ? LEG_PASSTHROUGH : LEG_EMULATED;
		break;
	case SWITCH_RELEASE:
		sw->f.prepared = false;
		break;
	case SWITCH_PREPARE:
		sw->f.prepared = true;
		break;
	case SWITCH_PLUG:
		book_plugged(sw);
		break;
	case SWITCH_REPLUG:
		switch_book_replugged(sw);
		break;
	case SWITCH_DROP_STANDBY:
		sw->f.standby = FILTER_NO;
		break;
	case SWITCH_AWAIT_DRIVER:
	case SWITCH_ACTION_NUM_:
		break;
	}
}

void switch_book_end(struct leg_switch *sw, enum switch_action action, int r)
{
	if (r >= 0)
		book_success(sw, action);
	else if (action == SWITCH_PLUG && (r == -ETIMEDOUT || r == -ECONNRESET))
		book_plugged(sw); /* maybe: then it is to be unplugged, and one that is not there is no failure */
}
