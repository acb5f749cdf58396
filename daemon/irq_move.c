/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From what was seen to what is done: messages to vCPUs, those to CPUs (irq_route.h), and what is not there is moved. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "daemon.h"
#include "guests.h"
#include "irq_internal.h"
#include "log.h"

/* At one look a second: a thread has to be somewhere for that long to be followed, and one that wanders is not followed everywhere. */
static const struct irq_route_config route_config = {
	.settle_looks = 3,
	.writes_max = LIMIT_IRQ_WRITES,
	.window_us = LIMIT_IRQ_WRITES_SEC * (uint64_t)1000000,
};
_Static_assert(LIMIT_IRQ_WRITES <= IRQ_ROUTE_WRITES_MAX, "irq_route remembers so many");

/* --- a look for irq_route --- */

static void decode(const struct irq_follow *f, const struct irq_nic *nic, struct irq_vector *v)
{
	v->has_msi = v->host.msix && nic->has_table && v->host.vector < nic->nr_table;
	if (v->has_msi)
		msi_decode(&nic->table[v->host.vector], f->flags, &v->msi);
	else
		v->msi = (struct msi){ .why = MSI_EMPTY };
}

static unsigned count_vectors(const struct irq_follow *f)
{
	struct lease *l = NULL;
	unsigned nr = 0;

	while ((l = irq_next(f, l)))
		nr += l->irq_nic->nr;
	return nr;
}

struct routed {
	struct irq_route_vcpu *vcpus;
	struct irq_route_irq *irqs;
	struct irq_route_order *orders;
	unsigned nr;
};

static void routed_free(struct routed *r)
{
	free(r->vcpus);
	free(r->irqs);
	free(r->orders);
}

static bool routed_alloc(const struct irq_follow *f, struct routed *r)
{
	unsigned nr = count_vectors(f);

	r->vcpus = calloc(f->nr_vcpus ? f->nr_vcpus : 1, sizeof(*r->vcpus));
	r->irqs = calloc(nr ? nr : 1, sizeof(*r->irqs));
	r->orders = calloc(nr ? nr : 1, sizeof(*r->orders));
	return r->vcpus && r->irqs && r->orders;
}

static void fill(struct irq_follow *f, struct routed *r)
{
	struct lease *l = NULL;

	for (unsigned i = 0; i < f->nr_vcpus; i++)
		r->vcpus[i] = f->vcpus[i].at;
	while ((l = irq_next(f, l)))
		for (unsigned i = 0; i < l->irq_nic->nr; i++) {
			struct irq_vector *v = &l->irq_nic->v[i];

			decode(f, l->irq_nic, v);
			r->irqs[r->nr++] = (struct irq_route_irq){ .irq = v->host.irq,
								   .vector = v->host.vector,
								   .msi = v->msi,
								   .known = v->known,
								   .affinity = v->affinity,
								   .effective = v->effective };
		}
}

static void take_orders(struct irq_follow *f, const struct routed *r)
{
	struct lease *l = NULL;
	unsigned at = 0;

	while ((l = irq_next(f, l)))
		for (unsigned i = 0; i < l->irq_nic->nr; i++) {
			struct irq_vector *v = &l->irq_nic->v[i];

			v->order = r->orders[at++];
			v->was_on =
				v->order.vcpu >= 0 && f->vcpus[v->order.vcpu].at.known ? (int)f->vcpus[v->order.vcpu].at.cpu : -1;
			if (v->order.what == IRQ_ROUTE_KEEP)
				err_clear(&v->err);
		}
}

static int route(struct irq_follow *f, struct err *err)
{
	struct irq_route_look look = { .now_us = irq_now_us(f), .online = f->online, .nr_vcpus = f->nr_vcpus };
	struct routed r = { 0 };
	int ret = 0;

	if (!f->route)
		ret = irq_route_new(&route_config, &f->route);
	if (ret == 0 && !routed_alloc(f, &r))
		ret = -ENOMEM;
	if (ret == 0) {
		fill(f, &r);
		look.vcpus = r.vcpus;
		look.irqs = r.irqs;
		look.nr_irqs = r.nr;
		ret = irq_route_look(f->route, &look, r.orders);
	}
	if (ret == 0)
		take_orders(f, &r);
	routed_free(&r);
	return ret < 0 ? err_set(err, ret, "irq.not-routed", "guest %s: its interrupts could not be looked through: %s",
				 f->guest->name, strerror(-ret))
		       : 0;
}

/* --- logical ids --- */

/*
 * A message with a logical id can be read only by who knows what the vCPUs' local APICs have. They are asked when there is one; and once more when the
 * guest has written a message to a vCPU that nobody is, as one that it has just started.
 */
static void want_lapics(struct irq_follow *f)
{
	bool logical = false, again = false;
	struct lease *l = NULL;

	while ((l = irq_next(f, l))) {
		bool lost = false;

		for (unsigned i = 0; i < l->irq_nic->nr; i++) {
			const struct irq_vector *v = &l->irq_nic->v[i];

			logical = logical || (v->has_msi && v->msi.why == MSI_KNOWN && v->msi.logical);
			lost = lost || v->order.what == IRQ_ROUTE_NO_VCPU;
		}
		again = again || (lost && l->irq_nic->table_changed);
		l->irq_nic->table_changed = false;
	}
	for (unsigned i = 0; i < f->nr_vcpus; i++) {
		f->vcpus[i].lapic_asked = f->vcpus[i].lapic_asked && !again;
		f->lapic_due = f->lapic_due || (logical && !f->vcpus[i].lapic_asked);
	}
}

/* --- storms --- */

/* Said when it begins and when it is over: at half of it, or it would be said all the time. */
void irq_look_for_storm(struct lease *l)
{
	struct irq_nic *nic = l->irq_nic;
	double limit = l->daemon->config.irq_storm_rate;
	bool storm = limit > 0 && nic->rate >= (nic->storm ? limit / 2 : limit);

	if (storm == nic->storm)
		return;
	nic->storm = storm;
	if (storm)
		log_warn("lease %s: interrupt storm: VF %s interrupts %.0f times a second", l->id, l->vf_bdf, nic->rate);
	else
		log_info("lease %s: VF %s: the interrupt storm is over, %.0f times a second", l->id, l->vf_bdf, nic->rate);
	ctl_event(l->daemon->ctl, "irq", l->id, json_pack("{s:b, s:f, s:s}", "storm", storm, "rate", nic->rate, "vf", l->vf_bdf));
}

/* --- moving --- */

static struct irq_vector *find_vector(const struct irq_nic *nic, const struct irq_host *host)
{
	for (unsigned i = 0; nic && i < nic->nr; i++)
		if (nic->v[i].host.irq == host->irq && nic->v[i].host.vector == host->vector)
			return &nic->v[i];
	return NULL;
}

static void not_written(const struct irq_follow *f, unsigned irq)
{
	if (f->route)
		irq_route_not_written(f->route, irq);
}

static void on_moved(struct lease *l, const struct irq_move *moves, unsigned nr)
{
	struct guest *g = guest_find(l->daemon, l->guest);

	for (unsigned i = 0; i < nr; i++) {
		const struct irq_move *m = &moves[i];
		struct irq_vector *v = find_vector(l->irq_nic, &m->host);

		if (m->r == 0)
			log_debug("lease %s: vector %u, irq %u: to CPU %u", l->id, m->host.vector, m->host.irq, m->cpu);
		else
			log_debug("lease %s: vector %u: %s, ignoring", l->id, m->host.vector, m->err.msg);
		/* one that has gone was the guest's doing, which it can do again and again */
		if (g && g->irq && !m->tried && m->r != -ENOENT)
			not_written(g->irq, m->host.irq);
		if (!v)
			continue;
		v->err = m->err;
		if (m->r == 0) {
			err_clear(&v->err);
			v->affinity = (struct irq_cpus){ 0 };
			irq_cpus_add(&v->affinity, m->cpu);
			l->irq_nic->nr_moved++;
			v->nr_moved++;
		}
		if (g && g->irq && g->irq->route && m->refused)
			irq_route_refused(g->irq->route, m->host.irq);
	}
	if (g && g->irq)
		irq_go_on(g->irq);
}

/* What the host counts came by way of the host. */
bool irq_is_posted(const struct irq_follow *f, const struct irq_vector *v)
{
	return f->posts && v->nr == 0;
}

/* An order that nobody is given is none: it would be one of those that the interrupt may have, when it counts. */
static void move_of(const struct irq_follow *f, struct lease *l, struct irq_move *moves)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < l->irq_nic->nr; i++) {
		const struct irq_vector *v = &l->irq_nic->v[i];

		if (v->order.what != IRQ_ROUTE_WRITE)
			continue;
		if (irq_is_posted(f, v) || !f->d->config.irq_route)
			not_written(f, v->host.irq);
		else
			moves[nr++] = (struct irq_move){ .host = v->host, .cpu = (unsigned)v->order.cpu };
	}
	if (nr == 0 || irq_keep_move(l, moves, nr, on_moved) == 0)
		return;
	log_debug("lease %s: its interrupts are not moved now, ignoring", l->id);
	for (unsigned i = 0; i < nr; i++)
		not_written(f, moves[i].host.irq);
}

int irq_route_all(struct irq_follow *f, struct err *err)
{
	struct irq_move *moves;
	struct lease *l = NULL;
	int r;

	f->route_due = false;
	r = route(f, err);
	if (r < 0)
		return r;
	irq_succeeded(f, IRQ_ROUTE);
	want_lapics(f);
	moves = calloc(LIMIT_IRQ_VECTORS, sizeof(*moves));
	if (!moves)
		return err_set(err, -ENOMEM, "daemon.no-memory", "guest %s: no memory to move its interrupts", f->guest->name);
	while ((l = irq_next(f, l)))
		move_of(f, l, moves);
	free(moves);
	return 0;
}
