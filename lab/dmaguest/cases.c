/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the device is made to do. That it has tried is told by the descriptor, which lies in memory it may write: the NIC reports it done
 * also when the buffer was refused.
 */
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

/*
 * Interrupt messages for a CPU that no lab has: 0xfc is nobody's APIC id, and no one's bit of a logical destination. In the half of each 32
 * bytes that has bit 4 set, the message names an entry of the remapping table, here 0x7e00 and up, which are not in use. The other half
 * would be of the old format, which hardware blocks when remapping is on, and which QEMU's model lets pass.
 */
#define MSI_NOBODY UINT64_C(0xfeefc010)

static void new_frame(struct guest *g, uint8_t *buf, const uint8_t dst[6], const uint8_t src[6])
{
	frame_make(buf, dst, src, ++g->number);
}

static json_t *hex(uint64_t v)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "0x%llx", (unsigned long long)v);
	return json_string(buf);
}

/* Send from our own memory: what was sent before is on the wire before it. */
static bool send_fence(struct guest *g, uint8_t frame[FRAME_LEN])
{
	struct section *s = &g->sec[SEC_DATA];

	new_frame(g, s->mem, g->wire.mac, g->nic.mac);
	memcpy(frame, s->mem, FRAME_LEN);
	return nic_send(&g->nic, s->iova, FRAME_LEN, DMA_MS);
}

json_t *case_own_tx(struct guest *g, const char *arg)
{
	uint8_t frame[FRAME_LEN];
	unsigned wanted, zero;
	bool done, seen;

	(void)arg;
	wire_flush(&g->wire);
	done = send_fence(g, frame);
	seen = wire_until(&g->wire, frame, NULL, &wanted, &zero, DMA_MS);
	return json_pack("{s:o, s:b, s:b}", "iova", hex(g->sec[SEC_DATA].iova), "done", done, "seen", seen);
}

/*
 * Others send to all on the same wire: a buffer may get a frame that is not ours. And a server may hold DMA back until memory is mapped; a
 * descriptor is then read as nothing. Either way the next one is looked at.
 */
static bool receive_own(struct guest *g, uint64_t iova, const uint8_t *mem)
{
	uint8_t frame[FRAME_LEN];

	for (int64_t end = now_ms() + START_MS; now_ms() < end;) {
		unsigned index;

		nic_rx_restart(&g->nic);
		index = nic_rx_post(&g->nic, iova);
		new_frame(g, frame, g->nic.mac, g->wire.mac);
		wire_send(&g->wire, frame);
		if (nic_rx_wait(&g->nic, index, TRY_MS) && !memcmp(mem, frame, FRAME_LEN))
			return true;
	}
	return false;
}

json_t *case_own_rx(struct guest *g, const char *arg)
{
	struct section *s = &g->sec[SEC_DATA];
	bool landed;

	(void)arg;
	memset(s->mem + NIC_RX_SIZE, 0, NIC_RX_SIZE);
	landed = receive_own(g, s->iova + NIC_RX_SIZE, s->mem + NIC_RX_SIZE);
	return json_pack("{s:o, s:b}", "iova", hex(s->iova + NIC_RX_SIZE), "landed", landed);
}

/* The page that @arg names, "SECTION" or "SECTION+PAGES": where the device sees it, or would, and where we do. */
static bool target(struct guest *g, const char *arg, uint64_t *ret_iova, uint8_t **ret_mem)
{
	size_t len = strcspn(arg, "+");
	uint64_t at = arg[len] ? strtoull(arg + len + 1, NULL, 10) * PAGE : 0;

	if (!strcmp(arg, "other") && g->other && g->other_page != UINT64_MAX) {
		*ret_iova = g->other_page;
		*ret_mem = g->other + g->other_page;
		return true;
	}
	for (unsigned i = 0; i < SEC_NUM; i++)
		if (strlen(g->sec[i].name) == len && !strncmp(arg, g->sec[i].name, len) && at < g->sec[i].size) {
			*ret_iova = g->sec[i].iova + at;
			*ret_mem = g->sec[i].mem + at;
			return true;
		}
	return false;
}

json_t *case_tx(struct guest *g, const char *arg)
{
	uint8_t fence[FRAME_LEN], secret[FRAME_LEN];
	unsigned seen = 0, zero = 0;
	bool done, after;
	uint64_t iova;
	uint8_t *mem;

	if (!target(g, arg, &iova, &mem))
		return json_pack("{s:s}", "error", "no such memory");
	if (mem != g->other + g->other_page)
		new_frame(g, mem, g->wire.mac, g->nic.mac);
	memcpy(secret, mem, FRAME_LEN);
	wire_flush(&g->wire);
	done = nic_send(&g->nic, iova, FRAME_LEN, DMA_MS);
	after = send_fence(g, fence) && wire_until(&g->wire, fence, secret, &seen, &zero, DMA_MS);
	return json_pack("{s:o, s:o, s:s, s:b, s:b, s:i, s:i}", "iova", hex(iova), "last", hex(iova + PAGE - 1), "access", "Read",
			 "done", done, "fence", after, "seen", (int)seen, "zero", (int)zero);
}

/* A frame into one buffer at @iova, whosever it is. */
static bool receive_any(struct guest *g, uint64_t iova)
{
	uint8_t frame[FRAME_LEN];
	unsigned index;

	nic_rx_restart(&g->nic);
	index = nic_rx_post(&g->nic, iova);
	for (int i = 0; i < 10 && !nic_rx_done(&g->nic, index); i++) {
		new_frame(g, frame, g->nic.mac, g->wire.mac);
		wire_send(&g->wire, frame);
		nic_rx_wait(&g->nic, index, DMA_MS / 10);
	}
	return nic_rx_done(&g->nic, index);
}

json_t *case_rx(struct guest *g, const char *arg)
{
	uint8_t before[PAGE];
	uint64_t iova;
	uint8_t *mem;
	bool done;

	if (!target(g, arg, &iova, &mem))
		return json_pack("{s:s}", "error", "no such memory");
	memcpy(before, mem, PAGE);
	done = receive_any(g, iova);
	return json_pack("{s:o, s:o, s:s, s:b, s:b}", "iova", hex(iova), "last", hex(iova + PAGE - 1), "access", "Write", "done",
			 done, "unchanged", !memcmp(before, mem, PAGE));
}

/* The device has used the section, so it has its translation; then it is taken away. */
json_t *case_unmap(struct guest *g, const char *arg)
{
	struct section *s = &g->sec[SEC_GONE];
	bool used;
	int r;

	(void)arg;
	used = receive_own(g, s->iova, s->mem);
	r = section_unmap(g, SEC_GONE);
	return json_pack("{s:o, s:b, s:i}", "iova", hex(s->iova), "used", used, "errno", -r);
}

/*
 * A section is unmapped while the device may not do DMA. When it may again, the section must be out of its reach. @arg "past": the bit is
 * switched on past the server, through the device's own descriptor.
 */
json_t *case_parked(struct guest *g, const char *arg)
{
	const uint16_t on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	struct section *s = &g->sec[SEC_GONE];
	int r = section_map(g, SEC_GONE);
	uint8_t before[PAGE];
	bool used, done;

	used = r == 0 && receive_own(g, s->iova, s->mem);
	r = client_config_write16(&g->client, PCI_COMMAND, PCI_COMMAND_MEMORY);
	if (r == 0)
		r = section_unmap(g, SEC_GONE);
	memcpy(before, s->mem, PAGE);
	if (r == 0 && !strcmp(arg, "past"))
		r = client_config_write16_past(&g->client, PCI_COMMAND, on);
	else if (r == 0)
		r = client_config_write16(&g->client, PCI_COMMAND, on);
	done = receive_any(g, s->iova);
	client_config_write16(&g->client, PCI_COMMAND, on);
	return json_pack("{s:o, s:o, s:s, s:b, s:i, s:b, s:b}", "iova", hex(s->iova), "last", hex(s->iova + PAGE - 1), "access",
			 "Write", "used", used, "errno", -r, "done", done, "unchanged", !memcmp(before, s->mem, PAGE));
}

json_t *case_msi(struct guest *g, const char *arg)
{
	bool done;

	(void)arg;
	done = receive_any(g, MSI_NOBODY);
	return json_pack("{s:o, s:s, s:b}", "iova", hex(MSI_NOBODY), "access", "Write", "done", done);
}
