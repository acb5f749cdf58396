/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls: a line becomes a request, a request is called, answered, and forgotten; and what subscribers are told. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"
#include "ctl_internal.h"
#include "ctl_proto.h"
#include "daemon.h"
#include "err.h"

/* calls that one client may have under way */
#define REQS_PER_CLIENT 16

/* --- answers --- */

json_t *err_to_json(const struct err *err)
{
	if (!err || !err->num)
		return json_null();
	return json_pack("{s:s, s:i, s:s, s:s}", "code", err->code, "errno", -err->num, "message", err->msg, "hint", err->hint);
}

json_t *ctl_error_message(json_t *id, int code, const struct err *err)
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

static void no_answer(struct ctl_req *req)
{
	struct err err;

	err_set(&err, -ENOMEM, "daemon.no-memory", "done, but there was no memory for the answer");
	ctl_fail(req, &err);
}

void ctl_reply(struct ctl_req *req, json_t *result)
{
	if (!req) {
		json_decref(result);
		return;
	}
	if (!result) {
		no_answer(req);
		return;
	}
	if (req->client && req->id)
		ctl_client_send(req->client, json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", req->id, "result", result),
				false);
	else
		json_decref(result);
	req_free(req);
}

void ctl_reply_text(struct ctl_req *req, const char *result)
{
	char *id, *text = NULL;

	if (!result) {
		no_answer(req);
		return;
	}
	if (req->client && req->id) {
		id = json_dumps(req->id, JSON_COMPACT | JSON_ENCODE_ANY);
		if (!id || asprintf(&text, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}", id, result) < 0)
			text = NULL;
		free(id);
		ctl_client_send_text(req->client, text, false);
	}
	req_free(req);
}

static void fail_as(struct ctl_req *req, int code, const struct err *err)
{
	if (!req)
		return;
	if (req->client && req->id)
		ctl_client_send(req->client, ctl_error_message(req->id, code, err), false);
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

bool ctl_is_abandoned(const struct ctl_req *req)
{
	return !req->client || !req->id;
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
	ctl_client_send(c, ctl_error_message(NULL, CTL_ERR_PARSE, &err), false);
}

static void reject_request(struct ctl_client *c, json_t *id, int code, const struct err *err)
{
	ctl_client_send(c, ctl_error_message(id, code, err), false);
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
		err_hint(err, "one JSON object a line: docs/control-protocol.md");
		return NULL;
	}
	m = find_method(c->ctl, name);
	if (!m) {
		*ret_code = CTL_ERR_METHOD;
		err_set(err, -EINVAL, "ctl.unknown-method", "there is no method \"%.60s\"", name);
		err_hint(err, "docs/control-protocol.md lists them; `gangway version` tells the daemon's version");
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
