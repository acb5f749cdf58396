/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VMM's mappings may be many, and reading them makes the kernel walk all of its page tables. So few are read at once, and whoever asks about a guest
 * that is not being read yet shares what is found; who asks later is not given what was read before.
 */
#include "mem_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "guests.h"
#include "vmm.h"
#include "work.h"

enum reading_state { READING_ASKS, READING_WAITS, READING_READS };

struct mem_check { /* who wants to know */
	TAILQ_ENTRY(mem_check) link;
	struct mem_reading *reading;
	mem_check_fn done;
	void *ctx;
};

TAILQ_HEAD(mem_check_list, mem_check);

struct mem_reading { /* of one guest */
	LIST_ENTRY(mem_reading) link;
	struct daemon *d;
	enum reading_state state;
	uint64_t turn; /* READING_WAITS: the lowest is next */
	struct mem_check_list checks;
	enum lease_via via;
	pid_t pid;
	char guest[LIMIT_NAME + 1];
	unsigned nr_settled; /* of the daemon, when the host was looked at */
	struct vmm_memory said;
	struct mem_facts facts;
	struct err err;
};

static void begin_next(struct daemon *d);

static void finish(struct mem_reading *rd, int r)
{
	struct daemon *d = rd->d;
	struct mem_check *c;

	LIST_REMOVE(rd, link);
	if (r == 0)
		mem_account_take_off(d, rd->guest, &rd->facts);
	while ((c = TAILQ_FIRST(&rd->checks))) {
		TAILQ_REMOVE(&rd->checks, c, link);
		c->done(c->ctx, r, r < 0 ? NULL : &rd->facts, r < 0 ? NULL : &rd->said, r < 0 ? &rd->err : NULL);
		free(c);
	}
	free(rd);
	if (!d->stopping)
		begin_next(d);
}

static int look(void *arg)
{
	struct mem_reading *rd = arg;

	return mem_facts_read(rd->d->sys, &rd->facts, &rd->err);
}

static int look_again(void *arg)
{
	struct mem_reading *rd = arg;

	return mem_facts_look_again(rd->d->sys, &rd->facts, &rd->err);
}

static void looked(int r, void *arg);

static int submit(struct mem_reading *rd, work_fn fn)
{
	int r;

	rd->nr_settled = rd->d->nr_mem_settled;
	r = work_submit(rd->d->pool, fn, looked, rd);
	return r < 0 ? err_set(&rd->err, r, "daemon.no-memory", "no memory to look at a guest's") : 0;
}

static void looked(int r, void *arg)
{
	struct mem_reading *rd = arg;

	/* as often as somebody has pinned meanwhile */
	if (r == 0 && !TAILQ_EMPTY(&rd->checks) && rd->nr_settled != rd->d->nr_mem_settled) {
		r = submit(rd, look_again);
		if (r == 0)
			return;
	}
	finish(rd, r);
}

/* --- a few at a time --- */

static unsigned nr_reading(const struct daemon *d)
{
	const struct mem_reading *rd;
	unsigned nr = 0;

	LIST_FOREACH(rd, &d->mem_readings, link)
	nr += rd->state == READING_READS;
	return nr;
}

static struct mem_reading *next_to_read(const struct daemon *d)
{
	struct mem_reading *rd, *best = NULL;

	LIST_FOREACH(rd, &d->mem_readings, link)
	if (rd->state == READING_WAITS && (!best || rd->turn < best->turn))
		best = rd;
	return best;
}

static void begin_next(struct daemon *d)
{
	struct mem_reading *rd = nr_reading(d) < MEM_READERS_MAX ? next_to_read(d) : NULL;

	if (!rd)
		return;
	rd->state = READING_READS;
	if (submit(rd, look) < 0)
		finish(rd, rd->err.num);
}

static void asked(void *ctx, int r, const struct vmm_memory *memory, const struct err *err)
{
	struct mem_reading *rd = ctx;
	struct daemon *d = rd->d;

	if (r == 0 && d->stopping)
		r = err_set(&rd->err, -ESHUTDOWN, "daemon.stopping", "gangwayd stops");
	else if (r < 0)
		rd->err = *err;
	if (r < 0 || TAILQ_EMPTY(&rd->checks)) {
		finish(rd, r < 0 ? r : -ECANCELED);
		return;
	}
	rd->said = *memory;
	mem_facts_ask(&rd->facts, &memory->memdevs, memory->ram_bytes, rd->pid, rd->via, (uint64_t)d->config.margin_mib << 20);
	rd->state = READING_WAITS;
	rd->turn = ++d->nr_mem_turns;
	begin_next(d);
}

/* --- who asks --- */

/* Its mappings are yet to be read. */
static struct mem_reading *find(const struct daemon *d, const char *guest, enum lease_via via)
{
	struct mem_reading *rd;

	LIST_FOREACH(rd, &d->mem_readings, link)
	if (rd->state != READING_READS && rd->via == via && !strcmp(rd->guest, guest))
		return rd;
	return NULL;
}

static int begin(struct daemon *d, const char *guest, enum lease_via via, struct mem_reading **ret, struct err *err)
{
	struct mem_reading *rd;
	struct guest *g;
	int r = guest_get(d, guest, &g, err);

	if (r < 0)
		return r;
	rd = calloc(1, sizeof(*rd));
	if (!rd)
		return err_set(err, -ENOMEM, "daemon.no-memory", "guest %s: no memory to look at its", guest);
	*rd = (struct mem_reading){ .d = d, .via = via, .pid = guest_vmm_pid(g) };
	snprintf(rd->guest, sizeof(rd->guest), "%s", guest);
	TAILQ_INIT(&rd->checks);
	r = vmm_query_memory(g->vmm, asked, rd, err);
	if (r < 0) {
		free(rd);
		return r;
	}
	LIST_INSERT_HEAD(&d->mem_readings, rd, link);
	*ret = rd;
	return 0;
}

int mem_check_begin(struct daemon *d, const char *guest, enum lease_via via, mem_check_fn done, void *ctx, struct mem_check **ret,
		    struct err *err)
{
	struct mem_check *c = calloc(1, sizeof(*c));
	struct mem_reading *rd = find(d, guest, via);
	int r = 0;

	if (!c)
		return err_set(err, -ENOMEM, "daemon.no-memory", "guest %s: no memory to look at its", guest);
	if (!rd)
		r = begin(d, guest, via, &rd, err);
	if (r < 0) {
		free(c);
		return r;
	}
	*c = (struct mem_check){ .reading = rd, .done = done, .ctx = ctx };
	TAILQ_INSERT_TAIL(&rd->checks, c, link); /* NOLINT(clang-analyzer-core.NullDereference): begin() gave one, and 0 */
	if (ret)
		*ret = c;
	return 0;
}

struct mem_check *mem_check_forget(struct mem_check *c)
{
	if (c) {
		TAILQ_REMOVE(&c->reading->checks, c, link);
		free(c);
	}
	return NULL;
}

void mem_checks_end(struct daemon *d)
{
	struct mem_reading *rd, *next;

	for (rd = LIST_FIRST(&d->mem_readings); rd; rd = next) {
		next = LIST_NEXT(rd, link);
		err_set(&rd->err, -ESHUTDOWN, "daemon.stopping", "gangwayd stops");
		finish(rd, -ESHUTDOWN);
	}
}
