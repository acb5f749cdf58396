/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys: the seam to the kernel. Everything gangway asks of the host's kernel, sockets to peers aside, goes through a
 * `struct sys` passed by pointer. base/sys_linux.c is the real one and has no logic; tests/fake/ is a kernel that behaves.
 *
 * Calls return 0 (or what is said) or a negative errno, never -1 with errno. Paths are those of the host ("/sys/bus/pci/...",
 * "/dev/vfio/vfio"); the implementation puts its root in front. Every call may be made from a worker thread.
 */
#ifndef GANGWAY_SYS_H
#define GANGWAY_SYS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "sys_net.h"

struct err;
struct sys;

#define SYS_VF_MAX 256 /* VFs of one PF that we are ready to hear of (sriov_totalvfs of today's NICs: up to 256) */

/* Fields of a VF's policy, and which of them a struct sys_vf speaks of. The words of `ip link set PF vf N`. */
enum sys_vf_field {
	SYS_VF_MAC = 1 << 0,
	SYS_VF_VLAN = 1 << 1, /* vlan, qos and proto are one kernel attribute: written together */
	SYS_VF_SPOOFCHK = 1 << 2,
	SYS_VF_TRUST = 1 << 3,
	SYS_VF_STATE = 1 << 4,
	SYS_VF_RATE = 1 << 5, /* min and max together */
};

enum sys_vf_state { SYS_VF_STATE_AUTO, SYS_VF_STATE_ENABLE, SYS_VF_STATE_DISABLE }; /* IFLA_VF_LINK_STATE_* */

struct sys_vf {
	unsigned fields; /* enum sys_vf_field, or-ed: what the driver reported, or what is to be written */
	uint8_t mac[SYS_MAC_LEN];
	uint16_t vlan; /* 0 to 4094, 0: none */
	uint8_t qos; /* 0 to 7 */
	uint16_t proto; /* 0x8100 or 0x88a8, host order */
	bool spoofchk;
	bool trust;
	enum sys_vf_state state;
	uint32_t min_tx_rate; /* Mbit/s, 0: none */
	uint32_t max_tx_rate; /* Mbit/s, 0: no limit */
};

/* One of the two rates, where only the other was asked for: policy_apply() puts what the VF has. Never reaches the kernel. */
#define SYS_VF_RATE_KEEP UINT32_MAX

enum sys_watch {
	SYS_WATCH_LINK, /* rtnetlink: interfaces come, go, up, down */
	SYS_WATCH_UEVENT, /* PCI functions and their interfaces come, go, are bound and unbound; CPUs come, go, go online and offline */
	SYS_WATCH_KMSG, /* the kernel's log, from now on */
};

enum sys_event_kind { SYS_EVENT_LINK, SYS_EVENT_PCI, SYS_EVENT_CPU, SYS_EVENT_KMSG };

#define SYS_KMSG_MAX 1024 /* bytes kept of a record of the log: what it says stands in front */

/* Something changed on the host. It says what to look at again, not how it is now: by the time it is read that may be old. */
struct sys_event {
	enum sys_event_kind kind;
	bool gone; /* the interface or the function was removed */
	char ifname[IF_NAMESIZE]; /* SYS_EVENT_LINK */
	unsigned ifindex; /* SYS_EVENT_LINK */
	bool up, carrier; /* SYS_EVENT_LINK from SYS_WATCH_LINK */
	char bdf[16]; /* the PCI function, "" unknown (SYS_WATCH_LINK does not say) */
	char record[SYS_KMSG_MAX]; /* SYS_EVENT_KMSG: as /dev/kmsg gives it, cut to fit, NUL-terminated */
};

struct sys_ops {
	/* files */
	ssize_t (*read_file)(struct sys *sys, const char *path, void *buf, size_t size); /* bytes read, no NUL added */
	int (*write_file)(struct sys *sys, const char *path, const char *text); /* one write(2): sysfs attributes */
	ssize_t (*readlink)(struct sys *sys, const char *path, char *buf, size_t size); /* NUL-terminated; -ENAMETOOLONG */
	int (*list)(struct sys *sys, const char *path, char ***ret); /* names, sorted, NULL-ended; sys_list_free() */
	int (*stat)(struct sys *sys, const char *path, struct stat *ret); /* lstat */
	int (*chown)(struct sys *sys, const char *path, uid_t uid, gid_t gid); /* never through a symlink */
	/* Bytes allocated to the file that @path leads to, the links of /proc followed, as far as the kernel knows without asking a file
	 * system, which may be a FUSE server that never answers. */
	int (*file_bytes)(struct sys *sys, const char *path, uint64_t *ret);

	/* devices; descriptors are the caller's, closed with .close */
	int (*open)(struct sys *sys, const char *path, int flags); /* O_CLOEXEC is added; the fd */
	int (*close)(struct sys *sys, int fd);
	/* File type (S_IFMT of st_mode) and device number of what is behind @fd, as far as the kernel knows without asking a file system
	 * for it, which may be a FUSE server that never answers. */
	int (*fd_type)(struct sys *sys, int fd, mode_t *ret_type, dev_t *ret_rdev);
	int (*ioctl)(struct sys *sys, int fd, unsigned long request, void *arg); /* the ioctl's own result, or -errno */
	ssize_t (*pread)(struct sys *sys, int fd, void *buf, size_t len, off_t offset);
	ssize_t (*pwrite)(struct sys *sys, int fd, const void *buf, size_t len, off_t offset);
	int (*mmap)(struct sys *sys, size_t len, int prot, int flags, int fd, off_t offset, void **ret);
	int (*munmap)(struct sys *sys, void *addr, size_t len);
	/* Fault the pages of a shared mapping in, before they are pinned. -EFAULT: the file is shorter; -EINVAL: a kernel before 5.14. */
	int (*populate)(struct sys *sys, void *addr, size_t len, bool write);

	/* rtnetlink, at the level of intent */
	int (*link_get)(struct sys *sys, const char *ifname, struct sys_link *ret);
	/* VFs of a PF: index i into @ret[i] up to @max, their number into *ret_nr (may be over @max). An index of which the driver
	 * says nothing has no fields. Answers of any size (over 100 VFs) are read whole. -ENODEV: no such interface. */
	int (*vf_list)(struct sys *sys, const char *ifname, struct sys_vf *ret, size_t max, size_t *ret_nr);
	/* Write @want->fields of VF index @vf, one attribute a message so that a refusal names its field; the driver's own words
	 * (extack) are in @err, code "sriov.vf-set-refused". */
	int (*vf_set)(struct sys *sys, const char *ifname, unsigned vf, const struct sys_vf *want, struct err *err);

	/*
	 * Interfaces of our own, in the host's network namespace. @link is what link_get gave: its index is what the kernel is told (an
	 * interface renamed meanwhile is still the right one), its name stands in messages. Refusals have code "net.refused", the
	 * kernel's own words (extack) in the message, and a hint. -ENODEV: gone; -EOPNOTSUPP: this kernel lacks a module.
	 */
	/* A macvtap in bridge mode on @lower, down, that hears all multicast (the guest's groups are not known here). -EEXIST: the name
	 * is taken; -EBUSY: @lower is a port of a bridge or bond, or of a macvlan in passthru mode. */
	int (*macvtap_add)(struct sys *sys, const struct sys_link *lower, const char *name, const uint8_t mac[static SYS_MAC_LEN],
			   struct err *err);
	/* A VLAN link of @lower, down. -EEXIST: the name is taken, or @lower has this VLAN already. */
	int (*vlan_add)(struct sys *sys, const struct sys_link *lower, const char *name, const struct sys_vlan *vlan,
			struct err *err);
	/* A tap for one queue, down, not persistent: it lives as long as a descriptor of it is open, whoever has it; QEMU's own keeps it
	 * when gangwayd dies. Returns the descriptor, ready for `-netdev tap,fd=` (see tap_open). -EBUSY: the name is taken. */
	int (*tap_add)(struct sys *sys, const char *name, struct err *err);
	/* The descriptor of a macvtap, non-blocking, as QEMU expects it: IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, header of 10 bytes, no offloads
	 * (QEMU asks for its own once the guest's driver is there). Each open is a queue of its own that takes its share of the frames:
	 * open it once. A /dev/tapN that is not there (no devtmpfs) is made for the moment; one that is another device is not used. */
	int (*tap_open)(struct sys *sys, const struct sys_link *link, struct err *err);
	int (*link_set)(struct sys *sys, const struct sys_link *link, const struct sys_link_want *want, struct err *err);
	int (*link_del)(struct sys *sys, const struct sys_link *link, struct err *err); /* gone already: 0 */
	/* Add (moving it there from another port of the bridge) or remove. Idempotent. */
	int (*fdb_set)(struct sys *sys, const struct sys_link *link, const struct sys_fdb *entry, bool there, struct err *err);
	/* Is it there, made by somebody? Not what a bridge has learnt, nor its ports' own addresses. */
	int (*fdb_get)(struct sys *sys, const struct sys_link *link, const struct sys_fdb *entry, bool *ret, struct err *err);
	int (*bridge_port_set)(struct sys *sys, const struct sys_link *port, const struct sys_port *want, struct err *err);
	/* Make @port a member of VLAN @vid, its frames untagged, theirs without tag in it (pvid); or no member any more. Idempotent. */
	int (*bridge_vlan_set)(struct sys *sys, const struct sys_link *port, unsigned vid, bool member, struct err *err);
	int (*bridge_vlan_get)(struct sys *sys, const struct sys_link *port, unsigned vid, bool *ret_member, struct err *err);
	/* Limit what passes on @side to @mbit Mbit/s (0: no limit any more): egress is queued (tbf), ingress is dropped above the rate
	 * (police). Idempotent, replaces an earlier limit of ours. */
	int (*rate_set)(struct sys *sys, const struct sys_link *link, enum sys_side side, uint32_t mbit, struct err *err);
	/* Drop frames on @side whose source is not @mac; NULL: let all pass again. A VLAN tag changes nothing. Idempotent. */
	int (*source_filter)(struct sys *sys, const struct sys_link *link, enum sys_side side, const uint8_t *mac,
			     struct err *err);
	/* An ifb, down: what is redirected to it comes back where it was, by way of its queue. -EEXIST: the name is taken. */
	int (*ifb_add)(struct sys *sys, const char *name, const uint8_t mac[static SYS_MAC_LEN], struct err *err);
	/* All that leaves by @link leaves so much later (netem), of at most @frames frames under way; more are dropped. */
	int (*delay_set)(struct sys *sys, const struct sys_link *link, unsigned ms, unsigned frames, struct err *err);
	/* What passes @link on @side goes by way of the ifb @by; NULL: straight again, but for what is under way. Idempotent. */
	int (*detour_set)(struct sys *sys, const struct sys_link *link, enum sys_side side, const struct sys_link *by,
			  struct err *err);
	/* Send @what out of @link, which must be up. Does not wait: -ENOBUFS or -EAGAIN where its queue is full. */
	int (*announce)(struct sys *sys, const struct sys_link *link, const struct sys_announce *what, struct err *err);

	/*
	 * A trigger on a file of pressure stall information ("/proc/pressure/memory", a cgroup's memory.pressure), as in the kernel's
	 * Documentation/accounting/psi.rst: a descriptor that has EPOLLPRI once for each event, and EPOLLERR when the cgroup is gone. Closed with
	 * .close. -ENOENT or -EOPNOTSUPP: this kernel has none; -EPERM, -EINVAL: not such a trigger.
	 */
	int (*psi_open)(struct sys *sys, const char *path, const char *trigger);

	/* A descriptor that becomes readable when a frame whose source is @mac comes in by @ifindex; what goes out by it does not count. Closed
	 * with .close; never blocks. */
	int (*frames_open)(struct sys *sys, unsigned ifindex, const uint8_t mac[static SYS_MAC_LEN]);

	/* Changes as they happen. watch_open: a non-blocking descriptor to poll for reading, closed with .close. watch_read: 0 and the
	 * next event; -EAGAIN: none; -ENOBUFS: events were lost, look at everything. Never blocks; what others forge is dropped. */
	int (*watch_open)(struct sys *sys, enum sys_watch which);
	int (*watch_read)(struct sys *sys, int fd, struct sys_event *ret);

	/* clock: CLOCK_MONOTONIC, microseconds */
	uint64_t (*now_us)(struct sys *sys);
};

struct sys {
	const struct sys_ops *ops;
};

/* The real kernel. @root: put before every path ("" in production). Free with sys_linux_free(). NULL: no memory. */
struct sys *sys_linux_new(const char *root);
void sys_linux_free(struct sys *sys);

void sys_list_free(char **names);
/* What .populate does, for those that do it in this process. */
int sys_populate(void *addr, size_t len, bool write);

/*
 * Small helpers over the ops, in base/sys.c.
 * sys_read_str: a sysfs attribute as text without its trailing newline; -EOVERFLOW if it does not fit in @size.
 * sys_read_u64: decimal or 0x hex; -EINVAL if it is no number.
 * sys_link_name: last component of the symlink at @path, e.g. a device's driver; -ENOENT if there is none.
 * sys_exists: whether lstat finds something.
 */
int sys_read_str(struct sys *sys, const char *path, char *buf, size_t size);
int sys_read_u64(struct sys *sys, const char *path, uint64_t *ret);
int sys_link_name(struct sys *sys, const char *path, char *buf, size_t size);
bool sys_exists(struct sys *sys, const char *path);

#endif
