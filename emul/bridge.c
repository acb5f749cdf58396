/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tap in the operator's bridge, which has the PF as a port. The tap stays up: on a bridge with STP a port that comes up is deaf for half a
 * minute. What carries is where the bridge sends the guest's MAC, a static entry that moves between the tap and the PF's port, and whether
 * the PF takes that MAC from its own VFs (its filter: a PF that is a bridge's port is promiscuous to the wire, not to its VFs). A tap that does not
 * carry is as good as down: else the guest could send by it past the VF's rate, and one that is to be dark could send at all.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "emul_internal.h"
#include "err.h"
#include "fdutil.h"

/* Not the guest's: the bridge would take frames to it for the host. And not a low one: a bridge takes its lowest port's MAC for its own. */
static void host_mac(const struct emul_leg *leg, uint8_t ret[static SYS_MAC_LEN])
{
	memcpy(ret, leg->mac, SYS_MAC_LEN);
	ret[0] = leg->mac[0] == 0xfe ? 0xfa : 0xfe;
}

static int owns(struct emul_leg *leg, const struct sys_link *link, bool *ret, struct err *err)
{
	(void)leg;
	(void)link;
	(void)err;
	*ret = true;
	return 0;
}

/* 0 where a kernel that cannot filter VLANs has no such attribute. */
static int read_attr(struct emul_leg *leg, const char *attr, uint64_t *ret, struct err *err)
{
	char path[EMUL_PATH_MAX];
	int r;

	snprintf(path, sizeof(path), CLASS_NET "/%s/bridge/%s", leg->words.bridge, attr);
	r = sys_read_u64(leg->sys, path, ret);
	if (r == -ENOENT) {
		*ret = 0;
		return 0;
	}
	return r < 0 ? err_set(err, r, "emul.sysfs", "bridge %s: %s: %s", leg->words.bridge, path, strerror(-r)) : 0;
}

static int find_bridge(struct emul_leg *leg, const struct sys_link *pf, struct sys_link *ret, struct err *err)
{
	const char *br = leg->words.bridge;
	int r = emul_link_get(leg->sys, br, "emul.no-bridge", ret, err);

	if (r == -ENODEV) {
		err_set(err, -ENOENT, "emul.no-bridge", "bridge %s: there is no such interface", br);
		err_hint(err, "ip link add %s type bridge; ip link set %s master %s; or --standby macvtap", br, leg->pf, br);
		return -ENOENT;
	}
	if (r < 0)
		return r;
	if (strcmp(ret->kind, "bridge") != 0) {
		err_set(err, -EINVAL, "emul.not-a-bridge", "%s: it is no bridge", br);
		err_hint(err, "name the bridge that pf %s is a port of; or --standby macvtap", leg->pf);
		return -EINVAL;
	}
	if (pf->master != ret->ifindex) {
		err_set(err, -EINVAL, "emul.pf-not-in-bridge", "bridge %s: pf %s is not a port of it", br, leg->pf);
		err_hint(err, "ip link set %s master %s; or --standby macvtap", leg->pf, br);
		return -EINVAL;
	}
	if (!ret->up) {
		err_set(err, -ENETDOWN, "emul.bridge-down", "bridge %s: it is down", br);
		err_hint(err, "ip link set %s up", br);
		return -ENETDOWN;
	}
	return 0;
}

static int no_vlan(const struct emul_leg *leg, const char *why, const char *hint, struct err *err)
{
	err_set(err, -EOPNOTSUPP, "emul.bridge-no-vlan", "bridge %s: VLAN %u cannot be had there: %s", leg->words.bridge,
		leg->policy.vlan, why);
	err_hint(err, "%s; or --standby macvtap", hint);
	return -EOPNOTSUPP;
}

/* Which VLAN of the bridge the tap is in; 0: it filters none. */
static int choose_vlan(struct emul_leg *leg, uint16_t *ret, struct err *err)
{
	uint64_t filters, proto = 0, pvid = 0;
	int r = read_attr(leg, "vlan_filtering", &filters, err);

	if (r == 0 && filters)
		r = read_attr(leg, "vlan_protocol", &proto, err);
	if (r == 0 && filters)
		r = read_attr(leg, "default_pvid", &pvid, err);
	if (r < 0)
		return r;
	if (leg->policy.vlan && !filters)
		return no_vlan(leg, "the bridge does not filter VLANs",
			       "turn it on (ip link set BR type bridge vlan_filtering 1)", err);
	if (leg->policy.vlan && proto != leg->policy.proto)
		return no_vlan(leg, "the bridge has another VLAN protocol", "ask for the bridge's protocol", err);
	if (filters && !leg->policy.vlan && (pvid == 0 || pvid > SYS_VLAN_MAX))
		return no_vlan(leg, "the bridge gives ports no VLAN of their own (default_pvid 0)", "ask for a VLAN", err);
	*ret = leg->policy.vlan ? leg->policy.vlan : (uint16_t)pvid;
	return 0;
}

int emul_bridge_vlan(struct emul_leg *leg, const struct sys_link *pf, uint16_t *ret, struct err *err)
{
	bool member = true;
	uint16_t vlan = 0;
	int r = choose_vlan(leg, &vlan, err);

	if (r == 0 && vlan)
		r = leg->sys->ops->bridge_vlan_get(leg->sys, pf, vlan, &member, err);
	if (r < 0)
		return r;
	if (!member) {
		err_set(err, -EOPNOTSUPP, "emul.bridge-vlan-missing", "bridge %s: pf %s is not in VLAN %u there",
			leg->words.bridge, leg->pf, vlan);
		err_hint(err, "bridge vlan add dev %s vid %u", leg->pf, vlan);
		return -EOPNOTSUPP;
	}
	*ret = vlan;
	return 0;
}

static int check(struct emul_leg *leg, const struct sys_link *pf, uint16_t *ret_port_vlan, struct err *err)
{
	struct sys_link br;
	int r = emul_name_free(leg->sys, leg->ifname, err);

	if (r == 0)
		r = find_bridge(leg, pf, &br, err);
	if (r < 0)
		return r;
	if (leg->policy.qos) {
		err_set(err, -EOPNOTSUPP, "emul.bridge-qos", "bridge %s: a bridge gives frames no QoS", leg->words.bridge);
		err_hint(err, "leave qos out, or --standby macvtap");
		return -EOPNOTSUPP;
	}
	return emul_bridge_vlan(leg, pf, ret_port_vlan, err);
}

/* The tap's own VLAN; the one the bridge gave it on joining goes, or the guest would hear that, too. */
static int join_vlan(struct emul_leg *leg, const struct sys_link *tap, struct err *err)
{
	uint64_t pvid;
	int r;

	if (!leg->policy.vlan)
		return 0;
	r = leg->sys->ops->bridge_vlan_set(leg->sys, tap, leg->policy.vlan, true, err);
	if (r == 0)
		r = read_attr(leg, "default_pvid", &pvid, err);
	if (r == 0 && pvid && pvid <= SYS_VLAN_MAX && pvid != leg->policy.vlan)
		r = leg->sys->ops->bridge_vlan_set(leg->sys, tap, (unsigned)pvid, false, err);
	return r;
}

/* Nobody's: no frame passes that has to be from there. */
static const uint8_t nobody[SYS_MAC_LEN];

/* What the bridge sends to the tap, and takes from it. */
static int open_port(struct emul_leg *leg, const struct sys_link *tap, const struct emul_policy *policy, bool on, struct err *err)
{
	struct sys_port port = { .learns = on && policy->trust, .floods = on && policy->trust, .hears = on };
	const uint8_t *source = !on ? nobody : policy->spoofchk ? leg->mac : NULL;
	int r = leg->sys->ops->bridge_port_set(leg->sys, tap, &port, err);

	return r < 0 ? r : leg->sys->ops->source_filter(leg->sys, tap, leg->ops->side, source, err);
}

static int set_up(struct emul_leg *leg, const struct sys_link *tap, const struct sys_link *br, unsigned mtu, struct err *err)
{
	struct sys_link_want join = { .fields = SYS_LINK_NO_HOST_IP6 | SYS_LINK_MTU | SYS_LINK_MASTER,
				      .mtu = mtu,
				      .master = br->ifindex };
	struct sys_link_want up = { .fields = SYS_LINK_UP, .up = true };
	const struct sys_ops *ops = leg->sys->ops;
	int r = ops->link_set(leg->sys, tap, &join, err);

	if (r == 0)
		r = open_port(leg, tap, &leg->policy, false, err);
	if (r == 0)
		r = join_vlan(leg, tap, err);
	if (r == 0)
		r = emul_limit_rate(leg, tap, &leg->policy, true, err);
	return r < 0 ? r : ops->link_set(leg->sys, tap, &up, err);
}

static int create(struct emul_leg *leg, struct err *err)
{
	struct sys_link_want mac = { .fields = SYS_LINK_MAC };
	struct sys_link pf, br, tap;
	int r = emul_pf_link(leg, &pf, err);

	if (r == 0)
		r = find_bridge(leg, &pf, &br, err);
	if (r == 0)
		r = leg->sys->ops->tap_add(leg->sys, leg->ifname, err);
	if (r < 0)
		return r;
	leg->fd = r;
	leg->opened = false;
	/* first of all what it is told by; until then it goes with the descriptor */
	r = emul_link_get(leg->sys, leg->ifname, "emul.gone", &tap, err);
	host_mac(leg, mac.mac);
	if (r == 0)
		r = leg->sys->ops->link_set(leg->sys, &tap, &mac, err);
	return r < 0 ? r : set_up(leg, &tap, &br, pf.mtu, err);
}

static int open_fd(struct emul_leg *leg, struct err *err)
{
	if (leg->fd < 0)
		return err_set(err, -ENODEV, "emul.gone", "%s: it was not made", leg->ifname);
	return fd_take(&leg->fd);
}

struct sys_fdb emul_bridge_entry(const struct emul_leg *leg, enum sys_fdb_where where)
{
	struct sys_fdb e = { .where = where, .vlan = where == SYS_FDB_BRIDGE ? leg->port_vlan : 0 };

	memcpy(e.mac, leg->mac, SYS_MAC_LEN);
	return e;
}

int emul_bridge_steer(struct emul_leg *leg, const struct sys_link *pf, const struct sys_link *tap, bool on, struct err *err)
{
	struct sys_fdb port = emul_bridge_entry(leg, SYS_FDB_BRIDGE), self = emul_bridge_entry(leg, SYS_FDB_SELF);
	const struct sys_ops *ops = leg->sys->ops;
	int r = 0;

	if (on)
		r = ops->fdb_set(leg->sys, pf, &self, true, err);
	if (r == 0)
		r = ops->fdb_set(leg->sys, on ? tap : pf, &port, true, err);
	if (r == 0 && !on)
		r = ops->fdb_set(leg->sys, pf, &self, false, err);
	return r;
}

static int carry(struct emul_leg *leg, const struct emul_policy *policy, bool on, struct err *err)
{
	struct sys_link tap, pf;
	int r = emul_leg_link(leg, &tap, err);

	if (r == 0)
		r = emul_pf_link(leg, &pf, err);
	if (r == 0 && on)
		r = open_port(leg, &tap, policy, true, err);
	if (r == 0)
		r = emul_bridge_steer(leg, &pf, &tap, on, err);
	if (r == 0 && !on)
		r = open_port(leg, &tap, policy, false, err);
	return r;
}

static int apply(struct emul_leg *leg, const struct emul_policy *policy, struct err *err)
{
	struct sys_link tap;
	int r = emul_leg_link(leg, &tap, err);

	return r < 0 ? r : emul_limit_rate(leg, &tap, policy, false, err);
}

/* Out of the PF: what is sent out of the tap goes to the guest. */
static int announce(struct emul_leg *leg, struct sys_announce *what, struct err *err)
{
	struct sys_link pf;
	int r = emul_pf_link(leg, &pf, err);

	what->vlan = leg->policy.vlan;
	what->vlan_proto = leg->policy.proto;
	return r < 0 ? r : leg->sys->ops->announce(leg->sys, &pf, what, err);
}

static int drop_steering(struct emul_leg *leg, struct err *err)
{
	struct sys_fdb port = emul_bridge_entry(leg, SYS_FDB_BRIDGE), self = emul_bridge_entry(leg, SYS_FDB_SELF);
	struct sys_link pf;
	int r = emul_pf_link(leg, &pf, err), r2 = 0;

	if (r == -ENODEV) { /* the PF has gone, its filter and its port with it */
		err_clear(err);
		return 0;
	}
	if (r < 0)
		return r;
	if (pf.master)
		r2 = leg->sys->ops->fdb_set(leg->sys, &pf, &port, false, err);
	if (r2 == -EINVAL || r2 == -EOPNOTSUPP) { /* it has left the VLAN or the bridge, and its entries with it */
		err_clear(err);
		r2 = 0;
	}
	r = leg->sys->ops->fdb_set(leg->sys, &pf, &self, false, r2 < 0 ? NULL : err);
	return r2 < 0 ? r2 : r;
}

static int destroy(struct emul_leg *leg, struct err *err)
{
	int r = drop_steering(leg, err), r2;

	if (leg->fd >= 0) /* whatever close says, it is closed */
		leg->sys->ops->close(leg->sys, fd_take(&leg->fd));
	r2 = emul_leg_remove(leg, r < 0 ? NULL : err);
	return r < 0 ? r : r2;
}

const struct emul_ops emul_bridge_ops = {
	.check = check,
	.create = create,
	.open = open_fd,
	.carry = carry,
	.apply = apply,
	.announce = announce,
	.destroy = destroy,
	.owns = owns,
	.host_mac = host_mac,
	.kind = "tun",
	.side = SYS_INGRESS,
};
