/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * net_wire_leg: the bytes of what standby legs ask of rtnetlink, and of the frames that announce them; without sockets, so that tests can
 * hold them against golden ones. Written attribute by attribute with libnl: libnl-route 3.7 takes a tbf's rate as an int of bytes/s (17 Gbit/s
 * at most) and has neither police nor bpf of classic programs.
 * Sources: include/uapi/linux/{if_link,if_bridge,neighbour,pkt_sched,pkt_cls}.h, include/uapi/linux/tc_act/tc_mirred.h.
 *
 * net_wire_put_*: write one request to an empty @msg, 0 or -ENOMEM. Ranges are the callers' to check.
 */
#ifndef GANGWAY_NET_WIRE_LEG_H
#define GANGWAY_NET_WIRE_LEG_H

#include <stdint.h>
#include <sys/types.h>

#include "sys_net.h"

struct err;
struct nl_msg;
struct nlmsghdr;

/* RTM_NEWLINK of a macvtap in bridge mode that hears all multicast, and of a VLAN link. @lower: ifindex. */
int net_wire_put_macvtap(struct nl_msg *msg, unsigned lower, const char *name, const uint8_t mac[static SYS_MAC_LEN]);
int net_wire_put_vlan_link(struct nl_msg *msg, unsigned lower, const char *name, const struct sys_vlan *vlan);
int net_wire_put_ifb(struct nl_msg *msg, const char *name, const uint8_t mac[static SYS_MAC_LEN]);
/* RTM_SETLINK that writes exactly the one @field of @want. */
int net_wire_put_setlink(struct nl_msg *msg, unsigned ifindex, const struct sys_link_want *want, enum sys_link_field field);
int net_wire_put_dellink(struct nl_msg *msg, unsigned ifindex);

/* RTM_NEWNEIGH (moving an entry of another port) or RTM_DELNEIGH. */
int net_wire_put_fdb(struct nl_msg *msg, unsigned ifindex, const struct sys_fdb *entry, bool there);
/* The dump request for all entries, and one answer: sets *@ret if it is @entry of @ifindex, and not learnt. 0 or -EBADMSG. */
int net_wire_put_get_fdb(struct nl_msg *msg);
int net_wire_get_fdb(const struct nlmsghdr *nlh, unsigned ifindex, const struct sys_fdb *entry, bool *ret);
/* RTM_SETLINK of the bridge family: learning and flooding of a port. */
int net_wire_put_bridge_port(struct nl_msg *msg, unsigned ifindex, const struct sys_port *want);
/* RTM_SETLINK or RTM_DELLINK of the bridge family: VLAN @vid of a port, pvid and untagged. */
int net_wire_put_bridge_vlan(struct nl_msg *msg, unsigned ifindex, unsigned vid, bool member);
/* The dump request for all ports' VLANs, and one answer: sets *@ret if it says that port @ifindex is a member of @vid. 0 or -EBADMSG. */
int net_wire_put_get_bridge_vlans(struct nl_msg *msg);
int net_wire_get_bridge_vlan(const struct nlmsghdr *nlh, unsigned ifindex, unsigned vid, bool *ret);

/* Root qdisc tbf of @mbit Mbit/s; 0: its removal. */
int net_wire_put_tbf(struct nl_msg *msg, unsigned ifindex, uint32_t mbit);
/* The qdisc that filters hang on. Once there it is left so. */
int net_wire_put_clsact(struct nl_msg *msg, unsigned ifindex);
/* The filter that drops what is above @mbit Mbit/s; 0: its removal. */
int net_wire_put_police(struct nl_msg *msg, unsigned ifindex, enum sys_side side, uint32_t mbit);
/* The filter that drops frames of another source than @mac; NULL: its removal. */
int net_wire_put_source_filter(struct nl_msg *msg, unsigned ifindex, enum sys_side side, const uint8_t *mac);

/* Root qdisc netem: @ms milliseconds (up to 60,000), at most @frames. */
int net_wire_put_delay(struct nl_msg *msg, unsigned ifindex, unsigned ms, unsigned frames);
/* The filter that sends all frames to @to, ifindex of an ifb; 0: its removal. */
int net_wire_put_detour(struct nl_msg *msg, unsigned ifindex, enum sys_side side, unsigned to);

/* Frames of an announcement, without checksum of the wire, padded to the shortest Ethernet has. Their length in bytes. @i: which address. */
#define NET_FRAME_MAX 96
size_t net_frame_rarp(const struct sys_announce *what, uint8_t ret[static NET_FRAME_MAX]);
size_t net_frame_arp(const struct sys_announce *what, size_t i, uint8_t ret[static NET_FRAME_MAX]);
size_t net_frame_na(const struct sys_announce *what, size_t i, uint8_t ret[static NET_FRAME_MAX]);

/* "mac", "mtu", ...: what @field is called in messages. */
const char *net_wire_link_field_name(enum sys_link_field field);
/* Fill @err ("net.refused") for @what ("macvtap on eth0", "bridge entry") of @ifname, refused with @num; @words: the kernel's, may be "".
 * Returns @num. */
int net_wire_refused(struct err *err, int num, const char *ifname, const char *what, const char *words);

#endif
