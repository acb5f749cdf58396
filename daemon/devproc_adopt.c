/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding the process that an earlier gangwayd started. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "device/device_proto.h"
#include "devproc_internal.h"
#include "fdutil.h"

#define ADOPT_MS 2000

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The answer to hello, with its three descriptors, past whatever status came before it. Bounded: start-up waits for this. */
static int await_hello(struct devproc *p, int fds[DEVICE_PROTO_FDS], int64_t *ret_pid, struct err *err)
{
	int64_t until = now_ms() + ADOPT_MS;
	struct devproc_msg msg;

	for (int64_t left = ADOPT_MS; left > 0; left = until - now_ms()) {
		struct pollfd pfd = { .fd = p->ctl_fd, .events = POLLIN };
		char buf[DEVICE_PROTO_MAX + 1];
		size_t nr_fds = 0;
		ssize_t n;
		int r;

		if (poll(&pfd, 1, (int)left) <= 0)
			continue;
		n = fd_recv(p->ctl_fd, buf, sizeof(buf), fds, DEVICE_PROTO_FDS, &nr_fds);
		if (n == -EAGAIN)
			continue;
		if (n <= 0)
			return err_set(err, n < 0 ? (int)n : -ECONNRESET, "devproc.connect",
				       "lease %s: its device process hung up", p->id);
		r = devproc_decode(buf, (size_t)n, p->id, p->bdf, &msg, err);
		if (r == 0 && msg.op == DEVPROC_OP_HELLO && nr_fds == DEVICE_PROTO_FDS) {
			devproc_set_status(p, &msg);
			*ret_pid = msg.claimed_pid;
			return 0;
		}
		if (r == 0 && (nr_fds || msg.op == DEVPROC_OP_HELLO))
			r = err_set(err, -EPROTO, "devproc.protocol", "lease %s: its device process sent %zu descriptors", p->id,
				    nr_fds);
		while (nr_fds)
			fd_close(&fds[--nr_fds]);
		if (r < 0)
			return r;
	}
	return err_set(err, -ETIMEDOUT, "devproc.silent", "lease %s: its device process does not answer", p->id);
}

/*
 * Who listens there? The credentials are those of the last listen(2), which the process makes itself. The pid cannot have been given
 * to another by the time we hold the pidfd, or hello would not be answered.
 */
static int find_process(struct devproc *p, struct err *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(p->ctl_fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_set(err, -errno, "devproc.connect", "lease %s: SO_PEERCRED: %s", p->id, strerror(errno));
	p->pid_fd = pidfd_open(cred.pid, 0);
	if (p->pid_fd < 0 && errno != ESRCH)
		return err_set(err, -errno, "devproc.connect", "lease %s: pidfd_open: %s", p->id, strerror(errno));
	p->status.pid = p->pid_fd < 0 ? 0 : cred.pid;
	return 0;
}

static int say_hello(struct devproc *p, int fds[DEVICE_PROTO_FDS], int64_t *ret_pid, struct err *err)
{
	int r;

	r = devproc_connect(p, err);
	if (r == -ENOENT || r == -ECONNREFUSED) {
		unlink(p->paths.ctl);
		unlink(p->paths.vuser);
		return err_set(err, -ENOENT, "devproc.gone", "lease %s: its device process is gone", p->id);
	}
	if (r == 0)
		r = find_process(p, err);
	if (r == 0) {
		r = devproc_send(p, "{\"op\":\"hello\"}");
		if (r < 0)
			err_set(err, r, "devproc.connect", "lease %s: %s", p->id, strerror(-r));
	}
	if (r == 0)
		r = await_hello(p, fds, ret_pid, err);
	return r;
}

/*
 * Twice at most: a process that has only just been started may not have come to its listen(2), and the credentials are then those of the
 * gangwayd that started it. Once it has answered, it has.
 */
static int adopt(struct devproc *p, int fds[DEVICE_PROTO_FDS], struct err *err)
{
	int64_t claimed = 0;
	int r = 0;

	for (int i = 0; i < 2; i++) {
		r = say_hello(p, fds, &claimed, err);
		if (r < 0 || claimed == p->status.pid)
			return r;
		for (int k = 0; k < DEVICE_PROTO_FDS; k++)
			fd_close(&fds[k]);
		fd_close(&p->ctl_fd);
		fd_close(&p->pid_fd);
	}
	return err_set(err, -EPROTO, "devproc.foreign",
		       "lease %s: process %d listens for its device process, which calls itself %lld", p->id, p->status.pid,
		       (long long)claimed);
}

int devproc_adopt(sd_event *event, const struct devproc_config *config, const struct devproc_ops *ops, void *ctx,
		  struct vdev_fds *ret_fds, struct devproc **ret, struct err *err)
{
	int fds[DEVICE_PROTO_FDS] = { -1, -1, -1 };
	struct devproc *p;
	int r;

	r = devproc_alloc(event, config, ops, ctx, &p, err);
	if (r < 0)
		return r;
	r = adopt(p, fds, err);
	if (r == 0)
		r = devproc_watch(p, err);
	if (r < 0) {
		for (int i = 0; i < DEVICE_PROTO_FDS; i++)
			fd_close(&fds[i]);
		devproc_free(p);
		return r;
	}
	*ret_fds = (struct vdev_fds){ .container = fds[0], .group = fds[1], .device = fds[2] };
	*ret = p;
	return 0;
}
