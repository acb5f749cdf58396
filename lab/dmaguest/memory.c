/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory of the guest that is played, and the page by which another guest's is known. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fdutil.h"
#include "guest.h"
#include "vuser_proto.h"

#define RW (VUSER_DMA_READABLE | VUSER_DMA_WRITABLE)
#define LABEL "in use " /* and a digit */

static const struct section plan[SEC_NUM] = {
	[SEC_RINGS] = { .name = "rings", .iova = 0x100000000, .size = 0x10000, .prot = RW },
	[SEC_DATA] = { .name = "data", .iova = 0x100100000, .size = 0x10000, .prot = RW },
	[SEC_ROM] = { .name = "rom", .iova = 0x100200000, .size = 0x10000, .prot = VUSER_DMA_READABLE },
	[SEC_GONE] = { .name = "gone", .iova = 0x100300000, .size = 0x10000, .prot = RW },
	[SEC_FLOOD] = { .name = "flood", .iova = 0x100400000, .size = (uint64_t)NIC_RING * NIC_RX_SIZE, .prot = RW },
	[SEC_NEVER] = { .name = "never", .iova = 0x100500000, .size = 0x10000 },
};

int section_map(struct guest *g, enum section_id id)
{
	const struct section *s = &g->sec[id];

	return client_dma_map(&g->client, s->iova, s->size, s->prot, s->fd, 0);
}

int section_unmap(struct guest *g, enum section_id id)
{
	const struct section *s = &g->sec[id];
	uint64_t size = 0;
	int r = client_dma_unmap(&g->client, s->iova, s->size);

	if (r == 0)
		r = client_dma_unmapped(&g->client, &size);
	return r == 0 && size != s->size ? -EIO : r;
}

int memory_init(struct guest *g)
{
	int r = 0;

	memcpy(g->sec, plan, sizeof(plan));
	for (unsigned i = 0; i < SEC_NUM && r == 0; i++) {
		struct section *s = &g->sec[i];
		void *mem;

		s->fd = memfd_create(s->name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (s->fd < 0 || ftruncate(s->fd, (off_t)s->size) < 0 || fcntl(s->fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
			return -errno;
		mem = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
		if (mem == MAP_FAILED)
			return -errno;
		s->mem = mem;
		if (s->prot)
			r = section_map(g, i);
	}
	return r;
}

void marker_make(uint8_t page[PAGE], const uint8_t mac[6])
{
	static const uint8_t nobody[6] = { 0x02, 0x5e, 0xc2, 0xe7, 0, 1 };

	for (unsigned i = 0; i < PAGE / FRAME_LEN; i++)
		frame_make(page + i * FRAME_LEN, mac, nobody, 0x5ec2e700 + i);
	memset(&page[PAGE - 8], 0, 8);
}

/*
 * The guest has copied the page into a file and written a label into the last bytes of that file's pages after: so what has the label is a
 * page of the file, and none of the buffers that it went through.
 */
static uint64_t find_marker(const uint8_t *mem, uint64_t size, const uint8_t *page, unsigned *ret_found)
{
	uint64_t at = UINT64_MAX;

	*ret_found = 0;
	for (uint64_t i = 0; i + PAGE <= size; i += PAGE) {
		if (memcmp(mem + i, page, PAGE - 8) || memcmp(mem + i + PAGE - 8, LABEL, strlen(LABEL)))
			continue;
		++*ret_found;
		if (at == UINT64_MAX)
			at = i;
	}
	return at;
}

json_t *case_other(struct guest *g, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t page[PAGE];
	unsigned found = 0;
	struct stat st;
	void *mem;

	if (fd < 0 || fstat(fd, &st) < 0)
		return json_pack("{s:s, s:s}", "path", path, "error", strerror(errno));
	mem = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	fd_close(&fd);
	if (mem == MAP_FAILED)
		return json_pack("{s:s, s:s}", "path", path, "error", strerror(errno));
	g->other = mem;
	g->other_size = (uint64_t)st.st_size;
	marker_make(page, g->wire.mac);
	g->other_page = find_marker(g->other, g->other_size, page, &found);
	/* below 2 GiB a q35 has its memory where the file has it */
	return json_pack("{s:I, s:i, s:I}", "size", (json_int_t)g->other_size, "found", (int)found, "at",
			 (json_int_t)g->other_page);
}
