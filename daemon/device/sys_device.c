/* SPDX-License-Identifier: GPL-2.0-or-later */
/* No logic here: as base/sys_linux.c, for the few calls that the sandbox lets pass. */
#include "sys_device.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"

static int dev_close(struct sys *sys, int fd)
{
	(void)sys;
	return close(fd) < 0 ? -errno : 0;
}

static int dev_ioctl(struct sys *sys, int fd, unsigned long request, void *arg)
{
	int r;

	(void)sys;
	r = ioctl(fd, request, arg);
	return r < 0 ? -errno : r;
}

static ssize_t dev_pread(struct sys *sys, int fd, void *buf, size_t len, off_t offset)
{
	ssize_t n;

	(void)sys;
	n = pread(fd, buf, len, offset);
	return n < 0 ? -errno : n;
}

static ssize_t dev_pwrite(struct sys *sys, int fd, const void *buf, size_t len, off_t offset)
{
	ssize_t n;

	(void)sys;
	n = pwrite(fd, buf, len, offset);
	return n < 0 ? -errno : n;
}

static int dev_mmap(struct sys *sys, size_t len, int prot, int flags, int fd, off_t offset, void **ret)
{
	void *p;

	(void)sys;
	p = mmap(NULL, len, prot, flags, fd, offset);
	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return 0;
}

static int dev_munmap(struct sys *sys, void *addr, size_t len)
{
	(void)sys;
	return munmap(addr, len) < 0 ? -errno : 0;
}

static int dev_populate(struct sys *sys, void *addr, size_t len, bool write)
{
	(void)sys;
	return sys_populate(addr, len, write);
}

static uint64_t dev_now_us(struct sys *sys)
{
	struct timespec ts;

	(void)sys;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

struct sys *sys_device(void)
{
	static const struct sys_ops ops = {
		.close = dev_close,
		.ioctl = dev_ioctl,
		.pread = dev_pread,
		.pwrite = dev_pwrite,
		.mmap = dev_mmap,
		.munmap = dev_munmap,
		.populate = dev_populate,
		.now_us = dev_now_us,
	};
	static struct sys sys = { .ops = &ops };

	return &sys;
}
