/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A macvtap on the PF. Up, its MAC is in the PF's filter and frames from the wire and from VFs come to it; down, it is not: that is
 * macvlan_open() and macvlan_stop() (drivers/net/macvlan.c), and all that carrying takes.
 */
#include <errno.h>
#include <string.h>

#include "emul_internal.h"
#include "err.h"

static void host_mac(const struct emul_leg *leg, uint8_t ret[static SYS_MAC_LEN])
{
	memcpy(ret, leg->mac, SYS_MAC_LEN);
}

static int owns(struct emul_leg *leg, const struct sys_link *link, bool *ret, struct err *err)
{
	struct sys_link pf, vlan;
	int r;

	if (!leg->policy.vlan) {
		*ret = link->lower == leg->pf_ifindex;
		return 0;
	}
	r = emul_pf_link(leg, &pf, err);
	if (r == 0)
		r = emul_vlan_find(leg, &pf, &vlan, err);
	if (r < 0 && r != -ENODEV)
		return r;
	*ret = r == 0 && link->lower == vlan.ifindex;
	err_clear(err);
	return 0;
}

static int check(struct emul_leg *leg, const struct sys_link *pf, uint16_t *ret_port_vlan, struct err *err)
{
	int r = emul_name_free(leg->sys, leg->ifname, err);

	*ret_port_vlan = 0;
	if (r < 0)
		return r;
	if (pf->master) {
		err_set(err, -EBUSY, "emul.pf-is-port",
			"pf %s: it is a port of a bridge or bond, which leaves no room for a macvtap", leg->pf);
		err_hint(err, "--standby bridge:BR with that bridge");
		return -EBUSY;
	}
	return leg->policy.vlan ? emul_vlan_check(leg, pf, err) : 0;
}

static int create(struct emul_leg *leg, struct err *err)
{
	struct sys_link_want want = { .fields = SYS_LINK_NO_HOST_IP6 }; /* it would be the guest's own, from the same MAC */
	struct sys_link pf, link;
	int r = emul_pf_link(leg, &pf, err);

	if (r == 0 && leg->policy.vlan)
		r = emul_vlan_add_macvtap(leg, &pf, err);
	else if (r == 0)
		r = leg->sys->ops->macvtap_add(leg->sys, &pf, leg->ifname, leg->mac, err);
	if (r == 0)
		r = emul_leg_link(leg, &link, err);
	if (r == 0)
		r = leg->sys->ops->link_set(leg->sys, &link, &want, err);
	return r < 0 ? r : emul_limit(leg, &link, &leg->policy, true, err);
}

static int open_fd(struct emul_leg *leg, struct err *err)
{
	struct sys_link link;
	int r = emul_leg_link(leg, &link, err);

	return r < 0 ? r : leg->sys->ops->tap_open(leg->sys, &link, err);
}

static int carry(struct emul_leg *leg, const struct emul_policy *policy, bool on, struct err *err)
{
	struct sys_link_want want = { .fields = SYS_LINK_UP, .up = on };
	struct sys_link link;
	int r = emul_leg_link(leg, &link, err);

	(void)policy;
	return r < 0 ? r : leg->sys->ops->link_set(leg->sys, &link, &want, err);
}

static int apply(struct emul_leg *leg, const struct emul_policy *policy, struct err *err)
{
	struct sys_link link;
	int r = emul_leg_link(leg, &link, err);

	return r < 0 ? r : emul_limit(leg, &link, policy, false, err);
}

/* By its own interface: the VLAN link puts the tag, and other macvtaps of the PF hear it, too. */
static int announce(struct emul_leg *leg, struct sys_announce *what, struct err *err)
{
	struct sys_link link;
	int r = emul_leg_link(leg, &link, err);

	return r < 0 ? r : leg->sys->ops->announce(leg->sys, &link, what, err);
}

static int destroy(struct emul_leg *leg, struct err *err)
{
	int r = emul_leg_remove(leg, err), r2 = 0;

	if (leg->policy.vlan)
		r2 = emul_vlan_drop(leg, r < 0 ? NULL : err);
	return r < 0 ? r : r2;
}

const struct emul_ops emul_macvtap_ops = {
	.check = check,
	.create = create,
	.open = open_fd,
	.carry = carry,
	.apply = apply,
	.announce = announce,
	.destroy = destroy,
	.owns = owns,
	.host_mac = host_mac,
	.kind = "macvtap",
	.side = SYS_EGRESS,
};
