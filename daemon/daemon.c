/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon.h"

#include <string.h>

#include "attach.h"
#include "ctl.h"
#include "guests.h"
#include "lease.h"
#include "sriov_watch.h"
#include "work.h"

bool vf_is_held(const struct daemon *d, const char *vf_bdf)
{
	const struct vf_hold *held;

	LIST_FOREACH(held, &d->vf_holds, link)
	if (!strcmp(held->bdf, vf_bdf))
		return true;
	return false;
}

void daemon_stop(struct daemon *d)
{
	struct guest *g;
	struct lease *l;

	d->stopping = true;
	d->ctl = ctl_free(d->ctl);
	sriov_watch_free(d->watch);
	d->watch = NULL;
	d->pool = work_pool_free(d->pool);
	/* cancels what the VMMs were asked: the operations hear of it, and leave it at that */
	while ((g = TAILQ_FIRST(&d->guests)))
		guest_free(g);
	attach_abandon(d);
	while ((l = TAILQ_FIRST(&d->leases)))
		lease_free(l);
}
