/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A gangway-device process for tests: the product's own loop, decoder, address space and sandbox in a forked child, over a VFIO that is
 * a few canned answers without a single system call (the sandbox would kill it).
 */
#ifndef GANGWAY_TESTS_DEVICE_PEER_H
#define GANGWAY_TESTS_DEVICE_PEER_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devctl.h"
#include "device_proto.h"
#include "die_with.h"
#include "err.h"
#include "fdutil.h"
#include "sandbox.h"
#include "serve.h"
#include "sys.h"
#include "sys_device.h"
#include "vfdev.h"
#include "vuser_proto.h"

/* A sanitizer's run-time makes system calls of its own, which the product's table does not have: there the process runs unsealed. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PEER_SEALED 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define PEER_SEALED 0
#endif
#ifndef PEER_SEALED
#define PEER_SEALED 1
#endif

#define PEER_BDF "0000:3b:02.1"
#define PEER_VECTORS 3

static uint8_t canned_config[256];
static struct sys_ops canned_ops;

static inline int canned_region(struct vfio_region_info *info)
{
	info->size = info->index == VFIO_PCI_CONFIG_REGION_INDEX ? sizeof(canned_config) : 0;
	info->flags = info->size ? VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE : 0;
	if (info->index == VFIO_PCI_BAR0_REGION_INDEX) {
		info->size = 0x4000;
		info->flags = VFIO_REGION_INFO_FLAG_MMAP;
	}
	info->offset = 0;
	info->cap_offset = 0;
	return 0;
}

#define PEER_ENTRIES 65535
static atomic_uint canned_mapped; /* entries taken: threads map; an unmap counts for one */

/* How many entries are free, in a chain of one capability. */
static inline int canned_iommu_info(int fd, struct vfio_iommu_type1_info *info)
{
	struct vfio_iommu_type1_info_dma_avail avail = { .header = { .id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, .version = 1 },
							 .avail = PEER_ENTRIES - canned_mapped };
	uint32_t room = info->argsz, at = (sizeof(*info) + 7) / 8 * 8;

	ioctl(fd, VFIO_IOMMU_GET_INFO, info); /* no VFIO is there, but the sandbox has to let it pass */
	info->flags = VFIO_IOMMU_INFO_CAPS;
	info->argsz = at + (uint32_t)sizeof(avail);
	info->cap_offset = room < info->argsz ? 0 : at;
	if (info->cap_offset)
		memcpy((char *)info + at, &avail, sizeof(avail));
	return 0;
}

static inline int canned_ioctl(struct sys *sys, int fd, unsigned long request, void *arg)
{
	(void)sys;
	switch (request) {
	case VFIO_IOMMU_GET_INFO:
		return canned_iommu_info(fd, arg);
	case VFIO_IOMMU_MAP_DMA:
		canned_mapped++;
		return 0;
	case VFIO_IOMMU_UNMAP_DMA:
		canned_mapped--;
		return 0;
	case VFIO_GROUP_GET_STATUS:
		((struct vfio_group_status *)arg)->flags = VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET;
		return 0;
	case VFIO_DEVICE_GET_INFO:
		((struct vfio_device_info *)arg)->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
		((struct vfio_device_info *)arg)->num_regions = 9;
		((struct vfio_device_info *)arg)->num_irqs = 5;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return canned_region(arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		((struct vfio_irq_info *)arg)->flags = VFIO_IRQ_INFO_EVENTFD;
		((struct vfio_irq_info *)arg)->count =
			((struct vfio_irq_info *)arg)->index == VFIO_PCI_MSIX_IRQ_INDEX ? PEER_VECTORS : 0;
		return 0;
	default: /* VFIO_GET_API_VERSION, maps, unmaps (of the size asked for), vectors, resets: all is well */
		return 0;
	}
}

static inline ssize_t canned_pread(struct sys *sys, int fd, void *buf, size_t len, off_t offset)
{
	(void)sys;
	(void)fd;
	memcpy(buf, canned_config + offset, len);
	return (ssize_t)len;
}

static inline ssize_t canned_pwrite(struct sys *sys, int fd, const void *buf, size_t len, off_t offset)
{
	(void)sys;
	(void)fd;
	memcpy(canned_config + offset, buf, len);
	return (ssize_t)len;
}

static inline struct sys *canned_sys(void)
{
	static struct sys sys = { .ops = &canned_ops };

	canned_ops = *sys_device()->ops;
	canned_ops.ioctl = canned_ioctl;
	canned_ops.pread = canned_pread;
	canned_ops.pwrite = canned_pwrite;
	return &sys;
}

struct peer {
	pid_t pid;
	char dir[64], ctl[96], vuser[96];
};

/* The child: never returns. */
static inline void peer_main(const struct peer *p, int ctl_fd, int vuser_fd)
{
	struct vdev_fds fds = { .container = dup(0), .group = dup(0), .device = dup(0) };
	int vfio[3] = { fds.container, fds.group, fds.device };
	struct vuser *vuser;
	struct vfdev dev;
	struct devctl ctl;
	struct err err;
	int r;

	(void)p;
	json_object_seed(0);
	if (listen(ctl_fd, 4) < 0 || listen(vuser_fd, 4) < 0 ||
	    vfdev_init(&dev, canned_sys(), PEER_BDF, fds, 64 << 20, 2, &err) < 0 ||
	    vuser_new(&vfdev_ops, &dev, "test", &vuser) < 0)
		_exit(10);
	devctl_init(&ctl, ctl_fd, "lease-1", PEER_BDF, vfio);
	if (sandbox_limit_fds(vfdev_max_fds(&dev), &err) < 0 || (PEER_SEALED && sandbox_seal(&err) < 0))
		_exit(11);
	r = device_serve(&ctl, vuser, &dev, vuser_fd);
	vuser_free(vuser);
	vfdev_done(&dev);
	devctl_done(&ctl);
	_exit(r < 0 ? 12 : 0);
}

static inline void peer_start(struct peer *p)
{
	pid_t test = getpid();
	int ctl_fd, vuser_fd;

	strcpy(p->dir, "/tmp/gangway-test-XXXXXX");
	cr_assert_not_null(mkdtemp(p->dir));
	snprintf(p->ctl, sizeof(p->ctl), "%s/device", p->dir);
	cr_assert_eq(mkdir(p->ctl, 0700), 0);
	snprintf(p->vuser, sizeof(p->vuser), "%s/vm", p->dir);
	cr_assert_eq(mkdir(p->vuser, 0700), 0);
	snprintf(p->ctl, sizeof(p->ctl), "%s/device/lease-1.ctl", p->dir);
	snprintf(p->vuser, sizeof(p->vuser), "%s/vm/lease-1.sock", p->dir);
	ctl_fd = fd_listen_unix(p->ctl, SOCK_SEQPACKET, 0600);
	vuser_fd = fd_listen_unix(p->vuser, SOCK_STREAM, 0600);
	cr_assert(ctl_fd >= 0 && vuser_fd >= 0);
	p->pid = fork();
	cr_assert(p->pid >= 0);
	if (p->pid == 0) {
		die_with(test);
		peer_main(p, ctl_fd, vuser_fd);
	}
	close(ctl_fd);
	close(vuser_fd);
}

/* How it ended, within 5 s; a process that does not end is killed: -1. */
static inline int peer_wait(struct peer *p)
{
	int status;

	for (int i = 0; i < 500; i++) {
		if (waitpid(p->pid, &status, WNOHANG) == p->pid)
			return status;
		usleep(10000);
	}
	kill(p->pid, SIGKILL);
	waitpid(p->pid, &status, 0);
	return -1;
}

static inline void peer_clean(struct peer *p)
{
	char path[128];

	unlink(p->ctl);
	unlink(p->vuser);
	snprintf(path, sizeof(path), "%s/device", p->dir);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/vm", p->dir);
	rmdir(path);
	rmdir(p->dir);
}

/* One datagram as JSON, within 2 s; NULL: none, or the end. */
static inline json_t *ctl_read(int sock, int *fds, size_t *nr_fds)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	char buf[DEVICE_PROTO_MAX];
	int none[1];
	size_t nr = 0;
	ssize_t n;

	if (poll(&pfd, 1, 2000) != 1)
		return NULL;
	n = fd_recv(sock, buf, sizeof(buf), fds ? fds : none, fds ? 3 : 0, &nr);
	if (nr_fds)
		*nr_fds = nr;
	return n > 0 ? json_loadb(buf, (size_t)n, 0, NULL) : NULL;
}

static inline json_t *ctl_ask(int sock, const char *text, int *fds, size_t *nr_fds)
{
	if (fd_send(sock, text, strlen(text), NULL, 0) < 0)
		return NULL;
	return ctl_read(sock, fds, nr_fds);
}

/* Send a vfio-user request, return the error of its reply; -1: the connection ended. */
static inline int vmm_ask(int sock, uint16_t cmd, const void *payload, size_t len, const int *fds, size_t nr_fds)
{
	struct vuser_hdr h = { .id = 1, .cmd = cmd, .size = (uint32_t)(sizeof(h) + len) }, reply;
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	uint8_t buf[8192];
	size_t left;

	memcpy(buf, &h, sizeof(h));
	if (len)
		memcpy(buf + sizeof(h), payload, len);
	if (fd_send(sock, buf, sizeof(h) + len, fds, nr_fds) != (ssize_t)(sizeof(h) + len) || poll(&pfd, 1, 2000) != 1 ||
	    recv(sock, &reply, sizeof(reply), MSG_WAITALL) != sizeof(reply))
		return -1;
	left = reply.size - sizeof(reply);
	if (left && recv(sock, buf, left, MSG_WAITALL) != (ssize_t)left)
		return -1;
	return (int)reply.error;
}

static inline int vmm_connect(const char *path)
{
	static const char version[] = "\0\0\1\0{\"capabilities\":{\"max_msg_fds\":8}}";
	int sock = fd_connect_unix(path, SOCK_STREAM);

	if (sock < 0)
		return sock;
	if (vmm_ask(sock, VUSER_VERSION, version, sizeof(version), NULL, 0) != 0)
		fd_close(&sock);
	return sock;
}

#endif
