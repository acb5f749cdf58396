/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Causes: which reason is shown, and when the way back opens. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "cause.h"

static const struct cause_config config = {
	.return_delay_ms = 3000, .rate_max = 3, .rate_window_ms = 60000, .backoff_first_ms = 1000, .backoff_max_ms = 8000
};
static struct causes *c;
static struct verdict v;

static void setup(void)
{
	c = causes_new(&config);
	cr_assert(c);
}

static void teardown(void)
{
	causes_free(c);
	cr_assert_null(causes_free(NULL));
}

TestSuite(cause, .init = setup, .fini = teardown);

static enum cause_wait wait_at(uint64_t now)
{
	causes_decide(c, now, &v);
	return v.wait;
}

/* As cause.h states it. */
static const enum lease_reason strongest_first[] = {
	REASON_OPERATOR,	REASON_MIGRATION,	  REASON_POSTCOPY,
	REASON_SNAPSHOT,	REASON_VF_FAULT,	  REASON_DEVICE_PROCESS_LOST,
	REASON_PF_DOWN,		REASON_MEMORY_PRIVATE,	  REASON_MEMORY_NOT_RESIDENT,
	REASON_MEMORY_COW,	REASON_MEMORY_PRESSURE,	  REASON_NO_VF,
	REASON_GUEST_NO_DRIVER, REASON_VMM_UNPLUG_UNSAFE,
};
#define NR (sizeof(strongest_first) / sizeof(strongest_first[0]))

Test(cause, the_strongest_is_shown)
{
	cr_assert_eq(NR, REASON_NUM_ - 1);
	for (size_t i = NR; i-- > 0;) {
		cr_assert(causes_begin(c, strongest_first[i], 100 + i));
		causes_decide(c, 200, &v);
		cr_assert_eq(v.reason, strongest_first[i], "%s", lease_reason_to_string(v.reason));
		cr_assert_eq(v.since_ms, 100 + i);
		cr_assert_eq(v.wait, CAUSE_WAIT_CAUSE);
		cr_assert_eq(v.wake_ms, CAUSE_NEVER);
	}
	for (size_t i = 0; i + 1 < NR; i++) {
		cr_assert(causes_end(c, strongest_first[i], 300));
		causes_decide(c, 300, &v);
		cr_assert_eq(v.reason, strongest_first[i + 1]);
	}
}

Test(cause, nothing_keeps_it_off_at_first)
{
	cr_assert_eq(wait_at(0), CAUSE_WAIT_NOTHING);
	cr_assert_eq(v.reason, REASON_NONE);
}

Test(cause, begins_and_ends_once)
{
	cr_assert_not(causes_end(c, REASON_PF_DOWN, 1), "was not active");
	cr_assert(causes_begin(c, REASON_PF_DOWN, 5));
	cr_assert_not(causes_begin(c, REASON_PF_DOWN, 9));
	causes_decide(c, 9, &v);
	cr_assert_eq(v.since_ms, 5, "keeps its time");
	cr_assert(causes_has(c, REASON_PF_DOWN));
	cr_assert(causes_end(c, REASON_PF_DOWN, 10));
	cr_assert_not(causes_end(c, REASON_PF_DOWN, 11));
	/* nothing that is no cause */
	cr_assert_not(causes_begin(c, REASON_NONE, 1));
	cr_assert_not(causes_begin(c, REASON_NUM_, 1));
	cr_assert_not(causes_end(c, REASON_NUM_, 1));
	cr_assert_not(causes_has(c, REASON_NUM_));
}

Test(cause, what_comes_and_goes_is_waited_out)
{
	for (int r = REASON_NONE + 1; r < REASON_NUM_; r++) {
		enum lease_reason reason = (enum lease_reason)r;

		causes_free(c);
		setup();
		causes_begin(c, reason, 100);
		causes_end(c, reason, 1000);
		if (causes_is_prompt(reason)) {
			cr_assert_eq(wait_at(1000), CAUSE_WAIT_NOTHING, "%s", lease_reason_to_string(reason));
		} else {
			cr_assert_eq(wait_at(1000), CAUSE_WAIT_DELAY, "%s", lease_reason_to_string(reason));
			cr_assert_eq(v.wake_ms, 4000);
			cr_assert_eq(wait_at(3999), CAUSE_WAIT_DELAY);
			cr_assert_eq(wait_at(4000), CAUSE_WAIT_NOTHING);
		}
		cr_assert_eq(v.reason, reason, "shown until the lease is back");
		cr_assert_eq(v.since_ms, 100);
		causes_held(c);
		cr_assert_eq(wait_at(4000), CAUSE_WAIT_NOTHING);
		cr_assert_eq(v.reason, REASON_NONE);
	}
}

Test(cause, a_cause_that_flaps_starts_the_delay_anew)
{
	for (uint64_t t = 0; t < 20000; t += 2000) {
		causes_begin(c, REASON_MEMORY_PRESSURE, t);
		cr_assert_eq(wait_at(t), CAUSE_WAIT_CAUSE);
		causes_end(c, REASON_MEMORY_PRESSURE, t + 1);
		cr_assert_eq(wait_at(t + 1999), CAUSE_WAIT_DELAY);
	}
	cr_assert_eq(wait_at(18001 + 3000), CAUSE_WAIT_NOTHING);
}

Test(cause, a_failure_pauses_longer_each_time)
{
	const unsigned pauses[] = { 1000, 2000, 4000, 8000, 8000, 8000 };
	uint64_t t = 0;

	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		causes_failed(c, REASON_GUEST_NO_DRIVER, t);
		cr_assert_eq(wait_at(t), CAUSE_WAIT_BACKOFF);
		cr_assert_eq(v.wake_ms, t + pauses[i]);
		cr_assert_eq(v.reason, REASON_GUEST_NO_DRIVER);
		cr_assert_eq(v.since_ms, 0, "the first of them");
		t += pauses[i];
		cr_assert_eq(wait_at(t), CAUSE_WAIT_NOTHING);
	}
	causes_held(c);
	causes_failed(c, REASON_NO_VF, t);
	cr_assert_eq(wait_at(t), CAUSE_WAIT_BACKOFF);
	cr_assert_eq(v.wake_ms, t + 1000, "from the beginning");
	causes_retry(c);
	cr_assert_eq(wait_at(t), CAUSE_WAIT_NOTHING);
}

Test(cause, attempts_are_rare)
{
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(wait_at(i * 1000), CAUSE_WAIT_NOTHING);
		causes_started(c, i * 1000);
	}
	cr_assert_eq(wait_at(3000), CAUSE_WAIT_RATE);
	cr_assert_eq(v.wake_ms, 60000);
	cr_assert_eq(wait_at(60000), CAUSE_WAIT_NOTHING);
	causes_started(c, 60000);
	cr_assert_eq(wait_at(60000), CAUSE_WAIT_RATE);
	cr_assert_eq(v.wake_ms, 61000);
	causes_retry(c);
	cr_assert_eq(wait_at(60000), CAUSE_WAIT_RATE, "what a guest can bring about lifts no limit");
}

Test(cause, the_operator_waits_for_nothing_but_causes)
{
	for (unsigned i = 0; i < 3; i++)
		causes_started(c, 10);
	causes_begin(c, REASON_PF_DOWN, 10);
	causes_end(c, REASON_PF_DOWN, 20);
	causes_failed(c, REASON_NO_VF, 20);
	causes_grant(c);
	cr_assert_eq(wait_at(21), CAUSE_WAIT_NOTHING);
	causes_begin(c, REASON_MIGRATION, 22);
	cr_assert_eq(wait_at(22), CAUSE_WAIT_CAUSE);
	causes_end(c, REASON_MIGRATION, 23);
	cr_assert_eq(wait_at(23), CAUSE_WAIT_NOTHING, "the order stands");
	causes_started(c, 24);
	cr_assert_eq(wait_at(24), CAUSE_WAIT_RATE, "once");
}

Test(cause, limits_of_the_limit)
{
	struct cause_config odd = config;

	causes_free(c);
	odd.rate_max = 0;
	c = causes_new(&odd);
	causes_started(c, 5);
	cr_assert_eq(wait_at(5), CAUSE_WAIT_RATE, "0 is 1");
	causes_free(c);
	odd.rate_max = CAUSE_RATE_MAX + 1;
	c = causes_new(&odd);
	for (unsigned i = 0; i < CAUSE_RATE_MAX; i++) {
		cr_assert_eq(wait_at(5), CAUSE_WAIT_NOTHING);
		causes_started(c, 5);
	}
	cr_assert_eq(wait_at(5), CAUSE_WAIT_RATE, "not more than the ring holds");
}
