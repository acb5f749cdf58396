/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IOMMU groups, as sysfs shows them. Whether a group is viable is the kernel's decision at VFIO_GROUP_SET_CONTAINER
 * (iommu_group_claim_dma_owner()): no member may be bound to a driver that does DMA through the kernel's own mappings. Drivers that
 * leave DMA to others set driver_managed_dma: vfio's, pci-stub and pcieport. Kernels before 5.19 let every bridge pass
 * (vfio_dev_viable()); a bridge's only driver is pcieport, so one rule serves both.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "sys.h"
#include "vdev.h"
#include "vdev_internal.h"

#define CLASS_BRIDGE_PCI 0x0604

int vdev_group_id(struct sys *sys, const char *bdf, int *ret, struct err *err)
{
	char path[128], name[32], *end;
	long n;
	int r;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", bdf);
	if (!sys_exists(sys, path))
		return err_set(err, -ENODEV, "vfio.no-device", "vf %s: there is no such PCI function", bdf);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	r = sys_link_name(sys, path, name, sizeof(name));
	if (r == -ENOENT) {
		err_set(err, -EPERM, "vfio.no-iommu", "vf %s is in no IOMMU group: the IOMMU is off", bdf);
		err_hint(err,
			 "switch VT-d or AMD-Vi on in the firmware and boot with intel_iommu=on (Intel; AMD needs no argument), "
			 "iommu=pt is recommended");
		return -EPERM;
	}
	if (r < 0)
		return err_set(err, r, "vfio.group-unreadable", "vf %s: %s: %s", bdf, path, strerror(-r));
	n = strtol(name, &end, 10);
	if (*name == '\0' || *end || n < 0 || n > INT_MAX)
		return err_set(err, -EINVAL, "vfio.group-unreadable", "vf %s: IOMMU group \"%s\" is no number", bdf, name);
	*ret = (int)n;
	return 0;
}

int vdev_not_viable(struct sys *sys, const char *bdf, int group_id, const char *offenders, struct err *err)
{
	(void)sys;
	err_set(err, -EBUSY, "vfio.group-not-viable", "vf %s: group %d is not viable%s%s", bdf, group_id, *offenders ? ": " : "",
		offenders);
	err_hint(err, "all functions of an IOMMU group go to one guest: unbind the others from their drivers or bind them to "
		      "vfio-pci, use a "
		      "slot behind a root port with ACS, or take a VF that has a group of its own");
	return -EBUSY;
}

/* Does the kernel's DMA API hold this member? @driver is filled. */
static bool spoils(struct sys *sys, const char *member, char *driver, size_t size)
{
	char path[128];
	uint64_t class;
	int r;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", member);
	r = sys_link_name(sys, path, driver, size);
	if (r == -ENOENT)
		return false; /* bound to nothing */
	if (r < 0)
		snprintf(driver, size, "unknown: %s", strerror(-r));
	if (strstr(driver, "vfio") || !strcmp(driver, "pci-stub") || !strcmp(driver, "pcieport"))
		return false;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/class", member);
	return sys_read_u64(sys, path, &class) < 0 || class >> 8 != CLASS_BRIDGE_PCI;
}

int vdev_check_group(struct sys *sys, const char *bdf, int *ret_group_id, struct err *err)
{
	char path[64], driver[64], offenders[256] = "";
	char **members;
	int group_id, r;
	size_t used = 0;

	r = vdev_group_id(sys, bdf, &group_id, err);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices", group_id);
	r = sys->ops->list(sys, path, &members);
	if (r < 0)
		return err_set(err, r, "vfio.group-unreadable", "vf %s: %s: %s", bdf, path, strerror(-r));
	for (char **m = members; *m; m++) {
		if (!strcmp(*m, bdf) || !spoils(sys, *m, driver, sizeof(driver)))
			continue;
		if (used < sizeof(offenders))
			used += (size_t)snprintf(offenders + used, sizeof(offenders) - used, "%s%s (in use by driver %s)",
						 used ? ", " : "", *m, driver);
	}
	sys_list_free(members);
	if (used)
		return vdev_not_viable(sys, bdf, group_id, offenders, err);
	*ret_group_id = group_id;
	return 0;
}

/* AMD keeps the top of the first TiB for HyperTransport. QEMU since 7.1 lays out guests that would reach it above. */
#define HT_FIRST UINT64_C(0xfd00000000)
#define GIB4 (UINT64_C(4) << 30)
#define Q35_LOW_MAX UINT64_C(0xb0000000) /* hw/i386/pc_q35.c: more RAM than this, and all but 2 GiB is put above 4 GiB */
#define Q35_LOW UINT64_C(0x80000000)

/* Guest RAM of @ram_bytes as a q35 machine (the only one failover works with) lays it out: does it touch [@first, @last]? */
static bool in_guest_ram(uint64_t ram_bytes, uint64_t first, uint64_t last)
{
	uint64_t low = ram_bytes < Q35_LOW_MAX ? ram_bytes : Q35_LOW;
	uint64_t high = ram_bytes - low;

	if (low && first < low)
		return true;
	return high && last >= GIB4 && first < GIB4 + high;
}

int vdev_check_reserved(struct sys *sys, int group_id, uint64_t ram_bytes, struct err *err)
{
	char path[96], text[4096], type[32];
	char *save = NULL;
	uint64_t first, last;
	int r;

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/reserved_regions", group_id);
	r = sys_read_str(sys, path, text, sizeof(text));
	if (r == -ENOENT)
		return 0; /* kernels before 4.11 */
	if (r < 0)
		return err_set(err, r, "vfio.group-unreadable", "group %d: %s: %s", group_id, path, strerror(-r));
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "%" SCNx64 " %" SCNx64 " %31s", &first, &last, type) != 3)
			continue;
		/* msi: where interrupts go, no RAM is there. direct-relaxable: the kernel itself lets VFIO have it */
		if (!strcmp(type, "msi") || !strcmp(type, "direct-relaxable") || first == HT_FIRST)
			continue;
		if (!in_guest_ram(ram_bytes, first, last))
			continue;
		err_set(err, -ERANGE, "vfio.iova-reserved",
			"group %d: IOVA range [0x%" PRIx64 ", 0x%" PRIx64 "] is reserved (%s) and lies in the guest's RAM",
			group_id, first, last, type);
		err_hint(err, "the firmware keeps this range for itself (RMRR); take another slot or NIC, or ask the vendor to "
			      "lift it");
		return -ERANGE;
	}
	return 0;
}
