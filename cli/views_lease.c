/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What gangway made of it: guests, leases, the steps of attach and detach. */
#include <stdlib.h>
#include <string.h>

#include "cli_render.h"
#include "cli_views.h"

/* A line for a member that is an ERROR or plain text: "NAME: MESSAGE" (most messages name the object already), then the hint. */
static void explain(FILE *out, json_t *obj, const char *name_key, const char *key)
{
	json_t *why = json_object_get(obj, key);
	char *name, *msg, *hint;

	if (!json_is_object(why) && !(json_is_string(why) && json_string_length(why)))
		return;
	name = cli_cell(obj, name_key);
	msg = json_is_object(why) ? cli_cell(why, "message") : cli_cell(obj, key);
	hint = cli_cell(why, "hint");
	if (strstr(msg, name))
		fprintf(out, "%s\n", msg);
	else
		fprintf(out, "%s: %s\n", name, msg);
	if (strcmp(hint, "-") != 0)
		fprintf(out, "  hint: %s\n", hint);
	free(name);
	free(msg);
	free(hint);
}

/* "eth0/vf2", or the BDF of a VF whose PF has no interface */
static char *lease_vf(json_t *lease, const char *key)
{
	return cli_cell(lease, cli_str(lease, key) ? key : "vf_bdf");
}

/* "eth0/vf2 (0000:02:10.4)" */
static char *lease_vf_long(json_t *lease, const char *key)
{
	char *vf = lease_vf(lease, key), *bdf = cli_cell(lease, "vf_bdf"), *text;

	text = strcmp(bdf, "-") == 0 || strcmp(bdf, vf) == 0 ? cli_text("%s", vf) : cli_text("%s (%s)", vf, bdf);
	free(vf);
	free(bdf);
	return text;
}

/* Every lease has a `why`, that of its last change of state; it is news only while the lease is not as it should be, or that is in doubt. */
static bool needs_why(json_t *lease)
{
	const char *state = cli_str(lease, "state");

	return !state || (strcmp(state, "attached") != 0 && strcmp(state, "prepared") != 0) || cli_str(lease, "reason") ||
	       json_is_false(json_object_get(lease, "confirmed"));
}

/* Attached, and its guest's VMM has said so: then its legs are all there is to explain. */
static bool is_confirmed(json_t *lease)
{
	const char *state = cli_str(lease, "state");

	return state && strcmp(state, "attached") == 0 && !json_is_false(json_object_get(lease, "confirmed"));
}

static double gib(json_t *obj, const char *key)
{
	return json_number_value(json_object_get(obj, key)) / (double)(1u << 30);
}

/* "vm1/nic0: mapping the guest's memory: 1.2 of 4.0 GiB, 0.8 GiB/s; until then the VF does no DMA" */
static void explain_device(FILE *out, json_t *lease)
{
	json_t *device = json_object_get(lease, "device");
	const char *held = cli_str(device, "held");
	char *id;

	if (!held || !held[0])
		return;
	id = cli_cell(lease, "id");
	if (strstr(held, "pending"))
		fprintf(out, "%s: mapping the guest's memory: %.1f of %.1f GiB, %.1f GiB/s; until then the VF does no DMA\n", id,
			gib(device, "dma_bytes") - gib(device, "dma_pending"), gib(device, "dma_bytes"), gib(device, "dma_rate"));
	if (strstr(held, "degraded"))
		fprintf(out, "%s: the VF does no DMA: a part of the guest's memory is not mapped\n", id);
	free(id);
}

/* "12, last 2026-11-22 14:53:01: dma write at 0x1000: PTE Write access is not set" */
char *cli_fmt_faults(json_t *obj, const char *key)
{
	json_t *faults = json_object_get(obj, key), *last = json_object_get(faults, "last");
	char *count = cli_cell(faults, "count"), *text;
	char *when = cli_fmt_time(last, "time"), *direction = cli_cell(last, "direction"), *address = cli_cell(last, "address");
	char *kind = cli_cell(last, "kind"), *reason = cli_cell(last, "reason");
	bool at = strcmp(address, "-") != 0;

	if (!json_is_object(last))
		text = cli_text("%s", count);
	else
		text = cli_text("%s, last %s: %s%s%s%s%s%s%s", count, when, kind, strcmp(direction, "-") != 0 ? " " : "",
				strcmp(direction, "-") != 0 ? direction : "", at ? " at " : "", at ? address : "",
				strcmp(reason, "-") != 0 ? ": " : "", strcmp(reason, "-") != 0 ? reason : "");
	free(count);
	free(when);
	free(direction);
	free(address);
	free(kind);
	free(reason);
	return text;
}

/* News only where there are some. */
static void explain_faults(FILE *out, json_t *lease)
{
	char *id, *text;

	if (json_integer_value(json_object_get(json_object_get(lease, "faults"), "count")) <= 0)
		return;
	id = cli_cell(lease, "id");
	text = cli_fmt_faults(lease, "faults");
	fprintf(out, "%s: faults of its VF: %s\n", id, text);
	free(id);
	free(text);
}

void cli_view_leases(FILE *out, json_t *leases)
{
	static const struct cli_col cols[] = {
		{ .head = "LEASE", .key = "id" },
		{ .head = "VF", .key = "vf", .fmt = lease_vf },
		{ .head = "VIA", .key = "via" },
		{ .head = "STATE", .key = "state" },
		{ .head = "LEG", .key = "leg" },
		{ .head = "REASON", .key = "reason" },
		{ .head = "STANDBY", .key = "standby", .fmt = cli_fmt_standby },
		{ .head = "SINCE", .key = "since", .fmt = cli_fmt_since },
	};
	json_t *lease;
	size_t i;

	cli_render_table(out, cols, CLI_NR(cols), leases);
	json_array_foreach (leases, i, lease) {
		if (!(is_confirmed(lease) && cli_explain_leg(out, lease)) && needs_why(lease))
			explain(out, lease, "id", "why");
		explain(out, lease, "id", "error");
		explain(out, lease, "id", "no_standby");
		cli_explain_memory(out, lease);
		explain_device(out, lease);
		cli_explain_irqs(out, lease);
		explain_faults(out, lease);
	}
}

void cli_view_status(FILE *out, json_t *result)
{
	json_t *leases = json_object_get(result, "leases");

	if (!json_array_size(leases))
		fputs("no leases; `gangway attach GUEST PF` makes one\n", out);
	cli_view_leases(out, leases);
	cli_explain_pressure(out, json_object_get(json_object_get(result, "daemon"), "memory"));
}

/* "vm1: libvirtd, pid 812, listens at its QMP socket: the process of its VMM is not known" */
static void explain_manager(FILE *out, json_t *guest)
{
	json_t *manager = json_object_get(guest, "manager");
	char *name, *program, *pid;

	if (!json_is_object(manager))
		return;
	name = cli_cell(guest, "name");
	program = cli_cell(manager, "program");
	pid = cli_cell(manager, "pid");
	fprintf(out, "%s: %s, pid %s, listens at its QMP socket and is no QEMU: the process of its VMM is not known\n", name,
		program, pid);
	free(name);
	free(program);
	free(pid);
}

void cli_view_guests(FILE *out, json_t *result)
{
	static const struct cli_col cols[] = {
		{ .head = "NAME", .key = "name" },
		{ .head = "STATE", .key = "state" },
		{ .head = "PID", .key = "pid", .right = true },
		{ .head = "QMP", .key = "qmp" },
		{ .head = "LEASES", .key = "leases", .fmt = cli_fmt_list },
	};
	json_t *guest, *guests = json_object_get(result, "guests");
	size_t i;

	if (!json_array_size(guests))
		fputs("no guests; `gangway guest add NAME --qmp PATH` makes one known\n", out);
	cli_render_table(out, cols, CLI_NR(cols), guests);
	json_array_foreach (guests, i, guest) {
		explain(out, guest, "name", "why");
		explain_manager(out, guest);
	}
}

void cli_view_guest(FILE *out, json_t *result)
{
	static const struct cli_col cols[] = {
		{ .head = "name", .key = "name" },
		{ .head = "state", .key = "state" },
		{ .head = "pid", .key = "pid" },
		{ .head = "qmp", .key = "qmp" },
		{ .head = "leases", .key = "leases", .fmt = cli_fmt_list },
	};
	json_t *guest = json_object_get(result, "guest"), *leases = json_object_get(result, "leases");

	cli_render_fields(out, cols, CLI_NR(cols), guest);
	explain(out, guest, "name", "why");
	explain_manager(out, guest);
	if (json_array_size(leases))
		fputc('\n', out);
	cli_view_leases(out, leases);
}

void cli_view_guest_added(FILE *out, json_t *result)
{
	json_t *guest = json_object_get(result, "guest");
	char *name = cli_cell(guest, "name"), *state = cli_cell(guest, "state"), *pid = cli_cell(guest, "pid");

	if (strcmp(pid, "-") != 0)
		fprintf(out, "guest %s added: %s, pid %s\n", name, state, pid);
	else
		fprintf(out, "guest %s added: %s\n", name, state);
	explain(out, guest, "name", "why");
	free(name);
	free(state);
	free(pid);
}

/* "vm1/nic0: attached eth0/vf2 (0000:02:10.4) via vfio-pci, 412 ms (own 3.1 ms)"; detached ones went "from" nowhere */
static void outcome(FILE *out, json_t *result, const char *what)
{
	json_t *lease = json_object_get(result, "lease");
	char *id = cli_cell(lease, "id"), *vf = lease_vf_long(lease, "vf"), *via = cli_cell(lease, "via");
	char *total = cli_fmt_ms(result, "total_ms"), *own = cli_fmt_ms(result, "own_ms");

	if (strcmp(vf, "-") == 0)
		fprintf(out, "%s: %s without a VF", id, what);
	else
		fprintf(out, "%s: %s %s", id, what, vf);
	if (strcmp(vf, "-") != 0 && strcmp(via, "-") != 0)
		fprintf(out, " via %s", via);
	fprintf(out, ", %s ms (own %s ms)\n", total, own);
	free(id);
	free(vf);
	free(via);
	free(total);
	free(own);
}

void cli_view_attached(FILE *out, json_t *result)
{
	json_t *lease = json_object_get(result, "lease");

	outcome(out, result, json_is_true(json_object_get(lease, "prepared")) ? "prepared" : "attached");
}

void cli_view_detached(FILE *out, json_t *result)
{
	outcome(out, result, "detached");
}

/* "vm1: migrated, 3201 ms, downtime 41 ms, dark at least 63 ms, 213 MiB sent" */
void cli_view_migrated(FILE *out, json_t *result)
{
	json_t *m = json_object_get(result, "migration");
	json_t *dark = json_object_get(m, "dark_ms");
	char *guest = cli_cell(result, "guest");

	fprintf(out, "%s: migrated, %lld ms, downtime %lld ms, ", guest,
		(long long)json_integer_value(json_object_get(m, "total_ms")),
		(long long)json_integer_value(json_object_get(m, "downtime_ms")));
	if (json_is_integer(dark))
		fprintf(out, "dark at least %lld ms, ", (long long)json_integer_value(dark));
	fprintf(out, "%lld MiB sent\n", (long long)json_integer_value(json_object_get(m, "transferred")) >> 20);
	free(guest);
}

void cli_view_plan(FILE *out, json_t *result)
{
	static const struct cli_col cols[] = {
		{ .head = "STEP", .key = "name" },
		{ .head = "WAITS-FOR", .key = "waits_for" },
		{ .head = "WHAT", .key = "what" },
	};

	cli_render_table(out, cols, CLI_NR(cols), json_object_get(result, "steps"));
	fputs("nothing was changed (--dry-run)\n", out);
}

void cli_view_timing(FILE *out, json_t *result)
{
	static const struct cli_col cols[] = {
		{ .head = "STEP", .key = "name" },
		{ .head = "STATE", .key = "state" },
		{ .head = "MS", .key = "ms", .fmt = cli_fmt_ms, .right = true },
		{ .head = "WAITS-FOR", .key = "waits_for" },
		{ .head = "WHAT", .key = "what" },
	};
	char *total = cli_fmt_ms(result, "total_ms"), *own = cli_fmt_ms(result, "own_ms");

	cli_render_table(out, cols, CLI_NR(cols), json_object_get(result, "steps"));
	fprintf(out, "total %s ms, own %s ms (all but waiting for VMM and guest)\n", total, own);
	free(total);
	free(own);
}

/* The members that have no column of their own, so that events of a newer daemon show too. */
static void event_rest(FILE *out, json_t *event)
{
	static const char *const known[] = { "seq", "time", "event", "object" };
	const char *key;
	json_t *v;

	json_object_foreach (event, key, v) {
		bool skip = json_is_object(v) || json_is_array(v) || json_is_null(v);
		char *name, *value;

		for (size_t i = 0; i < CLI_NR(known); i++)
			skip = skip || strcmp(key, known[i]) == 0;
		if (skip)
			continue;
		name = cli_safe(key);
		value = cli_cell(event, key);
		fprintf(out, " %s=%s", name, value);
		free(name);
		free(value);
	}
}

void cli_view_event(FILE *out, json_t *event)
{
	char *when = cli_fmt_time(event, "time"), *kind = cli_cell(event, "event"), *object = cli_cell(event, "object");
	char *from = cli_cell(event, "from"), *to = cli_cell(event, "to"), *why = cli_cell(event, "why");
	json_t *reason = json_object_get(event, "why"); /* text, or an ERROR */
	json_t *error = json_object_get(event, "error");
	char *msg = cli_cell(reason, "message"), *failed = cli_cell(error, "message");

	fprintf(out, "%s %s %s", when, kind, object);
	if ((strcmp(kind, "lease") == 0 || strcmp(kind, "switch") == 0) && cli_str(event, "to")) {
		fprintf(out, " %s -> %s", from, to);
		if (strcmp(why, "-") != 0)
			fprintf(out, " (%s)", why);
	} else if (strcmp(kind, "switch") == 0 && json_is_object(error)) {
		fprintf(out, " failed: %s", failed);
	} else {
		event_rest(out, event);
		if (json_is_object(reason))
			fprintf(out, " (%s)", msg);
	}
	fputc('\n', out);
	free(when);
	free(kind);
	free(object);
	free(from);
	free(to);
	free(why);
	free(msg);
	free(failed);
}
