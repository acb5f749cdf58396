/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * switch: moves one lease between its legs, and keeps it where it ought to be (cause.h). It decides and orders; it does nothing itself.
 * What is to be done goes out through struct switch_ops, one action at a time; how that ended and what happens in the guest comes in as
 * calls. Times are milliseconds of the caller's monotonic clock. After any call: set a timer to switch_wake_ms(), for switch_tick().
 *
 * Two tables of steps (migrate/switch_steps.c), one for each direction. A step is due while the facts say that it is needed, so that a
 * table can be entered from anywhere: half-way through the other one, after a restart of the daemon, when the VMM has acted by itself.
 * The guest's MAC leads to at least one leg that carries at any moment: a filter is dropped only when the other is known to be set.
 */
#ifndef GANGWAY_SWITCH_H
#define GANGWAY_SWITCH_H

#include <stdbool.h>
#include <stdint.h>

#include "cause.h"
#include "switch_words.h"

struct err;
struct leg_switch;

struct switch_config {
	struct cause_config cause;
	unsigned action_ms; /* what the host does by itself */
	unsigned plug_ms; /* SWITCH_PLUG, answers "busy" included */
	unsigned drive_ms; /* from then until the guest's driver has started the VF */
	unsigned unplug_ms; /* one SWITCH_UNPLUG */
	unsigned unplug_deadline_ms; /* all of them, while the guest runs; then SWITCH_REVOKE_DMA */
	unsigned busy_ms; /* pause after -EAGAIN */
	unsigned retry_first_ms, retry_max_ms; /* pause after a failure in a step that has to succeed; doubled each time */
	bool unplug_unsafe; /* this VMM must never be asked to unplug; its own unplug of a migration is safe */
};
extern const struct switch_config switch_defaults;

struct switch_status {
	enum switch_state state;
	const char *why; /* the state */
	enum lease_leg leg; /* that carries; LEG_NONE: not begun */
	/* why not the VF. On the VF: REASON_NONE, or REASON_VMM_UNPLUG_UNSAFE: there is a cause that cannot be followed */
	enum lease_reason reason;
	uint64_t since_ms; /* of the reason */
	enum cause_wait wait; /* for what the way back waits */
	enum switch_action step; /* under way or awaited; SWITCH_ACTION_NUM_ none */
	const char *hold; /* what the step waits for ("the guest is paused"); NULL */
	uint64_t deadline_ms; /* of the step; CAUSE_NEVER none */
	const struct err *error; /* last failure that still matters; NULL none. Valid until the next call */
};

/* @action: begin it. 0: switch_done() tells how it ended, at once from within or later; -errno: it ended so. It should end within
 * @deadline_ms; one that does not is told, and awaited all the same. None of these may call switch_free(). */
struct switch_ops {
	int (*start)(void *ctx, enum switch_action action, unsigned deadline_ms, struct err *err);
	/* The one place where the state changes. */
	void (*moved)(void *ctx, enum switch_state from, enum switch_state to, const char *why);
	/* For the operator's eyes, once each: a failure, a guest that is waited for. Codes switch.*, or those of the actions. */
	void (*told)(void *ctx, const struct err *err);
};

/* @name: of the lease, for messages. @config, @ops and @ctx must live as long. In SWITCH_OFF. NULL: no memory. */
struct leg_switch *switch_new(const char *name, const struct switch_config *config, const struct switch_ops *ops, void *ctx);
/* NULL is fine; returns NULL. An action under way is the caller's to end. */
struct leg_switch *switch_free(struct leg_switch *sw);

/* The VMM is there, and this is how things stand; a filter that is not known is FILTER_MAYBE. @running: the guest's CPUs do. Does nothing
 * unless in SWITCH_OFF. */
void switch_begin(struct leg_switch *sw, const struct switch_facts *facts, bool running, uint64_t now_ms);
/* The VMM is gone, the guest has migrated away, or the lease ends: SWITCH_OFF. Causes stay; what is left to undo is the lease's. */
void switch_stop(struct leg_switch *sw, const char *why, uint64_t now_ms);

void switch_cause(struct leg_switch *sw, enum lease_reason reason, bool active, uint64_t now_ms);
/* The operator's choice. LEG_EMULATED stays until LEG_PASSTHROUGH takes it back; other causes then hold nevertheless. -EINVAL for another
 * leg; -EBUSY "vmm.unplug-unsafe": refused, nothing is changed. */
int switch_choose(struct leg_switch *sw, enum lease_leg leg, uint64_t now_ms, struct err *err);
void switch_event(struct leg_switch *sw, enum switch_event event, uint64_t now_ms);
/* The action under way has ended: 0, or -errno with @err (may be NULL). */
void switch_done(struct leg_switch *sw, int r, const struct err *err, uint64_t now_ms);
void switch_tick(struct leg_switch *sw, uint64_t now_ms);
uint64_t switch_wake_ms(const struct leg_switch *sw); /* CAUSE_NEVER: only a call changes anything */

/* What forbids to begin @action now ("the guest migrates"), NULL: nothing. For what comes between its start and the question to the VMM. */
const char *switch_hold(const struct leg_switch *sw, enum switch_action action);
void switch_get_status(const struct leg_switch *sw, struct switch_status *ret);
void switch_get_facts(const struct leg_switch *sw, struct switch_facts *ret);

#endif
