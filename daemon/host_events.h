/* SPDX-License-Identifier: GPL-2.0-or-later */
/* host_events: what happens to interfaces and PCI functions, told to monitors and to the leases that it concerns. */
#ifndef GANGWAY_HOST_EVENTS_H
#define GANGWAY_HOST_EVENTS_H

#include <stdbool.h>

struct daemon;
struct err;
struct lease;

/* Until daemon_stop(). -errno sriov.watch. */
int host_events_new(struct daemon *d, struct err *err);
/* Its PF has a link, or has none: of a lease that no event has told of yet. */
void host_look_at_link(struct lease *l);
/* Has its PF no link, and its standby another way out? */
bool host_is_standby_better_off(const struct lease *l);

#endif
