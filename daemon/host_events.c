/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host_events.h"

#include <string.h>

#include "again.h"
#include "ctl.h"
#include "daemon.h"
#include "lease.h"
#include "sriov_watch.h"

/* Of a PF: its interface has, or has not, a link now, or is called something else. */
static void link_changed(struct daemon *d, const struct sriov_change *c)
{
	struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	{
		if (!c->bdf[0] || strcmp(l->pf_bdf, c->bdf))
			continue;
		lease_follow_pf(l);
		/* in switchdev mode the representors of VFs sit on the PF, too */
		if (!c->has_state || l->leg != LEG_PASSTHROUGH || strcmp(l->pf_name, c->ifname))
			continue;
		if (!(c->up && c->carrier) && l->reason == REASON_NONE)
			lease_set_leg(l, l->leg, REASON_PF_DOWN);
		else if (c->up && c->carrier && l->reason == REASON_PF_DOWN)
			lease_set_leg(l, l->leg, REASON_NONE);
	}
}

static void on_change(void *ctx, const struct sriov_change *change)
{
	static const char *const kinds[] = { "link", "pf", "vf", "function" };
	struct daemon *d = ctx;
	json_t *more = json_pack("{s:s, s:b}", "change", kinds[change->kind], "gone", change->gone);

	if (change->has_state) {
		json_object_set_new(more, "up", json_boolean(change->up));
		json_object_set_new(more, "carrier", json_boolean(change->carrier));
	}
	again_hint(d);
	ctl_event(d->ctl, "host", change->kind == SRIOV_CHANGE_LINK ? change->ifname : change->bdf, more);
	if (change->kind == SRIOV_CHANGE_LINK)
		link_changed(d, change);
}

static void on_resync(void *ctx)
{
	struct daemon *d = ctx;

	struct lease *l;

	again_hint(d);
	TAILQ_FOREACH(l, &d->leases, link)
	lease_follow_pf(l);
	ctl_event(d->ctl, "host", "", json_pack("{s:s}", "change", "resync"));
}

static const struct sriov_watch_ops watch_ops = { .changed = on_change, .resync = on_resync };

int host_events_new(struct daemon *d, struct err *err)
{
	return sriov_watch_new(d->sys, d->event, &watch_ops, d, &d->watch, err);
}
