/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does the guest use its VF? Looked at for as long as the switch waits for that.
 *
 * A driver switches bus mastering and vectors on early in its probe, long before it can receive; and a guest goes on sending by its standby
 * until that driver has seen a link (igbvf looks for it every 2 s). Nothing tells us when. So it takes three things, one after the other:
 * bus mastering and vectors are on; the VF has interrupted, which a driver that has brought its interface up lets it do for the link; and
 * settle_ms have passed, the last of them without a frame from the guest by its standby. Until then both legs carry. Of a guest that was
 * busy sending by its standby, silence there is not enough: its VF has to interrupt meanwhile. One that is silent on both stands still, as a slow
 * guest does while its driver starts, and that says nothing.
 *
 * A VF may interrupt and nobody but the guest hear of it: where the IOMMU posts interrupts to the vCPU, and on kernels that do not count
 * them in sysfs. There the second is waited for no longer than half the time that a guest's driver has, or not at all.
 *
 * A guest may also drive its VF and not use it: net_failover takes no primary with another MAC, nor one that is itself a virtio NIC. What tells is
 * a VF that was never heard and a standby that goes on sending, to the deadline: then the standby keeps carrying.
 */
#include <errno.h>

#include "daemon.h"
#include "emul.h"
#include "irq_count.h"
#include "lease.h"
#include "log.h"
#include "switcher_internal.h"

/* There is no event for an interrupt of somebody else's. A look is a small file for each vector of this VF. */
#define IRQ_POLL_MS 100

/* A guest that goes on sending by its standby has a VF without a link; it is on it all the same after so many times settle_ms. */
#define SETTLE_TIMES_MAX 6

/* So many frames at least make a guest a busy one; silence that is so many times as long as their distance is no pause. */
#define BUSY_FRAMES 10
#define BUSY_TIMES 8
#define BUSY_LOOKS 3 /* at its VF, which had interrupted each time */

/* Until when the VF's first interrupt is waited for: so that there is time left to settle in before the deadline. */
static uint64_t silent_until(const struct switcher *s, const struct switch_status *status)
{
	const struct config *c = &s->lease->daemon->config;
	uint64_t until = s->driving_since + c->guest_timeout_ms / 2, last = status->deadline_ms;

	if (status->step != SWITCH_AWAIT_DRIVER || last == CAUSE_NEVER)
		return until;
	last -= c->settle_ms + IRQ_POLL_MS;
	return last < until ? last : until;
}

/* Has the VF interrupted since it was plugged, or is that not to be waited for? */
static bool is_up(struct switcher *s, const struct switch_status *status, uint64_t now)
{
	const struct lease *l = s->lease;

	if (s->up_since)
		return true;
	if (s->irqs == 0 && s->irqs_told && now < silent_until(s, status))
		return false;
	s->unheard = s->irqs == 0 && s->irqs_told;
	if (s->unheard)
		log_info("lease %s: VF %s: no interrupt of it was counted in the %llu ms since its driver started: taken for up",
			 l->id, l->vf_bdf, (unsigned long long)(now - s->driving_since));
	s->up_since = now;
	return true;
}

static void take_irqs(struct switcher *s, uint64_t now)
{
	uint64_t nr;

	if (now < s->irqs_at)
		return;
	s->irqs_at = now + IRQ_POLL_MS;
	s->irqs_told = irq_count(s->lease->daemon->sys, s->lease->vf_bdf, &nr) == 0;
	s->nr_lively += nr > s->irqs;
	s->irqs = nr;
}

static void take_sent(struct switcher *s, uint64_t now)
{
	uint64_t sent = emul_leg_frames_from_guest(s->lease->emul);

	if (!s->driving_since)
		s->sent_before = sent;
	if (!s->driving_since || sent != s->sent) {
		s->quiet_since = now;
		s->nr_lively = 0;
	}
	s->sent = sent;
}

static bool is_quiet(const struct switcher *s, uint64_t now)
{
	return now >= s->quiet_since + s->lease->daemon->config.settle_ms / 5;
}

/* It was sending by its standby all the time. If it is silent now, has it gone over, or does it stand still? Then its VF is silent, too. */
static bool was_busy(const struct switcher *s)
{
	return s->sent - s->sent_before >= BUSY_FRAMES;
}

static bool has_gone_over(const struct switcher *s, uint64_t now)
{
	uint64_t distance = (s->quiet_since - s->driving_since) / (s->sent - s->sent_before + 1);

	return is_quiet(s, now) && now - s->quiet_since >= BUSY_TIMES * distance && s->nr_lively >= BUSY_LOOKS;
}

/* A VF that was heard is never given up at the deadline because its guest sends by the standby. */
static bool has_settled(const struct switcher *s, const struct switch_status *status, uint64_t now)
{
	unsigned settle = s->lease->daemon->config.settle_ms;

	if (now < s->up_since + settle)
		return false;
	if (s->unheard)
		return is_quiet(s, now);
	if (status->step == SWITCH_AWAIT_DRIVER && now >= status->deadline_ms)
		return true;
	if (now >= s->up_since + settle * (uint64_t)SETTLE_TIMES_MAX)
		return true;
	return was_busy(s) && s->irqs_told ? has_gone_over(s, now) : is_quiet(s, now);
}

static bool uses_its_vf(struct switcher *s)
{
	uint64_t now = switcher_now_ms(s);
	struct switch_status status;

	if (!lease_vf_is_driven(s->lease)) {
		switcher_forget_driver(s);
		return false;
	}
	if (s->settled)
		return true;
	switch_get_status(s->sw, &status);
	take_sent(s, now);
	take_irqs(s, now);
	if (!s->driving_since)
		s->driving_since = now;
	s->settled = is_up(s, &status, now) && has_settled(s, &status, now);
	return s->settled;
}

void switcher_forget_driver(struct switcher *s)
{
	s->driving_since = 0;
	s->up_since = 0;
	s->irqs_at = s->irqs = 0;
	s->unheard = false;
	s->settled = false;
}

void switcher_look_at_driver(struct switcher *s, bool always)
{
	bool driven = uses_its_vf(s);
	struct switch_facts facts;

	switch_get_facts(s->sw, &facts);
	if (driven != facts.driven || always)
		switch_event(s->sw, driven ? SWITCH_EV_DRIVEN : SWITCH_EV_UNDRIVEN, switcher_now_ms(s));
}
