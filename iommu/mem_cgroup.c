/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process's cgroup and those above it: what each leaves, the least of which counts. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "mem_host.h"
#include "mem_internal.h"
#include "sys.h"

#define ROOT "/sys/fs/cgroup"
#define PROC_MAX 4096 /* a line for each hierarchy of version 1, too */
#define STAT_MAX 8192

/* The line "0::/path". */
static int find_path(struct sys *sys, pid_t pid, char *ret, size_t size, struct err *err)
{
	char path[64], text[PROC_MAX];
	const char *at = text, *end, *stop;
	ssize_t n;

	mem_proc_path(path, sizeof(path), pid, "cgroup");
	n = sys->ops->read_file(sys, path, text, sizeof(text));
	if (n < 0)
		return err_set(err, n == -ENOENT ? -ESRCH : (int)n, "mem.process-gone", "process %d: cgroup: %s", (int)pid,
			       strerror((int)-n));
	for (end = text + n; at < end; at = stop + 1) {
		stop = memchr(at, '\n', (size_t)(end - at));
		if (!stop)
			break;
		if (stop - at < 4 || memcmp(at, "0::/", 4) != 0)
			continue;
		at += 3;
		if ((size_t)(stop - at) >= size || memchr(at, '\0', (size_t)(stop - at)))
			return err_set(err, -EPROTO, "mem.bad-cgroup", "process %d: the path of its cgroup is too long",
				       (int)pid);
		memcpy(ret, at, (size_t)(stop - at));
		ret[stop - at] = '\0';
		return 0;
	}
	return err_set(err, -EOPNOTSUPP, "mem.no-cgroup", "process %d: it is in no cgroup of version 2", (int)pid);
}

/* Of a process outside of what our namespace shows, the path begins with "/..": there is nothing to see. A component ".." is no cgroup's name. */
static bool is_visible(const char *path)
{
	const char *at = path;

	while ((at = strstr(at, "/.."))) {
		at += 3;
		if (!*at || *at == '/')
			return false;
	}
	return true;
}

struct level {
	uint64_t max, high, current, room;
};

/* What can be dropped without writing it anywhere: as MemAvailable counts it, but without the active half. */
static uint64_t droppable(struct sys *sys, const char *dir)
{
	char path[PROC_MAX], text[STAT_MAX];
	uint64_t file = 0, slab = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/memory.stat", dir);
	n = sys->ops->read_file(sys, path, text, sizeof(text));
	if (n < 0)
		return 0;
	mem_find_u64(text, (size_t)n, "inactive_file ", &file);
	mem_find_u64(text, (size_t)n, "slab_reclaimable ", &slab);
	return __builtin_add_overflow(file, slab, &file) ? 0 : file;
}

/* -ENODATA: the controller is not on at this level, or it is the root. */
static int read_level(struct sys *sys, const char *dir, struct level *ret)
{
	static const char *const files[] = { "memory.max", "memory.high", "memory.current" };
	struct level l = { 0 };
	uint64_t *values[] = { &l.max, &l.high, &l.current }, limit, used, drop;
	char path[PROC_MAX];

	for (unsigned i = 0; i < 3; i++) {
		int r;

		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		r = mem_read_number(sys, path, values[i]);
		if (r < 0)
			return r == -ENOENT ? -ENODATA : r;
	}
	limit = l.max < l.high ? l.max : l.high;
	l.room = UINT64_MAX;
	if (limit != UINT64_MAX) {
		drop = droppable(sys, dir);
		used = l.current > drop ? l.current - drop : 0;
		l.room = limit > used ? limit - used : 0;
	}
	*ret = l;
	return 0;
}

static int walk(struct sys *sys, struct mem_cgroup *g, struct err *err)
{
	char dir[sizeof(ROOT) + sizeof(g->path)];
	struct level l;
	unsigned depth = 0;

	g->max = g->high = g->room = UINT64_MAX;
	snprintf(dir, sizeof(dir), ROOT "%s", g->path);
	while (strlen(dir) > sizeof(ROOT)) {
		int r = read_level(sys, dir, &l);

		if (++depth > MEM_CGROUP_DEPTH)
			return err_set(err, -E2BIG, "mem.cgroup-deep", "cgroup %s: more than %d levels", g->path,
				       MEM_CGROUP_DEPTH);
		if (r < 0 && r != -ENODATA)
			return err_set(err, r, "mem.bad-cgroup", "cgroup %s: %s", dir + sizeof(ROOT) - 1, strerror(-r));
		if (r == 0 && depth == 1) {
			g->max = l.max;
			g->high = l.high;
			g->current = l.current;
		}
		if (r == 0 && l.room < g->room) {
			g->room = l.room;
			snprintf(g->tightest, sizeof(g->tightest), "%.255s", dir + sizeof(ROOT) - 1);
		}
		*strrchr(dir, '/') = '\0';
	}
	return 0;
}

int mem_cgroup_read(struct sys *sys, pid_t pid, struct mem_cgroup *ret, struct err *err)
{
	struct mem_cgroup g = { 0 };
	char dir[sizeof(ROOT) + sizeof(g.path)];
	int r = find_path(sys, pid, g.path, sizeof(g.path), err);

	if (r < 0)
		return r;
	if (!is_visible(g.path))
		return err_set(err, -EOPNOTSUPP, "mem.no-cgroup", "process %d: its cgroup is outside of what gangwayd sees",
			       (int)pid);
	snprintf(dir, sizeof(dir), ROOT "%s", g.path);
	if (!sys_exists(sys, dir))
		return err_set(err, -ENOENT, "mem.cgroup-gone", "cgroup %s: it is gone", g.path);
	r = walk(sys, &g, err);
	if (r == 0)
		*ret = g;
	return r;
}
