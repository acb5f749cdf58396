/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The metrics over HTTP: what is served, what is refused, and how much clients can make gangwayd hold. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "attach_test.h"
#include "fdutil.h"
#include "metrics_http.h"

struct client {
	int fd;
	char in[65536];
	size_t nr_in;
	bool closed;
};

static struct client *clients[64];
static unsigned nr_clients;

static void serve(const char *where)
{
	struct err err = { 0 };

	begin(2);
	if (where)
		snprintf(h->d.config.metrics_listen, sizeof(h->d.config.metrics_listen), "%s", where);
	else
		snprintf(h->d.config.metrics_listen, sizeof(h->d.config.metrics_listen), "%s/metrics.sock", h->dir);
	cr_assert_eq(metrics_http_new(&h->d, &h->d.metrics, &err), 0, "%s", err.msg);
	nr_clients = 0;
}

static void leave(struct client *c)
{
	fd_close(&c->fd);
}

static void finish(void)
{
	while (nr_clients) {
		leave(clients[--nr_clients]);
		free(clients[nr_clients]);
	}
	end();
}

static struct client *take(int fd)
{
	struct client *c = calloc(1, sizeof(*c));

	cr_assert(c && nr_clients < sizeof(clients) / sizeof(clients[0]));
	c->fd = fd;
	clients[nr_clients++] = c;
	return c;
}

static struct client *join(void)
{
	int fd = fd_connect_unix(h->d.config.metrics_listen, SOCK_STREAM);

	cr_assert_geq(fd, 0, "%s", strerror(-fd));
	return take(fd);
}

static void say(struct client *c, const char *text)
{
	cr_assert_eq(send(c->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void take_in(struct client *c)
{
	ssize_t n = recv(c->fd, c->in + c->nr_in, sizeof(c->in) - 1 - c->nr_in, MSG_DONTWAIT);

	if (n > 0)
		c->nr_in += (size_t)n;
	c->closed = c->closed || n == 0 || (n < 0 && errno != EAGAIN);
	c->in[c->nr_in] = '\0';
}

/* Closed, or an answer is there whole. */
static bool is_answered(void *arg)
{
	struct client *c = arg;
	const char *body, *length;

	take_in(c);
	body = strstr(c->in, "\r\n\r\n");
	length = strcasestr(c->in, "content-length: ");
	return c->closed || (body && length && strlen(body + 4) >= strtoul(length + 16, NULL, 10));
}

static bool is_closed(void *arg)
{
	struct client *c = arg;

	take_in(c);
	return c->closed;
}

static bool has_some(void *arg)
{
	struct client *c = arg;

	take_in(c);
	return c->nr_in > 0;
}

static void answered(struct client *c, unsigned status)
{
	char want[32];

	cr_assert(fake_host_until(h, is_answered, c, 5000), "%s", c->in);
	snprintf(want, sizeof(want), "HTTP/1.1 %u ", status);
	cr_assert_eq(strncmp(c->in, want, strlen(want)), 0, "wanted %u, got %.200s", status, c->in);
}

#define GET "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"

Test(metrics_http, off_unless_asked_for)
{
	struct err err;

	begin(1);
	cr_assert_eq(metrics_http_new(&h->d, &h->d.metrics, &err), 0);
	cr_assert_null(h->d.metrics);
	end();
}

Test(metrics_http, what_is_served)
{
	struct client *c;

	serve(NULL);
	c = join();
	for (int i = 0; i < 2; i++) { /* the connection stays */
		c->nr_in = 0;
		say(c, GET);
		answered(c, 200);
		cr_assert(strcasestr(c->in, "content-type: text/plain; version=0.0.4"), "%s", c->in);
		cr_assert(strstr(c->in, "\ngangway_guest_up{guest=\"vm1\"} 1\n"), "%s", c->in);
		cr_assert(strstr(c->in, "\ngangway_pf_vfs_free{pf=\"eth0\",bdf=\"" FAKE_PF_BDF "\"} 2\n"), "%s", c->in);
		cr_assert_not(c->closed);
	}
	finish();
	cr_assert_neq(access(h->d.config.metrics_listen, F_OK), 0, "the socket goes");
}

Test(metrics_http, over_tcp)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	struct metrics_http *second = NULL;
	socklen_t len = sizeof(addr);
	struct client *c;
	struct err err;
	char where[32];

	/* a port that is free */
	cr_assert_eq(bind(probe, (struct sockaddr *)&addr, len), 0);
	cr_assert_eq(getsockname(probe, (struct sockaddr *)&addr, &len), 0);
	close(probe);
	snprintf(where, sizeof(where), "127.0.0.1:%u", ntohs(addr.sin_port));
	serve(where);
	cr_assert_eq(metrics_http_new(&h->d, &second, &err), -EADDRINUSE);
	cr_assert_str_eq(err.code, "metrics.listen");
	cr_assert_null(second);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&addr, len), 0);
	c = take(fd);
	say(c, GET);
	answered(c, 200);
	finish();
}

Test(metrics_http, what_is_refused)
{
	static const struct {
		const char *say;
		unsigned status;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404 },
		{ "GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n", 404 },
		{ "GET /../metrics HTTP/1.1\r\nHost: x\r\n\r\n", 404 },
		{ "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405 },
		{ "DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 405 },
		{ "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405 },
		{ "GET /metrics?a=b HTTP/1.1\r\nHost: x\r\n\r\n", 200 },
		{ "GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 200 },
	};

	serve(NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct client *c = join();

		say(c, rows[i].say);
		answered(c, rows[i].status);
		leave(c);
	}
	finish();
}

Test(metrics_http, no_http_at_all)
{
	static const char *const rows[] = { "\r\n\r\nhello\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02\x01\x01\r\n\r\n",
					    "GET /metrics HTTP/9.9\r\n\r\n",
					    "GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n" };
	struct client *c;

	serve(NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		c = join();
		say(c, rows[i]);
		cr_assert(fake_host_until(h, is_closed, c, 5000), "%zu: %s", i, c->in);
		cr_assert_null(strstr(c->in, "gangway_"));
		leave(c);
	}
	c = join();
	say(c, GET);
	answered(c, 200);
	finish();
}

/* Headers without end, and one that is too long: both end with what is held for a connection. */
Test(metrics_http, headers_without_end)
{
	struct client *c;
	char line[1024];

	serve(NULL);
	memset(line, 'a', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int headers = 0; headers < 2; headers++) {
		c = join();
		say(c, "GET /metrics HTTP/1.1\r\n");
		for (unsigned i = 0; i < 64 && !is_closed(c); i++) {
			memcpy(line, headers ? "\r\nx: " : "aaaaa", 5);
			send(c->fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
			fake_host_settle(h);
		}
		cr_assert(fake_host_until(h, is_closed, c, 5000));
		leave(c);
	}
	c = join();
	say(c, GET);
	answered(c, 200);
	finish();
}

/* At the limit all are served; one above it is when one of them has gone. */
Test(metrics_http, clients_at_the_limit_and_above)
{
	struct client *all[LIMIT_METRICS_CLIENTS], *above;

	serve(NULL);
	for (unsigned i = 0; i < LIMIT_METRICS_CLIENTS; i++) {
		all[i] = join();
		fake_host_settle(h);
	}
	above = join();
	say(above, GET);
	for (unsigned i = 0; i < LIMIT_METRICS_CLIENTS; i++) {
		say(all[i], GET);
		answered(all[i], 200);
	}
	take_in(above);
	cr_assert_eq(above->nr_in, 0);
	cr_assert_not(above->closed);
	leave(all[0]);
	answered(above, 200);
	finish();
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

#define LIMIT_US (LIMIT_METRICS_IDLE_SEC * 1000000)

/* At the limit of its time one is there yet, above it it has gone: one that says nothing, that has had an answer, that says a byte now and then. */
Test(metrics_http, time_at_the_limit_and_above)
{
	struct client *silent, *served, *drips;

	serve(NULL);
	silent = join();
	served = join();
	drips = join();
	say(served, GET);
	answered(served, 200);
	say(drips, "GET /metrics HTTP/1.1\r\n");
	fake_host_settle(h);
	for (unsigned i = 1; i < 4; i++) {
		fake_advance(h->fake, LIMIT_US / 4);
		say(drips, "x");
		fake_host_until(h, never, NULL, 10);
	}
	fake_advance(h->fake, LIMIT_US / 4 - 1);
	say(drips, "x");
	fake_host_until(h, never, NULL, 2500); /* it is looked for each second */
	cr_assert_not(is_closed(silent) || is_closed(served) || is_closed(drips));
	fake_advance(h->fake, 1);
	cr_assert(fake_host_until(h, is_closed, silent, 5000));
	cr_assert(fake_host_until(h, is_closed, served, 5000));
	cr_assert(fake_host_until(h, is_closed, drips, 5000));
	finish();
}

/* The time is that of one request: who asks now and then stays. */
Test(metrics_http, one_request_after_the_other)
{
	struct client *c;

	serve(NULL);
	c = join();
	for (unsigned i = 0; i < 4; i++) {
		c->nr_in = 0;
		say(c, GET);
		answered(c, 200);
		fake_host_until(h, never, NULL, 1100);
		fake_advance(h->fake, LIMIT_US / 2);
		fake_host_until(h, never, NULL, 1100);
		cr_assert_not(is_closed(c));
	}
	finish();
}

/* All connections are held by clients that drip: another one is served when their time is over. */
Test(metrics_http, clients_that_drip)
{
	struct client *all[LIMIT_METRICS_CLIENTS], *above;

	serve(NULL);
	for (unsigned i = 0; i < LIMIT_METRICS_CLIENTS; i++) {
		all[i] = join();
		say(all[i], "G");
		fake_host_settle(h);
	}
	above = join();
	say(above, GET);
	fake_host_settle(h);
	take_in(above);
	cr_assert_eq(above->nr_in, 0);
	fake_advance(h->fake, LIMIT_US);
	answered(above, 200);
	for (unsigned i = 0; i < LIMIT_METRICS_CLIENTS; i++)
		cr_assert(fake_host_until(h, is_closed, all[i], 5000));
	finish();
}

/* One that does not take its answer, which is more than the kernel holds for it. */
Test(metrics_http, an_answer_that_is_not_taken)
{
	struct client *c, *other;
	char bdf[16], name[16];
	size_t nr = 0;

	serve(NULL);
	for (unsigned i = 0; i < 600; i++) {
		snprintf(bdf, sizeof(bdf), "0000:%02x:%02x.0", 0x60 + i / 32, i % 32);
		snprintf(name, sizeof(name), "more%u", i);
		fake_add_pf(h->fake, bdf, name, "igb", "igbvf", 8);
	}
	c = join();
	say(c, GET GET GET);
	for (unsigned i = 0; i < 3; i++) {
		other = join();
		say(other, GET);
		cr_assert(fake_host_until(h, has_some, other, 20000));
		leave(other);
	}
	fake_host_until(h, never, NULL, 1000);
	fake_advance(h->fake, LIMIT_US);
	fake_host_until(h, never, NULL, 2500);
	while (c->fd >= 0 && !c->closed) {
		c->nr_in = 0;
		take_in(c);
		nr += c->nr_in;
		cr_assert(c->closed || c->nr_in, "it goes on: %zu", nr);
	}
	finish();
}

/* All that wait get the same; one that has gone meanwhile is missed by nobody. */
Test(metrics_http, several_at_once)
{
	struct client *all[LIMIT_METRICS_CLIENTS];

	serve(NULL);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 3; i++) {
			all[i] = join();
			say(all[i], GET);
		}
		for (unsigned i = 0; i < round % 4; i++)
			sd_event_run(h->event, 0);
		leave(all[1]);
		answered(all[0], 200);
		answered(all[2], 200);
		leave(all[0]);
		leave(all[2]);
	}
	finish();
}

/* By HTTP and by a call: one look at the host is for both. */
Test(metrics_http, one_way_for_all)
{
	unsigned calls, one;
	struct client *c;
	json_int_t id;

	serve(NULL);
	for (unsigned i = 0; i < 2; i++) {
		calls = fake_calls(h->fake);
		json_decref(fake_host_call(h, "metrics", NULL));
		one = fake_calls(h->fake) - calls;
	}
	c = join();
	fake_host_settle(h);
	calls = fake_calls(h->fake);
	say(c, GET);
	id = fake_host_send(h, "metrics", NULL);
	answered(c, 200);
	json_decref(fake_host_wait(h, id));
	cr_assert_eq(fake_calls(h->fake) - calls, one);
	finish();
}

/* gangwayd stops at each turn of a request. */
Test(metrics_http, stopped_under_way)
{
	for (unsigned turns = 0; turns < 8; turns++) {
		struct client *c;

		serve(NULL);
		c = join();
		say(c, GET);
		for (unsigned i = 0; i < turns; i++)
			sd_event_run(h->event, 0);
		finish();
	}
}

/* What a gangwayd that was killed has left is taken over; what is something else is not touched. */
Test(metrics_http, what_is_at_the_path)
{
	struct metrics_http *second = NULL;
	struct err err;
	char path[128];
	int fd;

	serve(NULL);
	cr_assert_eq(metrics_http_new(&h->d, &second, &err), -EADDRINUSE);
	cr_assert_eq(access(h->d.config.metrics_listen, F_OK), 0, "the other's stays");
	h->d.metrics = metrics_http_free(h->d.metrics);
	snprintf(path, sizeof(path), "%s/metrics.sock", h->dir);
	fd = fd_listen_unix(path, SOCK_STREAM, 0600);
	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert_eq(metrics_http_new(&h->d, &h->d.metrics, &err), 0, "%s", err.msg);
	h->d.metrics = metrics_http_free(h->d.metrics);
	fd = open(path, O_CREAT | O_CLOEXEC, 0600);
	close(fd);
	cr_assert_eq(metrics_http_new(&h->d, &h->d.metrics, &err), -EEXIST);
	cr_assert_str_eq(err.code, "metrics.listen");
	cr_assert_eq(unlink(path), 0);
	finish();
}
