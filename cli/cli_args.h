/* SPDX-License-Identifier: GPL-2.0-or-later */
/* args: the command line, taken apart by the verb table. Only its form is checked; what values mean is the daemon's. */
#ifndef GANGWAY_CLI_ARGS_H
#define GANGWAY_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

struct cli_opt;
struct cli_verb;
struct err;

#define CLI_POS_MAX 64
#define CLI_GIVEN_MAX 64

struct cli_args {
	const struct cli_verb *verb; /* NULL: none was given */
	char *pos[CLI_POS_MAX]; /* positional arguments after the verb's words; with no verb: all of them */
	size_t nr_pos;
	struct {
		const struct cli_opt *opt;
		const char *value; /* NULL for options without argument */
	} given[CLI_GIVEN_MAX];
	size_t nr_given;
};

/*
 * Take @argv apart. Options may stand anywhere; strings stay @argv's. Returns 0, or -EINVAL with @err filled: a usage error.
 * With --help or --version the number of arguments is not checked.
 */
int cli_args_parse(int argc, char **argv, struct cli_args *ret, struct err *err);

/* Was --NAME given? */
bool cli_args_has(const struct cli_args *args, const char *name);

/* The argument of --NAME (the last one given), or NULL. */
const char *cli_args_get(const struct cli_args *args, const char *name);

/* Positional argument @i, or NULL. */
const char *cli_args_pos(const struct cli_args *args, size_t i);

/* Would --json or --pretty be found by a parser? For errors met before parsing succeeded. */
bool cli_args_wants_json(int argc, char **argv);

/* @text as a number from 0 to @max, digits only. Returns 0 or -EINVAL. */
int cli_number(const char *text, unsigned long long max, unsigned long long *ret);

/* @text as seconds ("5", "0.5"), up to @max, into milliseconds. Returns 0 or -EINVAL. */
int cli_seconds(const char *text, unsigned int max, int *ret_ms);

#endif
