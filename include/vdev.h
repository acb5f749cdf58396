/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vdev: one PCI function through the kernel's VFIO (group + container, type1v2). Source: <linux/vfio.h>.
 *
 * gangwayd opens it (privileged); gangway-device works with the same descriptors (vdev_from_fds) and has no privileges.
 */
#ifndef GANGWAY_VDEV_H
#define GANGWAY_VDEV_H

#include <linux/vfio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct sys;
struct vdev;

/* The three descriptors a lease needs. -1: not held. */
struct vdev_fds {
	int container, group, device;
};

#define VDEV_FDS_NONE ((struct vdev_fds){ -1, -1, -1 })

/*
 * Would the group of @bdf be viable once @bdf is bound to vfio-pci? Looked up in sysfs, changes nothing.
 * -EPERM "vfio.no-iommu": no group at all (IOMMU off), with the kernel arguments to set as hint.
 * -EBUSY "vfio.group-not-viable": the message says "group N is not viable" and lists each offending BDF with its driver.
 */
int vdev_check_group(struct sys *sys, const char *bdf, int *ret_group_id, struct err *err);

/*
 * Reserved IOVA ranges of the group against guest RAM [0, ram_bytes) as a PC lays it out (hole below 4 GiB left out by the caller
 * is not assumed): -ERANGE "vfio.iova-reserved" names the range. The MSI window (type "msi") is not an error.
 */
int vdev_check_reserved(struct sys *sys, int group_id, uint64_t ram_bytes, struct err *err);

/* Open container, group and device; the kernel resets the function (FLR, >= 100 ms) on the way. @bdf is bound to vfio-pci already.
 * With a device that does not answer (config space reads all ones): -EIO "vfio.device-dead". */
int vdev_open(struct sys *sys, const char *bdf, struct vdev **ret, struct err *err);
/* Takes the descriptors over, also on failure. */
int vdev_from_fds(struct sys *sys, const char *bdf, struct vdev_fds fds, struct vdev **ret, struct err *err);
struct vdev *vdev_close(struct vdev *vdev); /* NULL is fine; returns NULL */

struct vdev_fds vdev_get_fds(const struct vdev *vdev); /* still the vdev's */
const char *vdev_bdf(const struct vdev *vdev);
unsigned vdev_nr_regions(const struct vdev *vdev);
unsigned vdev_nr_irqs(const struct vdev *vdev);

/* As the kernel answers it, capability chain included: *ret is the caller's, free(); ->argsz its length. */
int vdev_region_info(struct vdev *vdev, unsigned index, struct vfio_region_info **ret, struct err *err);
int vdev_irq_info(struct vdev *vdev, unsigned index, struct vfio_irq_info *ret, struct err *err);
/* @offset within the region; bounds are checked against the region's size and access flags. Bytes moved or negative errno. */
ssize_t vdev_region_read(struct vdev *vdev, unsigned index, uint64_t offset, void *buf, size_t len);
ssize_t vdev_region_write(struct vdev *vdev, unsigned index, uint64_t offset, const void *buf, size_t len);
/* VFIO_DEVICE_SET_IRQS as it is. */
int vdev_set_irqs(struct vdev *vdev, struct vfio_irq_set *set, struct err *err);
int vdev_reset(struct vdev *vdev, struct err *err);
/* No DMA any more, whoever else holds a descriptor of it: bus master off, reset, everything unmapped that its container maps, ours or not.
 * Each is tried whatever the one before said: 0 or the first error. */
int vdev_quiesce(struct vdev *vdev, struct err *err);
bool vdev_can_reset(const struct vdev *vdev);

#endif
