/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the QMP client share: one client, its scripted peer, and what was called back. */
#ifndef GANGWAY_QMP_CLIENT_TEST_H
#define GANGWAY_QMP_CLIENT_TEST_H

#include "../../vmm/qmp_internal.h"
#include "qmp_test.h"

#include <errno.h>
#include <string.h>

struct reply {
	unsigned calls;
	int r;
	char code[ERR_CODE_MAX], msg[ERR_MSG_MAX];
	char *ret;
};

static struct bed bed;
static struct qmp *qmp;
static struct fake_qmp *peer;
static unsigned nr_events, nr_states;
static char last_event[64], codes[1024];

static inline void on_state(void *ctx, struct qmp *q, enum qmp_state state, const struct err *why)
{
	(void)ctx;
	(void)q;
	nr_states++;
	strncat(codes, qmp_state_to_string(state), sizeof(codes) - strlen(codes) - 1);
	strncat(codes, why->num ? ":" : "", sizeof(codes) - strlen(codes) - 1);
	strncat(codes, why->code, sizeof(codes) - strlen(codes) - 1);
	strncat(codes, " ", sizeof(codes) - strlen(codes) - 1);
}

static inline void on_event(void *ctx, struct qmp *q, const char *event, json_t *data)
{
	(void)ctx;
	(void)q;
	cr_assert(json_is_object(data));
	nr_events++;
	snprintf(last_event, sizeof(last_event), "%s", event);
}

static const struct qmp_ops ops = { .on_state = on_state, .on_event = on_event };

static inline void on_reply(void *ctx, int r, json_t *ret, const struct err *err)
{
	struct reply *reply = ctx;

	reply->calls++;
	reply->r = r;
	cr_assert_eq(r == 0, ret != NULL);
	cr_assert_eq(r < 0, err != NULL);
	if (err) {
		cr_assert_eq(err->num, r);
		strcpy(reply->code, err->code);
		strcpy(reply->msg, err->msg);
	}
	free(reply->ret);
	reply->ret = ret ? json_dumps(ret, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
}

static inline void start(const struct fake_qmp_step *script)
{
	bed_setup(&bed);
	if (script)
		peer = fake_qmp_new(bed.event, bed.path, script);
	cr_assert_eq(qmp_new(bed.event, "vm1", bed.path, &ops, NULL, &qmp), 0);
}

static inline void stop(void)
{
	const char *failure = peer ? fake_qmp_failure(peer) : NULL;

	cr_assert_null(failure, "%s", failure);
	qmp = qmp_free(qmp);
	fake_qmp_free(peer);
	bed_teardown(&bed);
}

static inline bool in_state(void *arg)
{
	return qmp_get_state(qmp) == *(enum qmp_state *)arg;
}

static inline void until_state(enum qmp_state state)
{
	cr_assert(bed_until(&bed, in_state, &state, 3000), "is %s (%s), wanted %s; %s", qmp_state_to_string(qmp_get_state(qmp)),
		  qmp_why(qmp)->msg, qmp_state_to_string(state), peer && fake_qmp_failure(peer) ? fake_qmp_failure(peer) : "");
}

static inline bool was_called(void *arg)
{
	return ((struct reply *)arg)->calls > 0;
}

static inline void until_reply(struct reply *reply)
{
	cr_assert(bed_until(&bed, was_called, reply, 3000));
}

static inline bool script_done(void *arg)
{
	(void)arg;
	return fake_qmp_finished(peer);
}

static inline void until_script_done(void)
{
	cr_assert(bed_until(&bed, script_done, NULL, 3000));
}

static inline void send_ok(const char *command, struct reply *reply)
{
	struct err err;

	cr_assert_eq(qmp_send(qmp, command, NULL, -1, 0, on_reply, reply, &err), 0);
	cr_assert_eq(reply->calls, 0, "called back at once");
}

#endif
