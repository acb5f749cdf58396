/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What irq_keep.c and irq_keep_record.c share. */
#ifndef GANGWAY_IRQ_KEEP_INTERNAL_H
#define GANGWAY_IRQ_KEEP_INTERNAL_H

#include "gangway_limits.h"
#include "irq_keep.h"
#include "sriov.h"

struct job;

struct saved_list {
	unsigned nr;
	struct irq_saved of[LIMIT_IRQ_VECTORS];
};

struct irq_keep {
	struct lease *lease;
	char bdf[BDF_LEN]; /* of the function whose interrupts they are */
	struct saved_list saved;
	struct job *job; /* under way; NULL: none */
	bool release; /* when that is over */
	void (*released)(void *ctx);
	void *ctx;
};

/* Of @l, made where there is none. NULL: no memory. */
struct irq_keep *irq_keep_of(struct lease *l);
json_t *irq_saved_to_json(const struct saved_list *saved, const char *bdf, const char *boot_id);

#endif
