/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rtnetlink messages about links and VFs: written and read. Sockets are in sys_linux_net.c, notifications in net_wire_event.c. */
#include "net_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>

#include "err.h"

/* libnl's readers take what they only read as non-const */
static struct nlmsghdr *unconst(const struct nlmsghdr *nlh)
{
	return (struct nlmsghdr *)nlh;
}

/* By name, not by index looked up before: an interface renamed meanwhile must not be mistaken for another one. */
static int put_header(struct nl_msg *msg, int type, const char *ifname)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };

	if (!nlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, NLM_F_REQUEST))
		return -ENOMEM;
	if (nlmsg_append(msg, &ifi, sizeof(ifi), NLMSG_ALIGNTO) < 0)
		return -ENOMEM;
	return nla_put_string(msg, IFLA_IFNAME, ifname) < 0 ? -ENOMEM : 0;
}

int net_wire_put_getlink(struct nl_msg *msg, const char *ifname, uint32_t ext_mask)
{
	int r = put_header(msg, RTM_GETLINK, ifname);

	if (r < 0)
		return r;
	return nla_put_u32(msg, IFLA_EXT_MASK, ext_mask) < 0 ? -ENOMEM : 0;
}

static int put_vlan(struct nl_msg *msg, unsigned vf, const struct sys_vf *want)
{
	struct ifla_vf_vlan_info info = {
		.vf = vf,
		.vlan = want->vlan,
		.qos = want->qos,
		.vlan_proto = htons(want->proto ? want->proto : ETH_P_8021Q),
	};
	struct nlattr *list = nla_nest_start(msg, IFLA_VF_VLAN_LIST);

	if (!list || nla_put(msg, IFLA_VF_VLAN_INFO, sizeof(info), &info) < 0)
		return -ENOMEM;
	return nla_nest_end(msg, list) < 0 ? -ENOMEM : 0;
}

static int put_field(struct nl_msg *msg, unsigned vf, const struct sys_vf *want, enum sys_vf_field field)
{
	struct ifla_vf_mac mac = { .vf = vf };
	struct ifla_vf_spoofchk spoofchk = { .vf = vf, .setting = want->spoofchk };
	struct ifla_vf_trust trust = { .vf = vf, .setting = want->trust };
	struct ifla_vf_link_state state = { .vf = vf, .link_state = want->state };
	struct ifla_vf_rate rate = { .vf = vf, .min_tx_rate = want->min_tx_rate, .max_tx_rate = want->max_tx_rate };

	switch (field) {
	case SYS_VF_MAC:
		memcpy(mac.mac, want->mac, SYS_MAC_LEN);
		return nla_put(msg, IFLA_VF_MAC, sizeof(mac), &mac);
	case SYS_VF_VLAN:
		return put_vlan(msg, vf, want);
	case SYS_VF_SPOOFCHK:
		return nla_put(msg, IFLA_VF_SPOOFCHK, sizeof(spoofchk), &spoofchk);
	case SYS_VF_TRUST:
		return nla_put(msg, IFLA_VF_TRUST, sizeof(trust), &trust);
	case SYS_VF_STATE:
		return nla_put(msg, IFLA_VF_LINK_STATE, sizeof(state), &state);
	case SYS_VF_RATE:
		return nla_put(msg, IFLA_VF_RATE, sizeof(rate), &rate);
	}
	return -EINVAL;
}

int net_wire_put_vf(struct nl_msg *msg, const char *ifname, unsigned vf, const struct sys_vf *want, enum sys_vf_field field)
{
	struct nlattr *list, *info;
	int r;

	r = put_header(msg, RTM_SETLINK, ifname);
	if (r < 0)
		return r;
	list = nla_nest_start(msg, IFLA_VFINFO_LIST);
	info = list ? nla_nest_start(msg, IFLA_VF_INFO) : NULL;
	if (!info)
		return -ENOMEM;
	r = put_field(msg, vf, want, field);
	if (r < 0)
		return r == -EINVAL ? -EINVAL : -ENOMEM;
	if (nla_nest_end(msg, info) < 0 || nla_nest_end(msg, list) < 0)
		return -ENOMEM;
	return 0;
}

static bool get_mac(struct nlattr *attr, uint8_t ret[SYS_MAC_LEN])
{
	if (!attr || nla_len(attr) != SYS_MAC_LEN) /* Infiniband's addresses are longer: not ours */
		return false;
	memcpy(ret, nla_data(attr), SYS_MAC_LEN);
	return true;
}

static uint32_t get_u32(struct nlattr *attr)
{
	return attr && nla_len(attr) >= (int)sizeof(uint32_t) ? nla_get_u32(attr) : 0;
}

/* The attribute's struct if it is there and whole. */
static const void *get_struct(struct nlattr *attr, size_t size)
{
	return attr && (size_t)nla_len(attr) >= size ? nla_data(attr) : NULL;
}

static int parse_link(const struct nlmsghdr *nlh, struct nlattr *tb[IFLA_MAX + 1])
{
	if (nlh->nlmsg_type != RTM_NEWLINK || !nlmsg_valid_hdr(nlh, sizeof(struct ifinfomsg)))
		return -EBADMSG;
	return nlmsg_parse(unconst(nlh), sizeof(struct ifinfomsg), tb, IFLA_MAX, NULL) < 0 ? -EBADMSG : 0;
}

static void get_vlan_link(struct nlattr *data, struct sys_link *link)
{
	const struct ifla_vlan_qos_mapping *map;
	struct nlattr *tb[IFLA_VLAN_MAX + 1], *pos;
	int rem;

	if (nla_parse_nested(tb, IFLA_VLAN_MAX, data, NULL) < 0 || !tb[IFLA_VLAN_ID] || nla_len(tb[IFLA_VLAN_ID]) < 2)
		return;
	link->vlan = nla_get_u16(tb[IFLA_VLAN_ID]);
	link->vlan_proto = ETH_P_8021Q;
	if (tb[IFLA_VLAN_PROTOCOL] && nla_len(tb[IFLA_VLAN_PROTOCOL]) >= 2)
		link->vlan_proto = ntohs(nla_get_u16(tb[IFLA_VLAN_PROTOCOL]));
	if (!tb[IFLA_VLAN_EGRESS_QOS])
		return;
	nla_for_each_nested(pos, tb[IFLA_VLAN_EGRESS_QOS], rem)
	{
		map = get_struct(pos, sizeof(*map));
		if (map && map->from == 0)
			link->vlan_qos = (uint8_t)(map->to & 7);
	}
}

static void get_kind(struct nlattr *tb[IFLA_MAX + 1], struct sys_link *link)
{
	struct nlattr *info[IFLA_INFO_MAX + 1];

	if (!tb[IFLA_LINK_NETNSID]) /* else the index is another namespace's */
		link->lower = get_u32(tb[IFLA_LINK]);
	if (!tb[IFLA_LINKINFO] || nla_parse_nested(info, IFLA_INFO_MAX, tb[IFLA_LINKINFO], NULL) < 0 || !info[IFLA_INFO_KIND])
		return;
	nla_strlcpy(link->kind, info[IFLA_INFO_KIND], sizeof(link->kind));
	if (info[IFLA_INFO_DATA] && strcmp(link->kind, "vlan") == 0)
		get_vlan_link(info[IFLA_INFO_DATA], link);
}

int net_wire_get_link(const struct nlmsghdr *nlh, struct sys_link *ret)
{
	const struct ifinfomsg *ifi = nlmsg_data(nlh);
	struct nlattr *tb[IFLA_MAX + 1];
	struct sys_link link = { 0 };

	if (parse_link(nlh, tb) < 0 || !tb[IFLA_IFNAME])
		return -EBADMSG;
	nla_strlcpy(link.name, tb[IFLA_IFNAME], sizeof(link.name));
	link.ifindex = (unsigned)ifi->ifi_index;
	link.up = ifi->ifi_flags & IFF_UP;
	link.carrier = ifi->ifi_flags & (1 << 16); /* IFF_LOWER_UP: linux/if.h, which does not live beside net/if.h */
	get_mac(tb[IFLA_ADDRESS], link.mac);
	get_mac(tb[IFLA_PERM_ADDRESS], link.perm_mac);
	link.mtu = get_u32(tb[IFLA_MTU]);
	link.nr_vfs = get_u32(tb[IFLA_NUM_VF]);
	link.master = get_u32(tb[IFLA_MASTER]);
	get_kind(tb, &link);
	*ret = link;
	return 0;
}

static void get_vlan(struct nlattr *tb[], struct sys_vf *vf)
{
	const struct ifla_vf_vlan *old = get_struct(tb[IFLA_VF_VLAN], sizeof(*old));
	const struct ifla_vf_vlan_info *info = NULL;
	struct nlattr *first;

	if (tb[IFLA_VF_VLAN_LIST] && (size_t)nla_len(tb[IFLA_VF_VLAN_LIST]) >= NLA_HDRLEN + sizeof(*info)) {
		first = nla_data(tb[IFLA_VF_VLAN_LIST]);
		if (nla_ok(first, nla_len(tb[IFLA_VF_VLAN_LIST])) && nla_type(first) == IFLA_VF_VLAN_INFO)
			info = get_struct(first, sizeof(*info));
	}
	if (!info && !old)
		return;
	vf->vlan = (uint16_t)(info ? info->vlan : old->vlan);
	vf->qos = (uint8_t)(info ? info->qos : old->qos);
	vf->proto = info ? ntohs(info->vlan_proto) : ETH_P_8021Q;
	vf->fields |= SYS_VF_VLAN;
}

/* The kernel says (u32)-1 for a setting the driver does not report (net/core/rtnetlink.c, rtnl_fill_vfinfo). */
#define NOT_REPORTED 0xffffffffu

static void get_vf(struct nlattr *tb[], const struct ifla_vf_mac *mac, struct sys_vf *vf)
{
	const struct ifla_vf_spoofchk *spoofchk = get_struct(tb[IFLA_VF_SPOOFCHK], sizeof(*spoofchk));
	const struct ifla_vf_trust *trust = get_struct(tb[IFLA_VF_TRUST], sizeof(*trust));
	const struct ifla_vf_link_state *state = get_struct(tb[IFLA_VF_LINK_STATE], sizeof(*state));
	const struct ifla_vf_rate *rate = get_struct(tb[IFLA_VF_RATE], sizeof(*rate));

	*vf = (struct sys_vf){ .fields = SYS_VF_MAC };
	memcpy(vf->mac, mac->mac, SYS_MAC_LEN);
	get_vlan(tb, vf);
	if (spoofchk && spoofchk->setting != NOT_REPORTED) {
		vf->spoofchk = spoofchk->setting;
		vf->fields |= SYS_VF_SPOOFCHK;
	}
	if (trust && trust->setting != NOT_REPORTED) {
		vf->trust = trust->setting;
		vf->fields |= SYS_VF_TRUST;
	}
	if (state && state->link_state <= IFLA_VF_LINK_STATE_DISABLE) {
		vf->state = (enum sys_vf_state)state->link_state;
		vf->fields |= SYS_VF_STATE;
	}
	if (rate) {
		vf->min_tx_rate = rate->min_tx_rate;
		vf->max_tx_rate = rate->max_tx_rate;
		vf->fields |= SYS_VF_RATE;
	}
}

int net_wire_get_vfs(const struct nlmsghdr *nlh, struct sys_vf *ret, size_t max, size_t *ret_nr)
{
	struct nlattr *tb[IFLA_MAX + 1], *vf_tb[IFLA_VF_MAX + 1], *pos;
	const struct ifla_vf_mac *mac;
	size_t nr = 0;
	int rem;

	if (parse_link(nlh, tb) < 0)
		return -EBADMSG;
	memset(ret, 0, max * sizeof(*ret));
	if (tb[IFLA_VFINFO_LIST]) {
		nla_for_each_nested(pos, tb[IFLA_VFINFO_LIST], rem)
		{
			if (nla_type(pos) != IFLA_VF_INFO || nla_parse_nested(vf_tb, IFLA_VF_MAX, pos, NULL) < 0)
				return -EBADMSG;
			/* every attribute names its VF; the first one always there decides */
			mac = get_struct(vf_tb[IFLA_VF_MAC], sizeof(*mac));
			if (!mac || mac->vf > UINT16_MAX)
				return -EBADMSG;
			if (mac->vf < max)
				get_vf(vf_tb, mac, &ret[mac->vf]);
			if (mac->vf >= nr)
				nr = mac->vf + 1;
		}
	}
	if (get_u32(tb[IFLA_NUM_VF]) > nr && get_u32(tb[IFLA_NUM_VF]) <= UINT16_MAX)
		nr = get_u32(tb[IFLA_NUM_VF]); /* the driver was silent on the last ones */
	*ret_nr = nr;
	return 0;
}

void net_wire_get_extack(const struct nlmsghdr *nlh, char *buf, size_t size)
{
	const struct nlmsgerr *e = nlmsg_data(nlh);
	struct nlattr *tb[NLMSGERR_ATTR_MAX + 1];
	size_t skip = sizeof(*e);

	buf[0] = '\0';
	if (nlh->nlmsg_type != NLMSG_ERROR || !(nlh->nlmsg_flags & NLM_F_ACK_TLVS) || nlh->nlmsg_len < NLMSG_LENGTH(sizeof(*e)))
		return;
	/* unless capped, the request is echoed whole before the attributes */
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED)) {
		if (e->msg.nlmsg_len < sizeof(e->msg) || e->msg.nlmsg_len > nlh->nlmsg_len)
			return;
		skip += NLMSG_ALIGN(e->msg.nlmsg_len) - sizeof(e->msg);
	}
	if (NLMSG_LENGTH(skip) > nlh->nlmsg_len || nlmsg_parse(unconst(nlh), (int)skip, tb, NLMSGERR_ATTR_MAX, NULL) < 0)
		return;
	if (tb[NLMSGERR_ATTR_MSG])
		nla_strlcpy(buf, tb[NLMSGERR_ATTR_MSG], size);
}

const char *net_wire_field_name(enum sys_vf_field field)
{
	switch (field) {
	case SYS_VF_MAC:
		return "mac";
	case SYS_VF_VLAN:
		return "vlan";
	case SYS_VF_SPOOFCHK:
		return "spoofchk";
	case SYS_VF_TRUST:
		return "trust";
	case SYS_VF_STATE:
		return "state";
	case SYS_VF_RATE:
		return "tx rate";
	}
	return "setting";
}

int net_wire_vf_refused(struct err *err, int num, const char *ifname, unsigned vf, enum sys_vf_field field, const char *words)
{
	err_set(err, num, "sriov.vf-set-refused", "vf %s/vf%u: %s refused: %s", ifname, vf, net_wire_field_name(field),
		words[0] ? words : strerror(-num));
	switch (num) {
	case -EOPNOTSUPP:
	case -EPROTONOSUPPORT: /* 802.1ad, on most drivers */
		err_hint(err, "the driver of %s cannot set this on a VF: leave it out", ifname);
		break;
	case -EPERM:
	case -EACCES:
		err_hint(err, "gangwayd needs CAP_NET_ADMIN, and some drivers want trust on first");
		break;
	case -ENODEV:
		err_hint(err, "`gangway pf list` shows the PFs there are");
		break;
	case -EAGAIN:
	case -EBUSY:
		err_hint(err, "the VF is in reset: try again in a second");
		break;
	default:
		err_hint(err, "the kernel log may say more (dmesg | grep %s); some drivers need the PF up: ip link set %s up",
			 ifname, ifname);
		break;
	}
	return num;
}
