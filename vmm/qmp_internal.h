/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the QMP client share. qmp.c: states, public calls. qmp_connect.c: connecting, and again.
 * qmp_io.c: bytes in and out. qmp_line.c: one line, decoded and acted upon, and the commands that wait for theirs.
 *
 * Lifetime: callbacks may call qmp_free(). It sets QMP_CLOSED at once and the memory goes with the last reference; whoever
 * calls up holds one (qmp_ref) and looks at the state before it goes on.
 */
#ifndef GANGWAY_QMP_INTERNAL_H
#define GANGWAY_QMP_INTERNAL_H

#include "err.h"
#include "qmp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct qmp_out { /* one command on its way out */
	struct qmp_out *next;
	char *text;
	size_t len, done;
	int fd; /* owned, -1 none: goes with the first byte */
};

struct qmp_pending { /* one command that waits for its answer */
	struct qmp_pending *next;
	uint64_t id;
	unsigned timeout_ms;
	qmp_reply_fn done;
	void *ctx;
	char command[48];
};

struct qmp {
	unsigned refs;
	sd_event *event;
	const struct qmp_ops *ops;
	void *ctx;
	char *name, *path;

	enum qmp_state state; /* written by qmp_set_state() alone */
	struct err why;
	struct qmp_peer peer;
	int pidfd; /* of the peer's process; -1: not connected, or it has ended */

	int fd;
	sd_event_source *io, *retry, *deadline, *watch;
	unsigned retry_ms; /* the next pause between two attempts */
	uint64_t ready_since; /* CLOCK_MONOTONIC, us; 0: not ready */

	char *in; /* bytes of a line that is not complete */
	size_t in_len, in_size, in_scanned; /* in_scanned: no newline before this */

	struct qmp_out *out, **out_tail;
	size_t out_bytes;

	struct qmp_pending *pending, **pending_tail; /* in the order sent: the first one's clock runs */
	unsigned nr_pending;
	uint64_t last_id;
	uint64_t nr_unsolicited; /* answers nobody waits for, ignored */
};

/* qmp.c */
struct qmp *qmp_ref(struct qmp *qmp);
void qmp_unref(struct qmp *qmp);
void qmp_set_state(struct qmp *qmp, enum qmp_state state, const struct err *why); /* may call up: hold a reference */
bool qmp_may_change(enum qmp_state from, enum qmp_state to); /* the transition matrix */
uint64_t qmp_now_us(void); /* CLOCK_MONOTONIC */

/* qmp_connect.c */
#define QMP_HINT_OTHER_CLIENT                                                                                                    \
	"a QMP socket serves one client at a time: give gangway one of its own (another -qmp option, or libvirt's <qemu:arg>)"
bool qmp_is_other_file(const char *path); /* there is something, and it is no socket */
int qmp_on_retry(sd_event_source *s, uint64_t usec, void *ctx); /* one attempt */
void qmp_retry_in(struct qmp *qmp, unsigned ms);
int qmp_attach(struct qmp *qmp, int fd); /* a connected socket; takes @fd whatever the result */
void qmp_lost(struct qmp *qmp, enum qmp_state state,
	      const struct err *why); /* close, fail what is pending, enter @state, retry */

/* qmp_io.c */
int qmp_io_start(struct qmp *qmp);
void qmp_io_stop(struct qmp *qmp);
void qmp_feed(struct qmp *qmp, const char *bytes, size_t len); /* what has been read: may end the connection */
int qmp_queue(struct qmp *qmp, char *text, size_t len, int fd); /* 0: @text and @fd are taken. -ENOBUFS, -ENOMEM: not */

/* qmp_line.c */
void qmp_line(struct qmp *qmp, const char *line, size_t len); /* one line without its newline */
int qmp_submit(struct qmp *qmp, const char *command, json_t *args, int fd, unsigned timeout_ms, qmp_reply_fn done, void *ctx,
	       struct err *err); /* qmp_send() in any connected state */
void qmp_arm_deadline(struct qmp *qmp); /* for the first pending command, or for the greeting */
void qmp_fail_pending(struct qmp *qmp, int num, const struct err *why);

#endif
