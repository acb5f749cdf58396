/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the irq_*.c files share. irq_follow.c: when; irq_look.c: the host, on a worker; irq_ask.c: the VMM; irq_move.c: what to do; irq_show.c. */
#ifndef GANGWAY_IRQ_INTERNAL_H
#define GANGWAY_IRQ_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "err.h"
#include "gangway_limits.h"
#include "irq_affinity.h"
#include "irq_follow.h"
#include "irq_keep.h"
#include "irq_route.h"
#include "irq_thread.h"
#include "lease.h"
#include "msix_table.h"

struct irq_look;

/* A vCPU, as its VMM and the host have it. */
struct irq_vcpu {
	unsigned index; /* cpu-index */
	struct irq_route_vcpu at; /* of the last look */
	uint32_t apic_id; /* as asked; at.id has none where the APIC is off */
	bool has_apic_id;
	bool lapic_asked; /* its logical id, since that was due */
};

/* A host interrupt of a lease's VF. */
struct irq_vector {
	struct irq_host host;
	bool known; /* @affinity was read */
	struct irq_cpus affinity, effective;
	bool has_msi;
	struct msi msi; /* of its table entry, as last read */
	struct irq_route_order order;
	int was_on; /* the CPU that its vCPU was on at the last look, -1: not known */
	unsigned nr_counts;
	uint64_t *counts; /* by CPU, at the last look that could read them */
	uint64_t counts_us; /* when they were read */
	bool counts_new; /* at the last look of all */
	bool counted; /* at two looks: what follows holds */
	double rate; /* interrupts a second between the last two */
	uint64_t nr, nr_judged,
		nr_there; /* since it is followed; of vCPUs that stood still meanwhile; of those, on the vCPU's CPU */
	uint64_t nr_moved; /* orders that were carried out, since it is followed */
	struct err err; /* why it could not be moved; .num 0 */
};

/* A lease's VF. */
struct irq_nic {
	char bdf[BDF_LEN]; /* the VF that all this is about */
	bool has_cap, has_table;
	bool table_due; /* once table_ms are over since @table_us */
	bool table_changed; /* since its messages were last looked through */
	struct msix_cap cap;
	struct msi_message *table; /* cap.nr of them */
	unsigned nr_table; /* that were read */
	uint64_t address; /* of it */
	uint64_t table_us; /* when it was asked for */
	struct err table_err, err; /* why there is no table, or no interrupts; .num 0 */
	unsigned nr;
	struct irq_vector *v; /* by ascending vector */
	bool interrupted; /* between the last two looks */
	bool counted; /* all of them were, at two looks: */
	double rate; /* of those that were */
	bool storm; /* it was above storm_rate, and is not below half of that since */
	uint64_t nr_moved; /* orders that were carried out */
};

/* What a round does. */
enum irq_what { IRQ_PLATFORM, IRQ_VCPUS, IRQ_LOOK, IRQ_TABLE, IRQ_LAPIC, IRQ_ROUTE };

struct irq_follow {
	struct guest *guest;
	struct daemon *d;
	sd_event_source *timer;
	struct irq_route *route;
	uint64_t looked_us; /* 0: not yet */
	unsigned nr_quiet; /* looks in a row at which nothing had happened */

	/* what is due: rows of the table in irq_follow.c */
	bool platform_due, vcpus_due, look_due, lapic_due, route_due;
	bool vcpus_stale; /* they are due in the next round for which irq_wait_us() has none: this one ends first, whatever the VMM says */
	bool platform_stale, was_reset; /* the same of the vIOMMU; of tables and local APICs */
	bool hinted; /* while something was under way: the next round is soon */
	bool ending;
	bool asking; /* the VMM */
	char asking_id[LEASE_ID_MAX]; /* about this lease */
	unsigned asking_vcpu;
	struct irq_look *look; /* on a worker */

	bool asked_posts, posts; /* irq_host_posts() */
	unsigned flags; /* enum msi_flag */
	bool vtd_remaps;
	pid_t pid; /* of the VMM; 0 not known */
	pid_t found_pid; /* whose threads these vCPUs are, where its socket does not tell; 0 not known */
	uint64_t find_us; /* when that was looked for */
	struct err pid_err; /* why it is not known; .num 0 */
	struct irq_vcpu *vcpus;
	unsigned nr_vcpus;
	uint64_t platform_us, vcpus_us; /* when they were asked for */
	uint64_t reset_us; /* when tables and local APICs were made due by a reset of the guest */
	struct irq_cpus online;
	struct err err; /* why its VMM or its threads cannot be looked at: of the last that failed, until that succeeds; .num 0 */
	enum irq_what err_of;
};

/* irq_follow.c */
/* What was under way has ended: the next, or a pause. */
void irq_go_on(struct irq_follow *f);
void irq_failed(struct irq_follow *f, enum irq_what what, const struct err *err);
void irq_succeeded(struct irq_follow *f, enum irq_what what);
/* The vCPUs are others: whose threads they are is to be found anew. */
void irq_forget_pid(struct irq_follow *f);
/* Is it one whose VF the guest uses? */
bool irq_is_followed(const struct lease *l);
uint64_t irq_now_us(const struct irq_follow *f);
/* How long until table_ms are over since @asked_us (0: never asked): what costs the guest something is asked again no sooner. */
uint64_t irq_wait_us(const struct irq_follow *f, uint64_t asked_us);
/* The next lease of the guest after @l (NULL: the first) that is followed and has a struct irq_nic. */
struct lease *irq_next(const struct irq_follow *f, const struct lease *l);

/* irq_look.c. Begins a look; it ends in irq_go_on(). -ENOMEM. */
int irq_look_begin(struct irq_follow *f, struct err *err);
void irq_look_forget(struct irq_look *look, bool stopping);

/* irq_ask.c: each ends in irq_go_on(), or has a negative errno and asked nothing. */
bool irq_table_is_due(const struct irq_follow *f);
int irq_ask_platform(struct irq_follow *f, struct err *err);
int irq_ask_vcpus(struct irq_follow *f, struct err *err);
int irq_ask_table(struct irq_follow *f, struct err *err);
int irq_ask_lapic(struct irq_follow *f, struct err *err);

/* irq_move.c: route what was seen, and begin to move. */
int irq_route_all(struct irq_follow *f, struct err *err);
/* The hardware brings it to its vCPU. */
bool irq_is_posted(const struct irq_follow *f, const struct irq_vector *v);
/* Is the lease's VF interrupting more than can be meant? Told where that changes. */
void irq_look_for_storm(struct lease *l);

#endif
