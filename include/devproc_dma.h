/* SPDX-License-Identifier: GPL-2.0-or-later */
/* devproc_dma: asking a gangway-device process for its DMA address space, a page at a time. */
#ifndef GANGWAY_DEVPROC_DMA_H
#define GANGWAY_DEVPROC_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct devproc;
struct err;

#define DEVPROC_DMA_RANGES 20 /* of a page: what an answer of the process holds */
#define DEVPROC_DMA_ASKS 4 /* pages that may be asked of a process at a time; more are refused: it has a VM to serve */
#define DEVPROC_DMA_MS 5000 /* for an answer: a process that resets its VF or unpins a large guest is away for a second or two */

struct devproc_dma_range {
	uint64_t first, last; /* inclusive */
	uint64_t
		page_size; /* of the memory behind it, a power of two from 4096 up; 0: there is none, the range is only recorded */
	uint64_t pinned, pending; /* bytes of it that are in the IOMMU, or on their way; the rest has failed */
	char prot[3]; /* "r", "w", "rw" */
	bool sealed; /* its memory cannot be made shorter */
};

struct devproc_dma {
	size_t nr;
	struct devproc_dma_range ranges[DEVPROC_DMA_RANGES]; /* ordered, none touches another's addresses */
	bool more;
	uint64_t next; /* with @more: where the next page begins, above all of this one */
	/* of the whole address space */
	uint64_t nr_ranges, bytes; /* with memory behind them */
	uint64_t nr_recorded; /* without */
	uint64_t pending, parked; /* bytes */
	uint64_t entries; /* of the IOMMU's table, as the process counts */
	bool kernel_tells;
	uint64_t kernel_entries; /* with @kernel_tells: as the kernel does */
};

/*
 * Called once: with @page, checked for types, bounds and order and no more (the process is untrusted), or with @page NULL and @err:
 * -ETIMEDOUT "devproc.silent", -ECONNRESET "devproc.lost": it has ended, or is no longer to be listened to, -EOPNOTSUPP
 * "devproc.old". Must not free the devproc, nor ask it again.
 */
typedef void (*devproc_dma_fn)(void *ctx, const struct devproc_dma *page, const struct err *err);

/* The ranges at or above @from. Negative: not asked, and @done is not called: -EBUSY "devproc.busy", -ECONNRESET "devproc.lost". */
int devproc_ask_dma(struct devproc *proc, uint64_t from, devproc_dma_fn done, void *ctx, struct err *err);

#endif
