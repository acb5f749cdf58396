/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Helpers over the seam's operations: the same for the real and the fake kernel. */
#include "sys.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int sys_read_str(struct sys *sys, const char *path, char *buf, size_t size)
{
	ssize_t n = sys->ops->read_file(sys, path, buf, size);

	if (n < 0)
		return (int)n;
	if ((size_t)n >= size)
		return -EOVERFLOW;
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	return 0;
}

int sys_read_u64(struct sys *sys, const char *path, uint64_t *ret)
{
	char text[32], *end;
	uint64_t v;
	int r;

	r = sys_read_str(sys, path, text, sizeof(text));
	if (r < 0)
		return r;
	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 0);
	if (errno || *end)
		return -EINVAL;
	*ret = v;
	return 0;
}

int sys_link_name(struct sys *sys, const char *path, char *buf, size_t size)
{
	char target[PATH_MAX];
	const char *name;
	ssize_t n;

	n = sys->ops->readlink(sys, path, target, sizeof(target));
	if (n < 0)
		return (int)n;
	name = strrchr(target, '/');
	name = name ? name + 1 : target;
	if (strlen(name) >= size)
		return -ENAMETOOLONG;
	strcpy(buf, name);
	return 0;
}

bool sys_exists(struct sys *sys, const char *path)
{
	struct stat st;

	return sys->ops->stat(sys, path, &st) == 0;
}

void sys_list_free(char **names)
{
	if (!names)
		return;
	for (char **n = names; *n; n++)
		free(*n);
	free(names);
}

#define LOOK_PAGES 4096

/* At least half of the pages that are looked at are in memory. Where the kernel does not tell (the file is another's), it says they are. */
static bool mostly_resident(char *at, size_t len, size_t page)
{
	unsigned char pages[LOOK_PAGES];
	size_t n = len / page < LOOK_PAGES ? len / page : LOOK_PAGES, there = 0;

	if (mincore(at, n * page, pages) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		there += pages[i] & 1;
	return there * 2 >= n;
}

/*
 * What is in memory is mapped 16 pages at a time by a fault that reads, and writably so where the file system does not want to know what
 * is written to (tmpfs, hugetlbfs); one that writes maps one page. What is missing is cheaper made by the one that writes. Either way
 * pinning does what is left to do.
 */
int sys_populate(void *addr, size_t len, bool write)
{
	if (write && mostly_resident(addr, len, (size_t)sysconf(_SC_PAGESIZE)))
		write = false;
	return madvise(addr, len, write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) < 0 ? -errno : 0;
}
