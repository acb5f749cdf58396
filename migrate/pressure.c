/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pressure.h"

#define FLAPS_MAX 5
#define SOON 8 /* times calm_ms after its end: back so soon, it flaps */

uint64_t pressure_calm_ms(const struct pressure *p, const struct pressure_config *c)
{
	return (uint64_t)c->calm_ms << (p->nr_flaps < FLAPS_MAX ? p->nr_flaps : FLAPS_MAX);
}

bool pressure_stall(struct pressure *p, const struct pressure_config *c, uint64_t now_ms)
{
	p->last_ms = now_ms;
	if (p->on)
		return false;
	if (p->seen && now_ms - p->since_ms < (uint64_t)SOON * c->calm_ms)
		p->nr_flaps += p->nr_flaps < FLAPS_MAX;
	else
		p->nr_flaps = 0;
	p->on = true;
	p->seen = true;
	p->since_ms = now_ms;
	return true;
}

bool pressure_host(struct pressure *p, const struct pressure_config *c, const struct pressure_host *h, uint64_t now_ms)
{
	bool little = h->available < c->high || h->reclaims;
	bool short_of = h->available < (p->on ? c->high : c->low);
	bool swaps = c->swapin_limit && h->swapins > (p->on ? c->swapin_limit / 2 : c->swapin_limit);

	return short_of || (little && (swaps || h->stalled)) ? pressure_stall(p, c, now_ms) : pressure_tick(p, c, now_ms);
}

bool pressure_tick(struct pressure *p, const struct pressure_config *c, uint64_t now_ms)
{
	if (!p->on || now_ms - p->last_ms < pressure_calm_ms(p, c))
		return false;
	p->on = false;
	p->since_ms = now_ms;
	return true;
}
