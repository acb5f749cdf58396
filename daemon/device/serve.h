/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The loop of gangway-device. */
#ifndef GANGWAY_DEVICE_SERVE_H
#define GANGWAY_DEVICE_SERVE_H

struct devctl;
struct vfdev;
struct vuser;

/* Until a control client says stop. @vuser_listen: the listening vfio-user socket; stays open so that a rebooted VM can come again. */
int device_serve(struct devctl *ctl, struct vuser *vuser, struct vfdev *dev, int vuser_listen);

#endif
