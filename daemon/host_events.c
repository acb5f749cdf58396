/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host_events.h"

#include <stdio.h>
#include <string.h>

#include "again.h"
#include "attach.h"
#include "ctl.h"
#include "daemon.h"
#include "irq_follow.h"
#include "lease.h"
#include "sriov_watch.h"
#include "switcher.h"
#include "sys.h"

/*
 * Not "carrier": where that is brought up to date first, as in newer kernels (carrier_show(), net/core/net-sysfs.c), who reads it waits for
 * rtnetlink's lock. False: it does not say.
 */
static bool read_link(struct sys *sys, const char *ifname, bool *ret_up)
{
	char path[96], text[32];

	snprintf(path, sizeof(path), "/sys/class/net/%s/operstate", ifname);
	if (sys_read_str(sys, path, text, sizeof(text)) < 0)
		return false;
	/* "unknown": of drivers that do not report it, and of those before their first event */
	*ret_up = strcmp(text, "down") && strcmp(text, "lowerlayerdown") && strcmp(text, "notpresent");
	return true;
}

/* Is @port a NIC of the host that has a link? */
static bool has_link(struct sys *sys, const char *port)
{
	bool up = false;
	char path[96];

	snprintf(path, sizeof(path), "/sys/class/net/%s/device", port);
	return sys_exists(sys, path) && read_link(sys, port, &up) && up;
}

/* A macvtap hangs on the PF; a bridge may have another way out. */
static bool standby_needs_pf(const struct lease *l)
{
	struct sys *sys = l->daemon->sys;
	char path[64], **names;
	bool other = false;

	if (!l->emul || !emul_leg_bridge(l->emul)[0])
		return true;
	snprintf(path, sizeof(path), "/sys/class/net/%s", emul_leg_bridge(l->emul));
	if (sys->ops->list(sys, path, &names) < 0)
		return true;
	for (char **n = names; *n; n++)
		other = other || (!strncmp(*n, "lower_", 6) && strcmp(*n + 6, l->pf_name) != 0 && has_link(sys, *n + 6));
	sys_list_free(names);
	return !other;
}

bool host_is_standby_better_off(const struct lease *l)
{
	return l->pf_down && !standby_needs_pf(l);
}

static void set_link(struct lease *l, bool up)
{
	l->pf_down = !up;
	lease_set_leg(l, l->leg, l->reason == REASON_PF_DOWN ? REASON_NONE : l->reason);
	/* where the standby is no better off, it stays */
	if (up || host_is_standby_better_off(l))
		switcher_cause(l, REASON_PF_DOWN, !up);
}

void host_look_at_link(struct lease *l)
{
	bool up;

	if (l->pf_name[0] && read_link(l->daemon->sys, l->pf_name, &up) && up == l->pf_down)
		set_link(l, up);
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
		set_link(l, c->up && c->carrier);
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
	/* interfaces of containers and the like come and go all day */
	if (change->bdf[0])
		attach_vf_free(d);
	else
		again_hint(d);
	ctl_event(d->ctl, "host", change->kind == SRIOV_CHANGE_LINK ? change->ifname : change->bdf, more);
	if (change->kind == SRIOV_CHANGE_LINK)
		link_changed(d, change);
}

static void on_resync(void *ctx)
{
	struct daemon *d = ctx;
	struct lease *l, *next;

	attach_vf_free(d);
	irq_follow_cpus(d);
	for (l = TAILQ_FIRST(&d->leases); l; l = next) {
		next = TAILQ_NEXT(l, link);
		lease_follow_pf(l);
		host_look_at_link(l);
	}
	ctl_event(d->ctl, "host", "", json_pack("{s:s}", "change", "resync"));
}

static void on_cpus(void *ctx)
{
	irq_follow_cpus(ctx);
}

static const struct sriov_watch_ops watch_ops = { .changed = on_change, .cpus = on_cpus, .resync = on_resync };

int host_events_new(struct daemon *d, struct err *err)
{
	return sriov_watch_new(d->sys, d->event, &watch_ops, d, &d->watch, err);
}
