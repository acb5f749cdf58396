/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What irq_balance.c and irq_balance_record.c share. */
#ifndef GANGWAY_IRQ_BALANCE_INTERNAL_H
#define GANGWAY_IRQ_BALANCE_INTERNAL_H

#include <sys/un.h>

#include "gangway_limits.h"
#include "irq_balance.h"

#define BALANCE_SOCKET_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

struct irq_list {
	unsigned nr, of[LIMIT_IRQS_BANNED];
};

/*
 * Which irqbalance has interrupts of ours on its list: in a file below the runtime directory, which is gone after a boot, as that irqbalance is.
 * Written before it is told, and when it was; none: nothing is. A gangwayd that is killed has it in no lease's row.
 */
/* @ours empty: the file goes. -errno. On a worker. */
int irq_balance_record(const char *path, const char *socket, const struct irq_list *ours);
/* 0; -ENOENT: there is none; -EPROTO: it makes no sense, and nothing is read of it. */
int irq_balance_recorded(const char *path, char socket[static BALANCE_SOCKET_MAX], struct irq_list *ours);

#endif
