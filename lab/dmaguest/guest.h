/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest that is played: its memory, its device, and the cases. Each case answers with one JSON object. */
#ifndef DMAGUEST_GUEST_H
#define DMAGUEST_GUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "nic.h"
#include "wire.h"

#define PAGE 4096u
#define DMA_MS 3000 /* for a descriptor that the device works on */
#define START_MS 30000 /* a server may hold bus mastering back until all memory is pinned */
#define TRY_MS 200 /* between one look whether it still does and the next */

enum section_id { SEC_RINGS, SEC_DATA, SEC_ROM, SEC_GONE, SEC_FLOOD, SEC_NEVER, SEC_NUM };

/* A piece of guest memory. It lies above 4 GiB: all that a small guest has is below, so an address there is another guest's alone. */
struct section {
	const char *name;
	uint64_t iova, size;
	unsigned prot; /* VUSER_DMA_*; 0: never mapped */
	int fd;
	uint8_t *mem; /* our own mapping of the same pages */
};

struct guest {
	struct client client;
	struct nic nic;
	struct wire wire;
	struct section sec[SEC_NUM];
	uint32_t number; /* of the newest frame */
	/* another guest's memory, and a page of it that nobody there changes */
	uint8_t *other;
	uint64_t other_size, other_page;
};

int memory_init(struct guest *g);
/* 0 or a negative errno */
int section_map(struct guest *g, enum section_id id);
int section_unmap(struct guest *g, enum section_id id);

/* A page that looks like nothing else: a frame to @mac at its begin, all of it known, and a label in the last 8 bytes. */
void marker_make(uint8_t page[PAGE], const uint8_t mac[6]);
/* Find the page in another guest's memory, the file at @path. */
json_t *case_other(struct guest *g, const char *path);

json_t *case_own_tx(struct guest *g, const char *arg);
json_t *case_own_rx(struct guest *g, const char *arg);
/* @arg: "SECTION", "SECTION+PAGES" or "other": the device is made to read, or to write, that page. */
json_t *case_tx(struct guest *g, const char *arg);
json_t *case_rx(struct guest *g, const char *arg);
json_t *case_unmap(struct guest *g, const char *arg);
json_t *case_parked(struct guest *g, const char *arg);
json_t *case_msi(struct guest *g, const char *arg);
json_t *case_flood(struct guest *g, const char *arg);
json_t *case_refuse(struct guest *g, const char *arg);

#endif
