/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the IOMMU's pieces share: an address space on the fake kernel, and a guest's memory. */
#ifndef GANGWAY_IOMMU_TEST_H
#define GANGWAY_IOMMU_TEST_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../iommu/iommu_internal.h"
#include "err.h"
#include "fake.h"
#include "fake_vfio.h"
#include "iommu.h"
#include "sys.h"
#include "vdev.h"

#define VF "0000:3b:02.1"
#define PAGE UINT64_C(4096)
#define MIB UINT64_C(1048576)
#define GIB (1024 * MIB)
#define RW (IOMMU_PROT_READ | IOMMU_PROT_WRITE)

static struct fake *fake;
static struct vdev *vdev;
static struct iommu *iommu;
static struct err err;
static int guest_fd;

/* The fake kernel's, and those that a test has put before them. */
static const struct sys_ops *fake_ops;
static struct sys_ops noting_ops;

static inline int memory(uint64_t bytes)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
	return fd;
}

static inline void start(unsigned nr_threads, uint64_t max_bytes)
{
	struct iommu_config config = { .name = "vf " VF, .max_bytes = max_bytes, .nr_threads = nr_threads };

	fake = fake_new();
	fake_add_driver(fake, "vfio-pci");
	fake_add_function(fake, VF, "vfio-pci", 7);
	cr_assert_eq(vdev_open(fake_sys(fake), VF, &vdev, &err), 0, "%s", err.msg);
	config.fd = vdev_get_fds(vdev).container;
	cr_assert_eq(iommu_new(fake_sys(fake), &iommu_type1, &config, &iommu, &err), 0, "%s", err.msg);
	guest_fd = memory(64 * MIB);
}

static inline void stop(void)
{
	iommu_free(iommu);
	cr_assert_eq(fake_iommu_mappings(fake), 0);
	cr_assert_eq(fake_pinned(fake), 0);
	cr_assert_eq(fake_mapped(fake), 0, "%ju bytes left mapped", (uintmax_t)fake_mapped(fake));
	vdev_close(vdev);
	cr_assert_eq(fake_open_fds(fake), 0);
	close(guest_fd);
	fake_free(fake);
}

static inline int map_fd(int fd, uint64_t iova, uint64_t size, uint64_t offset, unsigned prot)
{
	struct iommu_map_request req = { .iova = iova, .size = size, .offset = offset, .prot = prot, .fd = dup(fd) };

	return iommu_map(iommu, &req, &err);
}

static inline int map(uint64_t iova, uint64_t size, uint64_t offset, unsigned prot)
{
	return map_fd(guest_fd, iova, size, offset, prot);
}

static inline int unmap(uint64_t iova, uint64_t size)
{
	uint64_t done = 0;
	int r = iommu_unmap(iommu, iova, size, &done, &err);

	cr_assert(r < 0 || done == size);
	return r;
}

static inline struct iommu_stats stats(void)
{
	struct iommu_stats s;

	iommu_get_stats(iommu, &s);
	return s;
}

/* Until nothing is pending; the first failure. */
static inline int settle(void)
{
	struct pollfd p = { .fd = iommu_fd(iommu), .events = POLLIN };
	int r = iommu_process(iommu, &err);

	while (stats().bytes_pending) {
		cr_assert_eq(poll(&p, 1, 10000), 1, "nothing comes");
		r = r ? r : iommu_process(iommu, &err);
	}
	return r;
}

/* What is pinned is not kept mapped here. */
static inline void let_go(void)
{
	struct pollfd p = { .fd = iommu_fd(iommu), .events = POLLIN };

	while (fake_mapped(fake)) {
		cr_assert_eq(poll(&p, 1, 10000), 1, "%ju bytes stay mapped", (uintmax_t)fake_mapped(fake));
		iommu_process(iommu, &err);
	}
}

static inline const char *dma(uint64_t iova, bool write)
{
	return fake_vfio_dma(fake_vfio_current(), VF, iova, write);
}

#endif
