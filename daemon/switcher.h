/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * switcher: carries out what a lease's switch (switch.h) asks for, and tells it what happens: the VMM's events, the guest's driver, time.
 * A lease with an emulated leg has one from the end of its attach, or of its adoption, until it begins to be detached.
 *
 * switcher.c: lifetime and time. switcher_event.c: what happens. switcher_drive.c: does the guest use its VF? switcher_act.c: the actions.
 * switcher_choose.c: the operator's choice. switcher_left.c: a guest that runs elsewhere. switcher_show.c: what is shown.
 */
#ifndef GANGWAY_SWITCHER_H
#define GANGWAY_SWITCHER_H

#include <jansson.h>
#include <stdbool.h>

#include "lease_fsm.h"

struct ctl_req;
struct daemon;
struct err;
struct guest;
struct lease;
struct switcher;

/*
 * @l, attached, goes by its switch from now on. @in: the VMM has the VF; @incoming: the guest is yet to come by migration.
 * Nothing to do where it has one already, or has no emulated leg.
 */
int switcher_start(struct lease *l, bool in, bool incoming, struct err *err);
/* The lease ends, its guest has ended, or gangwayd stops; no action is under way (l->busy). NULL is fine. */
void switcher_end(struct lease *l, const char *why);

/* Has the guest its VF, as far as is known? False: there is no switcher. */
bool switcher_has_vf(const struct lease *l);

/* Has it, and is not being asked for it. */
bool switcher_uses_vf(const struct lease *l);

/* Has it, and cannot be asked for it now: it is paused, or migrates. */
bool switcher_cannot_leave(const struct lease *l);

/* A QMP event of its guest; @data is not trusted. */
void switcher_guest_event(struct daemon *d, const char *guest, const char *event, const json_t *data);
/* The migration that begins is a snapshot, the guest stays; or it does not begin after all. */
void switcher_snapshot(struct daemon *d, const char *guest, bool on);
/* Its VF has left the VMM. False: the lease has no switcher. */
bool switcher_device_deleted(struct lease *l);
/* Its VMM was looked at: has it the VF? What the switch did not know, it hears. */
void switcher_found(struct lease *l, bool in);
/* vfio-user: the guest's driver has started the VF, has stopped, or neither. */
void switcher_driver_changed(struct lease *l);
/* What it has begun has ended: an action, or attach_get_vf(). @s may be gone after this. */
void switcher_acted(struct switcher *s, int r, const struct err *err);
/* A VF has become free, somewhere. */
void switcher_vf_free(struct daemon *d);
/* Nothing to do where the lease has no switcher. */
void switcher_cause(struct lease *l, enum lease_reason reason, bool active);

/* The operator's choice. @req is answered when the lease is there, or at the first failure on the way. */
void switcher_choose(struct daemon *d, struct ctl_req *req, const char *guest, const char *nic, enum lease_leg leg);

/* For the control protocol; null where the lease has none. */
json_t *switcher_to_json(const struct lease *l);

#endif
