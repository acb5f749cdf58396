/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the files of the fake kernel. */
#ifndef GANGWAY_FAKE_INTERNAL_H
#define GANGWAY_FAKE_INTERNAL_H

#include <limits.h>
#include <pthread.h>
#include <stdio.h>

#include "fake.h"
#include "fake_vfio.h"
#include "sys.h"

#define FAKE_NAME 64
#define FAKE_FDS_MAX 4096
#define FAKE_MAPS_MAX 1024
#define FAKE_WATCHES_MAX 8

struct fake_pf {
	char vf_driver[FAKE_NAME]; /* "" none */
	unsigned total, nr;
	bool autoprobe;
	int refuse_numvfs;
	struct sys_vf vfs[SYS_VF_MAX];
	unsigned refuse, swallow; /* enum sys_vf_field */
	char words[128];
	bool refuse_zero_mac;
	unsigned in_reset;
};

/* A PCI function. The tree in the file system follows from it. */
struct fake_fn {
	struct fake_fn *next;
	char bdf[16];
	char dir[64]; /* "/sys/devices/pci0000:3b/0000:3b:00.0" */
	char native[FAKE_NAME]; /* the driver that matches without override, "" none */
	char driver[FAKE_NAME], override[FAKE_NAME];
	int group; /* -1 none */
	char net_name[IF_NAMESIZE]; /* its interface, while the native driver is bound; "" never */
	struct fake_pf *pf; /* of a PF: what it has */
	struct fake_fn *physfn; /* of a VF */
	unsigned index; /* of a VF */
};

struct fake_if {
	struct fake_if *next;
	struct sys_link link;
	struct fake_fn *fn; /* NULL: no PCI function */
	bool no_host_ip6;
	struct sys_port port; /* of a bridge */
	int tap_fd; /* of a tap: gangway's descriptor, -1 none or closed */
	bool tap_held; /* of a tap: the VMM has one, too */
	unsigned opens; /* of a macvtap: queues there are */
	uint32_t rate[2]; /* by enum sys_side */
	unsigned detour[2]; /* ifindex, 0 none */
	unsigned delay_ms;
	bool checked[2];
	uint8_t source[2][SYS_MAC_LEN];
	uint8_t vlans[(SYS_VLAN_MAX + 1) / 8 + 1]; /* of a port: VLANs it is a member of */
};

struct fake_fdb { /* what fdb_set made: a NIC's filter, or a static entry of the bridge that the port is of */
	struct fake_fdb *next;
	unsigned ifindex;
	struct sys_fdb entry;
};

struct fake_owner { /* what chown would have done: tests need not be root */
	struct fake_owner *next;
	char path[PATH_MAX];
	uid_t uid;
	gid_t gid;
};

#define FAKE_PSI 8
struct fake_psi { /* a trigger: what is written out of band into the far end is an event */
	int fd, far;
	char path[128];
};

struct fake {
	struct sys sys; /* first: a struct sys * is one of these */
	pthread_mutex_t lock; /* recursive: fake_vfio.c asks back */
	char root[PATH_MAX];
	struct fake_vfio *vfio;
	struct fake_fn *fns;
	struct fake_if *ifs;
	struct fake_owner *owners;
	struct fake_fdb *fdb;
	bool taps_held; /* new ones are the VMM's, too */
	char no_module[SYS_KIND_MAX]; /* "" all are there */
	unsigned announced;
	struct fake_psi psi[FAKE_PSI];
	unsigned nr_psi;
	char slow_ends[32]; /* "" none */
	unsigned slow_ms, nr_slow, nr_slow_now, nr_slow_most;
	unsigned next_ifindex;
	bool no_iommu;
	uint64_t now_us;
	unsigned calls, fail_at; /* fail_at: calls to go, 0 off */
	unsigned die_at; /* calls to go, 0 off, 1: dead */
	int fail_num;
	bool failed;
	bool fds[FAKE_FDS_MAX];
	uint64_t mapped; /* bytes, of this process */
	unsigned populate_us; /* 0: populate for real */
	struct {
		int rx, tx; /* rx is the watcher's */
		enum sys_watch which;
		unsigned frames_on; /* ifindex: no watch, but what waits for frames of .mac there */
		uint8_t mac[SYS_MAC_LEN];
	} watches[FAKE_WATCHES_MAX];
};

/* Start of a call through the seam: takes the lock and counts. Negative: the call is to fail with that, the lock is free again. */
int fake_enter(struct fake *fake);
/* For calls that happen even when they fail (close, munmap): takes the lock, returns what to return. */
int fake_enter_always(struct fake *fake);
long fake_leave(struct fake *fake, long ret);

/* fake_tree.c: the file system below the root. They abort when they cannot. */
void fake_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void fake_mkdir(struct fake *fake, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* with parents */
void fake_put(struct fake *fake, const char *text, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void fake_symlink(struct fake *fake, const char *target, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void fake_remove(struct fake *fake, const char *fmt, ...)
	__attribute__((format(printf, 2, 3))); /* with all below; may be absent */

/* fake_sysfs.c */
struct fake_fn *fake_fn_find(const struct fake *fake, const char *bdf);
struct fake_fn *fake_fn_new(struct fake *fake, const char *bdf, const char *parent_dir, uint16_t vendor, uint16_t device);
void fake_fn_free(struct fake *fake, struct fake_fn *fn);
void fake_fn_group(struct fake *fake, struct fake_fn *fn, int group);
/* A group of its own: the lowest number nobody has; -1 without IOMMU. */
int fake_new_group(const struct fake *fake);
int fake_fn_bind(struct fake *fake, struct fake_fn *fn, const char *driver);
void fake_fn_unbind(struct fake *fake, struct fake_fn *fn);
/* A write to @path, whose folder is really @dir (below the root). 0 or negative errno. */
int fake_sysfs_write(struct fake *fake, const char *path, const char *text);

/* fake_irq.c: a write to @path below /proc/irq. 0 or negative errno. */
int fake_irq_write(struct fake *fake, const char *path, const char *text);

/* fake_numvfs.c */
int fake_numvfs_write(struct fake *fake, struct fake_fn *fn, const char *text);
void fake_vfs_remove(struct fake *fake, struct fake_fn *fn);

/* fake_net.c */
struct fake_if *fake_if_find(const struct fake *fake, const char *ifname);
void fake_if_new(struct fake *fake, const char *ifname, struct fake_fn *fn, const uint8_t mac[static SYS_MAC_LEN]);
void fake_if_free(struct fake *fake, struct fake_if *i);
/* ".../net/IFNAME/address" and ".../ifindex" come from the interface as it is now: tests change that. Their length, or -ENOENT: another file. */
ssize_t fake_read_net(struct fake *fake, const char *path, void *buf, size_t size);
/* Its folder below /sys/devices. */
void fake_if_dir(const struct fake_if *i, char buf[static PATH_MAX]);
void fake_emit(struct fake *fake, enum sys_watch which, const struct sys_event *ev);
void fake_emit_pci(struct fake *fake, const struct fake_fn *fn, bool gone);
int fake_link_get(struct sys *sys, const char *ifname, struct sys_link *ret);
int fake_vf_list(struct sys *sys, const char *ifname, struct sys_vf *ret, size_t max, size_t *ret_nr);
int fake_vf_set(struct sys *sys, const char *ifname, unsigned vf, const struct sys_vf *want, struct err *err);
int fake_watch_open(struct sys *sys, enum sys_watch which);
int fake_frames_open(struct sys *sys, unsigned ifindex, const uint8_t mac[static SYS_MAC_LEN]);
int fake_watch_read(struct sys *sys, int fd, struct sys_event *ret);

/* fake_leg.c, fake_tc.c */
struct fake_if *fake_if_at(const struct fake *fake, unsigned ifindex);
/* The interface is about to go: those stacked on it, what points to it. */
void fake_leg_gone(struct fake *fake, struct fake_if *i);
void fake_stacked(struct fake *fake, const struct fake_if *i, bool on);
void fake_fdb_free(struct fake *fake);
void fake_tap_closed(struct fake *fake, int fd);
void fake_leg_print(const struct fake *fake, FILE *out);
int fake_macvtap_add(struct sys *sys, const struct sys_link *lower, const char *name, const uint8_t mac[static SYS_MAC_LEN],
		     struct err *err);
int fake_vlan_add(struct sys *sys, const struct sys_link *lower, const char *name, const struct sys_vlan *vlan, struct err *err);
int fake_tap_add(struct sys *sys, const char *name, struct err *err);
int fake_tap_open(struct sys *sys, const struct sys_link *link, struct err *err);
int fake_link_set(struct sys *sys, const struct sys_link *link, const struct sys_link_want *want, struct err *err);
int fake_link_del(struct sys *sys, const struct sys_link *link, struct err *err);
int fake_fdb_set(struct sys *sys, const struct sys_link *link, const struct sys_fdb *entry, bool there, struct err *err);
int fake_fdb_get(struct sys *sys, const struct sys_link *link, const struct sys_fdb *entry, bool *ret, struct err *err);
int fake_bridge_port_set(struct sys *sys, const struct sys_link *port, const struct sys_port *want, struct err *err);
int fake_bridge_vlan_set(struct sys *sys, const struct sys_link *port, unsigned vid, bool member, struct err *err);
int fake_bridge_vlan_get(struct sys *sys, const struct sys_link *port, unsigned vid, bool *ret_member, struct err *err);
int fake_rate_set(struct sys *sys, const struct sys_link *link, enum sys_side side, uint32_t mbit, struct err *err);
int fake_source_filter(struct sys *sys, const struct sys_link *link, enum sys_side side, const uint8_t *mac, struct err *err);
int fake_ifb_add(struct sys *sys, const char *name, const uint8_t mac[static SYS_MAC_LEN], struct err *err);
int fake_delay_set(struct sys *sys, const struct sys_link *link, unsigned ms, unsigned frames, struct err *err);
int fake_detour_set(struct sys *sys, const struct sys_link *link, enum sys_side side, const struct sys_link *by, struct err *err);
int fake_announce(struct sys *sys, const struct sys_link *link, const struct sys_announce *what, struct err *err);

#endif
