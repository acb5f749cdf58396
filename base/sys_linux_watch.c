/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real kernel: link notifications, uevents and its log as they come. No libnl: a plain datagram per event, and never a wait. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_wire.h"
#include "sys_linux_net.h"

#define UEVENT_GROUP_KERNEL 1 /* lib/kobject_uevent.c; udev's own is 2 */
#define WATCH_RCVBUF (4 << 20) /* creating 256 VFs is a burst of over a thousand events */
#define SKIP_MAX 64 /* datagrams without interest that one read passes over */
#define KMSG_RECORD 8192 /* CONSOLE_EXT_LOG_MAX: no record is longer */

static int open_kmsg(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	if (lseek(fd, 0, SEEK_END) >= 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

int sys_linux_watch_open(struct sys *sys, enum sys_watch which)
{
	bool link = which == SYS_WATCH_LINK;
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = link ? RTMGRP_LINK : UEVENT_GROUP_KERNEL };
	int fd, size = WATCH_RCVBUF, one = 1;

	(void)sys;
	if (which == SYS_WATCH_KMSG)
		return open_kmsg();
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, link ? NETLINK_ROUTE : NETLINK_KOBJECT_UEVENT);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)); /* less, then: -ENOBUFS says when it was not enough */
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

/* Any process may send to a netlink socket it knows the port of: only what the kernel itself sent counts. */
static bool from_kernel(struct msghdr *mh, const struct sockaddr_nl *from)
{
	struct ucred cred;

	if (mh->msg_namelen != sizeof(*from) || from->nl_family != AF_NETLINK || from->nl_pid != 0)
		return false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS || c->cmsg_len != CMSG_LEN(sizeof(cred)))
			continue;
		memcpy(&cred, CMSG_DATA(c), sizeof(cred));
		return cred.uid == 0;
	}
	return false;
}

/* One read is one record. EPIPE: the oldest ones were overwritten before they were read. */
static int read_kmsg(int fd, struct sys_event *ret)
{
	char buf[KMSG_RECORD];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < 0)
		return errno == EPIPE ? -ENOBUFS : -errno;
	*ret = (struct sys_event){ .kind = SYS_EVENT_KMSG };
	memcpy(ret->record, buf, (size_t)n < sizeof(ret->record) ? (size_t)n : sizeof(ret->record) - 1);
	return 0;
}

int sys_linux_watch_read(struct sys *sys, int fd, struct sys_event *ret)
{
	int protocol = 0;
	socklen_t len = sizeof(protocol);

	(void)sys;
	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0)
		return errno == ENOTSOCK ? read_kmsg(fd, ret) : -errno;
	for (int i = 0; i < SKIP_MAX; i++) {
		_Alignas(struct nlmsghdr) char buf[16384];
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
		struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
		struct sockaddr_nl from = { 0 };
		struct msghdr mh = {
			.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		ssize_t n = recvmsg(fd, &mh, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!from_kernel(&mh, &from))
			continue;
		if (mh.msg_flags & MSG_TRUNC)
			return -ENOBUFS; /* as good as lost */
		if (protocol == NETLINK_ROUTE ? net_wire_get_link_event(buf, (size_t)n, ret)
					      : net_wire_get_uevent(buf, (size_t)n, ret))
			return 0;
	}
	return -EAGAIN; /* still readable: the caller's loop comes back */
}
