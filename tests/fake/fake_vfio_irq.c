/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fake function's interrupts, after drivers/vfio/pci/vfio_pci_intrs.c: with what it forgets when a run fails. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fake_vfio_internal.h"

bool fake_pci_armed(const struct fake_obj *dev, unsigned index, unsigned vector)
{
	return index < FAKE_NR_IRQS && vector < FAKE_MAX_VECTORS && dev->eventfds[index][vector] >= 0;
}

static bool is_eventfd(int fd)
{
	char path[32], name[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	if (n < 0)
		return false;
	name[n] = '\0';
	return strstr(name, "[eventfd]") != NULL;
}

static void disarm(struct fake_obj *dev, unsigned index, unsigned vector)
{
	int *fd = &dev->eventfds[index][vector];

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* The old eventfd goes first, whether or not the new one is any good. */
static int set_signal(struct fake_obj *dev, unsigned index, unsigned vector, int fd)
{
	if (dev->noresize && vector >= dev->nr_alloc)
		return -EINVAL;
	disarm(dev, index, vector);
	if (fd < 0)
		return 0;
	if (!is_eventfd(fd))
		return -EINVAL;
	dev->eventfds[index][vector] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

static int set_block(struct fake_obj *dev, unsigned index, unsigned start, unsigned count, const int32_t *fds)
{
	for (unsigned i = 0; i < count; i++) {
		int r = set_signal(dev, index, start + i, fds[i]);

		if (r < 0) {
			for (unsigned k = 0; k <= i; k++)
				disarm(dev, index, start + k);
			return r;
		}
	}
	return 0;
}

static void msi_disable(struct fake_obj *dev)
{
	for (unsigned i = 0; i < FAKE_MAX_VECTORS; i++)
		disarm(dev, dev->irq_type, i);
	dev->irq_type = FAKE_NO_IRQ;
	dev->nr_alloc = 0;
}

static int set_msi(struct fake_vfio *v, struct fake_obj *dev, const struct vfio_irq_set *set)
{
	const int32_t *fds = (const int32_t *)set->data;
	int r;

	if (!set->count && set->flags & VFIO_IRQ_SET_DATA_NONE && dev->irq_type == set->index) {
		msi_disable(dev);
		return 0;
	}
	if (dev->irq_type != set->index && dev->irq_type != FAKE_NO_IRQ)
		return -EINVAL;
	if (!(set->flags & VFIO_IRQ_SET_DATA_EVENTFD))
		return dev->irq_type == set->index ? 0 : -EINVAL;
	if (dev->irq_type == set->index)
		return set_block(dev, set->index, set->start, set->count, fds);
	if (set->start + set->count > v->host_vectors)
		return v->host_vectors ? (int)v->host_vectors : -ENOSPC; /* pci_alloc_irq_vectors() */
	dev->irq_type = set->index;
	dev->nr_alloc = set->start + set->count;
	r = set_block(dev, set->index, set->start, set->count, fds);
	if (r < 0)
		msi_disable(dev);
	return r;
}

static int set_single(struct fake_obj *dev, const struct vfio_irq_set *set)
{
	const int32_t *fds = (const int32_t *)set->data;
	int *slot = &dev->eventfds[set->index][0];

	if (set->flags & VFIO_IRQ_SET_DATA_NONE) {
		if (*slot < 0)
			return -EINVAL;
		if (!set->count)
			disarm(dev, set->index, 0);
		return 0;
	}
	if (!(set->flags & VFIO_IRQ_SET_DATA_EVENTFD) || !set->count)
		return -EINVAL;
	if (fds[0] >= 0 && !is_eventfd(fds[0]))
		return -EINVAL;
	disarm(dev, set->index, 0);
	if (fds[0] >= 0)
		*slot = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	return 0;
}

static int validate(const struct fake_obj *dev, const struct vfio_irq_set *set)
{
	uint32_t type = set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK, action = set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	size_t size = type == VFIO_IRQ_SET_DATA_EVENTFD ? sizeof(int32_t) : type == VFIO_IRQ_SET_DATA_BOOL ? 1 : 0;
	unsigned nr = set->index < FAKE_NR_IRQS ? fake_pci_irq_count(dev, set->index) : 0;

	if (set->argsz < sizeof(*set) || set->index >= FAKE_NR_IRQS || set->count >= UINT32_MAX - set->start ||
	    set->flags & ~(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK))
		return -EINVAL;
	if (set->start >= nr || set->start + set->count > nr)
		return -EINVAL;
	if (!type || type & (type - 1) || !action || action & (action - 1))
		return -EINVAL;
	if (size && (set->argsz - sizeof(*set) < set->count * size || !set->count))
		return -EINVAL;
	return 0;
}

int fake_pci_set_irqs(struct fake_vfio *v, struct fake_obj *dev, const void *arg)
{
	const struct vfio_irq_set *set = arg;
	int r = validate(dev, set);

	if (r < 0)
		return r;
	if (!(set->flags & VFIO_IRQ_SET_ACTION_TRIGGER))
		return -ENOTTY; /* only INTx can be masked */
	if (set->index == VFIO_PCI_MSIX_IRQ_INDEX)
		return set_msi(v, dev, set);
	return set_single(dev, set);
}

void fake_pci_clear(struct fake_obj *dev)
{
	for (unsigned x = 0; x < FAKE_NR_IRQS; x++)
		for (unsigned i = 0; i < FAKE_MAX_VECTORS; i++)
			disarm(dev, x, i);
}
