/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irq_affinity: the host interrupts behind a function's vectors, and the CPUs they may arrive on. Through struct sys alone, nothing waits.
 *
 * /sys/bus/pci/devices/BDF/msi_irqs (drivers/pci/msi) names a function's interrupts, /sys/kernel/irq/N/actions (kernel/irq/irqdesc.c) who takes
 * each: "vfio-msix[3](0000:3b:02.1)" is the eventfd of the guest's vector 3 (drivers/vfio/pci/vfio_pci_intrs.c). /proc/interrupts has the
 * same words, but of every interrupt of the host with a column for each CPU. /proc/irq/N (kernel/irq/proc.c) has the CPUs.
 * A guest frees and arms vectors as it likes: numbers come, go, and may be another device's the next moment. Each function says so of one
 * interrupt and leaves the others alone.
 */
#ifndef GANGWAY_IRQ_AFFINITY_H
#define GANGWAY_IRQ_AFFINITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "irq_cpus.h"

struct err;
struct sys;

#define IRQ_HOST_MAX 2048 /* of one function: MSI-X's own limit */

struct irq_host {
	unsigned irq; /* the host's number */
	unsigned vector; /* the index in the device's table */
	bool msix; /* else MSI */
};

/*
 * The interrupts of @bdf that VFIO hands on, by ascending vector; others that it has (another driver, a vector without a taker) are left out.
 * At most @max. 0 with their number in *ret_nr, also for none; -EOPNOTSUPP "irq.no-sysfs": this kernel does not tell; other errnos of
 * reading the folder, "irq.list". One folder and a small file for each.
 */
int irq_host_list(struct sys *sys, const char *bdf, struct irq_host *ret, unsigned max, unsigned *ret_nr, struct err *err);

/* Whose is it now? 0: @host is still what it was when it was listed; -ENOENT: it is gone, or another's; other errnos of reading that. */
int irq_host_check(struct sys *sys, const char *bdf, const struct irq_host *host);

/* A line of actions, @len bytes, may be several names with commas: is one of them VFIO's for a vector of @bdf? 0, or -ENOENT. */
int irq_action_parse(const char *text, size_t len, const char *bdf, unsigned *ret_vector, bool *ret_msix);

/*
 * smp_affinity_list: where it may arrive. Once written it is what was asked for, even while the last interrupt is still on its way to the
 * old CPU. -ENOENT "irq.gone"; -EPROTO "irq.bad-list": the kernel's text makes no sense, or names a CPU above IRQ_CPUS_MAX - 1.
 */
int irq_affinity_read(struct sys *sys, unsigned irq, struct irq_cpus *ret, struct err *err);
/* effective_affinity_list: where it does arrive; on x86 one CPU of those. Empty until it was started, or where the kernel does not tell. */
int irq_effective_read(struct sys *sys, unsigned irq, struct irq_cpus *ret, struct err *err);

/*
 * Allow @want alone. 0, or
 * -EINVAL "irq.no-online-cpu": @want is empty, or none of it is online; -ENOENT "irq.gone";
 * -EIO "irq.affinity-fixed": managed by its driver or the kernel, or bound to a CPU by the hardware: will be refused again;
 * -EACCES "irq.denied": gangway may not, will be refused again (EPERM too);
 * -ENOSPC "irq.no-vector-space": that CPU's interrupt vectors are all in use; other errnos "irq.affinity-refused": may go another time.
 */
int irq_affinity_write(struct sys *sys, unsigned irq, const struct irq_cpus *want, struct err *err);

/* What an interrupt had before gangway touched it: plain data, for an undo record. irq_cpus_format() gives the set as text. */
struct irq_saved {
	unsigned irq, vector;
	bool msix;
	struct irq_cpus affinity;
};

/* Of those in @hosts that are still there. @ret has room for @nr. Returns how many, or the first errno if there is none at all. */
int irq_affinity_save(struct sys *sys, const struct irq_host *hosts, unsigned nr, struct irq_saved *ret, struct err *err);

/*
 * Put @nr of them back. One that is no longer this vector of @bdf is another interrupt, or none: left alone, as is one that has what it had.
 * Goes on after a refusal; 0, or the first errno with @err. Doing it again is harmless.
 */
int irq_affinity_restore(struct sys *sys, const char *bdf, const struct irq_saved *saved, unsigned nr, struct err *err);

#endif
