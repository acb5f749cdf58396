/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sriov_watch: changes of interfaces and PCI functions, followed as they happen. Runs in the caller's event loop and never
 * blocks. It says what to look at again; what it looks like now is for sriov.h to tell.
 */
#ifndef GANGWAY_SRIOV_WATCH_H
#define GANGWAY_SRIOV_WATCH_H

#include <stdbool.h>

#include "sriov.h"

struct err;
struct sd_event;
struct sriov_watch;

enum sriov_change_kind {
	SRIOV_CHANGE_LINK, /* an interface came, went, was renamed, went up or down */
	SRIOV_CHANGE_PF, /* a PF: its VFs or its driver changed */
	SRIOV_CHANGE_VF, /* a VF came, or its driver changed */
	SRIOV_CHANGE_FUNCTION, /* another PCI function, or one that is gone and cannot be asked any more */
};

struct sriov_change {
	enum sriov_change_kind kind;
	bool gone;
	char ifname[IF_NAMESIZE]; /* of SRIOV_CHANGE_LINK */
	unsigned ifindex;
	bool has_state; /* @up and @carrier are known (SRIOV_CHANGE_LINK) */
	bool up, carrier;
	char bdf[BDF_LEN]; /* the function; of a link the one it sits on; "" none, or unknown */
};

struct sriov_watch_ops {
	void (*changed)(void *arg, const struct sriov_change *change);
	/* CPUs of the host came, went, went online or offline: no function's, but by the same uevents. NULL: not told. */
	void (*cpus)(void *arg);
	/* Events were lost: everything may have changed. */
	void (*resync)(void *arg);
};

/* Watch in @event until sriov_watch_free(). @ops and @arg must live as long. -errno sriov.watch. */
int sriov_watch_new(struct sys *sys, struct sd_event *event, const struct sriov_watch_ops *ops, void *arg,
		    struct sriov_watch **ret, struct err *err);
/* NULL is fine; may be called from a callback. */
void sriov_watch_free(struct sriov_watch *watch);

#endif
