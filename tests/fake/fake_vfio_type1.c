/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fake type1v2 IOMMU, after drivers/vfio/vfio_iommu_type1.c. Its aperture is odd: it ends in the middle of nowhere. */
#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fake_vfio_internal.h"

#define PAGE UINT64_C(4096)

static const struct vfio_iova_range apertures[] = {
	{ 0, 0xfedfffff },
	{ 0xfef00000, 0x7ffffcfff },
};

static void drop(struct fake_vfio *v, struct fake_obj *c, struct fake_dma **at)
{
	struct fake_dma *d = *at;

	*at = d->next;
	if (d->pinned)
		munmap((void *)(uintptr_t)d->vaddr, d->size);
	v->pinned -= d->size;
	v->nr_dmas--;
	c->dma_avail++;
	free(d);
}

void fake_type1_clear(struct fake_vfio *v, struct fake_obj *c)
{
	while (c->dmas)
		drop(v, c, &c->dmas);
}

static int map(struct fake_vfio *v, struct fake_obj *c, const struct vfio_iommu_type1_dma_map *m)
{
	uint64_t last = m->iova + m->size - 1;
	unsigned char resident;
	bool inside = false;
	struct fake_dma *d;
	void *pin;

	if (m->argsz < sizeof(*m) || m->flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE))
		return -EINVAL;
	if (!m->flags || !m->size || (m->size | m->iova | m->vaddr) & (PAGE - 1) || last < m->iova ||
	    m->vaddr + m->size - 1 < m->vaddr)
		return -EINVAL;
	for (d = c->dmas; d; d = d->next)
		if (m->iova <= d->iova + d->size - 1 && last >= d->iova)
			return -EEXIST;
	if (!c->dma_avail)
		return -ENOSPC;
	for (size_t i = 0; i < sizeof(apertures) / sizeof(apertures[0]); i++)
		inside |= m->iova >= apertures[i].start && last <= apertures[i].end;
	if (!inside)
		return -EINVAL;
	if (m->size > v->memlock || v->pinned > v->memlock - m->size)
		return -ENOMEM;
	/* pinning faults where nothing is mapped; the ends stand for the whole */
	if (mincore((void *)(uintptr_t)m->vaddr, PAGE, &resident) < 0 ||
	    mincore((void *)(uintptr_t)(m->vaddr + m->size - PAGE), PAGE, &resident) < 0)
		return -EFAULT;
	d = malloc(sizeof(*d));
	if (!d)
		abort();
	*d = (struct fake_dma){ .iova = m->iova, .size = m->size, .vaddr = m->vaddr, .flags = m->flags, .next = c->dmas };
	/* a second mapping of the same shared pages; private ones cannot have one (mremap(2), old_size 0) */
	pin = mremap((void *)(uintptr_t)m->vaddr, 0, m->size, MREMAP_MAYMOVE);
	d->pinned = pin != MAP_FAILED;
	if (d->pinned)
		d->vaddr = (uintptr_t)pin;
	c->dmas = d;
	c->dma_avail--;
	v->nr_dmas++;
	v->pinned += m->size;
	return 0;
}

static int unmap(struct fake_vfio *v, struct fake_obj *c, struct vfio_iommu_type1_dma_unmap *u)
{
	uint64_t last = u->iova + u->size - 1, done = 0;
	bool all = u->flags & VFIO_DMA_UNMAP_FLAG_ALL;

	if (u->argsz < sizeof(*u) || u->flags & ~VFIO_DMA_UNMAP_FLAG_ALL)
		return -EINVAL;
	if (all) {
		if (u->iova || u->size)
			return -EINVAL;
		last = UINT64_MAX;
	} else if (!u->size || (u->size | u->iova) & (PAGE - 1) || last < u->iova) {
		return -EINVAL;
	}
	for (struct fake_dma *d = c->dmas; d && !all; d = d->next) {
		uint64_t end = d->iova + d->size - 1;

		if ((d->iova < u->iova && end >= u->iova) || (d->iova <= last && end > last))
			return -EINVAL;
	}
	for (struct fake_dma **at = &c->dmas; *at;) {
		if ((*at)->iova < u->iova || (*at)->iova > last) {
			at = &(*at)->next;
			continue;
		}
		done += (*at)->size;
		drop(v, c, at);
	}
	u->size = v->lie && done ? done - PAGE : done;
	return 0;
}

struct caps {
	struct vfio_info_cap_header iova; /* struct vfio_iommu_type1_info_cap_iova_range, which ends in an array */
	uint32_t nr_iovas, reserved;
	struct vfio_iova_range ranges[sizeof(apertures) / sizeof(apertures[0])];
	struct vfio_iommu_type1_info_cap_migration migration;
	struct vfio_iommu_type1_info_dma_avail avail;
	uint32_t pad;
};

static int get_info(const struct fake_obj *c, struct vfio_iommu_type1_info *info)
{
	const uint32_t at = (sizeof(*info) + 7) & ~7u;
	struct caps caps;

	if (info->argsz < offsetof(struct vfio_iommu_type1_info, iova_pgsizes) + sizeof(info->iova_pgsizes))
		return -EINVAL;
	info->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info->iova_pgsizes = PAGE | (2u << 20) | (1u << 30);
	if (info->argsz < at + sizeof(caps)) {
		if (info->argsz >= sizeof(*info))
			info->cap_offset = 0;
		info->argsz = at + sizeof(caps);
		return 0;
	}
	caps = (struct caps){
		.iova = { VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, at + offsetof(struct caps, migration) },
		.nr_iovas = sizeof(apertures) / sizeof(apertures[0]),
		.migration = { .header = { VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1, at + offsetof(struct caps, avail) },
			       .pgsize_bitmap = PAGE },
		.avail = { .header = { VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, 0 }, .avail = c->dma_avail },
	};
	memcpy(caps.ranges, apertures, sizeof(apertures));
	info->cap_offset = at;
	memcpy((char *)info + at, &caps, sizeof(caps));
	return 0;
}

int fake_type1_ioctl(struct fake_vfio *v, struct fake_obj *c, unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_IOMMU_GET_INFO:
		return get_info(c, arg);
	case VFIO_IOMMU_MAP_DMA:
		return map(v, c, arg);
	case VFIO_IOMMU_UNMAP_DMA:
		return unmap(v, c, arg);
	default:
		return -ENOTTY;
	}
}

unsigned fake_vfio_mappings(const struct fake_vfio *v)
{
	return v->nr_dmas;
}

uint64_t fake_vfio_pinned(const struct fake_vfio *v)
{
	return v->pinned;
}

void fake_vfio_set_memlock(struct fake_vfio *v, uint64_t bytes)
{
	v->memlock = bytes;
}

void fake_vfio_set_dma_limit(struct fake_vfio *v, uint32_t entries)
{
	v->dma_limit = entries;
}

void fake_vfio_lie(struct fake_vfio *v, bool lie)
{
	v->lie = lie;
}

void *fake_vfio_dma(const struct fake_vfio *v, const char *bdf, uint64_t iova, bool write)
{
	for (struct fake_obj *o = v->objs; o; o = o->next) {
		if (o->kind != FAKE_DEVICE || strcmp(o->bdf, bdf) || !o->group->container)
			continue;
		for (struct fake_dma *d = o->group->container->dmas; d; d = d->next)
			if (iova >= d->iova && iova - d->iova < d->size &&
			    d->flags & (write ? VFIO_DMA_MAP_FLAG_WRITE : VFIO_DMA_MAP_FLAG_READ))
				return (void *)(uintptr_t)(d->vaddr + (iova - d->iova));
	}
	return NULL;
}
