/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz the vfio-user server: the product's own receive, validation and dispatch, over a socketpair, before a device that aborts
 * when something reaches it that validation should have stopped, or when a descriptor is left over.
 * The form of the input: vuser_chunks.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "vuser_chunks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NR_REGIONS 5
#define NR_IRQS 3

struct dev {
	int64_t now;
	bool connected;
	unsigned n; /* of ops called; each seventh fails */
	int bar_fd;
};

static const uint64_t region_sizes[NR_REGIONS] = { 0x4000, 0, 0x100, 0x1000, UINT64_MAX };
static const uint32_t region_flags[NR_REGIONS] = { 0xf, 0, 3, 1, 3 };
static const uint32_t irq_counts[NR_IRQS] = { 1, 0, 2048 };
static const uint32_t irq_flags[NR_IRQS] = { 7, 1, 9 };

static int act(struct dev *d)
{
	MUST(d->connected);
	return ++d->n % 7 ? 0 : -EIO;
}

static int dma_map(void *ctx, const struct vuser_dma_map *m, int fd)
{
	MUST(m->size && m->iova + (m->size - 1) >= m->iova && m->offset <= INT64_MAX && m->size - 1 <= INT64_MAX - m->offset);
	MUST(m->readable || m->writable);
	MUST(fd >= 0 ? fcntl(fd, F_GETFD) >= 0 : m->offset == 0);
	fd_close(&fd);
	return act(ctx);
}

static int dma_unmap(void *ctx, uint64_t iova, uint64_t size, uint64_t *ret_size)
{
	MUST(size && iova + (size - 1) >= iova);
	*ret_size = size;
	return act(ctx);
}

static int dma_unmap_all(void *ctx, uint64_t *ret_size)
{
	*ret_size = 4096;
	return act(ctx);
}

static int device_info(void *ctx, struct vfio_device_info *ret)
{
	(void)ctx;
	ret->flags = VFIO_DEVICE_FLAGS_PCI;
	ret->num_regions = NR_REGIONS + 1; /* the last answers with an error */
	ret->num_irqs = NR_IRQS;
	return 0;
}

static int region_info(void *ctx, unsigned index, struct vfio_region_info **ret, int *ret_fd)
{
	size_t len = index == 0 ? 80 : sizeof(struct vfio_region_info);
	struct dev *d = ctx;

	MUST(index <= NR_REGIONS);
	if (index == NR_REGIONS)
		return -EINVAL;
	*ret = calloc(1, len);
	(*ret)->argsz = (uint32_t)len;
	(*ret)->index = index;
	(*ret)->flags = region_flags[index];
	(*ret)->size = region_sizes[index];
	if (index == 0) {
		(*ret)->cap_offset = sizeof(**ret);
		*ret_fd = d->bar_fd;
	}
	return 0;
}

static int irq_info(void *ctx, unsigned index, struct vfio_irq_info *ret)
{
	(void)ctx;
	MUST(index < NR_IRQS);
	ret->flags = irq_flags[index];
	ret->count = irq_counts[index];
	return 0;
}

static int set_irqs(void *ctx, const struct vfio_irq_set *q, const uint8_t *data, int *fds, size_t nr_fds)
{
	uint32_t type = q->flags & VFIO_IRQ_SET_DATA_TYPE_MASK, action = q->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	unsigned sum = 0;

	MUST(q->index < NR_IRQS && (uint64_t)q->start + q->count <= irq_counts[q->index]);
	MUST(type && !(type & (type - 1)) && action && !(action & (action - 1)) && (type | action) == q->flags);
	MUST(!!data == (type == VFIO_IRQ_SET_DATA_BOOL));
	MUST(nr_fds == 0 || (type == VFIO_IRQ_SET_DATA_EVENTFD && nr_fds == q->count));
	for (uint32_t i = 0; data && i < q->count; i++)
		sum += data[i]; /* readable, says the sanitizer */
	for (size_t i = 0; i < nr_fds; i++) {
		MUST(fcntl(fds[i], F_GETFD) >= 0);
		fd_close(&fds[i]);
	}
	MUST(sum <= 255 * 2048);
	return act(ctx);
}

static void check_access(unsigned index, uint64_t offset, size_t len, uint32_t need)
{
	MUST(index < NR_REGIONS && len && len <= VUSER_MAX_XFER && (region_flags[index] & need));
	MUST(offset <= region_sizes[index] && len <= region_sizes[index] - offset);
}

static ssize_t region_read(void *ctx, unsigned index, uint64_t offset, void *buf, size_t len)
{
	check_access(index, offset, len, VFIO_REGION_INFO_FLAG_READ);
	memset(buf, 0x5a, len);
	return act(ctx) < 0 ? -EIO : (ssize_t)(len + 1) / 2;
}

static ssize_t region_write(void *ctx, unsigned index, uint64_t offset, const void *buf, size_t len)
{
	uint8_t copy[VUSER_MAX_XFER];

	check_access(index, offset, len, VFIO_REGION_INFO_FLAG_WRITE);
	memcpy(copy, buf, len);
	return act(ctx) < 0 ? -EIO : (ssize_t)len;
}

static int reset(void *ctx)
{
	return act(ctx);
}

static void on_client(void *ctx, bool connected)
{
	struct dev *d = ctx;

	MUST(d->connected != connected);
	d->connected = connected;
}

static int64_t now_ms(void *ctx)
{
	return ((struct dev *)ctx)->now;
}

static const struct vuser_ops ops = {
	.dma_map = dma_map,
	.dma_unmap = dma_unmap,
	.dma_unmap_all = dma_unmap_all,
	.device_info = device_info,
	.region_info = region_info,
	.irq_info = irq_info,
	.set_irqs = set_irqs,
	.region_read = region_read,
	.region_write = region_write,
	.reset = reset,
	.on_client = on_client,
	.now_ms = now_ms,
};

static void run(struct vuser *v, struct dev *d, const uint8_t *data, size_t size, const int *evs, const int *mems)
{
	static const uint8_t version[] = { VUSER_VERSION, 1, 0, 0, 0, 1, 0 };
	bool narrow = size && (data[0] & 2);
	int sock = connect_client(v, narrow);

	if (size && (data[0] & 1)) {
		send_chunk(sock, 0, version, sizeof(version), NULL);
		vuser_process(v, POLLIN);
		drain(sock);
	}
	for (size_t at = 1; at + 3 <= size;) {
		uint8_t ctl = data[at];
		size_t len = data[at + 1] | (size_t)data[at + 2] << 8;

		at += 3;
		if (len > size - at)
			len = size - at;
		send_chunk(sock, ctl, data + at, len, ctl & 8 ? mems : evs);
		at += len;
		if (ctl & 0x80)
			d->now += 6000;
		if (ctl & 0x20)
			vuser_process(v, (short)(vuser_events(v) | POLLIN));
		if (ctl & 0x40)
			drain(sock);
		MUST(vuser_timeout_ms(v) >= -1);
		if (vuser_fd(v) < 0) { /* the server gave up on it: another client */
			close(sock);
			sock = connect_client(v, narrow);
		}
	}
	vuser_process(v, POLLIN);
	MUST(strlen(vuser_last_error(v)) < 320);
	close(sock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int evs[9], mems[9];
	struct dev d = { .bar_fd = -1 };
	struct vuser *v;
	int lowest, now_lowest;

	if (!evs[0])
		for (int i = 0; i < 9; i++) {
			evs[i] = eventfd(0, EFD_CLOEXEC);
			mems[i] = memfd_create("ram", MFD_CLOEXEC);
		}
	d.bar_fd = mems[0];
	lowest = dup(evs[0]);
	close(lowest);
	MUST(vuser_new(&ops, &d, "vf", &v) == 0);
	run(v, &d, data, size, evs, mems);
	if (size % 2)
		vuser_process(v, POLLHUP | POLLIN);
	vuser_free(v);
	MUST(!d.connected);
	now_lowest = dup(evs[0]);
	close(now_lowest);
	MUST(lowest == now_lowest);
	return 0;
}
