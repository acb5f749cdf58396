/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dmaguest: plays a guest that means harm. It takes a VF over vfio-user as a VMM would, drives it by itself, and makes it read and write
 * where it may and where it must not.
 *
 *   dmaguest serve SOCKET NETNS INTERFACE    start the device, then a case for each line of standard input: "CASE [ARGUMENT]"
 *   dmaguest marker MAC                      write the page that is to be put into another guest's memory
 *
 * Each case is answered with one JSON object a line. INTERFACE in the namespace at NETNS is the far end of the VF's wire.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

static const struct {
	const char *name;
	json_t *(*run)(struct guest *g, const char *arg);
} cases[] = {
	{ "own-tx", case_own_tx }, { "own-rx", case_own_rx }, { "tx", case_tx },	 { "rx", case_rx },
	{ "unmap", case_unmap },   { "other", case_other },   { "parked", case_parked }, { "msi", case_msi },
	{ "flood", case_flood },   { "refuse", case_refuse },
};

static int fail(const char *what, int r)
{
	fprintf(stderr, "dmaguest: %s: %s\n", what, strerror(-r));
	return r;
}

/* What the device reads before it may, it reads as nothing: a frame is sent again until one is reported done. */
static bool dma_works(struct guest *g)
{
	struct section *s = &g->sec[SEC_DATA];

	for (int64_t end = now_ms() + START_MS; now_ms() < end;) {
		frame_make(s->mem, g->wire.mac, g->nic.mac, ++g->number);
		if (nic_send(&g->nic, s->iova, FRAME_LEN, TRY_MS))
			return true;
	}
	return false;
}

static int start(struct guest *g, const char *socket)
{
	const uint16_t on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	volatile uint8_t *bar;
	uint16_t command = 0;
	size_t size;
	int r;

	r = client_connect(&g->client, socket);
	if (r < 0)
		return fail(socket, r);
	r = client_reset(&g->client);
	if (r < 0)
		return fail("reset", r);
	r = memory_init(g);
	if (r < 0)
		return fail("mapping the guest's memory", r);
	r = client_config_write16(&g->client, PCI_COMMAND, on);
	if (r == 0)
		r = client_config_read16(&g->client, PCI_COMMAND, &command);
	if (r == 0 && (command & on) != on)
		r = -EIO;
	if (r < 0)
		return fail("command register", r);
	r = client_map_region(&g->client, VFIO_PCI_BAR0_REGION_INDEX, &bar, &size);
	if (r < 0)
		return fail("BAR 0", r);
	r = nic_init(&g->nic, bar, g->sec[SEC_RINGS].mem, g->sec[SEC_RINGS].iova);
	if (r < 0)
		return fail("the NIC", r);
	return dma_works(g) ? 0 : fail("DMA", -ETIMEDOUT);
}

static void say(const char *name, json_t *answer)
{
	if (!answer)
		answer = json_pack("{s:s}", "error", "no memory");
	json_object_set_new(answer, "case", json_string(name));
	json_dumpf(answer, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(answer);
}

static void run(struct guest *g, char *line)
{
	char *name = strtok(line, " \n"), *arg = strtok(NULL, " \n");

	if (!name)
		return;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!strcmp(name, cases[i].name)) {
			say(name, cases[i].run(g, arg ? arg : ""));
			return;
		}
	say(name, json_pack("{s:s}", "error", "no such case"));
}

static int serve(const char *socket, const char *netns, const char *interface)
{
	static struct guest g;
	char line[256], mac[18];
	int r;

	r = wire_open(&g.wire, netns, interface);
	if (r < 0)
		return fail(interface, r);
	r = start(&g, socket);
	if (r < 0)
		return r;
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", g.nic.mac[0], g.nic.mac[1], g.nic.mac[2], g.nic.mac[3],
		 g.nic.mac[4], g.nic.mac[5]);
	say("start", json_pack("{s:s}", "mac", mac));
	while (fgets(line, sizeof(line), stdin))
		run(&g, line);
	client_close(&g.client);
	return 0;
}

static int marker(const char *text)
{
	uint8_t page[PAGE], mac[6];

	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) != 6)
		return fail(text, -EINVAL);
	marker_make(page, mac);
	return fwrite(page, sizeof(page), 1, stdout) == 1 ? 0 : -EIO;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "serve"))
		return serve(argv[2], argv[3], argv[4]) < 0;
	if (argc == 3 && !strcmp(argv[1], "marker"))
		return marker(argv[2]) < 0;
	fprintf(stderr, "usage: dmaguest serve SOCKET NETNS INTERFACE | dmaguest marker MAC\n");
	return 2;
}
