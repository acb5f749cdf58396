/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer target: the input is what a client of the control socket sends. It goes through the product's framing and dispatch to the
 * real methods of a real struct daemon, workers and state database included, on a host that has no devices. Every call must be answered,
 * every answer be a line of JSON-RPC.
 */
#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "calls.h"
#include "ctl_client.h"
#include "daemon.h"
#include "db.h"
#include "guests.h"
#include "lease.h"
#include "log.h"
#include "sys.h"
#include "work.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- a host without devices --- */

static ssize_t no_file(struct sys *sys, const char *path, void *buf, size_t size)
{
	(void)sys;
	(void)path;
	(void)buf;
	(void)size;
	return -ENOENT;
}

static ssize_t no_link(struct sys *sys, const char *path, char *buf, size_t size)
{
	return no_file(sys, path, buf, size);
}

static int no_write(struct sys *sys, const char *path, const char *text)
{
	(void)text;
	return (int)no_file(sys, path, NULL, 0);
}

static int no_list(struct sys *sys, const char *path, char ***ret)
{
	(void)ret;
	return (int)no_file(sys, path, NULL, 0);
}

static int no_stat(struct sys *sys, const char *path, struct stat *ret)
{
	(void)ret;
	return (int)no_file(sys, path, NULL, 0);
}

static int no_open(struct sys *sys, const char *path, int flags)
{
	(void)flags;
	return (int)no_file(sys, path, NULL, 0);
}

static int no_interface(struct sys *sys, const char *ifname, struct sys_link *ret)
{
	(void)ret;
	return (int)no_file(sys, ifname, NULL, 0);
}

static uint64_t no_time(struct sys *sys)
{
	(void)sys;
	return 1;
}

static const struct sys_ops nothing = { .read_file = no_file,
					.write_file = no_write,
					.readlink = no_link,
					.list = no_list,
					.stat = no_stat,
					.open = no_open,
					.link_get = no_interface,
					.now_us = no_time };

/* --- gangwayd --- */

static struct sys host = { .ops = &nothing };
static struct daemon d;
static struct ctl_client_list clients = LIST_HEAD_INITIALIZER(clients);
static char dir[] = "/dev/shm/gangway-fuzz-XXXXXX";

static void leave_nothing(void)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	if (system(cmd))
		abort();
}

static void start(void)
{
	log_init("fuzz", LOG_LVL_ERR);
	TAILQ_INIT(&d.guests);
	TAILQ_INIT(&d.leases);
	config_defaults(&d.config);
	d.sys = &host;
	if (!mkdtemp(dir))
		abort();
	atexit(leave_nothing);
	snprintf(d.config.socket, sizeof(d.config.socket), "%s/sock", dir);
	snprintf(d.config.state, sizeof(d.config.state), "%s/state.db", dir);
	if (sd_event_new(&d.event) < 0 || work_pool_new(d.event, &d.pool) < 0 || db_open(d.config.state, &d.db, NULL) < 0 ||
	    ctl_new(&d, call_table, call_table_len, &d.ctl, NULL) < 0)
		abort();
}

/* Reads what there is; each line is checked. False: the end. */
static bool read_answers(int fd)
{
	static char in[8 << 20];
	static size_t nr;
	char *nl;
	ssize_t n;

	while ((n = recv(fd, in + nr, sizeof(in) - nr, MSG_DONTWAIT)) > 0) {
		nr += (size_t)n;
		while (nr && (nl = memchr(in, '\n', nr))) {
			json_t *j = json_loadb(in, (size_t)(nl - in), 0, NULL);

			if (!j || !json_object_get(j, "jsonrpc") || (!json_object_get(j, "method") && !json_object_get(j, "id")))
				abort();
			json_decref(j);
			nr -= (size_t)(nl + 1 - in);
			memmove(in, nl + 1, nr);
		}
	}
	if (n == 0)
		nr = 0;
	return n < 0 && errno == EAGAIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctl_client *c;
	struct guest *g;
	int pair[2];
	size_t used = 0;

	if (!d.event)
		start();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
	    ctl_client_new(d.ctl, d.event, pair[1], true, &c) < 0)
		abort();
	LIST_INSERT_HEAD(&clients, c, link);
	while (!LIST_EMPTY(&clients)) {
		/* in pieces, so that lines come torn as well */
		size_t piece = size - used < 997 ? size - used : 997;
		ssize_t n = used < size ? send(pair[0], data + used, piece, MSG_NOSIGNAL) : 0;

		used += n > 0 ? (size_t)n : 0;
		if (used == size && c->nr_reqs == 0 && sd_event_run(d.event, 0) == 0)
			shutdown(pair[0], SHUT_RDWR);
		else if (sd_event_run(d.event, 1000) < 0)
			abort();
		read_answers(pair[0]);
	}
	read_answers(pair[0]);
	close(pair[0]);
	/* on this host no attach can have come to anything */
	while (d.nr_leases)
		if (sd_event_run(d.event, 1000) < 0)
			abort();
	while ((g = TAILQ_FIRST(&d.guests)))
		guest_free(g);
	return 0;
}
