/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. The process parses a guest's VMM, which is hostile, and holds a device that can do DMA. What it may do after
 * set-up is therefore an allow-list: it cannot open a path, make a socket, start a program or a thread, signal another process, or
 * make memory executable. Every row says why it is there; what is not in the table kills the process, and gangwayd takes the VF back.
 */
#include "sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/vfio.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "err.h"

struct rule {
	int nr;
	unsigned arg; /* the argument that is compared, if @mask */
	uint64_t mask, value; /* allowed where (argument & mask) == value; mask 0: always */
};

#define ANY(name)                                                                                                                \
	{                                                                                                                        \
		SCMP_SYS(name), 0, 0, 0                                                                                          \
	}
#define WHERE(name, arg, mask, value)                                                                                            \
	{                                                                                                                        \
		SCMP_SYS(name), arg, mask, value                                                                                 \
	}

static const struct rule rules[] = {
	/* the loop, and the two kinds of socket it serves */
	ANY(poll),
	ANY(ppoll),
	ANY(accept4),
	ANY(recvmsg),
	ANY(sendmsg),
	ANY(close),
	/* the eventfd by which the mapping threads wake the loop: iommu/mapper.c; their end */
	ANY(read),
	ANY(rt_sigprocmask),
	/* the device, its vectors and its address space: vfio/vdev_ops.c, iommu/type1.c. No other ioctl passes, nor VFIO's others, but for
	 * those that share a number with one of these on another descriptor (<linux/vfio.h>: PCI_HOT_RESET and MAP_DMA) */
	WHERE(ioctl, 1, UINT32_MAX, VFIO_DEVICE_GET_REGION_INFO),
	WHERE(ioctl, 1, UINT32_MAX, VFIO_DEVICE_GET_IRQ_INFO),
	WHERE(ioctl, 1, UINT32_MAX, VFIO_DEVICE_SET_IRQS),
	WHERE(ioctl, 1, UINT32_MAX, VFIO_DEVICE_RESET),
	WHERE(ioctl, 1, UINT32_MAX, VFIO_IOMMU_GET_INFO),
	WHERE(ioctl, 1, UINT32_MAX, VFIO_IOMMU_MAP_DMA),
	WHERE(ioctl, 1, UINT32_MAX, VFIO_IOMMU_UNMAP_DMA),
	ANY(pread64),
	ANY(pwrite64),
	/* what a descriptor for guest memory is: iommu/dma_check.c. glibc's fstat() is newfstatat(fd, "", AT_EMPTY_PATH) */
	ANY(fstat),
	WHERE(newfstatat, 3, UINT32_MAX, AT_EMPTY_PATH),
	ANY(fstatfs),
	WHERE(fcntl, 1, UINT32_MAX, F_GETFL),
	WHERE(fcntl, 1, UINT32_MAX, F_GET_SEALS),
	WHERE(fcntl, 1, UINT32_MAX, F_DUPFD_CLOEXEC),
	/* memory: the guest's, and malloc's; never executable */
	WHERE(mmap, 2, PROT_EXEC, 0),
	WHERE(mprotect, 2, PROT_EXEC, 0),
	ANY(munmap),
	ANY(mremap),
	ANY(madvise),
	ANY(mincore),
	ANY(brk),
	/* log lines to stderr: base/log.c */
	ANY(sendto),
	ANY(write),
	/* time, where the vDSO cannot tell it */
	ANY(clock_gettime),
	/* own pid for status */
	ANY(getpid),
	/* malloc and jansson seed themselves */
	ANY(getrandom),
	/* glibc's locks; signals that end or interrupt */
	ANY(futex),
	ANY(rt_sigreturn),
	ANY(restart_syscall),
	ANY(exit),
	ANY(exit_group),
};

int sandbox_drop(const char *root, uid_t uid, gid_t gid, struct err *err)
{
	struct rlimit no_core = { 0, 0 };

	if (geteuid() == 0) {
		/* the bounding set goes while CAP_SETPCAP is still there; the rest after the uid has changed */
		capng_clear(CAPNG_SELECT_BOTH);
		if (capng_apply(CAPNG_SELECT_BOUNDS) < 0)
			return err_set(err, -EPERM, "device.sandbox", "sandbox: the capability bounding set stays");
		/* seccomp forbids to open a path; should that fail some day, there is none */
		if (root && (chroot(root) < 0 || chdir("/") < 0))
			return err_set(err, -errno, "device.sandbox", "sandbox: chroot to %s: %s", root, strerror(errno));
		if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
			return err_set(err, -errno, "device.sandbox", "sandbox: cannot become %u:%u: %s", uid, gid,
				       strerror(errno));
	}
	if (getuid() != uid || geteuid() != uid || getgid() != gid || getegid() != gid)
		return err_set(err, -EPERM, "device.sandbox", "sandbox: running as %u:%u, not %u:%u", geteuid(), getegid(), uid,
			       gid);
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0 || capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
		return err_set(err, -EPERM, "device.sandbox", "sandbox: capabilities stay");
	/* not dumpable: nobody of the same uid reads guest memory through /proc or ptrace, and no core holds it */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &no_core) < 0)
		return err_set(err, -errno, "device.sandbox", "sandbox: %s", strerror(errno));
	return 0;
}

static int lower(__rlimit_resource_t resource, rlim_t to, const char *name, struct err *err)
{
	struct rlimit lim;

	if (getrlimit(resource, &lim) < 0)
		return err_set(err, -errno, "device.sandbox", "sandbox: %s: %s", name, strerror(errno));
	if (lim.rlim_max > to)
		lim.rlim_max = to;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(resource, &lim) < 0)
		return err_set(err, -errno, "device.sandbox", "sandbox: %s: %s", name, strerror(errno));
	return 0;
}

int sandbox_limit_fds(unsigned nr, struct err *err)
{
	return lower(RLIMIT_NOFILE, nr, "RLIMIT_NOFILE", err);
}

int sandbox_limit_memory(unsigned long bytes, struct err *err)
{
	return lower(RLIMIT_DATA, bytes, "RLIMIT_DATA", err);
}

int sandbox_seal(struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = ctx ? 0 : -ENOMEM;

	/* the mapping threads are there already */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);

	for (size_t i = 0; r == 0 && i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *rule = &rules[i];

		if (rule->mask)
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, rule->nr, 1,
					     SCMP_CMP64(rule->arg, SCMP_CMP_MASKED_EQ, rule->mask, rule->value));
		else
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, rule->nr, 0);
	}
	if (r == 0)
		r = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	if (r < 0)
		return err_set(err, r, "device.sandbox", "sandbox: seccomp: %s", strerror(-r));
	return 0;
}
