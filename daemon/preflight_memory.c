/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May the guest's RAM be pinned? What a VF would bring to it has to fit into what host and cgroup can give, and private memory that shares its
 * pages with a template is copied only where the operator has said so. Else the attach is refused; or the lease begins on its emulated leg, where
 * what is in the way ends by itself (memory that is not there), or where that leg was asked for by name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "mem_check.h"
#include "op.h"
#include "preflight.h"
#include "work.h"

/* With vfio-user the device would see other pages than the guest: nothing accepts that. */
static void not_shared(const char *guest, const char *what, struct err *err)
{
	err_set(err, -EOPNOTSUPP, "vmm.memory-private",
		"guest %s: its memory (%s) is not shared: with vfio-user the device would see other pages than the guest", guest,
		what);
	err_hint(err, "start it with -object memory-backend-memfd,id=mem,size=SIZE,share=on -machine memory-backend=mem, or use "
		      "--via vfio-pci");
}

enum lease_reason mem_judge(const char *guest, const struct mem_facts *f, bool unshare, struct err *err)
{
	char text[MEM_FACTS_TEXT_MAX], bytes[MEM_TEXT_MAX], alone[MEM_TEXT_MAX];

	if (f->need.is_private && !f->vmm_pins) {
		not_shared(guest, "some of it", err);
		return REASON_MEMORY_PRIVATE;
	}
	if (f->need.template && !unshare) {
		err_set(err, -EOPNOTSUPP, "attach.memory-private",
			"guest %s: %s of its memory are pages of a file that it maps privately (share=off), until it writes to "
			"them; "
			"%s of them nobody else maps now: a VF would have them all copied",
			guest, mem_text(f->need.template, bytes), mem_text(f->need.alone, alone));
		err_hint(
			err,
			"--unshare accepts that, as where no other guest is to share the file; or start it with a memory backend "
			"of its own (share=on)");
		return REASON_MEMORY_PRIVATE;
	}
	if (mem_fits(&f->need, &f->room))
		return REASON_NONE;
	mem_facts_text(f, text);
	err_set(err, -ENOMEM, "attach.memory-not-resident", "guest %s: %s", guest, text);
	err_hint(err, "`gangway memory show %.64s` tells what it consists of; %s, or lower margin_mib in gangway.conf", guest,
		 f->room.by_cgroup ? "raise memory.max or memory.high of that cgroup" : "free memory of the host");
	return REASON_MEMORY_NOT_RESIDENT;
}

bool mem_is_guess(const struct mem_facts *f)
{
	int num = f->process_err.num;

	/* what the VMM has made too large to be looked at, or of no sense, is its own fault */
	return num && num != -EPROTO && num != -E2BIG && num != -EOVERFLOW;
}

/* It stays on its emulated leg; else @err is what the attach fails with. */
static int hold(struct op *op, enum lease_reason reason, struct err *err)
{
	const struct lease *l = op->lease;

	if (l->standby.kind == EMUL_NONE || (op->standby_auto && reason == REASON_MEMORY_PRIVATE))
		return err->num;
	op->memory_held = reason;
	op->memory_err = *err;
	op_warn(op, "it begins on its emulated leg (%s): %s", lease_reason_to_string(reason), err->msg);
	err_clear(err);
	return 0;
}

int preflight_shared(struct op *op, struct err *err)
{
	if (op->info.ram_shared)
		return 0;
	not_shared(op->lease->guest, op->info.ram_unshared_id, err);
	return hold(op, REASON_MEMORY_PRIVATE, err);
}

/* No VMM yet; or it is looked at when it goes to its VF. */
static bool is_looked_at(const struct op *op)
{
	return !op->lease->prepared && !op->incoming && !op->vf_only && op->memory_held == REASON_NONE;
}

int preflight_look(struct op *op, struct err *err)
{
	struct lease *l = op->lease;

	if (!is_looked_at(op))
		return 0;
	free(op->facts);
	op->facts = calloc(1, sizeof(*op->facts));
	if (!op->facts)
		return err_set(err, -ENOMEM, "daemon.no-memory", "lease %s: no memory to look at its guest's", l->id);
	mem_facts_ask(op->facts, &op->info.memdevs, op->info.ram_bytes, op->vmm_pid, l->via,
		      (uint64_t)op->d->config.margin_mib << 20);
	return mem_facts_read(op->d->sys, op->facts, err);
}

static int admit(struct op *op, struct err *err)
{
	struct lease *l = op->lease;
	enum lease_reason reason;

	mem_account_take_off(op->d, l->guest, op->facts);
	reason = mem_judge(l->guest, op->facts, l->memory.unshare, err);
	if (reason == REASON_MEMORY_NOT_RESIDENT && mem_is_guess(op->facts)) {
		op_warn(op, "%s; what is resident is not known (%s), ignoring", err->msg, op->facts->process_err.msg);
		err_clear(err);
		reason = REASON_NONE;
	}
	if (reason != REASON_NONE)
		return hold(op, reason, err);
	if (!op->dry_run)
		mem_account_book(l, op->facts);
	return 0;
}

/* On a worker. */
static int look_again(void *arg)
{
	struct op *op = arg;

	return mem_facts_look_again(op->d->sys, op->facts, &op->memory_err);
}

static int look_and_admit(struct op *op, struct err *err);

static void looked_again(int r, void *arg)
{
	struct op *op = arg;
	struct err err = op->memory_err;

	err_clear(&op->memory_err);
	if (r == 0)
		r = look_and_admit(op, &err);
	if (r != STEP_PENDING)
		op_step_done(op, r, &err);
}

/* As often as somebody has pinned since the host was looked at. */
static int look_and_admit(struct op *op, struct err *err)
{
	if (op->nr_mem_settled == op->d->nr_mem_settled)
		return admit(op, err);
	op->nr_mem_settled = op->d->nr_mem_settled;
	if (work_submit(op->d->pool, look_again, looked_again, op) == 0)
		return STEP_PENDING;
	return err_set(err, -ENOMEM, "daemon.no-memory", "lease %s: no memory to look at its guest's", op->lease->id);
}

/* One NIC on its VF pins as much as two: so what has sent the guest's others away keeps this one, whatever it is to be later. */
static bool is_away(const struct op *op)
{
	const struct lease *l;

	TAILQ_FOREACH(l, &op->d->leases, link)
	if (l != op->lease && l->memory.pressed && !strcmp(l->guest, op->lease->guest))
		return true;
	return false;
}

int step_admit(void *ctx, struct err *err)
{
	struct op *op = ctx;

	if (!is_looked_at(op))
		return 0;
	if (!is_away(op))
		return look_and_admit(op, err);
	err_set(err, -EBUSY, "attach.memory-pressure",
		"guest %s: it is off its VFs because memory is short, or by order: a VF would have its memory pinned again",
		op->lease->guest);
	err_hint(err, "`gangway status %.64s` shows when that is over; with --standby macvtap it begins on that",
		 op->lease->guest);
	return hold(op, REASON_MEMORY_PRESSURE, err);
}
