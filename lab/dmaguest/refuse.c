/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests that must be refused. The server answers with the errno, and goes on. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fdutil.h"
#include "guest.h"
#include "vuser_proto.h"

#define RW (VUSER_DMA_READABLE | VUSER_DMA_WRITABLE)
#define FREE UINT64_C(0x180000000) /* an address where nothing is mapped */
#define SIZE UINT64_C(0x10000)

static const struct refusal {
	const char *name;
	uint64_t iova, size, offset;
	enum { FD_MEMORY, FD_READ_ONLY, FD_PIPE } fd;
	bool unmap;
} refusals[] = {
	{ .name = "msi-window", .iova = 0xfee00000, .size = PAGE },
	{ .name = "into-msi-window", .iova = 0xfedf8000, .size = SIZE },
	{ .name = "around-msi-window", .iova = 0xfec00000, .size = 0x400000 },
	{ .name = "overlap", .iova = 0x100108000, .size = SIZE },
	{ .name = "same-again", .iova = 0x100100000, .size = SIZE },
	{ .name = "wrap", .iova = UINT64_MAX - PAGE + 1, .size = 2 * PAGE },
	{ .name = "beyond-aperture", .iova = UINT64_C(1) << 60, .size = SIZE },
	{ .name = "empty", .iova = FREE, .size = 0 },
	{ .name = "unaligned", .iova = FREE + 8, .size = PAGE },
	{ .name = "beyond-file", .iova = FREE, .size = SIZE, .offset = SIZE },
	{ .name = "read-only-file", .iova = FREE, .size = SIZE, .fd = FD_READ_ONLY },
	{ .name = "pipe", .iova = FREE, .size = SIZE, .fd = FD_PIPE },
	{ .name = "unmap-part", .iova = 0x100100000, .size = PAGE, .unmap = true },
	{ .name = "unmap-unknown", .iova = FREE, .size = SIZE, .unmap = true },
};

static int open_read_only(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int ask(struct guest *g, const struct refusal *q)
{
	int fds[2] = { -1, -1 }, fd = g->sec[SEC_NEVER].fd, r;
	uint64_t size = 0;

	if (q->unmap) {
		r = client_dma_unmap(&g->client, q->iova, q->size);
		return r < 0 ? r : client_dma_unmapped(&g->client, &size);
	}
	if (q->fd == FD_PIPE && pipe2(fds, O_CLOEXEC) == 0)
		fd = fds[0];
	if (q->fd == FD_READ_ONLY)
		fd = fds[0] = open_read_only(fd);
	r = client_dma_map(&g->client, q->iova, q->size, RW, fd, q->offset);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	return r;
}

json_t *case_refuse(struct guest *g, const char *arg)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		int r;

		if (strcmp(arg, refusals[i].name))
			continue;
		r = ask(g, &refusals[i]);
		return json_pack("{s:i, s:b}", "errno", -r, "alive", client_alive(&g->client));
	}
	return json_pack("{s:s}", "error", "no such refusal");
}
