/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_answer: how long a VMM waits for the answer to DMA_MAP of a guest larger than any machine at hand: 4 GiB, 64 GiB and 1 TiB, on a
 * kernel that is slowed down: faulting in takes 0.25 s a GiB, as cold 4 KiB pages do, and is not really done. Beside it how long giving up
 * the mapping takes, and how long mapping all of it would. One JSON object a size.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "iommu.h"
#include "sys.h"

#define US_PER_GIB 250000
#define ROUNDS 5

static struct sys_ops ops;

static int slow_populate(struct sys *sys, void *addr, size_t len, bool write)
{
	(void)sys;
	(void)addr;
	(void)write;
	usleep((useconds_t)((uint64_t)len * US_PER_GIB >> 30));
	return 0;
}

/* Every map succeeds, every unmap takes out what it was asked to. */
static int any_ioctl(struct sys *sys, int fd, unsigned long request, void *arg)
{
	(void)sys;
	(void)fd;
	(void)arg;
	return request == VFIO_IOMMU_GET_INFO ? (((struct vfio_iommu_type1_info *)arg)->flags = 0) : 0;
}

static double ms(const struct sys *sys, uint64_t from)
{
	return (double)(ops.now_us((struct sys *)sys) - from) / 1e3;
}

static void measure(struct sys *sys, uint64_t gib)
{
	struct iommu_config config = { .name = "bench", .fd = -1, .nr_threads = 2 };
	double answer = 0, give_up = 0;
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct iommu *iommu;
	struct err err;

	if (fd < 0 || ftruncate(fd, (off_t)(gib << 30)) < 0 || iommu_new(sys, &iommu_type1, &config, &iommu, &err) < 0)
		exit(1);
	for (int i = 0; i < ROUNDS; i++) {
		struct iommu_map_request req = { .iova = UINT64_C(1) << 40,
						 .size = gib << 30,
						 .prot = IOMMU_PROT_READ | IOMMU_PROT_WRITE,
						 .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3) };
		uint64_t t0 = ops.now_us(sys);
		double t;

		if (iommu_map(iommu, &req, &err) < 0)
			exit(1);
		t = ms(sys, t0);
		answer = t > answer ? t : answer;
		t0 = ops.now_us(sys);
		if (iommu_unmap(iommu, req.iova, req.size, NULL, &err) < 0)
			exit(1);
		t = ms(sys, t0);
		give_up = t > give_up ? t : give_up;
	}
	printf("{\"gib\":%llu,\"answer_ms\":%.2f,\"give_up_ms\":%.2f,\"all_of_it_ms\":%llu}\n", (unsigned long long)gib, answer,
	       give_up, (unsigned long long)(gib * US_PER_GIB / 1000 / config.nr_threads));
	iommu_free(iommu);
	close(fd);
}

int main(void)
{
	struct sys sys = { .ops = &ops }, *real = sys_linux_new("");

	if (!real)
		return 1;
	ops = *real->ops;
	ops.ioctl = any_ioctl;
	ops.populate = slow_populate;
	measure(&sys, 4);
	measure(&sys, 64);
	measure(&sys, 1024);
	sys_linux_free(real);
	return 0;
}
