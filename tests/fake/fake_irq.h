/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fake kernel's interrupts and threads: msi_irqs, /sys/kernel/irq, /proc/irq, /proc/PID/task. Writing an affinity does what
 * kernel/irq/proc.c does: parse, refuse what has no CPU online, choose the first of those as the effective one.
 */
#ifndef GANGWAY_FAKE_IRQ_H
#define GANGWAY_FAKE_IRQ_H

#include "fake.h"

void fake_online_cpus(struct fake *fake, const char *list);
/* Interrupt @irq of @bdf (which is there), taken by @action ("" nobody). May arrive on @affinity, and does on its first CPU. */
void fake_add_irq(struct fake *fake, const char *bdf, unsigned irq, const char *action, const char *affinity);
/* As above, for a vector that VFIO hands on. */
void fake_add_vector(struct fake *fake, const char *bdf, unsigned irq, unsigned vector, const char *affinity);
void fake_remove_irq(struct fake *fake, const char *bdf, unsigned irq);
/* Writing its affinity fails with @num (negative errno); 0: no more. */
void fake_refuse_affinity(struct fake *fake, unsigned irq, int num);
/* It wrote, and how often. free(). */
char *fake_affinity(const struct fake *fake, unsigned irq);
unsigned fake_affinity_writes(const struct fake *fake, unsigned irq);
/* A thread that has run on @cpu last and may run on @allowed; the same again moves it. */
void fake_put_thread(struct fake *fake, int pid, int tid, const char *name, unsigned cpu, const char *allowed);
void fake_remove_thread(struct fake *fake, int pid, int tid);

#endif
