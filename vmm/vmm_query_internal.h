/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vmm_query.c and vmm_learn.c share: the operation. */
#ifndef GANGWAY_VMM_QUERY_INTERNAL_H
#define GANGWAY_VMM_QUERY_INTERNAL_H

#include "vmm_internal.h"

struct query {
	struct vmm_op op;
	vmm_info_fn done; /* NULL: to learn is all */
	void *ctx;
	struct vmm_info info;
	struct vmm_traits *traits; /* being learnt */
	unsigned in_flight;
	unsigned next_port; /* index into the traits' ports */
	unsigned nr_wanted, nr_asked, nr_free; /* free ports that are asked for; ports under way, and found free */
	unsigned free[VMM_FREE_PORTS]; /* the same, ascending; PORTS_MAX: none yet */
};

/* One question, and who takes its answer. -EPROTO: not what QEMU answers to this. */
struct fact {
	const char *command;
	const char *key, *value; /* its argument */
	int (*take)(struct query *q, json_t *ret);
	bool may_lack; /* "no such device" is an answer */
};

/* Send them all; the answers go to @reply with the fact's index. Answers to what was sent find a finished operation. */
int query_ask(struct query *q, const struct fact *list, unsigned nr, vmm_op_reply_fn reply, struct err *err);
/* Book one answer. False: the operation is over. */
bool query_take(struct query *q, const struct fact *fact, int r, json_t *ret, const struct err *err);
/* Learnt, or asked: the operation is over. */
void query_finish(struct query *q, int r, const struct err *err);

/* vmm_memory.c: parts of answers. -EPROTO: not what QEMU answers. */
int vmm_take_bytes(const json_t *object, const char *key, uint64_t *ret);
int vmm_take_ram(const json_t *ret, uint64_t *ret_bytes);
int vmm_take_memdevs(const json_t *list, struct vmm_memdevs *ret);

/* vmm_learn.c: ends in query_learnt(), or query_finish(). */
int query_learn(struct query *q, struct err *err);
/* Its traits are known: on with the rest. */
void query_learnt(struct query *q);

#endif
