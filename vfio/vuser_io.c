/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Framing: bytes and descriptors in, whole messages out; answers out, queued if the client is slow.
 *
 * A header and then exactly the payload it announces is asked of the socket, never more: descriptors ride on bytes (unix(7)), so
 * those of the next message cannot be taken for this one's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fdutil.h"
#include "vuser_internal.h"

/* A queued descriptor costs more than its bytes say. */
#define FD_COST (VUSER_OUT_MAX / VUSER_OUT_FDS)

void vuser_rx_reset(struct vuser *v)
{
	while (v->nr_fds)
		fd_close(&v->fds[--v->nr_fds]);
	v->got = 0;
	v->msg_deadline = 0;
}

/* 1: some arrived, 0: nothing more for now */
static int rx_some(struct vuser *v, void *buf, size_t len)
{
	size_t nr = 0;
	ssize_t n;

	n = fd_recv(v->conn, buf, len, v->fds + v->nr_fds, LIMIT_VUSER_FDS - v->nr_fds, &nr);
	if (n == -EAGAIN)
		return 0;
	/* fd_recv() has closed them all, and the bytes they came with are gone: where the next message begins is unknown */
	if (n == -EMFILE)
		return vuser_refuse(v, -EPROTO, "more than %d descriptors in one message, or no room for them here",
				    LIMIT_VUSER_FDS);
	if (n < 0)
		return vuser_refuse(v, (int)n, "receive failed: errno %d", (int)-n);
	v->nr_fds += nr;
	if (n == 0)
		return vuser_refuse(v, -ECONNRESET,
				    v->got ? "closed by the client in the middle of a message" : "closed by the client");
	v->got += (size_t)n;
	return 1;
}

static int bad_size(struct vuser *v)
{
	char why[sizeof(v->why)];

	vuser_refuse(v, 0, "msg %#x: message size %u, must be %zu to %u", v->hdr.id, v->hdr.size, VUSER_HDR, LIMIT_VUSER_MSG);
	memcpy(why, v->why, sizeof(why));
	v->stats.nr_rejected++;
	vuser_answer_error(v, &v->hdr, -EINVAL); /* as a courtesy; whether it arrives does not matter any more */
	memcpy(v->why, why, sizeof(why));
	return -EPROTO;
}

int vuser_rx(struct vuser *v)
{
	int r;

	for (;;) {
		if (v->got < VUSER_HDR) {
			r = rx_some(v, (uint8_t *)&v->hdr + v->got, VUSER_HDR - v->got);
			if (r <= 0)
				break;
			if (v->got < VUSER_HDR)
				continue;
			if (v->hdr.size < VUSER_HDR || v->hdr.size > LIMIT_VUSER_MSG)
				return bad_size(v);
		}
		if (v->got == v->hdr.size) {
			v->msg_deadline = 0;
			return 1;
		}
		r = rx_some(v, v->rx + (v->got - VUSER_HDR), v->hdr.size - v->got);
		if (r <= 0)
			break;
	}
	/* measured from where the message began to be late, not from its last byte: a byte now and then does not buy time */
	if (r == 0 && v->got && !v->msg_deadline)
		v->msg_deadline = vuser_now_ms(v) + VUSER_STALL_MS;
	return r;
}

bool vuser_rx_is_whole(const struct vuser *v)
{
	return v->got >= VUSER_HDR && v->got == v->hdr.size;
}

/* Answers that are put off must not fill the queue, or the client would be taken for one that does not read: it waits as well. */
bool vuser_rx_may_go_on(const struct vuser *v)
{
	return !v->nr_later || v->out_cost < VUSER_OUT_MAX / 2;
}

static size_t out_cost(size_t len, int fd)
{
	return sizeof(struct vuser_out) + len + (fd >= 0 ? FD_COST : 0);
}

static void out_pop(struct vuser *v)
{
	struct vuser_out *o = v->out;

	v->out = o->next;
	if (!v->out)
		v->out_tail = &v->out;
	v->out_cost -= out_cost(o->len, o->fd);
	fd_close(&o->fd);
	free(o);
}

void vuser_tx_drop(struct vuser *v)
{
	while (v->out)
		out_pop(v);
}

int vuser_tx_flush(struct vuser *v)
{
	while (v->out && !v->out->later) {
		struct vuser_out *o = v->out;
		bool with_fd = o->fd >= 0 && o->done == 0;
		ssize_t n = o->len ? fd_send(v->conn, o->data + o->done, o->len - o->done, &o->fd, with_fd ? 1 : 0) : 0;

		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		o->done += (size_t)n;
		if (o->done == o->len)
			out_pop(v);
	}
	return 0;
}

static void out_push(struct vuser *v, struct vuser_out *o)
{
	v->out_cost += out_cost(o->len, o->fd);
	*v->out_tail = o;
	v->out_tail = &o->next;
}

int vuser_tx_later(struct vuser *v, const struct vuser_hdr *answer, bool silent)
{
	size_t len = silent ? 0 : sizeof(*answer);
	struct vuser_out *o;

	if (out_cost(len, -1) > VUSER_OUT_MAX - v->out_cost)
		return -ENOBUFS;
	o = malloc(sizeof(*o) + sizeof(*answer));
	if (!o)
		return -ENOMEM;
	*o = (struct vuser_out){ .len = len, .fd = -1, .later = true };
	memcpy(o->data, answer, sizeof(*answer));
	out_push(v, o);
	v->nr_later++;
	return 0;
}

/* Queue what is left of v->tx from @done on. @fd: still to be sent; duplicated, because the caller's is only lent. */
static int queue(struct vuser *v, size_t done, size_t len, int fd)
{
	struct vuser_out *o;

	if (out_cost(len - done, fd) > VUSER_OUT_MAX - v->out_cost)
		return -ENOBUFS;
	o = malloc(sizeof(*o) + len - done);
	if (!o)
		return -ENOMEM;
	*o = (struct vuser_out){ .len = len - done, .fd = -1 };
	memcpy(o->data, v->tx + done, len - done);
	if (fd >= 0) {
		o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (o->fd < 0) {
			int r = -errno;

			free(o);
			return r;
		}
	}
	out_push(v, o);
	return 0;
}

int vuser_tx(struct vuser *v, size_t len, int fd)
{
	ssize_t n = 0;

	if (!v->out) {
		n = fd_send(v->conn, v->tx, len, &fd, fd >= 0 ? 1 : 0);
		if (n == -EAGAIN)
			n = 0;
		if (n < 0)
			return (int)n;
		if ((size_t)n == len)
			return 0;
	}
	return queue(v, (size_t)n, len, n > 0 ? -1 : fd);
}
