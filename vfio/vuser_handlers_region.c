/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Regions: what they are, and access to what is not mapped. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vuser_internal.h"

/*
 * The kernel's answer as it is, its offset too: it is the region's place in the descriptor that goes with it. Three changes:
 * - Too little room: argsz says how much is needed and the chain is left out. The CAPS flag then has to go (QEMU takes CAPS
 *   without a cap_offset for a broken server; the kernel leaves it set). No descriptor either: the client will ask again.
 * - No descriptor, or a client that takes none: it cannot be mapped, so the MMAP flag goes, access is by messages.
 */
int vuser_handle_region_info(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	struct vfio_region_info q, *info;
	int fd, ret;

	memcpy(&q, m->data, sizeof(q));
	ret = vuser_region_ask(v, q.index, &info, &fd);
	if (ret < 0)
		return ret;
	if (fd < 0 || v->caps.max_msg_fds == 0)
		info->flags &= ~(uint32_t)VFIO_REGION_INFO_FLAG_MMAP;
	if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP))
		fd = -1;
	r->len = info->argsz;
	if (info->argsz > q.argsz) {
		info->flags &= ~(uint32_t)VFIO_REGION_INFO_FLAG_CAPS;
		info->cap_offset = 0;
		r->len = sizeof(*info);
		fd = -1;
	}
	memcpy(r->data, info, r->len);
	r->fd = fd;
	free(info);
	return 0;
}

/* Optional in the protocol. We have none to offer: a write that is not mapped away is rare here and goes by message. */
int vuser_handle_region_io_fds(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	struct vuser_region_io_fds a;

	(void)v;
	memcpy(&a, m->data, sizeof(a));
	a.argsz = sizeof(a);
	memcpy(r->data, &a, sizeof(a));
	r->len = sizeof(a);
	return 0;
}

int vuser_handle_region_read(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	struct vuser_region_access q;
	ssize_t n;

	memcpy(&q, m->data, sizeof(q));
	n = v->ops->region_read(v->ctx, q.region, q.offset, r->data + sizeof(q), q.count);
	if (n < 0)
		return (int)n;
	if (n == 0 || (size_t)n > q.count)
		return vuser_refuse(v, -EIO, "region %u: read %zd of %u bytes at %#jx", q.region, n, q.count,
				    (uintmax_t)q.offset);
	v->stats.nr_region_access++;
	q.count = (uint32_t)n;
	memcpy(r->data, &q, sizeof(q));
	r->len = sizeof(q) + q.count;
	return 0;
}

int vuser_handle_region_write(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	struct vuser_region_access q;
	ssize_t n;

	memcpy(&q, m->data, sizeof(q));
	n = v->ops->region_write(v->ctx, q.region, q.offset, m->data + sizeof(q), q.count);
	if (n < 0)
		return (int)n;
	if (n == 0 || (size_t)n > q.count)
		return vuser_refuse(v, -EIO, "region %u: wrote %zd of %u bytes at %#jx", q.region, n, q.count,
				    (uintmax_t)q.offset);
	v->stats.nr_region_access++;
	q.count = (uint32_t)n;
	memcpy(r->data, &q, sizeof(q));
	r->len = sizeof(q);
	return 0;
}

/* Stops at the first write that fails. The client learns how many were made; if none was, why. */
int vuser_handle_write_multi(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	struct vuser_write_multi q, done = { 0 };

	memcpy(&q, m->data, sizeof(q));
	for (; done.nr < q.nr; done.nr++) {
		struct vuser_write_one one;
		ssize_t n;

		memcpy(&one, m->data + sizeof(q) + done.nr * sizeof(one), sizeof(one));
		n = v->ops->region_write(v->ctx, one.region, one.offset, one.data, one.count);
		if (n == (ssize_t)one.count) {
			v->stats.nr_region_access++;
			continue;
		}
		if (done.nr == 0)
			return n < 0 ? (int)n : -EIO;
		break;
	}
	memcpy(r->data, &done, sizeof(done));
	r->len = sizeof(done);
	return 0;
}
