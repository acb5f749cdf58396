/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "switch.h"

struct migration {
	struct leg_switch *sw;
	const char *vf_id, *standby_id;
	const struct migration_ops *ops;
	void *ctx;

	enum migration_role role;
	bool snapshot;
	bool asked; /* the VMM has asked the guest to let this VF go, and will plug it back if the migration fails */
	bool let_go; /* said already */
	bool postcopy; /* destination */
	bool replug; /* the next migration as a source is one that only makes the VMM plug back what it holds */
};

/* --- words of QMP --- */

enum phase { PHASE_IDLE, PHASE_BEGUN, PHASE_WAIT, PHASE_COPY, PHASE_POSTCOPY, PHASE_COMPLETED, PHASE_FAILED, PHASE_UNKNOWN };

static const struct {
	const char *status;
	enum phase phase;
} phases[] = {
	{ "none", PHASE_IDLE },
	{ "setup", PHASE_BEGUN },
	{ "wait-unplug", PHASE_WAIT },
	/* ending badly, but the VMM still takes no device_add, and may still wait for the guest to let go (30 s at most) */
	{ "cancelling", PHASE_BEGUN },
	{ "failing", PHASE_BEGUN },
	{ "active", PHASE_COPY },
	{ "pre-switchover", PHASE_COPY },
	{ "device", PHASE_COPY },
	{ "colo", PHASE_COPY },
	{ "postcopy-device", PHASE_POSTCOPY },
	{ "postcopy-active", PHASE_POSTCOPY },
	{ "postcopy-paused", PHASE_POSTCOPY },
	{ "postcopy-recover-setup", PHASE_POSTCOPY },
	{ "postcopy-recover", PHASE_POSTCOPY },
	{ "completed", PHASE_COMPLETED },
	{ "failed", PHASE_FAILED },
	{ "cancelled", PHASE_FAILED },
};

static enum phase phase_of(const char *status)
{
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		if (!strcmp(status, phases[i].status))
			return phases[i].phase;
	return PHASE_UNKNOWN;
}

struct migration *migration_new(struct leg_switch *sw, const char *vf_id, const char *standby_id, const struct migration_ops *ops,
				void *ctx)
{
	struct migration *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->sw = sw;
	m->vf_id = vf_id;
	m->standby_id = standby_id;
	m->ops = ops;
	m->ctx = ctx;
	return m;
}

struct migration *migration_free(struct migration *m)
{
	free(m);
	return NULL;
}

enum migration_role migration_role(const struct migration *m)
{
	return m->role;
}

/* --- source --- */

static enum lease_reason cause_of(const struct migration *m)
{
	return m->snapshot ? REASON_SNAPSHOT : REASON_MIGRATION;
}

static void source_begin(struct migration *m, uint64_t now)
{
	if (m->role == MIGRATION_SOURCE)
		return;
	m->role = MIGRATION_SOURCE;
	m->asked = false;
	m->let_go = false;
	switch_event(m->sw, SWITCH_EV_MIGRATING, now); /* first: so that nobody sends a device_del */
	switch_cause(m->sw, cause_of(m), true, now);
}

static void forget(struct migration *m)
{
	m->role = MIGRATION_NONE;
	m->snapshot = false;
	m->asked = false;
	m->let_go = false;
	m->postcopy = false;
	m->replug = false;
}

static void source_asks(struct migration *m, uint64_t now)
{
	m->asked = true;
	switch_event(m->sw, SWITCH_EV_ASKED, now);
}

/* The VMM copies: it has waited until the guest let go of what it had asked for. */
static void source_copies(struct migration *m, uint64_t now)
{
	if (!m->asked || m->let_go)
		return;
	m->let_go = true;
	switch_event(m->sw, SWITCH_EV_LET_GO, now);
}

/* A failure makes the VMM plug back whatever it holds, also since an earlier migration (failover_replug_primary()). */
static bool is_replugged(const struct migration *m)
{
	struct switch_facts f;

	switch_get_facts(m->sw, &f);
	return m->asked || f.place == PLACE_HELD;
}

/*
 * The cause ends first: the VF that comes back must not find it active, else it would be unplugged at once; until then it counts as asked
 * for, also where that was before the switch began. And device_del and device_add are allowed last, when it is clear what is plugged.
 */
static void source_stays(struct migration *m, bool replugged, uint64_t now)
{
	enum lease_reason cause = cause_of(m);

	forget(m);
	if (replugged)
		switch_event(m->sw, SWITCH_EV_ASKED, now);
	switch_cause(m->sw, cause, false, now);
	if (replugged)
		switch_event(m->sw, SWITCH_EV_REPLUGGED, now);
	switch_event(m->sw, SWITCH_EV_MIGRATED, now);
}

static void source_left(struct migration *m, uint64_t now)
{
	enum lease_reason cause = cause_of(m);

	forget(m);
	switch_stop(m->sw, "the guest has migrated away", now);
	switch_cause(m->sw, cause, false, now);
	m->ops->left(m->ctx); /* @m may be gone */
}

/* The migration that is none: what it is good for comes at its end. */
static bool is_replug(struct migration *m, enum phase phase, uint64_t now)
{
	bool over = phase == PHASE_FAILED || phase == PHASE_COMPLETED;

	if (!m->replug || m->role != MIGRATION_NONE)
		return false;
	m->replug = !over;
	if (over && is_replugged(m))
		switch_event(m->sw, SWITCH_EV_REPLUGGED, now);
	return true;
}

void migration_expect_replug(struct migration *m, bool on)
{
	m->replug = on && m->role == MIGRATION_NONE;
}

static void source_phase(struct migration *m, enum phase phase, uint64_t now)
{
	bool under_way = m->role == MIGRATION_SOURCE;

	switch (phase) {
	case PHASE_BEGUN:
		source_begin(m, now);
		break;
	case PHASE_WAIT: /* it has asked for each VF of a pair, whether that was heard or not */
		source_begin(m, now);
		source_asks(m, now);
		break;
	case PHASE_COPY:
	case PHASE_POSTCOPY:
		source_begin(m, now);
		source_copies(m, now);
		break;
	case PHASE_COMPLETED:
		if (under_way && m->snapshot)
			source_stays(m, false, now);
		else if (under_way)
			source_left(m, now);
		break;
	case PHASE_FAILED:
		if (under_way)
			source_stays(m, is_replugged(m), now);
		break;
	case PHASE_IDLE:
	case PHASE_UNKNOWN:
		break;
	}
}

/* --- destination --- */

void migration_incoming(struct migration *m, uint64_t now)
{
	m->role = MIGRATION_DESTINATION;
	m->postcopy = false;
	switch_cause(m->sw, REASON_MIGRATION, true, now);
}

static void destination_ends(struct migration *m, uint64_t now)
{
	forget(m);
	switch_cause(m->sw, REASON_MIGRATION, false, now);
	switch_cause(m->sw, REASON_POSTCOPY, false, now);
}

static void destination_runs(struct migration *m, uint64_t now)
{
	if (m->postcopy)
		switch_cause(m->sw, REASON_MIGRATION, false, now);
	else
		destination_ends(m, now);
}

static void destination_phase(struct migration *m, enum phase phase, uint64_t now)
{
	if (phase == PHASE_POSTCOPY) {
		m->postcopy = true;
		switch_cause(m->sw, REASON_POSTCOPY, true, now);
	} else if (phase == PHASE_COMPLETED) {
		destination_ends(m, now); /* also of a guest that was paused at the source: it need not run */
	}
	/* failed: the VMM exits, or waits for another attempt */
}

/* --- either --- */

void migration_set_snapshot(struct migration *m, bool snapshot, uint64_t now)
{
	enum lease_reason before = cause_of(m);

	m->snapshot = snapshot;
	if (m->role != MIGRATION_SOURCE || cause_of(m) == before)
		return;
	switch_cause(m->sw, cause_of(m), true, now);
	switch_cause(m->sw, before, false, now);
}

static void on_migration(struct migration *m, const char *status, uint64_t now)
{
	enum phase phase = phase_of(status);

	if (phase == PHASE_UNKNOWN)
		log_debug("migration status \"%.32s\" is not known, ignoring", status);
	if (m->role == MIGRATION_DESTINATION)
		destination_phase(m, phase, now);
	else if (!is_replug(m, phase, now))
		source_phase(m, phase, now);
}

/* Of any device: whoever's VF it is, the guest migrates. */
static void on_unplug_primary(struct migration *m, const char *id, uint64_t now)
{
	m->replug = false; /* another VF was plugged: then it is one like any */
	source_begin(m, now);
	if (!strcmp(id, m->vf_id))
		source_asks(m, now);
}

static void on_device_deleted(struct migration *m, const char *id, uint64_t now)
{
	if (strcmp(id, m->vf_id))
		return;
	m->asked = false; /* nothing is left to be plugged back */
	switch_event(m->sw, SWITCH_EV_DELETED, now);
}

static void on_unplug_error(struct migration *m, const char *id, uint64_t now)
{
	if (!strcmp(id, m->vf_id))
		switch_event(m->sw, SWITCH_EV_REFUSED, now);
}

static void on_negotiated(struct migration *m, const char *id, uint64_t now)
{
	if (!strcmp(id, m->standby_id))
		switch_event(m->sw, SWITCH_EV_NEGOTIATED, now);
}

static void on_runs(struct migration *m, const char *word, uint64_t now)
{
	(void)word;
	switch_event(m->sw, SWITCH_EV_RUNNING, now);
	if (m->role == MIGRATION_DESTINATION)
		destination_runs(m, now);
}

static void on_stops(struct migration *m, const char *word, uint64_t now)
{
	(void)word;
	switch_event(m->sw, SWITCH_EV_STOPPED, now);
}

static void on_reset(struct migration *m, const char *word, uint64_t now)
{
	(void)word;
	switch_event(m->sw, SWITCH_EV_RESET, now);
}

/* POWERDOWN and SHUTDOWN ask for nothing: the guest lets go, or the VMM ends. */
static const struct {
	const char *event, *word;
	void (*handle)(struct migration *m, const char *word, uint64_t now);
} events[] = {
	{ "MIGRATION", "status", on_migration },
	{ "UNPLUG_PRIMARY", "device-id", on_unplug_primary },
	{ "FAILOVER_NEGOTIATED", "device-id", on_negotiated },
	{ "DEVICE_DELETED", "device", on_device_deleted },
	{ "DEVICE_UNPLUG_GUEST_ERROR", "device", on_unplug_error },
	{ "RESUME", NULL, on_runs },
	{ "WAKEUP", NULL, on_runs },
	{ "STOP", NULL, on_stops },
	{ "SUSPEND", NULL, on_stops },
	{ "RESET", NULL, on_reset },
};

const char *migration_word_of(const char *event)
{
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (!strcmp(event, events[i].event))
			return events[i].word;
	return NULL;
}

void migration_event(struct migration *m, const char *event, const char *word, uint64_t now)
{
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (strcmp(event, events[i].event) != 0)
			continue;
		if (word || !events[i].word)
			events[i].handle(m, word, now);
		return;
	}
}
