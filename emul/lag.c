/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lag of a leg. A guest that lets its VF go hears nothing for a while: the VF's driver has stopped, and net_failover drops what comes by
 * the standby until the VF's interface is unregistered (net_failover_handle_frame(), drivers/net/net_failover.c). So what is sent to the
 * standby meanwhile comes later by LAG_MS, and finds the guest with its standby alone.
 *
 * By way of an ifb with a netem queue. Nothing of it needs us to go on: if gangwayd dies in the middle, the guest's frames are late, not lost.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "emul_internal.h"
#include "err.h"

/*
 * From the stop of igbvf to the end of its interface 40 to 105 ms were seen on an emulated host, 125 on a busy one. For so long nothing new comes to the guest,
 * and TCP takes a segment for lost after 200 ms (TCP_RTO_MIN).
 */
#define LAG_MS 150
/* More are dropped, as without a lag. Of 1500 bytes each that is 6 MB, and 27,000 a second. */
#define LAG_FRAMES 4096

static enum sys_side to_guest(const struct emul_leg *leg)
{
	return leg->ops->side == SYS_EGRESS ? SYS_INGRESS : SYS_EGRESS;
}

static void name_of(const struct emul_leg *leg, char ret[static IF_NAMESIZE])
{
	snprintf(ret, IF_NAMESIZE, "gwl%u", leg->nr);
}

/* -ENODEV emul.gone: there is none; -EEXIST emul.name-taken: another interface has its name. */
static int find(struct emul_leg *leg, struct sys_link *ret, struct err *err)
{
	char name[IF_NAMESIZE];
	int r;

	name_of(leg, name);
	r = emul_link_get(leg->sys, name, "emul.gone", ret, err);
	if (r < 0 || (!strcmp(ret->kind, "ifb") && !memcmp(ret->mac, leg->mac, SYS_MAC_LEN)))
		return r;
	err_set(err, -EEXIST, "emul.name-taken", "%s: an interface of this name is there already", name);
	err_hint(err, "gangway makes interfaces gwt0, gwv0, gwl0, ... of its own: rename or remove this one");
	return -EEXIST;
}

static int make(struct emul_leg *leg, struct sys_link *ret, struct err *err)
{
	struct sys_link_want want = { .fields = SYS_LINK_NO_HOST_IP6 | SYS_LINK_UP, .up = true };
	char name[IF_NAMESIZE];
	int r = find(leg, ret, err);

	if (r == -ENODEV) {
		err_clear(err);
		name_of(leg, name);
		r = leg->sys->ops->ifb_add(leg->sys, name, leg->mac, err);
		if (r == 0)
			r = find(leg, ret, err);
	}
	if (r == 0)
		r = leg->sys->ops->delay_set(leg->sys, ret, LAG_MS, LAG_FRAMES, err);
	return r < 0 ? r : leg->sys->ops->link_set(leg->sys, ret, &want, err);
}

static int begin(struct emul_leg *leg, struct err *err)
{
	struct sys_link link, by;
	int r = emul_leg_link(leg, &link, err);

	if (r == 0)
		r = make(leg, &by, err);
	return r < 0 ? r : leg->sys->ops->detour_set(leg->sys, &link, to_guest(leg), &by, err);
}

/* Whether the ifb is there or not: the detour to one that was removed drops what takes it. Ours stays until the leg goes, with frames in it. */
static int end(struct emul_leg *leg, struct err *err)
{
	struct sys_link link;
	int r = emul_leg_link(leg, &link, err);

	if (r == 0)
		r = leg->sys->ops->detour_set(leg->sys, &link, to_guest(leg), NULL, err);
	if (r == -ENODEV) {
		err_clear(err);
		return 0;
	}
	return r;
}

int emul_leg_lag(struct emul_leg *leg, bool on, struct err *err)
{
	if (leg->words.kind == EMUL_OWN)
		return 0;
	return on ? begin(leg, err) : end(leg, err);
}

int emul_lag_remove(struct emul_leg *leg, struct err *err)
{
	struct sys_link by;
	int r;

	if (leg->words.kind == EMUL_OWN)
		return 0;
	r = find(leg, &by, err);
	if (r == -ENODEV || r == -EEXIST) {
		err_clear(err);
		return 0;
	}
	return r < 0 ? r : leg->sys->ops->link_del(leg->sys, &by, err);
}
