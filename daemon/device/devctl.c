/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devctl.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devctl_dma.h"
#include "device_proto.h"
#include "fdutil.h"
#include "log.h"
#include "vfdev.h"

void devctl_init(struct devctl *ctl, int listen_fd, const char *id, const char *bdf, const int vfio_fds[3])
{
	*ctl = (struct devctl){ .id = id, .bdf = bdf, .listen_fd = listen_fd };
	memcpy(ctl->vfio_fds, vfio_fds, sizeof(ctl->vfio_fds));
	for (size_t i = 0; i < DEVCTL_CLIENTS; i++)
		ctl->clients[i] = -1;
}

void devctl_done(struct devctl *ctl)
{
	for (size_t i = 0; i < DEVCTL_CLIENTS; i++)
		fd_close(&ctl->clients[i]);
}

/* Text that a guest had a hand in, as JSON takes it. */
static json_t *plain_text(const char *text)
{
	char buf[256];
	size_t n = 0;

	for (; text && text[n] && n < sizeof(buf) - 1; n++)
		buf[n] = (unsigned char)text[n] < 0x20 || (unsigned char)text[n] > 0x7e ? '?' : text[n];
	buf[n] = '\0';
	return json_string(buf);
}

static json_t *held_json(unsigned held)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < VFDEV_NUM_HOLDS; i++)
		if (held & (1u << i))
			json_array_append_new(list, json_string(vfdev_hold_to_string((enum vfdev_hold)(1u << i))));
	return list;
}

/* "8:1f": device and inode number, in hexadecimal. */
static json_t *files_json(const struct devctl_status *s)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < s->nr_files; i++)
		json_array_append_new(list, json_sprintf("%llx:%llx", (unsigned long long)s->files[i].dev,
							 (unsigned long long)s->files[i].ino));
	return list;
}

static json_t *status_json(const struct devctl_status *s)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:b, s:b, s:o, s:o, s:o}", "vuser_state",
			 s->vuser_state, "nr_messages", (json_int_t)s->nr_messages, "nr_rejected", (json_int_t)s->nr_rejected,
			 "nr_clients", (json_int_t)s->nr_clients, "dma_ranges", (json_int_t)s->dma_ranges, "dma_bytes",
			 (json_int_t)s->dma_bytes, "dma_pending", (json_int_t)s->dma_pending, "dma_pinned_total",
			 (json_int_t)s->dma_pinned_total, "dma_rate", (json_int_t)s->dma_rate, "vectors_armed",
			 (int)s->vectors_armed, "bus_master", s->bus_master, "degraded", s->degraded, "held", held_json(s->held),
			 "files", files_json(s), "last_error", plain_text(s->last_error));
}

static char *dump(json_t *root)
{
	char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;

	json_decref(root);
	return text;
}

static char *status_text(const struct devctl_status *status)
{
	return dump(json_pack("{s:s, s:o}", "op", "status", "status", status_json(status)));
}

static char *error_text(const char *message)
{
	return dump(json_pack("{s:s, s:s}", "op", "error", "message", message));
}

/* {"op":"quarantine","on":true}, and "shared" alike. */
static char *hold(struct devctl *ctl, const json_t *root, const char *op, enum vfdev_hold why)
{
	const json_t *on = json_object_get(root, "on");

	if (!json_is_boolean(on))
		return error_text("\"on\", true or false, is missing");
	ctl->hold &= ~(unsigned)why;
	ctl->release &= ~(unsigned)why;
	*(json_is_true(on) ? &ctl->hold : &ctl->release) |= why;
	return dump(json_pack("{s:s}", "op", op));
}

char *devctl_answer(struct devctl *ctl, const char *text, size_t len, const struct devctl_status *status, bool *ret_send_fds)
{
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *op = json_string_value(json_object_get(root, "op"));
	char *answer;

	*ret_send_fds = false;
	if (!op) {
		answer = error_text("not a JSON object with an \"op\"");
	} else if (!strcmp(op, "hello")) {
		*ret_send_fds = true;
		answer = dump(json_pack("{s:s, s:i, s:i, s:s, s:s, s:o}", "op", "hello", "version", DEVICE_PROTO_VERSION, "pid",
					(int)getpid(), "id", ctl->id, "bdf", ctl->bdf, "status", status_json(status)));
	} else if (!strcmp(op, "status")) {
		answer = status_text(status);
	} else if (!strcmp(op, "dma")) {
		answer = devctl_dma_answer(ctl->iommu, root);
		if (!answer)
			answer = error_text("no DMA address space from there");
	} else if (!strcmp(op, "stop")) {
		ctl->stop = true;
		answer = dump(json_pack("{s:s}", "op", "stop"));
	} else if (!strcmp(op, "quarantine")) {
		answer = hold(ctl, root, op, VFDEV_HOLD_QUARANTINE);
	} else if (!strcmp(op, "shared")) {
		answer = hold(ctl, root, op, VFDEV_HOLD_SHARED);
	} else {
		answer = error_text("unknown op");
	}
	json_decref(root);
	return answer;
}

/* A client that cannot be answered is of no use to anybody. */
static void handle_request(struct devctl *ctl, int *client, const struct devctl_status *status)
{
	char buf[DEVICE_PROTO_MAX + 1];
	size_t nr_fds = 0;
	bool send_fds;
	char *answer;
	ssize_t n;

	n = fd_recv(*client, buf, sizeof(buf), NULL, 0, &nr_fds);
	if (n == -EAGAIN)
		return;
	if (n <= 0 || n > DEVICE_PROTO_MAX) {
		fd_close(client);
		return;
	}
	answer = devctl_answer(ctl, buf, (size_t)n, status, &send_fds);
	if (!answer || fd_send(*client, answer, strlen(answer), ctl->vfio_fds, send_fds ? DEVICE_PROTO_FDS : 0) < 0)
		fd_close(client);
	free(answer);
}

static int accept_client(struct devctl *ctl)
{
	int fd = accept4(ctl->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED ? 0 : -errno;
	for (size_t i = 0; i < DEVCTL_CLIENTS; i++) {
		if (ctl->clients[i] < 0) {
			ctl->clients[i] = fd;
			return 0;
		}
	}
	fd_close(&fd);
	return 0;
}

void devctl_poll(const struct devctl *ctl, struct pollfd *fds)
{
	fds[0] = (struct pollfd){ .fd = ctl->listen_fd, .events = POLLIN };
	for (size_t i = 0; i < DEVCTL_CLIENTS; i++)
		fds[1 + i] = (struct pollfd){ .fd = ctl->clients[i], .events = POLLIN };
}

int devctl_process(struct devctl *ctl, const struct pollfd *fds, const struct devctl_status *status)
{
	for (size_t i = 0; i < DEVCTL_CLIENTS; i++)
		if (ctl->clients[i] >= 0 && fds[1 + i].fd == ctl->clients[i] && fds[1 + i].revents)
			handle_request(ctl, &ctl->clients[i], status);
	return fds[0].revents ? accept_client(ctl) : 0;
}

/* What a change of is told unasked; counters alone are not. */
static void digest(const struct devctl_status *s, char *buf, size_t size)
{
	uint64_t files = s->nr_files;

	for (unsigned i = 0; i < s->nr_files; i++)
		files = (files ^ s->files[i].ino ^ s->files[i].dev << 32) * UINT64_C(0x100000001b3);
	snprintf(buf, size, "%s %llu %llu %llu %llu %u %d %d %u %s %llx", s->vuser_state, (unsigned long long)s->nr_clients,
		 (unsigned long long)s->dma_ranges, (unsigned long long)s->dma_bytes, (unsigned long long)s->dma_pending,
		 s->vectors_armed, s->bus_master, s->degraded, s->held, s->last_error, (unsigned long long)files);
}

int devctl_tell(struct devctl *ctl, const struct devctl_status *status, uint64_t now_ms)
{
	char now[sizeof(ctl->last)];
	char *text;

	digest(status, now, sizeof(now));
	if (!strcmp(now, ctl->last))
		return -1;
	if (ctl->told_ms && now_ms - ctl->told_ms < DEVCTL_STATUS_MS)
		return (int)(DEVCTL_STATUS_MS - (now_ms - ctl->told_ms));
	strcpy(ctl->last, now);
	ctl->told_ms = now_ms;
	text = status_text(status);
	for (size_t i = 0; text && i < DEVCTL_CLIENTS; i++) {
		ssize_t n = ctl->clients[i] < 0 ? 0 : fd_send(ctl->clients[i], text, strlen(text), NULL, 0);

		/* a full queue loses this message; the client reads its way to a later one, or asks */
		if (n < 0 && n != -EAGAIN)
			fd_close(&ctl->clients[i]);
	}
	free(text);
	return -1;
}
