/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A standby NIC from outside: its backend and the device, in steps that follow each other's answers, and back.
 *
 *	getfd (-> getfd, of vhost) -> netdev_add -> device_add -> done
 *	              |                    |             |
 *	              v                    v             v         undo, then the first error is called back
 *	           closefd          closefd, closefd  netdev_del
 *
 * closefd: QEMU takes a name when it looks at the descriptor, not when it refuses the command before that (a netdev of the same id).
 */
#include "vmm_standby.h"
#include "vmm_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fdutil.h"

enum step { GETFD, GETVHOST, NETDEV, DEVICE, UNDO_NETDEV, UNDO_FD, UNDO_VHOST, END };

#define VHOST_SUFFIX "-vhost"

struct plug {
	struct vmm_op op;
	vmm_done_fn done;
	void *ctx;
	char id[VMM_ID_MAX], netdev[VMM_ID_MAX], bus[VMM_ID_MAX], mac[18];
	char vhost[VMM_ID_MAX + sizeof(VHOST_SUFFIX)]; /* name of the descriptor; "" none */
	int vhost_fd; /* ours, until the VMM has it */
	struct err why; /* num 0: nothing has failed yet */
};

static void plug_finish(struct plug *p, int r, const struct err *err)
{
	fd_close(&p->vhost_fd);
	vmm_op_finish(&p->op);
	p->done(p->ctx, r, r < 0 ? err : NULL);
	vmm_op_unref(&p->op);
}

static void plug_cancel(struct vmm_op *op, const struct err *err)
{
	plug_finish((struct plug *)op, err->num, err);
}

static const struct vmm_op_class plug_class = { .cancel = plug_cancel };

static json_t *fd_args(const struct plug *p)
{
	return json_pack("{s:s}", "fdname", p->netdev);
}

static json_t *vhost_args(const struct plug *p)
{
	return json_pack("{s:s}", "fdname", p->vhost);
}

static json_t *netdev_args(const struct plug *p)
{
	json_t *args =
		json_pack("{s:s, s:s, s:s, s:b}", "type", "tap", "id", p->netdev, "fd", p->netdev, "vhost", p->vhost[0] != '\0');

	if (args && p->vhost[0] && json_object_set_new(args, "vhostfd", json_string(p->vhost)) < 0) {
		json_decref(args);
		args = NULL;
	}
	return args;
}

/* What comes while the guest's processor is held up, by the VF that is plugged for one, waits in the queue: the most that QEMU gives. */
#define RX_QUEUE_SIZE 1024

static json_t *device_args(const struct plug *p)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:i}", "driver", "virtio-net-pci", "id", p->id, "bus", p->bus,
			 "addr", "0.0", "netdev", p->netdev, "mac", p->mac, "failover", 1, "rx_queue_size", RX_QUEUE_SIZE);
}

static json_t *netdev_id_args(const struct plug *p)
{
	return json_pack("{s:s}", "id", p->netdev);
}

static const struct {
	const char *command;
	json_t *(*args)(const struct plug *p);
	enum step next, refused;
} steps[] = {
	[GETFD] = { "getfd", fd_args, GETVHOST, END },
	[GETVHOST] = { "getfd", vhost_args, NETDEV, UNDO_FD },
	[NETDEV] = { "netdev_add", netdev_args, DEVICE, UNDO_FD },
	[DEVICE] = { "device_add", device_args, END, UNDO_NETDEV },
	[UNDO_NETDEV] = { "netdev_del", netdev_id_args, END, END },
	[UNDO_FD] = { "closefd", fd_args, UNDO_VHOST, UNDO_VHOST },
	[UNDO_VHOST] = { "closefd", vhost_args, END, END },
};

static int plug_step(struct plug *p, enum step step, int fd, struct err *err);

static void on_step(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct plug *p = (struct plug *)op;
	enum step step = tag, next = r < 0 ? steps[step].refused : steps[step].next;
	struct err why;

	(void)ret;
	if (r < 0 && !p->why.num) {
		p->why = *err;
		vmm_explain(&p->why);
		err_prefix(&p->why, "standby %s", p->id);
	}
	if (!p->vhost[0] && next == GETVHOST)
		next = NETDEV;
	if (!p->vhost[0] && next == UNDO_VHOST)
		next = END;
	if (r == -ECONNRESET || r == -ETIMEDOUT)
		next = END; /* nobody to undo it with */
	if (next != END && plug_step(p, next, next == GETVHOST ? p->vhost_fd : -1, &why) < 0) {
		if (!p->why.num)
			p->why = why;
		next = END;
	}
	if (next == END)
		plug_finish(p, p->why.num, &p->why);
}

static int plug_step(struct plug *p, enum step step, int fd, struct err *err)
{
	json_t *args = steps[step].args(p);

	if (!args)
		return err_set(err, -ENOMEM, "vmm.no-memory", "guest %s: standby %s: no memory", p->op.vmm->name, p->id);
	return vmm_op_send_fd(&p->op, steps[step].command, args, fd, 0, step, on_step, err);
}

static int plug_check(const struct vmm *vmm, const struct vmm_standby_plug *plug, struct err *err)
{
	uint8_t mac[6];
	int r = vmm_id_check(plug->id, err);

	if (r == 0)
		r = vmm_id_check(plug->netdev_id, err);
	if (r == 0)
		r = vmm_id_check(plug->bus, err);
	if (r == 0)
		r = vmm_mac_check(plug->mac, mac, err);
	if (r < 0)
		err_prefix(err, "guest %s", vmm->name);
	else if (plug->fd < 0)
		r = err_set(err, -EINVAL, "vmm.bad-standby", "guest %s: standby %s: no descriptor", vmm->name, plug->id);
	return r;
}

int vmm_plug_standby(struct vmm *vmm, const struct vmm_standby_plug *plug, vmm_done_fn done, void *ctx, struct err *err)
{
	struct vmm_op *op = NULL;
	struct plug *p;
	int r = plug_check(vmm, plug, err);

	if (r == 0 && vmm_may_plug(vmm, err) == -ESTALE)
		r = -ESTALE; /* what else is against it the VMM says */
	if (r == 0)
		r = vmm_op_new(vmm, "plug a standby", sizeof(*p), &plug_class, &op, err);
	if (r < 0)
		return r;
	p = (struct plug *)op;
	p->done = done; /* NOLINT(clang-analyzer-core.NullDereference): vmm_op_new() gave 0 */
	p->ctx = ctx;
	p->vhost_fd = -1;
	strcpy(p->id, plug->id);
	strcpy(p->netdev, plug->netdev_id);
	strcpy(p->bus, plug->bus);
	strcpy(p->mac, plug->mac);
	if (plug->vhost_fd >= 0) {
		p->vhost_fd = fcntl(plug->vhost_fd, F_DUPFD_CLOEXEC, 3);
		snprintf(p->vhost, sizeof(p->vhost), "%s" VHOST_SUFFIX, p->netdev);
	}
	if (plug->vhost_fd >= 0 && p->vhost_fd < 0)
		r = err_set(err, -errno, "vmm.no-memory", "guest %s: standby %s: %s", vmm->name, p->id, strerror(errno));
	else
		r = plug_step(p, GETFD, plug->fd, err);
	if (r < 0) {
		fd_close(&p->vhost_fd);
		vmm_op_unref(vmm_op_finish(op));
	}
	return r;
}

/* Unplug ---------------------------------------------------------------------------------------------------------------- */

struct unplug {
	struct vmm_op op;
	vmm_done_fn done;
	void *ctx;
	char netdev[VMM_ID_MAX];
};

static void unplug_finish(struct unplug *u, int r, const struct err *err)
{
	vmm_op_finish(&u->op);
	u->done(u->ctx, r, r < 0 ? err : NULL);
	vmm_op_unref(&u->op);
}

static void unplug_cancel(struct vmm_op *op, const struct err *err)
{
	unplug_finish((struct unplug *)op, err->num, err);
}

static const struct vmm_op_class unplug_class = { .cancel = unplug_cancel };

static void on_netdev_gone(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct err why;

	(void)tag;
	(void)ret;
	if (r == -ENODEV)
		r = 0;
	if (r < 0) {
		why = *err;
		r = vmm_explain(&why);
		err = &why;
	}
	unplug_finish((struct unplug *)op, r, err);
}

/* vmm_unplug() is over: it calls back once, whatever has become of us meanwhile. */
static void on_device_gone(void *ctx, int r, const struct err *err)
{
	struct unplug *u = ctx;
	struct err why;

	if (!u->op.link) {
		/* cancelled: called back already */
	} else if (r < 0) {
		unplug_finish(u, r, err);
	} else if (u->op.vmm->state != VMM_UP) {
		unplug_finish(u, 0, NULL); /* the VMM is gone, and the backend with it */
	} else {
		json_t *args = json_pack("{s:s}", "id", u->netdev);

		r = vmm_op_send(&u->op, "netdev_del", args, 0, 0, on_netdev_gone, &why);
		if (r < 0)
			unplug_finish(u, r, &why);
	}
	vmm_op_unref(&u->op);
}

int vmm_unplug_standby(struct vmm *vmm, const char *id, const char *netdev_id, unsigned deadline_ms, vmm_done_fn done, void *ctx,
		       struct err *err)
{
	struct vmm_op *op = NULL;
	struct unplug *u;
	int r = vmm_id_check(netdev_id, err);

	if (r == 0)
		r = vmm_op_new(vmm, "unplug a standby", sizeof(*u), &unplug_class, &op, err);
	if (r < 0)
		return r;
	u = (struct unplug *)op;
	u->done = done; /* NOLINT(clang-analyzer-core.NullDereference): vmm_op_new() gave 0 */
	u->ctx = ctx;
	strcpy(u->netdev, netdev_id);
	r = vmm_unplug(vmm, id, deadline_ms, on_device_gone, u, err);
	if (r < 0)
		vmm_op_unref(vmm_op_finish(op));
	else
		op->refs++; /* on_device_gone()'s */
	return r;
}
