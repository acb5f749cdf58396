/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qmp: one asynchronous QMP client. It connects to a VMM's QMP socket, negotiates, sends commands and matches answers by id,
 * hands events up, and connects again when the connection is lost. It never waits: everything happens in the loop.
 *
 * The peer is untrusted. What it can make us hold is bounded: a line (LIMIT_QMP_LINE), nesting and number of values in it,
 * commands that wait for their answer (LIMIT_QMP_PENDING), bytes that it does not read (QMP_WRITE_MAX).
 */
#ifndef GANGWAY_QMP_H
#define GANGWAY_QMP_H

#include <jansson.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct err;
struct qmp;

#define QMP_DEPTH_MAX 32 /* nesting of one line; query-pci behind a few bridges needs about 12 */
#define QMP_VALUES_MAX (1 << 17) /* values in one line: bounds what parsing allocates, about 130 bytes each */
#define QMP_WRITE_MAX (256 << 10) /* bytes queued to a peer that does not read */
#define QMP_RETRY_MIN_MS 100 /* first and longest pause between two attempts to connect */
#define QMP_RETRY_MAX_MS 5000

enum qmp_state {
	QMP_TRYING, /* not connected, nothing known: the next attempt, due at once or soon, will tell */
	QMP_DOWN, /* nobody listens: no socket, or nobody behind it */
	QMP_GREETING, /* connected, the greeting is awaited */
	QMP_NEGOTIATING, /* qmp_capabilities sent */
	QMP_READY, /* commands can be sent */
	QMP_DENIED, /* somebody is there, but no use to us: qmp_why(). Tried again all the same */
	QMP_CLOSED, /* qmp_free() was called */
	QMP_NUM_STATES,
};

const char *qmp_state_to_string(enum qmp_state state);

struct qmp_version {
	unsigned major, minor, micro;
};

struct qmp_peer {
	pid_t pid; /* of the process that called listen(2): a manager that passes the socket on shows up here itself */
	uid_t uid;
	gid_t gid;
	struct qmp_version version; /* zero before the greeting */
};

/* Called in the loop; either may be NULL. qmp_free() may be called from them. */
struct qmp_ops {
	void (*on_state)(void *ctx, struct qmp *qmp, enum qmp_state state, const struct err *why);
	void (*on_event)(void *ctx, struct qmp *qmp, const char *event, json_t *data); /* @data: an object, borrowed */
};

/*
 * The answer to a command. @r: 0 with what it returned in @ret (borrowed), or a negative errno with @err:
 * QEMU's own errors: -ENODEV qmp.device-not-found, -EOPNOTSUPP qmp.command-not-found, -EIO qmp.error, message = its words;
 * -ETIMEDOUT qmp.timeout: the peer hangs, the connection is closed; -ECONNRESET: the connection was lost before the answer;
 * -ECANCELED: qmp_free().
 */
typedef void (*qmp_reply_fn)(void *ctx, int r, json_t *ret, const struct err *err);

/* @path is usable as a QMP socket: absolute, fits sun_path, no control characters; a socket if it is there at all. */
int qmp_path_check(const char *path, struct err *err);

/* @name: for messages. 0, -ENOMEM, -EINVAL or -ENAMETOOLONG (@path). The first attempt is made from the loop. */
int qmp_new(sd_event *event, const char *name, const char *path, const struct qmp_ops *ops, void *ctx, struct qmp **ret);
/* Every pending callback is called with -ECANCELED, then none again. Returns NULL; NULL is fine. */
struct qmp *qmp_free(struct qmp *qmp);

enum qmp_state qmp_get_state(const struct qmp *qmp);
const struct err *qmp_why(const struct qmp *qmp); /* why not QMP_READY */
const struct qmp_peer *qmp_get_peer(const struct qmp *qmp); /* all zero while not connected */
int qmp_get_pidfd(const struct qmp *qmp); /* of the peer's process, qmp's own; -1 while not connected, or if it has ended */

/*
 * Send @command. @args: object or NULL; the reference is taken, whatever the result. @fd: sent along (SCM_RIGHTS, as getfd
 * wants it), -1 none; duplicated, the caller keeps its own. @timeout_ms: 0 is LIMIT_QMP_TIMEOUT_MS. A monitor answers in order,
 * so the clock of a command runs from when all earlier ones are answered.
 * 0: @done is called exactly once, later, from the loop. Negative, with @err, and it never is: -ENOTCONN not ready, -EBUSY too
 * many pending, -ENOBUFS the peer does not read, -ENOMEM, -EMFILE.
 */
int qmp_send(struct qmp *qmp, const char *command, json_t *args, int fd, unsigned timeout_ms, qmp_reply_fn done, void *ctx,
	     struct err *err);

#endif
