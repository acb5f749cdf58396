/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics: everything that is worth a curve, at one moment: guests, PFs, leases, vectors. As JSON, or as the text that metrics_text.h makes of it.
 * There is one way to ask, for the control socket and for HTTP.
 */
#ifndef GANGWAY_METRICS_H
#define GANGWAY_METRICS_H

#include <jansson.h>

struct ctl_req;
struct daemon;
struct metrics_wait;

enum metrics_form { METRICS_JSON, METRICS_TEXT, METRICS_NUM_FORMS };

/* @text is valid during the call only; NULL: no memory. */
typedef void (*metrics_fn)(void *ctx, const char *text);

/*
 * The numbers in that form. @done is called from the loop, later, with the same text for all who wait: they are gathered once in LIMIT_METRICS_PAUSE_MS
 * at most. 0; -ENOMEM: it is not called. @ret is for metrics_forget(), until @done.
 */
int metrics_ask(struct daemon *d, enum metrics_form form, metrics_fn done, void *ctx, struct metrics_wait **ret);
/* Who asked does not wait any more. NULL is fine. */
void metrics_forget(struct metrics_wait *w);
/* gangwayd stops, its workers have ended: who still waits is told NULL. */
void metrics_ask_free(struct daemon *d);

void call_metrics(struct daemon *d, struct ctl_req *req, const json_t *params);

#endif
