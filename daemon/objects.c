/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "objects.h"

#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "err.h"
#include "faults.h"
#include "lease.h"
#include "policy_json.h"
#include "sriov.h"

static json_t *text_or_null(const char *s)
{
	return s[0] ? json_string(s) : json_null();
}

static json_t *mac_or_null(const uint8_t mac[SYS_MAC_LEN])
{
	static const uint8_t none[SYS_MAC_LEN];
	char text[18];

	if (!memcmp(mac, none, SYS_MAC_LEN))
		return json_null();
	mac_format(mac, text);
	return json_string(text);
}

json_t *pf_to_json(struct daemon *d, const struct sriov_pf *pf)
{
	struct lease *l;
	int leased = 0;

	TAILQ_FOREACH(l, &d->leases, link)
	leased += l->vf_bdf[0] && !strcmp(l->pf_key, pf->key);
	return json_pack("{s:s, s:s, s:o, s:i, s:i, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:b, s:b, s:b, s:o}", "name",
			 pf->ifname[0] ? pf->ifname : pf->bdf, "bdf", pf->bdf, "driver", text_or_null(pf->driver), "vendor",
			 pf->vendor, "device", pf->device, "vendor_name", pf->vendor_name, "device_name", pf->device_name, "key",
			 pf->key, "numa_node", pf->numa_node, "total_vfs", (int)pf->total_vfs, "vfs", (int)pf->nr_vfs, "leased",
			 leased, "autoprobe", pf->autoprobe, "up", pf->link.up, "carrier", pf->link.carrier, "mac",
			 mac_or_null(pf->link.mac));
}

/* The policy's members, null where the driver reports none. */
static void add_policy(json_t *j, const struct sys_vf *p)
{
	static const char *const states[] = { "auto", "enable", "disable" };
	unsigned f = p->fields;

	json_object_set_new(j, "mac", f & SYS_VF_MAC ? mac_or_null(p->mac) : json_null());
	json_object_set_new(j, "vlan", f & SYS_VF_VLAN ? json_integer(p->vlan) : json_null());
	json_object_set_new(j, "qos", f & SYS_VF_VLAN ? json_integer(p->qos) : json_null());
	json_object_set_new(j, "proto", f & SYS_VF_VLAN ? json_string(p->proto == 0x88a8 ? "802.1ad" : "802.1Q") : json_null());
	json_object_set_new(j, "spoofchk", f & SYS_VF_SPOOFCHK ? json_boolean(p->spoofchk) : json_null());
	json_object_set_new(j, "trust", f & SYS_VF_TRUST ? json_boolean(p->trust) : json_null());
	json_object_set_new(j, "state", f & SYS_VF_STATE ? json_string(states[p->state]) : json_null());
	json_object_set_new(j, "min_tx_rate", f & SYS_VF_RATE ? json_integer(p->min_tx_rate) : json_null());
	json_object_set_new(j, "max_tx_rate", f & SYS_VF_RATE ? json_integer(p->max_tx_rate) : json_null());
}

json_t *vf_to_json(struct daemon *d, const struct sriov_pf *pf, const struct sriov_vf *vf)
{
	struct lease *l = lease_of_vf_index(d, pf->key, vf->index);
	char name[IF_NAMESIZE + 16];
	struct err why = { 0 };
	json_t *j;

	snprintf(name, sizeof(name), "%s/vf%u", pf->ifname[0] ? pf->ifname : pf->bdf, vf->index);
	if (!l)
		sriov_vf_check_unused(vf, &why);
	j = json_pack("{s:s, s:s, s:i, s:s, s:o, s:o, s:o, s:i, s:o, s:s?, s:b, s:s?}", "name", name, "bdf", vf->bdf, "index",
		      (int)vf->index, "pf", pf->ifname[0] ? pf->ifname : pf->bdf, "driver", text_or_null(vf->driver), "override",
		      text_or_null(vf->override), "group", vf->group_id >= 0 ? json_integer(vf->group_id) : json_null(),
		      "numa_node", vf->numa_node, "ifname", text_or_null(vf->ifname), "lease", l ? l->id : NULL, "free",
		      !l && !why.num, "why_not_free", l ? "leased" : (why.num ? why.msg : NULL));
	if (j) {
		json_object_set_new(j, "faults", l ? faults_to_json(l) : json_null());
		add_policy(j, &vf->policy);
	}
	return j;
}
