/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "metrics_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_MAX 5
#define DIGITS 9 /* of a real number */

struct metric {
	const char *name, *type, *help;
	const char *list; /* the member of the tree whose elements have it, an array or one object; NULL: the tree itself */
	const char *value; /* the member of an element: a number, or true or false; NULL: always 1 */
	const char *labels[LABELS_MAX]; /* members of an element: texts, numbers; one that is null has the label "" */
};

#define LEASE "guest", "nic"
#define VECTOR "guest", "nic", "vector"
#define PF "pf", "bdf"

/* Of one name all samples have to stand together. */
/* clang-format off */
static const struct metric metrics[] = {
	{ "gangway_info", "gauge", "The version of gangwayd; always 1.", NULL, NULL, { "version" } },
	{ "gangway_uptime_seconds", "gauge", "Time since gangwayd was started.", NULL, "uptime_s", { NULL } },
	{ "gangway_faults_unattributed_total", "counter", "Faults of functions without a lease, or of nobody knows whom.", "faults", "others", { NULL } },
	{ "gangway_fault_records_lost_total", "counter", "How often records of the kernel's log were overwritten before they were read.", "faults", "lost", { NULL } },
	{ "gangway_guest_up", "gauge", "Whether the guest's VMM answers.", "guests", "up", { "guest" } },
	{ "gangway_guest_leases", "gauge", "Leases of the guest.", "guests", "leases", { "guest" } },
	{ "gangway_pf_vfs_max", "gauge", "VFs that the PF can have.", "pfs", "total_vfs", { PF } },
	{ "gangway_pf_vfs", "gauge", "VFs that the PF has.", "pfs", "vfs", { PF } },
	{ "gangway_pf_vfs_leased", "gauge", "VFs of the PF that leases have.", "pfs", "leased", { PF } },
	{ "gangway_pf_vfs_used", "gauge", "VFs of the PF that an attach cannot take: leased, or kept by something else.", "pfs", "used", { PF } },
	{ "gangway_pf_vfs_free", "gauge", "VFs of the PF that an attach can take.", "pfs", "free", { PF } },
	{ "gangway_lease_info", "gauge", "The lease's state, and the VF that it has; always 1.", "leases", NULL, { LEASE, "state", "vf", "via" } },
	{ "gangway_lease_leg", "gauge", "The leg that the lease is on, and the reason; always 1.", "leases", NULL, { LEASE, "leg", "reason" } },
	{ "gangway_lease_leg_seconds", "gauge", "For how long it has that reason, or its state where there is none.", "leases", "since_s", { LEASE } },
	{ "gangway_lease_faults_total", "counter", "Faults of the lease's VF: DMA and interrupts that the IOMMU refused, uncorrected PCIe errors.", "leases", "faults", { LEASE } },
	{ "gangway_lease_quarantined", "gauge", "Whether the VF's bus mastering was switched off, as it faulted too often.", "leases", "quarantined", { LEASE } },
	{ "gangway_lease_interrupts_per_second", "gauge", "Interrupts of all vectors of the VF between the last two looks.", "leases", "rate", { LEASE } },
	{ "gangway_lease_interrupt_storm", "gauge", "Whether the VF interrupts more often than storm_rate.", "leases", "storm", { LEASE } },
	{ "gangway_lease_interrupts_moved_total", "counter", "How often an affinity of the VF's interrupts was written.", "leases", "moved", { LEASE } },
	{ "gangway_vector_interrupts_total", "counter", "Interrupts of the vector since it is followed.", "vectors", "count", { VECTOR } },
	{ "gangway_vector_interrupts_per_second", "gauge", "Interrupts of the vector between the last two looks.", "vectors", "rate", { VECTOR } },
	{ "gangway_vector_interrupts_judged_total", "counter", "Interrupts that came while the vCPU that they are for stood still.", "vectors", "judged", { VECTOR } },
	{ "gangway_vector_interrupts_on_vcpu_total", "counter", "Of these, interrupts that arrived on that vCPU's CPU.", "vectors", "there", { VECTOR } },
	{ "gangway_vector_on_vcpu_ratio", "gauge", "The share of these since the vector is followed, 0 to 1.", "vectors", "share", { VECTOR } },
	{ "gangway_vector_moved_total", "counter", "How often the affinity of the vector's interrupt was written.", "vectors", "moved", { VECTOR } },
	{ "gangway_vector_state", "gauge", "The vector's state, as `gangway irq show` has it; always 1.", "vectors", NULL, { VECTOR, "state" } },
};
/* clang-format on */

static void put_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '\\' || c == '"')
			fprintf(out, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", out);
		else
			fputc(c < 0x20 || c == 0x7f ? '?' : c, out);
	}
}

static void put_label(FILE *out, const json_t *element, const char *name, bool first)
{
	const json_t *v = json_object_get(element, name);

	fprintf(out, "%s%s=\"", first ? "" : ",", name);
	if (json_is_string(v))
		put_text(out, json_string_value(v));
	else if (json_is_integer(v))
		fprintf(out, "%lld", (long long)json_integer_value(v));
	fputc('"', out);
}

/* Of what can be a value; allocated, NULL: it cannot. A point is a point in each locale. */
static char *number(const json_t *element, const char *key)
{
	const json_t *v = key ? json_object_get(element, key) : NULL;

	if (!key)
		return strdup("1");
	if (json_is_boolean(v))
		return strdup(json_is_true(v) ? "1" : "0");
	return json_is_number(v) ? json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(DIGITS)) : NULL;
}

static void put_sample(FILE *out, const struct metric *m, const json_t *element, bool *headed)
{
	char *value = json_is_object(element) ? number(element, m->value) : NULL;

	if (!value)
		return;
	if (!*headed)
		fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
	*headed = true;
	fputs(m->name, out);
	if (m->labels[0])
		fputc('{', out);
	for (unsigned i = 0; i < LABELS_MAX && m->labels[i]; i++)
		put_label(out, element, m->labels[i], i == 0);
	fprintf(out, "%s %s\n", m->labels[0] ? "}" : "", value);
	free(value);
}

static void put_metric(FILE *out, const struct metric *m, const json_t *tree)
{
	const json_t *list = m->list ? json_object_get(tree, m->list) : tree;
	bool headed = false;

	if (!json_is_array(list))
		put_sample(out, m, list, &headed);
	for (size_t i = 0; i < json_array_size(list); i++)
		put_sample(out, m, json_array_get(list, i), &headed);
}

char *metrics_text(const json_t *tree)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	bool bad;

	if (!out)
		return NULL;
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
		put_metric(out, &metrics[i], tree);
	bad = ferror(out) != 0;
	if (fclose(out) == 0 && !bad)
		return text;
	free(text);
	return NULL;
}
