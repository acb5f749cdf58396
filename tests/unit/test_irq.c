/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Vectors on the fake kernel: what QEMU sends, what a hostile client sends, and that no armed vector is ever lost. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "err.h"
#include "fake.h"
#include "fake_vfio.h"
#include "irq.h"
#include "vdev.h"

#define VF "0000:3b:02.1"
#define MSIX VFIO_PCI_MSIX_IRQ_INDEX
#define ARM (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)
#define OFF (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER)

static struct fake *fake;
static struct vdev *vdev;
static struct irq *irq;
static struct err err;

static void start(unsigned count, bool noresize)
{
	fake = fake_new();
	fake_add_driver(fake, "vfio-pci");
	fake_add_function(fake, VF, "vfio-pci", 7);
	fake_vfio_set_msix(fake_vfio_current(), count, noresize);
	cr_assert_eq(vdev_open(fake_sys(fake), VF, &vdev, &err), 0, "%s", err.msg);
	cr_assert_eq(irq_new(vdev, &irq, &err), 0, "%s", err.msg);
}

static void stop(void)
{
	irq_free(irq);
	vdev_close(vdev);
	cr_assert_eq(fake_open_fds(fake), 0);
	fake_free(fake);
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int set(unsigned index, uint32_t flags, unsigned start_at, unsigned count, int *fds, size_t nr_fds)
{
	struct vfio_irq_set s = { .argsz = sizeof(s), .flags = flags, .index = index, .start = start_at, .count = count };
	uint8_t bools[64] = { 0 };

	return irq_set(irq, &s, flags & VFIO_IRQ_SET_DATA_BOOL ? bools : NULL, fds, nr_fds, &err);
}

/* Arm [@start_at, @start_at + @count) with fresh eventfds, as a client does: it keeps its own. */
static int arm(unsigned start_at, unsigned count, int *ret_fds)
{
	int fds[64];

	for (unsigned i = 0; i < count; i++) {
		ret_fds[i] = eventfd(0, EFD_NONBLOCK);
		fds[i] = dup(ret_fds[i]);
	}
	return set(MSIX, ARM, start_at, count, fds, count);
}

static bool heard(unsigned vector, int fd)
{
	uint64_t n;

	return fake_vfio_fire(fake_vfio_current(), VF, vector) && read(fd, &n, sizeof(n)) == sizeof(n) && n == 1;
}

/* QEMU 11.1.3's order at driver start, then one message a vector. */
static void as_qemu(bool noresize)
{
	int fds[8];

	start(8, noresize);
	cr_assert_eq(set(MSIX, ARM, 0, 1, NULL, 0), 0, "%s", err.msg);
	cr_assert_eq(irq_nr_armed(irq), 0);
	cr_assert(fake_vfio_enabled(fake_vfio_current(), VF, MSIX), "in MSI-X mode before it has vectors");
	for (unsigned v = 0; v < 8; v++)
		cr_assert_eq(arm(v, 1, &fds[v]), 0, "vector %u: %s", v, err.msg);
	cr_assert_eq(irq_nr_armed(irq), 8);
	for (unsigned v = 0; v < 8; v++)
		cr_assert(heard(v, fds[v]), "vector %u", v);
	/* one masked in the guest: disarmed with a run in the middle */
	cr_assert_eq(set(MSIX, ARM, 3, 2, NULL, 0), 0);
	cr_assert_eq(irq_nr_armed(irq), 6);
	cr_assert_not(irq_is_armed(irq, MSIX, 3));
	cr_assert_not(fake_vfio_armed(fake_vfio_current(), VF, MSIX, 4));
	cr_assert(heard(5, fds[5]));
	cr_assert_eq(set(MSIX, OFF, 0, 0, NULL, 0), 0);
	cr_assert_eq(irq_nr_armed(irq), 0);
	cr_assert_not(fake_vfio_enabled(fake_vfio_current(), VF, MSIX));
	cr_assert_eq(set(MSIX, OFF, 0, 0, NULL, 0), 0, "off already");
	stop();
}

Test(irq, as_qemu_dynamic)
{
	as_qemu(false);
}

Test(irq, as_qemu_noresize)
{
	as_qemu(true);
}

/* A function that cannot allocate more while enabled: growth turns it off and on, nobody is lost. */
Test(irq, growth_keeps_all_vectors)
{
	int fds[16];

	start(16, true);
	cr_assert_eq(arm(0, 2, fds), 0);
	cr_assert_eq(arm(10, 6, fds + 10), 0, "%s", err.msg);
	cr_assert_eq(arm(4, 1, fds + 4), 0);
	cr_assert_eq(irq_nr_armed(irq), 9);
	cr_assert(heard(0, fds[0]) && heard(1, fds[1]) && heard(4, fds[4]) && heard(10, fds[10]) && heard(15, fds[15]));
	stop();
}

Test(irq, disarm_beyond_what_is_allocated)
{
	int fds[2];

	start(16, true);
	cr_assert_eq(arm(0, 2, fds), 0);
	cr_assert_eq(set(MSIX, ARM, 8, 8, NULL, 0), 0, "%s", err.msg);
	fake_fail_at(fake, 2, -EIO);
	cr_assert_eq(set(MSIX, ARM, 1, 8, NULL, 0), 0, "one call to the kernel, not off and on: %s", err.msg);
	fake_fail_at(fake, 0, 0);
	cr_assert(heard(0, fds[0]));
	cr_assert_not(irq_is_armed(irq, MSIX, 1));
	stop();
}

/* A run with one descriptor that is no eventfd is refused; the kernel has torn the run down, and gets it back. */
static void bad_run(bool noresize, unsigned from)
{
	int fds[8], bad[4], pipe_fds[2], before;

	start(8, noresize);
	cr_assert_eq(arm(0, 4, fds), 0);
	cr_assert_eq(pipe(pipe_fds), 0);
	before = count_fds();
	for (unsigned i = 0; i < 4; i++)
		bad[i] = i == 2 ? dup(pipe_fds[1]) : eventfd(0, EFD_NONBLOCK);
	cr_assert_eq(set(MSIX, ARM, from, 4, bad, 4), -EINVAL);
	cr_assert_str_eq(err.code, "irq.set-failed");
	cr_assert_eq(count_fds(), before, "the refused descriptors are closed");
	cr_assert_eq(irq_nr_armed(irq), 4);
	for (unsigned v = 0; v < 4; v++)
		cr_assert(heard(v, fds[v]), "vector %u still armed with its eventfd", v);
	cr_assert_not(fake_vfio_armed(fake_vfio_current(), VF, MSIX, 5));
	stop();
}

Test(irq, refused_run_leaves_no_trace)
{
	bad_run(false, 0);
	bad_run(false, 2);
	bad_run(false, 4);
}

Test(irq, refused_growth_leaves_no_trace)
{
	bad_run(true, 0);
	bad_run(true, 2);
	bad_run(true, 4);
}

Test(irq, first_run_refused)
{
	int bad = dup(STDOUT_FILENO);

	start(3, false);
	cr_assert_eq(set(MSIX, ARM, 0, 1, &bad, 1), -EINVAL);
	cr_assert_not(fake_vfio_enabled(fake_vfio_current(), VF, MSIX));
	cr_assert_eq(irq_nr_armed(irq), 0);
	stop();
}

Test(irq, host_out_of_vectors)
{
	int fds[8];

	start(8, true);
	fake_vfio_set_host_vectors(fake_vfio_current(), 4);
	cr_assert_eq(arm(0, 4, fds), 0);
	cr_assert_eq(arm(4, 4, fds + 4), -ENOSPC);
	cr_assert_neq(strstr(err.msg, "only 4 of 8"), NULL, "%s", err.msg);
	cr_assert_eq(irq_nr_armed(irq), 4);
	cr_assert(heard(3, fds[3]));
	stop();
}

/* No second chance: the table must not claim what the kernel does not have. */
Test(irq, lost_vectors_are_said_to_be_lost)
{
	int fds[8];

	start(8, true);
	cr_assert_eq(arm(0, 4, fds), 0);
	fake_vfio_set_host_vectors(fake_vfio_current(), 0); /* somebody else took them meanwhile */
	cr_assert_eq(arm(4, 4, fds + 4), -ENOSPC);
	cr_assert_str_eq(err.code, "irq.vector-lost");
	cr_assert_eq(irq_nr_armed(irq), 0);
	stop();
}

Test(irq, masks_never_tear_down)
{
	int fds[3];

	start(3, false);
	cr_assert_eq(arm(0, 3, fds), 0);
	cr_assert_eq(set(MSIX, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, 0, 3, NULL, 0), -ENOTTY,
		     "as the kernel answers");
	cr_assert_eq(set(MSIX, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 1, 1, NULL, 0), -ENOTTY);
	cr_assert_eq(set(MSIX, VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER, 0, 3, NULL, 0), 0);
	cr_assert_eq(irq_nr_armed(irq), 3);
	cr_assert(heard(1, fds[1]));
	stop();
}

Test(irq, error_and_request)
{
	int fd = eventfd(0, 0);

	start(3, false);
	cr_assert_eq(set(VFIO_PCI_ERR_IRQ_INDEX, ARM, 0, 1, &fd, 1), 0, "%s", err.msg);
	cr_assert(irq_is_armed(irq, VFIO_PCI_ERR_IRQ_INDEX, 0));
	cr_assert_eq(irq_nr_armed(irq), 0, "no vector");
	cr_assert_eq(set(VFIO_PCI_ERR_IRQ_INDEX, ARM, 0, 1, NULL, 0), 0);
	cr_assert_not(irq_is_armed(irq, VFIO_PCI_ERR_IRQ_INDEX, 0));
	cr_assert_eq(set(VFIO_PCI_ERR_IRQ_INDEX, OFF, 0, 0, NULL, 0), 0, "%s", err.msg);
	cr_assert_eq(set(VFIO_PCI_REQ_IRQ_INDEX, ARM, 0, 1, NULL, 0), 0, "%s", err.msg);
	stop();
}

Test(irq, disarm_all)
{
	int fds[3], one = eventfd(0, 0), before;

	start(3, false);
	before = count_fds();
	cr_assert_eq(arm(0, 3, fds), 0);
	cr_assert_eq(set(VFIO_PCI_REQ_IRQ_INDEX, ARM, 0, 1, &one, 1), 0);
	cr_assert_eq(irq_disarm_all(irq, &err), 0, "%s", err.msg);
	cr_assert_eq(irq_nr_armed(irq), 0);
	cr_assert_not(fake_vfio_enabled(fake_vfio_current(), VF, MSIX));
	for (unsigned i = 0; i < 3; i++)
		close(fds[i]);
	cr_assert_eq(count_fds(), before - 1, "all given back");
	stop();
}

/* A client that mapped a BAR has the device's descriptor, and may arm with it. Nothing of that is left to the next one. */
Test(irq, disarm_all_past_the_table)
{
	static const unsigned indexes[] = { MSIX, VFIO_PCI_ERR_IRQ_INDEX };
	_Alignas(struct vfio_irq_set) char buf[sizeof(struct vfio_irq_set) + sizeof(int32_t)];
	struct vfio_irq_set *s = (void *)buf;

	for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
		int fd = eventfd(0, 0), mine[3];

		start(3, true);
		*s = (struct vfio_irq_set){ .argsz = sizeof(buf), .flags = ARM, .index = indexes[i], .count = 1 };
		memcpy(s->data, &fd, sizeof(fd));
		cr_assert_eq(vdev_set_irqs(vdev, s, &err), 0, "%s", err.msg);
		cr_assert(fake_vfio_armed(fake_vfio_current(), VF, indexes[i], 0));
		cr_assert_eq(irq_disarm_all(irq, &err), 0, "%s", err.msg);
		cr_assert_not(fake_vfio_armed(fake_vfio_current(), VF, indexes[i], 0));
		cr_assert_not(fake_vfio_enabled(fake_vfio_current(), VF, MSIX));
		cr_assert_eq(arm(0, 3, mine), 0, "the next client's three, on a function that cannot grow: %s", err.msg);
		stop();
	}
}

struct bad_set {
	unsigned index;
	uint32_t flags;
	unsigned start, count, nr_fds;
	const char *code;
};

Test(irq, hostile_requests)
{
	static const struct bad_set sets[] = {
		{ MSIX, ARM, 3, 1, 0, "irq.range" },
		{ MSIX, ARM, 0, 4, 0, "irq.range" },
		{ MSIX, ARM, 2, 2, 2, "irq.range" },
		{ MSIX, ARM, 1, UINT32_MAX, 0, "irq.range" },
		{ MSIX, ARM, UINT32_MAX, 2, 0, "irq.range" },
		{ MSIX, ARM, 0, 0, 0, "irq.range" },
		{ MSIX, OFF | VFIO_IRQ_SET_DATA_BOOL, 0, 1, 0, "irq.flags" },
		{ MSIX, ARM | VFIO_IRQ_SET_ACTION_MASK, 0, 1, 0, "irq.flags" },
		{ MSIX, VFIO_IRQ_SET_DATA_NONE, 0, 1, 0, "irq.flags" },
		{ MSIX, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1, 0, "irq.flags" },
		{ MSIX, ARM | 1u << 20, 0, 1, 0, "irq.flags" },
		{ MSIX, ARM, 0, 3, 2, "irq.fd-count" },
		{ MSIX, ARM, 0, 1, 2, "irq.fd-count" },
		{ MSIX, OFF, 0, 1, 1, "irq.fd-count" },
		{ VFIO_PCI_INTX_IRQ_INDEX, ARM, 0, 1, 1, "irq.range" },
		{ VFIO_PCI_ERR_IRQ_INDEX, ARM, 0, 2, 2, "irq.range" },
		{ 5, ARM, 0, 1, 1, "irq.range" },
		{ UINT32_MAX, ARM, 0, 1, 1, "irq.range" },
	};
	int mine[3], before;

	start(3, false);
	cr_assert_eq(arm(0, 3, mine), 0);
	before = count_fds();
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		const struct bad_set *b = &sets[i];
		int fds[4];

		for (unsigned k = 0; k < b->nr_fds; k++)
			fds[k] = eventfd(0, 0);
		cr_assert_eq(set(b->index, b->flags, b->start, b->count, fds, b->nr_fds), -EINVAL, "row %zu", i);
		cr_assert_str_eq(err.code, b->code, "row %zu: %s", i, err.code);
		cr_assert_eq(count_fds(), before, "row %zu: descriptors closed", i);
		cr_assert_eq(irq_nr_armed(irq), 3, "row %zu: no trace", i);
	}
	stop();
}

/* Every call of a growth fails in turn: what the table says is what the kernel has. */
Test(irq, every_call_fails_once)
{
	for (unsigned n = 1; n < 10; n++) {
		int fds[8];

		start(8, true);
		cr_assert_eq(arm(0, 4, fds), 0);
		fake_fail_at(fake, n, -ENOMEM);
		arm(4, 4, fds + 4);
		fake_fail_at(fake, 0, 0);
		for (unsigned v = 0; v < 8; v++)
			cr_assert_eq(irq_is_armed(irq, MSIX, v), fake_vfio_armed(fake_vfio_current(), VF, MSIX, v),
				     "call %u, vector %u", n, v);
		stop();
	}
}
