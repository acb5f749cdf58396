/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What switch.c, switch_steps.c and switch_events.c share. */
#ifndef GANGWAY_SWITCH_INTERNAL_H
#define GANGWAY_SWITCH_INTERNAL_H

#include "err.h"
#include "switch.h"

struct switch_step {
	enum switch_action action;
	bool (*needed)(const struct leg_switch *sw);
	enum lease_reason reason; /* to passthrough: what is shown when it fails */
};

struct leg_switch {
	char name[160];
	const struct switch_config *config;
	const struct switch_ops *ops;
	void *ctx;
	struct causes *causes;
	uint64_t now; /* of the last call */

	enum switch_state state;
	const char *why;
	struct switch_facts f;

	bool running, migrating;
	uint64_t stopped_at;
	bool standby_ready; /* seen on this way to it */
	enum lease_leg announced;
	bool awaited; /* the guest has not run since the beginning: it may do so elsewhere, and be yet to come here by migration */
	bool was_driven; /* the guest has driven the VF since it was plugged */
	bool asked; /* somebody has asked the guest to let go: there is no turning back before it has */
	bool given_up; /* the guest did not let go in time */
	bool half_revoked; /* f.revoked, and not all of its DMA as far as is known: the action is under way, or failed */
	bool falling_back; /* the way to passthrough failed */
	bool vf_freed; /* since a VF was last asked for */

	bool busy; /* @pending is under way */
	bool stale; /* it belongs to what was before switch_stop(): how it ends says nothing */
	enum switch_action pending;
	uint64_t pending_until;

	const struct switch_step *at; /* the step that is due; NULL none */
	uint64_t step_began, retry_at;
	unsigned nr_failures; /* of this step */
	bool step_told; /* that it is late */
	const char *hold;

	struct err error;
	bool advancing; /* further in the call stack */
};

/* switch_steps.c: the first step of the table of @state that is needed; NULL: arrived. */
const struct switch_step *switch_first_needed(const struct leg_switch *sw, enum switch_state state);
/* Why @step has to wait, though it is due; NULL: it has not. */
const char *switch_step_hold(const struct leg_switch *sw, const struct switch_step *step);
/* Milliseconds after which @step is late, CAUSE_NEVER: it is not. */
uint64_t switch_step_limit(const struct leg_switch *sw, const struct switch_step *step);
/* What @action makes of the facts, when it begins and when it has ended. */
void switch_book_start(struct leg_switch *sw, enum switch_action action);
void switch_book_replugged(struct leg_switch *sw); /* the VMM has plugged back what it held */
void switch_book_end(struct leg_switch *sw, enum switch_action action, int r);

/* switch.c */
enum lease_leg switch_goal(const struct leg_switch *sw);
void switch_advance(struct leg_switch *sw);
void switch_set_state(struct leg_switch *sw, enum switch_state to, const char *why);
void switch_fail(struct leg_switch *sw, enum lease_reason reason);
void switch_tell(struct leg_switch *sw, const struct err *err);
void switch_restart_step(struct leg_switch *sw);
uint64_t switch_deadline(const struct leg_switch *sw);

#endif
