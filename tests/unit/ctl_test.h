/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of ctl share: a control socket with a few methods of its own, and blocking-free clients on it. */
#ifndef GANGWAY_CTL_TEST_H
#define GANGWAY_CTL_TEST_H

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl.h"
#include "daemon.h"
#include "err.h"
#include "fdutil.h"
#include "gangway_limits.h"

struct client {
	int fd;
	char *in;
	size_t nr_in;
	bool closed;
};

static struct daemon d;
static char dir[64];
static struct ctl_req *kept[256]; /* of method "keep": answered by the test */
static unsigned nr_kept, nr_echo;

static inline void on_echo(struct daemon *daemon, struct ctl_req *req, const json_t *params)
{
	cr_assert_eq(daemon, &d);
	cr_assert(json_is_object(params));
	nr_echo++;
	ctl_reply(req, json_pack("{s:O}", "params", params));
}

static inline void on_keep(struct daemon *daemon, struct ctl_req *req, const json_t *params)
{
	(void)daemon;
	(void)params;
	cr_assert_lt(nr_kept, sizeof(kept) / sizeof(kept[0]));
	kept[nr_kept++] = req;
}

static inline void on_big(struct daemon *daemon, struct ctl_req *req, const json_t *params)
{
	size_t n = (size_t)json_integer_value(json_object_get(params, "n"));
	char *text = malloc(n + 1);

	(void)daemon;
	memset(text, 'x', n);
	text[n] = '\0';
	ctl_reply(req, json_string(text));
	free(text);
}

static inline void on_fail(struct daemon *daemon, struct ctl_req *req, const json_t *params)
{
	struct err err;

	(void)daemon;
	(void)params;
	err_set(&err, -ENOSPC, "test.full", "it is full");
	err_hint(&err, "empty it");
	ctl_fail(req, &err);
}

static inline void on_monitor(struct daemon *daemon, struct ctl_req *req, const json_t *params)
{
	(void)daemon;
	(void)params;
	ctl_subscribe(req);
	ctl_reply(req, json_object());
}

static const struct ctl_method methods[] = {
	{ "echo", true, on_echo }, { "keep", true, on_keep },	    { "big", true, on_big },
	{ "fail", true, on_fail }, { "monitor", true, on_monitor }, { "write", false, on_echo },
};

static inline void start(bool read_only_all)
{
	struct err err;

	nr_kept = nr_echo = 0;
	d = (struct daemon){ 0 };
	TAILQ_INIT(&d.guests);
	TAILQ_INIT(&d.leases);
	config_defaults(&d.config);
	strcpy(d.config.group, "no-such-group");
	d.config.read_only_all = read_only_all;
	strcpy(dir, "/tmp/gangway-ctl-XXXXXX");
	cr_assert(mkdtemp(dir));
	snprintf(d.config.socket, sizeof(d.config.socket), "%s/sock", dir);
	cr_assert_geq(sd_event_new(&d.event), 0);
	cr_assert_eq(ctl_new(&d, methods, sizeof(methods) / sizeof(methods[0]), &d.ctl, &err), 0, "%s", err.msg);
}

static inline void stop(void)
{
	d.ctl = ctl_free(d.ctl);
	sd_event_unref(d.event);
	cr_assert_neq(access(d.config.socket, F_OK), 0);
	strcat(d.config.socket, ".lock");
	cr_assert_eq(unlink(d.config.socket), 0);
	cr_assert_eq(rmdir(dir), 0);
}

static inline struct client *join(void)
{
	struct client *c = calloc(1, sizeof(*c));

	c->fd = fd_connect_unix(d.config.socket, SOCK_STREAM);
	cr_assert_geq(c->fd, 0, "%s", strerror(-c->fd));
	return c;
}

static inline void leave(struct client *c)
{
	fd_close(&c->fd);
	free(c->in);
	free(c);
}

/* The loop, until it has nothing more to do at once. */
static inline void turn(void)
{
	while (sd_event_run(d.event, 0) > 0)
		;
}

/* All that has come so far; reads only when asked to. */
static inline void take_in(struct client *c)
{
	char buf[65536];
	ssize_t n;

	turn();
	while ((n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		c->in = realloc(c->in, c->nr_in + (size_t)n + 1);
		memcpy(c->in + c->nr_in, buf, (size_t)n);
		c->nr_in += (size_t)n;
		c->in[c->nr_in] = '\0';
		turn();
	}
	c->closed = n == 0 || (n < 0 && errno != EAGAIN);
}

static inline void say(struct client *c, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len) {
		ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			turn();
			continue;
		}
		if (n < 0)
			return; /* hung up on: the test looks at that */
		p += n;
		len -= (size_t)n;
	}
	turn();
}

static inline void say_text(struct client *c, const char *text)
{
	say(c, text, strlen(text));
}

/* The next message; NULL: none. The caller's. */
static inline json_t *hear(struct client *c)
{
	json_t *j;
	char *nl;

	take_in(c);
	nl = c->nr_in ? memchr(c->in, '\n', c->nr_in) : NULL;
	if (!nl)
		return NULL;
	j = json_loadb(c->in, (size_t)(nl - c->in), 0, NULL);
	cr_assert(j, "gangwayd sent what is no JSON: %.200s", c->in);
	c->nr_in -= (size_t)(nl + 1 - c->in);
	memmove(c->in, nl + 1, c->nr_in);
	return j;
}

static inline void hear_nothing(struct client *c)
{
	json_t *j = hear(c);
	char *text = j ? json_dumps(j, 0) : NULL;

	cr_assert_null(text, "heard %s", text);
}

static inline void hear_result(struct client *c, json_int_t id)
{
	json_t *j = hear(c);

	cr_assert(j, "no answer to %d", (int)id);
	cr_assert_eq(json_integer_value(json_object_get(j, "id")), id);
	cr_assert(json_object_get(j, "result"));
	cr_assert_str_eq(json_string_value(json_object_get(j, "jsonrpc")), "2.0");
	json_decref(j);
}

/* An error of JSON-RPC @code with our @ours; @id -1: null. */
static inline void hear_error(struct client *c, json_int_t id, int code, const char *ours, const char *said)
{
	json_t *j = hear(c), *e = json_object_get(j, "error");
	const char *got = NULL, *message = NULL;
	int got_code = 0, num = 0;

	cr_assert(e, "no error to %.80s", said);
	cr_assert_eq(json_unpack(e, "{s:i, s:s, s:{s:s, s:i}}", "code", &got_code, "message", &message, "data", "code", &got,
				 "errno", &num),
		     0);
	cr_assert_eq(got_code, code, "%.80s: %d %s", said, got_code, message);
	cr_assert_str_eq(got, ours);
	cr_assert_gt(num, 0);
	if (id < 0)
		cr_assert(json_is_null(json_object_get(j, "id")));
	else
		cr_assert_eq(json_integer_value(json_object_get(j, "id")), id);
	json_decref(j);
}

#endif
