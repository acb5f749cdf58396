/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mem_account: memory that was admitted for a VF and is not pinned yet. Nothing the kernel tells has it: several attaches at once, or leases that come back
 * together, would each be given the same bytes. Each lease keeps its own, so that nothing of it outlives the lease. All of it in the loop.
 */
#ifndef GANGWAY_MEM_ACCOUNT_H
#define GANGWAY_MEM_ACCOUNT_H

#include <stdint.h>

struct daemon;
struct lease;
struct mem_facts;

struct mem_booked {
	uint64_t bytes, huge, huge_page; /* as in struct mem_need; 0, 0: nothing */
	uint64_t until_us; /* of sys_ops.now_us() */
	char cgroup[256]; /* of who brings the pages; "" not known */
};

/* What was admitted for other guests is no more to be had. A guest's own leases pin the same pages. */
void mem_account_take_off(const struct daemon *d, const char *guest, struct mem_facts *facts);
/* @facts fit, and @l is about to pin: for LIMIT_MEM_BOOKED_SEC at most. Of what is only a guess nothing is booked. */
void mem_account_book(struct lease *l, const struct mem_facts *facts);
/* It has, or does not: the kernel knows. Who has looked at the host before looks again (daemon.nr_mem_settled). */
void mem_account_settle(struct lease *l);

#endif
