/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a half-typed command line could become: words and options from the verb table, names from the daemon. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_args.h"
#include "cli_cmds.h"
#include "cli_render.h"
#include "cli_rpc.h"
#include "cli_verbs.h"
#include "err.h"

#define ASK_MS 1000 /* somebody waits with a finger on the key */

struct line {
	FILE *out;
	const char *socket;
	const char *cur; /* the word being typed */
	char *pos[CLI_POS_MAX]; /* the words before it, without options */
	size_t nr_pos;
	const struct cli_opt *wants; /* the option whose argument @cur is */
	const char *prefix; /* what to put before each answer: "--via=" */
};

/* Prints @word if it begins like what was typed; names that a shell would not leave alone are no help. */
static void offer(const struct line *l, const char *word, size_t len)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+@,=";

	if (!len || strspn(word, plain) < len || strncmp(word, l->cur, strlen(l->cur)) != 0)
		return;
	fprintf(l->out, "%s%.*s\n", l->prefix, (int)len, word);
}

/* Each of "a|b|c". */
static void offer_choices(const struct line *l, const char *choices)
{
	for (const char *s = choices; *s;) {
		size_t len = strcspn(s, "|");

		if (strlen(l->cur) <= len)
			offer(l, s, len);
		s += len + (s[len] == '|');
	}
}

static void offer_opts(const struct line *l, const struct cli_opt *opts)
{
	for (const struct cli_opt *o = opts; o && o->name; o++) {
		char *text = cli_text("--%s", o->name);

		offer(l, text, strlen(text));
		free(text);
	}
}

/* Member @key of each object in the list @list of the answer to @method. */
static void offer_names(const struct line *l, const char *method, json_t *params, const char *list, const char *key)
{
	struct cli_rpc_call call = { .method = method, .params = params, .timeout_ms = ASK_MS };
	struct cli_rpc *rpc = NULL;
	json_t *result = NULL, *v;
	struct err ignored;
	size_t i;

	if (cli_rpc_open(l->socket, ASK_MS, &rpc, &ignored) == 0 && cli_rpc_call(rpc, &call, &result, &ignored) == 0) {
		json_array_foreach (json_object_get(result, list), i, v) {
			const char *name = cli_str(v, key);

			if (name)
				offer(l, name, strlen(name));
		}
	}
	json_decref(result);
	cli_rpc_free(rpc);
	json_decref(params);
}

static void offer_value(const struct line *l, const char *word)
{
	if (strcmp(word, "spoofchk") == 0 || strcmp(word, "trust") == 0)
		offer_choices(l, "on|off");
	else if (strcmp(word, "state") == 0)
		offer_choices(l, "auto|enable|disable");
	else if (strcmp(word, "proto") == 0)
		offer_choices(l, "802.1Q|802.1ad");
}

/* The second words of verbs that begin with @first, or all first words; duplicates are the shell's to drop. */
static void offer_words(const struct line *l, const char *first)
{
	for (const struct cli_verb *v = cli_verbs; v->words; v++) {
		size_t len = strcspn(v->words, " ");

		if (!first && strncmp(v->words, l->cur, strlen(l->cur)) == 0)
			offer(l, v->words, len);
		else if (first && v->words[len] && strlen(first) == len && strncmp(v->words, first, len) == 0)
			offer(l, v->words + len + 1, strlen(v->words + len + 1));
	}
}

static void offer_arg(const struct line *l, const struct cli_verb *verb, size_t words)
{
	size_t index = l->nr_pos - words;
	char want[32];

	if (!cli_verb_arg(verb, index, want, sizeof(want)))
		return;
	if (strcmp(want, "VALUE") == 0 && index % 2 == 1) /* pairs follow pairs */
		strcpy(want, "WORD");
	if (strcmp(want, "GUEST") == 0 || (strcmp(want, "NAME") == 0 && strcmp(verb->words, "guest add") != 0))
		offer_names(l, "guest.list", NULL, "guests", "name");
	else if (strcmp(want, "NIC") == 0)
		offer_names(l, "guest.show", json_pack("{s:s}", "name", l->pos[words]), "leases", "nic");
	if (strcmp(want, "LEG") == 0 || (strcmp(want, "NIC") == 0 && strcmp(verb->words, "switch") == 0)) {
		offer_choices(l, "emulated|passthrough"); /* the NIC may be left out */
		return;
	}
	if (strcmp(want, "WORD") == 0)
		offer_choices(l, "mac|vlan|qos|proto|spoofchk|trust|state|min_tx_rate|max_tx_rate");
	else if (strcmp(want, "VALUE") == 0)
		offer_value(l, l->pos[l->nr_pos - 1]);
	else if (strcmp(want, "VERB") == 0)
		offer_words(l, index ? l->pos[words] : NULL);
	else if (want[0] >= 'a' && want[0] <= 'z')
		offer(l, want, strlen(want));
	if (strncmp(want, "PF", 2) == 0)
		offer_names(l, "pf.list", NULL, "pfs", "name");
	/* an empty word after `attach GUEST` is served with PFs alone: VFs come by the hundred */
	if (strcmp(want, "VF") == 0 || (strcmp(want, "PF|VF") == 0 && *l->cur))
		offer_names(l, "vf.list", NULL, "vfs", "name");
}

static const struct cli_opt *opt_named(const char *text)
{
	size_t len = strcspn(text + 2, "=");
	const struct cli_verb *v = cli_verbs;

	for (const struct cli_opt *opts = cli_global_opts;; opts = v++->opts) {
		for (const struct cli_opt *o = opts; o && o->name; o++)
			if (strlen(o->name) == len && strncmp(o->name, text + 2, len) == 0)
				return o;
		if (!v->words)
			return NULL;
	}
}

/* Sorts the words before the last into positional ones and options; finds whether the last is an option's argument. */
static void read_line(struct line *l, char *const *words, size_t nr)
{
	for (size_t i = 0; i + 1 < nr; i++) {
		const struct cli_opt *opt = strncmp(words[i], "--", 2) == 0 ? opt_named(words[i]) : NULL;

		if (opt && opt->value && !strchr(words[i], '=')) {
			if (strcmp(opt->name, "socket") == 0 && i + 2 < nr)
				l->socket = words[i + 1];
			if (i + 2 == nr)
				l->wants = opt;
			i++;
		} else if (words[i][0] != '-' && l->nr_pos < CLI_POS_MAX) {
			l->pos[l->nr_pos++] = words[i];
		}
	}
}

int cli_complete(struct cli *cli, char *const *words, size_t nr)
{
	struct line l = { .out = cli->out, .socket = cli->socket, .cur = nr ? words[nr - 1] : "", .prefix = "" };
	const struct cli_verb *verb;
	const char *eq;
	char *prefix = NULL;
	size_t used;

	read_line(&l, words, nr);
	verb = cli_verb_find(l.pos, l.nr_pos, &used);
	eq = strncmp(l.cur, "--", 2) == 0 ? strchr(l.cur, '=') : NULL;
	if (!l.wants && eq) {
		l.wants = opt_named(l.cur);
		l.prefix = prefix = cli_text("%.*s", (int)(eq + 1 - l.cur), l.cur);
		l.cur = eq + 1;
	}
	if (l.wants && l.wants->choices)
		offer_choices(&l, l.wants->choices);
	else if (l.wants && l.wants->value && strcmp(l.wants->value, "PATH") == 0)
		fputs("@files\n", cli->out);
	else if (!l.wants && l.cur[0] == '-') {
		offer_opts(&l, verb ? verb->opts : NULL);
		offer_opts(&l, cli_global_opts);
	} else if (!l.wants && verb)
		offer_arg(&l, verb, used);
	else if (!l.wants && l.nr_pos < 2)
		offer_words(&l, l.nr_pos ? l.pos[0] : NULL);
	free(prefix);
	return EXIT_OK;
}
