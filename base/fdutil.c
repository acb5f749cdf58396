/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fdutil.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CTRL_SPACE CMSG_SPACE(FD_MSG_MAX * sizeof(int))

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

ssize_t fd_send(int sock, const void *buf, size_t len, const int *fds, size_t nr_fds)
{
	union {
		char space[CTRL_SPACE];
		struct cmsghdr align;
	} ctrl = { 0 };
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (nr_fds > FD_MSG_MAX)
		return -EINVAL;
	if (nr_fds) {
		struct cmsghdr *c;

		msg.msg_control = ctrl.space;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nr_fds * sizeof(int));
	}
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t fd_recv(int sock, void *buf, size_t len, int *fds, size_t max_fds, size_t *ret_nr_fds)
{
	union {
		char space[CTRL_SPACE];
		struct cmsghdr align;
	} ctrl;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctrl.space, .msg_controllen = CTRL_SPACE };
	int got[FD_MSG_MAX];
	size_t nr = 0;
	ssize_t n;

	do {
		n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		size_t k;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (k > FD_MSG_MAX - nr) /* cannot be: the control buffer has no room for it */
			k = FD_MSG_MAX - nr;
		memcpy(got + nr, CMSG_DATA(c), k * sizeof(int));
		nr += k;
	}
	if ((msg.msg_flags & MSG_CTRUNC) || nr > max_fds) {
		while (nr)
			close(got[--nr]);
		*ret_nr_fds = 0;
		return -EMFILE;
	}
	if (nr)
		memcpy(fds, got, nr * sizeof(int));
	*ret_nr_fds = nr;
	return n;
}

static int unix_addr(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	strcpy(ret->sun_path, path);
	return 0;
}

int fd_connect_unix(const char *path, int type)
{
	struct sockaddr_un addr;
	int fd, r;

	r = unix_addr(path, &addr);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

/* A socket that was left behind goes; one that somebody listens to is his. */
static int remove_old(const char *path, int type)
{
	struct stat st;
	int r;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	r = fd_connect_unix(path, type);
	if (r >= 0)
		close(r);
	if (r >= 0 || r == -EAGAIN || r == -EPROTOTYPE) /* it listens, has a full backlog, or listens with another type */
		return -EADDRINUSE;
	if (r != -ECONNREFUSED && r != -ENOENT)
		return r;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* What is written may be of a former holder, or cut: only a process that is there is told. */
static pid_t holder_of(int fd)
{
	char text[16];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	long pid;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	pid = strtol(text, NULL, 10);
	return pid > 0 && pid <= INT32_MAX && (kill((pid_t)pid, 0) == 0 || errno == EPERM) ? (pid_t)pid : 0;
}

int fd_lock_file(const char *path, pid_t *ret_holder)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), r;

	if (fd < 0)
		return -errno;
	r = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
	if (r == -EWOULDBLOCK)
		*ret_holder = holder_of(fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	/* for people to read: one that cannot be written locks as well */
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		errno = 0;
	return fd;
}

int fd_listen_unix(const char *path, int type, mode_t mode)
{
	struct sockaddr_un addr;
	mode_t old;
	int fd, r;

	r = unix_addr(path, &addr);
	if (r == 0)
		r = remove_old(path, type);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* nobody may connect between bind and chmod: created closed, opened after */
	old = umask(0177);
	r = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	umask(old);
	if (r == 0 && (chmod(path, mode) < 0 || listen(fd, 64) < 0)) {
		r = -errno;
		unlink(path);
	}
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}
