/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "irq_balance_internal.h"

#define IRQ_NUMBER_MAX 999999999

static json_t *to_json(const char *socket, const struct irq_list *ours)
{
	json_t *irqs = json_array();

	for (unsigned i = 0; i < ours->nr; i++)
		json_array_append_new(irqs, json_integer(ours->of[i]));
	return json_pack("{s:s, s:o}", "socket", socket, "irqs", irqs);
}

/* In place of the former at once: not synced, as who kills the host kills irqbalance, too. */
int irq_balance_record(const char *path, const char *socket, const struct irq_list *ours)
{
	char new[PATH_MAX + 8];
	json_t *j;
	int r;

	if (ours->nr == 0)
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	j = to_json(socket, ours);
	snprintf(new, sizeof(new), "%s.new", path);
	r = j && json_dump_file(j, new, JSON_COMPACT) == 0 ? 0 : -EIO;
	json_decref(j);
	if (r == 0 && rename(new, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(new);
	return r;
}

int irq_balance_recorded(const char *path, char socket[static BALANCE_SOCKET_MAX], struct irq_list *ours)
{
	json_t *j, *irqs = NULL, *irq;
	struct irq_list found = { 0 };
	const char *name = NULL;
	int r = 0;
	size_t i;

	if (access(path, F_OK) < 0)
		return -ENOENT;
	j = json_load_file(path, 0, NULL);
	if (!j || json_unpack(j, "{s:s, s:o}", "socket", &name, "irqs", &irqs) < 0 || name[0] != '/' ||
	    strlen(name) >= BALANCE_SOCKET_MAX || json_array_size(irqs) > LIMIT_IRQS_BANNED)
		r = -EPROTO;
	json_array_foreach (irqs, i, irq) {
		json_int_t n = json_integer_value(irq);

		if (r == 0 && json_is_integer(irq) && n >= 0 && n <= IRQ_NUMBER_MAX)
			found.of[found.nr++] = (unsigned)n;
		else
			r = -EPROTO;
	}
	if (r == 0) {
		strcpy(socket, name);
		*ours = found;
	}
	json_decref(j);
	return r;
}
