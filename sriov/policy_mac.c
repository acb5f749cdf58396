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

/* The VFs of the PF with interface @ifname; VF @vf may have the MAC where @own. */
static int check_vfs(struct sys *sys, const char *ifname, bool own, unsigned vf, const uint8_t *mac, struct err *err)
{
	struct sys_vf *vfs = calloc(SYS_VF_MAX, sizeof(*vfs));
	char who[40];
	size_t nr = 0;
	int r = -ENOMEM;

	if (vfs)
		r = sys->ops->vf_list(sys, ifname, vfs, SYS_VF_MAX, &nr);
	if (r == -ENODEV)
		r = 0;
	else if (r < 0)
		err_set(err, r, "sriov.netlink", "pf %s: cannot read the MACs of its VFs: %s", ifname, strerror(-r));
	for (size_t i = 0; r == 0 && i < nr && i < SYS_VF_MAX; i++) {
		if (!(vfs[i].fields & SYS_VF_MAC) || memcmp(vfs[i].mac, mac, SYS_MAC_LEN) || (own && i == vf))
			continue;
		snprintf(who, sizeof(who), "%.16s/vf%zu", ifname, i);
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
	char of[BDF_LEN];

	return sriov_function_of(sys, ifname, of) == 0 && strcmp(of, bdf) == 0;
}

/* One interface of the host, and the VFs below it if it is a PF's. */
static int check_interface(struct sys *sys, const char *ifname, const struct sriov_pf *pf, unsigned vf, const char *vf_bdf,
			   const uint8_t *mac, struct err *err)
{
	char path[SRIOV_PATH_MAX], text[64];
	uint8_t has[SYS_MAC_LEN];
	uint64_t nr_vfs = 0;
	int r;

	snprintf(path, sizeof(path), CLASS_NET "/%.32s/address", ifname);
	r = sys_read_str(sys, path, text, sizeof(text));
	if (r == -ENOENT || r == -ENOTDIR || r == -EOVERFLOW || r == -EINVAL)
		return 0; /* gone since the listing, no interface (bonding_masters), or no Ethernet */
	if (r < 0)
		return err_set(err, r, "sriov.sysfs", "%s: %s: %s", ifname, path, strerror(-r));
	if (mac_parse(text, has) == 0 && memcmp(has, mac, SYS_MAC_LEN) == 0 && !is_of(sys, ifname, vf_bdf) &&
	    !is_macvtap(sys, ifname))
		return in_use(mac, ifname, err);
	snprintf(path, sizeof(path), CLASS_NET "/%.32s/device/sriov_numvfs", ifname);
	r = sys_read_u64(sys, path, &nr_vfs);
	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return err_set(err, r, "sriov.sysfs", "%s: %s: %s", ifname, path, strerror(-r));
	return nr_vfs ? check_vfs(sys, ifname, strcmp(ifname, pf->ifname) == 0, vf, mac, err) : 0;
}

/* Called on every attach: reads what it must, and does not list PFs with all that belongs to one. */
int policy_check_mac(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const uint8_t mac[static SYS_MAC_LEN],
		     struct err *err)
{
	char path[SRIOV_PATH_MAX], vf_bdf[32] = "", **names;
	int r;

	if (memcmp(pf->link.perm_mac, mac, SYS_MAC_LEN) == 0)
		return in_use(mac, sriov_pf_name(pf), err);
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/virtfn%u", pf->bdf, vf);
	r = sys_link_name(sys, path, vf_bdf, sizeof(vf_bdf));
	if (r < 0 && r != -ENOENT)
		return err_set(err, r, "sriov.sysfs", "pf %s: %s: %s", sriov_pf_name(pf), path, strerror(-r));
	r = sys->ops->list(sys, CLASS_NET, &names);
	if (r < 0)
		return err_set(err, r, "sriov.sysfs", "%s: %s", CLASS_NET, strerror(-r));
	for (char **n = names; *n && r == 0; n++)
		r = check_interface(sys, *n, pf, vf, vf_bdf, mac, err);
	sys_list_free(names);
	return r;
}
