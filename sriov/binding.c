/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which driver holds a PCI function, changed by driver_override and put back.
 *
 * A bind goes through drivers/NAME/bind and not drivers_probe: only the former returns why the driver's probe failed. The driver
 * link is read afterwards all the same. With an override set no other driver matches, so it is always set before a function
 * becomes free, and put back before its old driver is bound.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "sriov_internal.h"

static int write_override(struct sys *sys, const char *bdf, const char *name)
{
	char path[SRIOV_PATH_MAX];

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/driver_override", bdf);
	return sys->ops->write_file(sys, path, name[0] ? name : "\n"); /* an empty line clears it */
}

static int write_driver(struct sys *sys, const char *driver, const char *attr, const char *bdf)
{
	char path[SRIOV_PATH_MAX];

	snprintf(path, sizeof(path), PCI_DRIVERS "/%s/%s", driver, attr);
	return sys->ops->write_file(sys, path, bdf);
}

static bool driver_name_valid(const char *s)
{
	return s[0] && s[0] != '.' && strlen(s) < DRIVER_NAME_MAX && !strpbrk(s, "/ \n\t");
}

static bool driver_loaded(struct sys *sys, const char *driver)
{
	char path[SRIOV_PATH_MAX];

	snprintf(path, sizeof(path), PCI_DRIVERS "/%s", driver);
	return sys_exists(sys, path);
}

static int no_driver(const char *bdf, const char *driver, struct err *err)
{
	err_set(err, -ENODEV, "sriov.no-driver", "%s: driver %s is not loaded", bdf, driver);
	err_hint(err, "modprobe %s", driver);
	return -ENODEV;
}

int sriov_binding_get(struct sys *sys, const char *bdf, struct sriov_binding *ret, struct err *err)
{
	struct sriov_binding b = { 0 };
	int r;

	r = sriov_override_read(sys, bdf, b.override);
	if (r == 0)
		r = sriov_driver_read(sys, bdf, b.driver);
	if (r < 0)
		return sriov_read_failed(err, r, "function", bdf);
	*ret = b;
	return 0;
}

static int explain(const char *bdf, const char *driver, int r, struct err *err)
{
	err_set(err, r, "sriov.bind", "%s: cannot bind driver %s: %s", bdf, driver, strerror(-r));
	if (r == -EINVAL && strncmp(driver, "vfio", 4) == 0)
		err_hint(err, "the function has no IOMMU group: is the IOMMU on? `gangway doctor` tells");
	else if (r == -EBUSY)
		err_hint(err, "another program bound it at the same time: look at driverctl, udev rules, libvirt");
	else
		err_hint(err, "the kernel log says why: dmesg | grep %s", bdf);
	return r;
}

/* From what is there now to @driver, whose match the override already allows. */
static int move_to(struct sys *sys, const char *bdf, const char *from, const char *driver, struct err *err)
{
	char now[DRIVER_NAME_MAX] = "";
	int r;

	if (from[0]) {
		r = write_driver(sys, from, "unbind", bdf);
		if (r < 0)
			return err_set(err, r, "sriov.unbind", "%s: cannot unbind driver %s: %s", bdf, from, strerror(-r));
	}
	if (!driver[0])
		return 0;
	r = write_driver(sys, driver, "bind", bdf);
	/* udev or the kernel may have been faster: what counts is who holds it in the end */
	if (sriov_driver_read(sys, bdf, now) == 0 && strcmp(now, driver) == 0)
		return 0;
	return explain(bdf, driver, r < 0 ? r : -EIO, err);
}

int sriov_bind(struct sys *sys, const char *bdf, const char *driver, struct err *err)
{
	struct sriov_binding old = { 0 };
	struct err undo = { 0 };
	int r;

	if (!driver_name_valid(driver))
		return err_set(err, -EINVAL, "sriov.no-driver", "%s: '%.64s' is no driver's name", bdf, driver);
	r = sriov_binding_get(sys, bdf, &old, err);
	if (r < 0)
		return r;
	if (strcmp(old.driver, driver) == 0)
		return 0;
	if (!driver_loaded(sys, driver))
		return no_driver(bdf, driver, err);
	if (strcmp(old.override, driver)) {
		r = write_override(sys, bdf, driver);
		if (r < 0)
			return err_set(err, r, "sriov.bind", "%s: cannot set its driver_override to %s: %s", bdf, driver,
				       strerror(-r));
	}
	r = move_to(sys, bdf, old.driver, driver, err);
	if (r < 0 && sriov_binding_restore(sys, bdf, &old, &undo) < 0)
		err_prefix(err, "(and what was there before is not back: %.200s)", undo.msg);
	return r;
}

int sriov_binding_restore(struct sys *sys, const char *bdf, const struct sriov_binding *want, struct err *err)
{
	struct sriov_binding now = { 0 };
	bool move, blocks;
	int r;

	r = sriov_binding_get(sys, bdf, &now, err);
	if (r == -ENOENT) { /* unplugged, or its VFs were removed: nothing to put back */
		err_clear(err);
		return 0;
	}
	if (r < 0)
		return r;
	move = strcmp(now.driver, want->driver);
	/* an override for another driver than it had: was set after that driver was bound, and would keep it off now */
	blocks = move && want->driver[0] && want->override[0] && strcmp(want->override, want->driver);
	if (strcmp(now.override, blocks ? "" : want->override)) {
		r = write_override(sys, bdf, blocks ? "" : want->override);
		if (r < 0)
			return err_set(err, r, "sriov.bind", "%s: cannot put back its driver_override: %s", bdf, strerror(-r));
	}
	if (move && want->driver[0] && !driver_loaded(sys, want->driver))
		return no_driver(bdf, want->driver, err);
	if (move) {
		r = move_to(sys, bdf, now.driver, want->driver, err);
		if (r < 0)
			return r;
	}
	if (blocks) {
		r = write_override(sys, bdf, want->override);
		if (r < 0)
			return err_set(err, r, "sriov.bind", "%s: cannot put back its driver_override: %s", bdf, strerror(-r));
	}
	return 0;
}

int sriov_vf_check_unused(const struct sriov_vf *vf, struct err *err)
{
	const struct sys_link *link = &vf->link;
	char why[96];

	if (!vf->ifname[0])
		return 0;
	if (link->nr_addrs)
		snprintf(why, sizeof(why), "has %u address%s", link->nr_addrs, link->nr_addrs > 1 ? "es" : "");
	else if (link->nr_routes)
		snprintf(why, sizeof(why), "has %u route%s", link->nr_routes, link->nr_routes > 1 ? "s" : "");
	else if (vf->upper[0])
		snprintf(why, sizeof(why), "carries %s", vf->upper);
	else if (link->master)
		snprintf(why, sizeof(why), "is part of a bridge or bond (interface %u)", link->master);
	else
		return 0;
	err_set(err, -EBUSY, "sriov.vf-in-use", "vf %s: in use by driver %s: its interface %s %s", vf->bdf, vf->driver,
		vf->ifname, why);
	err_hint(err, "the host uses it: take %s out of use first (ip addr show %s; ip route show dev %s), or choose another VF",
		 vf->ifname, vf->ifname, vf->ifname);
	return -EBUSY;
}
