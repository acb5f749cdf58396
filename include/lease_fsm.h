/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lease_fsm: the states of a lease, the legal transitions between them, its legs, and the reasons for not being on the VF.
 * Words are stable: operators' scripts read them (docs/control-protocol.md).
 */
#ifndef GANGWAY_LEASE_FSM_H
#define GANGWAY_LEASE_FSM_H

#include <stdbool.h>

enum lease_state {
	LEASE_ATTACHING, /* the attach table runs, or ran and is being undone */
	LEASE_PREPARED, /* everything is ready for a guest that has not been started */
	LEASE_ATTACHED, /* the guest has the VF */
	LEASE_DETACHING, /* the undo column runs */
	LEASE_FAILED, /* undoing stopped half-way: detach tries again; or not prepared again yet after a boot. See the lease's error */
	LEASE_GONE, /* ended; nothing refers to it any more */
	LEASE_STATE_NUM_,
};

enum lease_leg { LEG_NONE, LEG_PASSTHROUGH, LEG_EMULATED, LEG_NUM_ };

enum lease_reason {
	REASON_NONE,
	REASON_OPERATOR,
	REASON_MIGRATION,
	REASON_SNAPSHOT,
	REASON_POSTCOPY,
	REASON_MEMORY_COW,
	REASON_MEMORY_PRESSURE,
	REASON_MEMORY_NOT_RESIDENT,
	REASON_MEMORY_PRIVATE,
	REASON_PF_DOWN,
	REASON_VF_FAULT,
	REASON_NO_VF,
	REASON_GUEST_NO_DRIVER,
	REASON_VMM_UNPLUG_UNSAFE,
	REASON_DEVICE_PROCESS_LOST,
	REASON_NUM_,
};

const char *lease_state_to_string(enum lease_state state);
/* LEASE_STATE_NUM_ when @s is none. */
enum lease_state lease_state_from_string(const char *s);
const char *lease_leg_to_string(enum lease_leg leg);
const char *lease_reason_to_string(enum lease_reason reason); /* REASON_NONE: NULL */

/* May a lease go from @from to @to? */
bool lease_transition_legal(enum lease_state from, enum lease_state to);

#endif
