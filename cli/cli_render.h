/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * render: JSON trees as tables and lists of fields.
 *
 * Text comes from the daemon and, through it, from drivers and guests: everything is made harmless to a terminal here, once.
 * Members that are missing or of an unexpected type show as "-" or "?"; nothing here fails.
 */
#ifndef GANGWAY_CLI_RENDER_H
#define GANGWAY_CLI_RENDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct cli_col {
	const char *head; /* heading of the table's column, or name of the field */
	const char *key; /* member */
	char *(*fmt)(json_t *obj, const char *key); /* allocated text of the member; NULL: cli_cell() */
	bool right; /* numbers stand right */
};

#define CLI_NR(a) (sizeof(a) / sizeof((a)[0]))

/* A copy of @text without control characters, escape sequences and direction overrides, each replaced by '?'. Never NULL. */
char *cli_safe(const char *text);

/* asprintf() that does not fail. */
char *cli_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A scalar member as text ready for a terminal: null and missing "-", booleans "on" and "off". Allocated. */
char *cli_cell(json_t *obj, const char *key);

/* A string member as it is (not yet safe), or NULL. */
const char *cli_str(json_t *obj, const char *key);

/* One row per object of @rows (an array). An empty table prints nothing. */
void cli_render_table(FILE *out, const struct cli_col *cols, size_t nr, json_t *rows);

/* One line per field of @obj. */
void cli_render_fields(FILE *out, const struct cli_col *cols, size_t nr, json_t *obj);

/* Formats shared by views. Allocated text. */
char *cli_fmt_time(json_t *obj, const char *key); /* seconds since the epoch -> local time */
char *cli_fmt_ms(json_t *obj, const char *key); /* "3.1", "412" */
char *cli_fmt_list(json_t *obj, const char *key); /* array of scalars: "a, b" */

#endif
