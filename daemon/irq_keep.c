/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "irq_keep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "db.h"
#include "gangway_limits.h"
#include "irq_balance.h"
#include "irq_follow.h"
#include "irq_keep_internal.h"
#include "lease.h"
#include "log.h"
#include "work.h"

/* On a worker. */
struct job {
	struct irq_keep *keep; /* NULL: the lease is no more */
	struct sys *sys;
	struct db *db;
	char id[LEASE_ID_MAX], bdf[BDF_LEN], boot_id[40];
	struct saved_list saved;
	unsigned nr; /* moves; 0: give back */
	irq_moved_fn moved;
	struct err err; /* of giving back */
	struct err forget_err; /* its row could not be written */
	struct irq_move moves[];
};

struct irq_keep *irq_keep_of(struct lease *l)
{
	if (!l->irq_keep) {
		l->irq_keep = calloc(1, sizeof(*l->irq_keep));
		if (l->irq_keep)
			l->irq_keep->lease = l;
	}
	return l->irq_keep;
}

/* --- on a worker: move --- */

static const struct irq_host *find_host(const struct irq_host *hosts, unsigned nr, const struct irq_host *want)
{
	for (unsigned i = 0; i < nr; i++)
		if (hosts[i].irq == want->irq && hosts[i].vector == want->vector && hosts[i].msix == want->msix)
			return &hosts[i];
	return NULL;
}

static bool is_saved(const struct saved_list *saved, const struct irq_host *host)
{
	for (unsigned i = 0; i < saved->nr; i++)
		if (saved->of[i].irq == host->irq && saved->of[i].vector == host->vector && saved->of[i].msix == host->msix)
			return true;
	return false;
}

/* What has gone meanwhile needs no giving back, and its number may be another's. */
static void forget_gone(struct saved_list *saved, const struct irq_host *hosts, unsigned nr)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < saved->nr; i++) {
		const struct irq_saved *s = &saved->of[i];

		if (find_host(hosts, nr, &(struct irq_host){ .irq = s->irq, .vector = s->vector, .msix = s->msix }))
			saved->of[kept++] = *s;
	}
	saved->nr = kept;
}

static int gone(const struct job *j, struct irq_move *m)
{
	return err_set(&m->err, -ENOENT, "irq.gone", "irq %u: it is vector %u of VF %s no more", m->host.irq, m->host.vector,
		       j->bdf);
}

/* What those that are to be moved have now, where that is not known yet. */
static void save_new(struct job *j, const struct irq_host *hosts, unsigned nr)
{
	for (unsigned i = 0; i < j->nr; i++) {
		struct irq_move *m = &j->moves[i];

		m->r = find_host(hosts, nr, &m->host) ? 0 : gone(j, m);
		if (m->r < 0 || is_saved(&j->saved, &m->host))
			continue;
		if (j->saved.nr == LIMIT_IRQ_VECTORS)
			m->r = err_set(&m->err, -ENOSPC, "irq.too-many", "VF %s: no more than %d vectors are followed", j->bdf,
				       LIMIT_IRQ_VECTORS);
		else
			m->r = irq_affinity_save(j->sys, &m->host, 1, &j->saved.of[j->saved.nr], &m->err);
		if (m->r > 0) {
			j->saved.nr++;
			m->r = 0;
		}
	}
}

static int record(struct job *j, struct err *err)
{
	json_t *irqs = irq_saved_to_json(&j->saved, j->bdf, j->boot_id);
	int r;

	if (!irqs)
		return err_set(err, -ENOMEM, "daemon.no-memory", "lease %s: no memory to record its interrupts", j->id);
	r = db_put_irqs(j->db, j->id, irqs, err);
	json_decref(irqs);
	return r;
}

static void refuse_all(struct job *j, int r, const struct err *err)
{
	for (unsigned i = 0; i < j->nr; i++) {
		j->moves[i].r = r;
		j->moves[i].err = *err;
	}
}

/* Recording took a while, a disk's: a guest can have freed the vector since, and its number be another device's. */
static int check_host(const struct job *j, struct irq_move *m)
{
	int r = irq_host_check(j->sys, j->bdf, &m->host);

	if (r == -ENOENT)
		return gone(j, m);
	return r < 0 ? err_set(&m->err, r, "irq.list", "irq %u: whose it is: %s", m->host.irq, strerror(-r)) : 0;
}

static void write_all(struct job *j)
{
	for (unsigned i = 0; i < j->nr; i++) {
		struct irq_move *m = &j->moves[i];
		struct irq_cpus want = { 0 };

		if (m->r < 0)
			continue;
		m->r = check_host(j, m);
		if (m->r < 0)
			continue;
		irq_cpus_add(&want, m->cpu);
		m->tried = true;
		m->r = irq_affinity_write(j->sys, m->host.irq, &want, &m->err);
		m->refused = m->r == -EIO || m->r == -EACCES;
	}
}

static int move_run(void *arg)
{
	struct job *j = arg;
	struct irq_host *hosts = calloc(IRQ_HOST_MAX, sizeof(*hosts));
	unsigned nr = 0, before;
	struct err err;
	int r;

	if (!hosts)
		r = err_set(&err, -ENOMEM, "daemon.no-memory", "lease %s: no memory to move its interrupts", j->id);
	else
		r = irq_host_list(j->sys, j->bdf, hosts, IRQ_HOST_MAX, &nr, &err);
	if (r == 0)
		forget_gone(&j->saved, hosts, nr);
	before = j->saved.nr;
	if (r == 0)
		save_new(j, hosts, nr);
	if (r == 0 && j->saved.nr > before)
		r = record(j, &err);
	if (r < 0) {
		j->saved.nr = before; /* what is not recorded is not known */
		refuse_all(j, r, &err);
	} else {
		write_all(j);
	}
	free(hosts);
	return r;
}

/* --- on a worker: give back --- */

static int release_run(void *arg)
{
	struct job *j = arg;
	int r = irq_affinity_restore(j->sys, j->bdf, j->saved.of, j->saved.nr, &j->err);

	/* what is refused now would be refused again: it is told, and forgotten */
	db_put_irqs(j->db, j->id, NULL, &j->forget_err);
	return r;
}

/* --- in the loop --- */

static struct job *job_new(struct irq_keep *k, unsigned nr)
{
	struct daemon *d = k->lease->daemon;
	struct job *j = calloc(1, sizeof(*j) + nr * sizeof(j->moves[0]));

	if (!j)
		return NULL;
	j->keep = k;
	j->sys = d->sys;
	j->db = d->db;
	j->nr = nr;
	j->saved = k->saved;
	memcpy(j->id, k->lease->id, sizeof(j->id));
	memcpy(j->bdf, k->bdf, sizeof(j->bdf));
	memcpy(j->boot_id, d->boot_id, sizeof(j->boot_id));
	return j;
}

static bool begin_release(struct irq_keep *k);

static void released(struct irq_keep *k)
{
	void (*done)(void *ctx) = k->released;
	void *ctx = k->ctx;

	k->release = false;
	k->released = NULL;
	if (done)
		done(ctx);
}

static void move_done(int r, void *arg)
{
	struct job *j = arg;
	struct irq_keep *k = j->keep;

	(void)r; /* each move has it */
	if (k) {
		k->saved = j->saved;
		k->job = NULL;
		irq_balance_update(k->lease->daemon, true);
		j->moved(k->lease, j->moves, j->nr);
		if (k->release && !k->job && !begin_release(k))
			released(k);
	}
	free(j);
}

static void release_done(int r, void *arg)
{
	struct job *j = arg;
	struct irq_keep *k = j->keep;

	if (r < 0)
		log_warn("lease %s: not all of its interrupts were given back: %s, ignoring", j->id, j->err.msg);
	if (j->forget_err.num)
		log_warn("lease %s: %s, ignoring", j->id, j->forget_err.msg);
	if (k) {
		k->saved.nr = 0;
		k->job = NULL;
		irq_balance_update(k->lease->daemon, true);
		irq_follow_hint(k->lease); /* who follows it waits for this */
		released(k);
	}
	free(j);
}

/* False: there is nothing to give back, or no memory for it. */
static bool begin_release(struct irq_keep *k)
{
	struct job *j = k->saved.nr ? job_new(k, 0) : NULL;

	if (j && work_submit(k->lease->daemon->pool, release_run, release_done, j) == 0) {
		k->job = j;
		k->release = true;
		return true;
	}
	if (k->saved.nr)
		log_warn("lease %s: no memory to give its interrupts back, ignoring", k->lease->id);
	free(j);
	return false;
}

int irq_keep_move(struct lease *l, const struct irq_move *moves, unsigned nr, irq_moved_fn done)
{
	struct irq_keep *k = irq_keep_of(l);
	struct job *j;
	int r;

	if (!k)
		return -ENOMEM;
	if (k->job)
		return -EBUSY;
	if (strcmp(k->bdf, l->vf_bdf)) { /* another VF than it had: of that one nothing is left */
		memcpy(k->bdf, l->vf_bdf, sizeof(k->bdf));
		k->saved.nr = 0;
	}
	j = job_new(k, nr);
	if (!j)
		return -ENOMEM;
	memcpy(j->moves, moves, nr * sizeof(*moves));
	j->moved = done;
	r = work_submit(l->daemon->pool, move_run, move_done, j);
	if (r < 0) {
		free(j);
		return r;
	}
	k->job = j;
	return 0;
}

bool irq_keep_has(const struct lease *l)
{
	return l->irq_keep && (l->irq_keep->job || l->irq_keep->saved.nr);
}

unsigned irq_keep_irqs(const struct lease *l, unsigned *ret)
{
	const struct irq_keep *k = l->irq_keep;
	unsigned nr = 0;

	for (unsigned i = 0; k && i < k->saved.nr; i++) {
		const struct irq_saved *s = &k->saved.of[i];

		if (!irq_is_gone(l, k->bdf, &(struct irq_host){ .irq = s->irq, .vector = s->vector, .msix = s->msix }))
			ret[nr++] = s->irq;
	}
	return nr;
}

bool irq_keep_is_busy(const struct lease *l)
{
	return l->irq_keep && l->irq_keep->job;
}

bool irq_keep_release(struct lease *l, void (*done)(void *ctx), void *ctx)
{
	struct irq_keep *k = l->irq_keep;

	if (!k)
		return false;
	if (!k->job && !begin_release(k))
		return false;
	k->release = true;
	if (done) {
		k->released = done;
		k->ctx = ctx;
	}
	return true;
}

void irq_keep_free(struct lease *l)
{
	struct irq_keep *k = l->irq_keep;

	l->irq_keep = NULL;
	if (!k)
		return;
	if (k->job && l->daemon->stopping)
		free(k->job); /* its worker has ended, and its end is told to nobody */
	else if (k->job)
		k->job->keep = NULL;
	irq_balance_update(l->daemon, true);
	free(k);
	irq_follow_hint(l); /* the guest's other leases waited for that */
}
