/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The runner of step tables: order, what is skipped, what waits, and the way back. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "fake.h"
#include "steps.h"
#include "work.h"

#define NR 4

struct bench {
	struct fake *fake;
	sd_event *event;
	struct work_pool *pool;
	struct steps *steps;
	pthread_t loop;
	/* what the steps do: result of run and undo, 0 unless said */
	int run[NR], undo[NR];
	bool skip[NR], silent; /* silent: fail without filling the error */
	unsigned ms[NR];
	/* what was seen */
	char log[512];
	unsigned on_worker, finished;
	int r;
	struct err err;
	const struct step *stuck;
};

static void note(struct bench *b, const char *verb, int i)
{
	size_t n = strlen(b->log);

	snprintf(b->log + n, sizeof(b->log) - n, "%s%s%c", n ? " " : "", verb, 'a' + i);
	if (!pthread_equal(pthread_self(), b->loop))
		b->on_worker++;
}

static int fail_or(struct bench *b, const char *verb, int i, int r, struct err *err)
{
	note(b, verb, i);
	fake_advance(b->fake, b->ms[i] * 1000ull);
	if (r < 0 && !b->silent)
		err_set(err, r, "test.failed", "%s%c failed", verb, 'a' + i);
	return r;
}

#define STEP_FUNCTIONS(i)                                                                                                        \
	static int run_##i(void *ctx, struct err *err)                                                                           \
	{                                                                                                                        \
		struct bench *b = ctx;                                                                                           \
		return fail_or(b, "+", i, b->run[i], err);                                                                       \
	}                                                                                                                        \
	static int undo_##i(void *ctx, struct err *err)                                                                          \
	{                                                                                                                        \
		struct bench *b = ctx;                                                                                           \
		return fail_or(b, "-", i, b->undo[i], err);                                                                      \
	}                                                                                                                        \
	static bool applies_##i(const void *ctx)                                                                                 \
	{                                                                                                                        \
		return !((const struct bench *)ctx)->skip[i];                                                                    \
	}                                                                                                                        \
	static void after_##i(void *ctx)                                                                                         \
	{                                                                                                                        \
		note(ctx, "!", i);                                                                                               \
	}

STEP_FUNCTIONS(0)
STEP_FUNCTIONS(1)
STEP_FUNCTIONS(2)
STEP_FUNCTIONS(3)

static void what(const void *ctx, char *buf, size_t size)
{
	(void)ctx;
	snprintf(buf, size, "something");
}

/* clang-format off */
#define ROW(n, i) .name = n, .what = what, .run = run_##i, .undo = undo_##i, .applies = applies_##i, .after = after_##i
/* clang-format on */

static const struct step table[NR] = {
	{ ROW("a", 0), .preflight = true },
	{ ROW("b", 1), .worker = true },
	{ ROW("c", 2) },
	{ ROW("d", 3), .worker = true },
};

static void on_progress(void *ctx, const struct step *step, size_t index)
{
	(void)ctx;
	cr_assert_eq(step, &table[index]);
}

static void on_finished(void *ctx, int r, const struct err *err, const struct step *stuck)
{
	struct bench *b = ctx;

	b->finished++;
	b->r = r;
	b->stuck = stuck;
	cr_assert_eq(r == 0, err == NULL);
	if (err)
		b->err = *err;
}

static const struct steps_ops ops = { .progress = on_progress, .finished = on_finished };

static void setup(struct bench *b)
{
	b->fake = fake_new();
	b->loop = pthread_self();
	cr_assert_geq(sd_event_new(&b->event), 0);
	cr_assert_eq(work_pool_new(b->event, &b->pool), 0);
	b->steps = steps_new(fake_sys(b->fake), b->pool, table, NR, &ops, b);
	cr_assert_not_null(b->steps);
}

static void teardown(struct bench *b)
{
	steps_free(b->steps);
	work_pool_free(b->pool);
	sd_event_unref(b->event);
	fake_free(b->fake);
}

static void until_finished(struct bench *b)
{
	while (!b->finished)
		cr_assert_gt(sd_event_run(b->event, 5000000), 0, "still not finished: %s", b->log);
	cr_assert_eq(b->finished, 1);
}

static void go(struct bench *b)
{
	setup(b);
	steps_run(b->steps, false);
	until_finished(b);
}

static enum step_state state_of(const struct bench *b, size_t i)
{
	return steps_result(b->steps, i)->state;
}

Test(steps, down_the_table)
{
	struct bench b = { .ms = { 1, 20, 300, 0 } };
	static const uint64_t us[NR] = { 1000, 20000, 300000, 0 };
	size_t nr;

	go(&b);
	cr_assert_eq(b.r, 0);
	cr_assert_null(b.stuck);
	cr_assert_str_eq(b.log, "+a !a +b !b +c !c +d !d");
	cr_assert_eq(b.on_worker, 2, "b and d, and nothing else, on a worker: %u", b.on_worker);
	cr_assert_eq(steps_table(b.steps, &nr), table);
	cr_assert_eq(nr, NR);
	for (size_t i = 0; i < NR; i++) {
		cr_assert_eq(state_of(&b, i), STEP_DONE);
		cr_assert_eq(steps_result(b.steps, i)->us, us[i]);
	}
	teardown(&b);
}

Test(steps, what_does_not_apply_is_skipped_both_ways)
{
	struct bench b = { .skip = { [1] = true, [2] = true }, .run = { [3] = -EIO } };

	go(&b);
	cr_assert_eq(b.r, -EIO);
	cr_assert_str_eq(b.log, "+a !a +d -d -a");
	cr_assert_eq(state_of(&b, 0), STEP_UNDONE);
	cr_assert_eq(state_of(&b, 1), STEP_SKIPPED);
	cr_assert_eq(state_of(&b, 2), STEP_SKIPPED);
	cr_assert_eq(state_of(&b, 3), STEP_FAILED);
	teardown(&b);
}

Test(steps, a_failure_turns_round_with_its_own_undo)
{
	for (int i = 0; i < NR; i++) {
		static const char *const logs[NR] = { "+a -a", "+a !a +b -b -a", "+a !a +b !b +c -c -b -a",
						      "+a !a +b !b +c !c +d -d -c -b -a" };
		struct bench b = { .run = { 0 } };

		b.run[i] = -ENOSPC;
		go(&b);
		cr_assert_eq(b.r, -ENOSPC);
		cr_assert_null(b.stuck);
		cr_assert_str_eq(b.err.code, "test.failed");
		cr_assert_str_eq(b.log, logs[i]);
		for (int k = 0; k < NR; k++)
			cr_assert_eq(state_of(&b, (size_t)k), k == i ? STEP_FAILED : k < i ? STEP_UNDONE : STEP_PLANNED);
		teardown(&b);
	}
}

Test(steps, an_undo_that_fails_stops_there_and_the_first_error_is_told)
{
	struct bench b = { .run = { [3] = -EIO }, .undo = { [1] = -EBUSY } };

	go(&b);
	cr_assert_eq(b.r, -EIO);
	cr_assert_str_eq(b.err.msg, "+d failed");
	cr_assert_str_eq(b.stuck->name, "b");
	cr_assert_str_eq(b.log, "+a !a +b !b +c !c +d -d -c -b");
	cr_assert_eq(state_of(&b, 1), STEP_DONE);
	cr_assert_eq(state_of(&b, 2), STEP_UNDONE);
	teardown(&b);
}

Test(steps, undo_alone)
{
	struct bench b = { .skip = { [2] = true }, .ms = { 1, 20, 300, 0 } };

	setup(&b);
	steps_undo(b.steps);
	until_finished(&b);
	cr_assert_eq(b.r, 0);
	cr_assert_str_eq(b.log, "-d -b -a");
	cr_assert_eq(b.on_worker, 2);
	cr_assert_eq(state_of(&b, 1), STEP_UNDONE);
	cr_assert_eq(state_of(&b, 2), STEP_SKIPPED, "what does not apply was not undone");
	cr_assert_eq(steps_result(b.steps, 1)->us, 20000);
	teardown(&b);
}

Test(steps, undo_alone_that_gets_stuck)
{
	struct bench b = { .undo = { [2] = -ETIMEDOUT } };

	setup(&b);
	steps_undo(b.steps);
	until_finished(&b);
	cr_assert_eq(b.r, -ETIMEDOUT);
	cr_assert_str_eq(b.err.msg, "-c failed");
	cr_assert_str_eq(b.stuck->name, "c");
	cr_assert_str_eq(b.log, "-d -c");
	teardown(&b);
}

Test(steps, a_failure_without_words_gets_some)
{
	struct bench run = { .run = { [1] = -EPERM }, .silent = true }, undo = { .undo = { [1] = -EPERM }, .silent = true };

	go(&run);
	cr_assert_eq(run.r, -EPERM);
	cr_assert_eq(run.err.num, -EPERM);
	cr_assert_str_eq(run.err.code, "daemon.step-failed");
	teardown(&run);
	setup(&undo);
	steps_undo(undo.steps);
	until_finished(&undo);
	cr_assert_eq(undo.r, -EPERM);
	cr_assert_eq(undo.err.num, -EPERM, "an error with no errno would be sent as none");
	cr_assert_str_eq(undo.err.code, "daemon.step-failed");
	teardown(&undo);
}

Test(steps, pending_goes_on_when_told)
{
	struct bench b = { .run = { [2] = STEP_PENDING }, .undo = { [2] = STEP_PENDING } };
	struct err late;

	setup(&b);
	steps_run(b.steps, false);
	while (!strstr(b.log, "+c"))
		cr_assert_gt(sd_event_run(b.event, 5000000), 0);
	cr_assert_eq(b.finished, 0);
	cr_assert_eq(sd_event_run(b.event, 1000), 0, "nothing happens by itself");
	fake_advance(b.fake, 7000);
	err_set(&late, -ECONNRESET, "test.late", "it went away");
	steps_done(b.steps, -ECONNRESET, &late);
	cr_assert_eq(b.finished, 0, "now the undo of c is pending");
	cr_assert_str_eq(b.log, "+a !a +b !b +c -c");
	cr_assert_eq(steps_result(b.steps, 2)->us, 7000);
	steps_done(b.steps, 0, NULL);
	until_finished(&b);
	cr_assert_eq(b.r, -ECONNRESET);
	cr_assert_str_eq(b.err.code, "test.late");
	cr_assert_str_eq(b.log, "+a !a +b !b +c -c -b -a");
	teardown(&b);
}

Test(steps, pending_that_succeeds)
{
	struct bench b = { .run = { [2] = STEP_PENDING } };

	setup(&b);
	steps_run(b.steps, false);
	while (!strstr(b.log, "+c"))
		cr_assert_gt(sd_event_run(b.event, 5000000), 0);
	steps_done(b.steps, 0, NULL);
	until_finished(&b);
	cr_assert_eq(b.r, 0);
	cr_assert_str_eq(b.log, "+a !a +b !b +c !c +d !d");
	teardown(&b);
}

Test(steps, a_dry_run_runs_preflight_only)
{
	struct bench good = { .skip = { [3] = true } }, bad = { .run = { -EINVAL } };

	setup(&good);
	steps_run(good.steps, true);
	until_finished(&good);
	cr_assert_eq(good.r, 0);
	cr_assert_str_eq(good.log, "+a !a");
	cr_assert_eq(state_of(&good, 0), STEP_DONE);
	cr_assert_eq(state_of(&good, 1), STEP_PLANNED);
	cr_assert_eq(state_of(&good, 3), STEP_SKIPPED);
	teardown(&good);
	setup(&bad);
	steps_run(bad.steps, true);
	until_finished(&bad);
	cr_assert_eq(bad.r, -EINVAL);
	cr_assert_str_eq(bad.log, "+a -a");
	teardown(&bad);
}

/* A preflight step behind one that was only planned: what was not done is not undone. */
Test(steps, a_dry_run_that_fails_undoes_no_more_than_it_did)
{
	static const struct step mixed[] = { { ROW("a", 0), .preflight = true },
					     { ROW("c", 2) },
					     { ROW("d", 3), .preflight = true } };
	struct bench b = { .run = { [3] = -EINVAL } };
	static const struct steps_ops quiet = { .finished = on_finished };

	setup(&b);
	steps_free(b.steps);
	b.steps = steps_new(fake_sys(b.fake), b.pool, mixed, 3, &quiet, &b);
	steps_run(b.steps, true);
	until_finished(&b);
	cr_assert_eq(b.r, -EINVAL);
	cr_assert_str_eq(b.log, "+a !a +d -d -a");
	cr_assert_eq(state_of(&b, 1), STEP_PLANNED);
	teardown(&b);
}

Test(steps, words)
{
	cr_assert_str_eq(step_waits_to_string(STEP_WAITS_NOTHING), "nothing");
	cr_assert_str_eq(step_waits_to_string(STEP_WAITS_KERNEL), "kernel");
	cr_assert_str_eq(step_waits_to_string(STEP_WAITS_VMM), "vmm");
	cr_assert_str_eq(step_waits_to_string(STEP_WAITS_GUEST), "guest");
	cr_assert_null(steps_free(NULL));
}
