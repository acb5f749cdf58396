/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nic.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#define REG_CTRL 0x0000
#define CTRL_RST 0x04000000u
#define REG_MAILBOX 0x0c40
#define MAILBOX_REQ 0x01u /* the PF is told that there is a message */
#define MAILBOX_ACK 0x02u
#define MAILBOX_VFU 0x04u /* the buffer is the VF's */
#define MAILBOX_PFSTS 0x10u /* the PF has put a message there; cleared by reading */
#define REG_MAILBOX_MEM 0x0800
#define MSG_RESET 0x01u
#define MSG_ACK 0x80000000u
#define MSG_NACK 0x40000000u

#define REG_RDBAL 0x2800
#define REG_RDBAH 0x2804
#define REG_RDLEN 0x2808
#define REG_SRRCTL 0x280c
#define SRRCTL_ADV_ONEBUF 0x02000000u
#define SRRCTL_DROP_EN 0x80000000u /* no buffer: drop, do not hold the others up */
#define REG_RDH 0x2810
#define REG_RDT 0x2818
#define REG_RXDCTL 0x2828
#define REG_TDBAL 0x3800
#define REG_TDBAH 0x3804
#define REG_TDLEN 0x3808
#define REG_TDH 0x3810
#define REG_TDT 0x3818
#define REG_TXDCTL 0x3828
#define REG_TDWBAL 0x3838
#define REG_TDWBAH 0x383c
#define QUEUE_ENABLE 0x02000000u

#define TXD_DATA 0x00300000u
#define TXD_EOP 0x01000000u
#define TXD_IFCS 0x02000000u
#define TXD_RS 0x08000000u
#define TXD_ADV 0x20000000u
#define TXD_PAYLEN_SHIFT (32 + 14)
#define TXD_DONE (UINT64_C(1) << 32) /* of the second word, as written back */
#define RXD_DONE UINT64_C(1) /* likewise */

#define TX_PAGE 0
#define RX_PAGE 4096

int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static uint32_t rd(const struct nic *nic, uint32_t reg)
{
	return *(volatile uint32_t *)(nic->bar + reg);
}

static void wr(struct nic *nic, uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)(nic->bar + reg) = value;
}

/* Neither the mailbox nor a descriptor tells anybody when it changes (interrupts are off): look once a millisecond. */
static void pause_1ms(void)
{
	poll(NULL, 0, 1);
}

static bool mailbox_take(struct nic *nic, uint32_t *seen)
{
	wr(nic, REG_MAILBOX, MAILBOX_VFU);
	*seen |= rd(nic, REG_MAILBOX);
	return *seen & MAILBOX_VFU;
}

/* One try: the PF may be busy with another VF, or with itself. The flags of the mailbox clear when read, so they are gathered in @seen. */
static int mailbox_reset(struct nic *nic)
{
	uint32_t seen = 0, msg, mac[2];
	int64_t end = now_ms() + 500;

	if (!mailbox_take(nic, &seen))
		return -EBUSY;
	wr(nic, REG_MAILBOX_MEM, MSG_RESET);
	wr(nic, REG_MAILBOX, MAILBOX_REQ);
	for (seen = 0; !(seen & MAILBOX_PFSTS); pause_1ms()) {
		if (now_ms() > end)
			return -ETIMEDOUT;
		seen |= rd(nic, REG_MAILBOX);
	}
	seen = 0;
	if (!mailbox_take(nic, &seen))
		return -EBUSY;
	msg = rd(nic, REG_MAILBOX_MEM);
	mac[0] = rd(nic, REG_MAILBOX_MEM + 4);
	mac[1] = rd(nic, REG_MAILBOX_MEM + 8);
	wr(nic, REG_MAILBOX, MAILBOX_ACK);
	if ((msg & 0xffff) != MSG_RESET || !(msg & MSG_ACK) || (msg & MSG_NACK))
		return -EPROTO;
	memcpy(nic->mac, mac, sizeof(nic->mac));
	return 0;
}

static int handshake(struct nic *nic)
{
	int r = -ETIMEDOUT;

	wr(nic, REG_CTRL, rd(nic, REG_CTRL) | CTRL_RST);
	for (int64_t end = now_ms() + 10000; now_ms() < end; pause_1ms()) {
		r = mailbox_reset(nic);
		if (r == 0)
			return 0;
	}
	return r;
}

void nic_rx_restart(struct nic *nic)
{
	uint64_t iova = nic->rings_iova + RX_PAGE;

	wr(nic, REG_RXDCTL, 0);
	memset((void *)nic->rx, 0, NIC_RING * sizeof(*nic->rx));
	nic->rx_tail = 0;
	wr(nic, REG_RDBAL, (uint32_t)iova);
	wr(nic, REG_RDBAH, (uint32_t)(iova >> 32));
	wr(nic, REG_RDLEN, NIC_RING * sizeof(*nic->rx));
	wr(nic, REG_SRRCTL, SRRCTL_ADV_ONEBUF | SRRCTL_DROP_EN | NIC_RX_SIZE >> 10);
	wr(nic, REG_RDH, 0);
	wr(nic, REG_RDT, 0);
	wr(nic, REG_RXDCTL, QUEUE_ENABLE);
}

static void tx_start(struct nic *nic)
{
	uint64_t iova = nic->rings_iova + TX_PAGE;

	wr(nic, REG_TXDCTL, 0);
	memset((void *)nic->tx, 0, NIC_RING * sizeof(*nic->tx));
	nic->tx_tail = 0;
	wr(nic, REG_TDBAL, (uint32_t)iova);
	wr(nic, REG_TDBAH, (uint32_t)(iova >> 32));
	wr(nic, REG_TDLEN, NIC_RING * sizeof(*nic->tx));
	wr(nic, REG_TDWBAL, 0); /* done is told in the descriptor, not by the head */
	wr(nic, REG_TDWBAH, 0);
	wr(nic, REG_TDH, 0);
	wr(nic, REG_TDT, 0);
	wr(nic, REG_TXDCTL, QUEUE_ENABLE);
}

int nic_init(struct nic *nic, volatile uint8_t *bar, void *rings, uint64_t iova)
{
	int r;

	*nic = (struct nic){ .bar = bar, .rings_iova = iova };
	nic->tx = (void *)((uint8_t *)rings + TX_PAGE);
	nic->rx = (void *)((uint8_t *)rings + RX_PAGE);
	r = handshake(nic);
	if (r < 0)
		return r;
	tx_start(nic);
	nic_rx_restart(nic);
	return 0;
}

bool nic_send(struct nic *nic, uint64_t iova, uint16_t len, int ms)
{
	volatile struct nic_desc *d = &nic->tx[nic->tx_tail];
	int64_t end = now_ms() + ms;

	d->addr = iova;
	d->info = (uint64_t)len << TXD_PAYLEN_SHIFT | TXD_DATA | TXD_EOP | TXD_IFCS | TXD_RS | TXD_ADV | len;
	nic->tx_tail = (nic->tx_tail + 1) % NIC_RING;
	__sync_synchronize(); /* the descriptor is there before the device is told */
	wr(nic, REG_TDT, nic->tx_tail);
	while (!(d->info & TXD_DONE)) {
		if (now_ms() > end)
			return false;
		pause_1ms();
	}
	return true;
}

unsigned nic_rx_post(struct nic *nic, uint64_t iova)
{
	unsigned index = nic->rx_tail;

	nic->rx[index].addr = iova;
	nic->rx[index].info = 0;
	nic->rx_tail = (index + 1) % NIC_RING;
	__sync_synchronize();
	wr(nic, REG_RDT, nic->rx_tail);
	return index;
}

bool nic_rx_done(const struct nic *nic, unsigned index)
{
	bool done = nic->rx[index].info & RXD_DONE;

	__sync_synchronize(); /* what the device wrote before is read after */
	return done;
}

bool nic_rx_wait(const struct nic *nic, unsigned index, int ms)
{
	int64_t end = now_ms() + ms;

	while (!nic_rx_done(nic, index)) {
		if (now_ms() > end)
			return false;
		pause_1ms();
	}
	return true;
}
