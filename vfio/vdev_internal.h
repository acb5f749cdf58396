/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of vdev share. */
#ifndef GANGWAY_VDEV_INTERNAL_H
#define GANGWAY_VDEV_INTERNAL_H

#include "vdev.h"

#define BDF_MAX 32

struct vdev_region {
	uint64_t offset, size; /* in the device's descriptor */
	uint32_t flags; /* VFIO_REGION_INFO_FLAG_* */
};

struct vdev {
	struct sys *sys;
	char bdf[BDF_MAX];
	struct vdev_fds fds;
	struct vfio_device_info info;
	struct vdev_region *regions;
};

/* IOMMU group of @bdf; -EPERM "vfio.no-iommu": it has none. */
int vdev_group_id(struct sys *sys, const char *bdf, int *ret, struct err *err);
/* Fill @err with "group N is not viable" and whoever spoils it; returns -EBUSY. */
int vdev_not_viable(struct sys *sys, const char *bdf, int group_id, const char *offenders, struct err *err);

#endif
