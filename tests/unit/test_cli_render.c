/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writers: what reaches a terminal, whatever the tree holds. */
#include <criterion/criterion.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_progress.h"
#include "cli_render.h"
#include "cli_views.h"
#include "err.h"

static void same(char *got, const char *want, const char *what)
{
	cr_assert_str_eq(got, want, "%s: got `%s`, want `%s`", what, got, want);
	free(got);
}

Test(cli_render, safe_text)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "", "" },
		{ "eth0/vf3", "eth0/vf3" },
		{ "a\033[31mb", "a?[31mb" },
		{ "a\nb\rc\td\177e\001", "a?b?c?d?e?" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "\xc2\x9b"
		  "31m",
		  "?31m" },
		{ "\xc2\x80\xc2\x9f\xc2\xa0", "??\xc2\xa0" },
		/* NOLINTNEXTLINE(misc-misleading-bidirectional): the attack that is warded off */
		{ "a\xe2\x80\xae"
		  "b\xe2\x81\xa6"
		  "c\xe2\x80\x8e\xe2\x80\xa8",
		  "a?b?c??" },
		{ "\xe2\x80\x93", "\xe2\x80\x93" }, /* a dash is one */
		{ "\xc2", "\xc2" }, /* cut within a character, at the end of the string */
		{ "\xe2\x80", "\xe2\x80" },
	};

	cr_assert(setlocale(LC_CTYPE, "C.UTF-8"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		same(cli_safe(rows[i].in), rows[i].out, rows[i].in);
	setlocale(LC_CTYPE, "C");
	same(cli_safe("gr\xc3\xbc \033"), "gr?? ?", "C locale");
}

Test(cli_render, cells)
{
	static const struct {
		const char *json, *cell, *time, *ms, *list;
	} rows[] = {
		{ "{}", "-", "-", "-", "-" },
		{ "{\"k\":null}", "-", "-", "-", "-" },
		{ "{\"k\":true}", "on", "-", "-", "-" },
		{ "{\"k\":false}", "off", "-", "-", "-" },
		{ "{\"k\":\"\"}", "-", "-", "-", "-" },
		{ "{\"k\":\"a\\u001bb\"}", "a?b", "-", "-", "-" },
		{ "{\"k\":0}", "0", "-", "0.0", "-" },
		{ "{\"k\":-3}", "-3", "-", "-3.0", "-" },
		{ "{\"k\":1795359181}", "1795359181", "2026-11-22 14:53:01", "1795359181", "-" },
		{ "{\"k\":3.14}", "3.14", "1970-01-01 00:00:03", "3.1", "-" },
		{ "{\"k\":99.96}", "99.96", "1970-01-01 00:01:39", "100", "-" },
		{ "{\"k\":1e300}", "1e+300", "-", NULL, "-" },
		{ "{\"k\":[]}", "?", "-", "-", "-" },
		{ "{\"k\":[1,\"b\",null,{},[]]}", "?", "-", "-", "1, b, -, ?, ?" },
		{ "{\"k\":{}}", "?", "-", "-", "-" },
		{ "{\"k\":{\"vlan\":5,\"mac\":null,\"a\\u0007\":\"on\"}}", "?", "-", "-", "-" },
		{ "[]", "-", "-", "-", "-" },
	};

	setenv("TZ", "UTC", 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *obj = json_loads(rows[i].json, 0, NULL);

		cr_assert(obj, "%s", rows[i].json);
		same(cli_cell(obj, "k"), rows[i].cell, rows[i].json);
		same(cli_fmt_time(obj, "k"), rows[i].time, rows[i].json);
		if (rows[i].ms)
			same(cli_fmt_ms(obj, "k"), rows[i].ms, rows[i].json);
		same(cli_fmt_list(obj, "k"), rows[i].list, rows[i].json);
		json_decref(obj);
	}
	same(cli_cell(NULL, "k"), "-", "no object");
	cr_assert_null(cli_str(NULL, "k"));
}

static const struct cli_col cols[] = {
	{ .head = "NAME", .key = "name" },
	{ .head = "N", .key = "n", .right = true },
	{ .head = "LAST", .key = "last" },
};

Test(cli_render, tables_and_fields)
{
	json_t *rows = json_loads("[{\"name\":\"a\",\"n\":5,\"last\":\"x y\"},{\"name\":\"long\",\"n\":100},7]", 0, NULL);
	char *text = NULL;
	size_t len;
	FILE *f;

	f = open_memstream(&text, &len);
	cli_render_table(f, cols, CLI_NR(cols), rows);
	fclose(f);
	same(text, "NAME   N LAST\na      5 x y\nlong 100 -\n-      - -\n", "table");

	f = open_memstream(&text, &len);
	cli_render_fields(f, cols, CLI_NR(cols), json_array_get(rows, 0));
	fclose(f);
	same(text, "NAME  a\nN     5\nLAST  x y\n", "fields");

	f = open_memstream(&text, &len);
	json_array_clear(rows);
	cli_render_table(f, cols, CLI_NR(cols), rows);
	cli_render_table(f, cols, CLI_NR(cols), NULL);
	fclose(f);
	same(text, "", "empty table");
	json_decref(rows);
}

Test(cli_render, shapes)
{
	static const struct {
		const char *json, *shape;
		int want;
	} rows[] = {
		{ "{}", NULL, 0 },
		{ "{}", "", 0 },
		{ "{\"a\":{}}", "a{", 0 },
		{ "{\"a\":{},\"b\":[{}],\"c\":[\"x\"]}", "a{ b[ c\"", 0 },
		{ "{\"a\":[],\"c\":[]}", "a[ c\"", 0 },
		{ "{}", "a{", -EPROTO },
		{ "{\"a\":[]}", "a{", -EPROTO },
		{ "{\"a\":{}}", "a[", -EPROTO },
		{ "{\"a\":[{},1]}", "a[", -EPROTO },
		{ "{\"a\":[\"x\",{}]}", "a\"", -EPROTO },
		{ "{\"a\":{}}", "a{ b[", -EPROTO },
		{ "{\"a\":null}", "a{", -EPROTO },
		{ "[]", "a{", -EPROTO },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *obj = json_loads(rows[i].json, 0, NULL);
		struct err err = { 0 };

		cr_assert_eq(cli_shape(obj, rows[i].shape, "m", &err), rows[i].want, "%s as %s", rows[i].json, rows[i].shape);
		cr_assert_eq(err.num, rows[i].want);
		json_decref(obj);
	}
}

/* Every view, on trees where everything is missing, of a wrong type, or hostile. */
Test(cli_render, views_survive_anything)
{
	static void (*const views[])(FILE *, json_t *) = {
		cli_view_doctor, cli_view_pfs,	  cli_view_pf,		cli_view_pf_set, cli_view_vfs,	    cli_view_vf,
		cli_view_guests, cli_view_guest,  cli_view_guest_added, cli_view_status, cli_view_attached, cli_view_detached,
		cli_view_plan,	 cli_view_timing, cli_view_event,	cli_view_leases,
	};
	static const char *const values[] = { "null",
					      "7",
					      "\"\\u001b[2J\"",
					      "[]",
					      "{}",
					      "[7,null,\"\\u0007\",[],{}]",
					      "{\"name\":{},\"vfs\":[],\"state\":7,\"message\":\"\\u009b\",\"why\":[]}",
					      "[{\"why\":{\"message\":7,\"hint\":[]},\"error\":\"\\n\",\"since\":-1e99}]" };
	static const char *const keys[] = { "findings", "pf",	 "pfs",	  "vf",	  "vfs",    "guest", "guests", "lease",
					    "leases",	"steps", "event", "time", "own_ms", "from",  "count" };

	cr_assert(setlocale(LC_CTYPE, "C.UTF-8"));
	for (size_t v = 0; v < CLI_NR(values); v++) {
		json_t *tree = json_object(), *value = json_loads(values[v], JSON_DECODE_ANY, NULL);

		cr_assert(value);
		for (size_t k = 0; k < CLI_NR(keys); k++)
			json_object_set(tree, keys[k], value);
		for (size_t i = 0; i < CLI_NR(views); i++) {
			char *text = NULL;
			size_t len;
			FILE *f = open_memstream(&text, &len);

			views[i](f, tree);
			views[i](f, value);
			views[i](f, NULL);
			fclose(f);
			cr_assert_null(strchr(text, '\033'), "view %zu on %s", i, values[v]);
			cr_assert_null(strchr(text, '\a'), "view %zu on %s", i, values[v]);
			free(text);
		}
		json_decref(tree);
		json_decref(value);
	}
}

Test(cli_render, progress_takes_only_its_own)
{
	json_t *params = json_pack("{s:s,s:i,s:i}", "what", "bind \033", "index", 1, "of", 3);
	struct cli_progress p;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	cli_progress_init(&p, f, true, "attach");
	p.started_ms -= 3000; /* it has been running for a while */
	cli_progress_notify(&p, "event", params);
	cli_progress_notify(&p, "progress", NULL);
	cr_assert_not(p.shown);
	cli_progress_notify(&p, "progress", params);
	cr_assert(p.shown);
	cli_progress_done(&p);
	cli_progress_done(&p);
	p.on = false;
	cli_progress_notify(&p, "progress", params);
	cli_progress_tick(&p);
	fclose(f);
	same(text, "\r\033[K[2/3] bind ?, 3 s\r\033[K", "progress");
	json_decref(params);
}
