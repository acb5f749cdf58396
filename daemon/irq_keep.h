/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irq_keep: what gangwayd has changed of a lease's host interrupts. Nothing is changed before what it was is in the lease's row of the state
 * database, so that whoever ends the lease, a later gangwayd too, gives it back.
 *
 * One job at a time is on a worker: moving, or giving back, which waits for a move under way. A lease's keep is made by its first move, or
 * of its row, and goes with the lease.
 */
#ifndef GANGWAY_IRQ_KEEP_H
#define GANGWAY_IRQ_KEEP_H

#include <jansson.h>
#include <stdbool.h>

#include "err.h"
#include "irq_affinity.h"

struct irq_keep;
struct lease;

struct irq_move {
	struct irq_host host;
	unsigned cpu; /* where it should arrive */
	int r; /* how it came out: 0, -ENOENT: it is no vector of this VF any more, or as irq_affinity_write() has it; or nothing was written */
	bool tried; /* the kernel was asked: what was in the way before that may be gone the next time */
	bool refused; /* by the kernel, when it was written, and will be again */
	struct err err;
};

/* @moves is valid during the call only. The lease is there. */
typedef void (*irq_moved_fn)(struct lease *l, const struct irq_move *moves, unsigned nr);

/* Move @nr (at least one, at most LIMIT_IRQ_VECTORS) interrupts of the lease's VF. 0: @done is called, from the loop; -EBUSY: one job at a
 * time; -ENOMEM. */
int irq_keep_move(struct lease *l, const struct irq_move *moves, unsigned nr, irq_moved_fn done);

/*
 * Give back what was changed. False: nothing was, @done is not called. True: it is under way, and @done (NULL is fine) is called from the
 * loop when it is over, whatever came of it: what the kernel refuses is said in the log. One @done waits at a time.
 */
bool irq_keep_release(struct lease *l, void (*done)(void *ctx), void *ctx);
/* Has anything been changed, or is being? */
bool irq_keep_has(const struct lease *l);
/* Numbers of those that were changed and have not gone since, into @ret of LIMIT_IRQ_VECTORS. How many. */
unsigned irq_keep_irqs(const struct lease *l, unsigned *ret);
/* Is a job under way? */
bool irq_keep_is_busy(const struct lease *l);

/* Of the lease's row: what a former gangwayd has changed. What makes no sense is left out, and said in the log. */
void irq_keep_load(struct lease *l, const json_t *irqs);
/* The lease is freed: what is under way finds nobody. NULL is fine. */
void irq_keep_free(struct lease *l);

#endif
