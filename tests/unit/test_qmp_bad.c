/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The QMP client and peers that are not QMP, hang, die or overrun a limit (at it and one above). */
#include "qmp_client_test.h"

#include "gangway_limits.h"

struct bad {
	const char *name;
	struct fake_qmp_step script[12];
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
	  { fq_hello, fq_raw("["), fq_fill("1,", QMP_VALUES_MAX), fq_raw("1]\n"), fq_do(FQ_CLOSED), fq_end },
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

/* A VMM that talks without end gets no more of the loop than others: what is due beside it comes in between. */
static int on_tick(sd_event_source *s, uint64_t usec, void *ctx)
{
	(void)usec;
	++*(unsigned *)ctx;
	return sd_event_source_set_time_relative(s, 0);
}

static bool flood_is_over(void *arg)
{
	(void)arg;
	return !strcmp(last_event, "END");
}

Test(qmp, a_flood_of_events_leaves_room_for_others)
{
	static const struct fake_qmp_step script[] = { fq_hello,
						       fq_fill("{\"event\": \"X\"}\r\n{\"return\": {}, \"id\": 9}\r\n", 50000),
						       fq_event("END", NULL), fq_end };
	sd_event_source *tick = NULL;
	unsigned ticks = 0;

	start(script);
	until_state(QMP_READY);
	cr_assert_geq(sd_event_add_time_relative(bed.event, &tick, CLOCK_MONOTONIC, 0, 1, on_tick, &ticks), 0);
	cr_assert_geq(sd_event_source_set_enabled(tick, SD_EVENT_ON), 0);
	cr_assert(bed_until(&bed, flood_is_over, NULL, 30000));
	cr_assert_eq(nr_events, 50001);
	cr_assert_eq(qmp->nr_unsolicited, 50000);
	cr_assert_gt(ticks, 50, "2 MB in turns of 16 KiB, and %u others", ticks);
	cr_assert_lt(qmp->in_size, 1 << 20);
	sd_event_source_disable_unref(tick);
	stop();
}
