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

#include "pieces_internal.h"
#include "sys.h"

/* Unmapped by one call of the kernel, which is waited for; and how long in a turn of the loop. */
#define RUN_BYTES (UINT64_C(1) << 30)
#define RUN_PIECES 4096
#define UNPARK_US 20000

/* Pinned pages need our mapping no more, and a process that parses a guest's VMM is better off without it. */
void piece_book(struct iommu *m, struct piece *p)
{
	int r = p->job.result;

	memory_unref(m, p->memory);
	p->memory = NULL;
	m->stats.bytes_pending -= piece_size(p);
	if (r == 0) {
		m->stats.bytes_mapped_total += piece_size(p);
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
	piece_book(m, p);
}

void piece_unpark(struct iommu *m, struct piece *p)
{
	if (!p->parked)
		return;
	p->parked = false;
	TAILQ_REMOVE(&m->parked, p, parked_link);
	m->stats.bytes_parked -= piece_size(p);
}

void piece_forget(struct iommu *m, struct piece *p)
{
	piece_unpark(m, p);
	range_map_remove(&m->pieces, &p->node);
	free(p);
}

void pieces_reap(struct iommu *m)
{
	struct map_job *job;

	while ((job = mapper_next_over(m->mapper))) {
		struct piece *p = piece_of_job(job);

		piece_book(m, p);
		if (p->parked && p->job.result < 0)
			piece_forget(m, p);
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
		piece_forget(m, p);
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

int pieces_drop(struct iommu *m, uint64_t first, uint64_t last, bool *mismatch)
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
			piece_forget(m, p);
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
	m->stats.bytes_parked += piece_size(p);
}

int pieces_remove(struct iommu *m, uint64_t first, uint64_t last, bool *mismatch)
{
	uint64_t now = m->sys->ops->now_us(m->sys);

	if (!m->quiet)
		return pieces_drop(m, first, last, mismatch);
	cancel(m, first, last, false);
	for (struct piece *p = piece_from(m, first), *next; p && p->node.first <= last; p = next) {
		next = piece_next(m, p);
		/* what no thread had begun is worth nothing yet */
		if (p->job.cancelled)
			take_back(m, p);
		if (p->job.over && p->job.result < 0)
			piece_forget(m, p);
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
		one = pieces_drop(m, first, last, mismatch);
		if (one == 0)
			continue;
		p = put_off(m, first, last);
		stuck = stuck ? stuck : p;
		r = r ? r : one;
	}
	return r;
}

void pieces_count(const struct iommu *m, uint64_t first, uint64_t last, uint64_t *ret_landed, uint64_t *ret_pending)
{
	uint64_t landed = 0, pending = 0;

	for (struct piece *p = piece_from(m, first); p && p->node.first <= last; p = piece_next(m, p)) {
		if (!p->job.over)
			pending += piece_size(p);
		else if (p->job.result == 0)
			landed += piece_size(p);
	}
	*ret_landed = landed;
	*ret_pending = pending;
}

void pieces_free(struct iommu *m)
{
	for (struct piece *p; (p = piece_from(m, 0));) {
		take_back(m, p);
		piece_forget(m, p);
	}
}
