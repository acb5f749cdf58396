/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_dma BDF [MIB [SECTIONS [ROUNDS]]]: what the checks and the account of iommu/ cost. The same memory is mapped for the device and
 * unmapped by a bare loop of the two ioctls and through iommu_map()/iommu_unmap(), in turn; medians and their ratio as one JSON object.
 * The VF is to be bound to vfio-pci. Needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "err.h"
#include "iommu.h"
#include "sys.h"
#include "vdev.h"

#define ROUNDS_MAX 101
#define IOVA_BASE UINT64_C(0x100000000)

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

static uint64_t bare(struct bench *b)
{
	uint64_t t0 = b->sys->ops->now_us(b->sys);
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
	for (unsigned i = 0; i < b->nr_sections; i++) {
		struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap),
							    .iova = IOVA_BASE + i * b->section,
							    .size = b->section };

		if (ioctl(b->container, VFIO_IOMMU_UNMAP_DMA, &unmap) < 0)
			die("VFIO_IOMMU_UNMAP_DMA", -errno, NULL);
		munmap(mem[i], b->section);
	}
	return b->sys->ops->now_us(b->sys) - t0;
}

static uint64_t ours(struct bench *b)
{
	uint64_t t0 = b->sys->ops->now_us(b->sys);
	struct err err;
	int r;

	for (unsigned i = 0; i < b->nr_sections; i++) {
		struct iommu_map_request req = { .iova = IOVA_BASE + i * b->section,
						 .size = b->section,
						 .offset = i * b->section,
						 .prot = IOMMU_PROT_READ | IOMMU_PROT_WRITE,
						 .fd = fcntl(b->memfd, F_DUPFD_CLOEXEC, 3) };

		r = iommu_map(b->iommu, &req, &err);
		if (r < 0)
			die("iommu_map", r, &err);
	}
	for (unsigned i = 0; i < b->nr_sections; i++) {
		r = iommu_unmap(b->iommu, IOVA_BASE + i * b->section, b->section, NULL, &err);
		if (r < 0)
			die("iommu_unmap", r, &err);
	}
	return b->sys->ops->now_us(b->sys) - t0;
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

int main(int argc, char **argv)
{
	uint64_t t_bare[ROUNDS_MAX], t_ours[ROUNDS_MAX], m_bare, m_ours;
	uint64_t bytes = (argc > 2 ? strtoull(argv[2], NULL, 10) : 256) << 20;
	struct bench b = { .nr_sections = argc > 3 ? (unsigned)atoi(argv[3]) : 4 };
	unsigned rounds = argc > 4 ? (unsigned)atoi(argv[4]) : 11;
	struct iommu_config config = { .name = "bench" };
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
	b.container = config.fd = vdev_get_fds(vdev).container;
	r = iommu_new(b.sys, &iommu_type1, &config, &b.iommu, &err);
	if (r < 0)
		die("iommu_new", r, &err);
	b.memfd = memfd_create("bench", MFD_CLOEXEC);
	if (b.memfd < 0 || ftruncate(b.memfd, (off_t)bytes) < 0 || fallocate(b.memfd, 0, 0, (off_t)bytes) < 0)
		die("memfd", -errno, NULL);
	bare(&b);
	ours(&b); /* both once for nothing: page tables, caches */
	for (unsigned i = 0; i < rounds; i++) {
		t_bare[i] = bare(&b);
		t_ours[i] = ours(&b);
	}
	m_bare = median(t_bare, rounds);
	m_ours = median(t_ours, rounds);
	printf("{\"mib\":%u,\"sections\":%u,\"rounds\":%u,\"bare_us\":%llu,\"ours_us\":%llu,\"ratio\":%.4f}\n",
	       (unsigned)(bytes >> 20), b.nr_sections, rounds, (unsigned long long)m_bare, (unsigned long long)m_ours,
	       (double)m_ours / (double)m_bare);
	close(b.memfd);
	iommu_free(b.iommu);
	vdev_close(vdev);
	sys_linux_free(b.sys);
	return 0;
}
