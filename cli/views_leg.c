/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The legs of a lease: which one carries, why, what the way back waits for; and what a switch tells. */
#include <stdlib.h>
#include <string.h>

#include "cli_render.h"
#include "cli_views.h"

/* What to do, or to wait for, by reason: @hint, and where there is @more, guest and NIC and that. */
static const struct reason {
	const char *reason, *why, *hint, *more;
} reasons[] = {
	{ "operator", "the operator sent it there", "gangway switch ", " passthrough" },
	{ "migration", "its guest migrates", "it goes back to a VF by itself when that is over", NULL },
	{ "postcopy", "its guest's memory is still to come", "it goes back to a VF by itself when that is over", NULL },
	{ "snapshot", "its guest is being saved", "it goes back to its VF by itself when that is over", NULL },
	{ "vf-fault", "its VF faults without end", "`gangway detach ", "`, then attach again; the host's log has the faults" },
	{ "device-process-lost", "its gangway-device process is no more", "`gangway detach ", "`, then attach again" },
	{ "pf-down", "its PF has no link", "it goes back to its VF by itself when the PF has one", NULL },
	{ "no-vf", "it has no VF", "it is given one by itself as soon as that can be", NULL },
	{ "guest-no-driver", "its guest has not started the VF", "is the VF's driver in the guest, and the interface up?", NULL },
	{ "vmm-unplug-unsafe", "its VMM cannot unplug the VF safely", "attach it with --via vfio-pci to be able to switch it",
	  NULL },
};

char *cli_fmt_standby(json_t *obj, const char *key)
{
	json_t *standby = json_object_get(obj, key);
	char *kind, *name, *text;

	if (!json_is_object(standby))
		return cli_text("-");
	kind = cli_cell(standby, "kind");
	name = cli_cell(standby, json_is_string(json_object_get(standby, "interface")) ? "interface" : "id");
	text = cli_text("%s %s", kind, name);
	free(kind);
	free(name);
	return text;
}

char *cli_fmt_since(json_t *obj, const char *key)
{
	json_t *sw = json_object_get(obj, "switch");

	return json_is_integer(json_object_get(sw, key)) ? cli_fmt_time(sw, key) : cli_fmt_time(obj, key);
}

/* ", 12 s left" */
static char *time_left(json_t *sw)
{
	json_t *ms = json_object_get(sw, "deadline_ms");

	if (!json_is_integer(ms) || json_integer_value(ms) < 0)
		return cli_text("%s", "");
	return cli_text(", %.0f s left", (double)json_integer_value(ms) / 1000);
}

/* "vm1/nic0: to-emulated: have the guest let its VF go (the guest is paused), 12 s left" */
static void explain_step(FILE *out, json_t *lease, json_t *sw)
{
	char *id = cli_cell(lease, "id"), *state = cli_cell(sw, "state"), *what = cli_cell(sw, "what"), *left = time_left(sw);

	fprintf(out, "%s: %s: %s%s\n", id, state, what, left);
	free(id);
	free(state);
	free(what);
	free(left);
}

static const char *waits(json_t *sw)
{
	const char *wait = cli_str(sw, "waits_for");

	if (wait && strcmp(wait, "delay") == 0)
		return "; that is over, and has to stay so for a while";
	if (wait && strcmp(wait, "backoff") == 0)
		return "; tried again after a pause";
	if (wait && strcmp(wait, "rate") == 0)
		return "; tried again later, it was switched often";
	return "";
}

static void hint_by_reason(FILE *out, json_t *lease, const struct reason *r)
{
	char *guest = cli_cell(lease, "guest"), *nic = cli_cell(lease, "nic");

	if (r->more)
		fprintf(out, "  hint: %s%s %s%s\n", r->hint, guest, nic, r->more);
	else
		fprintf(out, "  hint: %s\n", r->hint);
	free(guest);
	free(nic);
}

/* "vm1/nic0: on its emulated leg: the operator sent it there", and what to do about it */
static void explain_reason(FILE *out, json_t *lease, json_t *sw)
{
	const char *reason = cli_str(lease, "reason"), *why;
	char *id = cli_cell(lease, "id"), *leg = cli_cell(lease, "leg"), *word = cli_cell(lease, "reason");
	char *error = cli_cell(json_object_get(sw, "error"), "message");
	size_t i = 0;

	while (reason && i < CLI_NR(reasons) && strcmp(reasons[i].reason, reason) != 0)
		i++;
	why = reason && i < CLI_NR(reasons) ? reasons[i].why : word;
	fprintf(out, "%s: on its %s leg: %s%s\n", id, leg, reason ? why : "it has just begun", waits(sw));
	if (strcmp(error, "-") != 0)
		fprintf(out, "  the last try: %s\n", error);
	if (reason && i < CLI_NR(reasons))
		hint_by_reason(out, lease, &reasons[i]);
	free(id);
	free(leg);
	free(word);
	free(error);
}

bool cli_explain_leg(FILE *out, json_t *lease)
{
	json_t *sw = json_object_get(lease, "switch");
	const char *leg = cli_str(lease, "leg");

	if (!json_is_object(sw))
		return false;
	if (cli_str(lease, "reason"))
		explain_reason(out, lease, sw);
	if (cli_str(sw, "what"))
		explain_step(out, lease, sw);
	else if (!cli_str(lease, "reason") && leg && strcmp(leg, "emulated") == 0)
		explain_reason(out, lease, sw);
	return true;
}

/* "vm1/nic0: on its emulated leg (operator), 412 ms" */
void cli_view_switched(FILE *out, json_t *result)
{
	json_t *lease = json_object_get(result, "lease");
	char *id = cli_cell(lease, "id"), *leg = cli_cell(lease, "leg"), *reason = cli_cell(lease, "reason");
	char *total = cli_fmt_ms(result, "total_ms");

	fprintf(out, "%s: on its %s leg", id, leg);
	if (strcmp(reason, "-") != 0)
		fprintf(out, " (%s)", reason);
	fprintf(out, ", %s ms\n", total);
	free(id);
	free(leg);
	free(reason);
	free(total);
}
