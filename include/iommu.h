/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iommu: the address space one device sees. It checks every range, maps the guest's memory into this process, has a backend
 * (type1v2 of a VFIO container) programme the IOMMU, and keeps the map of what is live, which is the truth that the kernel's
 * answers are compared with.
 *
 * One thread owns it and makes all calls. Pinning guest memory takes a quarter of a second a GiB and more: it is left to threads of its own
 * (config.nr_threads), the caller has its answer before, and iommu_process() tells what came of it. Until then the device must not do DMA:
 * bytes_pending says so, and withholding it is the caller's part.
 */
#ifndef GANGWAY_IOMMU_H
#define GANGWAY_IOMMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct iommu;
struct sys;

/* Protection, as the device sees it. */
#define IOMMU_PROT_READ 1u
#define IOMMU_PROT_WRITE 2u

/* Where x86 delivers interrupt messages; never memory. Kernels leave it out of their IOVA ranges, not all of them always did. */
#define IOMMU_MSI_FIRST UINT64_C(0xfee00000)
#define IOMMU_MSI_LAST UINT64_C(0xfeefffff)

struct iommu_config {
	const char *name; /* put before each message: "vf 0000:3b:02.1". Copied */
	int fd; /* the backend's descriptor (type1: the container); stays the caller's and outlives the iommu */
	uint64_t max_bytes; /* mapped at once; 0: no limit of ours */
	uint32_t max_ranges; /* live at once, 0: LIMIT_DMA_RANGES */
	unsigned nr_threads; /* that pin and map; 0: iommu_map() does it, and returns the kernel's word */
};

struct iommu_map_request {
	uint64_t iova, size; /* bytes */
	uint64_t offset; /* in fd */
	unsigned prot; /* IOMMU_PROT_* */
	int fd; /* -1: memory without one (ROM, another device's BAR): recorded, not mapped */
};

struct iommu_range {
	uint64_t first, last; /* inclusive */
	unsigned prot;
	bool backed; /* mapped in the IOMMU; else only recorded */
	bool sealed; /* its file cannot shrink (F_SEAL_SHRINK) */
	uint64_t page_size; /* of the backing: 4096, or the huge page's */
	uint64_t offset; /* in the fd it came with */
	uint64_t pinned; /* bytes of it that are in the IOMMU, and thus resident */
	uint64_t pending; /* bytes of it that are on their way; what is neither has failed */
};

struct iommu_stats {
	uint64_t nr_ranges, bytes; /* that the VMM has mapped, with memory behind them */
	uint64_t nr_unbacked; /* recorded only */
	uint64_t bytes_pending; /* not in the IOMMU yet */
	uint64_t bytes_parked; /* unmapped by the VMM while the device was quiet, not yet unmapped by us */
	uint32_t nr_entries; /* of the IOMMU's table that we hold or are about to */
	uint64_t nr_maps, nr_unmaps, nr_refused; /* calls since the start */
	uint64_t bytes_mapped_total; /* how much was ever pinned */
	uint64_t bytes_populated_total; /* how much was ever faulted in on the way */
	unsigned nr_areas; /* of memory in this process that are to be given back: it is in the IOMMU, or not wanted */
	uint64_t bytes_per_second; /* faulted in, since memory began to be pending; 0: none is */
	bool degraded;
};

/* The backends there are. */
extern const struct iommu_backend iommu_type1;

/*
 * How many threads are of use for a guest of @bytes: @cpus, but no more than what cpu.max of a cgroup leaves ("max 100000", "150000 100000":
 * quota and period in us; other text, or NULL, says nothing), and one for each GiB. At least 1.
 */
unsigned iommu_nr_threads(unsigned cpus, const char *cpu_max, uint64_t bytes);

int iommu_new(struct sys *sys, const struct iommu_backend *backend, const struct iommu_config *config, struct iommu **ret,
	      struct err *err);
/* Unmaps everything. NULL is fine; returns NULL. */
struct iommu *iommu_free(struct iommu *iommu);

/*
 * Check and map. The descriptor is taken over, also on failure. Codes and errnos of refusals: iommu/dma_check.c; those of the
 * kernel come as "iommu.map-failed", with threads from iommu_process(). Every refusal marks the address space degraded: there is a hole.
 */
int iommu_map(struct iommu *iommu, const struct iommu_map_request *req, struct err *err);

/*
 * As type1v2: [@iova, @iova + @size - 1] may hold several ranges but must not cut one ("iommu.unmap-partial", -EINVAL). *@ret_size: bytes
 * of ranges taken out, recorded ones included; may be NULL. -ENOENT "iommu.unmap-unknown": there are none.
 * -EIO "iommu.unmap-mismatch": the kernel unmapped another number of bytes than we had mapped; the ranges are gone nevertheless.
 */
int iommu_unmap(struct iommu *iommu, uint64_t iova, uint64_t size, uint64_t *ret_size, struct err *err);
/* All, as when the client has gone; a fresh client starts undegraded. What the kernel refuses to unmap stays, with the first errno. */
int iommu_unmap_all(struct iommu *iommu, uint64_t *ret_size, struct err *err);

/* Files that memory is mapped from now, each once; at most IOMMU_FILES_MAX of them. How many. */
#define IOMMU_FILES_MAX 64
struct iommu_file {
	uint64_t dev, ino;
};
unsigned iommu_get_files(const struct iommu *iommu, struct iommu_file ret[IOMMU_FILES_MAX]);

void iommu_get_stats(const struct iommu *iommu, struct iommu_stats *ret);
/*
 * Whether the device can do DMA at all. While it cannot (quiet), ranges that are unmapped stay in the IOMMU for a second, so that what is
 * mapped again as it was costs nothing. To be told false before the device may do DMA: what was unmapped is then out of the IOMMU; if this
 * fails, it is not, and the device must stay as it is. -EAGAIN: it is much, and iommu_process() goes on with it; to be told again then.
 */
int iommu_set_quiet(struct iommu *iommu, bool quiet, struct err *err);

/*
 * With threads: iommu_process() is to be called when iommu_fd() is readable and after iommu_timeout_ms() (-1: no time). It returns the errno
 * of a mapping that has failed since, with @err, or 0.
 */
int iommu_fd(const struct iommu *iommu); /* -1 without threads */
int iommu_timeout_ms(const struct iommu *iommu);
int iommu_process(struct iommu *iommu, struct err *err);

/* Entries of the table that are taken as the kernel counts (VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL), asked now. -ENOTSUP: it does not say. */
int iommu_kernel_entries(const struct iommu *iommu, uint32_t *ret);
/* The range at or above @from, in order: for (a = 0; iommu_next_range(iommu, a, &r) && ...; a = r.last + 1). False: none. */
bool iommu_next_range(const struct iommu *iommu, uint64_t from, struct iommu_range *ret);

#endif
