/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one place where a DMA mapping is judged. A request comes from a guest's VMM and is hostile until it has been through
 * here: nothing has been mapped, allocated or asked of the IOMMU before. Rules in order, each with its own code:
 *
 *   geometry  size-zero, unaligned, wrap, prot-none
 *   place     map-overlap, out-of-range, msi-window, ranges-limit
 *   account   bytes-limit
 *   backing   fd-not-memory, fd-access, fd-short
 *   entries   entries-limit, files-limit
 *
 * A section without a descriptor is recorded, never mapped: of the place only the overlap concerns it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "err.h"
#include "iommu_internal.h"

#define RANGE "[0x%" PRIx64 ", 0x%" PRIx64 "]"

static int check_geometry(const struct iommu_caps *caps, const struct iommu_map_request *req, struct err *err)
{
	uint64_t mask = caps->page_size - 1;

	if (req->size == 0)
		return err_set(err, -EINVAL, "iommu.size-zero", "DMA range at 0x%" PRIx64 " is empty", req->iova);
	if ((req->iova | req->size | (req->fd >= 0 ? req->offset : 0)) & mask)
		return err_set(err, -EINVAL, "iommu.unaligned",
			       "DMA range at 0x%" PRIx64 ", size 0x%" PRIx64 ", file offset 0x%" PRIx64
			       " is not aligned to the IOMMU's page of %" PRIu64 " bytes",
			       req->iova, req->size, req->offset, caps->page_size);
	if (req->iova + (req->size - 1) < req->iova)
		return err_set(err, -EOVERFLOW, "iommu.wrap", "DMA range at 0x%" PRIx64 ", size 0x%" PRIx64 " wraps at 2^64",
			       req->iova, req->size);
	if (!(req->prot & (IOMMU_PROT_READ | IOMMU_PROT_WRITE)))
		return err_set(err, -EINVAL, "iommu.prot-none", "DMA range at 0x%" PRIx64 " allows neither read nor write",
			       req->iova);
	return 0;
}

static bool inside_aperture(const struct iommu_caps *caps, uint64_t first, uint64_t last)
{
	for (size_t i = 0; i < caps->nr_apertures; i++)
		if (first >= caps->apertures[i].first && last <= caps->apertures[i].last)
			return true;
	return caps->nr_apertures == 0;
}

static int check_place(const struct dma_limits *lim, const struct iommu_map_request *req, struct err *err)
{
	uint64_t first = req->iova, last = req->iova + (req->size - 1);
	const struct range_node *hit = range_map_from(lim->live, first);

	if (hit && hit->first <= last)
		return err_set(err, -EEXIST, "iommu.map-overlap", "DMA range " RANGE " overlaps the live one " RANGE, first, last,
			       hit->first, hit->last);
	if (lim->live->nr >= lim->max_ranges)
		return err_set(err, -ENOSPC, "iommu.ranges-limit", "DMA range " RANGE ": %u ranges are live, no more are kept",
			       first, last, lim->max_ranges);
	if (req->fd < 0)
		return 0;
	if (first <= IOMMU_MSI_LAST && last >= IOMMU_MSI_FIRST)
		return err_set(err, -ERANGE, "iommu.msi-window", "DMA range " RANGE " covers the interrupt window " RANGE, first,
			       last, IOMMU_MSI_FIRST, IOMMU_MSI_LAST);
	if (!inside_aperture(lim->caps, first, last))
		return err_set(err, -ERANGE, "iommu.out-of-range",
			       "DMA range " RANGE " is outside the addresses that the IOMMU can translate", first, last);
	return 0;
}

static int check_account(const struct dma_limits *lim, const struct iommu_map_request *req, struct err *err)
{
	if (lim->max_bytes && (req->size > lim->max_bytes || lim->bytes > lim->max_bytes - req->size)) {
		err_set(err, -EDQUOT, "iommu.bytes-limit",
			"DMA range at 0x%" PRIx64 ": %" PRIu64 " bytes more than the %" PRIu64
			" mapped would exceed the guest's %" PRIu64,
			req->iova, req->size, lim->bytes, lim->max_bytes);
		err_hint(err, "the guest has more memory than the lease was made for: detach and attach again");
		return -EDQUOT;
	}
	return 0;
}

static int check_entries(const struct dma_limits *lim, const struct iommu_map_request *req, uint64_t page_size, struct err *err)
{
	uint64_t need = iommu_entries_needed(req->iova, req->iova + (req->size - 1), page_size);
	uint32_t left = lim->max_entries > lim->entries ? lim->max_entries - lim->entries : 0;

	if (need <= left)
		return 0;
	err_set(err, -ENOSPC, "iommu.entries-limit",
		"DMA range at 0x%" PRIx64 " needs %" PRIu64 " of the IOMMU's %u mappings, %u are left", req->iova, need,
		lim->max_entries, left);
	err_hint(err, "raise dma_entry_limit of module vfio_iommu_type1, or give the guest fewer memory slots");
	return -ENOSPC;
}

/*
 * Only memory that cannot be taken away below the IOMMU and cannot make us wait: tmpfs (memfd and /dev/shm) and hugetlbfs. A
 * pipe, a device, /proc/PID/mem or a file of a FUSE server is none. Seals are asked for first: only these two have them, and the
 * kernel knows without asking the file system (memfd_fcntl() in mm/memfd.c), while a FUSE server may leave fstat(2) waiting for good.
 */
static int check_memory(const struct iommu_map_request *req, struct stat *st, struct dma_backing *ret, struct err *err)
{
	int seals = fcntl(req->fd, F_GET_SEALS);
	struct statfs fs;

	if (seals < 0 || fstat(req->fd, st) < 0 || !S_ISREG(st->st_mode) || fstatfs(req->fd, &fs) < 0 ||
	    (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC)) {
		err_set(err, -EINVAL, "iommu.fd-not-memory", "DMA range at 0x%" PRIx64 ": its descriptor is no shared memory",
			req->iova);
		err_hint(err, "start QEMU with -object memory-backend-memfd,share=on (or a shared file on tmpfs or hugetlbfs)");
		return -EINVAL;
	}
	ret->sealed = seals & F_SEAL_SHRINK;
	ret->page_size = fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize : 4096;
	ret->dev = st->st_dev;
	ret->ino = st->st_ino;
	ret->blocks = (uint64_t)st->st_blocks;
	return 0;
}

static int check_backing(const struct iommu_map_request *req, struct dma_backing *ret, struct err *err)
{
	struct stat st;
	int mode, r;

	r = check_memory(req, &st, ret, err);
	if (r < 0)
		return r;
	mode = fcntl(req->fd, F_GETFL);
	if (mode < 0 || (mode & O_ACCMODE) == O_WRONLY || ((req->prot & IOMMU_PROT_WRITE) && (mode & O_ACCMODE) != O_RDWR))
		return err_set(err, -EACCES, "iommu.fd-access",
			       "DMA range at 0x%" PRIx64 ": its descriptor is not open for the access asked for", req->iova);
	if (st.st_size < 0 || req->offset > (uint64_t)st.st_size || req->size > (uint64_t)st.st_size - req->offset)
		return err_set(err, -ENXIO, "iommu.fd-short",
			       "DMA range at 0x%" PRIx64 ": offset 0x%" PRIx64 " and size 0x%" PRIx64
			       " exceed the file's %" PRIu64 " bytes",
			       req->iova, req->offset, req->size, (uint64_t)st.st_size);
	return 0;
}

int dma_check(const struct dma_limits *lim, const struct iommu_map_request *req, struct dma_backing *ret, struct err *err)
{
	struct dma_backing backing = { 0 };
	int r;

	r = check_geometry(lim->caps, req, err);
	if (r == 0)
		r = check_place(lim, req, err);
	if (r == 0 && req->fd >= 0)
		r = check_account(lim, req, err);
	if (r == 0 && req->fd >= 0)
		r = check_backing(req, &backing, err);
	if (r == 0 && req->fd >= 0)
		r = check_entries(lim, req, backing.page_size, err);
	if (r == 0)
		*ret = backing;
	return r;
}
