/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real kernel: descriptors of taps and macvtaps as QEMU wants them, frames sent and heard by packet sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "err.h"
#include "fdutil.h"
#include "net_wire_leg.h"
#include "sys_linux_net.h"

#define TAP_FLAGS (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

/* As QEMU sets it up itself before the guest's driver has said what it can. */
static int set_header(int fd)
{
	int len = sizeof(struct virtio_net_hdr);

	return ioctl(fd, TUNSETVNETHDRSZ, &len) < 0 || ioctl(fd, TUNSETOFFLOAD, 0) < 0 ? -errno : 0;
}

int sys_linux_tap_add(struct sys *sys, const char *name, struct err *err)
{
	struct ifreq ifr = { .ifr_flags = TAP_FLAGS | (short)IFF_TUN_EXCL }; /* never somebody else's persistent one */
	int fd = sys->ops->open(sys, "/dev/net/tun", O_RDWR | O_NONBLOCK), r = 0;

	if (fd < 0)
		return net_wire_refused(err, fd, name, "/dev/net/tun", "");
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%.*s", IF_NAMESIZE - 1, name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		r = -errno;
	if (r == 0)
		r = set_header(fd);
	if (r == 0)
		return fd;
	close(fd);
	return net_wire_refused(err, r, name, "a tap", "");
}

static int is_device(int fd, dev_t dev)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISCHR(st.st_mode) && st.st_rdev == dev ? 0 : -ENODEV;
}

/* A node of our own for the moment: without devtmpfs /dev/tapN is there when udev gets to it, or never (containers). */
static int open_by_node(dev_t dev, unsigned ifindex)
{
	char path[64];
	int fd, r = 0;

	snprintf(path, sizeof(path), "/dev/.gangway-tap%u.%d", ifindex, (int)gettid());
	if (mknod(path, S_IFCHR | 0600, dev) < 0)
		return -errno;
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		r = -errno;
	unlink(path);
	return r < 0 ? r : fd;
}

/* -ENODEV: what is at @path is another device. */
static int open_by_path(struct sys *sys, const char *path, dev_t dev)
{
	int fd = sys->ops->open(sys, path, O_RDWR | O_NONBLOCK), r;

	if (fd < 0)
		return fd;
	r = is_device(fd, dev);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

int sys_linux_tap_open(struct sys *sys, const struct sys_link *link, struct err *err)
{
	struct ifreq ifr = { .ifr_flags = TAP_FLAGS };
	char path[96], text[32];
	unsigned maj, min;
	int fd, r;

	snprintf(path, sizeof(path), "/sys/class/net/%s/tap%u/dev", link->name, link->ifindex);
	r = sys_read_str(sys, path, text, sizeof(text));
	if (r < 0)
		return net_wire_refused(err, r == -ENOENT ? -ENODEV : r, link->name, "its tap device", "");
	if (sscanf(text, "%u:%u", &maj, &min) != 2) /* NOLINT(cert-err34-c): the kernel's own */
		return net_wire_refused(err, -EBADMSG, link->name, "its tap device", "");
	snprintf(path, sizeof(path), "/dev/tap%u", link->ifindex);
	fd = open_by_path(sys, path, makedev(maj, min));
	if (fd == -ENOENT || fd == -ENODEV)
		fd = open_by_node(makedev(maj, min), link->ifindex);
	if (fd < 0)
		return net_wire_refused(err, fd, link->name, path, "");
	r = ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : set_header(fd);
	if (r == 0)
		return fd;
	close(fd);
	return net_wire_refused(err, r, link->name, path, "");
}

static int send_frame(int fd, const struct sockaddr_ll *to, const uint8_t *frame, size_t len)
{
	return sendto(fd, frame, len, MSG_DONTWAIT, (const struct sockaddr *)to, sizeof(*to)) < 0 ? -errno : 0;
}

int sys_linux_announce(struct sys *sys, const struct sys_link *link, const struct sys_announce *what, struct err *err)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)link->ifindex };
	uint8_t frame[NET_FRAME_MAX];
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); /* protocol 0: it receives nothing */
	int r;

	(void)sys;
	if (fd < 0)
		return net_wire_refused(err, -errno, link->name, "an announcement", "");
	r = send_frame(fd, &to, frame, net_frame_rarp(what, frame));
	for (size_t i = 0; r == 0 && i < what->nr_ip4; i++)
		r = send_frame(fd, &to, frame, net_frame_arp(what, i, frame));
	for (size_t i = 0; r == 0 && i < what->nr_ip6; i++)
		r = send_frame(fd, &to, frame, net_frame_na(what, i, frame));
	fd_close(&fd);
	return r < 0 ? net_wire_refused(err, r, link->name, "an announcement", "") : 0;
}

/* The filter stands before the socket hears anything: until it is bound it has no protocol. */
int sys_linux_frames_open(struct sys *sys, unsigned ifindex, const uint8_t mac[static SYS_MAC_LEN])
{
	const uint32_t high = (uint32_t)mac[0] << 24 | (uint32_t)mac[1] << 16 | (uint32_t)mac[2] << 8 | mac[3];
	const uint32_t low = (uint32_t)mac[4] << 8 | mac[5];
	struct sock_filter ops[] = {
		{ BPF_LD | BPF_B | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE) },
		{ BPF_JMP | BPF_JEQ | BPF_K, 5, 0, PACKET_OUTGOING },
		{ BPF_LD | BPF_W | BPF_ABS, 0, 0, ETH_ALEN },
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 3, high },
		{ BPF_LD | BPF_H | BPF_ABS, 0, 0, ETH_ALEN + 4 },
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, low },
		{ BPF_RET | BPF_K, 0, 0, ETH_HLEN },
		{ BPF_RET | BPF_K, 0, 0, 0 },
	};
	const struct sock_fprog program = { .len = sizeof(ops) / sizeof(ops[0]), .filter = ops };
	const struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)ifindex };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r = 0;

	(void)sys;
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ||
	    bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
		r = -errno;
	if (r == 0)
		return fd;
	fd_close(&fd);
	return r;
}
