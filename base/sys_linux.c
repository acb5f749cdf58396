/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real kernel: files and devices. No logic here; rtnetlink is in sys_linux_net.c. */
#include "sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "sys_linux_net.h"

struct sys_linux {
	struct sys sys; /* first: a struct sys * is one of these */
	char root[PATH_MAX];
};

static int full_path(struct sys *sys, const char *path, char buf[static PATH_MAX])
{
	struct sys_linux *l = (struct sys_linux *)sys;

	return snprintf(buf, PATH_MAX, "%s%s", l->root, path) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int linux_open(struct sys *sys, const char *path, int flags)
{
	char full[PATH_MAX];
	int r = full_path(sys, path, full);

	if (r < 0)
		return r;
	r = open(full, flags | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

static int linux_close(struct sys *sys, int fd)
{
	(void)sys;
	return close(fd) < 0 ? -errno : 0;
}

static ssize_t linux_read_file(struct sys *sys, const char *path, void *buf, size_t size)
{
	int fd = linux_open(sys, path, O_RDONLY);
	size_t done = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	do {
		n = read(fd, (char *)buf + done, size - done);
		if (n > 0)
			done += (size_t)n;
	} while ((n > 0 && done < size) || (n < 0 && errno == EINTR));
	n = n < 0 ? -errno : (ssize_t)done;
	close(fd);
	return n;
}

static int linux_write_file(struct sys *sys, const char *path, const char *text)
{
	int fd = linux_open(sys, path, O_WRONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = write(fd, text, strlen(text));
	n = n < 0 ? -errno : 0;
	close(fd);
	return (int)n;
}

static ssize_t linux_readlink(struct sys *sys, const char *path, char *buf, size_t size)
{
	char full[PATH_MAX];
	ssize_t n = full_path(sys, path, full);

	if (n < 0)
		return n;
	n = readlink(full, buf, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	return n;
}

static int not_dots(const struct dirent *d)
{
	return strcmp(d->d_name, ".") && strcmp(d->d_name, "..");
}

static int linux_list(struct sys *sys, const char *path, char ***ret)
{
	struct dirent **ents;
	char full[PATH_MAX];
	char **names;
	int n, r = full_path(sys, path, full);

	if (r < 0)
		return r;
	n = scandir(full, &ents, not_dots, alphasort);
	if (n < 0)
		return -errno;
	names = calloc((size_t)n + 1, sizeof(*names));
	r = names ? 0 : -ENOMEM;
	for (int i = 0; i < n; i++) {
		if (r == 0) {
			names[i] = strdup(ents[i]->d_name);
			if (!names[i])
				r = -ENOMEM;
		}
		free(ents[i]);
	}
	free(ents);
	if (r < 0) {
		sys_list_free(names);
		return r;
	}
	*ret = names;
	return 0;
}

static int linux_stat(struct sys *sys, const char *path, struct stat *ret)
{
	char full[PATH_MAX];
	int r = full_path(sys, path, full);

	if (r < 0)
		return r;
	return lstat(full, ret) < 0 ? -errno : 0;
}

static int linux_file_bytes(struct sys *sys, const char *path, uint64_t *ret)
{
	char full[PATH_MAX];
	struct statx stx;
	int r = full_path(sys, path, full);

	if (r < 0)
		return r;
	if (statx(AT_FDCWD, full, AT_STATX_DONT_SYNC, STATX_BLOCKS, &stx) < 0)
		return -errno;
	if (!(stx.stx_mask & STATX_BLOCKS))
		return -EOPNOTSUPP;
	*ret = stx.stx_blocks * 512;
	return 0;
}

static int linux_psi_open(struct sys *sys, const char *path, const char *trigger)
{
	int fd = linux_open(sys, path, O_RDWR | O_NONBLOCK);
	int r;

	if (fd < 0)
		return fd;
	if (write(fd, trigger, strlen(trigger) + 1) >= 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static int linux_fd_type(struct sys *sys, int fd, mode_t *ret_type, dev_t *ret_rdev)
{
	struct statx stx;

	(void)sys;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &stx) < 0)
		return -errno;
	*ret_type = stx.stx_mode & S_IFMT;
	*ret_rdev = makedev(stx.stx_rdev_major, stx.stx_rdev_minor);
	return 0;
}

static int linux_chown(struct sys *sys, const char *path, uid_t uid, gid_t gid)
{
	char full[PATH_MAX];
	int r = full_path(sys, path, full);

	if (r < 0)
		return r;
	return lchown(full, uid, gid) < 0 ? -errno : 0;
}

static int linux_ioctl(struct sys *sys, int fd, unsigned long request, void *arg)
{
	int r;

	(void)sys;
	r = ioctl(fd, request, arg);
	return r < 0 ? -errno : r;
}

static ssize_t linux_pread(struct sys *sys, int fd, void *buf, size_t len, off_t offset)
{
	ssize_t n;

	(void)sys;
	n = pread(fd, buf, len, offset);
	return n < 0 ? -errno : n;
}

static ssize_t linux_pwrite(struct sys *sys, int fd, const void *buf, size_t len, off_t offset)
{
	ssize_t n;

	(void)sys;
	n = pwrite(fd, buf, len, offset);
	return n < 0 ? -errno : n;
}

static int linux_mmap(struct sys *sys, size_t len, int prot, int flags, int fd, off_t offset, void **ret)
{
	void *addr;

	(void)sys;
	addr = mmap(NULL, len, prot, flags, fd, offset);
	if (addr == MAP_FAILED)
		return -errno;
	*ret = addr;
	return 0;
}

static int linux_munmap(struct sys *sys, void *addr, size_t len)
{
	(void)sys;
	return munmap(addr, len) < 0 ? -errno : 0;
}

static int linux_populate(struct sys *sys, void *addr, size_t len, bool write)
{
	(void)sys;
	return sys_populate(addr, len, write);
}

static uint64_t linux_now_us(struct sys *sys)
{
	struct timespec ts;

	(void)sys;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static const struct sys_ops linux_ops = {
	.read_file = linux_read_file,
	.write_file = linux_write_file,
	.readlink = linux_readlink,
	.list = linux_list,
	.stat = linux_stat,
	.chown = linux_chown,
	.file_bytes = linux_file_bytes,
	.open = linux_open,
	.close = linux_close,
	.fd_type = linux_fd_type,
	.ioctl = linux_ioctl,
	.pread = linux_pread,
	.pwrite = linux_pwrite,
	.mmap = linux_mmap,
	.munmap = linux_munmap,
	.populate = linux_populate,
	.psi_open = linux_psi_open,
	.link_get = sys_linux_link_get,
	.vf_list = sys_linux_vf_list,
	.vf_set = sys_linux_vf_set,
	.macvtap_add = sys_linux_macvtap_add,
	.vlan_add = sys_linux_vlan_add,
	.tap_add = sys_linux_tap_add,
	.tap_open = sys_linux_tap_open,
	.link_set = sys_linux_link_set,
	.link_del = sys_linux_link_del,
	.fdb_set = sys_linux_fdb_set,
	.fdb_get = sys_linux_fdb_get,
	.bridge_port_set = sys_linux_bridge_port_set,
	.bridge_vlan_set = sys_linux_bridge_vlan_set,
	.bridge_vlan_get = sys_linux_bridge_vlan_get,
	.rate_set = sys_linux_rate_set,
	.source_filter = sys_linux_source_filter,
	.ifb_add = sys_linux_ifb_add,
	.delay_set = sys_linux_delay_set,
	.detour_set = sys_linux_detour_set,
	.announce = sys_linux_announce,
	.frames_open = sys_linux_frames_open,
	.watch_open = sys_linux_watch_open,
	.watch_read = sys_linux_watch_read,
	.now_us = linux_now_us,
};

struct sys *sys_linux_new(const char *root)
{
	struct sys_linux *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->sys.ops = &linux_ops;
	snprintf(l->root, sizeof(l->root), "%s", root);
	return &l->sys;
}

void sys_linux_free(struct sys *sys)
{
	free(sys);
}
