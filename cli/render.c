/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli_render.h"

#include <libsmartcols.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "err.h"

static _Noreturn void no_memory(void)
{
	fputs("gangway: error: out of memory\n", stderr);
	exit(EXIT_FAILED);
}

/*
 * How many bytes at @s must not reach a terminal: 0 if the character there is harmless. Besides C0 and DEL these are the C1
 * controls (U+0080..9F: some terminals obey them) and the marks that reorder text (U+200E/F, U+2028..2E, U+2066..69).
 */
static size_t harmful(const unsigned char *s)
{
	if (s[0] < 0x20 || s[0] == 0x7f)
		return 1;
	if (s[0] < 0x80)
		return 0;
	if (MB_CUR_MAX == 1) /* no UTF-8 here: what the bytes mean is anybody's guess */
		return 1;
	if (s[0] == 0xc2 && s[1] >= 0x80 && s[1] <= 0x9f)
		return 2;
	if (s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xa8 && s[2] <= 0xae)))
		return 3;
	if (s[0] == 0xe2 && s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9)
		return 3;
	return 0;
}

char *cli_safe(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	char *copy = malloc(strlen(text) + 1), *to = copy;

	if (!copy)
		no_memory();
	while (*s) {
		size_t bad = harmful(s);

		*to++ = bad ? '?' : (char)*s;
		s += bad ? bad : 1;
	}
	*to = '\0';
	return copy;
}

char *cli_text(const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		no_memory();
	return text;
}

/* A scalar as text; "?" for what is none. */
static char *scalar(json_t *v)
{
	if (!v)
		return cli_text("-");
	switch (json_typeof(v)) {
	case JSON_NULL:
		return cli_text("-");
	case JSON_TRUE:
		return cli_text("on");
	case JSON_FALSE:
		return cli_text("off");
	case JSON_INTEGER:
		return cli_text("%lld", (long long)json_integer_value(v));
	case JSON_REAL:
		return cli_text("%g", json_real_value(v));
	case JSON_STRING:
		return cli_safe(json_string_length(v) ? json_string_value(v) : "-");
	case JSON_OBJECT:
	case JSON_ARRAY:
		break;
	}
	return cli_text("?");
}

char *cli_cell(json_t *obj, const char *key)
{
	return scalar(json_object_get(obj, key));
}

const char *cli_str(json_t *obj, const char *key)
{
	return json_string_value(json_object_get(obj, key));
}

static char *cell(const struct cli_col *col, json_t *obj)
{
	return col->fmt ? col->fmt(obj, col->key) : cli_cell(obj, col->key);
}

void cli_render_table(FILE *out, const struct cli_col *cols, size_t nr, json_t *rows)
{
	struct libscols_table *tb;
	json_t *row;
	size_t i;

	if (!json_array_size(rows))
		return;
	tb = scols_new_table();
	if (!tb || scols_table_set_stream(tb, out) < 0)
		no_memory();
	/* a pipe gets every byte; on a terminal too nothing is cut: a BDF with its end missing is worse than a long line */
	scols_table_set_termforce(tb, SCOLS_TERMFORCE_NEVER);
	for (size_t c = 0; c < nr; c++)
		if (!scols_table_new_column(tb, cols[c].head, 0, cols[c].right ? SCOLS_FL_RIGHT : 0))
			no_memory();
	json_array_foreach (rows, i, row) {
		struct libscols_line *line = scols_table_new_line(tb, NULL);

		if (!line)
			no_memory();
		for (size_t c = 0; c < nr; c++)
			if (scols_line_refer_data(line, c, cell(&cols[c], row)) < 0)
				no_memory();
	}
	if (scols_print_table(tb) < 0)
		no_memory();
	scols_unref_table(tb);
}

void cli_render_fields(FILE *out, const struct cli_col *cols, size_t nr, json_t *obj)
{
	size_t width = 0;

	for (size_t c = 0; c < nr; c++)
		if (strlen(cols[c].head) > width)
			width = strlen(cols[c].head);
	for (size_t c = 0; c < nr; c++) {
		char *text = cell(&cols[c], obj);

		fprintf(out, "%-*s  %s\n", (int)width, cols[c].head, text);
		free(text);
	}
}

char *cli_fmt_time(json_t *obj, const char *key)
{
	double t = json_number_value(json_object_get(obj, key));
	char text[32];
	struct tm tm;
	time_t secs;

	if (!(t >= 1) || t > 253402300799.0) /* year 9999 */
		return cli_text("-");
	secs = (time_t)t;
	if (!localtime_r(&secs, &tm) || !strftime(text, sizeof(text), "%F %T", &tm))
		return cli_text("-");
	return cli_text("%s", text);
}

char *cli_fmt_ms(json_t *obj, const char *key)
{
	json_t *v = json_object_get(obj, key);
	double ms = json_number_value(v);

	if (!json_is_number(v))
		return cli_text("-");
	return cli_text(ms >= 99.95 ? "%.0f" : "%.1f", ms);
}

/* Puts ", ITEM" behind *@text and frees @item. */
static void append(char **text, char *item)
{
	char *old = *text;

	*text = *old ? cli_text("%s, %s", old, item) : cli_text("%s", item);
	free(old);
	free(item);
}

char *cli_fmt_list(json_t *obj, const char *key)
{
	char *text = cli_text("%s", "");
	json_t *v;
	size_t i;

	json_array_foreach (json_object_get(obj, key), i, v)
		append(&text, scalar(v));
	if (*text)
		return text;
	free(text);
	return cli_text("-");
}
