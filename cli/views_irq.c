/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's interrupts: which vCPU each is for, where that runs, where it arrives. */
#include <stdlib.h>
#include <string.h>

#include "cli_render.h"
#include "cli_views.h"

/* "physical 1", "logical 2" */
static char *fmt_destination(json_t *vector, const char *key)
{
	json_t *message = json_object_get(vector, key);
	char *mode, *destination, *text;

	if (!json_is_object(message))
		return cli_text("-");
	mode = cli_cell(message, "mode");
	destination = cli_cell(message, "destination");
	text = cli_text("%s %s", mode, destination);
	free(mode);
	free(destination);
	return text;
}

static char *fmt_guest_vector(json_t *vector, const char *key)
{
	char *number = cli_cell(json_object_get(vector, key), "vector"), *text;

	text = cli_text("%s%s", number, json_is_true(json_object_get(vector, "masked")) ? " masked" : "");
	free(number);
	return text;
}

static char *fmt_rate(json_t *obj, const char *key)
{
	json_t *rate = json_object_get(obj, key);

	return json_is_number(rate) ? cli_text("%.0f", json_number_value(rate)) : cli_cell(obj, key);
}

static char *fmt_share(json_t *obj, const char *key)
{
	json_t *share = json_object_get(obj, key);

	return json_is_number(share) ? cli_text("%.1f%%", json_number_value(share) * 100) : cli_cell(obj, key);
}

/* Most are in place, and then there is nothing to say. */
static void explain_vector(FILE *out, json_t *vector)
{
	char *lease, *index, *state, *why;

	if (!cli_str(vector, "why"))
		return;
	lease = cli_cell(vector, "lease");
	index = cli_cell(vector, "index");
	state = cli_cell(vector, "state");
	why = cli_cell(vector, "why");
	fprintf(out, "%s: vector %s: %s: %s\n", lease, index, state, why);
	free(lease);
	free(index);
	free(state);
	free(why);
}

static void explain_error(FILE *out, json_t *obj, const char *name_key, const char *key)
{
	char *name, *msg;

	if (!json_is_object(json_object_get(obj, key)))
		return;
	name = cli_cell(obj, name_key);
	msg = cli_cell(json_object_get(obj, key), "message");
	fprintf(out, "%s: %s\n", name, msg);
	free(name);
	free(msg);
}

/* Of those, irqbalance and gangway may move some to and fro. */
static void explain_left_out(FILE *out, json_t *irqbalance)
{
	json_int_t nr = json_integer_value(json_object_get(irqbalance, "left_out"));
	char *socket;

	if (nr <= 0)
		return;
	socket = cli_cell(irqbalance, "socket");
	fprintf(out, "%s: irqbalance has no room on its list for %lld of the interrupts that gangway moves\n", socket,
		(long long)nr);
	free(socket);
}

static void explain_nothing(FILE *out, json_t *result)
{
	char *guest = cli_cell(result, "guest");

	if (json_integer_value(json_object_get(result, "follow_ms")) == 0)
		fprintf(out, "%s: interrupts are not looked at (follow_ms = 0 in gangway.conf)\n", guest);
	else if (json_array_size(json_object_get(result, "nics")) == 0)
		fprintf(out, "%s: it uses no VF now\n", guest);
	else
		fprintf(out, "%s: its VFs have no interrupts now: no driver has started them\n", guest);
	free(guest);
}

void cli_view_irqs(FILE *out, json_t *result)
{
	static const struct cli_col cols[] = {
		{ .head = "LEASE", .key = "lease" },
		{ .head = "VECTOR", .key = "index", .right = true },
		{ .head = "IN-GUEST", .key = "message", .fmt = fmt_guest_vector, .right = true },
		{ .head = "DESTINATION", .key = "message", .fmt = fmt_destination },
		{ .head = "VCPU", .key = "vcpu", .right = true },
		{ .head = "THREAD", .key = "thread", .right = true },
		{ .head = "RAN-ON", .key = "ran_on", .right = true },
		{ .head = "IRQ", .key = "irq", .right = true },
		{ .head = "AFFINITY", .key = "affinity" },
		{ .head = "PER-SECOND", .key = "rate", .fmt = fmt_rate, .right = true },
		{ .head = "ON-VCPU", .key = "share", .fmt = fmt_share, .right = true },
		{ .head = "STATE", .key = "state" },
	};
	json_t *vectors = json_object_get(result, "vectors"), *nics = json_object_get(result, "nics"), *v;
	size_t i;

	if (json_array_size(vectors) == 0)
		explain_nothing(out, result);
	cli_render_table(out, cols, CLI_NR(cols), vectors);
	json_array_foreach (vectors, i, v)
		explain_vector(out, v);
	json_array_foreach (nics, i, v)
		explain_error(out, v, "lease", "error");
	explain_error(out, result, "guest", "error");
	explain_error(out, json_object_get(result, "irqbalance"), "socket", "error");
	explain_left_out(out, json_object_get(result, "irqbalance"));
	if (json_array_size(vectors) && json_is_false(json_object_get(result, "routed")))
		fputs("nothing is moved (route = no in gangway.conf)\n", out);
}

/* "vm1/nic0: interrupts: 3 vectors, 120 a second, 99.8% on their vCPU's CPU; 1 vector unknown: gangway irq show vm1" */
void cli_explain_irqs(FILE *out, json_t *lease)
{
	json_t *irq = json_object_get(lease, "irq");
	json_int_t vectors = json_integer_value(json_object_get(irq, "vectors"));
	json_int_t unknown = vectors - json_integer_value(json_object_get(irq, "known"));
	char *id, *guest, *rate, *share;

	if (vectors <= 0)
		return;
	id = cli_cell(lease, "id");
	guest = cli_cell(lease, "guest");
	rate = fmt_rate(irq, "rate");
	share = fmt_share(irq, "share");
	fprintf(out, "%s: interrupts: %lld vectors, %s a second", id, (long long)vectors, rate);
	if (strcmp(share, "-") != 0)
		fprintf(out, ", %s on their vCPU's CPU", share);
	if (json_is_true(json_object_get(irq, "storm")))
		fputs(": a storm", out);
	if (unknown > 0)
		fprintf(out, "; of %lld it is not known where they belong: gangway irq show %s", (long long)unknown, guest);
	fputc('\n', out);
	free(id);
	free(guest);
	free(rate);
	free(share);
}
