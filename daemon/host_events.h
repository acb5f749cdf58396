/* SPDX-License-Identifier: GPL-2.0-or-later */
/* host_events: what happens to interfaces and PCI functions, told to monitors and to the leases that it concerns. */
#ifndef GANGWAY_HOST_EVENTS_H
#define GANGWAY_HOST_EVENTS_H

struct daemon;
struct err;

/* Until daemon_stop(). -errno sriov.watch. */
int host_events_new(struct daemon *d, struct err *err);

#endif
