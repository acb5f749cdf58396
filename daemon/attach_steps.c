/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The attach table, and its steps on the host. Steps marked worker run on a thread: they read the lease's fixed fields and write
 * to the op alone; .after brings what they found into the lease.
 *
 * The policy is written after the VF has left its host driver and is put back before that driver returns: a VF driver reads its
 * MAC only when it starts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon.h"
#include "db.h"
#include "devproc.h"
#include "log.h"
#include "op.h"
#include "preflight.h"
#include "vdev.h"

#define VFIO_DRIVER "vfio-pci"

/* how long a VMM may take to close the group after it has let the device go; there is no event for it */
#define GROUP_CLOSE_MS 2000
#define GROUP_CLOSE_POLL_MS 5

/* --- find, reserve --- */

static int step_find(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct err not_vf;
	int r;

	r = sriov_vf_get(op->d->sys, op->target, &op->vf, &op->pf, &not_vf);
	if (r == 0) {
		op->vfs = malloc(sizeof(*op->vfs));
		if (!op->vfs)
			return err_set(err, -ENOMEM, "daemon.no-memory", "no memory for the list of VFs");
		op->vfs[0] = op->vf;
		op->nr_vfs = 1;
		return 0;
	}
	if (strchr(op->target, '/')) {
		*err = not_vf;
		return r;
	}
	r = sriov_pf_get(op->d->sys, op->target, &op->pf, err);
	if (r < 0)
		return r;
	r = sriov_vf_list(op->d->sys, &op->pf, &op->vfs, &op->nr_vfs, err);
	if (r == 0 && op->nr_vfs == 0) {
		err_set(err, -ENODEV, "sriov.no-vfs", "PF %s: it has no VFs: 0 of %u are enabled", op->target, op->pf.total_vfs);
		err_hint(err, "gangway pf set %s vfs N (1 to %u)", op->target, op->pf.total_vfs);
		return -ENODEV;
	}
	return r;
}

/* Why this VF cannot be had, in @err; 0 if it can. */
static int vf_is_free(struct op *op, const struct sriov_vf *vf, struct err *err)
{
	struct lease *l = lease_of_vf(op->d, vf->bdf);

	if (!l)
		l = lease_of_vf_index(op->d, op->pf.key, vf->index);
	if (l && l != op->lease) {
		err_set(err, -EBUSY, "lease.vf-taken", "VF %s: in use by lease %s (%s)", vf->bdf, l->id,
			lease_state_to_string(l->state));
		err_hint(err, "`gangway vf list` shows the free ones");
		return -EBUSY;
	}
	return sriov_vf_check_unused(vf, err);
}

static int step_reserve(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct lease *l = op->lease;
	int r = -EBUSY;

	if (op->d->nr_numvfs)
		return err_set(err, -EBUSY, "sriov.busy", "PF %s: the number of VFs is being changed", op->target);
	for (size_t i = 0; i < op->nr_vfs; i++) {
		r = vf_is_free(op, &op->vfs[i], err);
		if (r == 0) {
			op->vf = op->vfs[i];
			break;
		}
	}
	if (r < 0 && op->nr_vfs > 1) {
		err_set(err, -EBUSY, "lease.no-free-vf", "PF %s: none of its %zu VFs is free", op->target, op->nr_vfs);
		err_hint(err, "`gangway vf list %s` shows who has them; `gangway pf set` makes more when none is held",
			 op->target);
	}
	if (r < 0)
		return r;
	snprintf(l->pf_key, sizeof(l->pf_key), "%s", op->pf.key);
	snprintf(l->pf_name, sizeof(l->pf_name), "%s", op->pf.ifname[0] ? op->pf.ifname : op->pf.bdf);
	lease_set_vf(l, op->vf.bdf);
	l->vf_index = op->vf.index;
	l->group_id = op->vf.group_id;
	return 0;
}

/* --- check --- */

static int step_check(void *ctx, struct err *err)
{
	struct op *op = ctx;

	return preflight_host(op, err);
}

/* --- save --- */

static int save(struct op *op, enum lease_state as, const struct lease_undo *undo, struct err *err)
{
	json_t *record = lease_to_record(op->lease, undo);
	int r;

	if (!record)
		return err_set(err, -ENOMEM, "daemon.no-memory", "lease %s: no memory for its record", op->lease->id);
	json_object_set_new(record, "state", json_string(lease_state_to_string(as)));
	r = db_put_lease(op->d->db, op->lease->id, record, err);
	json_decref(record);
	return r;
}

static int step_save(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct lease_undo *u = &op->undo;
	char node[64];
	struct stat st;
	int r;

	*u = (struct lease_undo){ .valid = true, .policy = op->vf.policy, .touched = op->lease->want.fields, .group_id = -1 };
	r = sriov_binding_get(op->d->sys, op->lease->vf_bdf, &u->binding, err);
	if (r < 0)
		return r;
	if (op->lease->via == VIA_VFIO_PCI && op->lease->owner_uid != 0) {
		/* the node may not be there before the first VF of the group is bound: then it comes as root's */
		snprintf(node, sizeof(node), "/dev/vfio/%d", op->lease->group_id);
		u->group_id = op->lease->group_id;
		if (op->d->sys->ops->stat(op->d->sys, node, &st) == 0) {
			u->group_uid = st.st_uid;
			u->group_gid = st.st_gid;
		}
	}
	return save(op, LEASE_ATTACHING, u, err);
}

static void after_save(void *ctx)
{
	struct op *op = ctx;

	op->lease->undo = op->undo;
}

static int undo_save(void *ctx, struct err *err)
{
	struct op *op = ctx;

	return db_delete_lease(op->d->db, op->lease->id, err);
}

/* --- bind --- */

static int step_bind(void *ctx, struct err *err)
{
	struct op *op = ctx;

	return sriov_bind(op->d->sys, op->lease->vf_bdf, VFIO_DRIVER, err);
}

/*
 * Taking vfio-pci from a function that somebody has open makes the kernel wait in the unbind for that somebody, for ever. So the
 * group is tried first: it opens only for one.
 */
static int wait_group_closed(struct op *op, struct err *err)
{
	struct lease *l = op->lease;
	struct sys *sys = op->d->sys;
	char node[64];
	int fd = -EBUSY;

	snprintf(node, sizeof(node), "/dev/vfio/%d", l->group_id);
	for (int ms = 0; ms < GROUP_CLOSE_MS; ms += GROUP_CLOSE_POLL_MS) {
		fd = sys->ops->open(sys, node, O_RDWR);
		if (fd != -EBUSY)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = GROUP_CLOSE_POLL_MS * 1000000L }, NULL);
	}
	if (fd >= 0)
		sys->ops->close(sys, fd);
	if (fd != -EBUSY)
		return 0;
	err_set(err, -EBUSY, "vfio.group-in-use", "VF %s: its IOMMU group %d is still open in another process", l->vf_bdf,
		l->group_id);
	err_hint(err, "`fuser -v %s` names it; end it, then `gangway detach %s %s` again", node, l->guest, l->nic);
	return -EBUSY;
}

static int undo_bind(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct lease *l = op->lease;
	struct sriov_binding now;
	int r;

	if (!l->undo.valid || sriov_binding_get(op->d->sys, l->vf_bdf, &now, NULL) < 0)
		return 0; /* nothing was changed, or the VF is no more */
	if (!strcmp(now.driver, VFIO_DRIVER)) {
		r = wait_group_closed(op, err);
		if (r < 0)
			return r;
	}
	return sriov_binding_restore(op->d->sys, l->vf_bdf, &l->undo.binding, err);
}

/* --- policy --- */

static bool has_policy(const void *ctx)
{
	const struct op *op = ctx;

	return op->lease->want.fields != 0;
}

static int step_policy(void *ctx, struct err *err)
{
	struct op *op = ctx;

	return policy_apply(op->d->sys, &op->pf, op->lease->vf_index, &op->lease->want, err);
}

static int undo_policy(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct lease *l = op->lease;
	struct sriov_pf pf;

	if (!l->undo.valid || sriov_pf_by_key(op->d->sys, l->pf_key, &pf, NULL) < 0)
		return 0;
	return policy_restore(op->d->sys, &pf, l->vf_index, &l->undo.policy, l->undo.touched, err);
}

/* --- grant: /dev/vfio/N to an unprivileged VMM --- */

static bool needs_grant(const void *ctx)
{
	const struct op *op = ctx;

	return op->lease->via == VIA_VFIO_PCI && op->lease->owner_uid != 0;
}

static int step_grant(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct lease *l = op->lease;
	char node[64];
	int r;

	snprintf(node, sizeof(node), "/dev/vfio/%d", l->group_id);
	r = op->d->sys->ops->chown(op->d->sys, node, l->owner_uid, l->owner_gid);
	return r < 0 ? err_set(err, r, "vfio.grant-failed", "%s: giving it to uid %u: %s", node, l->owner_uid, strerror(-r)) : 0;
}

static int undo_grant(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct lease_undo *u = &op->lease->undo;
	char node[64];
	int r;

	if (!u->valid || u->group_id < 0)
		return 0;
	snprintf(node, sizeof(node), "/dev/vfio/%d", u->group_id);
	r = op->d->sys->ops->chown(op->d->sys, node, u->group_uid, u->group_gid);
	if (r < 0 && r != -ENOENT)
		return err_set(err, r, "vfio.grant-failed", "%s: giving it back: %s", node, strerror(-r));
	return 0;
}

/* --- open --- */

static bool is_vfio_user(const void *ctx)
{
	const struct op *op = ctx;

	return op->lease->via == VIA_VFIO_USER;
}

static int step_open(void *ctx, struct err *err)
{
	struct op *op = ctx;

	return vdev_open(op->d->sys, op->lease->vf_bdf, &op->vdev, err);
}

static void after_open(void *ctx)
{
	struct op *op = ctx;

	op->lease->vdev = op->vdev;
	op->vdev = NULL;
}

static int undo_open(void *ctx, struct err *err)
{
	struct op *op = ctx;

	(void)err;
	op->lease->vdev = vdev_close(op->lease->vdev);
	return 0;
}

/* --- record, publish --- */

/*
 * A hot lease needs no second record: whether an interrupted attach came through is seen from whether the guest has the device
 * (recover.c). A prepared one has no guest to ask.
 */
static bool is_prepared(const void *ctx)
{
	const struct op *op = ctx;

	return op->lease->prepared;
}

static int step_record(void *ctx, struct err *err)
{
	struct op *op = ctx;

	return save(op, LEASE_PREPARED, &op->lease->undo, err);
}

static int step_publish(void *ctx, struct err *err)
{
	(void)ctx;
	(void)err;
	return 0;
}

static void after_publish(void *ctx)
{
	struct op *op = ctx;
	struct lease *l = op->lease;

	if (l->prepared) {
		lease_set_state(l, LEASE_PREPARED, "ready for the guest to start");
		return;
	}
	lease_set_state(l, LEASE_ATTACHED, "the guest has the VF");
	lease_set_leg(l, LEG_PASSTHROUGH, l->reason);
}

/* --- words for --dry-run and progress --- */

static void what_find(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "find %s", op->target);
}

static void what_reserve(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	if (op->lease->vf_bdf[0])
		snprintf(buf, size, "take %s/vf%u (%s)", op->lease->pf_name, op->lease->vf_index, op->lease->vf_bdf);
	else
		snprintf(buf, size, "take a free VF");
}

static void what_ask(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "ask guest %s: VMM version, memory, free slot", op->lease->guest);
}

static void what_check(const void *ctx, char *buf, size_t size)
{
	(void)ctx;
	snprintf(buf, size, "check PF, group, IOVA ranges, memlock, policy");
}

static void what_save(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "record driver and policy of %s for the way back", op->lease->vf_bdf);
}

static void what_bind(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "driver %s -> %s", op->vf.driver[0] ? op->vf.driver : "none", VFIO_DRIVER);
}

static void what_policy(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "write the VF's policy on %s", op->lease->pf_name);
}

static void what_grant(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "/dev/vfio/%d to uid %u", op->lease->group_id, op->lease->owner_uid);
}

static void what_open(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "open %s (function-level reset)", op->lease->vf_bdf);
}

static void what_serve(const void *ctx, char *buf, size_t size)
{
	(void)ctx;
	snprintf(buf, size, "start gangway-device");
}

static void what_plug(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	if (op->lease->prepared)
		snprintf(buf, size, "leave it to the VMM's command line");
	else
		snprintf(buf, size, "plug %s into %s", op->lease->device_id, op->bus);
}

static void what_drive(const void *ctx, char *buf, size_t size)
{
	(void)ctx;
	snprintf(buf, size, "wait for the guest's driver");
}

static void what_record(const void *ctx, char *buf, size_t size)
{
	(void)ctx;
	snprintf(buf, size, "record the lease as prepared");
}

static void what_publish(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "the lease is %s", op->lease->prepared ? "prepared" : "attached");
}

static bool is_hot(const void *ctx)
{
	const struct op *op = ctx;

	return !op->lease->prepared;
}

const struct step attach_table[] = {
	{ .name = "find", .worker = true, .preflight = true, .what = what_find, .run = step_find },
	{ .name = "reserve", .preflight = true, .what = what_reserve, .run = step_reserve },
	{ .name = "ask-guest",
	  .waits = STEP_WAITS_VMM,
	  .preflight = true,
	  .applies = is_hot,
	  .what = what_ask,
	  .run = step_ask_guest },
	{ .name = "check", .worker = true, .preflight = true, .what = what_check, .run = step_check },
	{ .name = "save",
	  .worker = true,
	  .what = what_save,
	  .undo_what = "forget the record",
	  .run = step_save,
	  .undo = undo_save,
	  .after = after_save },
	{ .name = "bind",
	  .waits = STEP_WAITS_KERNEL,
	  .worker = true,
	  .what = what_bind,
	  .undo_what = "put the driver back",
	  .run = step_bind,
	  .undo = undo_bind },
	{ .name = "policy",
	  .worker = true,
	  .applies = has_policy,
	  .what = what_policy,
	  .undo_what = "put the VF's policy back",
	  .run = step_policy,
	  .undo = undo_policy },
	{ .name = "grant",
	  .worker = true,
	  .applies = needs_grant,
	  .what = what_grant,
	  .undo_what = "take /dev/vfio/N back",
	  .run = step_grant,
	  .undo = undo_grant },
	{ .name = "open",
	  .waits = STEP_WAITS_KERNEL,
	  .worker = true,
	  .applies = is_vfio_user,
	  .what = what_open,
	  .undo_what = "close the VF",
	  .run = step_open,
	  .undo = undo_open,
	  .after = after_open },
	{ .name = "serve",
	  .applies = is_vfio_user,
	  .what = what_serve,
	  .undo_what = "end gangway-device",
	  .run = step_serve,
	  .undo = step_unserve },
	{ .name = "plug",
	  .waits = STEP_WAITS_VMM,
	  .what = what_plug,
	  .undo_what = "have the guest let the VF go",
	  .run = step_plug,
	  .undo = step_unplug },
	{ .name = "drive", .waits = STEP_WAITS_GUEST, .applies = is_hot, .what = what_drive, .run = step_drive },
	{ .name = "record", .worker = true, .applies = is_prepared, .what = what_record, .run = step_record },
	{ .name = "publish", .what = what_publish, .run = step_publish, .after = after_publish },
};
const size_t attach_table_len = sizeof(attach_table) / sizeof(attach_table[0]);
