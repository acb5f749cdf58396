/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vuser: a vfio-user server (protocol 0.1) for one device and one client at a time. Source: QEMU's
 * docs/interop/vfio-user.rst; wire structs in vuser_proto.h.
 *
 * It owns framing, validation and replies; what a message means for a real device is behind struct vuser_ops. All of a message is
 * validated against one table before its handler runs. Single-threaded, never blocks: the owner polls vuser_fd().
 *
 * What the client is promised: a message that can be told from the next one gets an answer (or, with NO_REPLY, none) and the
 * connection goes on. It ends where framing is lost (a size below the header or above LIMIT_VUSER_MSG, more descriptors than
 * LIMIT_VUSER_FDS), the version cannot be spoken, half a message stays away for VUSER_STALL_MS, no VERSION comes within
 * VUSER_NEGOTIATE_MS, or more than VUSER_OUT_MAX of answers are not read.
 */
#ifndef GANGWAY_VUSER_H
#define GANGWAY_VUSER_H

#include <linux/vfio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct vuser;

#define VUSER_MAX_XFER (32 << 10) /* bytes of one region access; offered as max_data_xfer_size */
#define VUSER_OUT_MAX (256 << 10) /* bytes of answers queued to a client that does not read, bookkeeping included */
#define VUSER_OUT_FDS 64 /* descriptors among them, at most */
#define VUSER_STALL_MS 10000
#define VUSER_NEGOTIATE_MS 10000
#define VUSER_MAX_REGIONS 32 /* of a device; further ones are not shown to the client */
#define VUSER_MAX_IRQS 16

struct vuser_dma_map {
	uint64_t iova, size; /* bytes; validated: size > 0, no wrap */
	uint64_t offset; /* in the fd */
	bool readable, writable; /* by the device */
};

/*
 * From dma_map and reset: the answer follows, with vuser_later_done(). Until then it and the answers behind it wait, in order; DMA_MAP and
 * DMA_UNMAP are dealt with meanwhile (a VMM sends them without waiting, and waits for all), any other message is not, nor what is behind it.
 */
#define VUSER_LATER 1

/*
 * Every op: 0 (or what is said) or a negative errno, which becomes the reply's error. All but now_ms are mandatory. What
 * device_info, region_info (size, flags) and irq_info say is asked once per client and remembered to validate against.
 * No op may call vuser_accept(), vuser_process() or vuser_free() of the same server.
 */
struct vuser_ops {
	/* @fd: -1 for memory without one; belongs to the callee, also on failure */
	int (*dma_map)(void *ctx, const struct vuser_dma_map *map, int fd);
	/* exact mapping; *ret_size: bytes unmapped */
	int (*dma_unmap)(void *ctx, uint64_t iova, uint64_t size, uint64_t *ret_size);
	int (*dma_unmap_all)(void *ctx, uint64_t *ret_size);
	int (*device_info)(void *ctx, struct vfio_device_info *ret);
	/* The kernel's answer with its capability chain (argsz: all of it), malloc'ed, the server frees it. *ret_fd: to mmap the region
	 * through, -1 none, stays the callee's; the answer's offset is the region's place in it, as it is with a VFIO device fd. */
	int (*region_info)(void *ctx, unsigned index, struct vfio_region_info **ret, int *ret_fd);
	int (*irq_info)(void *ctx, unsigned index, struct vfio_irq_info *ret);
	/* Validated: flags one DATA and one ACTION, range inside the irq's count (count 0: DATA_NONE and TRIGGER, disable the whole
	 * index). @data: for DATA_BOOL one byte a vector, else NULL. @fds (DATA_EVENTFD): one a vector, or nr_fds == 0: disarm the
	 * range. Descriptors belong to the callee, also on failure. They look like eventfds; only the kernel knows for certain
	 * (EINVAL of VFIO_DEVICE_SET_IRQS). */
	int (*set_irqs)(void *ctx, const struct vfio_irq_set *set, const uint8_t *data, int *fds, size_t nr_fds);
	ssize_t (*region_read)(void *ctx, unsigned index, uint64_t offset, void *buf, size_t len);
	ssize_t (*region_write)(void *ctx, unsigned index, uint64_t offset, const void *buf, size_t len);
	int (*reset)(void *ctx);
	/* The client is there (negotiated) or gone. Gone: ops must leave no mapping and no armed vector behind. */
	void (*on_client)(void *ctx, bool connected);
	int64_t (*now_ms)(void *ctx); /* monotonic; NULL: clock_gettime(2) */
};

/*
 *   IDLE --accept--> NEGOTIATE --VERSION--> RUNNING
 *                     |   ^ accept            |
 *                     v   |                   |
 *                     CLOSED <----------------+   the client is gone; another may come
 */
enum vuser_state { VUSER_IDLE, VUSER_NEGOTIATE, VUSER_RUNNING, VUSER_CLOSED };
#define VUSER_NUM_STATES 4
const char *vuser_state_to_string(enum vuser_state state); /* "idle", "negotiate", "running", "closed" */
bool vuser_state_may_follow(enum vuser_state from, enum vuser_state to);

struct vuser_stats {
	uint64_t nr_messages; /* received and well-formed */
	uint64_t nr_rejected; /* answered with an error, or (NO_REPLY, unsolicited replies) dropped */
	uint64_t nr_dma_map, nr_dma_unmap, nr_set_irqs, nr_region_access;
	uint64_t nr_clients; /* that negotiated */
};

/* @ops stays the caller's and must outlive the server. @name ("vf 0000:3b:02.1") begins its messages. */
int vuser_new(const struct vuser_ops *ops, void *ctx, const char *name, struct vuser **ret);
struct vuser *vuser_free(struct vuser *vuser); /* drops the client first; NULL is fine */

/* Serve the client on @conn (a connected, non-blocking stream socket), taken over. -EBUSY while another is served: @conn is closed. */
int vuser_accept(struct vuser *vuser, int conn);
int vuser_fd(const struct vuser *vuser); /* -1: no client */
short vuser_events(const struct vuser *vuser); /* what to poll(2) for */
/* Work off what has arrived (bounded per call) and what is to be sent. 0, or -ECONNRESET once the client is gone. */
int vuser_process(struct vuser *vuser, short revents);
/* Answer all that was put off, with 0 or a negative errno. Nothing to do where nothing was, or its client has gone. */
void vuser_later_done(struct vuser *vuser, int num);
/* Milliseconds until vuser_process(vuser, 0) must be called even if nothing arrives (half a header and then silence), -1: never. */
int vuser_timeout_ms(const struct vuser *vuser);

enum vuser_state vuser_get_state(const struct vuser *vuser);
const struct vuser_stats *vuser_get_stats(const struct vuser *vuser);
/* Why the last client was dropped or its last message refused; "" none. For status. */
const char *vuser_last_error(const struct vuser *vuser);

#endif
