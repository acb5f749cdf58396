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
/* VF i of a PF is 0x80 + 2 * i routing IDs behind it: of 0000:3b:00.0 0000:3b:10.0, 0000:3b:10.2, ...; interfaces of VFs are eth0v0, ...
 * Groups given out by themselves start at FAKE_FIRST_GROUP. MAC of a PF: 52:54:00, bus, device and function, 10 (hexadecimal). */
#define FAKE_FIRST_GROUP 32
/* A plain PCI function (no SR-IOV) in IOMMU group @group (-1: none), bound to @driver (NULL: none). */
void fake_add_function(struct fake *fake, const char *bdf, const char *driver, int group);
/* Put @bdf into @group. -1: out of all (IOMMU off). */
void fake_set_group(struct fake *fake, const char *bdf, int group);
void fake_add_driver(struct fake *fake, const char *driver); /* a loaded module; vfio-pci is none unless added */
void fake_remove_function(struct fake *fake, const char *bdf); /* hot unplug; a PF takes its VFs along */
/* An interface that is no PCI function (bridge, macvtap, ...), and @upper stacked on @ifname. */
void fake_add_interface(struct fake *fake, const char *ifname, const uint8_t mac[static SYS_MAC_LEN]);
void fake_add_upper(struct fake *fake, const char *ifname, const char *upper);
/* An empty bridge, up; @filters: it filters VLANs (default pvid 1). fake_join: @port becomes its port, a member of VLAN 1 if it filters. */
void fake_add_bridge(struct fake *fake, const char *ifname, bool filters);
void fake_join(struct fake *fake, const char *port, const char *bridge);
/* The VMM has a copy of the tap's descriptor, so that the tap stays when ours is closed; false: it goes with the last one. */
void fake_vmm_holds_tap(struct fake *fake, const char *ifname, bool holds);
void fake_vmm_takes_taps(struct fake *fake); /* of each one that is made from now on */
/* Does @ifname, a NIC, take frames to @mac (an entry of its filter, or a macvtap on it that is up)? */
bool fake_hears(const struct fake *fake, const char *ifname, const uint8_t mac[static SYS_MAC_LEN]);
/* A frame with that source comes in by @ifname. Who hears it: how many. */
unsigned fake_frame_comes(struct fake *fake, const char *ifname, const uint8_t mac[static SYS_MAC_LEN]);
/* The port to which the bridge of @port sends frames to @mac in @vlan; "" nobody said. */
const char *fake_fdb_port(const struct fake *fake, const uint8_t mac[static SYS_MAC_LEN], unsigned vlan);
/* What is set of an interface's side: rate in Mbit/s (0 none), whether only @mac may be the source. */
uint32_t fake_rate(const struct fake *fake, const char *ifname, enum sys_side side);
/* How much later frames pass it on that side. */
unsigned fake_delay_ms(const struct fake *fake, const char *ifname, enum sys_side side);
bool fake_source_checked(const struct fake *fake, const char *ifname, enum sys_side side, const uint8_t mac[static SYS_MAC_LEN]);
struct sys_port fake_port(const struct fake *fake, const char *ifname);
bool fake_vlan_member(const struct fake *fake, const char *ifname, unsigned vid);
unsigned fake_tap_opens(const struct fake *fake, const char *ifname); /* queues of a macvtap */
unsigned fake_announced(const struct fake *fake); /* announcements sent */
/* This kernel lacks a kind of interface ("macvtap", "vlan") or of traffic control ("tbf", "police", "bpf", "ifb", "netem", "mirred"); NULL: nothing. */
void fake_lacks(struct fake *fake, const char *kind);
/* off: no function has a group, now or later, and vfio-pci binds nothing. */
void fake_set_iommu(struct fake *fake, bool on);
void fake_rename_interface(struct fake *fake, const char *ifname, const char *to); /* tells nobody */
struct sys_link *fake_link(struct fake *fake, const char *ifname); /* to change what link_get answers; NULL: none */
struct sys_vf *fake_vf(struct fake *fake, const char *pf_ifname, unsigned vf);
/* The PF driver refuses to write these fields (enum sys_vf_field) with @words. */
void fake_refuse_vf_fields(struct fake *fake, const char *pf_ifname, unsigned fields, const char *words);
/* It accepts these fields and does not keep them. */
void fake_swallow_vf_fields(struct fake *fake, const char *pf_ifname, unsigned fields);
void fake_refuse_zero_mac(struct fake *fake, const char *pf_ifname);
/* The next @n VF settings get -EAGAIN: "VF is still in reset. Try again". */
void fake_vf_in_reset(struct fake *fake, const char *pf_ifname, unsigned n);
/* Making VFs fails with @num (negative errno; 0: no more); @num > 0: success, but none are made. */
void fake_refuse_numvfs(struct fake *fake, const char *pf_bdf, int num);
/* Tell those who watch of the interface as it is now, or (NULL) that they lost events. Binding and VFs tell by themselves. */
void fake_emit_link(struct fake *fake, const char *ifname);
/* The kernel logs @text (facility 0); NULL: records were lost. A raw record: any bytes after the priority. */
void fake_log(struct fake *fake, const char *text);
void fake_log_record(struct fake *fake, const char *record);
/* Something stands still for want of memory: who has a trigger on @path ("/proc/pressure/memory"; it has to be in the tree) hears of it. Whether anybody has. */
bool fake_stall(struct fake *fake, const char *path);
/* Reading a file whose path ends so takes so long; how many were read, and how many at once at most. */
void fake_slow_reads(struct fake *fake, const char *ends, unsigned ms);
unsigned fake_nr_slow_reads(const struct fake *fake, unsigned *ret_most);
void fake_set_memlock(struct fake *fake, uint64_t bytes);
void fake_slow_populate(struct fake *fake,
			unsigned us); /* faulting in takes so long a call, and is not really done; 0: as it is */
void fake_advance(struct fake *fake, uint64_t us); /* the clock moves only so */

/* The @n-th call from now on (1: the next) through the seam fails with @num (negative errno); 0: none. */
void fake_fail_at(struct fake *fake, unsigned n, int num);
/* From the @n-th call on all fail, closing aside: the process is dead. 0: it lives (again). */
void fake_die_at(struct fake *fake, unsigned n);
/* Calls through the seam since fake_new(), failed ones too. */
unsigned fake_calls(const struct fake *fake);
/* Did the failure set by fake_fail_at() happen? */
bool fake_failed(const struct fake *fake);

/* What would be a leak: descriptors open, bytes mapped in the process, mappings of the IOMMU, bytes pinned. */
unsigned fake_open_fds(const struct fake *fake);
uint64_t fake_mapped(const struct fake *fake);
unsigned fake_iommu_mappings(const struct fake *fake);
uint64_t fake_pinned(const struct fake *fake);

/* The whole host state as text (sysfs tree with links, VF policies, owners of /dev/vfio): two equal strings mean an unchanged host. free(). */
char *fake_snapshot(const struct fake *fake);

#endif
