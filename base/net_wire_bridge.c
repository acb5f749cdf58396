/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rtnetlink messages about forwarding entries, bridge ports and their VLANs. */
#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "net_wire_leg.h"

#ifndef NTF_STICKY /* Linux 4.20 */
#define NTF_STICKY 0x40
#endif

int net_wire_put_fdb(struct nl_msg *msg, unsigned ifindex, const struct sys_fdb *entry, bool there)
{
	bool self = entry->where == SYS_FDB_SELF;
	struct ndmsg ndm = {
		.ndm_family = PF_BRIDGE,
		.ndm_ifindex = (int)ifindex,
		/* a device's own filter takes permanent entries alone; in a bridge those would be the host's own addresses */
		.ndm_state = self ? NUD_PERMANENT : NUD_NOARP | NUD_REACHABLE,
		/* not sticky, a frame from the wire with the guest's address as its source would take the entry away */
		.ndm_flags = self    ? NTF_SELF
			     : there ? NTF_MASTER | NTF_STICKY
				     : NTF_MASTER,
	};

	if (!nlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, there ? RTM_NEWNEIGH : RTM_DELNEIGH, 0,
		       NLM_F_REQUEST | (there ? NLM_F_CREATE | NLM_F_REPLACE : 0)) ||
	    nlmsg_append(msg, &ndm, sizeof(ndm), NLMSG_ALIGNTO) < 0 || nla_put(msg, NDA_LLADDR, SYS_MAC_LEN, entry->mac) < 0 ||
	    (entry->vlan && !self && nla_put_u16(msg, NDA_VLAN, entry->vlan) < 0))
		return -ENOMEM;
	return 0;
}

int net_wire_put_get_fdb(struct nl_msg *msg)
{
	struct ndmsg ndm = { .ndm_family = PF_BRIDGE };

	if (!nlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, RTM_GETNEIGH, 0, NLM_F_REQUEST | NLM_F_DUMP))
		return -ENOMEM;
	return nlmsg_append(msg, &ndm, sizeof(ndm), NLMSG_ALIGNTO) < 0 ? -ENOMEM : 0;
}

int net_wire_get_fdb(const struct nlmsghdr *nlh, unsigned ifindex, const struct sys_fdb *entry, bool *ret)
{
	const struct ndmsg *ndm = nlmsg_data(nlh);
	bool self = entry->where == SYS_FDB_SELF;
	const struct nlattr *mac, *vlan;
	uint16_t vid = 0;

	if (nlh->nlmsg_type != RTM_NEWNEIGH || !nlmsg_valid_hdr(nlh, sizeof(*ndm)))
		return -EBADMSG;
	if (ndm->ndm_family != PF_BRIDGE || ndm->ndm_ifindex != (int)ifindex || self != !!(ndm->ndm_flags & NTF_SELF) ||
	    !(ndm->ndm_state & (self ? NUD_PERMANENT : NUD_NOARP)))
		return 0;
	mac = nlmsg_find_attr((struct nlmsghdr *)nlh, sizeof(*ndm), NDA_LLADDR);
	vlan = nlmsg_find_attr((struct nlmsghdr *)nlh, sizeof(*ndm), NDA_VLAN);
	if ((mac && nla_len(mac) < SYS_MAC_LEN) || (vlan && nla_len(vlan) < (int)sizeof(vid)))
		return -EBADMSG;
	if (vlan)
		memcpy(&vid, nla_data(vlan), sizeof(vid));
	if (mac && vid == entry->vlan && memcmp(nla_data(mac), entry->mac, SYS_MAC_LEN) == 0)
		*ret = true;
	return 0;
}

static int put_bridge(struct nl_msg *msg, int type, int flags, unsigned ifindex)
{
	struct ifinfomsg ifi = { .ifi_family = AF_BRIDGE, .ifi_index = (int)ifindex };

	if (!nlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, NLM_F_REQUEST | flags))
		return -ENOMEM;
	return nlmsg_append(msg, &ifi, sizeof(ifi), NLMSG_ALIGNTO) < 0 ? -ENOMEM : 0;
}

int net_wire_put_bridge_port(struct nl_msg *msg, unsigned ifindex, const struct sys_port *want)
{
	struct nlattr *nest;

	if (put_bridge(msg, RTM_SETLINK, 0, ifindex) < 0)
		return -ENOMEM;
	nest = nla_nest_start(msg, IFLA_PROTINFO | NLA_F_NESTED); /* without the flag it would be an STP state alone */
	if (!nest || nla_put_u8(msg, IFLA_BRPORT_LEARNING, want->learns) < 0 ||
	    nla_put_u8(msg, IFLA_BRPORT_UNICAST_FLOOD, want->floods) < 0 ||
	    nla_put_u8(msg, IFLA_BRPORT_MCAST_FLOOD, want->hears) < 0 ||
	    nla_put_u8(msg, IFLA_BRPORT_BCAST_FLOOD, want->hears) < 0)
		return -ENOMEM;
	return nla_nest_end(msg, nest) < 0 ? -ENOMEM : 0;
}

int net_wire_put_bridge_vlan(struct nl_msg *msg, unsigned ifindex, unsigned vid, bool member)
{
	struct bridge_vlan_info info = { .vid = (uint16_t)vid };
	struct nlattr *nest;

	if (member)
		info.flags = BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED;
	if (put_bridge(msg, member ? RTM_SETLINK : RTM_DELLINK, 0, ifindex) < 0)
		return -ENOMEM;
	nest = nla_nest_start(msg, IFLA_AF_SPEC);
	if (!nest || nla_put(msg, IFLA_BRIDGE_VLAN_INFO, sizeof(info), &info) < 0)
		return -ENOMEM;
	return nla_nest_end(msg, nest) < 0 ? -ENOMEM : 0;
}

int net_wire_put_get_bridge_vlans(struct nl_msg *msg)
{
	if (put_bridge(msg, RTM_GETLINK, NLM_F_DUMP, 0) < 0)
		return -ENOMEM;
	return nla_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_BRVLAN) < 0 ? -ENOMEM : 0;
}

int net_wire_get_bridge_vlan(const struct nlmsghdr *nlh, unsigned ifindex, unsigned vid, bool *ret)
{
	const struct ifinfomsg *ifi = nlmsg_data(nlh);
	struct bridge_vlan_info info;
	struct nlattr *spec, *pos;
	int rem;

	if (nlh->nlmsg_type != RTM_NEWLINK || !nlmsg_valid_hdr(nlh, sizeof(*ifi)))
		return -EBADMSG;
	if (ifi->ifi_family != AF_BRIDGE || ifi->ifi_index != (int)ifindex)
		return 0;
	spec = nlmsg_find_attr((struct nlmsghdr *)nlh, sizeof(*ifi), IFLA_AF_SPEC);
	if (!spec)
		return 0;
	nla_for_each_nested(pos, spec, rem)
	{
		if (nla_type(pos) != IFLA_BRIDGE_VLAN_INFO)
			continue;
		if (nla_len(pos) < (int)sizeof(info))
			return -EBADMSG;
		memcpy(&info, nla_data(pos), sizeof(info));
		if (info.vid == vid)
			*ret = true;
	}
	return 0;
}
