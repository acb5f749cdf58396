/* SPDX-License-Identifier: GPL-2.0-or-later */
/* preflight: everything that can be known to fail, found before anything is changed. */
#ifndef GANGWAY_PREFLIGHT_H
#define GANGWAY_PREFLIGHT_H

#include <stdbool.h>

struct err;
struct op;

/* The host: PF, group, VFIO, policy. On a worker, and while the VMM is still to answer: nothing here looks at op->info. */
int preflight_host(struct op *op, struct err *err);
/* The guest's RAM, once it is known, against the host's, the IOVA ranges and what may be locked. On a worker. */
int preflight_memory(struct op *op, struct err *err);
/* vfio-user: is the guest's memory shared? If not: refused, or op->memory_held. In the loop. */
int preflight_shared(struct op *op, struct err *err);
/* What does pinning the guest's RAM take, and what can host and cgroup give: op->facts. On a worker; step_admit() judges. */
int preflight_look(struct op *op, struct err *err);
/* Is the VF where the guest may be? A warning if not. On a worker. */
void preflight_numa(struct op *op);
/* May the guest be on @node, the node of a PF, with vCPUs and memory? Yes, too, where that is not known. On a worker. */
bool preflight_numa_suits(const struct op *op, int node);
/* The guest, from op->info: memory, slot; settles via and bus. In the loop. */
int preflight_guest(struct op *op, struct err *err);

#endif
