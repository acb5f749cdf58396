/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection to the control socket: bytes in, lines out. Private to ctl*.c. */
#ifndef GANGWAY_CTL_CLIENT_H
#define GANGWAY_CTL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct ctl;
struct ctl_client;

LIST_HEAD(ctl_req_list, ctl_req);

struct ctl_client {
	LIST_ENTRY(ctl_client) link;
	struct ctl *ctl;
	int fd;
	bool may_write, subscribed;
	bool ended; /* the client says nothing more; it may still listen */
	sd_event_source *io, *idle; /* idle: runs while half a request is there */
	sd_event_source *more; /* on while whole lines are there */
	char *in; /* LIMIT_CTL_REQUEST bytes */
	size_t nr_in;
	char *out;
	size_t nr_out, out_size;
	unsigned long nr_lost; /* events that did not fit */
	struct ctl_req_list reqs; /* calls not answered yet */
	unsigned nr_reqs;
};

LIST_HEAD(ctl_client_list, ctl_client);

/* Serve @fd, taken over, also on failure. */
int ctl_client_new(struct ctl *ctl, sd_event *event, int fd, bool may_write, struct ctl_client **ret);
/* Out of its list and freed; its calls go on without it. */
struct ctl_client *ctl_client_free(struct ctl_client *c);
/* Queue @msg (taken over) as a line; @droppable: an event, lost and counted when the client reads too slowly. Others that do not fit end
 * the client, later. */
void ctl_client_send(struct ctl_client *c, json_t *msg, bool droppable);

/* The same of a line's text; NULL: there was no memory for it. */
void ctl_client_send_text(struct ctl_client *c, char *text, bool droppable);

/* One that says nothing more, and to whom there is nothing left to be said, is let go: soon, by the loop. */
void ctl_client_settle(struct ctl_client *c);

/* ctl_call.c: a whole line has come; @line is NUL-terminated in place. */
void ctl_dispatch(struct ctl_client *c, char *line, size_t len);
/* A line that is too long, or was not finished in time. */
void ctl_reject(struct ctl_client *c, const char *what);

#endif
