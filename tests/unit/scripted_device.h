/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process on a device's control socket that says hello as it should, and answers "dma" as it is told to. Beside device_peer.h. */
#ifndef GANGWAY_TESTS_SCRIPTED_DEVICE_H
#define GANGWAY_TESTS_SCRIPTED_DEVICE_H

#include "device_peer.h"

#define SCRIPTED_HELLO                                                                                                           \
	"{\"op\":\"hello\",\"version\":1,\"pid\":%d,\"id\":\"lease-1\",\"bdf\":\"" PEER_BDF                                      \
	"\",\"status\":{\"vuser_state\":\"idle\",\"nr_messages\":1,\"nr_rejected\":0,\"nr_clients\":0,\"dma_ranges\":0,"         \
	"\"dma_bytes\":0,\"vectors_armed\":0,\"bus_master\":false,\"degraded\":false,\"last_error\":\"\"}}"

enum script { SCRIPT_SAY, SCRIPT_BE_SILENT, SCRIPT_DIE };

/* @text: the answer; TAG in it is the tag of the question. */
static inline void scripted_answer(int conn, const char *request, const char *text)
{
	const char *tag = strstr(request, "\"tag\":"), *hole = strstr(text, "TAG");
	char buf[DEVICE_PROTO_MAX];

	snprintf(buf, sizeof(buf), "%.*s%lld%s", hole ? (int)(hole - text) : 0, text, tag ? atoll(tag + 6) : 0,
		 hole ? hole + 3 : "");
	if (!hole)
		snprintf(buf, sizeof(buf), "%s", text);
	fd_send(conn, buf, strlen(buf), NULL, 0);
}

static inline void scripted_main(int listener, enum script script, const char *text)
{
	int fds[3] = { 0, 1, 2 }, conn = accept(listener, NULL, NULL);
	char request[512], hello[1024];
	ssize_t n;

	snprintf(hello, sizeof(hello), SCRIPTED_HELLO, (int)getpid());
	while ((n = recv(conn, request, sizeof(request) - 1, 0)) > 0) {
		request[n] = '\0';
		if (strstr(request, "hello"))
			fd_send(conn, hello, strlen(hello), fds, 3);
		else if (strstr(request, "stop") || (strstr(request, "dma") && script == SCRIPT_DIE))
			_exit(0);
		else if (strstr(request, "dma") && script == SCRIPT_SAY)
			scripted_answer(conn, request, text);
	}
	_exit(0);
}

/* Goes on when it listens. The directory is peer_clean()'s. */
static inline void scripted_start(struct peer *p, enum script script, const char *text)
{
	pid_t test = getpid();
	int listener, ready[2];
	char one;

	strcpy(p->dir, "/tmp/gangway-test-XXXXXX");
	cr_assert_not_null(mkdtemp(p->dir));
	snprintf(p->ctl, sizeof(p->ctl), "%s/device", p->dir);
	cr_assert_eq(mkdir(p->ctl, 0700), 0);
	snprintf(p->ctl, sizeof(p->ctl), "%s/device/lease-1.ctl", p->dir);
	snprintf(p->vuser, sizeof(p->vuser), "%s/none", p->dir);
	listener = fd_listen_unix(p->ctl, SOCK_SEQPACKET, 0600);
	cr_assert(listener >= 0 && pipe(ready) == 0);
	fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) & ~O_NONBLOCK);
	p->pid = fork();
	cr_assert(p->pid >= 0);
	if (p->pid == 0) {
		die_with(test);
		/* its own listen(2) is what says who it is */
		if (listen(listener, 4) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		scripted_main(listener, script, text);
	}
	cr_assert_eq(read(ready[0], &one, 1), 1);
	close(ready[0]);
	close(ready[1]);
	close(listener);
}

#endif
