/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One pass of getopt_long() over the whole line, with the options of every verb at once; only then is the verb known and
 * each option held against its row. That is what lets options stand before the verb, and needs every option name to mean the
 * same (argument or none) wherever it appears: a unit test watches that.
 */
#include "cli_args.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli_verbs.h"
#include "err.h"

#define LONGS_MAX 64
#define LONG_BASE 0x100 /* getopt values of long options: above every letter */

struct all_opts {
	struct option longs[LONGS_MAX + 1];
	const struct cli_opt *opt[LONGS_MAX];
	size_t nr;
	char letters[2 * LONGS_MAX + 3]; /* getopt's string, filled up to @nr_letters */
	size_t nr_letters;
};

static void add_opts(struct all_opts *all, const struct cli_opt *opts)
{
	for (const struct cli_opt *o = opts; o && o->name; o++) {
		size_t i = 0;

		while (i < all->nr && strcmp(all->opt[i]->name, o->name) != 0)
			i++;
		if (i < all->nr || all->nr == LONGS_MAX)
			continue;
		all->opt[i] = o;
		all->longs[i] = (struct option){ o->name, o->value ? required_argument : no_argument, NULL, LONG_BASE + (int)i };
		all->nr++;
		if (o->letter)
			all->letters[all->nr_letters++] = o->letter;
		if (o->letter && o->value)
			all->letters[all->nr_letters++] = ':';
	}
}

static const struct cli_opt *find_opt(const struct cli_opt *opts, const char *name)
{
	for (const struct cli_opt *o = opts; o && o->name; o++)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

static int usage(struct err *err, const struct cli_verb *verb)
{
	if (verb)
		err_hint(err, "usage: gangway %s%s%s; `gangway help %s` says more", verb->words, *verb->args ? " " : "",
			 verb->args, verb->words);
	else if (!*err->hint)
		err_hint(err, "`gangway help` lists the commands");
	return -EINVAL;
}

/* getopt_long() takes any unambiguous beginning of a name; @text is what was typed. */
static bool abbreviated(const char *text, const struct cli_opt *opt)
{
	size_t len;

	if (strncmp(text, "--", 2) != 0)
		return false;
	len = strcspn(text + 2, "=");
	return len != strlen(opt->name) || strncmp(text + 2, opt->name, len) != 0;
}

static int unknown_option(const char *text, struct err *err)
{
	const char *near = cli_opt_nearest(text);

	err_set(err, -EINVAL, "cli.usage", "unknown option %.*s", (int)strcspn(text, "="), text);
	if (near)
		err_hint(err, "did you mean --%s?", near);
	return usage(err, NULL);
}

static int add_pos(struct cli_args *a, char *text, struct err *err)
{
	if (a->nr_pos == CLI_POS_MAX) {
		err_set(err, -EINVAL, "cli.usage", "more than %d arguments", CLI_POS_MAX);
		return usage(err, NULL);
	}
	a->pos[a->nr_pos++] = text;
	return 0;
}

/* The option or argument that getopt_long() just returned as @c. */
static int take(struct cli_args *a, const struct all_opts *all, int c, char **argv, struct err *err)
{
	const char *text = argv[optind - 1];
	const struct cli_opt *opt = NULL;

	if (c == 1)
		return add_pos(a, optarg, err);
	if (c == ':') {
		err_set(err, -EINVAL, "cli.usage", "option %s needs an argument", text);
		return usage(err, NULL);
	}
	if (c == '?' && optopt >= LONG_BASE) {
		err_set(err, -EINVAL, "cli.usage", "option --%s takes no argument", all->opt[optopt - LONG_BASE]->name);
		return usage(err, NULL);
	}
	if (c == '?' && optopt) /* in a bundle optind has not moved on: @text is not it */
		return unknown_option((char[]){ '-', (char)optopt, '\0' }, err);
	if (c == '?')
		return unknown_option(text, err);
	if (c >= LONG_BASE)
		opt = all->opt[c - LONG_BASE];
	for (size_t i = 0; !opt && i < all->nr; i++)
		if (all->opt[i]->letter == c)
			opt = all->opt[i];
	if (optarg && optarg == text)
		text = argv[optind - 2];
	if (!opt || (c >= LONG_BASE && abbreviated(text, opt)))
		return unknown_option(text, err);
	if (a->nr_given == CLI_GIVEN_MAX) {
		err_set(err, -EINVAL, "cli.usage", "more than %d options", CLI_GIVEN_MAX);
		return usage(err, NULL);
	}
	a->given[a->nr_given].opt = opt;
	a->given[a->nr_given++].value = optarg;
	return 0;
}

/* Is @word the first of two that make a verb? */
static bool is_half(const char *word)
{
	size_t len = strlen(word);

	for (const struct cli_verb *v = cli_verbs; v->words; v++)
		if (strncmp(v->words, word, len) == 0 && v->words[len] == ' ')
			return true;
	return false;
}

static int unknown_verb(const struct cli_args *a, struct err *err)
{
	const char *near = cli_verb_nearest(a->pos, a->nr_pos);
	bool half = is_half(a->pos[0]), two = half && a->nr_pos > 1;

	if (half && !two) {
		err_set(err, -EINVAL, "cli.usage", "`%s` is only half a command", a->pos[0]);
		err_hint(err, "`gangway help %s` lists its commands", a->pos[0]);
		return -EINVAL;
	}
	err_set(err, -EINVAL, "cli.usage", "unknown command `%s%s%s`", a->pos[0], two ? " " : "", two ? a->pos[1] : "");
	if (near)
		err_hint(err, "did you mean `gangway %s`? `gangway help` lists the commands", near);
	return usage(err, NULL);
}

/* Names that the daemon would have to take as JSON must be UTF-8. */
static bool is_text(const char *s)
{
	json_t *v = s ? json_string(s) : NULL;

	json_decref(v);
	return !s || v;
}

/* The first argument that has to be there and is not; one in brackets may be left out wherever it stands. */
static void name_missing(const struct cli_verb *verb, size_t nr_given, char *buf, size_t size)
{
	size_t index = 0;

	for (const char *s = verb->args; *s; s += strcspn(s, " "), s += *s == ' ', index++) {
		if (*s != '[' && nr_given-- == 0)
			break;
	}
	cli_verb_arg(verb, index, buf, size);
}

static int check_form(const struct cli_args *a, struct err *err)
{
	const struct cli_verb *verb = a->verb;
	bool help = cli_args_has(a, "help") || cli_args_has(a, "version");
	char want[32];

	for (size_t i = 0; i < a->nr_given; i++) {
		const char *name = a->given[i].opt->name;

		if (!find_opt(cli_global_opts, name) && !(verb && find_opt(verb->opts, name))) {
			err_set(err, -EINVAL, "cli.usage", "option --%s does not belong to `gangway %s`", name,
				verb ? verb->words : "");
			return usage(err, verb);
		}
		if (!is_text(a->given[i].value)) {
			err_set(err, -EINVAL, "cli.usage", "the argument of --%s is not UTF-8", name);
			return usage(err, verb);
		}
	}
	for (size_t i = 0; verb && !help && i < a->nr_pos; i++) {
		if (!cli_verb_arg(verb, i, want, sizeof(want))) {
			err_set(err, -EINVAL, "cli.usage", "%s: unexpected argument `%s`", verb->words, a->pos[i]);
			return usage(err, verb);
		}
		if (want[0] >= 'a' && want[0] <= 'z' && strcmp(want, a->pos[i]) != 0) {
			err_set(err, -EINVAL, "cli.usage", "%s: `%s` stands where `%s` belongs", verb->words, a->pos[i], want);
			return usage(err, verb);
		}
		if (!is_text(a->pos[i])) {
			err_set(err, -EINVAL, "cli.usage", "%s: argument %zu is not UTF-8", verb->words, i + 1);
			return usage(err, verb);
		}
	}
	if (verb && !help && a->nr_pos < verb->min) {
		name_missing(verb, a->nr_pos, want, sizeof(want));
		err_set(err, -EINVAL, "cli.usage", "%s: %s is missing", verb->words, want);
		return usage(err, verb);
	}
	return 0;
}

int cli_args_parse(int argc, char **argv, struct cli_args *ret, struct err *err)
{
	struct all_opts all = { .letters = "-:",
				.nr_letters = 2 }; /* '-': arguments come in their order, whatever POSIXLY_CORRECT says */
	size_t words = 0;
	int c, r;

	*ret = (struct cli_args){ 0 };
	add_opts(&all, cli_global_opts);
	for (const struct cli_verb *v = cli_verbs; v->words; v++)
		add_opts(&all, v->opts);
	optind = 0; /* glibc: start over */
	opterr = 0;
	while ((c = getopt_long(argc, argv, all.letters, all.longs, NULL)) != -1) {
		r = take(ret, &all, c, argv, err);
		if (r < 0)
			return r;
	}
	while (optind < argc) { /* after "--" */
		r = add_pos(ret, argv[optind++], err);
		if (r < 0)
			return r;
	}
	ret->verb = cli_verb_find(ret->pos, ret->nr_pos, &words);
	if (!ret->verb && ret->nr_pos && !cli_args_has(ret, "help"))
		return unknown_verb(ret, err);
	ret->nr_pos -= words;
	memmove(ret->pos, ret->pos + words, ret->nr_pos * sizeof(ret->pos[0]));
	return check_form(ret, err);
}

bool cli_args_has(const struct cli_args *args, const char *name)
{
	for (size_t i = 0; i < args->nr_given; i++)
		if (strcmp(args->given[i].opt->name, name) == 0)
			return true;
	return false;
}

const char *cli_args_get(const struct cli_args *args, const char *name)
{
	for (size_t i = args->nr_given; i-- > 0;)
		if (strcmp(args->given[i].opt->name, name) == 0)
			return args->given[i].value;
	return NULL;
}

const char *cli_args_pos(const struct cli_args *args, size_t i)
{
	return i < args->nr_pos ? args->pos[i] : NULL;
}

bool cli_args_wants_json(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--json") == 0 || strcmp(argv[i], "--pretty") == 0)
			return true;
		/* bundled letters, if all of them are ours */
		if (argv[i][0] == '-' && argv[i][1] && strspn(argv[i] + 1, "jpqhV") == strlen(argv[i] + 1) &&
		    strpbrk(argv[i], "jp"))
			return true;
	}
	return false;
}

int cli_number(const char *text, unsigned long long max, unsigned long long *ret)
{
	size_t digits = max > 999999999 ? 19 : 9; /* so many do not wrap */
	unsigned long long v;

	if (!*text || strlen(text) > digits || strspn(text, "0123456789") != strlen(text))
		return -EINVAL;
	v = strtoull(text, NULL, 10);
	if (v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}

int cli_seconds(const char *text, unsigned int max, int *ret_ms)
{
	size_t whole = strspn(text, "0123456789"), frac = 0;
	double ms;

	if (text[whole] == '.')
		frac = strspn(text + whole + 1, "0123456789");
	if (!whole || strlen(text) > 12 || text[whole + (frac ? frac + 1 : 0)])
		return -EINVAL;
	ms = strtod(text, NULL) * 1000; /* the locale's numbers stay C: main() sets LC_CTYPE only */
	if (ms > max * 1000.0)
		return -EINVAL;
	*ret_ms = (int)(ms + 0.5);
	return 0;
}
