/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the metrics' HTTP endpoint listens. */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "err.h"
#include "fdutil.h"
#include "gangway_limits.h"
#include "log.h"
#include "metrics_internal.h"

/* 1 to 65535, digits alone. */
static int take_port(const char *text, in_port_t *ret)
{
	size_t len = strlen(text);
	unsigned long v = strtoul(text, NULL, 10);

	if (len == 0 || len > 5 || strspn(text, "0123456789") != len || v == 0 || v > 65535)
		return -EINVAL;
	*ret = htons((uint16_t)v);
	return 0;
}

static int parse_v6(const char *text, struct sockaddr_in6 *ret)
{
	const char *end = strstr(text, "]:");
	char host[INET6_ADDRSTRLEN];
	size_t len = end ? (size_t)(end - text - 1) : 0;

	if (!end || len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text + 1, len);
	host[len] = '\0';
	*ret = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
	return inet_pton(AF_INET6, host, &ret->sin6_addr) == 1 ? take_port(end + 2, &ret->sin6_port) : -EINVAL;
}

static int parse_v4(const char *text, struct sockaddr_in *ret)
{
	const char *colon = strchr(text, ':');
	char host[INET_ADDRSTRLEN];
	size_t len = colon ? (size_t)(colon - text) : 0;

	*ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (!colon)
		return take_port(text, &ret->sin_port);
	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	return inet_pton(AF_INET, host, &ret->sin_addr) == 1 ? take_port(colon + 1, &ret->sin_port) : -EINVAL;
}

int metrics_address_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	union {
		struct sockaddr_storage any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} addr = { 0 };
	int r = text[0] == '[' ? parse_v6(text, &addr.v6) : parse_v4(text, &addr.v4);

	if (r < 0)
		return r;
	*ret = addr.any;
	*ret_len = text[0] == '[' ? sizeof(addr.v6) : sizeof(addr.v4);
	return 0;
}

static int listen_inet(const char *text)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = 0;
	int fd, r, on = 1;

	r = metrics_address_parse(text, &addr, &len);
	if (r < 0)
		return r;
	fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* a gangwayd that is started again has connections of the former one in TIME_WAIT */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || bind(fd, (struct sockaddr *)&addr, len) < 0 ||
	    listen(fd, LIMIT_METRICS_CLIENTS) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static int listen_unix(const struct config *config)
{
	const struct group *gr = getgrnam(config->group);
	int fd = fd_listen_unix(config->metrics_listen, SOCK_STREAM, config->read_only_all ? 0666 : 0660);

	if (fd >= 0 && gr && chown(config->metrics_listen, (uid_t)-1, gr->gr_gid) < 0)
		log_warn("metrics socket %s: to group %s: %s, ignoring", config->metrics_listen, config->group, strerror(errno));
	return fd;
}

int metrics_listen(const struct config *config, struct err *err)
{
	const char *where = config->metrics_listen;
	int fd = where[0] == '/' ? listen_unix(config) : listen_inet(where);

	if (fd >= 0)
		return fd;
	err_set(err, fd, "metrics.listen", "metrics, %s: %s", where, strerror(-fd));
	err_hint(err, "gangway.conf(5): [metrics] listen is an address of this host with a port that is free, or a path");
	return fd;
}
