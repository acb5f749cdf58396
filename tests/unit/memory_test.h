/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of a guest's memory share: its VMM's process as the kernel tells of it. Guest vm1 has 512 MiB. */
#ifndef GANGWAY_MEMORY_TEST_H
#define GANGWAY_MEMORY_TEST_H

#include "attach_test.h"
#include "fake_internal.h"

#define MIB (1ll << 20)
#define RAM_MIB 512

struct put_memory {
	bool shared;
	const char *file; /* NULL: anonymous */
	unsigned resident, anonymous, merged, swapped; /* MiB */
};

/* The VMM's mapping of its RAM. */
static inline void put_memory_of(const struct fake_guest *g, const struct put_memory *m)
{
	char text[1024];

	fake_mkdir(h->fake, "/proc/%d", g->pid);
	fake_put(h->fake, "VmLck:\t 0 kB\nVmPin:\t 0 kB\nVmSwap:\t 0 kB\nCapEff:\t0000000000000000\n", "/proc/%d/status", g->pid);
	snprintf(text, sizeof(text), "0::/%s\n", g->name);
	fake_put(h->fake, text, "/proc/%d/cgroup", g->pid);
	fake_mkdir(h->fake, "/sys/fs/cgroup/%s", g->name);
	snprintf(text, sizeof(text),
		 "7f0000000000-7f0020000000 rw-%c 00000000 00:01 %d %s\nKernelPageSize: 4 kB\nRss: %u kB\nPrivate_Dirty: %u kB\n"
		 "Anonymous: %u kB\nKSM: %u kB\nSwap: %u kB\nVmFlags: rd wr\n",
		 m->shared ? 's' : 'p', m->file ? 5 : 0, m->file ? m->file : "", m->resident << 10, m->resident << 10,
		 m->anonymous << 10, m->merged << 10, m->swapped << 10);
	fake_put(h->fake, text, "/proc/%d/smaps", g->pid);
}

static inline void put_memory(const struct put_memory *m)
{
	put_memory_of(vm1, m);
}

static inline void put_available(unsigned mib)
{
	fake_host_put_available(h, mib);
}

static inline void put_cgroup(unsigned max_mib, unsigned current_mib)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu\n", max_mib * MIB);
	fake_put(h->fake, text, "/sys/fs/cgroup/vm1/memory.max");
	fake_put(h->fake, "max\n", "/sys/fs/cgroup/vm1/memory.high");
	snprintf(text, sizeof(text), "%llu\n", current_mib * MIB);
	fake_put(h->fake, text, "/sys/fs/cgroup/vm1/memory.current");
}

#endif
