/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's memory: what of it is there, what a VF would take, what there is to give. */
#include <stdlib.h>
#include <string.h>

#include "cli_render.h"
#include "cli_views.h"

/* "4.0 GiB"; what is not known "-" */
char *cli_fmt_bytes(json_t *obj, const char *key)
{
	json_t *v = json_object_get(obj, key);
	double bytes = json_number_value(v);

	if (!json_is_integer(v) || bytes < 0)
		return cli_cell(obj, key);
	if (bytes >= 1024.0 * 1024 * 1024)
		return cli_text("%.1f GiB", bytes / (1024.0 * 1024 * 1024));
	if (bytes >= 1024.0 * 1024)
		return cli_text("%.1f MiB", bytes / (1024.0 * 1024));
	return cli_text("%.0f%s", bytes >= 1024 ? bytes / 1024 : bytes, bytes >= 1024 ? " KiB" : "");
}

/* "hugetlb 2.0 MiB" */
static char *fmt_backing(json_t *area, const char *key)
{
	char *backing = cli_cell(area, key), *page, *text;

	if (strcmp(backing, "hugetlb") != 0)
		return backing;
	page = cli_fmt_bytes(area, "page_size");
	text = cli_text("%s %s", backing, page);
	free(page);
	free(backing);
	return text;
}

static char *fmt_access(json_t *area, const char *key)
{
	return cli_text(json_is_true(json_object_get(area, key)) ? "shared" : "private");
}

static bool has_some(json_t *obj, const char *key)
{
	return json_integer_value(json_object_get(obj, key)) > 0;
}

/* A line with a number of bytes, where there are any. */
static void line(FILE *out, json_t *obj, const char *key, const char *before, const char *after)
{
	char *bytes;

	if (!has_some(obj, key))
		return;
	bytes = cli_fmt_bytes(obj, key);
	fprintf(out, "  %s%s%s\n", before, bytes, after);
	free(bytes);
}

static void explain_need(FILE *out, json_t *need)
{
	line(out, need, "untouched", "", " was never touched, and is made");
	line(out, need, "swapped", "", " is brought from swap");
	line(out, need, "unmerged", "", " is merged with other pages (KSM), and is copied");
	line(out, need, "copied", "", " is shared with a file or another process until it is written, and is copied");
	line(out, need, "unknown", "", " was not found among the mappings of its VMM, and counts as not resident");
	line(out, need, "huge", "", " of huge pages are not put aside for it");
}

static void explain_error(FILE *out, json_t *result, const char *key)
{
	char *msg;

	if (!json_is_object(json_object_get(result, key)))
		return;
	msg = cli_cell(json_object_get(result, key), "message");
	fprintf(out, "  %s\n", msg);
	free(msg);
}

static void explain_room(FILE *out, json_t *result)
{
	json_t *room = json_object_get(result, "room"), *cgroup = json_object_get(result, "cgroup");
	json_t *process = json_object_get(result, "process");
	char *host = cli_fmt_bytes(room, "host"), *margin = cli_fmt_bytes(room, "margin"), *left = cli_fmt_bytes(room, "cgroup");
	char *path = cli_cell(cgroup, "tightest"), *locked = cli_fmt_bytes(process, "locked"),
	     *pinned = cli_fmt_bytes(process, "pinned");
	char *limit = cli_fmt_bytes(process, "lock_limit");

	fprintf(out, "host: %s available", host);
	if (strcmp(path, "-") != 0)
		fprintf(out, "; cgroup %s leaves %s", path, left);
	fprintf(out, "; %s of that are kept (margin_mib)\n", margin);
	if (json_is_object(process))
		fprintf(out, "VMM: %s locked, %s pinned; it may lock %s\n", locked, pinned,
			json_is_true(json_object_get(process, "lock_unlimited")) ? "all" : limit);
	free(host);
	free(margin);
	free(left);
	free(path);
	free(locked);
	free(pinned);
	free(limit);
}

static void explain_balloon(FILE *out, json_t *result)
{
	char *actual, *ram;

	if (!json_is_integer(json_object_get(result, "balloon")))
		return;
	actual = cli_fmt_bytes(result, "balloon");
	ram = cli_fmt_bytes(result, "ram");
	fprintf(out, "balloon: it leaves the guest %s of %s; it cannot inflate while a VF pins them\n", actual, ram);
	free(actual);
	free(ram);
}

void cli_view_memory(FILE *out, json_t *result)
{
	static const struct cli_col cols[] = {
		{ .head = "MEMORY", .key = "id" },
		{ .head = "BACKING", .key = "backing", .fmt = fmt_backing },
		{ .head = "ACCESS", .key = "shared", .fmt = fmt_access },
		{ .head = "SIZE", .key = "size", .fmt = cli_fmt_bytes, .right = true },
		{ .head = "RESIDENT", .key = "resident", .fmt = cli_fmt_bytes, .right = true },
		{ .head = "SWAPPED", .key = "swapped", .fmt = cli_fmt_bytes, .right = true },
		{ .head = "UNTOUCHED", .key = "untouched", .fmt = cli_fmt_bytes, .right = true },
		{ .head = "MERGED", .key = "merged", .fmt = cli_fmt_bytes, .right = true },
		{ .head = "TO-COPY", .key = "shared_pages", .fmt = cli_fmt_bytes, .right = true },
		{ .head = "FRESH", .key = "fresh", .fmt = cli_fmt_bytes, .right = true },
	};
	static const struct cli_col devices[] = {
		{ .head = "DEVICE", .key = "id" },
		{ .head = "TYPE", .key = "type" },
		{ .head = "SIZE", .key = "size", .fmt = cli_fmt_bytes, .right = true },
		{ .head = "REQUESTED", .key = "requested", .fmt = cli_fmt_bytes, .right = true },
	};
	char *guest = cli_cell(result, "guest"), *summary = cli_cell(result, "summary");

	cli_render_table(out, cols, CLI_NR(cols), json_object_get(result, "areas"));
	cli_render_table(out, devices, CLI_NR(devices), json_object_get(result, "devices"));
	fprintf(out, "%s: %s%s\n", guest, summary, json_is_true(json_object_get(result, "fits")) ? "" : ": too little");
	explain_need(out, json_object_get(result, "need"));
	explain_error(out, result, "error");
	explain_room(out, result);
	if (!json_is_object(json_object_get(result, "error"))) /* else it says the same */
		explain_error(out, result, "cgroup_error");
	explain_balloon(out, result);
	free(guest);
	free(summary);
}

/* "vm1/nic0: memory adaptive, priority 5" */
void cli_view_memory_set(FILE *out, json_t *result)
{
	json_t *lease = json_object_get(result, "lease"), *memory = json_object_get(lease, "memory");
	char *id = cli_cell(lease, "id"), *policy = cli_cell(memory, "policy"), *priority = cli_cell(memory, "priority");

	fprintf(out, "%s: memory %s, priority %s%s\n", id, policy, priority,
		json_is_true(json_object_get(memory, "unshare")) ? ", pages of a template are copied" : "");
	free(id);
	free(policy);
	free(priority);
}

/* "vm1: its NICs leave their VFs, for 60 s" */
void cli_view_memory_released(FILE *out, json_t *result)
{
	char *guest = cli_cell(result, "guest"), *seconds = cli_cell(result, "for_s"),
	     *bytes = cli_fmt_bytes(result, "until_bytes");

	fprintf(out, "%s: its NICs leave their VFs, for %s s", guest, seconds);
	if (has_some(result, "until_bytes"))
		fprintf(out, " or until its balloon leaves it %s", bytes);
	fputc('\n', out);
	free(guest);
	free(seconds);
	free(bytes);
}

void cli_explain_memory(FILE *out, json_t *lease)
{
	json_t *memory = json_object_get(lease, "memory");
	const char *policy = cli_str(memory, "policy");
	char *id = cli_cell(lease, "id"), *msg = cli_cell(json_object_get(memory, "why"), "message"),
	     *priority = cli_cell(memory, "priority");

	if (policy && strcmp(policy, "adaptive") == 0)
		fprintf(out, "%s: memory adaptive, priority %s\n", id, priority);
	if (json_is_object(json_object_get(memory, "why")))
		fprintf(out, "%s: memory: %s\n", id, msg);
	free(id);
	free(msg);
	free(priority);
}

void cli_explain_pressure(FILE *out, json_t *watch)
{
	char *available = cli_fmt_bytes(watch, "available");
	json_t *guest;
	size_t i;

	if (json_is_true(json_object_get(watch, "pressure")))
		fprintf(out, "the host's memory is short, %s are available: guests with memory adaptive leave their VFs\n",
			available);
	json_array_foreach (json_object_get(watch, "guests"), i, guest) {
		char *name = cli_cell(guest, "guest"), *locked = cli_fmt_bytes(guest, "locked"),
		     *phase = cli_cell(guest, "phase");

		if (strcmp(phase, "home") != 0)
			fprintf(out, "%s: memory: %s, its VMM has %s locked\n", name, phase, locked);
		free(name);
		free(locked);
		free(phase);
	}
	free(available);
}
