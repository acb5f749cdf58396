/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests tell the fake kernel and ask of it. */
#include <stdio.h>
#include <string.h>

#include "fake_internal.h"

static struct fake *unconst(const struct fake *fake)
{
	return (struct fake *)(uintptr_t)fake; /* for the lock: asking changes nothing else */
}

struct sys *fake_sys(struct fake *fake)
{
	return &fake->sys;
}

const char *fake_root(const struct fake *fake)
{
	return fake->root;
}

void fake_advance(struct fake *fake, uint64_t us)
{
	pthread_mutex_lock(&fake->lock);
	fake->now_us += us;
	pthread_mutex_unlock(&fake->lock);
}

void fake_set_memlock(struct fake *fake, uint64_t bytes)
{
	fake_vfio_set_memlock(fake->vfio, bytes);
}

void fake_die_at(struct fake *fake, unsigned n)
{
	pthread_mutex_lock(&fake->lock);
	fake->die_at = n ? n + 1 : 0;
	pthread_mutex_unlock(&fake->lock);
}

void fake_fail_at(struct fake *fake, unsigned n, int num)
{
	pthread_mutex_lock(&fake->lock);
	fake->fail_at = n;
	fake->fail_num = num;
	fake->failed = false;
	pthread_mutex_unlock(&fake->lock);
}

bool fake_failed(const struct fake *fake)
{
	return fake->failed;
}

unsigned fake_calls(const struct fake *fake)
{
	return fake->calls;
}

unsigned fake_open_fds(const struct fake *fake)
{
	struct fake *f = unconst(fake);
	unsigned nr = 0;

	pthread_mutex_lock(&f->lock);
	for (int i = 0; i < FAKE_FDS_MAX; i++)
		nr += f->fds[i];
	pthread_mutex_unlock(&f->lock);
	return nr;
}

uint64_t fake_mapped(const struct fake *fake)
{
	struct fake *f = unconst(fake);
	uint64_t mapped;

	pthread_mutex_lock(&f->lock);
	mapped = f->mapped;
	pthread_mutex_unlock(&f->lock);
	return mapped;
}

unsigned fake_iommu_mappings(const struct fake *fake)
{
	return fake_vfio_mappings(fake->vfio);
}

uint64_t fake_pinned(const struct fake *fake)
{
	return fake_vfio_pinned(fake->vfio);
}

struct sys_link *fake_link(struct fake *fake, const char *ifname)
{
	struct fake_if *i = fake_if_find(fake, ifname);

	return i ? &i->link : NULL;
}

static struct fake_pf *pf_of(const struct fake *fake, const char *pf_ifname)
{
	struct fake_if *i = fake_if_find(fake, pf_ifname);

	if (!i || !i->fn || !i->fn->pf)
		fake_die("%s is no PF", pf_ifname);
	return i->fn->pf;
}

struct sys_vf *fake_vf(struct fake *fake, const char *pf_ifname, unsigned vf)
{
	return &pf_of(fake, pf_ifname)->vfs[vf];
}

void fake_refuse_vf_fields(struct fake *fake, const char *pf_ifname, unsigned fields, const char *words)
{
	struct fake_pf *pf = pf_of(fake, pf_ifname);

	pf->refuse = fields;
	snprintf(pf->words, sizeof(pf->words), "%s", words ? words : "");
}

void fake_swallow_vf_fields(struct fake *fake, const char *pf_ifname, unsigned fields)
{
	pf_of(fake, pf_ifname)->swallow = fields;
}

void fake_refuse_zero_mac(struct fake *fake, const char *pf_ifname)
{
	pf_of(fake, pf_ifname)->refuse_zero_mac = true;
}

void fake_vf_in_reset(struct fake *fake, const char *pf_ifname, unsigned n)
{
	pf_of(fake, pf_ifname)->in_reset = n;
}

void fake_refuse_numvfs(struct fake *fake, const char *pf_bdf, int num)
{
	struct fake_fn *fn = fake_fn_find(fake, pf_bdf);

	if (!fn || !fn->pf)
		fake_die("%s is no PF", pf_bdf);
	fn->pf->refuse_numvfs = num;
}

int fake_group_of(const struct fake *fake, const char *bdf)
{
	struct fake_fn *fn = fake_fn_find(fake, bdf);

	return fn ? fn->group : -1;
}

const char *fake_driver_of(const struct fake *fake, const char *bdf, char *buf, size_t size)
{
	struct fake_fn *fn = fake_fn_find(fake, bdf);

	snprintf(buf, size, "%s", fn ? fn->driver : "");
	return buf;
}

/* As vfio_dev_viable() and vfio_group_viable(): nobody else may drive a member; bridges and stubs are no danger. */
bool fake_group_viable(const struct fake *fake, int group)
{
	bool any = false;

	for (struct fake_fn *fn = fake->fns; fn; fn = fn->next) {
		if (fn->group != group)
			continue;
		any = true;
		if (fn->driver[0] && strncmp(fn->driver, "vfio", 4) && strcmp(fn->driver, "pci-stub") &&
		    strcmp(fn->driver, "pcieport"))
			return false;
	}
	return any;
}

void fake_slow_populate(struct fake *fake, unsigned us)
{
	pthread_mutex_lock(&fake->lock);
	fake->populate_us = us;
	pthread_mutex_unlock(&fake->lock);
}
