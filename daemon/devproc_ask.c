/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions to a gangway-device process that somebody waits for the answer to. Each has a tag, which comes back with the answer: one
 * that comes too late finds nobody. An answer that nobody waits for is no offence.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devproc_internal.h"
#include "hex64.h"

struct devproc_ask {
	LIST_ENTRY(devproc_ask) link;
	struct devproc *proc;
	int64_t tag;
	uint64_t from;
	devproc_dma_fn done;
	void *ctx;
	sd_event_source *timer;
};

static void ask_free(struct devproc_ask *a)
{
	sd_event_source_disable_unref(a->timer);
	free(a);
}

static void finish(struct devproc_ask *a, const struct devproc_dma *page, const struct err *err)
{
	LIST_REMOVE(a, link);
	a->proc->nr_asks--;
	a->done(a->ctx, page, err);
	ask_free(a);
}

static int on_silence(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct devproc_ask *a = userdata;
	struct err err = { 0 };

	(void)source;
	(void)usec;
	err_set(&err, -ETIMEDOUT, "devproc.silent", "lease %s: its device process does not answer", a->proc->id);
	err_hint(&err, "it may be resetting the VF or unpinning the guest's memory; try again");
	finish(a, NULL, &err);
	return 0;
}

static int lost(const struct devproc *p, struct err *err)
{
	return err_set(err, -ECONNRESET, "devproc.lost", "lease %s: its device process has ended, or is being ended", p->id);
}

static int send_ask(struct devproc *p, const struct devproc_ask *a, struct err *err)
{
	char text[96], from[HEX64_SIZE];
	int r;

	snprintf(text, sizeof(text), "{\"op\":\"dma\",\"from\":\"%s\",\"tag\":%lld}", hex64_format(a->from, from),
		 (long long)a->tag);
	r = devproc_send(p, text);
	if (r == -EAGAIN) {
		r = err_set(err, -EBUSY, "devproc.busy", "lease %s: its device process does not read", p->id);
		err_hint(err, "try again");
	} else if (r < 0) {
		r = lost(p, err);
	}
	return r;
}

int devproc_ask_dma(struct devproc *p, uint64_t from, devproc_dma_fn done, void *ctx, struct err *err)
{
	struct devproc_ask *a;
	int r;

	if (p->stopping || p->gone)
		return lost(p, err);
	if (p->nr_asks >= DEVPROC_DMA_ASKS) {
		err_set(err, -EBUSY, "devproc.busy", "lease %s: its device process has %d questions to answer already", p->id,
			DEVPROC_DMA_ASKS);
		err_hint(err, "try again");
		return -EBUSY;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return err_set(err, -ENOMEM, "devproc.no-memory", "out of memory");
	*a = (struct devproc_ask){ .proc = p, .tag = ++p->last_tag, .from = from, .done = done, .ctx = ctx };
	r = sd_event_add_time_relative(p->event, &a->timer, CLOCK_MONOTONIC, DEVPROC_DMA_MS * UINT64_C(1000), 0, on_silence, a);
	if (r < 0)
		r = err_set(err, r, "devproc.event", "event loop: %s", strerror(-r));
	else
		r = send_ask(p, a, err);
	if (r < 0) {
		ask_free(a);
		return r;
	}
	LIST_INSERT_HEAD(&p->asks, a, link);
	p->nr_asks++;
	return 0;
}

/* An error has no tag: answers come in the order of what they answer. @oldest: the question that it may be to otherwise. */
static bool answers_shared(struct devproc *p, const struct devproc_msg *msg, const struct devproc_ask *oldest)
{
	if (!p->nr_shared || (msg->op != DEVPROC_OP_SHARED && msg->op != DEVPROC_OP_ERROR))
		return false;
	if (msg->op == DEVPROC_OP_ERROR && oldest && oldest->tag <= p->shared_after)
		return false;
	p->nr_shared--;
	p->no_shared = msg->op == DEVPROC_OP_ERROR;
	return true;
}

int devproc_answered(struct devproc *p, const struct devproc_msg *msg)
{
	struct devproc_ask *a, *oldest = NULL;
	struct err err = { 0 };

	LIST_FOREACH(a, &p->asks, link)
	{
		if (msg->op == DEVPROC_OP_DMA && a->tag == msg->tag)
			break;
		oldest = a;
	}
	if (answers_shared(p, msg, oldest))
		return 0;
	if (msg->op == DEVPROC_OP_DMA && a) {
		if (msg->dma.nr && msg->dma.ranges[0].last < a->from)
			return -EPROTO;
		finish(a, &msg->dma, NULL);
	} else if (msg->op == DEVPROC_OP_ERROR && oldest) {
		err_set(&err, -EOPNOTSUPP, "devproc.old", "lease %s: its device process cannot tell: it is of an older gangway",
			p->id);
		err_hint(&err, "detach and attach again when the guest can spare its VF");
		finish(oldest, NULL, &err);
	}
	return 0;
}

void devproc_asks_lost(struct devproc *p)
{
	struct devproc_ask *a;
	struct err err = { 0 };

	lost(p, &err);
	while ((a = LIST_FIRST(&p->asks)))
		finish(a, NULL, &err); /* NOLINT(clang-analyzer-unix.Malloc): it takes itself out of the list */
}
