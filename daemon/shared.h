/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shared: guests whose VFs reach the same memory. Only guests whose VMMs have given each other their memory's descriptor can be that, by
 * intent (share_memory = yes) or not: then the lease that came later may do no DMA until it is over.
 */
#ifndef GANGWAY_SHARED_H
#define GANGWAY_SHARED_H

struct daemon;

/* A device process has told of other files, or has ended: look at all leases again. */
void shared_check(struct daemon *d);

#endif
