/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a VMM is asked before an attach, as it may have changed: run state, memory, which port is free. What it can never change is learnt at
 * connect, or before all else where it could not answer then (vmm_learn.c). Both pipelined: a VMM takes a while for each answer.
 *
 * A port is free when its bus has no child in QEMU's object tree. query-pci would tell as well, but only once the firmware has
 * numbered the buses, and the numbers are the guest's to write.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm_query_internal.h"

void query_finish(struct query *q, int r, const struct err *err)
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
	query_finish((struct query *)op, err->num, err);
}

static void release(struct vmm_op *op)
{
	free(((struct query *)op)->traits);
}

static const struct vmm_op_class query_class = { .cancel = cancel, .release = release };

/* The facts: each takes one answer. -EPROTO: not what QEMU answers to this. -------------------------------------------- */

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
	return vmm_take_ram(ret, &q->info.ram_bytes);
}

static int take_memdevs(struct query *q, json_t *ret)
{
	return vmm_take_memdevs(ret, &q->info.memdevs);
}

static const struct fact facts[] = {
	{ "query-status", NULL, NULL, take_status, false },
	{ "query-memory-size-summary", NULL, NULL, take_memory, false },
	{ "query-memdev", NULL, NULL, take_memdevs, false },
};

int query_ask(struct query *q, const struct fact *list, unsigned nr, vmm_op_reply_fn reply, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < nr && r == 0; i++) {
		json_t *args = list[i].key ? json_pack("{s:s}", list[i].key, list[i].value) : NULL;

		r = vmm_op_send(&q->op, list[i].command, args, 0, i, reply, err);
		q->in_flight += r == 0;
	}
	return r;
}

bool query_take(struct query *q, const struct fact *fact, int r, json_t *ret, const struct err *err)
{
	struct err bad;

	q->in_flight--;
	if (r < 0 && !(fact->may_lack && r == -ENODEV)) {
		query_finish(q, r, err);
		return false;
	}
	if (r < 0 || fact->take(q, ret) == 0)
		return true;
	err_set(&bad, -EPROTO, "vmm.bad-answer", "guest %s: %s: not the answer of a QEMU", q->op.vmm->name, fact->command);
	query_finish(q, -EPROTO, &bad);
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
	info->ram_shared = info->memdevs.all_shared && info->memdevs.bytes >= info->ram_bytes;
	strcpy(info->ram_unshared_id, info->memdevs.unshared_id);
	if (!info->ram_shared && !info->ram_unshared_id[0])
		strcpy(info->ram_unshared_id, "the machine's own RAM");
	query_finish(q, 0, NULL);
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
		query_finish(q, r, err);
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

	if (query_take(q, &facts[tag], r, ret, err))
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
		query_finish(q, r, &err);
	else if (!q->in_flight)
		conclude(q);
}

static int ask_facts(struct query *q, struct err *err)
{
	int r = query_ask(q, facts, sizeof(facts) / sizeof(facts[0]), on_fact, err);

	return r < 0 ? r : ask_ports(q, err);
}

void query_learnt(struct query *q)
{
	struct err err;
	int r;

	if (!q->done) {
		query_finish(q, 0, NULL);
		return;
	}
	r = ask_facts(q, &err);
	if (r < 0)
		query_finish(q, r, &err);
}

/* The beginning -------------------------------------------------------------------------------------------------------- */

/* With traits of before, or after learning them: a VMM that could not answer at connect is asked again. */
static int begin(struct vmm_op *op, struct err *err)
{
	struct query *q = (struct query *)op;
	int r;

	for (unsigned i = 0; i < VMM_FREE_PORTS; i++)
		q->free[i] = VMM_PORTS_MAX;
	r = op->vmm->traits ? ask_facts(q, err) : query_learn(q, err);
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
