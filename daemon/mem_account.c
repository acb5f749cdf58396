/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem_account.h"

#include <string.h>

#include "daemon.h"
#include "lease.h"
#include "mem_facts.h"

static bool is_within(const char *cgroup, const char *above)
{
	size_t n = strlen(above);

	return n && !strncmp(cgroup, above, n) && (!cgroup[n] || cgroup[n] == '/');
}

static uint64_t less(uint64_t bytes, uint64_t off)
{
	return bytes == UINT64_MAX ? bytes : bytes > off ? bytes - off : 0;
}

/* Leases of one guest pin the same pages: what it has booked is what the one has that has most, told with the first of them. 0: not the first. */
static uint64_t bytes_of_guest(const struct daemon *d, const struct lease *l)
{
	const struct lease *other;
	uint64_t most = 0;
	bool before = true;

	TAILQ_FOREACH(other, &d->leases, link)
	{
		before = before && other != l;
		if (!other->booked.bytes || strcmp(other->guest, l->guest))
			continue;
		if (before)
			return 0;
		most = other->booked.bytes > most ? other->booked.bytes : most;
	}
	return most;
}

void mem_account_take_off(const struct daemon *d, const char *guest, struct mem_facts *f)
{
	uint64_t bytes = 0, in_cgroup = 0, huge = 0;
	const struct lease *l;
	bool has_cgroup = !f->cgroup_err.num;
	struct mem_cgroup cgroup = f->cgroup;
	struct mem_host host = f->host;

	TAILQ_FOREACH(l, &d->leases, link)
	{
		uint64_t more;

		if ((!l->booked.bytes && !l->booked.huge) || !strcmp(l->guest, guest))
			continue;
		more = l->booked.bytes ? bytes_of_guest(d, l) : 0;
		bytes += more;
		in_cgroup += has_cgroup && is_within(l->booked.cgroup, f->cgroup.tightest) ? more : 0;
		huge += l->booked.huge_page == f->need.huge_page ? l->booked.huge : 0;
	}
	host.available = less(host.available, bytes);
	cgroup.room = less(cgroup.room, in_cgroup);
	mem_room_of(&host, has_cgroup ? &cgroup : NULL, &f->need, f->margin, &f->room);
	f->room.huge = less(f->room.huge, huge);
	f->booked = bytes;
}

void mem_account_book(struct lease *l, const struct mem_facts *f)
{
	l->booked = (struct mem_booked){ .bytes = f->need.fresh, .huge = f->need.huge, .huge_page = f->need.huge_page };
	if (!f->cgroup_err.num)
		memcpy(l->booked.cgroup, f->cgroup.path, sizeof(l->booked.cgroup));
}

void mem_account_settle(struct lease *l)
{
	l->daemon->nr_mem_settled += l->booked.bytes || l->booked.huge;
	l->booked = (struct mem_booked){ 0 };
}
