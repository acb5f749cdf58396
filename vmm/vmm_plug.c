/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device_add, the -device argument for a cold start, and looking for a device. */
#include "vmm_internal.h"

#include <errno.h>

/* Look ------------------------------------------------------------------------------------------------------------------ */

/* The answer to a qom-list of the devices: 1 the operation's is there, 0 not, negative with @ret_why. */
static int is_listed(const struct vmm_op *op, int r, json_t *ret, const struct err *err, struct err *ret_why)
{
	const struct vmm_simple *s = (const struct vmm_simple *)op;

	if (r < 0)
		*ret_why = *err;
	else if ((r = vmm_qom_has(ret, s->id)) < 0)
		err_set(ret_why, r, "vmm.bad-answer", "guest %s: qom-list: not the answer of a QEMU", op->vmm->name);
	return r;
}

static void on_listed(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct err why;

	(void)tag;
	r = is_listed(op, r, ret, err, &why);
	vmm_simple_finish(op, r, &why);
}

int vmm_has_device(struct vmm *vmm, const char *id, vmm_done_fn done, void *ctx, struct err *err)
{
	struct vmm_command command;
	int r = vmm_id_check(id, err);

	if (r < 0)
		return r;
	command = (struct vmm_command){
		.name = "qom-list", .args = json_pack("{s:s}", "path", "/machine/peripheral"), .id = id, .reply = on_listed
	};
	return vmm_simple_start(vmm, &command, done, ctx, err);
}

/* Plug ------------------------------------------------------------------------------------------------------------------ */

static int plug_check(const char *guest, const struct vmm_plug *plug, struct err *err)
{
	int r = vmm_id_check(plug->id, err);

	if (r == 0)
		r = vmm_id_check(plug->bus, err);
	if (r == 0 && plug->failover_pair_id)
		r = vmm_id_check(plug->failover_pair_id, err);
	if (r < 0) {
		err_prefix(err, "guest %s", guest);
		return r;
	}
	if (!plug->host_bdf == !plug->socket_path)
		return err_set(err, -EINVAL, "vmm.bad-plug", "guest %s: device %s: either a host device or a vfio-user socket",
			       guest, plug->id);
	return 0;
}

static json_t *plug_args(const struct vmm_plug *plug)
{
	json_t *args;

	/* slot 0 said: else QEMU 7.2 puts a second device into slot 1 of a port, where no guest will ever look for it */
	if (plug->socket_path)
		args = json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s}, s:s*}", "driver", "vfio-user-pci", "id", plug->id, "bus",
				 plug->bus, "addr", "0.0", "socket", "type", "unix", "path", plug->socket_path,
				 "failover_pair_id", plug->failover_pair_id);
	else
		args = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s*}", "driver", "vfio-pci", "id", plug->id, "bus", plug->bus,
				 "addr", "0.0", "host", plug->host_bdf, "failover_pair_id", plug->failover_pair_id);
	return args;
}

/* A device of a pair: 0 if it is in the tree now, 1 if it is hidden. */
static void on_looked(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct err why;

	(void)tag;
	r = is_listed(op, r, ret, err, &why);
	vmm_simple_finish(op, r < 0 ? r : !r, &why);
}

static void on_plugged(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	bool paired = tag;
	struct err why;

	if (r < 0 || !paired) {
		vmm_simple_reply(op, tag, r, ret, err);
		return;
	}
	r = vmm_op_send(op, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral"), 0, 0, on_looked, &why);
	if (r < 0)
		vmm_simple_finish(op, r, &why);
}

int vmm_plug(struct vmm *vmm, const struct vmm_plug *plug, vmm_done_fn done, void *ctx, struct err *err)
{
	struct vmm_command command;
	int r = plug_check(vmm->name, plug, err);

	if (r == 0 && vmm_may_plug(vmm, err) == -ESTALE)
		r = -ESTALE; /* what else is against it the VMM says */
	if (r < 0)
		return r;
	command = (struct vmm_command){
		.name = "device_add",
		.args = plug_args(plug),
		.timeout_ms = VMM_PLUG_TIMEOUT_MS,
		.tag = plug->failover_pair_id != NULL,
		.id = plug->id,
		.reply = on_plugged,
	};
	return vmm_simple_start(vmm, &command, done, ctx, err);
}

char *vmm_plug_argument(const struct vmm_plug *plug)
{
	json_t *args;
	char *text;

	if (plug_check("", plug, NULL) < 0)
		return NULL;
	args = plug_args(plug);
	text = args ? json_dumps(args, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	json_decref(args);
	return text;
}
