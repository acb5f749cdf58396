/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the VF on a NUMA node where the guest may be? The guest's vCPUs are threads of its VMM, and its memory is that process's: a VMM that may run on no
 * CPU of the VF's node, or have no memory there, has each frame and each interrupt cross over. No reason to refuse: it is told. All VFs of
 * a PF are on one node, so among those there is nothing to prefer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "irq_thread.h"
#include "op.h"
#include "preflight.h"
#include "sys.h"

#define THREADS_MAX 4096 /* of a VMM that are looked at */

/* What its threads may run on, all of them together. False: not known. */
static bool vmm_cpus(struct op *op, struct irq_cpus *ret)
{
	char path[64], **tids;
	bool known = false;

	*ret = (struct irq_cpus){ 0 };
	snprintf(path, sizeof(path), "/proc/%d/task", (int)op->vmm_pid);
	if (op->d->sys->ops->list(op->d->sys, path, &tids) < 0)
		return false;
	for (unsigned i = 0; i < THREADS_MAX && tids[i]; i++) {
		struct irq_cpus one;

		if (irq_thread_allowed(op->d->sys, op->vmm_pid, (pid_t)strtol(tids[i], NULL, 10), &one, NULL) < 0)
			continue;
		known = true;
		for (size_t w = 0; w < sizeof(one.bits) / sizeof(one.bits[0]); w++)
			ret->bits[w] |= one.bits[w];
	}
	sys_list_free(tids);
	return known;
}

static bool is_apart(const struct irq_cpus *a, const struct irq_cpus *b)
{
	struct irq_cpus both = irq_cpus_and(a, b);

	return irq_cpus_nth(&both, 0) < 0;
}

void preflight_numa(struct op *op)
{
	struct irq_cpus node, cpus, mems, vf_node = { 0 };
	int nr = op->vf.numa_node;
	bool cpus_apart, memory_apart;

	if (nr < 0 || op->vmm_pid <= 0 || op->lease->prepared || irq_node_cpus(op->d->sys, nr, &node, NULL) < 0)
		return;
	irq_cpus_add(&vf_node, (unsigned)nr);
	/* a node without CPUs has memory alone */
	cpus_apart = irq_cpus_nth(&node, 0) >= 0 && vmm_cpus(op, &cpus) && is_apart(&cpus, &node);
	memory_apart = irq_thread_mems(op->d->sys, op->vmm_pid, op->vmm_pid, &mems, NULL) == 0 && is_apart(&mems, &vf_node);
	if (cpus_apart || memory_apart)
		op_warn(op, "the VF is on NUMA node %d, where the guest's %s not be: frames and interrupts cross between nodes",
			nr,
			!memory_apart ? "vCPUs may"
			: !cpus_apart ? "memory may"
				      : "vCPUs and memory may");
}
