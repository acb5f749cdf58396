/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One poll(2), everything the process reacts to on one screen. */
#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "devctl.h"
#include "log.h"
#include "sys.h"
#include "vfdev.h"
#include "vuser.h"

enum slot { SLOT_VUSER_LISTEN, SLOT_VUSER, SLOT_IOMMU, SLOT_CTL, SLOT_NUM = SLOT_CTL + 1 + DEVCTL_CLIENTS };

#define PROGRESS_MS 250 /* while memory is being mapped: how often gangwayd is told how far it has come */
#define ACCEPT_PAUSE_MS 100 /* after accept(2) failed for lack of something, or it would be tried without end */

static uint64_t now_ms(struct vfdev *dev)
{
	return dev->sys->ops->now_us(dev->sys) / 1000;
}

static void get_status(const struct vuser *vuser, const struct vfdev *dev, struct devctl_status *ret)
{
	const struct vuser_stats *v = vuser_get_stats(vuser);
	struct iommu_stats dma;

	iommu_get_stats(dev->iommu, &dma);
	*ret = (struct devctl_status){
		.vuser_state = vuser_state_to_string(vuser_get_state(vuser)),
		.nr_messages = v->nr_messages,
		.nr_rejected = v->nr_rejected,
		.nr_clients = v->nr_clients,
		.dma_ranges = dma.nr_ranges,
		.dma_bytes = dma.bytes,
		.dma_pending = dma.bytes_pending,
		.dma_pinned_total = dma.bytes_mapped_total,
		.dma_rate = dma.bytes_per_second,
		.held = dev->held,
		.vectors_armed = irq_nr_armed(dev->irq),
		.bus_master = vfdev_bus_master(dev),
		.degraded = dma.degraded,
		.last_error = dev->last.num ? dev->last.msg : vuser_last_error(vuser),
	};
	ret->nr_files = iommu_get_files(dev->iommu, ret->files);
}

static int earlier(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

static int accept_vmm(struct vuser *vuser, struct vfdev *dev, int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED ? 0 : -errno;
	if (vuser_accept(vuser, fd) == -EBUSY && vfdev_may_log(dev))
		log_warn("a second VMM connected while one is served: refused");
	return 0;
}

int device_serve(struct devctl *ctl, struct vuser *vuser, struct vfdev *dev, int vuser_listen)
{
	struct pollfd fds[SLOT_NUM];
	struct devctl_status status;
	uint64_t accept_from = 0;

	ctl->iommu = dev->iommu;
	while (!ctl->stop) {
		uint64_t now = now_ms(dev);
		bool paused = now < accept_from;
		int timeout, client, answer;

		get_status(vuser, dev, &status);
		timeout = devctl_tell(ctl, &status, now);
		timeout = earlier(timeout, vuser_timeout_ms(vuser));
		timeout = earlier(timeout, iommu_timeout_ms(dev->iommu));
		timeout = earlier(timeout, vfdev_timeout_ms(dev));
		if (status.dma_pending)
			timeout = earlier(timeout, PROGRESS_MS);
		if (paused)
			timeout = earlier(timeout, ACCEPT_PAUSE_MS);
		client = vuser_fd(vuser);
		fds[SLOT_VUSER_LISTEN] = (struct pollfd){ .fd = paused ? -1 : vuser_listen, .events = POLLIN };
		fds[SLOT_VUSER] = (struct pollfd){ .fd = client, .events = client < 0 ? 0 : vuser_events(vuser) };
		fds[SLOT_IOMMU] = (struct pollfd){ .fd = iommu_fd(dev->iommu), .events = POLLIN };
		devctl_poll(ctl, &fds[SLOT_CTL]);
		if (paused)
			fds[SLOT_CTL].fd = -1;
		if (poll(fds, SLOT_NUM, timeout) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		vfdev_process(dev);
		if (vfdev_later_due(dev, &answer))
			vuser_later_done(vuser, answer);
		/* also when nothing has arrived: a client may have been silent too long */
		if (client >= 0)
			vuser_process(vuser, fds[SLOT_VUSER].revents);
		if (fds[SLOT_VUSER_LISTEN].revents && accept_vmm(vuser, dev, vuser_listen) < 0)
			accept_from = now_ms(dev) + ACCEPT_PAUSE_MS;
		get_status(vuser, dev, &status);
		if (devctl_process(ctl, &fds[SLOT_CTL], &status) < 0)
			accept_from = now_ms(dev) + ACCEPT_PAUSE_MS;
		for (unsigned bit = 1; bit < 1u << VFDEV_NUM_HOLDS; bit <<= 1)
			if ((ctl->hold | ctl->release) & bit)
				vfdev_hold(dev, (enum vfdev_hold)bit, ctl->hold & bit);
		ctl->hold = ctl->release = 0;
	}
	ctl->iommu = NULL;
	dev->quiet = false; /* a VMM that left earlier may have used the device's descriptor since */
	return 0;
}
