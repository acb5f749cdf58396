/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes in and out of a QMP connection: lines put together from what arrives, commands written as the peer takes them. */
#include "qmp_internal.h"

#include "fdutil.h"
#include "gangway_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_CHUNK (16 << 10) /* per wakeup: a peer that talks without end gets no more of the loop than the others */
#define KEEP_BUFFER (64 << 10) /* a buffer larger than this is given back once empty */

static void out_free(struct qmp_out *out)
{
	fd_close(&out->fd);
	free(out->text);
	free(out);
}

static void out_pop(struct qmp *qmp)
{
	struct qmp_out *out = qmp->out;

	qmp->out = out->next;
	if (!qmp->out)
		qmp->out_tail = &qmp->out;
	qmp->out_bytes -= out->len;
	out_free(out);
}

/* Write what the peer takes. 0: all of it, or it takes no more now. Bounded by QMP_WRITE_MAX. */
static int flush(struct qmp *qmp)
{
	ssize_t n = 0;

	while (qmp->out && n >= 0) {
		struct qmp_out *out = qmp->out;

		n = fd_send(qmp->fd, out->text + out->done, out->len - out->done, &out->fd, out->fd >= 0);
		if (n > 0) {
			fd_close(&out->fd); /* went with the first byte */
			out->done += (size_t)n;
		}
		if (out->done == out->len)
			out_pop(qmp);
	}
	sd_event_source_set_io_events(qmp->io, qmp->out ? EPOLLIN | EPOLLOUT : EPOLLIN);
	return n == -EAGAIN || n >= 0 ? 0 : (int)n;
}

int qmp_queue(struct qmp *qmp, char *text, size_t len, int fd)
{
	struct qmp_out *out;

	if (qmp->out_bytes + len > QMP_WRITE_MAX)
		return -ENOBUFS;
	out = calloc(1, sizeof(*out));
	if (!out)
		return -ENOMEM;
	*out = (struct qmp_out){ .text = text, .len = len, .fd = fd };
	*qmp->out_tail = out;
	qmp->out_tail = &out->next;
	qmp->out_bytes += len;
	if (qmp->out == out)
		flush(qmp); /* an error shows again when the loop comes to the socket: nobody is called back from here */
	return 0;
}

/* Room for @len more bytes. What is there is at most an incomplete line, so the size stays near LIMIT_QMP_LINE. */
static int in_reserve(struct qmp *qmp, size_t len)
{
	size_t need = qmp->in_len + len, size = qmp->in_size ? qmp->in_size : 4096;
	char *p;

	if (need <= qmp->in_size)
		return 0;
	while (size < need)
		size *= 2;
	p = realloc(qmp->in, size);
	if (!p)
		return -ENOMEM;
	qmp->in = p;
	qmp->in_size = size;
	return 0;
}

static void line_too_long(struct qmp *qmp)
{
	struct err why;

	err_set(&why, -EMSGSIZE, "qmp.line-too-long", "guest %s: %s sent a line of more than %d bytes", qmp->name, qmp->path,
		LIMIT_QMP_LINE);
	qmp_lost(qmp, QMP_DENIED, &why);
}

void qmp_feed(struct qmp *qmp, const char *bytes, size_t len)
{
	size_t start = 0;
	char *nl;

	if (in_reserve(qmp, len) < 0) {
		struct err why;

		err_set(&why, -ENOMEM, "qmp.no-memory", "guest %s: no memory for an answer", qmp->name);
		qmp_lost(qmp, QMP_DENIED, &why);
		return;
	}
	memcpy(qmp->in + qmp->in_len, bytes, len);
	qmp->in_len += len;
	while ((nl = memchr(qmp->in + qmp->in_scanned, '\n', qmp->in_len - qmp->in_scanned))) {
		size_t end = (size_t)(nl - qmp->in);

		if (end - start > LIMIT_QMP_LINE) {
			line_too_long(qmp);
			return;
		}
		qmp->in_scanned = end + 1;
		qmp_line(qmp, qmp->in + start, end - start);
		if (qmp->fd < 0) /* the line, or whoever was told of it, ended the connection; the buffer is gone */
			return;
		start = end + 1;
	}
	memmove(qmp->in, qmp->in + start, qmp->in_len - start);
	qmp->in_len -= start;
	qmp->in_scanned = qmp->in_len;
	if (qmp->in_len > LIMIT_QMP_LINE) {
		line_too_long(qmp);
	} else if (!qmp->in_len && qmp->in_size > KEEP_BUFFER) {
		free(qmp->in);
		qmp->in = NULL;
		qmp->in_size = 0;
	}
}

static void peer_closed(struct qmp *qmp, int num)
{
	struct err why;

	err_set(&why, -ECONNRESET, "qmp.closed", "guest %s: the VMM closed the QMP connection%s%s", qmp->name, num ? ": " : "",
		num ? strerror(-num) : "");
	qmp_lost(qmp, QMP_TRYING, &why);
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	struct qmp *qmp = qmp_ref(ctx);
	char buf[READ_CHUNK];
	ssize_t n;
	int r = 0;

	(void)s;
	if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		/* no room for control data: descriptors that a peer sends are never installed here */
		do {
			n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		} while (n < 0 && errno == EINTR);
		if (n > 0)
			qmp_feed(qmp, buf, (size_t)n);
		else if (n == 0 || errno != EAGAIN)
			peer_closed(qmp, n < 0 ? -errno : 0);
	}
	if (qmp->fd >= 0 && (revents & EPOLLOUT))
		r = flush(qmp);
	if (r < 0)
		peer_closed(qmp, r);
	qmp_unref(qmp);
	return 0;
}

int qmp_io_start(struct qmp *qmp)
{
	return sd_event_add_io(qmp->event, &qmp->io, qmp->fd, EPOLLIN, on_io, qmp);
}

void qmp_io_stop(struct qmp *qmp)
{
	qmp->io = sd_event_source_disable_unref(qmp->io);
	fd_close(&qmp->fd);
	while (qmp->out)
		out_pop(qmp);
	free(qmp->in);
	qmp->in = NULL;
	qmp->in_len = qmp->in_size = qmp->in_scanned = 0;
}
