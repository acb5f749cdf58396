/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fuzz targets of the vfio-user server share: the client, and the input's form.
 *
 * The input is a row of chunks: control byte, length (16 bit, little endian), bytes.
 *   bits 0-2: descriptors to attach (0 0 0 1 1 2 8 9)   bit 3: they are for memory, else eventfds
 *   bit 4: bytes are raw stream; else one message whose header is made right (command, id, flags, then the payload), so that the
 *          fuzzer need not find message sizes
 *   bit 5: let the server work   bit 6: the client reads its answers   bit 7: 6 s pass
 * The first byte of the input: bit 0: begin with an agreed VERSION; bit 1: a socket that is soon full of answers;
 * bit 2: fuzz_device's.
 */
#ifndef GANGWAY_TESTS_VUSER_CHUNKS_H
#define GANGWAY_TESTS_VUSER_CHUNKS_H

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fdutil.h"
#include "gangway_limits.h"
#include "vuser.h"
#include "vuser_proto.h"

#define CHUNK_FDS_MAX 9
#define MUST(x)                                                                                                                  \
	do {                                                                                                                     \
		if (!(x))                                                                                                        \
			abort();                                                                                                 \
	} while (0)

static inline void drain(int sock)
{
	int fds[FD_MSG_MAX];
	char buf[16384];
	size_t nr;

	while (fd_recv(sock, buf, sizeof(buf), fds, FD_MSG_MAX, &nr) > 0)
		while (nr)
			fd_close(&fds[--nr]);
}

/* @narrow: the server's answers soon fill the socket, so that they are queued */
static inline int connect_client(struct vuser *v, bool narrow)
{
	int sv[2], least = 1;

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == 0);
	if (narrow)
		MUST(setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)) == 0);
	MUST(vuser_accept(v, sv[0]) == 0);
	return sv[1];
}

static inline void send_chunk(int sock, uint8_t ctl, const uint8_t *data, size_t len, const int *fds)
{
	static const uint8_t nr_fds[8] = { 0, 0, 0, 1, 1, 2, 8, 9 };
	static uint8_t msg[LIMIT_VUSER_MSG + 64];
	struct vuser_hdr hdr = { 0 };

	if (ctl & 0x10) {
		if (len)
			fd_send(sock, data, len, fds, nr_fds[ctl & 7]);
		return;
	}
	if (len < 3 || len > LIMIT_VUSER_MSG)
		return;
	hdr = (struct vuser_hdr){ .cmd = data[0], .id = data[1], .flags = data[2], .size = (uint32_t)(sizeof(hdr) + len - 3) };
	memcpy(msg, &hdr, sizeof(hdr));
	memcpy(msg + sizeof(hdr), data + 3, len - 3);
	fd_send(sock, msg, hdr.size, fds, nr_fds[ctl & 7]);
}

#endif
