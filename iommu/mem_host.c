/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem_host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "mem_internal.h"
#include "sys.h"

#define MEMINFO_MAX 8192
#define POOLS "/sys/kernel/mm/hugepages"
#define NODES "/sys/devices/system/node"
#define NODES_MAX 1024 /* entries of that folder that are looked at */

/* "hugepages-2048kB". 0: something else. */
static uint64_t page_bytes_of(const char *name)
{
	static const char prefix[] = "hugepages-";
	const char *at = name + sizeof(prefix) - 1, *end = name + strlen(name);
	uint64_t kib;

	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0 || !mem_take_u64(&at, end, &kib) || strcmp(at, "kB") != 0 ||
	    kib > UINT64_MAX / 1024)
		return 0;
	return kib * 1024;
}

static uint64_t read_count(struct sys *sys, const char *dir, const char *name, const char *file)
{
	char path[160];
	uint64_t v = 0;

	snprintf(path, sizeof(path), "%s/%s/%s", dir, name, file);
	return mem_read_number(sys, path, &v) < 0 ? 0 : v;
}

static void read_pools(struct sys *sys, struct mem_host *host)
{
	char **names;

	if (sys->ops->list(sys, POOLS, &names) < 0)
		return;
	for (char **n = names; *n && host->nr_pools < MEM_POOLS_MAX; n++) {
		uint64_t bytes = page_bytes_of(*n);

		if (!bytes)
			continue;
		host->pools[host->nr_pools++] = (struct mem_pool){
			.page_bytes = bytes,
			.total = read_count(sys, POOLS, *n, "nr_hugepages"),
			.free = read_count(sys, POOLS, *n, "free_hugepages"),
			.reserved = read_count(sys, POOLS, *n, "resv_hugepages"),
			.surplus = read_count(sys, POOLS, *n, "surplus_hugepages"),
			.overcommit = read_count(sys, POOLS, *n, "nr_overcommit_hugepages"),
		};
	}
	sys_list_free(names);
}

static void read_node(struct sys *sys, int node, struct mem_host *host)
{
	char dir[96], **names;

	snprintf(dir, sizeof(dir), NODES "/node%d/hugepages", node);
	if (sys->ops->list(sys, dir, &names) < 0)
		return;
	for (char **n = names; *n && host->nr_node_pools < MEM_NODE_POOLS_MAX; n++) {
		uint64_t bytes = page_bytes_of(*n);

		if (bytes)
			host->node_pools[host->nr_node_pools++] =
				(struct mem_node_pool){ .node = node,
							.page_bytes = bytes,
							.total = read_count(sys, dir, *n, "nr_hugepages"),
							.free = read_count(sys, dir, *n, "free_hugepages") };
	}
	sys_list_free(names);
}

static void read_nodes(struct sys *sys, struct mem_host *host)
{
	char **names;

	if (sys->ops->list(sys, NODES, &names) < 0)
		return;
	for (unsigned i = 0; i < NODES_MAX && names[i]; i++) {
		const char *at = names[i] + 4, *end = names[i] + strlen(names[i]);
		uint64_t node;

		if (!strncmp(names[i], "node", 4) && mem_take_u64(&at, end, &node) && !*at && node < NODES_MAX)
			read_node(sys, (int)node, host);
	}
	sys_list_free(names);
}

static int read_meminfo(struct sys *sys, struct mem_host *host, struct err *err)
{
	char text[MEMINFO_MAX];
	ssize_t n = sys->ops->read_file(sys, "/proc/meminfo", text, sizeof(text));

	if (n < 0)
		return err_set(err, (int)n, "mem.no-meminfo", "/proc/meminfo: %s", strerror((int)-n));
	if (mem_find_kib(text, (size_t)n, "MemTotal:", &host->total) < 0 ||
	    mem_find_kib(text, (size_t)n, "MemAvailable:", &host->available) < 0)
		return err_set(err, -EPROTO, "mem.bad-meminfo", "/proc/meminfo does not tell how much memory there is to give");
	mem_find_kib(text, (size_t)n, "SwapTotal:", &host->swap_total);
	mem_find_kib(text, (size_t)n, "SwapFree:", &host->swap_free);
	mem_find_kib(text, (size_t)n, "CommitLimit:", &host->commit_limit);
	mem_find_kib(text, (size_t)n, "Committed_AS:", &host->committed);
	return 0;
}

int mem_host_read(struct sys *sys, struct mem_host *ret, struct err *err)
{
	struct mem_host *host = calloc(1, sizeof(*host));
	uint64_t v;
	int r;

	if (!host)
		return err_set(err, -ENOMEM, "mem.no-memory", "no memory to look at the host's");
	r = read_meminfo(sys, host, err);
	if (r == 0) {
		host->overcommit = mem_read_number(sys, "/proc/sys/vm/overcommit_memory", &v) == 0 && v <= 2 ? (int)v : -1;
		read_pools(sys, host);
		read_nodes(sys, host);
		*ret = *host;
	}
	free(host);
	return r;
}

const struct mem_pool *mem_host_pool(const struct mem_host *host, uint64_t page_bytes)
{
	for (unsigned i = 0; i < host->nr_pools; i++)
		if (host->pools[i].page_bytes == page_bytes)
			return &host->pools[i];
	return NULL;
}
