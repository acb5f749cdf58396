/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A gangway-device process as gangwayd sees it. It ends for us when its pidfd says so, child or not; the control connection ending alone
 * means that it misbehaves, and it is killed. The caller may free the devproc in any callback.
 */
#include "devproc.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device/device_proto.h"
#include "devproc_internal.h"
#include "fdutil.h"
#include "log.h"

#define STOP_US (5 * 1000 * 1000) /* from asking to killing: it resets the VF and unpins the guest's memory meanwhile */
#define KILL_US                                                                                                                  \
	(5 * 1000 * 1000) /* from killing to giving up: the kernel may hold it in a reset or an unpin, for ever if the VF hangs */
#define BURST 16 /* messages worked off before the loop goes on */
#define RATE_US (1000 * 1000) /* in so much time the loop hears a process at most RATE times: an honest one tells 10 times */
#define RATE 50

struct devproc *devproc_free(struct devproc *p)
{
	if (!p)
		return NULL;
	devproc_asks_lost(p);
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

int devproc_alloc(sd_event *event, const struct devproc_config *config, const struct devproc_ops *ops, void *ctx,
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

static int on_kill_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct devproc *p = userdata;

	(void)usec;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	p->pid_source = sd_event_source_disable_unref(p->pid_source);
	p->gone = true; /* for us; its sockets stay, for whoever looks for it */
	log_err("lease %s: its device process %d does not die", p->id, (int)p->status.pid);
	p->ops->on_gone(p->ctx, DEVPROC_NOT_DEAD); /* may free @p */
	return 0;
}

static void kill_it(struct devproc *p, const char *why)
{
	if (!p->why)
		p->why = why;
	sd_event_source_disable_unref(p->ctl_source);
	p->ctl_source = NULL;
	fd_close(&p->ctl_fd);
	devproc_asks_lost(p);
	/* on_pid() follows; a process that is gone already has made the pidfd readable */
	pidfd_send_signal(p->pid_fd, SIGKILL, NULL, 0);
	sd_event_source_disable_unref(p->stop_source);
	p->stop_source = NULL;
	if (sd_event_add_time_relative(p->event, &p->stop_source, CLOCK_MONOTONIC, KILL_US, 0, on_kill_timer, p) < 0)
		log_warn("lease %s: no timer for its end, ignoring", p->id);
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
	devproc_asks_lost(p);
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

void devproc_set_status(struct devproc *p, const struct devproc_msg *msg)
{
	pid_t pid = p->status.pid; /* known from the kernel, not from the process */

	p->status = msg->status;
	p->status.pid = pid;
}

static int on_ctl(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct devproc *p = userdata;
	struct devproc_msg msg;
	bool fresh = false, knew_shared;
	int r = 1;

	(void)source;
	(void)fd;
	(void)revents;
	for (int i = 0; i < BURST && r > 0; i++) {
		r = take_message(p, &msg);
		if (r > 0 && msg.has_status) {
			devproc_set_status(p, &msg);
			fresh = true;
		}
		knew_shared = !p->no_shared;
		if (r > 0 && devproc_answered(p, &msg) < 0) {
			log_warn("lease %s: the device process answered another question", p->id);
			r = -EPROTO;
		}
		fresh |= knew_shared && p->no_shared; /* it is news, too, that it does not do what it was told */
	}
	if (r < 0)
		kill_it(p, r == -ECONNRESET ? NULL : "the device process broke the control protocol");
	if (fresh)
		p->ops->on_status(p->ctx, &p->status); /* may free @p */
	return 0;
}

int devproc_connect(struct devproc *p, struct err *err)
{
	p->ctl_fd = fd_connect_unix(p->paths.ctl, SOCK_SEQPACKET);
	if (p->ctl_fd >= 0)
		return 0;
	return err_set(err, p->ctl_fd, "devproc.connect", "%s: %s", p->paths.ctl, strerror(-p->ctl_fd));
}

int devproc_send(struct devproc *p, const char *text)
{
	ssize_t n = p->ctl_fd < 0 ? -ENOTCONN : fd_send(p->ctl_fd, text, strlen(text), NULL, 0);

	return n < 0 ? (int)n : 0;
}

int devproc_watch(struct devproc *p, struct err *err)
{
	int r;

	r = sd_event_add_io(p->event, &p->ctl_source, p->ctl_fd, EPOLLIN, on_ctl, p);
	if (r >= 0)
		r = sd_event_source_set_ratelimit(p->ctl_source, RATE_US, RATE);
	if (r >= 0)
		r = sd_event_add_io(p->event, &p->pid_source, p->pid_fd, EPOLLIN, on_pid, p);
	/* messages first: what a process said before it ended is news, too */
	if (r >= 0)
		r = sd_event_source_set_priority(p->pid_source, SD_EVENT_PRIORITY_NORMAL + 1);
	return r < 0 ? err_set(err, r, "devproc.event", "event loop: %s", strerror(-r)) : 0;
}

static int on_unseen_end(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	(void)revents;
	(void)userdata;
	waitid(P_PIDFD, (id_t)fd, &(siginfo_t){ 0 }, WEXITED | WNOHANG);
	sd_event_source_set_floating(source, false);
	sd_event_source_disable_unref(source);
	return 0;
}

/*
 * Kill a process that nobody has heard of yet. It has VFIO's descriptors, so the kernel may take its time with it: the loop hears when it is
 * to be reaped. Without memory for that it stays a zombie for as long as gangwayd runs.
 */
static void end_unseen(struct devproc *p)
{
	sd_event_source *source;

	pidfd_send_signal(p->pid_fd, SIGKILL, NULL, 0);
	p->pid_source = sd_event_source_disable_unref(p->pid_source);
	if (sd_event_add_io(p->event, &source, p->pid_fd, EPOLLIN, on_unseen_end, NULL) < 0) {
		log_warn("lease %s: its device process cannot be reaped, ignoring", p->id);
		return;
	}
	if (sd_event_source_set_io_fd_own(source, true) >= 0)
		p->pid_fd = -1;
	sd_event_source_set_floating(source, true);
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
	r = devproc_connect(p, err);
	if (r == 0)
		r = devproc_watch(p, err);
	if (r == 0)
		r = devproc_send(p, "{\"op\":\"status\"}");
	/* its sockets went with it, before we came to connect */
	if (r == -ECONNREFUSED || r == -EPIPE || r == -ECONNRESET)
		r = err_set(err, -EIO, "devproc.start-failed", "lease %s: its device process ended at once (see its log)", p->id);
	else if (r < 0)
		err_set(err, r, "devproc.connect", "%s: %s", p->paths.ctl, strerror(-r));
	if (r < 0) {
		end_unseen(p);
		unlink(p->paths.ctl);
		unlink(p->paths.vuser);
		devproc_free(p);
		return r;
	}
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

int devproc_quarantine(struct devproc *p, bool on)
{
	return devproc_send(p, on ? "{\"op\":\"quarantine\",\"on\":true}" : "{\"op\":\"quarantine\",\"on\":false}");
}

int devproc_hold_shared(struct devproc *p, bool on)
{
	int r = p->no_shared ? -EOPNOTSUPP
			     : devproc_send(p, on ? "{\"op\":\"shared\",\"on\":true}" : "{\"op\":\"shared\",\"on\":false}");

	if (r == 0 && !p->nr_shared++)
		p->shared_after = p->last_tag;
	return r;
}

bool devproc_is_quarantined(const struct devproc_status *s)
{
	return strstr(s->held, "quarantine") != NULL; /* no word has another in it */
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
	if (devproc_send(p, "{\"op\":\"stop\"}") < 0 ||
	    sd_event_add_time_relative(p->event, &p->stop_source, CLOCK_MONOTONIC, STOP_US, 0, on_stop_timer, p) < 0)
		kill_it(p, NULL);
}
