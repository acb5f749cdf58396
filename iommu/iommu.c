/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The address space as the VMM sees it: requests are checked (dma_check.c), ranges are booked here, and what the IOMMU is to hold for
 * them is left to pieces_add.c and pieces.c.
 */
#include "iommu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fdutil.h"
#include "gangway_limits.h"
#include "space.h"
#include "sys.h"

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
	TAILQ_INIT(&m->parked);
	if (!m->config.max_ranges)
		m->config.max_ranges = LIMIT_DMA_RANGES;
	r = m->name ? mapper_new(sys, backend, config->fd, config->nr_threads, &m->mapper) : -ENOMEM;
	if (r < 0)
		err_set(err, r, "iommu.no-memory", "no memory or no threads: %s", strerror(-r));
	else
		r = backend->open(sys, config->fd, &m->caps, err);
	if (r < 0) {
		err_prefix(err, "%s", config->name);
		iommu_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

static struct range *range_from(const struct iommu *m, uint64_t addr)
{
	return (struct range *)range_map_from(&m->ranges, addr);
}

struct iommu *iommu_free(struct iommu *m)
{
	if (!m)
		return NULL;
	iommu_unmap_all(m, NULL, NULL);
	/* what the kernel would not unmap it keeps pinned until the container is closed */
	pieces_free(m);
	for (struct range *left; (left = range_from(m, 0));) {
		range_map_remove(&m->ranges, &left->node);
		free(left);
	}
	mapper_free(m->mapper);
	free(m->name);
	free(m);
	return NULL;
}

static int judge(const struct iommu *m, const struct iommu_map_request *req, struct dma_backing *ret, struct err *err)
{
	const struct dma_limits lim = {
		.caps = &m->caps,
		.live = &m->ranges,
		.bytes = m->stats.bytes,
		.max_bytes = m->config.max_bytes,
		.entries = m->stats.nr_entries,
		.max_entries = m->caps.max_entries,
		.max_ranges = m->config.max_ranges,
	};

	return dma_check(&lim, req, ret, err);
}

/* Into the map, its file into the list, its pieces on their way: all or nothing. */
static int book_range(struct iommu *m, struct range *range, int fd, struct err *err)
{
	int r;

	if (range_map_insert(&m->ranges, &range->node) < 0) /* cannot overlap: checked */
		return err_set(err, -ENOMEM, "iommu.no-memory", "out of memory");
	if (!range->backed)
		return 0;
	r = files_ref(m, range);
	if (r < 0) {
		err_set(err, r, "iommu.files-limit", "DMA range at 0x%" PRIx64 ": the guest's memory is in more than %d files",
			range->node.first, IOMMU_FILES_MAX);
		err_hint(err, "give the guest fewer and larger memory backends");
	} else {
		r = pieces_add(m, range, fd, err);
		if (r < 0)
			files_unref(m, range);
	}
	if (r < 0)
		range_map_remove(&m->ranges, &range->node);
	return r;
}

static int try_map(struct iommu *m, const struct iommu_map_request *req, struct err *err)
{
	struct dma_backing backing;
	bool mismatch = false;
	struct range *range;
	int r;

	r = judge(m, req, &backing, err);
	/* what is parked makes room, or the last look says the same as the first */
	for (int left = -EAGAIN; r == -ENOSPC && left == -EAGAIN && !TAILQ_EMPTY(&m->parked);) {
		left = pieces_unpark(m, UINT64_MAX, PIECES_TURN, &mismatch);
		r = judge(m, req, &backing, err);
	}
	if (r < 0)
		return r;
	range = calloc(1, sizeof(*range));
	if (!range)
		return err_set(err, -ENOMEM, "iommu.no-memory", "out of memory");
	range->node.first = req->iova;
	range->node.last = req->iova + (req->size - 1);
	range->prot = req->prot;
	range->offset = req->offset;
	range->backing = backing;
	range->backed = req->fd >= 0;
	r = book_range(m, range, req->fd, err);
	if (r < 0) {
		free(range);
		return r;
	}
	if (range->backed) {
		m->stats.nr_ranges++;
		m->stats.bytes += req->size;
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

static int unmap_one(struct iommu *m, struct range *range, bool *mismatch)
{
	int r = range->backed ? pieces_remove(m, range->node.first, range->node.last, mismatch) : 0;

	if (r < 0)
		return r;
	if (range->backed) {
		files_unref(m, range);
		m->stats.nr_ranges--;
		m->stats.bytes -= range->node.last - range->node.first + 1;
	} else {
		m->stats.nr_unbacked--;
	}
	range_map_remove(&m->ranges, &range->node);
	free(range);
	return 0;
}

int iommu_mismatched(uint64_t first, uint64_t last, struct err *err)
{
	return err_set(err, -EIO, "iommu.unmap-mismatch",
		       "DMA ranges in [0x%" PRIx64 ", 0x%" PRIx64
		       "]: the kernel unmapped another number of bytes than were mapped",
		       first, last);
}

/* All ranges of [@first, @last], none of which it cuts. */
static int unmap_span(struct iommu *m, uint64_t first, uint64_t last, uint64_t *ret_size, struct err *err)
{
	struct range *range = range_from(m, first);
	uint64_t size = 0;
	bool mismatch = false;
	int r = 0;

	while (range && range->node.first <= last) {
		uint64_t at = range->node.first, len = range->node.last - at + 1, end = range->node.last;
		int one = unmap_one(m, range, &mismatch);

		if (one < 0 && r == 0)
			r = err_set(err, one, "iommu.unmap-failed",
				    "DMA range at 0x%" PRIx64 ": the kernel does not unmap it: %s", at, strerror(-one));
		if (one == 0)
			size += len;
		range = end == UINT64_MAX ? NULL : range_from(m, end + 1);
	}
	if (ret_size)
		*ret_size = size;
	if (r == 0 && mismatch)
		r = iommu_mismatched(first, last, err);
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
	low = range_map_from(&m->ranges, iova);
	if (!low || low->first > last)
		return err_set(err, -ENOENT, "iommu.unmap-unknown",
			       "DMA unmap [0x%" PRIx64 ", 0x%" PRIx64 "]: nothing is mapped there", iova, last);
	high = range_map_find(&m->ranges, last);
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
	bool quiet = m->quiet, mismatch = false;
	int r, unparked;

	m->quiet = false; /* whoever says all does not come back with it */
	r = unmap_span(m, 0, UINT64_MAX, ret_size, err);
	m->quiet = quiet;
	unparked = pieces_unpark(m, UINT64_MAX, PIECES_ALL, &mismatch);
	if (r == 0 && unparked < 0)
		r = err_set(err, unparked, "iommu.unmap-failed", "DMA ranges unmapped before: the kernel keeps them: %s",
			    strerror(-unparked));
	if (r == 0 && mismatch)
		r = iommu_mismatched(0, UINT64_MAX, err);
	if (r < 0)
		err_prefix(err, "%s", m->name);
	m->stats.degraded = m->pieces.nr > 0;
	err_clear(&m->failure);
	return r;
}

void iommu_get_stats(const struct iommu *m, struct iommu_stats *ret)
{
	uint64_t us = m->sys->ops->now_us(m->sys) - m->pending_us;

	*ret = m->stats;
	ret->bytes_populated_total = mapper_populated(m->mapper);
	ret->nr_areas = mapper_nr_areas(m->mapper);
	if (ret->bytes_pending && us)
		ret->bytes_per_second = (uint64_t)((double)(ret->bytes_populated_total - m->pending_from) * 1e6 / (double)us);
}

int iommu_kernel_entries(const struct iommu *m, uint32_t *ret)
{
	uint32_t avail;
	int r = m->backend->avail(m->sys, m->config.fd, &avail);

	if (r == 0)
		*ret = m->caps.max_entries > avail ? m->caps.max_entries - avail : 0;
	return r;
}

bool iommu_next_range(const struct iommu *m, uint64_t from, struct iommu_range *ret)
{
	const struct range *range = range_from(m, from);

	if (!range)
		return false;
	*ret = (struct iommu_range){
		.first = range->node.first,
		.last = range->node.last,
		.prot = range->prot,
		.backed = range->backed,
		.sealed = range->backing.sealed,
		.page_size = range->backing.page_size,
		.offset = range->offset,
	};
	if (range->backed)
		pieces_count(m, range->node.first, range->node.last, &ret->pinned, &ret->pending);
	return true;
}
