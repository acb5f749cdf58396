/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is a MAC free? Two ports of one network with one MAC take each other's traffic, and nothing says so. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "sriov_internal.h"

static int in_use(const uint8_t *mac, const char *who, struct err *err)
{
	char text[18];

	mac_format(mac, text);
	err_set(err, -EEXIST, "policy.mac-in-use", "mac %s: %s has it", text, who);
	err_hint(err, "choose another one, or take it from %s first", who);
	return -EEXIST;
}

static int check_vfs(struct sys *sys, const struct sriov_pf *of, const struct sriov_pf *pf, unsigned vf, const uint8_t *mac,
		     struct err *err)
{
	struct sys_vf *vfs = calloc(SYS_VF_MAX, sizeof(*vfs));
	char who[40];
	size_t nr = 0;
	int r = -ENOMEM;

	if (vfs)
		r = sys->ops->vf_list(sys, of->ifname, vfs, SYS_VF_MAX, &nr);
	if (r == -ENODEV)
		r = 0;
	else if (r < 0)
		err_set(err, r, "sriov.netlink", "pf %s: cannot read the MACs of its VFs: %s", of->ifname, strerror(-r));
	for (size_t i = 0; r == 0 && i < nr && i < SYS_VF_MAX; i++) {
		if (!(vfs[i].fields & SYS_VF_MAC) || memcmp(vfs[i].mac, mac, SYS_MAC_LEN))
			continue;
		if (i == vf && strcmp(of->bdf, pf->bdf) == 0)
			continue;
		snprintf(who, sizeof(who), "%s/vf%zu", of->ifname, i);
		r = in_use(mac, who, err);
	}
	free(vfs);
	return r;
}

static bool is_macvtap(struct sys *sys, const char *ifname)
{
	char path[SRIOV_PATH_MAX];

	snprintf(path, sizeof(path), CLASS_NET "/%s/macvtap", ifname);
	return sys_exists(sys, path);
}

/* Is @ifname the interface of the function @bdf? */
static bool is_of(struct sys *sys, const char *ifname, const char *bdf)
{
	char path[SRIOV_PATH_MAX], name[32];

	snprintf(path, sizeof(path), CLASS_NET "/%s/device", ifname);
	return sys_link_name(sys, path, name, sizeof(name)) == 0 && strcmp(name, bdf) == 0;
}

static int check_interfaces(struct sys *sys, const char *vf_bdf, const uint8_t *mac, struct err *err)
{
	char path[SRIOV_PATH_MAX], text[64], **names;
	uint8_t has[SYS_MAC_LEN];
	int r;

	r = sys->ops->list(sys, CLASS_NET, &names);
	if (r < 0)
		return err_set(err, r, "sriov.sysfs", "%s: %s", CLASS_NET, strerror(-r));
	for (char **n = names; *n && r == 0; n++) {
		snprintf(path, sizeof(path), CLASS_NET "/%.32s/address", *n);
		r = sys_read_str(sys, path, text, sizeof(text));
		if (r == -ENOENT || r == -ENOTDIR || r == -EOVERFLOW || r == -EINVAL) {
			r = 0; /* gone since the listing, no interface (bonding_masters), or no Ethernet */
			continue;
		}
		if (r < 0)
			err_set(err, r, "sriov.sysfs", "%s: %s: %s", *n, path, strerror(-r));
		else if (mac_parse(text, has) == 0 && memcmp(has, mac, SYS_MAC_LEN) == 0 && !is_of(sys, *n, vf_bdf) &&
			 !is_macvtap(sys, *n))
			r = in_use(mac, *n, err);
	}
	sys_list_free(names);
	return r;
}

int policy_check_mac(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const uint8_t mac[static SYS_MAC_LEN],
		     struct err *err)
{
	char path[SRIOV_PATH_MAX], vf_bdf[32] = "";
	struct sriov_pf *pfs;
	size_t nr;
	int r;

	r = sriov_pf_list(sys, &pfs, &nr, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < nr && r == 0; i++) {
		if (memcmp(pfs[i].link.perm_mac, mac, SYS_MAC_LEN) == 0)
			r = in_use(mac, sriov_pf_name(&pfs[i]), err);
		else if (pfs[i].ifname[0] && pfs[i].nr_vfs)
			r = check_vfs(sys, &pfs[i], pf, vf, mac, err);
	}
	free(pfs);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/virtfn%u", pf->bdf, vf);
	r = sys_link_name(sys, path, vf_bdf, sizeof(vf_bdf));
	if (r < 0 && r != -ENOENT)
		return err_set(err, r, "sriov.sysfs", "pf %s: %s: %s", sriov_pf_name(pf), path, strerror(-r));
	return check_interfaces(sys, vf_bdf, mac, err);
}
