/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irq_cpus: a set of CPUs as plain data, and the text form in which the kernel reads and writes it: "0-3,8,10-11". Host CPUs, and indexes of
 * a guest's vCPUs as well.
 */
#ifndef GANGWAY_IRQ_CPUS_H
#define GANGWAY_IRQ_CPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IRQ_CPUS_MAX 1024 /* CPUs 0 to 1023: glibc's CPU_SETSIZE, and more than one KVM guest may have on most hosts */
#define IRQ_CPUS_TEXT_MAX 4096 /* the longest list of 1024 CPUs, every other one, with its NUL */

struct irq_cpus {
	uint64_t bits[IRQ_CPUS_MAX / 64]; /* all zero: none */
};

static inline bool irq_cpus_has(const struct irq_cpus *set, unsigned cpu)
{
	return cpu < IRQ_CPUS_MAX && (set->bits[cpu / 64] >> cpu % 64 & 1);
}

/* @cpu above the limit is not added. */
static inline void irq_cpus_add(struct irq_cpus *set, unsigned cpu)
{
	if (cpu < IRQ_CPUS_MAX)
		set->bits[cpu / 64] |= (uint64_t)1 << cpu % 64;
}

unsigned irq_cpus_count(const struct irq_cpus *set);
/* The @n-th CPU of the set, from 0; -1: it has no more. */
int irq_cpus_nth(const struct irq_cpus *set, unsigned n);
bool irq_cpus_equal(const struct irq_cpus *a, const struct irq_cpus *b);
/* What is in both. */
struct irq_cpus irq_cpus_and(const struct irq_cpus *a, const struct irq_cpus *b);

/*
 * A list as lib/bitmap.c prints it (bitmap_print_to_pagebuf, "%*pbl"), with or without its newline; "" and "\n" are the empty set, which an
 * interrupt's effective affinity is before it has one. @len bytes, no NUL needed. 0; -EINVAL: no such list (empty, reversed or strided
 * ranges, signs, spaces); -ERANGE: a CPU above IRQ_CPUS_MAX - 1. @ret untouched on failure.
 */
int irq_cpus_parse(const char *text, size_t len, struct irq_cpus *ret);

/* The same text, ranges joined, without a newline. Fits any set. Returns its length. */
size_t irq_cpus_format(const struct irq_cpus *set, char buf[static IRQ_CPUS_TEXT_MAX]);

#endif
