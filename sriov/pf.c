/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which PFs the host has. sysfs says what is there, rtnetlink what their interfaces are. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "sriov_internal.h"

int sriov_read_failed(struct err *err, int r, const char *kind, const char *bdf)
{
	if (r == -ENOENT || r == -ENODEV)
		return err_set(err, -ENOENT, "sriov.no-such-device", "%s %s: gone while it was looked at", kind, bdf);
	return err_set(err, r, "sriov.sysfs", "%s %s: cannot read its state: %s", kind, bdf, strerror(-r));
}

static void make_key(struct sys *sys, struct sriov_pf *pf)
{
	char path[SRIOV_PATH_MAX], target[PATH_MAX], mac[18], mac_part[32] = "";
	static const uint8_t zero[SYS_MAC_LEN];
	const char *where = pf->bdf, *devices;
	const uint8_t *id = memcmp(pf->link.perm_mac, zero, SYS_MAC_LEN) ? pf->link.perm_mac : pf->link.mac;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s", pf->bdf);
	if (sys->ops->readlink(sys, path, target, sizeof(target)) > 0) {
		devices = strstr(target, "/devices/");
		if (devices)
			where = devices + strlen("/devices/");
	}
	if (memcmp(id, zero, SYS_MAC_LEN)) {
		mac_format(id, mac);
		snprintf(mac_part, sizeof(mac_part), "mac=%s,", mac);
	}
	/* a path beyond all bounds is cut: the MAC still tells the PF from others */
	snprintf(pf->key, sizeof(pf->key), "%spath=%.*s", mac_part, (int)(sizeof(pf->key) - sizeof(mac_part)), where);
}

static int read_count(struct sys *sys, const char *bdf, const char *attr, unsigned *ret)
{
	char path[SRIOV_PATH_MAX];
	uint64_t v = 0;
	int r;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", bdf, attr);
	r = sys_read_u64(sys, path, &v);
	if (r == 0)
		*ret = v > UINT16_MAX ? UINT16_MAX : (unsigned)v;
	return r;
}

/* -ENOENT without an error set: no SR-IOV here. */
static int read_pf(struct sys *sys, const char *bdf, struct sriov_pf *ret, struct err *err)
{
	struct sriov_pf pf = { .autoprobe = true };
	unsigned autoprobe = 1;
	int r;

	snprintf(pf.bdf, sizeof(pf.bdf), "%s", bdf);
	r = read_count(sys, bdf, "sriov_totalvfs", &pf.total_vfs);
	if (r == -ENOENT)
		return r;
	if (r == 0)
		r = read_count(sys, bdf, "sriov_numvfs", &pf.nr_vfs);
	if (r == 0)
		r = sriov_ids_read(sys, bdf, &pf.vendor, &pf.device);
	if (r == 0)
		r = sriov_driver_read(sys, bdf, pf.driver);
	if (r == 0)
		r = sriov_link_read(sys, bdf, pf.ifname, &pf.link);
	if (r < 0)
		return sriov_read_failed(err, r, "pf", bdf) == -ENOENT ? -ENODEV : r;
	if (read_count(sys, bdf, "sriov_drivers_autoprobe", &autoprobe) == 0)
		pf.autoprobe = autoprobe;
	pf.numa_node = sriov_numa_read(sys, bdf);
	sriov_pci_names(pf.vendor, pf.device, pf.vendor_name, sizeof(pf.vendor_name), pf.device_name, sizeof(pf.device_name));
	make_key(sys, &pf);
	*ret = pf;
	return 0;
}

int sriov_pf_list(struct sys *sys, struct sriov_pf **ret, size_t *ret_nr, struct err *ret_left_out, struct err *err)
{
	struct err why, left_out = { 0 };
	struct sriov_pf *pfs = NULL, *grown;
	char **names, bdf[BDF_LEN];
	size_t nr = 0;
	int r;

	r = sys->ops->list(sys, PCI_DEVICES, &names);
	if (r == -ENOENT) { /* a machine without PCI */
		err_clear(ret_left_out);
		*ret = NULL;
		*ret_nr = 0;
		return 0;
	}
	if (r < 0)
		return err_set(err, r, "sriov.sysfs", "%s: %s", PCI_DEVICES, strerror(-r));
	for (char **n = names; *n && r == 0; n++) {
		if (bdf_parse(*n, bdf) < 0) /* a domain of five digits (VMD): no place for NICs with VFs */
			continue;
		grown = realloc(pfs, (nr + 1) * sizeof(*pfs));
		if (!grown) {
			r = err_set(err, -ENOMEM, "sriov.no-memory", "no memory for the list of PFs");
			break;
		}
		pfs = grown;
		r = read_pf(sys, bdf, &pfs[nr], &why);
		if (r == 0)
			nr++;
		else if (r != -ENOENT && r != -ENODEV && !left_out.num) /* no PF, or unplugged meanwhile */
			left_out = why;
		r = 0;
	}
	sys_list_free(names);
	if (r < 0) {
		free(pfs);
		return r;
	}
	err_clear(err);
	if (ret_left_out)
		*ret_left_out = left_out;
	*ret = pfs;
	*ret_nr = nr;
	return 0;
}

int sriov_physfn_read(struct sys *sys, const char *bdf, char pf_bdf[static BDF_LEN])
{
	char path[SRIOV_PATH_MAX], name[32];
	int r;

	pf_bdf[0] = '\0';
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/physfn", bdf);
	r = sys_link_name(sys, path, name, sizeof(name));
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : bdf_parse(name, pf_bdf);
}

int sriov_pf_by_bdf(struct sys *sys, const char *name, const char *bdf, struct sriov_pf *ret, struct err *err)
{
	char physfn[BDF_LEN];
	struct sriov_pf pf;
	int r;

	r = sriov_physfn_read(sys, bdf, physfn);
	if (r < 0)
		return sriov_read_failed(err, r, "pf", bdf);
	if (physfn[0]) {
		err_set(err, -EINVAL, "sriov.not-a-pf", "%s is a VF of %s, not a PF", name, physfn);
		err_hint(err, "name its PF: %s; `gangway pf list` shows the PFs there are", physfn);
		return -EINVAL;
	}
	r = read_pf(sys, bdf, &pf, err);
	if (r == -ENODEV)
		return -ENOENT;
	if (r == -ENOENT || (r == 0 && pf.total_vfs == 0)) {
		err_set(err, -EINVAL, "sriov.no-sriov", "%s has no SR-IOV", name);
		err_hint(err, "`gangway pf list` shows the PFs there are; a NIC that can do SR-IOV may have it off in BIOS or "
			      "firmware");
		return -EINVAL;
	}
	if (r == 0)
		*ret = pf;
	return r;
}

int sriov_pf_get(struct sys *sys, const char *name, struct sriov_pf *ret, struct err *err)
{
	struct sriov_ref ref;
	int r;

	r = sriov_ref_parse(sys, name, &ref, err);
	if (r < 0)
		return r;
	if (ref.vf >= 0) {
		err_set(err, -EINVAL, "sriov.not-a-pf", "%s is a VF, not a PF", name);
		err_hint(err, "name the PF alone; `gangway pf list` shows the PFs there are");
		return -EINVAL;
	}
	return sriov_pf_by_bdf(sys, name, ref.bdf, ret, err);
}

int sriov_pf_by_key(struct sys *sys, const char *key, struct sriov_pf *ret, struct err *err)
{
	size_t nr = 0, mac_len = strncmp(key, "mac=", 4) ? 0 : strcspn(key, ","), nr_same = 0;
	const struct sriov_pf *found = NULL, *same_mac = NULL;
	struct sriov_pf *pfs = NULL;
	struct err left_out;
	int r;

	r = sriov_pf_list(sys, &pfs, &nr, &left_out, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < nr; i++) {
		if (strcmp(pfs[i].key, key) == 0)
			found = &pfs[i];
		if (mac_len && strncmp(pfs[i].key, key, mac_len + 1) == 0) {
			same_mac = &pfs[i];
			nr_same++;
		}
	}
	if (!found && nr_same == 1)
		found = same_mac;
	if (found) {
		*ret = *found;
	} else if (left_out.num) { /* it may be that one */
		r = left_out.num;
		if (err)
			*err = left_out;
	} else {
		r = err_set(err, -ENOENT, "sriov.no-such-device", "pf %s: no such PF on this host now", key);
		err_hint(err, "was the NIC removed, or its driver unloaded? `gangway pf list` shows the PFs there are");
	}
	free(pfs);
	return r;
}
