/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The group and container interface of VFIO: opening a function. What can be asked of an open one: vdev_ops.c. Source: <linux/vfio.h>. */
#include "vdev.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "sys.h"
#include "vdev_internal.h"

#define MAX_INDEXES 64 /* regions or irqs of a function; vfio-pci has 9 and 5, vendor drivers a few more */

static int vdev_alloc(struct sys *sys, const char *bdf, struct vdev **ret, struct err *err)
{
	struct vdev *v;

	if (strlen(bdf) >= BDF_MAX)
		return err_set(err, -EINVAL, "vfio.bad-bdf", "\"%.40s\" is no PCI address", bdf);
	v = calloc(1, sizeof(*v));
	if (!v)
		return err_set(err, -ENOMEM, "vfio.no-memory", "vf %s: out of memory", bdf);
	v->sys = sys;
	v->fds = VDEV_FDS_NONE;
	strcpy(v->bdf, bdf);
	*ret = v;
	return 0;
}

static void sys_close(struct sys *sys, int *fd)
{
	if (*fd >= 0)
		sys->ops->close(sys, *fd);
	*fd = -1;
}

struct vdev *vdev_close(struct vdev *v)
{
	if (!v)
		return NULL;
	/* the kernel wants the device gone before its group, the group before its container */
	sys_close(v->sys, &v->fds.device);
	sys_close(v->sys, &v->fds.group);
	sys_close(v->sys, &v->fds.container);
	free(v->regions);
	free(v);
	return NULL;
}

static int open_container(struct vdev *v, struct err *err)
{
	struct sys *sys = v->sys;
	int fd, r;

	fd = sys->ops->open(sys, "/dev/vfio/vfio", O_RDWR);
	if (fd < 0) {
		err_set(err, fd, "vfio.no-module", "vf %s: /dev/vfio/vfio: %s", v->bdf, strerror(-fd));
		err_hint(err, "modprobe vfio-pci");
		return fd;
	}
	v->fds.container = fd;
	r = sys->ops->ioctl(sys, fd, VFIO_GET_API_VERSION, NULL);
	if (r != VFIO_API_VERSION)
		return err_set(err, r < 0 ? r : -ENOTSUP, "vfio.api-version",
			       "vf %s: the kernel's VFIO speaks version %d, not %d", v->bdf, r, VFIO_API_VERSION);
	r = sys->ops->ioctl(sys, fd, VFIO_CHECK_EXTENSION, (void *)VFIO_TYPE1v2_IOMMU);
	if (r <= 0) {
		err_set(err, r < 0 ? r : -ENOTSUP, "vfio.no-type1", "vf %s: the kernel has no VFIO type1v2 IOMMU", v->bdf);
		err_hint(err, "modprobe vfio_iommu_type1");
		return r < 0 ? r : -ENOTSUP;
	}
	return 0;
}

static int open_group_node(struct vdev *v, int group_id, struct err *err)
{
	char path[48];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/%d", group_id);
	fd = v->sys->ops->open(v->sys, path, O_RDWR);
	if (fd >= 0) {
		v->fds.group = fd;
		return 0;
	}
	err_set(err, fd, fd == -EBUSY ? "vfio.group-in-use" : "vfio.group-open", "vf %s: %s: %s", v->bdf, path, strerror(-fd));
	if (fd == -EBUSY)
		err_hint(err, "another process (a QEMU, another gangway) holds a function of group %d; see who with: fuser -v %s",
			 group_id, path);
	else if (fd == -ENOENT)
		err_hint(err, "the function is not bound to vfio-pci");
	return fd;
}

/* Whom to blame is looked up only after the kernel has refused: it decides, sysfs explains. */
static int explain_not_viable(struct vdev *v, int group_id, struct err *err)
{
	int r = vdev_check_group(v->sys, v->bdf, &group_id, err);

	return r == -EBUSY ? r : vdev_not_viable(v->sys, v->bdf, group_id, "", err);
}

static int open_group(struct vdev *v, struct err *err)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	struct sys *sys = v->sys;
	int group_id, r;

	r = vdev_group_id(sys, v->bdf, &group_id, err);
	if (r == 0)
		r = open_group_node(v, group_id, err);
	if (r < 0)
		return r;
	r = sys->ops->ioctl(sys, v->fds.group, VFIO_GROUP_GET_STATUS, &status);
	if (r < 0)
		return err_set(err, r, "vfio.group-open", "vf %s: group %d: status: %s", v->bdf, group_id, strerror(-r));
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return explain_not_viable(v, group_id, err);
	r = sys->ops->ioctl(sys, v->fds.group, VFIO_GROUP_SET_CONTAINER, &v->fds.container);
	if (r == -EPERM || r == -EBUSY)
		return explain_not_viable(v, group_id, err);
	if (r < 0)
		return err_set(err, r, "vfio.set-container", "vf %s: group %d: set container: %s", v->bdf, group_id,
			       strerror(-r));
	r = sys->ops->ioctl(sys, v->fds.container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU);
	if (r < 0) {
		err_set(err, r, "vfio.set-iommu", "vf %s: group %d: set IOMMU: %s", v->bdf, group_id, strerror(-r));
		if (r == -EPERM)
			err_hint(err, "the host has no interrupt remapping: switch it on in the firmware (VT-d: intremap), or "
				      "accept the risk with "
				      "vfio_iommu_type1.allow_unsafe_interrupts=1");
	}
	return r;
}

static int open_device(struct vdev *v, struct err *err)
{
	char bdf[BDF_MAX];
	int fd;

	strcpy(bdf, v->bdf);
	fd = v->sys->ops->ioctl(v->sys, v->fds.group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (fd < 0) {
		err_set(err, fd, "vfio.device-open", "vf %s: VFIO does not open it: %s", v->bdf, strerror(-fd));
		if (fd == -ENODEV)
			err_hint(err, "the function is not bound to vfio-pci");
		return fd;
	}
	v->fds.device = fd;
	return 0;
}

static int read_region(struct vdev *v, unsigned index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };
	int r = v->sys->ops->ioctl(v->sys, v->fds.device, VFIO_DEVICE_GET_REGION_INFO, &info);

	if (r == -EINVAL)
		return 0; /* an index that this function lacks: size 0 */
	if (r < 0)
		return r;
	v->regions[index] = (struct vdev_region){ .offset = info.offset, .size = info.size, .flags = info.flags };
	return 0;
}

/* Revision and class come from hardware even for a VF (its vendor id does not): all ones mean nobody answers. */
static int check_alive(struct vdev *v, struct err *err)
{
	uint32_t word = 0;
	ssize_t n = vdev_region_read(v, VFIO_PCI_CONFIG_REGION_INDEX, 8, &word, sizeof(word));

	if (n == sizeof(word) && word != UINT32_MAX)
		return 0;
	err_set(err, -EIO, "vfio.device-dead", "vf %s does not answer: its config space reads all ones", v->bdf);
	err_hint(err, "is its PF up and its driver loaded? \"PF is not online\" in the host's log means the PF was reset; "
		      "recreate the VFs (sriov_numvfs) or reset the PF");
	return -EIO;
}

/* What every open function tells of itself, however its descriptors were come by. */
static int read_info(struct vdev *v, struct err *err)
{
	int r;

	v->info.argsz = sizeof(v->info);
	r = v->sys->ops->ioctl(v->sys, v->fds.device, VFIO_DEVICE_GET_INFO, &v->info);
	if (r < 0)
		return err_set(err, r, "vfio.device-info", "vf %s: device info: %s", v->bdf, strerror(-r));
	if (!(v->info.flags & VFIO_DEVICE_FLAGS_PCI) || v->info.num_regions <= VFIO_PCI_CONFIG_REGION_INDEX ||
	    v->info.num_regions > MAX_INDEXES || v->info.num_irqs > MAX_INDEXES)
		return err_set(err, -ENOTSUP, "vfio.device-info", "vf %s: VFIO does not show it as a PCI function", v->bdf);
	v->regions = calloc(v->info.num_regions, sizeof(*v->regions));
	if (!v->regions)
		return err_set(err, -ENOMEM, "vfio.no-memory", "vf %s: out of memory", v->bdf);
	for (unsigned i = 0; i < v->info.num_regions; i++) {
		r = read_region(v, i);
		if (r < 0)
			return err_set(err, r, "vfio.region-info", "vf %s: region %u: %s", v->bdf, i, strerror(-r));
	}
	return check_alive(v, err);
}

int vdev_open(struct sys *sys, const char *bdf, struct vdev **ret, struct err *err)
{
	struct vdev *v;
	int r;

	r = vdev_alloc(sys, bdf, &v, err);
	if (r < 0)
		return r;
	r = open_container(v, err);
	if (r == 0)
		r = open_group(v, err);
	if (r == 0)
		r = open_device(v, err);
	if (r == 0)
		r = read_info(v, err);
	if (r < 0) {
		vdev_close(v);
		return r;
	}
	*ret = v;
	return 0;
}

/* Descriptors that came over a socket: are they what they are said to be, and do they belong together? */
static int check_fds(struct vdev *v, struct err *err)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	struct sys *sys = v->sys;
	int r;

	if (v->fds.container < 0 || v->fds.group < 0 || v->fds.device < 0)
		return err_set(err, -EBADF, "vfio.bad-fds", "vf %s: container, group or device descriptor is missing", v->bdf);
	r = sys->ops->ioctl(sys, v->fds.container, VFIO_GET_API_VERSION, NULL);
	if (r != VFIO_API_VERSION)
		return err_set(err, r < 0 ? r : -EINVAL, "vfio.bad-fds", "vf %s: the container descriptor is none", v->bdf);
	r = sys->ops->ioctl(sys, v->fds.group, VFIO_GROUP_GET_STATUS, &status);
	if (r < 0 || !(status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET))
		return err_set(err, r < 0 ? r : -EINVAL, "vfio.bad-fds",
			       "vf %s: the group descriptor is none, or has no container", v->bdf);
	return 0;
}

int vdev_from_fds(struct sys *sys, const char *bdf, struct vdev_fds fds, struct vdev **ret, struct err *err)
{
	struct vdev *v;
	int r;

	r = vdev_alloc(sys, bdf, &v, err);
	if (r < 0) {
		sys_close(sys, &fds.device);
		sys_close(sys, &fds.group);
		sys_close(sys, &fds.container);
		return r;
	}
	v->fds = fds;
	r = check_fds(v, err);
	if (r == 0)
		r = read_info(v, err);
	if (r < 0) {
		vdev_close(v);
		return r;
	}
	*ret = v;
	return 0;
}
