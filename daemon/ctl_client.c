/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl_proto.h"
#include "fdutil.h"
#include "gangway_limits.h"

/* lines worked off per wake-up: one client must not hold up the loop */
#define LINES_PER_TURN 16

/* No more is read while there are whole lines to work off. */
static void update_events(struct ctl_client *c)
{
	bool lines_left = sd_event_source_get_enabled(c->more, NULL) > 0;

	sd_event_source_set_io_events(c->io, (lines_left || c->ended ? 0 : EPOLLIN) | (c->nr_out ? EPOLLOUT : 0));
}

void ctl_client_settle(struct ctl_client *c)
{
	bool lines_left = sd_event_source_get_enabled(c->more, NULL) > 0;

	/* a subscriber is one to whom there is always something left to be said */
	if (c->ended && !c->subscribed && !lines_left && c->nr_reqs == 0 && c->nr_out == 0)
		shutdown(c->fd, SHUT_RDWR);
}

/* Send what fits. False: the connection is dead. */
static bool flush(struct ctl_client *c)
{
	ssize_t n = 0;

	while (c->nr_out > 0) {
		n = send(c->fd, c->out, c->nr_out, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n <= 0)
			break;
		c->nr_out -= (size_t)n;
		memmove(c->out, c->out + n, c->nr_out);
	}
	if (c->nr_out == 0) {
		free(c->out);
		c->out = NULL;
		c->out_size = 0;
	}
	return n >= 0 || errno == EAGAIN || errno == EINTR;
}

static bool grow(struct ctl_client *c, size_t need)
{
	size_t size = c->out_size ? c->out_size : 4096;
	char *p;

	if (need > LIMIT_CTL_BACKLOG)
		return false;
	while (size < need)
		size *= 2;
	if (size == c->out_size)
		return true;
	p = realloc(c->out, size);
	if (!p)
		return false;
	c->out = p;
	c->out_size = size;
	return true;
}

void ctl_client_send_text(struct ctl_client *c, char *text, bool droppable)
{
	size_t n = text ? strlen(text) + 1 : 0;

	if (!text || !grow(c, c->nr_out + n)) {
		/* an answer that cannot be given: the client must not wait for it for ever */
		if (droppable)
			c->nr_lost++;
		else
			shutdown(c->fd, SHUT_RDWR);
		free(text);
		return;
	}
	text[n - 1] = '\n';
	memcpy(c->out + c->nr_out, text, n);
	c->nr_out += n;
	free(text);
	if (!flush(c))
		shutdown(c->fd, SHUT_RDWR); /* the loop sees the hang-up and frees the client, not we, deep in a callback */
	update_events(c);
}

void ctl_client_send(struct ctl_client *c, json_t *msg, bool droppable)
{
	char *text = msg ? json_dumps(msg, JSON_COMPACT) : NULL;

	json_decref(msg);
	ctl_client_send_text(c, text, droppable);
}

static int on_idle(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct ctl_client *c = ctx;

	(void)s;
	(void)usec;
	ctl_reject(c, "half a request, and then nothing more");
	shutdown(c->fd, SHUT_RDWR);
	return 0;
}

/* Half a request is waited for only so long, however many bytes of it come meanwhile. */
static void watch_half_request(struct ctl_client *c)
{
	sd_event *event = sd_event_source_get_event(c->io);
	uint64_t now;

	if (c->idle || c->nr_in == 0 || sd_event_now(event, CLOCK_MONOTONIC, &now) < 0)
		return;
	sd_event_add_time(event, &c->idle, CLOCK_MONOTONIC, now + LIMIT_CTL_IDLE_SEC * 1000000ULL, 1000000, on_idle, c);
}

/* A turn's worth of lines. What is left is for the next turn: others come in between. */
static void take_lines(struct ctl_client *c)
{
	size_t used = 0;
	char *nl = NULL;

	for (int n = 0; n <= LINES_PER_TURN && (nl = memchr(c->in + used, '\n', c->nr_in - used)) && n < LINES_PER_TURN; n++) {
		*nl = '\0';
		if (nl > c->in + used)
			ctl_dispatch(c, c->in + used, (size_t)(nl - c->in) - used);
		used = (size_t)(nl - c->in) + 1;
	}
	c->nr_in -= used;
	memmove(c->in, c->in + used, c->nr_in);
	if (used)
		c->idle = sd_event_source_disable_unref(c->idle);
	sd_event_source_set_enabled(c->more, nl ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
	if (!nl && c->nr_in == LIMIT_CTL_REQUEST) {
		ctl_reject(c, "a request is at most 65536 bytes");
		c->nr_in = 0;
		shutdown(c->fd, SHUT_RDWR);
	}
	if (!nl && c->ended && c->nr_in) {
		ctl_reject(c, "half a request, and then the end");
		c->nr_in = 0;
		c->idle = sd_event_source_disable_unref(c->idle);
	}
	if (!nl)
		watch_half_request(c);
	update_events(c);
	ctl_client_settle(c);
}

static int on_more(sd_event_source *s, void *ctx)
{
	(void)s;
	take_lines(ctx);
	return 0;
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	struct ctl_client *c = ctx;
	ssize_t n = 1;

	(void)s;
	if ((revents & EPOLLOUT) && !flush(c))
		n = 0;
	if (n > 0 && (revents & EPOLLIN) && !c->ended && c->nr_in < LIMIT_CTL_REQUEST) {
		n = recv(fd, c->in + c->nr_in, LIMIT_CTL_REQUEST - c->nr_in, MSG_DONTWAIT);
		if (n > 0)
			c->nr_in += (size_t)n;
		/* its half of the connection; that it hung up altogether is EPOLLHUP */
		c->ended = n == 0;
		if (n >= 0)
			take_lines(c);
		n = n == 0 ? 1 : n;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || (revents & (EPOLLERR | EPOLLHUP))) {
		ctl_client_free(c);
		return 0;
	}
	update_events(c);
	ctl_client_settle(c);
	return 0;
}

int ctl_client_new(struct ctl *ctl, sd_event *event, int fd, bool may_write, struct ctl_client **ret)
{
	struct ctl_client *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	if (c) {
		c->in = malloc(LIMIT_CTL_REQUEST);
		if (c->in)
			r = sd_event_add_defer(event, &c->more, on_more, c);
		if (r >= 0)
			r = sd_event_add_io(event, &c->io, fd, EPOLLIN, on_io, c);
	}
	if (r < 0) {
		if (c) {
			sd_event_source_disable_unref(c->more);
			free(c->in);
		}
		free(c);
		close(fd);
		return r;
	}
	sd_event_source_set_enabled(c->more, SD_EVENT_OFF);
	sd_event_source_set_priority(c->more, SD_EVENT_PRIORITY_IDLE); /* after whoever else has something to say */
	c->ctl = ctl;
	c->fd = fd;
	c->may_write = may_write;
	LIST_INIT(&c->reqs);
	*ret = c;
	return 0;
}

struct ctl_client *ctl_client_free(struct ctl_client *c)
{
	struct ctl_req *req;

	if (!c)
		return NULL;
	while ((req = LIST_FIRST(&c->reqs))) {
		LIST_REMOVE(req, link);
		req->client = NULL;
	}
	LIST_REMOVE(c, link);
	c->ctl->nr_clients--;
	sd_event_source_disable_unref(c->idle);
	sd_event_source_disable_unref(c->more);
	sd_event_source_disable_unref(c->io);
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
	return NULL;
}
