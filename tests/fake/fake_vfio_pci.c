/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fake PCI function: an 82576 VF as vfio-pci shows it. Its regions live in the memfd behind its descriptor, so that a VMM can mmap them.
 * After drivers/vfio/pci/vfio_pci_core.c.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_vfio_internal.h"

#define REGION_OFFSET(index) ((off_t)(index) << 40)
#define MSIX_CAP 0x40
#define EXP_CAP 0xa0
#define MSIX_BAR 3

static void put16(uint8_t *config, unsigned at, uint16_t v)
{
	memcpy(config + at, &v, sizeof(v));
}

static void put32(uint8_t *config, unsigned at, uint32_t v)
{
	memcpy(config + at, &v, sizeof(v));
}

void fake_pci_init(struct fake_vfio *v, struct fake_obj *dev, int fd)
{
	uint8_t config[FAKE_CONFIG_SIZE] = { 0 };

	dev->irq_type = FAKE_NO_IRQ;
	dev->nr_msix = v->nr_msix;
	dev->noresize = v->noresize;
	memset(dev->eventfds, 0xff, sizeof(dev->eventfds));
	put16(config, PCI_VENDOR_ID, 0x8086);
	put16(config, PCI_DEVICE_ID, 0x10ca);
	put16(config, PCI_STATUS, PCI_STATUS_CAP_LIST);
	put32(config, PCI_CLASS_REVISION, 0x02000001);
	put32(config, PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_MEM_TYPE_64);
	put32(config, PCI_BASE_ADDRESS_3, PCI_BASE_ADDRESS_MEM_TYPE_64);
	config[PCI_CAPABILITY_LIST] = MSIX_CAP;
	config[MSIX_CAP] = PCI_CAP_ID_MSIX;
	config[MSIX_CAP + 1] = EXP_CAP;
	put16(config, MSIX_CAP + PCI_MSIX_FLAGS, (uint16_t)(dev->nr_msix - 1));
	put32(config, MSIX_CAP + PCI_MSIX_TABLE, MSIX_BAR);
	put32(config, MSIX_CAP + PCI_MSIX_PBA, 0x2000 | MSIX_BAR);
	config[EXP_CAP] = PCI_CAP_ID_EXP;
	put16(config, EXP_CAP + PCI_EXP_FLAGS, 2);
	if (ftruncate(fd, REGION_OFFSET(FAKE_NR_REGIONS)) < 0 ||
	    pwrite(fd, config, sizeof(config), REGION_OFFSET(VFIO_PCI_CONFIG_REGION_INDEX)) != sizeof(config))
		abort();
}

static uint64_t region_size(unsigned index)
{
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		return FAKE_CONFIG_SIZE;
	return index == VFIO_PCI_BAR0_REGION_INDEX || index == MSIX_BAR ? FAKE_BAR_SIZE : 0;
}

/* Bits of config space that a write changes. */
static uint32_t writable(unsigned at)
{
	switch (at & ~3u) {
	case PCI_COMMAND:
		return PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE;
	case PCI_BASE_ADDRESS_0:
	case PCI_BASE_ADDRESS_3:
		return ~(uint32_t)(FAKE_BAR_SIZE - 1);
	case PCI_BASE_ADDRESS_1:
	case PCI_BASE_ADDRESS_4:
		return UINT32_MAX;
	case MSIX_CAP:
		return (uint32_t)(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) << 16;
	default:
		return 0;
	}
}

ssize_t fake_pci_read(struct fake_vfio *v, int fd, void *buf, size_t len, off_t offset)
{
	unsigned index = (unsigned)(offset >> 40);
	uint64_t at = (uint64_t)(offset - REGION_OFFSET(index));

	if (index >= FAKE_NR_REGIONS || at >= region_size(index))
		return -EINVAL;
	if (len > region_size(index) - at)
		len = (size_t)(region_size(index) - at);
	if (v->dead) {
		memset(buf, 0xff, len);
		return (ssize_t)len;
	}
	return pread(fd, buf, len, offset);
}

ssize_t fake_pci_write(struct fake_vfio *v, int fd, const void *buf, size_t len, off_t offset)
{
	unsigned index = (unsigned)(offset >> 40);
	uint64_t at = (uint64_t)(offset - REGION_OFFSET(index));
	const uint8_t *in = buf;

	if (index >= FAKE_NR_REGIONS || at >= region_size(index))
		return -EINVAL;
	if (len > region_size(index) - at)
		len = (size_t)(region_size(index) - at);
	if (v->dead)
		return (ssize_t)len;
	if (index != VFIO_PCI_CONFIG_REGION_INDEX)
		return pwrite(fd, buf, len, offset);
	for (size_t i = 0; i < len; i++) {
		uint8_t mask = (uint8_t)(writable((unsigned)(at + i)) >> (8 * ((at + i) & 3))), old;

		if (pread(fd, &old, 1, offset + (off_t)i) != 1)
			return -EIO;
		old = (uint8_t)((old & ~mask) | (in[i] & mask));
		if (pwrite(fd, &old, 1, offset + (off_t)i) != 1)
			return -EIO;
	}
	return (ssize_t)len;
}

static int region_info(struct vfio_region_info *info)
{
	const uint32_t all = sizeof(*info) + sizeof(struct vfio_info_cap_header);
	struct vfio_info_cap_header cap = { .id = VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, .version = 1 };

	if (info->argsz < sizeof(*info))
		return -EINVAL;
	if (info->index >= FAKE_NR_REGIONS || info->index == VFIO_PCI_VGA_REGION_INDEX)
		return -EINVAL;
	info->offset = (uint64_t)REGION_OFFSET(info->index);
	info->size = region_size(info->index);
	info->flags = info->size ? VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE : 0;
	info->cap_offset = 0;
	if (info->size && info->index < VFIO_PCI_CONFIG_REGION_INDEX)
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	if (info->index != MSIX_BAR)
		return 0;
	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	if (info->argsz < all) {
		info->argsz = all;
		return 0;
	}
	info->cap_offset = sizeof(*info);
	memcpy((char *)info + info->cap_offset, &cap, sizeof(cap));
	return 0;
}

unsigned fake_pci_irq_count(const struct fake_obj *dev, unsigned index)
{
	switch (index) {
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return dev->nr_msix;
	case VFIO_PCI_ERR_IRQ_INDEX:
	case VFIO_PCI_REQ_IRQ_INDEX:
		return 1;
	default:
		return 0; /* VFs have no INTx, and this one no MSI */
	}
}

static int irq_info(const struct fake_obj *dev, struct vfio_irq_info *info)
{
	if (info->argsz < sizeof(*info) || info->index >= FAKE_NR_IRQS)
		return -EINVAL;
	info->count = fake_pci_irq_count(dev, info->index);
	info->flags = VFIO_IRQ_INFO_EVENTFD;
	if (info->index == VFIO_PCI_INTX_IRQ_INDEX)
		info->flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	else if (info->index != VFIO_PCI_MSIX_IRQ_INDEX || dev->noresize)
		info->flags |= VFIO_IRQ_INFO_NORESIZE;
	return 0;
}

int fake_pci_ioctl(struct fake_vfio *v, struct fake_obj *dev, int fd, unsigned long request, void *arg)
{
	struct vfio_device_info *info = arg;

	(void)fd;
	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		if (info->argsz < offsetof(struct vfio_device_info, cap_offset))
			return -EINVAL;
		info->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
		info->num_regions = FAKE_NR_REGIONS;
		info->num_irqs = FAKE_NR_IRQS;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return region_info(arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return irq_info(dev, arg);
	case VFIO_DEVICE_SET_IRQS:
		return fake_pci_set_irqs(v, dev, arg);
	case VFIO_DEVICE_RESET:
		dev->nr_resets++;
		return 0;
	default:
		return -ENOTTY;
	}
}

static const struct fake_obj *find_device(const struct fake_vfio *v, const char *bdf)
{
	for (struct fake_obj *o = v->objs; o; o = o->next)
		if (o->kind == FAKE_DEVICE && !strcmp(o->bdf, bdf))
			return o;
	return NULL;
}

bool fake_vfio_armed(const struct fake_vfio *v, const char *bdf, unsigned index, unsigned vector)
{
	const struct fake_obj *dev = find_device(v, bdf);

	return dev && fake_pci_armed(dev, index, vector);
}

bool fake_vfio_enabled(const struct fake_vfio *v, const char *bdf, unsigned index)
{
	const struct fake_obj *dev = find_device(v, bdf);

	return dev && dev->irq_type == index;
}

bool fake_vfio_fire(struct fake_vfio *v, const char *bdf, unsigned vector)
{
	const struct fake_obj *dev = find_device(v, bdf);
	uint64_t one = 1;

	return dev && fake_pci_armed(dev, VFIO_PCI_MSIX_IRQ_INDEX, vector) &&
	       write(dev->eventfds[VFIO_PCI_MSIX_IRQ_INDEX][vector], &one, sizeof(one)) == sizeof(one);
}

unsigned fake_vfio_resets(const struct fake_vfio *v, const char *bdf)
{
	const struct fake_obj *dev = find_device(v, bdf);

	return dev ? dev->nr_resets : 0;
}

void fake_vfio_set_msix(struct fake_vfio *v, unsigned count, bool noresize)
{
	v->nr_msix = count < FAKE_MAX_VECTORS ? count : FAKE_MAX_VECTORS;
	v->noresize = noresize;
}

void fake_vfio_set_host_vectors(struct fake_vfio *v, unsigned nr)
{
	v->host_vectors = nr;
}

void fake_vfio_set_dead(struct fake_vfio *v, bool dead)
{
	v->dead = dead;
}
