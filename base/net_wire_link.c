/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rtnetlink messages that make, change and remove interfaces of our own. */
#include "net_wire_leg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>

#include "err.h"

#define PRIORITIES 16 /* TC_PRIO_MAX + 1: what the host gives frames that it forwards */

static int put_link(struct nl_msg *msg, int type, int flags, unsigned ifindex, unsigned ifi_flags, unsigned change)
{
	struct ifinfomsg ifi = { .ifi_index = (int)ifindex, .ifi_flags = ifi_flags, .ifi_change = change };

	if (!nlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, NLM_F_REQUEST | flags))
		return -ENOMEM;
	return nlmsg_append(msg, &ifi, sizeof(ifi), NLMSG_ALIGNTO) < 0 ? -ENOMEM : 0;
}

/* RTM_NEWLINK up to the inside of IFLA_INFO_DATA. @lower: 0 none. */
static int start_new(struct nl_msg *msg, unsigned lower, const char *name, const char *kind, const uint8_t *mac, unsigned flags,
		     struct nlattr **ret_info, struct nlattr **ret_data)
{
	if (put_link(msg, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, flags, flags) < 0 ||
	    (lower && nla_put_u32(msg, IFLA_LINK, lower) < 0) || nla_put_string(msg, IFLA_IFNAME, name) < 0 ||
	    (mac && nla_put(msg, IFLA_ADDRESS, SYS_MAC_LEN, mac) < 0))
		return -ENOMEM;
	*ret_info = nla_nest_start(msg, IFLA_LINKINFO);
	if (!*ret_info || nla_put_string(msg, IFLA_INFO_KIND, kind) < 0)
		return -ENOMEM;
	*ret_data = nla_nest_start(msg, IFLA_INFO_DATA);
	return *ret_data ? 0 : -ENOMEM;
}

static int end_new(struct nl_msg *msg, struct nlattr *info, struct nlattr *data)
{
	return nla_nest_end(msg, data) < 0 || nla_nest_end(msg, info) < 0 ? -ENOMEM : 0;
}

int net_wire_put_macvtap(struct nl_msg *msg, unsigned lower, const char *name, const uint8_t mac[static SYS_MAC_LEN])
{
	struct nlattr *info, *data;

	if (start_new(msg, lower, name, "macvtap", mac, IFF_ALLMULTI, &info, &data) < 0 ||
	    nla_put_u32(msg, IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE) < 0)
		return -ENOMEM;
	return end_new(msg, info, data);
}

int net_wire_put_ifb(struct nl_msg *msg, const char *name, const uint8_t mac[static SYS_MAC_LEN])
{
	struct nlattr *info, *data;

	return start_new(msg, 0, name, "ifb", mac, 0, &info, &data) < 0 ? -ENOMEM : end_new(msg, info, data);
}

static int put_egress_qos(struct nl_msg *msg, uint8_t qos)
{
	struct nlattr *nest = nla_nest_start(msg, IFLA_VLAN_EGRESS_QOS);

	if (!nest)
		return -ENOMEM;
	for (uint32_t priority = 0; priority < PRIORITIES; priority++) {
		struct ifla_vlan_qos_mapping map = { .from = priority, .to = qos };

		if (nla_put(msg, IFLA_VLAN_QOS_MAPPING, sizeof(map), &map) < 0)
			return -ENOMEM;
	}
	return nla_nest_end(msg, nest) < 0 ? -ENOMEM : 0;
}

int net_wire_put_vlan_link(struct nl_msg *msg, unsigned lower, const char *name, const struct sys_vlan *vlan)
{
	struct nlattr *info, *data;

	if (start_new(msg, lower, name, "vlan", NULL, 0, &info, &data) < 0 || nla_put_u16(msg, IFLA_VLAN_ID, vlan->id) < 0 ||
	    nla_put_u16(msg, IFLA_VLAN_PROTOCOL, htons(vlan->proto)) < 0 || (vlan->qos && put_egress_qos(msg, vlan->qos) < 0))
		return -ENOMEM;
	return end_new(msg, info, data);
}

static int put_no_host_ip6(struct nl_msg *msg)
{
	struct nlattr *spec = nla_nest_start(msg, IFLA_AF_SPEC), *inet6 = spec ? nla_nest_start(msg, AF_INET6) : NULL;

	if (!inet6 || nla_put_u8(msg, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE) < 0)
		return -ENOMEM;
	return nla_nest_end(msg, inet6) < 0 || nla_nest_end(msg, spec) < 0 ? -ENOMEM : 0;
}

int net_wire_put_setlink(struct nl_msg *msg, unsigned ifindex, const struct sys_link_want *want, enum sys_link_field field)
{
	bool up = field == SYS_LINK_UP;

	if (put_link(msg, RTM_SETLINK, 0, ifindex, up && want->up ? IFF_UP : 0, up ? IFF_UP : 0) < 0)
		return -ENOMEM;
	switch (field) {
	case SYS_LINK_UP:
		return 0;
	case SYS_LINK_MAC:
		return nla_put(msg, IFLA_ADDRESS, SYS_MAC_LEN, want->mac) < 0 ? -ENOMEM : 0;
	case SYS_LINK_MTU:
		return nla_put_u32(msg, IFLA_MTU, want->mtu) < 0 ? -ENOMEM : 0;
	case SYS_LINK_MASTER:
		return nla_put_u32(msg, IFLA_MASTER, want->master) < 0 ? -ENOMEM : 0;
	case SYS_LINK_NO_HOST_IP6:
		return put_no_host_ip6(msg);
	}
	return -EINVAL;
}

int net_wire_put_dellink(struct nl_msg *msg, unsigned ifindex)
{
	return put_link(msg, RTM_DELLINK, 0, ifindex, 0, 0);
}

const char *net_wire_link_field_name(enum sys_link_field field)
{
	switch (field) {
	case SYS_LINK_UP:
		return "up or down";
	case SYS_LINK_MAC:
		return "mac";
	case SYS_LINK_MTU:
		return "mtu";
	case SYS_LINK_MASTER:
		return "master";
	case SYS_LINK_NO_HOST_IP6:
		return "addrgenmode";
	}
	return "setting";
}

int net_wire_refused(struct err *err, int num, const char *ifname, const char *what, const char *words)
{
	err_set(err, num, "net.refused", "%.16s: %s refused: %s", ifname, what, words[0] ? words : strerror(-num));
	switch (num) {
	case -EPERM:
	case -EACCES:
		err_hint(err, "gangwayd needs CAP_NET_ADMIN, for announcements CAP_NET_RAW, for taps /dev/net/tun");
		break;
	case -ENODEV:
		err_hint(err, "the interface is gone: `ip link` shows those there are");
		break;
	case -EOPNOTSUPP:
	case -ENOENT:
		err_hint(err, "a kernel module may be missing: macvtap, 8021q, tun, bridge, sch_tbf, sch_ingress, cls_bpf, "
			      "act_police, ifb, act_mirred, sch_netem");
		break;
	case -EEXIST:
		err_hint(err, "`ip -d link` shows who has the name or the VLAN");
		break;
	case -EBUSY:
		err_hint(err, "a port of a bridge or bond, or of a macvlan in passthru mode, carries no macvtap; or the MAC or "
			      "the name is taken on it");
		break;
	default:
		err_hint(err, "the kernel log may say more: dmesg | grep %.16s", ifname);
		break;
	}
	return num;
}
