/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lease without a VF: of a guest that has come, or is yet to come, by migration to a host where none was to be had. It has its emulated
 * leg, and its switch asks for a VF when there is a reason to believe in one. Getting it is the part of the attach table that is about the VF,
 * run by an operation that holds the lease; what fails is undone, and the lease is as it was.
 */
#include <errno.h>
#include <stdio.h>

#include "again.h"
#include "daemon.h"
#include "log.h"
#include "op.h"
#include "switcher.h"

bool op_has_vf(const struct op *op)
{
	return op->lease->vf_bdf[0] && !op->no_vf.num;
}

int op_forgo_vf(struct op *op, int r, struct err *err)
{
	if (r >= 0 || !op->any_vf || op->vf_only || op->lease->prepared || op->lease->standby.kind == EMUL_NONE)
		return r;
	op->no_vf = *err;
	op->vf = (struct sriov_vf){ 0 }; /* its policy is none of the leg's */
	err_clear(err);
	return 0;
}

bool attach_has(const struct lease *l)
{
	return l->op && !l->op->vf_only;
}

void attach_vf_free(struct daemon *d)
{
	switcher_vf_free(d);
	again_hint(d);
}

/* What is left of a VF, of a gangwayd that was killed on the way or of an undo that failed, is gone now: the next try gets one. */
static int tidied(const struct lease *l, struct err *err)
{
	err_set(err, -EAGAIN, "lease.busy", "lease %s: the VF that it was being given has been put back first", l->id);
	return -EAGAIN;
}

/* Of @op, which is over: what it leaves the lease with. */
static int settle(const struct op *op, int r, const struct step *stuck, struct err *err)
{
	struct lease *l = op->lease;

	if (stuck)
		return r; /* half a VF: tidied up before the next try */
	if (r == 0 && !op->detach) {
		l->half_vf = false;
		log_info("lease %s: it has %s/vf%u (%s)", l->id, l->pf_name, l->vf_index, l->vf_bdf);
		return 0;
	}
	lease_clear_vf(l);
	if (r == 0)
		return tidied(l, err);
	/* the switch waits for a VF to become free at this errno alone, and at no other */
	return op->none_free ? -ENODEV : r == -ENODEV ? -ENXIO : r;
}

void op_vf_finished(struct op *op, int r, const struct err *why, const struct step *stuck)
{
	struct switcher *s = op->lease->sw;
	struct err err = { 0 };

	if (why)
		err = *why;
	op->over = true;
	op->over_r = settle(op, r, stuck, &err);
	op->over_err = err;
	if (op->beginning)
		return; /* attach_get_vf() has it */
	r = op->over_r;
	op_free(op);
	switcher_acted(s, r, &err);
}

int attach_get_vf(struct lease *l, struct err *err)
{
	struct op *op = op_new(l, NULL);
	int r = 0;

	if (!op || op_copy_leased(op, err) < 0) {
		op_free(op);
		return err_set(err, -ENOMEM, "daemon.no-memory", "lease %s: no memory to get it a VF", l->id);
	}
	op->vf_only = true;
	op->via_asked = l->via;
	op->beginning = true;
	if (l->half_vf) {
		op->detach = true;
		steps_undo(op->steps);
	} else {
		steps_run(op->steps, false);
	}
	op->beginning = false;
	if (!op->over)
		return 0;
	/* over already: nothing can be that fast but a failure */
	r = op->over_r;
	*err = op->over_err;
	op_free(op);
	return r < 0 ? r : -EAGAIN;
}
