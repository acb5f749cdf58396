/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be asked of an open function. Offsets and lengths come from a guest's VMM: checked here, before the kernel sees them. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "sys.h"
#include "vdev_internal.h"

#define REGION_INFO_MAX (64u << 10) /* bytes of an answer that we are ready to believe */

struct vdev_fds vdev_get_fds(const struct vdev *v)
{
	return v->fds;
}

const char *vdev_bdf(const struct vdev *v)
{
	return v->bdf;
}

unsigned vdev_nr_regions(const struct vdev *v)
{
	return v->info.num_regions;
}

unsigned vdev_nr_irqs(const struct vdev *v)
{
	return v->info.num_irqs;
}

bool vdev_can_reset(const struct vdev *v)
{
	return v->info.flags & VFIO_DEVICE_FLAGS_RESET;
}

int vdev_region_info(struct vdev *v, unsigned index, struct vfio_region_info **ret, struct err *err)
{
	struct vfio_region_info *info;
	uint32_t size = sizeof(*info);
	int r;

	if (index >= v->info.num_regions)
		return err_set(err, -EINVAL, "vfio.region-index", "vf %s: there is no region %u", v->bdf, index);
	for (;;) {
		info = calloc(1, size);
		if (!info)
			return err_set(err, -ENOMEM, "vfio.no-memory", "vf %s: out of memory", v->bdf);
		info->argsz = size;
		info->index = index;
		r = v->sys->ops->ioctl(v->sys, v->fds.device, VFIO_DEVICE_GET_REGION_INFO, info);
		if (r == 0 && info->argsz > REGION_INFO_MAX)
			r = -EOVERFLOW;
		if (r < 0) {
			free(info);
			return err_set(err, r, "vfio.region-info", "vf %s: region %u: %s", v->bdf, index, strerror(-r));
		}
		if (info->argsz <= size) {
			*ret = info;
			return 0;
		}
		size = info->argsz;
		free(info);
	}
}

int vdev_irq_info(struct vdev *v, unsigned index, struct vfio_irq_info *ret, struct err *err)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };
	int r;

	if (index >= v->info.num_irqs)
		return err_set(err, -EINVAL, "vfio.irq-index", "vf %s: there is no irq index %u", v->bdf, index);
	r = v->sys->ops->ioctl(v->sys, v->fds.device, VFIO_DEVICE_GET_IRQ_INFO, &info);
	if (r < 0)
		return err_set(err, r, "vfio.irq-info", "vf %s: irq index %u: %s", v->bdf, index, strerror(-r));
	*ret = info;
	return 0;
}

/* The file offset of [@offset, @offset + @len) of region @index, or a negative errno. */
static int64_t locate(const struct vdev *v, unsigned index, uint64_t offset, size_t len, uint32_t access)
{
	const struct vdev_region *region;

	if (index >= v->info.num_regions)
		return -EINVAL;
	region = &v->regions[index];
	if (!(region->flags & access))
		return -EPERM;
	if (offset > region->size || len > region->size - offset)
		return -EINVAL;
	return (int64_t)(region->offset + offset);
}

ssize_t vdev_region_read(struct vdev *v, unsigned index, uint64_t offset, void *buf, size_t len)
{
	int64_t at = locate(v, index, offset, len, VFIO_REGION_INFO_FLAG_READ);

	return at < 0 ? (ssize_t)at : v->sys->ops->pread(v->sys, v->fds.device, buf, len, at);
}

ssize_t vdev_region_write(struct vdev *v, unsigned index, uint64_t offset, const void *buf, size_t len)
{
	int64_t at = locate(v, index, offset, len, VFIO_REGION_INFO_FLAG_WRITE);

	return at < 0 ? (ssize_t)at : v->sys->ops->pwrite(v->sys, v->fds.device, buf, len, at);
}

int vdev_set_irqs(struct vdev *v, struct vfio_irq_set *set, struct err *err)
{
	int r = v->sys->ops->ioctl(v->sys, v->fds.device, VFIO_DEVICE_SET_IRQS, set);

	/* a positive answer is the number of vectors the host could give instead */
	if (r > 0) {
		err_set(err, -ENOSPC, "irq.set-failed", "vf %s: irq index %u: the host has only %d of %u vectors", v->bdf,
			set->index, r, set->start + set->count);
		err_hint(err, "the host's interrupt vectors are used up: fewer queues per VF, or fewer VFs");
		return -ENOSPC;
	}
	if (r < 0)
		return err_set(err, r, "irq.set-failed", "vf %s: irq index %u: vectors [%u, %u + %u): %s", v->bdf, set->index,
			       set->start, set->start, set->count, strerror(-r));
	return 0;
}

int vdev_reset(struct vdev *v, struct err *err)
{
	int r;

	if (!vdev_can_reset(v))
		return err_set(err, -ENOTSUP, "vfio.no-reset", "vf %s cannot be reset", v->bdf);
	r = v->sys->ops->ioctl(v->sys, v->fds.device, VFIO_DEVICE_RESET, NULL);
	if (r < 0)
		return err_set(err, r, "vfio.reset-failed", "vf %s: reset: %s", v->bdf, strerror(-r));
	return 0;
}

static int unmap(struct vdev *v, uint32_t flags, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap arg = { .argsz = sizeof(arg), .flags = flags, .iova = iova, .size = size };

	return v->sys->ops->ioctl(v->sys, v->fds.container, VFIO_IOMMU_UNMAP_DMA, &arg);
}

/* The whole address space in one (since Linux 5.12), or in two halves: no size is its length. */
static int unmap_all(struct vdev *v)
{
	const uint64_t half = UINT64_C(1) << 63;
	int r, r2;

	if (v->sys->ops->ioctl(v->sys, v->fds.container, VFIO_CHECK_EXTENSION, (void *)VFIO_UNMAP_ALL) > 0)
		return unmap(v, VFIO_DMA_UNMAP_FLAG_ALL, 0, 0);
	r = unmap(v, 0, 0, half);
	r2 = unmap(v, 0, half, half);
	return r < 0 ? r : r2;
}

int vdev_quiesce(struct vdev *v, struct err *err)
{
	struct err later;
	uint16_t command = 0;
	ssize_t n;
	int r = 0, u;

	/* first, so that it meets no unmapped address on the way */
	n = vdev_region_read(v, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, &command, sizeof(command));
	if (n == sizeof(command)) {
		command &= (uint16_t)~PCI_COMMAND_MASTER;
		n = vdev_region_write(v, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, &command, sizeof(command));
	}
	if (n != sizeof(command))
		r = err_set(err, n < 0 ? (int)n : -EIO, "vfio.quiesce", "vf %s: its bus mastering cannot be switched off",
			    v->bdf);
	if (vdev_can_reset(v)) {
		u = vdev_reset(v, r < 0 ? &later : err);
		r = r < 0 ? r : u;
	}
	u = unmap_all(v);
	if (u < 0 && r == 0)
		r = err_set(err, u, "vfio.unmap-failed", "vf %s: unmapping the guest's memory: %s", v->bdf, strerror(-u));
	return r;
}
