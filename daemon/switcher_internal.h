/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the switcher files share. */
#ifndef GANGWAY_SWITCHER_INTERNAL_H
#define GANGWAY_SWITCHER_INTERNAL_H

#include <stdint.h>
#include <systemd/sd-event.h>

#include "err.h"
#include "migration.h"
#include "switch.h"
#include "switcher.h"

struct switcher {
	struct lease *lease;
	struct switch_config config;
	struct leg_switch *sw;
	struct migration *migration;
	sd_event_source *timer;
	enum switch_action action; /* under way; SWITCH_ACTION_NUM_: none */
	bool driven; /* as the switch was told last */
	uint64_t driving_since; /* milliseconds: the guest's driver has started the VF; 0: it has not */
	uint64_t sent, quiet_since; /* frames that the guest has sent by its standby, and since when no more */
	bool left; /* the guest runs elsewhere: the lease is to end, once nothing is under way */

	struct ctl_req *req; /* waits for @wanted; NULL: nobody does */
	enum lease_leg wanted;
	uint64_t asked_us; /* when */
};

uint64_t switcher_now_ms(const struct switcher *s);
/* The begin of an action: as struct switch_ops wants it. switcher_act.c */
int switcher_act(void *ctx, enum switch_action action, unsigned deadline_ms, struct err *err);
/* It has ended. */
void switcher_acted(struct switcher *s, int r, const struct err *err);

#endif
