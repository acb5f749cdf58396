/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The attach table: every step with its words. Attach runs it down; detach, failure and recovery run its undo column up.
 *
 * The policy is written after the VF has left its host driver, and put back (by the undo of "bind") before that driver returns: a VF
 * driver reads its MAC only when it starts.
 */
#include <stdio.h>

#include "op.h"

/* --- which steps apply --- */

static bool is_hot(const void *ctx)
{
	const struct op *op = ctx;

	return !op->lease->prepared;
}

/* Of the lease, not of the VF that it is given or taken. */
static bool is_whole(const void *ctx)
{
	return !((const struct op *)ctx)->vf_only;
}

static bool is_vf_only(const void *ctx)
{
	return !is_whole(ctx) && op_has_vf(ctx);
}

/* The guest runs on this host: one that is yet to come by migration gets its VF when it does. */
static bool is_here(const void *ctx)
{
	const struct op *op = ctx;

	return is_whole(ctx) && is_hot(ctx) && !op->incoming && op->memory_held == REASON_NONE;
}

static bool has_standby(const void *ctx)
{
	const struct op *op = ctx;

	return is_whole(ctx) && op->lease->standby.kind != EMUL_NONE;
}

static bool plugs_standby(const void *ctx)
{
	return is_whole(ctx) && op_plugs_standby(ctx);
}

static bool has_own_standby(const void *ctx)
{
	return has_standby(ctx) && !op_plugs_standby(ctx);
}

static bool has_refused_standby(const void *ctx)
{
	return is_whole(ctx) && op_has_refused_standby(ctx);
}

static bool has_vf(const void *ctx)
{
	return op_has_vf(ctx);
}

static bool is_vfio_user(const void *ctx)
{
	const struct op *op = ctx;

	return has_vf(ctx) && op->lease->via == VIA_VFIO_USER;
}

static bool has_policy(const void *ctx)
{
	const struct op *op = ctx;

	return has_vf(ctx) && op->lease->want.fields != 0;
}

static bool needs_grant(const void *ctx)
{
	const struct op *op = ctx;

	return has_vf(ctx) && op->lease->via == VIA_VFIO_PCI && op->lease->owner_uid != 0;
}

/* --- words for --dry-run and progress --- */

static void what_find(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	if (op->as_recorded)
		snprintf(buf, size, "find the VF it had");
	else
		snprintf(buf, size, "find %s", op->vf_only ? op->lease->pf_name : op->target);
}

static void what_reserve(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	if (op->lease->vf_bdf[0])
		snprintf(buf, size, "take %s/vf%u (%s)", op->lease->pf_name, op->lease->vf_index, op->lease->vf_bdf);
	else
		snprintf(buf, size, op->no_vf.num ? "go without a VF for now" : "take a free VF");
}

static void what_ask(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "ask guest %s: VMM version, memory, free slot", op->lease->guest);
}

static void what_check(const void *ctx, char *buf, size_t size)
{
	(void)ctx;
	snprintf(buf, size, "check PF, IOMMU group, VFIO, policy");
}

static void what_answer(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "hear what guest %s is like", op->lease->guest);
}

static void what_own_standby(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "see where the guest's own standby %s leads to", op->lease->standby_id);
}

static void what_check_memory(const void *ctx, char *buf, size_t size)
{
	(void)ctx;
	snprintf(buf, size, "check the guest's RAM: host, IOVA ranges, memlock, what is resident");
}

static void what_admit(const void *ctx, char *buf, size_t size)
{
	(void)ctx;
	snprintf(buf, size, "see whether there is room for what is not resident");
}

static void what_save(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	if (has_vf(ctx))
		snprintf(buf, size, "record driver and policy of %s for the way back", op->lease->vf_bdf);
	else
		snprintf(buf, size, "record the lease");
}

static void what_bind(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "driver %s -> %s", op->vf.driver[0] ? op->vf.driver : "none", VFIO_DRIVER);
}

static void what_policy(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "write the VF's policy on %s", op->lease->pf_name);
}

static void what_grant(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "/dev/vfio/%d to uid %u", op->lease->group_id, op->lease->owner_uid);
}

static void what_open(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "open %s (function-level reset)", op->lease->vf_bdf);
}

static void what_serve(const void *ctx, char *buf, size_t size)
{
	(void)ctx;
	snprintf(buf, size, "start gangway-device");
}

static void what_standby(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	if (op_plugs_standby(op))
		snprintf(buf, size, "make the emulated leg gwt%u on %s", op->lease->leg_nr, op->lease->pf_name);
	else
		snprintf(buf, size, "steer to the guest's own standby %s too", op->lease->standby_id);
}

static void what_leg_policy(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "give gwt%u the VF's policy", op->lease->leg_nr);
}

static void what_plug_standby(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "plug %s into %s", op->lease->standby_id, op->standby_bus);
}

static void what_drop_standby(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "remove gwt%u, whose NIC the VMM has refused", op->lease->leg_nr);
}

static void what_plug(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	if (op->incoming)
		snprintf(buf, size, "leave it until the guest runs here");
	else if (op->lease->prepared)
		snprintf(buf, size, "leave it to the VMM's command line");
	else if (op->memory_held != REASON_NONE)
		snprintf(buf, size, "leave it until the guest's memory may be pinned (%s)",
			 lease_reason_to_string(op->memory_held));
	else
		snprintf(buf, size, "plug %s into %s", op->lease->device_id, op->lease->bus);
}

static void what_drive(const void *ctx, char *buf, size_t size)
{
	(void)ctx;
	snprintf(buf, size, "wait for the guest's driver");
}

static void what_interrupts(const void *ctx, char *buf, size_t size)
{
	(void)ctx;
	snprintf(buf, size, "bring its interrupts to the guest's vCPUs");
}

static void what_record(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	snprintf(buf, size, "record the lease as %s", op->lease->prepared ? "prepared" : "attached");
}

static void what_publish(const void *ctx, char *buf, size_t size)
{
	const struct op *op = ctx;

	if (op->vf_only)
		snprintf(buf, size, "the lease has a VF");
	else
		snprintf(buf, size, "the lease is %s", op->lease->prepared ? "prepared" : "attached");
}

const struct step attach_table[] = {
	/* while the VMM thinks about its answer, the host is looked at */
	{ .name = "ask-guest", .preflight = true, .applies = is_hot, .what = what_ask, .run = step_ask_guest },
	{ .name = "find", .worker = true, .preflight = true, .what = what_find, .run = step_find },
	{ .name = "reserve", .preflight = true, .what = what_reserve, .run = step_reserve },
	{ .name = "check", .worker = true, .preflight = true, .what = what_check, .run = step_check, .after = after_check },
	{ .name = "answer",
	  .waits = STEP_WAITS_VMM,
	  .preflight = true,
	  .applies = is_hot,
	  .what = what_answer,
	  .run = step_answer },
	{ .name = "own-standby",
	  .worker = true,
	  .preflight = true,
	  .applies = has_own_standby,
	  .what = what_own_standby,
	  .run = step_own_standby,
	  .after = after_own_standby },
	{ .name = "check-memory",
	  .worker = true,
	  .preflight = true,
	  .applies = has_vf,
	  .what = what_check_memory,
	  .run = step_check_memory },
	/* one after the other, in the loop: what is admitted for one is not there for the next */
	{ .name = "admit", .preflight = true, .applies = has_vf, .what = what_admit, .run = step_admit },
	{ .name = "save",
	  .worker = true,
	  .what = what_save,
	  .undo_what = "forget the record",
	  .run = step_save,
	  .undo = undo_save,
	  .after = after_save },
	{ .name = "leg-policy",
	  .worker = true,
	  .applies = is_vf_only,
	  .what = what_leg_policy,
	  .undo_what = "take the VF's policy from the emulated leg",
	  .run = step_leg_policy,
	  .undo = undo_leg_policy },
	{ .name = "bind",
	  .waits = STEP_WAITS_KERNEL,
	  .worker = true,
	  .applies = has_vf,
	  .what = what_bind,
	  .undo_what = "put the VF's policy and driver back",
	  .run = step_bind,
	  .undo = undo_bind },
	{ .name = "policy", .worker = true, .applies = has_policy, .what = what_policy, .run = step_policy },
	{ .name = "grant",
	  .worker = true,
	  .applies = needs_grant,
	  .what = what_grant,
	  .undo_what = "take /dev/vfio/N back",
	  .run = step_grant,
	  .undo = undo_grant },
	{ .name = "open",
	  .waits = STEP_WAITS_KERNEL,
	  .worker = true,
	  .applies = is_vfio_user,
	  .what = what_open,
	  .undo_what = "close the VF",
	  .run = step_open,
	  .undo = undo_open,
	  .after = after_open },
	{ .name = "serve",
	  .applies = is_vfio_user,
	  .what = what_serve,
	  .undo_what = "end gangway-device",
	  .run = step_serve,
	  .undo = step_unserve },
	{ .name = "standby",
	  .worker = true,
	  .applies = has_standby,
	  .what = what_standby,
	  .undo_what = "undo the emulated leg",
	  .run = step_standby,
	  .undo = undo_standby,
	  .after = after_standby },
	{ .name = "plug-standby",
	  .waits = STEP_WAITS_VMM,
	  .applies = plugs_standby,
	  .what = what_plug_standby,
	  .undo_what = "take the standby NIC out of the guest",
	  .run = step_plug_standby,
	  .undo = step_unplug_standby },
	{ .name = "drop-standby",
	  .worker = true,
	  .applies = has_refused_standby,
	  .what = what_drop_standby,
	  .run = step_drop_standby,
	  .after = after_standby },
	{ .name = "plug",
	  .waits = STEP_WAITS_VMM,
	  .applies = is_whole,
	  .what = what_plug,
	  .undo_what = "have the guest let the VF go",
	  .run = step_plug,
	  .undo = step_unplug },
	{ .name = "drive", .waits = STEP_WAITS_GUEST, .applies = is_here, .what = what_drive, .run = step_drive },
	{ .name = "interrupts",
	  .applies = has_vf,
	  .what = what_interrupts,
	  .undo_what = "give its interrupts back to the host",
	  .undo = undo_interrupts },
	{ .name = "record",
	  .worker = true,
	  .what = what_record,
	  .undo_what = "record that it is being undone",
	  .run = step_record,
	  .undo = undo_record },
	{ .name = "publish", .what = what_publish, .run = step_publish, .after = after_publish },
};
const size_t attach_table_len = sizeof(attach_table) / sizeof(attach_table[0]);
