/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * switch_words: what a switch (switch.h) speaks in: its states, the actions it asks for, the facts it goes by, the events it is told of.
 * What a step waits for is said there, who does what here.
 */
#ifndef GANGWAY_SWITCH_WORDS_H
#define GANGWAY_SWITCH_WORDS_H

#include <stdbool.h>

enum switch_state {
	SWITCH_OFF,
	SWITCH_EMULATED,
	SWITCH_TO_PASSTHROUGH,
	SWITCH_PASSTHROUGH,
	SWITCH_TO_EMULATED,
	SWITCH_STATE_NUM_
};
const char *switch_state_to_string(enum switch_state state);
bool switch_transition_legal(enum switch_state from, enum switch_state to);

enum switch_action {
	SWITCH_READY_STANDBY, /* the standby NIC is in the guest, its link up; plug it or bring it up if not */
	SWITCH_STEER_BOTH, /* the guest's MAC leads to both legs, as far as there is a VF */
	SWITCH_UNPLUG, /* vmm_unplug(): a device that is not there is success. -EAGAIN, -EBUSY, -ETIMEDOUT: asked again */
	SWITCH_REVOKE_DMA, /* the guest keeps the VF: unmap, bus master off */
	SWITCH_DROP_VF, /* the MAC leads to the VF no more */
	SWITCH_ANNOUNCE, /* gratuitous ARP, unsolicited NA, RARP; a failure is survived */
	SWITCH_RELEASE, /* unmap, reset; free the VF or keep it reserved, as the daemon sees fit */
	SWITCH_PREPARE, /* a VF: reserve, bind, policy, open. -ENODEV: none is free, wait for SWITCH_EV_VF_FREE */
	SWITCH_PLUG, /* vmm_plug(). Where it failed with -ETIMEDOUT or -ECONNRESET, the device may be there: ask, and say SWITCH_EV_DELETED
	 * if not. Where nobody does, it is late in SWITCH_AWAIT_DRIVER, and unplugged; a VMM that must not be asked for that has it for ever */
	SWITCH_REPLUG, /* vmm_replug(): the VMM plugs back what it holds, by itself */
	SWITCH_AWAIT_DRIVER, /* never asked for: the guest drives the VF */
	SWITCH_DROP_STANDBY, /* the MAC leads to the standby no more */
	SWITCH_ACTION_NUM_,
};
const char *switch_action_to_string(enum switch_action action);

/* Does the guest's MAC lead there? */
enum switch_filter {
	FILTER_NO,
	FILTER_MAYBE, /* being changed, failed half-way, or not known */
	FILTER_YES,
};
enum switch_place {
	PLACE_OUT, /* the VMM does not have the VF */
	PLACE_IN, /* it is plugged */
	PLACE_HELD, /* the guest has let it go, the VMM keeps it, to plug it back itself (failover unplug of a migration) */
};
struct switch_facts {
	bool prepared; /* a VF is bound, has its policy, and is open */
	enum switch_place place;
	bool driven; /* the guest's driver has started it: bus master on, vectors armed, and it can receive */
	bool revoked; /* its DMA was taken away because the guest did not let go; or some of it, where that failed */
	enum switch_filter vf, standby;
};

enum switch_event {
	SWITCH_EV_RUNNING, /* the guest's CPUs run: RESUME, WAKEUP */
	SWITCH_EV_STOPPED, /* they do not: STOP, SUSPEND */
	SWITCH_EV_RESET, /* the guest reboots */
	SWITCH_EV_NEGOTIATED, /* its virtio driver started and knows failover */
	SWITCH_EV_DRIVEN, /* its VF driver has started, so far that the VF can receive ... */
	SWITCH_EV_UNDRIVEN, /* ... has stopped. Both are levels: say each change, and after SWITCH_EV_REPLUGGED how it is */
	SWITCH_EV_DELETED, /* the VF has left the VMM for good */
	SWITCH_EV_ASKED, /* the VMM has asked the guest to let go */
	SWITCH_EV_LET_GO, /* the guest has let go, the VMM has not: PLACE_HELD */
	SWITCH_EV_REPLUGGED, /* the VMM has plugged it back itself, or it never left */
	SWITCH_EV_REFUSED, /* the guest will not let go of what the VMM asked for */
	SWITCH_EV_MIGRATING, /* the VMM takes neither device_add nor device_del, and unplugs the VF itself */
	SWITCH_EV_MIGRATED, /* it takes them again */
	SWITCH_EV_VF_FREE, /* a VF that fits has become free */
	SWITCH_EVENT_NUM_,
};

#endif
