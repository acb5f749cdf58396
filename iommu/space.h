/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The address space object, as its files see it. Two maps of the same addresses:
 *
 *   ranges  what the VMM has mapped: iommu.c; the files it is in: files.c. It unmaps ranges whole, as it mapped them.
 *   pieces  what the IOMMU holds: pieces.c. A range is cut at fixed addresses into pieces that are mapped one by one (pieces_add.c).
 *
 * Why pieces: threads can work side by side, a mapping under way can be given up soon, and when firmware shifts a border in the first
 * megabyte all pieces above 2 MiB are the same ones as before.
 */
#ifndef GANGWAY_IOMMU_SPACE_H
#define GANGWAY_IOMMU_SPACE_H

#include <limits.h>
#include <sys/queue.h>

#include "err.h"
#include "iommu_internal.h"
#include "mapper.h"

struct range {
	struct range_node node; /* first: a range_node of the ranges is one of these */
	unsigned prot;
	bool backed;
	struct dma_backing backing;
	uint64_t offset;
};

/* Our mapping of the file, or the file, for as long as pieces of it are being pinned. */
struct memory {
	unsigned refs;
	struct map_area
		*area; /* whole pages of the backing, so it may be more than the range; NULL: the backend maps by descriptor */
	char *hva; /* where the range begins in it */
	int fd;
};

struct piece {
	struct range_node node; /* first */
	struct map_job job;
	struct memory *memory; /* NULL: no longer needed */
	struct dma_backing backing;
	uint64_t offset;
	bool fresh; /* not submitted yet: pieces_add() is at it */
	bool parked; /* the VMM has unmapped it, the IOMMU has it still */
	bool stuck; /* parked, and the kernel did not unmap it */
	uint64_t parked_us;
	TAILQ_ENTRY(piece) parked_link;
};

TAILQ_HEAD(parked_list, piece);

/* Files that ranges are of. */
struct file_ref {
	struct iommu_file file;
	unsigned refs; /* ranges; 0: free */
};

struct iommu {
	struct sys *sys;
	const struct iommu_backend *backend;
	struct iommu_config config;
	char *name;
	struct iommu_caps caps;
	struct range_map ranges, pieces;
	struct mapper *mapper;
	struct parked_list parked; /* the longest parked first */
	bool quiet;
	struct file_ref files[IOMMU_FILES_MAX];
	struct iommu_stats stats;
	uint64_t pending_us, pending_from; /* when memory began to be pending, and what had been populated by then */
	uint64_t unmap_again_us; /* when what this process could not unmap from itself is tried again; 0: there is none */
	struct err failure; /* of a mapping whose request was answered already; num 0: none that was not told */
};

/* Large enough to cost no entries (1 TiB: 4096 of 65535), small enough to be waited for: 60 ms to pin from cold. A power of two. */
#define PIECE_BYTES (UINT64_C(256) << 20)

/* files.c: a range that is backed comes, or goes. -ENOSPC: its file is one too many. */
int files_ref(struct iommu *m, const struct range *range);
void files_unref(struct iommu *m, const struct range *range);

/* iommu.c: fills @err. */
int iommu_mismatched(uint64_t first, uint64_t last, struct err *err);

/* What the backend maps from: our mapping of the range's file, or the file. One reference, the caller's. */
int memory_new(struct iommu *m, const struct range *range, int fd, struct memory **ret, struct err *err);
void memory_unref(struct iommu *m, struct memory *memory); /* NULL is fine */

/*
 * Have the range, which is backed and overlaps none, mapped: parked pieces that are the same are taken back, the rest is submitted. On
 * failure nothing is left. @fd: the file.
 */
int pieces_add(struct iommu *m, const struct range *range, int fd, struct err *err);
/*
 * Out of the IOMMU with what is in [@first, @last], which cuts no piece; or, where the device is quiet, into the park. What the kernel
 * does not unmap stays. *@mismatch: it counted otherwise.
 */
int pieces_remove(struct iommu *m, uint64_t first, uint64_t last, bool *mismatch);
/* Out of the IOMMU with what was parked before @before_us, in @max calls of the kernel, and in bounded time. -EAGAIN: some is left for more. */
#define PIECES_ALL UINT_MAX
#define PIECES_TURN 64
int pieces_unpark(struct iommu *m, uint64_t before_us, unsigned max, bool *mismatch);
void pieces_reap(struct iommu *m); /* book what the mapper has done */
/* Bytes in [@first, @last] that are in the IOMMU, and those on their way. */
void pieces_count(const struct iommu *m, uint64_t first, uint64_t last, uint64_t *ret_landed, uint64_t *ret_pending);
void pieces_free(struct iommu *m); /* the objects alone */

#endif
