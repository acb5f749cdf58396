/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cause.h"

#include <stdlib.h>

struct causes {
	struct cause_config config;
	bool active[REASON_NUM_];
	uint64_t since[REASON_NUM_];

	/* shown while no cause is active */
	enum lease_reason last;
	uint64_t last_since;

	uint64_t return_at, retry_at; /* the way back is closed until then */
	unsigned nr_failures; /* one after another */
	uint64_t started[CAUSE_RATE_MAX]; /* a ring of the last config.rate_max attempts */
	uint64_t nr_started; /* ever */
	uint64_t replaced; /* in the ring, by the last */
	bool granted; /* the next attempt waits for nothing */
};

/* Strongest first. */
static const struct {
	enum lease_reason reason;
	bool prompt;
} order[] = {
	{ REASON_OPERATOR, true },	   { REASON_MIGRATION, true },		{ REASON_POSTCOPY, true },
	{ REASON_SNAPSHOT, true },	   { REASON_VF_FAULT, false },		{ REASON_DEVICE_PROCESS_LOST, false },
	{ REASON_PF_DOWN, false },	   { REASON_MEMORY_PRIVATE, false },	{ REASON_MEMORY_NOT_RESIDENT, false },
	{ REASON_MEMORY_COW, false },	   { REASON_MEMORY_PRESSURE, false },	{ REASON_NO_VF, true },
	{ REASON_GUEST_NO_DRIVER, false }, { REASON_VMM_UNPLUG_UNSAFE, false },
};
#define NR_ORDER (sizeof(order) / sizeof(order[0]))
_Static_assert(NR_ORDER == REASON_NUM_ - 1, "a reason has no place in the order");

struct causes *causes_new(const struct cause_config *config)
{
	struct causes *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->config = *config;
	if (c->config.rate_max == 0)
		c->config.rate_max = 1;
	if (c->config.rate_max > CAUSE_RATE_MAX)
		c->config.rate_max = CAUSE_RATE_MAX;
	return c;
}

struct causes *causes_free(struct causes *c)
{
	free(c);
	return NULL;
}

static enum lease_reason strongest(const struct causes *c)
{
	for (size_t i = 0; i < NR_ORDER; i++)
		if (c->active[order[i].reason])
			return order[i].reason;
	return REASON_NONE;
}

bool causes_is_prompt(enum lease_reason reason)
{
	for (size_t i = 0; i < NR_ORDER; i++)
		if (order[i].reason == reason)
			return order[i].prompt;
	return false;
}

bool causes_has(const struct causes *c, enum lease_reason reason)
{
	return reason < REASON_NUM_ && c->active[reason];
}

bool causes_begin(struct causes *c, enum lease_reason reason, uint64_t now_ms)
{
	if (reason == REASON_NONE || reason >= REASON_NUM_ || c->active[reason])
		return false;
	c->active[reason] = true;
	c->since[reason] = now_ms;
	return true;
}

bool causes_end(struct causes *c, enum lease_reason reason, uint64_t now_ms)
{
	if (!causes_has(c, reason))
		return false;
	c->last = strongest(c);
	c->last_since = c->since[c->last];
	c->active[reason] = false;
	if (!causes_is_prompt(reason))
		c->return_at = now_ms + c->config.return_delay_ms;
	return true;
}

void causes_grant(struct causes *c)
{
	c->return_at = 0;
	c->retry_at = 0;
	c->granted = true;
}

void causes_started(struct causes *c, uint64_t now_ms)
{
	uint64_t *slot = &c->started[c->nr_started++ % c->config.rate_max];

	c->replaced = *slot;
	*slot = now_ms;
	c->granted = false;
}

void causes_cost_nothing(struct causes *c)
{
	c->started[--c->nr_started % c->config.rate_max] = c->replaced;
}

void causes_failed(struct causes *c, enum lease_reason reason, uint64_t now_ms)
{
	uint64_t pause = c->config.backoff_first_ms;

	for (unsigned i = 0; i < c->nr_failures && pause < c->config.backoff_max_ms; i++)
		pause *= 2;
	if (pause > c->config.backoff_max_ms)
		pause = c->config.backoff_max_ms;
	c->nr_failures++;
	c->retry_at = now_ms + pause;
	if (c->last != reason) {
		c->last = reason;
		c->last_since = now_ms;
	}
}

void causes_held(struct causes *c)
{
	c->nr_failures = 0;
	c->retry_at = 0;
	c->return_at = 0;
	c->granted = false;
	c->last = REASON_NONE;
}

void causes_retry(struct causes *c)
{
	c->retry_at = 0;
}

/* When the rate limit lets the next attempt begin. */
static uint64_t rate_at(const struct causes *c)
{
	unsigned max = c->config.rate_max;

	/* the slot that the next attempt takes holds the oldest of the last @max */
	return c->nr_started < max ? 0 : c->started[c->nr_started % max] + c->config.rate_window_ms;
}

const char *cause_wait_to_string(enum cause_wait wait)
{
	switch (wait) {
	case CAUSE_WAIT_NOTHING:
		return "nothing";
	case CAUSE_WAIT_CAUSE:
		return "cause";
	case CAUSE_WAIT_DELAY:
		return "delay";
	case CAUSE_WAIT_BACKOFF:
		return "backoff";
	case CAUSE_WAIT_RATE:
		return "rate";
	}
	return "?";
}

void causes_decide(const struct causes *c, uint64_t now_ms, struct verdict *ret)
{
	enum lease_reason reason = strongest(c);

	*ret = (struct verdict){ .reason = c->last, .since_ms = c->last_since, .wake_ms = CAUSE_NEVER };
	if (reason != REASON_NONE) {
		*ret = (struct verdict){ CAUSE_WAIT_CAUSE, reason, c->since[reason], CAUSE_NEVER };
		return;
	}
	if (c->granted)
		return;
	if (now_ms < c->return_at) {
		ret->wait = CAUSE_WAIT_DELAY;
		ret->wake_ms = c->return_at;
	} else if (now_ms < c->retry_at) {
		ret->wait = CAUSE_WAIT_BACKOFF;
		ret->wake_ms = c->retry_at;
	} else if (now_ms < rate_at(c)) {
		ret->wait = CAUSE_WAIT_RATE;
		ret->wake_ms = rate_at(c);
	}
}
