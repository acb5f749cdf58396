/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem_process.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "mem_internal.h"
#include "sys.h"

#define STATUS_MAX 32768 /* groups and masks of CPUs may be long; what is wanted stands before them */
#define LIMITS_MAX 4096
#define KSM_MAX 1024
#define LOCK_LABEL "Max locked memory"

static int not_told(pid_t pid, const char *file, int num, struct err *err)
{
	if (num == -ENOENT || num == -ESRCH)
		return err_set(err, -ESRCH, "mem.process-gone", "process %d: it is gone", (int)pid);
	return err_set(err, num, "mem.not-told", "process %d: %s: %s", (int)pid, file, strerror(-num));
}

static bool may_lock(const char *text, size_t len)
{
	static const char label[] = "\nCapEff:";
	const char *at = len ? memmem(text, len, label, sizeof(label) - 1) : NULL;
	char digits[32] = "";

	if (!at)
		return false;
	at += sizeof(label) - 1;
	snprintf(digits, sizeof(digits), "%.*s", (int)(text + len - at < 24 ? text + len - at : 24), at);
	return strtoull(digits, NULL, 16) & (1ull << CAP_IPC_LOCK);
}

static void read_limit(struct sys *sys, pid_t pid, struct mem_process *ret)
{
	char path[64], text[LIMITS_MAX];
	const char *at;
	ssize_t n;

	mem_proc_path(path, sizeof(path), pid, "limits");
	n = sys->ops->read_file(sys, path, text, sizeof(text));
	at = n > 0 ? memmem(text, (size_t)n, LOCK_LABEL, strlen(LOCK_LABEL)) : NULL;
	if (!at)
		return;
	at += strlen(LOCK_LABEL);
	while (at < text + n && *at == ' ')
		at++;
	if (text + n - at >= 9 && !memcmp(at, "unlimited", 9))
		ret->lock_limit = MEM_NO_LIMIT;
	else if (!mem_take_u64(&at, text + n, &ret->lock_limit))
		return;
	ret->knows_limit = true;
}

static void read_merged(struct sys *sys, pid_t pid, struct mem_process *ret)
{
	char path[64], text[KSM_MAX];
	uint64_t pages;
	ssize_t n;

	mem_proc_path(path, sizeof(path), pid, "ksm_stat");
	n = sys->ops->read_file(sys, path, text, sizeof(text));
	if (n < 0 || mem_find_u64(text, (size_t)n, "ksm_merging_pages", &pages) < 0) {
		mem_proc_path(path, sizeof(path), pid, "ksm_merging_pages"); /* 6.1 has it here, and not there yet */
		if (mem_read_number(sys, path, &pages) < 0)
			return;
	}
	ret->knows_merged = !__builtin_mul_overflow(pages, (uint64_t)sysconf(_SC_PAGESIZE), &ret->merged);
}

int mem_process_read(struct sys *sys, pid_t pid, struct mem_process *ret, struct err *err)
{
	struct mem_process p = { 0 };
	char path[64], *text;
	ssize_t n;
	int r = 0;

	text = malloc(STATUS_MAX);
	if (!text)
		return err_set(err, -ENOMEM, "mem.no-memory", "process %d: no memory to look at it", (int)pid);
	mem_proc_path(path, sizeof(path), pid, "status");
	n = sys->ops->read_file(sys, path, text, STATUS_MAX);
	if (n < 0)
		r = not_told(pid, "status", (int)n, err);
	else if (mem_find_kib(text, (size_t)n, "VmLck:", &p.locked) < 0 ||
		 mem_find_kib(text, (size_t)n, "VmPin:", &p.pinned) < 0 ||
		 mem_find_kib(text, (size_t)n, "VmSwap:", &p.swapped) < 0)
		r = err_set(err, -EPROTO, "mem.bad-status", "process %d: status does not tell what is locked", (int)pid);
	if (r == 0) {
		if (mem_find_kib(text, (size_t)n, "VmRSS:", &p.resident) < 0)
			p.resident = 0;
		read_limit(sys, pid, &p);
		read_merged(sys, pid, &p);
		if (may_lock(text, (size_t)n)) {
			p.lock_limit = MEM_NO_LIMIT;
			p.knows_limit = true;
		}
		*ret = p;
	}
	free(text);
	return r;
}

int mem_process_maps(struct sys *sys, pid_t pid, struct mem_maps *ret, struct err *err)
{
	char path[64], *text = malloc(MEM_SMAPS_MAX + 1);
	ssize_t n;
	int r;

	if (!text)
		return err_set(err, -ENOMEM, "mem.no-memory", "process %d: no memory to look at it", (int)pid);
	mem_proc_path(path, sizeof(path), pid, "smaps");
	n = sys->ops->read_file(sys, path, text, MEM_SMAPS_MAX + 1);
	if (n < 0)
		r = not_told(pid, "smaps", (int)n, err);
	else if (n > MEM_SMAPS_MAX)
		r = err_set(err, -EOVERFLOW, "mem.too-large", "process %d: its list of mappings is longer than %u MiB", (int)pid,
			    MEM_SMAPS_MAX >> 20);
	else if (n == 0) /* of a process that has ended and is not reaped yet */
		r = not_told(pid, "smaps", -ESRCH, err);
	else
		r = mem_smaps_parse(text, (size_t)n, ret);
	if (r == -EPROTO || r == -E2BIG)
		err_set(err, r, "mem.bad-smaps", "process %d: its mappings %s", (int)pid,
			r == -E2BIG ? "are too many" : "make no sense");
	free(text);
	return r;
}

/* Both say "/..." for a file of theirs: by what they are called where nothing has a path, which no file on a disk is. */
static bool has_blocks_in_memory(const struct mem_map *map)
{
	return map->page_bytes > (uint64_t)sysconf(_SC_PAGESIZE) || !strncmp(map->name, "/memfd:", 7) ||
	       !strncmp(map->name, "/dev/shm/", 9) || !strncmp(map->name, "/dev/zero", 9) || !strncmp(map->name, "/SYSV", 5);
}

int mem_map_file_bytes(struct sys *sys, pid_t pid, const struct mem_map *map, uint64_t *ret)
{
	char path[96], file[64];

	if (!map->shared || !map->inode || !has_blocks_in_memory(map))
		return -EOPNOTSUPP;
	snprintf(file, sizeof(file), "map_files/%" PRIx64 "-%" PRIx64, map->start, map->end);
	mem_proc_path(path, sizeof(path), pid, file);
	return sys->ops->file_bytes(sys, path, ret);
}
