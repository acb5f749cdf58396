/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Noticing a migration, whoever started it. At connect:
 *
 *	query-migrate-capabilities -> events is off: migrate-set-capabilities -> query-migrate -> up
 *
 * in this order, so that nothing falls between the answer and the first event. `events` cannot be enabled while a migration is under
 * way: then the last two are asked for again each second, since no event would tell, until it can.
 *
 * Which side we are on is settled when a migration begins: the run state of a destination is inmigrate until the guest is there. At
 * connect, in the middle, also by what only the source answers (ram), and by a guest that runs in postcopy.
 */
#include "vmm_migration.h"

#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define AGAIN_MS 1000

enum { CAPABILITIES, ENABLE, STATUS };

struct watch {
	struct vmm_op op;
	bool first; /* at connect: vmm_watched() waits for it */
};

/* The status ------------------------------------------------------------------------------------------------------------ */

static void enter(struct vmm *vmm, const char *word, enum vmm_mig_role role)
{
	struct vmm_watching *w = &vmm->watching;
	struct vmm_migration next = { .status = vmm_mig_status_parse(word), .role = role };

	snprintf(next.word, sizeof(next.word), "%s", word);
	for (char *p = next.word; *p; p++) /* nothing that a terminal would obey */
		if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
			*p = '?';
	if (next.status == w->now.status && next.role == w->now.role && !strcmp(next.word, w->now.word))
		return;
	log_debug("vmm %s: migration %s -> %s (%s)", vmm->name, w->now.word[0] ? w->now.word : "none", next.word,
		  vmm_mig_role_to_string(role));
	w->now = next;
	w->told = false;
	if (!vmm_mig_is_under_way(next.status))
		vmm_ask_run_state(vmm); /* STOP says paused, but it may be postmigrate */
}

void vmm_watch_event(struct vmm *vmm, json_t *data)
{
	const struct vmm_migration *now = &vmm->watching.now;
	const char *word = json_string_value(json_object_get(data, "status"));
	enum vmm_mig_role role = now->role;

	if (!word)
		return;
	if (!vmm_mig_is_under_way(now->status))
		role = strcmp(vmm->run_state, "inmigrate") ? VMM_MIG_SOURCE : VMM_MIG_DESTINATION;
	enter(vmm, word, role);
}

void vmm_watch_tell(struct vmm *vmm)
{
	struct vmm_watching *w = &vmm->watching;
	struct vmm_migration now = w->now;

	if (w->told || vmm->closing || vmm->state != VMM_UP)
		return;
	w->told = true;
	if (vmm->ops->on_migration)
		vmm->ops->on_migration(vmm->ctx, vmm, &now);
}

void vmm_watch_forget(struct vmm *vmm)
{
	struct vmm_watching *w = &vmm->watching;

	w->again = sd_event_source_disable_unref(w->again);
	*w = (struct vmm_watching){ .told = true }; /* none: nothing to be told */
}

void vmm_get_migration(const struct vmm *vmm, struct vmm_migration *ret)
{
	*ret = vmm->watching.now;
	if (!ret->word[0] || vmm->state != VMM_UP)
		*ret = (struct vmm_migration){ .word = "none" };
}

/* Asking --------------------------------------------------------------------------------------------------------------- */

static int on_again(sd_event_source *s, uint64_t usec, void *ctx);

static void finish(struct vmm_op *op)
{
	struct vmm *vmm = op->vmm;
	struct vmm_watching *w = &vmm->watching;
	bool first = ((struct watch *)op)->first;

	vmm_op_finish(op);
	if (!w->by_events && !vmm->closing && qmp_get_state(vmm->qmp) == QMP_READY) {
		w->again = sd_event_source_disable_unref(w->again);
		if (sd_event_add_time_relative(vmm->event, &w->again, CLOCK_MONOTONIC, AGAIN_MS * 1000ull, 10000, on_again, vmm) <
		    0)
			log_debug("vmm %s: migrations will not be noticed, ignoring", vmm->name);
	}
	if (first)
		vmm_watched(vmm);
	else
		vmm_watch_tell(vmm);
	vmm_op_unref(op);
}

static void cancel(struct vmm_op *op, const struct err *err)
{
	(void)err;
	finish(op);
}

static const struct vmm_op_class watch_class = { .cancel = cancel };

/* From the answer to query-migrate: there is nothing to remember of before, or it was learnt in the same way. */
static void take_status(struct vmm *vmm, const json_t *ret)
{
	const char *word = json_string_value(json_object_get(ret, "status"));
	enum vmm_mig_role role = VMM_MIG_SOURCE;

	if (!word || !strcmp(word, "none"))
		return;
	if (!strcmp(vmm->run_state, "inmigrate"))
		role = VMM_MIG_DESTINATION;
	else if (json_object_get(ret, "ram"))
		role = VMM_MIG_SOURCE;
	else if (!strcmp(word, "completed") || (!strncmp(word, "postcopy-", 9) && !strcmp(vmm->run_state, "running")))
		role = VMM_MIG_DESTINATION;
	enter(vmm, word, role);
}

static void on_answer(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err);

static void ask(struct vmm_op *op, unsigned tag)
{
	static const char *const commands[] = { "query-migrate-capabilities", "migrate-set-capabilities", "query-migrate" };
	json_t *args = tag == ENABLE ? vmm_capabilities_args(VMM_CAP_EVENTS, VMM_CAP_EVENTS) : NULL;

	if (vmm_op_send(op, commands[tag], args, 0, tag, on_answer, NULL) < 0)
		finish(op);
}

static void on_answer(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct vmm_watching *w = &op->vmm->watching;
	unsigned known = 0, on = 0;

	(void)err;
	if (r == -ECONNRESET || r == -ETIMEDOUT) {
		finish(op);
		return;
	}
	switch (tag) {
	case CAPABILITIES:
		if (r == 0)
			vmm_capabilities_take(ret, &known, &on);
		/* before QEMU 2.4 there is no such capability, and nothing to wait for */
		w->by_events = (on & VMM_CAP_EVENTS) || !(known & VMM_CAP_EVENTS);
		ask(op, w->by_events ? STATUS : ENABLE);
		break;
	case ENABLE:
		w->by_events = r == 0;
		ask(op, STATUS);
		break;
	case STATUS:
		if (r == 0)
			take_status(op->vmm, ret);
		finish(op);
		break;
	}
}

static int on_again(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct vmm *vmm = ctx;
	struct vmm_op *op;

	(void)usec;
	sd_event_source_set_enabled(s, SD_EVENT_OFF);
	if (vmm_op_new(vmm, "watch", sizeof(struct watch), &watch_class, &op, NULL) == 0)
		ask(op, ENABLE);
	else if (sd_event_source_set_time_relative(s, AGAIN_MS * 1000ull) >= 0) /* too much under way */
		sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return 0;
}

int vmm_watch(struct vmm *vmm)
{
	struct vmm_op *op;
	int r = vmm_op_new_early(vmm, "watch", sizeof(struct watch), &watch_class, &op, NULL);

	if (r < 0)
		return r;
	((struct watch *)op)->first = true;
	ask(op, CAPABILITIES);
	return 0;
}

/* May devices be plugged ------------------------------------------------------------------------------------------------ */

int vmm_may_plug(const struct vmm *vmm, struct err *err)
{
	const struct vmm_migration *now = &vmm->watching.now;
	/* just completed: STOP said paused, and the question whether it is postmigrate is on its way */
	bool left = now->status == VMM_MIG_COMPLETED && now->role == VMM_MIG_SOURCE && vmm->asking_run_state &&
		    strcmp(vmm->run_state, "running") != 0;

	if (vmm->state != VMM_UP)
		return err_set(err, -ENOTCONN, "vmm.not-up", "guest %s: the VMM is %s", vmm->name,
			       vmm_state_to_string(vmm->state));
	if (!strcmp(vmm->run_state, "postmigrate") || !strcmp(vmm->run_state, "finish-migrate") || left) {
		err_set(err, -ESTALE, "vmm.postmigrate", "guest %s: it has left with a migration, this VMM is only its shell",
			vmm->name);
		err_hint(err, "end this VMM, or let the guest go on here (QMP cont)");
		return -ESTALE;
	}
	if (!strcmp(vmm->run_state, "inmigrate")) {
		err_set(err, -EBUSY, "vmm.incoming", "guest %s: it has not arrived here yet", vmm->name);
		err_hint(err, "wait until it runs");
		return -EBUSY;
	}
	if (!vmm_mig_is_under_way(now->status))
		return 0;
	err_set(err, -EBUSY, "vmm.migrating", "guest %s: it is being migrated (%s)", vmm->name, now->word);
	err_hint(err, "wait until the migration has ended, or cancel it");
	return -EBUSY;
}
