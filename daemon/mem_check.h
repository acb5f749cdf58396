/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mem_check: mem_facts.h of a guest, asked of its VMM and then looked at on a worker; of few guests at a time, and once for all who ask. */
#ifndef GANGWAY_MEM_CHECK_H
#define GANGWAY_MEM_CHECK_H

#include "lease.h"
#include "mem_facts.h"
#include "vmm_memory.h"

struct daemon;
struct err;
struct mem_check;

#define MEM_READERS_MAX                                                                                                          \
	2 /* VMMs whose mappings are read at once; an attach, of which a guest has one at a time, is not counted */

/* @r: 0 with what was found, valid only during the call, or a negative errno with @err. */
typedef void (*mem_check_fn)(void *ctx, int r, const struct mem_facts *facts, const struct vmm_memory *said,
			     const struct err *err);

/* -ENOENT guest.unknown, what vmm_query_memory() refuses with, -ENOMEM: @done is not called then. */
int mem_check_begin(struct daemon *d, const char *guest, enum lease_via via, mem_check_fn done, void *ctx, struct mem_check **ret,
		    struct err *err);
/*
 * What keeps the RAM of @guest from being pinned, with the words for it in @err; REASON_NONE: nothing. @unshare: pages of a template may be copied.
 * preflight_memory.c
 */
enum lease_reason mem_judge(const char *guest, const struct mem_facts *facts, bool unshare, struct err *err);
/* What the VMM has could not be looked at, for no fault of its own: where there is too little, the kernel decides. */
bool mem_is_guess(const struct mem_facts *facts);
/* Nobody wants to know any more. NULL is fine; returns NULL. */
struct mem_check *mem_check_forget(struct mem_check *c);
/* gangwayd stops, after its workers, guests and leases. */
void mem_checks_end(struct daemon *d);

#endif
