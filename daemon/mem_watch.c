/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "guests.h"
#include "lease.h"
#include "log.h"
#include "mem_check.h"
#include "mem_host.h"
#include "mem_watch_internal.h"
#include "switcher.h"

#define ACCURACY_US 50000

uint64_t mem_now_ms(const struct mem_watch *w)
{
	uint64_t now = 0;

	sd_event_now(w->d->event, CLOCK_MONOTONIC, &now);
	return now / 1000;
}

struct mem_guest *mem_guest_find(const struct mem_watch *w, const char *name)
{
	struct mem_guest *g;

	LIST_FOREACH(g, &w->guests, link)
	if (!strcmp(g->name, name))
		return g;
	return NULL;
}

struct mem_guest *mem_guest_get(struct mem_watch *w, const char *name)
{
	struct mem_guest *g = mem_guest_find(w, name);

	if (g)
		return g;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	strncpy(g->name, name, sizeof(g->name) - 1);
	LIST_INSERT_HEAD(&w->guests, g, link);
	return g;
}

static void guest_drop(struct mem_guest *g)
{
	LIST_REMOVE(g, link);
	mem_psi_drop(&g->psi);
	free(g);
}

void mem_set_phase(struct mem_watch *w, struct mem_guest *g, enum mem_phase phase)
{
	g->phase = phase;
	g->phase_ms = mem_now_ms(w);
}

bool mem_is_watched(const struct mem_watch *w, const char *guest)
{
	const struct lease *l;

	TAILQ_FOREACH(l, &w->d->leases, link)
	if ((l->memory.adaptive || l->memory.pressed) && !strcmp(l->guest, guest))
		return true;
	return false;
}

/* Those that may leave, or are away, and nobody else. */
static void update_guests(struct mem_watch *w)
{
	struct mem_guest *g, *next;
	const struct lease *l;

	TAILQ_FOREACH(l, &w->d->leases, link)
	if (l->memory.adaptive || l->memory.pressed)
		mem_guest_get(w, l->guest);
	for (g = LIST_FIRST(&w->guests); g; g = next) {
		next = LIST_NEXT(g, link);
		if (!mem_is_watched(w, g->name))
			guest_drop(g);
	}
}

static bool has_held(const struct mem_watch *w)
{
	const struct lease *l;

	TAILQ_FOREACH(l, &w->d->leases, link)
	if (l->memory.held == REASON_MEMORY_NOT_RESIDENT)
		return true;
	return false;
}

void mem_watch_looked(struct mem_watch *w)
{
	mem_act(w);
}

/* There is no event for memory that becomes available, and none for calm: so it is looked for, while there is somebody whom it concerns. */
static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct mem_watch *w = ctx;
	uint64_t now = mem_now_ms(w) * 1000;

	update_guests(w);
	if (LIST_EMPTY(&w->guests)) {
		mem_psi_drop(&w->psi);
		w->host = w->more = (struct pressure){ 0 };
		w->looked_ms = 0;
		w->stalled = false;
	}
	if (!LIST_EMPTY(&w->guests) || has_held(w))
		mem_look_begin(w);
	if (sd_event_source_set_time(source, (usec > now ? usec : now) + (uint64_t)w->d->config.poll_ms * 1000) < 0 ||
	    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0)
		log_err("memory: no timer: it is not looked at any more");
	return 0;
}

/* At the start, when nobody waits for the loop. */
static void set_levels(struct mem_watch *w)
{
	struct mem_host host = { 0 };
	char low[MEM_TEXT_MAX], high[MEM_TEXT_MAX], total[MEM_TEXT_MAX];

	if (mem_host_read(w->d->sys, &host, NULL) < 0)
		log_warn("memory: how much the host has is not told, ignoring");
	config_memory_levels(&w->d->config, host.total, &w->config.low, &w->config.high);
	mem_text(w->config.low, low);
	mem_text(w->config.high, high);
	if (host.total && w->config.high >= host.total)
		log_warn("memory: it is short until %s are available (high_mib), and the host has %s in all: nobody who leaves "
			 "comes back, ignoring",
			 high, mem_text(host.total, total));
	else
		log_debug("memory: it is short below %s, until %s are available", low, high);
}

int mem_watch_new(struct daemon *d, struct err *err)
{
	struct mem_watch *w = calloc(1, sizeof(*w));
	uint64_t now = 0;

	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	if (!w || sd_event_add_time(d->event, &w->timer, CLOCK_MONOTONIC, now + (uint64_t)d->config.poll_ms * 1000, ACCURACY_US,
				    on_timer, w) < 0) {
		free(w);
		return err_set(err, -ENOMEM, "daemon.no-memory", "no memory to watch the host's");
	}
	w->d = d;
	w->config = (struct pressure_config){ .swapin_limit = d->config.swapin_limit, .calm_ms = d->config.calm_ms };
	set_levels(w);
	LIST_INIT(&w->guests);
	d->mem_watch = w;
	return 0;
}

/* Why it is off its VF is not recorded; if memory was short, it may be so still, which takes a while to be seen. */
void mem_watch_adopt(struct lease *l)
{
	const struct lease *other;

	/* nor one that an operator's word keeps there, or whose guest has another VF all the same */
	TAILQ_FOREACH(other, &l->daemon->leases, link)
	if (!strcmp(other->guest, l->guest) && switcher_has_vf(other))
		return;
	if (l->daemon->mem_watch && l->memory.adaptive && !l->sw && !l->stay_emulated)
		l->memory.pressed = true;
}

void mem_watch_hint(struct daemon *d)
{
	struct mem_watch *w = d->mem_watch;

	if (w && !d->stopping && !LIST_EMPTY(&w->guests) && sd_event_source_set_time(w->timer, mem_now_ms(w) * 1000) < 0)
		log_debug("memory: no timer, ignoring");
}

/* After the workers, whose last word is told to nobody. */
struct mem_watch *mem_watch_free(struct mem_watch *w)
{
	struct mem_guest *g, *next;

	if (!w)
		return NULL;
	sd_event_source_disable_unref(w->timer);
	mem_look_free(w->look);
	mem_check_forget(w->check);
	mem_psi_drop(&w->psi);
	for (g = LIST_FIRST(&w->guests); g; g = next) {
		next = LIST_NEXT(g, link);
		guest_drop(g);
	}
	free(w);
	return NULL;
}

/* --- for the control protocol --- */

static json_t *watched_to_json(const struct mem_guest *g)
{
	static const char *const phases[] = { "home", "leaving", "left", "away", "coming" };

	return json_pack("{s:s, s:s, s:b, s:b, s:I, s:I}", "guest", g->name, "phase", phases[g->phase], "pressure",
			 g->pressure.on, "psi", g->psi.source != NULL, "locked", (json_int_t)g->locked, "left_ms",
			 (json_int_t)g->left_ms);
}

json_t *mem_watch_to_json(const struct mem_watch *w)
{
	const struct mem_guest *g;
	json_t *list;

	if (!w || LIST_EMPTY(&w->guests))
		return json_null();
	list = json_array();
	LIST_FOREACH(g, &w->guests, link)
	json_array_append_new(list, watched_to_json(g));
	return json_pack("{s:b, s:b, s:I, s:I, s:I, s:o}", "pressure", w->host.on, "psi", w->psi.source != NULL, "available",
			 (json_int_t)w->available, "low", (json_int_t)w->config.low, "high", (json_int_t)w->config.high, "guests",
			 list);
}
