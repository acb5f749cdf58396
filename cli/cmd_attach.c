/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attach and detach. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_args.h"
#include "cli_cmds.h"
#include "cli_render.h"
#include "cli_views.h"
#include "err.h"

#define WAIT_MAX 600 /* seconds; the daemon waits no longer */

/* Options that are words of the policy; what their values mean the daemon decides, as for `vf set`. */
static const struct {
	const char *opt, *word;
} policy_opts[] = {
	{ "mac", "mac" },
	{ "vlan", "vlan" },
	{ "qos", "qos" },
	{ "proto", "proto" },
	{ "spoofchk", "spoofchk" },
	{ "trust", "trust" },
	{ "min-tx-rate", "min_tx_rate" },
	{ "max-tx-rate", "max_tx_rate" },
};

static json_t *policy(const struct cli_args *args)
{
	json_t *words = json_object();

	for (size_t i = 0; i < CLI_NR(policy_opts); i++)
		if (cli_args_has(args, policy_opts[i].opt))
			json_object_set_new(words, policy_opts[i].word, json_string(cli_args_get(args, policy_opts[i].opt)));
	if (json_object_size(words))
		return words;
	json_decref(words);
	return NULL;
}

static const char *const nic_opts[] = { "nic", "via", "standby", "memory", "unshare", "priority" };

bool cli_says_nic(const struct cli_args *args)
{
	for (size_t i = 0; i < CLI_NR(policy_opts); i++)
		if (cli_args_has(args, policy_opts[i].opt))
			return true;
	for (size_t i = 0; i < CLI_NR(nic_opts); i++)
		if (cli_args_has(args, nic_opts[i]))
			return true;
	return false;
}

static json_t *flag(const struct cli_args *args, const char *name)
{
	return cli_args_has(args, name) ? json_true() : NULL;
}

/* What to attach to whom, as the daemon wants it. */
static json_t *nic_params(const struct cli_args *args, const char *guest, const char *target)
{
	return json_pack("{s:s,s:s,s:s*,s:s*,s:o*,s:s*,s:s*,s:o*}", "guest", guest, "target", target, "nic",
			 cli_args_get(args, "nic"), "via", cli_args_get(args, "via"), "policy", policy(args), "standby",
			 cli_args_get(args, "standby"), "memory", cli_args_get(args, "memory"), "unshare", flag(args, "unshare"));
}

/* --wait into @params and @ret_ms. Returns 0 or an exit code, after the error is printed. */
static int take_wait(const struct cli *cli, const struct cli_args *args, json_t *params, int *ret_ms)
{
	const char *wait = cli_args_get(args, "wait");
	struct err err = { 0 };

	*ret_ms = 0;
	if (!wait)
		return 0;
	if (cli_seconds(wait, WAIT_MAX, ret_ms) < 0) {
		err_set(&err, -EINVAL, "cli.usage", "--wait: `%s` is not a number of seconds up to %d", wait, WAIT_MAX);
		err_hint(&err, "for example --wait 10");
		return cli_usage(cli, &err);
	}
	json_object_set_new(params, "wait_ms", json_integer(*ret_ms));
	return 0;
}

/*
 * QEMU arguments, each option with its values on a line of its own: the shell splits $(...) at any white space. Returns 0 or
 * -EPROTO: an argument that a shell or a terminal would not leave alone comes from no sane daemon.
 */
static int print_qemu_args(FILE *out, json_t *list, struct err *err)
{
	json_t *v;
	size_t i;

	json_array_foreach (list, i, v) {
		const char *s = json_string_value(v);
		char *safe = cli_safe(s);
		bool odd = strcmp(safe, s) != 0 || !*s || strpbrk(s, " *?") != NULL;

		free(safe);
		if (odd)
			return err_set(err, -EPROTO, "cli.bad-answer",
				       "gangwayd: QEMU argument %zu cannot be passed through $(...): use --json", i);
	}
	json_array_foreach (list, i, v) {
		const char *s = json_string_value(v);

		fprintf(out, "%s%s", !i ? "" : *s == '-' ? "\n" : " ", s);
	}
	fputc('\n', out);
	return 0;
}

/* --prepare: the arguments alone on stdout, the rest on stderr. */
static int show_prepared(const struct cli *cli, const struct cli_args *args, json_t *result)
{
	json_t *lease = json_object_get(result, "lease");
	struct err err = { 0 };
	char *guest, *nic;

	if (print_qemu_args(cli->out, json_object_get(result, "qemu_args"), &err) < 0)
		return cli_fail(cli, &err);
	fflush(cli->out);
	cli_view_attached(cli->err, result);
	guest = cli_cell(lease, "guest");
	nic = cli_cell(lease, "nic");
	fprintf(cli->err, "start %s with these arguments; `gangway detach %s %s` takes the VF back\n", guest, guest, nic);
	if (cli_args_has(args, "timing"))
		cli_view_timing(cli->err, result);
	free(guest);
	free(nic);
	return EXIT_OK;
}

/* --timing */
static void view_attached_steps(FILE *out, json_t *result)
{
	cli_view_timing(out, result);
	cli_view_attached(out, result);
}

int cli_cmd_attach(struct cli *cli, const struct cli_args *args)
{
	struct cli_request req = { .method = "attach", .shape = "lease{ steps[", .slow = true };
	bool dry_run = cli_args_has(args, "dry-run"), prepare = cli_args_has(args, "prepare");
	struct err err = { 0 };
	json_t *result, *more;
	int code;

	if (cli_args_has(args, "user") && !prepare) {
		err_set(&err, -EINVAL, "cli.usage", "attach: --user belongs to --prepare");
		err_hint(&err, "of a running guest gangway sees the user itself");
		return cli_usage(cli, &err);
	}
	if (dry_run)
		req.shape = "steps[";
	else if (prepare)
		req.shape = "lease{ steps[ qemu_args\"";
	more = json_pack("{s:o*,s:s*,s:o*}", "prepare", flag(args, "prepare"), "user", cli_args_get(args, "user"), "dry_run",
			 flag(args, "dry-run"));
	req.params = nic_params(args, args->pos[0], args->pos[1]);
	json_object_update(req.params, more);
	json_decref(more);
	code = take_wait(cli, args, req.params, &req.wait_ms);
	if (!code)
		code = cli_take_priority(cli, args, req.params);
	if (code) {
		json_decref(req.params);
		return code;
	}
	if (dry_run)
		return cli_simple(cli, &req, cli_view_plan);
	if (cli->json || !prepare)
		return cli_simple(cli, &req, cli_args_has(args, "timing") ? view_attached_steps : cli_view_attached);
	code = cli_request(cli, &req, &result);
	if (code != EXIT_OK)
		return code;
	code = show_prepared(cli, args, result);
	cli_show_warnings(cli, result);
	json_decref(result);
	return code;
}

/* @name is not to stay known: what was asked for could not be had. */
static void forget_guest(const struct cli *cli, const char *name)
{
	const struct cli_request req = { .method = "guest.remove", .params = json_pack("{s:s}", "name", name) };
	json_t *result;

	if (cli_request(cli, &req, &result) == EXIT_OK)
		json_decref(result);
}

int cli_add_incoming(struct cli *cli, const struct cli_args *args, const struct cli_request *add)
{
	struct cli_request req = { .method = "attach", .shape = "lease{ steps[", .slow = true };
	json_t *added, *result;
	int code = cli_request(cli, add, &added);

	if (code != EXIT_OK)
		return code;
	req.params = nic_params(args, args->pos[0], cli_args_get(args, "incoming"));
	json_object_set_new(req.params, "incoming", json_true());
	code = cli_take_priority(cli, args, req.params);
	if (code)
		json_decref(req.params);
	else
		code = cli_request(cli, &req, &result);
	if (code != EXIT_OK) {
		forget_guest(cli, args->pos[0]);
		json_decref(added);
		return code;
	}
	json_object_update(result, added);
	cli_show(cli, result, cli_view_guest_added);
	if (!cli->json)
		cli_view_attached(cli->out, result);
	cli_show_warnings(cli, result);
	json_decref(added);
	json_decref(result);
	return code;
}

/* --timing */
static void view_detached_steps(FILE *out, json_t *result)
{
	cli_view_timing(out, result);
	cli_view_detached(out, result);
}

int cli_cmd_detach(struct cli *cli, const struct cli_args *args)
{
	struct cli_request req = { .method = "detach", .shape = "lease{ steps[", .slow = true };
	int code;

	req.params = json_pack("{s:s,s:s*}", "guest", args->pos[0], "nic", cli_args_pos(args, 1));
	code = take_wait(cli, args, req.params, &req.wait_ms);
	if (code) {
		json_decref(req.params);
		return code;
	}
	return cli_simple(cli, &req, cli_args_has(args, "timing") ? view_detached_steps : cli_view_detached);
}

int cli_cmd_switch(struct cli *cli, const struct cli_args *args)
{
	struct cli_request req = { .method = "switch", .shape = "lease{", .slow = true };
	const char *third = cli_args_pos(args, 2), *leg = third ? third : args->pos[1];
	struct err err = { 0 };
	int code;

	if (strcmp(leg, "emulated") != 0 && strcmp(leg, "passthrough") != 0) {
		err_set(&err, -EINVAL, "cli.usage", "switch: leg \"%.40s\"", leg);
		err_hint(&err, "emulated or passthrough");
		return cli_usage(cli, &err);
	}
	req.params = json_pack("{s:s,s:s*,s:s}", "guest", args->pos[0], "nic", third ? args->pos[1] : NULL, "leg", leg);
	code = take_wait(cli, args, req.params, &req.patience_ms);
	json_object_del(req.params, "wait_ms"); /* it is our own patience alone */
	if (code) {
		json_decref(req.params);
		return code;
	}
	return cli_simple(cli, &req, cli_view_switched);
}
