/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What interrupts had before they were moved, as it is in the lease's row. */
#include <string.h>

#include "daemon.h"
#include "irq_balance.h"
#include "irq_keep_internal.h"
#include "lease.h"
#include "log.h"

json_t *irq_saved_to_json(const struct saved_list *saved, const char *bdf, const char *boot_id)
{
	json_t *list = json_array();
	char text[IRQ_CPUS_TEXT_MAX];

	for (unsigned i = 0; i < saved->nr; i++) {
		const struct irq_saved *s = &saved->of[i];

		irq_cpus_format(&s->affinity, text);
		json_array_append_new(list, json_pack("{s:I, s:I, s:b, s:s}", "irq", (json_int_t)s->irq, "vector",
						      (json_int_t)s->vector, "msix", s->msix, "cpus", text));
	}
	return json_pack("{s:s, s:s, s:o}", "boot_id", boot_id, "bdf", bdf, "saved", list);
}

static bool saved_from_json(const json_t *j, struct irq_saved *ret)
{
	json_int_t irq, vector;
	const char *cpus;
	int msix;

	if (json_unpack((json_t *)j, "{s:I, s:I, s:b, s:s}", "irq", &irq, "vector", &vector, "msix", &msix, "cpus", &cpus) < 0)
		return false;
	if (irq < 0 || irq > INT32_MAX || vector < 0 || vector >= IRQ_HOST_MAX)
		return false;
	*ret = (struct irq_saved){ .irq = (unsigned)irq, .vector = (unsigned)vector, .msix = msix };
	return irq_cpus_parse(cpus, strlen(cpus), &ret->affinity) == 0 && irq_cpus_nth(&ret->affinity, 0) >= 0;
}

void irq_keep_load(struct lease *l, const json_t *irqs)
{
	const char *boot_id = json_string_value(json_object_get(irqs, "boot_id"));
	const char *bdf = json_string_value(json_object_get(irqs, "bdf"));
	const json_t *list = json_object_get(irqs, "saved"), *v;
	struct irq_keep *k;
	char text[BDF_LEN];
	size_t i;

	if (!irqs || (boot_id && strcmp(boot_id, l->daemon->boot_id))) /* of another boot: those interrupts are no more */
		return;
	if (!boot_id || !bdf || bdf_parse(bdf, text) < 0 || !json_is_array(list)) {
		log_warn("lease %s: what its interrupts had before is not readable, ignoring", l->id);
		return;
	}
	k = irq_keep_of(l);
	if (!k)
		return;
	memcpy(k->bdf, text, sizeof(k->bdf));
	json_array_foreach (list, i, v) {
		if (k->saved.nr < LIMIT_IRQ_VECTORS && saved_from_json(v, &k->saved.of[k->saved.nr]))
			k->saved.nr++;
		else
			log_warn("lease %s: what one of its interrupts had before is not readable, ignoring", l->id);
	}
}
