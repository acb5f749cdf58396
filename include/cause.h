/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cause: which leg a lease ought to be on, and why. The causes that keep it off its VF, each with the time since when; when the way
 * back is open again; the reason that operators are shown. No clock of its own: times are milliseconds of the caller's monotonic clock.
 *
 * The way back opens when no cause is active, and then not before
 * - what ended last has stayed ended for return_delay_ms. None for what cannot come and go by itself: the operator's choice, a migration,
 *   a postcopy, a snapshot, a VF that has become free (causes_is_prompt());
 * - the pause after a failure is over: backoff_first_ms, doubled with each further one up to backoff_max_ms, until one attempt holds;
 * - fewer than rate_max attempts were begun within rate_window_ms: each costs the guest a hotplug.
 * The operator's order (causes_grant()) waits for none of the three, once.
 */
#ifndef GANGWAY_CAUSE_H
#define GANGWAY_CAUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "lease_fsm.h"

#define CAUSE_NEVER UINT64_MAX
#define CAUSE_RATE_MAX 32 /* largest rate_max; what is above counts as this */

struct cause_config {
	unsigned return_delay_ms;
	unsigned rate_max, rate_window_ms; /* rate_max 0 counts as 1 */
	unsigned backoff_first_ms, backoff_max_ms;
};

struct causes;

/* NULL: no memory. */
struct causes *causes_new(const struct cause_config *config);
/* NULL is fine; returns NULL. */
struct causes *causes_free(struct causes *c);

/* @reason: not REASON_NONE. False if nothing changed: it is active already (and keeps its time), or was not. */
bool causes_begin(struct causes *c, enum lease_reason reason, uint64_t now_ms);
bool causes_end(struct causes *c, enum lease_reason reason, uint64_t now_ms);
bool causes_has(const struct causes *c, enum lease_reason reason);
/* Is the way back open as soon as a cause of this kind has ended? */
bool causes_is_prompt(enum lease_reason reason);

/* The operator wants the VF: whatever is left to wait for, the next attempt may begin. Active causes hold nevertheless. */
void causes_grant(struct causes *c);
/* An attempt to bring the lease back begins. */
void causes_started(struct causes *c, uint64_t now_ms);
/* The attempt under way ends before the guest has had anything to do with it: it does not count as one within rate_window_ms. */
void causes_cost_nothing(struct causes *c);
/* It failed; @reason is shown until the next one holds. */
void causes_failed(struct causes *c, enum lease_reason reason, uint64_t now_ms);
/* It holds: the lease is on its VF. */
void causes_held(struct causes *c);
/* Something has changed that may mend the failure: try at once. */
void causes_retry(struct causes *c);

enum cause_wait { CAUSE_WAIT_NOTHING, CAUSE_WAIT_CAUSE, CAUSE_WAIT_DELAY, CAUSE_WAIT_BACKOFF, CAUSE_WAIT_RATE };
const char *cause_wait_to_string(enum cause_wait wait);

struct verdict {
	enum cause_wait wait; /* what the way back waits for; CAUSE_WAIT_CAUSE: the lease ought to be on its emulated leg */
	/*
	 * What operators are shown: the strongest active cause, else the one that was active last, or the failure. Strongest first:
	 * operator; migration, postcopy, snapshot; vf-fault, device-process-lost, pf-down; memory-private, memory-not-resident,
	 * memory-cow, memory-pressure; no-vf; guest-no-driver; vmm-unplug-unsafe. What somebody ordered comes before what is under way,
	 * that before what broke, that before what memory asks for, that before what is only missing.
	 */
	enum lease_reason reason;
	uint64_t since_ms; /* of @reason */
	uint64_t wake_ms; /* when to ask again, though nothing has happened; CAUSE_NEVER */
};

void causes_decide(const struct causes *c, uint64_t now_ms, struct verdict *ret);

#endif
