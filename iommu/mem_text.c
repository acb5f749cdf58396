/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mem_internal.h"
#include "sys.h"

bool mem_take_u64(const char **at, const char *end, uint64_t *ret)
{
	const char *start = *at;
	uint64_t v = 0;

	for (; *at < end && **at >= '0' && **at <= '9'; ++*at)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(**at - '0'), &v))
			return false;
	if (*at == start)
		return false;
	*ret = v;
	return true;
}

int mem_find_u64(const char *text, size_t len, const char *label, uint64_t *ret)
{
	size_t n = strlen(label);
	const char *at = text, *end = text + len;

	while (at < end && ((size_t)(end - at) < n || memcmp(at, label, n) != 0)) {
		at = memchr(at, '\n', (size_t)(end - at));
		at = at ? at + 1 : end;
	}
	if (at == end)
		return -ENOENT;
	at += n;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	return mem_take_u64(&at, end, ret) ? 0 : -EPROTO;
}

int mem_find_kib(const char *text, size_t len, const char *label, uint64_t *ret)
{
	uint64_t v;
	int r = mem_find_u64(text, len, label, &v);

	if (r < 0)
		return r;
	if (v > UINT64_MAX / 1024)
		return -EPROTO;
	*ret = v * 1024;
	return 0;
}

int mem_read_number(struct sys *sys, const char *path, uint64_t *ret)
{
	char text[32];
	const char *at = text;
	uint64_t v;
	int r = sys_read_str(sys, path, text, sizeof(text));

	if (r < 0)
		return r == -EOVERFLOW ? -EPROTO : r;
	if (!strcmp(text, "max")) {
		*ret = UINT64_MAX;
		return 0;
	}
	if (!mem_take_u64(&at, text + strlen(text), &v) || *at)
		return -EPROTO;
	*ret = v;
	return 0;
}

void mem_proc_path(char *buf, size_t size, pid_t pid, const char *file)
{
	if (pid > 0)
		snprintf(buf, size, "/proc/%d/%s", (int)pid, file);
	else
		snprintf(buf, size, "/proc/self/%s", file);
}
