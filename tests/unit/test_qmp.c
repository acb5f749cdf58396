/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The QMP client against a scripted peer: what a healthy peer says, and what a broken or hostile one does. */
#include "qmp_test.h"

#include "../../vmm/qmp_internal.h"
#include "fdutil.h"
#include "gangway_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

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

static void on_state(void *ctx, struct qmp *q, enum qmp_state state, const struct err *why)
{
	(void)ctx;
	(void)q;
	nr_states++;
	strncat(codes, qmp_state_to_string(state), sizeof(codes) - strlen(codes) - 1);
	strncat(codes, why->num ? ":" : "", sizeof(codes) - strlen(codes) - 1);
	strncat(codes, why->code, sizeof(codes) - strlen(codes) - 1);
	strncat(codes, " ", sizeof(codes) - strlen(codes) - 1);
}

static void on_event(void *ctx, struct qmp *q, const char *event, json_t *data)
{
	(void)ctx;
	(void)q;
	cr_assert(json_is_object(data));
	nr_events++;
	snprintf(last_event, sizeof(last_event), "%s", event);
}

static const struct qmp_ops ops = { .on_state = on_state, .on_event = on_event };

static void on_reply(void *ctx, int r, json_t *ret, const struct err *err)
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

static void start(const struct fake_qmp_step *script)
{
	bed_setup(&bed);
	if (script)
		peer = fake_qmp_new(bed.event, bed.path, script);
	cr_assert_eq(qmp_new(bed.event, "vm1", bed.path, &ops, NULL, &qmp), 0);
}

static void stop(void)
{
	const char *failure = peer ? fake_qmp_failure(peer) : NULL;

	cr_assert_null(failure, "%s", failure);
	qmp = qmp_free(qmp);
	fake_qmp_free(peer);
	bed_teardown(&bed);
}

static bool in_state(void *arg)
{
	return qmp_get_state(qmp) == *(enum qmp_state *)arg;
}

static void until_state(enum qmp_state state)
{
	cr_assert(bed_until(&bed, in_state, &state, 3000), "is %s (%s), wanted %s; %s", qmp_state_to_string(qmp_get_state(qmp)),
		  qmp_why(qmp)->msg, qmp_state_to_string(state), peer && fake_qmp_failure(peer) ? fake_qmp_failure(peer) : "");
}

static bool was_called(void *arg)
{
	return ((struct reply *)arg)->calls > 0;
}

static void until_reply(struct reply *reply)
{
	cr_assert(bed_until(&bed, was_called, reply, 3000));
}

static bool script_done(void *arg)
{
	(void)arg;
	return fake_qmp_finished(peer);
}

static void until_script_done(void)
{
	cr_assert(bed_until(&bed, script_done, NULL, 3000));
}

static void send_ok(const char *command, struct reply *reply)
{
	struct err err;

	cr_assert_eq(qmp_send(qmp, command, NULL, -1, 0, on_reply, reply, &err), 0);
	cr_assert_eq(reply->calls, 0, "called back at once");
}

/* A healthy peer ------------------------------------------------------------------------------------------------------- */

Test(qmp, greets_negotiates_and_answers)
{
	static const struct fake_qmp_step script[] = { fq_hello, fq_expect("query-name"), fq_return("{\"name\": \"x\"}"),
						       fq_end };
	struct reply reply = { 0 };
	struct err err;

	start(script);
	cr_assert_eq(qmp_get_state(qmp), QMP_TRYING);
	cr_assert_eq(qmp_send(qmp, "query-name", json_object(), -1, 0, on_reply, &reply, &err), -ENOTCONN);
	cr_assert_str_eq(err.code, "qmp.not-connected");
	until_state(QMP_READY);
	cr_assert_str_eq(codes, "greeting:qmp.connecting negotiating:qmp.connecting ready ");
	cr_assert_eq(qmp_get_peer(qmp)->version.major, 11);
	cr_assert_eq(qmp_get_peer(qmp)->version.micro, 3);
	cr_assert_eq(qmp_get_peer(qmp)->pid, getpid());
	cr_assert_eq(qmp_get_peer(qmp)->uid, geteuid());
	cr_assert_eq(qmp_get_peer(qmp)->gid, getegid());
	cr_assert_eq(qmp_why(qmp)->num, 0);
	send_ok("query-name", &reply);
	until_reply(&reply);
	cr_assert_eq(reply.r, 0);
	cr_assert_str_eq(reply.ret, "{\"name\":\"x\"}");
	free(reply.ret);
	stop();
}

Test(qmp, answers_are_matched_by_id)
{
	static const struct fake_qmp_step script[] = { fq_hello,
						       fq_expect("a"),
						       fq_expect("b"),
						       fq_expect("c"),
						       fq_return_to(1, "2"),
						       fq_return_to(0, "3"),
						       fq_return_to(2, "1"),
						       fq_end };
	struct reply a = { 0 }, b = { 0 }, c = { 0 };

	start(script);
	until_state(QMP_READY);
	send_ok("a", &a);
	send_ok("b", &b);
	send_ok("c", &c);
	until_reply(&a);
	cr_assert_str_eq(a.ret, "1");
	cr_assert_str_eq(b.ret, "2");
	cr_assert_str_eq(c.ret, "3");
	free(a.ret);
	free(b.ret);
	free(c.ret);
	stop();
}

struct error_row {
	const char *class, *code;
	int num;
};

Test(qmp, error_classes)
{
	static const struct fake_qmp_step script[] = { fq_hello,
						       fq_expect("x"),
						       fq_error("GenericError", "one\\nline\\u001b[31m"),
						       fq_expect("x"),
						       fq_error("CommandNotFound", "no"),
						       fq_expect("x"),
						       fq_error("DeviceNotFound", "no"),
						       fq_expect("x"),
						       fq_error("SomethingNew", "no"),
						       fq_end };
	static const struct error_row rows[] = {
		{ "GenericError", "qmp.error", -EIO },
		{ "CommandNotFound", "qmp.command-not-found", -EOPNOTSUPP },
		{ "DeviceNotFound", "qmp.device-not-found", -ENODEV },
		{ "SomethingNew", "qmp.error", -EIO },
	};

	start(script);
	until_state(QMP_READY);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct reply reply = { 0 };

		send_ok("x", &reply);
		until_reply(&reply);
		cr_assert_eq(reply.r, rows[i].num);
		cr_assert_str_eq(reply.code, rows[i].code);
		if (i == 0)
			cr_assert_str_eq(reply.msg, "guest vm1: x: one line [31m");
	}
	stop();
}

Test(qmp, partial_lines_events_and_empty_lines)
{
	static const struct fake_qmp_step script[] = { fq_do(FQ_ACCEPT),
						       fq_raw("{\"QMP\": {\"version\": {\"qemu\": {\"mic"),
						       fq_pause(20),
						       fq_raw("ro\": 3, \"minor\": 1, \"major\": 11}}}}\r"),
						       fq_pause(20),
						       fq_raw("\n\n  \r\n"),
						       fq_expect("qmp_capabilities"),
						       fq_return("{}"),
						       fq_event("STOP", NULL),
						       fq_event("SHUTDOWN", "{\"guest\": false}"),
						       fq_end };

	start(script);
	until_script_done();
	bed_run_ms(&bed, 20);
	cr_assert_eq(qmp_get_state(qmp), QMP_READY);
	cr_assert_eq(nr_events, 2);
	cr_assert_str_eq(last_event, "SHUTDOWN");
	stop();
}

Test(qmp, a_descriptor_goes_along)
{
	static const struct fake_qmp_step script[] = { fq_hello,	   fq_expect("plain"), fq_return("{}"),
						       fq_expect("getfd"), fq_return("{}"),    fq_end };
	struct reply plain = { 0 }, reply = { 0 };
	char byte = 0;
	int p[2], fd;

	start(script);
	until_state(QMP_READY);
	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	send_ok("plain", &plain);
	cr_assert_eq(qmp_send(qmp, "getfd", json_pack("{s:s}", "fdname", "tap0"), p[0], 0, on_reply, &reply, NULL), 0);
	until_reply(&reply);
	fd = fake_qmp_last_fd(peer);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(p[1], "x", 1), 1);
	cr_assert_eq(read(fd, &byte, 1), 1);
	cr_assert_eq(byte, 'x');
	close(fd);
	close(p[0]);
	close(p[1]);
	free(plain.ret);
	free(reply.ret);
	cr_assert_eq(qmp_send(qmp, "getfd", NULL, 9999, 0, on_reply, &reply, NULL), -EBADF);
	stop();
}

/* Broken and hostile peers --------------------------------------------------------------------------------------------- */

struct bad {
	const char *name;
	struct fake_qmp_step script[8];
	const char *code;
};

static const struct bad bad_peers[] = {
	{ "speaks first, but not JSON",
	  { fq_do(FQ_ACCEPT), fq_raw("QEMU 11.1.3 monitor - type 'help'\r\n"), fq_do(FQ_CLOSED), fq_end },
	  "qmp.not-qmp" },
	{ "JSON, but no object", { fq_do(FQ_ACCEPT), fq_raw("[1, 2]\n"), fq_do(FQ_CLOSED), fq_end }, "qmp.not-qmp" },
	{ "object, but no greeting",
	  { fq_do(FQ_ACCEPT), fq_raw("{\"return\": {}}\n"), fq_do(FQ_CLOSED), fq_end },
	  "qmp.not-qmp" },
	{ "greeting without version", { fq_do(FQ_ACCEPT), fq_raw("{\"QMP\": {}}\n"), fq_do(FQ_CLOSED), fq_end }, "qmp.not-qmp" },
	{ "version of wrong types",
	  { fq_do(FQ_ACCEPT), fq_greet("\"major\": \"11\", \"minor\": 1, \"micro\": -3"), fq_do(FQ_CLOSED), fq_end },
	  "qmp.not-qmp" },
	{ "duplicate keys", { fq_do(FQ_ACCEPT), fq_raw("{\"QMP\": 1, \"QMP\": 2}\n"), fq_do(FQ_CLOSED), fq_end }, "qmp.not-qmp" },
	{ "invalid UTF-8", { fq_do(FQ_ACCEPT), fq_raw("{\"QMP\": \"\xff\xfe\"}\n"), fq_do(FQ_CLOSED), fq_end }, "qmp.not-qmp" },
	{ "refuses to negotiate",
	  { fq_do(FQ_ACCEPT), fq_do(FQ_GREET), fq_expect("qmp_capabilities"), fq_error("CommandNotFound", "no"), fq_do(FQ_CLOSED),
	    fq_end },
	  "qmp.not-qmp" },
	{ "garbage later", { fq_hello, fq_raw("}{\n"), fq_do(FQ_CLOSED), fq_end }, "qmp.not-qmp" },
	{ "neither answer nor event", { fq_hello, fq_raw("{\"id\": 1}\n"), fq_do(FQ_CLOSED), fq_end }, "qmp.not-qmp" },
	{ "answer and error at once",
	  { fq_hello, fq_raw("{\"return\": {}, \"error\": {}, \"id\": 1}\n"), fq_do(FQ_CLOSED), fq_end },
	  "qmp.not-qmp" },
	{ "event without a name", { fq_hello, fq_raw("{\"event\": {}}\n"), fq_do(FQ_CLOSED), fq_end }, "qmp.not-qmp" },
	{ "event with data that is no object",
	  { fq_hello, fq_raw("{\"event\": \"X\", \"data\": 3}\n"), fq_do(FQ_CLOSED), fq_end },
	  "qmp.not-qmp" },
	{ "nested too deep",
	  { fq_hello, fq_fill("[", QMP_DEPTH_MAX + 1), fq_raw("\n"), fq_do(FQ_CLOSED), fq_end },
	  "qmp.not-qmp" },
	{ "too many values",
	  { fq_hello, fq_raw("["), fq_fill("1,", QMP_VALUES_MAX), fq_raw("1]\n"), fq_do(FQ_CLOSED) },
	  "qmp.not-qmp" },
	{ "line one byte too long",
	  { fq_hello, fq_fill(" ", LIMIT_QMP_LINE + 1), fq_do(FQ_CLOSED), fq_end },
	  "qmp.line-too-long" },
};

Test(qmp, bad_peers_are_denied, .timeout = 60)
{
	for (size_t i = 0; i < sizeof(bad_peers) / sizeof(bad_peers[0]); i++) {
		start(bad_peers[i].script);
		until_state(QMP_DENIED);
		cr_assert_str_eq(qmp_why(qmp)->code, bad_peers[i].code, "%s: %s", bad_peers[i].name, qmp_why(qmp)->code);
		cr_assert_eq(qmp_get_peer(qmp)->pid, 0);
		stop();
	}
}

Test(qmp, at_the_limits_it_still_works, .timeout = 60)
{
	static const struct fake_qmp_step script[] = {
		fq_hello,
		/* "{"event": "A", "data": {"x": " is 29 bytes, "}} 3 */
		fq_raw("{\"event\": \"A\", \"data\":{\"x\": \""),
		fq_fill("x", LIMIT_QMP_LINE - 29 - 3),
		fq_raw("\"}}\n"),
		fq_raw("{\"event\": \"B\", \"data\": {\"x\": "),
		fq_fill("[", QMP_DEPTH_MAX - 2),
		fq_fill("]", QMP_DEPTH_MAX - 2),
		fq_raw("}}\n"),
		fq_raw("{\"event\": \"C\", \"data\": {\"x\": 18446744073709551615}}\n"),
		fq_expect("x"),
		fq_return("{}"),
		fq_end,
	};
	struct reply reply = { 0 };

	start(script);
	until_state(QMP_READY);
	send_ok("x", &reply);
	until_reply(&reply);
	cr_assert_eq(nr_events, 3);
	cr_assert_str_eq(last_event, "C");
	cr_assert_lt(qmp->in_size, 1 << 20, "the large buffer was given back");
	free(reply.ret);
	stop();
}

Test(qmp, unsolicited_and_repeated_answers_are_ignored)
{
	static const struct fake_qmp_step script[] = { fq_hello,
						       fq_raw("{\"return\": {}, \"id\": 4711}\n{\"return\": {}}\n"),
						       fq_raw("{\"error\": {\"class\": \"GenericError\", \"desc\": \"?\"}}\n"),
						       fq_raw("{\"return\": {}, \"id\": \"1\"}\n"),
						       fq_expect("x"),
						       fq_return("1"),
						       fq_return("2"),
						       fq_expect("y"),
						       fq_return("3"),
						       fq_end };
	struct reply x = { 0 }, y = { 0 };

	start(script);
	until_state(QMP_READY);
	send_ok("x", &x);
	until_reply(&x);
	send_ok("y", &y);
	until_reply(&y);
	cr_assert_eq(x.calls, 1);
	cr_assert_str_eq(x.ret, "1");
	cr_assert_str_eq(y.ret, "3");
	cr_assert_eq(qmp->nr_unsolicited, 5);
	free(x.ret);
	free(y.ret);
	stop();
}

Test(qmp, dies_in_the_middle_of_commands)
{
	static const struct fake_qmp_step script[] = { fq_hello, fq_expect("a"), fq_do(FQ_DIE), fq_end };
	struct reply a = { 0 }, b = { 0 };

	start(script);
	until_state(QMP_READY);
	send_ok("a", &a);
	send_ok("b", &b);
	until_state(QMP_DOWN);
	cr_assert_eq(a.calls, 1);
	cr_assert_eq(a.r, -ECONNRESET);
	cr_assert_str_eq(a.code, "qmp.closed");
	cr_assert_eq(b.calls, 1);
	cr_assert_eq(b.r, -ECONNRESET);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.no-socket");
	stop();
	cr_assert_eq(a.calls + b.calls, 2);
}

Test(qmp, garbage_in_the_middle_of_commands)
{
	static const struct fake_qmp_step script[] = { fq_hello, fq_expect("a"), fq_raw("no\n"), fq_do(FQ_CLOSED), fq_end };
	struct reply a = { 0 };

	start(script);
	until_state(QMP_READY);
	send_ok("a", &a);
	until_state(QMP_DENIED);
	cr_assert_eq(a.calls, 1);
	cr_assert_eq(a.r, -ECONNRESET);
	cr_assert_str_eq(a.code, "qmp.not-qmp");
	stop();
}

Test(qmp, hangs)
{
	static const struct fake_qmp_step script[] = { fq_hello,	 fq_expect("a"), fq_expect("b"),
						       fq_do(FQ_CLOSED), fq_hello,	 fq_end };
	struct reply a = { 0 }, b = { 0 };

	start(script);
	until_state(QMP_READY);
	cr_assert_eq(qmp_send(qmp, "a", NULL, -1, 100, on_reply, &a, NULL), 0);
	send_ok("b", &b);
	until_state(QMP_DENIED);
	cr_assert_eq(a.calls, 1);
	cr_assert_eq(a.r, -ETIMEDOUT);
	cr_assert_str_eq(a.code, "qmp.timeout");
	cr_assert_eq(b.calls, 1);
	cr_assert_eq(b.r, -ECONNRESET);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.timeout");
	until_state(QMP_READY); /* and it is tried again */
	stop();
}

/* The monitor answers in order: the short deadline of b must not run while a takes its time. */
Test(qmp, the_clock_of_a_command_starts_when_it_is_its_turn)
{
	static const struct fake_qmp_step script[] = {
		fq_hello,     fq_expect("a"),	    fq_expect("b"), fq_pause(300), fq_return_to(1, "1"),
		fq_pause(50), fq_return_to(0, "2"), fq_end
	};
	struct reply a = { 0 }, b = { 0 };

	start(script);
	until_state(QMP_READY);
	send_ok("a", &a);
	cr_assert_eq(qmp_send(qmp, "b", NULL, -1, 150, on_reply, &b, NULL), 0);
	until_reply(&b);
	cr_assert_eq(a.r, 0);
	cr_assert_eq(b.r, 0);
	free(a.ret);
	free(b.ret);
	stop();
}

Test(qmp, no_greeting_comes)
{
	static const struct fake_qmp_step script[] = { fq_do(FQ_ACCEPT), fq_do(FQ_CLOSED), fq_end };
	uint64_t due = 0, now = 0;

	start(script);
	until_state(QMP_GREETING);
	sd_event_source_get_time(qmp->deadline, &due);
	sd_event_now(bed.event, CLOCK_MONOTONIC, &now);
	cr_assert_gt(due, now + (LIMIT_QMP_TIMEOUT_MS - 1000) * 1000ull);
	cr_assert_lt(due, now + (LIMIT_QMP_TIMEOUT_MS + 1000) * 1000ull);
	sd_event_source_set_time_relative(qmp->deadline, 1000); /* not worth ten seconds */
	until_state(QMP_DENIED);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.no-greeting");
	cr_assert_eq(qmp_why(qmp)->num, -ETIMEDOUT);
	stop();
}

Test(qmp, pending_commands_are_bounded)
{
	static const struct fake_qmp_step script[] = { fq_hello, fq_end };
	struct reply all = { 0 };
	struct err err;

	start(script);
	until_state(QMP_READY);
	for (int i = 0; i < LIMIT_QMP_PENDING; i++)
		cr_assert_eq(qmp_send(qmp, "x", NULL, -1, 0, on_reply, &all, &err), 0);
	cr_assert_eq(qmp_send(qmp, "x", NULL, -1, 0, on_reply, &all, &err), -EBUSY);
	cr_assert_str_eq(err.code, "qmp.too-many");
	cr_assert_eq(all.calls, 0);
	stop();
	cr_assert_eq(all.calls, LIMIT_QMP_PENDING);
	cr_assert_eq(all.r, -ECANCELED);
}

Test(qmp, bytes_to_a_peer_that_does_not_read_are_bounded)
{
	static const struct fake_qmp_step script[] = { fq_hello, fq_pause(60000), fq_end };
	struct reply all = { 0 };
	char big[64 << 10];
	struct err err;
	int r = 0, sent = 0;

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	start(script);
	until_state(QMP_READY);
	while (sent < LIMIT_QMP_PENDING) {
		r = qmp_send(qmp, "x", json_pack("{s:s}", "x", big), -1, 0, on_reply, &all, &err);
		if (r < 0)
			break;
		sent++;
	}
	cr_assert_eq(r, -ENOBUFS, "sent %d", sent);
	cr_assert_str_eq(err.code, "qmp.not-sent");
	cr_assert_leq(qmp->out_bytes, QMP_WRITE_MAX);
	cr_assert_eq(qmp->nr_pending, (unsigned)sent);
	stop();
	cr_assert_eq(all.calls, (unsigned)sent);
}

/* Connecting ----------------------------------------------------------------------------------------------------------- */

Test(qmp, a_socket_that_appears_is_noticed_at_once)
{
	static const struct fake_qmp_step script[] = { fq_hello, fq_end };
	uint64_t before, after;

	start(NULL);
	until_state(QMP_DOWN);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.no-socket");
	cr_assert_eq(qmp_why(qmp)->num, -ENOENT);
	bed_run_ms(&bed, 300);
	cr_assert_eq(nr_states, 1, "an absent socket is not polled");
	peer = fake_qmp_new(bed.event, bed.path, script);
	sd_event_now(bed.event, CLOCK_MONOTONIC, &before);
	until_state(QMP_READY);
	sd_event_now(bed.event, CLOCK_MONOTONIC, &after);
	cr_assert_lt(after - before, 80000);
	stop();
}

Test(qmp, a_folder_that_appears_is_found_by_the_timer)
{
	static const struct fake_qmp_step script[] = { fq_hello, fq_end };

	start(NULL);
	rmdir(bed.dir);
	until_state(QMP_DOWN);
	bed_run_ms(&bed, 50);
	cr_assert_eq(mkdir(bed.dir, 0700), 0);
	peer = fake_qmp_new(bed.event, bed.path, script);
	until_state(QMP_READY);
	stop();
}

Test(qmp, refused_then_back)
{
	static const struct fake_qmp_step script[] = { fq_hello,	 fq_do(FQ_REFUSE), fq_pause(250),
						       fq_do(FQ_LISTEN), fq_hello,	   fq_end };

	start(script);
	until_state(QMP_READY);
	until_state(QMP_DOWN);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.refused");
	cr_assert_eq(qmp_why(qmp)->num, -ECONNREFUSED);
	until_state(QMP_READY);
	cr_assert_str_eq(codes, "greeting:qmp.connecting negotiating:qmp.connecting ready trying:qmp.closed down:qmp.refused "
				"greeting:qmp.connecting negotiating:qmp.connecting ready ");
	stop();
}

Test(qmp, the_pause_between_attempts_doubles_to_a_limit)
{
	static const struct fake_qmp_step script[] = { fq_do(FQ_REFUSE), fq_end };
	unsigned last = 0;

	start(script);
	until_state(QMP_DOWN);
	for (int i = 0; i < 10; i++) {
		cr_assert_geq(qmp->retry_ms, last);
		cr_assert_leq(qmp->retry_ms, QMP_RETRY_MAX_MS);
		last = qmp->retry_ms;
		qmp_retry_in(qmp, 0); /* the attempt, without the pause */
		bed_run_ms(&bed, 5);
	}
	cr_assert_eq(last, QMP_RETRY_MAX_MS);
	stop();
}

Test(qmp, a_file_in_its_place_is_denied)
{
	FILE *f;

	start(NULL);
	f = fopen(bed.path, "w");
	fclose(f);
	until_state(QMP_DENIED);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.not-a-socket");
	cr_assert_eq(qmp_why(qmp)->num, -ENOTSOCK);
	stop();
}

Test(qmp, a_datagram_socket_is_denied)
{
	int fd;

	start(NULL);
	fd = fd_listen_unix(bed.path, SOCK_SEQPACKET, 0600);
	cr_assert_geq(fd, 0);
	until_state(QMP_DENIED);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.not-qmp");
	close(fd);
	stop();
}

Test(qmp, a_full_queue_is_denied)
{
	int clients[70], n = 0, fd;

	start(NULL);
	fd = fd_listen_unix(bed.path, SOCK_STREAM, 0600); /* nobody accepts */
	cr_assert_geq(fd, 0);
	while (n < 70 && (clients[n] = fd_connect_unix(bed.path, SOCK_STREAM)) >= 0)
		n++;
	cr_assert_lt(n, 70);
	until_state(QMP_DENIED);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.busy");
	while (n)
		close(clients[--n]);
	close(fd);
	stop();
}

Test(qmp, no_permission_is_denied)
{
	static const struct fake_qmp_step script[] = { fq_end };

	start(script);
	if (geteuid() == 0) {
		chown(bed.dir, 65534, 65534);
		chown(bed.path, 65534, 65534);
		chmod(bed.path, 0);
		cr_assert_eq(seteuid(65533), 0);
	} else {
		chmod(bed.path, 0);
	}
	until_state(QMP_DENIED);
	cr_assert_str_eq(qmp_why(qmp)->code, "qmp.access");
	cr_assert_eq(qmp_why(qmp)->num, -EACCES);
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
	stop();
}

Test(qmp, paths)
{
	static const struct {
		const char *path;
		int r;
	} rows[] = {
		{ "relative", -EINVAL },  { "", -EINVAL },
		{ "/", -EINVAL },	  { "/run/", -EINVAL },
		{ "/run/a\nb", -EINVAL }, { "/dev/null", -ENOTSOCK },
		{ "/tmp", -ENOTSOCK },	  { "/nowhere/qmp.sock", 0 },
	};
	char path[109];
	struct err err;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert_eq(qmp_path_check(rows[i].path, &err), rows[i].r, "%s", rows[i].path);
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[108] = '\0';
	cr_assert_eq(qmp_path_check(path, &err), -ENAMETOOLONG);
	cr_assert_str_eq(err.code, "qmp.path-too-long");
	path[107] = '\0';
	cr_assert_eq(qmp_path_check(path, &err), 0);
	start(NULL);
	qmp_free(qmp);
	cr_assert_eq(qmp_new(bed.event, "vm1", "relative", &ops, NULL, &qmp), -EINVAL);
	qmp = NULL;
	stop();
}

/* States and lifetime -------------------------------------------------------------------------------------------------- */

Test(qmp, the_transition_matrix)
{
	/* rows: from; columns: to: T D G N R X(denied) C */
	static const char *const matrix[QMP_NUM_STATES] = {
		[QMP_TRYING] = ".DG..XC", [QMP_DOWN] = ".DG..XC",   [QMP_GREETING] = "T..N.XC", [QMP_NEGOTIATING] = "T...RXC",
		[QMP_READY] = "T....XC",  [QMP_DENIED] = ".DG..XC", [QMP_CLOSED] = ".......",
	};

	for (int from = 0; from < QMP_NUM_STATES; from++)
		for (int to = 0; to < QMP_NUM_STATES; to++)
			cr_assert_eq(qmp_may_change(from, to), matrix[from][to] != '.', "%s -> %s", qmp_state_to_string(from),
				     qmp_state_to_string(to));
	cr_assert_not(qmp_may_change(QMP_READY, QMP_NUM_STATES));
}

static void free_in_reply(void *ctx, int r, json_t *ret, const struct err *err)
{
	(void)ret;
	(void)err;
	*(int *)ctx = r;
	qmp = qmp_free(qmp);
}

Test(qmp, freed_from_a_callback)
{
	static const struct fake_qmp_step script[] = {
		fq_hello, fq_expect("a"), fq_expect("b"), fq_return_to(1, "{}"), fq_return_to(0, "{}"), fq_end
	};
	struct reply b = { 0 };
	int r = 1;

	start(script);
	until_state(QMP_READY);
	cr_assert_eq(qmp_send(qmp, "a", NULL, -1, 0, free_in_reply, &r, NULL), 0);
	send_ok("b", &b);
	until_reply(&b);
	cr_assert_eq(r, 0);
	cr_assert_eq(b.calls, 1);
	cr_assert_eq(b.r, -ECANCELED);
	stop();
}

static void free_in_state(void *ctx, struct qmp *q, enum qmp_state state, const struct err *why)
{
	(void)q;
	(void)why;
	if (state == *(enum qmp_state *)ctx)
		qmp = qmp_free(qmp);
}

static bool is_freed(void *arg)
{
	(void)arg;
	return !qmp;
}

Test(qmp, freed_from_each_state)
{
	static const struct fake_qmp_step script[] = { fq_hello, fq_do(FQ_DIE), fq_end };
	static const struct qmp_ops freeing = { .on_state = free_in_state };
	static const enum qmp_state states[] = { QMP_GREETING, QMP_NEGOTIATING, QMP_READY, QMP_TRYING, QMP_DOWN };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		enum qmp_state state = states[i];

		bed_setup(&bed);
		peer = fake_qmp_new(bed.event, bed.path, script);
		cr_assert_eq(qmp_new(bed.event, "vm1", bed.path, &freeing, &state, &qmp), 0);
		cr_assert(bed_until(&bed, is_freed, NULL, 3000), "%s", qmp_state_to_string(state));
		fake_qmp_free(peer);
		bed_teardown(&bed);
	}
}

Test(qmp, free_of_nothing)
{
	cr_assert_null(qmp_free(NULL));
}
