/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps.h"

#include <errno.h>
#include <stdlib.h>

#include "log.h"
#include "sys.h"
#include "work.h"

struct steps {
	struct sys *sys;
	struct work_pool *pool;
	const struct step *table;
	size_t nr;
	const struct steps_ops *ops;
	void *ctx;

	size_t at; /* step under way; when undoing one more, so that 0 is the end */
	bool undoing, dry;
	bool undid; /* the step under way has an undo that applies: it was called */
	uint64_t began; /* of the step under way */
	int first_r;
	struct err first_err; /* why the run turned round */
	struct err err; /* of the step under way; a worker may write it while it runs */
	struct step_result *results;
};

static const char *const waits_names[] = { "nothing", "kernel", "vmm", "guest" };

const char *step_waits_to_string(enum step_waits waits)
{
	return waits_names[waits];
}

struct steps *steps_new(struct sys *sys, struct work_pool *pool, const struct step *table, size_t nr, const struct steps_ops *ops,
			void *ctx)
{
	struct steps *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->results = calloc(nr, sizeof(*s->results));
	if (!s->results) {
		free(s);
		return NULL;
	}
	s->sys = sys;
	s->pool = pool;
	s->table = table;
	s->nr = nr;
	s->ops = ops;
	s->ctx = ctx;
	return s;
}

struct steps *steps_free(struct steps *s)
{
	if (s) {
		free(s->results);
		free(s);
	}
	return NULL;
}

const struct step *steps_table(const struct steps *s, size_t *ret_nr)
{
	*ret_nr = s->nr;
	return s->table;
}

const struct step_result *steps_result(const struct steps *s, size_t index)
{
	return &s->results[index];
}

static int on_worker(void *arg)
{
	struct steps *s = arg;

	if (s->undoing)
		return s->table[s->at - 1].undo(s->ctx, &s->err);
	return s->table[s->at].run(s->ctx, &s->err);
}

static void advance(struct steps *s, int r);

static void worker_done(int r, void *arg)
{
	advance(arg, r);
}

/* Call run or undo of one step, on a thread if it may block. */
static int call(struct steps *s, const struct step *step, int (*fn)(void *, struct err *))
{
	int r;

	err_clear(&s->err);
	s->began = s->sys->ops->now_us(s->sys);
	if (!step->worker)
		return fn(s->ctx, &s->err);
	r = work_submit(s->pool, on_worker, worker_done, s);
	return r < 0 ? err_set(&s->err, r, "daemon.no-memory", "step %s: no memory for a worker", step->name) : STEP_PENDING;
}

/* One undo. Returns what advance() is to go on with. */
static int undo_one(struct steps *s)
{
	const struct step *step = &s->table[s->at - 1];
	bool applies = !step->applies || step->applies(s->ctx);

	/* the way back of a dry run leaves alone what was only planned */
	s->undid = step->undo && applies && !(s->dry && !step->preflight);
	if (!applies)
		s->results[s->at - 1].state = STEP_SKIPPED;
	if (!s->undid)
		return 0;
	if (s->ops->progress)
		s->ops->progress(s->ctx, step, s->at - 1);
	return call(s, step, step->undo);
}

static int run_one(struct steps *s)
{
	const struct step *step = &s->table[s->at];

	if (!step->run || (step->applies && !step->applies(s->ctx))) {
		s->results[s->at].state = STEP_SKIPPED;
		return 0;
	}
	if (s->dry && !step->preflight)
		return 0;
	if (s->ops->progress)
		s->ops->progress(s->ctx, step, s->at);
	return call(s, step, step->run);
}

/* A step that failed without a word. */
static void name_failure(struct err *err, int r, const struct step *step)
{
	if (!err->num)
		err_set(err, r, "daemon.step-failed", "step %s failed", step->name);
}

/* Book what run of the step under way gave; turns round on failure. */
static void book_run(struct steps *s, int r)
{
	const struct step *step = &s->table[s->at];
	struct step_result *res = &s->results[s->at];
	bool ran = res->state != STEP_SKIPPED && !(s->dry && !step->preflight);

	if (ran)
		res->began_us = s->began, res->us = s->sys->ops->now_us(s->sys) - s->began;
	if (r < 0) {
		res->state = STEP_FAILED;
		s->first_r = r;
		s->first_err = s->err;
		name_failure(&s->first_err, r, step);
		s->undoing = true;
		s->at++;
		return;
	}
	if (ran) {
		res->state = STEP_DONE;
		if (step->after)
			step->after(s->ctx);
	}
	s->at++;
}

/* Book what undo of the step under way gave. */
static void book_undo(struct steps *s)
{
	struct step_result *res = &s->results[s->at - 1];

	if (s->undid && res->state != STEP_FAILED) {
		res->state = STEP_UNDONE;
		/* of a run that turned round, the times are those of the way down */
		if (!s->first_r)
			res->began_us = s->began, res->us = s->sys->ops->now_us(s->sys) - s->began;
	}
	s->at--;
}

/* The step under way gave @r: book it and go on until one is pending or all are through. */
static void advance(struct steps *s, int r)
{
	for (;;) {
		if (s->undoing && r < 0) {
			const struct step *step = &s->table[s->at - 1];

			name_failure(&s->err, r, step);
			log_debug("undo of step %s: %s", step->name, s->err.msg);
			s->ops->finished(s->ctx, s->first_r ? s->first_r : r, s->first_r ? &s->first_err : &s->err, step);
			return;
		}
		if (s->undoing)
			book_undo(s);
		else
			book_run(s, r);
		if (s->undoing ? s->at == 0 : s->at == s->nr) {
			s->ops->finished(s->ctx, s->first_r, s->first_r ? &s->first_err : NULL, NULL);
			return;
		}
		r = s->undoing ? undo_one(s) : run_one(s);
		if (r == STEP_PENDING)
			return;
	}
}

void steps_run(struct steps *s, bool dry)
{
	int r;

	s->dry = dry;
	s->undoing = false;
	s->at = 0;
	r = run_one(s);
	if (r != STEP_PENDING)
		advance(s, r);
}

void steps_undo(struct steps *s)
{
	int r;

	s->undoing = true;
	s->at = s->nr;
	r = undo_one(s);
	if (r != STEP_PENDING)
		advance(s, r);
}

void steps_done(struct steps *s, int r, const struct err *err)
{
	if (err)
		s->err = *err;
	advance(s, r);
}
