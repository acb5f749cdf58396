/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vfio-user client speaking raw bytes, and the device behind the server: a pretended VF that counts what reaches it.
 * One process, no threads: the client sends, the server is pumped, the client reads.
 */
#ifndef GANGWAY_TESTS_VUSER_CLIENT_H
#define GANGWAY_TESTS_VUSER_CLIENT_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fdutil.h"
#include "gangway_limits.h"
#include "vuser.h"
#include "vuser_proto.h"

#define DEV_REGIONS 9
#define DEV_IRQS 5
#define DEV_SPARSE_ARGSZ 80
#define DEV_BAR0_SIZE 0x4000u
#define DEV_CFG_SIZE 256u
#define DEV_ROM_SIZE 0x1000u
#define DEV_MSIX_COUNT 16u

/* struct vfio_irq_set without its flexible end, so that it can be a member */
struct irq_set {
	uint32_t argsz, flags, index, start, count;
};

struct dev {
	struct vuser *v;
	int sock; /* the client's end */
	int64_t now; /* what the server takes for the time */
	int reset_ms; /* how long a reset takes */
	bool reset_later, map_later; /* it is put off */
	int fail; /* errno of each op that acts, 0: they succeed */
	int bar_fd; /* what region_info lends; -1 none */

	int calls; /* of ops that act: no refused message may raise it */
	int fds_given; /* descriptors that came with them */
	struct vuser_dma_map map;
	bool map_had_fd;
	uint64_t unmap_iova, unmap_size;
	int nr_unmap_all;
	struct irq_set irq;
	size_t irq_fds;
	uint8_t irq_bool[16];
	bool irq_had_data;
	int nr_reset, nr_connect, nr_disconnect;
	uint8_t cfg[DEV_CFG_SIZE];
	ssize_t short_io; /* > 0: transfer at most so much */
};

static inline int dev_act(struct dev *d)
{
	d->calls++;
	return -d->fail;
}

static inline int dev_dma_map(void *ctx, const struct vuser_dma_map *map, int fd)
{
	struct dev *d = ctx;

	d->map = *map;
	d->map_had_fd = fd >= 0;
	d->fds_given += fd >= 0;
	fd_close(&fd);
	if (d->map_later && !d->fail)
		d->calls++;
	return d->map_later && !d->fail ? VUSER_LATER : dev_act(d);
}

static inline int dev_dma_unmap(void *ctx, uint64_t iova, uint64_t size, uint64_t *ret_size)
{
	struct dev *d = ctx;

	d->unmap_iova = iova;
	d->unmap_size = size;
	*ret_size = size;
	return dev_act(d);
}

static inline int dev_dma_unmap_all(void *ctx, uint64_t *ret_size)
{
	struct dev *d = ctx;

	d->nr_unmap_all++;
	*ret_size = 0x123000;
	return dev_act(d);
}

static inline int dev_info(void *ctx, struct vfio_device_info *ret)
{
	(void)ctx;
	ret->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	ret->num_regions = DEV_REGIONS;
	ret->num_irqs = DEV_IRQS;
	return 0;
}

/* BAR0: mappable but for its second page; BAR3: wholly; ROM: readable; config space; VGA: the kernel says EINVAL; others: empty */
static inline int dev_region_info(void *ctx, unsigned index, struct vfio_region_info **ret, int *ret_fd)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	struct dev *d = ctx;
	struct vfio_region_info *info;

	if (index == VFIO_PCI_VGA_REGION_INDEX)
		return -EINVAL;
	info = calloc(1, DEV_SPARSE_ARGSZ);
	info->argsz = sizeof(*info);
	info->index = index;
	info->offset = (uint64_t)index << 40;
	if (index == 0) {
		struct vfio_region_info_cap_sparse_mmap *sparse = (void *)((char *)info + sizeof(*info));

		info->argsz = DEV_SPARSE_ARGSZ;
		info->flags = rw | VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
		info->cap_offset = sizeof(*info);
		info->size = DEV_BAR0_SIZE;
		sparse->header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
		sparse->header.version = 1;
		sparse->nr_areas = 2;
		sparse->areas[0].size = 0x1000;
		sparse->areas[1].offset = 0x2000;
		sparse->areas[1].size = 0x2000;
		*ret_fd = d->bar_fd;
	} else if (index == 3) {
		info->flags = rw | VFIO_REGION_INFO_FLAG_MMAP;
		info->size = 0x4000;
		*ret_fd = d->bar_fd;
	} else if (index == VFIO_PCI_ROM_REGION_INDEX) {
		info->flags = VFIO_REGION_INFO_FLAG_READ;
		info->size = DEV_ROM_SIZE;
	} else if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
		info->flags = rw;
		info->size = DEV_CFG_SIZE;
	} else if (index == 5) { /* as big as a region may be, to try the arithmetic at its end */
		info->flags = rw;
		info->size = UINT64_MAX;
	}
	*ret = info;
	return 0;
}

static inline int dev_irq_info(void *ctx, unsigned index, struct vfio_irq_info *ret)
{
	static const struct {
		uint32_t flags, count;
	} irqs[DEV_IRQS] = {
		[VFIO_PCI_INTX_IRQ_INDEX] = { VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED, 1 },
		[VFIO_PCI_MSI_IRQ_INDEX] = { VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, 0 },
		[VFIO_PCI_MSIX_IRQ_INDEX] = { VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, DEV_MSIX_COUNT },
		[VFIO_PCI_ERR_IRQ_INDEX] = { VFIO_IRQ_INFO_EVENTFD, 1 },
		[VFIO_PCI_REQ_IRQ_INDEX] = { 0, 1 }, /* not as the kernel has it: to try an index without eventfds */
	};

	(void)ctx;
	ret->flags = irqs[index].flags;
	ret->count = irqs[index].count;
	return 0;
}

static inline int dev_set_irqs(void *ctx, const struct vfio_irq_set *set, const uint8_t *data, int *fds, size_t nr_fds)
{
	struct dev *d = ctx;

	memcpy(&d->irq, set, sizeof(d->irq));
	d->irq_fds = nr_fds;
	d->irq_had_data = data;
	if (data)
		memcpy(d->irq_bool, data, set->count);
	for (size_t i = 0; i < nr_fds; i++) {
		d->fds_given++;
		fd_close(&fds[i]);
	}
	return dev_act(d);
}

static inline ssize_t dev_region_read(void *ctx, unsigned index, uint64_t offset, void *buf, size_t len)
{
	struct dev *d = ctx;

	if (dev_act(d) < 0)
		return -d->fail;
	if (d->short_io && len > (size_t)d->short_io)
		len = (size_t)d->short_io;
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		memcpy(buf, d->cfg + offset, len);
	else
		memset(buf, 0xa5, len);
	return (ssize_t)len;
}

static inline ssize_t dev_region_write(void *ctx, unsigned index, uint64_t offset, const void *buf, size_t len)
{
	struct dev *d = ctx;

	if (dev_act(d) < 0)
		return -d->fail;
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		memcpy(d->cfg + offset, buf, len);
	return (ssize_t)len;
}

static inline int dev_reset(void *ctx)
{
	struct dev *d = ctx;

	d->nr_reset++;
	d->now += d->reset_ms;
	return d->reset_later ? VUSER_LATER : dev_act(d);
}

static inline void dev_on_client(void *ctx, bool connected)
{
	struct dev *d = ctx;

	if (connected)
		d->nr_connect++;
	else
		d->nr_disconnect++;
}

static inline int64_t dev_now_ms(void *ctx)
{
	return ((struct dev *)ctx)->now;
}

static const struct vuser_ops dev_ops = {
	.dma_map = dev_dma_map,
	.dma_unmap = dev_dma_unmap,
	.dma_unmap_all = dev_dma_unmap_all,
	.device_info = dev_info,
	.region_info = dev_region_info,
	.irq_info = dev_irq_info,
	.set_irqs = dev_set_irqs,
	.region_read = dev_region_read,
	.region_write = dev_region_write,
	.reset = dev_reset,
	.on_client = dev_on_client,
	.now_ms = dev_now_ms,
};

static inline int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Another client for a server that has none. */
static inline void dev_connect(struct dev *d)
{
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	cr_assert_eq(vuser_accept(d->v, sv[0]), 0);
	d->sock = sv[1];
}

static inline void dev_start(struct dev *d)
{
	*d = (struct dev){ .sock = -1, .bar_fd = -1, .now = 1000 };
	cr_assert_eq(vuser_new(&dev_ops, d, "vf 0000:00:12.0", &d->v), 0);
	d->bar_fd = memfd_create("bar", MFD_CLOEXEC);
	dev_connect(d);
}

static inline void dev_stop(struct dev *d)
{
	d->v = vuser_free(d->v);
	fd_close(&d->sock);
	fd_close(&d->bar_fd);
}

static inline int dev_pump(struct dev *d)
{
	return vuser_process(d->v, POLLIN | POLLOUT);
}

struct answer {
	struct vuser_hdr hdr;
	size_t len; /* of the payload */
	int fd;
	size_t nr_fds;
	_Alignas(8) uint8_t data[LIMIT_VUSER_MSG];
};

/* 0, or -EAGAIN: none there, or -ECONNRESET: the server hung up */
static inline int client_read(struct dev *d, struct answer *a)
{
	int fds[FD_MSG_MAX];
	ssize_t n;

	a->fd = -1;
	n = fd_recv(d->sock, &a->hdr, sizeof(a->hdr), fds, FD_MSG_MAX, &a->nr_fds);
	if (n <= 0)
		return n == 0 ? -ECONNRESET : (int)n;
	cr_assert_eq(n, sizeof(a->hdr));
	cr_assert(a->nr_fds <= 1);
	if (a->nr_fds)
		a->fd = fds[0];
	a->len = a->hdr.size - sizeof(a->hdr);
	for (size_t got = 0; got < a->len; got += (size_t)n) {
		n = recv(d->sock, a->data + got, a->len - got, 0);
		if (n < 0 && errno == EAGAIN) {
			dev_pump(d);
			n = 0;
			continue;
		}
		cr_assert(n > 0);
	}
	return 0;
}

static inline void client_send(struct dev *d, uint16_t id, uint16_t cmd, uint32_t flags, const void *data, size_t len,
			       const int *fds, size_t nr_fds)
{
	struct vuser_hdr hdr = { .id = id, .cmd = cmd, .size = (uint32_t)(sizeof(hdr) + len), .flags = flags };
	uint8_t *msg = malloc(hdr.size);

	memcpy(msg, &hdr, sizeof(hdr));
	if (len)
		memcpy(msg + sizeof(hdr), data, len);
	cr_assert_eq(fd_send(d->sock, msg, hdr.size, fds, nr_fds), (ssize_t)hdr.size);
	free(msg);
}

/* Send, pump, read the answer: 0 or the negative errno in it. */
static inline int request_fds(struct dev *d, uint16_t cmd, const void *data, size_t len, const int *fds, size_t nr_fds,
			      struct answer *a)
{
	static uint16_t id;
	int r;

	client_send(d, ++id, cmd, 0, data, len, fds, nr_fds);
	dev_pump(d);
	r = client_read(d, a);
	cr_assert_eq(r, 0, "no answer to command %u: %d (%s)", cmd, r, vuser_last_error(d->v));
	cr_assert_eq(a->hdr.id, id);
	cr_assert_eq(a->hdr.cmd, cmd);
	if (a->hdr.flags & VUSER_F_ERROR) {
		cr_assert_eq(a->hdr.flags, VUSER_F_TYPE_REPLY | VUSER_F_ERROR);
		cr_assert_eq(a->len, 0, "an error is a header alone");
		cr_assert_eq(a->nr_fds, 0);
		return -(int)a->hdr.error;
	}
	cr_assert_eq(a->hdr.flags, VUSER_F_TYPE_REPLY);
	cr_assert_eq(a->hdr.error, 0);
	return 0;
}

static inline int request(struct dev *d, uint16_t cmd, const void *data, size_t len, struct answer *a)
{
	return request_fds(d, cmd, data, len, NULL, 0, a);
}

/* As QEMU 11.1 writes it (its own order of keys aside), NUL included. */
#define QEMU_CAPS                                                                                                                \
	"{\"capabilities\": {\"max_msg_fds\": 16, \"max_data_xfer_size\": 1048576, \"pgsizes\": 4096, \"max_dma_maps\": 65535, " \
	"\"write_multiple\": true, \"migration\": {\"pgsize\": 4096, \"max_bitmap_size\": 268435456}}}"

static inline int negotiate_len(struct dev *d, uint16_t major, uint16_t minor, const void *text, size_t len, struct answer *a)
{
	uint8_t buf[sizeof(struct vuser_version) + 8192];
	struct vuser_version ver = { .major = major, .minor = minor };

	memcpy(buf, &ver, sizeof(ver));
	if (len)
		memcpy(buf + sizeof(ver), text, len);
	return request(d, VUSER_VERSION, buf, sizeof(ver) + len, a);
}

static inline int negotiate(struct dev *d, const char *text, struct answer *a)
{
	return negotiate_len(d, 0, 1, text, text[0] ? strlen(text) + 1 : 0, a);
}

static inline void dev_start_running(struct dev *d)
{
	struct answer a;

	dev_start(d);
	cr_assert_eq(negotiate(d, QEMU_CAPS, &a), 0);
	cr_assert_eq(vuser_get_state(d->v), VUSER_RUNNING);
}

/* The connection still works, and nothing was left in the pipe. */
static inline void assert_alive(struct dev *d)
{
	struct vuser_device_info q = { .argsz = sizeof(q) };
	struct answer a;

	cr_assert_eq(client_read(d, &a), -EAGAIN);
	cr_assert_eq(request(d, VUSER_DEVICE_GET_INFO, &q, sizeof(q), &a), 0);
}

static inline void assert_hung_up(struct dev *d)
{
	struct answer a;

	cr_assert_eq(vuser_get_state(d->v), VUSER_CLOSED);
	cr_assert_eq(vuser_fd(d->v), -1);
	cr_assert_eq(vuser_events(d->v), 0);
	cr_assert_eq(vuser_timeout_ms(d->v), -1);
	cr_assert_eq(dev_pump(d), -ECONNRESET);
	cr_assert_eq(client_read(d, &a), -ECONNRESET);
}

#endif
