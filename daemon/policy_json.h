/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VF's policy as {"mac":"...","vlan":"10",...}: words and values of `ip link set PF vf N`, values as strings. */
#ifndef GANGWAY_POLICY_JSON_H
#define GANGWAY_POLICY_JSON_H

#include <jansson.h>

struct err;
struct sys_vf;

json_t *policy_to_json(const struct sys_vf *policy);
/* Every value by policy_parse_word(), then policy_check(). @j may be NULL or null: no field. */
int policy_from_json(const json_t *j, struct sys_vf *ret, struct err *err);

/* The fields that @more speaks of, over those of @to. A rate that is SYS_VF_RATE_KEEP keeps that of @to. */
void policy_merge(struct sys_vf *to, const struct sys_vf *more);

/* The same for records of our own: numbers, and values that an operator may not ask for (a VF that never had a MAC). */
json_t *policy_to_record(const struct sys_vf *policy);
int policy_from_record(const json_t *j, struct sys_vf *ret, struct err *err);

#endif
