/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the IOMMU holds. A piece is on its way into the IOMMU (its job is not over), in it (over, result 0), or has failed (over, else).
 *
 * The park. While the device can do no DMA (quiet), what the VMM unmaps stays in the IOMMU for a moment: firmware flips the attributes of
 * the first megabyte, and each time the VMM unmaps and maps all of RAM within one exchange. What comes back the same is taken back without
 * unpinning and pinning it. Nobody can use what is parked: before the device may do DMA again, all of it is unmapped for good.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "space.h"
#include "sys.h"

/* Where the ends of a large range are cut off: beyond, huge pages begin, and the borders that firmware shifts end. */
#define EDGE_BYTES (UINT64_C(2) << 20)
/* Unmapped by one call of the kernel, which is waited for; and how long in a turn of the loop. */
#define RUN_BYTES (UINT64_C(1) << 30)
#define RUN_PIECES 4096
#define UNPARK_US 20000

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

static struct piece *piece_from(const struct iommu *m, uint64_t addr)
{
	return (struct piece *)range_map_from(&m->pieces, addr);
}

static struct piece *piece_next(const struct iommu *m, const struct piece *p)
{
	return (struct piece *)range_map_next(&m->pieces, &p->node);
}

static uint64_t size_of(const struct piece *p)
{
	return p->node.last - p->node.first + 1;
}

/* The job is over. Pinned pages need our mapping no more, and a process that parses a guest's VMM is better off without it. */
static void book(struct iommu *m, struct piece *p)
{
	int r = p->job.result;

	memory_unref(m, p->memory);
	p->memory = NULL;
	m->stats.bytes_pending -= size_of(p);
	if (r == 0) {
		m->stats.bytes_mapped_total += size_of(p);
		return;
	}
	m->stats.nr_entries--;
	if (r == -ECANCELED || p->parked)
		return;
	m->stats.degraded = true;
	if (m->failure.num)
		return;
	err_set(&m->failure, r, "iommu.map-failed", "DMA range [0x%" PRIx64 ", 0x%" PRIx64 "]: the kernel refuses it: %s",
		p->node.first, p->node.last, strerror(-r));
	if (r == -ENOMEM)
		err_hint(&m->failure,
			 "the guest's memory must be lockable: raise RLIMIT_MEMLOCK, and check that the host has it free");
	else if (r == -EFAULT)
		err_hint(&m->failure, "the VMM has made the file of the guest's memory shorter");
	else if (r == -ENOSPC)
		err_hint(&m->failure, "raise dma_entry_limit of module vfio_iommu_type1");
}

static struct piece *piece_of_job(struct map_job *job)
{
	return (struct piece *)((char *)job - offsetof(struct piece, job));
}

static void take_back(struct iommu *m, struct piece *p)
{
	if (p->job.over)
		return;
	mapper_take_back(m->mapper, &p->job);
	book(m, p);
}

static void unpark(struct iommu *m, struct piece *p)
{
	if (!p->parked)
		return;
	p->parked = false;
	TAILQ_REMOVE(&m->parked, p, parked_link);
	m->stats.bytes_parked -= size_of(p);
}

/* The object goes; it is in the IOMMU no more, or never was. */
static void forget(struct iommu *m, struct piece *p)
{
	unpark(m, p);
	range_map_remove(&m->pieces, &p->node);
	free(p);
}

void pieces_reap(struct iommu *m)
{
	struct map_job *job;

	while ((job = mapper_next_over(m->mapper))) {
		struct piece *p = piece_of_job(job);

		book(m, p);
		if (p->parked && p->job.result < 0)
			forget(m, p);
	}
}

/* Unmap the pieces from @low to @high, which touch, all of them in the IOMMU: one call of the kernel. */
static int unmap_run(struct iommu *m, struct piece *low, uint64_t last, bool *mismatch)
{
	uint64_t size = last - low->node.first + 1, done = 0;
	int r = m->backend->unmap(m->sys, m->config.fd, low->node.first, size, &done);

	if (r < 0)
		return r;
	if (done != size) {
		*mismatch = true;
		m->stats.degraded = true; /* here, so that no caller can forget it */
	}
	for (struct piece *p = low, *next; p && p->node.first <= last; p = next) {
		next = piece_next(m, p);
		m->stats.nr_entries--;
		forget(m, p);
	}
	return 0;
}

/* So that the threads do not begin with the next piece while the one before is taken back. What has @begun may be left alone. */
static void cancel(struct iommu *m, uint64_t first, uint64_t last, bool begun)
{
	for (struct piece *p = piece_from(m, first); p && p->node.first <= last; p = piece_next(m, p))
		if (!p->job.over && (begun || !mapper_has_begun(m->mapper, &p->job)))
			p->job.cancelled = true;
}

/* For good: whatever is in [@first, @last]. */
static int drop(struct iommu *m, uint64_t first, uint64_t last, bool *mismatch)
{
	int r = 0;

	cancel(m, first, last, true);
	for (struct piece *p = piece_from(m, first), *next; p && p->node.first <= last; p = next) {
		struct piece *high = p;
		uint64_t end;
		int one;

		take_back(m, p);
		next = piece_next(m, p);
		if (p->job.result < 0) {
			forget(m, p);
			continue;
		}
		while (next && next->node.last <= last && next->node.first == high->node.last + 1) {
			take_back(m, next);
			if (next->job.result < 0)
				break;
			high = next;
			next = piece_next(m, next);
		}
		end = high->node.last;
		one = unmap_run(m, p, end, mismatch);
		r = r ? r : one;
	}
	return r;
}

static void park(struct iommu *m, struct piece *p, uint64_t now_us)
{
	p->parked = true;
	p->stuck = false;
	p->parked_us = now_us;
	TAILQ_INSERT_TAIL(&m->parked, p, parked_link);
	m->stats.bytes_parked += size_of(p);
}

int pieces_remove(struct iommu *m, uint64_t first, uint64_t last, bool *mismatch)
{
	uint64_t now = m->sys->ops->now_us(m->sys);

	if (!m->quiet)
		return drop(m, first, last, mismatch);
	cancel(m, first, last, false);
	for (struct piece *p = piece_from(m, first), *next; p && p->node.first <= last; p = next) {
		next = piece_next(m, p);
		/* what no thread had begun is worth nothing yet */
		if (p->job.cancelled)
			take_back(m, p);
		if (p->job.over && p->job.result < 0)
			forget(m, p);
		else
			park(m, p, now);
	}
	return 0;
}

/* [*@first, *@last]: @p and its parked neighbours, as many as one call of the kernel may take out. */
static void parked_run(const struct iommu *m, const struct piece *p, uint64_t before_us, uint64_t *first, uint64_t *last)
{
	const struct piece *low = p, *high = p, *q;
	unsigned nr = 1;

	while (nr < RUN_PIECES && high->node.last - low->node.first < RUN_BYTES && (q = piece_next(m, high)) && q->parked &&
	       q->parked_us <= before_us && q->node.first == high->node.last + 1) {
		high = q;
		nr++;
	}
	while (nr < RUN_PIECES && high->node.last - low->node.first < RUN_BYTES && low->node.first &&
	       (q = (struct piece *)range_map_find(&m->pieces, low->node.first - 1)) && q->parked && q->parked_us <= before_us) {
		low = q;
		nr++;
	}
	*first = low->node.first;
	*last = high->node.last;
}

/* The kernel does not unmap them: they go to the end, to be tried again another time. The first of them. */
static struct piece *put_off(struct iommu *m, uint64_t first, uint64_t last)
{
	struct piece *low = NULL;

	for (struct piece *p = piece_from(m, first); p && p->node.first <= last; p = piece_next(m, p)) {
		p->stuck = true;
		p->parked_us = m->sys->ops->now_us(m->sys);
		TAILQ_REMOVE(&m->parked, p, parked_link);
		TAILQ_INSERT_TAIL(&m->parked, p, parked_link);
		low = low ? low : p;
	}
	return low;
}

int pieces_unpark(struct iommu *m, uint64_t before_us, unsigned max, bool *mismatch)
{
	uint64_t began_us = m->sys->ops->now_us(m->sys), first, last;
	struct piece *p, *stuck = NULL;
	int r = 0;

	while ((p = TAILQ_FIRST(&m->parked)) && p != stuck && p->parked_us <= before_us) {
		int one;

		if (max != PIECES_ALL && (!max-- || m->sys->ops->now_us(m->sys) - began_us >= UNPARK_US))
			return r ? r : -EAGAIN;
		parked_run(m, p, before_us, &first, &last);
		one = drop(m, first, last, mismatch);
		if (one == 0)
			continue;
		p = put_off(m, first, last);
		stuck = stuck ? stuck : p;
		r = r ? r : one;
	}
	return r;
}

/* --- adding --- */

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
			forget(m, p);
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
			r = drop(m, at, end, &mismatch);
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
		unpark(m, p);
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
		m->stats.bytes_pending += size_of(p);
		mapper_submit(m->mapper, &p->job);
		if (p->job.over)
			book(m, p);
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
	drop(m, range->node.first, range->node.last, &mismatch);
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

void pieces_count(const struct iommu *m, uint64_t first, uint64_t last, uint64_t *ret_landed, uint64_t *ret_pending)
{
	uint64_t landed = 0, pending = 0;

	for (struct piece *p = piece_from(m, first); p && p->node.first <= last; p = piece_next(m, p)) {
		if (!p->job.over)
			pending += size_of(p);
		else if (p->job.result == 0)
			landed += size_of(p);
	}
	*ret_landed = landed;
	*ret_pending = pending;
}

void pieces_free(struct iommu *m)
{
	for (struct piece *p; (p = piece_from(m, 0));) {
		take_back(m, p);
		forget(m, p);
	}
}
