/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The QMP connection's states, and what callers use.
 *
 *	            attempt refused or no socket
 *	  TRYING ---------------------------------> DOWN
 *	  ^  |  \______ no access, no socket file _____________________
 *	  |  | connected          (also from DOWN and DENIED)          \
 *	  |  v                                                          v
 *	  | GREETING --> NEGOTIATING --> READY --- hangs, not QMP ---> DENIED
 *	  |___|_______________|____________|  the peer closed
 *
 * A lost connection says nothing about the VMM: only the next attempt tells whether somebody still listens (TRYING).
 */
#include "qmp_internal.h"

#include "fdutil.h"
#include "gangway_limits.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>

#define TO(state) (1u << (state))

static const unsigned transitions[QMP_NUM_STATES] = {
	[QMP_TRYING] = TO(QMP_DOWN) | TO(QMP_GREETING) | TO(QMP_DENIED) | TO(QMP_CLOSED),
	[QMP_DOWN] = TO(QMP_DOWN) | TO(QMP_GREETING) | TO(QMP_DENIED) | TO(QMP_CLOSED),
	[QMP_GREETING] = TO(QMP_TRYING) | TO(QMP_NEGOTIATING) | TO(QMP_DENIED) | TO(QMP_CLOSED),
	[QMP_NEGOTIATING] = TO(QMP_TRYING) | TO(QMP_READY) | TO(QMP_DENIED) | TO(QMP_CLOSED),
	[QMP_READY] = TO(QMP_TRYING) | TO(QMP_DENIED) | TO(QMP_CLOSED),
	[QMP_DENIED] = TO(QMP_DOWN) | TO(QMP_GREETING) | TO(QMP_DENIED) | TO(QMP_CLOSED),
	[QMP_CLOSED] = 0,
};

const char *qmp_state_to_string(enum qmp_state state)
{
	switch (state) {
	case QMP_TRYING:
		return "trying";
	case QMP_DOWN:
		return "down";
	case QMP_GREETING:
		return "greeting";
	case QMP_NEGOTIATING:
		return "negotiating";
	case QMP_READY:
		return "ready";
	case QMP_DENIED:
		return "denied";
	case QMP_CLOSED:
		return "closed";
	case QMP_NUM_STATES:
		break;
	}
	return "?";
}

bool qmp_may_change(enum qmp_state from, enum qmp_state to)
{
	return from < QMP_NUM_STATES && to < QMP_NUM_STATES && (transitions[from] & TO(to));
}

struct qmp *qmp_ref(struct qmp *qmp)
{
	qmp->refs++;
	return qmp;
}

void qmp_unref(struct qmp *qmp)
{
	if (--qmp->refs)
		return;
	sd_event_unref(qmp->event);
	free(qmp->name);
	free(qmp->path);
	free(qmp);
}

uint64_t qmp_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void qmp_set_state(struct qmp *qmp, enum qmp_state state, const struct err *why)
{
	enum qmp_state old = qmp->state;
	bool same;

	if (!qmp_may_change(old, state)) {
		log_debug("qmp %s: %s -> %s refused: no such transition", qmp->name, qmp_state_to_string(old),
			  qmp_state_to_string(state));
		return;
	}
	same = old == state && !strcmp(qmp->why.code, why->code);
	qmp->state = state;
	qmp->why = *why;
	qmp->ready_since = state == QMP_READY ? qmp_now_us() : 0;
	if (same) /* one more attempt with the same result is no news */
		return;
	log_debug("qmp %s: %s -> %s (%s)", qmp->name, qmp_state_to_string(old), qmp_state_to_string(state), why->msg);
	if (state != QMP_CLOSED && qmp->ops->on_state)
		qmp->ops->on_state(qmp->ctx, qmp, state, &qmp->why);
}

/* Public --------------------------------------------------------------------------------------------------------------- */

int qmp_path_check(const char *path, struct err *err)
{
	if (path[0] != '/' || !path[1])
		return err_set(err, -EINVAL, "qmp.path-not-absolute", "QMP socket %s: not an absolute path", path);
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return err_set(err, -EINVAL, "qmp.path-control", "QMP socket: control characters in the path");
	if (path[strlen(path) - 1] == '/')
		return err_set(err, -EINVAL, "qmp.path-directory", "QMP socket %s: names a directory", path);
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
		err_set(err, -ENAMETOOLONG, "qmp.path-too-long", "QMP socket %s: longer than %zu bytes", path,
			sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
		err_hint(err, "the kernel takes no longer path for a socket: use a shorter directory");
		return -ENAMETOOLONG;
	}
	if (qmp_is_other_file(path))
		return err_set(err, -ENOTSOCK, "qmp.not-a-socket", "QMP socket %s: there is something, but not a socket", path);
	return 0;
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct qmp *qmp = qmp_ref(ctx);
	struct err why;

	(void)s;
	(void)usec;
	if (qmp->pending) {
		err_set(&why, -ETIMEDOUT, "qmp.timeout", "guest %s: %s was not answered within %u ms", qmp->name,
			qmp->pending->command, qmp->pending->timeout_ms);
		err_hint(
			&why,
			"the VMM hangs, is stopped (SIGSTOP, a debugger), or sends the last of a migration to who takes nothing; "
			"the connection is made anew");
	} else {
		err_set(&why, -ETIMEDOUT, "qmp.no-greeting", "guest %s: %s: no QMP greeting within %d ms", qmp->name, qmp->path,
			LIMIT_QMP_TIMEOUT_MS);
		err_hint(&why, QMP_HINT_OTHER_CLIENT);
	}
	qmp_lost(qmp, QMP_DENIED, &why);
	qmp_unref(qmp);
	return 0;
}

static int timer_new(struct qmp *qmp, sd_event_source **ret, sd_event_time_handler_t handler)
{
	int r = sd_event_add_time_relative(qmp->event, ret, CLOCK_MONOTONIC, 0, 1000, handler, qmp);

	return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int qmp_new(sd_event *event, const char *name, const char *path, const struct qmp_ops *ops, void *ctx, struct qmp **ret)
{
	struct qmp *qmp;
	int r;

	r = qmp_path_check(path, NULL);
	if (r < 0 && r != -ENOTSOCK) /* that may mend itself */
		return r;
	qmp = calloc(1, sizeof(*qmp));
	if (!qmp)
		return -ENOMEM;
	qmp->refs = 1;
	qmp->event = sd_event_ref(event);
	qmp->ops = ops;
	qmp->ctx = ctx;
	qmp->fd = qmp->pidfd = -1;
	qmp->retry_ms = QMP_RETRY_MIN_MS;
	qmp->out_tail = &qmp->out;
	qmp->pending_tail = &qmp->pending;
	qmp->name = strdup(name);
	qmp->path = strdup(path);
	if (!qmp->name || !qmp->path || timer_new(qmp, &qmp->retry, qmp_on_retry) < 0 ||
	    timer_new(qmp, &qmp->deadline, on_deadline) < 0) {
		qmp_free(qmp);
		return -ENOMEM;
	}
	err_set(&qmp->why, -EINPROGRESS, "qmp.connecting", "guest %s: not connected to %s yet", name, path);
	qmp_retry_in(qmp, 0);
	*ret = qmp;
	return 0;
}

struct qmp *qmp_free(struct qmp *qmp)
{
	struct err why;

	if (!qmp || qmp->state == QMP_CLOSED)
		return NULL;
	err_set(&why, -ECANCELED, "qmp.cancelled", "guest %s: given up by us", qmp->name ? qmp->name : "?");
	qmp_io_stop(qmp);
	qmp->retry = sd_event_source_disable_unref(qmp->retry);
	qmp->deadline = sd_event_source_disable_unref(qmp->deadline);
	qmp->watch = sd_event_source_disable_unref(qmp->watch);
	qmp->peer = (struct qmp_peer){ 0 };
	fd_close(&qmp->pidfd);
	qmp_set_state(qmp, QMP_CLOSED, &why);
	qmp_fail_pending(qmp, -ECANCELED, &why);
	qmp_unref(qmp);
	return NULL;
}

enum qmp_state qmp_get_state(const struct qmp *qmp)
{
	return qmp->state;
}

const struct err *qmp_why(const struct qmp *qmp)
{
	return &qmp->why;
}

int qmp_get_pidfd(const struct qmp *qmp)
{
	return qmp->pidfd;
}

const struct qmp_peer *qmp_get_peer(const struct qmp *qmp)
{
	return &qmp->peer;
}

int qmp_send(struct qmp *qmp, const char *command, json_t *args, int fd, unsigned timeout_ms, qmp_reply_fn done, void *ctx,
	     struct err *err)
{
	if (qmp->state != QMP_READY) {
		json_decref(args);
		return err_set(err, -ENOTCONN, "qmp.not-connected", "guest %s: %s not sent: QMP is %s", qmp->name, command,
			       qmp_state_to_string(qmp->state));
	}
	return qmp_submit(qmp, command, args, fd, timeout_ms, done, ctx, err);
}
