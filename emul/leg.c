/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A leg whatever its kind: what was asked for is checked, whose interface it is, and the kind does the rest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emul_internal.h"
#include "err.h"
#include "mac.h"

int emul_link_get(struct sys *sys, const char *ifname, const char *code, struct sys_link *ret, struct err *err)
{
	int r = sys->ops->link_get(sys, ifname, ret);

	if (r == -ENODEV)
		return err_set(err, r, code, "%.16s: there is no such interface", ifname);
	return r < 0 ? err_set(err, r, "net.netlink", "%.16s: cannot be looked at: %s", ifname, strerror(-r)) : 0;
}

int emul_name_free(struct sys *sys, const char *ifname, struct err *err)
{
	struct sys_link link;
	int r = emul_link_get(sys, ifname, "emul.gone", &link, err);

	if (r == -ENODEV) {
		err_clear(err);
		return 0;
	}
	if (r < 0)
		return r;
	err_set(err, -EEXIST, "emul.name-taken", "%s: an interface of this name is there already", ifname);
	err_hint(err, "gangway makes interfaces gwt0, gwv0, ... of its own: rename or remove this one");
	return -EEXIST;
}

/* What the PF is called now. -ENODEV: there is no such interface any more. */
static int find_renamed(struct emul_leg *leg, char ret[static IF_NAMESIZE], struct err *err)
{
	char path[EMUL_PATH_MAX], **names;
	uint64_t ifindex;
	int r = leg->sys->ops->list(leg->sys, CLASS_NET, &names);

	if (r < 0)
		return err_set(err, r, "emul.sysfs", "%s: %s", CLASS_NET, strerror(-r));
	r = -ENODEV;
	for (char **n = names; *n && r < 0; n++) {
		snprintf(path, sizeof(path), CLASS_NET "/%.32s/ifindex", *n);
		if (!emul_name_valid(*n) || sys_read_u64(leg->sys, path, &ifindex) < 0 || ifindex != leg->pf_ifindex)
			continue;
		snprintf(ret, IF_NAMESIZE, "%s", *n);
		r = 0;
	}
	sys_list_free(names);
	return r;
}

int emul_pf_link(struct emul_leg *leg, struct sys_link *ret, struct err *err)
{
	char name[IF_NAMESIZE];
	struct sys_link pf;
	int r = emul_link_get(leg->sys, leg->pf, "emul.no-pf", &pf, err);

	if (r < 0 && r != -ENODEV)
		return r;
	if (r < 0 || pf.ifindex != leg->pf_ifindex) {
		r = find_renamed(leg, name, err);
		if (r == 0)
			r = emul_link_get(leg->sys, name, "emul.no-pf", &pf, err);
		if (r < 0 && r != -ENODEV)
			return r;
		if (r < 0 || pf.ifindex != leg->pf_ifindex)
			return err_set(err, -ENODEV, "emul.no-pf", "pf %s: not the interface that it was", leg->pf);
		snprintf(leg->pf, sizeof(leg->pf), "%s", name);
	}
	*ret = pf;
	return 0;
}

/* The interface of our name; *@ret_ours: is it ours? -ENODEV emul.gone: there is none. */
static int find(struct emul_leg *leg, struct sys_link *ret, bool *ret_ours, struct err *err)
{
	uint8_t mac[SYS_MAC_LEN];
	struct sys_link link;
	bool ours;
	int r = emul_link_get(leg->sys, leg->ifname, "emul.gone", &link, err);

	if (r < 0)
		return r;
	leg->ops->host_mac(leg, mac);
	ours = strcmp(link.kind, leg->ops->kind) == 0 && memcmp(link.mac, mac, SYS_MAC_LEN) == 0;
	if (ours && leg->ifindex != link.ifindex)
		r = leg->ops->owns(leg, &link, &ours, err);
	if (r < 0)
		return r;
	if (ours)
		leg->ifindex = link.ifindex;
	*ret = link;
	*ret_ours = ours;
	return 0;
}

int emul_leg_link(struct emul_leg *leg, struct sys_link *ret, struct err *err)
{
	bool ours;
	int r = find(leg, ret, &ours, err);

	if (r == 0 && !ours)
		r = err_set(err, -ENODEV, "emul.gone", "%s: it is not the standby any more, but another interface", leg->ifname);
	return r;
}

int emul_leg_remove(struct emul_leg *leg, struct err *err)
{
	struct sys_link link;
	bool ours = false;
	int r = find(leg, &link, &ours, err);

	if (r == -ENODEV) {
		err_clear(err);
		r = 0;
	}
	if (r == 0 && ours)
		r = leg->sys->ops->link_del(leg->sys, &link, err);
	if (r == 0)
		leg->ifindex = 0;
	return r;
}

int emul_limit_rate(struct emul_leg *leg, const struct sys_link *link, const struct emul_policy *policy, bool fresh,
		    struct err *err)
{
	return policy->rate || !fresh ? leg->sys->ops->rate_set(leg->sys, link, leg->ops->side, policy->rate, err) : 0;
}

int emul_limit(struct emul_leg *leg, const struct sys_link *link, const struct emul_policy *policy, bool fresh, struct err *err)
{
	int r = emul_limit_rate(leg, link, policy, fresh, err);

	if (r == 0 && (policy->spoofchk || !fresh))
		r = leg->sys->ops->source_filter(leg->sys, link, leg->ops->side, policy->spoofchk ? leg->mac : NULL, err);
	return r;
}

const struct emul_ops *emul_ops_of(enum emul_kind kind)
{
	static const struct emul_ops *const ops[] = {
		[EMUL_MACVTAP] = &emul_macvtap_ops, [EMUL_BRIDGE] = &emul_bridge_ops, [EMUL_OWN] = &emul_own_ops
	};

	return ops[kind];
}

/* What can be said without a look at the host. */
static int fill(struct emul_leg *leg, const struct emul_want *want, struct err *err)
{
	char mac[MAC_TEXT];

	leg->words = want->words;
	leg->ops = emul_ops_of(want->words.kind);
	if (!leg->ops)
		return err_set(err, -EINVAL, "emul.bad-word", "standby none: there is nothing to make");
	if (!emul_name_valid(want->pf) || (want->words.kind == EMUL_BRIDGE && !emul_name_valid(want->words.bridge)))
		return err_set(err, -EINVAL, "emul.bad-name", "standby: an interface cannot have the name '%.40s'",
			       emul_name_valid(want->pf) ? want->words.bridge : want->pf);
	if (want->nr > EMUL_NR_MAX)
		return err_set(err, -EINVAL, "emul.bad-name", "standby: number %u is over %u", want->nr, EMUL_NR_MAX);
	if (!mac_is_own(want->mac)) {
		mac_format(want->mac, mac);
		return err_set(err, -EINVAL, "emul.bad-mac", "mac %s: it cannot be a NIC's own", mac);
	}
	snprintf(leg->pf, sizeof(leg->pf), "%s", want->pf);
	leg->nr = want->nr;
	if (want->words.kind == EMUL_OWN)
		snprintf(leg->ifname, sizeof(leg->ifname), "%s", want->tap ? want->tap : "");
	else
		snprintf(leg->ifname, sizeof(leg->ifname), "gwt%u", want->nr);
	snprintf(leg->vlan_name, sizeof(leg->vlan_name), "gwv%u", want->nr);
	memcpy(leg->mac, want->mac, SYS_MAC_LEN);
	return emul_policy_from(&want->policy, &leg->policy, err);
}

/* The host as it is now, nothing of ours being there yet. What is in the record may not be another thing the second time. */
static int check(struct emul_leg *leg, struct err *err)
{
	uint16_t port_vlan = 0;
	struct sys_link pf;
	int r = emul_link_get(leg->sys, leg->pf, "emul.no-pf", &pf, err);

	if (r == -ENODEV) {
		err_set(err, -ENOENT, "emul.no-pf", "pf %s: there is no such interface", leg->pf);
		err_hint(err, "`gangway pf list` shows the PFs there are");
		return -ENOENT;
	}
	if (r < 0)
		return r;
	if (!pf.up) {
		err_set(err, -ENETDOWN, "emul.pf-down", "pf %s: PF is not online", leg->pf);
		err_hint(err, "ip link set %s up", leg->pf);
		return -ENETDOWN;
	}
	r = leg->ops->check(leg, &pf, &port_vlan, err);
	if (r < 0)
		return r;
	if (leg->pf_ifindex && (leg->pf_ifindex != pf.ifindex || leg->port_vlan != port_vlan)) {
		err_set(err, -EAGAIN, "emul.host-changed", "%s: pf %s or its bridge has changed since it was looked at",
			leg->ifname, leg->pf);
		err_hint(err, "try again");
		return -EAGAIN;
	}
	leg->pf_ifindex = pf.ifindex;
	leg->port_vlan = port_vlan;
	return 0;
}

int emul_leg_new(struct sys *sys, const struct emul_want *want, struct emul_leg **ret, struct err *err)
{
	struct emul_leg *leg = calloc(1, sizeof(*leg));
	int r;

	if (!leg)
		return err_set(err, -ENOMEM, "emul.no-memory", "standby: no memory");
	leg->sys = sys;
	leg->fd = -1;
	r = fill(leg, want, err);
	if (r == 0)
		r = check(leg, err);
	if (r < 0) {
		emul_leg_free(leg);
		return r;
	}
	*ret = leg;
	return 0;
}

void emul_leg_free(struct emul_leg *leg)
{
	if (!leg)
		return;
	if (leg->fd >= 0)
		leg->sys->ops->close(leg->sys, leg->fd);
	free(leg);
}

const char *emul_leg_ifname(const struct emul_leg *leg)
{
	return leg->ifname;
}

unsigned emul_leg_pf_ifindex(const struct emul_leg *leg)
{
	return leg->pf_ifindex;
}

const char *emul_leg_bridge(const struct emul_leg *leg)
{
	return leg->words.bridge;
}

int emul_leg_create(struct emul_leg *leg, struct err *err)
{
	int r = check(leg, err);

	if (r < 0)
		return r; /* nothing was made, and what has our name is another's */
	r = leg->ops->create(leg, err);
	if (r < 0)
		leg->ops->destroy(leg, NULL);
	return r;
}

int emul_leg_open(struct emul_leg *leg, struct err *err)
{
	int fd;

	if (leg->opened) {
		err_set(err, -EALREADY, "emul.opened", "%s: its descriptor was given to the VMM already", leg->ifname);
		err_hint(err, "a second one would take frames away from the first: make the standby anew");
		return -EALREADY;
	}
	fd = leg->ops->open(leg, err);
	if (fd >= 0)
		leg->opened = true;
	return fd;
}

int emul_leg_carry(struct emul_leg *leg, bool on, struct err *err)
{
	int r = leg->ops->carry(leg, &leg->policy, on && !leg->policy.dark, err);

	if (r == 0)
		leg->carries = on;
	return r;
}

int emul_leg_apply(struct emul_leg *leg, const struct sys_vf *policy, struct err *err)
{
	struct emul_policy p;
	int r = emul_policy_from(policy, &p, err);

	if (r < 0)
		return r;
	if (p.vlan != leg->policy.vlan || p.qos != leg->policy.qos || p.proto != leg->policy.proto) {
		err_set(err, -EOPNOTSUPP, "emul.vlan-fixed", "%s: the VLAN of a standby cannot be changed while the guest has it",
			leg->ifname);
		err_hint(err, "detach, and attach with the new VLAN");
		return -EOPNOTSUPP;
	}
	r = leg->ops->apply(leg, &p, err);
	if (r == 0)
		r = leg->ops->carry(leg, &p, leg->carries && !p.dark, err);
	if (r == 0)
		leg->policy = p;
	return r;
}

uint64_t emul_leg_frames_from_guest(const struct emul_leg *leg)
{
	char path[EMUL_PATH_MAX];
	uint64_t n;

	if (!leg->ifname[0])
		return 0;
	snprintf(path, sizeof(path), CLASS_NET "/%s/statistics/%s", leg->ifname,
		 leg->ops->side == SYS_EGRESS ? "tx_packets" : "rx_packets");
	return sys_read_u64(leg->sys, path, &n) < 0 ? 0 : n;
}

int emul_leg_announce(struct emul_leg *leg, const struct in_addr *ip4, size_t nr_ip4, const struct in6_addr *ip6, size_t nr_ip6,
		      struct err *err)
{
	struct sys_announce what = { .nr_ip4 = nr_ip4, .nr_ip6 = nr_ip6, .ip4 = ip4, .ip6 = ip6 };

	if (nr_ip4 > SYS_ANNOUNCE_ADDRS_MAX || nr_ip6 > SYS_ANNOUNCE_ADDRS_MAX)
		return err_set(err, -E2BIG, "emul.too-many-addresses", "%s: at most %d addresses of a kind are announced",
			       leg->ifname, SYS_ANNOUNCE_ADDRS_MAX);
	memcpy(what.mac, leg->mac, SYS_MAC_LEN);
	return leg->ops->announce(leg, &what, err);
}

int emul_leg_destroy(struct emul_leg *leg, struct err *err)
{
	int r = leg->ops->destroy(leg, err), r2;

	if (r == 0)
		leg->carries = false;
	r2 = emul_lag_remove(leg, r < 0 ? NULL : err);
	return r < 0 ? r : r2;
}
