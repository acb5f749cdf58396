/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm_query(): what preflight wants to know. Two rounds, each pipelined: the facts, then every root port.
 *
 * A port is free when its bus has no child in QEMU's object tree. query-pci would tell as well, but only once the firmware has
 * numbered the buses, and the numbers are the guest's to write.
 */
#include "vmm_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORTS_MAX 256 /* a PCI segment has no more buses */
#define WINDOW 4 /* commands about ports under way: the connection is shared */

struct port {
	char id[VMM_ID_MAX];
	bool free;
};

struct query {
	struct vmm_op op;
	vmm_info_fn done;
	void *ctx;
	struct vmm_info info;
	uint64_t memdev_bytes;
	bool memdev_all_shared;
	unsigned in_flight;
	struct port *ports; /* PORTS_MAX */
	unsigned nr_ports, next_port;
};

static void finish(struct query *q, int r, const struct err *err)
{
	vmm_op_finish(&q->op);
	q->done(q->ctx, r, r < 0 ? NULL : &q->info, r < 0 ? err : NULL);
	vmm_op_unref(&q->op);
}

static void cancel(struct vmm_op *op, const struct err *err)
{
	finish((struct query *)op, err->num, err);
}

static void release(struct vmm_op *op)
{
	free(((struct query *)op)->ports);
}

static const struct vmm_op_class query_class = { .cancel = cancel, .release = release };

/* The facts: each takes one answer. -EPROTO: not what QEMU answers to this. -------------------------------------------- */

static int take_bytes(const json_t *object, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(object, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return -EPROTO;
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static int take_status(struct query *q, json_t *ret)
{
	const char *status = json_string_value(json_object_get(ret, "status"));

	if (!status || strlen(status) >= sizeof(q->info.run_state))
		return -EPROTO;
	strcpy(q->info.run_state, status);
	return 0;
}

static int take_cpus(struct query *q, json_t *ret)
{
	if (!json_is_array(ret))
		return -EPROTO;
	q->info.nr_vcpus = (unsigned)json_array_size(ret);
	return 0;
}

static int take_memory(struct query *q, json_t *ret)
{
	uint64_t base, plugged = 0;

	if (take_bytes(ret, "base-memory", &base) < 0)
		return -EPROTO;
	if (json_object_get(ret, "plugged-memory") && take_bytes(ret, "plugged-memory", &plugged) < 0)
		return -EPROTO;
	q->info.ram_bytes = base + plugged; /* two non-negative int64: no wrap */
	return 0;
}

static int take_memdev(struct query *q, json_t *ret)
{
	size_t i;
	json_t *v;

	if (!json_is_array(ret))
		return -EPROTO;
	q->memdev_all_shared = true;
	json_array_foreach (ret, i, v) {
		const json_t *share = json_object_get(v, "share");
		const char *id = json_string_value(json_object_get(v, "id")); /* absent: a backend without a name */
		uint64_t size;

		if (!json_is_boolean(share) || take_bytes(v, "size", &size) < 0)
			return -EPROTO;
		if (__builtin_add_overflow(q->memdev_bytes, size, &q->memdev_bytes))
			return -EPROTO;
		if (json_is_true(share) || !q->memdev_all_shared)
			continue;
		q->memdev_all_shared = false;
		snprintf(q->info.ram_unshared_id, sizeof(q->info.ram_unshared_id), "%s", id ? id : "(unnamed)");
	}
	return 0;
}

static int take_vfio_user(struct query *q, json_t *ret)
{
	q->info.has_vfio_user = json_is_array(ret);
	return 0;
}

static int take_vfio_pci(struct query *q, json_t *ret)
{
	q->info.has_vfio_pci = json_is_array(ret);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return strverscmp(((const struct port *)a)->id, ((const struct port *)b)->id);
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
		if (strcmp(type, "child<pcie-root-port>") || vmm_id_check(id, NULL) < 0 || q->nr_ports == PORTS_MAX)
			continue;
		snprintf(q->ports[q->nr_ports++].id, VMM_ID_MAX, "%s", id);
	}
	/* the tree is a hash table: sorted, the same port is picked every time */
	qsort(q->ports, q->nr_ports, sizeof(*q->ports), by_id);
	return 0;
}

static const struct {
	const char *command;
	const char *key, *value; /* its argument */
	int (*take)(struct query *q, json_t *ret);
	bool may_lack; /* "no such device" is an answer */
} facts[] = {
	{ "query-status", NULL, NULL, take_status, false },
	{ "query-cpus-fast", NULL, NULL, take_cpus, false },
	{ "query-memory-size-summary", NULL, NULL, take_memory, false },
	{ "query-memdev", NULL, NULL, take_memdev, false },
	{ "device-list-properties", "typename", "vfio-user-pci", take_vfio_user, true },
	{ "device-list-properties", "typename", "vfio-pci", take_vfio_pci, true },
	{ "qom-list", "path", "/machine/peripheral", take_ports, false },
};

#define NR_FACTS (sizeof(facts) / sizeof(facts[0]))

static void bad_answer(struct query *q, const char *command)
{
	struct err err;

	err_set(&err, -EPROTO, "vmm.bad-answer", "guest %s: %s: not the answer of a QEMU", q->op.vmm->name, command);
	finish(q, -EPROTO, &err);
}

/* The ports ------------------------------------------------------------------------------------------------------------ */

static void conclude(struct query *q)
{
	struct vmm_info *info = &q->info;

	for (unsigned i = 0; i < q->nr_ports; i++) {
		if (q->ports[i].free && !info->nr_free_ports++)
			strcpy(info->free_port, q->ports[i].id);
	}
	/* shared backends that do not add up to the guest's RAM: the rest is anonymous */
	info->ram_shared = q->memdev_all_shared && q->memdev_bytes >= info->ram_bytes;
	if (!info->ram_shared && !info->ram_unshared_id[0])
		strcpy(info->ram_unshared_id, "the machine's own RAM");
	finish(q, 0, NULL);
}

static void ask_ports(struct query *q);

static void on_hotplug(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct query *q = (struct query *)op;

	q->in_flight--;
	if (r == -ECONNRESET || r == -ETIMEDOUT) {
		finish(q, r, err);
		return;
	}
	q->ports[tag].free = !json_is_false(ret); /* before QEMU 5.0 there is no such property, and every port can */
	ask_ports(q);
}

static void on_port(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct query *q = (struct query *)op;
	char path[sizeof("/machine/peripheral/") + VMM_ID_MAX];
	struct err why;
	bool empty = r == 0;
	size_t i;
	json_t *v;

	q->in_flight--;
	if (r == -ECONNRESET || r == -ETIMEDOUT) {
		finish(q, r, err);
		return;
	}
	/* an error: the port went away meanwhile */
	json_array_foreach (ret, i, v) {
		const char *name = json_string_value(json_object_get(v, "name"));

		if (!name || !strncmp(name, "child[", 6))
			empty = false;
	}
	if (empty) {
		snprintf(path, sizeof(path), "/machine/peripheral/%s", q->ports[tag].id);
		r = vmm_op_send(op, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", "hotplug"), 0, tag, on_hotplug,
				&why);
		if (r < 0) {
			finish(q, r, &why);
			return;
		}
		q->in_flight++;
	}
	ask_ports(q);
}

static void ask_ports(struct query *q)
{
	char path[sizeof("/machine/peripheral//") + 2 * VMM_ID_MAX];
	struct err err;
	int r;

	while (q->in_flight < WINDOW && q->next_port < q->nr_ports) {
		const char *id = q->ports[q->next_port].id;

		/* a root port's bus is its child, and has its name */
		snprintf(path, sizeof(path), "/machine/peripheral/%s/%s", id, id);
		r = vmm_op_send(&q->op, "qom-list", json_pack("{s:s}", "path", path), 0, q->next_port, on_port, &err);
		if (r < 0) {
			finish(q, r, &err);
			return;
		}
		q->in_flight++;
		q->next_port++;
	}
	if (!q->in_flight)
		conclude(q);
}

static void on_fact(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct query *q = (struct query *)op;

	q->in_flight--;
	if (r < 0 && !(facts[tag].may_lack && r == -ENODEV)) {
		finish(q, r, err);
		return;
	}
	if (r == 0 && facts[tag].take(q, ret) < 0)
		bad_answer(q, facts[tag].command);
	else if (!q->in_flight)
		ask_ports(q);
}

int vmm_query(struct vmm *vmm, vmm_info_fn done, void *ctx, struct err *err)
{
	const struct qmp_version *version = &qmp_get_peer(vmm->qmp)->version;
	struct vmm_op *op;
	struct query *q;
	int r;

	r = vmm_op_new(vmm, "query", sizeof(*q), &query_class, &op, err);
	if (r < 0)
		return r;
	q = (struct query *)op;
	q->done = done;
	q->ctx = ctx;
	q->ports = calloc(PORTS_MAX, sizeof(*q->ports));
	r = q->ports ? 0 : err_set(err, -ENOMEM, "vmm.no-memory", "guest %s: query: no memory", vmm->name);
	snprintf(q->info.version, sizeof(q->info.version), "%u.%u.%u", version->major, version->minor, version->micro);
	q->info.unplug_vfio_user_safe = vmm_version_can(version, VMM_UNPLUG_VFIO_USER, NULL);
	for (unsigned i = 0; i < NR_FACTS && r == 0; i++) {
		json_t *args = facts[i].key ? json_pack("{s:s}", facts[i].key, facts[i].value) : NULL;

		r = vmm_op_send(op, facts[i].command, args, 0, i, on_fact, err);
		q->in_flight += r == 0;
	}
	if (r < 0) /* answers to what was sent find the operation finished */
		vmm_op_unref(vmm_op_finish(op));
	return r;
}
