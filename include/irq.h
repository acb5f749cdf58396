/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irq: the interrupts of one device. Eventfds from the VMM are handed to VFIO as they come; from then on an interrupt goes
 * device -> kernel -> eventfd -> KVM and this module is not on the path.
 *
 * It keeps the table of what is armed, with the eventfds: the kernel forgets vectors in two cases where the client must not notice.
 * (1) A range grows past what the kernel allocated at the first SET_IRQS and the device cannot allocate more while enabled
 * (VFIO_IRQ_INFO_NORESIZE): the index is disabled and enabled again with all vectors. (2) A SET_IRQS that fails half-way tears its
 * whole run down (vfio_msi_set_block()): the vectors armed before it are armed again. A descriptor is closed when its vector is disarmed.
 */
#ifndef GANGWAY_IRQ_H
#define GANGWAY_IRQ_H

#include <linux/vfio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct irq;
struct vdev;

#define IRQ_MAX_VECTORS 2048 /* of one index: MSI-X's own limit */

/* Asks @vdev, which outlives the irq, for its indexes and counts. */
int irq_new(struct vdev *vdev, struct irq **ret, struct err *err);
/* Disarms everything. NULL is fine; returns NULL. */
struct irq *irq_free(struct irq *irq);

/*
 * One SET_IRQS as the client sent it: exactly one DATA and one ACTION flag; @data: DATA_BOOL, a byte a vector; @fds: DATA_EVENTFD, one a
 * vector, or @nr_fds == 0: disarm [start, start + count). DATA_NONE with ACTION_TRIGGER and count 0 disables the whole index.
 * Descriptors are taken over, also on failure. -EINVAL "irq.range", "irq.flags", "irq.fd-count"; what the kernel refuses keeps its errno,
 * "irq.set-failed", and the vectors armed before stay armed. "irq.vector-lost": they could not be armed again.
 */
int irq_set(struct irq *irq, const struct vfio_irq_set *set, const uint8_t *data, int *fds, size_t nr_fds, struct err *err);
/* Every vector of every index, as when the client has gone; also those armed with the device's descriptor without asking here. Goes on
 * after a failure; the first errno. */
int irq_disarm_all(struct irq *irq, struct err *err);

/* Vectors of INTx, MSI and MSI-X that are armed; the error and request interrupts do not count. */
unsigned irq_nr_armed(const struct irq *irq);
bool irq_is_armed(const struct irq *irq, unsigned index, unsigned vector);
/* Descriptors that all vectors armed would hold, for the process's limit. */
unsigned irq_nr_vectors(const struct irq *irq);

#endif
