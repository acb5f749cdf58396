/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the fake VFIO share: container, group and device, each behind descriptors that may be duplicated and passed. */
#ifndef GANGWAY_FAKE_VFIO_INTERNAL_H
#define GANGWAY_FAKE_VFIO_INTERNAL_H

#include <sys/types.h>

#include "fake.h"
#include "fake_vfio.h"

#define FAKE_MAX_VECTORS 64
#define FAKE_NR_REGIONS 9
#define FAKE_NR_IRQS 5
#define FAKE_NO_IRQ FAKE_NR_IRQS
#define FAKE_CONFIG_SIZE 4096
#define FAKE_BAR_SIZE 0x4000

enum fake_kind { FAKE_CONTAINER, FAKE_GROUP, FAKE_DEVICE };

struct fake_dma {
	uint64_t iova, size, vaddr;
	uint32_t flags;
	bool pinned; /* vaddr is a mapping of our own: pinned pages stay when their user unmaps them */
	struct fake_dma *next;
};

struct fake_obj {
	enum fake_kind kind;
	int fds[16]; /* descriptors of it that we have seen; the object goes with the last one */
	unsigned nr_fds;
	ino_t ino; /* of the memfd behind them: how a duplicate is known */
	struct fake_obj *next;

	/* container */
	bool iommu_set;
	struct fake_dma *dmas;
	uint32_t dma_avail;

	/* group */
	int group_id;
	struct fake_obj *container;

	/* device */
	struct fake_obj *group;
	char bdf[32];
	unsigned irq_type; /* INTx, MSI or MSI-X; FAKE_NO_IRQ: none */
	unsigned nr_alloc;
	unsigned nr_msix;
	bool noresize;
	int eventfds[FAKE_NR_IRQS][FAKE_MAX_VECTORS]; /* -1: none */
	unsigned nr_resets;
};

struct fake_vfio {
	struct fake *fake;
	struct fake_obj *objs;
	uint64_t memlock, pinned;
	unsigned nr_dmas;
	unsigned nr_msix, host_vectors;
	bool noresize, dead, lie;
	uint32_t dma_limit;
};

void fake_type1_clear(struct fake_vfio *v, struct fake_obj *container);
int fake_type1_ioctl(struct fake_vfio *v, struct fake_obj *container, unsigned long request, void *arg);

void fake_pci_init(struct fake_vfio *v, struct fake_obj *dev, int fd);
void fake_pci_clear(struct fake_obj *dev);
int fake_pci_ioctl(struct fake_vfio *v, struct fake_obj *dev, int fd, unsigned long request, void *arg);
ssize_t fake_pci_read(struct fake_vfio *v, int fd, void *buf, size_t len, off_t offset);
ssize_t fake_pci_write(struct fake_vfio *v, int fd, const void *buf, size_t len, off_t offset);
int fake_pci_set_irqs(struct fake_vfio *v, struct fake_obj *dev, const void *arg);
unsigned fake_pci_irq_count(const struct fake_obj *dev, unsigned index);
bool fake_pci_armed(const struct fake_obj *dev, unsigned index, unsigned vector);

#endif
