/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the device says about itself: asked once per client, so that an access is validated without asking again. */
#include <errno.h>
#include <stdlib.h>

#include "vuser_internal.h"

int vuser_device_get(struct vuser *v, const struct vfio_device_info **ret)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int r;

	if (!v->device_known) {
		r = v->ops->device_info(v->ctx, &info);
		if (r < 0)
			return r;
		if (info.num_regions > VUSER_MAX_REGIONS)
			info.num_regions = VUSER_MAX_REGIONS;
		if (info.num_irqs > VUSER_MAX_IRQS)
			info.num_irqs = VUSER_MAX_IRQS;
		v->device = info;
		v->device_known = true;
	}
	*ret = &v->device;
	return 0;
}

int vuser_region_ask(struct vuser *v, uint32_t index, struct vfio_region_info **ret, int *ret_fd)
{
	struct vfio_region_info *info = NULL;
	int fd = -1, r;

	r = v->ops->region_info(v->ctx, index, &info, &fd);
	if (r < 0)
		return r;
	/* argsz says how much of the answer there is; one that does not fit a message could not be passed on */
	if (!info || info->argsz < sizeof(*info) || info->argsz > VUSER_TX_MAX - VUSER_HDR) {
		free(info);
		return -EIO;
	}
	*ret = info;
	*ret_fd = fd;
	return 0;
}

int vuser_region_get(struct vuser *v, uint32_t index, const struct vuser_region **ret)
{
	const struct vfio_device_info *device;
	struct vfio_region_info *info;
	struct vuser_region *region;
	int fd, r;

	r = vuser_device_get(v, &device);
	if (r < 0)
		return r;
	if (index >= device->num_regions)
		return vuser_refuse(v, -EINVAL, "region %u of %u", index, device->num_regions);
	region = &v->regions[index];
	if (!region->known) {
		r = vuser_region_ask(v, index, &info, &fd);
		if (r < 0)
			return r;
		*region = (struct vuser_region){ .known = true, .flags = info->flags, .size = info->size };
		free(info);
	}
	*ret = region;
	return 0;
}

int vuser_irq_get(struct vuser *v, uint32_t index, const struct vuser_irq **ret)
{
	const struct vfio_device_info *device;
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };
	struct vuser_irq *irq;
	int r;

	r = vuser_device_get(v, &device);
	if (r < 0)
		return r;
	if (index >= device->num_irqs)
		return vuser_refuse(v, -EINVAL, "irq index %u of %u", index, device->num_irqs);
	irq = &v->irqs[index];
	if (!irq->known) {
		r = v->ops->irq_info(v->ctx, index, &info);
		if (r < 0)
			return r;
		*irq = (struct vuser_irq){ .known = true, .flags = info.flags, .count = info.count };
	}
	*ret = irq;
	return 0;
}
