/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *                 +-----------> PREPARED <---+
 *                 |                |  |      |  (its guest starts and ends)
 *   ATTACHING ----+--> ATTACHED <--+--|------+
 *       |               |             |
 *       |               v             v
 *       |           DETACHING <-------+
 *       |            |     ^
 *       v            v     |
 *      GONE <------ GONE  FAILED <-- ATTACHING, DETACHING whose undo got stuck
 *
 * A prepared lease that cannot be prepared again after a boot of the host is FAILED, too, and ATTACHING whenever that is tried.
 */
#include "lease_fsm.h"

#include <stddef.h>
#include <string.h>

static const char *const state_names[LEASE_STATE_NUM_] = {
	[LEASE_ATTACHING] = "attaching", [LEASE_PREPARED] = "prepared", [LEASE_ATTACHED] = "attached",
	[LEASE_DETACHING] = "detaching", [LEASE_FAILED] = "failed",	[LEASE_GONE] = "gone",
};

static const char *const leg_names[LEG_NUM_] = {
	[LEG_NONE] = "none",
	[LEG_PASSTHROUGH] = "passthrough",
	[LEG_EMULATED] = "emulated",
};

static const char *const reason_names[REASON_NUM_] = {
	[REASON_OPERATOR] = "operator",
	[REASON_MIGRATION] = "migration",
	[REASON_SNAPSHOT] = "snapshot",
	[REASON_POSTCOPY] = "postcopy",
	[REASON_MEMORY_COW] = "memory-cow",
	[REASON_MEMORY_PRESSURE] = "memory-pressure",
	[REASON_MEMORY_NOT_RESIDENT] = "memory-not-resident",
	[REASON_MEMORY_PRIVATE] = "memory-private",
	[REASON_PF_DOWN] = "pf-down",
	[REASON_VF_FAULT] = "vf-fault",
	[REASON_NO_VF] = "no-vf",
	[REASON_GUEST_NO_DRIVER] = "guest-no-driver",
	[REASON_VMM_UNPLUG_UNSAFE] = "vmm-unplug-unsafe",
	[REASON_DEVICE_PROCESS_LOST] = "device-process-lost",
};

/* row: from, column: to */
static const bool legal[LEASE_STATE_NUM_][LEASE_STATE_NUM_] = {
	[LEASE_ATTACHING] = { [LEASE_PREPARED] = true, [LEASE_ATTACHED] = true, [LEASE_FAILED] = true, [LEASE_GONE] = true },
	[LEASE_PREPARED] = { [LEASE_ATTACHED] = true, [LEASE_DETACHING] = true, [LEASE_GONE] = true },
	[LEASE_ATTACHED] = { [LEASE_PREPARED] = true, [LEASE_DETACHING] = true, [LEASE_GONE] = true },
	[LEASE_DETACHING] = { [LEASE_ATTACHED] = true, [LEASE_FAILED] = true, [LEASE_GONE] = true },
	[LEASE_FAILED] = { [LEASE_ATTACHING] = true, [LEASE_DETACHING] = true, [LEASE_GONE] = true },
};

const char *lease_state_to_string(enum lease_state state)
{
	return state < LEASE_STATE_NUM_ ? state_names[state] : "?";
}

enum lease_state lease_state_from_string(const char *s)
{
	unsigned i;

	for (i = 0; i < LEASE_STATE_NUM_; i++)
		if (!strcmp(s, state_names[i]))
			break;
	return (enum lease_state)i;
}

const char *lease_leg_to_string(enum lease_leg leg)
{
	return leg < LEG_NUM_ ? leg_names[leg] : "?";
}

const char *lease_reason_to_string(enum lease_reason reason)
{
	return reason < REASON_NUM_ ? reason_names[reason] : "?";
}

bool lease_transition_legal(enum lease_state from, enum lease_state to)
{
	return from < LEASE_STATE_NUM_ && to < LEASE_STATE_NUM_ && legal[from][to];
}
