/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VF's policy as a leg can have it. */
#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>

#include "emul_internal.h"
#include "err.h"

#define QOS_MAX 7

static bool valid(const struct emul_policy *p)
{
	if (p->vlan > SYS_VLAN_MAX || p->qos > QOS_MAX || (p->qos && !p->vlan))
		return false;
	return p->vlan ? p->proto == ETH_P_8021Q || p->proto == ETH_P_8021AD : p->proto == 0;
}

int emul_policy_from(const struct sys_vf *policy, struct emul_policy *ret, struct err *err)
{
	unsigned f = policy->fields;
	struct emul_policy p = {
		.spoofchk = (f & SYS_VF_SPOOFCHK) && policy->spoofchk,
		.trust = (f & SYS_VF_TRUST) && policy->trust,
		.dark = (f & SYS_VF_STATE) && policy->state == SYS_VF_STATE_DISABLE,
	};

	if (f & SYS_VF_VLAN) {
		p.vlan = policy->vlan;
		p.qos = policy->qos;
		p.proto = policy->vlan ? policy->proto : 0; /* without a VLAN drivers report whatever protocol */
		if (p.vlan && !p.proto)
			p.proto = ETH_P_8021Q;
	}
	if ((f & SYS_VF_RATE) && policy->max_tx_rate != SYS_VF_RATE_KEEP)
		p.rate = policy->max_tx_rate;
	if (!valid(&p)) {
		err_set(err, -EINVAL, "emul.bad-policy", "vlan %u qos %u proto %#x: no standby can have this", policy->vlan,
			policy->qos, policy->proto);
		err_hint(err, "vlan 0 to %u, qos 0 to %u and only with a vlan, proto 802.1Q or 802.1ad", SYS_VLAN_MAX, QOS_MAX);
		return -EINVAL;
	}
	*ret = p;
	return 0;
}

json_t *emul_policy_to_json(const struct emul_policy *p)
{
	return json_pack("{s:i, s:i, s:i, s:b, s:b, s:b, s:I}", "vlan", (int)p->vlan, "qos", (int)p->qos, "proto", (int)p->proto,
			 "spoofchk", (int)p->spoofchk, "trust", (int)p->trust, "dark", (int)p->dark, "rate", (json_int_t)p->rate);
}

int emul_policy_from_json(const json_t *j, struct emul_policy *ret)
{
	int vlan, qos, proto, spoofchk, trust, dark;
	struct emul_policy p;
	json_int_t rate;

	if (json_unpack((json_t *)j, "{s:i, s:i, s:i, s:b, s:b, s:b, s:I}", "vlan", &vlan, "qos", &qos, "proto", &proto,
			"spoofchk", &spoofchk, "trust", &trust, "dark", &dark, "rate", &rate) < 0 ||
	    vlan < 0 || vlan > SYS_VLAN_MAX || qos < 0 || qos > QOS_MAX || proto < 0 || proto > UINT16_MAX || rate < 0 ||
	    rate > UINT32_MAX)
		return -EINVAL;
	p = (struct emul_policy){
		.vlan = (uint16_t)vlan,
		.proto = (uint16_t)proto,
		.qos = (uint8_t)qos,
		.spoofchk = spoofchk,
		.trust = trust,
		.dark = dark,
		.rate = (uint32_t)rate,
	};
	if (!valid(&p))
		return -EINVAL;
	*ret = p;
	return 0;
}
