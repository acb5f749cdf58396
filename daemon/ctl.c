/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ctl_client.h"
#include "ctl_proto.h"
#include "daemon.h"
#include "err.h"
#include "fdutil.h"
#include "gangway_limits.h"
#include "log.h"

/* for how long a connection that there is no descriptor for is left alone: its being there wakes the loop all the time */
#define ACCEPT_AGAIN_US 200000

/* calls that one client may have under way */
#define REQS_PER_CLIENT 16

struct ctl_req {
	LIST_ENTRY(ctl_req) link;
	struct ctl_client *client; /* NULL: it has gone */
	json_t *id; /* NULL: a notification, no answer is wanted */
};

struct ctl {
	struct daemon *d;
	const struct ctl_method *methods;
	size_t nr_methods;
	int fd;
	sd_event_source *io;
	sd_event_source *again; /* on while nobody can be let in; made at the start, for a timer takes a descriptor itself */
	gid_t gid; /* of the group that may call everything; (gid_t)-1: none */
	struct ctl_client_list clients;
	unsigned nr_clients;
	uint64_t seq; /* of events */
};

/* --- answers --- */

json_t *err_to_json(const struct err *err)
{
	if (!err || !err->num)
		return json_null();
	return json_pack("{s:s, s:i, s:s, s:s}", "code", err->code, "errno", -err->num, "message", err->msg, "hint", err->hint);
}

static json_t *error_message(json_t *id, int code, const struct err *err)
{
	return json_pack("{s:s, s:O?, s:{s:i, s:s, s:o}}", "jsonrpc", "2.0", "id", id, "error", "code", code, "message", err->msg,
			 "data", err_to_json(err));
}

static void req_free(struct ctl_req *req)
{
	if (req->client) {
		LIST_REMOVE(req, link);
		req->client->nr_reqs--;
		ctl_client_settle(req->client);
	}
	json_decref(req->id);
	free(req);
}

void ctl_reply(struct ctl_req *req, json_t *result)
{
	if (!req) {
		json_decref(result);
		return;
	}
	if (!result) {
		struct err err;

		err_set(&err, -ENOMEM, "daemon.no-memory", "done, but there was no memory for the answer");
		ctl_fail(req, &err);
		return;
	}
	if (req->client && req->id)
		ctl_client_send(req->client, json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", req->id, "result", result),
				false);
	else
		json_decref(result);
	req_free(req);
}

static void fail_as(struct ctl_req *req, int code, const struct err *err)
{
	if (!req)
		return;
	if (req->client && req->id)
		ctl_client_send(req->client, error_message(req->id, code, err), false);
	req_free(req);
}

void ctl_fail(struct ctl_req *req, const struct err *err)
{
	fail_as(req, CTL_ERR_FAILED, err);
}

void ctl_fail_params(struct ctl_req *req, const char *what)
{
	struct err err;

	err_set(&err, -EINVAL, "ctl.bad-params", "wrong parameters: %s", what);
	err_hint(&err, "docs/control-protocol.md");
	fail_as(req, CTL_ERR_PARAMS, &err);
}

void ctl_progress(struct ctl_req *req, const char *step, size_t index, size_t of, const char *what)
{
	if (!req || !req->client)
		return;
	ctl_client_send(req->client,
			json_pack("{s:s, s:s, s:{s:s, s:I, s:I, s:s}}", "jsonrpc", "2.0", "method", "progress", "params", "step",
				  step, "index", (json_int_t)index, "of", (json_int_t)of, "what", what),
			true);
}

void ctl_subscribe(struct ctl_req *req)
{
	if (req->client)
		req->client->subscribed = true;
}

void ctl_event(struct ctl *ctl, const char *event, const char *object, json_t *more)
{
	struct ctl_client *c, *next;
	json_t *params;

	if (!ctl) {
		json_decref(more);
		return;
	}
	params = json_pack("{s:I, s:f, s:s, s:s}", "seq", (json_int_t)++ctl->seq, "time", (double)time(NULL), "event", event,
			   "object", object);
	if (params && more)
		json_object_update(params, more);
	json_decref(more);
	for (c = LIST_FIRST(&ctl->clients); c && params; c = next) {
		next = LIST_NEXT(c, link);
		if (!c->subscribed)
			continue;
		if (c->nr_lost && c->nr_out == 0) {
			ctl_client_send(c,
					json_pack("{s:s, s:s, s:{s:I, s:s, s:I}}", "jsonrpc", "2.0", "method", "event", "params",
						  "seq", (json_int_t)ctl->seq, "event", "lost", "count", (json_int_t)c->nr_lost),
					true);
			c->nr_lost = 0;
		}
		ctl_client_send(c, json_pack("{s:s, s:s, s:O}", "jsonrpc", "2.0", "method", "event", "params", params), true);
	}
	json_decref(params);
}

/* --- requests --- */

void ctl_reject(struct ctl_client *c, const char *what)
{
	struct err err;

	err_set(&err, -EINVAL, "ctl.parse", "%s", what);
	err_hint(&err, "one JSON object a line: docs/control-protocol.md");
	ctl_client_send(c, error_message(NULL, CTL_ERR_PARSE, &err), false);
}

static void reject_request(struct ctl_client *c, json_t *id, int code, const struct err *err)
{
	ctl_client_send(c, error_message(id, code, err), false);
}

static const struct ctl_method *find_method(const struct ctl *ctl, const char *name)
{
	for (size_t i = 0; i < ctl->nr_methods; i++)
		if (!strcmp(ctl->methods[i].name, name))
			return &ctl->methods[i];
	return NULL;
}

/* The method that this request may call; NULL with @err, @ret_code if there is none. */
static const struct ctl_method *check_request(struct ctl_client *c, const json_t *msg, struct err *err, int *ret_code)
{
	const char *version = json_string_value(json_object_get(msg, "jsonrpc"));
	const char *name = json_string_value(json_object_get(msg, "method"));
	const json_t *id = json_object_get(msg, "id"), *params = json_object_get(msg, "params");
	const struct ctl_method *m;

	*ret_code = CTL_ERR_REQUEST;
	if (!version || strcmp(version, "2.0") || !name || (id && !json_is_integer(id) && !json_is_string(id)) ||
	    (params && !json_is_object(params))) {
		err_set(err, -EINVAL, "ctl.bad-request", "no JSON-RPC 2.0 request {jsonrpc, id, method, params}");
		return NULL;
	}
	m = find_method(c->ctl, name);
	if (!m) {
		*ret_code = CTL_ERR_METHOD;
		err_set(err, -EINVAL, "ctl.unknown-method", "there is no method \"%.60s\"", name);
		return NULL;
	}
	*ret_code = CTL_ERR_FAILED;
	if (!m->read && !c->may_write) {
		err_set(err, -EPERM, "ctl.denied", "%s: only root and members of group %s may do this", m->name,
			c->ctl->d->config.group);
		err_hint(err, "usermod -aG %s USER, then log in again", c->ctl->d->config.group);
		return NULL;
	}
	if (c->nr_reqs >= REQS_PER_CLIENT) {
		err_set(err, -EBUSY, "ctl.too-many", "no more than %d calls under way on one connection", REQS_PER_CLIENT);
		err_hint(err, "wait for the answer to one of them");
		return NULL;
	}
	return m;
}

void ctl_dispatch(struct ctl_client *c, char *line, size_t len)
{
	json_t *msg = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL), *id;
	const struct ctl_method *m;
	struct ctl_req *req;
	struct err err;
	int code;

	if (!msg) {
		ctl_reject(c, "not JSON");
		return;
	}
	id = json_object_get(msg, "id");
	m = check_request(c, msg, &err, &code);
	req = m ? calloc(1, sizeof(*req)) : NULL;
	if (m && !req)
		err_set(&err, -ENOMEM, "daemon.no-memory", "no memory for the call");
	if (req) {
		json_t *params = json_object_get(msg, "params"), *none = params ? NULL : json_object();

		req->client = c;
		req->id = json_incref(id);
		LIST_INSERT_HEAD(&c->reqs, req, link);
		c->nr_reqs++;
		m->handler(c->ctl->d, req, params ? params : none);
		json_decref(none);
	} else {
		reject_request(c, json_is_integer(id) || json_is_string(id) ? id : NULL, code, &err);
	}
	json_decref(msg);
}

/* --- clients --- */

struct ctl_client *ctl_client_free(struct ctl_client *c)
{
	struct ctl_req *req;

	if (!c)
		return NULL;
	while ((req = LIST_FIRST(&c->reqs))) {
		LIST_REMOVE(req, link);
		req->client = NULL;
	}
	LIST_REMOVE(c, link);
	c->ctl->nr_clients--;
	sd_event_source_disable_unref(c->idle);
	sd_event_source_disable_unref(c->more);
	sd_event_source_disable_unref(c->io);
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
	return NULL;
}

/* Is the peer root, or in the group by its primary or a supplementary membership? */
static bool in_group(const struct ctl *ctl, int fd, const struct ucred *cred)
{
	gid_t *groups;
	socklen_t len = 64 * sizeof(gid_t);
	bool found = false;

	if (cred->uid == 0 || cred->uid == geteuid())
		return true;
	if (ctl->gid == (gid_t)-1)
		return false;
	if (cred->gid == ctl->gid)
		return true;
	groups = malloc(len);
	if (groups && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0 && errno == ERANGE) {
		gid_t *more = realloc(groups, len); /* the kernel has written the length it needs */

		if (more) {
			groups = more;
			if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
				len = 0;
		} else {
			len = 0;
		}
	}
	for (size_t i = 0; groups && i < len / sizeof(gid_t); i++)
		found = found || groups[i] == ctl->gid;
	free(groups);
	return found;
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
		static const char too_many[] =
			"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"too many clients\",\"data\":"
			"{\"code\":\"ctl.too-many\",\"errno\":16,\"message\":\"too many clients\",\"hint\":\"end one of them: ss "
			"-xp shows who they are\"}}}\n";
		static const char denied[] =
			"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"not permitted\",\"data\":"
			"{\"code\":\"ctl.denied\",\"errno\":1,\"message\":\"not permitted\",\"hint\":\"\"}}}\n";
		const char *text = full ? too_many : denied;

		/* best effort: a fresh socket has room for it */
		if (send(conn, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			log_debug("control: a refused client did not take the answer, ignoring");
		close(conn);
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
	ctl->fd = fd_listen_unix(d->config.socket, SOCK_STREAM, d->config.read_only_all ? 0666 : 0660);
	r = ctl->fd < 0 ? ctl->fd : sd_event_add_io(d->event, &ctl->io, ctl->fd, EPOLLIN, on_connect, ctl);
	if (r >= 0)
		r = sd_event_add_time(d->event, &ctl->again, CLOCK_MONOTONIC, 0, 0, on_accept_again, ctl);
	if (r >= 0)
		r = sd_event_source_set_enabled(ctl->again, SD_EVENT_OFF);
	if (r < 0) {
		err_set(err, r, "ctl.socket", "control socket %s: %s", d->config.socket, strerror(-r));
		if (r == -EADDRINUSE)
			err_hint(err, "another gangwayd listens there: end it, or give this one a --socket of its own");
		else
			err_hint(err,
				 "gangway.conf(5): socket is a path of at most 107 bytes in a directory that root can write to");
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
	free(ctl);
	return NULL;
}
