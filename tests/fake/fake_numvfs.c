/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions of the fake host: PFs, the VFs they make (drivers/pci/iov.c), others, and their going. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_internal.h"

/* QEMU's igb: an 82576 and its VF. */
#define VENDOR 0x8086
#define PF_DEVICE 0x10c9
#define VF_DEVICE 0x10ca
#define VF_OFFSET 0x80
#define VF_STRIDE 2

static void put_number(struct fake *fake, const struct fake_fn *fn, const char *attr, unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u\n", value);
	fake_put(fake, text, "%s/%s", fn->dir, attr);
}

static const char *bus_dir(const char *bdf, char buf[static 64])
{
	snprintf(buf, 64, "/sys/devices/pci%.7s", bdf);
	return buf;
}

void fake_add_pf(struct fake *fake, const char *bdf, const char *ifname, const char *driver, const char *vf_driver,
		 unsigned total)
{
	struct fake_fn *fn;
	struct fake_if *i;
	char dir[64];

	pthread_mutex_lock(&fake->lock);
	fn = fake_fn_new(fake, bdf, bus_dir(bdf, dir), VENDOR, PF_DEVICE);
	fn->pf = calloc(1, sizeof(*fn->pf));
	if (!fn->pf || total > SYS_VF_MAX)
		fake_die("%s: too many VFs", bdf);
	fn->pf->total = total;
	fn->pf->autoprobe = true;
	snprintf(fn->pf->vf_driver, sizeof(fn->pf->vf_driver), "%s", vf_driver ? vf_driver : "");
	snprintf(fn->net_name, sizeof(fn->net_name), "%s", ifname ? ifname : "");
	snprintf(fn->native, sizeof(fn->native), "%s", driver ? driver : "");
	put_number(fake, fn, "sriov_totalvfs", total);
	put_number(fake, fn, "sriov_numvfs", 0);
	put_number(fake, fn, "sriov_drivers_autoprobe", 1);
	put_number(fake, fn, "sriov_offset", VF_OFFSET);
	put_number(fake, fn, "sriov_stride", VF_STRIDE);
	fake_fn_group(fake, fn, fake_new_group(fake));
	if (vf_driver)
		fake_add_driver(fake, vf_driver);
	if (driver) {
		fake_add_driver(fake, driver);
		fake_fn_bind(fake, fn, driver);
	}
	i = fn->net_name[0] ? fake_if_find(fake, fn->net_name) : NULL;
	if (i) {
		i->link.up = i->link.carrier = true;
		memcpy(i->link.perm_mac, i->link.mac, SYS_MAC_LEN);
	}
	pthread_mutex_unlock(&fake->lock);
}

void fake_add_function(struct fake *fake, const char *bdf, const char *driver, int group)
{
	struct fake_fn *fn;
	char dir[64];

	pthread_mutex_lock(&fake->lock);
	fn = fake_fn_new(fake, bdf, bus_dir(bdf, dir), VENDOR, 0x1234);
	fake_fn_group(fake, fn, fake->no_iommu ? -1 : group);
	if (driver) {
		snprintf(fn->native, sizeof(fn->native), "%s", driver);
		fake_add_driver(fake, driver);
		fake_fn_bind(fake, fn, driver);
	}
	fake_emit_pci(fake, fn, false);
	pthread_mutex_unlock(&fake->lock);
}

void fake_remove_function(struct fake *fake, const char *bdf)
{
	struct fake_fn *fn;

	pthread_mutex_lock(&fake->lock);
	fn = fake_fn_find(fake, bdf);
	if (!fn)
		fake_die("no function %s", bdf);
	if (fn->physfn) {
		fn->physfn->pf->vfs[fn->index] = (struct sys_vf){ 0 };
		fake_remove(fake, "%s/virtfn%u", fn->physfn->dir, fn->index);
	}
	fake_fn_free(fake, fn);
	pthread_mutex_unlock(&fake->lock);
}

void fake_set_group(struct fake *fake, const char *bdf, int group)
{
	struct fake_fn *fn;

	pthread_mutex_lock(&fake->lock);
	fn = fake_fn_find(fake, bdf);
	if (!fn)
		fake_die("no function %s", bdf);
	fake_fn_group(fake, fn, group);
	pthread_mutex_unlock(&fake->lock);
}

void fake_set_iommu(struct fake *fake, bool on)
{
	pthread_mutex_lock(&fake->lock);
	fake->no_iommu = !on;
	for (struct fake_fn *fn = fake->fns; fn; fn = fn->next)
		fake_fn_group(fake, fn, on ? fn->group < 0 ? fake_new_group(fake) : fn->group : -1);
	pthread_mutex_unlock(&fake->lock);
}

static void vf_bdf(const struct fake_fn *pf, unsigned index, char buf[static 16])
{
	unsigned domain = (unsigned)strtoul(pf->bdf, NULL, 16), bus = (unsigned)strtoul(pf->bdf + 5, NULL, 16);
	unsigned slot = (unsigned)strtoul(pf->bdf + 8, NULL, 16), func = (unsigned)strtoul(pf->bdf + 11, NULL, 16);
	unsigned rid = (bus << 8 | slot << 3 | func) + VF_OFFSET + VF_STRIDE * index;

	snprintf(buf, 16, "%04x:%02x:%02x.%x", domain & 0xffff, (rid >> 8) & 0xff, (rid >> 3) & 0x1f, rid & 7);
}

static void vf_add(struct fake *fake, struct fake_fn *pf_fn, unsigned index)
{
	struct fake_pf *pf = pf_fn->pf;
	char bdf[16], dir[64], link[32];
	struct fake_fn *fn;

	vf_bdf(pf_fn, index, bdf);
	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(pf_fn->dir, '/') - pf_fn->dir), pf_fn->dir);
	fn = fake_fn_new(fake, bdf, dir, VENDOR, VF_DEVICE);
	fn->physfn = pf_fn;
	fn->index = index;
	snprintf(fn->native, sizeof(fn->native), "%s", pf->vf_driver);
	if (pf_fn->net_name[0])
		snprintf(fn->net_name, sizeof(fn->net_name), "%.10sv%u", pf_fn->net_name, index % 1000);
	snprintf(link, sizeof(link), "../%s", pf_fn->bdf);
	fake_symlink(fake, link, "%s/physfn", fn->dir);
	snprintf(link, sizeof(link), "../%s", bdf);
	fake_symlink(fake, link, "%s/virtfn%u", pf_fn->dir, index);
	pf->vfs[index] = (struct sys_vf){
		.fields = SYS_VF_MAC | SYS_VF_VLAN | SYS_VF_SPOOFCHK | SYS_VF_TRUST | SYS_VF_STATE | SYS_VF_RATE,
		.proto = 0x8100,
		.spoofchk = true,
	};
	fake_fn_group(fake, fn, fake_new_group(fake));
	fake_emit_pci(fake, fn, false);
	if (pf->autoprobe && pf->vf_driver[0])
		fake_fn_bind(fake, fn, pf->vf_driver);
}

static void set_count(struct fake *fake, struct fake_fn *fn, unsigned nr)
{
	struct fake_if *i = fn->net_name[0] ? fake_if_find(fake, fn->net_name) : NULL;

	fn->pf->nr = nr;
	put_number(fake, fn, "sriov_numvfs", nr);
	if (i)
		i->link.nr_vfs = nr;
	fake_emit_pci(fake, fn, false);
}

void fake_vfs_remove(struct fake *fake, struct fake_fn *pf)
{
	for (struct fake_fn *fn = fake->fns, *next; fn; fn = next) {
		next = fn->next; /* freeing a VF frees nothing else */
		if (fn->physfn != pf)
			continue;
		fake_remove(fake, "%s/virtfn%u", pf->dir, fn->index);
		fake_fn_free(fake, fn);
	}
	set_count(fake, pf, 0);
}

int fake_numvfs_write(struct fake *fake, struct fake_fn *fn, const char *text)
{
	struct fake_pf *pf = fn->pf;
	unsigned long nr;
	char *end;

	nr = strtoul(text, &end, 0);
	if (end == text || (*end && *end != '\n'))
		return -EINVAL;
	if (nr > pf->total)
		return -ERANGE;
	if (nr == pf->nr)
		return 0;
	if (!fn->driver[0] || strcmp(fn->driver, fn->native))
		return -ENOENT;
	if (nr == 0) {
		fake_vfs_remove(fake, fn);
		return 0;
	}
	if (pf->nr)
		return -EBUSY;
	if (pf->refuse_numvfs)
		return pf->refuse_numvfs < 0 ? pf->refuse_numvfs : 0;
	for (unsigned i = 0; i < nr; i++)
		vf_add(fake, fn, i);
	set_count(fake, fn, (unsigned)nr);
	return 0;
}
