/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verbs: the one table of verbs and options. Parser, help, completion and the tests of the documentation all read it. */
#ifndef GANGWAY_CLI_VERBS_H
#define GANGWAY_CLI_VERBS_H

#include <stddef.h>

struct cli;
struct cli_args;

struct cli_opt {
	const char *name; /* long name, without the dashes */
	const char *value; /* what its argument is called; NULL: it takes none */
	const char *choices; /* "on|off" for completion; NULL: free */
	const char *help; /* one line */
	char letter; /* short form, or 0 */
};

struct cli_verb {
	const char *words; /* "pf set" */
	/*
	 * Positional arguments: a word in lower case stands for itself, `[X]` may be left out, `X...` may be repeated.
	 * GUEST, PF, VF, PF|VF, NIC, WORD and VERB are known to completion. A required option may stand last.
	 */
	const char *args;
	size_t min, max; /* how many of them */
	const struct cli_opt *opts; /* ends with a NULL name; NULL: none */
	const char *summary; /* one line */
	const char *help; /* what one wants to know before using it */
	const char *examples; /* one a line */
	int (*run)(struct cli *cli, const struct cli_args *args); /* returns an exit code */
};

extern const struct cli_verb cli_verbs[]; /* ends with NULL words */
extern const struct cli_opt cli_global_opts[]; /* ends with a NULL name */

/*
 * The verb that the first of @nr @words name, or NULL. Exact names only: an abbreviation that works today is ambiguous
 * tomorrow. *@ret_used: how many words it took.
 */
const struct cli_verb *cli_verb_find(char *const *words, size_t nr, size_t *ret_used);

/* The words of the verb that looks most like what was typed, or NULL if none does. */
const char *cli_verb_nearest(char *const *words, size_t nr);

/* The name of the option that looks most like @name, or NULL. */
const char *cli_opt_nearest(const char *name);

/*
 * Word number @index of @verb's arguments ("PF|VF", brackets and dots removed; the last one repeats if it ends in "...") into
 * @buf. Returns its length, 0 if there is none.
 */
size_t cli_verb_arg(const struct cli_verb *verb, size_t index, char *buf, size_t size);

#endif
