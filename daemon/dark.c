/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dark.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "daemon.h"
#include "lease.h"
#include "log.h"

struct dark {
	struct sys *sys;
	int fd; /* readable: the guest is heard */
	sd_event_source *source;
	uint64_t began_us, heard_us; /* 0: not heard */
	void (*heard)(void *ctx);
	void *ctx;
};

static struct lease *lease_with_leg(struct daemon *d, const char *guest)
{
	struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	if (!strcmp(l->guest, guest) && l->emul)
		return l;
	return NULL;
}

static void listen_no_more(struct dark *k)
{
	k->source = sd_event_source_disable_unref(k->source);
	if (k->fd >= 0)
		k->sys->ops->close(k->sys, k->fd);
	k->fd = -1;
}

static int on_frame(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
	struct dark *k = ctx;

	(void)s;
	(void)fd;
	listen_no_more(k);
	if (events & (EPOLLERR | EPOLLHUP))
		return 0; /* the interface has gone: it will not be known */
	k->heard_us = k->sys->ops->now_us(k->sys);
	k->heard(k->ctx);
	return 0;
}

struct dark *dark_begin(struct daemon *d, const char *guest, void (*heard)(void *ctx), void *ctx)
{
	const struct lease *l = lease_with_leg(d, guest);
	struct dark *k = l ? calloc(1, sizeof(*k)) : NULL;
	int r;

	if (!k)
		return NULL;
	*k = (struct dark){ .sys = d->sys, .began_us = d->sys->ops->now_us(d->sys), .heard = heard, .ctx = ctx };
	k->fd = r = d->sys->ops->frames_open(d->sys, emul_leg_pf_ifindex(l->emul), l->want.mac);
	if (r >= 0)
		r = sd_event_add_io(d->event, &k->source, k->fd, EPOLLIN, on_frame, k);
	if (r >= 0)
		return k;
	log_warn("guest %s: %s cannot be listened to (%s): how long it is dark will not be known, ignoring", guest, l->pf_name,
		 strerror(-r));
	return dark_free(k);
}

struct dark *dark_free(struct dark *k)
{
	if (k) {
		listen_no_more(k);
		free(k);
	}
	return NULL;
}

bool dark_is_over(const struct dark *k)
{
	return k->heard_us != 0;
}

uint64_t dark_ms(const struct dark *k)
{
	return ((k->heard_us ? k->heard_us : k->sys->ops->now_us(k->sys)) - k->began_us) / 1000;
}
