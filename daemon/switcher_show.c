/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is shown of a switch: leg and reason of the lease, progress and answer to who waits for it, the words of its steps. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl.h"
#include "daemon.h"
#include "lease.h"
#include "switcher_internal.h"
#include "sys.h"

/* The step, and what it waits for. */
static void words(const struct switcher *s, const struct switch_status *status, char *buf, size_t size)
{
	static const char *const what[SWITCH_ACTION_NUM_] = {
		[SWITCH_READY_STANDBY] = "see that the standby is ready",
		[SWITCH_STEER_BOTH] = "lead the guest's MAC to both legs",
		[SWITCH_UNPLUG] = "have the guest let its VF go",
		[SWITCH_REVOKE_DMA] = "take the VF's DMA away",
		[SWITCH_DROP_VF] = "take the guest's MAC away from the VF",
		[SWITCH_ANNOUNCE] = "announce the guest to the network",
		[SWITCH_RELEASE] = "put the VF aside",
		[SWITCH_PREPARE] = "write the VF's policy",
		[SWITCH_PLUG] = "plug the VF",
		[SWITCH_REPLUG] = "have the VMM plug the VF back",
		[SWITCH_AWAIT_DRIVER] = "wait for the guest's driver",
		[SWITCH_DROP_STANDBY] = "take the guest's MAC away from the standby",
	};
	const char *hold = status->hold, *now = what[status->step];

	if (status->step == SWITCH_AWAIT_DRIVER && s->up_since)
		hold = "it looks for its link";
	else if (status->step == SWITCH_AWAIT_DRIVER && s->driving_since)
		hold = "its VF has not interrupted yet";
	else if (status->step == SWITCH_AWAIT_DRIVER && hold && strstr(hold, "driver"))
		hold = NULL; /* the step says it already */
	if (status->step == SWITCH_PREPARE && lease_lacks_vf(s->lease))
		now = "get it a VF";
	snprintf(buf, size, "%s%s%s%s", now, hold ? " (" : "", hold ? hold : "", hold ? ")" : "");
}

static void progress(struct switcher *s, const struct switch_status *status)
{
	char what[sizeof(s->shown)];

	if (!s->req || status->step == SWITCH_ACTION_NUM_)
		return;
	words(s, status, what, sizeof(what));
	if (!strcmp(what, s->shown))
		return;
	memcpy(s->shown, what, sizeof(what));
	ctl_progress(s->req, switch_action_to_string(status->step), s->nr_shown++, 0, what);
}

void switcher_show(struct switcher *s, const struct switch_status *status)
{
	lease_set_leg(s->lease, status->leg, status->reason);
	progress(s, status);
}

void switcher_answer(struct switcher *s, const struct err *err)
{
	struct ctl_req *req = s->req;
	struct lease *l = s->lease;
	uint64_t took = l->daemon->sys->ops->now_us(l->daemon->sys) - s->asked_us;

	if (!req)
		return;
	s->req = NULL;
	if (err)
		ctl_fail(req, err);
	else
		ctl_reply(req, json_pack("{s:o, s:f}", "lease", lease_to_json(l), "total_ms", (double)took / 1000));
}

json_t *switcher_to_json(const struct lease *l)
{
	const struct switcher *s = l->sw;
	struct switch_status st;
	json_t *j, *since = NULL, *left = NULL;
	char what[160] = "";
	uint64_t now;

	if (!s)
		return json_null();
	now = switcher_now_ms(s);
	switch_get_status(s->sw, &st);
	if (st.step != SWITCH_ACTION_NUM_)
		words(s, &st, what, sizeof(what));
	if (st.reason != REASON_NONE && st.since_ms <= now)
		since = json_integer((json_int_t)(time(NULL) - (time_t)((now - st.since_ms) / 1000)));
	if (st.deadline_ms != CAUSE_NEVER)
		left = json_integer((json_int_t)(st.deadline_ms > now ? st.deadline_ms - now : 0));
	j = json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:s, s:b, s:o?, s:o?, s:o}", "state", switch_state_to_string(st.state), "why",
		      st.why, "step", st.step < SWITCH_ACTION_NUM_ ? switch_action_to_string(st.step) : NULL, "what",
		      what[0] ? what : NULL, "hold", st.hold, "waits_for", cause_wait_to_string(st.wait), "migrating",
		      migration_role(s->migration) != MIGRATION_NONE, "since", since, "deadline_ms", left, "error",
		      err_to_json(st.error));
	return j;
}
