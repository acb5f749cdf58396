/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vdev on the fake kernel: groups, opening, regions, and every call failing once. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "fake.h"
#include "fake_vfio.h"
#include "vdev.h"

#define VF "0000:3b:02.1"

static struct fake *fake;
static struct sys *sys;
static struct err err;

static void setup(void)
{
	fake = fake_new();
	sys = fake_sys(fake);
	fake_add_driver(fake, "vfio-pci");
	fake_add_driver(fake, "pcieport");
	fake_add_driver(fake, "igb");
	fake_add_driver(fake, "pci-stub");
	fake_add_function(fake, VF, "vfio-pci", 7);
}

static void teardown(void)
{
	cr_assert_eq(fake_open_fds(fake), 0, "%u descriptors left", fake_open_fds(fake));
	cr_assert_eq(fake_iommu_mappings(fake), 0);
	fake_free(fake);
}

TestSuite(vdev, .init = setup, .fini = teardown);

Test(vdev, group_of_its_own_is_viable)
{
	int group = -1;

	cr_assert_eq(vdev_check_group(sys, VF, &group, &err), 0, "%s", err.msg);
	cr_assert_eq(group, 7);
}

Test(vdev, harmless_members_are_no_offenders)
{
	int group = -1;

	fake_add_function(fake, "0000:3b:00.0", "pcieport", 7);
	fake_add_function(fake, "0000:3b:02.2", "pci-stub", 7);
	fake_add_function(fake, "0000:3b:02.3", NULL, 7);
	fake_add_function(fake, "0000:3b:02.4", "vfio-pci", 7);
	cr_assert_eq(vdev_check_group(sys, VF, &group, &err), 0, "%s", err.msg);
}

Test(vdev, offenders_are_named)
{
	int group = -1;

	fake_add_function(fake, "0000:3b:02.2", "igb", 7);
	fake_add_function(fake, "0000:3b:02.3", "igb", 7);
	cr_assert_eq(vdev_check_group(sys, VF, &group, &err), -EBUSY);
	cr_assert_eq(group, -1, "untouched on failure");
	cr_assert_str_eq(err.code, "vfio.group-not-viable");
	cr_assert_neq(strstr(err.msg, "group 7 is not viable"), NULL);
	cr_assert_neq(strstr(err.msg, "0000:3b:02.2 (in use by driver igb), 0000:3b:02.3 (in use by driver igb)"), NULL, "%s",
		      err.msg);
	cr_assert(*err.hint);
}

/* A member of which nobody knows what it is bound to is not taken for harmless. */
Test(vdev, unreadable_member_is_an_offender)
{
	int group = -1;

	fake_add_function(fake, "0000:3b:02.2", "vfio-pci", 7);
	fake_fail_at(fake, 4, -EACCES); /* after the function, its group and the members: the link to the driver */
	cr_assert_eq(vdev_check_group(sys, VF, &group, &err), -EBUSY);
	cr_assert_neq(strstr(err.msg, "0000:3b:02.2 (in use by driver unknown: Permission denied)"), NULL, "%s", err.msg);
	cr_assert_eq(group, -1);
	cr_assert_eq(vdev_check_group(sys, VF, &group, &err), 0);
}

/* What the function itself is bound to does not matter: it will be bound to vfio-pci. */
Test(vdev, its_own_driver_is_no_offender)
{
	int group;

	fake_add_function(fake, "0000:3b:03.0", "igb", 8);
	cr_assert_eq(vdev_check_group(sys, "0000:3b:03.0", &group, &err), 0);
	cr_assert_eq(group, 8);
}

Test(vdev, no_iommu_and_no_device)
{
	int group;

	fake_set_group(fake, VF, -1);
	cr_assert_eq(vdev_check_group(sys, VF, &group, &err), -EPERM);
	cr_assert_str_eq(err.code, "vfio.no-iommu");
	cr_assert_neq(strstr(err.hint, "intel_iommu=on"), NULL);
	cr_assert_eq(vdev_check_group(sys, "0000:99:00.0", &group, &err), -ENODEV);
	cr_assert_str_eq(err.code, "vfio.no-device");
}

static void put_reserved(const char *text)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups/7/reserved_regions", fake_root(fake));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

Test(vdev, reserved_regions)
{
	const uint64_t gib = UINT64_C(1) << 30;

	put_reserved("0x00000000fee00000 0x00000000feefffff msi\n"
		     "0x000000007b000000 0x000000007b7fffff direct\n"
		     "0x0000000080000000 0x00000000803fffff direct-relaxable\n"
		     "0x000000fd00000000 0x000000ffffffffff reserved\n");
	cr_assert_eq(vdev_check_reserved(sys, 7, 1 * gib, &err), 0, "ends below it");
	cr_assert_eq(vdev_check_reserved(sys, 7, 0x7b000000, &err), 0, "ends right below it");
	cr_assert_eq(vdev_check_reserved(sys, 7, 0x7b001000, &err), -ERANGE);
	cr_assert_eq(vdev_check_reserved(sys, 7, 8 * gib, &err), -ERANGE);
	cr_assert_str_eq(err.code, "vfio.iova-reserved");
	cr_assert_neq(strstr(err.msg, "[0x7b000000, 0x7b7fffff]"), NULL);
	put_reserved("0x00000000c0000000 0x00000000c0ffffff direct\n0x0000000200000000 0x0000000200000fff reserved\n");
	cr_assert_eq(vdev_check_reserved(sys, 7, 4 * gib, &err), 0, "in the hole below 4 GiB, and above the end");
	cr_assert_eq(vdev_check_reserved(sys, 7, 6 * gib, &err), 0, "[4, 8) GiB");
	cr_assert_eq(vdev_check_reserved(sys, 7, 6 * gib + 4096, &err), -ERANGE);
	put_reserved("");
	cr_assert_eq(vdev_check_reserved(sys, 7, 64 * gib, &err), 0);
}

Test(vdev, open_and_close)
{
	struct vdev *v = NULL;

	cr_assert_eq(vdev_open(sys, VF, &v, &err), 0, "%s", err.msg);
	cr_assert_str_eq(vdev_bdf(v), VF);
	cr_assert_eq(vdev_nr_regions(v), 9);
	cr_assert_eq(vdev_nr_irqs(v), 5);
	cr_assert(vdev_can_reset(v));
	cr_assert_eq(vdev_reset(v, &err), 0);
	cr_assert_eq(fake_vfio_resets(fake_vfio_current(), VF), 1);
	cr_assert_eq(fake_open_fds(fake), 3);
	cr_assert_null(vdev_close(v));
	cr_assert_null(vdev_close(NULL));
}

Test(vdev, open_of_a_group_in_use)
{
	struct vdev *v = NULL, *second = NULL;

	cr_assert_eq(vdev_open(sys, VF, &v, &err), 0);
	cr_assert_eq(vdev_open(sys, VF, &second, &err), -EBUSY);
	cr_assert_str_eq(err.code, "vfio.group-in-use");
	cr_assert_null(second);
	vdev_close(v);
}

Test(vdev, open_of_a_group_that_is_not_viable)
{
	struct vdev *v = NULL;

	fake_add_function(fake, "0000:3b:02.2", "igb", 7);
	cr_assert_eq(vdev_open(sys, VF, &v, &err), -EBUSY);
	cr_assert_str_eq(err.code, "vfio.group-not-viable");
	cr_assert_neq(strstr(err.msg, "0000:3b:02.2"), NULL);
}

Test(vdev, open_unbound)
{
	struct vdev *v = NULL;

	fake_add_function(fake, "0000:3b:03.0", "igb", 8);
	cr_assert_eq(vdev_open(sys, "0000:3b:03.0", &v, &err), -ENOENT);
	cr_assert_str_eq(err.code, "vfio.group-open");
	cr_assert_neq(strstr(err.hint, "vfio-pci"), NULL);
}

Test(vdev, dead_device)
{
	struct vdev *v = NULL;

	fake_vfio_set_dead(fake_vfio_current(), true);
	cr_assert_eq(vdev_open(sys, VF, &v, &err), -EIO);
	cr_assert_str_eq(err.code, "vfio.device-dead");
	cr_assert_neq(strstr(err.msg, VF), NULL);
}

Test(vdev, from_fds)
{
	struct vdev *v = NULL, *again = NULL;
	struct vdev_fds fds, dups;

	cr_assert_eq(vdev_open(sys, VF, &v, &err), 0);
	fds = vdev_get_fds(v);
	dups = (struct vdev_fds){ .container = dup(fds.container), .group = dup(fds.group), .device = dup(fds.device) };
	cr_assert_eq(vdev_from_fds(sys, VF, dups, &again, &err), 0, "%s", err.msg);
	vdev_close(v);
	cr_assert_eq(vdev_reset(again, &err), 0, "alive by its own descriptors");
	vdev_close(again);
}

/* A hostile or confused process sends others: refused, and closed all the same. */
Test(vdev, from_wrong_fds)
{
	struct vdev *v = NULL, *again = NULL;
	struct vdev_fds fds, dups;
	int pipe_fds[2];

	cr_assert_eq(vdev_open(sys, VF, &v, &err), 0);
	fds = vdev_get_fds(v);
	dups = (struct vdev_fds){ .container = dup(fds.group), .group = dup(fds.container), .device = dup(fds.device) };
	cr_assert(vdev_from_fds(sys, VF, dups, &again, &err) < 0);
	cr_assert_str_eq(err.code, "vfio.bad-fds");
	cr_assert_eq(fcntl(dups.container, F_GETFD), -1, "closed");
	cr_assert_eq(fcntl(dups.device, F_GETFD), -1, "closed");
	cr_assert_eq(pipe(pipe_fds), 0);
	dups = (struct vdev_fds){ .container = pipe_fds[0], .group = pipe_fds[1], .device = -1 };
	cr_assert_eq(vdev_from_fds(sys, VF, dups, &again, &err), -EBADF);
	cr_assert_eq(fcntl(pipe_fds[0], F_GETFD), -1, "closed");
	vdev_close(v);
}

Test(vdev, regions)
{
	struct vfio_region_info *info = NULL;
	uint32_t word = 0;
	uint16_t command = 4;
	struct vdev *v;

	cr_assert_eq(vdev_open(sys, VF, &v, &err), 0);
	cr_assert_eq(vdev_region_info(v, 3, &info, &err), 0);
	cr_assert_eq(info->size, 0x4000);
	cr_assert(info->flags & VFIO_REGION_INFO_FLAG_CAPS);
	cr_assert_neq(info->cap_offset, 0, "the chain is there");
	cr_assert(info->argsz > sizeof(*info));
	free(info);
	cr_assert_eq(vdev_region_info(v, 9, &info, &err), -EINVAL);
	cr_assert_eq(vdev_region_read(v, VFIO_PCI_CONFIG_REGION_INDEX, 0, &word, 4), 4);
	cr_assert_eq(word, 0x10ca8086);
	cr_assert_eq(vdev_region_write(v, VFIO_PCI_CONFIG_REGION_INDEX, 4, &command, 2), 2);
	cr_assert_eq(vdev_region_read(v, VFIO_PCI_CONFIG_REGION_INDEX, 4, &command, 2), 2);
	cr_assert_eq(command & 4, 4);
	word = 0xdeadbeef;
	cr_assert_eq(vdev_region_write(v, 0, 0x3ffc, &word, 4), 4);
	cr_assert_eq(vdev_region_read(v, 0, 0x3ffc, &word, 4), 4);
	cr_assert_eq(word, 0xdeadbeef);
	vdev_close(v);
}

Test(vdev, region_bounds)
{
	uint8_t buf[16] = { 0 };
	struct vdev *v;

	cr_assert_eq(vdev_open(sys, VF, &v, &err), 0);
	cr_assert_eq(vdev_region_read(v, 0, 0x4000, buf, 1), -EINVAL);
	cr_assert_eq(vdev_region_read(v, 0, 0x3fff, buf, 2), -EINVAL);
	cr_assert_eq(vdev_region_write(v, 0, UINT64_MAX, buf, 2), -EINVAL);
	cr_assert_eq(vdev_region_read(v, VFIO_PCI_CONFIG_REGION_INDEX, 4095, buf, 2), -EINVAL);
	cr_assert_eq(vdev_region_read(v, 9, 0, buf, 1), -EINVAL);
	cr_assert_eq(vdev_region_read(v, UINT32_MAX, 0, buf, 1), -EINVAL);
	cr_assert_eq(vdev_region_read(v, VFIO_PCI_ROM_REGION_INDEX, 0, buf, 1), -EPERM, "absent: neither readable nor writable");
	vdev_close(v);
}

/* --- quiesce --- */

static const struct sys_ops *real_ops;

/* Linux before 5.12. */
static int old_ioctl(struct sys *s, int fd, unsigned long request, void *arg)
{
	const struct vfio_iommu_type1_dma_unmap *u = arg;

	if (request == VFIO_CHECK_EXTENSION && arg == (void *)VFIO_UNMAP_ALL)
		return 0;
	if (request == VFIO_IOMMU_UNMAP_DMA && u->flags)
		return -EINVAL;
	return real_ops->ioctl(s, fd, request, arg);
}

static void map_at(int container, uint64_t iova)
{
	static uint8_t page[4096] __attribute__((aligned(4096)));
	struct vfio_iommu_type1_dma_map m = {
		.argsz = sizeof(m), .flags = VFIO_DMA_MAP_FLAG_READ, .vaddr = (uintptr_t)page, .iova = iova, .size = 4096
	};

	cr_assert_eq(sys->ops->ioctl(sys, container, VFIO_IOMMU_MAP_DMA, &m), 0);
}

/* A VMM keeps the device's descriptor: the group and container live on, so nothing is unmapped by closing ours. */
Test(vdev, quiesce_with_the_device_held_elsewhere)
{
	struct sys_ops old_ops = *sys->ops;

	real_ops = sys->ops;
	old_ops.ioctl = old_ioctl;
	for (int old = 0; old < 2; old++) {
		uint16_t command = 6;
		struct vdev *v = NULL;
		int held;

		cr_assert_eq(vdev_open(sys, VF, &v, &err), 0, "%s", err.msg);
		map_at(vdev_get_fds(v).container, 0);
		map_at(vdev_get_fds(v).container, UINT64_C(0x7ffffc000));
		cr_assert_eq(vdev_region_write(v, VFIO_PCI_CONFIG_REGION_INDEX, 4, &command, 2), 2);
		held = dup(vdev_get_fds(v).device);
		cr_assert_eq(sys->ops->ioctl(sys, held, VFIO_DEVICE_GET_INFO, &(struct vfio_device_info){ .argsz = 16 }), 0);
		sys->ops = old ? &old_ops : real_ops;
		cr_assert_eq(fake_iommu_mappings(fake), 2);
		cr_assert_eq(vdev_quiesce(v, &err), 0, "%s", err.msg);
		cr_assert_eq(fake_iommu_mappings(fake), 0);
		cr_assert_eq(fake_vfio_resets(fake_vfio_current(), VF), 1);
		cr_assert_eq(vdev_region_read(v, VFIO_PCI_CONFIG_REGION_INDEX, 4, &command, 2), 2);
		cr_assert_not(command & 4, "bus master");
		vdev_close(v);
		sys->ops->close(sys, held);
		sys->ops = real_ops;
	}
}

/* A call that fails does not keep the others from being tried. */
Test(vdev, quiesce_unmaps_whatever_fails_before)
{
	for (unsigned n = 1; n <= 3; n++) {
		struct vdev *v = NULL;

		cr_assert_eq(vdev_open(sys, VF, &v, &err), 0);
		map_at(vdev_get_fds(v).container, 0);
		fake_fail_at(fake, n, -EIO); /* command register read, written; reset */
		cr_assert_eq(vdev_quiesce(v, &err), -EIO, "%u", n);
		cr_assert_eq(fake_iommu_mappings(fake), 0, "%u", n);
		vdev_close(v);
	}
}

/* Each call of an open fails in turn: an error with a code, nothing left behind. */
Test(vdev, every_call_of_open_fails_once)
{
	unsigned n;

	for (n = 1; n < 100; n++) {
		struct vdev *v = NULL;
		int r;

		fake_fail_at(fake, n, -EIO);
		err_clear(&err);
		r = vdev_open(sys, VF, &v, &err);
		if (!fake_failed(fake)) {
			cr_assert_eq(r, 0, "%s", err.msg);
			vdev_close(v);
			break;
		}
		fake_fail_at(fake, 0, 0);
		if (r == 0) { /* survived */
			vdev_close(v);
		} else {
			cr_assert(r < 0 && *err.code && *err.msg, "call %u: %d", n, r);
			cr_assert_null(v);
		}
		cr_assert_eq(fake_open_fds(fake), 0, "call %u left %u descriptors", n, fake_open_fds(fake));
	}
	cr_assert(n > 10 && n < 100, "%u calls", n);
}
