/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migrate */
#include <errno.h>

#include "cli.h"
#include "cli_args.h"
#include "cli_cmds.h"
#include "cli_views.h"
#include "err.h"

static int abort_it(struct cli *cli, const struct cli_args *args)
{
	const struct cli_request req = { .method = "migrate.cancel", .params = json_pack("{s:s}", "guest", args->pos[0]) };

	return cli_simple(cli, &req, NULL);
}

int cli_cmd_migrate(struct cli *cli, const struct cli_args *args)
{
	static const struct cli_number_opt bandwidth = {
		.name = "bandwidth",
		.key = "bandwidth",
		.max = 1000000,
		.unit = 1000000,
		.wants = "no number up to",
		.hint = "for example --bandwidth 100",
	};
	static const struct cli_number_opt downtime = {
		.name = "downtime",
		.key = "downtime_ms",
		.max = 2000000,
		.wants = "no number up to",
		.hint = "for example --downtime 100",
	};
	struct cli_request req = { .method = "migrate", .shape = "migration{", .slow = true };
	struct err err = { 0 };
	int code;

	if (cli_args_has(args, "abort") != !cli_args_pos(args, 1)) {
		err_set(&err, -EINVAL, "cli.usage", "migrate: %s", cli_args_pos(args, 1) ? "--abort takes no URI" : "no URI");
		err_hint(&err, "gangway migrate GUEST tcp:HOST:PORT, or gangway migrate GUEST --abort");
		return cli_usage(cli, &err);
	}
	if (cli_args_has(args, "abort"))
		return abort_it(cli, args);
	req.params = json_pack("{s:s,s:s,s:i,s:i,s:b}", "guest", args->pos[0], "uri", args->pos[1], "bandwidth", 0, "downtime_ms",
			       0, "postcopy", cli_args_has(args, "postcopy"));
	code = cli_take_number(cli, args, &bandwidth, req.params);
	if (!code)
		code = cli_take_number(cli, args, &downtime, req.params);
	if (code) {
		json_decref(req.params);
		return code;
	}
	return cli_simple(cli, &req, cli_view_migrated);
}
