/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps of the attach table on the host, from the check on. Steps marked worker run on a thread: they read the lease's fixed fields and write to the
 * op alone; .after brings what they found into the lease.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon.h"
#include "devproc.h"
#include "log.h"
#include "op.h"
#include "preflight.h"
#include "vdev.h"

/* how long a VMM may take to close the group after it has let the device go; there is no event for it */
#define GROUP_CLOSE_MS 2000
#define GROUP_CLOSE_POLL_MS 5

/* --- check --- */

int step_check(void *ctx, struct err *err)
{
	struct op *op = ctx;

	return preflight_host(op, err);
}

int step_check_memory(void *ctx, struct err *err)
{
	struct op *op = ctx;
	int r = preflight_memory(op, err);

	if (r == 0)
		r = preflight_look(op, err);

	if (r == 0)
		preflight_numa(op);
	return r;
}

/* --- bind --- */

int step_bind(void *ctx, struct err *err)
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

/*
 * Back to what the VF's policy was, before a host driver returns and reads its MAC. The MAC is put back whether or not we set it: the
 * guest's driver may have told the PF another one.
 */
static int restore_policy(struct op *op, struct err *err)
{
	struct lease *l = op->lease;
	struct sriov_pf pf;
	int r;

	r = sriov_pf_by_key(op->d->sys, l->pf_key, &pf, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r; /* the PF is no more */
	/* a PF may have been busy: asked twice, and the second time only for what is still not so */
	for (int try = 0; try < 2; try++) {
		r = policy_restore(op->d->sys, &pf, l->vf_index, &l->undo.policy, l->undo.touched, err);
		if (r == 0)
			return 0;
	}
	/* a driver that says no will say no again: that is told, and must not keep the VF from its driver for ever */
	if (err && !strcmp(err->code, "sriov.vf-set-refused")) {
		op_warn(op, "not all of its policy could be put back: %s", err->msg);
		return 0;
	}
	return r;
}

int undo_bind(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct lease *l = op->lease;
	struct sriov_binding now;
	int r;

	if (!l->undo.valid)
		return 0; /* nothing was changed */
	r = sriov_binding_get(op->d->sys, l->vf_bdf, &now, err);
	if (r == -ENOENT)
		return 0; /* the VF is no more */
	if (r < 0)
		return r;
	if (!strcmp(now.driver, VFIO_DRIVER)) {
		r = wait_group_closed(op, err);
		if (r < 0)
			return r;
	}
	r = restore_policy(op, err);
	if (r < 0)
		return r;
	return sriov_binding_restore(op->d->sys, l->vf_bdf, &l->undo.binding, err);
}

/* --- policy --- */

int step_policy(void *ctx, struct err *err)
{
	struct op *op = ctx;
	int r;

	/* renamed since it was found: another PF may be called that now */
	r = sriov_ifname(op->d->sys, op->pf.bdf, op->pf.ifname);
	if (r < 0)
		return err_set(err, r, "sriov.sysfs", "PF %s: its interface: %s", op->pf.bdf, strerror(-r));
	return policy_apply(op->d->sys, &op->pf, op->lease->vf_index, &op->lease->want, err);
}

/* --- grant: /dev/vfio/N to an unprivileged VMM --- */

int step_grant(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct lease *l = op->lease;
	char node[64];
	int r;

	snprintf(node, sizeof(node), "/dev/vfio/%d", l->group_id);
	r = op->d->sys->ops->chown(op->d->sys, node, l->owner_uid, l->owner_gid);
	return r < 0 ? err_set(err, r, "vfio.grant-failed", "%s: giving it to uid %u: %s", node, l->owner_uid, strerror(-r)) : 0;
}

int undo_grant(void *ctx, struct err *err)
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

int step_open(void *ctx, struct err *err)
{
	struct op *op = ctx;

	return vdev_open(op->d->sys, op->lease->vf_bdf, &op->vdev, err);
}

void after_open(void *ctx)
{
	struct op *op = ctx;

	op->lease->vdev = op->vdev;
	op->vdev = NULL;
}

int undo_open(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct err why;

	(void)err;
	/* a VMM that keeps the device's descriptor keeps what is mapped, too: closing ours unmaps nothing then */
	if (op->lease->vdev && vdev_quiesce(op->lease->vdev, &why) < 0)
		log_debug("lease %s: %s, ignoring", op->lease->id, why.msg);
	op->lease->vdev = vdev_close(op->lease->vdev);
	return 0;
}
