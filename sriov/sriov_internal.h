/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the files of sriov/ alone. */
#ifndef GANGWAY_SRIOV_INTERNAL_H
#define GANGWAY_SRIOV_INTERNAL_H

#include "sriov.h"

#define PCI_DEVICES "/sys/bus/pci/devices"
#define PCI_DRIVERS "/sys/bus/pci/drivers"
#define CLASS_NET "/sys/class/net"
#define SRIOV_PATH_MAX 192 /* the longest path we build from names that were checked */

/* What an operator's name stands for: a PCI function, and which of its VFs. */
struct sriov_ref {
	char bdf[BDF_LEN];
	int vf; /* -1: the function itself */
};

/* name.c. Nothing of @name reaches a path before it was checked. -EINVAL sriov.bad-name, -ENOENT sriov.no-such-device,
 * -EINVAL sriov.no-sriov (an interface that is no PCI function). */
int sriov_ref_parse(struct sys *sys, const char *name, struct sriov_ref *ret, struct err *err);
/* The text of the number at @path, as `numa_node` may be "-1". 0 or negative errno. */
int sriov_read_int(struct sys *sys, const char *path, int *ret);
/* What a PF or VF is called in messages: its interface where it has one, else its BDF. */
const char *sriov_pf_name(const struct sriov_pf *pf);

/* function.c: what any PCI function has. */
/* The function that an interface is one of, its VFs' representors too; a virtio NIC's interface hangs on a virtio device, and that on it. -ENODEV: none. */
int sriov_function_of(struct sys *sys, const char *ifname, char bdf[static BDF_LEN]);
int sriov_attr_read(struct sys *sys, const char *bdf, const char *attr, char *buf, size_t size);
int sriov_driver_read(struct sys *sys, const char *bdf, char ret[static DRIVER_NAME_MAX]); /* "" none */
int sriov_override_read(struct sys *sys, const char *bdf, char ret[static DRIVER_NAME_MAX]); /* "" none */
int sriov_ids_read(struct sys *sys, const char *bdf, uint16_t *vendor, uint16_t *device);
int sriov_numa_read(struct sys *sys, const char *bdf); /* -1 unknown */
int sriov_group_read(struct sys *sys, const char *bdf, int *ret); /* -1 none */
/* The function's own network interface and what rtnetlink knows of it; "" and zero where it has none. */
int sriov_link_read(struct sys *sys, const char *bdf, char ifname[static IF_NAMESIZE], struct sys_link *link);

/* pf.c */
/* The PF at @bdf, called @name in errors: as sriov_pf_get(). */
int sriov_pf_by_bdf(struct sys *sys, const char *name, const char *bdf, struct sriov_pf *ret, struct err *err);
/* The BDF of @bdf's PF where that is a VF, else "". */
int sriov_physfn_read(struct sys *sys, const char *bdf, char pf_bdf[static BDF_LEN]);
/* Fill @err for an attribute of "@kind @bdf" that could not be read with @r; a function that is gone is -ENOENT. */
int sriov_read_failed(struct err *err, int r, const char *kind, const char *bdf);

/* pci_names.c: never fails, unknown ids become "Vendor 8086" and "Device 1520". */
void sriov_pci_names(uint16_t vendor, uint16_t device, char *vendor_name, size_t vendor_size, char *device_name,
		     size_t device_size);

#endif
