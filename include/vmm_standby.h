/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm_standby: the emulated leg in the guest, a virtio-net-pci with failover=on: plugging one, finding the guest's own, unplugging.
 * Asynchronous like all of vmm.h, with the same rules for callbacks and errors.
 *
 * What QEMU does with such a pair (7.2.22 and 11.1.3, seen):
 * - The pair goes by the standby's id. A failover_pair_id that names no standby is not refused: the VF is plugged without a pair.
 * - Until the guest's driver has taken the feature (FAILOVER_NEGOTIATED) a VF of the pair is hidden: device_add succeeds, but there is
 *   no such device, not for vmm_has_device() nor for device_del; it is plugged when the guest has negotiated. Even while migrating.
 * - A standby remembers the arguments of the first VF it was given until it is unplugged itself. Another id is refused
 *   (vmm.other-primary), so a lease must use one device id for all its plugs. And when the guest resets and negotiates again while the
 *   VF is out, QEMU plugs the remembered one by itself, with the arguments of that first time: look for the device after each
 *   FAILOVER_NEGOTIATED and unplug what should not be there.
 * - The unplug at the beginning of a migration (UNPLUG_PRIMARY, then status wait-unplug) is partial: no DEVICE_DELETED, and the device
 *   stays in QEMU's tree; it is out of the guest when the status goes on. A vmm_unplug() meanwhile waits for an event that never comes.
 *   QEMU plugs it again when the migration fails or is cancelled.
 * - Whether a guest has negotiated cannot be asked (x-query-virtio-status aborts 11.1.3). It is known from the event, from a VF of the
 *   pair that is in the tree (vmm_standby.primary, result 0 of vmm_plug()), and not otherwise.
 */
#ifndef GANGWAY_VMM_STANDBY_H
#define GANGWAY_VMM_STANDBY_H

#include <net/if.h>

#include "vmm.h"

struct vmm_standby_plug {
	const char *id; /* device id, unique in the guest */
	const char
		*netdev_id; /* of its backend, unique among netdevs; the name under which the descriptor is handed over as well */
	const char *bus; /* id of a root port */
	const char *mac; /* "52:54:00:12:34:56", unicast */
	int fd; /* an open tap or macvtap; borrowed, and not needed after vmm_plug_standby() has returned */
	/* An open /dev/vhost-net, borrowed as well; -1: the VMM moves the frames itself, in the thread that is at a standstill while a VF is
	 * plugged and its guest's memory pinned. */
	int vhost_fd;
};

/*
 * getfd, netdev_add, device_add at slot 0 of the port. What was done of it is undone if a later part is refused; if the connection is
 * lost in between, it may be left, and vmm_unplug_standby() removes all of it. Codes besides those of vmm_plug(): vmm.bad-mac,
 * vmm.bad-standby (-EINVAL), vmm.not-a-tap, vmm.tap-access, vmm.netdev-in-use, vmm.postmigrate.
 */
int vmm_plug_standby(struct vmm *vmm, const struct vmm_standby_plug *plug, vmm_done_fn done, void *ctx, struct err *err);

/*
 * As vmm_unplug(), then netdev_del. What is not there is success, so it can be repeated, and is also the undo of a plug that failed in the
 * middle. A connection lost at netdev_del is -ECONNRESET: again, unless the VMM is down.
 */
int vmm_unplug_standby(struct vmm *vmm, const char *id, const char *netdev_id, unsigned deadline_ms, vmm_done_fn done, void *ctx,
		       struct err *err);

#define VMM_NICS_MAX 256 /* devices of a guest that are looked at */

struct vmm_standby {
	char id[VMM_ID_MAX];
	char netdev[VMM_ID_MAX]; /* its backend, "" none (or with an id that is no id) */
	char primary[VMM_ID_MAX]; /* the VF of the pair, if one is in the tree: then failover is negotiated. "" none */
	/* Of a backend that is a tap, as the VMM says: the interface that it made, or the descriptor that it was given. "" and -1: not known. */
	char tap[IF_NAMESIZE];
	int tap_fd;
};

/* @r: 1 with @standby, 0: no virtio-net of that MAC in the guest, or negative with @err. */
typedef void (*vmm_standby_fn)(void *ctx, int r, const struct vmm_standby *standby, const struct err *err);

/*
 * The guest's virtio-net-pci with @mac. One that cannot be a standby is an error that says what to do: vmm.standby-no-failover
 * (failover=on is missing), vmm.standby-no-id, both -EOPNOTSUPP; vmm.standby-twice -EEXIST; vmm.too-many-nics -E2BIG.
 */
int vmm_find_standby(struct vmm *vmm, const char *mac, vmm_standby_fn done, void *ctx, struct err *err);

#endif
