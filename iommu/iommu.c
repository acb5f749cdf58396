/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The address space object. A mapping is built completely (memory mapped here, IOMMU programmed) before it enters the map,
 * and leaves the IOMMU before its memory leaves this process.
 *
 * Where the backend pins for seconds: map_now() is the one place that does. A worker takes it over without the rest changing.
 */
#include "iommu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "err.h"
#include "fdutil.h"
#include "gangway_limits.h"
#include "iommu_internal.h"
#include "sys.h"

struct mapping {
	struct range_node node; /* first: a range_node of the map is one of these */
	unsigned prot;
	bool backed;
	struct dma_backing backing;
	uint64_t offset;
	void *map; /* our mapping of the file; NULL: none */
	size_t map_len; /* whole pages of the backing, so it may be more than the range */
};

struct iommu {
	struct sys *sys;
	const struct iommu_backend *backend;
	struct iommu_config config;
	char *name;
	struct iommu_caps caps;
	struct range_map live;
	struct iommu_stats stats;
};

int iommu_new(struct sys *sys, const struct iommu_backend *backend, const struct iommu_config *config, struct iommu **ret,
	      struct err *err)
{
	struct iommu *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return err_set(err, -ENOMEM, "iommu.no-memory", "%s: out of memory", config->name);
	m->sys = sys;
	m->backend = backend;
	m->config = *config;
	m->name = strdup(config->name);
	m->config.name = m->name;
	if (!m->config.max_ranges)
		m->config.max_ranges = LIMIT_DMA_RANGES;
	r = m->name ? backend->open(sys, config->fd, &m->caps, err) : err_set(err, -ENOMEM, "iommu.no-memory", "out of memory");
	if (r < 0) {
		err_prefix(err, "%s", config->name);
		iommu_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

struct iommu *iommu_free(struct iommu *m)
{
	if (!m)
		return NULL;
	iommu_unmap_all(m, NULL, NULL);
	/* What the kernel would not unmap keeps its memory in this process: the device may reach it until the container is closed. */
	while (m->live.root) {
		struct range_node *left = m->live.root;

		range_map_remove(&m->live, left);
		free(left);
	}
	free(m->name);
	free(m);
	return NULL;
}

/* Map the memory into this process, whole pages of the backing: a huge page cannot be mapped in parts. */
static int map_memory(struct iommu *m, const struct iommu_map_request *req, struct mapping *map, void **ret_hva)
{
	uint64_t page = map->backing.page_size;
	uint64_t start = req->offset & ~(page - 1);
	uint64_t end = req->offset + req->size; /* checked: within the file */
	int prot = PROT_READ | (req->prot & IOMMU_PROT_WRITE ? PROT_WRITE : 0);
	int r;

	end = (end + page - 1) & ~(page - 1);
	if (end < start || end - start > SIZE_MAX)
		return -EOVERFLOW;
	map->map_len = (size_t)(end - start);
	r = m->sys->ops->mmap(m->sys, map->map_len, prot, MAP_SHARED, req->fd, (off_t)start, &map->map);
	if (r < 0) {
		map->map = NULL;
		return r;
	}
	*ret_hva = (char *)map->map + (req->offset - start);
	return 0;
}

static void mapping_free(struct iommu *m, struct mapping *map)
{
	if (map->map)
		m->sys->ops->munmap(m->sys, map->map, map->map_len);
	free(map);
}

/* Programme the IOMMU. The slow step: the kernel faults in and pins every page. */
static int map_now(struct iommu *m, const struct iommu_map_request *req, void *hva)
{
	struct iommu_backend_map map = {
		.iova = req->iova,
		.size = req->size,
		.prot = req->prot,
		.hva = hva,
		.fd = req->fd,
		.offset = req->offset,
	};

	return m->backend->map(m->sys, m->config.fd, &map);
}

static int map_failed(const struct iommu_map_request *req, int r, struct err *err)
{
	err_set(err, r, "iommu.map-failed", "DMA range [0x%" PRIx64 ", 0x%" PRIx64 "]: the kernel refuses it: %s", req->iova,
		req->iova + (req->size - 1), strerror(-r));
	if (r == -ENOMEM)
		err_hint(err, "the guest's memory must be lockable: raise RLIMIT_MEMLOCK, and check that the host has it free");
	else if (r == -ENOSPC)
		err_hint(err, "raise dma_entry_limit of module vfio_iommu_type1");
	return r;
}

static int map_backed(struct iommu *m, const struct iommu_map_request *req, struct mapping *map, struct err *err)
{
	void *hva = NULL;
	int r;

	if (m->backend->needs_hva) {
		r = map_memory(m, req, map, &hva);
		if (r < 0)
			return err_set(err, r, "iommu.mmap-failed", "DMA range at 0x%" PRIx64 ": mmap of the guest's memory: %s",
				       req->iova, strerror(-r));
	}
	r = map_now(m, req, hva);
	if (r < 0)
		return map_failed(req, r, err);
	map->backed = true;
	return 0;
}

static int try_map(struct iommu *m, const struct iommu_map_request *req, struct err *err)
{
	const struct dma_limits lim = {
		.caps = &m->caps,
		.live = &m->live,
		.bytes = m->stats.bytes,
		.max_bytes = m->config.max_bytes,
		.entries = (uint32_t)m->stats.nr_ranges,
		.max_entries = m->caps.max_entries,
		.max_ranges = m->config.max_ranges,
	};
	struct dma_backing backing;
	struct mapping *map;
	int r;

	r = dma_check(&lim, req, &backing, err);
	if (r < 0)
		return r;
	map = calloc(1, sizeof(*map));
	if (!map)
		return err_set(err, -ENOMEM, "iommu.no-memory", "out of memory");
	map->node.first = req->iova;
	map->node.last = req->iova + (req->size - 1);
	map->prot = req->prot;
	map->offset = req->offset;
	map->backing = backing;
	r = req->fd >= 0 ? map_backed(m, req, map, err) : 0;
	if (r < 0) {
		mapping_free(m, map);
		return r;
	}
	range_map_insert(&m->live, &map->node); /* cannot overlap: checked */
	if (map->backed) {
		m->stats.nr_ranges++;
		m->stats.bytes += req->size;
		m->stats.bytes_mapped_total += req->size;
	} else {
		m->stats.nr_unbacked++;
	}
	return 0;
}

int iommu_map(struct iommu *m, const struct iommu_map_request *req, struct err *err)
{
	int fd = req->fd;
	int r;

	m->stats.nr_maps++;
	r = try_map(m, req, err);
	if (r < 0) {
		m->stats.nr_refused++;
		m->stats.degraded = true;
		err_prefix(err, "%s", m->name);
	}
	fd_close(&fd); /* the mapping and the pinned pages hold the memory */
	return r;
}

static struct mapping *mapping_from(const struct iommu *m, uint64_t addr)
{
	return (struct mapping *)range_map_from(&m->live, addr);
}

/* Take one range out of the IOMMU, then out of this process. *@mismatch is set where the kernel counts otherwise. */
static int unmap_one(struct iommu *m, struct mapping *map, bool *mismatch)
{
	uint64_t size = map->node.last - map->node.first + 1, done = 0;
	int r;

	if (map->backed) {
		r = m->backend->unmap(m->sys, m->config.fd, map->node.first, size, &done);
		if (r < 0)
			return r;
		if (done != size)
			*mismatch = true;
		m->stats.nr_ranges--;
		m->stats.bytes -= size;
	} else {
		m->stats.nr_unbacked--;
	}
	range_map_remove(&m->live, &map->node);
	mapping_free(m, map);
	return 0;
}

/* All ranges of [@first, @last], none of which it cuts. */
static int unmap_span(struct iommu *m, uint64_t first, uint64_t last, uint64_t *ret_size, struct err *err)
{
	struct mapping *map = mapping_from(m, first);
	uint64_t size = 0;
	bool mismatch = false;
	int r = 0;

	while (map && map->node.first <= last) {
		uint64_t at = map->node.first, len = map->node.last - at + 1, next = map->node.last;
		int one = unmap_one(m, map, &mismatch);

		if (one < 0 && r == 0)
			r = err_set(err, one, "iommu.unmap-failed",
				    "DMA range at 0x%" PRIx64 ": the kernel does not unmap it: %s", at, strerror(-one));
		if (one == 0)
			size += len;
		map = next == UINT64_MAX ? NULL : mapping_from(m, next + 1);
	}
	if (ret_size)
		*ret_size = size;
	if (r == 0 && mismatch)
		r = err_set(err, -EIO, "iommu.unmap-mismatch",
			    "DMA ranges in [0x%" PRIx64 ", 0x%" PRIx64
			    "]: the kernel unmapped another number of bytes than were mapped",
			    first, last);
	if (r < 0)
		m->stats.degraded = true;
	return r;
}

static int check_unmap(const struct iommu *m, uint64_t iova, uint64_t size, struct err *err)
{
	uint64_t last = iova + (size - 1);
	const struct range_node *low, *high;

	if (size == 0)
		return err_set(err, -EINVAL, "iommu.size-zero", "DMA unmap at 0x%" PRIx64 " is empty", iova);
	if (last < iova)
		return err_set(err, -EOVERFLOW, "iommu.wrap", "DMA unmap at 0x%" PRIx64 ", size 0x%" PRIx64 " wraps at 2^64",
			       iova, size);
	low = range_map_from(&m->live, iova);
	if (!low || low->first > last)
		return err_set(err, -ENOENT, "iommu.unmap-unknown",
			       "DMA unmap [0x%" PRIx64 ", 0x%" PRIx64 "]: nothing is mapped there", iova, last);
	high = range_map_find(&m->live, last);
	if (low->first < iova || (high && high->last > last))
		return err_set(err, -EINVAL, "iommu.unmap-partial",
			       "DMA unmap [0x%" PRIx64 ", 0x%" PRIx64 "] cuts the range [0x%" PRIx64 ", 0x%" PRIx64 "]", iova,
			       last, low->first < iova ? low->first : high->first, low->first < iova ? low->last : high->last);
	return 0;
}

int iommu_unmap(struct iommu *m, uint64_t iova, uint64_t size, uint64_t *ret_size, struct err *err)
{
	int r = check_unmap(m, iova, size, err);

	m->stats.nr_unmaps++;
	if (r == 0)
		r = unmap_span(m, iova, iova + (size - 1), ret_size, err);
	if (r < 0)
		err_prefix(err, "%s", m->name);
	return r;
}

int iommu_unmap_all(struct iommu *m, uint64_t *ret_size, struct err *err)
{
	int r = unmap_span(m, 0, UINT64_MAX, ret_size, err);

	if (r < 0)
		err_prefix(err, "%s", m->name);
	m->stats.degraded = m->live.nr > 0;
	return r;
}

void iommu_get_stats(const struct iommu *m, struct iommu_stats *ret)
{
	*ret = m->stats;
}

int iommu_kernel_avail(const struct iommu *m, uint32_t *ret)
{
	return m->backend->avail(m->sys, m->config.fd, ret);
}

bool iommu_next_range(const struct iommu *m, uint64_t from, struct iommu_range *ret)
{
	const struct mapping *map = mapping_from(m, from);

	if (!map)
		return false;
	*ret = (struct iommu_range){
		.first = map->node.first,
		.last = map->node.last,
		.prot = map->prot,
		.backed = map->backed,
		.sealed = map->backing.sealed,
		.page_size = map->backing.page_size,
		.offset = map->offset,
	};
	return true;
}
