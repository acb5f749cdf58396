/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Not by fgetpwent_r(3) and fgetgrent_r(3): they give up at a line that is longer than the caller's buffer, and the members of a group have
 * no limit.
 */
#include "accounts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "name:password:number:...": the number. NULL: no such line. */
static const char *split(char *line, const char **ret_name)
{
	char *password, *number;

	password = strchr(line, ':');
	number = password ? strchr(password + 1, ':') : NULL;
	if (!number || line == password)
		return NULL;
	*password = '\0';
	*ret_name = line;
	return number + 1;
}

int accounts_find(const char *path, uint32_t first, uint32_t last, char *ret_name, size_t size, uint32_t *ret_id)
{
	FILE *f = fopen(path, "re");
	size_t room = 0;
	char *line = NULL;
	int r = 0;

	if (!f)
		return -errno;
	while (r == 0 && (errno = 0, getline(&line, &room, f)) >= 0) {
		const char *name, *number = split(line, &name);
		unsigned long long id;
		char *end;

		if (!number || *number < '0' || *number > '9')
			continue;
		id = strtoull(number, &end, 10);
		if ((*end != ':' && *end != '\n' && *end != '\0') || id < first || id > last)
			continue;
		snprintf(ret_name, size, "%s", name);
		*ret_id = (uint32_t)id;
		r = 1;
	}
	if (r == 0 && errno)
		r = -errno;
	free(line);
	fclose(f);
	return r;
}
