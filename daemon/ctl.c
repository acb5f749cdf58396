/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket, and who is let in. */
#include "ctl.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl_internal.h"
#include "ctl_proto.h"
#include "daemon.h"
#include "err.h"
#include "fdutil.h"
#include "gangway_limits.h"
#include "log.h"

/* for how long a connection that there is no descriptor for is left alone: its being there wakes the loop all the time */
#define ACCEPT_AGAIN_US 200000

/* The supplementary groups of the peer, the caller's; NULL: not known, and *ret_nr is 0. */
static gid_t *peer_groups(int fd, size_t *ret_nr)
{
	socklen_t len = 64 * sizeof(gid_t);
	gid_t *groups = NULL;

	*ret_nr = 0;
	for (int try = 0; try < 2; try++) {
		gid_t *more = realloc(groups, len);

		if (!more)
			break;
		groups = more;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0) {
			*ret_nr = len / sizeof(gid_t);
			return groups;
		}
		if (errno != ERANGE) /* else the kernel has written the length it needs */
			break;
	}
	free(groups);
	return NULL;
}

/* Is the peer root, or in the group by its primary or a supplementary membership? */
static bool in_group(const struct ctl *ctl, int fd, const struct ucred *cred)
{
	bool found = false;
	gid_t *groups;
	size_t nr;

	if (cred->uid == 0 || cred->uid == geteuid())
		return true;
	if (ctl->gid == (gid_t)-1)
		return false;
	if (cred->gid == ctl->gid)
		return true;
	groups = peer_groups(fd, &nr);
	for (size_t i = 0; i < nr; i++)
		found = found || groups[i] == ctl->gid;
	free(groups);
	return found;
}

/* A client that is not let in is told why, as far as that is possible without waiting. */
static void refuse(struct ctl *ctl, int conn, bool full)
{
	struct err err;
	json_t *msg;
	char *text;

	if (full) {
		err_set(&err, -EBUSY, "ctl.too-many", "too many clients");
		err_hint(&err, "end one of them: ss -xp shows who they are");
	} else {
		err_set(&err, -EPERM, "ctl.denied", "not permitted");
		err_hint(&err, "usermod -aG %s USER, then log in again", ctl->d->config.group);
	}
	msg = ctl_error_message(NULL, CTL_ERR_FAILED, &err);
	text = msg ? json_dumps(msg, JSON_COMPACT) : NULL;
	/* best effort: a fresh socket has room for it */
	if (!text || send(conn, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ||
	    send(conn, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("control: a refused client did not take the answer, ignoring");
	free(text);
	json_decref(msg);
	close(conn);
}

static int on_accept_again(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct ctl *ctl = ctx;

	(void)s;
	(void)usec;
	return sd_event_source_set_enabled(ctl->io, SD_EVENT_ON);
}

/* No descriptors or no memory: there is nothing to do but wait until somebody gives some back. */
static void accept_later(struct ctl *ctl, int num)
{
	uint64_t now;

	log_warn("control: a client cannot be let in yet: %s, ignoring", strerror(num));
	if (sd_event_now(ctl->d->event, CLOCK_MONOTONIC, &now) >= 0 &&
	    sd_event_source_set_time(ctl->again, now + ACCEPT_AGAIN_US) >= 0 &&
	    sd_event_source_set_enabled(ctl->again, SD_EVENT_ONESHOT) >= 0)
		sd_event_source_set_enabled(ctl->io, SD_EVENT_OFF);
}

static int on_connect(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	struct ctl *ctl = ctx;
	struct ctl_client *c;
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	bool may_write, full;
	int conn;

	(void)s;
	(void)revents;
	conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (conn < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			accept_later(ctl, errno);
		return 0;
	}
	if (getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		close(conn);
		return 0;
	}
	may_write = in_group(ctl, conn, &cred);
	/* the half of the places is kept for those who may do something */
	full = ctl->nr_clients >= (may_write ? LIMIT_CTL_CLIENTS : LIMIT_CTL_CLIENTS / 2);
	if (full || (!may_write && !ctl->d->config.read_only_all)) {
		refuse(ctl, conn, full);
		return 0;
	}
	if (ctl_client_new(ctl, ctl->d->event, conn, may_write, &c) < 0) {
		log_warn("control: no memory for one more client, ignoring");
		return 0;
	}
	LIST_INSERT_HEAD(&ctl->clients, c, link);
	ctl->nr_clients++;
	return 0;
}

/*
 * To look whether somebody listens, to remove what is left of who does not, and to listen: several calls, between which another gangwayd
 * with this socket could do the same. So its lock first.
 */
static int listen_alone(struct ctl *ctl, struct err *err)
{
	const struct config *config = &ctl->d->config;
	char path[sizeof(config->socket) + 8];
	pid_t holder = 0;
	int r;

	snprintf(path, sizeof(path), "%s.lock", config->socket);
	r = ctl->lock_fd = fd_lock_file(path, &holder);
	if (r >= 0)
		r = ctl->fd = fd_listen_unix(config->socket, SOCK_STREAM, config->read_only_all ? 0666 : 0660);
	if (r >= 0)
		return 0;
	if (r == -EWOULDBLOCK || r == -EADDRINUSE) {
		if (holder)
			err_set(err, -EADDRINUSE, "ctl.socket", "control socket %s: another gangwayd, pid %d, has it",
				config->socket, (int)holder);
		else
			err_set(err, -EADDRINUSE, "ctl.socket", "control socket %s: %s", config->socket, strerror(EADDRINUSE));
		err_hint(err, "another gangwayd listens there: end it, or give this one a --socket of its own");
		return -EADDRINUSE;
	}
	err_set(err, r, "ctl.socket", "control socket %s: %s", config->socket, strerror(-r));
	err_hint(err, "gangway.conf(5): socket is a path of at most 107 bytes in a directory that root can write to");
	return r;
}

int ctl_new(struct daemon *d, const struct ctl_method *methods, size_t nr, struct ctl **ret, struct err *err)
{
	const struct group *gr = getgrnam(d->config.group);
	struct ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	if (!ctl)
		return err_set(err, -ENOMEM, "daemon.no-memory", "no memory for the control socket");
	ctl->d = d;
	ctl->methods = methods;
	ctl->nr_methods = nr;
	ctl->gid = gr ? gr->gr_gid : (gid_t)-1;
	LIST_INIT(&ctl->clients);
	ctl->fd = ctl->lock_fd = -1;
	r = listen_alone(ctl, err);
	if (r < 0) {
		ctl_free(ctl);
		return r;
	}
	r = sd_event_add_io(d->event, &ctl->io, ctl->fd, EPOLLIN, on_connect, ctl);
	if (r >= 0)
		r = sd_event_add_time(d->event, &ctl->again, CLOCK_MONOTONIC, 0, 0, on_accept_again, ctl);
	if (r >= 0)
		r = sd_event_source_set_enabled(ctl->again, SD_EVENT_OFF);
	if (r < 0) {
		err_set(err, r, "ctl.socket", "control socket %s: %s", d->config.socket, strerror(-r));
		ctl_free(ctl);
		return r;
	}
	if (gr && chown(d->config.socket, (uid_t)-1, gr->gr_gid) < 0)
		log_warn("control socket %s: to group %s: %s, ignoring", d->config.socket, d->config.group, strerror(errno));
	*ret = ctl;
	return 0;
}

struct ctl *ctl_free(struct ctl *ctl)
{
	struct ctl_client *c;

	if (!ctl)
		return NULL;
	while ((c = LIST_FIRST(&ctl->clients)))
		ctl_client_free(c); /* NOLINT(clang-analyzer-unix.Malloc): it takes itself out of the list */
	sd_event_source_disable_unref(ctl->again);
	sd_event_source_disable_unref(ctl->io);
	if (ctl->fd >= 0)
		unlink(ctl->d->config.socket);
	fd_close(&ctl->fd);
	fd_close(&ctl->lock_fd);
	free(ctl);
	return NULL;
}
