/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mem_watch: where memory is short, guests that may give up their VFs do, one after the other, and come back when it has been plenty for a while; and who
 * is held on its emulated leg for want of memory is let go when there is some.
 *
 * mem_watch.c: time, and who is watched. mem_watch_look.c: the host and its cgroups, on a worker. mem_watch_act.c: who leaves, who comes back.
 */
#ifndef GANGWAY_MEM_WATCH_H
#define GANGWAY_MEM_WATCH_H

#include <jansson.h>
#include <stdint.h>

struct daemon;
struct err;
struct lease;
struct mem_watch;

/* Until mem_watch_free(). -ENOMEM */
int mem_watch_new(struct daemon *d, struct err *err);
/* NULL is fine; returns NULL. */
struct mem_watch *mem_watch_free(struct mem_watch *w);

/* Of a former gangwayd's: @l, which is to have a switch, is off its VF. It comes back as one that has left because memory was short. */
void mem_watch_adopt(struct lease *l);

/* A NIC has arrived at one of its legs: whoever waits for that is looked at at once. */
void mem_watch_hint(struct daemon *d);

/*
 * The operator, or who manages its balloon, wants the memory of @guest unpinned: for @for_ms, and no longer than until its balloon leaves it
 * @until_bytes (0: whatever that does). -EOPNOTSUPP memory.cannot-release: a NIC of it cannot leave its VF; -ENOENT lease.none: it has none.
 */
int mem_watch_release(struct daemon *d, const char *guest, uint64_t for_ms, uint64_t until_bytes, struct err *err);

/* Is memory short, by what is that known, who is away. Null: nobody looks. */
json_t *mem_watch_to_json(const struct mem_watch *w);

#endif
