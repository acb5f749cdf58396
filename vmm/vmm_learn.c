/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VMM can never change: its device types, and its root ports that take a device at run time. Learnt at connect, or by the first query. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm_query_internal.h"

#define WINDOW 4 /* commands under way while its ports are learnt: the connection is shared */

static int take_vfio_user(struct query *q, json_t *ret)
{
	q->traits->has_vfio_user = json_is_array(ret);
	return 0;
}

static int take_vfio_pci(struct query *q, json_t *ret)
{
	q->traits->has_vfio_pci = json_is_array(ret);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return strverscmp(a, b);
}

static int take_ports(struct query *q, json_t *ret)
{
	size_t i;
	json_t *v;

	if (!json_is_array(ret))
		return -EPROTO;
	json_array_foreach (ret, i, v) {
		const char *type = json_string_value(json_object_get(v, "type"));
		const char *id = json_string_value(json_object_get(v, "name"));

		if (!type || !id)
			return -EPROTO;
		if (strcmp(type, "child<pcie-root-port>") || vmm_id_check(id, NULL) < 0 || q->traits->nr_ports == VMM_PORTS_MAX)
			continue;
		snprintf(q->traits->ports[q->traits->nr_ports++], VMM_ID_MAX, "%s", id);
	}
	/* the tree is a hash table: sorted, the same port is picked every time */
	qsort(q->traits->ports, q->traits->nr_ports, sizeof(*q->traits->ports), by_id);
	return 0;
}

static const struct fact facts[] = {
	{ "device-list-properties", "typename", "vfio-user-pci", take_vfio_user, true },
	{ "device-list-properties", "typename", "vfio-pci", take_vfio_pci, true },
	{ "qom-list", "path", "/machine/peripheral", take_ports, false },
};

static void ask_hotplug(struct query *q);

static void learnt(struct query *q)
{
	struct vmm_traits *t = q->traits;
	unsigned n = 0;

	for (unsigned i = 0; i < t->nr_ports; i++)
		if (t->ports[i][0])
			memmove(t->ports[n++], t->ports[i], VMM_ID_MAX);
	t->nr_ports = n;
	if (!q->op.vmm->traits) { /* somebody else was faster, and his are in use */
		q->op.vmm->traits = t;
		q->traits = NULL;
	}
	query_learnt(q);
}

static void on_hotplug(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct query *q = (struct query *)op;

	q->in_flight--;
	if (r == -ECONNRESET || r == -ETIMEDOUT) {
		query_finish(q, r, err);
		return;
	}
	if (json_is_false(ret)) /* before QEMU 5.0 there is no such property, and every port can */
		q->traits->ports[tag][0] = '\0';
	ask_hotplug(q);
}

static void ask_hotplug(struct query *q)
{
	char path[sizeof("/machine/peripheral/") + VMM_ID_MAX];
	struct err err;

	while (q->in_flight < WINDOW && q->next_port < q->traits->nr_ports) {
		int r;

		snprintf(path, sizeof(path), "/machine/peripheral/%s", q->traits->ports[q->next_port]);
		r = vmm_op_send(&q->op, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", "hotplug"), 0, q->next_port,
				on_hotplug, &err);
		if (r < 0) {
			query_finish(q, r, &err);
			return;
		}
		q->in_flight++;
		q->next_port++;
	}
	if (q->in_flight)
		return;
	q->next_port = 0;
	learnt(q);
}

static void on_trait(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct query *q = (struct query *)op;

	if (query_take(q, &facts[tag], r, ret, err) && !q->in_flight)
		ask_hotplug(q);
}

int query_learn(struct query *q, struct err *err)
{
	q->traits = calloc(1, sizeof(*q->traits));
	return q->traits ? query_ask(q, facts, sizeof(facts) / sizeof(facts[0]), on_trait, err)
			 : err_set(err, -ENOMEM, "vmm.no-memory", "guest %s: query: no memory", q->op.vmm->name);
}
