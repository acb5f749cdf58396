/* SPDX-License-Identifier: GPL-2.0-or-later */
/* monitor: events as they come. */
#include <errno.h>

#include "cli.h"
#include "cli_args.h"
#include "cli_cmds.h"
#include "cli_rpc.h"
#include "cli_views.h"
#include "err.h"

#define SUBSCRIBE_MS 30000
#define COUNT_MAX 999999999

int cli_cmd_monitor(struct cli *cli, const struct cli_args *args)
{
	const struct cli_rpc_call call = { .method = "monitor",
					   .timeout_ms = cli->timeout_ms >= 0 ? cli->timeout_ms : SUBSCRIBE_MS };
	const char *count = cli_args_get(args, "count");
	struct cli_rpc *rpc = NULL;
	struct err err = { 0 };
	unsigned long long left = 0;
	json_t *event;
	int r;

	if (count && (cli_number(count, COUNT_MAX, &left) < 0 || left == 0)) {
		err_set(&err, -EINVAL, "cli.usage", "--count: `%s` is not a number of events", count);
		return cli_usage(cli, &err);
	}
	cli_rpc_catch_signals();
	r = cli_rpc_open(cli->socket, call.timeout_ms, &rpc, &err);
	if (r == 0)
		r = cli_rpc_call(rpc, &call, &event, &err);
	if (r == 0)
		json_decref(event); /* the answer itself says nothing */
	while (r == 0) {
		r = cli_rpc_next(rpc, "event", &event, &err);
		if (r < 0)
			break;
		cli_show(cli, event, cli_view_event);
		json_decref(event);
		if (fflush(cli->out) == EOF || (count && --left == 0))
			break;
	}
	cli_rpc_free(rpc);
	if (r < 0 && r != -EINTR) /* to be interrupted is how it is meant to end */
		return cli_fail(cli, &err);
	return EXIT_OK;
}
