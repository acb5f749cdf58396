/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net half of the real kernel (libnl, taps, packet sockets); used by sys_linux.c alone. Contracts: struct sys_ops in sys.h. */
#ifndef GANGWAY_SYS_LINUX_NET_H
#define GANGWAY_SYS_LINUX_NET_H

#include "sys.h"

int sys_linux_link_get(struct sys *sys, const char *ifname, struct sys_link *ret);
int sys_linux_vf_list(struct sys *sys, const char *ifname, struct sys_vf *ret, size_t max, size_t *ret_nr);
int sys_linux_vf_set(struct sys *sys, const char *ifname, unsigned vf, const struct sys_vf *want, struct err *err);
int sys_linux_watch_open(struct sys *sys, enum sys_watch which);
int sys_linux_watch_read(struct sys *sys, int fd, struct sys_event *ret);

int sys_linux_macvtap_add(struct sys *sys, const struct sys_link *lower, const char *name, const uint8_t mac[static SYS_MAC_LEN],
			  struct err *err);
int sys_linux_vlan_add(struct sys *sys, const struct sys_link *lower, const char *name, const struct sys_vlan *vlan,
		       struct err *err);
int sys_linux_tap_add(struct sys *sys, const char *name, struct err *err);
int sys_linux_tap_open(struct sys *sys, const struct sys_link *link, struct err *err);
int sys_linux_link_set(struct sys *sys, const struct sys_link *link, const struct sys_link_want *want, struct err *err);
int sys_linux_link_del(struct sys *sys, const struct sys_link *link, struct err *err);
int sys_linux_fdb_set(struct sys *sys, const struct sys_link *link, const struct sys_fdb *entry, bool there, struct err *err);
int sys_linux_fdb_get(struct sys *sys, const struct sys_link *link, const struct sys_fdb *entry, bool *ret, struct err *err);
int sys_linux_bridge_port_set(struct sys *sys, const struct sys_link *port, const struct sys_port *want, struct err *err);
int sys_linux_bridge_vlan_set(struct sys *sys, const struct sys_link *port, unsigned vid, bool member, struct err *err);
int sys_linux_bridge_vlan_get(struct sys *sys, const struct sys_link *port, unsigned vid, bool *ret_member, struct err *err);
int sys_linux_rate_set(struct sys *sys, const struct sys_link *link, enum sys_side side, uint32_t mbit, struct err *err);
int sys_linux_source_filter(struct sys *sys, const struct sys_link *link, enum sys_side side, const uint8_t *mac,
			    struct err *err);
int sys_linux_ifb_add(struct sys *sys, const char *name, const uint8_t mac[static SYS_MAC_LEN], struct err *err);
int sys_linux_delay_set(struct sys *sys, const struct sys_link *link, unsigned ms, unsigned frames, struct err *err);
int sys_linux_detour_set(struct sys *sys, const struct sys_link *link, enum sys_side side, const struct sys_link *by,
			 struct err *err);
int sys_linux_announce(struct sys *sys, const struct sys_link *link, const struct sys_announce *what, struct err *err);
int sys_linux_frames_open(struct sys *sys, unsigned ifindex, const uint8_t mac[static SYS_MAC_LEN]);

#endif
