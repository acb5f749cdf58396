/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mem_host: how much memory the host, its pools of huge pages and a process's cgroups (version 2) can give. On a worker. */
#ifndef GANGWAY_MEM_HOST_H
#define GANGWAY_MEM_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct sys;

#define MEM_POOLS_MAX 8 /* sizes of huge pages; x86 has 2, ARM 4 */
#define MEM_NODE_POOLS_MAX 64 /* of NUMA nodes; what is beyond is not told by node */
#define MEM_CGROUP_DEPTH 32 /* levels that are looked at */

struct mem_pool { /* of huge pages; numbers of pages */
	uint64_t page_bytes;
	uint64_t total, free, reserved, surplus, overcommit;
};

struct mem_node_pool {
	int node;
	uint64_t page_bytes, total, free;
};

struct mem_host { /* bytes */
	uint64_t total, available; /* MemAvailable: without swapping */
	uint64_t swap_total, swap_free;
	uint64_t commit_limit, committed;
	int overcommit; /* vm.overcommit_memory; -1 not known */
	unsigned nr_pools, nr_node_pools;
	struct mem_pool pools[MEM_POOLS_MAX];
	struct mem_node_pool node_pools[MEM_NODE_POOLS_MAX];
};

/* -EPROTO mem.bad-meminfo: MemTotal or MemAvailable missing or no number; mem.no-meminfo. Pools that are not told of are none. */
int mem_host_read(struct sys *sys, struct mem_host *ret, struct err *err);
/* NULL: no such pages. */
const struct mem_pool *mem_host_pool(const struct mem_host *host, uint64_t page_bytes);

struct mem_cgroup { /* bytes; UINT64_MAX: no limit */
	char path[256]; /* below /sys/fs/cgroup: "/machine.slice/vm1.scope"; "/" the root, which has no limits */
	uint64_t max, high, current; /* its own */
	uint64_t
		room; /* what it, and all above it, leave: to the lower of max and high, what can be dropped of the page cache added */
	char tightest[256]; /* which of them leaves least; "" none limits */
};

/*
 * Of @pid (0: ourselves). -ENOENT mem.cgroup-gone; -EOPNOTSUPP mem.no-cgroup: only version 1, or the process is outside of what we can
 * see; -EPROTO mem.bad-cgroup: text that the kernel does not write; -E2BIG mem.cgroup-deep.
 */
int mem_cgroup_read(struct sys *sys, pid_t pid, struct mem_cgroup *ret, struct err *err);

#endif
