/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The seam as gangway-device needs it: descriptors only. No path is ever opened, no netlink spoken, so nothing of that is linked. */
#ifndef GANGWAY_SYS_DEVICE_H
#define GANGWAY_SYS_DEVICE_H

struct sys *sys_device(void);

#endif
