/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parser of the command line, and what the verb table must keep for it to work. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli_args.h"
#include "cli_verbs.h"
#include "err.h"

#define ARGV_MAX 80

/* Splits @line at spaces and parses it. The words stay in a static buffer until the next call. */
static int parse(const char *line, struct cli_args *args, struct err *err)
{
	static char buf[1024];
	char *argv[ARGV_MAX];
	int argc = 0;

	snprintf(buf, sizeof(buf), "gangway %s", line);
	for (char *w = strtok(buf, " "); w && argc < ARGV_MAX - 1; w = strtok(NULL, " "))
		argv[argc++] = w;
	argv[argc] = NULL;
	err_clear(err);
	return cli_args_parse(argc, argv, args, err);
}

Test(cli_args, good_lines)
{
	static const struct {
		const char *line, *verb;
		size_t nr_pos;
		const char *first, *opt, *value; /* an option to be found, and its argument */
	} rows[] = {
		{ "doctor", "doctor", 0, NULL, NULL, NULL },
		{ "pf list", "pf list", 0, NULL, NULL, NULL },
		{ "-j pf list", "pf list", 0, NULL, "json", NULL },
		{ "pf -j list", "pf list", 0, NULL, "json", NULL },
		{ "pf list -jq", "pf list", 0, NULL, "quiet", NULL },
		{ "pf set eth0 vfs 4", "pf set", 3, "eth0", NULL, NULL },
		{ "vf set eth0/vf1 mac a vlan b", "vf set", 5, "eth0/vf1", NULL, NULL },
		{ "attach vm1 eth0 --vlan 5", "attach", 2, "vm1", "vlan", "5" },
		{ "attach --vlan=5 vm1 eth0", "attach", 2, "vm1", "vlan", "5" },
		{ "--vlan 5 attach vm1 eth0", "attach", 2, "vm1", "vlan", "5" },
		{ "attach vm1 --vlan 5 eth0 --vlan 6", "attach", 2, "vm1", "vlan", "6" },
		{ "attach vm1 eth0 --vlan -5", "attach", 2, "vm1", "vlan", "-5" },
		{ "attach vm1 eth0 --vlan --", "attach", 2, "vm1", "vlan", "--" },
		{ "attach -- vm1 --vlan", "attach", 2, "vm1", NULL, NULL },
		{ "attach vm1 eth0 --dry-run --timing", "attach", 2, "vm1", "timing", NULL },
		{ "--socket /s status", "status", 0, NULL, "socket", "/s" },
		{ "help pf set", "help", 2, "pf", NULL, NULL },
		{ "attach --help", "attach", 0, NULL, "help", NULL },
		{ "pf -h", NULL, 1, "pf", "help", NULL },
		{ "", NULL, 0, NULL, NULL, NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cli_args args;
		struct err err;

		cr_assert_eq(parse(rows[i].line, &args, &err), 0, "%s: %s", rows[i].line, err.msg);
		if (rows[i].verb)
			cr_assert_str_eq(args.verb->words, rows[i].verb, "%s", rows[i].line);
		else
			cr_assert_null(args.verb, "%s", rows[i].line);
		cr_assert_eq(args.nr_pos, rows[i].nr_pos, "%s: %zu arguments", rows[i].line, args.nr_pos);
		if (rows[i].first)
			cr_assert_str_eq(cli_args_pos(&args, 0), rows[i].first, "%s", rows[i].line);
		cr_assert_null(cli_args_pos(&args, args.nr_pos));
		if (rows[i].opt)
			cr_assert(cli_args_has(&args, rows[i].opt), "%s", rows[i].line);
		if (rows[i].value)
			cr_assert_str_eq(cli_args_get(&args, rows[i].opt), rows[i].value, "%s", rows[i].line);
		cr_assert_not(cli_args_has(&args, "mac"));
		cr_assert_null(cli_args_get(&args, "mac"));
	}
}

Test(cli_args, bad_lines)
{
	static const struct {
		const char *line, *msg, *hint; /* parts of them */
	} rows[] = {
		{ "pf", "only half", "help pf" },
		{ "pf lst", "unknown command `pf lst`", "`gangway pf list`" },
		{ "atach vm1", "unknown command `atach`", "`gangway attach`" },
		{ "attahc vm1", "unknown command", "`gangway attach`" },
		{ "sta", "unknown command", "`gangway status`" },
		{ "zzzzzzzz", "unknown command", "lists the commands" },
		{ "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "unknown command", "lists the commands" },
		{ "attach", "GUEST is missing", "usage: gangway attach GUEST PF|VF" },
		{ "attach vm1", "PF|VF is missing", "usage" },
		{ "detach", "GUEST is missing", "[NIC]" },
		{ "switch", "GUEST is missing", "usage" },
		{ "switch vm1", "LEG is missing", "[NIC]" },
		{ "status a b", "unexpected argument `b`", "usage" },
		{ "doctor now", "unexpected argument `now`", "usage" },
		{ "pf set eth0 vf 4", "`vf` stands where `vfs` belongs", "usage" },
		{ "status --vlan 4", "--vlan does not belong", "usage" },
		{ "--vlan 4", "--vlan does not belong", "lists the commands" },
		{ "attach a b --vla 4", "unknown option --vla", "--vlan" },
		{ "attach a b --dryrun", "unknown option --dryrun", "--dry-run" },
		{ "attach a b --vlna=4", "unknown option --vlna", "--vlan" },
		{ "attach a b --m 4", "unknown option --m", "--mac" },
		{ "attach a b --zzzzzzzzzzzz", "unknown option", "lists the commands" },
		{ "attach a b --vlan", "--vlan needs an argument", "" },
		{ "--json=1 status", "--json takes no argument", "" },
		{ "status -x", "unknown option -x", "" },
		{ "status -jx", "unknown option -x", "" },
		{ "--pretty -xj status", "unknown option -x", "" },
		{ "vf show \xff", "not UTF-8", "usage" },
		{ "attach a b --nic \xc3", "--nic is not UTF-8", "usage" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cli_args args;
		struct err err;

		cr_assert_eq(parse(rows[i].line, &args, &err), -EINVAL, "%s", rows[i].line);
		cr_assert_eq(err.num, -EINVAL);
		cr_assert_str_eq(err.code, "cli.usage");
		cr_assert(strstr(err.msg, rows[i].msg), "%s: %s", rows[i].line, err.msg);
		cr_assert(strstr(err.hint, rows[i].hint), "%s: %s", rows[i].line, err.hint);
	}
}

/* One more than there is room for, of arguments and of options. */
Test(cli_args, limits)
{
	char line[1024] = "vf set x";
	struct cli_args args;
	struct err err;

	for (size_t i = 3; i < CLI_POS_MAX; i++)
		strcat(line, " y");
	cr_assert_eq(parse(line, &args, &err), 0, "%s", err.msg);
	strcat(line, " y");
	cr_assert_eq(parse(line, &args, &err), -EINVAL);
	cr_assert(strstr(err.msg, "more than 64 arguments"), "%s", err.msg);

	strcpy(line, "status");
	for (size_t i = 0; i < CLI_GIVEN_MAX; i++)
		strcat(line, " -j");
	cr_assert_eq(parse(line, &args, &err), 0, "%s", err.msg);
	strcat(line, " -j");
	cr_assert_eq(parse(line, &args, &err), -EINVAL);
	cr_assert(strstr(err.msg, "more than 64 options"), "%s", err.msg);
}

Test(cli_args, wants_json)
{
	static const struct {
		char *argv[4];
		bool want;
	} rows[] = {
		{ { "g", "-j", "x" }, true },  { { "g", "x", "--pretty" }, true },
		{ { "g", "-qp" }, true },      { { "g", "--", "-j" }, false },
		{ { "g", "-x" }, false },      { { "g", "-jx" }, false },
		{ { "g", "--jsonx" }, false }, { { "g", "-" }, false },
		{ { "g", "-q" }, false },      { { "g", "--user", "joe" }, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int argc = 0;

		while (argc < 4 && rows[i].argv[argc])
			argc++;
		cr_assert_eq(cli_args_wants_json(argc, (char **)rows[i].argv), rows[i].want, "row %zu", i);
	}
}

Test(cli_args, numbers)
{
	static const struct {
		const char *text;
		int number; /* -1: refused */
		int ms;
	} rows[] = {
		{ "0", 0, 0 },
		{ "7", 7, 7000 },
		{ "65535", 65535, 65535000 },
		{ "65536", -1, 65536000 },
		{ "86400", -1, 86400000 },
		{ "86401", -1, -1 },
		{ "", -1, -1 },
		{ "-1", -1, -1 },
		{ "+1", -1, -1 },
		{ " 1", -1, -1 },
		{ "1x", -1, -1 },
		{ "0x10", -1, -1 },
		{ "0.5", -1, 500 },
		{ "2.0015", -1, 2002 },
		{ "1.", -1, -1 },
		{ ".5", -1, -1 },
		{ "1.2.3", -1, -1 },
		{ "1e3", -1, -1 },
		{ "99999999999999999999", -1, -1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned long long n = 12345;
		int ms = -7;

		cr_assert_eq(cli_number(rows[i].text, 65535, &n), rows[i].number < 0 ? -EINVAL : 0, "%s", rows[i].text);
		cr_assert_eq(n, rows[i].number < 0 ? 12345ULL : (unsigned long long)rows[i].number, "%s", rows[i].text);
		cr_assert_eq(cli_seconds(rows[i].text, 86400, &ms), rows[i].ms < 0 ? -EINVAL : 0, "%s", rows[i].text);
		cr_assert_eq(ms, rows[i].ms < 0 ? -7 : rows[i].ms, "%s: %d", rows[i].text, ms);
	}
}

/* As many digits as the range may need, or nine. */
Test(cli_args, large_numbers)
{
	static const char *const bad[] = { "9223372036854775808", "9999999999999999999", "00000000000000000001",
					   "18446744073709551616" };
	unsigned long long n = 0;

	cr_assert(cli_number("9223372036854775807", INT64_MAX, &n) == 0 && n == INT64_MAX);
	cr_assert(cli_number("0000000000000000001", INT64_MAX, &n) == 0 && n == 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(cli_number(bad[i], INT64_MAX, &n), -EINVAL, "%s", bad[i]);
	cr_assert(cli_number("000000009", 9, &n) == 0 && n == 9);
	cr_assert_eq(cli_number("0000000009", 9, &n), -EINVAL);
	cr_assert_eq(n, 9u);
}
