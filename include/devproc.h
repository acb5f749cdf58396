/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * devproc: gangwayd's side of a gangway-device process: start, adopt after a restart, status, stop.
 *
 * A process serves one vfio-user lease. It is handed its descriptors at start (ctl socket, vfio-user socket, container, group,
 * device), drops every privilege, and outlives gangwayd. Control runs over a SOCK_SEQPACKET socket, one JSON object a datagram.
 * What comes from the process is untrusted.
 */
#ifndef GANGWAY_DEVPROC_H
#define GANGWAY_DEVPROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "vdev.h"

struct devproc;

struct devproc_config {
	const char *program; /* path of the gangway-device binary */
	const char *runtime_dir; /* "/run/gangway": holds device/ID.ctl and vm/ID.sock */
	const char *id; /* lease id, a file name */
	const char *bdf;
	uint64_t ram_bytes; /* the guest's: says how much may be mapped and (RLIMIT_MEMLOCK) locked. To start: not 0 */
	uid_t socket_uid; /* owner of the vfio-user socket (mode 0600): the VMM's user */
	gid_t socket_gid;
	uid_t run_uid; /* whom the process becomes */
	gid_t run_gid;
};

#define DEVPROC_FILES_MAX 64

struct devproc_status {
	pid_t pid;
	char vuser_state[16]; /* vuser_state_to_string() */
	uint64_t nr_messages, nr_rejected, nr_clients;
	uint64_t dma_ranges, dma_bytes; /* that the VMM has mapped */
	uint64_t dma_pending; /* bytes of them not in the IOMMU yet */
	uint64_t dma_rate; /* bytes a second that are on their way, 0: none */
	uint64_t dma_pinned_total; /* bytes since the process started */
	uint32_t vectors_armed;
	bool bus_master; /* the guest's driver has switched DMA on, and nothing holds it back */
	struct devproc_file {
		uint64_t dev, ino;
	} files[DEVPROC_FILES_MAX]; /* that the guest's memory is mapped from */
	unsigned nr_files;
	char held[48]; /* why it is held back: words of vfdev_hold_to_string(), separated by spaces; "": it is not */
	char last_error[256];
	bool degraded; /* a map was refused: the device works with a hole */
};

#define DEVPROC_NOT_DEAD "does not die" /* the one @why of on_gone (compared as text) with which the process may still be there */

struct devproc_ops {
	void (*on_status)(void *ctx, const struct devproc_status *status); /* for each wake-up with news: the latest of them */
	void (*on_gone)(void *ctx, const char *why); /* the process ended, or DEVPROC_NOT_DEAD; once */
};

/* @runtime_dir and its device/, device/empty/ and vm/: made where they are missing (at start-up, and by devproc_start() again). -EEXIST devproc.runtime-dir:
 * one is there that is not ours. */
int devproc_make_dirs(const char *runtime_dir, struct err *err);

/* Fork and exec. Takes no descriptor over: it duplicates @vdev's. 0 or a negative errno. */
int devproc_start(sd_event *event, const struct devproc_config *config, const struct vdev *vdev, const struct devproc_ops *ops,
		  void *ctx, struct devproc **ret, struct err *err);
/* Find the process of lease @id that an earlier gangwayd left, get its VFIO descriptors back into *ret_fds (the caller's). Answers within
 * a bounded time; called at start-up. -ENOENT devproc.gone: there is none. */
int devproc_adopt(sd_event *event, const struct devproc_config *config, const struct devproc_ops *ops, void *ctx,
		  struct vdev_fds *ret_fds, struct devproc **ret, struct err *err);
/* Path of the vfio-user socket, for the VMM. */
const char *devproc_socket_path(const struct devproc *proc);
const struct devproc_status *devproc_get_status(const struct devproc *proc);
/* Withhold bus mastering from the VF, or no longer; on_status follows. Again is fine: it is looked at again. */
int devproc_quarantine(struct devproc *proc, bool on);
/* The same because some of its memory is another guest's. -EOPNOTSUPP: it is of an older gangway, which it has said before (on_status came). */
int devproc_hold_shared(struct devproc *proc, bool on);
/* Does it say that it is (in quarantine)? */
bool devproc_is_quarantined(const struct devproc_status *status);
/* End it (asked first, killed after 5 s), remove its sockets; on_gone is called with "stopped", or, 5 s after the killing, DEVPROC_NOT_DEAD. */
void devproc_stop(struct devproc *proc);
/* Forget it without ending it (gangwayd stops, leases stay). */
struct devproc *devproc_free(struct devproc *proc);

#endif
