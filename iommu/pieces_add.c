/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A range is cut into pieces, and those that the IOMMU does not have yet are submitted. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pieces_internal.h"
#include "sys.h"

/* Where the ends of a large range are cut off: beyond, huge pages begin, and the borders that firmware shifts end. */
#define EDGE_BYTES (UINT64_C(2) << 20)

/*
 * The last address of the piece that begins at @at, in a range that ends at @last. The first 2 MiB of all are always apart: firmware flips
 * the first MiB between a part of one large range and many small ones, and what is above them must be the same piece in both.
 */
static uint64_t cut(uint64_t at, uint64_t last, uint64_t page_size, bool large)
{
	uint64_t body = page_size > PIECE_BYTES ? page_size : PIECE_BYTES;
	uint64_t end = large && (at % EDGE_BYTES || !at) ? at | (EDGE_BYTES - 1) : at | (body - 1);
	uint64_t tail = (last + 1) / EDGE_BYTES * EDGE_BYTES; /* wraps to 0, which is below @at, where no tail is */

	if (end < last)
		return end;
	return large && tail > at && tail <= last ? tail - 1 : last;
}

static bool is_large(uint64_t first, uint64_t last)
{
	return last - first >= 2 * EDGE_BYTES;
}

uint64_t iommu_entries_needed(uint64_t first, uint64_t last, uint64_t page_size)
{
	bool large = is_large(first, last);
	uint64_t nr = 1;

	for (uint64_t end; (end = cut(first, last, page_size, large)) != last; first = end + 1)
		nr++;
	return nr;
}

/*
 * Fewer blocks than before: the VMM has punched a hole, and what is pinned may be no page of the file any more. The time of the last change
 * would tell of a hole that is full again, too, but each page that the guest writes for the first time changes it (fault_dirty_shared_page()
 * in mm/memory.c).
 */
static bool is_same(const struct piece *p, uint64_t last, const struct range *range)
{
	return p->node.last == last && p->job.map.prot == range->prot && p->backing.dev == range->backing.dev &&
	       p->backing.ino == range->backing.ino && p->backing.blocks <= range->backing.blocks &&
	       p->offset == range->offset + (p->node.first - range->node.first) && !(p->job.over && p->job.result < 0);
}

/* A piece yet to be submitted. */
static int add_fresh(struct iommu *m, uint64_t first, uint64_t last, const struct range *range)
{
	struct piece *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->node.first = first;
	p->node.last = last;
	p->fresh = p->job.over = true;
	p->backing = range->backing;
	p->offset = range->offset + (first - range->node.first);
	p->job.map = (struct iommu_backend_map){
		.iova = first, .size = last - first + 1, .prot = range->prot, .fd = -1, .offset = p->offset
	};
	if (range_map_insert(&m->pieces, &p->node) < 0) { /* cannot overlap: what was there is gone */
		free(p);
		return -ENOMEM;
	}
	return 0;
}

static void forget_fresh(struct iommu *m, const struct range *range)
{
	for (struct piece *p = piece_from(m, range->node.first), *next; p && p->node.first <= range->node.last; p = next) {
		next = piece_next(m, p);
		if (p->fresh)
			piece_forget(m, p);
	}
}

/* Add the pieces that the range still needs; parked pieces in the way of it are unmapped. */
static int plan(struct iommu *m, const struct range *range, bool *needs_memory, struct err *err)
{
	uint64_t last = range->node.last;
	bool large = is_large(range->node.first, last), mismatch = false;

	*needs_memory = false;
	for (uint64_t at = range->node.first, end;; at = end + 1) {
		struct piece *p = piece_from(m, at);
		int r = 0;

		end = cut(at, last, range->backing.page_size, large);
		if (!p || p->node.first != at || !is_same(p, end, range)) {
			r = pieces_drop(m, at, end, &mismatch);
			if (r < 0 || mismatch) {
				r = r ? r : -EIO;
				return err_set(err, r, "iommu.unmap-failed",
					       "DMA range at 0x%" PRIx64 ": what was there before cannot be unmapped: %s", at,
					       strerror(-r));
			}
			r = add_fresh(m, at, end, range);
			*needs_memory = true;
		}
		if (r < 0)
			return err_set(err, r, "iommu.no-memory", "DMA range at 0x%" PRIx64 ": no memory", at);
		if (end == last)
			return 0;
	}
}

/* The same pieces, parked, are live again. */
static void claim(struct iommu *m, const struct range *range)
{
	for (struct piece *p = piece_from(m, range->node.first); p && p->node.first <= range->node.last; p = piece_next(m, p)) {
		piece_unpark(m, p);
		p->backing.blocks = range->backing.blocks;
	}
}

static void submit(struct iommu *m, const struct range *range, struct memory *memory)
{
	for (struct piece *p = piece_from(m, range->node.first); p && p->node.first <= range->node.last; p = piece_next(m, p)) {
		if (!p->fresh)
			continue;
		p->fresh = false;
		p->memory = memory;
		memory->refs++;
		p->job.map.hva = memory->hva ? memory->hva + (p->node.first - range->node.first) : NULL;
		p->job.map.fd = memory->fd;
		m->stats.nr_entries++;
		if (!m->stats.bytes_pending) {
			m->pending_us = m->sys->ops->now_us(m->sys);
			m->pending_from = mapper_populated(m->mapper);
		}
		m->stats.bytes_pending += piece_size(p);
		mapper_submit(m->mapper, &p->job);
		if (p->job.over)
			piece_book(m, p);
	}
}

/* Without threads the outcome is known at once: all of it or nothing. */
static int settle(struct iommu *m, const struct range *range, struct err *err)
{
	bool mismatch = false;
	int r = m->failure.num;

	if (r == 0 || mapper_fd(m->mapper) >= 0)
		return 0;
	*err = m->failure;
	err_clear(&m->failure);
	pieces_drop(m, range->node.first, range->node.last, &mismatch);
	return r;
}

int pieces_add(struct iommu *m, const struct range *range, int fd, struct err *err)
{
	uint64_t size = range->node.last - range->node.first + 1;
	struct memory *memory = NULL;
	bool mismatch = false;
	bool needs_memory;
	int r;

	r = plan(m, range, &needs_memory, err);
	if (r == 0 && needs_memory)
		r = memory_new(m, range, fd, &memory, err);
	if (r < 0) {
		forget_fresh(m, range);
		return r;
	}
	claim(m, range);
	/* both would be locked at once: what is in the park is not worth the limit */
	while (m->config.max_bytes && m->stats.bytes + m->stats.bytes_parked + size > m->config.max_bytes &&
	       pieces_unpark(m, UINT64_MAX, PIECES_TURN, &mismatch) == -EAGAIN)
		;
	if (memory)
		submit(m, range, memory);
	memory_unref(m, memory);
	return settle(m, range, err);
}
