/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A gangway-device process as gangwayd sees it. It ends for us when its pidfd says so, child or not; the control connection ending alone
 * means that it misbehaves, and it is killed. The caller may free the devproc in any callback.
 */
#include "devproc.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "device/device_proto.h"
#include "devproc_internal.h"
#include "fdutil.h"
#include "log.h"

#define STOP_US (1000 * 1000) /* from asking to killing */
#define ADOPT_MS 2000
#define BURST 16 /* messages worked off before the loop goes on */

struct devproc {
	sd_event *event;
	sd_event_source *ctl_source, *pid_source, *stop_source;
	const struct devproc_ops *ops;
	void *ctx;
	char *id, *bdf;
	struct devproc_paths paths;
	struct devproc_status status;
	int ctl_fd, pid_fd;
	bool stopping;
	bool gone; /* on_gone has been called */
	const char *why; /* said to on_gone when the process has been killed for it */
};

struct devproc *devproc_free(struct devproc *p)
{
	if (!p)
		return NULL;
	sd_event_source_disable_unref(p->ctl_source);
	sd_event_source_disable_unref(p->pid_source);
	sd_event_source_disable_unref(p->stop_source);
	sd_event_unref(p->event);
	fd_close(&p->ctl_fd);
	fd_close(&p->pid_fd);
	free(p->id);
	free(p->bdf);
	free(p);
	return NULL;
}

static int devproc_alloc(sd_event *event, const struct devproc_config *config, const struct devproc_ops *ops, void *ctx,
			 struct devproc **ret, struct err *err)
{
	struct devproc *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(err, -ENOMEM, "devproc.no-memory", "out of memory");
	p->ctl_fd = p->pid_fd = -1;
	p->event = sd_event_ref(event);
	p->ops = ops;
	p->ctx = ctx;
	p->id = strdup(config->id);
	p->bdf = strdup(config->bdf);
	r = p->id && p->bdf ? devproc_paths_init(config, &p->paths, err)
			    : err_set(err, -ENOMEM, "devproc.no-memory", "out of memory");
	if (r < 0) {
		devproc_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

static void kill_it(struct devproc *p, const char *why)
{
	if (!p->why)
		p->why = why;
	sd_event_source_disable_unref(p->ctl_source);
	p->ctl_source = NULL;
	fd_close(&p->ctl_fd);
	/* on_pid() follows; a process that is gone already has made the pidfd readable */
	pidfd_send_signal(p->pid_fd, SIGKILL, NULL, 0);
}

/* Reap it where it is our child; of one started by an earlier gangwayd, init is the parent (-ECHILD). */
static const char *reap(struct devproc *p)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)p->pid_fd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
		return "the device process has ended";
	if (info.si_code == CLD_EXITED)
		return info.si_status == 0 ? "the device process has ended" : "the device process has failed (see its log)";
	return info.si_status == SIGSYS ? "the device process was stopped by its sandbox"
					: "the device process was killed by a signal";
}

static int on_pid(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct devproc *p = userdata;
	const char *why = reap(p);

	(void)fd;
	(void)revents;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	sd_event_source_disable_unref(p->ctl_source);
	sd_event_source_disable_unref(p->stop_source);
	p->ctl_source = p->stop_source = NULL;
	fd_close(&p->ctl_fd);
	unlink(p->paths.ctl);
	unlink(p->paths.vuser);
	if (p->stopping)
		why = "stopped";
	else if (p->why)
		why = p->why;
	p->gone = true;
	p->ops->on_gone(p->ctx, why); /* may free @p */
	return 0;
}

/* One message of the process. 1: handled, 0: none there, negative: it is no longer to be listened to. */
static int take_message(struct devproc *p, struct devproc_msg *ret)
{
	char buf[DEVICE_PROTO_MAX + 1];
	size_t nr_fds = 0;
	struct err err;
	ssize_t n;
	int r;

	n = fd_recv(p->ctl_fd, buf, sizeof(buf), NULL, 0, &nr_fds);
	if (n == -EAGAIN)
		return 0;
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return (int)n;
	r = devproc_decode(buf, (size_t)n, p->id, p->bdf, ret, &err);
	if (r < 0) {
		log_warn("lease %s: %s", p->id, err.msg);
		return r;
	}
	return 1;
}

static void set_status(struct devproc *p, const struct devproc_msg *msg)
{
	pid_t pid = p->status.pid; /* known from the kernel, not from the process */

	p->status = msg->status;
	p->status.pid = pid;
}

static int on_ctl(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct devproc *p = userdata;
	struct devproc_msg msg;
	bool fresh = false;
	int r = 1;

	(void)source;
	(void)fd;
	(void)revents;
	for (int i = 0; i < BURST && r > 0; i++) {
		r = take_message(p, &msg);
		if (r > 0 && msg.has_status) {
			set_status(p, &msg);
			fresh = true;
		}
	}
	if (r < 0)
		kill_it(p, r == -ECONNRESET ? NULL : "the device process broke the control protocol");
	if (fresh)
		p->ops->on_status(p->ctx, &p->status); /* may free @p */
	return 0;
}

/* Connect, without waiting: the listening socket is there before the process is. */
static int connect_ctl(struct devproc *p, struct err *err)
{
	p->ctl_fd = fd_connect_unix(p->paths.ctl, SOCK_SEQPACKET);
	if (p->ctl_fd >= 0)
		return 0;
	return err_set(err, p->ctl_fd, "devproc.connect", "%s: %s", p->paths.ctl, strerror(-p->ctl_fd));
}

static int send_op(struct devproc *p, const char *text)
{
	ssize_t n = p->ctl_fd < 0 ? -ENOTCONN : fd_send(p->ctl_fd, text, strlen(text), NULL, 0);

	return n < 0 ? (int)n : 0;
}

static int watch(struct devproc *p, struct err *err)
{
	int r;

	r = sd_event_add_io(p->event, &p->ctl_source, p->ctl_fd, EPOLLIN, on_ctl, p);
	if (r >= 0)
		r = sd_event_add_io(p->event, &p->pid_source, p->pid_fd, EPOLLIN, on_pid, p);
	/* messages first: what a process said before it ended is news, too */
	if (r >= 0)
		r = sd_event_source_set_priority(p->pid_source, SD_EVENT_PRIORITY_NORMAL + 1);
	return r < 0 ? err_set(err, r, "devproc.event", "event loop: %s", strerror(-r)) : 0;
}

int devproc_start(sd_event *event, const struct devproc_config *config, const struct vdev *vdev, const struct devproc_ops *ops,
		  void *ctx, struct devproc **ret, struct err *err)
{
	struct vdev_fds vfio = vdev_get_fds(vdev);
	struct devproc *p;
	int r;

	r = devproc_alloc(event, config, ops, ctx, &p, err);
	if (r < 0)
		return r;
	strcpy(p->status.vuser_state, "starting");
	r = devproc_spawn(config, &p->paths, &vfio, &p->status.pid, &p->pid_fd, err);
	if (r < 0) {
		devproc_free(p);
		return r;
	}
	r = connect_ctl(p, err);
	if (r == 0)
		r = watch(p, err);
	if (r == 0) {
		r = send_op(p, "{\"op\":\"status\"}");
		if (r < 0)
			err_set(err, r, "devproc.connect", "%s: %s", p->paths.ctl, strerror(-r));
	}
	if (r < 0) {
		pidfd_send_signal(p->pid_fd, SIGKILL, NULL, 0);
		waitid(P_PIDFD, (id_t)p->pid_fd, &(siginfo_t){ 0 }, WEXITED);
		unlink(p->paths.ctl);
		unlink(p->paths.vuser);
		devproc_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The answer to hello, with its three descriptors, past whatever status came before it. Bounded: start-up waits for this. */
static int await_hello(struct devproc *p, int fds[DEVICE_PROTO_FDS], struct err *err)
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
			set_status(p, &msg);
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
	if (p->pid_fd < 0)
		return err_set(err, -errno, "devproc.connect", "lease %s: pidfd_open: %s", p->id, strerror(errno));
	p->status.pid = cred.pid;
	return 0;
}

static int adopt(struct devproc *p, int fds[DEVICE_PROTO_FDS], struct err *err)
{
	int r;

	r = connect_ctl(p, err);
	if (r == -ENOENT || r == -ECONNREFUSED) {
		unlink(p->paths.ctl);
		unlink(p->paths.vuser);
		return err_set(err, -ENOENT, "devproc.gone", "lease %s: its device process is gone", p->id);
	}
	if (r == 0)
		r = find_process(p, err);
	if (r == 0) {
		r = send_op(p, "{\"op\":\"hello\"}");
		if (r < 0)
			err_set(err, r, "devproc.connect", "lease %s: %s", p->id, strerror(-r));
	}
	if (r == 0)
		r = await_hello(p, fds, err);
	return r;
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
		r = watch(p, err);
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

const char *devproc_socket_path(const struct devproc *p)
{
	return p->paths.vuser;
}

const struct devproc_status *devproc_get_status(const struct devproc *p)
{
	return &p->status;
}

int devproc_poll(struct devproc *p)
{
	return send_op(p, "{\"op\":\"status\"}");
}

static int on_stop_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct devproc *p = userdata;

	(void)source;
	(void)usec;
	log_warn("lease %s: its device process does not end when asked; killing it", p->id);
	kill_it(p, NULL);
	return 0;
}

void devproc_stop(struct devproc *p)
{
	if (p->stopping || p->gone)
		return;
	p->stopping = true;
	if (send_op(p, "{\"op\":\"stop\"}") < 0 ||
	    sd_event_add_time_relative(p->event, &p->stop_source, CLOCK_MONOTONIC, STOP_US, 0, on_stop_timer, p) < 0)
		kill_it(p, NULL);
}
