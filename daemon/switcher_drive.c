/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does the guest use its VF? Looked at for as long as the switch waits for that. */
#include "daemon.h"
#include "emul.h"
#include "lease.h"
#include "switcher_internal.h"

/* A guest that goes on sending by its standby has a VF without a link; it is on it all the same after so many times settle_ms. */
#define SETTLE_TIMES_MAX 6

/*
 * A guest sends by its standby until the VF's driver has seen a link, and nothing tells us when (igbvf looks for it every 2 s). So the VF
 * counts as driven when its driver started a while ago and the guest has sent nothing by its standby for a moment; until then both legs carry.
 */
static bool uses_its_vf(struct switcher *s)
{
	uint64_t now = switcher_now_ms(s), sent = emul_leg_frames_from_guest(s->lease->emul);
	unsigned settle = s->lease->daemon->config.settle_ms;

	if (!lease_vf_is_driven(s->lease)) {
		s->driving_since = 0;
		return false;
	}
	if (!s->driving_since || sent != s->sent)
		s->quiet_since = now;
	if (!s->driving_since)
		s->driving_since = now;
	s->sent = sent;
	return (now >= s->driving_since + settle && now >= s->quiet_since + settle / 5) ||
	       now >= s->driving_since + settle * (uint64_t)SETTLE_TIMES_MAX;
}

void switcher_look_at_driver(struct switcher *s, bool always)
{
	bool driven = uses_its_vf(s);
	struct switch_facts facts;

	switch_get_facts(s->sw, &facts);
	if (driven != facts.driven || always)
		switch_event(s->sw, driven ? SWITCH_EV_DRIVEN : SWITCH_EV_UNDRIVEN, switcher_now_ms(s));
}
