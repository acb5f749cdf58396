/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lease_memory: what a lease may have of its guest's memory (struct lease_memory of lease.h), and what keeps it from having it. */
#ifndef GANGWAY_LEASE_MEMORY_H
#define GANGWAY_LEASE_MEMORY_H

#include <jansson.h>
#include <stdbool.h>

#include "lease.h"

/* Its memory may not be pinned, because @why, or (REASON_NONE) may be. The switch, if there is one, hears of it. */
void lease_hold_memory(struct lease *l, enum lease_reason reason, const struct err *why);
/* "pin" or "adaptive". -EINVAL attach.bad-memory */
int lease_memory_from_string(const char *s, bool *ret_adaptive, struct err *err);
const char *lease_memory_to_string(const struct lease *l);
json_t *lease_memory_to_json(const struct lease *l);
/* -EINVAL: out of range. @j NULL: of an older gangwayd. */
int lease_memory_from_record(struct lease *l, const json_t *j);
/* Its VMM must not be asked to unplug the VF. */
bool lease_is_unplug_unsafe(const struct lease *l);
/* Adaptive, and it cannot be: a text for each reason is appended. */
void lease_memory_warn(const struct lease *l, json_t *warnings);
/* The operator has changed it, from @before: what held it may hold no more. */
void lease_memory_changed(struct lease *l, const struct lease_memory *before);

#endif
