/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_dma BDF [MIB [SECTIONS [ROUNDS]]]: guest memory into the IOMMU and out again, by a bare loop of the two ioctls and by
 * iommu_map()/iommu_unmap(), in turn; medians as JSON. The VF is to be bound to vfio-pci. Needs root.
 *   hot      memory that is there already: what the checks and the account cost. With threads, as gangway-device has it, and without
 *   cold     memory that nobody has touched yet: GiB/s with 1 thread and with 2, beside the kernel's own faulting while it pins
 *   answer   how long the VMM waits for its answer, for 4 GiB
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "iommu.h"
#include "sys.h"
#include "vdev.h"

#define ROUNDS_MAX 101
#define COLD_ROUNDS 5
#define IOVA_BASE UINT64_C(0x100000000)
#define ANSWER_BYTES (UINT64_C(4) << 30)

struct bench {
	struct sys *sys;
	struct iommu *iommu;
	int container, memfd;
	uint64_t section;
	unsigned nr_sections;
};

static void die(const char *what, int r, const struct err *err)
{
	fprintf(stderr, "bench_dma: %s: %s\n", what, err && err->num ? err->msg : strerror(-r));
	exit(1);
}

static uint64_t now_us(struct bench *b)
{
	return b->sys->ops->now_us(b->sys);
}

static int memory(uint64_t bytes, bool hot)
{
	int fd = memfd_create("bench", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 || (hot && fallocate(fd, 0, 0, (off_t)bytes) < 0))
		die("memfd", -errno, NULL);
	return fd;
}

/* --- one round: microseconds until all is mapped, until all is unmapped, and of processor time until the process has let go of it, too --- */

struct times {
	uint64_t map, both, cpu;
};

static uint64_t cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static struct times bare(struct bench *b)
{
	uint64_t t0 = now_us(b), t1, t2, cpu = cpu_us();
	void *mem[64];

	for (unsigned i = 0; i < b->nr_sections; i++) {
		struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
							.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
							.iova = IOVA_BASE + i * b->section,
							.size = b->section };

		mem[i] = mmap(NULL, b->section, PROT_READ | PROT_WRITE, MAP_SHARED, b->memfd, (off_t)(i * b->section));
		if (mem[i] == MAP_FAILED)
			die("mmap", -errno, NULL);
		map.vaddr = (uintptr_t)mem[i];
		if (ioctl(b->container, VFIO_IOMMU_MAP_DMA, &map) < 0)
			die("VFIO_IOMMU_MAP_DMA", -errno, NULL);
	}
	t1 = now_us(b);
	for (unsigned i = 0; i < b->nr_sections; i++) {
		struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap),
							    .iova = IOVA_BASE + i * b->section,
							    .size = b->section };

		if (ioctl(b->container, VFIO_IOMMU_UNMAP_DMA, &unmap) < 0)
			die("VFIO_IOMMU_UNMAP_DMA", -errno, NULL);
		munmap(mem[i], b->section);
	}
	t2 = now_us(b);
	return (struct times){ t1 - t0, t2 - t0, cpu_us() - cpu };
}

static void map_section(struct bench *b, unsigned i, uint64_t size)
{
	struct iommu_map_request req = { .iova = IOVA_BASE + i * size,
					 .size = size,
					 .offset = i * size,
					 .prot = IOMMU_PROT_READ | IOMMU_PROT_WRITE,
					 .fd = fcntl(b->memfd, F_DUPFD_CLOEXEC, 3) };
	struct err err;
	int r = iommu_map(b->iommu, &req, &err);

	if (r < 0)
		die("iommu_map", r, &err);
}

/* Until what was mapped is in the IOMMU and, with @all, no longer mapped in this process. */
static void settle(struct bench *b, bool all)
{
	struct pollfd p = { .fd = iommu_fd(b->iommu), .events = POLLIN };
	struct iommu_stats stats;
	struct err err;

	for (;;) {
		int r = iommu_process(b->iommu, &err);

		if (r < 0)
			die("iommu_process", r, &err);
		iommu_get_stats(b->iommu, &stats);
		if (!stats.bytes_pending && (!all || !stats.nr_areas))
			return;
		if (poll(&p, 1, -1) < 0)
			die("poll", -errno, NULL);
	}
}

static struct times ours(struct bench *b)
{
	uint64_t t0 = now_us(b), t1, t2, cpu = cpu_us();
	struct err err;

	for (unsigned i = 0; i < b->nr_sections; i++)
		map_section(b, i, b->section);
	settle(b, false);
	t1 = now_us(b);
	for (unsigned i = 0; i < b->nr_sections; i++) {
		int r = iommu_unmap(b->iommu, IOVA_BASE + i * b->section, b->section, NULL, &err);

		if (r < 0)
			die("iommu_unmap", r, &err);
	}
	t2 = now_us(b);
	settle(b, true);
	return (struct times){ t1 - t0, t2 - t0, cpu_us() - cpu };
}

/* --- what is measured --- */

static void use_threads(struct bench *b, unsigned nr)
{
	struct iommu_config config = { .name = "bench", .fd = b->container, .nr_threads = nr };
	struct err err;
	int r;

	b->iommu = iommu_free(b->iommu);
	r = iommu_new(b->sys, &iommu_type1, &config, &b->iommu, &err);
	if (r < 0)
		die("iommu_new", r, &err);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static uint64_t median(uint64_t *v, unsigned n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

struct ratios {
	double map, both, cpu; /* ours / bare */
};

static double ratio(uint64_t *ours, uint64_t *bare, unsigned n)
{
	return (double)median(ours, n) / (double)median(bare, n);
}

static struct ratios hot(struct bench *b, unsigned nr_threads, unsigned rounds)
{
	uint64_t map[2][ROUNDS_MAX], both[2][ROUNDS_MAX], cpu[2][ROUNDS_MAX];
	struct ratios ret;

	use_threads(b, nr_threads);
	b->memfd = memory(b->section * b->nr_sections, true);
	bare(b);
	ours(b); /* both once for nothing: page tables, caches */
	for (unsigned i = 0; i < rounds; i++) {
		for (unsigned k = 0; k < 2; k++) {
			struct times t = k ? bare(b) : ours(b);

			map[k][i] = t.map;
			both[k][i] = t.both;
			cpu[k][i] = t.cpu;
		}
	}
	close(b->memfd);
	ret.map = ratio(map[0], map[1], rounds);
	ret.both = ratio(both[0], both[1], rounds);
	ret.cpu = ratio(cpu[0], cpu[1], rounds);
	return ret;
}

/* GiB/s from untouched memory to mapped; 0 threads: the bare ioctl */
static double cold_once(struct bench *b, unsigned nr_threads)
{
	uint64_t us;

	use_threads(b, nr_threads);
	b->memfd = memory(b->section * b->nr_sections, false);
	us = nr_threads ? ours(b).map : bare(b).map;
	close(b->memfd);
	return (double)(b->section * b->nr_sections) / (1 << 30) / ((double)us / 1e6);
}

static void cold(struct bench *b, double ret[3])
{
	uint64_t kib[3][COLD_ROUNDS];

	for (unsigned i = 0; i < COLD_ROUNDS; i++)
		for (unsigned k = 0; k < 3; k++)
			kib[k][i] = (uint64_t)(cold_once(b, k) * (1 << 20));
	for (unsigned k = 0; k < 3; k++)
		ret[k] = (double)median(kib[k], COLD_ROUNDS) / (1 << 20);
}

/* Milliseconds until iommu_map() has answered, the worst of some. What has been mapped by then is given up again. */
static double answer(struct bench *b)
{
	uint64_t worst = 0;
	struct err err;

	use_threads(b, 2);
	b->memfd = memory(ANSWER_BYTES, false);
	for (unsigned i = 0; i < COLD_ROUNDS; i++) {
		uint64_t t0 = now_us(b), t;

		map_section(b, 0, ANSWER_BYTES);
		t = now_us(b) - t0;
		worst = t > worst ? t : worst;
		if (iommu_unmap(b->iommu, IOVA_BASE, ANSWER_BYTES, NULL, &err) < 0)
			die("iommu_unmap", err.num, &err);
	}
	close(b->memfd);
	return (double)worst / 1e3;
}

int main(int argc, char **argv)
{
	uint64_t bytes = (argc > 2 ? strtoull(argv[2], NULL, 10) : 256) << 20;
	struct bench b = { .nr_sections = argc > 3 ? (unsigned)atoi(argv[3]) : 4 };
	unsigned rounds = argc > 4 ? (unsigned)atoi(argv[4]) : 11;
	struct ratios inline_, threads;
	double rate[3];
	struct vdev *vdev;
	struct err err;
	int r;

	if (argc < 2 || !bytes || !b.nr_sections || b.nr_sections > 64 || !rounds || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: bench_dma BDF [MIB [SECTIONS (1-64) [ROUNDS (1-%d)]]]\n", ROUNDS_MAX);
		return 2;
	}
	b.section = bytes / b.nr_sections & ~UINT64_C(0x1fffff);
	b.sys = sys_linux_new("");
	r = b.sys ? vdev_open(b.sys, argv[1], &vdev, &err) : -ENOMEM;
	if (r < 0)
		die(argv[1], r, &err);
	b.container = vdev_get_fds(vdev).container;
	inline_ = hot(&b, 0, rounds);
	threads = hot(&b, 2, rounds);
	cold(&b, rate);
	printf("{\"mib\":%u,\"sections\":%u,\"rounds\":%u,", (unsigned)(bytes >> 20), b.nr_sections, rounds);
	printf("\"inline\":{\"map\":%.4f,\"both\":%.4f,\"cpu\":%.4f},", inline_.map, inline_.both, inline_.cpu);
	printf("\"threads\":{\"map\":%.4f,\"both\":%.4f,\"cpu\":%.4f},", threads.map, threads.both, threads.cpu);
	printf("\"cold_kernel\":%.3f,\"cold_1\":%.3f,\"cold_2\":%.3f,\"answer_ms\":%.2f}\n", rate[0], rate[1], rate[2],
	       answer(&b));
	iommu_free(b.iommu);
	vdev_close(vdev);
	sys_linux_free(b.sys);
	return 0;
}
