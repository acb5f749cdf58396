/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking things up in the verb table, and guessing what a mistyped word was meant to be. */
#include <stdio.h>
#include <string.h>

#include "cli_verbs.h"

#define WORD_MAX 40

const struct cli_verb *cli_verb_find(char *const *words, size_t nr, size_t *ret_used)
{
	char two[WORD_MAX];

	*ret_used = 0;
	for (size_t used = nr < 2 ? nr : 2; used; used--) {
		int n = snprintf(two, sizeof(two), "%s%s%s", words[0], used == 2 ? " " : "", used == 2 ? words[1] : "");

		if (n >= (int)sizeof(two))
			continue;
		for (const struct cli_verb *v = cli_verbs; v->words; v++) {
			if (strcmp(v->words, two) == 0) {
				*ret_used = used;
				return v;
			}
		}
	}
	return NULL;
}

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edit distance; swapped neighbours count one. Words longer than WORD_MAX resemble nothing. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[3][WORD_MAX + 1]; /* rows i - 2, i - 1 and i, in turn */
	size_t la = strlen(a), lb = strlen(b);

	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned int *cur = row[i % 3], *prev = row[(i + 2) % 3], *prev2 = row[(i + 1) % 3];

		cur[0] = (unsigned int)i;
		for (size_t j = 1; j <= lb; j++) {
			cur[j] = min3(prev[j] + 1, cur[j - 1] + 1, prev[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && prev2[j - 2] + 1 < cur[j])
				cur[j] = prev2[j - 2] + 1;
		}
	}
	return row[la % 3][lb];
}

/* Is @typed near enough to @name to be worth a question, and nearer than *@best? */
static int nearer(const char *typed, const char *name, unsigned int *best)
{
	unsigned int d = distance(typed, name);

	/* who mistypes more than once begins right all the same; else it is another word (bench is no detach) */
	if (d > strlen(name) / 3 + 1 || (d > 1 && typed[0] != name[0]) || d >= *best)
		return 0;
	*best = d;
	return 1;
}

const char *cli_verb_nearest(char *const *words, size_t nr)
{
	unsigned int best = WORD_MAX;
	const char *found = NULL;
	char two[2 * WORD_MAX];

	if (!nr)
		return NULL;
	snprintf(two, sizeof(two), "%s %s", words[0], nr > 1 ? words[1] : "");
	for (const struct cli_verb *v = cli_verbs; v->words; v++) {
		/* one-word verbs have arguments behind them; two-word verbs are compared whole, or by their object alone */
		if (strchr(v->words, ' ') && nr > 1 ? nearer(two, v->words, &best) : nearer(words[0], v->words, &best))
			found = v->words;
	}
	for (const struct cli_verb *v = cli_verbs; !found && v->words; v++) {
		char object[WORD_MAX];
		const char *space = strchr(v->words, ' ');

		if (!space)
			continue;
		snprintf(object, sizeof(object), "%.*s", (int)(space - v->words), v->words);
		if (nearer(words[0], object, &best))
			found = v->words;
	}
	return found;
}

const char *cli_opt_nearest(const char *name)
{
	unsigned int best = WORD_MAX;
	const char *found = NULL;
	char typed[WORD_MAX];
	const struct cli_verb *v = cli_verbs;

	if (strncmp(name, "--", 2) != 0)
		return NULL;
	snprintf(typed, sizeof(typed), "%.*s", (int)strcspn(name + 2, "="), name + 2);
	for (const struct cli_opt *opts = cli_global_opts;; opts = v++->opts) {
		for (const struct cli_opt *o = opts; o && o->name; o++) {
			/* the beginning of a name is what other tools accept */
			if (typed[0] && strncmp(o->name, typed, strlen(typed)) == 0)
				return o->name;
			if (nearer(typed, o->name, &best))
				found = o->name;
		}
		if (!v->words)
			return found;
	}
}

size_t cli_verb_arg(const struct cli_verb *verb, size_t index, char *buf, size_t size)
{
	const char *s = verb->args, *last = s;
	size_t len;

	buf[0] = '\0';
	for (size_t i = 0; *s && *s != '-'; i++) { /* "--qmp PATH" is there for the reader */
		last = s;
		len = strcspn(s, " ");
		if (i == index)
			break;
		s += len + (s[len] == ' ');
	}
	if (!*last || *last == '-')
		return 0;
	if ((!*s || *s == '-') && !strstr(last, "...")) /* past the end, where the last one stands again if it repeats */
		return 0;
	last += *last == '[';
	len = strcspn(last, " ].");
	if (len >= size)
		len = size - 1;
	memcpy(buf, last, len);
	buf[len] = '\0';
	return len;
}
