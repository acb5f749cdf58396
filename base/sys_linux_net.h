/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rtnetlink half of the real kernel (libnl); used by sys_linux.c alone. Contracts: struct sys_ops in sys.h. */
#ifndef GANGWAY_SYS_LINUX_NET_H
#define GANGWAY_SYS_LINUX_NET_H

#include "sys.h"

int sys_linux_link_get(struct sys *sys, const char *ifname, struct sys_link *ret);
int sys_linux_vf_list(struct sys *sys, const char *ifname, struct sys_vf *ret, size_t max, size_t *ret_nr);
int sys_linux_vf_set(struct sys *sys, const char *ifname, unsigned vf, const struct sys_vf *want, struct err *err);
int sys_linux_watch_open(struct sys *sys, enum sys_watch which);
int sys_linux_watch_read(struct sys *sys, int fd, struct sys_event *ret);

#endif
