/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attach and detach as operations on a lease: begun, and who may. Their life: op.c; the steps themselves: attach_table.c. */
#include "attach.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "daemon.h"
#include "guests.h"
#include "log.h"
#include "op.h"
#include "switcher.h"

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
	if (r == 0 && p->target && strlen(p->target) >= sizeof(op->target))
		r = err_set(&err, -EINVAL, "sriov.bad-name", "%.60s...: too long for a PF or a VF", p->target);
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
	struct lease *l = NULL;
	struct err err;

	err_clear(&err);
	if (lease_get(d, guest, nic, "detach", "", &l, &err) == 0)
		detach(l, req, wait_ms, &err);
	if (err.num)
		ctl_fail(req, &err);
}
