/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: framing, what is no request, and the limits on what clients can make gangwayd hold. */
#include "ctl_test.h"

#include <poll.h>
#include <time.h>

#define ECHO(id) "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"method\":\"echo\",\"params\":{\"a\":1}}\n"

static const char *hint_of(json_t *j)
{
	const char *hint = NULL;

	cr_assert_eq(json_unpack(j, "{s:{s:{s:s}}}", "error", "data", "hint", &hint), 0);
	return hint;
}

/* Another gangwayd's, whatever its runtime directory: it goes on being heard. What a dead one left is taken over. */
Test(ctl, a_socket_that_somebody_listens_to)
{
	static const struct ctl_method none[] = { { NULL, true, NULL } };
	struct ctl *ctl = NULL;
	char old[sizeof(dir) + 8], who[64];
	struct client *c;
	struct err err;

	start(false);
	cr_assert_eq(ctl_new(&d, none, 0, &ctl, &err), -EADDRINUSE);
	cr_assert_str_eq(err.code, "ctl.socket");
	cr_assert(strstr(err.hint, "another gangwayd"), "%s", err.hint);
	snprintf(who, sizeof(who), "another gangwayd, pid %d,", (int)getpid());
	cr_assert(strstr(err.msg, who), "%s", err.msg);
	c = join();
	say_text(c, ECHO(1));
	hear_result(c, 1);
	leave(c);
	snprintf(old, sizeof(old), "%s/old", dir);
	for (int i = 0; i < 2; i++) {
		int fd = fd_listen_unix(old, i ? SOCK_STREAM : SOCK_SEQPACKET, 0600);

		cr_assert_geq(fd, 0, "%s", strerror(-fd));
		cr_assert_eq(fd_listen_unix(old, SOCK_STREAM, 0600), -EADDRINUSE);
		close(fd);
	}
	unlink(old);
	stop();
}

Test(ctl, a_line_in_pieces)
{
	static const char text[] = ECHO(7);
	struct client *c;

	start(false);
	c = join();
	for (size_t i = 0; i < strlen(text); i++) {
		hear_nothing(c);
		say(c, text + i, 1);
	}
	hear_result(c, 7);
	hear_nothing(c);
	leave(c);
	stop();
}

Test(ctl, several_lines_in_a_packet)
{
	struct client *c;

	start(false);
	c = join();
	say_text(c, ECHO(1) "\n\n" ECHO(2) "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}\n" ECHO(3) "{\"jsonrpc\"");
	hear_result(c, 1);
	hear_result(c, 2);
	hear_result(c, 3);
	hear_nothing(c);
	cr_assert_eq(nr_echo, 4, "a notification is called and not answered");
	say_text(c, ":\"2.0\",\"id\":4,\"method\":\"echo\"}\n");
	hear_result(c, 4);
	leave(c);
	stop();
}

/* clang-format off */
static const struct {
	const char *text;
	int id, code;
	const char *ours;
} bad[] = {
	{ "hello", -1, -32700, "ctl.parse" },
	{ "{", -1, -32700, "ctl.parse" },
	{ "{\"a\":1,\"a\":2}", -1, -32700, "ctl.parse" },
	{ "{} {}", -1, -32700, "ctl.parse" },
	{ "\xff\xfe", -1, -32700, "ctl.parse" },
	{ "{\"id\":1e999}", -1, -32700, "ctl.parse" },
	{ "{\"id\":99999999999999999999999}", -1, -32700, "ctl.parse" },
	{ "7", -1, -32700, "ctl.parse" },
	{ "{}", -1, -32600, "ctl.bad-request" },
	{ "[]", -1, -32600, "ctl.bad-request" },
	{ "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}]", -1, -32600, "ctl.bad-request" },
	{ "{\"id\":1,\"method\":\"echo\"}", 1, -32600, "ctl.bad-request" },
	{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"echo\"}", 1, -32600, "ctl.bad-request" },
	{ "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"echo\"}", 1, -32600, "ctl.bad-request" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1}", 1, -32600, "ctl.bad-request" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", 1, -32600, "ctl.bad-request" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"echo\"}", -1, -32600, "ctl.bad-request" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"echo\"}", -1, -32600, "ctl.bad-request" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"echo\"}", -1, -32600, "ctl.bad-request" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[]}", 1, -32600, "ctl.bad-request" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":null}", 1, -32600, "ctl.bad-request" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ech\"}", 1, -32601, "ctl.unknown-method" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\"}", 1, -32601, "ctl.unknown-method" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\\u0000\"}", -1, -32700, "ctl.parse" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"fail\"}", 1, -32000, "test.full" },
};
/* clang-format on */

Test(ctl, what_is_no_request)
{
	struct client *c;

	start(false);
	c = join();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		say_text(c, bad[i].text);
		say_text(c, "\n");
		hear_error(c, bad[i].id, bad[i].code, bad[i].ours, bad[i].text);
		hear_nothing(c);
	}
	/* and the connection is as good as before */
	say_text(c, ECHO(9));
	hear_result(c, 9);
	cr_assert_eq(nr_echo, 1);
	leave(c);
	stop();
}

Test(ctl, a_nul_inside)
{
	static const char text[] = "{\"jsonrpc\":\"2.0\",\0\"id\":1}\n";
	struct client *c;

	start(false);
	c = join();
	say(c, text, sizeof(text) - 1);
	hear_error(c, -1, -32700, "ctl.parse", "NUL");
	leave(c);
	stop();
}

Test(ctl, deep_nesting)
{
	static char text[60001];
	struct client *c;

	memset(text, '[', 60000);
	start(false);
	c = join();
	say_text(c, text);
	say_text(c, "\n");
	hear_error(c, -1, -32700, "ctl.parse", "[[[[");
	memset(text, '[', 30000);
	memset(text + 30000, ']', 30000);
	say_text(c, text);
	say_text(c, "\n");
	hear_error(c, -1, -32700, "ctl.parse", "[[[]]]");
	leave(c);
	stop();
}

/* A request of @len bytes, newline included. */
static char *request_of(size_t len)
{
	static const char head[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"x\":\"";
	char *text = malloc(len + 1);

	memset(text, 'x', len);
	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + len - 4, "\"}}\n", 5);
	return text;
}

Test(ctl, a_line_at_the_limit_and_above)
{
	struct client *c;
	char *text;

	start(false);
	c = join();
	text = request_of(LIMIT_CTL_REQUEST);
	say_text(c, text);
	free(text);
	hear_result(c, 1);
	text = request_of(LIMIT_CTL_REQUEST + 1);
	say_text(c, text);
	free(text);
	hear_error(c, -1, -32700, "ctl.parse", "oversized");
	take_in(c);
	cr_assert(c->closed, "where the next request would begin is not known");
	cr_assert_eq(nr_echo, 1);
	leave(c);
	stop();
}

Test(ctl, calls_under_way_are_limited)
{
	struct client *c;
	char text[96];

	start(false);
	c = join();
	for (int i = 0; i < 17; i++) {
		snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"keep\"}\n", i);
		say_text(c, text);
	}
	hear_error(c, 16, -32000, "ctl.too-many", text);
	cr_assert_eq(nr_kept, 16);
	ctl_reply(kept[3], json_object());
	hear_result(c, 3);
	say_text(c, ECHO(20));
	hear_result(c, 20);
	for (int i = 0; i < 16; i++)
		if (i != 3)
			ctl_reply(kept[i], NULL);
	hear_error(c, 0, -32000, "daemon.no-memory", "a result that could not be made");
	leave(c);
	stop();
}

Test(ctl, a_client_that_leaves_its_calls)
{
	struct client *c, *other;
	struct err err;

	start(false);
	c = join();
	say_text(c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"keep\"}\n{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"keep\"}\n");
	cr_assert_eq(nr_kept, 2);
	leave(c);
	turn();
	other = join();
	ctl_progress(kept[0], "step", 1, 2, "what");
	ctl_subscribe(kept[0]);
	ctl_reply(kept[0], json_object());
	err_set(&err, -EIO, "test.x", "x");
	ctl_fail(kept[1], &err);
	hear_nothing(other);
	leave(other);
	stop();
	/* nobody waits at all: of calls that gangwayd makes to itself */
	ctl_reply(NULL, json_object());
	ctl_fail(NULL, &err);
	ctl_progress(NULL, "step", 1, 2, "what");
}

Test(ctl, many_clients)
{
	struct client *c[LIMIT_CTL_CLIENTS], *over;

	start(false);
	for (int i = 0; i < LIMIT_CTL_CLIENTS; i++) {
		c[i] = join();
		turn();
	}
	over = join();
	hear_error(over, -1, -32000, "ctl.too-many", "one more client");
	take_in(over);
	cr_assert(over->closed);
	say_text(c[LIMIT_CTL_CLIENTS - 1], ECHO(1));
	hear_result(c[LIMIT_CTL_CLIENTS - 1], 1);
	leave(over);
	leave(c[0]);
	turn();
	c[0] = join();
	say_text(c[0], ECHO(2));
	hear_result(c[0], 2);
	for (int i = 0; i < LIMIT_CTL_CLIENTS; i++)
		leave(c[i]);
	turn();
	stop();
}

/* One that floods must not keep the loop from the others: their requests come in turn. */
Test(ctl, a_flood_is_worked_off_in_turns)
{
	struct client *flood, *c;
	static char junk[512 << 10];
	unsigned turns = 0;
	ssize_t n;

	start(false);
	flood = join();
	c = join();
	turn();
	memset(junk, 'x', sizeof(junk));
	for (size_t i = 1; i < sizeof(junk); i += 2)
		junk[i] = '\n';
	n = send(flood->fd, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL);
	cr_assert_gt(n, 64 << 10);
	cr_assert_gt(send(c->fd, ECHO(1), strlen(ECHO(1)), MSG_NOSIGNAL), 0);
	for (; nr_echo == 0; turns++)
		cr_assert_gt(sd_event_run(d.event, 0), 0);
	cr_assert_leq(turns, 3, "%u", turns);
	/* each turn is bounded: with all of the flood there, several are needed */
	for (turns = 0; sd_event_run(d.event, 0) > 0; turns++)
		;
	cr_assert_gt(turns, 3, "the flood of %zd bytes was one turn of the loop", n);
	leave(flood);
	leave(c);
	stop();
}

/* Nothing here takes descriptors: those that come are gone, and the request counts. */
Test(ctl, descriptors_are_not_taken)
{
	static const char text[] = ECHO(7);
	int fds[FD_MSG_MAX], before;
	struct client *c;

	start(false);
	c = join();
	turn();
	before = dup(c->fd);
	close(before);
	for (size_t i = 0; i < FD_MSG_MAX; i++)
		fds[i] = c->fd;
	for (size_t i = 0; i < strlen(text); i++) {
		int lowest;

		cr_assert_eq(fd_send(c->fd, text + i, 1, fds, FD_MSG_MAX), 1);
		turn();
		lowest = dup(c->fd);
		close(lowest);
		cr_assert_eq(lowest, before, "a descriptor was taken in");
	}
	hear_result(c, 7);
	leave(c);
	stop();
}

/* What a refused client can do about it. */
Test(ctl, refusals_have_hints)
{
	struct client *c, *more[LIMIT_CTL_CLIENTS];
	struct err err;
	struct ctl *ctl;
	json_t *j;

	start(false);
	c = join();
	say_text(c, "nonsense\n");
	j = hear(c);
	cr_assert_neq(*hint_of(j), '\0');
	json_decref(j);
	for (int i = 0; i < 17; i++)
		say_text(c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"keep\"}\n");
	j = hear(c);
	cr_assert_neq(*hint_of(j), '\0');
	json_decref(j);
	for (int i = 0; i < 16; i++)
		ctl_reply(kept[i], json_object());
	for (int i = 0; i < LIMIT_CTL_CLIENTS; i++) {
		more[i] = join();
		turn();
	}
	j = hear(more[LIMIT_CTL_CLIENTS - 1]);
	cr_assert_neq(*hint_of(j), '\0');
	json_decref(j);
	for (int i = 0; i < LIMIT_CTL_CLIENTS; i++)
		leave(more[i]);
	leave(c);
	turn();
	stop();
	strcpy(d.config.socket, "/nowhere/at/all/sock");
	cr_assert_geq(sd_event_new(&d.event), 0);
	cr_assert_lt(ctl_new(&d, methods, 1, &ctl, &err), 0);
	cr_assert_str_eq(err.code, "ctl.socket");
	cr_assert_neq(err.hint[0], '\0');
	sd_event_unref(d.event);
}
