/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys_net: what the seam's calls about interfaces of our own speak of: macvtap, VLAN and tap interfaces, bridge ports, traffic
 * control, announcements. The calls are in struct sys_ops (sys.h).
 */
#ifndef GANGWAY_SYS_NET_H
#define GANGWAY_SYS_NET_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYS_MAC_LEN 6
#define SYS_VLAN_MAX 4094
#define SYS_KIND_MAX 16
#define SYS_ANNOUNCE_ADDRS_MAX 16 /* of each family */

/* What rtnetlink tells of an interface (RTM_GETLINK, addresses and routes). */
struct sys_link {
	char name[IF_NAMESIZE];
	unsigned ifindex;
	uint8_t mac[SYS_MAC_LEN];
	uint8_t perm_mac[SYS_MAC_LEN]; /* IFLA_PERM_ADDRESS; zero where the driver has none */
	bool up; /* IFF_UP */
	bool carrier; /* IFF_LOWER_UP */
	unsigned mtu; /* bytes */
	unsigned nr_vfs; /* IFLA_NUM_VF; 0 where the kernel cannot fit its VFs in one answer */
	unsigned nr_addrs; /* IPv4 addresses, and IPv6 ones of other than link scope */
	unsigned nr_routes; /* routes of the main table that leave through it */
	unsigned master; /* ifindex of its bridge or bond, 0: none */
	char kind[SYS_KIND_MAX]; /* "macvtap", "vlan", "bridge", "tun", ...; "" a device of hardware */
	unsigned lower; /* ifindex of what it is stacked on (macvtap, vlan); 0: nothing, or in another network namespace */
	uint16_t vlan; /* kind "vlan": id */
	uint16_t vlan_proto; /* kind "vlan": 0x8100 or 0x88a8, host order */
	uint8_t vlan_qos; /* kind "vlan": PCP of frames of priority 0 */
};

/* A VLAN link. All frames that leave through it have PCP @qos, whatever their priority was. */
struct sys_vlan {
	uint16_t id; /* 1 to SYS_VLAN_MAX */
	uint16_t proto; /* 0x8100 or 0x88a8, host order */
	uint8_t qos; /* 0 to 7 */
};

/* Written from the last to the first: what is set while it is down never shows on the wire. */
enum sys_link_field {
	SYS_LINK_UP = 1 << 0,
	SYS_LINK_MASTER = 1 << 1,
	SYS_LINK_MAC = 1 << 2,
	SYS_LINK_MTU = 1 << 3, /* before it joins a bridge: that takes the smallest of its ports' */
	SYS_LINK_NO_HOST_IP6 = 1 << 4, /* the host gives itself no link-local address there (addrgenmode none) */
};

/* What is to be changed of an interface. */
struct sys_link_want {
	unsigned fields; /* enum sys_link_field, or-ed */
	bool up;
	uint8_t mac[SYS_MAC_LEN];
	unsigned mtu; /* bytes */
	unsigned master; /* ifindex of the bridge, 0: none */
};

/* Where a frame to a MAC goes: the filter of a NIC itself (`bridge fdb ... self`), or the port of a bridge (`... master static`). */
enum sys_fdb_where {
	SYS_FDB_SELF, /* the device takes frames to @mac off the wire and from its VFs (its unicast filter) */
	SYS_FDB_BRIDGE, /* the bridge sends frames to @mac out of this port; sticky: no frame from elsewhere moves it */
};

/* A bridge's port. */
struct sys_port {
	bool learns; /* source addresses */
	bool floods; /* is sent unicast that no one is known to have */
	bool hears; /* is sent broadcast and multicast */
};

struct sys_fdb {
	enum sys_fdb_where where;
	uint8_t mac[SYS_MAC_LEN];
	uint16_t vlan; /* of a bridge that filters VLANs; 0: it does not */
};

/* How the guest's frames pass the host's interface: a macvtap sends them, a tap receives them. */
enum sys_side { SYS_EGRESS, SYS_INGRESS };

/*
 * Frames that tell the network where a MAC is now: a RARP as QEMU's announce-self sends it, a gratuitous ARP for each IPv4 address,
 * an unsolicited neighbour advertisement (RFC 4861, override set) for each IPv6 one.
 */
struct sys_announce {
	uint8_t mac[SYS_MAC_LEN];
	uint16_t vlan; /* tag of the frames, 0: none */
	uint16_t vlan_proto;
	uint8_t qos;
	size_t nr_ip4, nr_ip6; /* at most SYS_ANNOUNCE_ADDRS_MAX */
	const struct in_addr *ip4;
	const struct in6_addr *ip6;
};

#endif
