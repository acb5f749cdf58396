/* SPDX-License-Identifier: GPL-2.0-or-later */
/* help: every text is made from the verb table. */
#include <errno.h>
#include <string.h>

#include "cli.h"
#include "cli_args.h"
#include "cli_cmds.h"
#include "cli_verbs.h"
#include "err.h"

#define NAMES "A PF is an interface (eth0) or a BDF (0000:02:00.0); a VF is eth0/vf3 or a BDF.\n"

void cli_help_short(FILE *out)
{
	fputs("usage: gangway [OPTIONS] COMMAND ...\n"
	      "\n"
	      "  gangway doctor                    can this host do it, and what is to be mended\n"
	      "  gangway pf set PF vfs N           split a NIC into virtual functions\n"
	      "  gangway guest add NAME --qmp PATH make a QEMU guest known\n"
	      "  gangway attach GUEST PF           give the guest a virtual function of that NIC\n"
	      "  gangway status                    who has what\n"
	      "  gangway detach GUEST              take it back\n"
	      "\n" NAMES "`gangway help` lists everything, `gangway help COMMAND` says more about one.\n",
	      out);
}

static void print_opts(FILE *out, const struct cli_opt *opts)
{
	for (const struct cli_opt *o = opts; o && o->name; o++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%c%s--%s%s%s", o->letter ? "-" : " ", o->letter ? o->letter : ' ',
			 o->letter ? ", " : "  ", o->name, o->value ? " " : "", o->value ? o->value : "");
		fprintf(out, "  %-26s %s\n", left, o->help);
	}
}

/* @text, each line indented by two. */
static void print_indented(FILE *out, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		fprintf(out, "%s%.*s\n", len ? "  " : "", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

static void print_line(FILE *out, const struct cli_verb *v)
{
	char left[64];

	snprintf(left, sizeof(left), "%s %s", v->words, v->args);
	fprintf(out, "  %-26s %s\n", left, v->summary);
}

static void help_all(FILE *out)
{
	fputs("usage: gangway [OPTIONS] COMMAND ...\n\nCommands:\n", out);
	for (const struct cli_verb *v = cli_verbs; v->words; v++)
		print_line(out, v);
	fputs("\n" NAMES "\nOptions, before or after the command:\n", out);
	print_opts(out, cli_global_opts);
	fputs("\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 daemon not reachable, 5 busy or in conflict,\n"
	      "6 not permitted, 7 timed out.\n"
	      "`gangway help COMMAND` says more about one command.\n",
	      out);
}

static void help_verb(FILE *out, const struct cli_verb *v)
{
	fprintf(out, "usage: gangway %s%s%s%s\n\n", v->words, *v->args ? " " : "", v->args, v->opts ? " [OPTIONS]" : "");
	fprintf(out, "%s: %s\n", v->words, v->summary);
	if (*v->help) {
		fputc('\n', out);
		fprintf(out, "%s\n", v->help);
	}
	if (strstr(v->args, "PF") || strstr(v->args, "VF"))
		fputs("\n" NAMES, out);
	if (v->opts) {
		fputs("\nOptions:\n", out);
		print_opts(out, v->opts);
	}
	fputs("\nExamples:\n", out);
	print_indented(out, v->examples);
}

/* Does the table have verbs of two words that begin with @word? Prints them if @out is not NULL. */
static bool help_object(FILE *out, const char *word)
{
	size_t len = strlen(word);
	bool found = false;

	for (const struct cli_verb *v = cli_verbs; v->words; v++) {
		if (strncmp(v->words, word, len) != 0 || v->words[len] != ' ')
			continue;
		found = true;
		if (out)
			print_line(out, v);
	}
	return found;
}

static void list_opts(FILE *out, const struct cli_opt *opts)
{
	for (const struct cli_opt *o = opts; o && o->name; o++)
		fprintf(out, " --%s%s%s", o->name, o->value ? "=" : "", o->value ? o->value : "");
}

/* One line a verb: words, arguments, options, separated by tabs; the global options in a line "*". */
static void help_list(FILE *out)
{
	fputs("*\t\t", out);
	list_opts(out, cli_global_opts);
	fputc('\n', out);
	for (const struct cli_verb *v = cli_verbs; v->words; v++) {
		fprintf(out, "%s\t%s\t", v->words, v->args);
		list_opts(out, v->opts);
		fputc('\n', out);
	}
}

static json_t *opts_json(const struct cli_opt *opts)
{
	json_t *list = json_array();

	for (const struct cli_opt *o = opts; o && o->name; o++)
		json_array_append_new(list, json_pack("{s:s,s:s?,s:s?,s:s}", "name", o->name, "value", o->value, "choices",
						      o->choices, "help", o->help));
	return list;
}

/* The table as JSON: with --json help too is nothing else. */
static int help_json(const struct cli *cli)
{
	json_t *verbs = json_array(), *tree;

	for (const struct cli_verb *v = cli_verbs; v->words; v++)
		json_array_append_new(verbs, json_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "command", v->words, "arguments", v->args,
						       "summary", v->summary, "help", v->help, "examples", v->examples, "options",
						       opts_json(v->opts)));
	tree = json_pack("{s:o,s:o}", "commands", verbs, "options", opts_json(cli_global_opts));
	cli_show(cli, tree, NULL);
	json_decref(tree);
	return EXIT_OK;
}

static int help_about(const struct cli *cli, char *const *words, size_t nr)
{
	const struct cli_verb *verb;
	struct err err = { 0 };
	const char *near;
	size_t used;

	verb = cli_verb_find(words, nr, &used);
	if (cli->json)
		return help_json(cli);
	if (!nr) {
		help_all(cli->out);
		return EXIT_OK;
	}
	if (verb && used == nr) {
		help_verb(cli->out, verb);
		return EXIT_OK;
	}
	if (nr == 1 && help_object(NULL, words[0])) {
		fprintf(cli->out, "Commands of `gangway %s`:\n", words[0]);
		help_object(cli->out, words[0]);
		fputs("`gangway help COMMAND` says more about one.\n", cli->out);
		return EXIT_OK;
	}
	err_set(&err, -EINVAL, "cli.usage", "there is no command `%s%s%s`", words[0], nr > 1 ? " " : "", nr > 1 ? words[1] : "");
	near = cli_verb_nearest(words, nr);
	err_hint(&err, near ? "did you mean `gangway %s`?" : "`gangway help` lists the commands", near);
	return cli_usage(cli, &err);
}

int cli_help(struct cli *cli, const struct cli_args *args)
{
	char words[2][32];
	char *list[2] = { words[0], words[1] };

	if (!args->verb)
		return help_about(cli, args->pos, args->nr_pos < 2 ? args->nr_pos : 2);
	if (sscanf(args->verb->words, "%31s %31s", words[0], words[1]) == 2)
		return help_about(cli, list, 2);
	return help_about(cli, list, 1);
}

int cli_cmd_help(struct cli *cli, const struct cli_args *args)
{
	if (cli_args_has(args, "list") && !cli->json) {
		help_list(cli->out);
		return EXIT_OK;
	}
	return help_about(cli, args->pos, args->nr_pos);
}
