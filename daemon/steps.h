/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * steps: a sequence as a table of {name, run, undo}, and the one runner for all of them.
 *
 * run goes down the table; the first failure is kept and the undo column runs back up, the failed step's own undo included (every
 * undo is idempotent: it brings back what was saved, whether or not the step got to change it). An undo that fails stops there:
 * what is below it may still depend on it (a VF that the guest has not let go must not lose its driver).
 */
#ifndef GANGWAY_STEPS_H
#define GANGWAY_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct steps;
struct sys;
struct work_pool;

/* Returned by run or undo: it goes on in the background and ends in steps_done(). */
#define STEP_PENDING 1

enum step_waits { STEP_WAITS_NOTHING, STEP_WAITS_KERNEL, STEP_WAITS_VMM, STEP_WAITS_GUEST };
const char *step_waits_to_string(enum step_waits waits);

struct step {
	const char *name;
	enum step_waits waits; /* whose time it is, for --timing */
	bool worker; /* run and undo may block: called on a thread, touch nothing that the loop writes */
	bool preflight; /* changes nothing: also part of a dry run */
	bool (*applies)(const void *ctx);
	void (*what)(const void *ctx, char *buf, size_t size); /* one phrase: what it does, or would do */
	const char *undo_what; /* the same of undo */
	int (*run)(void *ctx, struct err *err); /* NULL: there is only something to undo */
	int (*undo)(void *ctx, struct err *err);
	void (*after)(void *ctx); /* in the loop, when run has succeeded: publish what a worker found */
};

enum step_state { STEP_PLANNED, STEP_SKIPPED, STEP_DONE, STEP_FAILED, STEP_UNDONE };

struct step_result {
	enum step_state state;
	uint64_t began_us; /* on the clock of struct sys */
	uint64_t us; /* time that run took */
};

struct steps_ops {
	void (*progress)(void *ctx, const struct step *step, size_t index);
	/* The whole run is over: r == 0, or the first error; @stuck: undoing stopped at @stuck->name. The steps object is still valid. */
	void (*finished)(void *ctx, int r, const struct err *err, const struct step *stuck);
};

/* @table, @ctx and @ops outlive the object. NULL: no memory. */
struct steps *steps_new(struct sys *sys, struct work_pool *pool, const struct step *table, size_t nr, const struct steps_ops *ops,
			void *ctx);
struct steps *steps_free(struct steps *s);

/* @dry: only preflight steps are run. .finished comes from the loop or from within this call. */
void steps_run(struct steps *s, bool dry);
/* Only the undo column, from the last step to the first. */
void steps_undo(struct steps *s);
/* A step that returned STEP_PENDING has ended. @err may be NULL. */
void steps_done(struct steps *s, int r, const struct err *err);

const struct step *steps_table(const struct steps *s, size_t *ret_nr);
const struct step_result *steps_result(const struct steps *s, size_t index);

#endif
