/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's VMM: its state as gangway sees it, and the bookkeeping of operations under way. */
#include "vmm_internal.h"

#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *vmm_state_to_string(enum vmm_state state)
{
	switch (state) {
	case VMM_DOWN:
		return "down";
	case VMM_CONNECTING:
		return "connecting";
	case VMM_UP:
		return "up";
	case VMM_DENIED:
		return "denied";
	}
	return "?";
}

void vmm_unref(struct vmm *vmm)
{
	if (--vmm->refs)
		return;
	vmm_watch_forget(vmm);
	sd_event_unref(vmm->event);
	free(vmm->traits);
	free(vmm->name);
	free(vmm);
}

/* Operations ----------------------------------------------------------------------------------------------------------- */

int vmm_op_new_early(struct vmm *vmm, const char *what, size_t size, const struct vmm_op_class *class, struct vmm_op **ret,
		     struct err *err)
{
	struct vmm_op *op;

	if (vmm->nr_ops >= VMM_OPS_MAX)
		return err_set(err, -EBUSY, "vmm.too-many", "guest %s: %s: %d operations are under way already", vmm->name, what,
			       VMM_OPS_MAX);
	op = calloc(1, size);
	if (!op)
		return err_set(err, -ENOMEM, "vmm.no-memory", "guest %s: %s: no memory", vmm->name, what);
	op->class = class;
	op->refs = 1;
	op->round = vmm->round; /* born in this round: hears of the next event first */
	op->vmm = vmm;
	vmm->refs++;
	op->next = vmm->list;
	if (op->next)
		op->next->link = &op->next;
	op->link = &vmm->list;
	vmm->list = op;
	vmm->nr_ops++;
	*ret = op;
	return 0;
}

int vmm_op_new(struct vmm *vmm, const char *what, size_t size, const struct vmm_op_class *class, struct vmm_op **ret,
	       struct err *err)
{
	if (!vmm->closing && vmm->state == VMM_UP)
		return vmm_op_new_early(vmm, what, size, class, ret, err);
	err_set(err, -ENOTCONN, "vmm.not-up", "guest %s: %s: the VMM is %s%s%s", vmm->name, what, vmm_state_to_string(vmm->state),
		vmm->why.num ? ": " : "", vmm->why.num ? vmm->why.msg : "");
	if (vmm->why.hint[0])
		err_hint(err, "%s", vmm->why.hint);
	return -ENOTCONN;
}

void vmm_op_unref(struct vmm_op *op)
{
	if (--op->refs)
		return;
	if (op->class->release)
		op->class->release(op);
	vmm_unref(op->vmm);
	free(op);
}

struct vmm_op *vmm_op_finish(struct vmm_op *op)
{
	*op->link = op->next;
	if (op->next)
		op->next->link = op->link;
	op->link = NULL;
	op->vmm->nr_ops--;
	return op; /* the list's reference is the caller's now */
}

struct call {
	struct vmm_op *op;
	vmm_op_reply_fn reply;
	unsigned tag;
};

static void on_reply(void *ctx, int r, json_t *ret, const struct err *err)
{
	struct call *call = ctx;

	if (call->op->link)
		call->reply(call->op, call->tag, r, ret, err);
	vmm_op_unref(call->op);
	free(call);
}

int vmm_op_send_fd(struct vmm_op *op, const char *command, json_t *args, int fd, unsigned timeout_ms, unsigned tag,
		   vmm_op_reply_fn reply, struct err *err)
{
	struct call *call = malloc(sizeof(*call));
	int r;

	if (!call) {
		json_decref(args);
		return err_set(err, -ENOMEM, "vmm.no-memory", "guest %s: %s: no memory", op->vmm->name, command);
	}
	*call = (struct call){ .op = op, .reply = reply, .tag = tag };
	r = qmp_send(op->vmm->qmp, command, args, fd, timeout_ms, on_reply, call, err);
	if (r < 0)
		free(call);
	else
		op->refs++;
	return r;
}

int vmm_op_send(struct vmm_op *op, const char *command, json_t *args, unsigned timeout_ms, unsigned tag, vmm_op_reply_fn reply,
		struct err *err)
{
	return vmm_op_send_fd(op, command, args, -1, timeout_ms, tag, reply, err);
}

/* The next operation that has not heard of this round yet: callbacks may finish and start any. */
static struct vmm_op *next_op(struct vmm *vmm)
{
	for (struct vmm_op *op = vmm->list; op; op = op->next)
		if (op->round != vmm->round) {
			op->round = vmm->round;
			return op;
		}
	return NULL;
}

/* From QMP -------------------------------------------------------------------------------------------------------------- */

static void set_state(struct vmm *vmm, enum vmm_state state, const struct err *why)
{
	enum vmm_state old = vmm->state;
	bool same = old == state && !strcmp(vmm->why.code, why->code);
	struct vmm_op *op;

	vmm->state = state;
	vmm->why = *why;
	if (old != state) {
		log_debug("vmm %s: %s -> %s (%s)", vmm->name, vmm_state_to_string(old), vmm_state_to_string(state), why->msg);
		vmm->round++;
		while ((op = next_op(vmm)))
			if (op->class->on_state)
				op->class->on_state(op, state);
	}
	if (!same && !vmm->closing && vmm->state == state && vmm->ops->on_state)
		vmm->ops->on_state(vmm->ctx, vmm, state, &vmm->why);
}

/* A VMM that did not tell what it is like is up all the same, if it is there still: it is asked again before an attach. */
void vmm_learnt(struct vmm *vmm)
{
	if (vmm->closing || qmp_get_state(vmm->qmp) != QMP_READY)
		return;
	if (vmm_watch(vmm) < 0)
		vmm_watched(vmm);
}

void vmm_watched(struct vmm *vmm)
{
	if (vmm->closing || qmp_get_state(vmm->qmp) != QMP_READY)
		return;
	set_state(vmm, VMM_UP, qmp_why(vmm->qmp));
	vmm_watch_tell(vmm);
}

static void qmp_is_ready(struct vmm *vmm)
{
	vmm_ask_run_state(vmm);
	if (vmm_learn(vmm, NULL) < 0)
		vmm_learnt(vmm);
}

static void on_qmp_state(void *ctx, struct qmp *qmp, enum qmp_state state, const struct err *why)
{
	struct vmm *vmm = ctx;

	(void)qmp;
	vmm->refs++;
	free(vmm->traits); /* of before: whoever answers now may be another VMM */
	vmm->traits = NULL;
	vmm_watch_forget(vmm);
	switch (state) {
	case QMP_DOWN:
		set_state(vmm, VMM_DOWN, why);
		break;
	case QMP_DENIED:
		set_state(vmm, VMM_DENIED, why);
		break;
	case QMP_READY:
		qmp_is_ready(vmm);
		break;
	case QMP_TRYING:
	case QMP_GREETING:
	case QMP_NEGOTIATING:
		vmm->run_state[0] = '\0';
		/* while somebody useless is tried again and again, the state stays what it is: denied */
		if (vmm->state != VMM_DENIED)
			set_state(vmm, VMM_CONNECTING, why);
		break;
	case QMP_CLOSED:
	case QMP_NUM_STATES:
		break;
	}
	vmm_unref(vmm);
}

static void on_qmp_event(void *ctx, struct qmp *qmp, const char *event, json_t *data)
{
	struct vmm *vmm = ctx;
	struct vmm_op *op;

	(void)qmp;
	vmm->refs++;
	vmm_event_first(vmm, event, data);
	vmm->round++;
	while ((op = next_op(vmm)))
		if (op->class->on_event)
			op->class->on_event(op, event, data);
	vmm_event_tell(vmm, event, data);
	if (!vmm->closing && vmm->ops->on_event)
		vmm->ops->on_event(vmm->ctx, vmm, event, data);
	vmm_unref(vmm);
}

/* Public --------------------------------------------------------------------------------------------------------------- */

int vmm_path_check(const char *path, struct err *err)
{
	return qmp_path_check(path, err);
}

int vmm_new(sd_event *event, const char *name, const char *path, const struct vmm_ops *ops, void *ctx, struct vmm **ret)
{
	static const struct vmm_ops no_ops;
	static const struct qmp_ops qmp_ops = { .on_state = on_qmp_state, .on_event = on_qmp_event };
	struct vmm *vmm = calloc(1, sizeof(*vmm));
	int r = -ENOMEM;

	if (!vmm)
		return -ENOMEM;
	vmm->refs = 1;
	vmm->event = sd_event_ref(event);
	vmm->ops = ops ? ops : &no_ops;
	vmm->ctx = ctx;
	vmm->state = VMM_CONNECTING;
	vmm->name = strdup(name);
	if (vmm->name)
		r = qmp_new(event, name, path, &qmp_ops, vmm, &vmm->qmp);
	if (r < 0) {
		vmm_unref(vmm);
		return r;
	}
	vmm->why = *qmp_why(vmm->qmp);
	*ret = vmm;
	return 0;
}

struct vmm *vmm_free(struct vmm *vmm)
{
	struct err why;

	if (!vmm || vmm->closing)
		return NULL;
	vmm->closing = true;
	vmm_watch_forget(vmm);
	err_set(&why, -ECANCELED, "vmm.cancelled", "guest %s: no longer known to gangway", vmm->name);
	while (vmm->list)
		vmm->list->class->cancel(vmm->list, &why);
	qmp_free(vmm->qmp); /* answers that come now reach finished operations */
	vmm->qmp = NULL;
	vmm_unref(vmm);
	return NULL;
}

enum vmm_state vmm_get_state(const struct vmm *vmm)
{
	return vmm->state;
}

const struct err *vmm_why(const struct vmm *vmm)
{
	return &vmm->why;
}

const char *vmm_run_state(const struct vmm *vmm)
{
	return vmm->run_state;
}

pid_t vmm_pid(const struct vmm *vmm)
{
	return qmp_get_peer(vmm->qmp)->pid;
}

int vmm_pidfd(const struct vmm *vmm)
{
	return qmp_get_pidfd(vmm->qmp);
}

uid_t vmm_uid(const struct vmm *vmm)
{
	return qmp_get_peer(vmm->qmp)->uid;
}

gid_t vmm_gid(const struct vmm *vmm)
{
	return qmp_get_peer(vmm->qmp)->gid;
}
