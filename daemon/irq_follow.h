/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irq_follow: brings the interrupts of a guest's VFs to the CPUs where its vCPUs run. A guest has a follower from its first lease that has a VF
 * on, which looks while there is one: at the host's interrupts and at the vCPUs' threads (a worker, every irq_follow_ms, less often while
 * nothing interrupts), at the guest's MSI-X tables (its VMM, which stops a vCPU for a moment each time: when vectors come and go, and every
 * irq_table_ms while there are interrupts), and moves what is not where it should be. No event tells of a thread that moves, or of a guest that writes
 * its table: KVM and the VMM keep that to themselves.
 */
#ifndef GANGWAY_IRQ_FOLLOW_H
#define GANGWAY_IRQ_FOLLOW_H

#include <jansson.h>
#include <stdbool.h>

struct ctl_req;
struct daemon;
struct guest;
struct irq_follow;
struct irq_host;
struct lease;

/* Something about the lease, or its VF, is other than it was: it may be one to follow now, or none any more. */
void irq_follow_hint(struct lease *l);
/* CPUs of the host went online or offline, or may have. */
void irq_follow_cpus(struct daemon *d);
/* The guest's VMM can be asked now: it may be another one. */
void irq_follow_vmm_up(struct guest *g);
/* A QMP event of the guest. */
void irq_follow_event(struct guest *g, const char *event);
/* The guest is forgotten: its VMM is asked nothing any more, but may still answer. Then, when it cannot: free. NULL is fine for both. */
void irq_follow_stop(struct irq_follow *f);
void irq_follow_free(struct irq_follow *f);

/* What is known of the lease's vectors. Freed with the lease. NULL is fine. */
struct irq_nic;
void irq_nic_free(struct irq_nic *n);
/* Was it found at the last look that VF @bdf, the lease's, has this interrupt no more? False also where nobody has looked. */
bool irq_is_gone(const struct lease *l, const char *bdf, const struct irq_host *host);

/* For the control protocol: all about a guest; of a lease, for status (null: nothing is looked at). */
void call_irq_show(struct daemon *d, struct ctl_req *req, const json_t *params);
json_t *irq_lease_to_json(const struct lease *l);
/* What metrics tell of the lease's vectors goes to @vectors, which has @max elements at most. How many are left out. */
unsigned irq_metrics(const struct lease *l, json_t *vectors, unsigned max);

#endif
