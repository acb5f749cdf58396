/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VLAN link between a macvtap and the PF. The kernel has one for each VLAN of a device, so legs in the same VLAN share it, and so does an
 * operator's own, which is never changed. Ours are told by their name (gwv<N>). Legs come and go on different workers: the lock is held
 * from the look for the link to the macvtap on it, and from the look who is on it to its removal.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "emul_internal.h"
#include "err.h"

static pthread_mutex_t vlan_lock = PTHREAD_MUTEX_INITIALIZER;

/* sysfs: "upper_gwt7" in the folder of what is below. */
#define UPPER "upper_"

static bool is_ours(const struct sys_link *vlan)
{
	return strncmp(vlan->name, "gwv", 3) == 0 && strspn(vlan->name + 3, "0123456789") == strlen(vlan->name + 3);
}

static bool is_it(const struct emul_leg *leg, unsigned pf_ifindex, const struct sys_link *link)
{
	return strcmp(link->kind, "vlan") == 0 && link->lower == pf_ifindex && link->vlan == leg->policy.vlan &&
	       link->vlan_proto == leg->policy.proto;
}

static int list_uppers(struct emul_leg *leg, const char *ifname, char ***ret, struct err *err)
{
	char path[EMUL_PATH_MAX];
	int r;

	snprintf(path, sizeof(path), CLASS_NET "/%s", ifname);
	r = leg->sys->ops->list(leg->sys, path, ret);
	return r < 0 ? err_set(err, r, "emul.sysfs", "%s: %s: %s", ifname, path, strerror(-r)) : 0;
}

int emul_vlan_find(struct emul_leg *leg, const struct sys_link *pf, struct sys_link *ret, struct err *err)
{
	struct sys_link link;
	bool found = false;
	char **names;
	int r = list_uppers(leg, pf->name, &names, err);

	if (r < 0)
		return r;
	for (char **n = names; *n && r == 0 && !found; n++) {
		if (strncmp(*n, UPPER, strlen(UPPER)) != 0)
			continue;
		r = emul_link_get(leg->sys, *n + strlen(UPPER), "emul.gone", &link, err);
		found = r == 0 && is_it(leg, pf->ifindex, &link);
		if (r == -ENODEV) { /* since the listing, or in another network namespace */
			err_clear(err);
			r = 0;
		}
	}
	sys_list_free(names);
	if (r < 0)
		return r;
	if (found)
		*ret = link;
	return found ? 0 : -ENODEV;
}

/* Can a leg of this policy stand on the VLAN link that is there? */
static int fits(const struct emul_leg *leg, const struct sys_link *vlan, struct err *err)
{
	if (vlan->vlan_qos != leg->policy.qos) {
		err_set(err, -EEXIST, "emul.vlan-qos", "pf %s: VLAN %u is there as %s with QoS %u, a device has it once", leg->pf,
			leg->policy.vlan, vlan->name, vlan->vlan_qos);
		err_hint(err, "all standbys in a VLAN of a PF have the same QoS: ask for qos %u", vlan->vlan_qos);
		return -EEXIST;
	}
	if (!vlan->up && !is_ours(vlan)) {
		err_set(err, -ENETDOWN, "emul.vlan-down", "pf %s: its VLAN %u is there as %s, which is down", leg->pf,
			leg->policy.vlan, vlan->name);
		err_hint(err, "ip link set %s up", vlan->name);
		return -ENETDOWN;
	}
	return 0;
}

int emul_vlan_check(struct emul_leg *leg, const struct sys_link *pf, struct err *err)
{
	struct sys_link vlan;
	int r = emul_vlan_find(leg, pf, &vlan, err);

	if (r == -ENODEV)
		return emul_name_free(leg->sys, leg->vlan_name, err);
	return r < 0 ? r : fits(leg, &vlan, err);
}

/* The link, up. */
static int get(struct emul_leg *leg, const struct sys_link *pf, struct sys_link *ret, struct err *err)
{
	struct sys_vlan vlan = { .id = leg->policy.vlan, .proto = leg->policy.proto, .qos = leg->policy.qos };
	struct sys_link_want want = { .fields = SYS_LINK_NO_HOST_IP6 | SYS_LINK_UP, .up = true };
	int r = emul_vlan_find(leg, pf, ret, err);

	if (r == -ENODEV) {
		r = leg->sys->ops->vlan_add(leg->sys, pf, leg->vlan_name, &vlan, err);
		if (r == 0)
			r = emul_link_get(leg->sys, leg->vlan_name, "emul.gone", ret, err);
	} else if (r == 0) {
		r = fits(leg, ret, err);
	}
	if (r == 0 && !ret->up)
		r = leg->sys->ops->link_set(leg->sys, ret, &want, err);
	return r;
}

int emul_vlan_add_macvtap(struct emul_leg *leg, const struct sys_link *pf, struct err *err)
{
	struct sys_link vlan;
	int r;

	pthread_mutex_lock(&vlan_lock);
	r = get(leg, pf, &vlan, err);
	if (r == 0)
		r = leg->sys->ops->macvtap_add(leg->sys, &vlan, leg->ifname, leg->mac, err);
	pthread_mutex_unlock(&vlan_lock);
	return r;
}

static int in_use(struct emul_leg *leg, const struct sys_link *vlan, bool *ret, struct err *err)
{
	char **names;
	int r = list_uppers(leg, vlan->name, &names, err);

	if (r < 0)
		return r;
	*ret = false;
	for (char **n = names; *n; n++)
		*ret = *ret || strncmp(*n, UPPER, strlen(UPPER)) == 0;
	sys_list_free(names);
	return 0;
}

int emul_vlan_drop(struct emul_leg *leg, struct err *err)
{
	struct sys_link pf, vlan;
	bool used = true;
	int r;

	pthread_mutex_lock(&vlan_lock);
	r = emul_pf_link(leg, &pf, err);
	if (r == 0)
		r = emul_vlan_find(leg, &pf, &vlan, err);
	if (r == 0 && is_ours(&vlan))
		r = in_use(leg, &vlan, &used, err);
	if (r == 0 && !used)
		r = leg->sys->ops->link_del(leg->sys, &vlan, err);
	pthread_mutex_unlock(&vlan_lock);
	if (r == -ENODEV) { /* there is none, or the PF has gone, and it with that */
		err_clear(err);
		r = 0;
	}
	return r;
}
