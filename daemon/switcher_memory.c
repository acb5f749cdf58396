/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Before a lease goes back to its VF: may its guest's memory be pinned? Its VMM is asked and the host looked at while the emulated leg carries. What
 * cannot be found out keeps nobody off its VF.
 */
#include <errno.h>

#include "daemon.h"
#include "lease.h"
#include "lease_memory.h"
#include "log.h"
#include "mem_check.h"
#include "switcher_internal.h"

static void refused(struct switcher *s, enum lease_reason reason, const struct err *why)
{
	struct err err;

	/* the cause is there before the action ends: so it is no failure, and nothing is tried again */
	lease_hold_memory(s->lease, reason, why);
	err_set(&err, -EAGAIN, "lease.busy", "lease %s: %s", s->lease->id, why->msg);
	switcher_acted(s, -EAGAIN, &err);
}

static void checked(void *ctx, int r, const struct mem_facts *facts, const struct vmm_memory *said, const struct err *why)
{
	struct switcher *s = ctx;
	struct lease *l = s->lease;
	enum lease_reason reason = REASON_NONE;
	struct switch_status status;
	struct err err = { 0 };

	(void)said;
	s->check = NULL;
	if (l->daemon->stopping)
		return;
	if (r < 0)
		log_debug("lease %s: what its memory would cost is not known: %s, ignoring", l->id, why->msg);
	else
		reason = mem_judge(l->guest, facts, l->memory.unshare, &err);
	if (reason == REASON_MEMORY_NOT_RESIDENT && mem_is_guess(facts))
		reason = REASON_NONE;
	if (reason != REASON_NONE) {
		refused(s, reason, &err);
		return;
	}
	switch_get_status(s->sw, &status);
	if (!l->end_why[0] && facts && status.state == SWITCH_TO_PASSTHROUGH) /* else it was stopped meanwhile */
		mem_account_book(l, facts);
	r = l->end_why[0] ? -EAGAIN : switcher_prepare(s, &err);
	if (r < 0)
		switcher_acted(s, r, &err);
}

int switcher_check_memory(struct switcher *s, struct err *err)
{
	struct lease *l = s->lease;

	/* one that waits for a VF, too: what would be refused then need not be got first */
	if (mem_check_begin(l->daemon, l->guest, l->via, checked, s, &s->check, err) < 0)
		return switcher_prepare(s, err); /* the VMM cannot be asked now: nor can it be given a VF, which says why */
	return 0;
}
