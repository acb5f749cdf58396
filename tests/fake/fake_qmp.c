/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_qmp.h"

#include "fdutil.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IDS 16

struct fake_qmp {
	sd_event *event;
	char *path;
	const struct fake_qmp_step *step;
	const struct fake_qmp_answer *answers;
	bool serving, paused;
	int listener, conn, last_fd;
	sd_event_source *on_listener, *on_conn, *timer;
	char *in, *out;
	size_t in_len, out_len, nr_served;
	json_int_t ids[IDS]; /* of the last commands, newest first */
	struct served {
		char command[48];
		char *args; /* JSON, keys sorted */
	} * served;
	char failure[512];
};

static const struct fake_qmp_step serve_only[] = { fq_do(FQ_SERVE), fq_end };

static void run(struct fake_qmp *q);

static void die_unless(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

static void fail(struct fake_qmp *q, const char *expected, const char *got)
{
	if (!q->failure[0])
		snprintf(q->failure, sizeof(q->failure), "expected %s, got %s", expected, got);
}

static void flush(struct fake_qmp *q)
{
	while (q->out_len && q->conn >= 0) {
		ssize_t n = fd_send(q->conn, q->out, q->out_len, NULL, 0);

		if (n <= 0)
			break;
		q->out_len -= (size_t)n;
		memmove(q->out, q->out + n, q->out_len);
	}
	if (q->on_conn)
		sd_event_source_set_io_events(q->on_conn, q->out_len ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void put(struct fake_qmp *q, const char *text, size_t times)
{
	size_t len = strlen(text);

	q->out = realloc(q->out, q->out_len + len * times + 1);
	die_unless(q->out, "realloc");
	while (times--) {
		memcpy(q->out + q->out_len, text, len);
		q->out_len += len;
	}
}

static __attribute__((format(printf, 2, 3))) void putf(struct fake_qmp *q, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	die_unless(vasprintf(&text, fmt, ap) >= 0, "vasprintf");
	va_end(ap);
	put(q, text, 1);
	free(text);
}

static void greet(struct fake_qmp *q, const char *version)
{
	putf(q, "{\"QMP\": {\"version\": {\"qemu\": {%s}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n",
	     version ? version : "\"micro\": 3, \"minor\": 1, \"major\": 11");
}

static void hang_up(struct fake_qmp *q)
{
	q->on_conn = sd_event_source_disable_unref(q->on_conn);
	fd_close(&q->conn);
	q->in_len = q->out_len = 0;
}

static void stop_listening(struct fake_qmp *q)
{
	q->on_listener = sd_event_source_disable_unref(q->on_listener);
	fd_close(&q->listener);
}

/* One line from the client, without its newline. NULL: none complete. The caller's. */
static char *take_line(struct fake_qmp *q)
{
	char *nl = q->in_len ? memchr(q->in, '\n', q->in_len) : NULL;
	char *line;
	size_t len;

	if (!nl)
		return NULL;
	len = (size_t)(nl - q->in);
	line = strndup(q->in, len);
	die_unless(line, "strndup");
	q->in_len -= len + 1;
	memmove(q->in, nl + 1, q->in_len);
	return line;
}

/* Notes the command's id. Both texts are the caller's. */
static bool take_command(struct fake_qmp *q, char **ret_command, char **ret_args)
{
	char *line = take_line(q);
	json_t *msg, *args;
	const char *command;

	if (!line)
		return false;
	msg = json_loads(line, 0, NULL);
	command = json_string_value(json_object_get(msg, "execute"));
	args = json_object_get(msg, "arguments");
	if (!command || !json_is_integer(json_object_get(msg, "id")))
		fail(q, "a command with a numeric id", line);
	memmove(q->ids + 1, q->ids, sizeof(q->ids) - sizeof(q->ids[0]));
	q->ids[0] = json_integer_value(json_object_get(msg, "id"));
	*ret_command = strdup(command ? command : "?");
	*ret_args = args ? json_dumps(args, JSON_SORT_KEYS) : strdup("");
	die_unless(*ret_command && *ret_args, "memory");
	json_decref(msg);
	free(line);
	return true;
}

static void reply(struct fake_qmp *q, json_int_t id, const char *members)
{
	putf(q, "{\"id\": %" JSON_INTEGER_FORMAT ", %s}\r\n", id, members);
}

static void serve(struct fake_qmp *q)
{
	const struct fake_qmp_answer *a;
	char *command, *args;

	while (take_command(q, &command, &args)) {
		q->served = realloc(q->served, (q->nr_served + 1) * sizeof(*q->served));
		die_unless(q->served, "realloc");
		snprintf(q->served[q->nr_served].command, sizeof(q->served->command), "%s", command);
		q->served[q->nr_served++].args = args;
		for (a = q->answers; a && a->command; a++)
			if (!strcmp(a->command, command) && (!a->match || strstr(args, a->match)))
				break;
		if (a && a->command) {
			if (a->reply)
				reply(q, q->ids[0], a->reply);
		} else if (!strcmp(command, "qmp_capabilities")) {
			reply(q, q->ids[0], "\"return\": {}");
		} else {
			reply(q, q->ids[0],
			      "\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"The command has not been found\"}");
		}
		free(command);
	}
}

static int on_conn(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	struct fake_qmp *q = ctx;
	char buf[4096];
	int fds[FD_MSG_MAX];
	size_t nr_fds = 0;
	ssize_t n;

	(void)s;
	if (revents & ~(uint32_t)EPOLLOUT) {
		n = fd_recv(fd, buf, sizeof(buf), fds, FD_MSG_MAX, &nr_fds);
		if (n == 0 || (n < 0 && n != -EAGAIN)) {
			hang_up(q);
		} else if (n > 0) {
			q->in = realloc(q->in, q->in_len + (size_t)n);
			die_unless(q->in, "realloc");
			memcpy(q->in + q->in_len, buf, (size_t)n);
			q->in_len += (size_t)n;
		}
		while (nr_fds) {
			fd_close(&q->last_fd);
			q->last_fd = fds[--nr_fds];
		}
	}
	flush(q);
	run(q);
	return 0;
}

static int on_listener(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	(void)s;
	(void)fd;
	(void)revents;
	run(ctx);
	return 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct fake_qmp *q = ctx;

	(void)s;
	(void)usec;
	q->timer = sd_event_source_disable_unref(q->timer);
	q->paused = false;
	run(q);
	return 0;
}

/* Wants a client: the listener is looked at only while one is waited for. */
static bool take_client(struct fake_qmp *q)
{
	if (q->conn >= 0 || !q->on_listener)
		return q->conn >= 0;
	q->conn = accept4(q->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	sd_event_source_set_enabled(q->on_listener, q->conn >= 0 ? SD_EVENT_OFF : SD_EVENT_ON);
	if (q->conn < 0)
		return false;
	die_unless(sd_event_add_io(q->event, &q->on_conn, q->conn, EPOLLIN, on_conn, q) >= 0, "sd_event_add_io");
	return true;
}

static void start_listening(struct fake_qmp *q)
{
	q->listener = fd_listen_unix(q->path, SOCK_STREAM, 0600);
	die_unless(q->listener >= 0, "fd_listen_unix");
	die_unless(sd_event_add_io(q->event, &q->on_listener, q->listener, EPOLLIN, on_listener, q) >= 0, "sd_event_add_io");
	sd_event_source_set_enabled(q->on_listener, SD_EVENT_OFF);
}

static bool expect(struct fake_qmp *q, const struct fake_qmp_step *s)
{
	char *command, *args;

	if (!take_command(q, &command, &args)) {
		if (q->conn < 0)
			fail(q, s->a, "a closed connection");
		return false;
	}
	if (strcmp(command, s->a))
		fail(q, s->a, command);
	else if (s->b && !strstr(args, s->b))
		fail(q, s->b, args);
	free(command);
	free(args);
	return true;
}

static void answer(struct fake_qmp *q, const struct fake_qmp_step *s)
{
	char *members = NULL;

	if (s->what == FQ_RETURN)
		die_unless(asprintf(&members, "\"return\": %s", s->a ? s->a : "{}") >= 0, "asprintf");
	else
		die_unless(asprintf(&members, "\"error\": {\"class\": \"%s\", \"desc\": \"%s\"}", s->a, s->b) >= 0, "asprintf");
	reply(q, q->ids[s->n], members);
	free(members);
}

/* Does one step. false: it has to wait. */
static bool do_step(struct fake_qmp *q, const struct fake_qmp_step *s)
{
	switch (s->what) {
	case FQ_END:
		return false;
	case FQ_ACCEPT:
		return take_client(q);
	case FQ_GREET:
		greet(q, s->a);
		return true;
	case FQ_EXPECT:
		return expect(q, s);
	case FQ_RETURN:
	case FQ_ERROR:
		answer(q, s);
		return true;
	case FQ_EVENT:
		fake_qmp_event(q, s->a, s->b);
		return true;
	case FQ_RAW:
		put(q, s->a, s->n + 1);
		return true;
	case FQ_PAUSE:
		q->paused = true;
		die_unless(sd_event_add_time_relative(q->event, &q->timer, CLOCK_MONOTONIC, (uint64_t)s->n * 1000, 1, on_timer,
						      q) >= 0,
			   "timer");
		return true;
	case FQ_CLOSE:
		if (q->out_len)
			return false;
		hang_up(q);
		return true;
	case FQ_CLOSED:
		return q->conn < 0;
	case FQ_DIE:
	case FQ_REFUSE:
		if (q->out_len)
			return false;
		hang_up(q);
		stop_listening(q);
		if (s->what == FQ_DIE)
			unlink(q->path);
		return true;
	case FQ_LISTEN:
		start_listening(q);
		return true;
	case FQ_SERVE:
		q->serving = true;
		return true;
	}
	return false;
}

static void run(struct fake_qmp *q)
{
	while (!q->paused && !q->serving && do_step(q, q->step)) {
		q->step++;
		flush(q);
	}
	if (q->serving) {
		bool had = q->conn >= 0;

		if (take_client(q) && !had)
			greet(q, NULL);
		serve(q);
		flush(q);
	}
}

struct fake_qmp *fake_qmp_new(sd_event *event, const char *path, const struct fake_qmp_step *script)
{
	struct fake_qmp *q = calloc(1, sizeof(*q));

	die_unless(q, "calloc");
	q->event = event;
	q->path = strdup(path);
	q->step = script ? script : serve_only;
	q->conn = q->listener = q->last_fd = -1;
	start_listening(q);
	q->paused = true; /* until the loop runs */
	die_unless(sd_event_add_time_relative(event, &q->timer, CLOCK_MONOTONIC, 0, 1, on_timer, q) >= 0, "timer");
	return q;
}

void fake_qmp_free(struct fake_qmp *q)
{
	if (!q)
		return;
	hang_up(q);
	stop_listening(q);
	fd_close(&q->last_fd);
	sd_event_source_disable_unref(q->timer);
	free(q->path);
	free(q->in);
	free(q->out);
	for (size_t i = 0; i < q->nr_served; i++)
		free(q->served[i].args);
	free(q->served);
	free(q);
}

void fake_qmp_table(struct fake_qmp *q, const struct fake_qmp_answer *answers)
{
	q->answers = answers;
}

void fake_qmp_event(struct fake_qmp *q, const char *name, const char *data)
{
	putf(q, "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"%s\"%s%s}\r\n", name,
	     data ? ", \"data\": " : "", data ? data : "");
	flush(q);
}

void fake_qmp_lose(struct fake_qmp *q)
{
	hang_up(q);
	run(q);
}

void fake_qmp_die(struct fake_qmp *q)
{
	hang_up(q);
	stop_listening(q);
	unlink(q->path);
}

bool fake_qmp_finished(const struct fake_qmp *q)
{
	return q->step->what == FQ_END && !q->out_len;
}

const char *fake_qmp_failure(const struct fake_qmp *q)
{
	return q->failure[0] ? q->failure : NULL;
}

unsigned fake_qmp_count(const struct fake_qmp *q, const char *command)
{
	unsigned n = 0;

	for (size_t i = 0; i < q->nr_served; i++)
		n += !strcmp(q->served[i].command, command);
	return n;
}

const char *fake_qmp_args(const struct fake_qmp *q, const char *command, unsigned n)
{
	for (size_t i = 0; i < q->nr_served; i++)
		if (!strcmp(q->served[i].command, command) && n-- == 0)
			return q->served[i].args;
	return "";
}

int fake_qmp_last_fd(struct fake_qmp *q)
{
	return fd_take(&q->last_fd);
}
