/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gangwayd is killed, or a call to the kernel fails, at every point of following interrupts: what was changed is given back, always. */
#include <criterion/criterion.h>

#include "irq_follow_test.h"

#define ALL_WAS WAS " " WAS " " WAS

static bool is_confirmed(void *arg)
{
	struct lease *l = lease();

	(void)arg;
	return l && l->confirmed && l->state == LEASE_ATTACHED && !l->op;
}

static bool nothing_is_kept(void *arg)
{
	(void)arg;
	return !irq_keep_has(lease());
}

/*
 * The next gangwayd, on what the last has left: one that moves nothing gives them back at once, one that does goes on, and gives them back in the
 * end.
 */
static void next_one(bool moves, const char *when)
{
	json_t *irqs;

	fake_host_stop(h);
	fake_die_at(h->fake, 0);
	fake_fail_at(h->fake, 0, 0);
	fake_host_start(h);
	follow(moves);
	cr_assert(fake_host_until(h, is_confirmed, NULL, 5000), "%s: %s", when, text_now("state"));
	if (moves) {
		until_affinities("1 2 2");
	} else {
		cr_assert(fake_host_until(h, nothing_is_kept, NULL, 5000), "%s", when);
		cr_assert_str_eq(affinities(), ALL_WAS, "%s: %s", when, affinities());
		irqs = recorded();
		cr_assert_null(irqs, "%s: they are recorded still", when);
	}
	detach_irqs();
}

/* As many turns of the loop as bring all of them to their places, and one less, and so on. */
Test(irq_crash, killed_at_each_turn, .timeout = 300)
{
	unsigned nr = 0, nr_half = 0;
	bool there = false;

	for (unsigned n = 1; !there; n++, nr++) {
		char when[32];

		begin_irqs(false);
		attach_irqs();
		for (unsigned i = 0; i < n; i++)
			turn();
		there = has_affinities((void *)"1 2 2");
		nr_half += !there && !has_affinities((void *)ALL_WAS);
		snprintf(when, sizeof(when), "turn %u", n);
		next_one(n % 2, when);
		end();
	}
	printf("# killed at %u turns\n", nr);
	cr_assert_gt(nr, 4);
}

static unsigned calls;

static bool has_made_calls(void *arg)
{
	(void)arg;
	return fake_calls(h->fake) > calls;
}

/*
 * The process is dead from its n-th call on: before what an interrupt has was read, between the record and the write, between two writes, when
 * all is written.
 */
Test(irq_crash, killed_at_each_call, .timeout = 300)
{
	unsigned nr = 0, nr_recorded = 0, nr_moved = 0;

	for (unsigned n = 1; nr_moved < 8; n++, nr++) {
		json_t *irqs;
		char when[32];

		begin_irqs(false);
		attach_irqs();
		calls = fake_calls(h->fake) + n;
		fake_die_at(h->fake, n);
		cr_assert(fake_host_until(h, has_made_calls, NULL, 5000), "call %u", n);
		fake_host_settle(h);
		nr_moved += !has_affinities((void *)ALL_WAS);
		irqs = recorded();
		nr_recorded += irqs && has_affinities((void *)ALL_WAS);
		cr_assert(irqs || has_affinities((void *)ALL_WAS), "call %u: %s, and nobody knows what they were", n,
			  affinities());
		json_decref(irqs);
		snprintf(when, sizeof(when), "call %u", n);
		next_one(n % 2, when);
		end();
	}
	printf("# killed at %u calls, %u of them between the record and the first write\n", nr, nr_recorded);
	cr_assert_gt(nr, 10);
	cr_assert_gt(nr_recorded, 0);
}

static bool is_settled(void *arg)
{
	(void)arg;
	interrupt(fake_calls(h->fake));
	for (unsigned i = 0; i < 3; i++)
		if (strcmp(shown(i, "state"), "in-place") != 0 && strcmp(shown(i, "state"), "refused") != 0)
			return false;
	return true;
}

/* One that fails is of one interrupt at one look: what is not refused for good is where it belongs in the end. */
Test(irq_crash, a_call_fails, .timeout = 300)
{
	static const int nums[] = { -EIO, -ENOENT, -ENOMEM };
	unsigned nr = 0, nr_refused = 0;

	for (unsigned n = 1; n < 90; n++, nr++) {
		begin_irqs(false);
		attach_irqs();
		fake_fail_at(h->fake, n, nums[n % 3]);
		for (unsigned i = 0; i < 1000 && !fake_failed(h->fake); i++)
			turn();
		for (unsigned i = 0; i < 20; i++) /* what came of it is over */
			turn();
		for (unsigned i = 0; i < 1000 && !is_settled(NULL); i++)
			turn();
		cr_assert(is_settled(NULL), "call %u: %s %s %s", n, shown(0, "state"), shown(1, "state"), shown(2, "state"));
		for (unsigned i = 0; i < 3; i++) {
			char *is = fake_affinity(h->fake, IRQ0 + i);
			bool refused = !strcmp(shown(i, "state"), "refused");

			cr_assert_str_eq(is, refused ? WAS : i ? "2" : "1", "call %u, vector %u: %s", n, i, shown(i, "state"));
			nr_refused += refused;
			free(is);
		}
		fake_fail_at(h->fake, 0, 0);
		detach_irqs();
		end();
	}
	printf("# %u calls failed one by one, %u interrupts were refused for good\n", nr, nr_refused);
	cr_assert_lt(nr_refused, 10);
}
