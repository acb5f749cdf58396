/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfdev: the real VF behind the vfio-user server: what each message means for VFIO, the IOMMU and the interrupts, and what status
 * tells of it.
 */
#ifndef GANGWAY_VFDEV_H
#define GANGWAY_VFDEV_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "iommu.h"
#include "irq.h"
#include "vdev.h"
#include "vuser.h"

struct vfdev {
	struct sys *sys;
	struct vdev *vdev;
	struct iommu *iommu;
	struct irq *irq;
	uint16_t command; /* PCI command register as the guest sees it */
	bool quiet; /* quiesced, and no client since */
	struct err last; /* the last refusal since the client came; num 0: none */
	uint64_t log_from_us; /* start of the present logging window, and lines written in it */
	unsigned nr_logged;
};

extern const struct vuser_ops vfdev_ops; /* ctx: struct vfdev * */

/* @fds are taken over, also on failure. @ram_bytes: the guest's (device_ram_limit()). */
int vfdev_init(struct vfdev *dev, struct sys *sys, const char *bdf, struct vdev_fds fds, uint64_t ram_bytes, struct err *err);
/* Quiesces it where it is not quiet. */
void vfdev_done(struct vfdev *dev);
/* No DMA, no interrupt, no state of the last client: bus master off, vectors disarmed, reset, everything unmapped. */
void vfdev_quiesce(struct vfdev *dev);
bool vfdev_bus_master(const struct vfdev *dev);
/* Descriptors that the process needs at the most: no client may use up those that the control socket needs. */
unsigned vfdev_max_fds(const struct vfdev *dev);
/* Whether one more line that a client has caused may be written. */
bool vfdev_may_log(struct vfdev *dev);

#endif
