/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What irq_balance.c, irq_balance_tell.c and irq_balance_record.c share. */
#ifndef GANGWAY_IRQ_BALANCE_INTERNAL_H
#define GANGWAY_IRQ_BALANCE_INTERNAL_H

#include <limits.h>
#include <sys/un.h>

#include "err.h"
#include "gangway_limits.h"
#include "irq_balance.h"

struct sys;

#define BALANCE_SOCKET_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

struct irq_list {
	unsigned nr, of[LIMIT_IRQS_BANNED];
};

bool irq_list_has(const struct irq_list *l, unsigned irq);
/* Nothing is added where it is there already, or there is no room. */
void irq_list_add(struct irq_list *l, unsigned irq);
/* In whatever order. */
bool irq_list_is_same(const struct irq_list *a, const struct irq_list *b);

/* What is told to irqbalance, and what came of it. */
struct balance_job {
	struct irq_balance *b; /* NULL: gangwayd does without */
	struct sys *sys;
	char dir[PATH_MAX], record[PATH_MAX + 16]; /* @dir "": the one that was told before, no other */
	char socket[BALANCE_SOCKET_MAX];
	struct irq_list want, ours;
	unsigned beyond; /* for which @want has no room */
	unsigned left_out; /* of @want, and those */
	struct err err;
};

/* On a worker: @job is a struct balance_job. 0: it was told, or there is none: @socket "" then; -errno, @err. */
int irq_balance_run(void *job);

/*
 * Which irqbalance has interrupts of ours on its list: in a file below the runtime directory, which is gone after a boot, as that irqbalance is.
 * Written before it is told, and when it was; none: nothing is. A gangwayd that is killed has it in no lease's row.
 */
/* @ours empty: the file goes. -errno. On a worker. */
int irq_balance_record(const char *path, const char *socket, const struct irq_list *ours);
/* 0; -ENOENT: there is none; -EPROTO: it makes no sense, and nothing is read of it. */
int irq_balance_recorded(const char *path, char socket[static BALANCE_SOCKET_MAX], struct irq_list *ours);

#endif
