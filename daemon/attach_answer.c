/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the client who asked for an attach or a detach is answered: the lease, the steps and their times, the arguments for QEMU. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "daemon.h"
#include "log.h"
#include "op.h"

static const char *const step_state_names[] = { "planned", "skipped", "done", "failed", "undone" };

void op_step_words(const struct op *op, const struct step *step, char *buf, size_t size)
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
		op_step_words(op, &table[i], what, sizeof(what));
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

void op_answer(struct op *op)
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

void op_answer_error(struct op *op, const struct err *err)
{
	log_warn("lease %s: %s: %s", op->lease->id, op->detach ? "detach" : "attach", err->msg);
	if (op->req)
		ctl_fail(op->req, err);
	op->req = NULL;
}
