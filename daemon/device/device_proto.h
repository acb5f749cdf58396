/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What gangwayd and gangway-device have agreed on: which descriptor is which at exec, and the words of the control socket.
 *
 * Control: SOCK_SEQPACKET, one JSON object a datagram.
 *   -> {"op":"hello"}   <- {"op":"hello","version":1,"pid":N,"id":"...","bdf":"...","status":{...}} and, by SCM_RIGHTS, container, group, device
 *   -> {"op":"status"}  <- {"op":"status","status":{...}}
 *   -> {"op":"stop"}    <- {"op":"stop"}, then the end of the process
 *   -> {"op":"quarantine","on":true}  <- {"op":"quarantine"}; the VF's bus mastering is withheld until it is said to be off; said again, done again
 *   -> {"op":"shared","on":true}  <- {"op":"shared"}; the same, because some of its memory is another guest's
 *   -> {"op":"dma","from":"0x...","tag":N}  <- {"op":"dma","tag":N,"ranges":[RANGE,...],"next":"0x..."|null,"totals":{...}}: the DMA address
 *      space, DEVICE_DMA_RANGES of its ranges at a time: devctl_dma.c
 * Unasked: {"op":"status",...} when the client, bus mastering, the vectors, the mappings, "degraded", "held" or the files that memory is mapped from have changed.
 * Anything else is answered {"op":"error","message":"..."}.
 */
#ifndef GANGWAY_DEVICE_PROTO_H
#define GANGWAY_DEVICE_PROTO_H

#include <stdint.h>

#define DEVICE_PROTO_VERSION 1
#define DEVICE_PROTO_MAX 4096 /* bytes of a datagram, either way */
#define DEVICE_PROTO_FDS 3 /* container, group, device, in this order */

/* RANGEs in an answer to "dma": one takes 180 bytes at the most, what is around them 320, so that 20 always fit a datagram. */
#define DEVICE_DMA_RANGES 20

/* What may be mapped and locked above guest RAM, bytes: ROMs and video memory are backed by descriptors, too, where QEMU is told to
 * (-machine aux-ram-share=on). */
#define DEVICE_RAM_SPARE (UINT64_C(64) << 20)

/* Bytes that may be mapped for a guest of @ram_bytes, which a VMM has told; never 0, which means any to others. */
static inline uint64_t device_ram_limit(uint64_t ram_bytes)
{
	if (ram_bytes > UINT64_MAX - DEVICE_RAM_SPARE)
		return UINT64_MAX;
	return ram_bytes + DEVICE_RAM_SPARE;
}

/* Descriptors at exec. */
enum device_fd {
	DEVICE_FD_CTL = 3, /* listening, SOCK_SEQPACKET */
	DEVICE_FD_VUSER = 4, /* listening, SOCK_STREAM */
	DEVICE_FD_CONTAINER = 5,
	DEVICE_FD_GROUP = 6,
	DEVICE_FD_DEVICE = 7,
	DEVICE_FD_END = 8,
};

#endif
