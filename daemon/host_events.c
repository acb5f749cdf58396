/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host_events.h"

#include <stdio.h>
#include <string.h>

#include "again.h"
#include "ctl.h"
#include "daemon.h"
#include "lease.h"
#include "sriov_watch.h"
#include "switcher.h"
#include "sys.h"

/* Is @port a NIC of the host that has a link? */
static bool has_link(struct sys *sys, const char *port)
{
	char path[96], text[8];

	snprintf(path, sizeof(path), "/sys/class/net/%s/device", port);
	if (!sys_exists(sys, path))
		return false;
	snprintf(path, sizeof(path), "/sys/class/net/%s/carrier", port);
	return sys_read_str(sys, path, text, sizeof(text)) == 0 && text[0] == '1';
}

/* A macvtap hangs on the PF; a bridge may have another way out. */
static bool standby_needs_pf(const struct lease *l)
{
	struct sys *sys = l->daemon->sys;
	char path[64], **names;
	bool other = false;

	if (l->standby.kind != EMUL_BRIDGE)
		return true;
	snprintf(path, sizeof(path), "/sys/class/net/%s", l->standby.bridge);
	if (sys->ops->list(sys, path, &names) < 0)
		return true;
	for (char **n = names; *n; n++)
		other = other || (!strncmp(*n, "lower_", 6) && strcmp(*n + 6, l->pf_name) != 0 && has_link(sys, *n + 6));
	sys_list_free(names);
	return !other;
}

/* Of a PF: its interface has, or has not, a link now, or is called something else. */
static void link_changed(struct daemon *d, const struct sriov_change *c)
{
	struct lease *l, *next;

	for (l = TAILQ_FIRST(&d->leases); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (!c->bdf[0] || strcmp(l->pf_bdf, c->bdf))
			continue;
		lease_follow_pf(l);
		/* in switchdev mode the representors of VFs sit on the PF, too */
		if (!c->has_state || strcmp(l->pf_name, c->ifname))
			continue;
		l->pf_down = !(c->up && c->carrier);
		lease_set_leg(l, l->leg, l->reason == REASON_PF_DOWN ? REASON_NONE : l->reason);
		/* where the standby is no better off, it stays */
		if (!l->pf_down || !standby_needs_pf(l))
			switcher_cause(l, REASON_PF_DOWN, l->pf_down);
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
