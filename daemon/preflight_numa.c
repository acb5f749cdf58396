/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the VF on a NUMA node where the guest may be? The guest's vCPUs are threads of its VMM, and its memory is that process's: a VMM that may run on no
 * CPU of the VF's node, or have no memory there, has each frame and each interrupt cross over. No reason to refuse: it is told. All VFs of
 * a PF are on one node, so among those there is nothing to prefer; where an attach names several PFs there is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "gangway_limits.h"
#include "irq_thread.h"
#include "op.h"
#include "preflight.h"
#include "sys.h"

static void add_all(struct irq_cpus *all, const struct irq_cpus *some)
{
	for (size_t w = 0; w < sizeof(all->bits) / sizeof(all->bits[0]); w++)
		all->bits[w] |= some->bits[w];
}

/*
 * What its vCPUs may run on, all of them together; where none of its threads has the name of one, all its threads, of which those that are not pinned
 * hide where those are that are. False: not known.
 */
static bool vmm_cpus(const struct op *op, struct irq_cpus *ret)
{
	struct irq_cpus vcpus = { 0 }, all = { 0 };
	bool known = false, has_vcpus = false;
	char path[64], **tids;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)op->vmm_pid);
	if (op->d->sys->ops->list(op->d->sys, path, &tids) < 0)
		return false;
	for (unsigned i = 0; i < LIMIT_VMM_THREADS && tids[i]; i++) {
		pid_t tid = (pid_t)strtol(tids[i], NULL, 10);
		struct irq_thread thread;
		struct irq_cpus one;

		if (irq_thread_allowed(op->d->sys, op->vmm_pid, tid, &one, NULL) < 0)
			continue;
		known = true;
		add_all(&all, &one);
		if (irq_thread_read(op->d->sys, op->vmm_pid, tid, &thread, NULL) < 0 || !irq_thread_is_vcpu(&thread))
			continue;
		has_vcpus = true;
		add_all(&vcpus, &one);
	}
	sys_list_free(tids);
	*ret = has_vcpus ? vcpus : all;
	return known;
}

static bool is_apart(const struct irq_cpus *a, const struct irq_cpus *b)
{
	struct irq_cpus both = irq_cpus_and(a, b);

	return irq_cpus_nth(&both, 0) < 0;
}

/* What of the guest may not be on @node. Nothing, where that is not known. */
static void compare(const struct op *op, int nr, bool *cpus_apart, bool *memory_apart)
{
	struct irq_cpus node, cpus, mems, pf_node = { 0 };

	*cpus_apart = *memory_apart = false;
	if (nr < 0 || op->vmm_pid <= 0 || op->lease->prepared || irq_node_cpus(op->d->sys, nr, &node, NULL) < 0)
		return;
	irq_cpus_add(&pf_node, (unsigned)nr);
	/* a node without CPUs has memory alone */
	*cpus_apart = irq_cpus_nth(&node, 0) >= 0 && vmm_cpus(op, &cpus) && is_apart(&cpus, &node);
	*memory_apart = irq_thread_mems(op->d->sys, op->vmm_pid, op->vmm_pid, &mems, NULL) == 0 && is_apart(&mems, &pf_node);
}

bool preflight_numa_suits(const struct op *op, int node)
{
	bool cpus_apart, memory_apart;

	compare(op, node, &cpus_apart, &memory_apart);
	return !cpus_apart && !memory_apart;
}

void preflight_numa(struct op *op)
{
	bool cpus_apart, memory_apart;

	compare(op, op->vf.numa_node, &cpus_apart, &memory_apart);
	if (cpus_apart || memory_apart)
		op_warn(op, "the VF is on NUMA node %d, where the guest's %s not be: frames and interrupts cross between nodes",
			op->vf.numa_node,
			!memory_apart ? "vCPUs may"
			: !cpus_apart ? "memory may"
				      : "vCPUs and memory may");
}
