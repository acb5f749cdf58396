/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irq_route: which CPU each host interrupt of a guest's device should arrive on. Pure logic: it is given what was seen at one look, and says
 * what to write. Vector -> (message) -> vCPU -> (thread) -> host CPU -> host interrupt.
 *
 * A thread that may run on one CPU only is there. Of another it is only known where it ran last, and it may wander: it is taken to be on a
 * CPU once it was seen there at @settle_looks looks in a row, and to stay there until that is true of another CPU. Whatever happens, an
 * interrupt gets at most @writes_max orders in @window_us. Where a message names several vCPUs an interrupt that arrives at any of
 * them stays; else it follows the one that KVM would choose for a lowest priority message: vector modulo their number
 * (arch/x86/kvm/lapic.c, kvm_vector_to_index()). What is not known is left alone, with a reason.
 */
#ifndef GANGWAY_IRQ_ROUTE_H
#define GANGWAY_IRQ_ROUTE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "irq_cpus.h"
#include "msi.h"

struct irq_route;

#define IRQ_ROUTE_WRITES_MAX 16

struct irq_route_config {
	unsigned settle_looks; /* 1 to 1000 */
	unsigned writes_max; /* orders for one interrupt in a window: 1 to IRQ_ROUTE_WRITES_MAX */
	uint64_t window_us; /* above 0 */
};

/* A vCPU at this look. */
struct irq_route_vcpu {
	struct msi_vcpu id;
	pid_t tid;
	uint64_t start; /* of the thread: one with another is another thread, of which nothing is known yet */
	bool known; /* @cpu and @allowed were read */
	unsigned cpu; /* where it ran last */
	struct irq_cpus allowed;
};

/* A host interrupt at this look, and the message of its vector. */
struct irq_route_irq {
	unsigned irq; /* of two with the same number the second has no orders */
	unsigned vector; /* index in the table: with another one the interrupt is another */
	struct msi msi;
	bool known; /* @affinity was read */
	struct irq_cpus affinity;
	struct irq_cpus effective; /* empty: not known */
};

struct irq_route_look {
	uint64_t now_us; /* monotonic */
	struct irq_cpus online;
	const struct irq_route_vcpu *vcpus; /* by index, the same one at each look */
	unsigned nr_vcpus; /* up to IRQ_CPUS_MAX */
	const struct irq_route_irq *irqs;
	unsigned nr_irqs; /* up to IRQ_HOST_MAX */
};

enum irq_route_what {
	IRQ_ROUTE_KEEP, /* it arrives where its vCPU is */
	IRQ_ROUTE_WRITE, /* make @cpu its affinity now */
	IRQ_ROUTE_SETTLING, /* the vCPU's thread has not been long enough on one CPU */
	IRQ_ROUTE_LIMITED, /* should be @cpu, but has had its orders for this window */
	IRQ_ROUTE_REFUSED, /* should be @cpu, but the kernel has refused for good */
	/* not known: */
	IRQ_ROUTE_NO_MESSAGE, /* the message says not where: its @why */
	IRQ_ROUTE_NO_VECTOR, /* SMI, NMI, INIT, ExtINT: nothing that a driver waits for */
	IRQ_ROUTE_NO_VCPU, /* no vCPU has that id, or logical ids are not known */
	IRQ_ROUTE_NO_THREAD, /* the vCPU's thread could not be looked at */
	IRQ_ROUTE_NO_CPU, /* none that the thread may run on is online */
	IRQ_ROUTE_NO_AFFINITY, /* the interrupt's own CPUs could not be read */
	IRQ_ROUTE_NO_NUMBER, /* another one of this look has its number: it was freed, and taken again, while they were listed */
	IRQ_ROUTE_NUM_WHATS,
};

struct irq_route_order {
	enum irq_route_what what;
	int vcpu; /* index; -1 not known. Of several, the one that was chosen */
	int cpu; /* where the interrupt should be; -1 not known */
};

/* A few words for an operator. Never NULL. */
const char *irq_route_what_to_string(enum irq_route_what what);

/* 0; -EINVAL: a number of @config out of its range; -ENOMEM. */
int irq_route_new(const struct irq_route_config *config, struct irq_route **ret);
/* NULL is fine; returns NULL. */
struct irq_route *irq_route_free(struct irq_route *route);

/*
 * One look. @ret gets an order for each of look->irqs, in that order. An IRQ_ROUTE_WRITE counts as written; if it was not: irq_route_not_written(). What is
 * not in a look any more is forgotten, its limit too. 0; -EINVAL: more than fit; -ENOMEM; nothing was changed then.
 */
int irq_route_look(struct irq_route *route, const struct irq_route_look *look, struct irq_route_order *ret);

/*
 * The last look's IRQ_ROUTE_WRITE for @irq was not carried out, nor tried: it does not count. Not for what the kernel refused: that has had its turn.
 */
void irq_route_not_written(struct irq_route *route, unsigned irq);

/* Interrupt @irq refused its affinity for good (irq_affinity_write(): -EIO, -EACCES): no more orders until it is another interrupt. */
void irq_route_refused(struct irq_route *route, unsigned irq);

#endif
