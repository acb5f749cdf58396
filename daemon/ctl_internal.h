/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the ctl files share. ctl.c: the socket, and who is let in. ctl_client.c: one connection, bytes in, lines out. ctl_call.c: lines to
 * calls, answers and events.
 */
#ifndef GANGWAY_CTL_INTERNAL_H
#define GANGWAY_CTL_INTERNAL_H

#include <stdint.h>

#include "ctl_client.h"

struct daemon;
struct err;

struct ctl {
	struct daemon *d;
	const struct ctl_method *methods;
	size_t nr_methods;
	int fd;
	int lock_fd; /* SOCKET.lock: who finds nobody listening is alone in doing so */
	sd_event_source *io;
	sd_event_source *again; /* on while nobody can be let in; made at the start, for a timer takes a descriptor itself */
	gid_t gid; /* of the group that may call everything; (gid_t)-1: none */
	struct ctl_client_list clients;
	unsigned nr_clients;
	uint64_t seq; /* of events */
};

struct ctl_req {
	LIST_ENTRY(ctl_req) link;
	struct ctl_client *client; /* NULL: it has gone */
	json_t *id; /* NULL: a notification, no answer is wanted */
};

/* The answer to request @id (NULL: nobody could tell which) that fails with @err; @code: JSON-RPC's. */
json_t *ctl_error_message(json_t *id, int code, const struct err *err);

#endif
