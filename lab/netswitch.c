// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * netswitch: a learning Ethernet switch between the emulated hosts, for whose NICs a hub would be too kind: there a frame reaches a guest on
 * either host, whether or not anything has told the network where the guest is now, and what is not for a host fills its queues.
 *
 * netswitch SOCKET listens there; each connection is a port, and speaks as QEMU's `-netdev stream` does: 32 bits of length, big endian, then
 * the frame. A frame goes to the port where its destination was last seen as a source, or to all others. An entry stays until its address
 * is seen elsewhere. What a port cannot take is dropped, as in any switch. It ends by a signal.
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_PORTS 8
#define MAC_LEN 6
#define MIN_FRAME 14 /* two addresses and a type */
#define MAX_FRAME 65536
#define LENGTH 4
#define IN_SIZE (4 * (LENGTH + MAX_FRAME))
#define OUT_SIZE (4 << 20)
#define NR_MACS 4096 /* power of 2. Two addresses that share an entry forget each other: they are flooded then */

struct port {
	int fd;
	uint8_t *in, *out;
	size_t in_len, out_at, out_len;
};

struct entry {
	uint8_t mac[MAC_LEN];
	struct port *port; /* NULL: none */
};

static struct port ports[MAX_PORTS];
static unsigned nr_ports;
static struct entry macs[NR_MACS];

static void die(const char *what)
{
	fprintf(stderr, "netswitch: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct entry *entry_of(const uint8_t *mac)
{
	uint32_t h = 0;

	for (int i = 0; i < MAC_LEN; i++)
		h = h * 31 + mac[i];
	return &macs[h % NR_MACS];
}

static void flush_port(struct port *p)
{
	while (p->out_len) {
		ssize_t n = send(p->fd, p->out + p->out_at, p->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return; /* full, or closed: seen when it is read from */
		p->out_at += (size_t)n;
		p->out_len -= (size_t)n;
	}
	p->out_at = 0;
}

/* @frame with its length before it */
static void send_to(struct port *p, const uint8_t *frame, size_t size)
{
	if (p->fd < 0)
		return;
	if (p->out_at + p->out_len + size > OUT_SIZE && p->out_at) {
		memmove(p->out, p->out + p->out_at, p->out_len);
		p->out_at = 0;
	}
	if (p->out_len + size > OUT_SIZE)
		return;
	memcpy(p->out + p->out_at + p->out_len, frame, size);
	p->out_len += size;
}

static void forward(struct port *from, const uint8_t *frame, size_t size)
{
	const uint8_t *to_mac = frame + LENGTH, *from_mac = to_mac + MAC_LEN;
	struct entry *e;

	if (!(from_mac[0] & 1)) {
		e = entry_of(from_mac);
		memcpy(e->mac, from_mac, MAC_LEN);
		e->port = from;
	}
	e = entry_of(to_mac);
	if (!(to_mac[0] & 1) && e->port && !memcmp(e->mac, to_mac, MAC_LEN)) {
		if (e->port != from)
			send_to(e->port, frame, size);
		return;
	}
	for (unsigned i = 0; i < nr_ports; i++)
		if (&ports[i] != from)
			send_to(&ports[i], frame, size);
}

static void close_port(struct port *p)
{
	close(p->fd);
	p->fd = -1;
	p->in_len = p->out_len = p->out_at = 0;
	for (unsigned i = 0; i < NR_MACS; i++)
		if (macs[i].port == p)
			macs[i].port = NULL;
}

static void read_port(struct port *p)
{
	ssize_t n = recv(p->fd, p->in + p->in_len, IN_SIZE - p->in_len, MSG_DONTWAIT);
	size_t at = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_port(p);
		return;
	}
	p->in_len += (size_t)n;
	while (p->in_len - at >= LENGTH) {
		const uint8_t *f = p->in + at;
		size_t size = (size_t)f[0] << 24 | (size_t)f[1] << 16 | (size_t)f[2] << 8 | f[3];

		if (size > MAX_FRAME) {
			fprintf(stderr, "netswitch: a frame of %zu bytes: the port is closed\n", size);
			close_port(p);
			return;
		}
		if (p->in_len - at < LENGTH + size)
			break;
		if (size >= MIN_FRAME)
			forward(p, f, LENGTH + size);
		at += LENGTH + size;
	}
	p->in_len -= at;
	memmove(p->in, p->in + at, p->in_len);
}

static void add_port(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), size = 1 << 20;
	struct port *p = &ports[nr_ports];

	if (fd < 0)
		return;
	if (nr_ports == MAX_PORTS) {
		close(fd);
		return;
	}
	*p = (struct port){ .fd = fd, .in = malloc(IN_SIZE), .out = malloc(OUT_SIZE) };
	if (!p->in || !p->out)
		die("memory");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	nr_ports++;
}

int main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct pollfd fds[MAX_PORTS + 1];
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc != 2 || strlen(argv[1]) >= sizeof(addr.sun_path)) {
		fprintf(stderr, "usage: netswitch SOCKET\n");
		return 2;
	}
	strcpy(addr.sun_path, argv[1]);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(listener, MAX_PORTS) < 0)
		die(argv[1]);
	for (;;) {
		unsigned nr = nr_ports;

		fds[0] = (struct pollfd){ .fd = listener, .events = POLLIN };
		for (unsigned i = 0; i < nr; i++)
			fds[i + 1] = (struct pollfd){ .fd = ports[i].fd, .events = POLLIN | (ports[i].out_len ? POLLOUT : 0) };
		if (poll(fds, nr + 1, -1) < 0 && errno != EINTR)
			die("poll");
		for (unsigned i = 0; i < nr; i++)
			if (fds[i + 1].revents & (POLLIN | POLLHUP | POLLERR))
				read_port(&ports[i]);
		for (unsigned i = 0; i < nr; i++)
			if (ports[i].fd >= 0)
				flush_port(&ports[i]);
		if (fds[0].revents & POLLIN)
			add_port(listener);
	}
}
