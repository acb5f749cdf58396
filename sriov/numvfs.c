/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many VFs a PF has. The kernel takes a new count only from zero (drivers/pci/iov.c, sriov_numvfs_store). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "sriov_internal.h"

static int write_count(struct sys *sys, const struct sriov_pf *pf, unsigned nr)
{
	char path[SRIOV_PATH_MAX], text[16];

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/sriov_numvfs", pf->bdf);
	snprintf(text, sizeof(text), "%u", nr);
	return sys->ops->write_file(sys, path, text);
}

static int read_count(struct sys *sys, const struct sriov_pf *pf, const char *attr, uint64_t *ret)
{
	char path[SRIOV_PATH_MAX];

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", pf->bdf, attr);
	return sys_read_u64(sys, path, ret);
}

/* The kernel's errno is poor; its cause is known (features: "Cannot allocate memory" is about MMIO space or bus numbers). */
static int explain(const struct sriov_pf *pf, unsigned nr, int r, struct err *err)
{
	const char *name = sriov_pf_name(pf);

	switch (r) {
	case -EBUSY:
		err_set(err, r, "sriov.numvfs-busy", "pf %s: cannot have %u VFs: its VFs are in use", name, nr);
		err_hint(err,
			 "something outside gangway holds a VF or changes the count: `gangway vf list %s`, and the kernel log",
			 name);
		return r;
	case -ENOMEM:
		err_set(err, r, "sriov.no-room",
			"pf %s: no room for %u VFs: not enough MMIO space or bus numbers behind its bridge", name, nr);
		err_hint(err,
			 "the kernel log says which; enable SR-IOV and above-4G decoding in the BIOS, or boot with pci=realloc "
			 "or pci=assign-busses");
		return r;
	case -ENOENT:
		if (!pf->driver[0])
			err_set(err, -EOPNOTSUPP, "sriov.no-sriov-driver", "pf %s: no driver is bound that could make VFs", name);
		else
			err_set(err, -EOPNOTSUPP, "sriov.no-sriov-driver", "pf %s: its driver %s makes no VFs through sysfs",
				name, pf->driver);
		err_hint(err, "bind the PF to its own network driver");
		return -EOPNOTSUPP;
	default:
		break;
	}
	if (pf->ifname[0] && !pf->link.up) {
		err_set(err, r, "sriov.numvfs", "pf %s: PF is not online: cannot have %u VFs: %s", name, nr, strerror(-r));
		err_hint(err, "some drivers make VFs only while the PF is up: ip link set %s up", pf->ifname);
	} else {
		err_set(err, r, "sriov.numvfs", "pf %s: cannot have %u VFs: %s", name, nr, strerror(-r));
		err_hint(err, "the kernel log says why: dmesg | grep %s", pf->bdf);
	}
	return r;
}

static int not_taken(const struct sriov_pf *pf, unsigned nr, unsigned got, struct err *err)
{
	const char *name = sriov_pf_name(pf);

	if (pf->ifname[0] && !pf->link.up) {
		err_set(err, -EIO, "sriov.numvfs-not-taken", "pf %s: PF is not online: its driver made %u of %u VFs", name, got,
			nr);
		err_hint(err, "ip link set %s up", pf->ifname);
	} else {
		err_set(err, -EIO, "sriov.numvfs-not-taken", "pf %s: its driver made %u of %u VFs", name, got, nr);
		err_hint(err, "the kernel log says why: dmesg | grep %s", pf->bdf);
	}
	return -EIO;
}

/* Write and read back: a driver may return success and have made none (bnxt_en does while its interface is down). */
static int change(struct sys *sys, const struct sriov_pf *pf, unsigned nr, struct err *err)
{
	uint64_t got = 0;
	int r;

	r = write_count(sys, pf, nr);
	if (r < 0)
		return explain(pf, nr, r, err);
	r = read_count(sys, pf, "sriov_numvfs", &got);
	if (r < 0)
		return err_set(err, r, "sriov.sysfs", "pf %s: cannot read sriov_numvfs: %s", sriov_pf_name(pf), strerror(-r));
	return got == nr ? 0 : not_taken(pf, nr, (unsigned)got, err);
}

/* After a failure that may have come before or after the change. The VFs come back bare: policies went with the old ones. */
static int put_back(struct sys *sys, const struct sriov_pf *pf, unsigned old)
{
	uint64_t now = 0;
	int r;

	r = read_count(sys, pf, "sriov_numvfs", &now);
	if (r < 0 || now == old)
		return r;
	if (now)
		r = write_count(sys, pf, 0);
	return r < 0 ? r : write_count(sys, pf, old);
}

int sriov_pf_set_numvfs(struct sys *sys, const struct sriov_pf *pf, unsigned nr, struct err *err)
{
	const char *name = sriov_pf_name(pf);
	uint64_t total = 0, old = 0;
	int r;

	r = read_count(sys, pf, "sriov_totalvfs", &total);
	if (r == 0)
		r = read_count(sys, pf, "sriov_numvfs", &old);
	if (r < 0)
		return sriov_read_failed(err, r, "pf", pf->bdf);
	if (total > SYS_VF_MAX)
		total = SYS_VF_MAX;
	if (nr > total) {
		err_set(err, -ERANGE, "sriov.too-many-vfs", "pf %s: %u VFs asked for, it has at most %u", name, nr,
			(unsigned)total);
		err_hint(err, "gangway pf set %s vfs %u", name, (unsigned)total);
		return -ERANGE;
	}
	if (nr == old)
		return 0;
	if (old)
		r = change(sys, pf, 0, err);
	if (r == 0 && nr)
		r = change(sys, pf, nr, err);
	if (r < 0 && old && put_back(sys, pf, (unsigned)old) < 0)
		err_prefix(err, "(and the %u VFs there were did not come back)", (unsigned)old);
	return r;
}
