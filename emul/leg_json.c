/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A leg's record: names before the interfaces are made, so that a crash in between leaves nothing that nobody knows of. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emul_internal.h"
#include "err.h"
#include "mac.h"

json_t *emul_leg_to_json(const struct emul_leg *leg)
{
	char words[EMUL_WORDS_MAX], mac[MAC_TEXT];
	json_t *own = NULL;

	emul_words_print(&leg->words, words);
	mac_format(leg->mac, mac);
	if (leg->words.kind == EMUL_OWN)
		own = json_pack("{s:s, s:I, s:b, s:b, s:s}", "tap", leg->ifname, "ifindex", (json_int_t)leg->ifindex, "had_entry",
				leg->had_entry, "had_self", leg->had_self, "bridge", leg->words.bridge);
	return json_pack("{s:s, s:o*, s:s, s:I, s:I, s:s, s:i, s:b, s:b, s:o}", "standby", words, "own", own, "pf", leg->pf,
			 "pf_ifindex", (json_int_t)leg->pf_ifindex, "nr", (json_int_t)leg->nr, "mac", mac, "port_vlan",
			 (int)leg->port_vlan, "carries", (int)leg->carries, "opened", (int)leg->opened, "policy",
			 emul_policy_to_json(&leg->policy));
}

/* Names, or none: neither of them, or a tap alone. */
static int fill_own(struct emul_leg *leg, const json_t *j)
{
	const char *tap, *bridge;
	int had_entry, had_self;
	json_int_t ifindex;

	if (json_unpack((json_t *)j, "{s:{s:s, s:I, s:b, s:b, s:s}}", "own", "tap", &tap, "ifindex", &ifindex, "had_entry",
			&had_entry, "had_self", &had_self, "bridge", &bridge) < 0 ||
	    (tap[0] && !emul_name_valid(tap)) || (bridge[0] && (!tap[0] || !emul_name_valid(bridge))) || ifindex < 0 ||
	    ifindex > INT32_MAX || !tap[0] != !ifindex)
		return -EINVAL;
	snprintf(leg->ifname, sizeof(leg->ifname), "%s", tap);
	snprintf(leg->words.bridge, sizeof(leg->words.bridge), "%s", bridge);
	leg->ifindex = (unsigned)ifindex;
	leg->had_entry = had_entry;
	leg->had_self = had_self;
	return 0;
}

static int fill(struct emul_leg *leg, const json_t *j)
{
	const char *words, *pf, *mac;
	int port_vlan, carries, opened;
	json_int_t ifindex, nr;
	json_t *policy;

	if (json_unpack((json_t *)j, "{s:s, s:s, s:I, s:I, s:s, s:i, s:b, s:b, s:o}", "standby", &words, "pf", &pf, "pf_ifindex",
			&ifindex, "nr", &nr, "mac", &mac, "port_vlan", &port_vlan, "carries", &carries, "opened", &opened,
			"policy", &policy) < 0)
		return -EINVAL;
	if (emul_words_parse(words, &leg->words, NULL) < 0 || leg->words.kind == EMUL_NONE || !emul_name_valid(pf) ||
	    ifindex <= 0 || ifindex > INT32_MAX || nr < 0 || nr > EMUL_NR_MAX || mac_parse(mac, leg->mac) < 0 ||
	    !mac_is_own(leg->mac) || port_vlan < 0 || port_vlan > SYS_VLAN_MAX || emul_policy_from_json(policy, &leg->policy) < 0)
		return -EINVAL;
	snprintf(leg->pf, sizeof(leg->pf), "%s", pf);
	leg->pf_ifindex = (unsigned)ifindex;
	leg->nr = (unsigned)nr;
	leg->port_vlan = (uint16_t)port_vlan;
	leg->carries = carries;
	/* a tap's only descriptor that is left is the VMM's */
	leg->opened = opened || leg->words.kind == EMUL_BRIDGE;
	snprintf(leg->vlan_name, sizeof(leg->vlan_name), "gwv%u", leg->nr);
	if (leg->words.kind == EMUL_OWN)
		return fill_own(leg, j);
	snprintf(leg->ifname, sizeof(leg->ifname), "gwt%u", leg->nr);
	return 0;
}

int emul_leg_from_json(struct sys *sys, const json_t *j, struct emul_leg **ret, struct err *err)
{
	struct emul_leg *leg = calloc(1, sizeof(*leg));

	if (!leg)
		return err_set(err, -ENOMEM, "emul.no-memory", "standby: no memory");
	leg->sys = sys;
	leg->fd = -1;
	if (fill(leg, j) < 0) {
		free(leg);
		return err_set(err, -EINVAL, "state.bad-record", "a standby in a lease record is damaged");
	}
	leg->ops = emul_ops_of(leg->words.kind);
	*ret = leg;
	return 0;
}
