/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm: what gangway asks of a guest's VMM (QEMU), over QMP, without ever waiting. Built on qmp.h.
 *
 * A struct vmm is one known guest: it keeps a connection to the guest's QMP socket, reconnects when that drops, and knows
 * whether the VMM runs. QMP peers are untrusted: sizes, types, ids and timing are checked.
 */
#ifndef GANGWAY_VMM_H
#define GANGWAY_VMM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "vmm_memory.h"

struct err;
struct json_t; /* jansson */
struct vmm;
struct vmm_migration; /* vmm_migrate.h */

#define VMM_ID_MAX                                                                                                               \
	80 /* bytes of a device id with its NUL: QEMU has no limit, ours leaves room for "gangway-port-" and a NIC's name */
/* Is @id one that QEMU takes for a device, and short enough for us? -EINVAL vmm.bad-id */
int vmm_id_check(const char *id, struct err *err);

enum vmm_state {
	VMM_DOWN, /* nobody listens on the socket (or it is not there): the guest does not run */
	VMM_CONNECTING, /* greeting and capabilities under way, or the connection was lost and the next attempt will tell */
	VMM_UP, /* commands can be sent */
	VMM_DENIED, /* someone answers, but not as QMP, or not us: see vmm_why() */
};

const char *vmm_state_to_string(enum vmm_state state);

/* Called in the loop. All may be NULL. */
struct vmm_ops {
	void (*on_state)(void *ctx, struct vmm *vmm, enum vmm_state state, const struct err *why);
	/* A device has left the guest for good (DEVICE_DELETED), by its id. */
	void (*on_device_deleted)(void *ctx, struct vmm *vmm, const char *id);
	/* A migration begins, goes on or ends, on either side (vmm_migrate.h); after VMM_UP what it was before, if anything. */
	void (*on_migration)(void *ctx, struct vmm *vmm, const struct vmm_migration *migration);
	/* Any QMP event, those of the above included, as it came: what they say of a pair is in vmm_standby.h. @data: an object, borrowed, not
	 * checked. */
	void (*on_event)(void *ctx, struct vmm *vmm, const char *event, struct json_t *data);
};

/* Is @path fit for vmm_new(): absolute, fits a socket address, a socket if it exists. 0, -EINVAL, -ENAMETOOLONG, -ENOTSOCK. */
int vmm_path_check(const char *path, struct err *err);

/*
 * @name: for messages. @path: absolute path of the QMP socket. Starts connecting in the loop; the state is VMM_CONNECTING until
 * the first attempt. 0, -ENOMEM, or what vmm_path_check() says of a path that can never work.
 */
int vmm_new(sd_event *event, const char *name, const char *path, const struct vmm_ops *ops, void *ctx, struct vmm **ret);
/* Ends with every pending callback called with -ECANCELED. NULL is fine. */
struct vmm *vmm_free(struct vmm *vmm);

enum vmm_state vmm_get_state(const struct vmm *vmm);
const struct err *vmm_why(const struct vmm *vmm); /* why not VMM_UP */
/*
 * "running", "paused", "inmigrate", ...: query-status at connect and after a migration, STOP and RESUME; "" while not known. Of a guest
 * that has left, "postmigrate" or (QEMU 7.2, which says it is completed before) "finish-migrate".
 */
const char *vmm_run_state(const struct vmm *vmm);
/*
 * Credentials of the VMM's end (SO_PEERCRED); pid 0 while not connected. They are of the process that called listen(2): where a
 * manager opens the socket and passes it on, they are the manager's.
 */
pid_t vmm_pid(const struct vmm *vmm);
int vmm_pidfd(const struct vmm *vmm); /* of that process, vmm's own; -1 while not connected, or if it has ended */
uid_t vmm_uid(const struct vmm *vmm);
gid_t vmm_gid(const struct vmm *vmm);

/* What the version in the VMM's greeting is known to be able to do (vmm_versions.c). Zero before VMM_UP. */
struct vmm_version {
	char text[32]; /* "11.1.3" */
	bool vfio_user, unplug_vfio_user;
};
void vmm_get_version(const struct vmm *vmm, struct vmm_version *ret);

#define VMM_FREE_PORTS 2 /* a standby and a VF */

/* What preflight wants to know, asked in one go. */
struct vmm_info {
	char version[32]; /* "11.1.3" */
	char run_state[24]; /* query-status: "running", "paused", "inmigrate", ... */
	bool incoming; /* inmigrate: the guest is awaited, or on its way here */
	bool prelaunch; /* it has not been started */
	bool postmigrate; /* it has left with a migration: finish-migrate, postmigrate */
	uint64_t ram_bytes; /* all RAM of the guest, plugged memory included */
	struct vmm_memdevs memdevs; /* its backends, without their types */
	bool ram_shared; /* every memory backend is share=on and no anonymous RAM block is left */
	char ram_unshared_id[64]; /* the first backend that is not, for the message */
	bool has_vfio_user; /* device type vfio-user-pci exists */
	bool unplug_vfio_user_safe; /* from the table in vmm_versions.c */
	bool has_vfio_pci;
	char free_ports[VMM_FREE_PORTS][VMM_ID_MAX]; /* ids of the first pcie-root-ports that have nothing plugged, "" no more */
};

/* @r: 0 with @info, or a negative errno with @err. Both pointers are valid only during the call. */
typedef void (*vmm_info_fn)(void *ctx, int r, const struct vmm_info *info, const struct err *err);
typedef void (*vmm_done_fn)(void *ctx, int r, const struct err *err);

/*
 * Each returns 0 and calls back exactly once, later, from the loop (vmm_free() aside, which calls back itself); or a negative
 * errno (filling @err) and never calls back: -ENOTCONN vmm.not-up, -EBUSY vmm.too-many, -EINVAL, -ENOMEM. @err of the callback
 * is NULL when @r is not negative. A connection lost on the way is -ECONNRESET, a VMM that hangs -ETIMEDOUT.
 *
 * vmm_query: @nr_ports: how many free ones are of use, at most VMM_FREE_PORTS; each that is looked for costs a question.
 */
int vmm_query(struct vmm *vmm, unsigned nr_ports, vmm_info_fn done, void *ctx, struct err *err);

struct vmm_plug {
	const char *id; /* device id, unique in the guest */
	const char *bus; /* id of the root port */
	const char *host_bdf; /* vfio-pci: the VF; NULL for vfio-user */
	const char *socket_path; /* vfio-user: where gangway-device listens; NULL for vfio-pci */
	const char *failover_pair_id; /* id of the standby NIC, NULL: none */
};

/*
 * device_add at slot 0 of the port; called back when it returned, which is after the guest's RAM is pinned. Errors keep QEMU's
 * own words and have codes with hints: vmm.no-slot ("No more available PCI slots"), vmm.no-hotplug, vmm.group-not-viable,
 * vmm.vfio-access, vmm.memlock, vmm.device-in-use, vmm.no-host-device, vmm.no-device-type, vmm.duplicate-id, vmm.migrating,
 * vmm.vfio-user-connect, vmm.other-primary. With @failover_pair_id @r is 1 while the VMM hides the device, because the guest has
 * not negotiated failover: there is no such device until it has. vmm_standby.h says what else there is to know of a pair.
 */
int vmm_plug(struct vmm *vmm, const struct vmm_plug *plug, vmm_done_fn done, void *ctx, struct err *err);

/*
 * device_del, then wait for DEVICE_DELETED: @deadline_ms in all, asked again when the guest says it is busy (hotplug settling,
 * "power indicator is still blinking") or refuses once (DEVICE_UNPLUG_GUEST_ERROR). A device that is not there is success, and so
 * is a VMM that goes away: its device went with it. A connection that is only lost is made again and the device looked for.
 * -ETIMEDOUT vmm.unplug-timeout (QEMU goes on: on_device_deleted may still come), -EBUSY vmm.unplug-refused, vmm.migrating.
 */
int vmm_unplug(struct vmm *vmm, const char *id, unsigned deadline_ms, vmm_done_fn done, void *ctx, struct err *err);

/* Is a device with @id in the VMM's tree? @r: 1 yes, 0 no (or hidden, see vmm_plug()), or negative. */
int vmm_has_device(struct vmm *vmm, const char *id, vmm_done_fn done, void *ctx, struct err *err);

/* The -device argument (JSON form) that a cold start needs for @plug. The string is the caller's, free(). NULL: no memory. */
char *vmm_plug_argument(const struct vmm_plug *plug);

#endif
