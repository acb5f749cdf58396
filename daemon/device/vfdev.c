/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vfdev.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <malloc.h>
#include <string.h>

#include "device_proto.h"
#include "gangway_limits.h"
#include "log.h"
#include "sys.h"

#define LOG_WINDOW_US (60u * 1000 * 1000)
/* How long memory may be waited for with an answer due: the VMM holds its big lock and gives up after 5 s. */
#define WAIT_US (2u * 1000 * 1000)
/* Messages of one exchange, which the VMM waits for at its end, are not farther apart. */
#define EXCHANGE_US (100u * 1000)
/* What is mapped within this time of an unmap may be the same memory, moved: the guest knows it. */
#define MOVED_US (1000u * 1000)
#define LOG_PER_WINDOW 20 /* lines that a client can make us log in a window; the last refusal is in status anyway */

/* Standard ones, those of device_proto.h, a VMM (and one more to be refused), control clients (the same). */
#define FDS_FIXED 32

unsigned vfdev_max_fds(const struct vfdev *dev)
{
	return FDS_FIXED + irq_nr_vectors(dev->irq) + LIMIT_VUSER_FDS + VUSER_OUT_FDS;
}

bool vfdev_may_log(struct vfdev *dev)
{
	uint64_t now = dev->sys->ops->now_us(dev->sys);

	if (dev->nr_logged == 0 || now - dev->log_from_us > LOG_WINDOW_US) {
		dev->log_from_us = now;
		dev->nr_logged = 0;
	}
	if (dev->nr_logged < LOG_PER_WINDOW) {
		dev->nr_logged++;
		return true;
	}
	return false;
}

static void refused(struct vfdev *dev, const struct err *err)
{
	dev->last = *err;
	if (vfdev_may_log(dev))
		log_warn("%s: %s", err->code, err->msg);
}

const char *vfdev_hold_to_string(enum vfdev_hold bit)
{
	switch (bit) {
	case VFDEV_HOLD_PENDING:
		return "pending";
	case VFDEV_HOLD_DEGRADED:
		return "degraded";
	case VFDEV_HOLD_QUARANTINE:
		return "quarantine";
	case VFDEV_HOLD_SHARED:
		return "shared";
	}
	return "?";
}

/* Read back instead of guessed from what was written: the kernel and the function decide what sticks. */
static void read_command(struct vfdev *dev)
{
	uint16_t command;

	if (vdev_region_read(dev->vdev, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, &command, sizeof(command)) == sizeof(command))
		dev->command = command;
}

static void set_master(struct vfdev *dev, bool on)
{
	uint16_t command;

	read_command(dev);
	command = (uint16_t)(on ? dev->command | PCI_COMMAND_MASTER : dev->command & ~PCI_COMMAND_MASTER);
	vdev_region_write(dev->vdev, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, &command, sizeof(command));
	read_command(dev);
}

/*
 * The function does DMA where the guest wants it and nothing holds it back. The address space is told before it may, and after it no longer
 * can: what the VMM has unmapped must be out of the IOMMU by the first cycle.
 */
static void apply_master(struct vfdev *dev)
{
	bool on = dev->wants_master && !dev->held;
	struct err err;
	int r = on ? iommu_set_quiet(dev->iommu, false, &err) : 0;

	if (r == -EAGAIN) /* vfdev_process() tries again */
		dev->held |= VFDEV_HOLD_PENDING;
	else if (r < 0) {
		refused(dev, &err);
		dev->held |= VFDEV_HOLD_DEGRADED;
	}
	on = on && r == 0;
	if (on != vfdev_bus_master(dev))
		set_master(dev, on);
	if (!vfdev_bus_master(dev) && r != -EAGAIN)
		iommu_set_quiet(dev->iommu, true, NULL);
}

void vfdev_hold(struct vfdev *dev, enum vfdev_hold why, bool on)
{
	unsigned held = on ? dev->held | why : dev->held & ~(unsigned)why;

	if (held == dev->held && !(on && why & (VFDEV_HOLD_QUARANTINE | VFDEV_HOLD_SHARED)))
		return;
	if (held == dev->held) /* gangwayd says it again: the VMM may have written past us */
		read_command(dev);
	dev->held = held;
	apply_master(dev);
}

static uint64_t now_us(const struct vfdev *dev)
{
	return dev->sys->ops->now_us(dev->sys);
}

/* The guest has not been told of the memory that is pending. */
static bool is_unheard_of(const struct vfdev *dev)
{
	return dev->later == VFDEV_LATER_MAP && now_us(dev) < dev->later_by_us;
}

/* The mappings have changed. */
static void dma_changed(struct vfdev *dev)
{
	struct iommu_stats dma;

	iommu_get_stats(dev->iommu, &dma);
	vfdev_hold(dev, VFDEV_HOLD_DEGRADED, dma.degraded);
	vfdev_hold(dev, VFDEV_HOLD_PENDING, dma.bytes_pending && !is_unheard_of(dev));
}

static bool is_pending(const struct vfdev *dev)
{
	struct iommu_stats dma;

	iommu_get_stats(dev->iommu, &dma);
	return dma.bytes_pending;
}

/*
 * Memory is hot-plugged while the function does DMA. The guest learns of it when the VMM has our answer, so nobody has a reason to have the
 * function reach for it before: the answer waits for the memory to land, and no frame is lost. All messages of the exchange share the time;
 * when it is over, they are answered, and the hold does what it does at boot.
 */
static bool put_off_map(struct vfdev *dev)
{
	uint64_t now = now_us(dev);

	if (dev->later == VFDEV_LATER_NONE && (!dev->answered_us || now - dev->answered_us > EXCHANGE_US))
		dev->later_by_us = now + WAIT_US;
	if (dev->moved_us && now - dev->moved_us <= MOVED_US)
		dev->later_by_us = now; /* and what waited already does not any more: with the hold on, it is for nothing */
	if (now >= dev->later_by_us)
		return false;
	dev->later = VFDEV_LATER_MAP;
	return true;
}

void vfdev_process(struct vfdev *dev)
{
	struct err err;

	if (iommu_process(dev->iommu, &err) < 0)
		refused(dev, &err);
	dma_changed(dev);
}

static int dma_map(void *ctx, const struct vuser_dma_map *map, int fd)
{
	struct vfdev *dev = ctx;
	struct iommu_map_request req = { .iova = map->iova, .size = map->size, .offset = map->offset, .fd = fd };
	bool does_dma = vfdev_bus_master(dev);
	struct err err;
	int r;

	if (map->readable)
		req.prot |= IOMMU_PROT_READ;
	if (map->writable)
		req.prot |= IOMMU_PROT_WRITE;
	r = iommu_map(dev->iommu, &req, &err);
	if (r < 0)
		refused(dev, &err);
	else if (does_dma && is_pending(dev) && put_off_map(dev))
		r = VUSER_LATER;
	dma_changed(dev);
	return r;
}

static int dma_unmap(void *ctx, uint64_t iova, uint64_t size, uint64_t *ret_size)
{
	struct vfdev *dev = ctx;
	struct err err;
	int r;

	/* the VMM holds the device's descriptor, and may have set the bit past us: then nothing is parked */
	read_command(dev);
	if (vfdev_bus_master(dev)) {
		dev->moved_us = now_us(dev);
		r = iommu_set_quiet(dev->iommu, false, &err);
		if (r < 0 && r != -EAGAIN)
			refused(dev, &err);
	}
	r = iommu_unmap(dev->iommu, iova, size, ret_size, &err);
	if (r < 0)
		refused(dev, &err);
	dma_changed(dev);
	return r;
}

static int dma_unmap_all(void *ctx, uint64_t *ret_size)
{
	struct vfdev *dev = ctx;
	struct err err;
	int r;

	if (vfdev_bus_master(dev))
		dev->moved_us = now_us(dev);
	r = iommu_unmap_all(dev->iommu, ret_size, &err);
	if (r < 0)
		refused(dev, &err);
	dma_changed(dev);
	return r;
}

static int device_info(void *ctx, struct vfio_device_info *ret)
{
	struct vfdev *dev = ctx;

	*ret = (struct vfio_device_info){
		.argsz = sizeof(*ret),
		.flags = VFIO_DEVICE_FLAGS_PCI | (vdev_can_reset(dev->vdev) ? VFIO_DEVICE_FLAGS_RESET : 0),
		.num_regions = vdev_nr_regions(dev->vdev),
		.num_irqs = vdev_nr_irqs(dev->vdev),
	};
	return 0;
}

static int region_info(void *ctx, unsigned index, struct vfio_region_info **ret, int *ret_fd)
{
	struct vfdev *dev = ctx;
	int r;

	r = vdev_region_info(dev->vdev, index, ret, NULL);
	if (r < 0)
		return r;
	*ret_fd = (*ret)->flags & VFIO_REGION_INFO_FLAG_MMAP ? vdev_get_fds(dev->vdev).device : -1;
	return 0;
}

static int irq_info(void *ctx, unsigned index, struct vfio_irq_info *ret)
{
	struct vfdev *dev = ctx;

	return vdev_irq_info(dev->vdev, index, ret, NULL);
}

static int set_irqs(void *ctx, const struct vfio_irq_set *set, const uint8_t *data, int *fds, size_t nr_fds)
{
	struct vfdev *dev = ctx;
	struct err err;
	int r;

	r = irq_set(dev->irq, set, data, fds, nr_fds, &err);
	if (r < 0)
		refused(dev, &err);
	return r;
}

/* The byte of [@offset, @offset + @len) in config space that has the bus master bit; NULL: it is not among them. */
static uint8_t *command_byte(unsigned index, uint64_t offset, size_t len, uint8_t *buf)
{
	if (index != VFIO_PCI_CONFIG_REGION_INDEX || offset > PCI_COMMAND || len <= PCI_COMMAND - offset)
		return NULL;
	return buf + (PCI_COMMAND - offset);
}

static ssize_t region_read(void *ctx, unsigned index, uint64_t offset, void *buf, size_t len)
{
	struct vfdev *dev = ctx;
	ssize_t n = vdev_region_read(dev->vdev, index, offset, buf, len);
	uint8_t *byte = n > 0 ? command_byte(index, offset, (size_t)n, buf) : NULL;

	if (byte)
		*byte = (uint8_t)((*byte & ~PCI_COMMAND_MASTER) | (dev->wants_master ? PCI_COMMAND_MASTER : 0));
	return n;
}

/* The bus master bit goes its own way: off at once, on when nothing holds it back. */
static ssize_t region_write(void *ctx, unsigned index, uint64_t offset, const void *buf, size_t len)
{
	uint8_t copy[PCI_CFG_SPACE_EXP_SIZE], *byte;
	struct vfdev *dev = ctx;
	ssize_t n;

	if (index != VFIO_PCI_CONFIG_REGION_INDEX || len > sizeof(copy))
		return vdev_region_write(dev->vdev, index, offset, buf, len);
	memcpy(copy, buf, len);
	byte = command_byte(index, offset, len, copy);
	if (byte) {
		dev->wants_master = *byte & PCI_COMMAND_MASTER;
		if (!vfdev_bus_master(dev) || dev->held)
			*byte &= (uint8_t)~PCI_COMMAND_MASTER;
	}
	n = vdev_region_write(dev->vdev, index, offset, copy, len);
	if (byte) {
		read_command(dev);
		apply_master(dev);
	}
	return n;
}

static int reset_now(struct vfdev *dev)
{
	struct err err;
	int r;

	r = vdev_reset(dev->vdev, &err);
	if (r < 0)
		refused(dev, &err);
	read_command(dev);
	apply_master(dev);
	return r;
}

/*
 * The VMM resets the function before it shows it to the guest, whose driver would find a device that can do no DMA yet. So the reset, which
 * takes its time anyway, waits for the memory: an exchange of its own, the VMM waits for nothing else.
 */
static int reset(void *ctx)
{
	struct vfdev *dev = ctx;

	if (!is_pending(dev))
		return reset_now(dev);
	dev->later = VFDEV_LATER_RESET;
	dev->later_by_us = now_us(dev) + WAIT_US;
	return VUSER_LATER;
}

bool vfdev_later_due(struct vfdev *dev, int *ret)
{
	enum vfdev_later what = dev->later;

	if (what == VFDEV_LATER_NONE || (is_pending(dev) && now_us(dev) < dev->later_by_us))
		return false;
	dev->later = VFDEV_LATER_NONE;
	dev->answered_us = now_us(dev);
	dma_changed(dev); /* the guest may be told of what is pending still */
	*ret = what == VFDEV_LATER_RESET ? reset_now(dev) : 0;
	return true;
}

int vfdev_timeout_ms(const struct vfdev *dev)
{
	uint64_t now = now_us(dev);

	if (dev->later == VFDEV_LATER_NONE)
		return -1;
	return now >= dev->later_by_us ? 0 : (int)((dev->later_by_us - now) / 1000) + 1;
}

static void on_client(void *ctx, bool connected)
{
	struct vfdev *dev = ctx;

	if (vfdev_may_log(dev))
		log_info("vf %s: the VMM has %s", vdev_bdf(dev->vdev), connected ? "connected" : "gone");
	if (connected) {
		err_clear(&dev->last);
		dev->quiet = false;
	} else {
		dev->later = VFDEV_LATER_NONE;
		dev->answered_us = dev->moved_us = 0;
		err_clear(&dev->last); /* why it has gone is later, and the server's to tell; what fails now is later still */
		vfdev_quiesce(dev);
	}
}

const struct vuser_ops vfdev_ops = {
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
};

int vfdev_init(struct vfdev *dev, struct sys *sys, const char *bdf, struct vdev_fds fds, uint64_t ram_bytes, unsigned nr_threads,
	       struct err *err)
{
	struct iommu_config config = { .fd = fds.container, .max_bytes = device_ram_limit(ram_bytes), .nr_threads = nr_threads };
	char name[64] = "vf ";
	int r;

	*dev = (struct vfdev){ .sys = sys };
	r = vdev_from_fds(sys, bdf, fds, &dev->vdev, err);
	if (r < 0)
		return r;
	strncat(name, bdf, sizeof(name) - strlen(name) - 1);
	config.name = name;
	r = iommu_new(sys, &iommu_type1, &config, &dev->iommu, err);
	if (r == 0)
		r = irq_new(dev->vdev, &dev->irq, err);
	if (r < 0) {
		vfdev_done(dev);
		return r;
	}
	read_command(dev);
	apply_master(dev); /* nobody wants it yet: off, and quiet */
	return 0;
}

void vfdev_done(struct vfdev *dev)
{
	if (dev->irq && dev->iommu && !dev->quiet)
		vfdev_quiesce(dev);
	dev->irq = irq_free(dev->irq);
	dev->iommu = iommu_free(dev->iommu);
	dev->vdev = vdev_close(dev->vdev);
}

/*
 * In the order in which nothing is left behind: the function stops to write first, so that it meets no unmapped address on the way.
 * Every step is tried whatever the one before said.
 */
void vfdev_quiesce(struct vfdev *dev)
{
	struct err err;

	dev->wants_master = false;
	set_master(dev, false); /* whatever we think it is: the VMM holds the device's descriptor and may have written past us */
	if (irq_disarm_all(dev->irq, &err) < 0)
		refused(dev, &err);
	if (vdev_can_reset(dev->vdev) && vdev_reset(dev->vdev, &err) < 0)
		refused(dev, &err);
	if (iommu_unmap_all(dev->iommu, NULL, &err) < 0)
		refused(dev, &err);
	read_command(dev);
	dma_changed(dev);
	apply_master(dev);
	malloc_trim(0); /* what a flood of ranges took, 25 MiB at 65535 of them, the C library would keep */
	dev->quiet = true;
}

bool vfdev_bus_master(const struct vfdev *dev)
{
	return dev->command & PCI_COMMAND_MASTER;
}
