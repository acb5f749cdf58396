/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who leaves, and who comes back. Memory is unpinned when all NICs of a guest are off their VFs: so guests leave whole, or not at all. One leaves at a
 * time, the next one when its memory is seen to be unpinned, and so they come back: what one gives, or takes, may be enough.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "ctl.h"
#include "daemon.h"
#include "guests.h"
#include "irq_internal.h"
#include "lease.h"
#include "lease_memory.h"
#include "log.h"
#include "mem_check.h"
#include "mem_watch_internal.h"
#include "switcher.h"
#include "vmm.h"

#define LEAVE_MS 60000 /* beyond a guest's deadline to let its VF go: then the next one has to do */
#define COME_MS 60000
#define UNPIN_POLLS 5 /* times poll_ms, until its memory is to be unpinned */
#define UNPIN_LOOKS 8 /* within one of them */

/* --- leaving --- */

static const char *why_not(const struct lease *l, bool adaptive_only)
{
	if (adaptive_only && !l->memory.adaptive)
		return "is to keep its VF (memory pin)";
	if (!l->emul || !l->sw)
		return "has no emulated leg to go to";
	if (lease_is_unplug_unsafe(l))
		return "cannot leave its VF safely (vmm-unplug-unsafe)";
	if (l->state != LEASE_ATTACHED || !l->confirmed || l->left || attach_has(l))
		return "is not settled";
	if (switcher_cannot_leave(l))
		return "cannot be asked to leave its VF now: its guest is paused, or migrates";
	return NULL;
}

bool mem_can_leave(const struct mem_watch *w, const char *guest, bool adaptive_only, struct err *why)
{
	const struct lease *l;
	bool has_one = false;

	TAILQ_FOREACH(l, &w->d->leases, link)
	{
		const char *no = strcmp(l->guest, guest) ? NULL : why_not(l, adaptive_only);

		if (strcmp(l->guest, guest))
			continue;
		if (no) {
			err_set(why, -EOPNOTSUPP, "memory.cannot-release", "lease %s: it %s: the guest's memory stays pinned",
				l->id, no);
			err_hint(why, "`gangway status %s` shows its leases", guest);
			return false;
		}
		has_one = true;
	}
	if (!has_one)
		err_set(why, -ENOENT, "lease.none", "guest %s: it has no VF", guest);
	return has_one;
}

struct candidate {
	struct mem_guest *g;
	unsigned priority; /* the highest of its leases */
	double traffic; /* interrupts a second: what the host sees of a VF whatever its driver; 0 where they are not counted */
};

static bool judge(const struct mem_watch *w, struct mem_guest *g, struct candidate *ret)
{
	struct candidate c = { .g = g };
	const struct lease *l;
	bool uses_vf = false;

	if (g->phase != MEM_HOME || !mem_can_leave(w, g->name, true, NULL))
		return false;
	TAILQ_FOREACH(l, &w->d->leases, link)
	{
		if (strcmp(l->guest, g->name))
			continue;
		uses_vf = uses_vf || switcher_uses_vf(l);
		c.priority = l->memory.priority > c.priority ? l->memory.priority : c.priority;
		c.traffic += l->irq_nic ? l->irq_nic->rate : 0;
	}
	*ret = c;
	return uses_vf;
}

/* What one has given takes a look to be seen. */
static bool is_still_short(const struct mem_watch *w, const struct pressure *p)
{
	return p->on && (!w->gone_ms || p->last_ms >= w->gone_ms + w->d->config.poll_ms);
}

static struct mem_guest *choose(struct mem_watch *w)
{
	struct candidate best = { 0 }, c;
	struct mem_guest *g;

	LIST_FOREACH(g, &w->guests, link)
	{
		if ((!is_still_short(w, &w->more) && !is_still_short(w, &g->pressure)) || !judge(w, g, &c))
			continue;
		if (!best.g || c.priority < best.priority || (c.priority == best.priority && c.traffic < best.traffic))
			best = c;
	}
	return best.g;
}

static void press(struct mem_watch *w, const char *guest, bool on)
{
	struct lease *l, *next;

	for (l = TAILQ_FIRST(&w->d->leases); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (strcmp(l->guest, guest) || l->memory.pressed == on)
			continue;
		l->memory.pressed = on;
		switcher_cause(l, REASON_MEMORY_PRESSURE, on);
	}
}

/* Pressure that comes and goes is logged when it is first seen to; monitors hear of each time. */
static void tell(struct mem_watch *w, struct mem_guest *g, const char *what)
{
	bool of_host = w->host.nr_flaps, of_guest = g->pressure.nr_flaps, flaps = of_host || of_guest;
	bool told = (of_host && w->told_flaps) || (of_guest && g->told_flaps);
	unsigned times = w->host.nr_flaps > g->pressure.nr_flaps ? w->host.nr_flaps : g->pressure.nr_flaps;

	log_write(told ? LOG_LVL_DEBUG : LOG_LVL_INFO, "guest %s: memory: %s", g->name, what);
	if (flaps && !told)
		log_warn("memory: pressure has come back soon after its end (%u): who has left stays away for up to 32 times "
			 "calm_ms, "
			 "%u ms, and no more is logged of it until it does not, ignoring",
			 times, w->config.calm_ms);
	w->told_flaps = of_host;
	g->told_flaps = of_guest;
	ctl_event(w->d->ctl, "memory", g->name, json_pack("{s:s, s:I}", "why", what, "locked", (json_int_t)g->locked));
}

void mem_begin_to_leave(struct mem_watch *w, struct mem_guest *g, const char *why)
{
	g->locked_before = g->has_locked ? g->locked : 0;
	mem_set_phase(w, g, MEM_LEAVING);
	tell(w, g, why);
	press(w, g->name, true);
}

bool mem_is_off(const struct mem_watch *w, const char *guest)
{
	const struct lease *l;

	TAILQ_FOREACH(l, &w->d->leases, link)
	if (!strcmp(l->guest, guest) && switcher_has_vf(l))
		return false;
	return true;
}

static bool is_pressed(const struct mem_watch *w, const char *guest)
{
	const struct lease *l;

	TAILQ_FOREACH(l, &w->d->leases, link)
	if (!strcmp(l->guest, guest) && l->memory.pressed)
		return true;
	return false;
}

/* Nothing tells when a large guest's memory is unpinned, which takes the kernel a while: so it is looked for, a few times in each poll_ms. */
static bool look_once_more(struct mem_watch *w, struct mem_guest *g)
{
	uint64_t now = mem_now_ms(w);

	if (now - g->off_ms >= UNPIN_POLLS * (uint64_t)w->d->config.poll_ms ||
	    sd_event_source_set_time(w->timer, (now + w->d->config.poll_ms / UNPIN_LOOKS) * 1000) < 0)
		return false;
	g->looks = 0;
	return true;
}

/* The kernel's word, not ours: what was locked for VFs is not any more. With vfio-user the VMM has nothing locked, its gangway-device had. */
static void verify(struct mem_watch *w, struct mem_guest *g)
{
	char text[128], bytes[MEM_TEXT_MAX], before[MEM_TEXT_MAX];
	uint64_t less = g->locked_before > g->locked ? g->locked_before - g->locked : 0;
	bool told = g->has_locked && g->locked_before, still = told && g->locked > g->locked_before / 2;

	if (still && look_once_more(w, g))
		return;
	g->left_ms = mem_now_ms(w) - g->phase_ms;
	w->gone_ms = mem_now_ms(w);
	if (still)
		log_warn("guest %s: memory: it is off its VFs since %llu ms, and its VMM has %s of %s locked still, ignoring",
			 g->name, (unsigned long long)(mem_now_ms(w) - g->off_ms), mem_text(g->locked, bytes),
			 mem_text(g->locked_before, before));
	snprintf(text, sizeof(text), "%s are not pinned any more", mem_text(less, bytes));
	mem_set_phase(w, g, MEM_AWAY);
	if (!still)
		tell(w, g, told ? text : "it is off its VFs; what is pinned is not told");
}

static void go_on(struct mem_watch *w, struct mem_guest *g)
{
	uint64_t ms = mem_now_ms(w) - g->phase_ms;

	switch (g->phase) {
	case MEM_LEAVING:
		if (mem_is_off(w, g->name)) {
			uint64_t began = g->phase_ms;

			g->looks = w->look ? -1 : 0;
			mem_set_phase(w, g, MEM_LEFT);
			g->off_ms = g->phase_ms;
			g->phase_ms = began; /* the time it took is of all of it */
			mem_look_begin(w);
		} else if (ms > LEAVE_MS + w->d->config.unplug_deadline_ms) {
			log_warn("guest %s: memory: it has not left its VF, ignoring", g->name);
			w->gone_ms = mem_now_ms(w);
			mem_set_phase(w, g, MEM_AWAY);
		}
		break;
	case MEM_LEFT:
		if (g->looks > 0)
			verify(w, g);
		break;
	case MEM_COMING:
		if (!mem_is_off(w, g->name) || ms > COME_MS)
			mem_set_phase(w, g, MEM_HOME);
		break;
	case MEM_AWAY:
		if (!is_pressed(w, g->name)) /* the operator has said that it is to keep its VF */
			mem_set_phase(w, g, MEM_HOME);
		break;
	case MEM_HOME:
		if (is_pressed(w, g->name)) /* as a former gangwayd has left it */
			mem_set_phase(w, g, MEM_AWAY);
		break;
	}
}

/* --- coming back --- */

/* Or it would be short again with its coming. What could not be looked at is not held against it, as in an attach. */
static bool has_room(const struct mem_watch *w, const struct mem_facts *f)
{
	uint64_t fresh = mem_is_guess(f) ? 0 : f->need.fresh;

	if (mem_is_guess(f))
		return f->room.host >= w->config.high;
	return mem_fits(&f->need, &f->room) && (!fresh || f->room.host - fresh >= w->config.high);
}

static void came_to(void *ctx, int r, const struct mem_facts *f, const struct vmm_memory *said, const struct err *err)
{
	struct mem_watch *w = ctx;
	struct mem_guest *g = mem_guest_find(w, w->checking);

	w->check = NULL;
	if (w->d->stopping || !g || g->phase != MEM_AWAY)
		return;
	if (r < 0) {
		log_debug("guest %s: what its memory would cost is not known: %s, ignoring", g->name, err->msg);
		return;
	}
	if (g->released_until && g->until_bytes && said->has_balloon && said->balloon_bytes <= g->until_bytes)
		g->released_until = mem_now_ms(w);
	if (g->released_until > mem_now_ms(w) || w->host.on || g->pressure.on || !has_room(w, f))
		return;
	g->released_until = 0;
	mem_set_phase(w, g, MEM_COMING);
	tell(w, g, "there is room for its VFs again");
	press(w, g->name, false);
}

/* Is nothing in its way but, perhaps, the cost? One that is released by order is asked about its balloon. */
static bool may_come(const struct mem_watch *w, const struct mem_guest *g)
{
	if (g->phase != MEM_AWAY)
		return false;
	if (g->released_until > mem_now_ms(w))
		return g->until_bytes != 0;
	return !w->host.on && !g->pressure.on;
}

static unsigned priority_of(const struct mem_watch *w, const char *guest)
{
	const struct lease *l;
	unsigned priority = 0;

	TAILQ_FOREACH(l, &w->d->leases, link)
	if (!strcmp(l->guest, guest) && l->memory.priority > priority)
		priority = l->memory.priority;
	return priority;
}

static bool comes_before(const struct mem_guest *a, unsigned a_priority, const struct mem_guest *b, unsigned b_priority)
{
	if (a->checked_ms != b->checked_ms)
		return a->checked_ms < b->checked_ms;
	return a_priority != b_priority ? a_priority > b_priority : a->phase_ms < b->phase_ms;
}

/* Who was not looked at for longest, so that one for whom there is no room is in nobody's way; else who is worth most, and has been away longest. */
static struct mem_guest *next_to_come(const struct mem_watch *w)
{
	struct mem_guest *g, *best = NULL;
	unsigned best_priority = 0;

	LIST_FOREACH(g, &w->guests, link)
	{
		unsigned priority = priority_of(w, g->name);

		if (!may_come(w, g) || (best && !comes_before(g, priority, best, best_priority)))
			continue;
		best = g;
		best_priority = priority;
	}
	return best;
}

static enum lease_via via_of(const struct mem_watch *w, const char *guest)
{
	const struct lease *l;

	TAILQ_FOREACH(l, &w->d->leases, link)
	if (!strcmp(l->guest, guest))
		return l->via;
	return VIA_VFIO_PCI;
}

static void check(struct mem_watch *w, const char *guest, mem_check_fn done)
{
	struct err err;

	snprintf(w->checking, sizeof(w->checking), "%s", guest);
	if (mem_check_begin(w->d, w->checking, via_of(w, guest), done, w, &w->check, &err) < 0)
		log_debug("guest %s: %s, ignoring", w->checking, err.msg);
}

/* --- held for want of memory, by an attach or on a way back --- */

static void held_checked(void *ctx, int r, const struct mem_facts *f, const struct vmm_memory *said, const struct err *err)
{
	struct mem_watch *w = ctx;
	struct lease *l, *next;

	(void)said;
	(void)err;
	w->check = NULL;
	if (w->d->stopping || r < 0)
		return;
	/* a little more than it needs: it is looked at once more on its way */
	if (!mem_is_guess(f) && (f->need.fresh > f->room.bytes - f->room.bytes / 17 || f->need.huge > f->room.huge))
		return;
	for (l = TAILQ_FIRST(&w->d->leases); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (!strcmp(l->guest, w->checking) && l->memory.held == REASON_MEMORY_NOT_RESIDENT)
			lease_hold_memory(l, REASON_NONE, NULL);
	}
}

/* After the one that was looked at last, or the first. */
static struct lease *next_held(const struct mem_watch *w)
{
	struct lease *l, *first = NULL;
	bool after = false;

	TAILQ_FOREACH(l, &w->d->leases, link)
	{
		if (l->memory.held == REASON_MEMORY_NOT_RESIDENT && after)
			return l;
		if (l->memory.held == REASON_MEMORY_NOT_RESIDENT && !first)
			first = l;
		after = after || !strcmp(l->id, w->held_id);
	}
	return first;
}

/* --- all of it --- */

void mem_act(struct mem_watch *w)
{
	struct mem_guest *g, *busy = NULL;
	struct lease *held;

	if (w->d->stopping)
		return;
	LIST_FOREACH(g, &w->guests, link)
	{
		go_on(w, g);
		if (g->phase == MEM_LEAVING || g->phase == MEM_LEFT || (g->phase == MEM_COMING && !busy))
			busy = g;
	}
	g = busy && busy->phase != MEM_COMING ? NULL : choose(w);
	if (g) {
		mem_begin_to_leave(
			w, g, w->host.on ? "the host's is short: it leaves its VFs" : "its cgroup's is short: it leaves its VFs");
		return;
	}
	if (busy || w->check)
		return;
	g = next_to_come(w);
	held = next_held(w);
	if (g && held && !w->host.on)
		w->held_next = !w->held_next;
	if (g && !(held && !w->host.on && w->held_next)) {
		g->checked_ms = mem_now_ms(w);
		check(w, g->name, came_to);
	} else if (held && !w->host.on) {
		snprintf(w->held_id, sizeof(w->held_id), "%s", held->id);
		check(w, held->guest, held_checked);
	}
}

int mem_watch_release(struct daemon *d, const char *guest, uint64_t for_ms, uint64_t until_bytes, struct err *err)
{
	struct mem_watch *w = d->mem_watch;
	struct mem_guest *g;

	if (!w)
		return err_set(err, -EOPNOTSUPP, "memory.not-watched", "guest %s: nobody looks at the host's memory", guest);
	if (!mem_can_leave(w, guest, false, err))
		return err->num;
	g = mem_guest_get(w, guest);
	if (!g)
		return err_set(err, -ENOMEM, "daemon.no-memory", "guest %s: no memory to release its", guest);
	g->released_until = mem_now_ms(w) + for_ms;
	g->until_bytes = until_bytes;
	if (g->phase == MEM_HOME || g->phase == MEM_COMING)
		mem_begin_to_leave(w, g, "it is released by order: it leaves its VFs");
	mem_look_begin(w);
	return 0;
}
