/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Link notifications and uevents in an sd-event loop, a bounded number a turn. */
#include "sriov_watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

#include "err.h"
#include "sriov_internal.h"

#define EVENTS_PER_TURN 64 /* then others in the loop have theirs; the descriptor stays readable */
#define NR_WATCHES 2

struct sriov_watch {
	struct sys *sys;
	const struct sriov_watch_ops *ops;
	void *arg;
	bool in_turn, dead; /* freed by a callback: the memory goes at the end of the turn */
	int fds[NR_WATCHES]; /* ours, closed through the seam */
	sd_event_source *sources[NR_WATCHES];
};

static bool exists(struct sys *sys, const char *bdf, const char *attr)
{
	char path[SRIOV_PATH_MAX];

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", bdf, attr);
	return sys_exists(sys, path);
}

static void report(struct sriov_watch *w, const struct sys_event *ev, enum sys_watch which)
{
	struct sriov_change c = { .gone = ev->gone, .ifindex = ev->ifindex, .up = ev->up, .carrier = ev->carrier };

	if (ev->bdf[0] && bdf_parse(ev->bdf, c.bdf) < 0)
		return; /* a PCI domain of five digits: nothing of ours */
	memcpy(c.ifname, ev->ifname, sizeof(c.ifname));
	switch (ev->kind) {
	case SYS_EVENT_LINK:
		if (!c.bdf[0] && !ev->gone)
			(void)sriov_function_of(w->sys, ev->ifname, c.bdf); /* none, or the interface has another name again */
		c.kind = SRIOV_CHANGE_LINK;
		c.has_state = which == SYS_WATCH_LINK && !ev->gone;
		break;
	case SYS_EVENT_PCI:
		if (ev->gone) /* what is at its address now, if anything, is another one */
			c.kind = SRIOV_CHANGE_FUNCTION;
		else if (exists(w->sys, c.bdf, "physfn"))
			c.kind = SRIOV_CHANGE_VF;
		else if (exists(w->sys, c.bdf, "sriov_totalvfs"))
			c.kind = SRIOV_CHANGE_PF;
		else
			c.kind = SRIOV_CHANGE_FUNCTION;
		break;
	case SYS_EVENT_CPU:
		if (w->ops->cpus)
			w->ops->cpus(w->arg);
		return;
	case SYS_EVENT_KMSG: /* not watched here */
		return;
	}
	w->ops->changed(w->arg, &c);
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct sriov_watch *w = userdata;
	enum sys_watch which = fd == w->fds[SYS_WATCH_LINK] ? SYS_WATCH_LINK : SYS_WATCH_UEVENT;

	(void)source;
	(void)revents;
	w->in_turn = true;
	for (int i = 0; i < EVENTS_PER_TURN && !w->dead; i++) {
		struct sys_event ev;
		int r = w->sys->ops->watch_read(w->sys, fd, &ev);

		if (r == 0) {
			report(w, &ev, which);
		} else if (r == -ENOBUFS) {
			w->ops->resync(w->arg);
		} else {
			/* -EAGAIN, or a broken socket: better to know nothing more than to spin on it */
			if (r != -EAGAIN && r != -EINTR) {
				sd_event_source_set_enabled(w->sources[which], SD_EVENT_OFF);
				w->ops->resync(w->arg);
			}
			break;
		}
	}
	w->in_turn = false;
	if (w->dead)
		free(w);
	return 0;
}

int sriov_watch_new(struct sys *sys, struct sd_event *event, const struct sriov_watch_ops *ops, void *arg,
		    struct sriov_watch **ret, struct err *err)
{
	static const char *const names[NR_WATCHES] = { "sriov-links", "sriov-uevents" };
	struct sriov_watch *w = calloc(1, sizeof(*w));
	int r = 0;

	if (!w)
		return err_set(err, -ENOMEM, "sriov.watch", "host events: no memory");
	*w = (struct sriov_watch){ .sys = sys, .ops = ops, .arg = arg, .fds = { -1, -1 } };
	for (int i = 0; i < NR_WATCHES && r >= 0; i++) {
		r = sys->ops->watch_open(sys, (enum sys_watch)i);
		if (r < 0)
			break;
		w->fds[i] = r;
		r = sd_event_add_io(event, &w->sources[i], w->fds[i], EPOLLIN, on_readable, w);
		if (r >= 0)
			sd_event_source_set_description(w->sources[i], names[i]);
	}
	if (r < 0) {
		sriov_watch_free(w);
		return err_set(err, r, "sriov.watch", "host events: cannot follow them: %s", strerror(-r));
	}
	*ret = w;
	return 0;
}

void sriov_watch_free(struct sriov_watch *w)
{
	if (!w)
		return;
	w->dead = true;
	for (int i = 0; i < NR_WATCHES; i++) {
		sd_event_source_disable_unref(w->sources[i]);
		if (w->fds[i] >= 0)
			w->sys->ops->close(w->sys, w->fds[i]);
	}
	if (!w->in_turn)
		free(w);
}
