/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gangway-device process of a vfio-user lease: started, adopted, followed, ended. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "daemon.h"
#include "devproc.h"
#include "faults.h"
#include "log.h"
#include "op.h"
#include "shared.h"
#include "switcher.h"
#include "sys.h"
#include "vdev.h"

static struct devproc_config config_of(const struct lease *l, uint64_t ram_bytes)
{
	const struct config *c = &l->daemon->config;

	return (struct devproc_config){
		.program = c->device_program,
		.runtime_dir = c->runtime_dir,
		.id = l->file_id,
		.bdf = l->vf_bdf,
		.ram_bytes = ram_bytes,
		.socket_uid = l->owner_uid,
		.socket_gid = l->owner_gid,
		.run_uid = l->device_uid,
		.run_gid = l->device_uid,
	};
}

static void on_status(void *ctx, const struct devproc_status *s)
{
	struct lease *l = ctx;

	if (s->degraded && l->error.num == 0) {
		err_set(&l->error, -EIO, "iommu.degraded", "lease %s: a part of the guest's memory could not be mapped: %s",
			l->id, s->last_error);
		log_warn("%s", l->error.msg);
	} else if (!s->degraded && !strcmp(l->error.code, "iommu.degraded")) {
		/* the mappings with the hole went with the client that had made them */
		err_clear(&l->error);
	}
	quarantine_seen(l, devproc_is_quarantined(s));
	shared_check(l->daemon);
	ctl_event(l->daemon->ctl, "device", l->id,
		  json_pack("{s:s, s:i, s:b, s:s, s:b, s:I, s:I, s:I}", "client", s->vuser_state, "vectors",
			    (int)s->vectors_armed, "bus_master", s->bus_master, "held", s->held, "degraded", s->degraded,
			    "dma_bytes", (json_int_t)s->dma_bytes, "dma_pending", (json_int_t)s->dma_pending, "dma_rate",
			    (json_int_t)s->dma_rate));
	if (l->reason == REASON_GUEST_NO_DRIVER && s->bus_master)
		lease_set_leg(l, l->leg, REASON_NONE);
	switcher_driver_changed(l);
	if (l->op)
		op_check_driven(l->op);
	else if (l->state == LEASE_PREPARED && s->bus_master) {
		lease_set_state(l, LEASE_ATTACHED, "the guest started with the VF");
		lease_set_leg(l, LEG_PASSTHROUGH, REASON_NONE);
	}
}

static void on_gone(void *ctx, const char *why)
{
	struct lease *l = ctx;

	bool undead = !strcmp(why, DEVPROC_NOT_DEAD);
	pid_t pid = devproc_get_status(l->dev)->pid;
	struct err err = { 0 };

	l->dev = devproc_free(l->dev);
	shared_check(l->daemon);
	if (undead) {
		err_set(&err, -ETIMEDOUT, "devproc.undead", "lease %s: its gangway-device process %d does not die", l->id,
			(int)pid);
		err_hint(&err, "the kernel holds it, see /proc/%d/stack; `gangway detach %s %s` again once it has ended",
			 (int)pid, l->guest, l->nic);
	}
	if (l->op && l->op->awaiting_process) {
		l->op->awaiting_process = false;
		op_step_done(l->op, err.num, &err);
		return;
	}
	if (l->op && l->op->vf_only) { /* the lease is being given a VF: that fails, see step_publish() */
		log_err("lease %s: its gangway-device process ended: %s", l->id, why);
		return;
	}
	/* The daemon's duplicates of the VFIO descriptors keep the VF going; only the VMM's own requests fail from now on. */
	err_set(&l->error, -EIO, "device.lost", "lease %s: its gangway-device process ended: %s", l->id, why);
	err_hint(&l->error, "traffic goes on; a reset or reboot of the guest loses the VF. Shut the guest down to end the lease");
	log_err("%s", l->error.msg);
	lease_set_leg(l, l->leg, REASON_DEVICE_PROCESS_LOST);
	switcher_cause(l, REASON_DEVICE_PROCESS_LOST, true);
	if (l->op)
		op_guest_lost(l->op, "its gangway-device process ended");
}

static const struct devproc_ops ops = { .on_status = on_status, .on_gone = on_gone };

int step_serve(void *ctx, struct err *err)
{
	struct op *op = ctx;
	/* one that is prepared, or says nothing, gets as much as any guest could have */
	struct devproc_config config = config_of(op->lease, op->info.ram_bytes ? op->info.ram_bytes : op->host_ram);

	return devproc_start(op->d->event, &config, op->lease->vdev, &ops, op->lease, &op->lease->dev, err);
}

int step_unserve(void *ctx, struct err *err)
{
	struct op *op = ctx;

	(void)err;
	if (!op->lease->dev)
		return 0;
	op->awaiting_process = true;
	devproc_stop(op->lease->dev);
	return STEP_PENDING;
}

static int bad_fd(const struct lease *l, const char *what, struct err *err)
{
	return err_set(err, -EPROTO, "devproc.bad-fds", "lease %s: what its device process gave back is not %s", l->id, what);
}

/*
 * A process that a guest has taken over gives back what it likes, a file of somebody's FUSE that never answers included: so nothing is
 * asked of a descriptor before the kernel itself has said that it is VFIO's. A device has no node, its name no path can have.
 */
static int check_fds(const struct lease *l, const struct vdev_fds *fds, struct err *err)
{
	const int with_node[] = { fds->container, fds->group };
	struct sys *sys = l->daemon->sys;
	char path[64], name[64];
	struct stat node;
	mode_t type;
	dev_t rdev;

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/dev/vfio/vfio");
		if (i)
			snprintf(path, sizeof(path), "/dev/vfio/%d", l->group_id);
		if (sys->ops->stat(sys, path, &node) < 0 || sys->ops->fd_type(sys, with_node[i], &type, &rdev) < 0 ||
		    !S_ISCHR(type) || rdev != node.st_rdev)
			return bad_fd(l, path, err);
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds->device);
	if (sys->ops->readlink(sys, path, name, sizeof(name)) < 0 || strcmp(name, "anon_inode:[vfio-device]"))
		return bad_fd(l, "a VFIO device", err);
	return 0;
}

static void close_fds(const struct lease *l, const struct vdev_fds *fds)
{
	struct sys *sys = l->daemon->sys;

	sys->ops->close(sys, fds->device);
	sys->ops->close(sys, fds->group);
	sys->ops->close(sys, fds->container);
}

int lease_adopt_process(struct lease *l, struct err *err)
{
	struct devproc_config config = config_of(l, 0); /* of one that runs already: how it is found */
	struct vdev_fds fds;
	int r;

	r = devproc_adopt(l->daemon->event, &config, &ops, l, &fds, &l->dev, err);
	if (r < 0)
		return r;
	r = check_fds(l, &fds, err);
	if (r < 0)
		close_fds(l, &fds);
	else
		r = vdev_from_fds(l->daemon->sys, l->vf_bdf, fds, &l->vdev, err);
	if (r < 0)
		l->dev = devproc_free(l->dev);
	else
		quarantine_seen(l, devproc_is_quarantined(devproc_get_status(l->dev)));
	return r;
}
