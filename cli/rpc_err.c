/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rpc_err.h"

#include <errno.h>
#include <string.h>

#include "cli_rpc.h"
#include "err.h"

/* What @call may have done is worth a look only if it could do something. */
static const char *and_status(const struct cli_rpc_call *call)
{
	return call && (call->extend || strcmp(call->method, "switch") == 0) ? "; `gangway status` shows what was done" : "";
}

int rpc_err_timeout(const char *path, const struct cli_rpc_call *call, struct err *err)
{
	err_set(err, -ETIMEDOUT, "cli.timeout", "gangwayd at %s: no answer to `%s` in time", path,
		call ? call->method : "connect");
	err_hint(err, "the daemon's log says what it waits for%s", and_status(call));
	return -ETIMEDOUT;
}

int rpc_err_lost(const char *path, const struct cli_rpc_call *call, struct err *err)
{
	err_set(err, -ENOTCONN, "cli.connection-lost", "gangwayd at %s: connection closed before the answer to `%s`", path,
		call->method);
	err_hint(err, "the daemon's log says why%s", and_status(call));
	return -ENOTCONN;
}

int rpc_err_nonsense(const char *path, const char *what, struct err *err)
{
	err_set(err, -EPROTO, "cli.bad-answer", "gangwayd at %s: %s", path, what);
	err_hint(err, "is this the socket of a gangwayd of the same version? `gangway version` tells");
	return -EPROTO;
}

int rpc_err_unreachable(const char *path, int num, struct err *err)
{
	bool denied = num == -EACCES || num == -EPERM;
	int ret = denied ? -EACCES : -ENOTCONN; /* a missing socket is a daemon not running, not "not found" */

	err_set(err, ret, denied ? "cli.denied" : "cli.unreachable", "cannot reach gangwayd at %s: %s", path, strerror(-num));
	if (denied)
		err_hint(err, "run it as root, or be in the group the socket belongs to");
	else
		err_hint(err, "start the daemon (`systemctl start gangwayd`), or name its socket with --socket");
	return ret;
}

int rpc_err_take(const char *path, json_t *error, struct err *err)
{
	json_t *data = json_object_get(error, "data");
	const char *code = json_string_value(json_object_get(data, "code"));
	const char *msg = json_string_value(json_object_get(data, "message"));
	const char *hint = json_string_value(json_object_get(data, "hint"));
	json_int_t num = json_integer_value(json_object_get(data, "errno"));

	if (!msg)
		msg = json_string_value(json_object_get(error, "message"));
	if (!msg)
		return rpc_err_nonsense(path, "an error without a message", err);
	if (num < 1 || num > 4095)
		num = EIO;
	err_set(err, (int)-num, code ? code : "ctl.error", "%s", msg);
	if (hint && *hint)
		err_hint(err, "%s", hint);
	return (int)-num;
}
