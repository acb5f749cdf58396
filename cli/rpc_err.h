/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rpc_err: what can go wrong between command and daemon, in words. Each fills @err and returns its errno; private to rpc.c. */
#ifndef GANGWAY_CLI_RPC_ERR_H
#define GANGWAY_CLI_RPC_ERR_H

#include <jansson.h>

struct cli_rpc_call;
struct err;

/* No answer to @call (NULL: to the connection) in time. -ETIMEDOUT. */
int rpc_err_timeout(const char *path, const struct cli_rpc_call *call, struct err *err);

/* The connection ended before the answer. -ENOTCONN. */
int rpc_err_lost(const char *path, const struct cli_rpc_call *call, struct err *err);

/* @what the daemon sends is not the protocol. -EPROTO. */
int rpc_err_nonsense(const char *path, const char *what, struct err *err);

/* connect(2) failed with negative errno @num. -EACCES or -ENOTCONN. */
int rpc_err_unreachable(const char *path, int num, struct err *err);

/* The error object that the daemon answered. A number that makes no sense becomes EIO; no message, rpc_err_nonsense(). */
int rpc_err_take(const char *path, json_t *error, struct err *err);

#endif
