/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "switcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "ctl.h"
#include "daemon.h"
#include "db.h"
#include "emul.h"
#include "guests.h"
#include "lease.h"
#include "log.h"
#include "op.h"
#include "switcher_internal.h"
#include "vmm.h"
#include "vmm_migrate.h"
#include "work.h"

/* With vfio-pci nothing tells when the guest's driver starts the VF: it is looked at, one config cycle each time (see attach_guest.c). */
#define DRIVE_POLL_MS 10

/* igbvf looks for its link every 2 s; iavf, ixgbevf and mlx5 hear of it sooner. A slow guest takes longer. */
#define LINK_SETTLE_MS 2500
#define LINK_QUIET_MS 500
#define LINK_SETTLE_MAX_MS 15000

uint64_t switcher_now_ms(const struct switcher *s)
{
	return s->lease->daemon->sys->ops->now_us(s->lease->daemon->sys) / 1000;
}

/* --- who waits for it --- */

static void answer(struct switcher *s, const struct err *err)
{
	struct ctl_req *req = s->req;
	struct lease *l = s->lease;
	uint64_t took = l->daemon->sys->ops->now_us(l->daemon->sys) - s->asked_us;

	if (!req)
		return;
	s->req = NULL;
	if (err)
		ctl_fail(req, err);
	else
		ctl_reply(req, json_pack("{s:o, s:f}", "lease", lease_to_json(l), "total_ms", (double)took / 1000));
}

/* --- what the switch tells --- */

static void show(struct switcher *s)
{
	struct switch_status status;

	switch_get_status(s->sw, &status);
	lease_set_leg(s->lease, status.leg, status.reason);
}

static void on_moved(void *ctx, enum switch_state from, enum switch_state to, const char *why)
{
	struct switcher *s = ctx;
	struct lease *l = s->lease;

	log_info("lease %s: switch: %s -> %s (%s)", l->id, switch_state_to_string(from), switch_state_to_string(to), why);
	ctl_event(l->daemon->ctl, "switch", l->id,
		  json_pack("{s:s, s:s, s:s}", "from", switch_state_to_string(from), "to", switch_state_to_string(to), "why",
			    why));
	if (to == SWITCH_EMULATED || to == SWITCH_PASSTHROUGH)
		err_clear(&l->error);
}

static void on_told(void *ctx, const struct err *err)
{
	struct switcher *s = ctx;

	log_warn("%s", err->msg);
	s->lease->error = *err;
	ctl_event(s->lease->daemon->ctl, "switch", s->lease->id, json_pack("{s:o}", "error", err_to_json(err)));
	answer(s, err);
}

static const struct switch_ops ops = { .start = switcher_act, .moved = on_moved, .told = on_told };

/* --- time --- */

/*
 * vfio-pci: the VMM has the VF until it ends, and no guest that could be asked; the lease ends with it. The emulated leg goes down at once, else
 * what is sent to the guest from this host would end here.
 */
static void stay_until_vmm_ends(struct switcher *s)
{
	struct lease *l = s->lease;
	struct err err;

	log_info("lease %s: the guest has migrated away, its VMM keeps the VF until it ends", l->id);
	lease_set_leg(l, LEG_NONE, REASON_MIGRATION);
	err_set(&err, -ECANCELED, "switch.ended", "lease %s: not switched: the guest has migrated away", l->id);
	answer(s, &err);
	if (switcher_act(s, SWITCH_DROP_STANDBY, 0, &err) < 0)
		log_warn("lease %s: its emulated leg stays up: %s, ignoring", l->id, err.msg);
}

static void end_left(struct switcher *s)
{
	struct lease *l = s->lease;
	bool said = l->left;
	struct err err;

	l->left = true;
	if (l->via == VIA_VFIO_PCI && !said)
		stay_until_vmm_ends(s);
	else if (l->via != VIA_VFIO_PCI && op_undo_start(l, NULL, "the guest has migrated away", 0, &err) < 0)
		log_err("lease %s: %s", l->id, err.msg);
}

/* After any call of the switch. @s may be gone after this. */
static void settle(struct switcher *s)
{
	struct switch_status status;
	uint64_t wake;

	switch_get_status(s->sw, &status);
	if (!s->lease->left)
		show(s);
	if (s->req && ((s->wanted == LEG_EMULATED && status.state == SWITCH_EMULATED) ||
		       (s->wanted == LEG_PASSTHROUGH && status.state == SWITCH_PASSTHROUGH)))
		answer(s, NULL);
	if (s->left && s->action == SWITCH_ACTION_NUM_) {
		end_left(s);
		return;
	}
	wake = switch_wake_ms(s->sw);
	if (status.step == SWITCH_AWAIT_DRIVER && wake > switcher_now_ms(s) + DRIVE_POLL_MS)
		wake = switcher_now_ms(s) + DRIVE_POLL_MS;
	if (sd_event_source_set_time(s->timer, wake == CAUSE_NEVER ? UINT64_MAX : wake * 1000) < 0 ||
	    sd_event_source_set_enabled(s->timer, wake == CAUSE_NEVER ? SD_EVENT_OFF : SD_EVENT_ONESHOT) < 0)
		log_err("lease %s: no timer for its switch", s->lease->id);
}

/*
 * A guest sends by its standby until the VF's driver has seen a link, and nothing tells us when. So the VF counts as driven when its driver
 * started a while ago and the guest has sent nothing by its standby for a moment; until then both legs carry.
 */
static bool uses_its_vf(struct switcher *s)
{
	uint64_t now = switcher_now_ms(s), sent = emul_leg_frames_from_guest(s->lease->emul);

	if (!lease_vf_is_driven(s->lease)) {
		s->driving_since = 0;
		return false;
	}
	if (!s->driving_since)
		s->driving_since = now;
	if (sent != s->sent || !s->quiet_since)
		s->quiet_since = now;
	s->sent = sent;
	return (now >= s->driving_since + LINK_SETTLE_MS && now >= s->quiet_since + LINK_QUIET_MS) ||
	       now >= s->driving_since + LINK_SETTLE_MAX_MS;
}

/* Both are levels: the switch is told of each change. */
static void look_at_driver(struct switcher *s, bool always)
{
	bool driven = uses_its_vf(s);

	if (driven == s->driven && !always)
		return;
	s->driven = driven;
	switch_event(s->sw, driven ? SWITCH_EV_DRIVEN : SWITCH_EV_UNDRIVEN, switcher_now_ms(s));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct switcher *s = ctx;
	struct switch_status status;

	(void)source;
	(void)usec;
	switch_get_status(s->sw, &status);
	if (status.step == SWITCH_AWAIT_DRIVER)
		look_at_driver(s, false);
	switch_tick(s->sw, switcher_now_ms(s));
	settle(s);
	return 0;
}

void switcher_acted(struct switcher *s, int r, const struct err *err)
{
	struct lease *l = s->lease;

	if (l->daemon->stopping)
		return;
	s->action = SWITCH_ACTION_NUM_;
	if (l->end_why[0]) {
		attach_unbusy(l); /* the lease ends now, and @s with it */
		return;
	}
	l->busy = NULL;
	switch_done(s->sw, r, err, switcher_now_ms(s));
	settle(s);
}

/* --- begin and end --- */

static void on_left(void *ctx)
{
	struct switcher *s = ctx;

	s->left = true;
}

static const struct migration_ops migration_ops = { .left = on_left };

static struct switcher *switcher_free(struct switcher *s)
{
	sd_event_source_disable_unref(s->timer);
	migration_free(s->migration);
	switch_free(s->sw);
	free(s);
	return NULL;
}

static struct switcher *switcher_new(struct lease *l)
{
	struct switcher *s = calloc(1, sizeof(*s));
	struct guest *g = guest_find(l->daemon, l->guest);
	struct vmm_version version = { 0 };

	if (!s)
		return NULL;
	s->lease = l;
	s->action = SWITCH_ACTION_NUM_;
	s->config = switch_defaults;
	s->config.unplug_ms = l->daemon->config.unplug_timeout_ms;
	s->config.drive_ms = l->daemon->config.guest_timeout_ms;
	if (g)
		vmm_get_version(g->vmm, &version);
	s->config.unplug_unsafe = l->via == VIA_VFIO_USER && !version.unplug_vfio_user;
	s->sw = switch_new(l->id, &s->config, &ops, s);
	s->migration = s->sw ? migration_new(s->sw, l->device_id, l->standby_id, &migration_ops, s) : NULL;
	if (!s->migration ||
	    sd_event_add_time(l->daemon->event, &s->timer, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_timer, s) < 0 ||
	    sd_event_source_set_enabled(s->timer, SD_EVENT_OFF) < 0)
		return switcher_free(s);
	return s;
}

/* The guest has let its VF go before the VMM copies its memory; the VMM keeps the device. */
static bool is_held(const struct vmm_migration *m)
{
	return m->role == VMM_MIG_SOURCE && vmm_mig_is_under_way(m->status) && m->status != VMM_MIG_SETUP &&
	       m->status != VMM_MIG_WAIT_UNPLUG;
}

/* How things stand; what is not sure is set once more. */
static void begin(struct switcher *s, bool in, bool incoming)
{
	struct lease *l = s->lease;
	struct guest *g = guest_find(l->daemon, l->guest);
	struct switch_facts facts = { .prepared = true,
				      .place = in ? PLACE_IN : PLACE_OUT,
				      .vf = FILTER_MAYBE,
				      .standby = FILTER_MAYBE };
	struct vmm_migration m = { 0 };

	if (g && !strcmp(vmm_run_state(g->vmm), "postmigrate")) {
		s->left = true;
		settle(s);
		return;
	}
	if (g)
		vmm_get_migration(g->vmm, &m);
	if (in && is_held(&m))
		facts.place = PLACE_HELD;
	facts.driven = s->driven = facts.place == PLACE_IN && lease_vf_is_driven(l);
	if (incoming)
		migration_incoming(s->migration, switcher_now_ms(s));
	else if (vmm_mig_is_under_way(m.status))
		migration_event(s->migration, "MIGRATION", m.word, switcher_now_ms(s));
	switch_cause(s->sw, REASON_OPERATOR, l->stay_emulated, switcher_now_ms(s));
	switch_cause(s->sw, REASON_VF_FAULT, l->faults.quarantined, switcher_now_ms(s));
	switch_begin(s->sw, &facts, g && !strcmp(vmm_run_state(g->vmm), "running"), switcher_now_ms(s));
	settle(s);
}

int switcher_start(struct lease *l, bool in, bool incoming, struct err *err)
{
	if (!l->emul)
		return 0;
	if (l->sw) { /* its VMM was lost for a while, and with it what it said */
		migration_lost(l->sw->migration, switcher_now_ms(l->sw));
		switch_stop(l->sw->sw, "its VMM was lost", switcher_now_ms(l->sw));
	} else {
		l->sw = switcher_new(l);
	}
	if (!l->sw)
		return err_set(err, -ENOMEM, "daemon.no-memory", "lease %s: no memory for its switch", l->id);
	begin(l->sw, in, incoming);
	return 0;
}

void switcher_end(struct lease *l, const char *why)
{
	struct switcher *s = l->sw;
	struct err err;

	if (!s)
		return;
	l->sw = NULL;
	err_set(&err, -ECANCELED, "switch.ended", "lease %s: not switched: %s", l->id, why);
	answer(s, &err);
	switch_stop(s->sw, why, switcher_now_ms(s));
	switcher_free(s);
}

/* --- what happens --- */

static const struct {
	const char *name;
	enum switch_event event;
} guest_events[] = {
	{ "RESUME", SWITCH_EV_RUNNING },   { "WAKEUP", SWITCH_EV_RUNNING }, { "STOP", SWITCH_EV_STOPPED },
	{ "SUSPEND", SWITCH_EV_STOPPED },  { "RESET", SWITCH_EV_RESET },    { "FAILOVER_NEGOTIATED", SWITCH_EV_NEGOTIATED },
};

static void tell(struct switcher *s, const char *event, const json_t *data)
{
	const char *member = migration_word_of(event);
	const char *word = member ? json_string_value(json_object_get(data, member)) : NULL;
	struct switch_facts before, after;

	switch_get_facts(s->sw, &before);
	for (size_t i = 0; i < sizeof(guest_events) / sizeof(guest_events[0]); i++)
		if (!strcmp(event, guest_events[i].name))
			switch_event(s->sw, guest_events[i].event, switcher_now_ms(s));
	migration_event(s->migration, event, word, switcher_now_ms(s));
	switch_get_facts(s->sw, &after);
	/* the guest reboots, or has the VF again without our doing: does it drive it? */
	if (after.place == PLACE_IN && (before.place != PLACE_IN || !strcmp(event, "RESET")))
		look_at_driver(s, true);
	settle(s);
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

void switcher_snapshot(struct daemon *d, const char *guest)
{
	struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	if (l->sw && !strcmp(l->guest, guest))
		migration_set_snapshot(l->sw->migration, true, switcher_now_ms(l->sw));
}

bool switcher_device_deleted(struct lease *l)
{
	if (!l->sw)
		return false;
	switch_event(l->sw->sw, SWITCH_EV_DELETED, switcher_now_ms(l->sw));
	settle(l->sw);
	return true;
}

void switcher_vf_free(struct daemon *d)
{
	struct lease *l, *next;

	for (l = TAILQ_FIRST(&d->leases); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (!l->sw)
			continue;
		switch_event(l->sw->sw, SWITCH_EV_VF_FREE, switcher_now_ms(l->sw));
		settle(l->sw);
	}
}

void switcher_cause(struct lease *l, enum lease_reason reason, bool active)
{
	if (!l->sw)
		return;
	switch_cause(l->sw->sw, reason, active, switcher_now_ms(l->sw));
	settle(l->sw);
}

/* --- the operator's choice --- */

/* It stays so across a restart of gangwayd. */
struct choice_job {
	struct daemon *d;
	char id[LEASE_ID_MAX];
	json_t *record;
	struct err err;
};

static int choice_run(void *arg)
{
	struct choice_job *j = arg;

	return db_put_lease(j->d->db, j->id, j->record, &j->err);
}

static void choice_done(int r, void *arg)
{
	struct choice_job *j = arg;

	if (r < 0)
		log_warn("lease %s: the choice of its leg is not recorded: %s, ignoring", j->id, j->err.msg);
	json_decref(j->record);
	free(j);
}

static void record_choice(struct lease *l)
{
	struct choice_job *j = calloc(1, sizeof(*j));

	if (j) {
		j->d = l->daemon;
		memcpy(j->id, l->id, sizeof(j->id));
		j->record = lease_to_record(l, &l->undo);
	}
	if (!j || !j->record || work_submit(l->daemon->pool, choice_run, choice_done, j) < 0) {
		log_warn("lease %s: no memory to record the choice of its leg, ignoring", l->id);
		if (j)
			json_decref(j->record);
		free(j);
	}
}

static struct lease *find(struct daemon *d, const char *guest, const char *nic, struct err *err)
{
	struct lease *l = lease_find(d, guest, nic);
	struct guest *g;

	if (guest_get(d, guest, &g, err) < 0)
		return NULL;
	if (!l) {
		err_set(err, -ENOENT, "lease.none", "guest %s: it has no VF%s%.80s", guest, nic ? " as NIC " : "", nic ? nic : "");
		err_hint(err, "`gangway status` shows who has one");
		return NULL;
	}
	if (!nic && lease_count(d, guest) > 1) {
		err_set(err, -EINVAL, "lease.ambiguous", "guest %s: it has %u VFs: which one?", guest, lease_count(d, guest));
		err_hint(err, "gangway switch %s NIC LEG; `gangway status %s` names them", guest, guest);
		return NULL;
	}
	if (!l->emul) {
		err_set(err, -EOPNOTSUPP, "switch.no-standby", "lease %s: it has no emulated leg to switch to", l->id);
		err_hint(err, "gangway detach %s %s, then attach it with --standby macvtap", l->guest, l->nic);
		return NULL;
	}
	if (!l->sw || l->op) {
		err_set(err, -EBUSY, "lease.busy", "lease %s: it is %s, nothing to switch now", l->id,
			lease_state_to_string(l->state));
		err_hint(err, "`gangway status %s` shows when that is over", l->guest);
		return NULL;
	}
	return l;
}

void switcher_choose(struct daemon *d, struct ctl_req *req, const char *guest, const char *nic, enum lease_leg leg)
{
	struct err err = { 0 };
	struct lease *l = find(d, guest, nic, &err);
	struct switcher *s;
	bool stayed;

	if (!l) {
		ctl_fail(req, &err);
		return;
	}
	s = l->sw;
	if (s->req) {
		err_set(&err, -EBUSY, "lease.busy", "lease %s: it is being switched already", l->id);
		err_hint(&err, "`gangway status %s` shows how far it is", l->guest);
		ctl_fail(req, &err);
		return;
	}
	s->asked_us = d->sys->ops->now_us(d->sys);
	s->wanted = leg;
	s->req = req;
	stayed = l->stay_emulated;
	l->stay_emulated = leg == LEG_EMULATED;
	if (stayed != l->stay_emulated && !l->busy)
		record_choice(l);
	if (switch_choose(s->sw, leg, switcher_now_ms(s), &err) < 0) {
		l->stay_emulated = stayed;
		answer(s, &err);
		return;
	}
	settle(s);
}

/* --- what is shown --- */

json_t *switcher_to_json(const struct lease *l)
{
	struct switch_status st;

	if (!l->sw)
		return json_null();
	switch_get_status(l->sw->sw, &st);
	return json_pack("{s:s, s:s, s:s?, s:s?, s:s, s:b}", "state", switch_state_to_string(st.state), "why", st.why, "step",
			 st.step < SWITCH_ACTION_NUM_ ? switch_action_to_string(st.step) : NULL, "hold", st.hold, "waits_for",
			 cause_wait_to_string(st.wait), "migrating", migration_role(l->sw->migration) != MIGRATION_NONE);
}
