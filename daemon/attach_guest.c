/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of the attach table about the VF in the guest: plug, unplug, its driver. All are asynchronous: they end in op_step_done(). */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "devproc.h"
#include "guests.h"
#include "host_events.h"
#include "lease_memory.h"
#include "log.h"
#include "op.h"
#include "switcher.h"

/*
 * With vfio-pci nothing tells us when the guest's driver starts the device: the VMM writes the VF's command register in the kernel.
 * So it is read until it shows; a read is one config cycle.
 */
#define DRIVE_POLL_US 10000

/* --- plug --- */

void op_plug_of(const struct op *op, struct vmm_plug *ret)
{
	const struct lease *l = op->lease;

	*ret = (struct vmm_plug){ .id = l->device_id, .bus = l->bus, .failover_pair_id = l->emul ? l->standby_id : NULL };
	if (l->via == VIA_VFIO_USER)
		ret->socket_path = devproc_socket_path(l->dev);
	else
		ret->host_bdf = l->vf_bdf;
}

static void on_done(void *ctx, int r, const struct err *err)
{
	op_step_done(ctx, r < 0 ? r : 0, err);
}

static void on_plugged(void *ctx, int r, const struct err *err)
{
	struct op *op = ctx;

	op->hidden = r == 1; /* its driver is awaited all the same */
	if (r == 0 && op->lease->via == VIA_VFIO_PCI) /* the VMM has pinned before it answers; of a hidden one it has not */
		mem_account_settle(op->lease);
	op_step_done(op, r < 0 ? r : 0, err);
}

int step_plug(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct vmm_plug plug;
	struct guest *g;
	int r;

	if (op->lease->prepared || op->incoming || op->memory_held != REASON_NONE)
		return 0;
	r = op_need_vmm(op, &g, err);
	if (r < 0)
		return r;
	op_plug_of(op, &plug);
	r = vmm_plug(g->vmm, &plug, on_plugged, op, err);
	return r < 0 ? r : STEP_PENDING;
}

/* --- its undo --- */

static int unplug(struct op *op, struct guest *g, struct err *err)
{
	return vmm_unplug(g->vmm, op->lease->device_id, op->wait_ms ? op->wait_ms : op->d->config.unplug_timeout_ms, on_done, op,
			  err);
}

/* vfio-user: is the device there at all? Then a VMM that cannot unplug it safely must not be asked to. */
static void on_has_device(void *ctx, int r, const struct err *why)
{
	struct op *op = ctx;
	struct lease *l = op->lease;
	struct err err = { 0 };
	struct guest *g;

	if (r == 1 && !op->info.unplug_vfio_user_safe) {
		r = err_set(
			&err, -EBUSY, "vmm.unplug-unsafe",
			"guest %s: QEMU %s aborts the guest when a vfio-user device is unplugged (vmm-unplug-unsafe): not tried",
			l->guest, op->info.version);
		err_hint(&err, "shut the guest down: the lease then ends by itself; or attach with --via vfio-pci, which can be "
			       "detached");
		why = &err;
	} else if (r == 1) {
		r = guest_get(op->d, l->guest, &g, &err);
		if (r == 0)
			r = unplug(op, g, &err);
		if (r == 0)
			return;
		why = &err;
	}
	op_step_done(op, r, why);
}

static void on_undo_info(void *ctx, int r, const struct vmm_info *info, const struct err *why)
{
	struct op *op = ctx;
	struct err err = { 0 };
	struct guest *g;

	if (r == 0) {
		op->info = *info;
		r = guest_get(op->d, op->lease->guest, &g, &err);
		if (r == 0)
			r = vmm_has_device(g->vmm, op->lease->device_id, on_has_device, op, &err);
		if (r == 0)
			return;
		why = &err;
	}
	op_step_done(op, r, why);
}

int step_unplug(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct guest *g;
	int r;

	/* gangway-device ends: the VMM, which keeps the device for a guest that runs no more, is left without it */
	if (op->lease->left && op->lease->via == VIA_VFIO_USER)
		return 0;
	r = op_vmm_to_undo(op, step_unplug, &g, err);
	if (r != 0 || !g)
		return r;
	r = op->lease->via == VIA_VFIO_USER ? vmm_query(g->vmm, 0, on_undo_info, op, err) : unplug(op, g, err);
	return r < 0 ? r : STEP_PENDING;
}

/* --- drive --- */

static void drive_done(struct op *op, int r, const struct err *err)
{
	op_timer_off(op);
	op->awaiting_guest = false;
	op_step_done(op, r, err);
}

void op_check_driven(struct op *op)
{
	if (op->awaiting_guest && lease_vf_is_driven(op->lease))
		drive_done(op, 0, NULL);
}

static int guest_lost(const struct op *op, struct err *err)
{
	return err_set(err, -ECONNRESET, "guest.ended", "guest %s: %s while its driver was awaited", op->lease->guest, op->lost);
}

void op_guest_lost(struct op *op, const char *what)
{
	struct err err;

	op->lost = what;
	if (op->awaiting_guest)
		drive_done(op, guest_lost(op, &err), &err);
}

/* The VF is plugged and works as soon as a driver comes: no failure, but said. */
static void warn_undriven(struct op *op)
{
	unsigned ms = op->wait_ms ? op->wait_ms : op->d->config.guest_timeout_ms;

	if (op->hidden)
		op_warn(op,
			"the guest has not started the VF within %u ms. Its VMM keeps it from a guest that has not taken "
			"failover (Linux: "
			"net_failover), and the emulated leg carries: where its system cannot, detach it and attach with "
			"--standby none",
			ms);
	else
		op_warn(op,
			"the guest has not started the VF within %u ms: is the driver of this NIC (igbvf, iavf, mlx5, ...) in "
			"the guest?",
			ms);
}

static int on_drive_timer(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct op *op = ctx;

	if (lease_vf_is_driven(op->lease)) {
		drive_done(op, 0, NULL);
		return 0;
	}
	if (usec >= op->deadline_us) {
		warn_undriven(op);
		op->lease->reason = REASON_GUEST_NO_DRIVER;
		drive_done(op, 0, NULL);
		return 0;
	}
	if (sd_event_source_set_time(s, usec + DRIVE_POLL_US) < 0 || sd_event_source_set_enabled(s, SD_EVENT_ONESHOT) < 0)
		drive_done(op, -EIO, NULL);
	return 0;
}

int step_drive(void *ctx, struct err *err)
{
	struct op *op = ctx;
	unsigned ms = op->wait_ms ? op->wait_ms : op->d->config.guest_timeout_ms;
	uint64_t now;
	int r;

	op->lost = NULL; /* what was lost before the VF was plugged is another guest's */
	if (lease_vf_is_driven(op->lease))
		return 0;
	r = sd_event_now(op->d->event, CLOCK_MONOTONIC, &now);
	op->deadline_us = now + (uint64_t)ms * 1000;
	if (r >= 0)
		r = sd_event_add_time(op->d->event, &op->timer, CLOCK_MONOTONIC, now + DRIVE_POLL_US, 1000, on_drive_timer, op);
	if (r < 0)
		return err_set(err, r, "daemon.no-memory", "lease %s: no timer", op->lease->id);
	op->awaiting_guest = true;
	return STEP_PENDING;
}

/* --- publish --- */

/* The last look: while the record was being written, the guest may have gone. */
int step_publish(void *ctx, struct err *err)
{
	const struct op *op = ctx;

	if (op->vf_only && op->lease->via == VIA_VFIO_USER && !op->lease->dev)
		return err_set(err, -ECONNRESET, "device.lost", "VF %s: its gangway-device process ended", op->lease->vf_bdf);
	return op->lost && !op->lease->prepared ? guest_lost(op, err) : 0;
}

void after_publish(void *ctx)
{
	struct op *op = ctx;
	struct lease *l = op->lease;
	struct err err;
	bool in; /* the guest has the VF */

	if (op->vf_only)
		return; /* op_vf_finished() does */
	if (l->prepared) {
		l->again = (struct lease_again){ 0 };
		lease_set_state(l, LEASE_PREPARED, "ready for the guest to start");
		return;
	}
	host_look_at_link(l);
	if (op->no_vf.num)
		op_warn(op, "it has no VF for now and is given one when there is one: %s", op->no_vf.msg);
	in = !op->incoming && op->memory_held == REASON_NONE;
	l->memory.pressed = op->memory_held == REASON_MEMORY_PRESSURE; /* with the guest's other NICs */
	lease_hold_memory(l, l->memory.pressed ? REASON_NONE : op->memory_held, &op->memory_err);
	lease_set_state(l, LEASE_ATTACHED,
			op->incoming ? "ready for the guest to come"
			: in	     ? "the guest has the VF"
				     : "the guest has its emulated leg");
	lease_set_leg(l, in ? LEG_PASSTHROUGH : LEG_EMULATED, op->incoming ? REASON_MIGRATION : in ? l->reason : op->memory_held);
	lease_memory_warn(l, op->warnings);
	if (switcher_start(l, in, op->incoming, &err) < 0)
		op_warn(op, "%s", err.msg);
}
