/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the host, its huge pages and a cgroup can give. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "fake_internal.h"
#include "mem_host.h"

#define MIB (1ull << 20)
#define HUGE "/sys/kernel/mm/hugepages/hugepages-2048kB"

static void put_pool(struct fake *fake, const char *dir, const char *total, const char *free)
{
	fake_mkdir(fake, "%s", dir);
	fake_put(fake, total, "%s/nr_hugepages", dir);
	fake_put(fake, free, "%s/free_hugepages", dir);
}

Test(mem_host, read)
{
	struct fake *fake = fake_new();
	struct mem_host host;
	struct err err;

	fake_mkdir(fake, "/proc/sys/vm");
	fake_put(fake,
		 "MemTotal:  4194304 kB\nMemFree: 1 kB\nMemAvailable:    1048576 kB\nSwapTotal:  2048 kB\nSwapFree: 1024 kB\n"
		 "CommitLimit: 8 kB\nCommitted_AS: 4 kB\n",
		 "/proc/meminfo");
	fake_put(fake, "2\n", "/proc/sys/vm/overcommit_memory");
	put_pool(fake, HUGE, "640\n", "40\n");
	fake_put(fake, "30\n", HUGE "/resv_hugepages");
	fake_mkdir(fake, "/sys/kernel/mm/hugepages/what");
	put_pool(fake, "/sys/devices/system/node/node0/hugepages/hugepages-2048kB", "600\n", "33\n");
	put_pool(fake, "/sys/devices/system/node/node1/hugepages/hugepages-2048kB", "40\n", "7\n");
	fake_mkdir(fake, "/sys/devices/system/node/nodeX/hugepages/hugepages-2048kB");
	cr_assert_eq(mem_host_read(fake_sys(fake), &host, &err), 0);
	cr_assert(host.total == 4096 * MIB && host.available == 1024 * MIB && host.swap_total == 2 * MIB && host.overcommit == 2);
	cr_assert(host.nr_pools == 1 && host.pools[0].page_bytes == 2 * MIB && host.pools[0].free == 40 &&
		  host.pools[0].reserved == 30);
	cr_assert(host.nr_node_pools == 2 && host.node_pools[1].node == 1 && host.node_pools[1].free == 7);
	cr_assert(mem_host_pool(&host, 2 * MIB) == &host.pools[0] && !mem_host_pool(&host, 1024 * MIB));
	fake_free(fake);
}

Test(mem_host, bad)
{
	static const char *const texts[] = { "", "MemTotal: 1 kB\n", "MemTotal: 1 kB\nMemAvailable: many kB\n",
					     "MemTotal: 1 kB\nMemAvailable: 99999999999999999999 kB\n" };
	struct mem_host host = { .total = 77 };
	struct fake *fake = fake_new();
	struct err err;

	cr_assert_eq(mem_host_read(fake_sys(fake), &host, &err), -ENOENT);
	cr_assert_str_eq(err.code, "mem.no-meminfo");
	fake_mkdir(fake, "/proc");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		fake_put(fake, texts[i], "/proc/meminfo");
		cr_assert_eq(mem_host_read(fake_sys(fake), &host, &err), -EPROTO, "%s", texts[i]);
		cr_assert_str_eq(err.code, "mem.bad-meminfo");
	}
	cr_assert_eq(host.total, 77u);
	fake_free(fake);
}

static void put_level(struct fake *fake, const char *path, const char *max, const char *high, const char *current,
		      const char *stat)
{
	fake_mkdir(fake, "/sys/fs/cgroup%s", path);
	fake_put(fake, max, "/sys/fs/cgroup%s/memory.max", path);
	fake_put(fake, high, "/sys/fs/cgroup%s/memory.high", path);
	fake_put(fake, current, "/sys/fs/cgroup%s/memory.current", path);
	fake_put(fake, stat, "/sys/fs/cgroup%s/memory.stat", path);
}

static struct fake *begin(const char *cgroup)
{
	struct fake *fake = fake_new();

	fake_mkdir(fake, "/proc/7");
	fake_put(fake, cgroup, "/proc/7/cgroup");
	fake_mkdir(fake, "/sys/fs/cgroup");
	return fake;
}

Test(mem_cgroup, the_tightest_level_counts)
{
	struct fake *fake = begin("12:devices:/x\n0::/machine.slice/vm1.scope\n");
	struct mem_cgroup g;

	put_level(fake, "/machine.slice", "1073741824\n", "536870912\n", "209715200\n",
		  "anon 5\ninactive_file 104857600\nslab_reclaimable 0\n");
	put_level(fake, "/machine.slice/vm1.scope", "max\n", "629145600\n", "104857600\n", "anon 1\n");
	cr_assert_eq(mem_cgroup_read(fake_sys(fake), 7, &g, NULL), 0);
	cr_assert_str_eq(g.path, "/machine.slice/vm1.scope");
	cr_assert(g.max == UINT64_MAX && g.high == 600 * MIB && g.current == 100 * MIB);
	/* of its slice: 512 MiB, of which 200 are used, of which 100 can be dropped */
	cr_assert_eq(g.room, 412 * MIB);
	cr_assert_str_eq(g.tightest, "/machine.slice");
	/* above its limit: there is nothing to give */
	put_level(fake, "/machine.slice/vm1.scope", "max\n", "1048576\n", "104857600\n", "");
	cr_assert_eq(mem_cgroup_read(fake_sys(fake), 7, &g, NULL), 0);
	cr_assert(g.room == 0 && !strcmp(g.tightest, "/machine.slice/vm1.scope"));
	fake_free(fake);
}

Test(mem_cgroup, no_limits)
{
	struct fake *fake = begin("0::/\n");
	struct mem_cgroup g;

	cr_assert_eq(mem_cgroup_read(fake_sys(fake), 7, &g, NULL), 0);
	cr_assert(g.room == UINT64_MAX && !g.tightest[0]);
	/* the controller is off in it */
	fake_put(fake, "0::/a/b\n", "/proc/7/cgroup");
	fake_mkdir(fake, "/sys/fs/cgroup/a/b");
	cr_assert_eq(mem_cgroup_read(fake_sys(fake), 7, &g, NULL), 0);
	cr_assert_eq(g.room, UINT64_MAX);
	fake_free(fake);
}

Test(mem_cgroup, bad)
{
	char long_path[400];
	struct mem_cgroup g = { .room = 77 };
	struct fake *fake = begin("0::/gone\n");
	struct err err;

	cr_assert_eq(mem_cgroup_read(fake_sys(fake), 8, &g, &err), -ESRCH);
	cr_assert_eq(mem_cgroup_read(fake_sys(fake), 7, &g, &err), -ENOENT);
	cr_assert_str_eq(err.code, "mem.cgroup-gone");
	fake_put(fake, "1:memory:/a\n", "/proc/7/cgroup");
	cr_assert_eq(mem_cgroup_read(fake_sys(fake), 7, &g, &err), -EOPNOTSUPP);
	cr_assert_str_eq(err.code, "mem.no-cgroup");
	fake_put(fake, "0::/../outside\n", "/proc/7/cgroup");
	cr_assert_eq(mem_cgroup_read(fake_sys(fake), 7, &g, &err), -EOPNOTSUPP);
	fake_put(fake, "0::/a/..\n", "/proc/7/cgroup");
	cr_assert_eq(mem_cgroup_read(fake_sys(fake), 7, &g, &err), -EOPNOTSUPP);
	fake_put(fake, "0::/cut", "/proc/7/cgroup");
	cr_assert_eq(mem_cgroup_read(fake_sys(fake), 7, &g, &err), -EOPNOTSUPP);
	memset(long_path, 'a', sizeof(long_path));
	memcpy(long_path, "0::/", 4);
	strcpy(long_path + sizeof(long_path) - 2, "\n");
	fake_put(fake, long_path, "/proc/7/cgroup");
	cr_assert_eq(mem_cgroup_read(fake_sys(fake), 7, &g, &err), -EPROTO);
	cr_assert_str_eq(err.code, "mem.bad-cgroup");
	fake_put(fake, "0::/bad\n", "/proc/7/cgroup");
	put_level(fake, "/bad", "lots\n", "max\n", "1\n", "");
	cr_assert_eq(mem_cgroup_read(fake_sys(fake), 7, &g, &err), -EPROTO);
	cr_assert_eq(g.room, 77u);
	fake_free(fake);
}

static int read_depth(unsigned depth, struct mem_cgroup *g)
{
	char path[128] = "";
	char text[160];
	struct fake *fake;
	int r;

	for (unsigned i = 0; i < depth; i++)
		strcat(path, "/a");
	snprintf(text, sizeof(text), "0::%s\n", path);
	fake = begin(text);
	fake_mkdir(fake, "/sys/fs/cgroup%s", path);
	r = mem_cgroup_read(fake_sys(fake), 7, g, NULL);
	fake_free(fake);
	return r;
}

Test(mem_cgroup, depth)
{
	struct mem_cgroup g;

	cr_assert_eq(read_depth(MEM_CGROUP_DEPTH, &g), 0);
	cr_assert_eq(read_depth(MEM_CGROUP_DEPTH + 1, &g), -E2BIG);
}
