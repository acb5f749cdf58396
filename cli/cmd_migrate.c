/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migrate */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_args.h"
#include "cli_cmds.h"
#include "cli_render.h"
#include "cli_views.h"
#include "err.h"

/* A whole number of at most @max. -1: it is none, the usage error is told. */
static json_int_t number(struct cli *cli, const struct cli_args *args, const char *opt, json_int_t max, int *ret_code)
{
	const char *s = cli_args_get(args, opt);
	struct err err = { 0 };
	char *end;
	long long n;

	*ret_code = 0;
	if (!s)
		return 0;
	errno = 0;
	n = strtoll(s, &end, 10);
	if (s[0] >= '0' && s[0] <= '9' && !*end && !errno && n <= max)
		return n;
	err_set(&err, -EINVAL, "cli.usage", "--%s: `%.40s` is no number up to %lld", opt, s, (long long)max);
	err_hint(&err, "for example --%s 100", opt);
	*ret_code = cli_usage(cli, &err);
	return -1;
}

static int abort_it(struct cli *cli, const struct cli_args *args)
{
	struct cli_request req = { .method = "migrate.cancel", .shape = "" };
	json_t *result;
	int code;

	req.params = json_pack("{s:s}", "guest", args->pos[0]);
	code = cli_request(cli, &req, &result);
	if (code != EXIT_OK)
		return code;
	cli_show(cli, result, NULL);
	json_decref(result);
	return code;
}

int cli_cmd_migrate(struct cli *cli, const struct cli_args *args)
{
	struct cli_request req = { .method = "migrate", .shape = "migration{", .slow = true };
	json_int_t mbytes, downtime;
	struct err err = { 0 };
	json_t *result;
	int code;

	if (cli_args_has(args, "abort") != !cli_args_pos(args, 1)) {
		err_set(&err, -EINVAL, "cli.usage", "migrate: %s", cli_args_pos(args, 1) ? "--abort takes no URI" : "no URI");
		err_hint(&err, "gangway migrate GUEST tcp:HOST:PORT, or gangway migrate GUEST --abort");
		return cli_usage(cli, &err);
	}
	if (cli_args_has(args, "abort"))
		return abort_it(cli, args);
	mbytes = number(cli, args, "bandwidth", 1000000, &code);
	if (code)
		return code;
	downtime = number(cli, args, "downtime", 2000000, &code);
	if (code)
		return code;
	req.params = json_pack("{s:s,s:s,s:I,s:I,s:b}", "guest", args->pos[0], "uri", args->pos[1], "bandwidth", mbytes * 1000000,
			       "downtime_ms", downtime, "postcopy", cli_args_has(args, "postcopy"));
	code = cli_request(cli, &req, &result);
	if (code != EXIT_OK)
		return code;
	cli_show(cli, result, NULL);
	if (!cli->json)
		cli_view_migrated(cli->out, result);
	json_decref(result);
	return code;
}
