/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attach and detach as operations on a lease: begun, ended, answered. The steps themselves: attach_table.c. */
#include "attach.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "daemon.h"
#include "devproc.h"
#include "guests.h"
#include "irq_follow.h"
#include "log.h"
#include "op.h"
#include "switcher.h"
#include "vdev.h"

void op_warn(struct op *op, const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_warn("lease %s: %s", op->lease->id, text);
	json_array_append_new(op->warnings, json_string(text));
}

struct op *op_free(struct op *op)
{
	if (!op)
		return NULL;
	if (op->lease) {
		op->lease->op = NULL;
		irq_follow_hint(op->lease);
	}
	op_forget_question(op);
	sd_event_source_disable_unref(op->timer);
	steps_free(op->steps);
	vdev_close(op->vdev);
	emul_leg_free(op->leg);
	op_close_leg_fds(op);
	free(op->leased);
	free(op->facts);
	json_decref(op->warnings);
	free(op);
	return NULL;
}

/* --- the end --- */

static void on_progress(void *ctx, const struct step *step, size_t index)
{
	struct op *op = ctx;
	char what[160];

	if (!op->req)
		return;
	op_step_words(op, step, what, sizeof(what));
	ctl_progress(op->req, step->name, op->detach ? attach_table_len - 1 - index : index, attach_table_len, what);
}

static void attach_finished(struct op *op, int r, const struct err *err, const struct step *stuck)
{
	struct lease *l = op->lease;
	struct err why;

	if (r == 0) {
		if (!op->dry_run && (op->vf.policy.fields & SYS_VF_MAC) && !(l->want.fields & SYS_VF_MAC) &&
		    !memcmp(op->undo.policy.mac, (uint8_t[SYS_MAC_LEN]){ 0 }, SYS_MAC_LEN))
			op_warn(op, "the VF has no MAC of its own: the guest makes one up, another one each time; --mac gives it "
				    "one");
		op_answer(op);
		op_free(op);
		if (l->state == LEASE_ATTACHING) /* a dry run */
			lease_free(l);
		return;
	}
	op_answer_error(op, err);
	why = *err; /* it goes with the steps */
	op_free(op);
	if (stuck) {
		l->error = why;
		lease_set_state(l, LEASE_FAILED, stuck->name);
	} else if (l->again.wanted) {
		again_failed(l, &why);
	} else {
		lease_set_state(l, LEASE_GONE, why.code);
		lease_free(l);
	}
}

/* What a former gangwayd was cut short with is undone: it is to be prepared again, not ended. */
static void interrupted(struct op *op)
{
	struct lease *l = op->lease;
	struct err err;

	op_free(op);
	err_set(&err, -EINTR, "lease.interrupted", "lease %s: gangwayd ended while it was being prepared", l->id);
	err_hint(&err, "it is tried again by itself; `gangway detach %s %s` gives it up", l->guest, l->nic);
	again_failed(l, &err);
	again_hint(l->daemon);
}

static void detach_finished(struct op *op, int r, const struct err *err, const struct step *stuck)
{
	struct lease *l = op->lease;
	bool kept = false, in = !op->had_switcher || op->had_vf;
	struct err why;

	if (r == 0 && l->again.wanted) {
		interrupted(op);
		return;
	}
	if (r == 0) {
		struct daemon *d = op->d;

		lease_set_state(l, LEASE_GONE, op->why);
		op_answer(op);
		op_free(op);
		lease_free(l);
		attach_vf_free(d); /* its VF or its MAC may be what another one waits for */
		return;
	}
	op_answer_error(op, err);
	if (stuck && !strcmp(stuck->name, "plug") && (l->leg == LEG_PASSTHROUGH || op->had_switcher)) {
		/* nothing was taken away yet: the guest goes on with its VF */
		lease_set_state(l, LEASE_ATTACHED, in ? "the guest has kept the VF" : "the guest was not reached");
		kept = op->had_switcher;
	} else {
		l->error = *err;
		lease_set_state(l, LEASE_FAILED, stuck ? stuck->name : "detach");
	}
	op_free(op);
	if (kept && switcher_start(l, in, false, &why) < 0)
		log_warn("%s", why.msg);
}

static void on_finished(void *ctx, int r, const struct err *err, const struct step *stuck)
{
	struct op *op = ctx;

	if (op->vf_only)
		op_vf_finished(op, r, err, stuck);
	else if (op->detach)
		detach_finished(op, r, err, stuck);
	else
		attach_finished(op, r, err, stuck);
}

static const struct steps_ops ops = { .progress = on_progress, .finished = on_finished };

struct op *op_new(struct lease *l, struct ctl_req *req)
{
	struct op *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	op->d = l->daemon;
	op->req = req;
	op->tap_fd = op->vhost_fd = -1;
	op->warnings = json_array();
	op->steps = steps_new(l->daemon->sys, l->daemon->pool, attach_table, attach_table_len, &ops, op);
	if (!op->warnings || !op->steps)
		return op_free(op);
	op->lease = l;
	l->op = op;
	return op;
}

void attach_abandon(struct daemon *d)
{
	struct lease *l;
	struct err err;

	err_set(&err, -ESHUTDOWN, "daemon.stopping", "gangwayd stops");
	TAILQ_FOREACH(l, &d->leases, link)
	{
		if (!l->op)
			continue;
		if (l->op->req)
			ctl_fail(l->op->req, &err);
		l->op = op_free(l->op);
	}
}

void op_step_done(struct op *op, int r, const struct err *err)
{
	/* a VMM's last word, cancelled by the daemon that stops: the next one goes on from the record */
	if (!op->d->stopping)
		steps_done(op->steps, r, err);
}

/* --- the beginning --- */

/* The next free "nicN" of a guest. */
static void default_nic(struct daemon *d, const char *guest, char *buf, size_t size)
{
	for (unsigned n = 0; n <= LIMIT_LEASES_PER_GUEST; n++) {
		snprintf(buf, size, "nic%u", n);
		if (!lease_find(d, guest, buf))
			return;
	}
}

static int user_ids(const struct attach_params *p, struct lease *l, struct err *err)
{
	const struct passwd *pw = p->user ? getpwnam(p->user) : NULL;

	if (p->user && !pw) {
		err_set(err, -ENOENT, "attach.no-user", "user %.60s: there is none", p->user);
		err_hint(err, "the user that will run QEMU, as in /etc/passwd");
		return -ENOENT;
	}
	l->owner_uid = pw ? pw->pw_uid : p->owner_uid;
	l->owner_gid = pw ? pw->pw_gid : p->owner_gid;
	return 0;
}

static int begin(struct daemon *d, const struct attach_params *p, struct lease **ret, struct err *err)
{
	char nic[LIMIT_NAME + 1];
	struct lease *other;
	struct guest *g;
	int r;

	r = guest_get_idle(d, p->guest, &g, err);
	if (r < 0)
		return r;
	/* two at once would choose the same hotplug slot; a guest that is not started yet has none */
	TAILQ_FOREACH(other, &d->leases, link)
	if (other->op && !p->prepare && !strcmp(other->guest, p->guest)) {
		err_set(err, -EBUSY, "lease.busy", "guest %s: its NIC %s is being %s", p->guest, other->nic,
			other->op->detach ? "detached" : "attached");
		err_hint(err, "`gangway status %s` shows when that is over", p->guest);
		return -EBUSY;
	}
	default_nic(d, p->guest, nic, sizeof(nic));
	if (!p->nic && lease_count(d, p->guest) > 0 && !p->prepare) {
		/* a second `attach` of the same guest is a slip more often than a wish for two NICs */
		struct lease *have = lease_find(d, p->guest, NULL);

		err_set(err, -EEXIST, "lease.exists", "guest %s: it has a lease already (%s, %s)", p->guest, have->id,
			have->vf_bdf[0] ? have->vf_bdf : "without a VF for now");
		err_hint(err, "for one more NIC give it a name: --nic %s; to end the first: gangway detach %s %s", nic, p->guest,
			 have->nic);
		return -EEXIST;
	}
	r = p->nic ? name_check("NIC", p->nic, err) : 0;
	if (r == 0 && p->nic)
		r = lease_check_ids(d, p->guest, p->nic, err);
	if (r == 0)
		r = lease_new(d, p->guest, p->nic ? p->nic : nic, ret, err);
	return r;
}

/* What of the emulated leg is known before anything is looked at. */
static void begin_standby(struct op *op, const struct attach_params *p)
{
	struct lease *l = op->lease;
	struct err why;

	op->standby_auto = p->standby_auto;
	if (p->target) /* else it is what it was */
		err_clear(&l->no_standby);
	if (p->standby_auto && p->prepare) {
		err_set(&why, -EOPNOTSUPP, "attach.bad-standby", "not for a guest that is not started yet");
		err_hint(&why, "where it is to be able to leave its VF: start the guest, then attach without --prepare");
		op_without_standby(op, &why);
	}
	if (l->standby.kind != EMUL_NONE)
		op->made_mac = lease_default_mac(l);
}

/* Run the table on @l; on an error it is given up, and so is the lease. */
static void launch(struct lease *l, struct ctl_req *req, const struct attach_params *p)
{
	struct op *op = NULL;
	struct err err;
	int r;

	err_clear(&err);
	err_clear(&l->error);
	l->want = p->want; /* NOLINT(clang-analyzer-core.NullDereference): begin() gave one, and 0 */
	l->prepared = p->prepare;
	l->standby = p->standby;
	l->memory.adaptive = p->adaptive;
	l->memory.unshare = p->unshare;
	l->memory.priority = p->priority;
	if (p->port)
		l->port = p->port;
	l->via = p->prepare && p->via == VIA_AUTO ? VIA_VFIO_PCI : p->via;
	r = user_ids(p, l, &err);
	if (r == 0) {
		op = op_new(l, req);
		r = op ? op_copy_leased(op, &err) : err_set(&err, -ENOMEM, "daemon.no-memory", "no memory for an attach");
	}
	if (!op || r < 0) {
		op_free(op);
		ctl_fail(req, &err);
		if (l->again.wanted)
			again_failed(l, &err);
		else
			lease_free(l);
		return;
	}
	begin_standby(op, p);
	op->via_asked = p->via;
	op->dry_run = p->dry_run;
	op->must_come = p->must_come;
	op->wait_ms = p->wait_ms;
	op->as_recorded = !p->target;
	snprintf(op->target, sizeof(op->target), "%s", p->target ? p->target : "");
	steps_run(op->steps, p->dry_run);
}

void attach_start(struct daemon *d, struct ctl_req *req, const struct attach_params *p)
{
	/* what waits to be prepared again is what is asked for, in new words */
	struct lease *l = p->prepare && !p->dry_run ? again_find(d, p->guest, p->nic) : NULL;
	struct err err;
	int r;

	err_clear(&err);
	if (l) {
		lease_set_state(l, LEASE_ATTACHING, "asked for again");
		launch(l, req, p);
		return;
	}
	r = begin(d, p, &l, &err);
	if (r < 0) {
		log_warn("attach: %s", err.msg);
		ctl_fail(req, &err);
		return;
	}
	launch(l, req, p);
}

void attach_again(struct lease *l)
{
	struct attach_params p = {
		.guest = l->guest,
		.nic = l->nic,
		.target = NULL, /* as recorded */
		.via = l->via,
		.want = l->want,
		.prepare = true,
		.owner_uid = l->owner_uid,
		.owner_gid = l->owner_gid,
		.port = l->port,
		.adaptive = l->memory.adaptive,
		.unshare = l->memory.unshare,
		.priority = l->memory.priority,
	};

	l->again.hinted = false;
	if (l->state == LEASE_FAILED)
		lease_set_state(l, LEASE_ATTACHING, "tried again");
	launch(l, NULL, &p);
}

int op_undo_start(struct lease *l, struct ctl_req *req, const char *why, unsigned wait_ms, struct err *err)
{
	struct op *op;

	if (attach_has(l)) {
		err_set(err, -EBUSY, "lease.busy", "lease %s: it is being %s", l->id, l->op->detach ? "detached" : "attached");
		err_hint(err, "`gangway status` shows when that is over");
		return -EBUSY;
	}
	if (l->busy && !req) {
		/* it has to be: the guest is no more, or has let the VF go */
		snprintf(l->end_why, sizeof(l->end_why), "%s", why);
		return 0;
	}
	if (l->busy) {
		err_set(err, -EBUSY, "lease.busy", "lease %s: %s", l->id, l->busy);
		err_hint(err, "wait for the answer to that, then again");
		return -EBUSY;
	}
	op = op_new(l, req);
	if (!op)
		return err_set(err, -ENOMEM, "daemon.no-memory", "lease %s: no memory to end it", l->id);
	/* of a lease that a former gangwayd was cut short with */
	if (l->state == LEASE_ATTACHING)
		lease_set_state(l, LEASE_FAILED, "interrupted");
	op->detach = true;
	op->wait_ms = wait_ms;
	snprintf(op->why, sizeof(op->why), "%s", why);
	op->had_switcher = l->sw != NULL;
	op->had_vf = switcher_has_vf(l);
	switcher_end(l, why);
	lease_set_state(l, LEASE_DETACHING, why);
	steps_undo(op->steps);
	return 0;
}

void attach_unbusy(struct lease *l)
{
	char why[sizeof(l->end_why)];
	struct err err;

	l->busy = NULL;
	memcpy(why, l->end_why, sizeof(why));
	l->end_why[0] = '\0';
	if (why[0] && op_undo_start(l, NULL, why, 0, &err) < 0)
		log_err("lease %s: %s", l->id, err.msg);
}

/* The operator's word ends it for good, also where it was to be prepared again. */
static void detach(struct lease *l, struct ctl_req *req, unsigned wait_ms, struct err *err)
{
	bool wanted = l->again.wanted, held = attach_has(l);

	if (!held)
		l->again.wanted = false;
	if (op_undo_start(l, req, "detached", wait_ms, err) < 0 && !held)
		l->again.wanted = wanted;
}

void detach_start(struct daemon *d, struct ctl_req *req, const char *guest, const char *nic, unsigned wait_ms)
{
	struct lease *l = lease_find(d, guest, nic);
	struct guest *g;
	struct err err;

	err_clear(&err);
	if (!l && guest_get(d, guest, &g, &err) == 0) {
		err_set(&err, -ENOENT, "lease.none", "guest %s: it has no VF%s%.80s", guest, nic ? " as NIC " : "",
			nic ? nic : "");
		err_hint(&err, "`gangway status` shows who has one");
	} else if (l && !nic && lease_count(d, guest) > 1) {
		err_set(&err, -EINVAL, "lease.ambiguous", "guest %s: it has %u VFs: which one?", guest, lease_count(d, guest));
		err_hint(&err, "gangway detach %s NIC; `gangway status %s` names them", guest, guest);
	} else if (l) {
		detach(l, req, wait_ms, &err);
	}
	if (err.num)
		ctl_fail(req, &err);
}
