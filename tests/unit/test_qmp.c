/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The QMP client and a healthy peer; its states, and being freed from within callbacks. */
#include "qmp_client_test.h"

#include <fcntl.h>

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
