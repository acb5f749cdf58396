/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's errors are prose. What gangway must tell apart is recognised by the words that QEMU has kept over the years. */
#include "vmm_internal.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define HINT_PORT                                                                                                                \
	"the guest needs an empty, hotpluggable PCIe root port: start it with one to spare (-device "                            \
	"pcie-root-port,id=gw0,chassis=10)"

#define HINT_POSTMIGRATE "the guest has left with a migration: end this VMM, or let the guest go on here (QMP cont)"

static const struct {
	const char *words;
	int num;
	const char *code, *also, *hint; /* also: the wording that people search for, where QEMU has another */
} rows[] = {
	/* the order matters: the more particular words come first */
	{ "is not viable", -EBUSY, "vmm.group-not-viable", "",
	  "every device of the IOMMU group must be bound to vfio-pci or to no driver; see gangway vf show" },
	{ "not allowed while migrating", -EBUSY, "vmm.migrating", "", "wait until the migration has ended, or cancel it" },
	{ "migration process in progress", -EBUSY, "vmm.migrating", "", "wait until the migration has ended, or cancel it" },
	{ "paused due to previous migration", -ESTALE, "vmm.postmigrate", "", HINT_POSTMIGRATE },
	{ "waiting for an incoming migration", -EBUSY, "vmm.incoming", "", "the guest is not here yet: wait until it runs" },
	{ "doesn't support migration", -EBUSY, "vmm.migration-blocked", "",
	  "the device must be out of the guest first: gangway switch GUEST emulated" },
	{ "does not support migration", -EBUSY, "vmm.migration-blocked", "",
	  "the device must be out of the guest first: gangway switch GUEST emulated" },
	{ "migrate: Failed to connect to", -EIO, "vmm.migrate-connect", "",
	  "the VMM of the destination must listen there already" },
	{ "Cannot attach more than one primary", -EBUSY, "vmm.other-primary", "",
	  "QEMU remembers the first device of a standby by its id: plug it with that id, or unplug the standby as well" },
	{ "SCM_RIGHTS", -EIO, "vmm.no-descriptor", "", "something between gangway and the VMM drops descriptors" },
	{ "TUNGETIFF", -EINVAL, "vmm.not-a-tap", "", "the descriptor must be of /dev/net/tun or of a macvtap (/dev/tapN)" },
	{ "/dev/net/tun", -EACCES, "vmm.tap-access", "", "the VMM may not open a tap itself: hand it a descriptor" },
	{ "/dev/vhost-net", -EACCES, "vmm.tap-access", "", "the VMM may not open /dev/vhost-net: plug without vhost" },
	{ "netdev_add: Duplicate ID", -EEXIST, "vmm.duplicate-id", "", "a backend of this name is in the guest already" },
	{ "can't take value", -EBUSY, "vmm.netdev-in-use", "", "another device of the guest has this backend" },
	{ "Duplicate device ID", -EEXIST, "vmm.duplicate-id", "", "a device of this name is in the guest already" },
	{ "Duplicate ID", -EEXIST, "vmm.duplicate-id", "", "a device of this name is in the guest already" },
	{ "No more available PCI slots", -ENOSPC, "vmm.no-slot", "", HINT_PORT },
	{ "no slot/function available", -ENOSPC, "vmm.no-slot", " (No more available PCI slots)", HINT_PORT },
	{ "already occupied by", -ENOSPC, "vmm.no-slot", " (No more available PCI slots)", HINT_PORT },
	{ "not available for", -ENOSPC, "vmm.no-slot", " (No more available PCI slots)", HINT_PORT },
	{ "does not support hotplugging", -EOPNOTSUPP, "vmm.no-hotplug", "", HINT_PORT },
	{ "unsupported by the port device", -EOPNOTSUPP, "vmm.no-hotplug", "", HINT_PORT },
	{ "is busy", -EAGAIN, "vmm.guest-busy", "",
	  "the slot is still settling after the last hotplug: try again in a few seconds" },
	{ "power indicator", -EAGAIN, "vmm.guest-busy", "",
	  "the slot is still settling after the last hotplug: try again in a few seconds" },
	{ "already in the process of unplug", -EALREADY, "vmm.unplug-pending", "", "" },
	{ "no such host device", -ENODEV, "vmm.no-host-device", "", "the VF is gone: see gangway vf list" },
	{ "is not a valid device model name", -EOPNOTSUPP, "vmm.no-device-type", "",
	  "this QEMU is too old or built without it: see gangway doctor" },
	{ "Failed to connect to", -EIO, "vmm.vfio-user-connect", "",
	  "the VMM must be able to reach the vfio-user socket: same mount namespace, write permission" },
	{ "Permission denied", -EACCES, "vmm.vfio-access", "",
	  "QEMU may not open the VFIO group: give its user the file in /dev/vfio (owner or ACL), and its cgroup the device" },
	{ "Operation not permitted", -EACCES, "vmm.vfio-access", "",
	  "QEMU may not open the VFIO group: give its user the file in /dev/vfio (owner or ACL), and its cgroup the device" },
	{ "Cannot allocate memory", -ENOMEM, "vmm.memlock", "",
	  "RLIMIT_MEMLOCK of the QEMU process is too low: it must cover the guest's whole RAM and some (ulimit -l, systemd "
	  "LimitMEMLOCK=, libvirt <hard_limit>; prlimit --pid changes a running one)" },
	{ "Device or resource busy", -EBUSY, "vmm.device-in-use", "", "somebody else has the device or its group open" },
	{ "in use", -EBUSY, "vmm.device-in-use", "", "somebody else has the device or its group open" },
	{ "already attached", -EBUSY, "vmm.device-in-use", "", "the guest has this device already" },
};

int vmm_explain(struct err *err)
{
	char msg[ERR_MSG_MAX];

	if (strcmp(err->code, "qmp.error"))
		return err->num; /* a class of its own, or no answer at all: says enough */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!strcasestr(err->msg, rows[i].words))
			continue;
		memcpy(msg, err->msg, sizeof(msg));
		err_set(err, rows[i].num, rows[i].code, "%s%s", msg, rows[i].also);
		err_hint(err, "%s", rows[i].hint);
		return err->num;
	}
	memcpy(msg, err->msg, sizeof(msg));
	return err_set(err, -EIO, "vmm.refused", "%s", msg);
}

int vmm_id_check(const char *id, struct err *err)
{
	size_t n;

	/* id_wellformed() in QEMU */
	if (!isalpha((unsigned char)id[0]))
		return err_set(err, -EINVAL, "vmm.bad-id", "device id \"%.64s\": must begin with a letter", id);
	for (n = 1; id[n]; n++)
		if (!isalnum((unsigned char)id[n]) && !strchr("-._", id[n]))
			return err_set(err, -EINVAL, "vmm.bad-id", "device id \"%.64s\": letters, digits, - . _ only", id);
	if (n >= VMM_ID_MAX)
		return err_set(err, -EINVAL, "vmm.bad-id", "device id \"%.64s\": longer than %d", id, VMM_ID_MAX - 1);
	return 0;
}

int vmm_qom_has(json_t *ret, const char *name)
{
	size_t i;
	json_t *v;

	if (!json_is_array(ret))
		return -EPROTO;
	json_array_foreach (ret, i, v) {
		const char *type = json_string_value(json_object_get(v, "type"));
		const char *n = json_string_value(json_object_get(v, "name"));

		if (!n || !type)
			return -EPROTO;
		if (!strcmp(n, name) && !strncmp(type, "child<", 6))
			return 1;
	}
	return 0;
}
