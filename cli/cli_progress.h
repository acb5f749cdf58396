/* SPDX-License-Identifier: GPL-2.0-or-later */
/* progress: one line on a terminal, rewritten while a slow call runs, gone when it ends. */
#ifndef GANGWAY_CLI_PROGRESS_H
#define GANGWAY_CLI_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct cli_progress {
	FILE *out;
	bool on; /* else every call is a no-op */
	bool shown; /* there is a line to erase */
	char what[128];
	long long index, of;
	long long started_ms;
};

/* @on: the caller has decided that @out is a terminal and wants it. */
void cli_progress_init(struct cli_progress *p, FILE *out, bool on, const char *what);

/* A notification of the daemon; anything but a well-formed `progress` is ignored. Fits cli_rpc_call.notify. */
void cli_progress_notify(void *progress, const char *method, json_t *params);

/* Time passes. Fits cli_rpc_call.tick. */
void cli_progress_tick(void *progress);

/* Erase the line. */
void cli_progress_done(struct cli_progress *p);

#endif
