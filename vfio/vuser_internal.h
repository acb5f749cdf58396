/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the vfio-user server share; nobody else includes it. */
#ifndef GANGWAY_VUSER_INTERNAL_H
#define GANGWAY_VUSER_INTERNAL_H

#include "gangway_limits.h"
#include "vuser.h"
#include "vuser_proto.h"

#define VUSER_HDR sizeof(struct vuser_hdr)
#define VUSER_MAX_PAYLOAD (LIMIT_VUSER_MSG - VUSER_HDR)
#define VUSER_TX_MAX (VUSER_HDR + sizeof(struct vuser_region_access) + VUSER_MAX_XFER)

/* An answer that the socket did not take at once, or that is put off. Owns its descriptor. */
struct vuser_out {
	struct vuser_out *next;
	size_t len, done; /* 0 of len: keeps its place, nothing is sent */
	int fd; /* goes with the first byte; -1 none */
	bool later; /* data is a header whose error is not known yet: it waits, and what is behind it */
	uint8_t data[];
};

struct vuser_caps { /* of the client, as negotiated */
	uint32_t max_msg_fds;
	uint16_t minor;
	/* proposed by it, so that we may answer it (the answer must be a subset) */
	bool has_pgsizes, has_max_dma_maps, has_write_multiple;
};

/* What the device said about itself, asked when first needed. */
struct vuser_region {
	bool known;
	uint32_t flags;
	uint64_t size;
};

struct vuser_irq {
	bool known;
	uint32_t flags, count;
};

struct vuser_msg {
	struct vuser_hdr hdr;
	const struct vuser_cmd *cmd;
	const uint8_t *data;
	size_t len;
};

struct vuser_reply {
	uint8_t *data; /* room for VUSER_TX_MAX - VUSER_HDR */
	size_t len;
	int fd; /* borrowed until the reply is sent or queued; -1 none */
};

struct vuser {
	const struct vuser_ops *ops;
	void *ctx;
	char name[64];
	enum vuser_state state; /* written by set_state() of vuser.c alone */
	int conn;
	struct vuser_stats stats;
	char why[160]; /* reason of the refusal being made */
	char last_error[320];
	unsigned nr_later; /* answers put off, in out */
	bool hang_up; /* close once the answer to this message is out */

	struct vuser_hdr hdr;
	size_t got; /* bytes of the message, header included */
	int fds[LIMIT_VUSER_FDS]; /* of the message being received or handled; the first nr_fds are ours */
	size_t nr_fds;
	int64_t msg_deadline; /* 0: no half message */
	int64_t negotiate_deadline;

	struct vuser_out *out, **out_tail;
	size_t out_cost;

	struct vuser_caps caps;
	bool device_known;
	struct vfio_device_info device;
	struct vuser_region regions[VUSER_MAX_REGIONS];
	struct vuser_irq irqs[VUSER_MAX_IRQS];

	_Alignas(8) uint8_t rx[VUSER_MAX_PAYLOAD];
	_Alignas(8) uint8_t tx[VUSER_TX_MAX];
};

/* One row a command. Sizes are of the payload. */
struct vuser_cmd {
	uint16_t id;
	const char *name;
	uint32_t min_len, max_len;
	uint8_t max_fds;
	uint8_t states; /* mask of 1 << enum vuser_state */
	bool no_reply_ok; /* NO_REPLY makes sense: not where the answer is all there is to it */
	bool passes; /* dealt with while an answer is put off */
	/* all that the row does not say; no side effect; -errno by vuser_refuse(). NULL: nothing more to check */
	int (*check)(struct vuser *v, const struct vuser_msg *m);
	int (*handle)(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
};

/* vuser.c */
void vuser_drop(struct vuser *v, const char *why);
void vuser_enter_running(struct vuser *v);
int64_t vuser_now_ms(const struct vuser *v);
/* Note why, return @num. */
int vuser_refuse(struct vuser *v, int num, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* vuser_io.c */
int vuser_rx(struct vuser *v); /* 1: a message is whole; 0: not yet; negative: drop the client, why is noted */
void vuser_rx_reset(struct vuser *v);
/* Send or queue v->tx, @len bytes, with @fd. -ENOBUFS: the client does not read; other errors: it is gone. */
int vuser_tx(struct vuser *v, size_t len, int fd);
int vuser_tx_flush(struct vuser *v);
void vuser_tx_drop(struct vuser *v);
int vuser_tx_later(struct vuser *v, const struct vuser_hdr *answer, bool silent); /* keep the place of an answer to come */
bool vuser_rx_is_whole(const struct vuser *v); /* there is a message, which has to wait */
bool vuser_rx_may_go_on(const struct vuser *v); /* there is room for what may come of it */

/* vuser_table.c */
const struct vuser_cmd *vuser_cmd_find(uint16_t id);
void vuser_dispatch(struct vuser *v);
int vuser_answer_error(struct vuser *v, const struct vuser_hdr *to, int num);

/* vuser_device.c: what the device says, remembered; 0 or the device's error */
int vuser_device_get(struct vuser *v, const struct vfio_device_info **ret);
int vuser_region_get(struct vuser *v, uint32_t index, const struct vuser_region **ret);
int vuser_irq_get(struct vuser *v, uint32_t index, const struct vuser_irq **ret);
int vuser_region_ask(struct vuser *v, uint32_t index, struct vfio_region_info **ret, int *ret_fd);

/* vuser_version.c, vuser_check.c, vuser_handlers*.c: the rows' functions */
int vuser_check_version(struct vuser *v, const struct vuser_msg *m);
int vuser_check_dma_map(struct vuser *v, const struct vuser_msg *m);
int vuser_check_dma_unmap(struct vuser *v, const struct vuser_msg *m);
int vuser_check_device_info(struct vuser *v, const struct vuser_msg *m);
int vuser_check_region_info(struct vuser *v, const struct vuser_msg *m);
int vuser_check_region_io_fds(struct vuser *v, const struct vuser_msg *m);
int vuser_check_irq_info(struct vuser *v, const struct vuser_msg *m);
int vuser_check_set_irqs(struct vuser *v, const struct vuser_msg *m);
int vuser_check_region_read(struct vuser *v, const struct vuser_msg *m);
int vuser_check_region_write(struct vuser *v, const struct vuser_msg *m);
int vuser_check_write_multi(struct vuser *v, const struct vuser_msg *m);
int vuser_check_feature(struct vuser *v, const struct vuser_msg *m);

int vuser_handle_version(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
int vuser_handle_dma_map(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
int vuser_handle_dma_unmap(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
int vuser_handle_device_info(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
int vuser_handle_region_info(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
int vuser_handle_region_io_fds(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
int vuser_handle_irq_info(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
int vuser_handle_set_irqs(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
int vuser_handle_region_read(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
int vuser_handle_region_write(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
int vuser_handle_write_multi(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
int vuser_handle_reset(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
int vuser_handle_feature(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
int vuser_handle_unsupported(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);
int vuser_handle_wrong_way(struct vuser *v, struct vuser_msg *m, struct vuser_reply *r);

#endif
