/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD /* asm-generic/socket.h of Linux 6.5 */
#define SO_PEERPIDFD 77
#endif

uint64_t peer_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* proc_pid_stat(5): the 22nd field, counted from behind the name, which may hold anything. Rounded down to the clock's tick. */
static int started_us(pid_t pid, uint64_t *ret)
{
	char path[32], text[1024], *p;
	uint64_t ticks;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -ESRCH;
	text[n] = '\0';
	p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p || sscanf(p, " %" SCNu64, &ticks) != 1)
		return -EPROTO;
	*ret = ticks * (1000000 / (uint64_t)sysconf(_SC_CLK_TCK));
	return 0;
}

int peer_open(pid_t pid, uint64_t before_us)
{
	int fd = pid > 0 ? pidfd_open(pid, 0) : -1, r;
	uint64_t us = 0;

	if (fd < 0)
		return pid > 0 ? -errno : -ESRCH;
	/* the descriptor first: what /proc says is of this process then, or it has ended */
	r = started_us(pid, &us);
	if (r == 0 && us > before_us)
		r = -ESRCH;
	if (r < 0) {
		close(fd);
		return r == -ENOENT ? -ESRCH : r;
	}
	return fd;
}

int peer_pidfd(int sock, pid_t pid, uint64_t connected_us)
{
	int fd = -1;
	socklen_t len = sizeof(fd);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0)
		return fd;
	/* an older kernel does not know the option; any other failure is of this process */
	return errno == ENOPROTOOPT || errno == EINVAL ? peer_open(pid, connected_us) : -ESRCH;
}
