/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics_http: GET /metrics, for a Prometheus that comes by itself. libmicrohttpd in the event loop: it has no threads and waits for nothing. Off
 * unless the configuration names an address ([metrics] listen). Who can connect can read: there is no password; hence the loopback, or a Unix socket
 * with the rights of the control socket.
 */
#ifndef GANGWAY_METRICS_HTTP_H
#define GANGWAY_METRICS_HTTP_H

#include <sys/socket.h>

struct daemon;
struct err;
struct metrics_http;

/*
 * "127.0.0.1:9177", "[::1]:9177" or a port alone, which is one of 127.0.0.1; numbers, no names: whom they lead to would be another's choice.
 * 0, -EINVAL.
 */
int metrics_address_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len);

/* As the configuration says; *ret NULL: it says no. -errno "metrics.listen". */
int metrics_http_new(struct daemon *d, struct metrics_http **ret, struct err *err);
/* The daemon's workers have ended. NULL is fine; returns NULL. */
struct metrics_http *metrics_http_free(struct metrics_http *http);

#endif
