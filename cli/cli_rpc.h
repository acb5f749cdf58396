/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rpc: JSON-RPC with the daemon over its Unix socket (docs/control-protocol.md).
 *
 * Blocking, with a deadline. The daemon is not trusted to be sane: lines are bounded, types are checked, whatever is not an
 * answer or a notification ends the call with an error.
 */
#ifndef GANGWAY_CLI_RPC_H
#define GANGWAY_CLI_RPC_H

#include <jansson.h>
#include <stdbool.h>

struct cli_rpc;
struct err;

#define CLI_RPC_LINE_MAX (8 << 20) /* bytes of one line from the daemon, which queues at most half of that to a client */

/* Connect to @path. Returns 0 or a negative errno: -ENOTCONN nobody listens, -EACCES, -ETIMEDOUT. Close with cli_rpc_free(). */
int cli_rpc_open(const char *path, int timeout_ms, struct cli_rpc **ret, struct err *err);

/* Close and free. NULL is fine. Always returns NULL. */
struct cli_rpc *cli_rpc_free(struct cli_rpc *rpc);

struct cli_rpc_call {
	const char *method;
	json_t *params; /* borrowed; NULL: none */
	int timeout_ms; /* negative: for ever */
	bool extend; /* a notification starts the timeout anew */
	void (*notify)(void *arg, const char *method, json_t *params); /* may be NULL; @params borrowed, may be NULL */
	void (*tick)(void *arg); /* about once a second while waiting; may be NULL */
	void *arg;
};

/*
 * One call. Returns 0 with *@ret_result (the caller owns it, never NULL), or a negative errno: the daemon's own error, or
 * -ENOTCONN it went away, -ETIMEDOUT, -EPROTO it talks nonsense, -E2BIG the request is longer than the protocol allows.
 */
int cli_rpc_call(struct cli_rpc *rpc, const struct cli_rpc_call *call, json_t **ret_result, struct err *err);

/*
 * Wait for the next notification called @method; others are skipped. *@ret_params is the caller's. Returns 0, -EINTR when
 * SIGINT or SIGTERM came (after cli_rpc_catch_signals()), or as cli_rpc_call().
 */
int cli_rpc_next(struct cli_rpc *rpc, const char *method, json_t **ret_params, struct err *err);

/* From now on SIGINT and SIGTERM end a wait with -EINTR. */
void cli_rpc_catch_signals(void);

#endif
