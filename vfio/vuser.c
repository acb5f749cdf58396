/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server object, its one connection and the connection's state. Theory: vuser.h. */
#include "vuser.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fdutil.h"
#include "log.h"
#include "vuser_internal.h"

/* Messages worked off per vuser_process(): the owner's loop has other descriptors too. poll(2) is level-triggered, nothing is lost. */
#define BATCH 32
#define BATCH_MS 20 /* some take long: a reset 100 ms, mapping cold memory seconds. Then it is one at a time */

const char *vuser_state_to_string(enum vuser_state state)
{
	switch (state) {
	case VUSER_IDLE:
		return "idle";
	case VUSER_NEGOTIATE:
		return "negotiate";
	case VUSER_RUNNING:
		return "running";
	case VUSER_CLOSED:
		return "closed";
	}
	return "?";
}

static const bool may_follow[VUSER_NUM_STATES][VUSER_NUM_STATES] = {
	[VUSER_IDLE] = { [VUSER_NEGOTIATE] = true },
	[VUSER_NEGOTIATE] = { [VUSER_RUNNING] = true, [VUSER_CLOSED] = true },
	[VUSER_RUNNING] = { [VUSER_CLOSED] = true },
	[VUSER_CLOSED] = { [VUSER_NEGOTIATE] = true },
};

bool vuser_state_may_follow(enum vuser_state from, enum vuser_state to)
{
	return (unsigned)from < VUSER_NUM_STATES && (unsigned)to < VUSER_NUM_STATES && may_follow[from][to];
}

/* The only writer of v->state. Its callers are ours, no peer data reaches it: an illegal transition is a bug of this file. */
static void set_state(struct vuser *v, enum vuser_state to, const char *why)
{
	enum vuser_state from = v->state;

	if (!vuser_state_may_follow(from, to))
		abort();
	v->state = to;
	log_debug("%s: vfio-user client %s -> %s (%s)", v->name, vuser_state_to_string(from), vuser_state_to_string(to), why);
	/* last: the owner sees the new state. From RUNNING there is one way out, so "gone" is said once for each "there". */
	if (to == VUSER_RUNNING) {
		v->stats.nr_clients++;
		v->ops->on_client(v->ctx, true);
	} else if (from == VUSER_RUNNING) {
		v->ops->on_client(v->ctx, false);
	}
}

int64_t vuser_now_ms(const struct vuser *v)
{
	struct timespec ts;

	if (v->ops->now_ms)
		return v->ops->now_ms(v->ctx);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int vuser_refuse(struct vuser *v, int num, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v->why, sizeof(v->why), fmt, ap);
	va_end(ap);
	return num;
}

int vuser_new(const struct vuser_ops *ops, void *ctx, const char *name, struct vuser **ret)
{
	struct vuser *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->ops = ops;
	v->ctx = ctx;
	snprintf(v->name, sizeof(v->name), "%s", name);
	v->conn = -1;
	v->out_tail = &v->out;
	*ret = v;
	return 0;
}

struct vuser *vuser_free(struct vuser *v)
{
	if (!v)
		return NULL;
	if (v->conn >= 0)
		vuser_drop(v, "server stopped");
	free(v);
	return NULL;
}

void vuser_enter_running(struct vuser *v)
{
	set_state(v, VUSER_RUNNING, "version agreed");
}

void vuser_drop(struct vuser *v, const char *why)
{
	if (v->conn < 0)
		return;
	snprintf(v->last_error, sizeof(v->last_error), "%s: vfio-user client dropped: %s", v->name, why);
	vuser_tx_drop(v);
	vuser_rx_reset(v);
	v->nr_later = 0;
	fd_close(&v->conn);
	set_state(v, VUSER_CLOSED, why);
}

int vuser_accept(struct vuser *v, int conn)
{
	if (v->conn >= 0) {
		fd_close(&conn);
		return -EBUSY;
	}
	v->conn = conn;
	v->hang_up = false;
	v->last_error[0] = '\0';
	v->negotiate_deadline = vuser_now_ms(v) + VUSER_NEGOTIATE_MS;
	v->caps = (struct vuser_caps){ 0 };
	/* the device may be another one, or reset, by the time another client comes */
	v->device_known = false;
	memset(v->regions, 0, sizeof(v->regions));
	memset(v->irqs, 0, sizeof(v->irqs));
	set_state(v, VUSER_NEGOTIATE, "connected");
	return 0;
}

int vuser_fd(const struct vuser *v)
{
	return v->conn;
}

short vuser_events(const struct vuser *v)
{
	if (v->conn < 0)
		return 0;
	return (short)((vuser_rx_may_go_on(v) && !vuser_rx_is_whole(v) ? POLLIN : 0) | (v->out && !v->out->later ? POLLOUT : 0));
}

/* The message that is there is to be looked at when the answers that were put off are out. */
static bool must_wait(const struct vuser *v)
{
	const struct vuser_cmd *cmd = vuser_cmd_find(v->hdr.cmd);

	return v->nr_later && !(cmd && cmd->passes);
}

static void receive(struct vuser *v)
{
	int64_t until = vuser_now_ms(v) + BATCH_MS;

	for (int i = 0; i < BATCH && v->conn >= 0 && vuser_rx_may_go_on(v) && (i == 0 || vuser_now_ms(v) < until); i++) {
		int r = vuser_rx(v);

		if (r < 0)
			vuser_drop(v, v->why);
		if (r <= 0 || must_wait(v))
			return;
		vuser_dispatch(v);
	}
}

static int64_t deadline(const struct vuser *v)
{
	int64_t at = v->state == VUSER_NEGOTIATE ? v->negotiate_deadline : 0;

	if (v->msg_deadline && (!at || v->msg_deadline < at))
		at = v->msg_deadline;
	return at;
}

static void check_deadline(struct vuser *v)
{
	int64_t at = deadline(v);

	if (!at || vuser_now_ms(v) < at)
		return;
	vuser_drop(v, at == v->msg_deadline ? "half a message and then silence" : "no VERSION in time");
}

int vuser_process(struct vuser *v, short revents)
{
	if (v->conn < 0)
		return -ECONNRESET;
	if (v->out && vuser_tx_flush(v) < 0)
		vuser_drop(v, "connection lost while answering");
	/* its end would be seen after what it has sent, which is not read now */
	if (v->nr_later && (revents & (POLLHUP | POLLERR)))
		vuser_drop(v, "connection lost while it waited for an answer");
	/* POLLHUP and POLLERR: what the client sent before it went is still read, then its end is seen */
	if (revents & ~POLLOUT || vuser_rx_is_whole(v))
		receive(v);
	if (v->conn >= 0)
		check_deadline(v);
	return v->conn < 0 ? -ECONNRESET : 0;
}

int vuser_timeout_ms(const struct vuser *v)
{
	int64_t at, now;

	if (v->conn < 0)
		return -1;
	if (vuser_rx_is_whole(v) && !v->nr_later)
		return 0;
	at = deadline(v);
	if (!at)
		return -1;
	now = vuser_now_ms(v);
	return at <= now ? 0 : (int)(at - now);
}

enum vuser_state vuser_get_state(const struct vuser *v)
{
	return v->state;
}

const struct vuser_stats *vuser_get_stats(const struct vuser *v)
{
	return &v->stats;
}

const char *vuser_last_error(const struct vuser *v)
{
	return v->last_error;
}
