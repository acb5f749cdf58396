/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A look at the host, on a worker: what is available, how much was read from swap, what VMMs have locked. Triggers are opened here, too: of the host, and of
 * the cgroup of each VMM that is watched. What has none of its own (version 1, no PSI) goes by the host's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "daemon.h"
#include "guests.h"
#include "log.h"
#include "mem_host.h"
#include "mem_process.h"
#include "mem_watch_internal.h"
#include "sys.h"
#include "work.h"

#define VMSTAT_MAX 16384

struct look_guest {
	char name[LIMIT_NAME + 1];
	pid_t pid;
	bool want_psi;
	int psi; /* descriptor, or negative errno */
	bool has_locked;
	uint64_t locked, resident;
};

struct mem_look {
	struct mem_watch *w;
	struct sys *sys;
	char trigger[64], slow_trigger[64];
	bool want_psi;
	int psi;
	int r;
	struct mem_host host;
	bool stalled; /* something on the host had, before it began */
	bool has_vmstat;
	uint64_t swapins, allocstalls;
	unsigned nr;
	struct look_guest *guests;
};

static void close_psi(struct sys *sys, int *fd)
{
	if (*fd >= 0)
		sys->ops->close(sys, *fd);
	*fd = -EBADF;
}

void mem_look_free(struct mem_look *look)
{
	if (!look)
		return;
	close_psi(look->sys, &look->psi);
	for (unsigned i = 0; look->guests && i < look->nr; i++)
		close_psi(look->sys, &look->guests[i].psi);
	free(look->guests);
	free(look);
}

/* --- on a worker --- */

/* Without CAP_SYS_RESOURCE the kernel takes windows of whole 2 s alone: then of the same share. */
static int open_psi(struct mem_look *look, const char *path)
{
	int fd = look->sys->ops->psi_open(look->sys, path, look->trigger);

	return fd == -EINVAL || fd == -EPERM ? look->sys->ops->psi_open(look->sys, path, look->slow_trigger) : fd;
}

static void look_at_guest(struct mem_look *look, struct look_guest *g)
{
	char path[sizeof("/sys/fs/cgroup/memory.pressure") + sizeof(((struct mem_cgroup *)0)->path)];
	struct mem_process process;
	struct mem_cgroup cgroup;

	if (g->pid <= 0)
		return;
	g->has_locked = mem_process_read(look->sys, g->pid, &process, NULL) == 0;
	if (g->has_locked)
		g->locked = process.locked + process.pinned;
	g->resident = g->has_locked ? process.resident : 0;
	if (!g->want_psi)
		return;
	g->psi = mem_cgroup_read(look->sys, g->pid, &cgroup, NULL);
	if (g->psi < 0)
		return;
	if (!strcmp(cgroup.path, "/")) {
		g->psi = -EOPNOTSUPP; /* the host's own */
		return;
	}
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.pressure", cgroup.path);
	g->psi = open_psi(look, path);
}

/*
 * Pages read from swap, for whatever reason. "allocstall_normal" and its like, one for each kind of memory, count reclaims for want of the host's memory
 * alone, not those of a cgroup at its limit: do_try_to_free_pages() in the kernel's mm/vmscan.c.
 */
static void read_vmstat(struct mem_look *look)
{
	static const char swapins[] = "\npswpin ", allocstall[] = "\nallocstall";
	char *text = malloc(VMSTAT_MAX), *at;
	ssize_t n = text ? look->sys->ops->read_file(look->sys, "/proc/vmstat", text, VMSTAT_MAX - 1) : -ENOMEM;

	if (n > 0) {
		text[n] = '\0';
		at = strstr(text, swapins);
		look->has_vmstat = at != NULL;
		look->swapins = at ? strtoull(at + sizeof(swapins) - 1, NULL, 10) : 0;
		for (at = strstr(text, allocstall); at; at = strstr(at, allocstall)) {
			at += sizeof(allocstall) - 1;
			at += strcspn(at, " \n");
			look->allocstalls += strtoull(at, NULL, 10);
		}
	}
	free(text);
}

static int look_run(void *arg)
{
	struct mem_look *look = arg;

	look->r = mem_host_read(look->sys, &look->host, NULL);
	read_vmstat(look);
	if (look->want_psi)
		look->psi = open_psi(look, "/proc/pressure/memory");
	for (unsigned i = 0; i < look->nr; i++)
		look_at_guest(look, &look->guests[i]);
	return look->r;
}

/* --- in the loop --- */

void mem_psi_drop(struct mem_psi *psi)
{
	psi->source = sd_event_source_disable_unref(psi->source);
}

static int on_stall(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct mem_psi *psi = ctx;
	struct mem_watch *w = psi->w;

	(void)source;
	(void)fd;
	if (events & EPOLLERR) { /* its cgroup is gone, and so is the trigger */
		mem_psi_drop(psi);
		psi->r = -ENOENT;
		return 0;
	}
	if (psi == &w->psi) {
		w->stalled = true; /* of whom, a look tells */
		mem_look_begin(w);
		return 0;
	}
	pressure_stall(psi->p, &w->config, mem_now_ms(w));
	mem_act(w);
	return 0;
}

static void take_psi(struct mem_watch *w, struct mem_psi *psi, struct pressure *p, int *fd)
{
	psi->r = *fd < 0 ? *fd : 0;
	if (*fd < 0 || psi->source)
		return;
	psi->w = w;
	psi->p = p;
	/* an event is told once: what the descriptor says beside it, it says at all times */
	if (sd_event_add_io(w->d->event, &psi->source, *fd, EPOLLPRI | EPOLLET, on_stall, psi) < 0) {
		psi->r = -ENOMEM;
		return;
	}
	if (sd_event_source_set_io_fd_own(psi->source, 1) >= 0)
		*fd = -EBADF;
}

/* Looks may follow each other at once: of so short a time a few pages would be many a second. */
static void take_vmstat(struct mem_watch *w, const struct mem_look *look, uint64_t now)
{
	uint64_t ms = now - w->looked_ms, rate = 0;

	if (look->has_vmstat && w->has_swapins && w->looked_ms && look->allocstalls > w->allocstalls)
		w->reclaimed_ms = now;
	if (look->has_vmstat)
		w->allocstalls = look->allocstalls;
	if (ms < w->d->config.poll_ms / 2 && w->looked_ms && w->has_swapins)
		return;
	if (look->has_vmstat && w->has_swapins && w->looked_ms && ms && look->swapins >= w->swapins)
		rate = (look->swapins - w->swapins) * 1000 / ms;
	w->has_swapins = look->has_vmstat;
	w->swapins = look->swapins;
	w->swapin_rate = rate;
	w->looked_ms = now;
}

/* What those who are off their VFs have can go to swap now, and does when the kernel looks for it. It shows as available when it has gone. */
static uint64_t can_be_swapped(const struct mem_watch *w, uint64_t swap_free)
{
	const struct mem_guest *g;
	uint64_t bytes = 0;

	LIST_FOREACH(g, &w->guests, link)
	if ((g->phase == MEM_LEFT || g->phase == MEM_AWAY) && mem_is_off(w, g->name) && g->resident > g->locked)
		bytes += g->resident - g->locked;
	return bytes < swap_free ? bytes : swap_free;
}

static void take_host(struct mem_watch *w, struct mem_look *look)
{
	const struct config *c = &w->d->config;
	uint64_t now = mem_now_ms(w);
	struct pressure_host host;

	take_vmstat(w, look, now);
	if (look->want_psi)
		take_psi(w, &w->psi, &w->host, &look->psi);
	if (!w->psi.source && !w->told_no_psi) {
		w->told_no_psi = true;
		log_warn("memory: no pressure stall information (%s): that memory is short is seen by what is available and what "
			 "is read from "
			 "swap alone, every %u ms; guests' cgroups are not seen, ignoring",
			 strerror(-w->psi.r), c->poll_ms);
	}
	if (look->r == 0)
		w->available = look->host.available;
	host = (struct pressure_host){ .available = w->available, .swapins = w->swapin_rate, .stalled = look->stalled };
	/* a stall is told at the end of its window: what was reclaimed in it may have been seen before */
	host.reclaims = w->reclaimed_ms && now - w->reclaimed_ms <= c->window_ms + c->poll_ms;
	if (look->r == 0) {
		pressure_host(&w->host, &w->config, &host, now);
		host.available += can_be_swapped(w, look->host.swap_free);
		pressure_host(&w->more, &w->config, &host, now);
	} else if (host.stalled) { /* what there is left is not told: then this is all that is known */
		pressure_stall(&w->host, &w->config, now);
		pressure_stall(&w->more, &w->config, now);
	}
}

static void look_done(int r, void *arg)
{
	struct mem_look *look = arg;
	struct mem_watch *w = look->w;

	(void)r;
	w->look = NULL;
	for (unsigned i = 0; i < look->nr; i++) {
		struct mem_guest *g = mem_guest_find(w, look->guests[i].name);

		if (!g)
			continue;
		g->looks++;
		g->has_locked = look->guests[i].has_locked;
		g->locked = look->guests[i].locked;
		g->resident = look->guests[i].resident;
		if (look->guests[i].want_psi)
			take_psi(w, &g->psi, &g->pressure, &look->guests[i].psi);
		pressure_tick(&g->pressure, &w->config, mem_now_ms(w));
	}
	take_host(w, look);
	mem_look_free(look);
	if (w->stalled) /* meanwhile: what was seen is older */
		mem_look_begin(w);
	mem_watch_looked(w);
}

static void add_guest(struct mem_look *look, const struct mem_guest *g, const struct guest *guest)
{
	struct look_guest *v = &look->guests[look->nr++];

	/* a VMM that is moved, or another one, has its trigger when the old one is gone */
	*v = (struct look_guest){ .pid = guest_vmm_pid(guest), .want_psi = !g->psi.source, .psi = -EBADF };
	memcpy(v->name, g->name, sizeof(v->name));
}

void mem_look_begin(struct mem_watch *w)
{
	struct mem_look *look = w->look ? NULL : calloc(1, sizeof(*look));
	const struct mem_guest *g;
	unsigned nr = 0;

	if (!look)
		return;
	LIST_FOREACH(g, &w->guests, link)
	nr++;
	*look = (struct mem_look){ .w = w, .sys = w->d->sys, .stalled = w->stalled, .want_psi = !w->psi.source, .psi = -EBADF };
	snprintf(look->trigger, sizeof(look->trigger), "some %u %u", w->d->config.stall_ms * 1000, w->d->config.window_ms * 1000);
	snprintf(look->slow_trigger, sizeof(look->slow_trigger), "some %u 2000000",
		 (unsigned)((uint64_t)w->d->config.stall_ms * 2000000 / w->d->config.window_ms));
	look->guests = calloc(nr ? nr : 1, sizeof(*look->guests));
	if (!look->guests) {
		mem_look_free(look);
		return;
	}
	LIST_FOREACH(g, &w->guests, link)
	{
		const struct guest *guest = guest_find(w->d, g->name);

		if (guest)
			add_guest(look, g, guest);
	}
	if (work_submit(w->d->pool, look_run, look_done, look) < 0) {
		mem_look_free(look);
		return;
	}
	w->look = look;
	w->stalled = false;
}
