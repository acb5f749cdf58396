/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fake kernel: the seam's file and device calls, each of which can be told to fail. */
#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_internal.h"

#define START_US 1000000000ull

int fake_enter_always(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	fake->calls++;
	if (fake->die_at == 1 || (fake->die_at && --fake->die_at == 1))
		return -EIO;
	if (!fake->fail_at || --fake->fail_at)
		return 0;
	fake->failed = true;
	return fake->fail_num;
}

int fake_enter(struct fake *fake)
{
	int r = fake_enter_always(fake);

	if (r < 0)
		pthread_mutex_unlock(&fake->lock);
	return r;
}

long fake_leave(struct fake *fake, long ret)
{
	pthread_mutex_unlock(&fake->lock);
	return ret;
}

static const char *full_path(struct fake *fake, const char *path, char buf[static PATH_MAX])
{
	if (snprintf(buf, PATH_MAX, "%s%s", fake->root, path) >= PATH_MAX)
		fake_die("path too long: %s", path);
	return buf;
}

/* Without the lock: others go on meanwhile. */
static void read_slowly(struct fake *fake, const char *path)
{
	size_t n = strlen(path), len;
	unsigned ms = 0;

	pthread_mutex_lock(&fake->lock);
	len = strlen(fake->slow_ends);
	if (len && n >= len && !strcmp(path + n - len, fake->slow_ends)) {
		ms = fake->slow_ms;
		fake->nr_slow++;
		fake->nr_slow_now++;
		if (fake->nr_slow_now > fake->nr_slow_most)
			fake->nr_slow_most = fake->nr_slow_now;
	}
	pthread_mutex_unlock(&fake->lock);
	if (!ms)
		return;
	usleep(ms * 1000);
	pthread_mutex_lock(&fake->lock);
	fake->nr_slow_now--;
	pthread_mutex_unlock(&fake->lock);
}

void fake_slow_reads(struct fake *fake, const char *ends, unsigned ms)
{
	pthread_mutex_lock(&fake->lock);
	snprintf(fake->slow_ends, sizeof(fake->slow_ends), "%s", ends);
	fake->slow_ms = ms;
	pthread_mutex_unlock(&fake->lock);
}

unsigned fake_nr_slow_reads(const struct fake *fake, unsigned *ret_most)
{
	*ret_most = fake->nr_slow_most;
	return fake->nr_slow;
}

static ssize_t fake_read_file(struct sys *sys, const char *path, void *buf, size_t size)
{
	struct fake *fake = (struct fake *)sys;
	char full[PATH_MAX];
	ssize_t n;
	int fd;

	read_slowly(fake, path);
	n = fake_enter(fake);

	if (n < 0)
		return n;
	n = fake_read_net(fake, path, buf, size);
	if (n >= 0)
		return fake_leave(fake, n);
	fd = open(full_path(fake, path, full), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fake_leave(fake, -errno);
	n = read(fd, buf, size);
	n = n < 0 ? -errno : n;
	close(fd);
	return fake_leave(fake, n);
}

static int fake_write_file(struct sys *sys, const char *path, const char *text)
{
	struct fake *fake = (struct fake *)sys;
	int r = fake_enter(fake);

	return r < 0 ? r : (int)fake_leave(fake, fake_sysfs_write(fake, path, text));
}

static ssize_t fake_readlink(struct sys *sys, const char *path, char *buf, size_t size)
{
	static const char fds[] = "/proc/self/fd/";
	struct fake *fake = (struct fake *)sys;
	char full[PATH_MAX];
	ssize_t n = fake_enter(fake);
	struct stat st;

	if (n < 0)
		return n;
	if (!strncmp(path, fds, strlen(fds)) && fake_vfio_stat(fake->vfio, atoi(path + strlen(fds)), &st) && !S_ISCHR(st.st_mode))
		return fake_leave(fake, snprintf(buf, size, "anon_inode:[vfio-device]"));
	n = readlink(full_path(fake, path, full), buf, size);
	if (n < 0)
		return fake_leave(fake, -errno);
	if ((size_t)n >= size)
		return fake_leave(fake, -ENAMETOOLONG);
	buf[n] = '\0';
	return fake_leave(fake, n);
}

/* Listing is the real kernel's, on our tree. */
static int fake_list(struct sys *sys, const char *path, char ***ret)
{
	struct fake *fake = (struct fake *)sys;
	struct sys *real;
	int r = fake_enter(fake);

	if (r < 0)
		return r;
	real = sys_linux_new(fake->root);
	if (!real)
		fake_die("no memory");
	r = real->ops->list(real, path, ret);
	sys_linux_free(real);
	return (int)fake_leave(fake, r);
}

static int fake_psi_open(struct sys *sys, const char *path, const char *trigger)
{
	struct fake *fake = (struct fake *)sys;
	char full[PATH_MAX];
	int r = fake_enter(fake), fds[2];

	if (r < 0)
		return r;
	if (access(full_path(fake, path, full), F_OK) < 0)
		return (int)fake_leave(fake, -errno);
	if (strncmp(trigger, "some ", 5) != 0)
		return (int)fake_leave(fake, -EINVAL);
	if (fake->nr_psi == FAKE_PSI || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		fake_die("no more triggers");
	fake->psi[fake->nr_psi] = (struct fake_psi){ .fd = fds[0], .far = fds[1] };
	snprintf(fake->psi[fake->nr_psi++].path, sizeof(fake->psi[0].path), "%s", path);
	return (int)fake_leave(fake, fds[0]);
}

bool fake_stall(struct fake *fake, const char *path)
{
	bool heard = false;

	for (unsigned i = 0; i < fake->nr_psi; i++)
		heard = (!strcmp(fake->psi[i].path, path) && send(fake->psi[i].far, "!", 1, MSG_OOB | MSG_NOSIGNAL) == 1) ||
			heard;
	return heard;
}

/* A file of the tree holds the number. */
static int fake_file_bytes(struct sys *sys, const char *path, uint64_t *ret)
{
	struct fake *fake = (struct fake *)sys;
	char full[PATH_MAX], text[32] = "";
	int r = fake_enter(fake);
	FILE *f;

	if (r < 0)
		return r;
	f = fopen(full_path(fake, path, full), "re");
	if (!f)
		return (int)fake_leave(fake, -errno);
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	*ret = strtoull(text, NULL, 10);
	return (int)fake_leave(fake, 0);
}

static struct fake_owner *find_owner(struct fake *fake, const char *path)
{
	struct fake_owner *o = fake->owners;

	while (o && strcmp(o->path, path))
		o = o->next;
	return o;
}

static int fake_stat(struct sys *sys, const char *path, struct stat *ret)
{
	struct fake *fake = (struct fake *)sys;
	const struct fake_owner *o;
	char full[PATH_MAX];
	int r = fake_enter(fake);

	if (r < 0)
		return r;
	if (lstat(full_path(fake, path, full), ret) < 0)
		return (int)fake_leave(fake, -errno);
	o = find_owner(fake, path);
	ret->st_uid = o ? o->uid : 0;
	ret->st_gid = o ? o->gid : 0;
	if (strncmp(path, "/dev/vfio/", 10) == 0) {
		ret->st_mode = (ret->st_mode & 07777) | S_IFCHR;
		ret->st_rdev = fake_vfio_rdev(path[10] == 'v' ? -1 : atoi(path + 10));
	}
	return (int)fake_leave(fake, 0);
}

static int fake_fd_type(struct sys *sys, int fd, mode_t *ret_type, dev_t *ret_rdev)
{
	struct fake *fake = (struct fake *)sys;
	int r = fake_enter(fake);
	struct stat st;

	if (r < 0)
		return r;
	if (!fake_vfio_stat(fake->vfio, fd, &st) && fstat(fd, &st) < 0)
		return (int)fake_leave(fake, -errno);
	*ret_type = st.st_mode & S_IFMT;
	*ret_rdev = st.st_rdev;
	return (int)fake_leave(fake, 0);
}

static int fake_chown(struct sys *sys, const char *path, uid_t uid, gid_t gid)
{
	struct fake *fake = (struct fake *)sys;
	struct fake_owner *o;
	char full[PATH_MAX];
	struct stat st;
	int r = fake_enter(fake);

	if (r < 0)
		return r;
	if (lstat(full_path(fake, path, full), &st) < 0)
		return (int)fake_leave(fake, -errno);
	o = find_owner(fake, path);
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (!o)
			fake_die("no memory");
		snprintf(o->path, sizeof(o->path), "%s", path);
		o->next = fake->owners;
		fake->owners = o;
	}
	o->uid = uid == (uid_t)-1 ? o->uid : uid;
	o->gid = gid == (gid_t)-1 ? o->gid : gid;
	return (int)fake_leave(fake, 0);
}

static int fake_open(struct sys *sys, const char *path, int flags)
{
	struct fake *fake = (struct fake *)sys;
	char full[PATH_MAX];
	int r = fake_enter(fake);

	if (r < 0)
		return r;
	full_path(fake, path, full);
	if (strncmp(path, "/dev/vfio/", 10) == 0 && access(full, F_OK) < 0)
		return (int)fake_leave(fake, -ENOENT);
	r = fake_vfio_open(fake->vfio, path, flags);
	if (r == -ENOTSUP) {
		r = open(full, flags | O_CLOEXEC);
		r = r < 0 ? -errno : r;
	}
	if (r >= FAKE_FDS_MAX)
		fake_die("too many descriptors");
	if (r >= 0)
		fake->fds[r] = true;
	return (int)fake_leave(fake, r);
}

static int close_any(struct fake *fake, int fd)
{
	if (fd >= 0 && fd < FAKE_FDS_MAX)
		fake->fds[fd] = false;
	fake_tap_closed(fake, fd);
	for (int i = 0; i < FAKE_WATCHES_MAX; i++) {
		if (fake->watches[i].tx < 0 || fake->watches[i].rx != fd)
			continue;
		close(fake->watches[i].tx);
		fake->watches[i].tx = -1;
	}
	if (fake_vfio_owns(fake->vfio, fd))
		return fake_vfio_close(fake->vfio, fd);
	return close(fd) < 0 ? -errno : 0;
}

/* As Linux does, a close that fails has closed all the same. */
static int fake_close(struct sys *sys, int fd)
{
	struct fake *fake = (struct fake *)sys;
	int fail = fake_enter_always(fake), r = close_any(fake, fd);

	return (int)fake_leave(fake, fail < 0 ? fail : r);
}

static int fake_ioctl(struct sys *sys, int fd, unsigned long request, void *arg)
{
	struct fake *fake = (struct fake *)sys;
	int r = fake_enter(fake);

	if (r < 0)
		return r;
	if (fake_vfio_owns(fake->vfio, fd)) {
		r = fake_vfio_ioctl(fake->vfio, fd, request, arg);
		if (request == VFIO_GROUP_GET_DEVICE_FD && r >= 0 && r < FAKE_FDS_MAX)
			fake->fds[r] = true;
	} else {
		r = ioctl(fd, request, arg);
		r = r < 0 ? -errno : r;
	}
	return (int)fake_leave(fake, r);
}

static ssize_t fake_pread(struct sys *sys, int fd, void *buf, size_t len, off_t offset)
{
	struct fake *fake = (struct fake *)sys;
	ssize_t n = fake_enter(fake);

	if (n < 0)
		return n;
	if (fake_vfio_owns(fake->vfio, fd))
		return fake_leave(fake, fake_vfio_pread(fake->vfio, fd, buf, len, offset));
	n = pread(fd, buf, len, offset);
	return fake_leave(fake, n < 0 ? -errno : n);
}

static ssize_t fake_pwrite(struct sys *sys, int fd, const void *buf, size_t len, off_t offset)
{
	struct fake *fake = (struct fake *)sys;
	ssize_t n = fake_enter(fake);

	if (n < 0)
		return n;
	if (fake_vfio_owns(fake->vfio, fd))
		return fake_leave(fake, fake_vfio_pwrite(fake->vfio, fd, buf, len, offset));
	n = pwrite(fd, buf, len, offset);
	return fake_leave(fake, n < 0 ? -errno : n);
}

static int fake_mmap(struct sys *sys, size_t len, int prot, int flags, int fd, off_t offset, void **ret)
{
	struct fake *fake = (struct fake *)sys;
	int r = fake_enter(fake);
	void *addr;

	if (r < 0)
		return r;
	addr = mmap(NULL, len, prot, flags, fd, offset);
	if (addr == MAP_FAILED)
		return (int)fake_leave(fake, -errno);
	fake->mapped += len;
	*ret = addr;
	return (int)fake_leave(fake, 0);
}

static int fake_munmap(struct sys *sys, void *addr, size_t len)
{
	struct fake *fake = (struct fake *)sys;
	int r = fake_enter(fake);

	if (r < 0)
		return r;
	r = munmap(addr, len) < 0 ? -errno : 0;
	if (r == 0)
		fake->mapped -= len;
	return (int)fake_leave(fake, r);
}

static int fake_populate(struct sys *sys, void *addr, size_t len, bool write)
{
	struct fake *fake = (struct fake *)sys;
	int r = fake_enter(fake);

	if (r < 0)
		return r;
	if (fake->populate_us) { /* of memory that this machine does not have */
		unsigned us = fake->populate_us;

		fake_leave(fake, 0);
		usleep(us);
		return 0;
	}
	r = sys_populate(addr, len, write);
	return (int)fake_leave(fake, r);
}

static uint64_t fake_now_us(struct sys *sys)
{
	struct fake *fake = (struct fake *)sys;
	uint64_t now;

	pthread_mutex_lock(&fake->lock); /* not counted: the clock does not fail */
	now = fake->now_us;
	pthread_mutex_unlock(&fake->lock);
	return now;
}

static const struct sys_ops fake_ops = {
	.read_file = fake_read_file,
	.write_file = fake_write_file,
	.readlink = fake_readlink,
	.list = fake_list,
	.stat = fake_stat,
	.chown = fake_chown,
	.file_bytes = fake_file_bytes,
	.open = fake_open,
	.close = fake_close,
	.fd_type = fake_fd_type,
	.ioctl = fake_ioctl,
	.pread = fake_pread,
	.pwrite = fake_pwrite,
	.mmap = fake_mmap,
	.munmap = fake_munmap,
	.populate = fake_populate,
	.psi_open = fake_psi_open,
	.link_get = fake_link_get,
	.vf_list = fake_vf_list,
	.vf_set = fake_vf_set,
	.macvtap_add = fake_macvtap_add,
	.vlan_add = fake_vlan_add,
	.tap_add = fake_tap_add,
	.tap_open = fake_tap_open,
	.link_set = fake_link_set,
	.link_del = fake_link_del,
	.fdb_set = fake_fdb_set,
	.fdb_get = fake_fdb_get,
	.bridge_port_set = fake_bridge_port_set,
	.bridge_vlan_set = fake_bridge_vlan_set,
	.bridge_vlan_get = fake_bridge_vlan_get,
	.rate_set = fake_rate_set,
	.source_filter = fake_source_filter,
	.ifb_add = fake_ifb_add,
	.delay_set = fake_delay_set,
	.detour_set = fake_detour_set,
	.announce = fake_announce,
	.frames_open = fake_frames_open,
	.watch_open = fake_watch_open,
	.watch_read = fake_watch_read,
	.now_us = fake_now_us,
};

static void make_tree(struct fake *fake)
{
	static const char *const dirs[] = { "/sys/bus/pci/devices",	"/sys/bus/pci/drivers",	    "/sys/class/net",
					    "/sys/kernel/iommu_groups", "/sys/devices/virtual/net", "/dev/vfio" };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		fake_mkdir(fake, "%s", dirs[i]);
	fake_put(fake, "", "/sys/bus/pci/drivers_probe");
	fake_put(fake, "", "/dev/vfio/vfio");
}

struct fake *fake_new(void)
{
	struct fake *fake = calloc(1, sizeof(*fake));
	char template[] = "/tmp/gangway-fake-XXXXXX";
	pthread_mutexattr_t attr;

	if (!fake || !mkdtemp(template) || !realpath(template, fake->root))
		fake_die("no temporary folder");
	fake->sys.ops = &fake_ops;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&fake->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	fake->next_ifindex = 2;
	fake->now_us = START_US;
	for (int i = 0; i < FAKE_WATCHES_MAX; i++)
		fake->watches[i].tx = -1;
	make_tree(fake);
	fake->vfio = fake_vfio_new(fake);
	return fake;
}

void fake_free(struct fake *fake)
{
	if (!fake)
		return;
	fake_vfio_free(fake->vfio);
	for (int i = 0; i < FAKE_WATCHES_MAX; i++) {
		if (fake->watches[i].tx >= 0)
			close(fake->watches[i].tx);
		fake->watches[i].tx = -1;
	}
	for (unsigned i = 0; i < fake->nr_psi; i++)
		close(fake->psi[i].far);
	while (fake->fns)
		fake_fn_free(fake, fake->fns);
	while (fake->ifs)
		fake_if_free(fake, fake->ifs);
	fake_fdb_free(fake);
	while (fake->owners) {
		struct fake_owner *o = fake->owners;

		fake->owners = o->next;
		free(o);
	}
	fake_remove(fake, "%s", "");
	pthread_mutex_destroy(&fake->lock);
	free(fake);
}
