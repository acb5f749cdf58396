/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * again: leases that were prepared before the host booted and have yet to be prepared in this boot. What the operator asked for is kept, in
 * the database too, until it is so or is detached: while it cannot be, the lease is failed, with the reason as its error, keeps its VF from
 * others, and is tried again when something on the host has changed.
 */
#ifndef GANGWAY_AGAIN_H
#define GANGWAY_AGAIN_H

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct err;
struct lease;

struct lease_again {
	bool wanted;
	bool hinted; /* something has changed since it was tried */
	uint64_t pause_us; /* at least, from one try to the next */
	uint64_t due_us; /* CLOCK_MONOTONIC: not before */
};

/* @l is of another boot: nothing on the host is its own. The caller tries it: attach_again(). */
void again_want(struct lease *l);
/* It was tried, failed because of @err, and all is undone: @l is failed now, in no operation. */
void again_failed(struct lease *l, const struct err *err);
/* Does @l wait to be tried: nothing on the host is its own, and nothing is under way with it? */
bool again_is_waiting(const struct lease *l);
/* A lease of @guest that waits, @nic NULL: whichever; NULL: none. */
struct lease *again_find(struct daemon *d, const char *guest, const char *nic);
/* Something has changed on the host, a link, a function, another lease: those that wait are tried soon. */
void again_hint(struct daemon *d);

#endif
