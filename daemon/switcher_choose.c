/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operator's choice of a leg. It is recorded before the switch hears of it, and stays so across a restart of gangwayd. The record has the
 * emulated leg in it, which belongs to the action that is under way: so a choice that comes meanwhile waits for the action's end, as the
 * switch itself would.
 */
#include <errno.h>
#include <string.h>

#include "attach.h"
#include "ctl.h"
#include "daemon.h"
#include "guests.h"
#include "lease.h"
#include "log.h"
#include "switcher_internal.h"
#include "sys.h"

/* --- recorded --- */

static void choose(struct switcher *s, int r, const struct err *why)
{
	struct lease *l = s->lease;
	struct err err;

	s->choice_due = false;
	if (r == 0) {
		r = switch_choose(s->sw, s->wanted, switcher_now_ms(s), &err);
		why = &err;
	}
	if (r == 0)
		return;
	l->stay_emulated = s->stayed;
	log_warn("%s", why->msg);
	switcher_answer(s, why);
}

/* @r: of the record. The action that ended meanwhile is booked now. */
static void recorded(struct switcher *s, int r, const struct err *err)
{
	struct lease *l = s->lease;

	if (l->daemon->stopping)
		return;
	if (l->end_why[0]) {
		attach_unbusy(l); /* the lease ends now, and @s with it */
		return;
	}
	l->busy = NULL;
	choose(s, r, err);
	if (s->held) {
		s->held = false;
		switch_done(s->sw, s->held_r, &s->held_err, switcher_now_ms(s));
	}
	switcher_settle(s);
}

void switcher_record_choice(struct switcher *s)
{
	struct lease *l = s->lease;
	struct err err;

	if (switcher_record(s, "the choice of its leg is being recorded", recorded) == 0)
		return;
	err_set(&err, -ENOMEM, "daemon.no-memory", "lease %s: no memory to record the choice of its leg", l->id);
	recorded(s, -ENOMEM, &err);
}

/* --- asked for --- */

static int cannot_now(const struct lease *l, struct err *err)
{
	const char *what = lease_state_to_string(l->state);

	if (!attach_has(l) && l->left)
		what = "left behind by its guest, which has migrated";
	else if (!attach_has(l) && l->state == LEASE_ATTACHED)
		what = l->confirmed ? "without a standby in the guest" : "not confirmed by its guest's VMM yet";
	err_set(err, -EBUSY, "lease.busy", "lease %s: it is %s, nothing to switch now", l->id, what);
	err_hint(err, "`gangway status %s` shows when that is over", l->guest);
	return -EBUSY;
}

static int is_busy(const struct lease *l, struct err *err)
{
	err_set(err, -EBUSY, "lease.busy", "lease %s: %s", l->id, l->sw->req ? "it is being switched already" : l->busy);
	err_hint(err, "`gangway status %s` shows how far it is", l->guest);
	return -EBUSY;
}

/* What nobody waits for any more must not keep the operator from another choice: a paused guest may stay so for days. */
static void forget_abandoned(struct switcher *s)
{
	struct err err;

	if (!s->req || s->choice_due || !ctl_is_abandoned(s->req))
		return;
	err_set(&err, -ECANCELED, "switch.ended", "lease %s: another choice has come", s->lease->id);
	switcher_answer(s, &err);
}

static int find(struct daemon *d, const char *guest, const char *nic, struct lease **ret, struct err *err)
{
	struct lease *l = NULL;
	struct guest *g;
	int r = guest_get(d, guest, &g, err);

	if (r < 0)
		return r;
	r = lease_get(d, guest, nic, "switch", " LEG", &l, err);
	if (r < 0)
		return r;
	if (!l->emul) {
		err_set(err, -EOPNOTSUPP, "switch.no-standby", "lease %s: it has no emulated leg to switch to", l->id);
		err_hint(err, "gangway detach %s %s, then attach it with --standby macvtap", l->guest, l->nic);
		return -EOPNOTSUPP;
	}
	if (!l->sw || attach_has(l) || l->sw->left)
		return cannot_now(l, err);
	forget_abandoned(l->sw);
	if (l->sw->req || (l->busy && l->sw->action == SWITCH_ACTION_NUM_))
		return is_busy(l, err);
	*ret = l;
	return 0;
}

/* Will the switch refuse it? Then it is asked at once, and nothing is recorded. */
static int ask_first(struct switcher *s, enum lease_leg leg, struct err *err)
{
	struct switch_facts facts;

	switch_get_facts(s->sw, &facts);
	if (leg != LEG_EMULATED || !s->config.unplug_unsafe || facts.place != PLACE_IN)
		return 0;
	return switch_choose(s->sw, leg, switcher_now_ms(s), err);
}

void switcher_choose(struct daemon *d, struct ctl_req *req, const char *guest, const char *nic, enum lease_leg leg)
{
	struct lease *l = NULL;
	struct switcher *s;
	struct err err;
	int r;

	err_clear(&err);
	r = find(d, guest, nic, &l, &err);
	if (r == 0)
		r = ask_first(l->sw, leg, &err); /* NOLINT(clang-analyzer-core.NullDereference): find() gave one, and 0 */
	if (r < 0) {
		ctl_fail(req, &err);
		return;
	}
	s = l->sw;
	s->asked_us = d->sys->ops->now_us(d->sys);
	s->wanted = leg;
	s->req = req;
	s->nr_shown = 0;
	s->shown[0] = '\0';
	s->stayed = l->stay_emulated;
	s->choice_due = true;
	l->stay_emulated = leg == LEG_EMULATED;
	if (s->action == SWITCH_ACTION_NUM_)
		switcher_record_choice(s); /* else when the action has ended */
}
