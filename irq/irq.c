/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Source of the kernel's behaviour: drivers/vfio/pci/vfio_pci_intrs.c. */
#include "irq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "fdutil.h"
#include "vdev.h"

struct irq_index {
	unsigned nr; /* vectors of this index */
	uint32_t flags; /* VFIO_IRQ_INFO_* */
	bool enabled; /* the kernel has it switched on */
	unsigned nr_allocated; /* vectors the kernel allocated when it was enabled; meaningful with NORESIZE */
	int *fds; /* -1: not armed; @nr of them */
};

struct irq {
	struct vdev *vdev;
	unsigned nr_indexes;
	struct irq_index *indexes;
	struct vfio_irq_set *buf; /* room for the largest DATA_EVENTFD set */
};

static int init_index(struct irq *irq, unsigned index, struct err *err)
{
	struct irq_index *x = &irq->indexes[index];
	struct vfio_irq_info info;
	int r;

	r = vdev_irq_info(irq->vdev, index, &info, err);
	if (r == -EINVAL || r == -ENOTTY) { /* an index that this device lacks */
		err_clear(err);
		return 0;
	}
	if (r < 0)
		return r;
	if (info.count > IRQ_MAX_VECTORS)
		return err_set(err, -EOVERFLOW, "irq.too-many", "vf %s: irq index %u has %u vectors", vdev_bdf(irq->vdev), index,
			       info.count);
	x->flags = info.flags;
	x->fds = malloc((info.count ? info.count : 1) * sizeof(*x->fds));
	if (!x->fds)
		return err_set(err, -ENOMEM, "irq.no-memory", "out of memory");
	x->nr = info.count;
	for (unsigned v = 0; v < x->nr; v++)
		x->fds[v] = -1;
	return 0;
}

int irq_new(struct vdev *vdev, struct irq **ret, struct err *err)
{
	struct irq *irq = calloc(1, sizeof(*irq));
	unsigned most = 1;
	int r = 0;

	if (!irq)
		return err_set(err, -ENOMEM, "irq.no-memory", "out of memory");
	irq->vdev = vdev;
	irq->nr_indexes = vdev_nr_irqs(vdev);
	irq->indexes = calloc(irq->nr_indexes + 1, sizeof(*irq->indexes));
	if (!irq->indexes)
		r = err_set(err, -ENOMEM, "irq.no-memory", "out of memory");
	for (unsigned i = 0; r == 0 && i < irq->nr_indexes; i++) {
		r = init_index(irq, i, err);
		if (irq->indexes[i].nr > most)
			most = irq->indexes[i].nr;
	}
	if (r == 0) {
		irq->buf = malloc(sizeof(*irq->buf) + most * sizeof(int32_t));
		if (!irq->buf)
			r = err_set(err, -ENOMEM, "irq.no-memory", "out of memory");
	}
	if (r < 0) {
		irq_free(irq);
		return r;
	}
	*ret = irq;
	return 0;
}

struct irq *irq_free(struct irq *irq)
{
	if (!irq)
		return NULL;
	if (irq->buf)
		irq_disarm_all(irq, NULL);
	for (unsigned i = 0; irq->indexes && i < irq->nr_indexes; i++)
		free(irq->indexes[i].fds);
	free(irq->indexes);
	free(irq->buf);
	free(irq);
	return NULL;
}

static int kernel_disable(struct irq *irq, unsigned index, struct err *err)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
	};
	int r = vdev_set_irqs(irq->vdev, &set, err);

	if (r == 0)
		irq->indexes[index].enabled = false;
	return r;
}

/* @fds: @count of them, -1 disarms; NULL: all of the range. */
static int kernel_arm(struct irq *irq, unsigned index, unsigned start, unsigned count, const int *fds, struct err *err)
{
	struct irq_index *x = &irq->indexes[index];
	size_t bytes = count * sizeof(int32_t);
	int r;

	*irq->buf = (struct vfio_irq_set){
		.argsz = (uint32_t)(sizeof(*irq->buf) + bytes),
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
		.start = start,
		.count = count,
	};
	if (fds)
		memcpy(irq->buf->data, fds, bytes);
	else
		memset(irq->buf->data, 0xff, bytes);
	r = vdev_set_irqs(irq->vdev, irq->buf, err);
	if (r == 0 && !x->enabled) {
		x->enabled = true;
		x->nr_allocated = start + count;
	}
	return r;
}

static unsigned armed_end(const struct irq_index *x)
{
	unsigned end = x->nr;

	while (end > 0 && x->fds[end - 1] < 0)
		end--;
	return end;
}

/* After a refusal: bring the kernel back to what the table says, whatever the refused run has torn down. */
static int restore(struct irq *irq, unsigned index, unsigned start, unsigned count, struct err *err)
{
	struct irq_index *x = &irq->indexes[index];
	unsigned end = armed_end(x);
	struct err why = { 0 };
	int r = 0;

	if (!x->enabled && end > 0)
		r = kernel_arm(irq, index, 0, end, x->fds, &why);
	else if (x->enabled && start < end)
		r = kernel_arm(irq, index, start, count < end - start ? count : end - start, x->fds + start, &why);
	if (r == 0)
		return 0;
	for (unsigned v = 0; v < x->nr; v++)
		fd_close(&x->fds[v]);
	kernel_disable(irq, index, NULL);
	return err_set(err, r, "irq.vector-lost", "vf %s: irq index %u: vectors could not be armed again and are off: %s",
		       vdev_bdf(irq->vdev), index, why.msg);
}

/* INTx, MSI and MSI-X are switched on and off; the error and request interrupts have no state but their eventfd. */
static bool has_switch(unsigned index)
{
	return index <= VFIO_PCI_MSIX_IRQ_INDEX;
}

/* The new descriptors of a run are in the table only once the kernel has them. */
static void publish(struct irq_index *x, unsigned index, unsigned start, unsigned count, int *fds)
{
	for (unsigned v = 0; v < count; v++) {
		fd_close(&x->fds[start + v]);
		if (fds)
			x->fds[start + v] = fd_take(&fds[v]);
	}
	if (!has_switch(index))
		x->enabled = armed_end(x) > 0;
}

/*
 * The range ends beyond what the kernel allocated, and it cannot allocate more while the index is on: off and on again with everything
 * known, old and new. Interrupts that arrive in between are lost by hardware's rules (the function has no vector); drivers arm before
 * they enable their queues.
 */
static int grow(struct irq *irq, unsigned index, unsigned start, unsigned count, const int *fds, struct err *err)
{
	struct irq_index *x = &irq->indexes[index];
	unsigned end = start + count;
	int *all;
	int r;

	all = malloc(end * sizeof(*all));
	if (!all)
		return err_set(err, -ENOMEM, "irq.no-memory", "out of memory");
	memcpy(all, x->fds, end * sizeof(*all));
	for (unsigned v = 0; v < count; v++)
		all[start + v] = fds ? fds[v] : -1;
	r = kernel_disable(irq, index, err);
	if (r == 0)
		r = kernel_arm(irq, index, 0, end, all, err);
	free(all);
	return r;
}

static int arm(struct irq *irq, const struct vfio_irq_set *set, int *fds, struct err *err)
{
	struct irq_index *x = &irq->indexes[set->index];
	unsigned end = set->start + set->count;
	int r;

	if (x->enabled && (x->flags & VFIO_IRQ_INFO_NORESIZE) && end > x->nr_allocated) {
		if (!fds && set->start >= x->nr_allocated)
			return 0; /* disarming what was never allocated */
		if (!fds) /* only what there is, or disarming would turn the index off and on */
			r = kernel_arm(irq, set->index, set->start, x->nr_allocated - set->start, NULL, err);
		else
			r = grow(irq, set->index, set->start, set->count, fds, err);
	} else if (!fds && !x->enabled && set->index != VFIO_PCI_MSI_IRQ_INDEX && set->index != VFIO_PCI_MSIX_IRQ_INDEX) {
		return 0; /* off already; the kernel would switch INTx on with no eventfd */
	} else {
		/* MSI and MSI-X without descriptors while off: the client wants the function in MSI-X mode before it has vectors
		 * (QEMU's hw/vfio/pci.c vfio_msix_enable() says why), so this switches it on. */
		r = kernel_arm(irq, set->index, set->start, set->count, fds, err);
	}
	if (r < 0) {
		struct err lost;

		/* the cause is what the client is answered, unless worse has happened */
		if (restore(irq, set->index, set->start, set->count, &lost) < 0 && err)
			*err = lost;
		return r;
	}
	publish(x, set->index, set->start, set->count, fds);
	return 0;
}

static int disable(struct irq *irq, unsigned index, struct err *err)
{
	struct irq_index *x = &irq->indexes[index];
	int r = 0;

	/* the kernel answers -EINVAL where there is nothing to disable */
	if (x->enabled)
		r = kernel_disable(irq, index, err);
	if (r < 0)
		return r;
	for (unsigned v = 0; v < x->nr; v++)
		fd_close(&x->fds[v]);
	return 0;
}

/* Masks, unmasks, software triggers and the unmask eventfd of INTx: the kernel's business, they change nothing in the table. */
static int pass(struct irq *irq, const struct vfio_irq_set *set, const uint8_t *data, const int *fds, struct err *err)
{
	uint32_t type = set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
	size_t bytes = 0;

	if (type == VFIO_IRQ_SET_DATA_BOOL)
		bytes = set->count;
	else if (type == VFIO_IRQ_SET_DATA_EVENTFD)
		bytes = set->count * sizeof(int32_t);
	*irq->buf = *set;
	irq->buf->argsz = (uint32_t)(sizeof(*irq->buf) + bytes);
	if (type == VFIO_IRQ_SET_DATA_BOOL)
		memcpy(irq->buf->data, data, bytes);
	else if (type == VFIO_IRQ_SET_DATA_EVENTFD && fds)
		memcpy(irq->buf->data, fds, bytes);
	else if (type == VFIO_IRQ_SET_DATA_EVENTFD)
		memset(irq->buf->data, 0xff, bytes);
	return vdev_set_irqs(irq->vdev, irq->buf, err);
}

static int check(const struct irq *irq, const struct vfio_irq_set *set, const uint8_t *data, size_t nr_fds, struct err *err)
{
	uint32_t type = set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK, action = set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	const char *bdf = vdev_bdf(irq->vdev);
	unsigned nr;

	if ((set->flags & ~(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK)) || !type || (type & (type - 1)) ||
	    !action || (action & (action - 1)) || (type == VFIO_IRQ_SET_DATA_BOOL && !data))
		return err_set(err, -EINVAL, "irq.flags", "vf %s: irq index %u: flags 0x%x", bdf, set->index, set->flags);
	nr = set->index < irq->nr_indexes ? irq->indexes[set->index].nr : 0;
	if (nr == 0 || set->start >= nr || set->count > nr - set->start)
		return err_set(err, -EINVAL, "irq.range", "vf %s: irq index %u: start %u, count %u of %u vectors", bdf,
			       set->index, set->start, set->count, nr);
	if (set->count == 0 && (type != VFIO_IRQ_SET_DATA_NONE || action != VFIO_IRQ_SET_ACTION_TRIGGER))
		return err_set(err, -EINVAL, "irq.range", "vf %s: irq index %u: a count of 0 only disables", bdf, set->index);
	if (nr_fds && (type != VFIO_IRQ_SET_DATA_EVENTFD || nr_fds != set->count))
		return err_set(err, -EINVAL, "irq.fd-count", "vf %s: irq index %u: %zu descriptors for %u vectors", bdf,
			       set->index, nr_fds, set->count);
	return 0;
}

int irq_set(struct irq *irq, const struct vfio_irq_set *set, const uint8_t *data, int *fds, size_t nr_fds, struct err *err)
{
	uint32_t type = set->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
	bool trigger = set->flags & VFIO_IRQ_SET_ACTION_TRIGGER;
	int r = check(irq, set, data, nr_fds, err);

	if (r == 0 && trigger && type == VFIO_IRQ_SET_DATA_EVENTFD)
		r = arm(irq, set, nr_fds ? fds : NULL, err);
	else if (r == 0 && trigger && set->count == 0)
		r = disable(irq, set->index, err);
	else if (r == 0)
		r = pass(irq, set, data, nr_fds ? fds : NULL, err);
	for (size_t i = 0; i < nr_fds; i++)
		fd_close(&fds[i]);
	return r;
}

int irq_disarm_all(struct irq *irq, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < irq->nr_indexes; i++) {
		int one;

		/*
		 * Who maps the BARs through the device's descriptor can arm vectors with it past this table. Left on, they would keep
		 * the next client from its own (vfio_pci_set_msi_trigger() takes one index at a time). -EINVAL: nothing was on.
		 */
		if (!irq->indexes[i].enabled && irq->indexes[i].nr)
			kernel_disable(irq, i, NULL);
		one = disable(irq, i, r == 0 ? err : NULL);

		if (one < 0 && r == 0)
			r = one;
	}
	return r;
}

bool irq_is_armed(const struct irq *irq, unsigned index, unsigned vector)
{
	return index < irq->nr_indexes && vector < irq->indexes[index].nr && irq->indexes[index].fds[vector] >= 0;
}

unsigned irq_nr_armed(const struct irq *irq)
{
	unsigned n = 0;

	for (unsigned i = 0; i <= VFIO_PCI_MSIX_IRQ_INDEX && i < irq->nr_indexes; i++)
		for (unsigned v = 0; v < irq->indexes[i].nr; v++)
			n += irq_is_armed(irq, i, v);
	return n;
}

unsigned irq_nr_vectors(const struct irq *irq)
{
	unsigned n = 0;

	for (unsigned i = 0; i < irq->nr_indexes; i++)
		n += irq->indexes[i].nr;
	return n;
}
