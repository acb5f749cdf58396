/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * attach: a VF into a guest and out again. The sequence is one table (attach_table.c); attach runs it down, detach, failure and
 * recovery run its undo column up.
 */
#ifndef GANGWAY_ATTACH_H
#define GANGWAY_ATTACH_H

#include <stdbool.h>

#include "lease.h"

struct ctl_req;
struct daemon;

struct attach_params {
	const char *guest, *nic, *target; /* target: PF or VF; NULL: the one that the lease had */
	enum lease_via via;
	struct sys_vf want;
	struct emul_words standby;
	bool standby_auto; /* @standby, or none where that cannot be had */
	bool prepare, dry_run;
	bool must_come; /* only for a guest that waits for a migration */
	bool adaptive, unshare; /* as struct lease_memory has them */
	unsigned priority;
	const char *user; /* prepare: who will run the VMM; NULL: the owner */
	uid_t owner_uid;
	gid_t owner_gid;
	unsigned port; /* of a lease that is prepared again, 0: whichever is free */
	unsigned wait_ms; /* for the guest's driver; 0: the configured time */
};

/* Answers @req, at once or when it is over. */
void attach_start(struct daemon *d, struct ctl_req *req, const struct attach_params *params);
/* Prepare @l, which waits for that (again.h), or is just made of a record of another boot. */
void attach_again(struct lease *l);
/*
 * A VF for @l, which has none or what is left of one, and an emulated leg: as its record says it was to have. On a worker and in its VMM; ends in
 * switcher_acted(). -ENODEV: none is free. An error says that nothing was begun.
 */
int attach_get_vf(struct lease *l, struct err *err);
/* Is an attach or a detach of it under way? A VF that it is being given meanwhile is the switch's affair. */
bool attach_has(const struct lease *l);
/* A VF, or what kept one from being used, has become free somewhere. */
void attach_vf_free(struct daemon *d);
/* @nic NULL: the guest's only one. */
void detach_start(struct daemon *d, struct ctl_req *req, const char *guest, const char *nic, unsigned wait_ms);

/* A call has done with @l what @l->busy says. Where the lease had to end meanwhile, that begins now. */
void attach_unbusy(struct lease *l);

/* What guests report. */
void attach_guest_up(struct daemon *d, const char *guest);
/* Ask its VMM what it has of @l: switcher_found() hears of it. */
void attach_look_again(struct lease *l);
/* Its VMM is in another state now, or has ended: whoever waits to know whether it runs looks again. */
void attach_vmm_changed(struct daemon *d, const char *guest);
void attach_guest_gone(struct daemon *d, const char *guest);
void attach_device_deleted(struct daemon *d, const char *guest, const char *device_id);

/* Operations under way are dropped where they are: gangwayd stops. Nobody may answer them any more. */
void attach_abandon(struct daemon *d);

/* At start: leases of the state database are adopted, undone or dropped. The guests are known already. */
int attach_recover(struct daemon *d, struct err *err);
#endif
