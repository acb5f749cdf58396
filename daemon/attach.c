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
#include "log.h"
#include "op.h"
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

static struct op *op_free(struct op *op)
{
	if (!op)
		return NULL;
	if (op->lease)
		op->lease->op = NULL;
	op_forget_question(op);
	sd_event_source_disable_unref(op->timer);
	steps_free(op->steps);
	vdev_close(op->vdev);
	free(op->leased);
	json_decref(op->warnings);
	free(op);
	return NULL;
}

/* --- the answer --- */

static const char *const step_state_names[] = { "planned", "skipped", "done", "failed", "undone" };

static void step_words(const struct op *op, const struct step *step, char *buf, size_t size)
{
	if (op->detach && step->undo_what)
		snprintf(buf, size, "%s", step->undo_what);
	else
		step->what(op, buf, size);
}

struct step_times {
	double total; /* milliseconds */
	double own; /* of it not spent waiting for VMM or guest */
	double kernel; /* of own: spent in the kernel */
};

/* How much of a step's time nobody else was waited for: a step that ran while the VMM was still to answer cost nothing. */
static double own_ms(const struct op *op, const struct step *step, const struct step_result *r)
{
	uint64_t begin = r->began_us, end = r->began_us + r->us, waited = 0;

	if (step->waits == STEP_WAITS_VMM || step->waits == STEP_WAITS_GUEST)
		return 0;
	if (op->asked_us) {
		uint64_t from = begin > op->asked_us ? begin : op->asked_us, to = end < op->answered_us ? end : op->answered_us;

		waited = to > from ? to - from : 0;
	}
	return (double)(r->us - waited) / 1000;
}

static json_t *steps_to_json(const struct op *op, struct step_times *ret)
{
	json_t *list = json_array();
	const struct step *table;
	char what[160];
	size_t nr;

	table = steps_table(op->steps, &nr);
	*ret = (struct step_times){ 0 };
	for (size_t i = 0; i < nr; i++) {
		const struct step_result *r = steps_result(op->steps, i);
		double ms = (double)r->us / 1000, own = own_ms(op, &table[i], r);

		if (r->state == STEP_SKIPPED || (op->detach && !table[i].undo) ||
		    (r->state == STEP_PLANNED && table[i].applies && !table[i].applies(op)))
			continue;
		step_words(op, &table[i], what, sizeof(what));
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:f, s:s}", "name", table[i].name, "what", what,
						      "state", step_state_names[r->state], "ms", ms, "own_ms", own, "waits_for",
						      step_waits_to_string(table[i].waits)));
		ret->total += ms;
		ret->own += own;
		if (table[i].waits == STEP_WAITS_KERNEL)
			ret->kernel += own;
	}
	return list;
}

#define PORT_PREFIX "gangway-port-"
/* a name that is too long would be refused when the VF is bound already, and again when it is to be taken back */
_Static_assert(sizeof(PORT_PREFIX) + LIMIT_NAME <= VMM_ID_MAX && sizeof(((struct lease *)0)->device_id) <= VMM_ID_MAX, "ids fit");

/* What a VMM that is yet to be started needs on its command line. */
static json_t *qemu_args(const struct op *op)
{
	char port[160], bus[VMM_ID_MAX];
	struct vmm_plug plug;
	json_t *list;
	char *device;

	op_plug_of(op, &plug);
	snprintf(bus, sizeof(bus), PORT_PREFIX "%s", op->lease->nic);
	plug.bus = bus;
	device = vmm_plug_argument(&plug);
	/* chassis numbers are unique in a machine; those over 200 are ours */
	snprintf(port, sizeof(port), "pcie-root-port,id=%s,chassis=%u", bus, 200 + op->lease->port);
	list = json_pack("[s, s, s, s]", "-device", port, "-device", device ? device : "");
	free(device);
	return list;
}

static void answer(struct op *op)
{
	json_t *steps, *result;
	struct step_times t;

	if (!op->req)
		return;
	steps = steps_to_json(op, &t);
	result = json_pack("{s:o, s:o, s:f, s:f, s:f, s:O}", "lease", lease_to_json(op->lease), "steps", steps, "own_ms", t.own,
			   "kernel_ms", t.kernel, "total_ms", t.total, "warnings", op->warnings);
	if (result && op->lease->prepared && !op->detach && !op->dry_run)
		json_object_set_new(result, "qemu_args", qemu_args(op));
	ctl_reply(op->req, result);
	op->req = NULL;
}

static void answer_error(struct op *op, const struct err *err)
{
	log_warn("lease %s: %s: %s", op->lease->id, op->detach ? "detach" : "attach", err->msg);
	if (op->req)
		ctl_fail(op->req, err);
	op->req = NULL;
}

/* --- the end --- */

static void on_progress(void *ctx, const struct step *step, size_t index)
{
	struct op *op = ctx;
	char what[160];

	if (!op->req)
		return;
	step_words(op, step, what, sizeof(what));
	ctl_progress(op->req, step->name, op->detach ? attach_table_len - 1 - index : index, attach_table_len, what);
}

static void attach_finished(struct op *op, int r, const struct err *err, const struct step *stuck)
{
	struct lease *l = op->lease;

	if (r == 0) {
		if (!op->dry_run && (op->vf.policy.fields & SYS_VF_MAC) && !(l->want.fields & SYS_VF_MAC) &&
		    !memcmp(op->undo.policy.mac, (uint8_t[SYS_MAC_LEN]){ 0 }, SYS_MAC_LEN))
			op_warn(op, "the VF has no MAC of its own: the guest makes one up, another one each time; --mac gives it "
				    "one");
		answer(op);
		op_free(op);
		if (l->state == LEASE_ATTACHING) /* a dry run */
			lease_free(l);
		return;
	}
	answer_error(op, err);
	if (stuck) {
		l->error = *err;
		lease_set_state(l, LEASE_FAILED, stuck->name);
		op_free(op);
		return;
	}
	lease_set_state(l, LEASE_GONE, err->code);
	op_free(op);
	lease_free(l);
}

static void detach_finished(struct op *op, int r, const struct err *err, const struct step *stuck)
{
	struct lease *l = op->lease;

	if (r == 0) {
		lease_set_state(l, LEASE_GONE, op->why);
		answer(op);
		op_free(op);
		lease_free(l);
		return;
	}
	answer_error(op, err);
	if (stuck && !strcmp(stuck->name, "plug") && l->leg == LEG_PASSTHROUGH) {
		/* nothing was taken away yet: the guest goes on with its VF */
		lease_set_state(l, LEASE_ATTACHED, "the guest has kept the VF");
	} else {
		l->error = *err;
		lease_set_state(l, LEASE_FAILED, stuck ? stuck->name : "detach");
	}
	op_free(op);
}

static void on_finished(void *ctx, int r, const struct err *err, const struct step *stuck)
{
	struct op *op = ctx;

	if (op->detach)
		detach_finished(op, r, err, stuck);
	else
		attach_finished(op, r, err, stuck);
}

static const struct steps_ops ops = { .progress = on_progress, .finished = on_finished };

static struct op *op_new(struct lease *l, struct ctl_req *req)
{
	struct op *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	op->d = l->daemon;
	op->req = req;
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

		err_set(err, -EEXIST, "lease.exists", "guest %s: it has a VF already (%s, %s)", p->guest, have->id, have->vf_bdf);
		err_hint(err, "for one more NIC give it a name: --nic %s; to end the first: gangway detach %s %s", nic, p->guest,
			 have->nic);
		return -EEXIST;
	}
	r = p->nic ? name_check("NIC", p->nic, err) : 0;
	if (r == 0)
		r = lease_new(d, p->guest, p->nic ? p->nic : nic, ret, err);
	return r;
}

void attach_start(struct daemon *d, struct ctl_req *req, const struct attach_params *p)
{
	struct lease *l;
	struct err err;
	struct op *op;
	int r;

	err_clear(&err);
	r = begin(d, p, &l, &err);
	if (r < 0) {
		log_warn("attach: %s", err.msg);
		ctl_fail(req, &err);
		return;
	}
	l->want = p->want; /* NOLINT(clang-analyzer-core.NullDereference): begin() set it, it gave 0 */
	l->prepared = p->prepare;
	if (p->port)
		l->port = p->port;
	l->via = p->prepare && p->via == VIA_AUTO ? VIA_VFIO_PCI : p->via;
	r = user_ids(p, l, &err);
	op = r == 0 ? op_new(l, req) : NULL;
	if (r == 0)
		r = op ? op_copy_leased(op, &err) : err_set(&err, -ENOMEM, "daemon.no-memory", "no memory for an attach");
	if (r < 0) {
		op_free(op);
		ctl_fail(req, &err);
		lease_free(l);
		return;
	}
	op->via_asked = p->via;
	op->dry_run = p->dry_run;
	op->wait_ms = p->wait_ms;
	snprintf(op->target, sizeof(op->target), "%s", p->target);
	steps_run(op->steps, p->dry_run);
}

int op_undo_start(struct lease *l, struct ctl_req *req, const char *why, unsigned wait_ms, struct err *err)
{
	struct op *op;

	if (l->op) {
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
		op_undo_start(l, req, "detached", wait_ms, &err);
	}
	if (err.num)
		ctl_fail(req, &err);
}
