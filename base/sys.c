/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Helpers over the seam's operations: the same for the real and the fake kernel. */
#include "sys.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

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
