/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens to a lease that has a switcher: in its guest, on the host. */
#include <string.h>

#include "attach.h"
#include "daemon.h"
#include "guests.h"
#include "lease.h"
#include "log.h"
#include "switcher_internal.h"
#include "vmm.h"
#include "vmm_migrate.h"

/*
 * A VMM plugs the VF of a pair by itself when its guest negotiates failover anew, and what left it while nobody listened is not told later.
 * Not while an action is under way, which may say the same, or change it: it is looked at once more then.
 */
static void found(struct switcher *s, bool in)
{
	struct lease *l = s->lease;
	struct switch_facts facts;
	struct guest *g;

	if (s->action != SWITCH_ACTION_NUM_ || s->held || migration_role(s->migration) == MIGRATION_SOURCE) {
		s->look_due = true;
		return;
	}
	switch_get_facts(s->sw, &facts);
	if (in == (facts.place == PLACE_IN) || (in && facts.place == PLACE_HELD))
		return; /* what the VMM holds is in its tree, too */
	if (!in) {
		switch_event(s->sw, SWITCH_EV_DELETED, switcher_now_ms(s));
		return;
	}
	g = guest_find(l->daemon, l->guest);
	log_info("lease %s: the VMM has plugged the VF by itself", l->id);
	facts = (struct switch_facts){ .prepared = true, .place = PLACE_IN, .vf = FILTER_MAYBE, .standby = FILTER_MAYBE };
	switcher_forget_driver(s);
	switch_stop(s->sw, "the VMM has plugged the VF by itself", switcher_now_ms(s));
	switch_begin(s->sw, &facts, g && !strcmp(vmm_run_state(g->vmm), "running"), switcher_now_ms(s));
}

/* @anew: it comes back, or may: that its driver has it again, if so, is yet to settle. Else only what went unheard is noticed. */
static void look_at_driver(struct switcher *s, bool anew)
{
	struct switch_facts facts;

	switch_get_facts(s->sw, &facts);
	if (facts.place != PLACE_IN)
		return;
	if (anew)
		switcher_forget_driver(s);
	switcher_look_at_driver(s, anew);
}

void switcher_found(struct lease *l, bool in)
{
	struct guest *g = guest_find(l->daemon, l->guest);
	struct switcher *s = l->sw;
	bool running = g && !strcmp(vmm_run_state(g->vmm), "running");

	if (!s)
		return;
	if (s->left) { /* what its VMM has still, nobody is to be led to */
		s->had_vf = in;
		if (running)
			switcher_comes_back(s);
		switcher_settle(s);
		return;
	}
	/* of a call that the connection was lost with: what it asked for has not begun */
	if (g && !g->migrate && migration_role(s->migration) == MIGRATION_NONE)
		migration_set_snapshot(s->migration, false, switcher_now_ms(s));
	/* while the connection was lost, it may have been paused or have gone on */
	switch_event(s->sw, running ? SWITCH_EV_RUNNING : SWITCH_EV_STOPPED, switcher_now_ms(s));
	switcher_missed(s);
	found(s, in);
	look_at_driver(s, false);
	if (s->negotiated) {
		s->negotiated = false;
		migration_event(s->migration, "FAILOVER_NEGOTIATED", l->standby_id, switcher_now_ms(s));
	}
	switcher_settle(s);
}

bool switcher_has_vf(const struct lease *l)
{
	struct switch_facts facts;

	if (!l->sw)
		return false;
	switch_get_facts(l->sw->sw, &facts);
	return facts.place != PLACE_OUT;
}

bool switcher_uses_vf(const struct lease *l)
{
	struct switch_status status;
	struct switch_facts facts;

	if (!l->sw)
		return false;
	switch_get_facts(l->sw->sw, &facts);
	switch_get_status(l->sw->sw, &status);
	return facts.place == PLACE_IN && (status.state == SWITCH_PASSTHROUGH || status.state == SWITCH_TO_PASSTHROUGH);
}

bool switcher_cannot_leave(const struct lease *l)
{
	return switcher_has_vf(l) && switch_hold(l->sw->sw, SWITCH_UNPLUG);
}

/*
 * A guest that has left does not run here: QEMU stops it before it says that the migration is complete. So what has ended was a snapshot,
 * whoever took it, also where a former gangwayd was told so.
 */
static bool is_snapshot(const struct switcher *s, const char *event, const char *word)
{
	const struct guest *g = guest_find(s->lease->daemon, s->lease->guest);

	return !strcmp(event, "MIGRATION") && word && !strcmp(word, "completed") &&
	       migration_role(s->migration) == MIGRATION_SOURCE && g && !strcmp(vmm_run_state(g->vmm), "running");
}

/*
 * The guest has taken failover, and its VMM may just have plugged the VF that it had before, see vmm_standby.h: nobody plugs it once more
 * before that is known.
 */
static bool is_to_be_looked_at(struct switcher *s, const char *event, const char *word)
{
	struct switch_facts facts;

	switch_get_facts(s->sw, &facts);
	if (facts.place != PLACE_OUT || strcmp(event, "FAILOVER_NEGOTIATED") != 0)
		return false;
	s->negotiated = s->negotiated || (word && !strcmp(word, s->lease->standby_id));
	attach_look_again(s->lease);
	return true;
}

/* The guest may have been asked for its VF while nobody listened: it has let it go then before the first that is heard of the migration. */
static void look_for_unheard(struct switcher *s)
{
	const struct guest *g = guest_find(s->lease->daemon, s->lease->guest);
	struct switch_facts before, after;
	struct vmm_migration m;

	switch_get_facts(s->sw, &before);
	look_at_driver(s, false);
	switch_get_facts(s->sw, &after);
	if (!g || !before.driven || after.driven || migration_role(s->migration) != MIGRATION_NONE)
		return;
	vmm_get_migration(g->vmm, &m);
	if (vmm_mig_is_under_way(m.status))
		migration_event(s->migration, "UNPLUG_PRIMARY", s->lease->device_id, switcher_now_ms(s));
}

/* The VF is in the guest again without our doing. */
static bool is_back(const struct switcher *s, const struct switch_facts *before, bool migrated)
{
	struct switch_facts after;

	switch_get_facts(s->sw, &after);
	return after.place == PLACE_IN &&
	       (before->place != PLACE_IN || (migrated && !after.driven && migration_role(s->migration) == MIGRATION_NONE));
}

static void tell(struct switcher *s, const char *event, const json_t *data)
{
	const char *member = migration_word_of(event);
	const char *word = member ? json_string_value(json_object_get(data, member)) : NULL;
	bool migrated = migration_role(s->migration) == MIGRATION_SOURCE;
	struct switch_facts before;

	if (!strcmp(event, "RESUME"))
		switcher_comes_back(s);
	if (is_snapshot(s, event, word))
		migration_set_snapshot(s->migration, true, switcher_now_ms(s));
	if (is_to_be_looked_at(s, event, word)) {
		switcher_settle(s);
		return;
	}
	if (!strcmp(event, "MIGRATION"))
		look_for_unheard(s);
	switch_get_facts(s->sw, &before);
	migration_event(s->migration, event, word, switcher_now_ms(s));
	/* or it reboots: does it drive it? */
	if (is_back(s, &before, migrated) || !strcmp(event, "RESET"))
		look_at_driver(s, true);
	switcher_settle(s);
}

void switcher_guest_event(struct daemon *d, const char *guest, const char *event, const json_t *data)
{
	struct lease *l, *next;

	for (l = TAILQ_FIRST(&d->leases); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (l->sw && !strcmp(l->guest, guest))
			tell(l->sw, event, data);
	}
}

void switcher_snapshot(struct daemon *d, const char *guest, bool on)
{
	struct lease *l, *next;

	for (l = TAILQ_FIRST(&d->leases); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (!l->sw || strcmp(l->guest, guest))
			continue;
		migration_set_snapshot(l->sw->migration, on, switcher_now_ms(l->sw));
		switcher_settle(l->sw);
	}
}

bool switcher_device_deleted(struct lease *l)
{
	if (!l->sw)
		return false;
	l->sw->had_vf = false;
	/* what has just been plugged has gone before its plug was answered: that will say the contrary */
	l->sw->look_due = l->sw->look_due || l->sw->action == SWITCH_PLUG;
	switch_event(l->sw->sw, SWITCH_EV_DELETED, switcher_now_ms(l->sw));
	switcher_settle(l->sw);
	return true;
}

void switcher_driver_changed(struct lease *l)
{
	if (!l->sw)
		return;
	look_at_driver(l->sw, false);
	switcher_settle(l->sw);
}

void switcher_vf_free(struct daemon *d)
{
	struct lease *l, *next;

	for (l = TAILQ_FIRST(&d->leases); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (!l->sw)
			continue;
		switch_event(l->sw->sw, SWITCH_EV_VF_FREE, switcher_now_ms(l->sw));
		switcher_settle(l->sw);
	}
}

void switcher_cause(struct lease *l, enum lease_reason reason, bool active)
{
	if (!l->sw)
		return;
	switch_cause(l->sw->sw, reason, active, switcher_now_ms(l->sw));
	switcher_settle(l->sw);
}
