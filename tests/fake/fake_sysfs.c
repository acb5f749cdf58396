/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI in the fake kernel's sysfs: functions, drivers, groups, and what writes to their attributes do.
 * As drivers/pci/pci-driver.c, pci-sysfs.c and drivers/base/bus.c have it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_internal.h"

struct fake_fn *fake_fn_find(const struct fake *fake, const char *bdf)
{
	size_t len = strcspn(bdf, "\n"); /* sysfs_streq() */
	struct fake_fn *fn = fake->fns;

	while (fn && (strlen(fn->bdf) != len || strncmp(fn->bdf, bdf, len)))
		fn = fn->next;
	return fn;
}

static bool has_driver(struct fake *fake, const char *driver)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/sys/bus/pci/drivers/%s", fake->root, driver) >= PATH_MAX)
		return false;
	return access(path, F_OK) == 0;
}

void fake_add_driver(struct fake *fake, const char *driver)
{
	static const char *const attrs[] = { "bind", "unbind", "new_id", "remove_id" };

	pthread_mutex_lock(&fake->lock);
	if (!has_driver(fake, driver)) {
		fake_mkdir(fake, "/sys/bus/pci/drivers/%s", driver);
		for (size_t i = 0; i < sizeof(attrs) / sizeof(attrs[0]); i++)
			fake_put(fake, "", "/sys/bus/pci/drivers/%s/%s", driver, attrs[i]);
	}
	pthread_mutex_unlock(&fake->lock);
}

int fake_new_group(const struct fake *fake)
{
	int group = FAKE_FIRST_GROUP;

	if (fake->no_iommu)
		return -1;
	for (struct fake_fn *fn = fake->fns; fn;) {
		if (fn->group == group) {
			group++;
			fn = fake->fns;
		} else {
			fn = fn->next;
		}
	}
	return group;
}

static unsigned group_members(const struct fake *fake, int group)
{
	unsigned nr = 0;

	for (struct fake_fn *fn = fake->fns; fn; fn = fn->next)
		nr += fn->group == group;
	return nr;
}

/* /dev/vfio/N is there while vfio-pci holds a member of group N, and is root's when it comes. */
static void update_node(struct fake *fake, int group)
{
	char path[PATH_MAX];
	bool want = false, is;

	if (group < 0)
		return;
	for (struct fake_fn *fn = fake->fns; fn; fn = fn->next)
		want = want || (fn->group == group && strcmp(fn->driver, "vfio-pci") == 0);
	snprintf(path, sizeof(path), "%.4000s/dev/vfio/%d", fake->root, group);
	is = access(path, F_OK) == 0;
	if (want && !is) {
		fake_put(fake, "", "/dev/vfio/%d", group);
		if (chmod(path, 0600) < 0)
			fake_die("chmod %s", path);
	} else if (!want && is) {
		fake_remove(fake, "/dev/vfio/%d", group);
		for (struct fake_owner *o = fake->owners; o; o = o->next) {
			if (strcmp(o->path, path + strlen(fake->root)) == 0)
				o->uid = o->gid = 0;
		}
	}
}

void fake_fn_group(struct fake *fake, struct fake_fn *fn, int group)
{
	char target[PATH_MAX];
	int old = fn->group;

	if (old == group)
		return;
	fn->group = -1;
	if (old >= 0) {
		fake_remove(fake, "%s/iommu_group", fn->dir);
		fake_remove(fake, "/sys/kernel/iommu_groups/%d/devices/%s", old, fn->bdf);
		update_node(fake, old);
		if (!group_members(fake, old))
			fake_remove(fake, "/sys/kernel/iommu_groups/%d", old);
	}
	fn->group = group;
	if (group < 0)
		return;
	fake_mkdir(fake, "/sys/kernel/iommu_groups/%d/devices", group);
	fake_put(fake, "DMA-FQ\n", "/sys/kernel/iommu_groups/%d/type", group);
	fake_put(fake, "0x00000000fee00000 0x00000000feefffff msi\n", "/sys/kernel/iommu_groups/%d/reserved_regions", group);
	snprintf(target, sizeof(target), "../../../kernel/iommu_groups/%d", group);
	fake_symlink(fake, target, "%s/iommu_group", fn->dir);
	snprintf(target, sizeof(target), "../../../../%s", fn->dir + strlen("/sys/"));
	fake_symlink(fake, target, "/sys/kernel/iommu_groups/%d/devices/%s", group, fn->bdf);
	update_node(fake, group);
}

static void put_config(struct fake *fake, const struct fake_fn *fn, uint16_t vendor, uint16_t device)
{
	unsigned char config[256] = { (unsigned char)vendor, (unsigned char)(vendor >> 8), (unsigned char)device,
				      (unsigned char)(device >> 8) };
	char path[PATH_MAX];
	FILE *f;

	config[0x0b] = 0x02; /* network controller, Ethernet */
	snprintf(path, sizeof(path), "%.4000s%s/config", fake->root, fn->dir);
	f = fopen(path, "we");
	if (!f || fwrite(config, sizeof(config), 1, f) != 1 || fclose(f))
		fake_die("write %s", path);
}

struct fake_fn *fake_fn_new(struct fake *fake, const char *bdf, const char *parent_dir, uint16_t vendor, uint16_t device)
{
	struct fake_fn *fn = calloc(1, sizeof(*fn));
	char text[PATH_MAX];

	if (!fn || strlen(bdf) != 12 || fake_fn_find(fake, bdf))
		fake_die("bad or known function %s", bdf);
	snprintf(fn->bdf, sizeof(fn->bdf), "%s", bdf);
	snprintf(fn->dir, sizeof(fn->dir), "%.40s/%s", parent_dir, bdf);
	fn->group = -1;
	fake_mkdir(fake, "%s", fn->dir);
	snprintf(text, sizeof(text), "0x%04x\n", vendor);
	fake_put(fake, text, "%s/vendor", fn->dir);
	snprintf(text, sizeof(text), "0x%04x\n", device);
	fake_put(fake, text, "%s/device", fn->dir);
	fake_put(fake, "0x020000\n", "%s/class", fn->dir);
	fake_put(fake, "0\n", "%s/numa_node", fn->dir);
	fake_put(fake, "(null)\n", "%s/driver_override", fn->dir);
	fake_put(fake, "", "%s/reset", fn->dir);
	put_config(fake, fn, vendor, device);
	snprintf(text, sizeof(text), "../../../%s", fn->dir + strlen("/sys/"));
	fake_symlink(fake, text, "/sys/bus/pci/devices/%s", bdf);
	fn->next = fake->fns;
	fake->fns = fn;
	return fn;
}

void fake_fn_free(struct fake *fake, struct fake_fn *fn)
{
	struct fake_fn **at = &fake->fns;

	if (fn->pf)
		fake_vfs_remove(fake, fn);
	fake_fn_unbind(fake, fn);
	fake_fn_group(fake, fn, -1);
	fake_remove(fake, "/sys/bus/pci/devices/%s", fn->bdf);
	fake_remove(fake, "%s", fn->dir);
	while (*at != fn)
		at = &(*at)->next;
	*at = fn->next;
	fake_emit_pci(fake, fn, true);
	free(fn->pf);
	free(fn);
}

static bool matches(const struct fake_fn *fn, const char *driver)
{
	return strcmp(fn->override[0] ? fn->override : fn->native, driver) == 0;
}

int fake_fn_bind(struct fake *fake, struct fake_fn *fn, const char *driver)
{
	static const uint8_t zero[SYS_MAC_LEN];
	char target[PATH_MAX];

	if (!matches(fn, driver))
		return -ENODEV;
	if (fn->driver[0])
		return -EBUSY;
	if (strncmp(driver, "vfio-", 5) == 0 && fn->group < 0)
		return -EINVAL;
	snprintf(fn->driver, sizeof(fn->driver), "%s", driver);
	snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s", driver);
	fake_symlink(fake, target, "%s/driver", fn->dir);
	snprintf(target, sizeof(target), "../../../../%s", fn->dir + strlen("/sys/"));
	fake_symlink(fake, target, "/sys/bus/pci/drivers/%s/%s", driver, fn->bdf);
	update_node(fake, fn->group);
	if (fn->net_name[0] && strcmp(driver, fn->native) == 0) {
		unsigned bus = (unsigned)strtoul(fn->bdf + 5, NULL, 16), slot = (unsigned)strtoul(fn->bdf + 8, NULL, 16);
		uint8_t mac[] = { 0x52, 0x54, 0, (uint8_t)bus, (uint8_t)(slot << 3 | (fn->bdf[11] & 7)), 0x10 };

		if (fn->physfn) { /* igbvf: takes the MAC the PF has for it, or makes one up and tells the PF */
			struct sys_vf *vf = &fn->physfn->pf->vfs[fn->index];

			mac[0] = 0x02;
			if (memcmp(vf->mac, zero, SYS_MAC_LEN))
				memcpy(mac, vf->mac, SYS_MAC_LEN);
			memcpy(vf->mac, mac, SYS_MAC_LEN);
		}
		fake_if_new(fake, fn->net_name, fn, mac);
	}
	fake_emit_pci(fake, fn, false);
	return 0;
}

void fake_fn_unbind(struct fake *fake, struct fake_fn *fn)
{
	struct fake_if *i = fn->net_name[0] ? fake_if_find(fake, fn->net_name) : NULL;

	if (!fn->driver[0])
		return;
	if (i && i->fn == fn)
		fake_if_free(fake, i);
	fake_remove(fake, "%s/driver", fn->dir);
	fake_remove(fake, "/sys/bus/pci/drivers/%s/%s", fn->driver, fn->bdf);
	fn->driver[0] = '\0';
	update_node(fake, fn->group);
	fake_emit_pci(fake, fn, false);
}

static int write_override(struct fake *fake, struct fake_fn *fn, const char *text)
{
	char line[FAKE_NAME + 1];
	size_t len = strcspn(text, "\n");

	if (len >= sizeof(fn->override))
		return -EINVAL;
	snprintf(fn->override, sizeof(fn->override), "%.*s", (int)len, text);
	snprintf(line, sizeof(line), "%s\n", len ? fn->override : "(null)");
	fake_put(fake, line, "%s/driver_override", fn->dir);
	return 0;
}

static int write_driver_attr(struct fake *fake, const char *driver, const char *attr, const char *text)
{
	struct fake_fn *fn = fake_fn_find(fake, text);

	if (!fn)
		return -ENODEV;
	if (strcmp(attr, "bind") == 0)
		return fake_fn_bind(fake, fn, driver);
	if (strcmp(attr, "unbind") || strcmp(fn->driver, driver))
		return -ENODEV;
	fake_fn_unbind(fake, fn);
	return 0;
}

static int write_probe(struct fake *fake, const char *text)
{
	struct fake_fn *fn = fake_fn_find(fake, text);
	const char *driver;

	if (!fn)
		return -ENODEV;
	driver = fn->override[0] ? fn->override : fn->native;
	return fn->driver[0] || !driver[0] || !has_driver(fake, driver) ? 0 : fake_fn_bind(fake, fn, driver);
}

static int write_plain(struct fake *fake, const char *path, const char *text)
{
	char full[PATH_MAX];
	FILE *f;

	snprintf(full, sizeof(full), "%.2000s%.2000s", fake->root, path);
	f = access(full, F_OK) < 0 ? NULL : fopen(full, "r+e");
	if (!f)
		return -errno;
	fputs(text, f);
	return fclose(f) ? -errno : 0;
}

int fake_sysfs_write(struct fake *fake, const char *path, const char *text)
{
	char full[PATH_MAX], real[PATH_MAX], *attr, *dir, *parent;
	struct fake_fn *fn;

	if (snprintf(full, sizeof(full), "%s%s", fake->root, path) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (access(full, F_OK) < 0 || !realpath(full, real))
		return -ENOENT;
	dir = real + strlen(fake->root);
	if (strcmp(dir, "/sys/bus/pci/drivers_probe") == 0)
		return write_probe(fake, text);
	if (strncmp(dir, "/proc/irq/", 10) == 0)
		return fake_irq_write(fake, dir, text);
	attr = strrchr(dir, '/');
	*attr++ = '\0';
	parent = strrchr(dir, '/') + 1; /* of /sys/bus/pci/drivers/NAME, or of /sys/devices/.../BDF */
	if (strncmp(dir, "/sys/bus/pci/drivers/", 21) == 0)
		return write_driver_attr(fake, parent, attr, text);
	fn = strncmp(dir, "/sys/devices/", 13) ? NULL : fake_fn_find(fake, parent);
	if (fn && strcmp(attr, "driver_override") == 0)
		return write_override(fake, fn, text);
	if (fn && strcmp(attr, "sriov_numvfs") == 0)
		return fake_numvfs_write(fake, fn, text);
	if (fn && strcmp(attr, "sriov_drivers_autoprobe") == 0 && fn->pf)
		fn->pf->autoprobe = text[0] != '0';
	if (fn && strcmp(attr, "reset") == 0)
		return 0;
	return write_plain(fake, path, text);
}
