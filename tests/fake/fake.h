/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fake: a kernel that behaves, for module tests. Its sysfs is a real tree in a temporary folder (so libpci can read it too);
 * writes go through a hook that does what the kernel would (bind moves symlinks, sriov_numvfs creates and removes VFs).
 * VFIO refuses overlaps, bad ranges and non-viable groups and counts memlock. Any call can be told to fail.
 */
#ifndef GANGWAY_FAKE_H
#define GANGWAY_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "sys.h"

struct fake;

struct fake *fake_new(void); /* aborts the test when it cannot */
void fake_free(struct fake *fake);
struct sys *fake_sys(struct fake *fake);
const char *fake_root(const struct fake *fake);

/* A PF with @total VFs possible, driver @driver, interface @ifname (up, with carrier); VFs, once created, each in its own group, with
 * driver @vf_driver (NULL: none). */
void fake_add_pf(struct fake *fake, const char *bdf, const char *ifname, const char *driver, const char *vf_driver,
		 unsigned total);
/* A plain PCI function (no SR-IOV) in IOMMU group @group (-1: none), bound to @driver (NULL: none). */
void fake_add_function(struct fake *fake, const char *bdf, const char *driver, int group);
/* Put @bdf into @group. -1: out of all (IOMMU off). */
void fake_set_group(struct fake *fake, const char *bdf, int group);
void fake_add_driver(struct fake *fake, const char *driver); /* a loaded module */
struct sys_link *fake_link(struct fake *fake, const char *ifname); /* to change what link_get answers; NULL: none */
struct sys_vf *fake_vf(struct fake *fake, const char *pf_ifname, unsigned vf);
/* The PF driver refuses to write these fields (enum sys_vf_field) with @words. */
void fake_refuse_vf_fields(struct fake *fake, const char *pf_ifname, unsigned fields, const char *words);
void fake_set_memlock(struct fake *fake, uint64_t bytes);
void fake_advance(struct fake *fake, uint64_t us); /* the clock moves only so */

/* The @n-th call from now on (1: the next) through the seam fails with @num (negative errno); 0: none. */
void fake_fail_at(struct fake *fake, unsigned n, int num);
/* Did the failure set by fake_fail_at() happen? */
bool fake_failed(const struct fake *fake);

/* What would be a leak: descriptors open, mappings (process and IOMMU), bytes pinned. */
unsigned fake_open_fds(const struct fake *fake);
unsigned fake_mappings(const struct fake *fake);
unsigned fake_iommu_mappings(const struct fake *fake);
uint64_t fake_pinned(const struct fake *fake);

/* The whole host state as text (sysfs tree with links, VF policies, owners of /dev/vfio): two equal strings mean an unchanged host. free(). */
char *fake_snapshot(const struct fake *fake);

#endif
