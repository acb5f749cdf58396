/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sriov: physical and virtual functions of the host: what there is, how many, which driver, under which policy.
 * Sources: Documentation/ABI/testing/sysfs-bus-pci (sriov_*, driver_override, physfn, virtfnN), rtnetlink(7) IFLA_VF_*.
 *
 * Everything here may block (driver binding, VF creation) and is called from a worker thread, inventory aside.
 */
#ifndef GANGWAY_SRIOV_H
#define GANGWAY_SRIOV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mac.h"
#include "sys.h"

#define BDF_LEN 13 /* "0000:3b:02.1" and NUL */
#define DRIVER_NAME_MAX 64
#define PF_KEY_MAX 192 /* a path through several PCIe switches is long */

struct err;

struct sriov_pf {
	char bdf[BDF_LEN];
	char ifname[IF_NAMESIZE]; /* "" where the PF has no network interface */
	char driver[DRIVER_NAME_MAX]; /* "" where none is bound */
	char vendor_name[64], device_name[96]; /* libpci's names; "Vendor 8086", "Device 1520" where it knows none */
	uint16_t vendor, device;
	/* What survives a reboot: "mac=52:54:00:00:00:10,path=pci0000:00/0000:00:02.0": permanent MAC (none without interface: path
	 * alone) and sysfs path. */
	char key[PF_KEY_MAX];
	int numa_node; /* -1: unknown or not NUMA */
	unsigned total_vfs; /* sriov_totalvfs */
	unsigned nr_vfs; /* sriov_numvfs */
	bool autoprobe; /* sriov_drivers_autoprobe */
	struct sys_link link; /* zero where there is no interface */
};

struct sriov_vf {
	char bdf[BDF_LEN];
	unsigned index; /* N of virtfnN and of `ip link set PF vf N`: not derived from the BDF */
	char pf_bdf[BDF_LEN], pf_ifname[IF_NAMESIZE];
	char ifname[IF_NAMESIZE]; /* of the VF on this host, "" without host driver */
	char driver[DRIVER_NAME_MAX]; /* "" none */
	char override[DRIVER_NAME_MAX]; /* driver_override, "" none */
	uint16_t vendor, device;
	int numa_node;
	int group_id; /* IOMMU group, -1: none (IOMMU off) */
	struct sys_vf policy; /* .fields == 0 where the PF's driver reports none */
	struct sys_link link; /* of @ifname */
	char upper[IF_NAMESIZE]; /* first interface stacked on @ifname (bridge, bond, VLAN, macvtap), "" none */
};

/* Is @s a BDF? Accepts "0000:65:02.1", "65:02.1" and "pci_0000_65_02_1", writes the long form. -EINVAL. */
int bdf_parse(const char *s, char ret[static BDF_LEN]);

/*
 * All SR-IOV capable PFs, sorted by BDF. The array is the caller's, free(). One that cannot be looked at is left out: @ret_left_out (NULL is
 * fine) has which, and why, of the first; .num 0: none is.
 */
int sriov_pf_list(struct sys *sys, struct sriov_pf **ret, size_t *ret_nr, struct err *ret_left_out, struct err *err);
/* One PF by interface name or BDF. Errors: -EINVAL sriov.bad-name (can name nothing), -ENOENT sriov.no-such-device,
 * -EINVAL sriov.not-a-pf (it is a VF), -EINVAL sriov.no-sriov. */
int sriov_pf_get(struct sys *sys, const char *name, struct sriov_pf *ret, struct err *err);
/* The PF whose .key is @key, whatever its name is now. A PF with that MAC at another path is taken too (a new card moves bus
 * numbers) unless several have it. -ENOENT sriov.no-such-device. */
int sriov_pf_by_key(struct sys *sys, const char *key, struct sriov_pf *ret, struct err *err);
/* What the interface of the function @bdf is called now, "" if it has none: of sysfs, never blocks. */
int sriov_ifname(struct sys *sys, const char *bdf, char ret[static IF_NAMESIZE]);
/* The enabled VFs of @pf by index. free(). */
int sriov_vf_list(struct sys *sys, const struct sriov_pf *pf, struct sriov_vf **ret, size_t *ret_nr, struct err *err);
/*
 * The first VF of @pf, by index, that the host can spare (sriov_vf_check_unused()) and @skip, called with its BDF, does not pass over.
 * Looks no further than that one. -ENODEV sriov.no-vfs: none are enabled; -EBUSY sriov.no-free-vf.
 */
int sriov_vf_find_free(struct sys *sys, const struct sriov_pf *pf, bool (*skip)(const char *bdf, void *arg), void *arg,
		       struct sriov_vf *ret, struct err *err);
/* One VF by "PF/vfN" (PF an interface name or BDF), by its BDF or by its interface on the host, and its PF (@ret_pf may be NULL).
 * Errors: -EINVAL sriov.bad-name, -ENOENT sriov.no-such-device / sriov.no-such-vf, -EINVAL sriov.not-a-vf. */
int sriov_vf_get(struct sys *sys, const char *name, struct sriov_vf *ret, struct sriov_pf *ret_pf, struct err *err);

/* Write sriov_numvfs (0 first where the count changes from non-zero). Refusing while VFs are leased is the caller's business.
 * Where the new count fails the old one is put back. Errors: -ERANGE sriov.too-many-vfs (says the maximum), -EBUSY
 * sriov.numvfs-busy, -ENOMEM sriov.no-room, -EOPNOTSUPP sriov.no-sriov-driver, -EIO sriov.numvfs-not-taken, else sriov.numvfs. */
int sriov_pf_set_numvfs(struct sys *sys, const struct sriov_pf *pf, unsigned nr, struct err *err);

/* The binding of any PCI function, as it can be put back. */
struct sriov_binding {
	char driver[DRIVER_NAME_MAX]; /* "" none */
	char override[DRIVER_NAME_MAX]; /* "" none */
};

int sriov_binding_get(struct sys *sys, const char *bdf, struct sriov_binding *ret, struct err *err);
/* Bind @bdf to @driver through driver_override, unbinding what holds it. Already so: nothing is written. On failure what was
 * there before is put back. Errors: -ENOENT sriov.no-such-device, -ENODEV sriov.no-driver (module not loaded), sriov.bind. */
int sriov_bind(struct sys *sys, const char *bdf, const char *driver, struct err *err);
/* Back to @want, both override and driver. Idempotent; a function that is gone is no error. */
int sriov_binding_restore(struct sys *sys, const char *bdf, const struct sriov_binding *want, struct err *err);

/*
 * May the host lose this VF? Refused (-EBUSY, sriov.vf-in-use) when its interface on the host has an address or a route or is
 * part of a bridge or bond, or has a VLAN or macvtap on it; the message keeps the words "in use by driver" and names the driver
 * and the interface.
 */
int sriov_vf_check_unused(const struct sriov_vf *vf, struct err *err);

/* --- policy: MAC, VLAN, QoS, protocol, spoofchk, trust, state, rates --- */

/*
 * One setting by its `ip link` word: "mac" "vlan" "qos" "proto" "spoofchk" "trust" "state" "min_tx_rate" "max_tx_rate".
 * Adds to @ret (fields and value); a rate given alone leaves the other at SYS_VF_RATE_KEEP. -EINVAL policy.bad-value / policy.bad-word: zero or multicast MAC, VLAN over 4094, ...
 */
int policy_parse_word(const char *word, const char *value, struct sys_vf *ret, struct err *err);
/* Checks what single words cannot: qos or proto without VLAN, min rate over max rate. */
int policy_check(const struct sys_vf *want, struct err *err);
/* Is @mac on any VF or PF of the host, or on another interface? -EEXIST policy.mac-in-use names who has it. May have it: VF @vf of
 * @pf with its interface, and macvtaps, which carry the MAC of a guest by design. */
int policy_check_mac(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const uint8_t mac[static SYS_MAC_LEN],
		     struct err *err);
/* Write what @want says and nothing else, then read back; a value the driver swallowed is -EIO policy.not-taken. A VF that the PF
 * still resets (-EAGAIN) is tried again for a second. On failure some of it may be written: policy_restore() is the way back. */
int policy_apply(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const struct sys_vf *want, struct err *err);
/*
 * Put the fields in @touched back to what @saved says, writing only what differs; fields the driver did not report then are left.
 * Goes on after a refusal and returns the first. A driver that refuses the all-zero MAC gets a locally administered one,
 * unique to this VF. Idempotent. A PF or VF that is gone is no error.
 */
int policy_restore(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const struct sys_vf *saved, unsigned touched,
		   struct err *err);

/* No DMA by this function any more: clear its bus master bit. Whoever may write its configuration space can set it again. -EBUSY: it is set
 * again at once; -EIO. A kernel that resets the function holds this up for a second. */
int sriov_clear_master(struct sys *sys, const char *bdf, bool *ret_was_on);

#endif
