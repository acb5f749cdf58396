/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy of a VF in the words of `ip link set PF vf N`, and what may not be asked for. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "err.h"
#include "sriov_internal.h"

#define VLAN_MAX 4094
#define QOS_MAX 7
#define VLAN_UNSAID UINT16_MAX /* qos or proto were given and vlan was not, so far: policy_check() refuses what stays so */
#define PROTO_8021Q 0x8100
#define PROTO_8021AD 0x88a8

static int bad_value(struct err *err, const char *word, const char *value, const char *why, const char *hint)
{
	err_set(err, -EINVAL, "policy.bad-value", "%s '%.64s': %s", word, value, why);
	err_hint(err, "%s", hint);
	return -EINVAL;
}

static int parse_mac(const char *value, struct sys_vf *vf, struct err *err)
{
	static const char hint[] = "a unicast address such as 52:54:00:12:34:56";
	static const uint8_t zero[SYS_MAC_LEN];

	if (mac_parse(value, vf->mac) < 0)
		return bad_value(err, "mac", value, "not a MAC address", hint);
	if (memcmp(vf->mac, zero, SYS_MAC_LEN) == 0)
		return bad_value(err, "mac", value, "the zero address is no one's", hint);
	if (vf->mac[0] & 1)
		return bad_value(err, "mac", value, "a multicast address cannot be a NIC's own", hint);
	vf->fields |= SYS_VF_MAC;
	return 0;
}

static int parse_number(const char *word, const char *value, uint64_t max, uint64_t *ret, struct err *err)
{
	char why[64];
	uint64_t v = 0;

	if (strspn(value, "0123456789") == strlen(value) && value[0] && strlen(value) <= 10)
		v = strtoull(value, NULL, 10);
	else
		v = UINT64_MAX;
	if (v > max) {
		snprintf(why, sizeof(why), "not a number from 0 to %llu", (unsigned long long)max);
		return bad_value(err, word, value, why, strcmp(word, "vlan") ? "" : "0 takes the VLAN away; 4095 is reserved");
	}
	*ret = v;
	return 0;
}

static int parse_choice(const char *word, const char *value, const char *const *choices, const char *hint, int *ret,
			struct err *err)
{
	for (int i = 0; choices[i]; i++) {
		if (strcasecmp(value, choices[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	return bad_value(err, word, value, "not one of its words", hint);
}

/*
 * vlan, qos and proto are one attribute of the kernel. qos and proto that are not said are none, as with ip(8); a vlan that is not
 * said must not become 0, which would take the VF out of its VLAN.
 */
static int parse_vlan(const char *word, const char *value, struct sys_vf *vf, struct err *err)
{
	static const char *const protos[] = { "802.1q", "802.1ad", NULL };
	uint64_t v = 0;
	int r, choice = 0;

	if (!(vf->fields & SYS_VF_VLAN))
		vf->vlan = VLAN_UNSAID;
	if (strcmp(word, "proto") == 0) {
		r = parse_choice(word, value, protos, "802.1Q or 802.1ad", &choice, err);
		vf->proto = choice ? PROTO_8021AD : PROTO_8021Q;
	} else if (strcmp(word, "qos") == 0) {
		r = parse_number(word, value, QOS_MAX, &v, err);
		vf->qos = (uint8_t)v;
	} else {
		r = parse_number(word, value, VLAN_MAX, &v, err);
		vf->vlan = (uint16_t)v;
	}
	if (!vf->proto)
		vf->proto = PROTO_8021Q;
	vf->fields |= SYS_VF_VLAN;
	return r;
}

static int parse_switch(const char *word, const char *value, struct sys_vf *vf, struct err *err)
{
	static const char *const on_off[] = { "off", "on", NULL };
	static const char *const states[] = { "auto", "enable", "disable", NULL };
	int r, choice = 0;

	if (strcmp(word, "state") == 0) {
		r = parse_choice(word, value, states, "auto, enable or disable", &choice, err);
		vf->state = (enum sys_vf_state)choice;
		vf->fields |= SYS_VF_STATE;
		return r;
	}
	r = parse_choice(word, value, on_off, "on or off", &choice, err);
	if (strcmp(word, "trust") == 0) {
		vf->trust = choice;
		vf->fields |= SYS_VF_TRUST;
	} else {
		vf->spoofchk = choice;
		vf->fields |= SYS_VF_SPOOFCHK;
	}
	return r;
}

static int parse_rate(const char *word, const char *value, struct sys_vf *vf, struct err *err)
{
	uint64_t v = 0;
	int r = parse_number(word, value, SYS_VF_RATE_KEEP - 1, &v, err);

	if (!(vf->fields & SYS_VF_RATE))
		vf->min_tx_rate = vf->max_tx_rate = SYS_VF_RATE_KEEP;
	if (strcmp(word, "min_tx_rate") == 0)
		vf->min_tx_rate = (uint32_t)v;
	else
		vf->max_tx_rate = (uint32_t)v;
	vf->fields |= SYS_VF_RATE;
	return r;
}

static int parse_mac_word(const char *word, const char *value, struct sys_vf *vf, struct err *err)
{
	(void)word;
	return parse_mac(value, vf, err);
}

static const struct {
	const char *word;
	int (*parse)(const char *word, const char *value, struct sys_vf *vf, struct err *err);
} words[] = {
	{ "mac", parse_mac_word }, { "vlan", parse_vlan },	  { "qos", parse_vlan },
	{ "proto", parse_vlan },   { "spoofchk", parse_switch },  { "trust", parse_switch },
	{ "state", parse_switch }, { "min_tx_rate", parse_rate }, { "max_tx_rate", parse_rate },
};

int policy_parse_word(const char *word, const char *value, struct sys_vf *ret, struct err *err)
{
	struct sys_vf vf = *ret;
	int r;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i].word))
			continue;
		r = words[i].parse(word, value, &vf, err);
		if (r == 0)
			*ret = vf;
		return r;
	}
	err_set(err, -EINVAL, "policy.bad-word", "'%.64s' is no setting of a VF", word);
	err_hint(err, "mac, vlan, qos, proto, spoofchk, trust, state, min_tx_rate, max_tx_rate");
	return -EINVAL;
}

int policy_check(const struct sys_vf *want, struct err *err)
{
	static const uint8_t zero[SYS_MAC_LEN];

	if ((want->fields & SYS_VF_MAC) && ((want->mac[0] & 1) || memcmp(want->mac, zero, SYS_MAC_LEN) == 0))
		return err_set(err, -EINVAL, "policy.bad-value", "mac: a zero or multicast address cannot be a NIC's own");
	if ((want->fields & SYS_VF_VLAN) && want->vlan == VLAN_UNSAID) {
		err_set(err, -EINVAL, "policy.bad-value", "qos and proto without a vlan say nothing");
		err_hint(err, "give vlan 1 to %d too; vlan 0 takes the VLAN away", VLAN_MAX);
		return -EINVAL;
	}
	if ((want->fields & SYS_VF_VLAN) && (want->vlan > VLAN_MAX || want->qos > QOS_MAX))
		return err_set(err, -EINVAL, "policy.bad-value", "vlan %u qos %u: at most %d and %d", want->vlan, want->qos,
			       VLAN_MAX, QOS_MAX);
	if ((want->fields & SYS_VF_VLAN) && want->vlan == 0 && (want->qos || want->proto == PROTO_8021AD)) {
		err_set(err, -EINVAL, "policy.bad-value", "%s without a vlan says nothing", want->qos ? "qos" : "proto");
		err_hint(err, "give vlan 1 to %d too", VLAN_MAX);
		return -EINVAL;
	}
	if ((want->fields & SYS_VF_RATE) && want->min_tx_rate != SYS_VF_RATE_KEEP && want->max_tx_rate != SYS_VF_RATE_KEEP &&
	    want->max_tx_rate && want->min_tx_rate > want->max_tx_rate) {
		err_set(err, -EINVAL, "policy.bad-value", "min_tx_rate %u is over max_tx_rate %u", want->min_tx_rate,
			want->max_tx_rate);
		err_hint(err, "rates are in Mbit/s; max_tx_rate 0 is no limit");
		return -EINVAL;
	}
	return 0;
}
