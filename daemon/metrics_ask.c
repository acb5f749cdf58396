/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who asks for the metrics, by the control socket or by HTTP, waits in one list. One look at the host is under way at most, and its numbers are made
 * text once in each form that somebody waits for, in the loop: all who have come by then get the same. The next begins LIMIT_METRICS_PAUSE_MS after
 * that at the earliest. So what clients can make of the loop's time does not depend on how many they are, and how fast.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "calls.h"
#include "ctl.h"
#include "daemon.h"
#include "err.h"
#include "gangway_limits.h"
#include "log.h"
#include "metrics_internal.h"
#include "metrics_text.h"

struct metrics_wait {
	TAILQ_ENTRY(metrics_wait) link;
	struct metrics_ask *ask;
	unsigned round; /* whose numbers it gets */
	enum metrics_form form;
	metrics_fn done;
	void *ctx;
};

TAILQ_HEAD(wait_list, metrics_wait);

struct metrics_ask {
	struct daemon *d;
	struct wait_list waiting; /* by ascending round */
	unsigned round; /* the one that is under way, or is next */
	struct metrics_job *job; /* NULL: none */
	sd_event_source *timer; /* until the next may begin; NULL: it may */
};

/* --- answers --- */

static char *render(const json_t *tree, enum metrics_form form)
{
	switch (form) {
	case METRICS_JSON:
		return tree ? json_dumps(tree, JSON_COMPACT) : NULL;
	case METRICS_TEXT:
		return tree ? metrics_text(tree) : NULL;
	case METRICS_NUM_FORMS:
		break;
	}
	return NULL;
}

/* Who is told may ask again at once: that is the next round's. */
static void tell(struct metrics_ask *ask, const json_t *tree)
{
	bool rendered[METRICS_NUM_FORMS] = { false };
	char *texts[METRICS_NUM_FORMS] = { NULL };
	unsigned round = ask->round++;
	struct metrics_wait *w;

	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what is freed was taken out of the list */
	while ((w = TAILQ_FIRST(&ask->waiting)) && w->round == round) {
		if (!rendered[w->form])
			texts[w->form] = render(tree, w->form);
		rendered[w->form] = true;
		TAILQ_REMOVE(&ask->waiting, w, link);
		w->done(w->ctx, texts[w->form]);
		free(w);
	}
	for (unsigned i = 0; i < METRICS_NUM_FORMS; i++)
		free(texts[i]);
}

/* --- one look after the other --- */

static void begin(struct metrics_ask *ask);

static int on_timer(sd_event_source *s, uint64_t usec, void *ctx)
{
	struct metrics_ask *ask = ctx;

	(void)s;
	(void)usec;
	ask->timer = sd_event_source_disable_unref(ask->timer);
	if (!TAILQ_EMPTY(&ask->waiting))
		begin(ask);
	return 0;
}

/* From now on: the loop's own time is that of before the text was made. */
static void pause_for_next(struct metrics_ask *ask)
{
	struct timespec t;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
	if (sd_event_add_time(ask->d->event, &ask->timer, CLOCK_MONOTONIC, now + LIMIT_METRICS_PAUSE_MS * 1000, 1000, on_timer,
			      ask) < 0)
		log_err("metrics: no timer");
}

static void gathered(void *ctx, json_t *tree)
{
	struct metrics_ask *ask = ctx;

	tell(ask, tree);
	json_decref(tree);
	ask->job = NULL;
	pause_for_next(ask);
	if (!ask->timer && !TAILQ_EMPTY(&ask->waiting))
		begin(ask);
}

static void begin(struct metrics_ask *ask)
{
	if (metrics_gather(ask->d, gathered, ask, &ask->job) < 0)
		tell(ask, NULL);
}

int metrics_ask(struct daemon *d, enum metrics_form form, metrics_fn done, void *ctx, struct metrics_wait **ret)
{
	struct metrics_ask *ask = d->metrics_ask;
	struct metrics_wait *w;

	if (!ask) {
		ask = calloc(1, sizeof(*ask));
		if (!ask)
			return -ENOMEM;
		ask->d = d;
		TAILQ_INIT(&ask->waiting);
		d->metrics_ask = ask;
	}
	if (!ask->job && !ask->timer && metrics_gather(d, gathered, ask, &ask->job) < 0)
		return -ENOMEM;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct metrics_wait){ .ask = ask, .round = ask->round, .form = form, .done = done, .ctx = ctx };
	TAILQ_INSERT_TAIL(&ask->waiting, w, link);
	*ret = w;
	return 0;
}

void metrics_forget(struct metrics_wait *w)
{
	if (!w)
		return;
	TAILQ_REMOVE(&w->ask->waiting, w, link);
	free(w);
}

void metrics_ask_free(struct daemon *d)
{
	struct metrics_ask *ask = d->metrics_ask;

	if (!ask)
		return;
	sd_event_source_disable_unref(ask->timer);
	metrics_job_forget(ask->job);
	while (!TAILQ_EMPTY(&ask->waiting))
		tell(ask, NULL);
	d->metrics_ask = NULL;
	free(ask);
}

/* --- the call --- */

static void answer(void *ctx, const char *text)
{
	ctl_reply_text(ctx, text);
}

void call_metrics(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	struct metrics_wait *w;
	struct err err;

	if (!call_params(req, params, "{!}"))
		return;
	if (metrics_ask(d, METRICS_JSON, answer, req, &w) == 0)
		return;
	err_set(&err, -ENOMEM, "daemon.no-memory", "no memory for the call");
	ctl_fail(req, &err);
}
