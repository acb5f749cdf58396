/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * devctl: gangway-device's control socket. Several gangwayds may come over time (it restarts); at most DEVCTL_CLIENTS are served at once. A
 * client that does not read loses unasked status messages, never blocks the process.
 */
#ifndef GANGWAY_DEVCTL_H
#define GANGWAY_DEVCTL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "iommu.h"

#define DEVCTL_CLIENTS 4
#define DEVCTL_STATUS_MS 100 /* unasked status messages are at least this far apart */

/* What status tells. */
struct devctl_status {
	const char *vuser_state;
	uint64_t nr_messages, nr_rejected, nr_clients;
	uint64_t dma_ranges, dma_bytes;
	uint64_t dma_pending; /* bytes of them not in the IOMMU yet */
	uint64_t dma_rate; /* bytes a second that are being faulted in; 0: none pending */
	uint64_t dma_pinned_total; /* bytes since the start */
	struct iommu_file files[IOMMU_FILES_MAX]; /* that memory is mapped from */
	unsigned nr_files;
	unsigned held; /* enum vfdev_hold, or-ed */
	uint32_t vectors_armed;
	bool bus_master, degraded;
	const char *last_error;
};

struct devctl {
	const char *id, *bdf;
	int listen_fd; /* not ours */
	int vfio_fds[3]; /* sent with hello; not ours */
	const struct iommu *iommu; /* what "dma" tells of; not ours. NULL: there is none yet */
	int clients[DEVCTL_CLIENTS]; /* -1: free */
	char last[4096]; /* digest of the last status told unasked, to see a change */
	uint64_t told_ms; /* when */
	bool stop; /* a client has asked for the end */
	unsigned hold, release; /* enum vfdev_hold: what a client has asked for since; the server's to take back */
};

void devctl_init(struct devctl *ctl, int listen_fd, const char *id, const char *bdf, const int vfio_fds[3]);
void devctl_done(struct devctl *ctl);
/* Fill in what to poll: 1 + DEVCTL_CLIENTS entries, the listening socket first. */
void devctl_poll(const struct devctl *ctl, struct pollfd *fds);
/* Work off what poll(2) said. 0, or why accept(2) failed for lack of something: poll(2) will say the same at once. */
int devctl_process(struct devctl *ctl, const struct pollfd *fds, const struct devctl_status *status);
/* Tell all clients if something worth telling has changed. Milliseconds until it wants to be called again, -1: when something changes. */
int devctl_tell(struct devctl *ctl, const struct devctl_status *status, uint64_t now_ms);

/* One request: the answer as a malloc'ed JSON text; *@ret_send_fds: it takes the VFIO descriptors along. For tests and fuzzers too. */
char *devctl_answer(struct devctl *ctl, const char *text, size_t len, const struct devctl_status *status, bool *ret_send_fds);

#endif
