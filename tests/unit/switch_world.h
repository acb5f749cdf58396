/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A scripted world around one leg_switch: a host that steers, a VMM that plugs, a guest that drives or does not, and a clock. Each action
 * ends when the test lets it; whatever is asked for that must never be is a failed assertion.
 */
#ifndef GANGWAY_SWITCH_WORLD_H
#define GANGWAY_SWITCH_WORLD_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "migration.h"
#include "switch.h"

#define VF_ID "gangway-nic0"
#define STANDBY_ID "standby0"

struct world {
	struct switch_config config;
	struct leg_switch *sw;
	struct migration *mig;
	uint64_t now;

	/* how things really are */
	struct switch_facts f;
	bool vf_filter, standby_filter; /* really set */
	bool running, migrating, carried, free_vf; /* carried: a filter was set once */
	bool awaited; /* has not run since the beginning: maybe it does elsewhere */

	/* the guest */
	bool has_driver, deaf; /* deaf: does not answer unplugs */

	/* the host and the VMM */
	int answer[SWITCH_ACTION_NUM_]; /* what the next ones end with; 0: well */
	const char *code; /* of those errors */
	bool busy;
	enum switch_action pending;

	char trace[4096]; /* actions, in order */
	char moves[4096]; /* states */
	unsigned nr_told, nr_left;
	struct err told; /* last */
	unsigned nr_plugs;
};

static inline void world_append(char *buf, size_t size, const char *word)
{
	size_t n = strlen(buf);

	if (n + strlen(word) + 2 < size)
		snprintf(buf + n, size - n, "%s%s", n ? " " : "", word);
}

/* What must hold whenever anything is asked for. */
static inline void world_check(const struct world *w, enum switch_action action)
{
	cr_assert_not(w->busy, "%s while %s is under way", switch_action_to_string(action), switch_action_to_string(w->pending));
	switch (action) {
	case SWITCH_PLUG:
		cr_assert(!w->migrating && w->running && w->f.place == PLACE_OUT && w->f.prepared, "plug");
		break;
	case SWITCH_UNPLUG:
		cr_assert(!w->migrating && !w->config.unplug_unsafe, "unplug");
		break;
	case SWITCH_REPLUG:
		cr_assert(!w->migrating && w->running && w->f.place != PLACE_OUT, "replug");
		break;
	case SWITCH_DROP_VF:
		cr_assert(w->standby_filter, "the VF's filter is the only one");
		break;
	case SWITCH_DROP_STANDBY:
		cr_assert(w->vf_filter && w->f.place == PLACE_IN && !w->f.revoked, "the standby's filter is the only one");
		break;
	case SWITCH_RELEASE:
		cr_assert_eq(w->f.place, PLACE_OUT, "release of a VF that is in use");
		break;
	case SWITCH_ANNOUNCE:
		cr_assert(!w->awaited || w->running, "announced before it is here");
		break;
	case SWITCH_READY_STANDBY:
	case SWITCH_STEER_BOTH:
	case SWITCH_REVOKE_DMA:
	case SWITCH_PREPARE:
		break;
	case SWITCH_AWAIT_DRIVER:
	case SWITCH_ACTION_NUM_:
		cr_assert_fail("no action");
	}
}

static inline int world_start(void *ctx, enum switch_action action, unsigned deadline_ms, struct err *err)
{
	struct world *w = ctx;

	(void)err;
	world_check(w, action);
	cr_assert_gt(deadline_ms, 0);
	world_append(w->trace, sizeof(w->trace), switch_action_to_string(action));
	w->busy = true;
	w->pending = action;
	w->nr_plugs += action == SWITCH_PLUG;
	return 0;
}

static inline void world_moved(void *ctx, enum switch_state from, enum switch_state to, const char *why)
{
	struct world *w = ctx;

	cr_assert(switch_transition_legal(from, to), "%s -> %s", switch_state_to_string(from), switch_state_to_string(to));
	cr_assert(why && *why);
	world_append(w->moves, sizeof(w->moves), switch_state_to_string(to));
}

static inline void world_told(void *ctx, const struct err *err)
{
	struct world *w = ctx;

	cr_assert_lt(err->num, 0);
	cr_assert(!strncmp(err->msg, "lease vm1/nic0: ", 16), "%s", err->msg);
	w->told = *err;
	w->nr_told++;
}

static inline void world_left(void *ctx)
{
	((struct world *)ctx)->nr_left++;
}

static const struct switch_ops world_ops = { world_start, world_moved, world_told };
static const struct migration_ops world_migration_ops = { world_left };

static inline void world_init(struct world *w)
{
	*w = (struct world){ .now = 1000000, .running = true, .has_driver = true, .free_vf = true };
	w->config = switch_defaults;
	w->sw = switch_new("vm1/nic0", &w->config, &world_ops, w);
	w->mig = migration_new(w->sw, VF_ID, STANDBY_ID, &world_migration_ops, w);
	cr_assert(w->sw && w->mig);
}

static inline void world_done(struct world *w)
{
	migration_free(w->mig);
	switch_free(w->sw);
}

static inline void world_begin(struct world *w)
{
	w->carried = w->vf_filter || w->standby_filter;
	w->awaited = !w->running && w->f.place == PLACE_OUT;
	switch_begin(w->sw, &w->f, w->running, w->now);
}

/* On the VF, all well. */
static inline void world_begin_passthrough(struct world *w)
{
	w->f = (struct switch_facts){ .prepared = true, .place = PLACE_IN, .driven = true, .vf = FILTER_YES };
	w->vf_filter = true;
	world_begin(w);
}

/* On the standby, no VF yet. */
static inline void world_begin_emulated(struct world *w)
{
	w->f = (struct switch_facts){ .standby = FILTER_YES };
	w->standby_filter = true;
	world_begin(w);
}

static inline void world_event(struct world *w, enum switch_event event)
{
	switch_event(w->sw, event, w->now);
}

static inline void world_qmp(struct world *w, const char *event, const char *word)
{
	migration_event(w->mig, event, word, w->now);
}

/* As the daemon does once a migration has come to nothing, or the VMM has plugged the VF back: how is it? */
static inline void world_look(struct world *w)
{
	if (w->f.place == PLACE_IN)
		world_event(w, w->f.driven ? SWITCH_EV_DRIVEN : SWITCH_EV_UNDRIVEN);
}

/* What the guest does by itself. True: something. */
static inline bool world_guest(struct world *w)
{
	bool drives = w->f.place == PLACE_IN && w->has_driver && w->running && !w->f.revoked;

	if (drives == w->f.driven || (!drives && w->f.place == PLACE_IN && w->has_driver))
		return false;
	w->f.driven = drives;
	world_event(w, drives ? SWITCH_EV_DRIVEN : SWITCH_EV_UNDRIVEN);
	return true;
}

static inline int world_result(struct world *w, enum switch_action action)
{
	int r = w->answer[action];

	if (r == 0 && action == SWITCH_UNPLUG &&
	    (w->f.place == PLACE_HELD || (w->f.place == PLACE_IN && (w->deaf || !w->running))))
		r = -ETIMEDOUT;
	if (r == 0 && action == SWITCH_PREPARE && !w->free_vf)
		r = -ENODEV;
	return r;
}

/* What an action that ended well has changed. */
static inline void world_apply(struct world *w, enum switch_action action)
{
	switch (action) {
	case SWITCH_STEER_BOTH:
		w->vf_filter = w->standby_filter = true;
		break;
	case SWITCH_UNPLUG:
		w->f.place = PLACE_OUT;
		w->f.driven = w->f.revoked = false;
		break;
	case SWITCH_REVOKE_DMA:
		w->f.revoked = true;
		break;
	case SWITCH_DROP_VF:
		w->vf_filter = false;
		break;
	case SWITCH_RELEASE:
		w->f.prepared = false;
		break;
	case SWITCH_PREPARE:
		w->f.prepared = true;
		break;
	case SWITCH_PLUG:
		w->f.place = PLACE_IN;
		w->f.driven = w->f.revoked = false;
		break;
	case SWITCH_REPLUG:
		w->f.place = w->f.place == PLACE_HELD ? PLACE_IN : w->f.place;
		break;
	case SWITCH_DROP_STANDBY:
		w->standby_filter = false;
		break;
	case SWITCH_READY_STANDBY:
	case SWITCH_ANNOUNCE:
	case SWITCH_AWAIT_DRIVER:
	case SWITCH_ACTION_NUM_:
		break;
	}
	cr_assert(!w->carried || w->vf_filter || w->standby_filter, "both filters dropped");
	w->carried |= w->vf_filter || w->standby_filter;
}

/* End the action under way with @r, now. */
static inline void world_end(struct world *w, int r)
{
	enum switch_action action = w->pending;
	struct err err;

	cr_assert(w->busy);
	w->busy = false;
	if (r == 0) {
		world_apply(w, action);
	} else {
		err_set(&err, r, w->code ? w->code : "test.failed", "%s failed", switch_action_to_string(action));
		if (action == SWITCH_UNPLUG && r == -ETIMEDOUT)
			w->now += w->config.unplug_ms;
	}
	switch_done(w->sw, r, r ? &err : NULL, w->now);
}

/* Let things happen for at most @ms: actions end, the guest acts, the timer goes off. */
static inline void world_run(struct world *w, uint64_t ms)
{
	uint64_t end = w->now + ms, wake;

	while (w->now <= end) {
		if (w->busy) {
			w->now++;
			world_end(w, world_result(w, w->pending));
		} else if (!world_guest(w)) {
			wake = switch_wake_ms(w->sw);
			if (wake > end)
				break;
			cr_assert_gt(wake, w->now, "a timer in the past: the loop would spin");
			w->now = wake;
			switch_tick(w->sw, w->now);
		}
	}
	if (w->now < end)
		w->now = end;
}

static inline struct switch_status world_status(const struct world *w)
{
	struct switch_status s;

	switch_get_status(w->sw, &s);
	return s;
}

static inline void world_clear(struct world *w)
{
	w->trace[0] = w->moves[0] = '\0';
	w->nr_told = 0;
}

#define assert_state(w, expected)                                                                                                \
	cr_assert_str_eq(switch_state_to_string(world_status(w).state), expected, "state %s (%s), trace: %s",                    \
			 switch_state_to_string(world_status(w).state), world_status(w).why, (w)->trace)
#define assert_leg(w, expected_leg, expected_reason)                                                                             \
	do {                                                                                                                     \
		struct switch_status s_ = world_status(w);                                                                       \
		cr_assert_eq(s_.leg, expected_leg, "leg %s, trace: %s", lease_leg_to_string(s_.leg), (w)->trace);                \
		cr_assert_eq(s_.reason, expected_reason, "reason %s, trace: %s", lease_reason_to_string(s_.reason), (w)->trace); \
	} while (0)
#define assert_trace(w, expected) cr_assert_str_eq((w)->trace, expected, "trace: %s", (w)->trace)
#define assert_told(w, expected_code) cr_assert_str_eq((w)->told.code, expected_code, "told: %s", (w)->told.msg)

#define TO_EMULATED "ready-standby steer-both unplug drop-vf announce release"
#define TO_PASSTHROUGH "prepare plug steer-both drop-standby announce"

#endif
