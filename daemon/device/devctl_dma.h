/* SPDX-License-Identifier: GPL-2.0-or-later */
/* devctl_dma: the answer to "dma": a page of the DMA address space, and what it comes to as a whole. */
#ifndef GANGWAY_DEVCTL_DMA_H
#define GANGWAY_DEVCTL_DMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device_proto.h"
#include "iommu.h"

struct devctl_dma {
	struct iommu_range ranges[DEVICE_DMA_RANGES];
	size_t nr;
	bool more;
	uint64_t next; /* with @more: where the next page begins */
	struct iommu_stats stats;
	bool kernel_tells;
	uint32_t kernel_entries;
};

/* The ranges at or above @from, as many as fit. */
void devctl_dma_look(const struct iommu *iommu, uint64_t from, struct devctl_dma *ret);
/* Less than DEVICE_PROTO_MAX bytes whatever is in it. malloc'ed; NULL: no memory. */
char *devctl_dma_text(const struct devctl_dma *dma, json_int_t tag);
/* The answer to @request, malloc'ed. NULL: it has no valid "from", there is no address space, or no memory. */
char *devctl_dma_answer(const struct iommu *iommu, const json_t *request);

#endif
