/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of devproc share. */
#ifndef GANGWAY_DEVPROC_INTERNAL_H
#define GANGWAY_DEVPROC_INTERNAL_H

#include <jansson.h>
#include <sys/queue.h>

#include "devproc.h"
#include "devproc_dma.h"
#include "err.h"

#define DEVPROC_PATH_MAX 108 /* sockaddr_un */

struct devproc_paths {
	char ctl[DEVPROC_PATH_MAX], vuser[DEVPROC_PATH_MAX];
};

/* Checks the id, too: it becomes a file name. */
int devproc_paths_init(const struct devproc_config *config, struct devproc_paths *ret, struct err *err);

/* Fork and exec with both sockets listening. *ret_pid is our child, *ret_pidfd the caller's. */
int devproc_spawn(const struct devproc_config *config, const struct devproc_paths *paths, const struct vdev_fds *vfio,
		  pid_t *ret_pid, int *ret_pidfd, struct err *err);

enum devproc_op {
	DEVPROC_OP_HELLO,
	DEVPROC_OP_STATUS,
	DEVPROC_OP_STOP,
	DEVPROC_OP_QUARANTINE,
	DEVPROC_OP_SHARED,
	DEVPROC_OP_DMA,
	DEVPROC_OP_ERROR
};

struct devproc_msg {
	enum devproc_op op;
	int64_t claimed_pid; /* of hello; only ever compared with what the kernel says */
	bool has_status;
	struct devproc_status status; /* with @has_status; pid is not taken from here */
	int64_t tag; /* of DEVPROC_OP_DMA: which question it answers */
	struct devproc_dma dma;
};

/*
 * Decode a datagram from the process, which is untrusted: a wrong type, a number out of its range, a text too long or a foreign lease is
 * -EPROTO "devproc.protocol". Texts are made printable.
 */
int devproc_decode(const char *text, size_t len, const char *id, const char *bdf, struct devproc_msg *ret, struct err *err);

/* Of a "dma" message; @ret is zeroed. False: it is none. devproc_dma.c */
bool devproc_take_dma(const json_t *root, int64_t *ret_tag, struct devproc_dma *ret);

LIST_HEAD(devproc_ask_list, devproc_ask);

struct devproc {
	sd_event *event;
	sd_event_source *ctl_source, *pid_source, *stop_source;
	const struct devproc_ops *ops;
	void *ctx;
	char *id, *bdf;
	struct devproc_paths paths;
	struct devproc_status status;
	int ctl_fd, pid_fd;
	struct devproc_ask_list asks; /* questions not answered yet, the latest first */
	unsigned nr_asks;
	int64_t last_tag;
	unsigned nr_shared; /* "shared" said and not answered yet, the first of them after question @shared_after */
	int64_t shared_after;
	bool no_shared; /* it does not know the word */
	bool stopping;
	bool gone; /* on_gone has been called */
	const char *why; /* said to on_gone when the process has been killed for it */
};

int devproc_alloc(sd_event *event, const struct devproc_config *config, const struct devproc_ops *ops, void *ctx,
		  struct devproc **ret, struct err *err);
/* Connect the control socket, without waiting: it listens before the process runs. */
int devproc_connect(struct devproc *proc, struct err *err);
/* One request; -EAGAIN when the process does not read. */
int devproc_send(struct devproc *proc, const char *text);
/* Hear from the control socket and the pidfd in the loop. */
int devproc_watch(struct devproc *proc, struct err *err);
/* devproc_ask.c: a message that may be the answer to a question. -EPROTO: it is one, to another question. */
int devproc_answered(struct devproc *proc, const struct devproc_msg *msg);
/* No answer will come. */
void devproc_asks_lost(struct devproc *proc);
void devproc_set_status(struct devproc *proc, const struct devproc_msg *msg);

#endif
