/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_args.h"
#include "cli_progress.h"
#include "cli_render.h"
#include "cli_rpc.h"
#include "err.h"

#define QUICK_MS 30000 /* the daemon answers such calls from memory and sysfs; doctor starts QEMU to ask its version */
#define SLOW_MS 300000 /* silence of a call that waits for kernel, VMM and guest; every progress report starts it anew */

static void print_json(const struct cli *cli, json_t *tree)
{
	/* ASCII only: neither C1 controls nor an odd locale can make the output anything but JSON */
	json_dumpf(tree, cli->out, JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15) | (cli->pretty ? JSON_INDENT(2) : JSON_COMPACT));
	fputc('\n', cli->out);
}

/* A JSON string of @text even if it was cut within a character. */
static json_t *json_text(const char *text)
{
	json_t *v = json_string(text);
	char *ascii;

	if (v)
		return v;
	ascii = cli_text("%s", text);
	for (char *s = ascii; *s; s++)
		if ((unsigned char)*s >= 0x80)
			*s = '?';
	v = json_string(ascii);
	free(ascii);
	return v;
}

static void print_error(const struct cli *cli, const struct err *err)
{
	char *msg, *hint;
	json_t *tree;

	if (cli->json) {
		tree = json_pack("{s:{s:o,s:i,s:o,s:o}}", "error", "code", json_text(err->code), "errno", -err->num, "message",
				 json_text(err->msg), "hint", *err->hint ? json_text(err->hint) : json_null());
		print_json(cli, tree);
		json_decref(tree);
		return;
	}
	msg = cli_safe(err->msg);
	hint = cli_safe(err->hint);
	fflush(cli->out); /* what was printed before the error stands before it */
	fprintf(cli->err, "gangway: error: %s\n", msg);
	if (*hint)
		fprintf(cli->err, "hint: %s\n", hint);
	free(msg);
	free(hint);
}

int cli_fail(const struct cli *cli, const struct err *err)
{
	int code = (int)err_exit_code(err->num);

	print_error(cli, err);
	return code == EXIT_OK ? EXIT_FAILED : code;
}

int cli_usage(const struct cli *cli, const struct err *err)
{
	print_error(cli, err);
	return EXIT_USAGE;
}

void cli_warn(const struct cli *cli, const char *text)
{
	char *safe;

	if (cli->json)
		return;
	safe = cli_safe(text);
	fflush(cli->out);
	fprintf(cli->err, "gangway: warning: %s\n", safe);
	free(safe);
}

void cli_show_warnings(const struct cli *cli, json_t *result)
{
	json_t *v;
	size_t i;

	json_array_foreach (json_object_get(result, "warnings"), i, v) {
		const char *text = json_is_object(v) ? cli_str(v, "message") : json_string_value(v);

		if (text)
			cli_warn(cli, text);
	}
}

int cli_take_number(const struct cli *cli, const struct cli_args *args, const struct cli_number_opt *opt, json_t *params)
{
	const char *text = cli_args_get(args, opt->name);
	struct err err = { 0 };
	unsigned long long n;

	if (!text)
		return 0;
	if (cli_number(text, opt->max, &n) < 0) {
		err_set(&err, -EINVAL, "cli.usage", "--%s: `%.40s` is %s %llu", opt->name, text, opt->wants, opt->max);
		err_hint(&err, "%s", opt->hint);
		return cli_usage(cli, &err);
	}
	json_object_set_new(params, opt->key, json_integer((json_int_t)(n * (opt->unit ? opt->unit : 1))));
	return 0;
}

int cli_show(const struct cli *cli, json_t *result, cli_view_fn view)
{
	if (cli->json)
		print_json(cli, result);
	else if (view)
		view(cli->out, result);
	return EXIT_OK;
}

/* Are all elements of @array strings (@strings) or objects? */
static bool elements_are(json_t *array, bool strings)
{
	json_t *v;
	size_t i;

	if (!json_is_array(array))
		return false;
	json_array_foreach (array, i, v)
		if (strings ? !json_is_string(v) : !json_is_object(v))
			return false;
	return true;
}

int cli_shape(json_t *result, const char *shape, const char *method, struct err *err)
{
	char key[32];
	size_t len;

	for (const char *s = shape ? shape : ""; *s; s += len + (s[len] == ' ')) {
		json_t *v;
		bool good;

		len = strcspn(s, " ");
		snprintf(key, sizeof(key), "%.*s", (int)len - 1, s);
		v = json_object_get(result, key);
		if (s[len - 1] == '{')
			good = json_is_object(v);
		else
			good = elements_are(v, s[len - 1] == '"');
		if (good)
			continue;
		err_set(err, -EPROTO, "cli.bad-answer", "gangwayd answered `%s` with no usable `%s`", method, key);
		err_hint(err, "do daemon and command have the same version? `gangway version` tells");
		return -EPROTO;
	}
	return 0;
}

int cli_request(const struct cli *cli, const struct cli_request *req, json_t **ret_result)
{
	struct cli_rpc_call call = { .method = req->method, .params = req->params, .extend = req->slow };
	struct cli_progress progress;
	struct cli_rpc *rpc = NULL;
	struct err err = { 0 };
	json_t *result = NULL;
	int r;

	call.timeout_ms = cli->timeout_ms >= 0 ? cli->timeout_ms : (req->slow ? SLOW_MS : QUICK_MS);
	r = cli_rpc_open(cli->socket, call.timeout_ms, &rpc, &err);
	call.timeout_ms += req->wait_ms;
	if (req->patience_ms) {
		call.timeout_ms = req->patience_ms;
		call.extend = false;
	}
	cli_progress_init(&progress, cli->err, req->slow && !cli->quiet && isatty(fileno(cli->err)), req->method);
	call.notify = cli_progress_notify;
	call.tick = cli_progress_tick;
	call.arg = &progress;
	if (r == 0)
		r = cli_rpc_call(rpc, &call, &result, &err);
	cli_progress_done(&progress);
	cli_rpc_free(rpc);
	json_decref(req->params);
	if (r == 0)
		r = cli_shape(result, req->shape, req->method, &err);
	if (r < 0) {
		json_decref(result);
		return cli_fail(cli, &err);
	}
	*ret_result = result;
	return EXIT_OK;
}

int cli_simple(const struct cli *cli, const struct cli_request *req, cli_view_fn view)
{
	json_t *result;
	int code;

	code = cli_request(cli, req, &result);
	if (code != EXIT_OK)
		return code;
	code = cli_show(cli, result, view);
	cli_show_warnings(cli, result);
	json_decref(result);
	return code;
}

int cli_finish(const struct cli *cli, int code)
{
	if (fflush(cli->out) == 0 && !ferror(cli->out))
		return code;
	fprintf(cli->err, "gangway: error: cannot write the output: %s\n", strerror(errno));
	return code == EXIT_OK ? EXIT_FAILED : code;
}
