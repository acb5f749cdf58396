/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cli: what every verb of `gangway` shares: the global options, and the one place where results and errors are printed.
 *
 * A verb asks the daemon, gets a JSON tree and hands it to cli_show(), which has two writers: text and JSON. With --json
 * nothing but one JSON value (for `monitor`: one a line) ever reaches stdout, errors included.
 */
#ifndef GANGWAY_CLI_H
#define GANGWAY_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct err;
struct cli_args;

struct cli {
	bool json; /* --json, or --pretty, which implies it */
	bool pretty;
	bool quiet; /* no progress */
	const char *socket;
	int timeout_ms; /* GANGWAY_TIMEOUT; negative: the defaults */
	FILE *out; /* results */
	FILE *err; /* errors, warnings, progress */
};

/* The text form of a result; the JSON form is the tree itself. */
typedef void (*cli_view_fn)(FILE *out, json_t *result);

/* Print an error that came from the operation. Returns the exit code that belongs to its errno. */
int cli_fail(const struct cli *cli, const struct err *err);

/* Print an error of the command line. Returns EXIT_USAGE. */
int cli_usage(const struct cli *cli, const struct err *err);

/* Print a result (borrowed) in the form asked for. Returns EXIT_OK. */
int cli_show(const struct cli *cli, json_t *result, cli_view_fn view);

/* "gangway: warning: TEXT" on stderr; @text may come from the daemon. Nothing with --json: the tree has the warnings. */
void cli_warn(const struct cli *cli, const char *text);

/* cli_warn() for each of a result's "warnings". */
void cli_show_warnings(const struct cli *cli, json_t *result);

/* An option that takes a whole number. */
struct cli_number_opt {
	const char *name; /* --NAME */
	const char *key; /* of the request's parameters */
	unsigned long long max;
	unsigned int unit; /* one of it is so much there; 0: one */
	const char *wants; /* "not a number from 0 to": @max follows */
	const char *hint;
};

/* Where it was given, into @params. Returns 0, or an exit code after the error is printed. */
int cli_take_number(const struct cli *cli, const struct cli_args *args, const struct cli_number_opt *opt, json_t *params);

struct cli_request {
	const char *method;
	json_t *params; /* taken over; NULL: none */
	const char *shape; /* what the result must look like, see cli_shape() */
	bool slow; /* waits for the kernel, the VMM or the guest: long timeout, progress on a terminal */
	int wait_ms; /* how long the daemon was told to wait; added to the timeout */
	int patience_ms; /* wait no longer than this, whatever comes in between; 0: the timeout as above */
};

/*
 * One request to the daemon on a connection of its own. On success the caller owns *@ret_result and EXIT_OK is returned;
 * otherwise the error has been printed and its exit code is returned.
 */
int cli_request(const struct cli *cli, const struct cli_request *req, json_t **ret_result);

/* cli_request(), cli_show() and cli_show_warnings() for the verbs that need no more. */
int cli_simple(const struct cli *cli, const struct cli_request *req, cli_view_fn view);

/*
 * Does the daemon's @result have the members the views rely on? @shape lists them, separated by spaces, each with its kind as
 * last character: `{` an object, `[` an array of objects, `"` an array of strings. Returns 0 or -EPROTO with @err filled.
 */
int cli_shape(json_t *result, const char *shape, const char *method, struct err *err);

/* Flush @cli->out; a result that could not be written (disk full, closed pipe) makes the exit code EXIT_FAILED. */
int cli_finish(const struct cli *cli, int code);

#endif
