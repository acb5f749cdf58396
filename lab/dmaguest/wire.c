/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fdutil.h"
#include "nic.h"

void frame_make(uint8_t *buf, const uint8_t dst[6], const uint8_t src[6], uint32_t number)
{
	uint32_t x = number * 2654435761u + 1;

	memcpy(buf, dst, 6);
	memcpy(buf + 6, src, 6);
	buf[12] = FRAME_TYPE >> 8;
	buf[13] = FRAME_TYPE & 0xff;
	memcpy(buf + 14, &number, sizeof(number));
	for (size_t i = 18; i < FRAME_LEN; i++) {
		x = x * 1664525 + 1013904223;
		buf[i] = (uint8_t)(x >> 24) | 1; /* no byte is 0: one that was not written shows */
	}
}

/* A socket belongs to the namespace in which it was made, whatever its process does after. */
static int packet_socket(const char *netns)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there = open(netns, O_RDONLY | O_CLOEXEC), sock, r = 0;

	sock = home < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0 ? -errno : 0;
	if (sock == 0) {
		sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
		if (sock < 0)
			sock = -errno;
		if (setns(home, CLONE_NEWNET) < 0)
			r = -errno;
	}
	fd_close(&home);
	fd_close(&there);
	if (r < 0 && sock >= 0)
		fd_close(&sock);
	return r < 0 ? r : sock;
}

int wire_open(struct wire *w, const char *netns, const char *name)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct packet_mreq all = { .mr_type = PACKET_MR_PROMISC };
	struct ifreq ifr = { 0 };
	int big = 4 << 20;

	w->sock = packet_socket(netns);
	if (w->sock < 0)
		return w->sock;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(w->sock, SIOCGIFINDEX, &ifr) < 0)
		return -errno;
	addr.sll_ifindex = all.mr_ifindex = ifr.ifr_ifindex;
	if (ioctl(w->sock, SIOCGIFHWADDR, &ifr) < 0)
		return -errno;
	memcpy(w->mac, ifr.ifr_hwaddr.sa_data, sizeof(w->mac));
	/* whatever the device is made to send shall be seen, whoever it is for */
	if (bind(w->sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    setsockopt(w->sock, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) < 0)
		return -errno;
	setsockopt(w->sock, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	return 0;
}

bool wire_send(struct wire *w, const uint8_t *frame)
{
	return send(w->sock, frame, FRAME_LEN, MSG_DONTWAIT) == FRAME_LEN;
}

/* 1: a frame from the wire, 0: one that went out from here, negative: none. What is longer than a frame of ours is cut. */
static int take(struct wire *w, uint8_t buf[FRAME_LEN])
{
	struct sockaddr_ll from = { 0 };
	socklen_t len = sizeof(from);
	ssize_t n;

	memset(buf, 0, FRAME_LEN);
	n = recvfrom(w->sock, buf, FRAME_LEN, MSG_DONTWAIT, (struct sockaddr *)&from, &len);
	if (n < 0)
		return -errno;
	return from.sll_pkttype != PACKET_OUTGOING;
}

void wire_flush(struct wire *w)
{
	uint8_t buf[FRAME_LEN];

	while (take(w, buf) >= 0)
		;
}

bool wire_until(struct wire *w, const uint8_t *fence, const uint8_t *wanted, unsigned *ret_wanted, unsigned *ret_zero, int ms)
{
	static const uint8_t zero[14];
	struct pollfd p = { .fd = w->sock, .events = POLLIN };
	int64_t end = now_ms() + ms;
	uint8_t buf[FRAME_LEN];

	*ret_wanted = *ret_zero = 0;
	while (now_ms() < end && poll(&p, 1, (int)(end - now_ms())) > 0) {
		if (take(w, buf) != 1)
			continue;
		if (!memcmp(buf, zero, sizeof(zero)))
			++*ret_zero;
		/* the header may have been put there by the device; what is behind it only the memory knows */
		if (wanted && !memcmp(buf + 14, wanted + 14, FRAME_LEN - 14))
			++*ret_wanted;
		if (!memcmp(buf, fence, FRAME_LEN))
			return true;
	}
	return false;
}
