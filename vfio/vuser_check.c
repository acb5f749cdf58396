/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the table's columns cannot say of a payload. Sizes and numbers of descriptors are as the row wants them when a check runs;
 * a check has no side effect. Ranges are compared so that nothing can wrap.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "vuser_internal.h"

/* @argsz: what the client says it can take. The least is the fixed part of the answer; more than a message can hold is nonsense. */
static int check_argsz(struct vuser *v, uint32_t argsz, size_t least)
{
	if (argsz < least || argsz > LIMIT_VUSER_MSG)
		return vuser_refuse(v, -EINVAL, "argsz %u, must be %zu to %u", argsz, least, LIMIT_VUSER_MSG);
	return 0;
}

int vuser_check_dma_map(struct vuser *v, const struct vuser_msg *m)
{
	struct vuser_dma_map_req q;
	int r;

	memcpy(&q, m->data, sizeof(q));
	r = check_argsz(v, q.argsz, sizeof(q));
	if (r < 0)
		return r;
	if (!q.flags || (q.flags & ~(VUSER_DMA_READABLE | VUSER_DMA_WRITABLE)))
		return vuser_refuse(v, -EINVAL, "flags %#x", q.flags);
	if (q.size == 0 || q.size - 1 > UINT64_MAX - q.address)
		return vuser_refuse(v, -EINVAL, "%#jx bytes at IOVA %#jx", (uintmax_t)q.size, (uintmax_t)q.address);
	/* a file ends at INT64_MAX at the latest (off_t) */
	if (q.offset > INT64_MAX || q.size - 1 > INT64_MAX - q.offset)
		return vuser_refuse(v, -EINVAL, "%#jx bytes at file offset %#jx", (uintmax_t)q.size, (uintmax_t)q.offset);
	if (v->nr_fds == 0 && q.offset != 0)
		return vuser_refuse(v, -EINVAL, "file offset %#jx without a file", (uintmax_t)q.offset);
	return 0;
}

int vuser_check_dma_unmap(struct vuser *v, const struct vuser_msg *m)
{
	struct vuser_dma_unmap_req q;
	int r;

	memcpy(&q, m->data, sizeof(q));
	r = check_argsz(v, q.argsz, sizeof(q));
	if (r < 0)
		return r;
	if (q.flags & ~VUSER_UNMAP_ALL)
		return vuser_refuse(v, -EINVAL, "flags %#x", q.flags);
	if (q.flags & VUSER_UNMAP_ALL) {
		if (q.address || q.size)
			return vuser_refuse(v, -EINVAL, "all, and yet a range");
		return 0;
	}
	if (q.size == 0 || q.size - 1 > UINT64_MAX - q.address)
		return vuser_refuse(v, -EINVAL, "%#jx bytes at IOVA %#jx", (uintmax_t)q.size, (uintmax_t)q.address);
	return 0;
}

int vuser_check_device_info(struct vuser *v, const struct vuser_msg *m)
{
	struct vuser_device_info q;

	memcpy(&q, m->data, sizeof(q));
	if (q.flags || q.num_regions || q.num_irqs)
		return vuser_refuse(v, -EINVAL, "fields that must be 0 are not");
	return check_argsz(v, q.argsz, sizeof(q));
}

int vuser_check_region_info(struct vuser *v, const struct vuser_msg *m)
{
	const struct vuser_region *region;
	struct vfio_region_info q;
	int r;

	memcpy(&q, m->data, sizeof(q));
	if (q.flags || q.cap_offset || q.size || q.offset)
		return vuser_refuse(v, -EINVAL, "fields that must be 0 are not");
	r = check_argsz(v, q.argsz, sizeof(q));
	if (r < 0)
		return r;
	return vuser_region_get(v, q.index, &region);
}

int vuser_check_region_io_fds(struct vuser *v, const struct vuser_msg *m)
{
	const struct vuser_region *region;
	struct vuser_region_io_fds q;
	int r;

	memcpy(&q, m->data, sizeof(q));
	if (q.flags || q.count)
		return vuser_refuse(v, -EINVAL, "fields that must be 0 are not");
	r = check_argsz(v, q.argsz, sizeof(q));
	if (r < 0)
		return r;
	return vuser_region_get(v, q.index, &region);
}

int vuser_check_irq_info(struct vuser *v, const struct vuser_msg *m)
{
	const struct vuser_irq *irq;
	struct vfio_irq_info q;
	int r;

	memcpy(&q, m->data, sizeof(q));
	if (q.flags || q.count)
		return vuser_refuse(v, -EINVAL, "fields that must be 0 are not");
	r = check_argsz(v, q.argsz, sizeof(q));
	if (r < 0)
		return r;
	return vuser_irq_get(v, q.index, &irq);
}

static bool one_bit(uint32_t mask)
{
	return mask && !(mask & (mask - 1));
}

/*
 * Could @fd be an eventfd? Without a file system there is no asking its name, and writing to find out would ring it. What can be
 * seen: eventfds live on the anonymous inode, whose mode has no file type (fs/anon_inodes.c; pipes, sockets, devices, memfds and
 * files of /proc all have one), and one that has room can be polled for writing (fs/eventfd.c), which epoll, timer, signal,
 * inotify and pid descriptors never can. What slips through (a KVM or io_uring descriptor) is refused by the kernel's
 * eventfd_ctx_fdget() with EINVAL when it is handed to VFIO_DEVICE_SET_IRQS, before anything could signal it.
 */
static bool may_be_eventfd(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == 0 && poll(&p, 1, 0) == 1 && p.revents == POLLOUT;
}

/* Count 0 is the kernel's and the protocol's way to say "all of this index off", in exactly this form. */
static int check_irq_range(struct vuser *v, const struct vfio_irq_set *q, const struct vuser_irq *irq)
{
	if (q->start >= irq->count || q->count > irq->count - q->start)
		return vuser_refuse(v, -EINVAL, "irq index %u: %u vectors from %u, has %u", q->index, q->count, q->start,
				    irq->count);
	if (q->count == 0 && (q->start || q->flags != (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER)))
		return vuser_refuse(v, -EINVAL, "irq index %u: no vectors, flags %#x, start %u", q->index, q->flags, q->start);
	return 0;
}

static int check_irq_data(struct vuser *v, const struct vfio_irq_set *q, size_t len)
{
	size_t want = sizeof(*q) + ((q->flags & VFIO_IRQ_SET_DATA_BOOL) ? q->count : 0);

	/* here argsz is the size of the request: nothing but a reply header comes back */
	if (len != want || q->argsz != want)
		return vuser_refuse(v, -EINVAL, "payload %zu, argsz %u, must be %zu", len, q->argsz, want);
	if (!(q->flags & VFIO_IRQ_SET_DATA_EVENTFD)) {
		if (v->nr_fds)
			return vuser_refuse(v, -EINVAL, "%zu descriptors, but not DATA_EVENTFD", v->nr_fds);
		return 0;
	}
	/* none at all: disarm the range. QEMU sends runs, never a mixture */
	if (v->nr_fds && v->nr_fds != q->count)
		return vuser_refuse(v, -EINVAL, "%zu descriptors for %u vectors", v->nr_fds, q->count);
	for (size_t i = 0; i < v->nr_fds; i++)
		if (!may_be_eventfd(v->fds[i]))
			return vuser_refuse(v, -EINVAL, "descriptor %zu is no eventfd", i);
	return 0;
}

int vuser_check_set_irqs(struct vuser *v, const struct vuser_msg *m)
{
	const struct vuser_irq *irq;
	struct vfio_irq_set q;
	int r;

	memcpy(&q, m->data, sizeof(q));
	if ((q.flags & ~(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK)) ||
	    !one_bit(q.flags & VFIO_IRQ_SET_DATA_TYPE_MASK) || !one_bit(q.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK))
		return vuser_refuse(v, -EINVAL, "flags %#x", q.flags);
	r = vuser_irq_get(v, q.index, &irq);
	if (r < 0)
		return r;
	if (!(q.flags & VFIO_IRQ_SET_ACTION_TRIGGER) && !(irq->flags & VFIO_IRQ_INFO_MASKABLE))
		return vuser_refuse(v, -EINVAL, "irq index %u cannot be masked", q.index);
	if ((q.flags & VFIO_IRQ_SET_DATA_EVENTFD) && !(irq->flags & VFIO_IRQ_INFO_EVENTFD))
		return vuser_refuse(v, -EINVAL, "irq index %u takes no eventfd", q.index);
	r = check_irq_range(v, &q, irq);
	if (r < 0)
		return r;
	return check_irq_data(v, &q, m->len);
}

static int check_access(struct vuser *v, uint64_t offset, uint32_t index, uint32_t count, uint32_t need)
{
	const struct vuser_region *region;
	int r;

	r = vuser_region_get(v, index, &region);
	if (r < 0)
		return r;
	if (count == 0 || count > VUSER_MAX_XFER)
		return vuser_refuse(v, -EINVAL, "region %u: %u bytes at once, must be 1 to %u", index, count, VUSER_MAX_XFER);
	if (offset > region->size || count > region->size - offset)
		return vuser_refuse(v, -EINVAL, "region %u: %u bytes at %#jx, has %#jx", index, count, (uintmax_t)offset,
				    (uintmax_t)region->size);
	if (!(region->flags & need))
		return vuser_refuse(v, -EACCES, "region %u: flags %#x", index, region->flags);
	return 0;
}

int vuser_check_region_read(struct vuser *v, const struct vuser_msg *m)
{
	struct vuser_region_access q;

	memcpy(&q, m->data, sizeof(q));
	return check_access(v, q.offset, q.region, q.count, VFIO_REGION_INFO_FLAG_READ);
}

int vuser_check_region_write(struct vuser *v, const struct vuser_msg *m)
{
	struct vuser_region_access q;

	memcpy(&q, m->data, sizeof(q));
	if (m->len - sizeof(q) != q.count)
		return vuser_refuse(v, -EINVAL, "region %u: %zu bytes of data, %u announced", q.region, m->len - sizeof(q),
				    q.count);
	return check_access(v, q.offset, q.region, q.count, VFIO_REGION_INFO_FLAG_WRITE);
}

/* Every write is looked at before the first is made. */
int vuser_check_write_multi(struct vuser *v, const struct vuser_msg *m)
{
	size_t room = m->len - sizeof(struct vuser_write_multi);
	struct vuser_write_multi q;

	memcpy(&q, m->data, sizeof(q));
	if (room % sizeof(struct vuser_write_one) || q.nr != room / sizeof(struct vuser_write_one))
		return vuser_refuse(v, -EINVAL, "%ju writes in %zu bytes", (uintmax_t)q.nr, room);
	for (size_t i = 0; i < q.nr; i++) {
		struct vuser_write_one one;
		int r;

		memcpy(&one, m->data + sizeof(q) + i * sizeof(one), sizeof(one));
		if (one.count > sizeof(one.data))
			return vuser_refuse(v, -EINVAL, "write %zu: %u bytes", i, one.count);
		r = check_access(v, one.offset, one.region, one.count, VFIO_REGION_INFO_FLAG_WRITE);
		if (r < 0)
			return r;
	}
	return 0;
}

int vuser_check_feature(struct vuser *v, const struct vuser_msg *m)
{
	const uint32_t ways = VUSER_FEATURE_GET | VUSER_FEATURE_SET;
	struct vuser_feature q;

	memcpy(&q, m->data, sizeof(q));
	if ((q.flags & ~(VUSER_FEATURE_INDEX | ways | VUSER_FEATURE_PROBE)) || !(q.flags & (ways | VUSER_FEATURE_PROBE)) ||
	    ((q.flags & ways) == ways && !(q.flags & VUSER_FEATURE_PROBE)))
		return vuser_refuse(v, -EINVAL, "flags %#x", q.flags);
	return check_argsz(v, q.argsz, sizeof(q));
}
