/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies as words in the control protocol and as records in the state database: there and back. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "policy_json.h"
#include "sys.h"

static struct err err;

static json_t *json(const char *text)
{
	json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);

	cr_assert(j, "%s", text);
	return j;
}

/* Words as sent, and as shown afterwards. */
static const struct {
	const char *in, *out;
} words[] = {
	{ "{}", "{}" },
	{ "null", "{}" },
	{ "{\"mac\": \"52:54:00:AA:00:01\"}", "{\"mac\": \"52:54:00:aa:00:01\"}" },
	{ "{\"vlan\": \"0\"}", "{\"vlan\": \"0\"}" },
	{ "{\"vlan\": \"4094\"}", "{\"proto\": \"802.1Q\", \"qos\": \"0\", \"vlan\": \"4094\"}" },
	{ "{\"vlan\": \"5\", \"qos\": \"7\", \"proto\": \"802.1ad\"}",
	  "{\"proto\": \"802.1ad\", \"qos\": \"7\", \"vlan\": \"5\"}" },
	{ "{\"spoofchk\": \"on\", \"trust\": \"off\"}", "{\"spoofchk\": \"on\", \"trust\": \"off\"}" },
	{ "{\"state\": \"disable\"}", "{\"state\": \"disable\"}" },
	{ "{\"max_tx_rate\": \"100\"}", "{\"max_tx_rate\": \"100\"}" },
	{ "{\"min_tx_rate\": \"10\"}", "{\"min_tx_rate\": \"10\"}" },
	{ "{\"min_tx_rate\": \"0\", \"max_tx_rate\": \"100\"}", "{\"max_tx_rate\": \"100\", \"min_tx_rate\": \"0\"}" },
};

Test(policy_json, words_there_and_back)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		json_t *in = json(words[i].in), *out, *again;
		struct sys_vf p = { 0 }, q = { 0 };
		char *text;

		cr_assert_eq(policy_from_json(in, &p, &err), 0, "%s: %s", words[i].in, err.msg);
		out = policy_to_json(&p);
		text = json_dumps(out, JSON_SORT_KEYS);
		cr_assert_str_eq(text, words[i].out);
		/* what is shown is what may be asked for */
		cr_assert_eq(policy_from_json(out, &q, &err), 0, "%s: %s", text, err.msg);
		again = policy_to_json(&q);
		cr_assert(json_equal(out, again));
		free(text);
		json_decref(in);
		json_decref(out);
		json_decref(again);
	}
}

static const struct {
	const char *in, *code;
} bad[] = {
	{ "[]", "ctl.bad-params" },
	{ "\"mac\"", "ctl.bad-params" },
	{ "7", "ctl.bad-params" },
	{ "{\"mac\": 7}", "ctl.bad-params" },
	{ "{\"mac\": null}", "ctl.bad-params" },
	{ "{\"mac\": \"00:00:00:00:00:00\"}", "policy.bad-value" },
	{ "{\"mac\": \"01:00:00:00:00:01\"}", "policy.bad-value" },
	{ "{\"mac\": \"ff:ff:ff:ff:ff:ff\"}", "policy.bad-value" },
	{ "{\"vlan\": \"4095\"}", "policy.bad-value" },
	{ "{\"vlan\": \"-1\"}", "policy.bad-value" },
	{ "{\"qos\": \"1\"}", "policy.bad-value" },
	{ "{\"vlan\": \"1\", \"qos\": \"8\"}", "policy.bad-value" },
	{ "{\"min_tx_rate\": \"10\", \"max_tx_rate\": \"5\"}", "policy.bad-value" },
	{ "{\"max_tx_rate\": \"4294967295\"}", "policy.bad-value" },
	{ "{\"speed\": \"5\"}", "policy.bad-word" },
	{ "{\"\": \"5\"}", "policy.bad-word" },
};

Test(policy_json, bad_words_change_nothing)
{
	static const struct sys_vf untouched = { .fields = 0x5a, .vlan = 77 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct sys_vf p = untouched;
		json_t *in = json(bad[i].in);

		cr_assert_lt(policy_from_json(in, &p, &err), 0, "%s", bad[i].in);
		cr_assert_str_eq(err.code, bad[i].code, "%s: %s", bad[i].in, err.msg);
		cr_assert_eq(memcmp(&p, &untouched, sizeof(p)), 0);
		json_decref(in);
	}
}

static const struct sys_vf full = { .fields = SYS_VF_MAC | SYS_VF_VLAN | SYS_VF_SPOOFCHK | SYS_VF_TRUST | SYS_VF_STATE |
					      SYS_VF_RATE,
				    .mac = { 0x52, 0x54, 0, 1, 2, 3 },
				    .vlan = 4094,
				    .qos = 7,
				    .proto = 0x88a8,
				    .spoofchk = true,
				    .trust = true,
				    .state = SYS_VF_STATE_DISABLE,
				    .min_tx_rate = SYS_VF_RATE_KEEP,
				    .max_tx_rate = 40000 };

static void same_policy(const struct sys_vf *a, const struct sys_vf *b)
{
	cr_assert(a->fields == b->fields && !memcmp(a->mac, b->mac, SYS_MAC_LEN) && a->vlan == b->vlan && a->qos == b->qos &&
		  a->proto == b->proto && a->spoofchk == b->spoofchk && a->trust == b->trust && a->state == b->state &&
		  a->min_tx_rate == b->min_tx_rate && a->max_tx_rate == b->max_tx_rate);
}

Test(policy_json, records_there_and_back)
{
	static const struct sys_vf empty;
	const struct sys_vf *const rows[] = { &full, &empty };

	for (size_t i = 0; i < 2; i++) {
		json_t *j = policy_to_record(rows[i]);
		struct sys_vf p;

		cr_assert_eq(policy_from_record(j, &p, &err), 0, "%s", err.msg);
		same_policy(&p, rows[i]);
		json_decref(j);
	}
}

/* One rate leaves the other, where there is one. */
Test(policy_json, rates_are_merged_each)
{
	static const uint32_t keep = SYS_VF_RATE_KEEP;
	static const struct {
		unsigned fields;
		uint32_t min, max, more_min, more_max, want_min, want_max;
	} rows[] = {
		{ SYS_VF_RATE, 1, 50, 2, keep, 2, 50 },	   { SYS_VF_RATE, 1, 50, keep, 60, 1, 60 },
		{ SYS_VF_RATE, keep, 50, 2, keep, 2, 50 }, { SYS_VF_RATE, keep, 50, keep, 60, keep, 60 },
		{ SYS_VF_RATE, 1, 50, 0, 0, 0, 0 },	   { 0, 0, 0, 2, keep, 2, keep },
		{ SYS_VF_VLAN, 0, 0, keep, 60, keep, 60 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sys_vf to = { .fields = rows[i].fields, .min_tx_rate = rows[i].min, .max_tx_rate = rows[i].max };
		struct sys_vf more = { .fields = SYS_VF_RATE, .min_tx_rate = rows[i].more_min, .max_tx_rate = rows[i].more_max };

		policy_merge(&to, &more);
		cr_assert_eq(to.fields, rows[i].fields | SYS_VF_RATE, "row %zu", i);
		cr_assert_eq(to.min_tx_rate, rows[i].want_min, "row %zu: %u", i, to.min_tx_rate);
		cr_assert_eq(to.max_tx_rate, rows[i].want_max, "row %zu: %u", i, to.max_tx_rate);
	}
}

/* Each member missing, of another type, and out of range. */
Test(policy_json, damaged_records)
{
	static const struct {
		const char *key;
		json_int_t over;
	} ranges[] = { { "fields", -1 },
		       { "vlan", -1 },
		       { "vlan", 4096 },
		       { "qos", 8 },
		       { "qos", -1 },
		       { "proto", 65536 },
		       { "proto", -1 },
		       { "state", 3 },
		       { "state", -1 },
		       { "min_tx_rate", -1 },
		       { "max_tx_rate", -1 },
		       { "min_tx_rate", (json_int_t)UINT32_MAX + 1 },
		       { "max_tx_rate", (json_int_t)UINT32_MAX + 1 } };
	json_t *good = policy_to_record(&full), *value;
	const char *key;
	struct sys_vf p;

	json_object_foreach (good, key, value) {
		json_t *missing = json_copy(good), *wrong = json_copy(good);

		json_object_del(missing, key);
		json_object_set_new(wrong, key, json_array());
		cr_assert_eq(policy_from_record(missing, &p, &err), -EINVAL, "without %s", key);
		cr_assert_eq(policy_from_record(wrong, &p, &err), -EINVAL, "%s of another type", key);
		cr_assert_str_eq(err.code, "state.bad-record");
		json_decref(missing);
		json_decref(wrong);
	}
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		json_t *j = json_copy(good);

		json_object_set_new(j, ranges[i].key, json_integer(ranges[i].over));
		cr_assert_eq(policy_from_record(j, &p, &err), -EINVAL, "%s", ranges[i].key);
		json_decref(j);
	}
	json_object_set_new(good, "mac", json_string("52:54"));
	cr_assert_eq(policy_from_record(good, &p, &err), -EINVAL);
	json_decref(good);
	cr_assert_eq(policy_from_record(NULL, &p, &err), -EINVAL);
}
