/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of gangwayd share: one context, passed by pointer. */
#ifndef GANGWAY_DAEMON_H
#define GANGWAY_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "config.h"

struct ctl;
struct db;
struct devproc;
struct err;
struct faults;
struct guest;
struct irq_balance;
struct mem_reading;
struct mem_watch;
struct lease;
struct metrics_ask;
struct metrics_http;
struct sriov_watch;
struct sys;
struct work_pool;

/* A VF without a lease whose policy vf.set is changing, or a PF whose VFs pf.set is. */
struct hold {
	LIST_ENTRY(hold) link;
	char bdf[16];
};

LIST_HEAD(hold_list, hold);
LIST_HEAD(mem_reading_list, mem_reading);
TAILQ_HEAD(guest_list, guest);
TAILQ_HEAD(lease_list, lease);

struct daemon {
	struct config config;
	sd_event *event;
	struct sys *sys;
	struct work_pool *pool;
	struct db *db;
	struct ctl *ctl;
	struct guest_list guests;
	unsigned nr_guests;
	struct lease_list leases;
	unsigned nr_leases;
	struct sriov_watch *watch;
	struct metrics_ask *metrics_ask; /* who waits for metrics; NULL: nobody has asked yet */
	struct metrics_http *metrics; /* serves them by HTTP; NULL: it does not */
	struct mem_watch *mem_watch;
	struct mem_reading_list mem_readings; /* mem_check.c */
	uint64_t nr_mem_turns;
	struct irq_balance *irq_balance; /* the host's irqbalance; NULL: nothing was to be told yet */
	sd_event_source *again_timer; /* leases that are to be prepared again: again.c */
	struct faults *faults; /* NULL: the kernel's log cannot be read */
	char boot_id[40]; /* of this boot: records of another one describe a host that is no more */
	uint64_t started_us; /* monotonic */
	unsigned nr_numvfs; /* pf.set under way: attach waits its turn (refused busy) */
	struct hold_list holds; /* no attach reserves one of these, and nobody else changes them */
	unsigned nr_changes; /* holds that have ended: what was read of a VF before that is old */
	unsigned
		nr_mem_settled; /* bookings of memory that have ended: what was read of the host before that is old; mem_account.h */
	bool stopping; /* operations under way are dropped where they are, nothing is begun any more */
};

/* Is this VF, which has no lease, or this PF being changed? */
bool bdf_is_held(const struct daemon *d, const char *bdf);

/*
 * One gangwayd for a runtime directory, whatever its state database: holds @runtime_dir/lock until *ret_fd, the caller's, is closed.
 * -EBUSY daemon.running, else daemon.no-dir.
 */
int daemon_lock(const char *runtime_dir, int *ret_fd, struct err *err);

/*
 * The end of gangwayd, not of its leases: clients, workers, guests and leases go, and what was under way stays as the state database has
 * it, for the next gangwayd. sys, event and db are the caller's.
 */
void daemon_stop(struct daemon *d);

#endif
