/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtual function of an Intel 82576, driven by polling: one transmit and one receive queue with advanced descriptors. Registers and
 * bits are those of the 82576 datasheet (chapters 7 and 8); only the first queue pair is used and no interrupt.
 */
#ifndef DMAGUEST_NIC_H
#define DMAGUEST_NIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NIC_RING 64 /* descriptors of a ring */
#define NIC_RINGS_SIZE 8192 /* bytes of memory for both rings: a page each */
#define NIC_RX_SIZE 2048 /* bytes of a receive buffer */

struct nic_desc {
	uint64_t addr, info; /* as it is given to the device; it writes both when it is done */
};

struct nic {
	volatile uint8_t *bar;
	volatile struct nic_desc *tx, *rx;
	uint64_t rings_iova;
	unsigned tx_tail, rx_tail;
	uint8_t mac[6];
};

/* Milliseconds of a clock that only goes forward. */
int64_t now_ms(void);

/*
 * Reset the function, shake hands with the PF, which tells the MAC, and set both queues up in the NIC_RINGS_SIZE bytes at @rings, which the
 * device sees at @iova. 0 or a negative errno.
 */
int nic_init(struct nic *nic, volatile uint8_t *bar, void *rings, uint64_t iova);
/* An empty receive ring, whatever was in it. */
void nic_rx_restart(struct nic *nic);

/* Have @len bytes at @iova sent. True: the device says that it is done, within @ms. */
bool nic_send(struct nic *nic, uint64_t iova, uint16_t len, int ms);
/* Give the device a receive buffer at @iova. Returns its descriptor's index. At most NIC_RING - 1 at a time. */
unsigned nic_rx_post(struct nic *nic, uint64_t iova);
bool nic_rx_done(const struct nic *nic, unsigned index);
bool nic_rx_wait(const struct nic *nic, unsigned index, int ms);

#endif
