/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The type1v2 backend: a VFIO container. Source: <linux/vfio.h>, drivers/vfio/vfio_iommu_type1.c. */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "iommu_internal.h"
#include "sys.h"

#define INFO_MAX (64u << 10) /* bytes of an answer that we are ready to believe */

/* VFIO_IOMMU_GET_INFO with its capability chain; free(). */
static int get_info(struct sys *sys, int fd, struct vfio_iommu_type1_info **ret)
{
	struct vfio_iommu_type1_info *info;
	uint32_t size = sizeof(*info);
	int r;

	for (;;) {
		info = calloc(1, size);
		if (!info)
			return -ENOMEM;
		info->argsz = size;
		r = sys->ops->ioctl(sys, fd, VFIO_IOMMU_GET_INFO, info);
		if (r < 0 || info->argsz > INFO_MAX) {
			free(info);
			return r < 0 ? r : -EOVERFLOW;
		}
		if (info->argsz <= size) {
			*ret = info;
			return 0;
		}
		size = info->argsz;
		free(info);
	}
}

/* Capability @id of at least @min_size bytes; *@ret_room: bytes from it to the end of the answer. NULL: none. */
static const void *find_cap(const struct vfio_iommu_type1_info *info, uint16_t id, size_t min_size, size_t *ret_room)
{
	uint32_t at = info->flags & VFIO_IOMMU_INFO_CAPS ? info->cap_offset : 0;
	uint32_t len = info->argsz;

	/* each step goes up, so that a chain that bites its tail ends */
	for (uint32_t prev = 0; at > prev && at % 8 == 0 && at <= len && len - at >= sizeof(struct vfio_info_cap_header);) {
		const struct vfio_info_cap_header *h = (const void *)((const char *)info + at);

		if (h->id == id && len - at >= min_size) {
			*ret_room = len - at;
			return h;
		}
		prev = at;
		at = h->next;
	}
	return NULL;
}

static void read_apertures(const struct vfio_iommu_type1_info *info, struct iommu_caps *ret)
{
	const struct vfio_iommu_type1_info_cap_iova_range *cap;
	size_t room;

	cap = find_cap(info, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, sizeof(*cap), &room);
	if (!cap)
		return;
	for (uint32_t i = 0; i < cap->nr_iovas && i < IOMMU_MAX_APERTURES; i++) {
		if (room < sizeof(*cap) + (i + 1) * sizeof(cap->iova_ranges[0]))
			return;
		ret->apertures[ret->nr_apertures].first = cap->iova_ranges[i].start;
		ret->apertures[ret->nr_apertures].last = cap->iova_ranges[i].end;
		ret->nr_apertures++;
	}
}

static int type1_open(struct sys *sys, int fd, struct iommu_caps *ret, struct err *err)
{
	const struct vfio_iommu_type1_info_dma_avail *avail;
	struct vfio_iommu_type1_info *info;
	size_t room;
	int r;

	r = get_info(sys, fd, &info);
	if (r < 0)
		return err_set(err, r, "iommu.info-failed", "VFIO_IOMMU_GET_INFO: %s", strerror(-r));
	*ret = (struct iommu_caps){ .page_size = 4096, .max_entries = UINT32_MAX };
	if ((info->flags & VFIO_IOMMU_INFO_PGSIZES) && info->iova_pgsizes)
		ret->page_size = info->iova_pgsizes & -info->iova_pgsizes;
	if (ret->page_size < 4096) /* type1 never maps less than the CPU's page */
		ret->page_size = 4096;
	read_apertures(info, ret);
	avail = find_cap(info, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, sizeof(*avail), &room);
	if (avail)
		ret->max_entries = avail->avail;
	free(info);
	return 0;
}

static int type1_map(struct sys *sys, int fd, const struct iommu_backend_map *map)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.vaddr = (uintptr_t)map->hva,
		.iova = map->iova,
		.size = map->size,
	};

	if (map->prot & IOMMU_PROT_READ)
		arg.flags |= VFIO_DMA_MAP_FLAG_READ;
	if (map->prot & IOMMU_PROT_WRITE)
		arg.flags |= VFIO_DMA_MAP_FLAG_WRITE;
	return sys->ops->ioctl(sys, fd, VFIO_IOMMU_MAP_DMA, &arg);
}

static int type1_unmap(struct sys *sys, int fd, uint64_t iova, uint64_t size, uint64_t *ret_size)
{
	struct vfio_iommu_type1_dma_unmap arg = { .argsz = sizeof(arg), .iova = iova, .size = size };
	int r = sys->ops->ioctl(sys, fd, VFIO_IOMMU_UNMAP_DMA, &arg);

	if (r == 0)
		*ret_size = arg.size;
	return r;
}

static int type1_avail(struct sys *sys, int fd, uint32_t *ret)
{
	const struct vfio_iommu_type1_info_dma_avail *avail;
	struct vfio_iommu_type1_info *info;
	size_t room;
	int r;

	r = get_info(sys, fd, &info);
	if (r < 0)
		return r;
	avail = find_cap(info, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, sizeof(*avail), &room);
	if (avail)
		*ret = avail->avail;
	r = avail ? 0 : -ENOTSUP;
	free(info);
	return r;
}

const struct iommu_backend iommu_type1 = {
	.name = "type1v2",
	.needs_hva = true,
	.open = type1_open,
	.map = type1_map,
	.unmap = type1_unmap,
	.avail = type1_avail,
};
