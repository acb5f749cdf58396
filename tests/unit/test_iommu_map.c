/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The address space on the fake type1: what is mapped is what the kernel has, whatever fails. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "err.h"
#include "fake.h"
#include "fake_vfio.h"
#include "iommu.h"
#include "vdev.h"

#define VF "0000:3b:02.1"
#define PAGE UINT64_C(4096)
#define MIB UINT64_C(1048576)
#define RW (IOMMU_PROT_READ | IOMMU_PROT_WRITE)

static struct fake *fake;
static struct vdev *vdev;
static struct iommu *iommu;
static struct err err;
static int guest_fd;

static void start(uint64_t max_bytes, uint32_t max_ranges, uint32_t dma_limit)
{
	struct iommu_config config = { .name = "vf " VF, .max_bytes = max_bytes, .max_ranges = max_ranges };

	fake = fake_new();
	fake_add_driver(fake, "vfio-pci");
	fake_add_function(fake, VF, "vfio-pci", 7);
	fake_vfio_set_dma_limit(fake_vfio_current(), dma_limit);
	cr_assert_eq(vdev_open(fake_sys(fake), VF, &vdev, &err), 0, "%s", err.msg);
	config.fd = vdev_get_fds(vdev).container;
	cr_assert_eq(iommu_new(fake_sys(fake), &iommu_type1, &config, &iommu, &err), 0, "%s", err.msg);
	guest_fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	cr_assert_eq(ftruncate(guest_fd, 64 * (off_t)MIB), 0);
}

static void stop(void)
{
	iommu_free(iommu);
	cr_assert_eq(fake_iommu_mappings(fake), 0);
	cr_assert_eq(fake_mapped(fake), 0, "%ju bytes left mapped", (uintmax_t)fake_mapped(fake));
	vdev_close(vdev);
	cr_assert_eq(fake_open_fds(fake), 0);
	close(guest_fd);
	fake_free(fake);
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int map(uint64_t iova, uint64_t size, uint64_t offset, unsigned prot)
{
	struct iommu_map_request req = { .iova = iova, .size = size, .offset = offset, .prot = prot, .fd = dup(guest_fd) };

	return iommu_map(iommu, &req, &err);
}

static int record(uint64_t iova, uint64_t size)
{
	struct iommu_map_request req = { .iova = iova, .size = size, .prot = IOMMU_PROT_READ, .fd = -1 };

	return iommu_map(iommu, &req, &err);
}

static struct iommu_stats stats(void)
{
	struct iommu_stats s;

	iommu_get_stats(iommu, &s);
	return s;
}

Test(iommu, the_device_reaches_exactly_the_guest)
{
	char *mine;

	start(0, 0, 65535);
	mine = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, guest_fd, 0);
	strcpy(mine + 5 * MIB, "guest");
	cr_assert_eq(map(0, 32 * MIB, 0, RW), 0, "%s", err.msg);
	cr_assert_eq(map(0x100000000, 16 * MIB, 32 * MIB, IOMMU_PROT_READ), 0, "%s", err.msg);
	cr_assert_str_eq(fake_vfio_dma(fake_vfio_current(), VF, 5 * MIB, true), "guest");
	strcpy(mine + 33 * MIB, "high");
	cr_assert_str_eq(fake_vfio_dma(fake_vfio_current(), VF, 0x100000000 + MIB, false), "high");
	cr_assert_null(fake_vfio_dma(fake_vfio_current(), VF, 0x100000000, true), "read-only stays read-only");
	cr_assert_null(fake_vfio_dma(fake_vfio_current(), VF, 32 * MIB, false));
	cr_assert_eq(stats().bytes, 48 * MIB);
	cr_assert_eq(fake_pinned(fake), 48 * MIB);
	munmap(mine, 64 * MIB);
	stop();
}

/* Firmware makes QEMU unmap and map all of RAM again and again, in changing pieces. */
Test(iommu, again_and_again)
{
	int before;

	start(64 * MIB, 0, 65535);
	before = count_fds();
	for (int i = 0; i < 200; i++) {
		uint64_t cut = 0xc0000 + (uint64_t)(i % 16) * 0x4000, done = 0;

		cr_assert_eq(map(0, cut, 0, RW), 0, "%s", err.msg);
		cr_assert_eq(map(cut, 0x4000, cut, IOMMU_PROT_READ), 0, "%s", err.msg);
		cr_assert_eq(map(cut + 0x4000, 64 * MIB - cut - 0x4000, cut + 0x4000, RW), 0, "%s", err.msg);
		cr_assert_eq(record(0xfebc0000, 0x4000), 0);
		cr_assert_eq(iommu_unmap(iommu, 0, cut, &done, &err), 0);
		cr_assert_eq(done, cut);
		cr_assert_eq(iommu_unmap(iommu, cut, 64 * MIB - cut, &done, &err), 0, "two at once");
		cr_assert_eq(done, 64 * MIB - cut);
		cr_assert_eq(iommu_unmap(iommu, 0xfebc0000, 0x4000, &done, &err), 0);
	}
	cr_assert_eq(count_fds(), before);
	cr_assert_eq(fake_iommu_mappings(fake), 0);
	cr_assert_not(stats().degraded);
	cr_assert_eq(stats().nr_maps, 800);
	stop();
}

Test(iommu, unmap_whole_not_partial)
{
	uint64_t done = 77;

	start(0, 0, 65535);
	cr_assert_eq(map(MIB, MIB, 0, RW), 0);
	cr_assert_eq(map(2 * MIB, MIB, MIB, RW), 0);
	cr_assert_eq(iommu_unmap(iommu, MIB, PAGE, &done, &err), -EINVAL);
	cr_assert_str_eq(err.code, "iommu.unmap-partial");
	cr_assert_eq(iommu_unmap(iommu, MIB + PAGE, MIB - PAGE, &done, &err), -EINVAL);
	cr_assert_eq(iommu_unmap(iommu, 0, 2 * MIB + PAGE, &done, &err), -EINVAL, "the second is cut");
	cr_assert_eq(iommu_unmap(iommu, 8 * MIB, MIB, &done, &err), -ENOENT);
	cr_assert_str_eq(err.code, "iommu.unmap-unknown");
	cr_assert_eq(iommu_unmap(iommu, MIB, 0, &done, &err), -EINVAL);
	cr_assert_eq(iommu_unmap(iommu, MIB, UINT64_MAX, &done, &err), -EOVERFLOW);
	cr_assert_eq(done, 77, "untouched on failure");
	cr_assert_eq(fake_iommu_mappings(fake), 2, "no trace");
	cr_assert_eq(iommu_unmap(iommu, 0, 16 * MIB, &done, &err), 0, "more than the ranges is fine");
	cr_assert_eq(done, 2 * MIB);
	stop();
}

Test(iommu, recorded_only)
{
	struct iommu_range r;
	uint64_t done;

	start(0, 0, 65535);
	cr_assert_eq(record(0xfffc0000, 0x40000), 0, "%s", err.msg);
	cr_assert_eq(fake_iommu_mappings(fake), 0);
	cr_assert_eq(stats().nr_unbacked, 1);
	cr_assert_eq(map(0xfffc0000, PAGE, 0, RW), -EEXIST);
	cr_assert(iommu_next_range(iommu, 0, &r));
	cr_assert_not(r.backed);
	cr_assert_eq(r.last, 0xffffffff);
	cr_assert_eq(iommu_unmap(iommu, 0xfffc0000, 0x40000, &done, &err), 0);
	cr_assert_eq(done, 0x40000);
	cr_assert_eq(stats().nr_unbacked, 0);
	stop();
}

Test(iommu, ranges_in_order)
{
	struct iommu_range r;
	unsigned n = 0;

	start(0, 0, 65535);
	cr_assert_eq(fcntl(guest_fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(map((i * 7 % 10) * 2 * MIB, MIB, 0, RW), 0);
	for (uint64_t at = 0; iommu_next_range(iommu, at, &r); at = r.last + 1) {
		cr_assert_eq(r.first, n++ * 2 * MIB);
		cr_assert(r.backed && r.sealed && r.prot == RW && r.page_size == PAGE);
	}
	cr_assert_eq(n, 10);
	stop();
}

Test(iommu, refusals_degrade_and_leave_nothing)
{
	int before;

	start(8 * MIB, 4, 65535);
	cr_assert_eq(map(0, MIB, 0, RW), 0);
	cr_assert_not(stats().degraded);
	before = count_fds();
	cr_assert_eq(map(0, MIB, 0, RW), -EEXIST);
	cr_assert(stats().degraded);
	cr_assert_neq(strstr(err.msg, "vf " VF), NULL, "names its object: %s", err.msg);
	cr_assert_eq(map(MIB, 8 * MIB, 0, RW), -EDQUOT);
	cr_assert_eq(map(0xfee00000, PAGE, 0, RW), -ERANGE);
	cr_assert_eq(map(MIB, MIB, 64 * MIB, RW), -ENXIO);
	cr_assert_eq(count_fds(), before, "descriptors closed");
	cr_assert_eq(fake_iommu_mappings(fake), 1);
	cr_assert_eq(fake_mapped(fake), 0);
	cr_assert_eq(stats().nr_refused, 4);
	cr_assert_eq(iommu_unmap_all(iommu, NULL, &err), 0);
	cr_assert_not(stats().degraded, "a fresh client starts undegraded");
	stop();
}

Test(iommu, kernel_limits)
{
	uint32_t taken = 7;

	start(0, 0, 3);
	cr_assert_eq(iommu_kernel_entries(iommu, &taken), 0);
	cr_assert_eq(taken, 0);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(map(i * MIB, MIB, 0, RW), 0);
	cr_assert_eq(iommu_kernel_entries(iommu, &taken), 0);
	cr_assert_eq(taken, 3);
	cr_assert_eq(stats().nr_entries, 3);
	cr_assert_eq(map(3 * MIB, MIB, 0, RW), -ENOSPC);
	cr_assert_str_eq(err.code, "iommu.entries-limit", "known before the kernel is asked");
	cr_assert_eq(iommu_unmap(iommu, 0, MIB, NULL, &err), 0);
	fake_set_memlock(fake, 2 * MIB);
	cr_assert_eq(map(3 * MIB, MIB, 0, RW), -ENOMEM);
	cr_assert_str_eq(err.code, "iommu.map-failed");
	cr_assert_neq(strstr(err.hint, "RLIMIT_MEMLOCK"), NULL);
	cr_assert_eq(fake_mapped(fake), 0, "what is pinned is not kept mapped here");
	stop();
}

Test(iommu, ranges_at_the_limit)
{
	start(0, 4, 65535);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(map(i * MIB, MIB, 0, RW), 0);
	cr_assert_eq(map(4 * MIB, MIB, 0, RW), -ENOSPC);
	cr_assert_str_eq(err.code, "iommu.ranges-limit");
	stop();
}

Test(iommu, kernel_unmaps_another_size)
{
	uint64_t done = 0;

	start(0, 0, 65535);
	cr_assert_eq(map(0, MIB, 0, RW), 0);
	fake_vfio_lie(fake_vfio_current(), true);
	cr_assert_eq(iommu_unmap(iommu, 0, MIB, &done, &err), -EIO);
	cr_assert_str_eq(err.code, "iommu.unmap-mismatch");
	cr_assert(stats().degraded);
	cr_assert_eq(stats().nr_ranges, 0);
	fake_vfio_lie(fake_vfio_current(), false);
	stop();
}

/* While the kernel does not unmap, the range is not forgotten: the device may still reach it. */
Test(iommu, what_is_not_unmapped_stays)
{
	start(0, 0, 65535);
	cr_assert_eq(map(0, MIB, 0, RW), 0);
	cr_assert_eq(map(2 * MIB, MIB, 0, RW), 0);
	fake_fail_at(fake, 1, -EIO);
	cr_assert_eq(iommu_unmap_all(iommu, NULL, &err), -EIO);
	cr_assert_str_eq(err.code, "iommu.unmap-failed");
	cr_assert_eq(stats().nr_ranges, 1, "the other went");
	cr_assert_eq(fake_iommu_mappings(fake), 1);
	cr_assert(stats().degraded);
	fake_fail_at(fake, 0, 0);
	cr_assert_eq(iommu_unmap_all(iommu, NULL, &err), 0);
	stop();
}

Test(iommu, every_call_fails_once)
{
	unsigned n;

	start(0, 0, 65535);
	for (n = 1; n < 20; n++) {
		int before = count_fds(), r;

		fake_fail_at(fake, n, -ENOMEM);
		r = map(0, MIB, 0, RW);
		if (r == 0)
			break;
		fake_fail_at(fake, 0, 0);
		cr_assert_eq(r, -ENOMEM);
		cr_assert_eq(fake_iommu_mappings(fake), 0);
		cr_assert_eq(fake_mapped(fake), 0);
		cr_assert_eq(count_fds(), before);
	}
	cr_assert_eq(n, 3, "mmap, the map ioctl; what munmap says changes nothing");
	fake_fail_at(fake, 0, 0);
	stop();
}

Test(iommu, huge_pages_are_mapped_whole)
{
	struct iommu_map_request req = { .iova = 0, .size = 0xa0000, .prot = RW };
	struct iommu_range r;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);

	start(0, 0, 65535);
	if (fd < 0 || ftruncate(fd, 4 * (off_t)MIB) < 0) {
		stop();
		cr_skip_test("no huge pages on this machine");
	}
	req.fd = dup(fd);
	if (iommu_map(iommu, &req, &err) == -ENOMEM) {
		stop();
		cr_skip_test("no huge pages free");
	}
	cr_assert(iommu_next_range(iommu, 0, &r));
	cr_assert_eq(r.page_size, 2 * MIB);
	req.iova = req.offset = 0xa0000;
	req.size = 4 * MIB - 0xa0000;
	req.fd = dup(fd);
	cr_assert_eq(iommu_map(iommu, &req, &err), 0, "%s", err.msg);
	cr_assert_eq(iommu_unmap_all(iommu, NULL, &err), 0);
	close(fd);
	stop();
}
