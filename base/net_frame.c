/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames that say where a MAC is now. RFC 903 (RARP), RFC 5227 (gratuitous ARP), RFC 4861 7.2.6 (unsolicited advertisement). */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <string.h>

#include "net_wire_leg.h"

#define VLAN_TAG 4
#define ARP_OP_RARP_REQUEST 3
#define NA_HOP_LIMIT 255 /* anything else is dropped as forged */

static uint8_t *put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static uint8_t *put_bytes(uint8_t *p, const void *bytes, size_t len)
{
	memcpy(p, bytes, len);
	return p + len;
}

/* Where the payload begins. */
static uint8_t *put_ethernet(const struct sys_announce *what, const char *to, unsigned type, uint8_t *p)
{
	memset(p, 0, NET_FRAME_MAX);
	p = put_bytes(p, to, ETH_ALEN);
	p = put_bytes(p, what->mac, ETH_ALEN);
	if (what->vlan) {
		p = put16(p, what->vlan_proto ? what->vlan_proto : ETH_P_8021Q);
		p = put16(p, (unsigned)what->qos << 13 | what->vlan);
	}
	return put16(p, type);
}

static size_t padded(const struct sys_announce *what, size_t len)
{
	size_t min = ETH_ZLEN + (what->vlan ? VLAN_TAG : 0);

	return len < min ? min : len;
}

static size_t put_arp(const struct sys_announce *what, unsigned type, unsigned op, const struct in_addr *ip, uint8_t *frame)
{
	uint8_t *p = put_ethernet(what, "\xff\xff\xff\xff\xff\xff", type, frame);

	p = put16(p, ARPHRD_ETHER);
	p = put16(p, ETH_P_IP);
	*p++ = ETH_ALEN;
	*p++ = sizeof(*ip);
	p = put16(p, op);
	p = put_bytes(p, what->mac, ETH_ALEN);
	p = put_bytes(p, ip, sizeof(*ip));
	p = op == ARP_OP_RARP_REQUEST ? put_bytes(p, what->mac, ETH_ALEN) : p + ETH_ALEN;
	p = put_bytes(p, ip, sizeof(*ip));
	return padded(what, (size_t)(p - frame));
}

size_t net_frame_rarp(const struct sys_announce *what, uint8_t ret[static NET_FRAME_MAX])
{
	static const struct in_addr none;

	return put_arp(what, ETH_P_RARP, ARP_OP_RARP_REQUEST, &none, ret);
}

size_t net_frame_arp(const struct sys_announce *what, size_t i, uint8_t ret[static NET_FRAME_MAX])
{
	return put_arp(what, ETH_P_ARP, ARPOP_REQUEST, &what->ip4[i], ret);
}

static uint32_t sum16(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

/* Addresses, then the message (its checksum zero), then what the pseudo header adds: length and protocol. */
static unsigned icmp6_sum(const uint8_t *addrs, const uint8_t *icmp, size_t len)
{
	uint32_t sum = sum16(addrs, 2 * sizeof(struct in6_addr)) + sum16(icmp, len) + (uint32_t)len + IPPROTO_ICMPV6;

	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

size_t net_frame_na(const struct sys_announce *what, size_t i, uint8_t ret[static NET_FRAME_MAX])
{
	const size_t len = sizeof(struct nd_neighbor_advert) + sizeof(struct nd_opt_hdr) + ETH_ALEN;
	uint8_t *ip = put_ethernet(what, "\x33\x33\0\0\0\1", ETH_P_IPV6, ret), *addrs = ip + 8,
		*icmp = ip + sizeof(struct ip6_hdr);

	ip[0] = 6 << 4;
	put16(ip + 4, (unsigned)len);
	ip[6] = IPPROTO_ICMPV6;
	ip[7] = NA_HOP_LIMIT;
	memcpy(addrs, &what->ip6[i], sizeof(struct in6_addr));
	memcpy(addrs + sizeof(struct in6_addr), "\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", sizeof(struct in6_addr));
	icmp[0] = ND_NEIGHBOR_ADVERT;
	icmp[4] = 0x20; /* override */
	memcpy(icmp + 8, &what->ip6[i], sizeof(struct in6_addr));
	icmp[24] = ND_OPT_TARGET_LINKADDR;
	icmp[25] = 1;
	memcpy(icmp + 26, what->mac, ETH_ALEN);
	put16(icmp + 2, icmp6_sum(addrs, icmp, len));
	return padded(what, (size_t)(icmp - ret) + len);
}
