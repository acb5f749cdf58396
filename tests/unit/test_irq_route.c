/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where interrupts should arrive: single looks, and a model of host and guest in which everything moves at random. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "irq_route.h"

#define SEC 1000000ull
#define VCPUS 4
#define IRQS 6
#define CPUS 4

/* The world, as one look sees it; a write takes effect at once, or (lags) with the next interrupt. */
static struct {
	struct irq_route *route;
	struct irq_route_config config;
	uint64_t now;
	struct irq_cpus online;
	struct irq_route_vcpu vcpus[VCPUS];
	struct irq_route_irq irqs[IRQS];
	unsigned nr_vcpus, nr_irqs;
	struct irq_route_order orders[IRQS];
	bool lags;
} w;

static struct irq_cpus set_of(uint64_t bits)
{
	struct irq_cpus set = { { bits } };

	return set;
}

static struct msi to(unsigned apic_id)
{
	struct msi_message m = { 0xfee00000 | apic_id << 12, 0, 0x41 + apic_id, 0 };
	struct msi msi;

	msi_decode(&m, 0, &msi);
	return msi;
}

/* To each vCPU whose bit is set, in flat mode. */
static struct msi to_some(unsigned mask, bool lowest)
{
	struct msi_message m = { 0xfee00004 | mask << 12, 0, lowest ? 0x141 : 0x41, 0 };
	struct msi msi;

	msi_decode(&m, 0, &msi);
	return msi;
}

/* vCPU i has APIC id i, thread 100 + i, may run anywhere, is on CPU i; irq 60 + i is for vCPU i and may arrive anywhere, does on CPU 0. */
static void make(unsigned settle, unsigned writes, uint64_t window)
{
	memset(&w, 0, sizeof(w));
	w.config = (struct irq_route_config){ .settle_looks = settle, .writes_max = writes, .window_us = window };
	cr_assert_eq(irq_route_new(&w.config, &w.route), 0);
	w.now = 1000 * SEC;
	w.online = set_of((1 << CPUS) - 1);
	w.nr_vcpus = VCPUS;
	w.nr_irqs = VCPUS;
	for (unsigned i = 0; i < VCPUS; i++)
		w.vcpus[i] = (struct irq_route_vcpu){
			.id = { .apic_id = i, .has_apic_id = true, .model = MSI_MODEL_FLAT, .ldr = (uint8_t)(1 << i) },
			.tid = (pid_t)(100 + i),
			.start = 1,
			.known = true,
			.cpu = i,
			.allowed = w.online,
		};
	for (unsigned i = 0; i < IRQS; i++)
		w.irqs[i] = (struct irq_route_irq){ .irq = 60 + i,
						    .vector = i,
						    .msi = to(i % VCPUS),
						    .known = true,
						    .affinity = w.online,
						    .effective = set_of(1) };
}

static void pin(unsigned vcpu, unsigned cpu)
{
	w.vcpus[vcpu].allowed = set_of(1ull << cpu);
	w.vcpus[vcpu].cpu = cpu;
}

static int raw_look(void)
{
	struct irq_route_look look = { .now_us = w.now,
				       .online = w.online,
				       .vcpus = w.vcpus,
				       .nr_vcpus = w.nr_vcpus,
				       .irqs = w.irqs,
				       .nr_irqs = w.nr_irqs };

	return irq_route_look(w.route, &look, w.orders);
}

/* A look a second, and the kernel does what was ordered. How many writes there were. */
static unsigned look(void)
{
	unsigned writes = 0;

	w.now += SEC;
	cr_assert_eq(raw_look(), 0);
	for (unsigned i = 0; i < w.nr_irqs; i++) {
		if (w.orders[i].what != IRQ_ROUTE_WRITE)
			continue;
		cr_assert(irq_cpus_has(&w.online, (unsigned)w.orders[i].cpu));
		w.irqs[i].affinity = set_of(1ull << w.orders[i].cpu);
		if (!w.lags)
			w.irqs[i].effective = w.irqs[i].affinity;
		writes++;
	}
	return writes;
}

static void assert_on(unsigned irq, unsigned cpu)
{
	cr_assert_eq(w.orders[irq].what, IRQ_ROUTE_KEEP, "irq %u: %s", irq, irq_route_what_to_string(w.orders[irq].what));
	cr_assert_eq(irq_cpus_nth(&w.irqs[irq].affinity, 0), (int)cpu, "irq %u", irq);
}

static void done(void)
{
	w.route = irq_route_free(w.route);
}

TestSuite(irq_route, .fini = done);

/* --- what is configured, and said --- */

Test(irq_route, config)
{
	static const struct irq_route_config bad[] = { { 0, 1, 1 }, { 1001, 1, 1 }, { 1, 0, 1 }, { 1, 17, 1 }, { 1, 1, 0 } };
	struct irq_route *route = NULL;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(irq_route_new(&bad[i], &route), -EINVAL);
	cr_assert_null(route);
	cr_assert_null(irq_route_free(NULL));
	for (int what = IRQ_ROUTE_KEEP; what < IRQ_ROUTE_NUM_WHATS; what++)
		cr_assert_str_neq(irq_route_what_to_string((enum irq_route_what)what), "?");
	cr_assert_str_eq(irq_route_what_to_string(IRQ_ROUTE_NUM_WHATS), "?");
}

Test(irq_route, too_much)
{
	static struct irq_route_order before[IRQS];

	make(3, 4, 60 * SEC);
	w.nr_vcpus = IRQ_CPUS_MAX + 1;
	cr_assert_eq(raw_look(), -EINVAL);
	cr_assert_eq(memcmp(w.orders, before, sizeof(before)), 0);
	w.nr_vcpus = VCPUS;
	w.nr_irqs = 2049;
	cr_assert_eq(raw_look(), -EINVAL);
	w.nr_irqs = 0;
	cr_assert_eq(raw_look(), 0, "a function without vectors");
}

/* A number that was given to another vector while they were listed: that one is left out, and nothing else. */
Test(irq_route, a_number_twice)
{
	make(1, 4, 60 * SEC);
	w.irqs[3].irq = w.irqs[0].irq;
	cr_assert_eq(raw_look(), 0);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(w.orders[i].what, i ? IRQ_ROUTE_WRITE : IRQ_ROUTE_KEEP, "irq %u", i);
		cr_assert_eq(w.orders[i].vcpu, (int)i);
	}
	cr_assert_eq(w.orders[3].what, IRQ_ROUTE_NO_NUMBER);
	cr_assert_eq(w.orders[3].vcpu, -1);
	cr_assert_eq(w.orders[3].cpu, -1);
	w.irqs[3].irq = 63;
	cr_assert_eq(raw_look(), 0);
	cr_assert_eq(w.orders[3].what, IRQ_ROUTE_WRITE, "it has a number of its own again");
}

/* --- pinned --- */

Test(irq_route, pinned_converge_in_one_step)
{
	for (int lags = 0; lags < 2; lags++) {
		make(3, 4, 60 * SEC);
		w.lags = lags;
		for (unsigned i = 0; i < VCPUS; i++)
			pin(i, CPUS - 1 - i);
		cr_assert_eq(look(), 3, "the last one is where it should be");
		for (unsigned n = 0; n < 100; n++)
			cr_assert_eq(look(), 0);
		for (unsigned i = 0; i < VCPUS - 1; i++)
			assert_on(i, CPUS - 1 - i);
		cr_assert_eq(w.orders[VCPUS - 1].what, IRQ_ROUTE_KEEP);
		done();
	}
}

Test(irq_route, pinned_before_it_has_run_there)
{
	make(3, 4, 60 * SEC);
	w.vcpus[1].allowed = set_of(1 << 2); /* last ran on 1 */
	cr_assert_eq(look(), 1);
	cr_assert_eq(w.orders[1].cpu, 2);
}

Test(irq_route, follows_vector_and_vcpu)
{
	make(3, 4, 60 * SEC);
	for (unsigned i = 0; i < VCPUS; i++)
		pin(i, i);
	look();
	w.irqs[1].msi = to(3); /* the guest moves a vector */
	cr_assert_eq(look(), 1);
	assert_on(2, 2);
	look();
	assert_on(1, 3);
	pin(3, 2); /* a vCPU is pinned elsewhere */
	cr_assert_eq(look(), 2);
	look();
	assert_on(1, 2);
	assert_on(3, 2);
}

/* --- wandering --- */

Test(irq_route, settles)
{
	make(3, 4, 60 * SEC);
	cr_assert_eq(look(), 0);
	cr_assert_eq(w.orders[1].what, IRQ_ROUTE_SETTLING);
	cr_assert_eq(look(), 0);
	cr_assert_eq(look(), 3, "seen there three times");
	look();
	for (unsigned i = 1; i < VCPUS; i++)
		assert_on(i, i);
	w.vcpus[1].cpu = 3;
	cr_assert_eq(look() + look(), 0, "twice elsewhere is not enough");
	assert_on(1, 1);
	w.vcpus[1].cpu = 1;
	cr_assert_eq(look(), 0);
	w.vcpus[1].cpu = 3;
	cr_assert_eq(look() + look(), 0, "it begins anew");
	cr_assert_eq(look(), 1);
	cr_assert_eq(w.orders[1].cpu, 3);
}

Test(irq_route, bounces_between_two)
{
	for (unsigned settle = 1; settle <= 3; settle++) {
		unsigned writes = 0;

		make(settle, 3, 20 * SEC);
		w.nr_irqs = 2;
		for (unsigned n = 0; n < 200; n++) {
			w.vcpus[1].cpu = 1 + n % 2;
			w.vcpus[0].cpu = 0;
			writes += look();
			if (settle == 1)
				cr_assert_leq(writes, 3 * (n / 20 + 1), "look %u", n);
		}
		cr_assert(settle == 1 ? writes >= 25 : writes == 0, "%u writes when settled after %u", writes, settle);
		done();
	}
}

Test(irq_route, limited)
{
	make(1, 2, 10 * SEC);
	w.nr_irqs = 2;
	for (unsigned n = 0; n < 9; n++) {
		pin(1, 1 + n % 3);
		look();
		cr_assert_eq(w.orders[1].what, n < 2 ? IRQ_ROUTE_WRITE : n % 3 == 1 ? IRQ_ROUTE_KEEP : IRQ_ROUTE_LIMITED);
	}
	pin(1, 3);
	cr_assert_eq(look(), 0);
	cr_assert_eq(look(), 1, "ten seconds after the first one its place is free");
	cr_assert_eq(w.orders[1].cpu, 3);
}

/* A guest that arms its vectors anew does not get a new limit by that, as long as the number is seen. */
Test(irq_route, limited_across_vectors)
{
	unsigned writes = 0;

	make(1, 2, 100 * SEC);
	w.nr_irqs = 1;
	for (unsigned n = 0; n < 50; n++) {
		w.irqs[0].vector = n;
		w.irqs[0].msi = to(1 + n % 3);
		writes += look();
	}
	cr_assert_eq(writes, 2);
}

Test(irq_route, another_thread)
{
	make(3, 4, 60 * SEC);
	look(), look(), look();
	w.vcpus[1].start = 2; /* the same number: a new VMM, a vCPU plugged again */
	cr_assert_eq(look(), 0);
	cr_assert_eq(w.orders[1].what, IRQ_ROUTE_SETTLING);
	w.vcpus[2].tid = 4711;
	cr_assert_eq(look(), 0);
	cr_assert_eq(w.orders[2].what, IRQ_ROUTE_SETTLING);
	look();
	assert_on(1, 1);
}

/* A thread that cannot be looked at for once: what was known of it stays, but a row of looks has ended. */
Test(irq_route, a_look_that_fails)
{
	make(3, 4, 60 * SEC);
	w.nr_irqs = 2;
	pin(0, 0);
	cr_assert_eq(look() + look(), 0);
	w.vcpus[1].known = false;
	cr_assert_eq(look(), 0);
	cr_assert_eq(w.orders[1].what, IRQ_ROUTE_NO_THREAD);
	w.vcpus[1].known = true;
	cr_assert_eq(look() + look(), 0);
	cr_assert_eq(look(), 1);
	w.vcpus[1].known = false;
	look();
	w.vcpus[1].known = true;
	look();
	assert_on(1, 1);
}

/* --- several vCPUs --- */

Test(irq_route, one_of_several)
{
	for (int lowest = 0; lowest < 2; lowest++) {
		make(3, 4, 60 * SEC);
		w.nr_irqs = 1;
		for (unsigned i = 0; i < VCPUS; i++)
			pin(i, i);
		w.irqs[0].msi = to_some(0xf, lowest);
		cr_assert_eq(look(), 0, "it is with one of them");
		cr_assert(w.orders[0].what == IRQ_ROUTE_KEEP && w.orders[0].vcpu == 0);
		w.irqs[0].msi = to_some(0xe, lowest);
		cr_assert_eq(look(), 1);
		cr_assert_eq(w.orders[0].vcpu, 1 + 0x41 % 3, "KVM's hash");
		pin(0, 3); /* another one comes to where it arrives: of no consequence */
		cr_assert_eq(look(), 0);
		done();
	}
}

/* --- CPUs and affinities --- */

Test(irq_route, cpus_go_and_come)
{
	make(3, 4, 60 * SEC);
	w.nr_irqs = 2;
	pin(0, 0);
	pin(1, 1);
	look();
	look();
	assert_on(1, 1);
	w.online = set_of(0xd); /* 1 goes: the kernel takes its interrupts away */
	w.irqs[1].effective = set_of(1);
	cr_assert_eq(look(), 0);
	cr_assert_eq(w.orders[1].what, IRQ_ROUTE_NO_CPU);
	w.online = set_of(0xf); /* and does not give them back */
	cr_assert_eq(look(), 1);
	cr_assert_eq(w.orders[1].cpu, 1);
	cr_assert_eq(look(), 0);
}

Test(irq_route, a_cpu_goes_from_a_vcpu_with_several)
{
	make(2, 4, 60 * SEC);
	look(), look(), look();
	assert_on(1, 1);
	w.online = set_of(0xd);
	w.irqs[1].effective = set_of(1);
	w.vcpus[1].cpu = 3;
	cr_assert_eq(look(), 0);
	cr_assert_eq(w.orders[1].what, IRQ_ROUTE_SETTLING);
	cr_assert_eq(look(), 1);
	cr_assert_eq(w.orders[1].cpu, 3);
}

/* Somebody else moves it: it is moved back, within its limit. */
Test(irq_route, somebody_else_writes)
{
	unsigned writes = 0;

	make(3, 4, 100 * SEC);
	w.nr_irqs = 2;
	pin(1, 1);
	look();
	for (unsigned n = 0; n < 50; n++) {
		w.irqs[1].affinity = w.irqs[1].effective = set_of(4);
		writes += look();
	}
	cr_assert_eq(writes, 3);
	cr_assert_eq(w.orders[1].what, IRQ_ROUTE_LIMITED);
}

/* An order that was not carried out is given again, as often as need be; what was carried out before counts, and is remembered. */
Test(irq_route, what_was_not_written_does_not_count)
{
	make(1, 2, 60 * SEC);
	pin(1, 2);
	for (unsigned n = 0; n < 20; n++) {
		w.now += SEC;
		cr_assert_eq(raw_look(), 0);
		cr_assert_eq(w.orders[1].what, IRQ_ROUTE_WRITE, "%u", n);
		irq_route_not_written(w.route, w.irqs[1].irq);
		irq_route_not_written(w.route, w.irqs[1].irq); /* once */
	}
	irq_route_not_written(w.route, 4711);
	/* the first takes effect later: an order that is lost meanwhile does not have it given twice */
	w.lags = true;
	cr_assert_geq(look(), 1);
	pin(1, 3);
	w.now += SEC;
	cr_assert_eq(raw_look(), 0);
	cr_assert_eq(w.orders[1].what, IRQ_ROUTE_WRITE);
	irq_route_not_written(w.route, w.irqs[1].irq);
	pin(1, 2);
	w.now += SEC;
	cr_assert_eq(raw_look(), 0);
	cr_assert_eq(w.orders[1].what, IRQ_ROUTE_KEEP);
	irq_route_not_written(w.route, w.irqs[1].irq); /* there was none */
	w.lags = false;
	pin(1, 3);
	look();
	pin(1, 1);
	look();
	cr_assert_eq(w.orders[1].what, IRQ_ROUTE_LIMITED, "two were");
}

Test(irq_route, effective_is_not_told)
{
	make(3, 4, 60 * SEC);
	w.lags = true;
	for (unsigned i = 0; i < VCPUS; i++) {
		pin(i, i);
		w.irqs[i].effective = set_of(0);
	}
	cr_assert_eq(look(), VCPUS);
	cr_assert_eq(look(), 0);
}

Test(irq_route, refused)
{
	make(3, 4, 60 * SEC);
	w.nr_irqs = 2;
	pin(1, 1);
	w.now += SEC;
	cr_assert_eq(raw_look(), 0);
	cr_assert_eq(w.orders[1].what, IRQ_ROUTE_WRITE);
	irq_route_refused(w.route, 61);
	irq_route_refused(w.route, 4711);
	for (unsigned n = 0; n < 100; n++)
		cr_assert_eq(look(), 0);
	cr_assert_eq(w.orders[1].what, IRQ_ROUTE_REFUSED);
	w.irqs[1].vector = 7; /* another interrupt of that number */
	cr_assert_eq(look(), 1);
}

/* --- what is not known --- */

Test(irq_route, unknown)
{
	make(1, 4, 60 * SEC);
	for (unsigned i = 0; i < VCPUS; i++)
		pin(i, 3);
	w.nr_irqs = 6;
	w.irqs[0].msi = (struct msi){ .why = MSI_EMPTY };
	w.irqs[1].msi = to(9);
	w.irqs[2].known = false;
	w.vcpus[3].known = false;
	w.irqs[4].msi.delivery = MSI_NMI;
	w.vcpus[1].allowed = set_of(1 << 9);
	w.irqs[5].msi = to(1);
	for (unsigned n = 0; n < 5; n++)
		cr_assert_eq(look(), 0);
	cr_assert_eq(w.orders[0].what, IRQ_ROUTE_NO_MESSAGE);
	cr_assert_eq(w.orders[1].what, IRQ_ROUTE_NO_VCPU);
	cr_assert_eq(w.orders[2].what, IRQ_ROUTE_NO_AFFINITY);
	cr_assert_eq(w.orders[3].what, IRQ_ROUTE_NO_THREAD);
	cr_assert_eq(w.orders[4].what, IRQ_ROUTE_NO_VECTOR);
	cr_assert_eq(w.orders[5].what, IRQ_ROUTE_NO_CPU);
	for (unsigned i = 0; i < 6; i++)
		cr_assert_eq(w.orders[i].cpu, -1);
	w.vcpus[0].id.model = MSI_MODEL_UNKNOWN; /* nobody asked for its logical id */
	w.irqs[0].msi = to_some(2, false);
	look();
	cr_assert_eq(w.orders[0].what, IRQ_ROUTE_NO_VCPU);
}

/* --- everything at random --- */

static unsigned seed;

static unsigned pick(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static struct msi any_message(void)
{
	struct msi_message m = { pick(4) ? 0xfee00000 | pick(8) << 12 | pick(2) << 2 | pick(2) << 4 : pick(0x7fffffff), !pick(10),
				 pick(0x800), pick(2) };
	struct msi msi;

	msi_decode(&m, 0, &msi);
	return msi;
}

static void stir(void)
{
	struct irq_route_vcpu *v = &w.vcpus[pick(VCPUS)];
	struct irq_route_irq *irq = &w.irqs[pick(IRQS)];

	switch (pick(10)) {
	case 0:
		v->known = pick(4);
		break;
	case 1:
		v->allowed = set_of(1 + pick(15));
		break;
	case 2:
		v->start++;
		break;
	case 3:
		irq->msi = any_message();
		break;
	case 4:
		irq->vector = pick(8);
		break;
	case 5:
		irq->affinity = set_of(1 + pick(15));
		irq->effective = set_of(1 << pick(CPUS));
		break;
	case 6:
		irq->known = pick(4);
		break;
	case 7:
		w.online = set_of(1 + pick(15));
		break;
	default:
		v->cpu = pick(CPUS);
	}
}

/* Every write goes to where a vCPU of a known message may run; no interrupt gets more than its share; unknown ones get none. */
static void check_orders(uint64_t written[IRQS][8])
{
	for (unsigned i = 0; i < w.nr_irqs; i++) {
		const struct irq_route_order *o = &w.orders[i];
		const struct irq_route_irq *irq = &w.irqs[i];

		if (o->what != IRQ_ROUTE_WRITE)
			continue;
		cr_assert(irq->known && irq->msi.why == MSI_KNOWN && irq->msi.delivery <= MSI_LOWEST);
		cr_assert(o->vcpu >= 0 && w.vcpus[o->vcpu].known);
		cr_assert(irq_cpus_has(&w.vcpus[o->vcpu].allowed, (unsigned)o->cpu));
		memmove(written[i] + 1, written[i], 7 * sizeof(written[i][0]));
		written[i][0] = w.now;
		cr_assert(!written[i][w.config.writes_max] || w.now - written[i][w.config.writes_max] >= w.config.window_us,
			  "irq %u, seed %u", i, seed);
	}
}

/* When nothing moves any more everything comes to rest, where it should be. */
static void check_rest(void)
{
	unsigned looks = w.config.settle_looks + (unsigned)(w.config.window_us / SEC) + 2;

	w.lags = false;
	while (looks--)
		look();
	cr_assert_eq(look(), 0, "seed %u", seed);
	for (unsigned i = 0; i < w.nr_irqs; i++) {
		const struct irq_route_order *o = &w.orders[i];
		struct irq_cpus may;

		cr_assert(o->what != IRQ_ROUTE_LIMITED && o->what != IRQ_ROUTE_WRITE, "seed %u", seed);
		if (o->what != IRQ_ROUTE_KEEP)
			continue;
		may = irq_cpus_and(&w.vcpus[o->vcpu].allowed, &w.online);
		cr_assert(irq_cpus_has(&may, (unsigned)o->cpu), "seed %u", seed);
		cr_assert(irq_cpus_count(&may) > 1 || irq_cpus_nth(&may, 0) == o->cpu);
		cr_assert(irq_cpus_count(&may) == 1 || (int)w.vcpus[o->vcpu].cpu == o->cpu ||
				  !irq_cpus_has(&may, w.vcpus[o->vcpu].cpu),
			  "seed %u", seed);
	}
}

Test(irq_route, random_worlds, .timeout = 120)
{
	for (unsigned world = 0; world < 2000; world++) {
		uint64_t written[IRQS][8] = { 0 };

		seed = world;
		make(1 + pick(4), 1 + pick(4), (1 + pick(30)) * SEC);
		w.nr_irqs = IRQS;
		for (unsigned n = 0; n < 100; n++) {
			for (unsigned k = pick(4); k > 0; k--)
				stir();
			w.lags = pick(2);
			look();
			check_orders(written);
		}
		check_rest();
		done();
	}
}
