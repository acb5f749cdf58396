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

/* Why the function may not do DMA, whatever the guest says: bits. */
enum vfdev_hold {
	VFDEV_HOLD_PENDING =
		1 << 0, /* memory that the VMM has mapped is not in the IOMMU yet, or such that it has unmapped still is */
	VFDEV_HOLD_DEGRADED = 1 << 1, /* and some never will be */
	VFDEV_HOLD_QUARANTINE = 1 << 2, /* gangwayd says so */
	VFDEV_HOLD_SHARED = 1 << 3, /* gangwayd says that some of the memory is another guest's */
};
const char *vfdev_hold_to_string(enum vfdev_hold bit); /* "pending", "degraded", "quarantine", "shared" */
#define VFDEV_NUM_HOLDS 4

/* The answer to what is put off until memory has landed. */
enum vfdev_later { VFDEV_LATER_NONE, VFDEV_LATER_MAP, VFDEV_LATER_RESET };

struct vfdev {
	struct sys *sys;
	struct vdev *vdev;
	struct iommu *iommu;
	struct irq *irq;
	uint16_t command; /* PCI command register of the function */
	bool wants_master; /* the bus master bit as the guest has set it, and reads it back */
	unsigned held; /* enum vfdev_hold, or-ed */
	enum vfdev_later later;
	uint64_t later_by_us; /* not longer than this */
	uint64_t answered_us; /* when such an answer was given last; 0: to this client none */
	uint64_t moved_us; /* when memory was unmapped last that the function could reach; 0: never */
	bool quiet; /* quiesced, and no client since */
	struct err last; /* the last refusal since the client came, or since it went; num 0: none */
	uint64_t log_from_us; /* start of the present logging window, and lines written in it */
	unsigned nr_logged;
};

extern const struct vuser_ops vfdev_ops; /* ctx: struct vfdev * */

/* @fds are taken over, also on failure. @ram_bytes: the guest's (device_ram_limit()). @nr_threads: that map its memory (iommu.h). */
int vfdev_init(struct vfdev *dev, struct sys *sys, const char *bdf, struct vdev_fds fds, uint64_t ram_bytes, unsigned nr_threads,
	       struct err *err);
/* Quiesces it where it is not quiet. */
void vfdev_done(struct vfdev *dev);
/* No DMA, no interrupt, no state of the last client: bus master off, vectors disarmed, reset, everything unmapped. */
void vfdev_quiesce(struct vfdev *dev);
/* Hold the function back, or not any more: while any bit is set, its bus master bit is off in the hardware. QUARANTINE again: looked at again. */
void vfdev_hold(struct vfdev *dev, enum vfdev_hold why, bool on);
/* Memory has been mapped meanwhile, or something parked is due: when iommu_fd() is readable and after iommu_timeout_ms(). */
void vfdev_process(struct vfdev *dev);
/* What an op has put off (VUSER_LATER) is due now: true once, and *@ret is the answer. */
bool vfdev_later_due(struct vfdev *dev, int *ret);
/* Milliseconds until that has to be asked; -1: nothing is put off. */
int vfdev_timeout_ms(const struct vfdev *dev);
bool vfdev_bus_master(const struct vfdev *dev); /* in the hardware */
/* Descriptors that the process needs at the most: no client may use up those that the control socket needs. */
unsigned vfdev_max_fds(const struct vfdev *dev);
/* Whether one more line that a client has caused may be written. */
bool vfdev_may_log(struct vfdev *dev);

#endif
