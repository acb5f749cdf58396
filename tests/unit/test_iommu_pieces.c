/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the IOMMU holds while threads map: pending, failed, cut into pieces; and that this process keeps none of it. */
#include "iommu_test.h"

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
	cr_assert_eq(stats().nr_entries, 2);
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
		{ 0, 256 * MIB - 1, PAGE, 2 },
		{ 0, 256 * MIB, PAGE, 3 },
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
