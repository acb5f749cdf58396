/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verb table: the rules that its rows keep. */
#include <criterion/criterion.h>
#include <string.h>

#include "cli_args.h"
#include "cli_verbs.h"
#include "err.h"

static const struct cli_opt *find(const struct cli_opt *opts, const char *name)
{
	for (const struct cli_opt *o = opts; o && o->name; o++)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

Test(cli_verbs, rows_are_complete)
{
	for (const struct cli_verb *v = cli_verbs; v->words; v++) {
		cr_assert(v->run && v->summary && *v->summary && v->help && v->examples && *v->examples, "%s", v->words);
		cr_assert(v->min <= v->max && v->max < CLI_POS_MAX, "%s", v->words);
		cr_assert(strlen(v->words) + strlen(v->args) < 60, "%s: the help line is too long", v->words);
		cr_assert_null(strchr(v->summary, '\n'), "%s", v->words);
		for (const struct cli_verb *w = cli_verbs; w != v; w++)
			cr_assert_str_neq(v->words, w->words);
	}
}

/* min and max say what the arguments' description says. */
Test(cli_verbs, counts_match_the_description)
{
	for (const struct cli_verb *v = cli_verbs; v->words; v++) {
		size_t all = 0, optional = 0;
		bool repeats = strstr(v->args, "...") != NULL;

		for (const char *s = v->args; *s && *s != '-'; s += strcspn(s, " ") + (strchr(s, ' ') != NULL)) {
			all++;
			optional += *s == '[';
		}
		cr_assert_eq(v->min, all - optional, "%s: min %zu", v->words, v->min);
		cr_assert(repeats ? v->max >= all : v->max == all, "%s: max %zu", v->words, v->max);
	}
}

/* The parser knows the options before the verb: a name must take an argument everywhere or nowhere. */
Test(cli_verbs, options_mean_the_same_everywhere)
{
	size_t nr = 0;

	for (const struct cli_verb *v = cli_verbs; v->words; v++) {
		for (const struct cli_opt *o = v->opts; o && o->name; o++, nr++) {
			cr_assert_null(find(cli_global_opts, o->name), "%s --%s", v->words, o->name);
			cr_assert(o->help && *o->help, "%s --%s", v->words, o->name);
			cr_assert_eq(o->letter, 0, "%s --%s: letters are for global options", v->words, o->name);
			for (const struct cli_verb *w = cli_verbs; w->words; w++) {
				const struct cli_opt *same = find(w->opts, o->name);

				cr_assert(!same || !same->value == !o->value, "--%s of %s and %s", o->name, v->words, w->words);
			}
		}
	}
	cr_assert(nr < CLI_GIVEN_MAX - 10, "the parser has no room for %zu options", nr);
}

Test(cli_verbs, find_takes_exact_names)
{
	static const struct {
		char *words[3];
		const char *verb;
		size_t used;
	} rows[] = {
		{ { "pf", "list", NULL }, "pf list", 2 },
		{ { "attach", "vm1", NULL }, "attach", 1 },
		{ { "pf", NULL, NULL }, NULL, 0 },
		{ { "pf", "lis", NULL }, NULL, 0 },
		{ { "att", "vm1", NULL }, NULL, 0 },
		{ { "", NULL, NULL }, NULL, 0 },
		{ { "status", "status", NULL }, "status", 1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t used, nr = 0;
		const struct cli_verb *v;

		while (rows[i].words[nr])
			nr++;
		v = cli_verb_find(rows[i].words, nr, &used);
		cr_assert_eq(used, rows[i].used, "row %zu", i);
		cr_assert(rows[i].verb ? v && strcmp(v->words, rows[i].verb) == 0 : !v, "row %zu", i);
	}
}

Test(cli_verbs, nearest)
{
	static const struct {
		char *words[2];
		const char *want;
	} rows[] = {
		{ { "pf", "lst" }, "pf list" },	      { { "vf", "lits" }, "vf list" }, { { "guest", "ad" }, "guest add" },
		{ { "gest", "list" }, "guest list" }, { { "staus", NULL }, "status" }, { { "dettach", "vm1" }, "detach" },
		{ { "xyzzy", "plugh" }, NULL },	      { { "bench", NULL }, NULL },     { { "vatch", "vm1" }, NULL },
		{ { "ttach", "vm1" }, "attach" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got = cli_verb_nearest(rows[i].words, rows[i].words[1] ? 2 : 1);

		cr_assert(rows[i].want ? got && strcmp(got, rows[i].want) == 0 : !got, "%s %s: %s", rows[i].words[0],
			  rows[i].words[1], got);
	}
	cr_assert_null(cli_verb_nearest(NULL, 0));
	cr_assert_str_eq(cli_opt_nearest("--vaiX"), "via");
	cr_assert_str_eq(cli_opt_nearest("--dry_run"), "dry-run");
	cr_assert_null(cli_opt_nearest("-x"));
	cr_assert_null(cli_opt_nearest("--"));
}

Test(cli_verbs, arguments_by_number)
{
	static const struct {
		const char *args;
		size_t index;
		const char *want;
	} rows[] = {
		{ "", 0, "" },
		{ "PF", 0, "PF" },
		{ "PF", 1, "" },
		{ "PF vfs N", 1, "vfs" },
		{ "PF vfs N", 2, "N" },
		{ "PF vfs N", 3, "" },
		{ "GUEST [NIC]", 1, "NIC" },
		{ "GUEST [NIC]", 2, "" },
		{ "GUEST PF|VF", 1, "PF|VF" },
		{ "[VERB...]", 0, "VERB" },
		{ "[VERB...]", 5, "VERB" },
		{ "VF WORD VALUE...", 2, "VALUE" },
		{ "VF WORD VALUE...", 9, "VALUE" },
		{ "NAME --qmp PATH", 0, "NAME" },
		{ "NAME --qmp PATH", 1, "" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct cli_verb v = { .args = rows[i].args };
		char buf[16], tiny[3];

		cr_assert_eq(cli_verb_arg(&v, rows[i].index, buf, sizeof(buf)), strlen(rows[i].want), "row %zu", i);
		cr_assert_str_eq(buf, rows[i].want, "row %zu", i);
		cr_assert(cli_verb_arg(&v, rows[i].index, tiny, sizeof(tiny)) < sizeof(tiny));
	}
}
