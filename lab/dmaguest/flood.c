/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames run into a range that is taken away meanwhile: not a byte of it may change once the unmap has been answered. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define PHASE_MS 20000
#define STALL_MS 100 /* then the frames under way count as lost */
#define UNDER_WAY 8 /* frames sent and not yet received: more, and the emulated NIC has no time for the other guest */
#define BEFORE 64 /* frames that land while the range is there */
#define AFTER 100 /* frames that the device has worked on since the unmap was answered */
#define ROUNDS 10 /* the moment at which the answer meets the frames is another each time */

struct flood {
	struct guest *g;
	uint8_t *then; /* what was in the range when the unmap was answered */
	unsigned next; /* the descriptor that will be done next */
	unsigned done; /* descriptors done so far */
	unsigned sent; /* frames, since the last stall */
	unsigned base; /* done at the last stall */
	int64_t moved_ms;
	/* outcome, of all rounds */
	unsigned rounds, meanwhile, written, changed;
	uint64_t unmapped;
	int error;
};

static void post(struct flood *f)
{
	struct section *s = &f->g->sec[SEC_FLOOD];

	/* a descriptor keeps its buffer */
	nic_rx_post(&f->g->nic, s->iova + (uint64_t)f->g->nic.rx_tail * NIC_RX_SIZE);
}

/* Send a frame if there is room, give buffers that were used back to the device, let the others run. */
static void pump(struct flood *f)
{
	struct guest *g = f->g;
	uint8_t frame[FRAME_LEN];

	if (now_ms() - f->moved_ms > STALL_MS) {
		f->sent = 0;
		f->base = f->done;
		f->moved_ms = now_ms();
	}
	if (f->sent < f->done - f->base + UNDER_WAY) {
		frame_make(frame, g->nic.mac, g->wire.mac, ++g->number);
		if (wire_send(&g->wire, frame))
			f->sent++;
	}
	while (nic_rx_done(&g->nic, f->next)) {
		post(f);
		f->next = (f->next + 1) % NIC_RING;
		f->done++;
		f->moved_ms = now_ms();
	}
	poll(NULL, 0, 1);
}

static bool pump_until_done(struct flood *f, unsigned done, int ms)
{
	for (int64_t end = now_ms() + ms; f->done < done;) {
		if (now_ms() > end)
			return false;
		pump(f);
	}
	return true;
}

static unsigned differ(const uint8_t *a, const uint8_t *b, size_t len)
{
	unsigned n = 0;

	for (size_t i = 0; i < len; i++)
		n += a[i] != b[i];
	return n;
}

/* Unmap, and go on sending meanwhile. */
static int unmap_under_traffic(struct flood *f)
{
	const struct section *s = &f->g->sec[SEC_FLOOD];
	int64_t end = now_ms() + PHASE_MS;
	unsigned before = f->done;
	uint64_t size = 0;
	int r;

	r = client_dma_unmap(&f->g->client, s->iova, s->size);
	if (r < 0)
		return r;
	while (!client_answered(&f->g->client) && now_ms() < end)
		pump(f);
	r = client_dma_unmapped(&f->g->client, &size);
	memcpy(f->then, s->mem, s->size);
	f->meanwhile += f->done - before;
	f->unmapped += size;
	return r;
}

static bool written_at_all(const struct section *s)
{
	for (uint64_t i = 0; i < s->size; i++)
		if (s->mem[i])
			return true;
	return false;
}

/* All buffers are the device's, whatever it has made of them before. */
static void restart(struct flood *f)
{
	nic_rx_restart(&f->g->nic);
	f->next = 0;
	for (unsigned i = 0; i < NIC_RING - 1; i++)
		post(f);
}

/* The range comes back, and so does the traffic: at once, or when a server that answers before it has mapped is done with it. */
static bool map_again(struct flood *f)
{
	struct section *s = &f->g->sec[SEC_FLOOD];
	bool back = false;

	memset(s->mem, 0, s->size);
	if (section_map(f->g, SEC_FLOOD) < 0)
		return false;
	for (int64_t end = now_ms() + PHASE_MS; !back && now_ms() < end;) {
		restart(f);
		pump_until_done(f, f->done + NIC_RING, DMA_MS);
		back = written_at_all(s);
	}
	return back;
}

static bool one_round(struct flood *f)
{
	struct section *s = &f->g->sec[SEC_FLOOD];

	memset(s->mem, 0, s->size);
	memset(f->then, 0, s->size);
	restart(f);
	if (!pump_until_done(f, f->done + BEFORE, PHASE_MS))
		return false;
	f->written += differ(s->mem, f->then, s->size);
	f->error = unmap_under_traffic(f);
	if (f->error < 0 || !pump_until_done(f, f->done + AFTER, PHASE_MS))
		return false;
	f->changed += differ(s->mem, f->then, s->size);
	return map_again(f);
}

json_t *case_flood(struct guest *g, const char *arg)
{
	const struct section *s = &g->sec[SEC_FLOOD];
	struct flood f = { .g = g, .moved_ms = now_ms(), .then = malloc(s->size) };
	char first[24], last[24];

	(void)arg;
	if (!f.then)
		return NULL;
	while (f.rounds < ROUNDS && one_round(&f))
		f.rounds++;
	free(f.then);
	nic_rx_restart(&g->nic);
	snprintf(first, sizeof(first), "0x%llx", (unsigned long long)s->iova);
	snprintf(last, sizeof(last), "0x%llx", (unsigned long long)(s->iova + s->size - 1));
	return json_pack("{s:s, s:s, s:s, s:b, s:i, s:i, s:b, s:i, s:i, s:i}", "iova", first, "last", last, "access", "Write",
			 "complete", f.rounds == ROUNDS, "errno", -f.error, "written", (int)f.written, "whole",
			 f.unmapped == ROUNDS * s->size, "meanwhile", (int)f.meanwhile, "frames", (int)f.done, "changed",
			 (int)f.changed);
}
