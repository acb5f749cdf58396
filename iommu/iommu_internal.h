/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of iommu/ share: the backend's shape, and the check that comes before it. */
#ifndef GANGWAY_IOMMU_INTERNAL_H
#define GANGWAY_IOMMU_INTERNAL_H

#include <sys/types.h>

#include "iommu.h"
#include "range_map.h"

#define IOMMU_MAX_APERTURES 32 /* IOVA ranges of one IOMMU; the kernel's lists have 2 to 4 */

struct iommu_aperture {
	uint64_t first, last;
};

/* What a backend can do, read once when it is opened. */
struct iommu_caps {
	uint64_t page_size; /* smallest that can be mapped, a power of two */
	struct iommu_aperture apertures[IOMMU_MAX_APERTURES]; /* ordered */
	size_t nr_apertures; /* 0: the kernel does not say, all of 64 bits */
	uint32_t max_entries; /* UINT32_MAX: the kernel does not say */
};

struct iommu_backend_map {
	uint64_t iova, size;
	unsigned prot;
	void *hva; /* NULL where the backend maps by descriptor */
	int fd;
	uint64_t offset;
};

/* One way to programme an IOMMU. A file each; the rest of gangway never asks which. */
struct iommu_backend {
	const char *name;
	bool needs_hva; /* type1 pins what this process has mapped; an IOAS maps the file itself */
	int (*open)(struct sys *sys, int fd, struct iommu_caps *ret, struct err *err);
	int (*map)(struct sys *sys, int fd, const struct iommu_backend_map *map);
	int (*unmap)(struct sys *sys, int fd, uint64_t iova, uint64_t size, uint64_t *ret_size);
	int (*avail)(struct sys *sys, int fd, uint32_t *ret); /* -ENOTSUP: not told */
};

/* What a request is checked against. */
struct dma_limits {
	const struct iommu_caps *caps;
	const struct range_map *live;
	uint64_t bytes, max_bytes; /* mapped now; 0: no limit */
	uint32_t entries, max_entries; /* of the IOMMU's table, taken now */
	uint32_t max_ranges; /* in @live, recorded ones included */
};

/* What the check learned of the memory behind the descriptor. */
struct dma_backing {
	uint64_t page_size;
	bool sealed;
	dev_t dev; /* which file it is */
	ino_t ino;
	uint64_t blocks; /* that the file had */
};

/* Entries of the IOMMU's table that the range takes: pieces_add.c. */
uint64_t iommu_entries_needed(uint64_t first, uint64_t last, uint64_t page_size);

/* Every rule of DMA mapping, before the first side effect. 0, or the errno and code of the rule that is broken. */
int dma_check(const struct dma_limits *lim, const struct iommu_map_request *req, struct dma_backing *ret, struct err *err);

#endif
