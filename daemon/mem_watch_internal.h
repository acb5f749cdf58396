/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the mem_watch files share. */
#ifndef GANGWAY_MEM_WATCH_INTERNAL_H
#define GANGWAY_MEM_WATCH_INTERNAL_H

#include <stdbool.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "err.h"
#include "gangway_limits.h"
#include "mem_watch.h"
#include "pressure.h"

struct guest;
struct mem_check;
struct mem_look;

enum mem_phase {
	MEM_HOME, /* as it likes */
	MEM_LEAVING, /* its NICs are sent to their emulated legs */
	MEM_LEFT, /* they are there: is its memory unpinned? */
	MEM_AWAY, /* it is */
	MEM_COMING, /* they may go to their VFs again */
};

/* A trigger of pressure stall information. */
struct mem_psi {
	sd_event_source *source; /* owns the descriptor; NULL: none */
	struct pressure *p;
	struct mem_watch *w;
	int r; /* why there is none; 0 not tried */
};

struct mem_guest {
	LIST_ENTRY(mem_guest) link;
	char name[LIMIT_NAME + 1];
	enum mem_phase phase;
	uint64_t phase_ms; /* since when */
	uint64_t off_ms; /* MEM_LEFT: since when it is off its VFs */
	struct pressure pressure; /* of its cgroup */
	struct mem_psi psi;
	uint64_t locked, locked_before; /* of its VMM, bytes: at the last look, and when it began to leave */
	uint64_t resident; /* of its VMM, bytes */
	bool has_locked;
	bool told_flaps; /* of its cgroup */
	int looks; /* MEM_LEFT: that have ended and were begun since; -1: one that was begun before is to end first */
	uint64_t released_until; /* ms; 0: it is not released by anybody's order */
	uint64_t until_bytes; /* and no longer than until its balloon leaves it that; 0: no matter */
	uint64_t checked_ms; /* when it was looked at last whether it may come back */
	uint64_t left_ms; /* from the order to its memory being unpinned, the last time */
};

LIST_HEAD(mem_guest_list, mem_guest);

struct mem_watch {
	struct daemon *d;
	sd_event_source *timer;
	struct pressure_config config;
	struct pressure host;
	struct pressure more; /* of the host, if what those have who are off their VFs was available: one more has to leave */
	struct mem_psi psi;
	bool told_no_psi, told_flaps; /* of the host */
	struct mem_look *look; /* under way; NULL: none */
	uint64_t available;
	uint64_t swapins, swapin_rate, looked_ms; /* pages in all, pages a second, when it was counted */
	bool has_swapins;
	bool stalled; /* something on the host has, since the last look was begun */
	uint64_t allocstalls, reclaimed_ms; /* reclaims of who asked for memory, in all; when there were more. 0: never */
	struct mem_check *check; /* of @checking; NULL: none is under way */
	char checking[LIMIT_NAME + 1];
	char held_id[2 * LIMIT_NAME + 2]; /* the lease that was looked at last, of those held for want of memory */
	bool held_next; /* leases that are held have their turn, of those that wait for room */
	uint64_t
		gone_ms; /* when the last one that was to leave had, or had not in time: later signs alone have another one leave */
	struct mem_guest_list guests;
};

uint64_t mem_now_ms(const struct mem_watch *w);
struct mem_guest *mem_guest_find(const struct mem_watch *w, const char *name);
struct mem_guest *mem_guest_get(struct mem_watch *w, const char *name); /* NULL: no memory */
void mem_set_phase(struct mem_watch *w, struct mem_guest *g, enum mem_phase phase);
/* Does the guest have none of its VFs? */
bool mem_is_off(const struct mem_watch *w, const char *guest);
/* Has it a lease that is to be watched? */
bool mem_is_watched(const struct mem_watch *w, const char *guest);

/* mem_watch_look.c: begin one, unless one is under way; mem_watch_looked() when it is over. */
void mem_look_begin(struct mem_watch *w);
void mem_look_free(struct mem_look *look); /* gangwayd stops */
void mem_watch_looked(struct mem_watch *w);
void mem_psi_drop(struct mem_psi *psi);

/* mem_watch_act.c: whatever is due. */
void mem_act(struct mem_watch *w);
/* Can all of its NICs leave their VFs? */
bool mem_can_leave(const struct mem_watch *w, const char *guest, bool adaptive_only, struct err *why);
void mem_begin_to_leave(struct mem_watch *w, struct mem_guest *g, const char *why);

#endif
