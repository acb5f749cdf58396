/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irq_balance: keeps the host's irqbalance off the interrupts that gangway has moved, or the two would move them to and fro. irqbalance takes a
 * list of interrupts to leave alone over its socket, irqbalancePID.sock in a folder of its own (irqbalance.c, sock_handle()): "setup" tells the
 * list it has, "settings ban irqs N..." makes it another one. Ours are added to what is in it, and taken out again, also when the
 * interrupt has gone, as the kernel gives its number to others: others in it are the operator's.
 * One that is started anew is told again. What it says is not trusted. What it could not be told, or does not do in
 * time, it is told again, after a second at first and every 30 s in the end, until its list is as it should be or it has gone.
 * What it was told is in a file below the runtime directory, for the next gangwayd.
 */
#ifndef GANGWAY_IRQ_BALANCE_H
#define GANGWAY_IRQ_BALANCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct daemon;
struct irq_balance;

/* What gangway has moved may be other than it was; @moved: it is. Cheap where it is not: to be called at each look. */
void irq_balance_update(struct daemon *d, bool moved);
/* What a former gangwayd has told it is known from here on, and taken out again where nobody needs it. The leases are known already. */
void irq_balance_start(struct daemon *d);
/* NULL is fine. The list stays as it is: leases do, too. */
void irq_balance_free(struct irq_balance *b);

/* For the control protocol; null: there is none, or none is looked for. */
json_t *irq_balance_to_json(const struct irq_balance *b);

/* The interrupts in what it says to "setup", "SLEEP 10 IRQ 33 LOAD 0 ... BANNED 00000000", at most @max. Returns how many; -EPROTO: no such answer. */
int irq_balance_parse(const char *text, size_t len, unsigned *ret, unsigned max);

#endif
