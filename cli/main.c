/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gangway: the command. */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_args.h"
#include "cli_cmds.h"
#include "cli_verbs.h"
#include "ctl_proto.h"
#include "err.h"

#define TIMEOUT_MAX 86400

/* GANGWAY_TIMEOUT: seconds, for scripts that would rather fail than wait. */
static int env_timeout(struct cli *cli, struct err *err)
{
	const char *text = getenv("GANGWAY_TIMEOUT");

	if (!text || !*text || cli_seconds(text, TIMEOUT_MAX, &cli->timeout_ms) == 0)
		return 0;
	err_set(err, -EINVAL, "cli.usage", "GANGWAY_TIMEOUT: `%s` is not a number of seconds up to a day", text);
	return -EINVAL;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct err err = { 0 };
	struct cli_args args;
	const char *socket;
	int r;

	cli->json = cli_args_wants_json(argc, argv); /* even for an error of the parser */
	r = cli_args_parse(argc, argv, &args, &err);
	if (r == 0)
		r = env_timeout(cli, &err);
	if (r < 0)
		return cli_usage(cli, &err);
	cli->pretty = cli_args_has(&args, "pretty");
	cli->json = cli->pretty || cli_args_has(&args, "json");
	cli->quiet = cli_args_has(&args, "quiet");
	socket = cli_args_get(&args, "socket");
	if (socket)
		cli->socket = socket;
	if (cli_args_has(&args, "help"))
		return cli_help(cli, &args);
	if (cli_args_has(&args, "version"))
		return cli_print_version(cli);
	if (args.verb)
		return args.verb->run(cli, &args);
	if (!cli->json) {
		cli_help_short(cli->err);
		return EXIT_USAGE;
	}
	err_set(&err, -EINVAL, "cli.usage", "no command");
	err_hint(&err, "`gangway help` lists the commands");
	return cli_usage(cli, &err);
}

int main(int argc, char **argv)
{
	struct cli cli = { .timeout_ms = -1, .out = stdout, .err = stderr };
	const char *socket = getenv("GANGWAY_SOCKET");

	setlocale(LC_CTYPE, ""); /* and no other category: numbers keep their dot */
	cli.socket = socket && *socket ? socket : CTL_SOCKET;
	if (argc > 1 && strcmp(argv[1], "--complete") == 0)
		return cli_complete(&cli, argv + 2, (size_t)argc - 2);
	return cli_finish(&cli, run(&cli, argc, argv));
}
