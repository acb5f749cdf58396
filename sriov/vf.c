/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which VFs the host has. sysfs says what is there, rtnetlink what their policies are. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "sriov_internal.h"

/* The first interface stacked on @ifname, as the kernel links it: "upper_br0". */
static int read_upper(struct sys *sys, const char *ifname, char ret[static IF_NAMESIZE])
{
	char path[SRIOV_PATH_MAX], **names;
	int r;

	ret[0] = '\0';
	snprintf(path, sizeof(path), CLASS_NET "/%s", ifname);
	r = sys->ops->list(sys, path, &names);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (char **n = names; *n && !ret[0]; n++) {
		if (strncmp(*n, "upper_", 6) == 0)
			snprintf(ret, IF_NAMESIZE, "%.*s", IF_NAMESIZE - 1, *n + 6);
	}
	sys_list_free(names);
	return 0;
}

static int read_vf(struct sys *sys, const struct sriov_pf *pf, unsigned index, const char *bdf, const struct sys_vf *policy,
		   struct sriov_vf *ret)
{
	struct sriov_vf vf = { .index = index, .policy = *policy };
	int r;

	snprintf(vf.bdf, sizeof(vf.bdf), "%s", bdf);
	snprintf(vf.pf_bdf, sizeof(vf.pf_bdf), "%s", pf->bdf);
	snprintf(vf.pf_ifname, sizeof(vf.pf_ifname), "%s", pf->ifname);
	r = sriov_ids_read(sys, bdf, &vf.vendor, &vf.device);
	if (r == 0)
		r = sriov_driver_read(sys, bdf, vf.driver);
	if (r == 0)
		r = sriov_override_read(sys, bdf, vf.override);
	if (r == 0)
		r = sriov_group_read(sys, bdf, &vf.group_id);
	if (r == 0)
		r = sriov_link_read(sys, bdf, vf.ifname, &vf.link);
	if (r == 0 && vf.ifname[0])
		r = read_upper(sys, vf.ifname, vf.upper);
	if (r < 0)
		return r;
	vf.numa_node = sriov_numa_read(sys, bdf);
	*ret = vf;
	return 0;
}

static int read_policies(struct sys *sys, const struct sriov_pf *pf, struct sys_vf policies[static SYS_VF_MAX], struct err *err)
{
	size_t nr;
	int r;

	memset(policies, 0, SYS_VF_MAX * sizeof(*policies));
	if (!pf->ifname[0])
		return 0;
	r = sys->ops->vf_list(sys, pf->ifname, policies, SYS_VF_MAX, &nr);
	if (r < 0 && r != -ENODEV)
		return err_set(err, r, "sriov.netlink", "pf %s: cannot read the policies of its VFs: %s", pf->ifname,
			       strerror(-r));
	return 0;
}

static int read_virtfn(struct sys *sys, const char *pf_bdf, unsigned index, char bdf[static BDF_LEN])
{
	char path[SRIOV_PATH_MAX], name[32];
	int r;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/virtfn%u", pf_bdf, index);
	r = sys_link_name(sys, path, name, sizeof(name));
	return r < 0 ? r : bdf_parse(name, bdf);
}

int sriov_vf_list(struct sys *sys, const struct sriov_pf *pf, struct sriov_vf **ret, size_t *ret_nr, struct err *err)
{
	unsigned max = pf->nr_vfs < SYS_VF_MAX ? pf->nr_vfs : SYS_VF_MAX;
	struct sys_vf *policies = calloc(SYS_VF_MAX, sizeof(*policies));
	struct sriov_vf *vfs = calloc(max ? max : 1, sizeof(*vfs));
	size_t nr = 0;
	int r;

	if (!policies || !vfs)
		r = err_set(err, -ENOMEM, "sriov.no-memory", "pf %s: no memory for the list of its VFs", sriov_pf_name(pf));
	else
		r = read_policies(sys, pf, policies, err);
	for (unsigned i = 0; r == 0 && i < max; i++) {
		char bdf[BDF_LEN];

		r = read_virtfn(sys, pf->bdf, i, bdf);
		if (r == 0)
			r = read_vf(sys, pf, i, bdf, &policies[i], &vfs[nr]);
		if (r == 0)
			nr++;
		else if (r == -ENOENT || r == -ENODEV) /* the count changed since @pf was read */
			r = 0;
		else
			sriov_read_failed(err, r, "a vf of pf", pf->bdf);
	}
	free(policies);
	if (r < 0) {
		free(vfs);
		return r;
	}
	*ret = vfs;
	*ret_nr = nr;
	return 0;
}

static int none_free(const struct sriov_pf *pf, struct err *err)
{
	const char *name = sriov_pf_name(pf);

	if (pf->nr_vfs == 0) {
		err_set(err, -ENODEV, "sriov.no-vfs", "pf %s: it has no VFs: 0 of %u are enabled", name, pf->total_vfs);
		err_hint(err, "gangway pf set %s vfs N (1 to %u)", name, pf->total_vfs);
		return -ENODEV;
	}
	err_set(err, -EBUSY, "sriov.no-free-vf", "pf %s: none of its %u VFs is free", name, pf->nr_vfs);
	err_hint(err, "`gangway vf list %s` shows who has them; `gangway pf set` makes more when none is held", name);
	return -EBUSY;
}

int sriov_vf_find_free(struct sys *sys, const struct sriov_pf *pf, bool (*skip)(const char *bdf, void *arg), void *arg,
		       struct sriov_vf *ret, struct err *err)
{
	unsigned max = pf->nr_vfs < SYS_VF_MAX ? pf->nr_vfs : SYS_VF_MAX;
	struct sys_vf *policies = calloc(SYS_VF_MAX, sizeof(*policies));
	struct sriov_vf vf;
	bool found = false;
	int r;

	if (!policies)
		return err_set(err, -ENOMEM, "sriov.no-memory", "pf %s: no memory", sriov_pf_name(pf));
	r = read_policies(sys, pf, policies, err);
	for (unsigned i = 0; r == 0 && !found && i < max; i++) {
		char bdf[BDF_LEN];

		r = read_virtfn(sys, pf->bdf, i, bdf);
		if (r == 0 && skip(bdf, arg))
			continue;
		if (r == 0)
			r = read_vf(sys, pf, i, bdf, &policies[i], &vf);
		if (r == 0)
			found = sriov_vf_check_unused(&vf, NULL) == 0;
		else if (r == -ENOENT || r == -ENODEV) /* the count changed since @pf was read */
			r = 0;
		else
			sriov_read_failed(err, r, "a vf of pf", pf->bdf);
	}
	free(policies);
	if (r == 0 && !found)
		r = none_free(pf, err);
	if (r == 0)
		*ret = vf;
	return r;
}

static int no_such_vf(const struct sriov_pf *pf, unsigned index, struct err *err)
{
	const char *name = sriov_pf_name(pf);

	if (pf->nr_vfs == 0) {
		err_set(err, -ENOENT, "sriov.no-such-vf", "vf %s/vf%u: no such VF: %s has no VFs enabled", name, index, name);
		err_hint(err, "enable some: gangway pf set %s vfs N (at most %u)", name, pf->total_vfs);
	} else {
		err_set(err, -ENOENT, "sriov.no-such-vf", "vf %s/vf%u: no such VF: %s has %u, vf0 to vf%u", name, index, name,
			pf->nr_vfs, pf->nr_vfs - 1);
		err_hint(err, "`gangway vf list %s` shows them; `gangway pf set %s vfs N` changes their number (at most %u)",
			 name, name, pf->total_vfs);
	}
	return -ENOENT;
}

/* The index of VF @bdf: which of its PF's virtfnN links leads to it. */
static int find_index(struct sys *sys, const struct sriov_pf *pf, const char *bdf, unsigned *ret)
{
	for (unsigned i = 0; i < pf->nr_vfs; i++) {
		char other[BDF_LEN];
		int r = read_virtfn(sys, pf->bdf, i, other);

		if (r < 0 && r != -ENOENT)
			return r;
		if (r == 0 && strcmp(other, bdf) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -ENOENT;
}

static int vf_of_function(struct sys *sys, const char *name, const char *bdf, struct sriov_pf *pf, unsigned *index,
			  struct err *err)
{
	char physfn[BDF_LEN];
	int r;

	r = sriov_physfn_read(sys, bdf, physfn);
	if (r < 0)
		return sriov_read_failed(err, r, "vf", bdf);
	if (!physfn[0]) {
		char path[SRIOV_PATH_MAX];

		snprintf(path, sizeof(path), PCI_DEVICES "/%s/sriov_totalvfs", bdf);
		err_set(err, -EINVAL, "sriov.not-a-vf", "%s is %s, not a VF", name,
			sys_exists(sys, path) ? "a PF" : "a function without SR-IOV");
		err_hint(err, "name one of its VFs, as in eth0/vf3; `gangway vf list` shows the VFs there are");
		return -EINVAL;
	}
	r = sriov_pf_by_bdf(sys, physfn, physfn, pf, err);
	if (r < 0)
		return r;
	r = find_index(sys, pf, bdf, index);
	return r < 0 ? sriov_read_failed(err, r, "vf", bdf) : 0;
}

int sriov_vf_get(struct sys *sys, const char *name, struct sriov_vf *ret, struct sriov_pf *ret_pf, struct err *err)
{
	struct sys_vf *policies;
	struct sriov_ref ref;
	struct sriov_pf pf;
	unsigned index = 0;
	char bdf[BDF_LEN];
	int r;

	r = sriov_ref_parse(sys, name, &ref, err);
	if (r < 0)
		return r;
	if (ref.vf < 0) {
		r = vf_of_function(sys, name, ref.bdf, &pf, &index, err);
	} else {
		char pf_name[32];

		index = (unsigned)ref.vf;
		snprintf(pf_name, sizeof(pf_name), "%.*s", (int)strcspn(name, "/"), name);
		r = sriov_pf_by_bdf(sys, pf_name, ref.bdf, &pf, err);
	}
	if (r < 0)
		return r;
	r = read_virtfn(sys, pf.bdf, index, bdf);
	if (r == -ENOENT || (r == 0 && index >= SYS_VF_MAX))
		return no_such_vf(&pf, index, err);
	if (r < 0)
		return sriov_read_failed(err, r, "vf", name);
	policies = calloc(SYS_VF_MAX, sizeof(*policies));
	if (!policies)
		return err_set(err, -ENOMEM, "sriov.no-memory", "vf %s: no memory", name);
	r = read_policies(sys, &pf, policies, err);
	if (r == 0) {
		r = read_vf(sys, &pf, index, bdf, &policies[index], ret);
		if (r < 0)
			sriov_read_failed(err, r, "vf", bdf);
	}
	free(policies);
	if (r == 0 && ret_pf)
		*ret_pf = pf;
	return r;
}
