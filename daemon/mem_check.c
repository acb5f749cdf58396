/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon.h"
#include "guests.h"
#include "vmm.h"
#include "work.h"

struct mem_check {
	struct daemon *d;
	mem_check_fn done; /* NULL: forgotten */
	void *ctx;
	bool working; /* on a worker, which may end without telling when gangwayd stops */
	enum lease_via via;
	pid_t pid;
	char guest[LIMIT_NAME + 1];
	unsigned nr_settled; /* of the daemon, when the host was looked at */
	struct vmm_memory said;
	struct mem_facts facts;
	struct err err;
};

static void finish(struct mem_check *c, int r)
{
	if (r == 0 && c->done)
		mem_account_take_off(c->d, c->guest, &c->facts);
	if (c->done)
		c->done(c->ctx, r, r < 0 ? NULL : &c->facts, r < 0 ? NULL : &c->said, r < 0 ? &c->err : NULL);
	free(c);
}

static int look(void *arg)
{
	struct mem_check *c = arg;

	return mem_facts_read(c->d->sys, &c->facts, &c->err);
}

static int look_again(void *arg)
{
	struct mem_check *c = arg;

	return mem_facts_look_again(c->d->sys, &c->facts, &c->err);
}

static void looked(int r, void *arg)
{
	struct mem_check *c = arg;

	/* as often as somebody has pinned meanwhile */
	if (r == 0 && c->done && c->nr_settled != c->d->nr_mem_settled) {
		c->nr_settled = c->d->nr_mem_settled;
		r = work_submit(c->d->pool, look_again, looked, c);
		if (r == 0)
			return;
		err_set(&c->err, r, "daemon.no-memory", "no memory to look at a guest's");
	}
	finish(c, r);
}

static void asked(void *ctx, int r, const struct vmm_memory *memory, const struct err *err)
{
	struct mem_check *c = ctx;

	if (r < 0) {
		c->err = *err;
		finish(c, r);
		return;
	}
	if (!c->done) {
		finish(c, 0);
		return;
	}
	c->said = *memory;
	mem_facts_ask(&c->facts, &memory->memdevs, memory->ram_bytes, c->pid, c->via, (uint64_t)c->d->config.margin_mib << 20);
	c->nr_settled = c->d->nr_mem_settled;
	r = work_submit(c->d->pool, look, looked, c);
	c->working = r == 0;
	if (r < 0) {
		err_set(&c->err, r, "daemon.no-memory", "no memory to look at a guest's");
		finish(c, r);
	}
}

int mem_check_begin(struct daemon *d, const char *guest, enum lease_via via, mem_check_fn done, void *ctx, struct mem_check **ret,
		    struct err *err)
{
	struct mem_check *c;
	struct guest *g;
	int r = guest_get(d, guest, &g, err);

	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, -ENOMEM, "daemon.no-memory", "guest %s: no memory to look at its", guest);
	*c = (struct mem_check){ .d = d, .done = done, .ctx = ctx, .via = via, .pid = guest_vmm_pid(g) };
	snprintf(c->guest, sizeof(c->guest), "%s", guest);
	r = vmm_query_memory(g->vmm, asked, c, err);
	if (r < 0)
		free(c);
	else if (ret)
		*ret = c;
	return r;
}

struct mem_check *mem_check_forget(struct mem_check *c)
{
	if (c && c->working && c->d->stopping)
		free(c);
	else if (c)
		c->done = NULL;
	return NULL;
}
