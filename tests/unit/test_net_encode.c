/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rtnetlink to the byte: VF settings against hand-made messages, a dump of 128 VFs, and what is damaged. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "net_wire.h"

#define MSG_SIZE 65536

static const struct sys_vf want = {
	.mac = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 },
	.vlan = 100,
	.qos = 5,
	.proto = 0x88a8,
	.spoofchk = true,
	.trust = true,
	.state = SYS_VF_STATE_DISABLE,
	.min_tx_rate = 100,
	.max_tx_rate = 1000,
};

/* What follows "IFLA_IFNAME eth0" and the two nests; VF 3. Little endian, as all hosts with SR-IOV NICs we know. */
#define VF3 3, 0, 0, 0
static const struct {
	enum sys_vf_field field;
	uint8_t len;
	uint8_t attr[48];
} golden[] = {
	{ SYS_VF_MAC, 40, { 40, 0, 1, 0, VF3, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 } },
	{ SYS_VF_VLAN, 24, { 24, 0, 12, 0, 20, 0, 1, 0, VF3, 100, 0, 0, 0, 5, 0, 0, 0, 0x88, 0xa8, 0, 0 } },
	{ SYS_VF_SPOOFCHK, 12, { 12, 0, 4, 0, VF3, 1, 0, 0, 0 } },
	{ SYS_VF_STATE, 12, { 12, 0, 5, 0, VF3, 2, 0, 0, 0 } },
	{ SYS_VF_RATE, 16, { 16, 0, 6, 0, VF3, 100, 0, 0, 0, 0xe8, 3, 0, 0 } },
	{ SYS_VF_TRUST, 12, { 12, 0, 9, 0, VF3, 1, 0, 0, 0 } },
};

/* Versions of libnl differ in whether they mark nests; the kernel takes both. */
static void unmark_nests(uint8_t *bytes)
{
	bytes[47] &= 0x7f; /* IFLA_VFINFO_LIST */
	bytes[51] &= 0x7f; /* IFLA_VF_INFO */
	bytes[55] &= 0x7f; /* IFLA_VF_VLAN_LIST, clear in others anyway */
}

Test(net_encode, one_field_a_message)
{
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		struct nl_msg *msg = nlmsg_alloc();
		uint8_t bytes[256], head[52] = { 0, 0, 0, 0, RTM_SETLINK, 0, NLM_F_REQUEST, 0 };
		struct nlmsghdr *nlh;
		uint8_t len = golden[i].len;

		head[0] = (uint8_t)(sizeof(head) + len);
		memcpy(head + 32, "\11\0\3\0eth0\0\0\0", 12); /* IFLA_IFNAME, 9 bytes and padding */
		head[44] = (uint8_t)(len + 8);
		head[46] = IFLA_VFINFO_LIST;
		head[48] = (uint8_t)(len + 4);
		head[50] = IFLA_VF_INFO;
		cr_assert_eq(net_wire_put_vf(msg, "eth0", 3, &want, golden[i].field), 0);
		nlh = nlmsg_hdr(msg);
		cr_assert_eq(nlh->nlmsg_len, sizeof(head) + len, "field %zu: %u", i, nlh->nlmsg_len);
		memcpy(bytes, nlh, nlh->nlmsg_len);
		unmark_nests(bytes);
		cr_expect_eq(memcmp(bytes, head, sizeof(head)), 0, "field %zu: header", i);
		cr_expect_eq(memcmp(bytes + sizeof(head), golden[i].attr, len), 0, "field %zu: attribute", i);
		nlmsg_free(msg);
	}
}

Test(net_encode, no_such_field)
{
	struct nl_msg *msg = nlmsg_alloc();

	cr_expect_eq(net_wire_put_vf(msg, "eth0", 3, &want, (enum sys_vf_field)(1 << 9)), -EINVAL);
	nlmsg_free(msg);
}

static struct nl_msg *new_link(void)
{
	struct nl_msg *msg = nlmsg_alloc_size(MSG_SIZE);
	struct ifinfomsg ifi = { .ifi_index = 4, .ifi_flags = IFF_UP | 1 << 16 };

	nlmsg_put(msg, 0, 0, RTM_NEWLINK, 0, 0);
	nlmsg_append(msg, &ifi, sizeof(ifi), NLMSG_ALIGNTO);
	nla_put_string(msg, IFLA_IFNAME, "eth0");
	nla_put_u32(msg, IFLA_MTU, 9000);
	nla_put_u32(msg, IFLA_MASTER, 17);
	nla_put(msg, IFLA_ADDRESS, SYS_MAC_LEN, want.mac);
	nla_put(msg, IFLA_PERM_ADDRESS, SYS_MAC_LEN, "\2\0\0\0\0\1");
	return msg;
}

/* As rtnl_fill_vfinfo() writes it. */
static void put_vf(struct nl_msg *msg, uint32_t vf, bool reports_all)
{
	struct ifla_vf_mac mac = { .vf = vf, .mac = { 0x52, 0x54, 0, 0, 0, (uint8_t)vf } };
	struct ifla_vf_broadcast broadcast = { .broadcast = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
	struct ifla_vf_vlan vlan = { .vf = vf, .vlan = vf % 7, .qos = vf % 3 };
	struct ifla_vf_vlan_info info = { .vf = vf, .vlan = vf % 7, .qos = vf % 3, .vlan_proto = 0xa888 };
	struct ifla_vf_rate rate = { .vf = vf, .min_tx_rate = vf, .max_tx_rate = 10 * vf };
	struct ifla_vf_tx_rate tx_rate = { .vf = vf, .rate = 10 * vf };
	struct ifla_vf_spoofchk spoofchk = { .vf = vf, .setting = reports_all ? 1 : (uint32_t)-1 };
	struct ifla_vf_trust trust = { .vf = vf, .setting = reports_all ? vf & 1 : (uint32_t)-1 };
	struct ifla_vf_link_state state = { .vf = vf, .link_state = vf % 3 };
	struct nlattr *nest = nla_nest_start(msg, IFLA_VF_INFO), *list;

	nla_put(msg, IFLA_VF_MAC, sizeof(mac), &mac);
	nla_put(msg, IFLA_VF_BROADCAST, sizeof(broadcast), &broadcast);
	nla_put(msg, IFLA_VF_VLAN, sizeof(vlan), &vlan);
	nla_put(msg, IFLA_VF_RATE, sizeof(rate), &rate);
	nla_put(msg, IFLA_VF_TX_RATE, sizeof(tx_rate), &tx_rate);
	nla_put(msg, IFLA_VF_SPOOFCHK, sizeof(spoofchk), &spoofchk);
	nla_put(msg, IFLA_VF_LINK_STATE, sizeof(state), &state);
	nla_put(msg, IFLA_VF_TRUST, sizeof(trust), &trust);
	list = nla_nest_start(msg, IFLA_VF_VLAN_LIST);
	nla_put(msg, IFLA_VF_VLAN_INFO, sizeof(info), &info);
	nla_nest_end(msg, list);
	nla_nest_end(msg, nest);
}

static struct nl_msg *dump_of(unsigned nr, unsigned skip)
{
	struct nl_msg *msg = new_link();
	struct nlattr *list;

	nla_put_u32(msg, IFLA_NUM_VF, nr);
	list = nla_nest_start(msg, IFLA_VFINFO_LIST);
	for (unsigned i = 0; i < nr; i++) {
		if (i != skip)
			put_vf(msg, i, i % 2 == 0);
	}
	nla_nest_end(msg, list);
	return msg;
}

Test(net_encode, a_link)
{
	struct nl_msg *msg = dump_of(2, 99);
	struct sys_link link = { 0 };

	cr_assert_eq(net_wire_get_link(nlmsg_hdr(msg), &link), 0);
	cr_expect_str_eq(link.name, "eth0");
	cr_expect(link.ifindex == 4 && link.up && link.carrier && link.mtu == 9000 && link.master == 17 && link.nr_vfs == 2);
	cr_expect_eq(memcmp(link.mac, want.mac, SYS_MAC_LEN), 0);
	cr_expect_eq(link.perm_mac[5], 1);
	nlmsg_hdr(msg)->nlmsg_type = RTM_DELLINK;
	cr_expect_eq(net_wire_get_link(nlmsg_hdr(msg), &link), -EBADMSG);
	nlmsg_free(msg);
}

Test(net_encode, a_dump_of_128_vfs)
{
	struct nl_msg *msg = dump_of(128, 99);
	struct sys_vf vfs[SYS_VF_MAX];
	size_t nr = 0;

	cr_assert_gt(nlmsg_hdr(msg)->nlmsg_len, 20000);
	cr_assert_eq(net_wire_get_vfs(nlmsg_hdr(msg), vfs, SYS_VF_MAX, &nr), 0);
	cr_assert_eq(nr, 128);
	for (unsigned i = 0; i < nr; i++) {
		const struct sys_vf *v = &vfs[i];

		if (i == 99) { /* the driver said nothing of it */
			cr_expect_eq(v->fields, 0);
			continue;
		}
		cr_expect_eq(v->mac[5], i);
		cr_expect(v->vlan == i % 7 && v->qos == i % 3 && v->proto == 0x88a8, "vf %u", i);
		cr_expect(v->min_tx_rate == i && v->max_tx_rate == 10 * i && (unsigned)v->state == i % 3, "vf %u", i);
		cr_expect_eq(!!(v->fields & SYS_VF_SPOOFCHK), i % 2 == 0, "vf %u", i);
		cr_expect_eq(!!(v->fields & SYS_VF_TRUST), i % 2 == 0, "vf %u", i);
	}
	cr_expect_eq(vfs[128].fields, 0);
	/* less room than VFs: those that fit, and how many there are */
	cr_assert_eq(net_wire_get_vfs(nlmsg_hdr(msg), vfs, 4, &nr), 0);
	cr_expect_eq(nr, 128);
	nlmsg_free(msg);
}

Test(net_encode, damaged_dumps_are_refused_or_read_short)
{
	struct nl_msg *msg = dump_of(8, 99);
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	uint32_t len = nlh->nlmsg_len;
	struct sys_vf vfs[16];
	size_t nr = 77;

	/* every cut, every byte of it off: under a sanitizer nothing is read beyond; what is accepted stays in bounds */
	for (uint32_t cut = NLMSG_LENGTH(0); cut < len; cut++) {
		struct nlmsghdr *part = malloc(cut); /* nothing behind it */

		memcpy(part, nlh, cut);
		part->nlmsg_len = cut;
		if (net_wire_get_vfs(part, vfs, 16, &nr) == 0)
			cr_expect_leq(nr, UINT16_MAX + 1);
		free(part);
	}
	for (uint32_t at = sizeof(*nlh); at < len; at++) {
		uint8_t *byte = (uint8_t *)nlh + at, old = *byte;

		*byte = 0xff;
		if (net_wire_get_vfs(nlh, vfs, 16, &nr) == 0)
			cr_expect_leq(nr, UINT16_MAX + 1);
		*byte = old;
	}
	nlmsg_free(msg);
}

Test(net_encode, a_driver_says_why)
{
	static const char words[] = "igb: VF 3 is still in reset. Try again.";
	struct nlmsgerr e = { .error = -EAGAIN, .msg = { .nlmsg_len = 96 } };
	char buf[64];

	for (int capped = 0; capped < 2; capped++) {
		struct nl_msg *msg = nlmsg_alloc();
		struct nlmsghdr *nlh;

		nlmsg_put(msg, 0, 0, NLMSG_ERROR, 0, NLM_F_ACK_TLVS | (capped ? NLM_F_CAPPED : 0));
		nlmsg_append(msg, &e, sizeof(e), NLMSG_ALIGNTO);
		if (!capped) /* the rest of the request */
			nlmsg_reserve(msg, 96 - sizeof(e.msg), NLMSG_ALIGNTO);
		nla_put_u32(msg, NLMSGERR_ATTR_OFFS, 44);
		nla_put_string(msg, NLMSGERR_ATTR_MSG, words);
		nlh = nlmsg_hdr(msg);
		net_wire_get_extack(nlh, buf, sizeof(buf));
		cr_expect_str_eq(buf, words);
		net_wire_get_extack(nlh, buf, 9);
		cr_expect_str_eq(buf, "igb: VF ");
		((struct nlmsgerr *)nlmsg_data(nlh))->msg.nlmsg_len = 0xfffffff0; /* a lie */
		net_wire_get_extack(nlh, buf, sizeof(buf));
		cr_expect_str_eq(buf, capped ? words : "");
		nlh->nlmsg_flags = 0;
		net_wire_get_extack(nlh, buf, sizeof(buf));
		cr_expect_str_eq(buf, "");
		nlmsg_free(msg);
	}
}

static bool addr_counts(int family, int scope, unsigned ifindex)
{
	struct nl_msg *msg = nlmsg_alloc();
	struct ifaddrmsg ifa = { .ifa_family = (uint8_t)family, .ifa_scope = (uint8_t)scope, .ifa_index = ifindex };
	bool counts;

	nlmsg_put(msg, 0, 0, RTM_NEWADDR, 0, 0);
	nlmsg_append(msg, &ifa, sizeof(ifa), NLMSG_ALIGNTO);
	counts = net_wire_counts_addr(nlmsg_hdr(msg), 4);
	nlmsg_free(msg);
	return counts;
}

Test(net_encode, addresses_that_count)
{
	cr_expect(addr_counts(AF_INET, RT_SCOPE_UNIVERSE, 4));
	cr_expect(addr_counts(AF_INET, RT_SCOPE_LINK, 4), "169.254.0.0/16 was put there by someone");
	cr_expect(addr_counts(AF_INET6, RT_SCOPE_UNIVERSE, 4));
	cr_expect_not(addr_counts(AF_INET6, RT_SCOPE_LINK, 4));
	cr_expect_not(addr_counts(AF_INET, RT_SCOPE_UNIVERSE, 5));
}

struct route {
	int family;
	uint32_t table, oif, multipath;
	const char *dst6;
};

static bool route_counts(const struct route *r)
{
	struct nl_msg *msg = nlmsg_alloc();
	struct rtmsg rtm = { .rtm_family = (uint8_t)r->family, .rtm_table = (uint8_t)r->table };
	struct rtnexthop nh[2] = { { .rtnh_len = sizeof(nh[0]), .rtnh_ifindex = 9 },
				   { .rtnh_len = sizeof(nh[0]), .rtnh_ifindex = (int)r->multipath } };
	bool counts;

	nlmsg_put(msg, 0, 0, RTM_NEWROUTE, 0, 0);
	nlmsg_append(msg, &rtm, sizeof(rtm), NLMSG_ALIGNTO);
	if (r->dst6)
		nla_put(msg, RTA_DST, 16, r->dst6);
	if (r->oif)
		nla_put_u32(msg, RTA_OIF, r->oif);
	if (r->multipath)
		nla_put(msg, RTA_MULTIPATH, sizeof(nh), nh);
	counts = net_wire_counts_route(nlmsg_hdr(msg), 4);
	nlmsg_free(msg);
	return counts;
}

Test(net_encode, routes_that_count)
{
	static const struct {
		struct route r;
		bool want;
	} routes[] = {
		{ { AF_INET, RT_TABLE_MAIN, 4, 0, NULL }, true },
		{ { AF_INET, RT_TABLE_MAIN, 5, 0, NULL }, false },
		{ { AF_INET, RT_TABLE_LOCAL, 4, 0, NULL }, false },
		{ { AF_INET, RT_TABLE_MAIN, 0, 4, NULL }, true },
		{ { AF_INET, RT_TABLE_MAIN, 0, 5, NULL }, false },
		{ { AF_INET6, RT_TABLE_MAIN, 4, 0, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0" }, false },
		{ { AF_INET6, RT_TABLE_MAIN, 4, 0, "\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" }, false },
		{ { AF_INET6, RT_TABLE_MAIN, 4, 0, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" }, true },
	};

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		cr_expect_eq(route_counts(&routes[i].r), routes[i].want, "route %zu", i);
}

#define UEVENT(text) text, sizeof(text)

Test(net_encode, uevents)
{
	static const struct {
		const char *buf;
		size_t len;
		bool want, gone;
		const char *bdf, *ifname;
	} cases[] = {
		{ UEVENT("add@/devices/pci0000:3b/0000:3b:10.0\0ACTION=add\0DEVPATH=/devices/pci0000:3b/0000:3b:10.0\0"
			 "SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:3b:10.0\0SEQNUM=4"),
		  true, false, "0000:3b:10.0", "" },
		{ UEVENT("remove@/devices/p/0000:3b:10.0\0ACTION=remove\0DEVPATH=/devices/p/0000:3b:10.0\0SUBSYSTEM=pci\0"
			 "PCI_SLOT_NAME=0000:3b:10.0"),
		  true, true, "0000:3b:10.0", "" },
		{ UEVENT("add@/devices/p/0000:3b:10.0/net/eth0v0\0ACTION=add\0DEVPATH=/devices/p/0000:3b:10.0/net/eth0v0\0"
			 "SUBSYSTEM=net\0INTERFACE=eth0v0\0IFINDEX=12"),
		  true, false, "0000:3b:10.0", "eth0v0" },
		{ UEVENT("add@/devices/p/0000:00:04.0/virtio3/net/eth1\0ACTION=add\0DEVPATH=/devices/p/0000:00:04.0/virtio3/net/"
			 "eth1\0SUBSYSTEM=net\0INTERFACE=eth1"),
		  true, false, "0000:00:04.0", "eth1" },
		{ UEVENT("add@/virtio3/net/eth1\0ACTION=add\0DEVPATH=virtio3/net/eth1\0SUBSYSTEM=net\0INTERFACE=eth1"), true,
		  false, "", "eth1" },
		{ UEVENT("add@/devices/virtual/net/br0\0ACTION=add\0DEVPATH=/devices/virtual/net/"
			 "br0\0SUBSYSTEM=net\0INTERFACE=br0"),
		  true, false, "", "br0" },
		{ UEVENT("add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM=block"), false, false, NULL, NULL },
		{ UEVENT("add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM=pci"), false, false, NULL, NULL },
		{ UEVENT("add@/devices/x\0DEVPATH=/devices/x\0SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:3b:10.0"), false, false, NULL,
		  NULL },
		{ UEVENT("add@/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:3b:10.0.and.much.more"), false, false,
		  NULL, NULL },
		{ UEVENT("add@/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=net\0INTERFACE=averyveryverylongname"), false, false, NULL,
		  NULL },
		{ UEVENT("offline@/devices/system/cpu/cpu3\0ACTION=offline\0DEVPATH=/devices/system/cpu/cpu3\0SUBSYSTEM=cpu"),
		  true, false, "", "" },
		{ UEVENT("libudev"), false, false, NULL, NULL },
		{ "add@/d\0ACTION=add", 17, false, false, NULL, NULL }, /* no NUL at the end */
		{ "", 0, false, false, NULL, NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sys_event ev = { 0 };

		cr_assert_eq(net_wire_get_uevent(cases[i].buf, cases[i].len, &ev), cases[i].want, "uevent %zu", i);
		if (!cases[i].want)
			continue;
		cr_expect_eq(ev.gone, cases[i].gone);
		cr_expect_str_eq(ev.bdf, cases[i].bdf);
		cr_expect_str_eq(ev.ifname, cases[i].ifname);
		cr_expect_eq(ev.kind, cases[i].ifname[0] ? SYS_EVENT_LINK : cases[i].bdf[0] ? SYS_EVENT_PCI : SYS_EVENT_CPU);
	}
}

Test(net_encode, link_events)
{
	struct nl_msg *msg = new_link();
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	struct ifinfomsg *ifi = nlmsg_data(nlh);
	struct sys_event ev = { 0 };

	cr_expect(net_wire_get_link_event(nlh, nlh->nlmsg_len, &ev));
	cr_expect(ev.kind == SYS_EVENT_LINK && ev.up && ev.carrier && !ev.gone && ev.ifindex == 4);
	cr_expect_str_eq(ev.ifname, "eth0");
	cr_expect_not(net_wire_get_link_event(nlh, nlh->nlmsg_len - 1, &ev));
	cr_expect_not(net_wire_get_link_event(nlh, 0, &ev));
	nlh->nlmsg_type = RTM_DELLINK;
	cr_expect(net_wire_get_link_event(nlh, nlh->nlmsg_len, &ev));
	cr_expect(ev.gone);
	ifi->ifi_family = AF_BRIDGE; /* left a bridge: still there */
	cr_expect(net_wire_get_link_event(nlh, nlh->nlmsg_len, &ev));
	cr_expect_not(ev.gone);
	nlmsg_free(msg);
}

Test(net_encode, the_real_loopback)
{
	struct sys *sys = sys_linux_new("");
	struct sys_vf vf, set = { .fields = SYS_VF_TRUST };
	struct sys_link link = { 0 };
	struct err err = { 0 };
	size_t nr = 7;
	int r;

	cr_assert_eq(sys->ops->link_get(sys, "lo", &link), 0);
	cr_expect_str_eq(link.name, "lo");
	cr_expect_eq(link.ifindex, 1);
	cr_expect_eq(link.nr_vfs, 0);
	cr_expect_eq(sys->ops->link_get(sys, "nosuchif0", &link), -ENODEV);
	cr_expect_eq(sys->ops->link_get(sys, "a-name-that-is-too-long", &link), -ENODEV);
	cr_expect_eq(sys->ops->vf_list(sys, "lo", &vf, 1, &nr), 0);
	cr_expect_eq(nr, 0);
	r = sys->ops->vf_set(sys, "lo", 0, &set, &err);
	cr_expect(r == -EOPNOTSUPP || r == -EPERM, "%d", r);
	cr_expect_str_eq(err.code, "sriov.vf-set-refused");
	cr_expect(strstr(err.msg, "lo/vf0: trust refused"), "%s", err.msg);
	sys_linux_free(sys);
}
