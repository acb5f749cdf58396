/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One test per rule of iommu/dma_check.c: its code, its exact errno, and that the limit itself still passes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../iommu/iommu_internal.h"
#include "err.h"

#define PAGE UINT64_C(4096)
#define FILE_SIZE (16 * PAGE)

static struct iommu_caps caps;
static struct range_map live;
static struct range_node live_node;
static struct dma_limits lim;
static struct iommu_map_request good;
static struct dma_backing backing;
static struct err err;

static int memfd(uint64_t size)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

static void setup(void)
{
	caps = (struct iommu_caps){
		.page_size = PAGE,
		.apertures = { { 0, 0xfedfffff }, { 0xfef00000, 0x7fffffffff } },
		.nr_apertures = 2,
		.max_entries = 10,
	};
	live = (struct range_map){ 0 };
	live_node = (struct range_node){ .first = 0x100000, .last = 0x1fffff };
	range_map_insert(&live, &live_node);
	lim = (struct dma_limits){
		.caps = &caps, .live = &live, .max_bytes = 1 << 30, .entries = 1, .max_entries = 10, .max_ranges = 10
	};
	good = (struct iommu_map_request){ .iova = 0x200000, .size = 2 * PAGE, .prot = IOMMU_PROT_READ | IOMMU_PROT_WRITE };
	good.fd = memfd(FILE_SIZE);
}

static void teardown(void)
{
	close(good.fd);
}

TestSuite(dma_check, .init = setup, .fini = teardown);

static void passes(struct iommu_map_request req)
{
	cr_assert_eq(dma_check(&lim, &req, &backing, &err), 0, "%s: %s", err.code, err.msg);
}

static void fails(struct iommu_map_request req, int num, const char *code)
{
	int r = dma_check(&lim, &req, &backing, &err);

	cr_assert_eq(r, num, "%d instead of %d: %s", r, num, err.msg);
	cr_assert_str_eq(err.code, code);
}

#define WITH(field, value)                                                                                                       \
	({                                                                                                                       \
		struct iommu_map_request req_ = good;                                                                            \
		req_.field = (value);                                                                                            \
		req_;                                                                                                            \
	})

Test(dma_check, good)
{
	passes(good);
	cr_assert_eq(backing.page_size, PAGE);
	cr_assert_not(backing.sealed);
}

Test(dma_check, size_zero)
{
	fails(WITH(size, 0), -EINVAL, "iommu.size-zero");
}

Test(dma_check, unaligned)
{
	fails(WITH(size, PAGE + 1), -EINVAL, "iommu.unaligned");
	fails(WITH(iova, 0x200800), -EINVAL, "iommu.unaligned");
	fails(WITH(offset, 512), -EINVAL, "iommu.unaligned");
	caps.page_size = 65536;
	fails(good, -EINVAL, "iommu.unaligned");
}

Test(dma_check, wrap)
{
	struct iommu_map_request req = good;

	req.iova = UINT64_MAX - PAGE + 1;
	fails(req, -EOVERFLOW, "iommu.wrap");
	/* the last page of the address space is no wrap: it is refused because no IOMMU reaches there */
	req.size = PAGE;
	fails(req, -ERANGE, "iommu.out-of-range");
	caps.nr_apertures = 0;
	passes(req);
}

Test(dma_check, prot_none)
{
	fails(WITH(prot, 0), -EINVAL, "iommu.prot-none");
	fails(WITH(prot, 4), -EINVAL, "iommu.prot-none");
	passes(WITH(prot, IOMMU_PROT_WRITE));
}

Test(dma_check, map_overlap)
{
	fails(WITH(iova, 0x100000), -EEXIST, "iommu.map-overlap");
	fails(WITH(iova, 0x1ff000), -EEXIST, "iommu.map-overlap");
	fails(WITH(iova, 0xff000), -EEXIST, "iommu.map-overlap");
	fails(((struct iommu_map_request){ .iova = 0, .size = 0x300000, .prot = 1, .fd = good.fd }), -EEXIST,
	      "iommu.map-overlap");
	/* neighbours do not overlap */
	passes(WITH(iova, 0x100000 - 2 * PAGE));
	passes(WITH(iova, 0x200000));
}

Test(dma_check, ranges_limit)
{
	lim.max_ranges = 1;
	fails(good, -ENOSPC, "iommu.ranges-limit");
	fails(WITH(fd, -1), -ENOSPC, "iommu.ranges-limit");
	lim.max_ranges = 2;
	passes(good);
}

Test(dma_check, msi_window)
{
	caps.nr_apertures = 0; /* a kernel that does not leave the window out */
	fails(WITH(iova, 0xfee00000), -ERANGE, "iommu.msi-window");
	fails(WITH(iova, 0xfeeff000), -ERANGE, "iommu.msi-window");
	fails(WITH(iova, 0xfedff000), -ERANGE, "iommu.msi-window");
	passes(WITH(iova, 0xfee00000 - 2 * PAGE));
	passes(WITH(iova, 0xfef00000));
}

Test(dma_check, out_of_range)
{
	fails(WITH(iova, 0x7ffffff000), -ERANGE, "iommu.out-of-range");
	passes(WITH(iova, 0x7fffffe000));
	caps.apertures[1].first = 0xff000000;
	fails(WITH(iova, 0xfeffe000), -ERANGE, "iommu.out-of-range");
	fails(WITH(iova, 0xfefff000), -ERANGE, "iommu.out-of-range");
}

Test(dma_check, bytes_limit)
{
	lim.max_bytes = 4 * PAGE;
	lim.bytes = 2 * PAGE;
	passes(good);
	lim.bytes = 3 * PAGE;
	fails(good, -EDQUOT, "iommu.bytes-limit");
	lim.bytes = 0;
	lim.max_bytes = PAGE;
	fails(good, -EDQUOT, "iommu.bytes-limit");
	lim.max_bytes = 0; /* none */
	lim.bytes = UINT64_MAX;
	passes(good);
}

Test(dma_check, entries_limit)
{
	lim.entries = 9;
	passes(good);
	lim.entries = 10;
	fails(good, -ENOSPC, "iommu.entries-limit");
}

Test(dma_check, fd_not_memory)
{
	int pipe_fds[2];
	int fd;

	cr_assert_eq(pipe(pipe_fds), 0);
	fails(WITH(fd, pipe_fds[0]), -EINVAL, "iommu.fd-not-memory");
	fails(WITH(fd, eventfd(0, 0)), -EINVAL, "iommu.fd-not-memory");
	fd = open("/proc/self/mem", O_RDWR);
	cr_assert(fd >= 0);
	fails(WITH(fd, fd), -EINVAL, "iommu.fd-not-memory");
	fails(WITH(fd, open("/dev/zero", O_RDWR)), -EINVAL, "iommu.fd-not-memory");
	fails(WITH(fd, open("/dev/shm", O_RDONLY | O_DIRECTORY)), -EINVAL, "iommu.fd-not-memory");
	fails(WITH(fd, 999), -EINVAL, "iommu.fd-not-memory");
}

/* A file of a FUSE server is refused without a question to that server, which need not answer: asking is death here. */
Test(dma_check, foreign_file_system_is_not_asked)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	struct iommu_map_request req = good;
	int status;
	pid_t pid;

	req.fd = open("/proc/self/mem", O_RDWR);
	cr_assert(ctx && req.fd >= 0);
	pid = fork();
	if (pid == 0) {
		if (seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(fstat), 0) < 0 ||
		    seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(newfstatat), 0) < 0 ||
		    seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(statx), 0) < 0 ||
		    seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(fstatfs), 0) < 0 || seccomp_load(ctx) < 0)
			_exit(2);
		_exit(dma_check(&lim, &req, &backing, &err) == -EINVAL ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", status);
	seccomp_release(ctx);
	close(req.fd);
}

Test(dma_check, fd_access)
{
	char path[64];
	int ro, wo, o_path;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", good.fd);
	ro = open(path, O_RDONLY);
	wo = open(path, O_WRONLY);
	o_path = open(path, O_PATH);
	cr_assert(ro >= 0 && wo >= 0 && o_path >= 0);
	fails(WITH(fd, ro), -EACCES, "iommu.fd-access");
	fails(WITH(fd, wo), -EACCES, "iommu.fd-access");
	fails(((struct iommu_map_request){ .iova = 0x200000, .size = PAGE, .prot = IOMMU_PROT_READ, .fd = o_path }), -EINVAL,
	      "iommu.fd-not-memory");
	passes(((struct iommu_map_request){ .iova = 0x200000, .size = PAGE, .prot = IOMMU_PROT_READ, .fd = ro }));
}

Test(dma_check, fd_short)
{
	fails(WITH(offset, FILE_SIZE - PAGE), -ENXIO, "iommu.fd-short");
	fails(WITH(offset, FILE_SIZE + PAGE), -ENXIO, "iommu.fd-short");
	fails(WITH(offset, UINT64_MAX - PAGE + 1), -ENXIO, "iommu.fd-short");
	passes(WITH(offset, FILE_SIZE - 2 * PAGE));
}

Test(dma_check, seal_is_noted)
{
	cr_assert_eq(fcntl(good.fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	passes(good);
	cr_assert(backing.sealed);
}

/* Without a descriptor a section is recorded: where the IOMMU could map it does not matter, that it is one range does. */
Test(dma_check, unbacked)
{
	struct iommu_map_request req = { .iova = 0xfee00000, .size = PAGE, .prot = IOMMU_PROT_READ, .fd = -1 };

	lim.entries = 10;
	lim.max_bytes = 1;
	passes(req);
	req.iova = UINT64_C(1) << 50;
	passes(req);
	req.iova = 0x100000;
	fails(req, -EEXIST, "iommu.map-overlap");
	req.size = 0;
	fails(req, -EINVAL, "iommu.size-zero");
}
