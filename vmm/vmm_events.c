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
	if (!strcmp(event, "MIGRATION"))
		vmm_watch_event(vmm, data);
}

/* Typed callbacks ------------------------------------------------------------------------------------------------------ */

/* Of @data's member @key; one that cannot be a device of ours is none. */
static const char *id_of(json_t *data, const char *key)
{
	const char *id = json_string_value(json_object_get(data, key));

	return id && vmm_id_check(id, NULL) == 0 ? id : NULL;
}

/* A device without an id has a path alone. */
static const char *device_of(json_t *data)
{
	static const char tree[] = "/machine/peripheral/";
	const char *id = id_of(data, "device"), *path = json_string_value(json_object_get(data, "path"));

	if (!id && path && !strncmp(path, tree, sizeof(tree) - 1) && vmm_id_check(path + sizeof(tree) - 1, NULL) == 0)
		id = path + sizeof(tree) - 1;
	return id;
}

/* A virtio device announces its inner device too, without an id. */
static void device_deleted(struct vmm *vmm, json_t *data)
{
	const char *id = id_of(data, "device");

	if (id && vmm->ops->on_device_deleted)
		vmm->ops->on_device_deleted(vmm->ctx, vmm, id);
}

static void unplug_refused(struct vmm *vmm, json_t *data)
{
	const char *id = device_of(data);

	if (id && vmm->ops->on_unplug_refused)
		vmm->ops->on_unplug_refused(vmm->ctx, vmm, id);
}

static void unplug_primary(struct vmm *vmm, json_t *data)
{
	const char *id = id_of(data, "device-id");

	if (id && vmm->ops->on_unplug_primary)
		vmm->ops->on_unplug_primary(vmm->ctx, vmm, id);
}

static void failover_negotiated(struct vmm *vmm, json_t *data)
{
	const char *id = id_of(data, "device-id");

	if (id && vmm->ops->on_failover_negotiated)
		vmm->ops->on_failover_negotiated(vmm->ctx, vmm, id);
}

static void reset(struct vmm *vmm, json_t *data)
{
	if (vmm->ops->on_reset)
		vmm->ops->on_reset(vmm->ctx, vmm, json_is_true(json_object_get(data, "guest")));
}

static void migration(struct vmm *vmm, json_t *data)
{
	(void)data;
	vmm_watch_tell(vmm);
}

static const struct {
	const char *event;
	void (*tell)(struct vmm *vmm, json_t *data);
} typed[] = {
	{ "DEVICE_DELETED", device_deleted },
	{ "DEVICE_UNPLUG_GUEST_ERROR", unplug_refused },
	{ "UNPLUG_PRIMARY", unplug_primary },
	{ "FAILOVER_NEGOTIATED", failover_negotiated },
	{ "RESET", reset },
	{ "MIGRATION", migration },
};

void vmm_event_tell(struct vmm *vmm, const char *event, json_t *data)
{
	for (size_t i = 0; i < sizeof(typed) / sizeof(typed[0]) && !vmm->closing; i++)
		if (!strcmp(event, typed[i].event))
			typed[i].tell(vmm, data);
}
