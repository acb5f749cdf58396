/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem_account.h"

#include <string.h>

#include "daemon.h"
#include "gangway_limits.h"
#include "lease.h"
#include "mem_check.h"
#include "mem_facts.h"
#include "sys.h"

static bool is_within(const char *cgroup, const char *above)
{
	size_t n = strlen(above);

	return n && !strncmp(cgroup, above, n) && (!cgroup[n] || cgroup[n] == '/');
}

static uint64_t less(uint64_t bytes, uint64_t off)
{
	return bytes == UINT64_MAX ? bytes : bytes > off ? bytes - off : 0;
}

/* Nothing tells when all of it is pinned, and a guest can put that off: so it is not kept for ever. */
static bool is_booked(const struct lease *l, uint64_t now_us)
{
	return (l->booked.bytes || l->booked.huge) && now_us < l->booked.until_us;
}

/* Leases of one guest pin the same pages: what it has booked is what the one has that has most, told with the first of them. */
static struct mem_booked most_of_guest(const struct daemon *d, const struct lease *l, uint64_t huge_page, uint64_t now_us)
{
	struct mem_booked most = { 0 };
	const struct lease *other;
	bool before = true;

	TAILQ_FOREACH(other, &d->leases, link)
	{
		before = before && other != l;
		if (!is_booked(other, now_us) || strcmp(other->guest, l->guest) != 0)
			continue;
		if (before)
			return (struct mem_booked){ 0 };
		most.bytes = other->booked.bytes > most.bytes ? other->booked.bytes : most.bytes;
		if (other->booked.huge_page == huge_page && other->booked.huge > most.huge)
			most.huge = other->booked.huge;
	}
	return most;
}

/* It is told in JSON, too. */
static uint64_t more(uint64_t a, uint64_t b)
{
	return a + b < a || a + b > INT64_MAX ? INT64_MAX : a + b;
}

void mem_account_take_off(const struct daemon *d, const char *guest, struct mem_facts *f)
{
	uint64_t bytes = 0, in_cgroup = 0, huge = 0, now_us = d->sys->ops->now_us(d->sys);
	const struct lease *l;
	bool has_cgroup = !f->cgroup_err.num;
	struct mem_cgroup cgroup = f->cgroup;
	struct mem_host host = f->host;

	TAILQ_FOREACH(l, &d->leases, link)
	{
		struct mem_booked most;

		if (!is_booked(l, now_us) || !strcmp(l->guest, guest))
			continue;
		most = most_of_guest(d, l, f->need.huge_page, now_us);
		bytes = more(bytes, most.bytes);
		if (has_cgroup && is_within(l->booked.cgroup, f->cgroup.tightest))
			in_cgroup = more(in_cgroup, most.bytes);
		huge = more(huge, most.huge);
	}
	host.available = less(host.available, bytes);
	cgroup.room = less(cgroup.room, in_cgroup);
	mem_room_of(&host, has_cgroup ? &cgroup : NULL, &f->need, f->margin, &f->room);
	f->room.huge = less(f->room.huge, huge);
	f->booked = bytes;
}

void mem_account_book(struct lease *l, const struct mem_facts *f)
{
	struct sys *sys = l->daemon->sys;

	if (mem_is_guess(f)) /* most of it may be there: it would keep others from what they can have */
		return;
	l->booked = (struct mem_booked){ .bytes = f->need.fresh,
					 .huge = f->need.huge,
					 .huge_page = f->need.huge_page,
					 .until_us = sys->ops->now_us(sys) + LIMIT_MEM_BOOKED_SEC * (uint64_t)1000000 };
	if (!f->cgroup_err.num)
		memcpy(l->booked.cgroup, f->cgroup.path, sizeof(l->booked.cgroup));
}

void mem_account_settle(struct lease *l)
{
	l->daemon->nr_mem_settled += l->booked.bytes || l->booked.huge;
	l->booked = (struct mem_booked){ 0 };
}
