/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mem_facts: what a VF would cost a guest's memory, put together: what its VMM says of it, what the kernel has of it, what host and cgroup
 * can give. For `memory show`, the preflight of an attach, and the way back to a VF.
 */
#ifndef GANGWAY_MEM_FACTS_H
#define GANGWAY_MEM_FACTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "lease.h"
#include "mem_area.h"

struct sys;
struct vmm_memdevs;

struct mem_facts {
	/* what is asked about */
	pid_t vmm; /* 0: not known */
	bool vmm_pins; /* vfio-pci: the VMM brings the pages; else our gangway-device does, in our own cgroup */
	uint64_t ram, margin;
	unsigned nr;
	struct mem_area areas[MEM_AREAS_MAX];
	/* what was found */
	struct err process_err; /* why what the VMM has is not known: it counts as not there. .num 0: it is */
	struct err cgroup_err; /* why the cgroup is not known: it counts as without limits */
	struct mem_process process;
	struct mem_host host;
	struct mem_cgroup cgroup;
	struct mem_need need;
	struct mem_room room;
	uint64_t booked; /* that was admitted for others and is not pinned yet: taken off room.host; mem_account.h */
};

/* Of a guest with @ram bytes in @memdevs, whose VMM is @vmm (0: not known). In the loop. */
void mem_facts_ask(struct mem_facts *f, const struct vmm_memdevs *memdevs, uint64_t ram, pid_t vmm, enum lease_via via,
		   uint64_t margin);
/* On a worker. mem.no-meminfo, mem.bad-meminfo: nothing can be said of the host; else 0, also where little is known of the guest. */
int mem_facts_read(struct sys *sys, struct mem_facts *f, struct err *err);
/* The same of host and cgroup alone, which others have pinned memory of meanwhile. */
int mem_facts_look_again(struct sys *sys, struct mem_facts *f, struct err *err);
/* "attach would pin 4.0 GiB, 2.9 GiB of it not resident; the host has 1.2 GiB to give" */
#define MEM_FACTS_TEXT_MAX 400
void mem_facts_text(const struct mem_facts *f, char buf[static MEM_FACTS_TEXT_MAX]);
/*
 * Members for the control protocol, "need" and "room" and all else but the guest's name. @memdevs: those that were asked about. NULL: no
 * memory.
 */
json_t *mem_facts_to_json(const struct mem_facts *f, const struct vmm_memdevs *memdevs);

#endif
