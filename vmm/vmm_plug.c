/* SPDX-License-Identifier: GPL-2.0-or-later */
/* device_add, the -device argument for a cold start, and looking for a device. */
#include "vmm_internal.h"

#include <errno.h>

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


int vmm_plug(struct vmm *vmm, const struct vmm_plug *plug, vmm_done_fn done, void *ctx, struct err *err)
{
	struct vmm_command command;
	int r = plug_check(vmm->name, plug, err);

	if (r < 0)
		return r;
	command = (struct vmm_command){ .name = "device_add", .args = plug_args(plug), .timeout_ms = VMM_PLUG_TIMEOUT_MS };
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

/* Look ------------------------------------------------------------------------------------------------------------------ */

static void on_listed(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	const struct vmm_simple *s = (struct vmm_simple *)op;
	struct err why;

	(void)tag;
	if (r == 0) {
		r = vmm_qom_has(ret, s->id);
		if (r < 0) {
			err_set(&why, r, "vmm.bad-answer", "guest %s: qom-list: not the answer of a QEMU", op->vmm->name);
			err = &why;
		}
	}
	vmm_simple_finish(op, r, err);
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
