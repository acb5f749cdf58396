/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What standby legs ask of rtnetlink, to the byte, against messages put together by hand; and the frames that announce them. */
#include <arpa/inet.h>
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
#include "net_wire_leg.h"

/* Little endian, as all hosts with SR-IOV NICs we know. */
#define U16(v) (uint8_t)(v), (uint8_t)((v) >> 8)
#define U32(v) U16((v)&0xffff), U16((uint32_t)(v) >> 16)
#define ATTR(len, type) U16(len), U16(type)
#define MAC 0x52, 0x54, 0x00, 0x12, 0x34, 0x56
#define IFI(family, index, flags, change) family, 0, U16(0), U32(index), U32(flags), U32(change)
#define TCM(index, handle, parent, info) 0, 0, U16(0), U32(index), U32(handle), U32(parent), U32(info)
#define CREATE 0x400
#define EXCL 0x200
#define REPLACE 0x100

static const uint8_t mac[SYS_MAC_LEN] = { MAC };

/* Nests are marked by some versions of libnl and not by others, and the kernel takes both: bit 15 of a type is not compared. */
static void expect_bytes(struct nl_msg *msg, int type, int flags, const uint8_t *want, size_t len, const char *what)
{
	const struct nlmsghdr *nlh = nlmsg_hdr(msg);
	const uint8_t *got = nlmsg_data(nlh);

	cr_expect_eq(nlh->nlmsg_type, type, "%s: type %d", what, nlh->nlmsg_type);
	cr_expect_eq(nlh->nlmsg_flags, NLM_F_REQUEST | flags, "%s: flags %#x", what, nlh->nlmsg_flags);
	cr_expect_eq(nlh->nlmsg_len, NLMSG_HDRLEN + len, "%s: length %u, not %zu", what, nlh->nlmsg_len, NLMSG_HDRLEN + len);
	for (size_t i = 0; i < len && i < nlh->nlmsg_len - NLMSG_HDRLEN; i++) {
		uint8_t mask = i % 4 == 3 ? 0x7f : 0xff;

		cr_assert_eq(got[i] & mask, want[i] & mask, "%s: byte %zu is %#x, not %#x", what, i, got[i], want[i]);
	}
	nlmsg_free(msg);
}

#define EXPECT(put, type, flags, ...)                                                                                            \
	do {                                                                                                                     \
		static const uint8_t want_[] = { __VA_ARGS__ };                                                                  \
		struct nl_msg *msg = nlmsg_alloc();                                                                              \
		cr_assert_eq(put, 0);                                                                                            \
		expect_bytes(msg, type, flags, want_, sizeof(want_), #put);                                                      \
	} while (0)

Test(net_leg, a_macvtap)
{
	EXPECT(net_wire_put_macvtap(msg, 4, "gwt7", mac), RTM_NEWLINK, CREATE | EXCL, IFI(0, 0, 0x200, 0x200), ATTR(8, 5), U32(4),
	       ATTR(9, 3), 'g', 'w', 't', '7', 0, 0, 0, 0, ATTR(10, 1), MAC, 0, 0, /* linkinfo */ ATTR(28, 18), ATTR(12, 1), 'm',
	       'a', 'c', 'v', 't', 'a', 'p', 0, /* data: mode bridge */ ATTR(12, 2), ATTR(8, 1), U32(4));
}

Test(net_leg, a_vlan_link)
{
	const struct sys_vlan plain = { .id = 100, .proto = 0x8100 }, qos = { .id = 4094, .proto = 0x88a8, .qos = 5 };
	struct nl_msg *got = nlmsg_alloc();
	struct sys_link link = { 0 };

	EXPECT(net_wire_put_vlan_link(msg, 4, "gwv7", &plain), RTM_NEWLINK, CREATE | EXCL, IFI(0, 0, 0, 0), ATTR(8, 5), U32(4),
	       ATTR(9, 3), 'g', 'w', 'v', '7', 0, 0, 0, 0, ATTR(36, 18), ATTR(9, 1), 'v', 'l', 'a', 'n', 0, 0, 0, 0, ATTR(20, 2),
	       ATTR(6, 1), U16(100), 0, 0, /* big endian */ ATTR(6, 5), 0x81, 0, 0, 0);
	/* with QoS: each priority of the host is mapped; what is written is read as it was meant */
	cr_assert_eq(net_wire_put_vlan_link(got, 4, "gwv7", &qos), 0);
	cr_expect_eq(nlmsg_hdr(got)->nlmsg_len, NLMSG_HDRLEN + 16 + 8 + 12 + 36 + 4 + 16 * 12);
	cr_assert_eq(net_wire_get_link(nlmsg_hdr(got), &link), 0);
	cr_expect_str_eq(link.kind, "vlan");
	cr_expect(link.lower == 4 && link.vlan == 4094 && link.vlan_proto == 0x88a8 && link.vlan_qos == 5);
	nla_put_u32(got, IFLA_LINK_NETNSID, 0); /* the lower one is another namespace's */
	cr_assert_eq(net_wire_get_link(nlmsg_hdr(got), &link), 0);
	cr_expect_eq(link.lower, 0);
	nlmsg_free(got);
}

Test(net_leg, damaged_links_are_refused_or_read_short)
{
	const struct sys_vlan vlan = { .id = 4094, .proto = 0x88a8, .qos = 5 };
	struct nl_msg *msg = nlmsg_alloc();
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	struct sys_fdb entry = { .where = SYS_FDB_SELF };
	struct sys_link link;
	bool member;

	cr_assert_eq(net_wire_put_vlan_link(msg, 4, "gwv7", &vlan), 0);
	nla_put(msg, IFLA_AF_SPEC, 8, "\10\0\2\0\6\0\144\0"); /* a port's VLAN 100, as the bridge's dump has it */
	for (uint32_t cut = NLMSG_LENGTH(0); cut < nlh->nlmsg_len; cut++) {
		struct nlmsghdr *part = malloc(cut); /* nothing behind it */

		memcpy(part, nlh, cut);
		part->nlmsg_len = cut;
		(void)net_wire_get_link(part, &link);
		(void)net_wire_get_bridge_vlan(part, 0, 100, &member);
		(void)net_wire_get_fdb(part, 0, &entry, &member);
		free(part);
	}
	for (uint32_t at = sizeof(*nlh); at < nlh->nlmsg_len; at++) {
		uint8_t *byte = (uint8_t *)nlh + at, old = *byte;

		*byte = 0xff;
		(void)net_wire_get_link(nlh, &link);
		(void)net_wire_get_bridge_vlan(nlh, 0, 100, &member);
		*byte = old;
	}
	nlmsg_free(msg);
}

/* Entries as the kernel dumps them (rtnl_fdb_dump, br_fdb_dump): which of them is the one that somebody has put there? */
Test(net_leg, entries)
{
	static const struct {
		const char *what;
		uint8_t family;
		int ifindex;
		uint16_t state;
		uint8_t flags;
		uint16_t vlan;
		int mac_len;
		int r;
		bool is_port, is_self, is_tagged;
	} rows[] = {
		{ "a static one of the bridge", PF_BRIDGE, 4, NUD_NOARP, 0, 0, 6, 0, true, false, false },
		{ "a sticky one", PF_BRIDGE, 4, NUD_NOARP, NTF_STICKY, 0, 6, 0, true, false, false },
		{ "in a VLAN", PF_BRIDGE, 4, NUD_NOARP, 0, 9, 6, 0, false, false, true },
		{ "learnt", PF_BRIDGE, 4, NUD_REACHABLE, 0, 0, 6, 0, false, false, false },
		{ "the port's own", PF_BRIDGE, 4, NUD_PERMANENT, 0, 0, 6, 0, false, false, false },
		{ "of the filter", PF_BRIDGE, 4, NUD_PERMANENT, NTF_SELF, 0, 6, 0, false, true, false },
		{ "of another port", PF_BRIDGE, 5, NUD_NOARP, 0, 0, 6, 0, false, false, false },
		{ "no bridge's", AF_INET, 4, NUD_NOARP, 0, 0, 6, 0, false, false, false },
		{ "without a MAC", PF_BRIDGE, 4, NUD_NOARP, 0, 0, 0, 0, false, false, false },
		{ "half a MAC", PF_BRIDGE, 4, NUD_NOARP, 0, 0, 3, -EBADMSG, false, false, false },
	};
	const struct sys_fdb port = { .where = SYS_FDB_BRIDGE, .mac = { 0x52, 0x54, 0, 0, 0, 1 } };
	const struct sys_fdb self = { .where = SYS_FDB_SELF, .mac = { 0x52, 0x54, 0, 0, 0, 1 } };
	const struct sys_fdb tagged = { .where = SYS_FDB_BRIDGE, .mac = { 0x52, 0x54, 0, 0, 0, 1 }, .vlan = 9 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ndmsg ndm = { .ndm_family = rows[i].family,
				     .ndm_ifindex = rows[i].ifindex,
				     .ndm_state = rows[i].state,
				     .ndm_flags = rows[i].flags };
		bool is_port = false, is_self = false, is_tagged = false;
		struct nl_msg *msg = nlmsg_alloc();
		const struct nlmsghdr *nlh;

		nlmsg_put(msg, 0, 0, RTM_NEWNEIGH, 0, 0);
		nlmsg_append(msg, &ndm, sizeof(ndm), NLMSG_ALIGNTO);
		if (rows[i].mac_len)
			nla_put(msg, NDA_LLADDR, rows[i].mac_len, port.mac);
		if (rows[i].vlan)
			nla_put_u16(msg, NDA_VLAN, rows[i].vlan);
		nlh = nlmsg_hdr(msg);
		cr_assert_eq(net_wire_get_fdb(nlh, 4, &port, &is_port), rows[i].r, "%s", rows[i].what);
		(void)net_wire_get_fdb(nlh, 4, &self, &is_self);
		(void)net_wire_get_fdb(nlh, 4, &tagged, &is_tagged);
		cr_assert_eq(is_port, rows[i].is_port, "%s", rows[i].what);
		cr_assert_eq(is_self, rows[i].is_self, "%s", rows[i].what);
		cr_assert_eq(is_tagged, rows[i].is_tagged, "%s", rows[i].what);
		nlmsg_free(msg);
	}
}

Test(net_leg, settings_of_a_link)
{
	const struct sys_link_want want = { .up = true, .mac = { MAC }, .mtu = 9000, .master = 17 }, off = { .master = 0 };
	struct nl_msg *bad = nlmsg_alloc();

	EXPECT(net_wire_put_setlink(msg, 4, &want, SYS_LINK_UP), RTM_SETLINK, 0, IFI(0, 4, 1, 1));
	EXPECT(net_wire_put_setlink(msg, 4, &off, SYS_LINK_UP), RTM_SETLINK, 0, IFI(0, 4, 0, 1));
	EXPECT(net_wire_put_setlink(msg, 4, &want, SYS_LINK_MAC), RTM_SETLINK, 0, IFI(0, 4, 0, 0), ATTR(10, 1), MAC, 0, 0);
	EXPECT(net_wire_put_setlink(msg, 4, &want, SYS_LINK_MTU), RTM_SETLINK, 0, IFI(0, 4, 0, 0), ATTR(8, 4), U32(9000));
	EXPECT(net_wire_put_setlink(msg, 4, &want, SYS_LINK_MASTER), RTM_SETLINK, 0, IFI(0, 4, 0, 0), ATTR(8, 10), U32(17));
	EXPECT(net_wire_put_setlink(msg, 4, &off, SYS_LINK_MASTER), RTM_SETLINK, 0, IFI(0, 4, 0, 0), ATTR(8, 10), U32(0));
	EXPECT(net_wire_put_setlink(msg, 4, &want, SYS_LINK_NO_HOST_IP6), RTM_SETLINK, 0, IFI(0, 4, 0, 0), ATTR(16, 26),
	       ATTR(12, 10), ATTR(5, 8), 1, 0, 0, 0);
	EXPECT(net_wire_put_dellink(msg, 4), RTM_DELLINK, 0, IFI(0, 4, 0, 0));
	cr_expect_eq(net_wire_put_setlink(bad, 4, &want, (enum sys_link_field)(1 << 9)), -EINVAL);
	nlmsg_free(bad);
}

Test(net_leg, forwarding_entries)
{
	const struct sys_fdb self = { .where = SYS_FDB_SELF, .mac = { MAC }, .vlan = 9 };
	const struct sys_fdb port = { .where = SYS_FDB_BRIDGE, .mac = { MAC } };
	const struct sys_fdb tagged = { .where = SYS_FDB_BRIDGE, .mac = { MAC }, .vlan = 100 };

	/* struct ndmsg: family, pads, ifindex, state, flags, type */
	EXPECT(net_wire_put_fdb(msg, 4, &self, true), RTM_NEWNEIGH, CREATE | REPLACE, 7, 0, 0, 0, U32(4), U16(0x80), 2, 0,
	       ATTR(10, 2), MAC, 0, 0);
	EXPECT(net_wire_put_fdb(msg, 4, &self, false), RTM_DELNEIGH, 0, 7, 0, 0, 0, U32(4), U16(0x80), 2, 0, ATTR(10, 2), MAC, 0,
	       0);
	EXPECT(net_wire_put_fdb(msg, 4, &port, true), RTM_NEWNEIGH, CREATE | REPLACE, 7, 0, 0, 0, U32(4), U16(0x42), 0x44, 0,
	       ATTR(10, 2), MAC, 0, 0);
	EXPECT(net_wire_put_fdb(msg, 4, &tagged, true), RTM_NEWNEIGH, CREATE | REPLACE, 7, 0, 0, 0, U32(4), U16(0x42), 0x44, 0,
	       ATTR(10, 2), MAC, 0, 0, ATTR(6, 5), U16(100), 0, 0);
	EXPECT(net_wire_put_fdb(msg, 4, &port, false), RTM_DELNEIGH, 0, 7, 0, 0, 0, U32(4), U16(0x42), 4, 0, ATTR(10, 2), MAC, 0,
	       0);
}

Test(net_leg, ports_of_a_bridge)
{
	const struct nlmsghdr *nlh;
	bool member = false;
	struct nl_msg *got;

	EXPECT(net_wire_put_bridge_port(msg, 4, &(struct sys_port){ .learns = true, .floods = true }), RTM_SETLINK, 0,
	       IFI(7, 4, 0, 0), ATTR(36, 12), ATTR(5, 8), 1, 0, 0, 0, ATTR(5, 9), 1, 0, 0, 0, ATTR(5, 27), 0, 0, 0, 0,
	       ATTR(5, 30), 0, 0, 0, 0);
	EXPECT(net_wire_put_bridge_port(msg, 4, &(struct sys_port){ .hears = true }), RTM_SETLINK, 0, IFI(7, 4, 0, 0),
	       ATTR(36, 12), ATTR(5, 8), 0, 0, 0, 0, ATTR(5, 9), 0, 0, 0, 0, ATTR(5, 27), 1, 0, 0, 0, ATTR(5, 30), 1, 0, 0, 0);
	EXPECT(net_wire_put_bridge_vlan(msg, 4, 100, true), RTM_SETLINK, 0, IFI(7, 4, 0, 0), ATTR(12, 26), ATTR(8, 2), U16(6),
	       U16(100));
	EXPECT(net_wire_put_bridge_vlan(msg, 4, 1, false), RTM_DELLINK, 0, IFI(7, 4, 0, 0), ATTR(12, 26), ATTR(8, 2), U16(0),
	       U16(1));
	EXPECT(net_wire_put_get_bridge_vlans(msg), RTM_GETLINK, NLM_F_DUMP, IFI(7, 0, 0, 0), ATTR(8, 29), U32(2));

	/* an answer looks as the request that sets it */
	got = nlmsg_alloc();
	cr_assert_eq(net_wire_put_bridge_vlan(got, 4, 100, true), 0);
	nlh = nlmsg_hdr(got);
	cr_expect_eq(net_wire_get_bridge_vlan(nlh, 4, 100, &member), -EBADMSG, "no RTM_NEWLINK");
	nlmsg_hdr(got)->nlmsg_type = RTM_NEWLINK;
	cr_expect_eq(net_wire_get_bridge_vlan(nlh, 5, 100, &member), 0);
	cr_expect_eq(net_wire_get_bridge_vlan(nlh, 4, 101, &member), 0);
	cr_expect_not(member);
	cr_expect_eq(net_wire_get_bridge_vlan(nlh, 4, 100, &member), 0);
	cr_expect(member);
	nlmsg_free(got);
}

#define RATE(bytes) 8, 1, U16(0), U16(0), U16(0), U32(bytes)
#define NO_RATE 0, 0, U16(0), U16(0), U16(0), U32(0)

/* struct tc_tbf_qopt: rate, peak rate, limit, buffer, mtu. 100 Mbit/s: 12,500,000 bytes/s, bucket 4 ms, queue 25 ms more. */
Test(net_leg, a_rate_that_queues)
{
	EXPECT(net_wire_put_tbf(msg, 4, 100), RTM_NEWQDISC, CREATE | REPLACE, TCM(4, 0x10000, 0xffffffff, 0), ATTR(8, 1), 't',
	       'b', 'f', 0, ATTR(52, 2), ATTR(40, 1), RATE(12500000), NO_RATE, U32(50000 + 312500), U32(0), U32(0), ATTR(8, 6),
	       U32(50000));
	/* slow: a bucket holds a frame, a queue 64 KiB */
	EXPECT(net_wire_put_tbf(msg, 4, 1), RTM_NEWQDISC, CREATE | REPLACE, TCM(4, 0x10000, 0xffffffff, 0), ATTR(8, 1), 't', 'b',
	       'f', 0, ATTR(52, 2), ATTR(40, 1), RATE(125000), NO_RATE, U32(32768 + 65536), U32(0), U32(0), ATTR(8, 6),
	       U32(32768));
	/* 100 Gbit/s does not fit in 32 bits of bytes */
	EXPECT(net_wire_put_tbf(msg, 4, 100000), RTM_NEWQDISC, CREATE | REPLACE, TCM(4, 0x10000, 0xffffffff, 0), ATTR(8, 1), 't',
	       'b', 'f', 0, ATTR(64, 2), ATTR(40, 1), RATE(0xffffffff), NO_RATE, U32(50000000 + 312500000), U32(0), U32(0),
	       ATTR(8, 6), U32(50000000), ATTR(12, 4), U32(0xe90edd00), U32(2));
	EXPECT(net_wire_put_tbf(msg, 4, 0), RTM_DELQDISC, 0, TCM(4, 0, 0xffffffff, 0));
}

Test(net_leg, a_rate_that_drops)
{
	/* what stands in front of the 1,024 bytes that the kernel asks for and does not read */
	static const uint8_t head[] = {
		TCM(4, 1, 0xfffffff2, 0x00020300),
		ATTR(8, 1),
		'b',
		'p',
		'f',
		0,
		ATTR(1136, 2), /* return all ones: every frame */
		ATTR(6, 4),
		U16(1),
		0,
		0,
		ATTR(12, 5),
		U16(6),
		0,
		0,
		U32(0xffffffff),
		ATTR(1112, 1),
		ATTR(1108, 1),
		ATTR(11, 1),
		'p',
		'o',
		'l',
		'i',
		'c',
		'e',
		0,
		0,
		ATTR(1092, 2),
		/* struct tc_police */ ATTR(60, 1),
		U32(0),
		U32(2),
		U32(0),
		/* 250,000 bytes take 20 ms, a tick has 64 ns */ U32(312500),
		U32(0xffffffff),
		RATE(12500000),
		NO_RATE,
		U32(0),
		U32(0),
		U32(0),
		ATTR(1028, 2),
	};
	struct nl_msg *got = nlmsg_alloc();
	const uint8_t *bytes = nlmsg_data(nlmsg_hdr(got));

	EXPECT(net_wire_put_clsact(msg, 4), RTM_NEWQDISC, CREATE, TCM(4, 0xffff0000, 0xfffffff1, 0), ATTR(11, 1), 'c', 'l', 's',
	       'a', 'c', 't', 0, 0);
	cr_assert_eq(net_wire_put_police(got, 4, SYS_INGRESS, 100), 0);
	cr_expect_eq(nlmsg_hdr(got)->nlmsg_type, RTM_NEWTFILTER);
	cr_expect_eq(nlmsg_hdr(got)->nlmsg_flags, NLM_F_REQUEST | CREATE);
	cr_expect_eq(nlmsg_hdr(got)->nlmsg_len, NLMSG_HDRLEN + sizeof(head) + 1024, "%u", nlmsg_hdr(got)->nlmsg_len);
	for (size_t i = 0; i < sizeof(head); i++)
		cr_assert_eq(bytes[i] & (i % 4 == 3 ? 0x7f : 0xff), head[i] & (i % 4 == 3 ? 0x7f : 0xff),
			     "byte %zu: %#x, not %#x", i, bytes[i], head[i]);
	nlmsg_free(got);
	EXPECT(net_wire_put_police(msg, 4, SYS_INGRESS, 0), RTM_DELTFILTER, 0, TCM(4, 0, 0xfffffff2, 0x00020300));
	/* the fastest there is, and the slowest, do not overflow */
	for (int i = 0; i < 2; i++) {
		got = nlmsg_alloc();
		cr_expect_eq(net_wire_put_police(got, 4, SYS_EGRESS, i ? 1 : UINT32_MAX - 1), 0);
		nlmsg_free(got);
	}
}

Test(net_leg, a_check_of_sources)
{
#define OP(code, jt, jf, k) U16(code), jt, jf, U32(k)
	/* ldw [8]; jeq last four; ldh [6]; jeq first two; go on; drop */
	EXPECT(net_wire_put_source_filter(msg, 4, SYS_EGRESS, mac), RTM_NEWTFILTER, CREATE, TCM(4, 1, 0xfffffff3, 0x00010300),
	       ATTR(8, 1), 'b', 'p', 'f', 0, ATTR(72, 2), ATTR(6, 4), U16(6), 0, 0, ATTR(52, 5), OP(0x20, 0, 0, 8),
	       OP(0x15, 0, 3, 0x00123456), OP(0x28, 0, 0, 6), OP(0x15, 0, 1, 0x5254), OP(6, 0, 0, 0xffffffff), OP(6, 0, 0, 2),
	       ATTR(8, 8), U32(1));
	EXPECT(net_wire_put_source_filter(msg, 4, SYS_INGRESS, NULL), RTM_DELTFILTER, 0, TCM(4, 0, 0xfffffff2, 0x00010300));
}

Test(net_leg, a_detour)
{
	EXPECT(net_wire_put_ifb(msg, "gwl7", mac), RTM_NEWLINK, CREATE | EXCL, IFI(0, 0, 0, 0), ATTR(9, 3), 'g', 'w', 'l', '7', 0,
	       0, 0, 0, ATTR(10, 1), MAC, 0, 0, /* linkinfo */ ATTR(12, 18), ATTR(8, 1), 'i', 'f', 'b', 0);
	/* 150 ms in ticks of 64 ns; limit; loss, gap, duplicate and jitter are none */
	EXPECT(net_wire_put_delay(msg, 4, 150, 4096), RTM_NEWQDISC, CREATE | REPLACE, TCM(4, 0x10000, 0xffffffff, 0), ATTR(10, 1),
	       'n', 'e', 't', 'e', 'm', 0, 0, 0, ATTR(28, 2), U32(2343750), U32(4096), U32(0), U32(0), U32(0), U32(0));
	/* every frame is stolen, and leaves by interface 9 */
	EXPECT(net_wire_put_detour(msg, 4, SYS_EGRESS, 9), RTM_NEWTFILTER, CREATE, TCM(4, 1, 0xfffffff3, 0x00030300), ATTR(8, 1),
	       'b', 'p', 'f', 0, ATTR(80, 2), ATTR(6, 4), U16(1), 0, 0, ATTR(12, 5), U16(6), 0, 0, U32(0xffffffff), ATTR(56, 1),
	       ATTR(52, 1), ATTR(11, 1), 'm', 'i', 'r', 'r', 'e', 'd', 0, 0, ATTR(36, 2), ATTR(32, 2), U32(0), U32(0), U32(4),
	       U32(0), U32(0), U32(1), U32(9));
	EXPECT(net_wire_put_detour(msg, 4, SYS_INGRESS, 0), RTM_DELTFILTER, 0, TCM(4, 0, 0xfffffff2, 0x00030300));
}

Test(net_leg, frames_of_an_announcement)
{
	static const uint8_t rarp[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, MAC, 0x80, 0x35, 0, 1,  8,
					  0,	6,    4,    0,	  3,	MAC,  0,   0,	 0,    0, MAC };
	static const uint8_t arp[64] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, MAC, 0x81, 0x00, 0x60, 100, 8, 6, 0, 1,  8, 0, 6,
					 4,    0,    1,	   MAC,	 10,   1,    2,	  3,	0,    0,    0,	 0, 0, 0, 10, 1, 2, 3 };
	/* checksum by hand: addresses fd00::1 and ff02::1, length 32, next header 58, the message */
	static const uint8_t na[86] = { 0x33,
					0x33,
					0,
					0,
					0,
					1,
					MAC,
					0x86,
					0xdd,
					0x60,
					0,
					0,
					0,
					0,
					32,
					58,
					255,
					/* from */ 0xfd,
					[37] = 1,
					/* to */[38] = 0xff,
					2,
					[53] = 1,
					/* message */[54] = 136,
					0,
					0xd5,
					0xdf,
					0x20,
					[62] = 0xfd,
					[77] = 1,
					/* option */ 2,
					1,
					MAC };
	struct in_addr ip4 = { .s_addr = htonl(0x0a010203) };
	struct in6_addr ip6 = { .s6_addr = { 0xfd, [15] = 1 } };
	struct sys_announce what = { .mac = { MAC }, .nr_ip4 = 1, .ip4 = &ip4, .nr_ip6 = 1, .ip6 = &ip6 };
	uint8_t frame[NET_FRAME_MAX];

	cr_assert_eq(net_frame_rarp(&what, frame), 60);
	cr_expect_arr_eq(frame, rarp, sizeof(rarp));
	cr_assert_eq(net_frame_na(&what, 0, frame), 86);
	for (size_t i = 0; i < sizeof(na); i++)
		cr_expect_eq(frame[i], na[i], "byte %zu: %#x, not %#x", i, frame[i], na[i]);
	what.vlan = 100;
	what.qos = 3;
	cr_assert_eq(net_frame_arp(&what, 0, frame), 64);
	for (size_t i = 0; i < sizeof(arp); i++)
		cr_expect_eq(frame[i], arp[i], "byte %zu: %#x, not %#x", i, frame[i], arp[i]);
	cr_assert_eq(net_frame_na(&what, 0, frame), 90);
}

Test(net_leg, refusals_say_what_to_do)
{
	static const struct {
		int num;
		const char *hint;
	} rows[] = { { -EPERM, "CAP_NET_ADMIN" }, { -EOPNOTSUPP, "module" }, { -ENOENT, "module" }, { -EEXIST, "ip -d link" },
		     { -EBUSY, "passthru" },	  { -ENODEV, "gone" },	     { -EIO, "dmesg" } };
	struct err err;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_expect_eq(net_wire_refused(&err, rows[i].num, "gwt7", "a rate", i ? "" : "Words of the kernel"), rows[i].num);
		cr_expect_str_eq(err.code, "net.refused");
		cr_expect(strstr(err.hint, rows[i].hint), "%s", err.hint);
		cr_expect_str_eq(err.msg, i ? err.msg : "gwt7: a rate refused: Words of the kernel");
	}
}
