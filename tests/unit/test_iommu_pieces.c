/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the IOMMU holds while threads map: pending, parked, failed, and never what the VMM has been told is unmapped. */
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

static int memory(uint64_t bytes)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
	return fd;
}

static void start(unsigned nr_threads, uint64_t max_bytes)
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

static void stop(void)
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

static int map_fd(int fd, uint64_t iova, uint64_t size, uint64_t offset, unsigned prot)
{
	struct iommu_map_request req = { .iova = iova, .size = size, .offset = offset, .prot = prot, .fd = dup(fd) };

	return iommu_map(iommu, &req, &err);
}

static int map(uint64_t iova, uint64_t size, uint64_t offset, unsigned prot)
{
	return map_fd(guest_fd, iova, size, offset, prot);
}

static int unmap(uint64_t iova, uint64_t size)
{
	uint64_t done = 0;
	int r = iommu_unmap(iommu, iova, size, &done, &err);

	cr_assert(r < 0 || done == size);
	return r;
}

static struct iommu_stats stats(void)
{
	struct iommu_stats s;

	iommu_get_stats(iommu, &s);
	return s;
}

/* Until nothing is pending; the first failure. */
static int settle(void)
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
static void let_go(void)
{
	struct pollfd p = { .fd = iommu_fd(iommu), .events = POLLIN };

	while (fake_mapped(fake)) {
		cr_assert_eq(poll(&p, 1, 10000), 1, "%ju bytes stay mapped", (uintmax_t)fake_mapped(fake));
		iommu_process(iommu, &err);
	}
}

static const char *dma(uint64_t iova, bool write)
{
	return fake_vfio_dma(fake_vfio_current(), VF, iova, write);
}

/* --- threads --- */

Test(pieces, answered_before_it_is_mapped)
{
	start(2, 0);
	fake_slow_populate(fake, 50000);
	cr_assert_eq(map(0, 64 * MIB, 0, RW), 0);
	cr_assert_eq(stats().bytes, 64 * MIB);
	cr_assert_eq(stats().bytes_pending, 64 * MIB);
	cr_assert_eq(fake_iommu_mappings(fake), 0);
	cr_assert_eq(settle(), 0);
	cr_assert_eq(fake_pinned(fake), 64 * MIB);
	cr_assert_eq(stats().bytes_mapped_total, 64 * MIB);
	cr_assert_eq(stats().bytes_populated_total, 64 * MIB);
	let_go();
	stop();
}

Test(pieces, a_range_knows_how_much_of_it_is_pinned)
{
	struct iommu_range r;

	start(1, 0);
	cr_assert_eq(map(0, 32 * MIB, 0, RW), 0);
	cr_assert_eq(settle(), 0);
	fake_slow_populate(fake, 50000);
	cr_assert_eq(map(GIB, 32 * MIB, 32 * MIB, RW), 0);
	cr_assert(iommu_next_range(iommu, 0, &r));
	cr_assert_eq(r.pinned, 32 * MIB);
	cr_assert_eq(r.pending, 0);
	cr_assert(iommu_next_range(iommu, GIB, &r));
	cr_assert_eq(r.pinned, 0);
	cr_assert_eq(r.pending, 32 * MIB);
	cr_assert_eq(settle(), 0);
	cr_assert(iommu_next_range(iommu, GIB, &r));
	cr_assert_eq(r.pinned, 32 * MIB);
	stop();
}

/* A guest larger than this machine: its answer takes no longer, and it is given up as fast as a piece. */
Test(pieces, unmap_while_pending)
{
	int fd;

	start(2, 0);
	fd = memory(24 * GIB);
	fake_slow_populate(fake, 20000);
	cr_assert_eq(map_fd(fd, 4 * GIB, 24 * GIB, 0, RW), 0, "%s", err.msg);
	cr_assert_eq(stats().nr_entries, 96);
	usleep(30000); /* the threads are in the middle of it: any moment will do */
	cr_assert_eq(unmap(4 * GIB, 24 * GIB), 0);
	cr_assert_eq(stats().bytes_pending, 0);
	cr_assert_eq(stats().nr_entries, 0);
	cr_assert_eq(fake_iommu_mappings(fake), 0);
	cr_assert_eq(iommu_process(iommu, &err), 0);
	cr_assert_not(stats().degraded);
	close(fd);
	stop();
}

Test(pieces, ends_while_pending)
{
	start(2, 0);
	fake_slow_populate(fake, 20000);
	cr_assert_eq(map(0, 32 * MIB, 0, RW), 0);
	cr_assert_eq(map(GIB, 32 * MIB, 32 * MIB, RW), 0);
	stop();
}

Test(pieces, the_kernel_refuses_later)
{
	start(1, 0);
	fake_set_memlock(fake, 16 * MIB);
	cr_assert_eq(map(0, 16 * MIB, 0, RW), 0);
	cr_assert_eq(map(GIB, 16 * MIB, 16 * MIB, RW), 0, "answered already");
	cr_assert_eq(settle(), -ENOMEM);
	cr_assert_str_eq(err.code, "iommu.map-failed");
	cr_assert(strstr(err.hint, "RLIMIT_MEMLOCK") && strstr(err.msg, "0x40000000"), "%s", err.msg);
	cr_assert_eq(iommu_process(iommu, &err), 0, "told once");
	cr_assert(stats().degraded);
	cr_assert_eq(stats().nr_entries, 1);
	cr_assert_null(dma(GIB, true));
	cr_assert_eq(unmap(GIB, 16 * MIB), 0, "the VMM has it mapped");
	cr_assert_eq(unmap(0, 16 * MIB), 0);
	stop();
}

/* The file is shortened between the check and the pinning: EFAULT, where a look at the memory would be SIGBUS. */
Test(pieces, the_file_is_shortened)
{
	struct iommu_range r;
	int fd;

	start(1, 0);
	fd = memory(32 * MIB);
	fake_slow_populate(fake, 100000);
	cr_assert_eq(map(0, 16 * MIB, 0, RW), 0);
	cr_assert_eq(map_fd(fd, GIB, 32 * MIB, 0, RW), 0);
	cr_assert_eq(ftruncate(fd, 4 * (off_t)MIB), 0);
	fake_slow_populate(fake, 0);
	cr_assert_eq(settle(), -EFAULT);
	cr_assert(stats().degraded);
	cr_assert_null(dma(GIB, true));
	cr_assert(iommu_next_range(iommu, GIB, &r));
	cr_assert_eq(r.pinned + r.pending, 0, "neither: it has failed");
	close(fd);
	stop();
}

Test(pieces, as_many_threads_as_are_of_use)
{
	static const struct {
		unsigned cpus;
		const char *cpu_max;
		uint64_t bytes;
		unsigned want;
	} rows[] = {
		{ 8, NULL, 64 * GIB, 8 },
		{ 8, NULL, 2 * GIB, 2 },
		{ 8, NULL, 2 * GIB + 1, 3 },
		{ 8, NULL, PAGE, 1 },
		{ 0, NULL, 64 * GIB, 1 },
		{ 8, "max 100000", 64 * GIB, 8 },
		{ 8, "200000 100000", 64 * GIB, 2 },
		{ 8, "150000 100000", 64 * GIB, 2 },
		{ 8, "1000 100000", 64 * GIB, 1 },
		{ 8, "750000 100000", 64 * GIB, 8 },
		{ 8, "9999999999999999999 1", 64 * GIB, 8 },
		{ 8, "200000 0", 64 * GIB, 8 },
		{ 8, "0 100000", 64 * GIB, 1 },
		{ 8, "", 64 * GIB, 8 },
		{ 8, "200000 100000", GIB, 1 },
		{ 4096, NULL, UINT64_MAX, 4096 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(iommu_nr_threads(rows[i].cpus, rows[i].cpu_max, rows[i].bytes), rows[i].want, "row %zu", i);
}

/* --- giving the memory back --- */

static pthread_t loop;
static const struct sys_ops *fake_ops;
static struct sys_ops noting_ops;
static atomic_bool by_loop, at_once;
static atomic_uint nr_failing; /* so many calls from now on */

static int noting_munmap(struct sys *sys, void *addr, size_t len)
{
	if (pthread_equal(pthread_self(), loop))
		by_loop = true;
	if (len > 256 * MIB)
		at_once = true;
	if (nr_failing) {
		nr_failing--;
		return -ENOMEM;
	}
	return fake_ops->munmap(sys, addr, len);
}

static void note_munmap(void)
{
	loop = pthread_self();
	fake_ops = fake_sys(fake)->ops;
	noting_ops = *fake_ops;
	noting_ops.munmap = noting_munmap;
	fake_sys(fake)->ops = &noting_ops;
}

/* Seconds of work where the range is large and its pages are small: not the loop's, and not in one piece. */
Test(pieces, memory_is_given_back_by_threads)
{
	int fd;

	start(2, 0);
	note_munmap();
	fake_slow_populate(fake, 1);
	fd = memory(3 * GIB);
	cr_assert_eq(map_fd(fd, 4 * GIB, 3 * GIB, 0, RW), 0);
	cr_assert_eq(settle(), 0);
	let_go();
	cr_assert_eq(map_fd(fd, 8 * GIB, 3 * GIB, 0, RW), 0);
	cr_assert_eq(unmap(8 * GIB, 3 * GIB), 0, "before it has landed");
	let_go();
	cr_assert_not(by_loop);
	cr_assert_not(at_once);
	close(fd);
	stop();
}

/* At vm.max_map_count a mapping cannot be cut; where the kernel refuses that it goes as a whole, too, it is not forgotten. */
Test(pieces, memory_that_cannot_be_given_back)
{
	int fd;

	start(1, 0);
	note_munmap();
	fake_slow_populate(fake, 1);
	fd = memory(GIB);
	nr_failing = 1;
	cr_assert_eq(map_fd(fd, 4 * GIB, GIB, 0, RW), 0);
	cr_assert_eq(settle(), 0);
	let_go();
	cr_assert(at_once);
	nr_failing = 2;
	cr_assert_eq(map_fd(fd, 8 * GIB, GIB, 0, RW), 0);
	while (iommu_process(iommu, &err) == 0)
		cr_assert_eq(poll(&(struct pollfd){ .fd = iommu_fd(iommu), .events = POLLIN }, 1, 10000), 1);
	cr_assert_str_eq(err.code, "iommu.munmap-failed");
	cr_assert_eq(fake_mapped(fake), GIB);
	cr_assert_not(stats().degraded, "the IOMMU has what it should");
	cr_assert(iommu_timeout_ms(iommu) > 900 && iommu_timeout_ms(iommu) <= 1001);
	nr_failing = 2;
	for (unsigned i = 0; fake_mapped(fake); i++) {
		cr_assert_lt(i, 10000, "not tried again");
		fake_advance(fake, 1000000);
		cr_assert_eq(iommu_process(iommu, &err), 0, "said once");
		usleep(1000); /* the thread is not waited for, and a try that fails makes no difference to see */
	}
	cr_assert_eq(nr_failing, 0);
	cr_assert_eq(iommu_process(iommu, &err), 0);
	cr_assert_eq(iommu_timeout_ms(iommu), -1);
	close(fd);
	stop();
}

Test(pieces, memory_that_cannot_be_given_back_without_threads)
{
	start(0, 0);
	note_munmap();
	nr_failing = 2;
	cr_assert_eq(map(0, MIB, 0, RW), 0);
	cr_assert_eq(iommu_process(iommu, &err), -ENOMEM);
	nr_failing = 1;
	fake_advance(fake, 1000000);
	cr_assert_eq(iommu_process(iommu, &err), 0);
	cr_assert_eq(fake_mapped(fake), MIB);
	stop();
}

/* --- pieces --- */

Test(pieces, cover_exactly_the_range)
{
	static const struct {
		uint64_t first, last, page, want;
	} rows[] = {
		{ 0, PAGE - 1, PAGE, 1 },
		{ 2 * MIB - PAGE, 2 * MIB + PAGE - 1, PAGE, 1 },
		{ MIB, 4 * MIB - 1, PAGE, 1 },
		{ 0, 0xa0000 - 1, PAGE, 1 },
		{ 0xc0000, 64 * MIB - 1, PAGE, 2 },
		{ MIB, 64 * MIB - 1, PAGE, 2 },
		{ MIB, 64 * MIB + PAGE - 1, PAGE, 3 },
		{ 0, 256 * MIB - 1, PAGE, 1 },
		{ 0, 256 * MIB, PAGE, 2 },
		{ MIB, GIB - 1, PAGE, 5 },
		{ 4 * GIB, 8 * GIB - 1, PAGE, 16 },
		{ 4 * GIB, 8 * GIB - 1, GIB, 4 },
		{ 4 * GIB, 1028 * GIB - 1, PAGE, 4096 },
		{ UINT64_MAX - PAGE + 1, UINT64_MAX, PAGE, 1 },
		{ UINT64_MAX - GIB + 1, UINT64_MAX, PAGE, 4 },
		{ UINT64_MAX - 4 * MIB - PAGE + 1, UINT64_MAX, PAGE, 2 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(iommu_entries_needed(rows[i].first, rows[i].last, rows[i].page), rows[i].want, "row %zu: %ju", i,
			     (uintmax_t)iommu_entries_needed(rows[i].first, rows[i].last, rows[i].page));
	start(0, 0);
	for (uint64_t first = 0; first < 6 * MIB; first += 0x61000)
		for (uint64_t size = PAGE; first + size <= 64 * MIB; size += 0x3a5000) {
			cr_assert_eq(map(first, size, 0, RW), 0, "%s", err.msg);
			cr_assert_eq(fake_pinned(fake), size);
			cr_assert_eq(fake_iommu_mappings(fake), iommu_entries_needed(first, first + size - 1, PAGE));
			cr_assert_eq(stats().nr_entries, fake_iommu_mappings(fake));
			cr_assert(dma(first, true) && dma(first + size - 1, true) && !dma(first + size, true));
			cr_assert(!first || !dma(first - 1, true));
			cr_assert_eq(unmap(first, size), 0);
			cr_assert_eq(fake_iommu_mappings(fake), 0);
		}
	stop();
}

Test(pieces, lead_to_the_right_bytes)
{
	char *mine, want[16];

	start(2, 0);
	mine = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, guest_fd, 0);
	for (uint64_t at = 0; at < 64 * MIB; at += 64 * 1024)
		snprintf(mine + at, 16, "%ju", (uintmax_t)at);
	cr_assert_eq(map(MIB, 48 * MIB, 16 * MIB, RW), 0);
	cr_assert_eq(settle(), 0);
	for (uint64_t at = 0; at < 48 * MIB; at += 64 * 1024) {
		snprintf(want, sizeof(want), "%ju", (uintmax_t)(16 * MIB + at));
		cr_assert_str_eq(dma(MIB + at, false), want);
	}
	munmap(mine, 64 * MIB);
	stop();
}

/* --- the park --- */

/* The same again costs nothing; until then it is out of the VMM's sight. */
Test(pieces, unmapped_and_mapped_again)
{
	start(1, 0);
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	cr_assert_eq(map(0, 64 * MIB, 0, RW), 0);
	cr_assert_eq(settle(), 0);
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(unmap(0, 64 * MIB), 0);
		cr_assert_eq(stats().bytes, 0);
		cr_assert_eq(stats().bytes_parked, 64 * MIB);
		cr_assert_eq(unmap(0, 64 * MIB), -ENOENT);
		cr_assert_eq(map(0, 64 * MIB, 0, RW), 0);
		cr_assert_eq(stats().bytes_parked, 0);
		cr_assert_eq(stats().bytes_pending, 0);
	}
	cr_assert_eq(stats().bytes_mapped_total, 64 * MIB);
	stop();
}

/* As firmware does: borders in the first megabyte move, all of RAM is unmapped and mapped each time. */
Test(pieces, firmware_flips_its_ranges)
{
	start(2, 64 * MIB);
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	for (int i = 0; i < 200; i++) {
		uint64_t end = 0xc0000 + (uint64_t)(i % 16) * 0x4000;

		cr_assert_eq(map(0, end, 0, RW), 0, "%s", err.msg);
		cr_assert_eq(map(end, 0x4000, end, IOMMU_PROT_READ), 0, "%s", err.msg);
		cr_assert_eq(map(end + 0x4000, 64 * MIB - end - 0x4000, end + 0x4000, RW), 0, "%s", err.msg);
		cr_assert_eq(settle(), 0);
		cr_assert_null(dma(end, true), "read-only is read-only at once");
		cr_assert(dma(end, false) && dma(end + 0x4000, true) && dma(end - 1, true));
		cr_assert_eq(unmap(0, end), 0);
		cr_assert_eq(unmap(end, 64 * MIB - end), 0);
	}
	cr_assert_leq(stats().bytes_mapped_total, 62 * MIB + 200 * 2 * MIB, "all above 2 MiB was pinned once");
	cr_assert_not(stats().degraded);
	cr_assert_eq(iommu_set_quiet(iommu, false, &err), 0);
	cr_assert_eq(fake_iommu_mappings(fake), 0);
	stop();
}

Test(pieces, nothing_is_parked_when_the_device_may_do_dma)
{
	start(1, 0);
	cr_assert_eq(map(0, 32 * MIB, 0, RW), 0);
	cr_assert_eq(settle(), 0);
	cr_assert_eq(unmap(0, 32 * MIB), 0);
	cr_assert_eq(fake_iommu_mappings(fake), 0, "not quiet: at once");
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	cr_assert_eq(map(0, 32 * MIB, 0, RW), 0);
	cr_assert_eq(settle(), 0);
	cr_assert_eq(unmap(0, 32 * MIB), 0);
	cr_assert_neq(fake_iommu_mappings(fake), 0);
	cr_assert_eq(iommu_set_quiet(iommu, false, &err), 0);
	cr_assert_eq(fake_iommu_mappings(fake), 0, "before it may");
	stop();
}

Test(pieces, what_cannot_be_unmapped_keeps_the_device_quiet)
{
	start(0, 0);
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	cr_assert_eq(map(0, MIB, 0, RW), 0);
	cr_assert_eq(unmap(0, MIB), 0);
	fake_fail_at(fake, 1, -EIO);
	cr_assert_eq(iommu_set_quiet(iommu, false, &err), -EIO);
	cr_assert_str_eq(err.code, "iommu.unmap-failed");
	cr_assert(stats().degraded);
	fake_fail_at(fake, 0, 0);
	cr_assert_eq(iommu_set_quiet(iommu, false, &err), 0);
	cr_assert_eq(fake_iommu_mappings(fake), 0);
	cr_assert_eq(map(0, MIB, 0, RW), 0);
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	cr_assert_eq(unmap(0, MIB), 0);
	fake_vfio_lie(fake_vfio_current(), true);
	cr_assert_eq(iommu_set_quiet(iommu, false, &err), -EIO);
	cr_assert_str_eq(err.code, "iommu.unmap-mismatch");
	fake_vfio_lie(fake_vfio_current(), false);
	stop();
}

Test(pieces, parked_for_a_second)
{
	start(1, 0);
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	cr_assert_eq(iommu_timeout_ms(iommu), -1);
	cr_assert_eq(map(0, 8 * MIB, 0, RW), 0);
	cr_assert_eq(settle(), 0);
	cr_assert_eq(unmap(0, 8 * MIB), 0);
	cr_assert(iommu_timeout_ms(iommu) > 900 && iommu_timeout_ms(iommu) <= 1001);
	fake_advance(fake, 900000);
	cr_assert_eq(iommu_process(iommu, &err), 0);
	cr_assert_neq(fake_iommu_mappings(fake), 0);
	fake_advance(fake, 100000);
	cr_assert_eq(iommu_timeout_ms(iommu), 0);
	cr_assert_eq(iommu_process(iommu, &err), 0);
	cr_assert_eq(fake_iommu_mappings(fake), 0);
	cr_assert_eq(stats().bytes_parked, 0);
	cr_assert_eq(iommu_timeout_ms(iommu), -1);
	stop();
}

/* Something else at the same addresses: other memory, other rights, another border. */
Test(pieces, only_the_same_is_taken_back)
{
	char *mine;
	int other;

	start(1, 0);
	other = memory(64 * MIB);
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	mine = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
	strcpy(mine, "other");
	strcpy(mine + 16 * MIB, "further");
	cr_assert_eq(map(0, 16 * MIB, 0, RW), 0);
	cr_assert_eq(settle(), 0);
	cr_assert_eq(unmap(0, 16 * MIB), 0);
	cr_assert_eq(map_fd(other, 0, 16 * MIB, 0, RW), 0, "another file");
	cr_assert_eq(settle(), 0);
	cr_assert_str_eq(dma(0, true), "other");
	cr_assert_eq(unmap(0, 16 * MIB), 0);
	cr_assert_eq(map_fd(other, 0, 16 * MIB, 16 * MIB, RW), 0, "another offset");
	cr_assert_eq(settle(), 0);
	cr_assert_str_eq(dma(0, true), "further");
	cr_assert_eq(unmap(0, 16 * MIB), 0);
	cr_assert_eq(map_fd(other, 0, 16 * MIB, 16 * MIB, IOMMU_PROT_READ), 0, "other rights");
	cr_assert_eq(settle(), 0);
	cr_assert_null(dma(0, true));
	cr_assert_eq(unmap(0, 16 * MIB), 0);
	cr_assert_eq(map_fd(other, MIB, 4 * MIB, 0, RW), 0, "a part of it");
	cr_assert_eq(settle(), 0);
	cr_assert_null(dma(0, false), "what was in the way is gone");
	cr_assert_null(dma(5 * MIB, false));
	cr_assert_str_eq(dma(MIB, true), "other");
	cr_assert_eq(stats().bytes_parked, 0);
	munmap(mine, 64 * MIB);
	close(other);
	stop();
}

/* What is pinned is no page of the file any more; that the file has more of them meanwhile does not matter. */
Test(pieces, a_hole_is_punched_while_parked)
{
	char *mine;

	start(1, 0);
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	mine = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, guest_fd, 0);
	memset(mine, 1, 16 * MIB);
	cr_assert_eq(map(0, 16 * MIB, 0, RW), 0);
	cr_assert_eq(settle(), 0);
	cr_assert_eq(unmap(0, 16 * MIB), 0);
	memset(mine + 16 * MIB, 1, 8 * MIB);
	cr_assert_eq(map(0, 16 * MIB, 0, RW), 0);
	cr_assert_eq(stats().bytes_mapped_total, 16 * MIB, "taken back");
	cr_assert_eq(unmap(0, 16 * MIB), 0);
	cr_assert_eq(fallocate(guest_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * MIB, PAGE), 0);
	cr_assert_eq(map(0, 16 * MIB, 0, RW), 0);
	cr_assert_eq(settle(), 0);
	cr_assert_eq(stats().bytes_mapped_total, 32 * MIB, "mapped anew");
	cr_assert_eq(unmap(0, 16 * MIB), 0);
	cr_assert_eq(map(0, 16 * MIB, 0, RW), 0);
	cr_assert_eq(stats().bytes_mapped_total, 32 * MIB, "known from now on");
	munmap(mine, 64 * MIB);
	stop();
}

/* A piece that a thread is at when the VMM unmaps it is parked as it is; one that fails there is nobody's loss. */
Test(pieces, parked_while_pending)
{
	start(1, 0);
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	fake_slow_populate(fake, 100000);
	cr_assert_eq(map(0, 16 * MIB, 0, RW), 0);
	cr_assert_eq(map(GIB, 16 * MIB, 16 * MIB, RW), 0);
	usleep(20000); /* the thread has begun with the first: any moment in 100 ms will do */
	cr_assert_eq(unmap(0, 16 * MIB), 0);
	cr_assert_eq(unmap(GIB, 16 * MIB), 0);
	cr_assert_eq(map(0, 16 * MIB, 0, RW), 0);
	cr_assert_eq(settle(), 0);
	cr_assert_eq(stats().bytes_mapped_total, 16 * MIB);
	cr_assert_eq(fake_pinned(fake), 16 * MIB);
	cr_assert_eq(unmap(0, 16 * MIB), 0);
	cr_assert_eq(iommu_set_quiet(iommu, false, &err), 0);
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	fake_set_memlock(fake, 0);
	cr_assert_eq(map(0, 16 * MIB, 0, RW), 0);
	usleep(20000);
	cr_assert_eq(unmap(0, 16 * MIB), 0);
	cr_assert_eq(settle(), 0);
	cr_assert_not(stats().degraded);
	cr_assert_eq(stats().bytes_parked, 0, "it is in no park");
	stop();
}

/* What is parked is locked, too: it goes before the limit is reached. */
Test(pieces, the_park_does_not_cost_the_limit)
{
	start(0, 32 * MIB);
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	cr_assert_eq(map(0, 32 * MIB, 0, RW), 0);
	cr_assert_eq(unmap(0, 32 * MIB), 0);
	fake_set_memlock(fake, 40 * MIB);
	cr_assert_eq(map(GIB, 32 * MIB, 32 * MIB, RW), 0, "%s", err.msg);
	stop();
}

Test(pieces, the_park_does_not_cost_entries)
{
	struct iommu_config config = { .name = "vf " VF };

	start(0, 0);
	iommu_free(iommu);
	vdev_close(vdev);
	fake_vfio_set_dma_limit(fake_vfio_current(), 4);
	cr_assert_eq(vdev_open(fake_sys(fake), VF, &vdev, &err), 0);
	config.fd = vdev_get_fds(vdev).container;
	cr_assert_eq(iommu_new(fake_sys(fake), &iommu_type1, &config, &iommu, &err), 0);
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(map(i * MIB, MIB, 0, RW), 0);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(unmap(i * MIB, MIB), 0);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(map((8 + i) * MIB, MIB, 0, RW), 0, "%s", err.msg);
	cr_assert_eq(map(16 * MIB, MIB, 0, RW), -ENOSPC);
	cr_assert(strstr(err.msg, "needs 1 of") && strstr(err.msg, "0 are left"), "%s", err.msg);
	stop();
}

static unsigned nr_unmaps;

static int counting_ioctl(struct sys *sys, int fd, unsigned long request, void *arg)
{
	nr_unmaps += request == VFIO_IOMMU_UNMAP_DMA;
	return fake_ops->ioctl(sys, fd, request, arg);
}

/* @nr ranges of a page, each so far from the one before, in order or against it; all unmapped again. */
static void park_many(unsigned nr, uint64_t step, bool up)
{
	if (fake_sys(fake)->ops != &noting_ops) {
		fake_ops = fake_sys(fake)->ops;
		noting_ops = *fake_ops;
		noting_ops.ioctl = counting_ioctl;
		fake_sys(fake)->ops = &noting_ops;
	}
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	for (unsigned i = 0; i < nr; i++)
		cr_assert_eq(map(i * step, PAGE, i * PAGE, RW), 0, "%s", err.msg);
	for (unsigned i = 0; i < nr; i++)
		cr_assert_eq(unmap((up ? i : nr - 1 - i) * step, PAGE), 0);
	cr_assert_eq(fake_iommu_mappings(fake), nr);
	nr_unmaps = 0;
}

Test(pieces, neighbours_in_the_park_go_together)
{
	for (int up = 0; up < 2; up++) {
		start(0, 0);
		park_many(1000, PAGE, up);
		cr_assert_eq(iommu_set_quiet(iommu, false, &err), 0);
		cr_assert_eq(nr_unmaps, 1);
		cr_assert_eq(fake_iommu_mappings(fake), 0);
		cr_assert_eq(stats().nr_entries, 0);
		stop();
	}
}

/* What is no neighbour takes a call each: so many in a turn, and the device has to stay quiet until then. */
Test(pieces, a_park_is_emptied_in_turns)
{
	unsigned turns = 1;

	start(0, 0);
	park_many(1000, 2 * PAGE, true);
	while (iommu_set_quiet(iommu, false, &err) == -EAGAIN) {
		cr_assert_leq(nr_unmaps, 64);
		nr_unmaps = 0;
		cr_assert_eq(iommu_timeout_ms(iommu), 0);
		cr_assert_eq(iommu_process(iommu, &err), 0);
		cr_assert_leq(nr_unmaps, 64);
		nr_unmaps = 0;
		turns++;
	}
	cr_assert_eq(turns, 1 + 1000 / 128 + 1);
	cr_assert_eq(fake_iommu_mappings(fake), 0);
	cr_assert_eq(iommu_timeout_ms(iommu), -1);
	park_many(1000, 2 * PAGE, true);
	fake_advance(fake, 1000000);
	for (turns = 0; stats().bytes_parked; turns++) {
		cr_assert_eq(iommu_timeout_ms(iommu), 0, "due, in turns as well");
		cr_assert_eq(iommu_process(iommu, &err), 0);
	}
	cr_assert_eq(turns, 16);
	stop();
}

Test(pieces, unmap_all_parks_nothing)
{
	uint64_t done;

	start(1, 0);
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	cr_assert_eq(map(0, 16 * MIB, 0, RW), 0);
	cr_assert_eq(settle(), 0);
	cr_assert_eq(unmap(0, 16 * MIB), 0);
	cr_assert_eq(map(GIB, 16 * MIB, 16 * MIB, RW), 0);
	cr_assert_eq(iommu_unmap_all(iommu, &done, &err), 0);
	cr_assert_eq(done, 16 * MIB);
	cr_assert_eq(fake_iommu_mappings(fake), 0);
	stop();
}

Test(pieces, files_that_memory_is_of)
{
	struct iommu_file files[IOMMU_FILES_MAX];
	int other;

	start(0, 0);
	other = memory(64 * MIB);
	cr_assert_eq(iommu_get_files(iommu, files), 0);
	cr_assert_eq(map(0, MIB, 0, RW), 0);
	cr_assert_eq(map(MIB, MIB, MIB, RW), 0);
	cr_assert_eq(map_fd(other, 2 * MIB, MIB, 0, RW), 0);
	cr_assert_eq(iommu_get_files(iommu, files), 2);
	cr_assert(files[0].ino != files[1].ino);
	cr_assert_eq(unmap(0, MIB), 0);
	cr_assert_eq(iommu_get_files(iommu, files), 2, "another range is of it");
	cr_assert_eq(unmap(MIB, MIB), 0);
	cr_assert_eq(iommu_get_files(iommu, files), 1);
	cr_assert_eq(iommu_unmap_all(iommu, NULL, &err), 0);
	cr_assert_eq(iommu_get_files(iommu, files), 0);
	close(other);
	stop();
}

/* A file too many is refused before anything is mapped: who compares files with other guests' must know all of them. */
Test(pieces, files_at_and_above_the_limit)
{
	int fds[IOMMU_FILES_MAX + 1];
	struct iommu_file files[IOMMU_FILES_MAX];

	start(0, 0);
	for (unsigned i = 0; i <= IOMMU_FILES_MAX; i++) {
		fds[i] = memory(MIB);
		cr_assert_eq(map_fd(fds[i], i * MIB, MIB, 0, RW), i < IOMMU_FILES_MAX ? 0 : -ENOSPC, "%s", err.msg);
	}
	cr_assert_str_eq(err.code, "iommu.files-limit");
	cr_assert_eq(fake_iommu_mappings(fake), IOMMU_FILES_MAX);
	cr_assert_eq(map_fd(fds[3], 100 * MIB, MIB, 0, RW), 0, "a file that is known");
	cr_assert_eq(unmap(3 * MIB, MIB), 0);
	cr_assert_eq(iommu_get_files(iommu, files), IOMMU_FILES_MAX);
	cr_assert_eq(unmap(100 * MIB, MIB), 0);
	cr_assert_eq(map_fd(fds[IOMMU_FILES_MAX], 3 * MIB, MIB, 0, RW), 0, "there is room again");
	for (unsigned i = 0; i <= IOMMU_FILES_MAX; i++)
		close(fds[i]);
	stop();
}
