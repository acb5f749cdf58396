/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vfio-user client, as a VMM is one: what the guest's program needs of the protocol and no more. */
#ifndef DMAGUEST_CLIENT_H
#define DMAGUEST_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client {
	int sock;
	uint16_t id; /* of the newest request */
	int device_fd; /* that came with a region, for good */
};

/* Connect to the socket at @path and agree on a version. 0 or a negative errno, as all functions here. */
int client_connect(struct client *c, const char *path);
void client_close(struct client *c);

/* A request of @len bytes, with @fd unless it is -1. The answer is awaited by client_answer(), and meanwhile there is time for other things. */
int client_request(struct client *c, uint16_t cmd, const void *data, size_t len, int fd);
/* True: the answer has begun to arrive. */
bool client_answered(const struct client *c);
/*
 * The answer to the newest request: its payload, @size bytes at most, and its descriptor, the caller's, -1 if there is none (@ret_fd may be
 * NULL). Returns the payload's length, or the negative errno that the server answered.
 */
int client_answer(struct client *c, void *ret, size_t size, int *ret_fd);

/* @prot: VUSER_DMA_*; @fd stays the caller's */
int client_dma_map(struct client *c, uint64_t iova, uint64_t size, unsigned prot, int fd, uint64_t offset);
/* Only asks; the answer is 0 and the size in it, or an errno: client_dma_unmapped(). */
int client_dma_unmap(struct client *c, uint64_t iova, uint64_t size);
int client_dma_unmapped(struct client *c, uint64_t *ret_size);

int client_reset(struct client *c);
int client_config_write16(struct client *c, uint16_t at, uint16_t value);
int client_config_read16(struct client *c, uint16_t at, uint16_t *ret);
/* The same write, not through the server but through the device's descriptor, which it has given away: client_map_region() comes first. */
int client_config_write16_past(struct client *c, uint16_t at, uint16_t value);
/* Map region @index through the descriptor that comes with its description. */
int client_map_region(struct client *c, uint32_t index, volatile uint8_t **ret, size_t *ret_size);
/* Does the server still answer? */
bool client_alive(struct client *c);

#endif
