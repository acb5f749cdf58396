/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "irq_route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "irq_affinity.h"

#define SETTLE_LOOKS_MAX 1000
#define NOWHERE (-1)

/* Where a vCPU is taken to be. */
struct place {
	pid_t tid;
	uint64_t start;
	int cpu; /* settled there; NOWHERE */
	int seen; /* where it was seen last without being settled there; NOWHERE */
	unsigned looks; /* how often in a row */
};

/* What is remembered of an interrupt. */
struct route {
	unsigned irq, vector;
	unsigned at; /* in this look */
	bool refused;
	int ordered; /* the CPU of the last order; NOWHERE */
	bool obeyed; /* it has arrived there since */
	bool pending; /* the last look has ordered it; what was before that: */
	int was_ordered;
	bool was_obeyed;
	unsigned next; /* in @written */
	uint64_t written[IRQ_ROUTE_WRITES_MAX]; /* when it got its last orders, +1; 0 not yet: a ring */
};

struct irq_route {
	struct irq_route_config config;
	struct place places[IRQ_CPUS_MAX]; /* by vCPU */
	struct msi_vcpu ids[IRQ_CPUS_MAX]; /* of this look */
	struct route *routes; /* by irq, ascending */
	unsigned nr_routes;
};

const char *irq_route_what_to_string(enum irq_route_what what)
{
	switch (what) {
	case IRQ_ROUTE_KEEP:
		return "in place";
	case IRQ_ROUTE_WRITE:
		return "moved";
	case IRQ_ROUTE_SETTLING:
		return "the vCPU wanders";
	case IRQ_ROUTE_LIMITED:
		return "moved too often";
	case IRQ_ROUTE_REFUSED:
		return "the kernel refuses to move it";
	case IRQ_ROUTE_NO_MESSAGE:
		return "no usable message";
	case IRQ_ROUTE_NO_VECTOR:
		return "not an interrupt vector";
	case IRQ_ROUTE_NO_VCPU:
		return "no vCPU with that id";
	case IRQ_ROUTE_NO_THREAD:
		return "the vCPU's thread is gone";
	case IRQ_ROUTE_NO_CPU:
		return "the vCPU has no CPU online";
	case IRQ_ROUTE_NO_AFFINITY:
		return "its affinity cannot be read";
	case IRQ_ROUTE_NO_NUMBER:
		return "another one has its number";
	case IRQ_ROUTE_NUM_WHATS:
		break;
	}
	return "?";
}

int irq_route_new(const struct irq_route_config *config, struct irq_route **ret)
{
	struct irq_route *route;

	if (config->settle_looks < 1 || config->settle_looks > SETTLE_LOOKS_MAX || config->writes_max < 1 ||
	    config->writes_max > IRQ_ROUTE_WRITES_MAX || config->window_us == 0)
		return -EINVAL;
	route = calloc(1, sizeof(*route));
	if (!route)
		return -ENOMEM;
	route->config = *config;
	for (unsigned i = 0; i < IRQ_CPUS_MAX; i++)
		route->places[i].cpu = route->places[i].seen = NOWHERE;
	*ret = route;
	return 0;
}

struct irq_route *irq_route_free(struct irq_route *route)
{
	if (route)
		free(route->routes);
	free(route);
	return NULL;
}

/* Interrupts ------------------------------------------------------------------------------------------------------------- */

static int by_irq(const void *a, const void *b)
{
	const struct route *x = a, *y = b;

	return x->irq < y->irq ? -1 : x->irq > y->irq;
}

static int by_irq_and_place(const void *a, const void *b)
{
	const struct route *x = a, *y = b;
	int order = by_irq(a, b);

	return order ? order : x->at < y->at ? -1 : x->at > y->at;
}

static struct route *find(const struct irq_route *route, unsigned irq)
{
	struct route key = { .irq = irq };

	return route->nr_routes ? bsearch(&key, route->routes, route->nr_routes, sizeof(key), by_irq) : NULL;
}

/*
 * The interrupts of this look take the place of those of the last. What is known of one that stays is kept; its limit too when it has become
 * another vector's, as a guest arms and frees vectors as fast as it likes.
 */
static int renew(struct irq_route *route, const struct irq_route_look *look)
{
	struct route *routes = calloc(look->nr_irqs ? look->nr_irqs : 1, sizeof(*routes));
	unsigned nr = 0;

	if (!routes)
		return -ENOMEM;
	for (unsigned i = 0; i < look->nr_irqs; i++) {
		const struct route *old = find(route, look->irqs[i].irq);

		if (old)
			routes[i] = *old;
		if (!old || old->vector != look->irqs[i].vector) {
			routes[i].refused = routes[i].obeyed = false;
			routes[i].ordered = NOWHERE;
		}
		routes[i].pending = false;
		routes[i].irq = look->irqs[i].irq;
		routes[i].vector = look->irqs[i].vector;
		routes[i].at = i;
	}
	qsort(routes, look->nr_irqs, sizeof(*routes), by_irq_and_place);
	for (unsigned i = 0; i < look->nr_irqs; i++)
		if (nr == 0 || routes[i].irq != routes[nr - 1].irq)
			routes[nr++] = routes[i];
	free(route->routes);
	route->routes = routes;
	route->nr_routes = nr;
	return 0;
}

/* The ring's next slot is its oldest of @writes_max. */
static bool may_write(const struct irq_route *route, const struct route *r, uint64_t now)
{
	uint64_t oldest = r->written[r->next];

	return oldest == 0 || now + 1 - oldest >= route->config.window_us;
}

static void note_write(const struct irq_route *route, struct route *r, int cpu, uint64_t now)
{
	r->pending = true;
	r->was_ordered = r->ordered;
	r->was_obeyed = r->obeyed;
	r->ordered = cpu;
	r->obeyed = false;
	r->written[r->next] = now + 1;
	r->next = (r->next + 1) % route->config.writes_max;
}

/* What stood in the ring's slot before was out of the window: it is missed by nobody. */
void irq_route_not_written(struct irq_route *route, unsigned irq)
{
	struct route *r = find(route, irq);

	if (!r || !r->pending)
		return;
	r->pending = false;
	r->ordered = r->was_ordered;
	r->obeyed = r->was_obeyed;
	r->next = (r->next + route->config.writes_max - 1) % route->config.writes_max;
	r->written[r->next] = 0;
}

void irq_route_refused(struct irq_route *route, unsigned irq)
{
	struct route *r = find(route, irq);

	if (r)
		r->refused = true;
}

/* vCPUs ------------------------------------------------------------------------------------------------------------------ */

static void forget(struct place *p, const struct irq_route_vcpu *v)
{
	*p = (struct place){ .tid = v->tid, .start = v->start, .cpu = NOWHERE, .seen = NOWHERE };
}

/* Where is it, after this look? */
static void follow(const struct irq_route *route, struct place *p, const struct irq_route_vcpu *v, const struct irq_cpus *online)
{
	struct irq_cpus may = irq_cpus_and(&v->allowed, online);

	if (p->tid != v->tid || p->start != v->start)
		forget(p, v);
	if (!v->known) /* it may come back: what is known stays, but a row of looks ends */
		p->looks = 0;
	if (!v->known)
		return;
	if (p->cpu != NOWHERE && !irq_cpus_has(&may, (unsigned)p->cpu))
		p->cpu = NOWHERE;
	if (irq_cpus_count(&may) == 1) { /* pinned: no need to wait until it has run there */
		p->cpu = irq_cpus_nth(&may, 0);
		p->looks = 0;
		return;
	}
	if (!irq_cpus_has(&may, v->cpu) || (int)v->cpu == p->cpu) {
		p->looks = 0;
		return;
	}
	p->looks = (int)v->cpu == p->seen ? p->looks + 1 : 1;
	p->seen = (int)v->cpu;
	if (p->looks >= route->config.settle_looks) {
		p->cpu = p->seen;
		p->looks = 0;
	}
}

static void follow_all(struct irq_route *route, const struct irq_route_look *look)
{
	for (unsigned i = 0; i < look->nr_vcpus; i++) {
		follow(route, &route->places[i], &look->vcpus[i], &look->online);
		route->ids[i] = look->vcpus[i].id;
	}
}

/* Orders ----------------------------------------------------------------------------------------------------------------- */

static int only(const struct irq_cpus *set)
{
	return irq_cpus_count(set) == 1 ? irq_cpus_nth(set, 0) : NOWHERE;
}

static int arrives_on(const struct irq_route_irq *irq)
{
	int cpu = only(&irq->effective);

	return cpu != NOWHERE ? cpu : only(&irq->affinity);
}

/*
 * Without interrupt remapping an affinity takes effect with the next interrupt (kernel/irq/migration.c), for an idle vector never: an order
 * is not given twice. But one that was obeyed, and is not any more, is: its CPU was offline meanwhile.
 */
static bool is_on(const struct route *r, const struct irq_route_irq *irq, int cpu)
{
	return arrives_on(irq) == cpu || (only(&irq->affinity) == cpu && r->ordered == cpu && !r->obeyed);
}

/* Which of the vCPUs it goes to is it to follow? One that it is with already, else as KVM hashes. */
static unsigned choose(const struct irq_route *route, const struct irq_route_irq *irq, const struct irq_cpus *targets, unsigned n)
{
	int on = arrives_on(irq), vcpu;

	for (unsigned i = 0; on != NOWHERE && (vcpu = irq_cpus_nth(targets, i)) >= 0; i++)
		if (route->places[vcpu].cpu == on)
			return (unsigned)vcpu;
	return (unsigned)irq_cpus_nth(targets, irq->msi.vector % n);
}

static bool can_run(const struct irq_route_vcpu *v, const struct irq_cpus *online)
{
	struct irq_cpus may = irq_cpus_and(&v->allowed, online);

	return irq_cpus_nth(&may, 0) >= 0;
}

/* Where should it be? KEEP stands for: there is an answer. */
static enum irq_route_what aim(const struct irq_route *route, const struct irq_route_look *look, const struct irq_route_irq *irq,
			       struct irq_route_order *order)
{
	const struct irq_route_vcpu *v;
	struct irq_cpus targets;
	int n;

	if (irq->msi.why != MSI_KNOWN)
		return IRQ_ROUTE_NO_MESSAGE;
	if (irq->msi.delivery != MSI_FIXED && irq->msi.delivery != MSI_LOWEST)
		return IRQ_ROUTE_NO_VECTOR;
	n = msi_targets(&irq->msi, route->ids, look->nr_vcpus, &targets);
	if (n <= 0)
		return IRQ_ROUTE_NO_VCPU;
	if (!irq->known)
		return IRQ_ROUTE_NO_AFFINITY;
	order->vcpu = (int)choose(route, irq, &targets, (unsigned)n);
	v = &look->vcpus[order->vcpu];
	if (!v->known)
		return IRQ_ROUTE_NO_THREAD;
	if (!can_run(v, &look->online))
		return IRQ_ROUTE_NO_CPU;
	order->cpu = route->places[order->vcpu].cpu;
	return order->cpu == NOWHERE ? IRQ_ROUTE_SETTLING : IRQ_ROUTE_KEEP;
}

static enum irq_route_what judge(const struct irq_route *route, struct route *r, const struct irq_route_irq *irq, int cpu,
				 uint64_t now)
{
	if (arrives_on(irq) == r->ordered)
		r->obeyed = true;
	if (is_on(r, irq, cpu))
		return IRQ_ROUTE_KEEP;
	if (r->refused)
		return IRQ_ROUTE_REFUSED;
	if (!may_write(route, r, now))
		return IRQ_ROUTE_LIMITED;
	note_write(route, r, cpu, now);
	return IRQ_ROUTE_WRITE;
}

int irq_route_look(struct irq_route *route, const struct irq_route_look *look, struct irq_route_order *ret)
{
	int r;

	if (look->nr_vcpus > IRQ_CPUS_MAX || look->nr_irqs > IRQ_HOST_MAX)
		return -EINVAL;
	r = renew(route, look);
	if (r < 0)
		return r;
	follow_all(route, look);
	for (unsigned i = 0; i < look->nr_irqs; i++) {
		const struct irq_route_irq *irq = &look->irqs[i];
		struct route *state = find(route, irq->irq);

		ret[i] = (struct irq_route_order){ .vcpu = -1, .cpu = NOWHERE };
		if (!state || state->at != i) {
			ret[i].what = IRQ_ROUTE_NO_NUMBER;
			continue;
		}
		ret[i].what = aim(route, look, irq, &ret[i]);
		if (ret[i].what == IRQ_ROUTE_KEEP)
			ret[i].what = judge(route, state, irq, ret[i].cpu, look->now_us);
	}
	return 0;
}
