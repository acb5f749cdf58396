/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ctl: the control socket: clients, JSON-RPC framing, who may call what, events. docs/control-protocol.md is its contract.
 */
#ifndef GANGWAY_CTL_H
#define GANGWAY_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct ctl;
struct ctl_req;
struct daemon;
struct err;

/* A call under way. Lives until it is answered once, even if its client leaves before. */
typedef void (*ctl_handler)(struct daemon *d, struct ctl_req *req, const json_t *params);

struct ctl_method {
	const char *name;
	bool read; /* changes nothing: may be opened to everybody */
	ctl_handler handler;
};

int ctl_new(struct daemon *d, const struct ctl_method *methods, size_t nr, struct ctl **ret, struct err *err);
struct ctl *ctl_free(struct ctl *ctl);

/* Answer @req, which is gone afterwards. ctl_reply() takes @result over (NULL: no memory, answered as such). */
void ctl_reply(struct ctl_req *req, json_t *result);
/* The same with the result as JSON text, which is copied: for one that several get. */
void ctl_reply_text(struct ctl_req *req, const char *result);
void ctl_fail(struct ctl_req *req, const struct err *err);
/* -32602: parameters of the wrong form. */
void ctl_fail_params(struct ctl_req *req, const char *what);
void ctl_progress(struct ctl_req *req, const char *step, size_t index, size_t of, const char *what);
/* Nobody waits for the answer: the client has gone, or wanted none. */
bool ctl_is_abandoned(const struct ctl_req *req);
/* The client of @req gets events from now on. */
void ctl_subscribe(struct ctl_req *req);

/* Tell all subscribers. @more (object, taken over, NULL is fine) is merged in. @ctl NULL: nobody listens yet. */
void ctl_event(struct ctl *ctl, const char *event, const char *object, json_t *more);

json_t *err_to_json(const struct err *err);

#endif
