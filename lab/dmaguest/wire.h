/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The far end of the wire, a NIC in a network namespace, and the frames that are told apart by number. */
#ifndef DMAGUEST_WIRE_H
#define DMAGUEST_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_LEN 256
#define FRAME_TYPE 0x88b5 /* IEEE 802: for local experiments */

/* FRAME_LEN bytes that no other number gives. */
void frame_make(uint8_t *buf, const uint8_t dst[6], const uint8_t src[6], uint32_t number);

struct wire {
	int sock;
	uint8_t mac[6];
};

/* Open the far end: interface @name in the namespace at @netns. 0 or a negative errno. */
int wire_open(struct wire *w, const char *netns, const char *name);
bool wire_send(struct wire *w, const uint8_t *frame);
/* Forget what has arrived. */
void wire_flush(struct wire *w);
/*
 * Read what arrives until @fence does, for @ms at most. @ret_wanted counts frames that equal @wanted, which may be NULL; @ret_zero those that
 * begin with 14 zero bytes: an emulated NIC that is refused a buffer may send those. False: no fence.
 */
bool wire_until(struct wire *w, const uint8_t *fence, const uint8_t *wanted, unsigned *ret_wanted, unsigned *ret_zero, int ms);

#endif
