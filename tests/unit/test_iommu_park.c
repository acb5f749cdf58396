/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the VMM has unmapped and the IOMMU has still: taken back, emptied in turns, and never what the VMM has been told is unmapped. */
#include "iommu_test.h"

/* The same again costs nothing; until then it is out of the VMM's sight. */
Test(park, unmapped_and_mapped_again)
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
Test(park, firmware_flips_its_ranges)
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
		/* and with all of it RAM, in one piece from 0 on */
		cr_assert_eq(map(0, 64 * MIB, 0, RW), 0, "%s", err.msg);
		cr_assert_eq(settle(), 0);
		cr_assert_eq(unmap(0, 64 * MIB), 0);
	}
	cr_assert_leq(stats().bytes_mapped_total, 62 * MIB + 200 * 4 * MIB, "all above 2 MiB was pinned once");
	cr_assert_not(stats().degraded);
	cr_assert_eq(iommu_set_quiet(iommu, false, &err), 0);
	cr_assert_eq(fake_iommu_mappings(fake), 0);
	stop();
}

Test(park, nothing_is_parked_when_the_device_may_do_dma)
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

Test(park, what_cannot_be_unmapped_keeps_the_device_quiet)
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

Test(park, parked_for_a_second)
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
Test(park, only_the_same_is_taken_back)
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
Test(park, a_hole_is_punched_while_parked)
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
Test(park, parked_while_pending)
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
Test(park, the_park_does_not_cost_the_limit)
{
	start(0, 32 * MIB);
	cr_assert_eq(iommu_set_quiet(iommu, true, &err), 0);
	cr_assert_eq(map(0, 32 * MIB, 0, RW), 0);
	cr_assert_eq(unmap(0, 32 * MIB), 0);
	fake_set_memlock(fake, 40 * MIB);
	cr_assert_eq(map(GIB, 32 * MIB, 32 * MIB, RW), 0, "%s", err.msg);
	stop();
}

Test(park, the_park_does_not_cost_entries)
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

Test(park, neighbours_in_the_park_go_together)
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
Test(park, a_park_is_emptied_in_turns)
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

Test(park, unmap_all_parks_nothing)
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

Test(park, files_that_memory_is_of)
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
Test(park, files_at_and_above_the_limit)
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
