/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's memory: shown, and what a lease may have of it. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
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
	const char *text = cli_args_get(args, "priority");
	struct err err = { 0 };
	unsigned long n;

	if (!text)
		return 0;
	if (cli_number(text, PRIORITY_MAX, &n) < 0) {
		err_set(&err, -EINVAL, "cli.usage", "--priority: `%.40s` is not a number from 0 to %d", text, PRIORITY_MAX);
		err_hint(&err, "0 gives its VF up first, 9 last");
		return cli_usage(cli, &err);
	}
	json_object_set_new(params, "priority", json_integer((json_int_t)n));
	return 0;
}

int cli_cmd_memory_set(struct cli *cli, const struct cli_args *args)
{
	struct cli_request req = { .method = "memory.set", .shape = "lease{" };
	const char *third = cli_args_pos(args, 2), *policy = third ? third : args->pos[1];
	struct err err = { 0 };
	json_t *result;
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
	code = cli_request(cli, &req, &result);
	if (code != EXIT_OK)
		return code;
	cli_show(cli, result, cli_view_memory_set);
	cli_show_warnings(cli, result);
	json_decref(result);
	return code;
}

/* --NAME, a number up to @max, into @params as @key. 0, or an exit code after the error is printed. */
static int take_number(const struct cli *cli, const struct cli_args *args, const char *name, unsigned long long max,
		       json_t *params, const char *key)
{
	const char *text = cli_args_get(args, name);
	struct err err = { 0 };
	unsigned long long n;

	if (!text)
		return 0;
	errno = 0;
	n = strtoull(text, NULL, 10);
	if (!*text || strspn(text, "0123456789") != strlen(text) || errno || n > max) {
		err_set(&err, -EINVAL, "cli.usage", "--%s: `%.40s` is not a whole number up to %llu", name, text, max);
		err_hint(&err, "`gangway help memory release` says more");
		return cli_usage(cli, &err);
	}
	json_object_set_new(params, key, json_integer((json_int_t)n));
	return 0;
}

int cli_cmd_memory_release(struct cli *cli, const struct cli_args *args)
{
	struct cli_request req = { .method = "memory.release" };
	int code;

	req.params = json_pack("{s:s}", "guest", args->pos[0]);
	code = take_number(cli, args, "for", RELEASE_MAX, req.params, "for_s");
	if (!code)
		code = take_number(cli, args, "until-bytes", INT64_MAX, req.params, "until_bytes");
	if (code) {
		json_decref(req.params);
		return code;
	}
	return cli_simple(cli, &req, cli_view_memory_released);
}
