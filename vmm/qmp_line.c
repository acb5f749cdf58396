/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line from the peer: bounded before it is parsed, parsed, and acted upon according to the connection's state; and the
 * commands that wait for their answer. Wire format: QEMU's docs/interop/qmp-spec.
 */
#include "qmp_internal.h"

#include "gangway_limits.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void not_qmp(struct qmp *qmp, const char *what)
{
	struct err why;

	err_set(&why, -EPROTO, "qmp.not-qmp", "guest %s: %s does not speak QMP: %s", qmp->name, qmp->path, what);
	err_hint(&why, "the path must be that of a -qmp (or -mon mode=control) socket, not of a console or an HMP monitor");
	qmp_lost(qmp, QMP_DENIED, &why);
}

/* Pending commands ----------------------------------------------------------------------------------------------------- */

void qmp_arm_deadline(struct qmp *qmp)
{
	unsigned ms = LIMIT_QMP_TIMEOUT_MS;

	if (!qmp->pending && qmp->state != QMP_GREETING) {
		sd_event_source_set_enabled(qmp->deadline, SD_EVENT_OFF);
		return;
	}
	if (qmp->pending)
		ms = qmp->pending->timeout_ms;
	if (sd_event_source_set_time_relative(qmp->deadline, (uint64_t)ms * 1000) >= 0)
		sd_event_source_set_enabled(qmp->deadline, SD_EVENT_ONESHOT);
}

/* Takes the command with @id out of the list; NULL: nobody waits for it. */
static struct qmp_pending *pending_take(struct qmp *qmp, uint64_t id)
{
	bool first = true;

	for (struct qmp_pending **p = &qmp->pending; *p; p = &(*p)->next, first = false) {
		struct qmp_pending *found = *p;

		if (found->id != id)
			continue;
		*p = found->next;
		if (!*p)
			qmp->pending_tail = p;
		qmp->nr_pending--;
		if (first)
			qmp_arm_deadline(qmp);
		return found;
	}
	return NULL;
}

void qmp_fail_pending(struct qmp *qmp, int num, const struct err *why)
{
	bool timed_out = why->num == -ETIMEDOUT; /* that is about the first one alone */

	qmp_ref(qmp);
	while (qmp->pending) {
		struct qmp_pending *p = pending_take(qmp, qmp->pending->id);
		struct err err = *why;

		if (!timed_out) {
			err.num = num;
			err_prefix(&err, "%s", p->command);
		}
		p->done(p->ctx, err.num, NULL, &err);
		free(p);
		timed_out = false;
	}
	qmp_unref(qmp);
}

/* {"execute": command, "arguments": args, "id": id}, one line. Takes @args. The text is the caller's. */
static char *encode(const char *command, json_t *args, uint64_t id, size_t *ret_len)
{
	json_t *msg = json_pack("{s:s, s:o*, s:I}", "execute", command, "arguments", args, "id", (json_int_t)id);
	char *json, *text = NULL;
	int n;

	if (!msg)
		return NULL;
	json = json_dumps(msg, JSON_COMPACT);
	json_decref(msg);
	if (!json)
		return NULL;
	n = asprintf(&text, "%s\n", json);
	free(json);
	if (n < 0)
		return NULL;
	*ret_len = (size_t)n;
	return text;
}

int qmp_submit(struct qmp *qmp, const char *command, json_t *args, int fd, unsigned timeout_ms, qmp_reply_fn done, void *ctx,
	       struct err *err)
{
	struct qmp_pending *p = NULL;
	size_t len = 0;
	char *text;
	int own = -1, r;

	text = encode(command, args, qmp->last_id + 1, &len);
	if (!text)
		return err_set(err, -ENOMEM, "qmp.no-memory", "guest %s: %s: no memory", qmp->name, command);
	if (qmp->nr_pending >= LIMIT_QMP_PENDING) {
		r = err_set(err, -EBUSY, "qmp.too-many", "guest %s: %s: %d commands wait for their answer already", qmp->name,
			    command, LIMIT_QMP_PENDING);
		goto free_text;
	}
	if (fd >= 0 && (own = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0) {
		r = err_set(err, -errno, "qmp.descriptor", "guest %s: %s: descriptor %d: %s", qmp->name, command, fd,
			    strerror(errno));
		goto free_text;
	}
	p = calloc(1, sizeof(*p));
	r = p ? qmp_queue(qmp, text, len, own) : -ENOMEM;
	if (r < 0) {
		err_set(err, r, "qmp.not-sent", "guest %s: %s: %s", qmp->name, command,
			r == -ENOBUFS ? "the VMM does not read" : strerror(-r));
		goto close_own;
	}
	p->id = ++qmp->last_id;
	p->timeout_ms = timeout_ms ? timeout_ms : LIMIT_QMP_TIMEOUT_MS;
	p->done = done;
	p->ctx = ctx;
	snprintf(p->command, sizeof(p->command), "%s", command);
	*qmp->pending_tail = p;
	qmp->pending_tail = &p->next;
	if (!qmp->nr_pending++)
		qmp_arm_deadline(qmp);
	return 0;

close_own:
	if (own >= 0)
		close(own);
	free(p);
free_text:
	free(text);
	return r;
}

/* Lines ---------------------------------------------------------------------------------------------------------------- */

/*
 * Before parsing: nesting and the number of values bound what the parser allocates (8 MiB of "[],[],..." would cost 350 MiB).
 * Counts what looks like structure; whether it is JSON the parser says.
 */
static bool is_bounded(const char *line, size_t len)
{
	unsigned depth = 0, values = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = line[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
			continue;
		}
		if (c == '"')
			in_string = true;
		else if (c == '{' || c == '[')
			depth++, values++;
		else if (c == ',' || c == ':')
			values++;
		else if ((c == '}' || c == ']') && depth)
			depth--;
		if (depth > QMP_DEPTH_MAX || values > QMP_VALUES_MAX)
			return false;
	}
	return true;
}

static json_t *parse(const char *line, size_t len)
{
	json_error_t jerr;
	json_t *msg = json_loadb(line, len, JSON_REJECT_DUPLICATES, &jerr);

	/* QMP has unsigned 64-bit numbers, jansson has not: an event we do not care about must not end the connection */
	if (!msg && json_error_code(&jerr) == json_error_numeric_overflow)
		msg = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &jerr);
	return msg;
}

static bool get_unsigned(const json_t *object, const char *key, unsigned *ret)
{
	const json_t *v = json_object_get(object, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > 9999)
		return false;
	*ret = (unsigned)json_integer_value(v);
	return true;
}

static void on_negotiated(void *ctx, int r, json_t *ret, const struct err *err)
{
	struct qmp *qmp = ctx;
	struct err ready = { 0 };

	(void)ret;
	if (qmp->state != QMP_NEGOTIATING)
		return; /* the connection is lost, that is dealt with */
	if (r < 0) {
		not_qmp(qmp, err->msg);
		return;
	}
	snprintf(ready.msg, sizeof(ready.msg), "QEMU %u.%u.%u, pid %d", qmp->peer.version.major, qmp->peer.version.minor,
		 qmp->peer.version.micro, (int)qmp->peer.pid);
	qmp_set_state(qmp, QMP_READY, &ready);
}

static void handle_greeting(struct qmp *qmp, const json_t *msg)
{
	const json_t *v = json_object_get(json_object_get(json_object_get(msg, "QMP"), "version"), "qemu");
	struct qmp_version version;
	struct err why;

	if (!get_unsigned(v, "major", &version.major) || !get_unsigned(v, "minor", &version.minor) ||
	    !get_unsigned(v, "micro", &version.micro)) {
		not_qmp(qmp, "its first line is no QMP greeting");
		return;
	}
	qmp->peer.version = version;
	err_set(&why, -EINPROGRESS, "qmp.connecting", "guest %s: greeted, negotiating", qmp->name);
	qmp_set_state(qmp, QMP_NEGOTIATING, &why);
	if (qmp->state != QMP_NEGOTIATING) /* given up by whoever was told */
		return;
	if (qmp_submit(qmp, "qmp_capabilities", NULL, -1, 0, on_negotiated, qmp, &why) < 0)
		qmp_lost(qmp, QMP_DENIED, &why);
}

/* QMP's error classes are few and fixed (qapi/error.json); the words are QEMU's. */
static void explain(const struct qmp *qmp, const char *command, const json_t *error, struct err *err)
{
	static const struct {
		const char *class;
		int num;
		const char *code;
	} classes[] = {
		{ "CommandNotFound", -EOPNOTSUPP, "qmp.command-not-found" },
		{ "DeviceNotFound", -ENODEV, "qmp.device-not-found" },
		{ "DeviceNotActive", -ENODEV, "qmp.device-not-active" },
		{ "KVMMissingCap", -EOPNOTSUPP, "qmp.kvm-missing-cap" },
	};
	const char *class = json_string_value(json_object_get(error, "class"));
	const char *desc = json_string_value(json_object_get(error, "desc"));
	size_t i = 0, n = sizeof(classes) / sizeof(classes[0]);

	while (i < n && strcmp(classes[i].class, class ? class : ""))
		i++;
	err_set(err, i < n ? classes[i].num : -EIO, i < n ? classes[i].code : "qmp.error", "guest %s: %s: %s", qmp->name, command,
		desc ? desc : "refused without a reason");
	for (char *p = err->msg; *p; p++) /* one line, and nothing that a terminal would obey */
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
}

static void handle_reply(struct qmp *qmp, json_t *msg)
{
	json_t *ret = json_object_get(msg, "return"), *error = json_object_get(msg, "error");
	const json_t *id = json_object_get(msg, "id");
	struct qmp_pending *p = NULL;
	struct err err;

	if (!ret == !json_is_object(error)) {
		not_qmp(qmp, "a line is neither answer nor event");
		return;
	}
	if (json_is_integer(id))
		p = pending_take(qmp, (uint64_t)json_integer_value(id));
	else if (json_is_real(id) && json_real_value(id) >= 1 && json_real_value(id) < 9e15)
		p = pending_take(qmp, (uint64_t)json_real_value(id)); /* parsed as reals for another number's sake */
	if (!p) {
		qmp->nr_unsolicited++;
		log_debug("qmp %s: an answer that nobody waits for, ignoring", qmp->name);
		return;
	}
	if (ret) {
		p->done(p->ctx, 0, ret, NULL);
	} else {
		explain(qmp, p->command, error, &err);
		p->done(p->ctx, err.num, NULL, &err);
	}
	free(p);
}

static void handle_event(struct qmp *qmp, const json_t *event, json_t *data)
{
	json_t *none = NULL;

	if (!json_is_string(event) || (data && !json_is_object(data))) {
		not_qmp(qmp, "an event without a name");
		return;
	}
	if (qmp->state != QMP_READY || !qmp->ops->on_event)
		return;
	if (!data)
		data = none = json_object();
	if (data)
		qmp->ops->on_event(qmp->ctx, qmp, json_string_value(event), data);
	json_decref(none);
}

void qmp_line(struct qmp *qmp, const char *line, size_t len)
{
	json_t *msg, *event;

	while (len && (line[len - 1] == '\r' || line[len - 1] == ' '))
		len--;
	if (!len)
		return;
	if (!is_bounded(line, len)) {
		not_qmp(qmp, "a line is nested too deep or has too many values");
		return;
	}
	msg = parse(line, len);
	event = json_object_get(msg, "event");
	if (!json_is_object(msg))
		not_qmp(qmp, "a line is not a JSON object");
	else if (qmp->state == QMP_GREETING)
		handle_greeting(qmp, msg);
	else if (event)
		handle_event(qmp, event, json_object_get(msg, "data"));
	else
		handle_reply(qmp, msg);
	json_decref(msg);
}
