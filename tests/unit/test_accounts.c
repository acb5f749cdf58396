/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Users and groups of a host: lines of any length, and lines that are none. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accounts.h"

#define MEMBERS 200000

static char path[64], name[16];
static uint32_t id;

static FILE *begin_file(void)
{
	int fd;

	strcpy(path, "/tmp/gangway-accounts-XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	return fdopen(fd, "w");
}

static int find(FILE *f)
{
	int r;

	if (f)
		fclose(f);
	name[0] = '\0';
	id = 0;
	r = accounts_find(path, 100000, 101023, name, sizeof(name), &id);
	unlink(path);
	return r;
}

static int find_in(const char *text)
{
	FILE *f = begin_file();

	fputs(text, f);
	return find(f);
}

Test(accounts, in_the_range_or_not)
{
	static const struct {
		const char *text, *name; /* NULL: none */
	} t[] = {
		{ "", NULL },
		{ "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:\n", NULL },
		{ "a:x:99999:\nb:x:100000:\n", "b" },
		{ "a:x:101023:", "a" },
		{ "a:x:101024:\n", NULL },
		{ "a:x:100001\n", "a" },
		{ "a::100001:\n", "a" },
		/* no lines of accounts */
		{ "a\nb:\nc:x\nd:x:\n:x:100000:\ne:x:-100000:\nf:x:100000f:\ng:x: 100000:\n+::::::\n# h\n", NULL },
		{ "a:x:4295067296:\n", NULL }, /* 100000 in 32 bits */
		{ "a:x:18446744073709651616:\n", NULL }, /* and in 64 */
		{ "a-name-of-more-than-15-characters:x:100000:\n", "a-name-of-more-" },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		cr_assert_eq(find_in(t[i].text), t[i].name != NULL, "%s", t[i].text);
		cr_assert_str_eq(name, t[i].name ? t[i].name : "", "%s", t[i].text);
	}
}

/* A group of many members: what comes after it is looked at, and so is it. */
Test(accounts, long_lines)
{
	static const char *const ids[] = { "1000", "100007" };

	for (int i = 0; i < 2; i++) {
		FILE *f = begin_file();

		fprintf(f, "many:x:%s:", ids[i]);
		for (int m = 0; m < MEMBERS; m++)
			fprintf(f, "user%d,", m);
		fputs("\nafter:x:100008:\n", f);
		cr_assert_eq(find(f), 1);
		cr_assert_str_eq(name, i ? "many" : "after");
		cr_assert_eq(id, i ? 100007u : 100008u);
	}
}

Test(accounts, not_to_be_read)
{
	strcpy(path, "/nowhere/at/all");
	cr_assert_eq(find(NULL), -ENOENT);
	strcpy(path, "/tmp"); /* opens, and does not read */
	cr_assert_eq(find(NULL), -EISDIR);
	cr_assert_str_eq(name, "");
}
