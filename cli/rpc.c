/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli_rpc.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "ctl_proto.h"
#include "err.h"
#include "fdutil.h"
#include "gangway_limits.h"
#include "rpc_err.h"

#define TICK_MS 1000
#define RETRY_MS 50 /* between attempts while the daemon's backlog is full */

struct cli_rpc {
	int fd; /* owned */
	int next_id;
	char *buf; /* bytes received; the first @scanned of them hold no newline */
	size_t used, size, scanned;
	char *path; /* for messages */
};

static volatile sig_atomic_t stopped;
static bool catching;
static sigset_t wait_mask; /* while waiting the signals are let through, else blocked: none is missed in between */

static void on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

void cli_rpc_catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t block;

	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	sigprocmask(SIG_BLOCK, &block, &wait_mask);
	sigdelset(&wait_mask, SIGINT);
	sigdelset(&wait_mask, SIGTERM);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	catching = true;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t deadline_in(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

int cli_rpc_open(const char *path, int timeout_ms, struct cli_rpc **ret, struct err *err)
{
	int64_t deadline = deadline_in(timeout_ms);
	struct cli_rpc *rpc;
	int fd;

	while ((fd = fd_connect_unix(path, SOCK_STREAM)) == -EAGAIN) {
		if (deadline >= 0 && now_ms() >= deadline)
			return rpc_err_timeout(path, NULL, err);
		poll(NULL, 0, RETRY_MS);
	}
	if (fd < 0)
		return rpc_err_unreachable(path, fd, err);
	rpc = calloc(1, sizeof(*rpc));
	if (rpc) {
		rpc->fd = fd_take(&fd);
		rpc->path = strdup(path);
	}
	if (!rpc || !rpc->path) {
		fd_close(&fd);
		cli_rpc_free(rpc);
		return err_set(err, -ENOMEM, "cli.no-memory", "out of memory");
	}
	*ret = rpc;
	return 0;
}

struct cli_rpc *cli_rpc_free(struct cli_rpc *rpc)
{
	if (!rpc)
		return NULL;
	fd_close(&rpc->fd);
	free(rpc->buf);
	free(rpc->path);
	free(rpc);
	return NULL;
}

/* Waits until the socket is ready (0), the deadline has passed (-ETIMEDOUT) or a caught signal came (-EINTR). */
static int wait_ready(struct cli_rpc *rpc, short events, int64_t deadline, const struct cli_rpc_call *call)
{
	for (;;) {
		struct pollfd pfd = { .fd = rpc->fd, .events = events };
		int64_t left = deadline < 0 ? TICK_MS : deadline - now_ms();
		struct timespec ts;
		int r;

		if (catching && stopped)
			return -EINTR;
		if (left < 0)
			left = 0;
		if (left > TICK_MS)
			left = TICK_MS;
		ts = (struct timespec){ .tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000 };
		r = ppoll(&pfd, 1, &ts, catching ? &wait_mask : NULL);
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (deadline >= 0 && now_ms() >= deadline)
			return -ETIMEDOUT;
		if (r == 0 && call && call->tick)
			call->tick(call->arg);
	}
}

/* Room for more bytes; the limit keeps a daemon that never ends its line from taking the memory. */
static int grow(struct cli_rpc *rpc, struct err *err)
{
	size_t size = rpc->size ? rpc->size * 2 : 64 << 10;
	char *buf;

	if (rpc->used < rpc->size)
		return 0;
	if (rpc->used >= CLI_RPC_LINE_MAX)
		return rpc_err_nonsense(rpc->path, "a line of the answer is longer than 8 MiB", err);
	buf = realloc(rpc->buf, size);
	if (!buf)
		return err_set(err, -ENOMEM, "cli.no-memory", "out of memory");
	rpc->buf = buf;
	rpc->size = size;
	return 0;
}

/* A complete line out of the buffer, as JSON. 1: *@ret is set; 0: more bytes are needed. */
static int take_line(struct cli_rpc *rpc, json_t **ret, struct err *err)
{
	char *nl = rpc->used > rpc->scanned ? memchr(rpc->buf + rpc->scanned, '\n', rpc->used - rpc->scanned) : NULL;
	json_t *msg;
	size_t len;

	if (!nl) {
		rpc->scanned = rpc->used;
		return 0;
	}
	len = (size_t)(nl - rpc->buf);
	msg = json_loadb(rpc->buf, len, JSON_REJECT_DUPLICATES, NULL);
	memmove(rpc->buf, nl + 1, rpc->used - len - 1);
	rpc->used -= len + 1;
	rpc->scanned = 0;
	if (!json_is_object(msg)) {
		json_decref(msg);
		return rpc_err_nonsense(rpc->path, "what it sends is not a JSON object", err);
	}
	*ret = msg;
	return 1;
}

static int next_message(struct cli_rpc *rpc, int64_t deadline, const struct cli_rpc_call *call, json_t **ret, struct err *err)
{
	for (;;) {
		size_t nr_fds;
		ssize_t n;
		int r;

		r = take_line(rpc, ret, err);
		if (r)
			return r < 0 ? r : 0;
		r = grow(rpc, err);
		if (r < 0)
			return r;
		n = fd_recv(rpc->fd, rpc->buf + rpc->used, rpc->size - rpc->used, NULL, 0, &nr_fds);
		if (n > 0) {
			rpc->used += (size_t)n;
			continue;
		}
		if (n != -EAGAIN)
			return rpc_err_lost(rpc->path, call, err);
		r = wait_ready(rpc, POLLIN, deadline, call);
		if (r == -ETIMEDOUT)
			return rpc_err_timeout(rpc->path, call, err);
		if (r < 0)
			return err_set(err, r, "cli.interrupted", "%s: %s", call->method, strerror(-r));
	}
}

static int send_request(struct cli_rpc *rpc, const struct cli_rpc_call *call, int id, int64_t deadline, struct err *err)
{
	json_t *req = json_pack("{s:s,s:i,s:s,s:O*}", "jsonrpc", "2.0", "id", id, "method", call->method, "params", call->params);
	char *text = req ? json_dumps(req, JSON_COMPACT) : NULL;
	size_t len, done = 0;
	int r = 0;

	json_decref(req);
	if (!text)
		return err_set(err, -ENOMEM, "cli.no-memory", "out of memory");
	len = strlen(text);
	text[len++] = '\n'; /* in place of the NUL */
	if (len > LIMIT_CTL_REQUEST)
		r = err_set(err, -E2BIG, "cli.request-too-long", "%s: the request has %zu bytes, %d are allowed", call->method,
			    len, LIMIT_CTL_REQUEST);
	while (r == 0 && done < len) {
		ssize_t n = fd_send(rpc->fd, text + done, len - done, NULL, 0);

		if (n >= 0) {
			done += (size_t)n;
		} else if (n == -EAGAIN) {
			r = wait_ready(rpc, POLLOUT, deadline, call);
			if (r == -ETIMEDOUT)
				rpc_err_timeout(rpc->path, call, err);
			else if (r < 0)
				err_set(err, r, "cli.interrupted", "%s: %s", call->method, strerror(-r));
		} else {
			break; /* it hung up, perhaps after saying why: the reader finds out */
		}
	}
	free(text);
	return r;
}

/* Is @msg the answer to request @id? An error without an id is: the daemon could not read or would not take the request. */
static bool is_answer(json_t *msg, int id)
{
	json_t *got = json_object_get(msg, "id");

	if (json_is_integer(got))
		return json_integer_value(got) == id;
	return (!got || json_is_null(got)) && json_object_get(msg, "error");
}

int cli_rpc_call(struct cli_rpc *rpc, const struct cli_rpc_call *call, json_t **ret_result, struct err *err)
{
	int64_t deadline = deadline_in(call->timeout_ms);
	int id = ++rpc->next_id, r;

	r = send_request(rpc, call, id, deadline, err);
	while (r == 0) {
		const char *method;
		json_t *msg = NULL, *result;

		r = next_message(rpc, deadline, call, &msg, err);
		if (r < 0)
			break;
		method = json_string_value(json_object_get(msg, "method"));
		result = json_object_get(msg, "result");
		if (method) {
			if (call->notify)
				call->notify(call->arg, method, json_object_get(msg, "params"));
			if (call->extend)
				deadline = deadline_in(call->timeout_ms);
			else if (deadline >= 0 && now_ms() >= deadline)
				r = rpc_err_timeout(rpc->path, call, err);
		} else if (!is_answer(msg, id)) {
			r = rpc_err_nonsense(rpc->path, "an answer to a question nobody asked", err);
		} else if (json_object_get(msg, "error")) {
			r = rpc_err_take(rpc->path, json_object_get(msg, "error"), err);
		} else if (!json_is_object(result)) {
			r = rpc_err_nonsense(rpc->path, "an answer without a result", err);
		} else {
			*ret_result = json_incref(result);
			json_decref(msg);
			return 0;
		}
		json_decref(msg);
	}
	return r;
}

int cli_rpc_next(struct cli_rpc *rpc, const char *method, json_t **ret_params, struct err *err)
{
	const struct cli_rpc_call call = { .method = method };

	for (;;) {
		json_t *msg = NULL, *params;
		const char *got;
		int r;

		if (catching && stopped)
			return err_set(err, -EINTR, "cli.interrupted", "interrupted");
		r = next_message(rpc, -1, &call, &msg, err);
		if (r == -ENOTCONN)
			err_set(err, r, "cli.connection-lost", "gangwayd at %s: connection closed", rpc->path);
		if (r < 0)
			return r;
		got = json_string_value(json_object_get(msg, "method"));
		params = json_object_get(msg, "params");
		if (got && strcmp(got, method) == 0 && json_is_object(params)) {
			*ret_params = json_incref(params);
			json_decref(msg);
			return 0;
		}
		json_decref(msg);
	}
}
