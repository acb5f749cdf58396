/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irq_count: how often has a function interrupted since it was given its vectors? By what the kernel has counted for each of them: the numbers that
 * /proc/interrupts has in its columns, without the lines of all the others. /sys/bus/pci/devices/BDF/msi_irqs names the function's own
 * (drivers/pci/msi, an empty folder or none: no vectors), /sys/kernel/irq/N/per_cpu_count has their counts (kernel/irq/irqdesc.c, since 4.9).
 * They begin at 0 when vectors are allocated, so that what a VF did for an earlier guest, or before a reboot, does not count.
 *
 * An interrupt that the IOMMU posts to a vCPU by itself (VT-d posted interrupts, AMD's AVIC) passes the kernel by: it is never counted.
 */
#ifndef GANGWAY_IRQ_COUNT_H
#define GANGWAY_IRQ_COUNT_H

#include <stddef.h>
#include <stdint.h>

struct sys;

#define IRQ_COUNT_MAX 256 /* vectors that are looked at */

/*
 * Of all its vectors, saturating; 0 also where it has none, or what sysfs says of them makes no sense. -EOPNOTSUPP: this kernel does not tell.
 * Does not block; a file for each vector is read.
 */
int irq_count(struct sys *sys, const char *bdf, uint64_t *ret);

/* The sum of "0,12,3\n", saturating. One number at least; the last may be cut, sysfs gives no more than a page. -EINVAL: no such text. */
int irq_count_parse(const char *text, size_t len, uint64_t *ret);

/*
 * How often interrupt @irq has arrived on each CPU since it was allocated: of the first @max possible CPUs into @ret, their number into
 * *ret_nr. A count wraps at 2^32 (per CPU, in the kernel). A number that the end of the page may have cut is left out. -ENOENT: no such
 * interrupt, -EPROTO: the text makes no sense.
 */
int irq_count_cpus(struct sys *sys, unsigned irq, uint64_t *ret, unsigned max, unsigned *ret_nr);

#endif
