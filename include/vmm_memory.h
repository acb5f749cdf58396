/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm_memory: what a VMM says of its guest's memory: backends, plugged memory, balloon. Asynchronous like all of vmm.h, with the same rules for
 * callbacks and errors. It is what the VMM says; what the kernel has is in mem_process.h.
 */
#ifndef GANGWAY_VMM_MEMORY_H
#define GANGWAY_VMM_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct vmm;

#define VMM_MEMDEVS_MAX 32 /* backends that are told one by one */
#define VMM_MEMDEVICES_MAX 16 /* DIMMs and the like */

struct vmm_memdev { /* a memory backend: query-memdev */
	char id[64]; /* "(unnamed)" where it has none; cut where it is longer */
	char type[16]; /* "memfd", "file", "ram": of vmm_query_memory() alone; "" not known */
	uint64_t size; /* bytes */
	bool shared, prealloc, merge;
};

struct vmm_memdevs {
	unsigned nr;
	struct vmm_memdev v[VMM_MEMDEVS_MAX];
	uint64_t bytes; /* of all, those that are not told included */
	bool all_shared;
	char unshared_id[64]; /* the first that is not, "" none */
};

struct vmm_memdevice { /* query-memory-devices */
	char type[16], id[64]; /* "dimm", "virtio-mem", ... */
	uint64_t size, requested; /* bytes in the guest now; virtio-mem: that it is to have, else the same */
};

struct vmm_memory {
	uint64_t ram_bytes; /* all RAM, plugged memory included */
	struct vmm_memdevs memdevs;
	unsigned nr_devices;
	struct vmm_memdevice devices[VMM_MEMDEVICES_MAX];
	bool has_balloon;
	uint64_t balloon_bytes; /* what the balloon leaves the guest, as the guest says */
};

/* @r 0 with @memory, valid only during the call. */
typedef void (*vmm_memory_fn)(void *ctx, int r, const struct vmm_memory *memory, const struct err *err);

/* -EPROTO vmm.bad-answer: not what a QEMU answers. A VMM that knows no balloon, and one that tells no types, has none. */
int vmm_query_memory(struct vmm *vmm, vmm_memory_fn done, void *ctx, struct err *err);

#endif
