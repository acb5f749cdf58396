/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said of a switch: words, status, when it wants to be called. And what it does unless it is told otherwise. */
#include "switch_internal.h"

const struct switch_config switch_defaults = {
	.cause = { .return_delay_ms = 3000,
		   .rate_max = 6,
		   .rate_window_ms = 60000,
		   .backoff_first_ms = 1000,
		   .backoff_max_ms = 300000 },
	.action_ms = 10000,
	.plug_ms = 60000,
	.drive_ms = 60000,
	.unplug_ms = 10000,
	.unplug_deadline_ms = 30000,
	.busy_ms = 500,
	.retry_first_ms = 500,
	.retry_max_ms = 60000,
};

static const char *const state_names[SWITCH_STATE_NUM_] = {
	[SWITCH_OFF] = "off",
	[SWITCH_EMULATED] = "emulated",
	[SWITCH_TO_PASSTHROUGH] = "to-passthrough",
	[SWITCH_PASSTHROUGH] = "passthrough",
	[SWITCH_TO_EMULATED] = "to-emulated",
};

static const char *const action_names[SWITCH_ACTION_NUM_] = {
	[SWITCH_READY_STANDBY] = "ready-standby",
	[SWITCH_STEER_BOTH] = "steer-both",
	[SWITCH_UNPLUG] = "unplug",
	[SWITCH_REPLUG] = "replug",
	[SWITCH_REVOKE_DMA] = "revoke-dma",
	[SWITCH_DROP_VF] = "drop-vf",
	[SWITCH_ANNOUNCE] = "announce",
	[SWITCH_RELEASE] = "release",
	[SWITCH_PREPARE] = "prepare",
	[SWITCH_PLUG] = "plug",
	[SWITCH_AWAIT_DRIVER] = "await-driver",
	[SWITCH_DROP_STANDBY] = "drop-standby",
};

const char *switch_state_to_string(enum switch_state state)
{
	return state < SWITCH_STATE_NUM_ ? state_names[state] : "?";
}

const char *switch_action_to_string(enum switch_action action)
{
	return action < SWITCH_ACTION_NUM_ ? action_names[action] : "?";
}

uint64_t switch_wake_ms(const struct leg_switch *sw)
{
	uint64_t wake = sw->step_told ? CAUSE_NEVER : switch_deadline(sw);
	struct verdict v;

	if (sw->busy)
		return sw->pending_until;
	if (sw->state == SWITCH_EMULATED) {
		causes_decide(sw->causes, sw->now, &v);
		return v.wake_ms;
	}
	if (!sw->at)
		return CAUSE_NEVER;
	if (!sw->hold && sw->retry_at > sw->now && sw->retry_at < wake)
		wake = sw->retry_at;
	return wake;
}

/* --- what is said --- */

static enum lease_leg carrying_leg(const struct leg_switch *sw)
{
	if (sw->state == SWITCH_OFF)
		return LEG_NONE;
	return sw->f.place == PLACE_IN && sw->f.driven && !sw->f.revoked && sw->f.vf != FILTER_NO ? LEG_PASSTHROUGH
												  : LEG_EMULATED;
}

void switch_get_status(const struct leg_switch *sw, struct switch_status *ret)
{
	bool stuck = sw->config->unplug_unsafe && !sw->migrating;
	struct verdict v;

	causes_decide(sw->causes, sw->now, &v);
	*ret = (struct switch_status){
		.state = sw->state,
		.why = sw->why,
		.leg = carrying_leg(sw),
		.reason = v.reason,
		.since_ms = v.since_ms,
		.wait = v.wait,
		.step = sw->busy ? sw->pending
			: sw->at ? sw->at->action
				 : SWITCH_ACTION_NUM_,
		.hold = sw->hold,
		.deadline_ms = switch_deadline(sw),
		.error = sw->error.num ? &sw->error : NULL,
	};
	if (ret->leg == LEG_PASSTHROUGH)
		ret->reason = stuck && v.wait == CAUSE_WAIT_CAUSE ? REASON_VMM_UNPLUG_UNSAFE : REASON_NONE;
	else if (stuck && sw->f.place == PLACE_HELD && v.wait == CAUSE_WAIT_NOTHING)
		ret->reason = REASON_VMM_UNPLUG_UNSAFE;
}

void switch_get_facts(const struct leg_switch *sw, struct switch_facts *ret)
{
	*ret = sw->f;
}
