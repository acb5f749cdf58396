/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a QMP connection is made, lost and made again. While the socket is absent its directory is watched; while somebody
 * refuses, a timer tries again, 100 ms to 5 s apart.
 */
#include "qmp_internal.h"

#include "fdutil.h"
#include "peer.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

void qmp_retry_in(struct qmp *qmp, unsigned ms)
{
	if (sd_event_source_set_time_relative(qmp->retry, (uint64_t)ms * 1000) >= 0)
		sd_event_source_set_enabled(qmp->retry, SD_EVENT_ONESHOT);
}

/* After a pause, and the next one is twice as long. */
static void retry_later(struct qmp *qmp)
{
	qmp_retry_in(qmp, qmp->retry_ms);
	qmp->retry_ms = qmp->retry_ms * 2 < QMP_RETRY_MAX_MS ? qmp->retry_ms * 2 : QMP_RETRY_MAX_MS;
}

static int on_watch(sd_event_source *s, const struct inotify_event *ev, void *ctx)
{
	struct qmp *qmp = ctx;
	const char *base = strrchr(qmp->path, '/') + 1;

	(void)s;
	if (ev->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED | IN_Q_OVERFLOW)) {
		/* the directory is another one now, or events were lost: look for oneself */
		qmp->watch = sd_event_source_disable_unref(qmp->watch);
		retry_later(qmp);
	} else if (ev->len && !strcmp(ev->name, base)) {
		qmp->retry_ms = QMP_RETRY_MIN_MS;
		qmp_retry_in(qmp, 0);
	}
	return 0;
}

/* Before the attempt, not after: a socket that appears in between must not be missed. */
static void watch_start(struct qmp *qmp)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	size_t len = (size_t)(strrchr(qmp->path, '/') - qmp->path);

	if (qmp->watch)
		return;
	memcpy(dir, qmp->path, len);
	memcpy(dir + len, len ? "" : "/", len ? 1 : 2);
	/* a failure leaves it NULL: then the timer does it */
	sd_event_add_inotify(qmp->event, &qmp->watch, dir, IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
			     on_watch, qmp);
}

bool qmp_is_other_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISSOCK(st.st_mode);
}

/* What a failed connect(2) says about the VMM; the state that belongs to it. */
static enum qmp_state explain(const struct qmp *qmp, int num, struct err *why)
{
	switch (num) {
	case -ENOENT:
	case -ENOTDIR:
		err_set(why, -ENOENT, "qmp.no-socket", "guest %s: no QMP socket at %s", qmp->name, qmp->path);
		err_hint(why, "start the guest, with -qmp unix:%s,server=on,wait=off", qmp->path);
		return QMP_DOWN;
	case -ECONNREFUSED:
		if (qmp_is_other_file(qmp->path))
			break;
		err_set(why, num, "qmp.refused", "guest %s: nobody listens on %s", qmp->name, qmp->path);
		err_hint(why, "the guest does not run; the socket is left from an earlier run");
		return QMP_DOWN;
	case -EACCES:
	case -EPERM:
		err_set(why, num, "qmp.access", "guest %s: no permission to connect to %s", qmp->name, qmp->path);
		err_hint(why, "gangwayd needs write permission on the socket and search permission on its directories");
		return QMP_DENIED;
	case -EAGAIN:
		err_set(why, -EBUSY, "qmp.busy", "guest %s: the queue of %s is full", qmp->name, qmp->path);
		err_hint(why, QMP_HINT_OTHER_CLIENT);
		return QMP_DENIED;
	case -EPROTOTYPE:
		err_set(why, num, "qmp.not-qmp", "guest %s: %s is no stream socket", qmp->name, qmp->path);
		return QMP_DENIED;
	default: /* ours to blame: no descriptors, no memory */
		err_set(why, num, "qmp.connect", "guest %s: cannot connect to %s: %s", qmp->name, qmp->path, strerror(-num));
		return QMP_DENIED;
	}
	err_set(why, -ENOTSOCK, "qmp.not-a-socket", "guest %s: %s is not a socket", qmp->name, qmp->path);
	return QMP_DENIED;
}

int qmp_on_retry(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct qmp *qmp = qmp_ref(ctx);
	enum qmp_state state;
	struct err why;
	int fd;

	(void)s;
	(void)usec;
	watch_start(qmp);
	fd = fd_connect_unix(qmp->path, SOCK_STREAM);
	if (fd >= 0) {
		qmp_attach(qmp, fd);
		goto out;
	}
	state = explain(qmp, fd, &why);
	if (why.num != -ENOENT || !qmp->watch)
		retry_later(qmp);
	qmp_set_state(qmp, state, &why);
out:
	qmp_unref(qmp);
	return 0;
}

int qmp_attach(struct qmp *qmp, int fd)
{
	uint64_t connected_us = peer_now_us();
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	struct err why;
	int r;

	qmp->fd = fd;
	r = qmp_io_start(qmp);
	if (r < 0) {
		fd_close(&qmp->fd);
		retry_later(qmp);
		err_set(&why, r, "qmp.connect", "guest %s: cannot follow %s: %s", qmp->name, qmp->path, strerror(-r));
		qmp_set_state(qmp, QMP_DENIED, &why);
		return r;
	}
	qmp->watch = sd_event_source_disable_unref(qmp->watch);
	sd_event_source_set_enabled(qmp->retry, SD_EVENT_OFF);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0) {
		qmp->peer = (struct qmp_peer){ .pid = cred.pid, .uid = cred.uid, .gid = cred.gid };
		qmp->pidfd = peer_pidfd(fd, cred.pid, connected_us);
	}
	err_set(&why, -EINPROGRESS, "qmp.connecting", "guest %s: connected to %s, waiting for its greeting", qmp->name,
		qmp->path);
	qmp_set_state(qmp, QMP_GREETING, &why);
	if (qmp->fd >= 0)
		qmp_arm_deadline(qmp);
	return 0;
}

void qmp_lost(struct qmp *qmp, enum qmp_state state, const struct err *why)
{
	bool lived = qmp->ready_since && qmp_now_us() - qmp->ready_since >= QMP_RETRY_MAX_MS * 1000ull;
	struct err copy = *why; /* may be qmp->why itself */

	qmp_io_stop(qmp);
	sd_event_source_set_enabled(qmp->deadline, SD_EVENT_OFF);
	qmp->peer = (struct qmp_peer){ 0 };
	fd_close(&qmp->pidfd);
	if (lived)
		qmp->retry_ms = QMP_RETRY_MIN_MS;
	if (lived && state == QMP_TRYING)
		qmp_retry_in(qmp, 0); /* did it go away or only hang up: that decides, so ask at once */
	else
		retry_later(qmp);
	qmp_set_state(qmp, state, &copy);
	qmp_fail_pending(qmp, -ECONNRESET, &copy);
}
