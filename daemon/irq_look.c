/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A look at the host, on a worker: where the vCPUs' threads run, which interrupts the VFs have, where and how often they have arrived. It reads
 * files alone; what it found is taken in the loop, by names: leases and vCPUs may be others by then.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "guests.h"
#include "irq_balance.h"
#include "irq_count.h"
#include "irq_internal.h"
#include "irq_posted.h"
#include "irq_process.h"
#include "sys.h"
#include "vmm.h"
#include "work.h"

struct seen_vcpu {
	pid_t tid;
	int r;
	struct irq_thread thread;
	struct irq_cpus allowed;
	struct err err;
};

struct seen_irq {
	struct irq_host host;
	bool known;
	struct irq_cpus affinity, effective;
	unsigned nr_counts;
	uint64_t *counts;
	uint64_t counts_us; /* read when: a look may take long, and its end is no time of theirs */
};

struct seen_nic {
	char id[LEASE_ID_MAX], bdf[BDF_LEN];
	bool has_cap; /* found, or known before */
	struct msix_cap cap;
	int r;
	struct err err;
	unsigned nr;
	struct seen_irq *irqs;
};

struct irq_look {
	struct irq_follow *f; /* NULL: it is no more */
	struct sys *sys;
	pid_t pid;
	bool finds; /* @pid, by the vCPUs' threads and who has @group open */
	int group;
	struct err pid_err;
	uint64_t now_us;
	int r;
	struct err err;
	bool asks_posts, posts;
	struct irq_cpus online;
	unsigned nr_vcpus, nr_nics;
	struct seen_vcpu *vcpus;
	struct seen_nic *nics;
};

static void look_free(struct irq_look *look)
{
	for (unsigned i = 0; look->nics && i < look->nr_nics; i++) {
		for (unsigned k = 0; k < look->nics[i].nr; k++)
			free(look->nics[i].irqs[k].counts);
		free(look->nics[i].irqs);
	}
	free(look->nics);
	free(look->vcpus);
	free(look);
}

void irq_look_forget(struct irq_look *look, bool stopping)
{
	if (look && stopping)
		look_free(look); /* its worker has ended, and its end is told to nobody */
	else if (look)
		look->f = NULL;
}

/* --- on a worker --- */

static void see_vcpu(struct irq_look *look, struct seen_vcpu *v)
{
	v->r = irq_thread_read(look->sys, look->pid, v->tid, &v->thread, &v->err);
	if (v->r == 0)
		v->r = irq_thread_allowed(look->sys, look->pid, v->tid, &v->allowed, &v->err);
}

static void see_counts(struct sys *sys, struct seen_irq *irq, uint64_t *room)
{
	unsigned nr = 0;

	if (irq_count_cpus(sys, irq->host.irq, room, IRQ_CPUS_MAX, &nr) < 0 || nr == 0)
		return;
	irq->counts = malloc(nr * sizeof(*room));
	if (!irq->counts)
		return;
	memcpy(irq->counts, room, nr * sizeof(*room));
	irq->nr_counts = nr;
	irq->counts_us = sys->ops->now_us(sys);
}

static void see_irq(struct sys *sys, struct seen_irq *irq, uint64_t *room)
{
	irq->known = irq_affinity_read(sys, irq->host.irq, &irq->affinity, NULL) == 0 &&
		     irq_effective_read(sys, irq->host.irq, &irq->effective, NULL) == 0;
	see_counts(sys, irq, room);
}

static int see_nic(struct irq_look *look, struct seen_nic *nic, struct irq_host *hosts, uint64_t *room)
{
	unsigned nr = 0;
	int r;

	r = irq_host_list(look->sys, nic->bdf, hosts, LIMIT_IRQ_VECTORS, &nr, &nic->err);
	if (r < 0)
		return r;
	/* a function without vectors needs none of its capability; one that has some has it */
	if (nr > 0 && !nic->has_cap) {
		r = msix_cap_read(look->sys, nic->bdf, &nic->cap, &nic->err);
		nic->has_cap = r == 0;
	}
	nic->irqs = calloc(nr ? nr : 1, sizeof(*nic->irqs));
	if (!nic->irqs)
		return err_set(&nic->err, -ENOMEM, "daemon.no-memory", "VF %s: no memory to look at its interrupts", nic->bdf);
	nic->nr = nr;
	for (unsigned i = 0; i < nr; i++) {
		nic->irqs[i].host = hosts[i];
		see_irq(look->sys, &nic->irqs[i], room);
	}
	return r;
}

static void find_pid(struct irq_look *look)
{
	pid_t *tids = calloc(look->nr_vcpus, sizeof(*tids));

	if (!tids)
		return;
	for (unsigned i = 0; i < look->nr_vcpus; i++)
		tids[i] = look->vcpus[i].tid;
	if (irq_process_find(look->sys, tids, look->nr_vcpus, look->group, &look->pid, &look->pid_err) < 0)
		err_prefix(&look->pid_err, "the VMM's process is not known");
	free(tids);
}

static int look_run(void *arg)
{
	struct irq_look *look = arg;
	struct irq_host *hosts = calloc(LIMIT_IRQ_VECTORS, sizeof(*hosts));
	uint64_t *room = calloc(IRQ_CPUS_MAX, sizeof(*room));

	if (!hosts || !room)
		look->r = err_set(&look->err, -ENOMEM, "daemon.no-memory", "no memory to look at interrupts");
	else
		look->r = irq_online_cpus(look->sys, &look->online, &look->err);
	if (look->asks_posts)
		look->posts = irq_host_posts(look->sys);
	if (look->r == 0 && look->finds)
		find_pid(look);
	for (unsigned i = 0; look->r == 0 && i < look->nr_vcpus; i++)
		see_vcpu(look, &look->vcpus[i]);
	for (unsigned i = 0; look->r == 0 && i < look->nr_nics; i++)
		look->nics[i].r = see_nic(look, &look->nics[i], hosts, room);
	look->now_us = look->sys->ops->now_us(look->sys);
	free(hosts);
	free(room);
	return look->r;
}

/* --- what it found --- */

static void take_vcpus(struct irq_follow *f, const struct irq_look *look)
{
	bool gone = false;

	f->online = look->online;
	for (unsigned i = 0; i < f->nr_vcpus && i < look->nr_vcpus; i++) {
		const struct seen_vcpu *s = &look->vcpus[i];
		struct irq_route_vcpu *at = &f->vcpus[i].at;

		if (s->tid != at->tid)
			continue; /* asked anew meanwhile */
		at->known = s->r == 0;
		gone = gone || (s->r == -ESRCH && look->pid > 0); /* else nobody has looked */
		if (s->r < 0)
			continue;
		at->start = s->thread.start;
		at->cpu = s->thread.cpu;
		at->allowed = s->allowed;
	}
	/* another thread has the vCPU, or it is unplugged: no event tells of the first */
	f->vcpus_stale = f->vcpus_stale || gone;
}

/* Of a count that wraps, and begins anew where the guest has armed the vector again and it has got the same number. */
static uint64_t more_of(uint64_t now, uint64_t before)
{
	if (now >= before)
		return now - before;
	return before - now > UINT32_MAX / 2 ? (uint32_t)(now - before) : now;
}

/* Did the vCPU that it is for stand still from the last look, which read the counts, to this one? */
static bool stood_still(const struct irq_follow *f, const struct irq_vector *old)
{
	int vcpu = old->order.vcpu;

	return old->counts_new && old->was_on >= 0 && vcpu >= 0 && (unsigned)vcpu < f->nr_vcpus && f->vcpus[vcpu].at.known &&
	       (int)f->vcpus[vcpu].at.cpu == old->was_on;
}

/*
 * What has arrived since its counts were read; where, if the vCPU that it is for stood still meanwhile. A vector, or a VF, that could not be looked
 * at for a while has as much time to share it out over.
 */
static void take_counts(const struct irq_follow *f, struct irq_vector *v, const struct irq_vector *old)
{
	uint64_t all = 0, there = 0;

	if (v->nr_counts != old->nr_counts)
		return;
	for (unsigned i = 0; i < v->nr_counts; i++) {
		uint64_t more = more_of(v->counts[i], old->counts[i]);

		all += more;
		if ((int)i == old->was_on)
			there = more;
	}
	v->nr += all;
	if (v->counts_us > old->counts_us) {
		v->counted = true;
		v->rate = (double)all / ((double)(v->counts_us - old->counts_us) / 1e6);
	}
	if (!stood_still(f, old))
		return;
	v->nr_judged += all;
	v->nr_there += there;
}

/* What is known of it from looks before. */
static void take_old(const struct irq_follow *f, struct irq_vector *v, struct irq_vector *old)
{
	v->order = old->order;
	v->has_msi = old->has_msi;
	v->msi = old->msi;
	v->err = old->err;
	v->nr_moved = old->nr_moved;
	v->nr = old->nr;
	v->nr_judged = old->nr_judged;
	v->nr_there = old->nr_there;
	if (v->nr_counts) {
		take_counts(f, v, old);
		return;
	}
	v->nr_counts = old->nr_counts;
	v->counts = old->counts;
	v->counts_us = old->counts_us;
	v->counted = old->counted;
	v->rate = old->rate;
	old->counts = NULL;
}

static bool is_same(const struct irq_vector *v, const struct irq_host *host)
{
	return v->host.irq == host->irq && v->host.vector == host->vector && v->host.msix == host->msix;
}

static struct irq_vector *find_vector(const struct irq_nic *nic, const struct irq_host *host)
{
	for (unsigned i = 0; i < nic->nr; i++)
		if (is_same(&nic->v[i], host))
			return &nic->v[i];
	return NULL;
}

/* Of as many as are looked at there may be more. */
bool irq_is_gone(const struct lease *l, const char *bdf, const struct irq_host *host)
{
	const struct irq_nic *nic = l->irq_nic;

	return nic && nic->v && nic->nr < LIMIT_IRQ_VECTORS && !strcmp(nic->bdf, bdf) && !find_vector(nic, host);
}

/* @seen's counts are ours from here on. True: there are others than there were. */
static bool take_vectors(const struct irq_follow *f, struct irq_nic *nic, struct seen_nic *seen)
{
	struct irq_vector *v = calloc(seen->nr ? seen->nr : 1, sizeof(*v));
	bool changed = seen->nr != nic->nr;

	if (!v)
		return false;
	nic->counted = nic->v; /* it was looked at before */
	nic->rate = 0;
	nic->interrupted = false;
	for (unsigned i = 0; i < seen->nr; i++) {
		struct seen_irq *s = &seen->irqs[i];
		struct irq_vector *old = find_vector(nic, &s->host);

		v[i] = (struct irq_vector){ .host = s->host,
					    .known = s->known,
					    .affinity = s->affinity,
					    .effective = s->effective,
					    .order = { .what = IRQ_ROUTE_NO_MESSAGE, .vcpu = -1, .cpu = -1 },
					    .was_on = -1,
					    .nr_counts = s->nr_counts,
					    .counts = s->counts,
					    .counts_us = s->counts_us,
					    .counts_new = s->nr_counts > 0 };
		s->counts = NULL;
		changed = changed || !old;
		if (old)
			take_old(f, &v[i], old);
		nic->counted = nic->counted && v[i].counted;
		if (!old)
			continue;
		nic->rate += v[i].rate;
		nic->interrupted = nic->interrupted || v[i].nr > old->nr;
	}
	for (unsigned i = 0; nic->v && i < nic->nr; i++)
		free(nic->v[i].counts);
	free(nic->v);
	nic->v = v;
	nic->nr = seen->nr;
	return changed;
}

/* With none of them, what a message says leads nowhere. */
static bool knows_a_thread(const struct irq_follow *f)
{
	for (unsigned i = 0; i < f->nr_vcpus; i++)
		if (f->vcpus[i].at.known)
			return true;
	return false;
}

/* Is it time to read its table again? Where vectors came it was written; where they interrupt, the guest may move them. */
static bool is_table_due(const struct irq_follow *f, const struct irq_nic *nic, bool changed)
{
	bool old = irq_wait_us(f, nic->table_us) == 0;

	if (!nic->has_cap || nic->nr == 0)
		return false;
	return changed || nic->table_due || (old && knows_a_thread(f) && (nic->interrupted || !nic->has_table));
}

/* True: its vectors are others than they were. */
static bool take_nic(struct irq_follow *f, struct irq_nic *nic, struct seen_nic *seen)
{
	bool changed;

	nic->err = seen->err;
	if (seen->r == 0)
		err_clear(&nic->err);
	if (seen->has_cap && !nic->has_cap) {
		nic->cap = seen->cap;
		nic->has_cap = true;
	}
	if (seen->r < 0 && !seen->irqs) {
		for (unsigned i = 0; i < nic->nr; i++)
			nic->v[i].counts_new = false;
		return false; /* what was known stays, it is shown with why it is old */
	}
	changed = take_vectors(f, nic, seen);
	nic->table_due = is_table_due(f, nic, changed);
	if (changed || nic->interrupted)
		f->nr_quiet = 0;
	return changed;
}

static void take_one(struct irq_follow *f, struct lease *l, struct seen_nic *seen)
{
	if (take_nic(f, l->irq_nic, seen))
		irq_balance_update(f->d, true); /* numbers of what has gone are others' soon */
	irq_look_for_storm(l);
}

static void take(struct irq_follow *f, struct irq_look *look)
{
	struct lease *l = NULL;

	f->nr_quiet++;
	f->looked_us = look->now_us;
	if (look->asks_posts)
		f->posts = look->posts;
	f->asked_posts = true;
	if (look->finds && f->find_us) { /* else the vCPUs are others by now */
		f->found_pid = look->pid;
		f->pid_err = look->pid_err;
	}
	take_vcpus(f, look);
	while ((l = irq_next(f, l)))
		for (unsigned i = 0; i < look->nr_nics; i++)
			if (!strcmp(look->nics[i].id, l->id) && !strcmp(look->nics[i].bdf, l->irq_nic->bdf))
				take_one(f, l, &look->nics[i]);
	f->route_due = true;
}

static void look_done(int r, void *arg)
{
	struct irq_look *look = arg;
	struct irq_follow *f = look->f;

	if (f) {
		f->look = NULL;
		if (r == 0) {
			irq_succeeded(f, IRQ_LOOK);
			take(f, look);
		} else {
			irq_failed(f, IRQ_LOOK, &look->err);
		}
		irq_go_on(f);
	}
	look_free(look);
}

static bool is_behind_a_manager(const struct irq_follow *f)
{
	return f->guest->manager[0] && vmm_get_state(f->guest->vmm) == VMM_UP;
}

/* One whose VF the VMM opens itself, if there is one: with vfio-user the group is gangway-device's, and tells nothing of the VMM. */
static const struct lease *lease_that_tells(const struct irq_follow *f)
{
	const struct lease *l = irq_next(f, NULL);

	while (l && l->via != VIA_VFIO_PCI)
		l = irq_next(f, l);
	return l ? l : irq_next(f, NULL);
}

static struct irq_look *look_new(struct irq_follow *f)
{
	struct irq_look *look = calloc(1, sizeof(*look));
	const struct lease *tells = lease_that_tells(f);
	struct lease *l = NULL;
	unsigned nr = 0;

	if (!look)
		return NULL;
	while ((l = irq_next(f, l)))
		nr++;
	look->f = f;
	look->sys = f->d->sys;
	look->pid = f->pid;
	look->asks_posts = !f->asked_posts;
	look->finds = tells && f->pid == 0 && f->nr_vcpus > 0 && is_behind_a_manager(f) && irq_wait_us(f, f->find_us) == 0;
	if (look->finds) {
		look->group = tells->group_id;
		f->find_us = irq_now_us(f);
	}
	look->vcpus = calloc(f->nr_vcpus ? f->nr_vcpus : 1, sizeof(*look->vcpus));
	look->nics = calloc(nr ? nr : 1, sizeof(*look->nics));
	if (!look->vcpus || !look->nics) {
		look_free(look);
		return NULL;
	}
	look->nr_vcpus = f->nr_vcpus;
	for (unsigned i = 0; i < f->nr_vcpus; i++)
		look->vcpus[i].tid = f->vcpus[i].at.tid;
	while ((l = irq_next(f, l))) {
		struct seen_nic *nic = &look->nics[look->nr_nics++];

		memcpy(nic->id, l->id, sizeof(nic->id));
		memcpy(nic->bdf, l->irq_nic->bdf, sizeof(nic->bdf));
		nic->has_cap = l->irq_nic->has_cap;
	}
	return look;
}

int irq_look_begin(struct irq_follow *f, struct err *err)
{
	struct irq_look *look = look_new(f);

	f->look_due = false;
	if (look && work_submit(f->d->pool, look_run, look_done, look) == 0) {
		f->look = look;
		return 0;
	}
	if (look)
		look_free(look);
	return err_set(err, -ENOMEM, "daemon.no-memory", "guest %s: no memory to look at its interrupts", f->guest->name);
}
