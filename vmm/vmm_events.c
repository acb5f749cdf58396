/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP events: what they change in what we know of the guest, and the typed callbacks. Their data is a peer's: ids are checked. */
#include "vmm_internal.h"

#include <stdio.h>
#include <string.h>

/* Run state ------------------------------------------------------------------------------------------------------------ */

static void on_run_state(void *ctx, int r, json_t *ret, const struct err *err)
{
	struct vmm *vmm = ctx;
	const char *status = json_string_value(json_object_get(ret, "status"));
	bool again = vmm->ask_run_state_again && r == 0 && !vmm->closing;

	(void)err;
	vmm->asking_run_state = vmm->ask_run_state_again = false;
	if (r == 0 && status)
		snprintf(vmm->run_state, sizeof(vmm->run_state), "%s", status);
	if (again)
		vmm_ask_run_state(vmm);
	vmm_unref(vmm);
}

/* One question at a time, however often events ask for it. */
void vmm_ask_run_state(struct vmm *vmm)
{
	if (vmm->asking_run_state) {
		vmm->ask_run_state_again = true;
		return;
	}
	if (qmp_send(vmm->qmp, "query-status", NULL, -1, 0, on_run_state, vmm, NULL) < 0)
		return;
	vmm->asking_run_state = true;
	vmm->refs++;
}

void vmm_event_first(struct vmm *vmm, const char *event, json_t *data)
{
	static const struct {
		const char *event, *run_state;
	} rows[] = { { "STOP", "paused" }, { "RESUME", "running" }, { "SHUTDOWN", "shutdown" } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(event, rows[i].event))
			strcpy(vmm->run_state, rows[i].run_state);
	if (!strcmp(event, "WAKEUP")) /* of a guest that slept when we came there is no RESUME */
		vmm_ask_run_state(vmm);
	if (!strcmp(event, "MIGRATION"))
		vmm_watch_event(vmm, data);
}

/* Typed callbacks ------------------------------------------------------------------------------------------------------ */

/* A virtio device announces its inner device too, without an id; and an id that cannot be of a device of ours is none. */
static void device_deleted(struct vmm *vmm, json_t *data)
{
	const char *id = json_string_value(json_object_get(data, "device"));

	if (id && vmm_id_check(id, NULL) == 0 && vmm->ops->on_device_deleted)
		vmm->ops->on_device_deleted(vmm->ctx, vmm, id);
}

void vmm_event_tell(struct vmm *vmm, const char *event, json_t *data)
{
	if (vmm->closing)
		return;
	if (!strcmp(event, "DEVICE_DELETED"))
		device_deleted(vmm, data);
	else if (!strcmp(event, "MIGRATION"))
		vmm_watch_tell(vmm);
}
