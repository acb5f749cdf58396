/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request for the metrics is suspended until there is an answer (metrics.h): that waits for a worker.
 *
 * libmicrohttpd's own time limit begins anew with each byte: clients that say one now and then could hold all connections for ever. So each has a time
 * by which its request is to be here, and one by which it is to have taken the answer. It is looked at each second while there are connections.
 */
#include "metrics_http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon.h"
#include "err.h"
#include "fdutil.h"
#include "gangway_limits.h"
#include "log.h"
#include "metrics_internal.h"
#include "metrics_text.h"
#include "sys.h"

#define LOOK_US 1000000

struct connection {
	LIST_ENTRY(connection) link;
	struct MHD_Connection *c;
	uint64_t since_us; /* the client's turn */
	bool waits; /* for us */
};

LIST_HEAD(connection_list, connection);

/* A request; libmicrohttpd calls for it until it is answered. */
struct request {
	TAILQ_ENTRY(request) link;
	struct MHD_Connection *connection;
	struct connection *client;
	bool waits; /* in the list, its connection suspended */
	bool gathered; /* @text is to be answered; NULL: there was no memory */
	char *text;
};

TAILQ_HEAD(request_list, request);

struct metrics_http {
	struct daemon *d;
	int fd; /* listens; ours */
	struct MHD_Daemon *mhd;
	sd_event_source *io, *timer, *look;
	struct connection_list connections;
	bool closed; /* one was; who waits for its place is let in by the next MHD_run() alone, and nothing tells that it is due */
	struct request_list waiting;
	struct metrics_wait *asked; /* for all of them; NULL: not */
};

/* --- answers --- */

/* @text is taken over where @allocated. */
static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type, char *text, bool allocated)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(strlen(text), text, allocated ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	enum MHD_Result ret;

	if (!r) {
		if (allocated)
			free(text);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	ret = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ret;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned status, const char *why)
{
	return answer(c, status, "text/plain; charset=utf-8", (char *)why, false);
}

static uint64_t now_us(const struct metrics_http *http)
{
	return http->d->sys->ops->now_us(http->d->sys);
}

static void give(struct metrics_http *http, const char *text)
{
	struct request *q;

	while ((q = TAILQ_FIRST(&http->waiting))) {
		TAILQ_REMOVE(&http->waiting, q, link);
		q->waits = q->client->waits = false;
		q->client->since_us = now_us(http);
		q->gathered = true;
		q->text = text ? strdup(text) : NULL;
		MHD_resume_connection(q->connection);
	}
}

static void turn(struct metrics_http *http);

static void gathered(void *ctx, const char *text)
{
	struct metrics_http *http = ctx;

	http->asked = NULL;
	give(http, text);
	turn(http);
}

/* libmicrohttpd sees the hang-up, and closes. */
static void end(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (info)
		shutdown(info->connect_fd, SHUT_RDWR);
}

static enum MHD_Result wait_for_it(struct metrics_http *http, struct request *q)
{
	if (!http->asked && metrics_ask(http->d, METRICS_TEXT, gathered, http, &http->asked) < 0)
		return refuse(q->connection, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory\n");
	TAILQ_INSERT_TAIL(&http->waiting, q, link);
	q->waits = q->client->waits = true;
	MHD_suspend_connection(q->connection);
	return MHD_YES;
}

/* --- what libmicrohttpd calls --- */

static void look_soon(struct metrics_http *http);

/* One without memory for its time has none. */
static void on_connection(void *ctx, struct MHD_Connection *c, void **socket, enum MHD_ConnectionNotificationCode what)
{
	struct metrics_http *http = ctx;
	struct connection *k = *socket;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (k)
			LIST_REMOVE(k, link);
		free(k);
		*socket = NULL;
		http->closed = true;
		return;
	}
	k = calloc(1, sizeof(*k));
	*socket = k;
	if (!k) {
		end(c);
		return;
	}
	k->c = c;
	k->since_us = now_us(http);
	LIST_INSERT_HEAD(&http->connections, k, link);
	look_soon(http);
}

static struct request *request_new(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct connection *k = info ? info->socket_context : NULL;
	struct request *q = k ? calloc(1, sizeof(*q)) : NULL;

	if (!q)
		return NULL;
	q->connection = c;
	q->client = k;
	return q;
}

/* Once with the headers, when nothing of the body was read; then until there is an answer. A body is let pass by. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url, const char *method, const char *version,
				  const char *data, size_t *size, void **request)
{
	struct request *q = *request;
	char *text;

	(void)version;
	(void)data;
	if (!q) {
		q = request_new(c);
		if (!q)
			return MHD_NO;
		*request = q;
		if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
			return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET /metrics\n");
		return MHD_YES;
	}
	if (*size) {
		*size = 0;
		return MHD_YES;
	}
	if (strcmp(url, "/metrics") != 0)
		return refuse(c, MHD_HTTP_NOT_FOUND, "there is /metrics alone\n");
	if (!q->gathered)
		return wait_for_it(ctx, q);
	text = q->text;
	q->text = NULL;
	if (!text)
		return refuse(c, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory\n");
	return answer(c, MHD_HTTP_OK, METRICS_CONTENT_TYPE, text, true);
}

static void on_completed(void *ctx, struct MHD_Connection *c, void **request, enum MHD_RequestTerminationCode why)
{
	struct metrics_http *http = ctx;
	struct request *q = *request;

	(void)c;
	(void)why;
	if (!q)
		return;
	if (q->waits)
		TAILQ_REMOVE(&http->waiting, q, link);
	q->client->waits = false;
	q->client->since_us = now_us(http);
	free(q->text);
	free(q);
	*request = NULL;
}

__attribute__((format(printf, 2, 0))) static void on_log(void *ctx, const char *fmt, va_list ap)
{
	char text[256];

	(void)ctx;
	vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("metrics: %s, ignoring", text);
}

/* --- in the loop --- */

/* What libmicrohttpd has to do by itself, and when: ends of connections that say nothing, what it has read and not dealt with. */
static void turn(struct metrics_http *http)
{
	MHD_UNSIGNED_LONG_LONG ms = 0;
	uint64_t now = 0;

	http->closed = false;
	MHD_run(http->mhd);
	if (!http->closed && MHD_get_timeout(http->mhd, &ms) != MHD_YES) {
		sd_event_source_set_enabled(http->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_now(http->d->event, CLOCK_MONOTONIC, &now);
	if (sd_event_source_set_time(http->timer, now + ms * 1000) < 0 ||
	    sd_event_source_set_enabled(http->timer, SD_EVENT_ONESHOT) < 0)
		log_err("metrics: no timer");
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	(void)s;
	(void)fd;
	(void)revents;
	turn(ctx);
	return 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *ctx)
{
	(void)s;
	(void)usec;
	turn(ctx);
	return 0;
}

static int on_look(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct metrics_http *http = ctx;
	uint64_t now = now_us(http);
	struct connection *k;

	(void)s;
	(void)usec;
	LIST_FOREACH(k, &http->connections, link)
	if (!k->waits && now - k->since_us >= LIMIT_METRICS_IDLE_SEC * (uint64_t)1000000)
		end(k->c);
	turn(http);
	sd_event_source_set_enabled(http->look, SD_EVENT_OFF);
	if (!LIST_EMPTY(&http->connections))
		look_soon(http);
	return 0;
}

static void look_soon(struct metrics_http *http)
{
	uint64_t now = 0;
	int on = SD_EVENT_OFF;

	if (sd_event_source_get_enabled(http->look, &on) >= 0 && on != SD_EVENT_OFF)
		return;
	sd_event_now(http->d->event, CLOCK_MONOTONIC, &now);
	if (sd_event_source_set_time(http->look, now + LOOK_US) < 0 ||
	    sd_event_source_set_enabled(http->look, SD_EVENT_ONESHOT) < 0)
		log_err("metrics: no timer");
}

static int start(struct metrics_http *http, struct err *err)
{
	const union MHD_DaemonInfo *info;
	int r;

	http->fd = metrics_listen(&http->d->config, err);
	if (http->fd < 0)
		return http->fd;
	http->mhd =
		MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, http,
				 MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, http->fd,
				 MHD_OPTION_CONNECTION_LIMIT, (unsigned)LIMIT_METRICS_CLIENTS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				 (size_t)LIMIT_METRICS_REQUEST, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
				 MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_END);
	info = http->mhd ? MHD_get_daemon_info(http->mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info)
		return err_set(err, -EIO, "metrics.listen", "metrics, %s: libmicrohttpd does not start",
			       http->d->config.metrics_listen);
	r = sd_event_add_io(http->d->event, &http->io, info->epoll_fd, EPOLLIN, on_io, http);
	if (r >= 0)
		r = sd_event_add_time(http->d->event, &http->timer, CLOCK_MONOTONIC, UINT64_MAX, 1, on_timer, http);
	if (r >= 0)
		r = sd_event_add_time(http->d->event, &http->look, CLOCK_MONOTONIC, UINT64_MAX, 100000, on_look, http);
	if (r < 0)
		return err_set(err, r, "metrics.listen", "metrics, %s: %s", http->d->config.metrics_listen, strerror(-r));
	sd_event_source_set_enabled(http->look, SD_EVENT_OFF);
	turn(http);
	return 0;
}

int metrics_http_new(struct daemon *d, struct metrics_http **ret, struct err *err)
{
	struct metrics_http *http;
	int r;

	*ret = NULL;
	if (!d->config.metrics_listen[0])
		return 0;
	http = calloc(1, sizeof(*http));
	if (!http)
		return err_set(err, -ENOMEM, "daemon.no-memory", "no memory for the metrics");
	http->d = d;
	http->fd = -1;
	TAILQ_INIT(&http->waiting);
	LIST_INIT(&http->connections);
	r = start(http, err);
	if (r < 0)
		http = metrics_http_free(http);
	*ret = http;
	return r;
}

struct metrics_http *metrics_http_free(struct metrics_http *http)
{
	if (!http)
		return NULL;
	sd_event_source_disable_unref(http->io);
	sd_event_source_disable_unref(http->timer);
	sd_event_source_disable_unref(http->look);
	http->look = NULL;
	give(http, NULL); /* libmicrohttpd does not end while one is suspended */
	if (http->mhd)
		MHD_stop_daemon(http->mhd); /* closes the listening socket */
	else
		fd_close(&http->fd);
	if (http->fd >= 0 && http->d->config.metrics_listen[0] == '/')
		unlink(http->d->config.metrics_listen);
	metrics_forget(http->asked);
	free(http);
	return NULL;
}
