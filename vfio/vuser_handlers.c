/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory, device, interrupts: what a validated message makes the device do. Regions: vuser_handlers_region.c. */
#include <errno.h>
#include <string.h>

#include "fdutil.h"
#include "vuser_internal.h"

int vuser_handle_dma_map(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	struct vuser_dma_map_req q;
	struct vuser_dma_map map;
	int fd = -1, ret;

	(void)r;
	memcpy(&q, m->data, sizeof(q));
	map = (struct vuser_dma_map){
		.iova = q.address,
		.size = q.size,
		.offset = q.offset,
		.readable = q.flags & VUSER_DMA_READABLE,
		.writable = q.flags & VUSER_DMA_WRITABLE,
	};
	if (v->nr_fds)
		fd = fd_take(&v->fds[--v->nr_fds]);
	ret = v->ops->dma_map(v->ctx, &map, fd);
	if (ret < 0)
		return ret;
	v->stats.nr_dma_map++;
	return ret;
}

int vuser_handle_dma_unmap(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	struct vuser_dma_unmap_req q;
	uint64_t size = 0;
	int ret;

	memcpy(&q, m->data, sizeof(q));
	if (q.flags & VUSER_UNMAP_ALL)
		ret = v->ops->dma_unmap_all(v->ctx, &size);
	else
		ret = v->ops->dma_unmap(v->ctx, q.address, q.size, &size);
	if (ret < 0)
		return ret;
	v->stats.nr_dma_unmap++;
	/* the request comes back, with what was really unmapped as the ioctl would say it */
	q.argsz = sizeof(q);
	q.size = size;
	memcpy(r->data, &q, sizeof(q));
	r->len = sizeof(q);
	return 0;
}

int vuser_handle_device_info(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	const struct vfio_device_info *device;
	struct vuser_device_info a;
	int ret;

	(void)m;
	ret = vuser_device_get(v, &device);
	if (ret < 0)
		return ret;
	a = (struct vuser_device_info){
		.argsz = sizeof(a),
		/* capabilities have no place in this answer, other buses none in the protocol */
		.flags = device->flags & (VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI),
		.num_regions = device->num_regions,
		.num_irqs = device->num_irqs,
	};
	memcpy(r->data, &a, sizeof(a));
	r->len = sizeof(a);
	return 0;
}

int vuser_handle_irq_info(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	const struct vuser_irq *irq;
	struct vfio_irq_info a;
	int ret;

	memcpy(&a, m->data, sizeof(a));
	ret = vuser_irq_get(v, a.index, &irq);
	if (ret < 0)
		return ret;
	a.argsz = sizeof(a);
	a.flags = irq->flags;
	a.count = irq->count;
	memcpy(r->data, &a, sizeof(a));
	r->len = sizeof(a);
	return 0;
}

int vuser_handle_set_irqs(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	const uint8_t *data = NULL;
	struct vfio_irq_set q;
	int fds[LIMIT_VUSER_FDS], ret;
	size_t nr = v->nr_fds;

	(void)r;
	memcpy(&q, m->data, sizeof(q));
	if (q.flags & VFIO_IRQ_SET_DATA_BOOL)
		data = m->data + sizeof(q);
	for (size_t i = 0; i < nr; i++)
		fds[i] = fd_take(&v->fds[i]);
	v->nr_fds = 0;
	ret = v->ops->set_irqs(v->ctx, &q, data, fds, nr);
	if (ret < 0)
		return ret;
	v->stats.nr_set_irqs++;
	return 0;
}

int vuser_handle_reset(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	(void)m;
	(void)r;
	return v->ops->reset(v->ctx);
}

/* We migrate by changing legs, not by device state, so there is no feature to get, set or find. ENOTTY is what the kernel says. */
int vuser_handle_feature(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	struct vuser_feature q;

	(void)r;
	memcpy(&q, m->data, sizeof(q));
	return vuser_refuse(v, -ENOTTY, "feature %u is not supported", q.flags & VUSER_FEATURE_INDEX);
}

int vuser_handle_unsupported(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	(void)m;
	(void)r;
	return vuser_refuse(v, -EOPNOTSUPP, "not supported");
}

int vuser_handle_wrong_way(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r)
{
	(void)m;
	(void)r;
	return vuser_refuse(v, -EINVAL, "goes from server to client only");
}
