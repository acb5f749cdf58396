/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the function may do DMA: what the guest wants, what holds it back, and what reaches the hardware's command register. */
#include <semaphore.h>

#include "device_peer.h"
#include "gangway_limits.h"

static struct vfdev dev;
static struct err err;
static sem_t gate; /* one step of faulting in for each post */
static int guest_fd;

static int gated_populate(struct sys *sys, void *addr, size_t len, bool write)
{
	(void)sys;
	(void)addr;
	(void)len;
	(void)write;
	while (sem_wait(&gate) < 0)
		;
	return 0;
}

static void setup(void)
{
	struct vdev_fds fds = { .container = dup(0), .group = dup(0), .device = dup(0) };
	struct sys *sys = canned_sys();

	memset(canned_config, 0, sizeof(canned_config));
	sem_init(&gate, 0, 0);
	canned_ops.populate = gated_populate;
	cr_assert_eq(vfdev_init(&dev, sys, PEER_BDF, fds, 64 << 20, 1, &err), 0, "%s", err.msg);
	vfdev_ops.on_client(&dev, true);
	guest_fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	cr_assert(guest_fd >= 0 && ftruncate(guest_fd, 64 << 20) == 0);
}

static void teardown(void)
{
	for (int i = 0; i < 64; i++)
		sem_post(&gate);
	vfdev_done(&dev);
	close(guest_fd);
	sem_destroy(&gate);
}

TestSuite(vfdev, .init = setup, .fini = teardown);

/* A step at most each: one post lets it land. */
static int map_bytes(uint64_t iova, uint64_t size)
{
	struct vuser_dma_map m = { .iova = iova, .size = size, .readable = true, .writable = true };

	return vfdev_ops.dma_map(&dev, &m, dup(guest_fd));
}

static int map(uint64_t iova)
{
	return map_bytes(iova, 4 << 20); /* one piece each */
}

static uint64_t pending(void)
{
	struct iommu_stats stats;

	iommu_get_stats(dev.iommu, &stats);
	return stats.bytes_pending;
}

static void land(void)
{
	struct pollfd p = { .fd = iommu_fd(dev.iommu), .events = POLLIN };
	uint64_t before = pending();

	sem_post(&gate);
	while (pending() == before) {
		cr_assert_eq(poll(&p, 1, 5000), 1);
		vfdev_process(&dev);
	}
}

static uint64_t now_us(void)
{
	return dev.sys->ops->now_us(dev.sys);
}

static void guest_writes(uint16_t command)
{
	cr_assert_eq(vfdev_ops.region_write(&dev, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, &command, 2), 2);
}

static uint16_t guest_reads(void)
{
	uint16_t command = 0;

	cr_assert_eq(vfdev_ops.region_read(&dev, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, &command, 2), 2);
	return command;
}

static uint16_t hardware(void)
{
	return (uint16_t)(canned_config[PCI_COMMAND] | canned_config[PCI_COMMAND + 1] << 8);
}

#define BOTH (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)

Test(vfdev, withheld_until_all_has_landed)
{
	cr_assert_eq(map(0), 0);
	cr_assert_eq(map(1 << 30), 0);
	guest_writes(BOTH);
	cr_assert_eq(hardware(), PCI_COMMAND_MEMORY);
	cr_assert_eq(guest_reads(), BOTH, "the guest is not told");
	cr_assert_eq(dev.held, VFDEV_HOLD_PENDING);
	land();
	cr_assert_eq(hardware(), PCI_COMMAND_MEMORY, "one is still on its way");
	land();
	cr_assert_eq(hardware(), BOTH);
	cr_assert_eq(dev.held, 0);
	cr_assert(vfdev_bus_master(&dev));
}

/* The VMM's messages of a hot-plug, and more of them before the first is answered: the function goes on. */
Test(vfdev, memory_plugged_into_a_running_guest)
{
	int r = 77;

	cr_assert_eq(map(0), 0);
	land();
	guest_writes(BOTH);
	cr_assert_eq(map(1 << 30), VUSER_LATER);
	cr_assert_eq(map(2u << 30), VUSER_LATER);
	cr_assert_not(vfdev_later_due(&dev, &r));
	cr_assert(vfdev_timeout_ms(&dev) > 1000 && vfdev_timeout_ms(&dev) <= 2001);
	cr_assert_eq(hardware(), BOTH);
	land();
	cr_assert_not(vfdev_later_due(&dev, &r), "one is still on its way");
	cr_assert_eq(hardware(), BOTH);
	land();
	cr_assert(vfdev_later_due(&dev, &r));
	cr_assert_eq(r, 0);
	cr_assert_not(vfdev_later_due(&dev, &r), "once");
	cr_assert_eq(hardware(), BOTH);
	cr_assert_eq(dev.held, 0);
	cr_assert_eq(vfdev_timeout_ms(&dev), -1);
}

Test(vfdev, memory_that_takes_too_long_holds_it_back_again)
{
	int r = 77;

	cr_assert_eq(map(0), 0);
	land();
	guest_writes(BOTH);
	cr_assert_eq(map(1 << 30), VUSER_LATER);
	dev.later_by_us = now_us(); /* two seconds later */
	cr_assert_eq(vfdev_timeout_ms(&dev), 0);
	cr_assert(vfdev_later_due(&dev, &r), "the VMM would give up");
	cr_assert_eq(r, 0);
	cr_assert_eq(dev.held, VFDEV_HOLD_PENDING);
	cr_assert_eq(hardware(), PCI_COMMAND_MEMORY, "before the guest can be told");
	cr_assert_eq(guest_reads(), BOTH);
	cr_assert_eq(map(2u << 30), 0, "not held up any more");
	guest_writes(PCI_COMMAND_MEMORY);
	land();
	land();
	cr_assert_eq(hardware(), PCI_COMMAND_MEMORY, "the guest has changed its mind");
	cr_assert_eq(guest_reads(), PCI_COMMAND_MEMORY);
}

/* The VMM waits for the sum of what its messages take. */
Test(vfdev, one_exchange_has_one_bound)
{
	uint64_t by;
	int r;

	cr_assert_eq(map(0), 0);
	land();
	guest_writes(BOTH);
	cr_assert_eq(map(1 << 30), VUSER_LATER);
	by = dev.later_by_us;
	cr_assert_eq(map(2u << 30), VUSER_LATER);
	cr_assert_eq(dev.later_by_us, by);
	land();
	land();
	cr_assert(vfdev_later_due(&dev, &r));
	dev.answered_us = now_us(); /* this very moment */
	cr_assert_eq(map(3u << 30), VUSER_LATER);
	cr_assert_eq(dev.later_by_us, by, "it was on its way");
	land();
	cr_assert(vfdev_later_due(&dev, &r));
	dev.answered_us = now_us() - 1000 * 1000;
	cr_assert_eq(map(UINT64_C(4) << 30), VUSER_LATER);
	cr_assert_gt(dev.later_by_us, by, "another exchange");
	land();
}

/* What is mapped right after an unmap the guest may be using: no reason to let it run into the IOMMU. */
Test(vfdev, memory_that_is_moved_is_not_waited_for)
{
	uint64_t done;
	int r = 77;

	cr_assert_eq(map(0), 0);
	land();
	guest_writes(BOTH);
	cr_assert_eq(map(1 << 30), VUSER_LATER);
	cr_assert_eq(vfdev_ops.dma_unmap(&dev, 0, 4 << 20, &done), 0);
	cr_assert_eq(map(0), 0);
	cr_assert_eq(hardware(), PCI_COMMAND_MEMORY);
	cr_assert(vfdev_later_due(&dev, &r), "and the first is waited for no more");
	land();
	land();
	cr_assert_eq(hardware(), BOTH);
	dev.moved_us = now_us() - 2000 * 1000;
	dev.answered_us = 0;
	cr_assert_eq(map(2u << 30), VUSER_LATER);
	land();
}

Test(vfdev, given_up_while_pending)
{
	uint64_t done;

	cr_assert_eq(map(0), 0);
	guest_writes(BOTH);
	cr_assert_eq(map(1 << 30), 0);
	land();
	cr_assert_eq(dev.held, VFDEV_HOLD_PENDING);
	sem_post(&gate);
	cr_assert_eq(vfdev_ops.dma_unmap(&dev, 1 << 30, 4 << 20, &done), 0);
	/* what the thread has begun is parked, and pending until it has ended; what it has not is given up at once */
	while (dev.held & VFDEV_HOLD_PENDING) {
		cr_assert_eq(poll(&(struct pollfd){ .fd = iommu_fd(dev.iommu), .events = POLLIN }, 1, 5000), 1);
		vfdev_process(&dev);
	}
	cr_assert_eq(hardware(), BOTH, "what was pending is no more");
}

Test(vfdev, a_refused_map_takes_it_away)
{
	cr_assert_eq(map(0), 0);
	land();
	guest_writes(BOTH);
	cr_assert_eq(map(0), -EEXIST);
	cr_assert_eq(dev.held, VFDEV_HOLD_DEGRADED);
	cr_assert_eq(hardware(), PCI_COMMAND_MEMORY);
	cr_assert_eq(guest_reads(), BOTH);
	vfdev_ops.on_client(&dev, false);
	cr_assert_eq(hardware() & PCI_COMMAND_MASTER, 0);
	vfdev_ops.on_client(&dev, true);
	cr_assert_eq(guest_reads() & PCI_COMMAND_MASTER, 0, "another client starts without");
	cr_assert_eq(dev.held, 0);
	cr_assert_eq(map(0), 0);
	land();
	guest_writes(BOTH);
	cr_assert_eq(hardware(), BOTH);
}

Test(vfdev, quarantine_outlives_the_client)
{
	guest_writes(BOTH);
	cr_assert_eq(hardware(), BOTH);
	vfdev_hold(&dev, VFDEV_HOLD_QUARANTINE, true);
	cr_assert_eq(hardware(), PCI_COMMAND_MEMORY);
	vfdev_ops.on_client(&dev, false);
	vfdev_ops.on_client(&dev, true);
	guest_writes(BOTH);
	cr_assert_eq(hardware(), PCI_COMMAND_MEMORY);
	vfdev_hold(&dev, VFDEV_HOLD_QUARANTINE, false);
	cr_assert_eq(hardware(), BOTH);
}

/* The bit in writes of all shapes; what is beside it goes through. */
Test(vfdev, config_writes_of_all_shapes)
{
	static const struct {
		uint64_t offset;
		size_t len;
		bool covers;
	} rows[] = { { 0, 4, false }, { 4, 1, true }, { 4, 2, true },  { 4, 4, true },	  { 5, 1, false },
		     { 6, 2, false }, { 3, 2, true }, { 0, 8, true },  { 0, 64, true },	  { 0, 256, true },
		     { 2, 2, false }, { 1, 4, true }, { 4, 60, true }, { 64, 64, false }, { 0, 5, true } };
	uint8_t in[256], out[256];

	vfdev_hold(&dev, VFDEV_HOLD_QUARANTINE, true);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(canned_config, 0, sizeof(canned_config));
		guest_writes(0);
		memset(in, 0xff, sizeof(in));
		cr_assert_eq(vfdev_ops.region_write(&dev, VFIO_PCI_CONFIG_REGION_INDEX, rows[i].offset, in, rows[i].len),
			     (ssize_t)rows[i].len);
		for (size_t at = 0; at < sizeof(canned_config); at++) {
			uint8_t want = at >= rows[i].offset && at < rows[i].offset + rows[i].len ? 0xff : 0;

			if (at == PCI_COMMAND)
				want &= (uint8_t)~PCI_COMMAND_MASTER;
			cr_assert_eq(canned_config[at], want, "row %zu, byte %zu: %#x", i, at, canned_config[at]);
		}
		cr_assert_eq(vfdev_ops.region_read(&dev, VFIO_PCI_CONFIG_REGION_INDEX, rows[i].offset, out, rows[i].len),
			     (ssize_t)rows[i].len);
		cr_assert_eq(memcmp(in, out, rows[i].len), 0, "row %zu: reads back what was written", i);
		cr_assert_eq(dev.wants_master, rows[i].covers, "row %zu", i);
	}
}

/* What the VMM has unmapped while the function was quiet is out of the IOMMU before the bit is on. */
static unsigned nr_unmaps;
static int noting_ioctl(struct sys *sys, int fd, unsigned long request, void *arg)
{
	if (request == VFIO_IOMMU_UNMAP_DMA) {
		cr_assert_eq(hardware() & PCI_COMMAND_MASTER, 0);
		nr_unmaps++;
	}
	return canned_ioctl(sys, fd, request, arg);
}

Test(vfdev, nothing_parked_when_it_may_do_dma)
{
	uint64_t done;

	canned_ops.ioctl = noting_ioctl;
	cr_assert_eq(map(0), 0);
	land();
	cr_assert_eq(vfdev_ops.dma_unmap(&dev, 0, 4 << 20, &done), 0);
	cr_assert_eq(done, 4 << 20);
	cr_assert_eq(nr_unmaps, 0);
	guest_writes(BOTH);
	cr_assert_eq(nr_unmaps, 1);
	cr_assert_eq(hardware(), BOTH);
	canned_ops.ioctl = canned_ioctl;
}

/* A park that is not emptied in one turn: the bit waits for it. */
Test(vfdev, a_large_park_is_emptied_before_it_may_do_dma)
{
	unsigned turns = 0;
	uint64_t done;

	canned_ops.ioctl = noting_ioctl;
	for (unsigned i = 0; i < 200; i++) {
		cr_assert_eq(map_bytes(i * UINT64_C(8192), 4096), 0);
		land();
	}
	for (unsigned i = 0; i < 200; i++)
		cr_assert_eq(vfdev_ops.dma_unmap(&dev, i * UINT64_C(8192), 4096, &done), 0);
	cr_assert_eq(nr_unmaps, 0);
	guest_writes(BOTH);
	cr_assert_eq(hardware(), PCI_COMMAND_MEMORY);
	cr_assert_eq(guest_reads(), BOTH);
	cr_assert_eq(dev.held, VFDEV_HOLD_PENDING);
	for (; dev.held; turns++) {
		cr_assert_eq(iommu_timeout_ms(dev.iommu), 0);
		vfdev_process(&dev);
	}
	cr_assert_gt(turns, 0);
	cr_assert_eq(nr_unmaps, 200);
	cr_assert_eq(hardware(), BOTH);
	canned_ops.ioctl = canned_ioctl;
}

static int failing_ioctl(struct sys *sys, int fd, unsigned long request, void *arg)
{
	return request == VFIO_IOMMU_UNMAP_DMA ? -EIO : canned_ioctl(sys, fd, request, arg);
}

Test(vfdev, what_cannot_be_unmapped_keeps_it_off)
{
	uint64_t done;

	cr_assert_eq(map(0), 0);
	land();
	cr_assert_eq(vfdev_ops.dma_unmap(&dev, 0, 4 << 20, &done), 0);
	canned_ops.ioctl = failing_ioctl;
	guest_writes(BOTH);
	cr_assert_eq(hardware(), PCI_COMMAND_MEMORY);
	cr_assert_eq(dev.held, VFDEV_HOLD_DEGRADED);
	cr_assert_str_eq(dev.last.code, "iommu.unmap-failed");
	canned_ops.ioctl = canned_ioctl;
}

/* The guest's driver finds a function that can do DMA: the reset before it waits for the memory, but not for ever. */
Test(vfdev, a_reset_waits_for_memory)
{
	int r = 77;

	cr_assert_eq(vfdev_ops.reset(&dev), 0, "nothing to wait for");
	cr_assert_eq(map(0), 0);
	cr_assert_eq(vfdev_ops.reset(&dev), VUSER_LATER);
	cr_assert_not(vfdev_later_due(&dev, &r));
	cr_assert(vfdev_timeout_ms(&dev) > 1000 && vfdev_timeout_ms(&dev) <= 2001);
	land();
	cr_assert(vfdev_later_due(&dev, &r));
	cr_assert_eq(r, 0);
	cr_assert_not(vfdev_later_due(&dev, &r), "once");
	cr_assert_eq(vfdev_timeout_ms(&dev), -1);
	cr_assert_eq(map(1 << 30), 0);
	cr_assert_eq(vfdev_ops.reset(&dev), VUSER_LATER);
	dev.later_by_us = now_us(); /* two seconds later */
	cr_assert_eq(vfdev_timeout_ms(&dev), 0);
	cr_assert(vfdev_later_due(&dev, &r), "the VMM would give up");
	cr_assert_eq(dev.held, VFDEV_HOLD_PENDING);
	cr_assert_eq(vfdev_ops.reset(&dev), VUSER_LATER);
	sem_post(&gate); /* the thread is waited for */
	vfdev_ops.on_client(&dev, false);
	cr_assert_not(vfdev_later_due(&dev, &r), "nobody waits any more");
}

static long resident(void)
{
	long size = 0, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	cr_assert(f && fscanf(f, "%ld %ld", &size, &pages) == 2);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

/* What a client's flood of ranges took is the host's again when it has gone. */
Test(vfdev, a_flood_leaves_no_memory_behind)
{
	struct vuser_dma_map m = { .size = 4096, .readable = true };
	long before, flooded;

	if (!PEER_SEALED)
		cr_skip_test("a sanitizer keeps what is freed");
	before = resident();
	for (unsigned i = 0; i < LIMIT_DMA_RANGES; i++) {
		m.iova = i * UINT64_C(8192);
		cr_assert_eq(vfdev_ops.dma_map(&dev, &m, -1), 0);
	}
	flooded = resident();
	vfdev_ops.on_client(&dev, false);
	cr_assert_gt(flooded - before, 4 << 20);
	cr_assert_lt(resident() - before, (flooded - before) / 8, "of %ld bytes, %ld stay", flooded - before,
		     resident() - before);
	vfdev_ops.on_client(&dev, true);
}
