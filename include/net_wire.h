/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * net_wire: the bytes of rtnetlink and of kernel uevents, without sockets, so that tests can hold them against golden ones.
 * Sources: include/uapi/linux/if_link.h (IFLA_VF_*), netlink.h (NLMSGERR_ATTR_*), lib/kobject_uevent.c.
 */
#ifndef GANGWAY_NET_WIRE_H
#define GANGWAY_NET_WIRE_H

#include "sys.h"

struct err;
struct nl_msg;
struct nlmsghdr;

/* RTM_GETLINK for one interface by name; @ext_mask: RTEXT_FILTER_*. 0 or -ENOMEM. */
int net_wire_put_getlink(struct nl_msg *msg, const char *ifname, uint32_t ext_mask);
/* RTM_SETLINK that writes exactly the one @field of @want to VF @vf. 0, -ENOMEM or -EINVAL (no such field). */
int net_wire_put_vf(struct nl_msg *msg, const char *ifname, unsigned vf, const struct sys_vf *want, enum sys_vf_field field);

/* The link part of an RTM_NEWLINK (not nr_addrs and nr_routes). 0 or -EBADMSG. */
int net_wire_get_link(const struct nlmsghdr *nlh, struct sys_link *ret);
/*
 * The VFs of an RTM_NEWLINK: VF index i into @ret[i], as far as @max goes; *@ret_nr is one more than the highest index seen.
 * An index the driver did not report has no fields set. 0 or -EBADMSG.
 */
int net_wire_get_vfs(const struct nlmsghdr *nlh, struct sys_vf *ret, size_t max, size_t *ret_nr);
/* Is this RTM_NEWADDR / RTM_NEWROUTE one that sys_link.nr_addrs / .nr_routes of @ifindex count? */
bool net_wire_counts_addr(const struct nlmsghdr *nlh, unsigned ifindex);
bool net_wire_counts_route(const struct nlmsghdr *nlh, unsigned ifindex);

/* The driver's own words in an NLMSG_ERROR (extended ack), "" if there are none. */
void net_wire_get_extack(const struct nlmsghdr *nlh, char *buf, size_t size);

/* "mac", "vlan", ...: the word an operator knows @field by. */
const char *net_wire_field_name(enum sys_vf_field field);
/* Fill @err for a VF setting that was refused with @num; @words: the driver's, may be "". Returns @num. */
int net_wire_vf_refused(struct err *err, int num, const char *ifname, unsigned vf, enum sys_vf_field field, const char *words);

/* A link notification or a kernel uevent of @len bytes. True: it is one we speak of and @ret says what it was. */
bool net_wire_get_link_event(const void *buf, size_t len, struct sys_event *ret);
bool net_wire_get_uevent(const char *buf, size_t len, struct sys_event *ret);

#endif
