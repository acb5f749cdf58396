/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm_unplug(): device_del is only a request to the guest; the device is gone when DEVICE_DELETED says so. In between the guest
 * may be busy, refuse, be paused, or vanish; and the connection may be lost and come back.
 *
 *	device_del -> accepted, or pending already ----> wait for DEVICE_DELETED -> done
 *	    ^   |                                             |
 *	    |   +-> busy: in 500 ms again                     +-> DEVICE_UNPLUG_GUEST_ERROR: in 1 s again, once
 *	    |   +-> no such device: done
 *	    |
 *	connection back: still there? -> connection lost -> VMM down: done
 *
 * All within one deadline.
 */
#include "vmm_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct unplug {
	struct vmm_op op;
	vmm_done_fn done;
	void *ctx;
	char id[VMM_ID_MAX];
	unsigned deadline_ms;
	bool refused; /* the guest has said no once */
	bool busy; /* the last thing heard */
	sd_event_source *deadline, *again;
};

static void stop_timers(struct unplug *u)
{
	u->deadline = sd_event_source_disable_unref(u->deadline);
	u->again = sd_event_source_disable_unref(u->again);
}

static void finish(struct unplug *u, int r, const struct err *err)
{
	stop_timers(u);
	vmm_op_finish(&u->op);
	u->done(u->ctx, r, r < 0 ? err : NULL);
	vmm_op_unref(&u->op);
}

static void cancel(struct vmm_op *op, const struct err *err)
{
	finish((struct unplug *)op, err->num, err);
}

static int ask(struct unplug *u, struct err *err);

static void ask_or_fail(struct unplug *u)
{
	struct err err;
	int r = ask(u, &err);

	if (r < 0 && r != -ENOTCONN) /* not connected: the state will tell what next */
		finish(u, r, &err);
}

static int on_again(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct unplug *u = ctx;

	(void)s;
	(void)usec;
	ask_or_fail(u);
	return 0;
}

static void ask_again_in(struct unplug *u, unsigned ms)
{
	if (sd_event_source_set_time_relative(u->again, (uint64_t)ms * 1000) >= 0)
		sd_event_source_set_enabled(u->again, SD_EVENT_ONESHOT);
}

static void on_asked(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct unplug *u = (struct unplug *)op;
	struct err why;

	(void)tag;
	(void)ret;
	if (r == 0)
		return; /* requested; DEVICE_DELETED will come */
	why = *err;
	switch (vmm_explain(&why)) {
	case -ENODEV:
		finish(u, 0, NULL);
		break;
	case -EALREADY:
		break;
	case -EAGAIN:
		u->busy = true;
		ask_again_in(u, VMM_BUSY_PAUSE_MS);
		break;
	case -ECONNRESET:
	case -ETIMEDOUT:
		break; /* gone, or only the connection: on_state() */
	default:
		err_prefix(&why, "device %s", u->id);
		finish(u, why.num, &why);
		break;
	}
}

static int ask(struct unplug *u, struct err *err)
{
	u->busy = false;
	return vmm_op_send(&u->op, "device_del", json_pack("{s:s}", "id", u->id), 0, 0, on_asked, err);
}

/* After a reconnect: the event may have been missed. */
static void on_looked(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct unplug *u = (struct unplug *)op;

	(void)tag;
	(void)err;
	if (r < 0)
		return; /* lost once more */
	if (vmm_qom_has(ret, u->id) == 0)
		finish(u, 0, NULL);
	else
		ask_or_fail(u);
}

static void on_state(struct vmm_op *op, enum vmm_state state)
{
	struct unplug *u = (struct unplug *)op;
	struct err err;
	int r;

	switch (state) {
	case VMM_DOWN:
		finish(u, 0, NULL); /* nobody listens any more: the VMM is gone, and the device with it */
		break;
	case VMM_UP:
		r = vmm_op_send(op, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral"), 0, 0, on_looked, &err);
		if (r < 0 && r != -ENOTCONN)
			finish(u, r, &err);
		break;
	case VMM_CONNECTING:
	case VMM_DENIED:
		sd_event_source_set_enabled(u->again, SD_EVENT_OFF);
		break;
	}
}

/* Both events carry the id only if the device has one; the path always. */
static bool is_about(const struct unplug *u, json_t *data)
{
	char path[sizeof("/machine/peripheral/") + VMM_ID_MAX];
	const char *p = json_string_value(json_object_get(data, "path"));
	const char *id = json_string_value(json_object_get(data, "device"));

	snprintf(path, sizeof(path), "/machine/peripheral/%s", u->id);
	return (id && !strcmp(id, u->id)) || (p && !strcmp(p, path));
}

static void on_event(struct vmm_op *op, const char *event, json_t *data)
{
	struct unplug *u = (struct unplug *)op;
	struct err err;

	if (!strcmp(event, "DEVICE_DELETED") && is_about(u, data)) {
		finish(u, 0, NULL);
	} else if (!strcmp(event, "DEVICE_UNPLUG_GUEST_ERROR") && is_about(u, data)) {
		if (!u->refused) {
			u->refused = true;
			ask_again_in(u, VMM_REFUSED_PAUSE_MS);
			return;
		}
		err_set(&err, -EBUSY, "vmm.unplug-refused", "guest %s: device %s: the guest refuses to let it go", op->vmm->name,
			u->id);
		err_hint(&err, "something in the guest holds the device: see the guest's kernel log");
		finish(u, -EBUSY, &err);
	}
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct unplug *u = ctx;
	const struct vmm *vmm = u->op.vmm;
	char why[ERR_MSG_MAX] = "the guest did not answer";
	struct err err;

	(void)s;
	(void)usec;
	if (vmm->state != VMM_UP)
		snprintf(why, sizeof(why), "%s", vmm->why.msg);
	else if (vmm->run_state[0] && strcmp(vmm->run_state, "running"))
		snprintf(why, sizeof(why), "the guest is %s, it cannot answer", vmm->run_state);
	else if (u->busy)
		snprintf(why, sizeof(why), "the guest is busy (power indicator still blinking)");
	else if (u->refused)
		snprintf(why, sizeof(why), "the guest refused once and then did not answer");
	err_set(&err, -ETIMEDOUT, "vmm.unplug-timeout", "guest %s: device %s: not unplugged within %u ms: %s", vmm->name, u->id,
		u->deadline_ms, why);
	err_hint(&err, "the request stays with the guest: the device may still go when it gets to it");
	finish(u, -ETIMEDOUT, &err);
	return 0;
}

static void release(struct vmm_op *op)
{
	stop_timers((struct unplug *)op);
}

static const struct vmm_op_class unplug_class = {
	.cancel = cancel,
	.on_event = on_event,
	.on_state = on_state,
	.release = release,
};

int vmm_unplug(struct vmm *vmm, const char *id, unsigned deadline_ms, vmm_done_fn done, void *ctx, struct err *err)
{
	struct vmm_op *op = NULL;
	struct unplug *u;
	int r;

	r = vmm_id_check(id, err);
	if (r == 0)
		r = vmm_op_new(vmm, "unplug", sizeof(*u), &unplug_class, &op, err);
	if (r < 0)
		return r;
	u = (struct unplug *)op;
	u->done = done; /* NOLINT(clang-analyzer-core.NullDereference): vmm_op_new() gave 0 */
	u->ctx = ctx;
	u->deadline_ms = deadline_ms;
	strcpy(u->id, id);
	r = sd_event_add_time_relative(vmm->event, &u->deadline, CLOCK_MONOTONIC, (uint64_t)deadline_ms * 1000, 1000, on_deadline,
				       u);
	if (r == 0)
		r = sd_event_add_time_relative(vmm->event, &u->again, CLOCK_MONOTONIC, 0, 1000, on_again, u);
	if (r == 0)
		r = sd_event_source_set_enabled(u->again, SD_EVENT_OFF);
	if (r < 0)
		err_set(err, r, "vmm.no-memory", "guest %s: unplug: %s", vmm->name, strerror(-r));
	else
		r = ask(u, err);
	if (r < 0)
		vmm_op_unref(vmm_op_finish(op));
	return r;
}
