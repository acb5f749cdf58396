/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dark: how long nobody reaches a guest that goes elsewhere, as its old host can know it: from when it stands still here until its MAC is heard on the
 * wire. That is the announcement of its new host or a frame of its own, whichever comes first; the announcement comes before the guest runs again, so
 * it may be dark a little longer. Both hosts are on one Ethernet, as for a live migration they have to be.
 */
#ifndef GANGWAY_DARK_H
#define GANGWAY_DARK_H

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct dark;

/*
 * @guest stands still from now on. @heard is called once, in the loop, when it is heard elsewhere. NULL: nothing can tell, it has no lease with an
 * emulated leg here, or its PF cannot be listened to (said in the log). Of several NICs the first. The caller's, dark_free().
 */
struct dark *dark_begin(struct daemon *d, const char *guest, void (*heard)(void *ctx), void *ctx);
struct dark *dark_free(struct dark *k); /* NULL is fine; returns NULL */

/* Milliseconds, so far where it was not heard yet. */
uint64_t dark_ms(const struct dark *k);
bool dark_is_over(const struct dark *k);

#endif
