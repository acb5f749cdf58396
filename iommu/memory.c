/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's memory in this process: mapped while it is being pinned, given back by the mapper's threads. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fdutil.h"
#include "space.h"
#include "sys.h"

/* Map the memory into this process, whole pages of the backing: a huge page cannot be mapped in parts. */
static int map_file(struct iommu *m, const struct range *range, int fd, struct memory *memory)
{
	uint64_t page = range->backing.page_size, size = range->node.last - range->node.first + 1;
	uint64_t start = range->offset & ~(page - 1), end = range->offset + size; /* checked: within the file */
	int prot = PROT_READ | (range->prot & IOMMU_PROT_WRITE ? PROT_WRITE : 0);
	struct map_area *area;
	void *at;
	int r;

	end = (end + page - 1) & ~(page - 1);
	if (end < start || end - start > SIZE_MAX)
		return -EOVERFLOW;
	area = malloc(sizeof(*area)); /* now, as giving memory back must not fail */
	if (!area)
		return -ENOMEM;
	*area = (struct map_area){ .len = (size_t)(end - start), .step = page > PIECE_BYTES ? page : PIECE_BYTES };
	r = m->sys->ops->mmap(m->sys, area->len, prot, MAP_SHARED, fd, (off_t)start, &at);
	if (r < 0) {
		free(area);
		return r;
	}
	area->at = at;
	memory->area = area;
	memory->hva = area->at + (range->offset - start);
	return 0;
}

int memory_new(struct iommu *m, const struct range *range, int fd, struct memory **ret, struct err *err)
{
	struct memory *memory = calloc(1, sizeof(*memory));
	int r = 0;

	if (!memory)
		return err_set(err, -ENOMEM, "iommu.no-memory", "DMA range at 0x%" PRIx64 ": no memory", range->node.first);
	memory->refs = 1;
	memory->fd = -1;
	if (m->backend->needs_hva)
		r = map_file(m, range, fd, memory);
	else if ((memory->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0)
		r = -errno;
	if (r < 0) {
		free(memory);
		return err_set(err, r, "iommu.mmap-failed", "DMA range at 0x%" PRIx64 ": mmap of the guest's memory: %s",
			       range->node.first, strerror(-r));
	}
	*ret = memory;
	return 0;
}

void memory_unref(struct iommu *m, struct memory *memory)
{
	if (!memory || --memory->refs)
		return;
	if (memory->area)
		mapper_unmap(m->mapper, memory->area);
	fd_close(&memory->fd);
	free(memory);
}
