/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest has migrated away: its VMM has no guest to run, keeps the VF until it ends itself, and the lease ends with it. Or it was no migration
 * but a file that the guest was saved to, which nothing tells, and the VMM is told to go on (QMP cont): then its guest needs its NIC as before.
 */
#include <errno.h>
#include <systemd/sd-event.h>

#include "daemon.h"
#include "lease.h"
#include "log.h"
#include "switcher_internal.h"

#define CLEAR_AGAIN_MS 500 /* while something else has the lease */

/* Else what this host sends to the guest would end here. The VF first: the switch may not have come so far. */
static const enum switch_action cleared[] = { SWITCH_DROP_VF, SWITCH_DROP_STANDBY };
#define NR_CLEARED (sizeof(cleared) / sizeof(cleared[0]))

static void clear_next(struct switcher *s)
{
	struct lease *l = s->lease;
	struct err err;

	if (s->nr_cleared == NR_CLEARED || switcher_act(s, cleared[s->nr_cleared], 0, &err) == 0)
		return;
	log_debug("lease %s: %s, tried again", l->id, err.msg);
	if (sd_event_source_set_time(s->timer, (switcher_now_ms(s) + CLEAR_AGAIN_MS) * 1000) < 0 ||
	    sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT) < 0)
		log_err("lease %s: no timer for its switch", l->id);
}

void switcher_cleared(struct switcher *s, int r, const struct err *err)
{
	if (r < 0)
		log_warn("lease %s: its guest has left, and its MAC still leads here: %s, ignoring", s->lease->id,
			 err ? err->msg : "?");
	s->nr_cleared++;
}

static void stay_until_vmm_ends(struct switcher *s)
{
	struct lease *l = s->lease;
	struct err err;

	log_info("lease %s: the guest has migrated away, its VMM keeps the VF until it ends", l->id);
	lease_set_leg(l, LEG_NONE, REASON_MIGRATION);
	err_set(&err, -ECANCELED, "switch.ended", "lease %s: not switched: the guest has migrated away", l->id);
	switcher_answer(s, &err);
}

void switcher_left(struct switcher *s)
{
	struct lease *l = s->lease;
	bool said = l->left;

	l->left = true;
	if (!said)
		stay_until_vmm_ends(s);
	clear_next(s);
}

void switcher_comes_back(struct switcher *s)
{
	struct lease *l = s->lease;
	struct switch_facts facts = { .prepared = true,
				      .place = s->had_vf ? PLACE_HELD : PLACE_OUT,
				      .vf = FILTER_MAYBE,
				      .standby = FILTER_MAYBE,
				      .revoked = s->had_vf && s->had_revoked };

	if (!s->left || l->end_why[0])
		return; /* it has not, or what it had here is to be undone */
	log_info("lease %s: the guest goes on here after all", l->id);
	s->left = l->left = false;
	s->nr_cleared = 0;
	switcher_forget_driver(s);
	switcher_begin_causes(s);
	switch_begin(s->sw, &facts, true, switcher_now_ms(s));
}
