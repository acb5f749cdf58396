/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs that ask, print and end. */
#include "cli_cmds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "cli_args.h"
#include "cli_render.h"
#include "cli_views.h"
#include "ctl_proto.h"
#include "err.h"

#define VFS_MAX 65535 /* TotalVFs is a 16-bit field */

/* {"KEY": VALUE}; no value, no member. */
static json_t *one(const char *key, const char *value)
{
	return value ? json_pack("{s:s}", key, value) : json_object();
}

static int bad_form(const struct cli *cli, const char *msg, const char *hint)
{
	struct err err = { 0 };

	err_set(&err, -EINVAL, "cli.usage", "%s", msg);
	err_hint(&err, "%s", hint);
	return cli_usage(cli, &err);
}

int cli_cmd_doctor(struct cli *cli, const struct cli_args *args)
{
	const struct cli_request req = { .method = "doctor", .shape = "findings[" };
	json_t *result, *finding;
	int code;
	size_t i;

	(void)args;
	code = cli_request(cli, &req, &result);
	if (code != EXIT_OK)
		return code;
	code = cli_show(cli, result, cli_view_doctor);
	json_array_foreach (json_object_get(result, "findings"), i, finding) {
		const char *status = cli_str(finding, "status");

		if (status && strcmp(status, "fail") == 0)
			code = EXIT_FAILED;
	}
	json_decref(result);
	return code;
}

int cli_cmd_pf_list(struct cli *cli, const struct cli_args *args)
{
	const struct cli_request req = { .method = "pf.list", .shape = "pfs[" };

	(void)args;
	return cli_simple(cli, &req, cli_view_pfs);
}

int cli_cmd_pf_show(struct cli *cli, const struct cli_args *args)
{
	const struct cli_request req = { .method = "pf.show", .params = one("pf", args->pos[0]), .shape = "pf{ vfs[" };

	return cli_simple(cli, &req, cli_view_pf);
}

int cli_cmd_pf_set(struct cli *cli, const struct cli_args *args)
{
	struct cli_request req = { .method = "pf.set", .shape = "pf{ vfs[", .slow = true };
	unsigned long long n;

	if (cli_number(args->pos[2], VFS_MAX, &n) < 0)
		return bad_form(cli, "pf set: the number of VFs must be a whole number from 0 to 65535",
				"usage: gangway pf set PF vfs N; `gangway pf list` shows how many each PF can have");
	req.params = json_pack("{s:s,s:i}", "pf", args->pos[0], "vfs", (int)n);
	return cli_simple(cli, &req, cli_view_pf_set);
}

int cli_cmd_vf_list(struct cli *cli, const struct cli_args *args)
{
	const struct cli_request req = { .method = "vf.list", .params = one("pf", cli_args_pos(args, 0)), .shape = "vfs[" };

	return cli_simple(cli, &req, cli_view_vfs);
}

int cli_cmd_vf_show(struct cli *cli, const struct cli_args *args)
{
	struct cli_request req = { .method = "vf.show", .shape = "vf{" };

	if (cli_args_has(args, "dma"))
		return cli_show_dma(cli, args->pos[0]);
	req.params = one("vf", args->pos[0]);
	return cli_simple(cli, &req, cli_view_vf);
}

int cli_cmd_vf_set(struct cli *cli, const struct cli_args *args)
{
	struct cli_request req = { .method = "vf.set", .shape = "vf{" };
	json_t *set;

	if (args->nr_pos % 2 == 0)
		return bad_form(cli, "vf set: a word without a value", "usage: gangway vf set VF WORD VALUE [WORD VALUE]...");
	set = json_object();
	for (size_t i = 1; i < args->nr_pos; i += 2) {
		if (json_object_get(set, args->pos[i])) {
			json_decref(set);
			return bad_form(cli, "vf set: a word is given twice", "each word once: which value should it be?");
		}
		json_object_set_new(set, args->pos[i], json_string(args->pos[i + 1]));
	}
	req.params = json_pack("{s:s,s:o}", "vf", args->pos[0], "set", set);
	return cli_simple(cli, &req, cli_view_vf);
}

/* @path as the daemon, which has another working directory, must be told it. */
static char *absolute(const char *path)
{
	char *cwd, *text;

	if (path[0] == '/' || !path[0])
		return cli_text("%s", path);
	cwd = getcwd(NULL, 0);
	text = cwd ? cli_text("%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, path) : cli_text("%s", path);
	free(cwd);
	return text;
}

int cli_cmd_guest_add(struct cli *cli, const struct cli_args *args)
{
	struct cli_request req = { .method = "guest.add", .shape = "guest{" };
	const char *qmp = cli_args_get(args, "qmp");
	char *path;

	if (!qmp)
		return bad_form(
			cli, "guest add: --qmp PATH is missing",
			"usage: gangway guest add NAME --qmp PATH; QEMU makes the socket with -qmp unix:PATH,server=on,wait=off");
	if (!cli_args_has(args, "incoming") && cli_says_nic(args))
		return bad_form(
			cli, "guest add: an option that says what its NIC is to be, without --incoming",
			"of a guest that runs here: `gangway guest add NAME --qmp PATH`, then `gangway attach NAME PF ...`");
	path = absolute(qmp);
	req.params = json_pack("{s:s,s:s}", "name", args->pos[0], "qmp", path);
	free(path);
	if (!req.params)
		return bad_form(cli, "guest add: the path of the current directory is not UTF-8", "give an absolute PATH");
	if (cli_args_has(args, "incoming"))
		return cli_add_incoming(cli, args, &req);
	return cli_simple(cli, &req, cli_view_guest_added);
}

int cli_cmd_guest_list(struct cli *cli, const struct cli_args *args)
{
	const struct cli_request req = { .method = "guest.list", .shape = "guests[" };

	(void)args;
	return cli_simple(cli, &req, cli_view_guests);
}

int cli_cmd_guest_show(struct cli *cli, const struct cli_args *args)
{
	const struct cli_request req = { .method = "guest.show", .params = one("name", args->pos[0]), .shape = "guest{ leases[" };

	return cli_simple(cli, &req, cli_view_guest);
}

int cli_cmd_irq_show(struct cli *cli, const struct cli_args *args)
{
	const struct cli_request req = { .method = "irq.show",
					 .params = one("guest", args->pos[0]),
					 .shape = "nics[ vectors[ vcpus[" };

	return cli_simple(cli, &req, cli_view_irqs);
}

int cli_cmd_metrics(struct cli *cli, const struct cli_args *args)
{
	const struct cli_request req = { .method = "metrics", .shape = "guests[ pfs[ leases[ vectors[" };

	(void)args;
	return cli_simple(cli, &req, cli_view_metrics);
}

int cli_cmd_guest_remove(struct cli *cli, const struct cli_args *args)
{
	const struct cli_request req = { .method = "guest.remove", .params = one("name", args->pos[0]) };
	char *name;
	int code;

	code = cli_simple(cli, &req, NULL);
	if (code != EXIT_OK || cli->json)
		return code;
	name = cli_safe(args->pos[0]);
	fprintf(cli->out, "guest %s removed\n", name);
	free(name);
	return code;
}

int cli_cmd_status(struct cli *cli, const struct cli_args *args)
{
	const struct cli_request req = { .method = "status", .params = one("guest", cli_args_pos(args, 0)), .shape = "leases[" };

	return cli_simple(cli, &req, cli_view_status);
}

int cli_print_version(struct cli *cli)
{
	json_t *tree = json_pack("{s:{s:s,s:i}}", "command", "version", GANGWAY_VERSION, "protocol", CTL_PROTOCOL);

	if (cli->json)
		cli_show(cli, tree, NULL);
	else
		fprintf(cli->out, "gangway %s\n", GANGWAY_VERSION);
	json_decref(tree);
	return EXIT_OK;
}

static void view_version(FILE *out, json_t *tree)
{
	json_t *daemon = json_object_get(tree, "daemon");
	char *version = cli_cell(daemon, "version"), *pid = cli_cell(daemon, "pid"), *proto = cli_cell(daemon, "protocol");

	fprintf(out, "gangwayd %s, pid %s, protocol %s\n", version, pid, proto);
	free(version);
	free(pid);
	free(proto);
}

int cli_cmd_version(struct cli *cli, const struct cli_args *args)
{
	const struct cli_request req = { .method = "version" };
	json_t *result, *tree;
	int code;

	(void)args;
	if (!cli->json) /* known without the daemon, so said before it is asked */
		cli_print_version(cli);
	code = cli_request(cli, &req, &result);
	if (code != EXIT_OK)
		return code;
	tree = json_pack("{s:{s:s,s:i},s:O}", "command", "version", GANGWAY_VERSION, "protocol", CTL_PROTOCOL, "daemon", result);
	code = cli_show(cli, tree, view_version);
	if (json_integer_value(json_object_get(result, "protocol")) != CTL_PROTOCOL)
		cli_warn(cli, "the daemon speaks another protocol: command and daemon are of different versions");
	json_decref(tree);
	json_decref(result);
	return code;
}
