/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy_json.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "err.h"
#include "sriov.h"

static const char *const state_words[] = { "auto", "enable", "disable" };

json_t *policy_to_json(const struct sys_vf *p)
{
	json_t *j = json_object();
	char mac[18];

	if (p->fields & SYS_VF_MAC) {
		mac_format(p->mac, mac);
		json_object_set_new(j, "mac", json_string(mac));
	}
	if (p->fields & SYS_VF_VLAN) {
		json_object_set_new(j, "vlan", json_sprintf("%u", p->vlan));
		if (p->vlan) {
			json_object_set_new(j, "qos", json_sprintf("%u", p->qos));
			json_object_set_new(j, "proto", json_string(p->proto == 0x88a8 ? "802.1ad" : "802.1Q"));
		}
	}
	if (p->fields & SYS_VF_SPOOFCHK)
		json_object_set_new(j, "spoofchk", json_string(p->spoofchk ? "on" : "off"));
	if (p->fields & SYS_VF_TRUST)
		json_object_set_new(j, "trust", json_string(p->trust ? "on" : "off"));
	if (p->fields & SYS_VF_STATE)
		json_object_set_new(j, "state", json_string(state_words[p->state]));
	if (p->fields & SYS_VF_RATE) {
		if (p->min_tx_rate != SYS_VF_RATE_KEEP)
			json_object_set_new(j, "min_tx_rate", json_sprintf("%" PRIu32, p->min_tx_rate));
		if (p->max_tx_rate != SYS_VF_RATE_KEEP)
			json_object_set_new(j, "max_tx_rate", json_sprintf("%" PRIu32, p->max_tx_rate));
	}
	return j;
}

int policy_from_json(const json_t *j, struct sys_vf *ret, struct err *err)
{
	struct sys_vf p = { 0 };
	const char *word;
	json_t *value;
	int r;

	if (j && !json_is_null(j) && !json_is_object(j))
		return err_set(err, -EINVAL, "ctl.bad-params", "a policy is an object {word: value}");
	json_object_foreach ((json_t *)j, word, value) {
		if (!json_is_string(value))
			return err_set(err, -EINVAL, "ctl.bad-params", "policy %s: the value is to be a string", word);
		r = policy_parse_word(word, json_string_value(value), &p, err);
		if (r < 0)
			return r;
	}
	r = policy_check(&p, err);
	if (r < 0)
		return r;
	*ret = p;
	return 0;
}

json_t *policy_to_record(const struct sys_vf *p)
{
	char mac[18];

	mac_format(p->mac, mac);
	return json_pack("{s:i, s:s, s:i, s:i, s:i, s:b, s:b, s:i, s:I, s:I}", "fields", (int)p->fields, "mac", mac, "vlan",
			 (int)p->vlan, "qos", (int)p->qos, "proto", (int)p->proto, "spoofchk", p->spoofchk, "trust", p->trust,
			 "state", (int)p->state, "min_tx_rate", (json_int_t)p->min_tx_rate, "max_tx_rate",
			 (json_int_t)p->max_tx_rate);
}

int policy_from_record(const json_t *j, struct sys_vf *ret, struct err *err)
{
	int fields, vlan, qos, proto, spoofchk, trust, state;
	json_int_t min, max;
	struct sys_vf p = { 0 };
	const char *mac;

	if (json_unpack((json_t *)j, "{s:i, s:s, s:i, s:i, s:i, s:b, s:b, s:i, s:I, s:I}", "fields", &fields, "mac", &mac, "vlan",
			&vlan, "qos", &qos, "proto", &proto, "spoofchk", &spoofchk, "trust", &trust, "state", &state,
			"min_tx_rate", &min, "max_tx_rate", &max) < 0 ||
	    mac_parse(mac, p.mac) < 0 || fields < 0 || vlan < 0 || vlan > 4095 || qos < 0 || qos > 7 || proto < 0 ||
	    proto > 0xffff || state < 0 || state > SYS_VF_STATE_DISABLE || min < 0 || min > UINT32_MAX || max < 0 ||
	    max > UINT32_MAX)
		return err_set(err, -EINVAL, "state.bad-record", "a policy in a lease record is damaged");
	p.fields = (unsigned)fields;
	p.vlan = (uint16_t)vlan;
	p.qos = (uint8_t)qos;
	p.proto = (uint16_t)proto;
	p.spoofchk = spoofchk;
	p.trust = trust;
	p.state = (enum sys_vf_state)state;
	p.min_tx_rate = (uint32_t)min;
	p.max_tx_rate = (uint32_t)max;
	*ret = p;
	return 0;
}

static void merge_rate(uint32_t *to, uint32_t more, bool has)
{
	if (more != SYS_VF_RATE_KEEP || !has)
		*to = more;
}

void policy_merge(struct sys_vf *to, const struct sys_vf *more)
{
	bool has_rates = to->fields & SYS_VF_RATE;
	unsigned f = more->fields;

	if (f & SYS_VF_MAC)
		memcpy(to->mac, more->mac, sizeof(to->mac));
	if (f & SYS_VF_VLAN) {
		to->vlan = more->vlan;
		to->qos = more->qos;
		to->proto = more->proto;
	}
	if (f & SYS_VF_SPOOFCHK)
		to->spoofchk = more->spoofchk;
	if (f & SYS_VF_TRUST)
		to->trust = more->trust;
	if (f & SYS_VF_STATE)
		to->state = more->state;
	if (f & SYS_VF_RATE) {
		merge_rate(&to->min_tx_rate, more->min_tx_rate, has_rates);
		merge_rate(&to->max_tx_rate, more->max_tx_rate, has_rates);
	}
	to->fields |= f;
}
