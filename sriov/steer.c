/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VF's filter in the NIC, by its administrative MAC. */
#include "sriov_steer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "sriov_internal.h"

int sriov_steer_to_vf(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const uint8_t mac[static SYS_MAC_LEN],
		      struct err *err)
{
	struct sys_vf want = { .fields = SYS_VF_MAC };

	memcpy(want.mac, mac, SYS_MAC_LEN);
	return policy_apply(sys, pf, vf, &want, err);
}

/* Does @vf have @mac? No such VF or PF: it does not. */
static int has_mac(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const uint8_t *mac, bool *ret, struct err *err)
{
	struct sys_vf *all = calloc(SYS_VF_MAX, sizeof(*all));
	size_t nr = 0;
	int r = all ? sys->ops->vf_list(sys, pf->ifname, all, SYS_VF_MAX, &nr) : -ENOMEM;

	if (r == -ENODEV)
		r = 0;
	if (r < 0)
		err_set(err, r, "sriov.netlink", "vf %s/vf%u: cannot read its MAC: %s", sriov_pf_name(pf), vf, strerror(-r));
	else
		*ret = vf < nr && vf < SYS_VF_MAX && memcmp(all[vf].mac, mac, SYS_MAC_LEN) == 0;
	free(all);
	return r;
}

int sriov_steer_off_vf(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const uint8_t mac[static SYS_MAC_LEN],
		       const struct sys_vf *saved, struct err *err)
{
	struct sys_vf back = { .fields = SYS_VF_MAC };
	bool has = false;
	int r;

	if (!pf->ifname[0])
		return 0; /* nothing was ever set */
	if ((saved->fields & SYS_VF_MAC) && memcmp(saved->mac, mac, SYS_MAC_LEN) != 0)
		memcpy(back.mac, saved->mac, SYS_MAC_LEN);
	r = has_mac(sys, pf, vf, mac, &has, err);
	if (r < 0 || !has)
		return r;
	r = policy_restore(sys, pf, vf, &back, SYS_VF_MAC, err);
	if (r == 0)
		r = has_mac(sys, pf, vf, mac, &has, err);
	if (r == 0 && has) {
		err_set(err, -EIO, "steer.not-dropped", "vf %s/vf%u: the driver %s keeps the guest's MAC for it", pf->ifname, vf,
			pf->driver);
		err_hint(err, "frames to the guest are lost there: ip link set %s vf %u mac 00:00:00:00:00:00, or remove the VFs",
			 pf->ifname, vf);
		r = -EIO;
	}
	return r;
}
