/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a lease may have of its guest's memory: the operator's words, its record, and what keeps it off its VF. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "guests.h"
#include "lease_memory.h"
#include "log.h"
#include "switcher.h"
#include "vmm.h"

const char *lease_memory_to_string(const struct lease *l)
{
	return l->memory.adaptive ? "adaptive" : "pin";
}

int lease_memory_from_string(const char *s, bool *ret_adaptive, struct err *err)
{
	if (!strcmp(s, "pin") || !strcmp(s, "adaptive")) {
		*ret_adaptive = !strcmp(s, "adaptive");
		return 0;
	}
	err_set(err, -EINVAL, "attach.bad-memory", "memory \"%.40s\": there is no such policy", s);
	err_hint(err, "pin or adaptive");
	return -EINVAL;
}

json_t *lease_memory_to_json(const struct lease *l)
{
	const struct lease_memory *m = &l->memory;

	return json_pack("{s:s, s:b, s:i, s:o}", "policy", lease_memory_to_string(l), "unshare", m->unshare, "priority",
			 (int)m->priority, "why", err_to_json(&m->why));
}

int lease_memory_from_record(struct lease *l, const json_t *j)
{
	json_int_t priority = LEASE_PRIORITY;
	const char *policy;
	int unshare = 0;

	if (!j)
		return 0;
	if (json_unpack((json_t *)j, "{s:s, s?b, s?I}", "policy", &policy, "unshare", &unshare, "priority", &priority) < 0 ||
	    priority < 0 || priority > LEASE_PRIORITY_MAX || lease_memory_from_string(policy, &l->memory.adaptive, NULL) < 0)
		return -EINVAL;
	l->memory.unshare = unshare;
	l->memory.priority = (unsigned)priority;
	return 0;
}

void lease_hold_memory(struct lease *l, enum lease_reason reason, const struct err *why)
{
	enum lease_reason before = l->memory.held;

	err_clear(&l->memory.why);
	if (reason != REASON_NONE && why)
		l->memory.why = *why;
	if (before == reason)
		return;
	l->memory.held = reason;
	if (reason != REASON_NONE)
		log_info("lease %s: %s", l->id, why ? why->msg : lease_reason_to_string(reason));
	if (before != REASON_NONE)
		switcher_cause(l, before, false);
	if (reason != REASON_NONE)
		switcher_cause(l, reason, true);
}

bool lease_is_unplug_unsafe(const struct lease *l)
{
	struct guest *g = guest_find(l->daemon, l->guest);
	struct vmm_version version = { 0 };

	if (l->via != VIA_VFIO_USER || !g)
		return false;
	vmm_get_version(g->vmm, &version);
	return !version.unplug_vfio_user;
}

void lease_memory_warn(const struct lease *l, json_t *warnings)
{
	char text[ERR_MSG_MAX];

	if (!l->memory.adaptive)
		return;
	if (l->standby.kind == EMUL_NONE)
		snprintf(text, sizeof(text),
			 "memory adaptive: it has no emulated leg to go to, and keeps its VF where memory is short");
	else if (lease_is_unplug_unsafe(l))
		snprintf(text, sizeof(text),
			 "memory adaptive: its VMM cannot unplug a vfio-user device safely, and it keeps its VF where memory is "
			 "short "
			 "(vmm-unplug-unsafe)");
	else
		return;
	log_warn("lease %s: %s", l->id, text);
	json_array_append_new(warnings, json_string(text));
}

void lease_memory_changed(struct lease *l, const struct lease_memory *before)
{
	/* one that was pin before is away by order, and that goes on */
	if (before->adaptive && !l->memory.adaptive && l->memory.pressed) {
		l->memory.pressed = false;
		switcher_cause(l, REASON_MEMORY_PRESSURE, false);
	}
	/* what is in the way besides is found out when it goes to its VF */
	if (l->memory.held == REASON_MEMORY_PRIVATE && l->memory.unshare && l->via != VIA_VFIO_USER)
		lease_hold_memory(l, REASON_NONE, NULL);
}
