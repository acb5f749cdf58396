/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's memory: shown, and what a lease may have of it. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "cli.h"
#include "cli_args.h"
#include "cli_cmds.h"
#include "cli_render.h"
#include "cli_views.h"
#include "err.h"

#define PRIORITY_MAX 9
#define RELEASE_MAX 86400 /* seconds */

int cli_cmd_memory_show(struct cli *cli, const struct cli_args *args)
{
	const struct cli_request req = { .method = "memory.show",
					 .params = json_pack("{s:s}", "guest", args->pos[0]),
					 .shape = "areas[ devices[ need{ room{" };

	return cli_simple(cli, &req, cli_view_memory);
}

int cli_take_priority(const struct cli *cli, const struct cli_args *args, json_t *params)
{
	static const struct cli_number_opt priority = {
		.name = "priority",
		.key = "priority",
		.max = PRIORITY_MAX,
		.wants = "not a number from 0 to",
		.hint = "0 gives its VF up first, 9 last",
	};

	return cli_take_number(cli, args, &priority, params);
}

int cli_cmd_memory_set(struct cli *cli, const struct cli_args *args)
{
	struct cli_request req = { .method = "memory.set", .shape = "lease{" };
	const char *third = cli_args_pos(args, 2), *policy = third ? third : args->pos[1];
	struct err err = { 0 };
	int code;

	if (strcmp(policy, "pin") != 0 && strcmp(policy, "adaptive") != 0) {
		err_set(&err, -EINVAL, "cli.usage", "memory set: policy \"%.40s\"", policy);
		err_hint(&err, "pin or adaptive");
		return cli_usage(cli, &err);
	}
	req.params = json_pack("{s:s,s:s*,s:s,s:o*}", "guest", args->pos[0], "nic", third ? args->pos[1] : NULL, "memory", policy,
			       "unshare", cli_args_has(args, "unshare") ? json_true() : NULL);
	code = cli_take_priority(cli, args, req.params);
	if (code) {
		json_decref(req.params);
		return code;
	}
	return cli_simple(cli, &req, cli_view_memory_set);
}

int cli_cmd_memory_release(struct cli *cli, const struct cli_args *args)
{
	static const struct cli_number_opt seconds = {
		.name = "for",
		.key = "for_s",
		.max = RELEASE_MAX,
		.wants = "not a whole number up to",
		.hint = "`gangway help memory release` says more",
	};
	static const struct cli_number_opt bytes = {
		.name = "until-bytes",
		.key = "until_bytes",
		.max = INT64_MAX,
		.wants = "not a whole number up to",
		.hint = "`gangway help memory release` says more",
	};
	struct cli_request req = { .method = "memory.release" };
	int code;

	req.params = json_pack("{s:s}", "guest", args->pos[0]);
	code = cli_take_number(cli, args, &seconds, req.params);
	if (!code)
		code = cli_take_number(cli, args, &bytes, req.params);
	if (code) {
		json_decref(req.params);
		return code;
	}
	return cli_simple(cli, &req, cli_view_memory_released);
}
