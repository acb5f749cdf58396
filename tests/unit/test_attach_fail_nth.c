/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attach and detach with the n-th call to the kernel failing, for every n there is. Whatever fails: it is said, or it did not matter, and
 * when the calls work again a detach brings the host back; nothing leaks, no lease stays.
 */
#include <criterion/criterion.h>

#include "attach_test.h"

struct tally {
	unsigned runs, attach_failed, detach_failed, stuck;
	bool failed; /* this time */
};

/* From here on all calls work. */
static void calls_work(struct tally *t)
{
	t->failed = t->failed || fake_failed(h->fake);
	fake_fail_at(h->fake, 0, 0);
}

static json_t *attach_params(bool prepare)
{
	return json_pack("{s:s, s:s, s:b, s:{s:s, s:s, s:s}}", "guest", "vm1", "target", "eth0", "prepare", (int)prepare,
			 "policy", "mac", "52:54:00:00:00:aa", "vlan", "100", "trust", "on");
}

static void undo_stuck_attach(struct tally *t, unsigned n)
{
	const char *got;

	t->stuck++;
	calls_work(t);
	cr_assert_str_eq(text_now("state"), "failed", "call %u", n);
	got = fake_host_expect(h, NULL, "detach", json_pack("{s:s}", "guest", "vm1"));
	cr_assert_null(got, "call %u: detach after a failed attach: %s", n, got);
}

static void detach_with_retry(struct tally *t, unsigned n)
{
	const char *got = fake_host_expect(h, NULL, "detach", json_pack("{s:s}", "guest", "vm1"));

	if (!got)
		return;
	t->detach_failed++;
	calls_work(t);
	got = fake_host_expect(h, NULL, "detach", json_pack("{s:s}", "guest", "vm1"));
	cr_assert_null(got, "call %u: a second detach: %s", n, got);
}

/* False: there is no @n-th call any more. */
static bool round_trip(struct tally *t, unsigned n, int num, bool prepare)
{
	json_t *a;

	t->failed = false;
	fake_fail_at(h->fake, n, num);
	a = fake_host_call(h, "attach", attach_params(prepare));
	if (member(a, "result")) {
		detach_with_retry(t, n);
	} else {
		int errnum = (int)json_integer_value(member(a, "error.data.errno"));

		t->attach_failed++;
		cr_assert_gt(errnum, 0, "call %u: an error without errno", n);
		cr_assert(text_of(a, "error.message")[0]);
		fake_host_settle(h);
		if (h->d.nr_leases)
			undo_stuck_attach(t, n);
	}
	json_decref(a);
	calls_work(t);
	fake_host_settle(h);
	t->runs += t->failed;
	return t->failed;
}

static void sweep(int num, bool prepare, const char *add_error)
{
	struct tally t = { 0 };

	begin(2);
	vm1->add_error = add_error;
	fake_guest_update(vm1);
	for (unsigned n = 1; round_trip(&t, n, num, prepare); n++) {
		char *now = fake_snapshot(h->fake);

		cr_assert_str_eq(now, before, "call %u failed: the host has changed: %s", n, difference(before, now));
		free(now);
		unchanged();
		cr_assert_eq(records(), 0, "call %u failed: a record is left", n);
		cr_assert_lt(n, 5000);
	}
	unchanged();
	end();
	printf("# errno %d: %u calls failed one by one; attach failed %u times, %u of them stuck, detach %u times\n", -num,
	       t.runs, t.attach_failed, t.stuck, t.detach_failed);
	cr_assert_gt(t.runs, 50);
	cr_assert_gt(t.attach_failed, 20);
	cr_assert_eq(t.stuck > 0, add_error != NULL);
}

Test(attach_fail_nth, io_error)
{
	sweep(-EIO, false, NULL);
}

Test(attach_fail_nth, no_memory)
{
	sweep(-ENOMEM, false, NULL);
}

Test(attach_fail_nth, busy)
{
	sweep(-EBUSY, false, NULL);
}

Test(attach_fail_nth, prepared)
{
	sweep(-EIO, true, NULL);
}

/* The VMM refuses the VF: every call of the way back fails once, and some leave the attach stuck half-way. */
Test(attach_fail_nth, way_back)
{
	sweep(-EIO, false, "Device is in use");
}
