/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a VMM is asked. At connect what it can never change (vmm_learn): its device types, its root ports. Before an attach
 * (vmm_query) what may have changed: run state, memory, which port is free. Both pipelined: a VMM takes a while for each answer.
 *
 * A port is free when its bus has no child in QEMU's object tree. query-pci would tell as well, but only once the firmware has
 * numbered the buses, and the numbers are the guest's to write.
 */
#include "vmm_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 4 /* commands under way while its ports are learnt: the connection is shared */

struct query {
	struct vmm_op op;
	vmm_info_fn done; /* NULL: to learn is all */
	void *ctx;
	struct vmm_info info;
	uint64_t memdev_bytes;
	bool memdev_all_shared;
	struct vmm_traits *traits; /* being learnt */
	unsigned in_flight;
	unsigned next_port; /* index into the traits' ports */
	unsigned nr_wanted, nr_asked, nr_free; /* free ports that are asked for; ports under way, and found free */
	unsigned free[VMM_FREE_PORTS]; /* the same, ascending; PORTS_MAX: none yet */
};

/* Learnt, or asked: the operation is over. */
static void finish(struct query *q, int r, const struct err *err)
{
	vmm_op_finish(&q->op);
	if (q->done)
		q->done(q->ctx, r, r < 0 ? NULL : &q->info, r < 0 ? err : NULL);
	else
		vmm_learnt(q->op.vmm);
	vmm_op_unref(&q->op);
}

static void cancel(struct vmm_op *op, const struct err *err)
{
	finish((struct query *)op, err->num, err);
}

static void release(struct vmm_op *op)
{
	free(((struct query *)op)->traits);
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
	q->info.incoming = !strcmp(status, "inmigrate");
	q->info.prelaunch = !strcmp(status, "prelaunch");
	q->info.postmigrate = !strcmp(status, "postmigrate") || !strcmp(status, "finish-migrate");
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

struct fact {
	const char *command;
	const char *key, *value; /* its argument */
	int (*take)(struct query *q, json_t *ret);
	bool may_lack; /* "no such device" is an answer */
};

static const struct fact traits_facts[] = {
	{ "device-list-properties", "typename", "vfio-user-pci", take_vfio_user, true },
	{ "device-list-properties", "typename", "vfio-pci", take_vfio_pci, true },
	{ "qom-list", "path", "/machine/peripheral", take_ports, false },
};

static const struct fact facts[] = {
	{ "query-status", NULL, NULL, take_status, false },
	{ "query-memory-size-summary", NULL, NULL, take_memory, false },
	{ "query-memdev", NULL, NULL, take_memdev, false },
};

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Send them all; the answers go to @reply with the fact's index. Answers to what was sent find a finished operation. */
static int ask(struct query *q, const struct fact *list, unsigned nr, vmm_op_reply_fn reply, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < nr && r == 0; i++) {
		json_t *args = list[i].key ? json_pack("{s:s}", list[i].key, list[i].value) : NULL;

		r = vmm_op_send(&q->op, list[i].command, args, 0, i, reply, err);
		q->in_flight += r == 0;
	}
	return r;
}

/* Book one answer. False: the operation is over. */
static bool take(struct query *q, const struct fact *fact, int r, json_t *ret, const struct err *err)
{
	struct err bad;

	q->in_flight--;
	if (r < 0 && !(fact->may_lack && r == -ENODEV)) {
		finish(q, r, err);
		return false;
	}
	if (r < 0 || fact->take(q, ret) == 0)
		return true;
	err_set(&bad, -EPROTO, "vmm.bad-answer", "guest %s: %s: not the answer of a QEMU", q->op.vmm->name, fact->command);
	finish(q, -EPROTO, &bad);
	return false;
}

/* What may have changed ------------------------------------------------------------------------------------------------ */

static void go_on(struct query *q);

static void conclude(struct query *q)
{
	const struct vmm_traits *traits = q->op.vmm->traits;
	struct vmm_info *info = &q->info;

	info->has_vfio_user = traits->has_vfio_user;
	info->has_vfio_pci = traits->has_vfio_pci;
	for (unsigned i = 0; i < VMM_FREE_PORTS && q->free[i] < VMM_PORTS_MAX; i++)
		strcpy(info->free_ports[i], traits->ports[q->free[i]]);
	/* shared backends that do not add up to the guest's RAM: the rest is anonymous */
	info->ram_shared = q->memdev_all_shared && q->memdev_bytes >= info->ram_bytes;
	if (!info->ram_shared && !info->ram_unshared_id[0])
		strcpy(info->ram_unshared_id, "the machine's own RAM");
	finish(q, 0, NULL);
}

/* Answers come in any order: the lowest are kept. */
static void note_free(struct query *q, unsigned port)
{
	for (unsigned i = 0; i < VMM_FREE_PORTS; i++)
		if (port < q->free[i]) {
			unsigned other = q->free[i];

			q->free[i] = port;
			port = other;
		}
}

static void on_port(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct query *q = (struct query *)op;
	bool empty = r == 0;
	size_t i;
	json_t *v;

	q->in_flight--;
	if (r == -ECONNRESET || r == -ETIMEDOUT) {
		finish(q, r, err);
		return;
	}
	/* another error: the port is not there, and not free */
	json_array_foreach (ret, i, v) {
		const char *name = json_string_value(json_object_get(v, "name"));

		if (!name || !strncmp(name, "child[", 6))
			empty = false;
	}
	q->nr_asked--;
	q->nr_free += empty;
	if (empty)
		note_free(q, tag);
	go_on(q);
}

static void on_fact(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct query *q = (struct query *)op;

	if (take(q, &facts[tag], r, ret, err))
		go_on(q);
}

/* The ports in their order, until enough are free: no more at a time than are still wanted, as each answer takes a busy VMM a while. */
static int ask_ports(struct query *q, struct err *err)
{
	const struct vmm_traits *traits = q->op.vmm->traits;
	char path[sizeof("/machine/peripheral//") + 2 * VMM_ID_MAX];
	int r = 0;

	while (r == 0 && q->nr_free + q->nr_asked < q->nr_wanted && q->next_port < traits->nr_ports) {
		const char *id = traits->ports[q->next_port];

		/* a root port's bus is its child, and has its name */
		snprintf(path, sizeof(path), "/machine/peripheral/%s/%s", id, id);
		r = vmm_op_send(&q->op, "qom-list", json_pack("{s:s}", "path", path), 0, q->next_port, on_port, err);
		q->in_flight += r == 0;
		q->nr_asked += r == 0;
		q->next_port++;
	}
	return r;
}

static void go_on(struct query *q)
{
	struct err err;
	int r = ask_ports(q, &err);

	if (r < 0)
		finish(q, r, &err);
	else if (!q->in_flight)
		conclude(q);
}

static int ask_facts(struct query *q, struct err *err)
{
	int r = ask(q, facts, ARRAY_SIZE(facts), on_fact, err);

	return r < 0 ? r : ask_ports(q, err);
}

/* What never changes --------------------------------------------------------------------------------------------------- */

static void ask_hotplug(struct query *q);

static void learnt(struct query *q)
{
	struct vmm_traits *t = q->traits;
	struct err err;
	unsigned n = 0;
	int r;

	for (unsigned i = 0; i < t->nr_ports; i++)
		if (t->ports[i][0])
			memmove(t->ports[n++], t->ports[i], VMM_ID_MAX);
	t->nr_ports = n;
	if (!q->op.vmm->traits) { /* somebody else was faster, and his are in use */
		q->op.vmm->traits = t;
		q->traits = NULL;
	}
	if (!q->done) {
		finish(q, 0, NULL);
		return;
	}
	r = ask_facts(q, &err);
	if (r < 0)
		finish(q, r, &err);
}

static void on_hotplug(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct query *q = (struct query *)op;

	q->in_flight--;
	if (r == -ECONNRESET || r == -ETIMEDOUT) {
		finish(q, r, err);
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
			finish(q, r, &err);
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

	if (take(q, &traits_facts[tag], r, ret, err) && !q->in_flight)
		ask_hotplug(q);
}

/* The beginning -------------------------------------------------------------------------------------------------------- */

/* With traits of before, or after learning them: a VMM that could not answer at connect is asked again. */
static int begin(struct vmm_op *op, struct err *err)
{
	struct query *q = (struct query *)op;
	int r;

	for (unsigned i = 0; i < VMM_FREE_PORTS; i++)
		q->free[i] = VMM_PORTS_MAX;
	if (op->vmm->traits) {
		r = ask_facts(q, err);
	} else {
		q->traits = calloc(1, sizeof(*q->traits));
		r = q->traits ? ask(q, traits_facts, ARRAY_SIZE(traits_facts), on_trait, err)
			      : err_set(err, -ENOMEM, "vmm.no-memory", "guest %s: query: no memory", op->vmm->name);
	}
	if (r < 0)
		vmm_op_unref(vmm_op_finish(op));
	return r;
}

int vmm_learn(struct vmm *vmm, struct err *err)
{
	struct vmm_op *op;
	int r;

	r = vmm_op_new_early(vmm, "query", sizeof(struct query), &query_class, &op, err);
	return r < 0 ? r : begin(op, err);
}

int vmm_query(struct vmm *vmm, unsigned nr_ports, vmm_info_fn done, void *ctx, struct err *err)
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
	q->nr_wanted = nr_ports < VMM_FREE_PORTS ? nr_ports : VMM_FREE_PORTS;
	snprintf(q->info.version, sizeof(q->info.version), "%u.%u.%u", version->major, version->minor, version->micro);
	q->info.unplug_vfio_user_safe = vmm_version_can(version, VMM_UNPLUG_VFIO_USER, NULL);
	return begin(op, err);
}
