/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client's limits, at and above them, against a server in a child process. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli_rpc.h"
#include "die_with.h"
#include "err.h"
#include "fdutil.h"
#include "gangway_limits.h"

static char dir[] = "/tmp/test_cli_rpc.XXXXXX", path[64];
static pid_t server = -1;

/* In the child: take one request line, answer with a line of @len bytes, newline included, then wait to be ended. */
static _Noreturn void serve(int listener, size_t len)
{
	static const char head[] = "{\"id\":1,\"result\":{\"x\":\"", tail[] = "\"}}\n";
	struct pollfd pfd = { .fd = listener, .events = POLLIN };
	char *line = malloc(len), c = 0;
	size_t done = 0;
	int fd;

	if (poll(&pfd, 1, 10000) != 1 || !line)
		_exit(1);
	fd = accept(listener, NULL, NULL);
	while (c != '\n' && read(fd, &c, 1) == 1)
		;
	memset(line, 'a', len);
	memcpy(line, head, sizeof(head) - 1);
	memcpy(line + len - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
	while (done < len) {
		ssize_t n = send(fd, line + done, len - done, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	pause();
	_exit(0);
}

static void start(size_t len)
{
	pid_t test = getpid();
	int listener;

	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	listener = fd_listen_unix(path, SOCK_STREAM, 0600);
	cr_assert(listener >= 0);
	server = fork();
	if (server == 0) {
		die_with(test);
		serve(listener, len);
	}
	close(listener);
}

static void stop(void)
{
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	unlink(path);
	rmdir(dir);
}

/* One call whose request has @request bytes (0: short) to a server that answers with @answer bytes. */
static int call(size_t request, size_t answer, struct err *err)
{
	static const char fixed[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"p\":\"\"}}\n";
	size_t fill = request ? request - (sizeof(fixed) - 1) : 0;
	struct cli_rpc_call c = { .method = "m", .timeout_ms = 10000 };
	json_t *result = NULL;
	struct cli_rpc *rpc;
	char *text = calloc(1, fill + 1);
	int r;

	start(answer);
	memset(text, 'b', fill);
	c.params = json_pack("{s:s}", "p", text);
	cr_assert_eq(cli_rpc_open(path, 1000, &rpc, err), 0, "%s", err->msg);
	r = cli_rpc_call(rpc, &c, &result, err);
	if (r == 0)
		cr_assert(json_is_object(result));
	else
		cr_assert_null(result);
	json_decref(result);
	json_decref(c.params);
	cli_rpc_free(rpc);
	free(text);
	return r;
}

Test(cli_rpc, request_at_the_limit, .fini = stop)
{
	struct err err = { 0 };

	cr_assert_eq(call(LIMIT_CTL_REQUEST, 100, &err), 0, "%s", err.msg);
}

Test(cli_rpc, request_above_the_limit, .fini = stop)
{
	struct err err = { 0 };

	cr_assert_eq(call(LIMIT_CTL_REQUEST + 1, 100, &err), -E2BIG);
	cr_assert_str_eq(err.code, "cli.request-too-long");
}

Test(cli_rpc, answer_at_the_limit, .fini = stop)
{
	struct err err = { 0 };

	cr_assert_eq(call(0, CLI_RPC_LINE_MAX, &err), 0, "%s", err.msg);
}

Test(cli_rpc, answer_above_the_limit, .fini = stop)
{
	struct err err = { 0 };

	cr_assert_eq(call(0, CLI_RPC_LINE_MAX + 1, &err), -EPROTO);
	cr_assert_str_eq(err.code, "cli.bad-answer");
}

Test(cli_rpc, nobody_there)
{
	struct cli_rpc *rpc = NULL;
	struct err err = { 0 };

	cr_assert_eq(cli_rpc_open("/nonexistent/s", 100, &rpc, &err), -ENOTCONN);
	cr_assert_eq(err_exit_code(err.num), EXIT_UNREACHABLE);
	cr_assert_null(rpc);
	cr_assert_null(cli_rpc_free(NULL));
}

/* Root may do everything, so the refusal is tested as somebody else. */
Test(cli_rpc, not_permitted, .fini = stop)
{
	struct cli_rpc *rpc = NULL;
	struct err err = { 0 };

	start(100);
	cr_assert_eq(chmod(path, 0), 0);
	if (geteuid() == 0) {
		cr_assert_eq(chmod(dir, 0711), 0);
		cr_assert_eq(seteuid(65534), 0);
	}
	cr_expect_eq(cli_rpc_open(path, 100, &rpc, &err), -EACCES);
	cr_expect_eq(err_exit_code(err.num), EXIT_DENIED);
	cr_expect_str_eq(err.code, "cli.denied");
	cr_assert_eq(seteuid(getuid()), 0);
}
