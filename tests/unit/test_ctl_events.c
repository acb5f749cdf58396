/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: events, clients that do not read, half a request, and who may call what. */
#include "ctl_client.h"
#include "ctl_test.h"
#include "die_with.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MONITOR "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"monitor\"}\n"

Test(ctl_events, to_those_who_asked)
{
	struct client *a, *b;
	json_t *j;

	start(false);
	a = join();
	b = join();
	say_text(a, MONITOR);
	hear_result(a, 1);
	ctl_event(d.ctl, "lease", "vm1/nic0", json_pack("{s:s}", "to", "attached"));
	ctl_event(d.ctl, "guest", "vm1", NULL);
	hear_nothing(b);
	j = hear(a);
	cr_assert_str_eq(json_string_value(json_object_get(j, "method")), "event");
	cr_assert_null(json_object_get(j, "id"));
	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "params"), "object")), "vm1/nic0");
	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "params"), "to")), "attached");
	cr_assert_eq(json_integer_value(json_object_get(json_object_get(j, "params"), "seq")), 1);
	json_decref(j);
	j = hear(a);
	cr_assert_eq(json_integer_value(json_object_get(json_object_get(j, "params"), "seq")), 2);
	json_decref(j);
	ctl_event(NULL, "early", "nobody listens yet", json_object());
	leave(a);
	leave(b);
	stop();
}

/* One that does not read loses events and hears how many, once it reads again; the others lose none. */
Test(ctl_events, lost_events_are_counted)
{
	static char long_text[8192];
	unsigned long sent = 0, heard = 0, lost = 0;
	struct client *c;
	json_t *j;

	memset(long_text, 'x', sizeof(long_text) - 1);
	start(false);
	c = join();
	say_text(c, MONITOR);
	hear_result(c, 1);
	for (; sent < 2 * LIMIT_CTL_BACKLOG / sizeof(long_text); sent++)
		ctl_event(d.ctl, "lease", long_text, NULL);
	while ((j = hear(c))) {
		heard++;
		json_decref(j);
	}
	cr_assert(!c->closed, "events alone are no reason to hang up");
	cr_assert_lt(heard, sent);
	ctl_event(d.ctl, "lease", "after", NULL);
	j = hear(c);
	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "params"), "event")), "lost");
	lost = (unsigned long)json_integer_value(json_object_get(json_object_get(j, "params"), "count"));
	json_decref(j);
	cr_assert_eq(heard + lost, sent, "%lu heard, %lu lost, %lu sent", heard, lost, sent);
	j = hear(c);
	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "params"), "object")), "after");
	json_decref(j);
	leave(c);
	stop();
}

/* Answers cannot be dropped: who lets more than the backlog of them lie is hung up on. */
Test(ctl_events, a_client_that_never_reads)
{
	struct client *c, *other;

	start(false);
	c = join();
	other = join();
	for (int i = 0; i < 8; i++)
		say_text(c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\",\"params\":{\"n\":1048576}}\n");
	turn();
	take_in(c);
	cr_assert(c->closed);
	cr_assert_leq(c->nr_in, LIMIT_CTL_BACKLOG + (1 << 20));
	say_text(other, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"echo\"}\n");
	hear_result(other, 2);
	leave(c);
	leave(other);
	stop();
}

/* A big answer that is read slowly arrives whole. */
Test(ctl_events, a_slow_reader_gets_all)
{
	struct client *c;
	json_t *j;

	start(false);
	c = join();
	say_text(c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\",\"params\":{\"n\":3000000}}\n");
	j = hear(c);
	cr_assert_eq(json_string_length(json_object_get(j, "result")), 3000000);
	json_decref(j);
	leave(c);
	stop();
}

/* --- who may --- */

/* As uid nobody in a process of its own: says @text, and gives back the first @size bytes heard. */
static void as_nobody(const char *text, char *heard, size_t size)
{
	pid_t test = getpid(), pid;
	int out[2], status;
	ssize_t n;

	cr_assert_eq(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		char buf[1024];
		struct client c = { 0 };

		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(1);
		die_with(test);
		c.fd = fd_connect_unix(d.config.socket, SOCK_STREAM);
		if (c.fd < 0) {
			n = snprintf(buf, sizeof(buf), "%s", strerror(-c.fd));
		} else {
			/* who is turned away at the door cannot say it any more */
			if (send(c.fd, text, strlen(text), MSG_NOSIGNAL) < 0 && errno != EPIPE)
				_exit(2);
			while ((n = recv(c.fd, buf, sizeof(buf), 0)) < 0 && errno == EAGAIN)
				usleep(1000);
		}
		_exit(n > 0 && write(out[1], buf, (size_t)n) == n ? 0 : 3);
	}
	close(out[1]);
	while (waitpid(pid, &status, WNOHANG) == 0)
		sd_event_run(d.event, 10000);
	n = read(out[0], heard, size - 1);
	heard[n > 0 ? n : 0] = '\0';
	close(out[0]);
}

Test(ctl_events, strangers)
{
	char heard[1024];
	struct stat st;

	if (geteuid() != 0)
		cr_skip_test("needs root to be somebody else");
	start(false);
	cr_assert_eq(chmod(dir, 0755), 0);
	cr_assert_eq(stat(d.config.socket, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0660);
	as_nobody("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n", heard, sizeof(heard));
	cr_assert_str_eq(heard, "Permission denied");
	/* even if the file let them: the daemon looks at who it is */
	cr_assert_eq(chmod(d.config.socket, 0666), 0);
	as_nobody("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n", heard, sizeof(heard));
	cr_assert(strstr(heard, "ctl.denied"), "%s", heard);
	cr_assert_eq(nr_echo, 0);
	stop();
}

Test(ctl_events, strangers_may_read_where_the_operator_says_so)
{
	char heard[1024];
	struct stat st;

	if (geteuid() != 0)
		cr_skip_test("needs root to be somebody else");
	start(true);
	cr_assert_eq(chmod(dir, 0755), 0);
	cr_assert_eq(stat(d.config.socket, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0666);
	as_nobody("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n", heard, sizeof(heard));
	cr_assert(strstr(heard, "\"result\""), "%s", heard);
	as_nobody("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"write\"}\n", heard, sizeof(heard));
	cr_assert(strstr(heard, "ctl.denied"), "%s", heard);
	cr_assert_eq(nr_echo, 1);
	stop();
}

Test(ctl_events, the_group)
{
	char heard[1024];

	if (geteuid() != 0)
		cr_skip_test("needs root to be somebody else");
	start(false);
	ctl_free(d.ctl);
	strcpy(d.config.group, "nogroup");
	cr_assert_eq(ctl_new(&d, methods, sizeof(methods) / sizeof(methods[0]), &d.ctl, NULL), 0);
	cr_assert_eq(chmod(dir, 0755), 0);
	as_nobody("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"write\"}\n", heard, sizeof(heard));
	cr_assert(strstr(heard, "\"result\""), "%s", heard);
	stop();
}

/* --- half a request --- */

/* The limit is 30 s: what is looked at is the timer, and that more bytes of the same request do not put it off. */
Test(ctl_events, half_a_request_is_not_waited_for_for_ever)
{
	struct ctl_client_list own = LIST_HEAD_INITIALIZER(own);
	struct client *c = calloc(1, sizeof(*c));
	uint64_t first, later, now;
	struct ctl_client *s;
	int pair[2];

	start(false);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	c->fd = pair[0];
	cr_assert_eq(ctl_client_new(d.ctl, d.event, pair[1], true, &s), 0);
	LIST_INSERT_HEAD(&own, s, link);
	say_text(c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n");
	cr_assert_null(s->idle);
	hear_result(c, 1);
	say_text(c, "{\"jsonrpc\"");
	cr_assert(s->idle);
	cr_assert_geq(sd_event_source_get_time(s->idle, &first), 0);
	cr_assert_geq(sd_event_now(d.event, CLOCK_MONOTONIC, &now), 0);
	cr_assert(first > now + 25000000 && first < now + 35000000);
	usleep(1000);
	say_text(c, ":");
	cr_assert_geq(sd_event_source_get_time(s->idle, &later), 0);
	cr_assert_eq(first, later);
	cr_assert_geq(sd_event_source_set_time(s->idle, 1), 0); /* its time has come */
	hear_error(c, -1, -32700, "ctl.parse", "half");
	take_in(c);
	cr_assert(c->closed);
	cr_assert(LIST_EMPTY(&own), "it is gone");
	leave(c);
	stop();
}

/* --- a client that has said all, as `nc -N` and socat do --- */

/* The loop, which must come to rest. */
static void turn_bounded(void)
{
	unsigned n = 0;

	while (sd_event_run(d.event, 0) > 0)
		cr_assert_lt(++n, 1000, "the loop spins");
}

static unsigned count_lines(const struct client *c)
{
	unsigned n = 0;

	for (size_t i = 0; i < c->nr_in; i++)
		n += c->in[i] == '\n';
	return n;
}

Test(ctl_events, all_said_and_still_listening)
{
	struct client *c;

	start(false);
	c = join();
	cr_assert_gt(send(c->fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"keep\"}\n", 41, MSG_NOSIGNAL), 0);
	cr_assert_eq(shutdown(c->fd, SHUT_WR), 0);
	turn_bounded();
	cr_assert_eq(nr_kept, 1);
	hear_nothing(c);
	cr_assert(!c->closed, "its answer is still to come");
	ctl_reply(kept[0], json_object());
	hear_result(c, 1);
	turn_bounded();
	take_in(c);
	cr_assert(c->closed, "nothing is to come any more");
	leave(c);
	stop();
}

/* More lines than are taken in a turn, and the last of them only half of one. */
Test(ctl_events, all_said_in_many_lines)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n";
	struct client *c;

	start(false);
	c = join();
	turn_bounded();
	for (int i = 0; i < 100; i++)
		cr_assert_gt(send(c->fd, line, sizeof(line) - 1, MSG_NOSIGNAL), 0);
	cr_assert_gt(send(c->fd, line, 7, MSG_NOSIGNAL), 0);
	cr_assert_eq(shutdown(c->fd, SHUT_WR), 0);
	turn_bounded();
	take_in(c);
	cr_assert_eq(nr_echo, 100);
	cr_assert_eq(count_lines(c), 101);
	cr_assert(strstr(c->in, "ctl.parse"));
	cr_assert(c->closed);
	leave(c);
	stop();
}

/* A big answer that does not fit into the socket. */
Test(ctl_events, all_said_and_much_to_hear)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\",\"params\":{\"n\":3000000}}\n";
	struct client *c;

	start(false);
	c = join();
	cr_assert_gt(send(c->fd, line, sizeof(line) - 1, MSG_NOSIGNAL), 0);
	cr_assert_eq(shutdown(c->fd, SHUT_WR), 0);
	turn_bounded();
	hear_result(c, 1);
	turn_bounded();
	take_in(c);
	cr_assert(c->closed);
	leave(c);
	stop();
}

Test(ctl_events, all_said_and_monitoring)
{
	struct client *c;
	json_t *j;

	start(false);
	c = join();
	cr_assert_gt(send(c->fd, MONITOR, strlen(MONITOR), MSG_NOSIGNAL), 0);
	cr_assert_eq(shutdown(c->fd, SHUT_WR), 0);
	turn_bounded();
	hear_result(c, 1);
	ctl_event(d.ctl, "lease", "vm1/nic0", NULL);
	j = hear(c);
	cr_assert(j);
	json_decref(j);
	turn_bounded();
	cr_assert(!c->closed);
	leave(c);
	turn_bounded();
	stop();
}

/* --- no descriptor for one more client --- */

Test(ctl_events, no_descriptor_left)
{
	struct rlimit files, few;
	struct client *c;
	int next;

	start(false);
	c = join();
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
	next = dup(c->fd);
	cr_assert_geq(next, 0);
	close(next);
	few = (struct rlimit){ .rlim_cur = (rlim_t)next, .rlim_max = files.rlim_max };
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	turn_bounded();
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
	cr_assert_gt(send(c->fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n", 41, MSG_NOSIGNAL), 0);
	while (nr_echo == 0)
		cr_assert_gt(sd_event_run(d.event, 5000000), 0, "it is never let in");
	hear_result(c, 1);
	leave(c);
	turn_bounded();
	stop();
}
