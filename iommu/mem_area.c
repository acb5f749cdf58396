/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem_area.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *mem_backing_to_string(enum mem_backing backing)
{
	switch (backing) {
	case MEM_UNKNOWN:
		return "unknown";
	case MEM_ANONYMOUS:
		return "anonymous";
	case MEM_MEMFD:
		return "memfd";
	case MEM_HUGETLB:
		return "hugetlb";
	case MEM_FILE:
		return "file";
	}
	return "?";
}

/* --- which mapping --- */

static enum mem_backing backing_of(const struct mem_map *m)
{
	if (m->page_bytes > (uint64_t)sysconf(_SC_PAGESIZE))
		return MEM_HUGETLB;
	if (!m->inode)
		return MEM_ANONYMOUS;
	if (!strncmp(m->name, "/memfd:", 7) || !strncmp(m->name, "/dev/zero", 9) || !strncmp(m->name, "/SYSV", 5))
		return MEM_MEMFD;
	return MEM_FILE;
}

/* A backend is a mapping of its size, rounded up to its pages. An anonymous one may be one with its neighbours. */
static bool is_its_size(const struct mem_area *a, const struct mem_map *m)
{
	uint64_t size = m->end - m->start, page = m->page_bytes ? m->page_bytes : (uint64_t)sysconf(_SC_PAGESIZE);

	return size >= a->size && size - a->size < page;
}

/* What is mapped and not our own copy is the file's, and so is what nobody has touched. */
static void take_template(struct mem_area *a, const struct mem_map *m)
{
	a->template = a->resident - (m->anonymous < a->resident ? m->anonymous : a->resident) + a->untouched;
	a->untouched = 0;
	a->alone = m->unique > m->anonymous ? m->unique - m->anonymous : 0;
	a->alone = a->alone < a->template ? a->alone : a->template;
	a->resident = a->size - a->swapped - a->template;
	a->merged = a->merged < a->resident ? a->merged : a->resident;
}

/* Of a file that is the VMM's alone (a memfd, an unlinked one): nobody's template, but what was only read is copied by a pin all the same. */
static void take_private(struct mem_area *a, const struct mem_map *m)
{
	a->others = a->resident - (m->anonymous < a->resident ? m->anonymous : a->resident);
	a->merged = a->merged < a->resident - a->others ? a->merged : a->resident - a->others;
}

static void take(struct mem_area *a, const struct mem_map *m)
{
	uint64_t size = a->size;

	a->backing = backing_of(m);
	a->page_bytes = m->page_bytes;
	a->reserved = a->backing == MEM_HUGETLB && !m->noreserve;
	a->resident = m->resident < size ? m->resident : size;
	a->swapped = m->swapped < size - a->resident ? m->swapped : size - a->resident;
	a->untouched = size - a->resident - a->swapped;
	a->merged = m->merged < a->resident ? m->merged : a->resident;
	if (a->shared || a->backing == MEM_HUGETLB)
		return;
	if (m->inode && m->deleted) {
		take_private(a, m);
		return;
	}
	if (m->inode) {
		take_template(a, m);
		return;
	}
	a->others = a->resident - (m->unique < a->resident ? m->unique : a->resident);
	a->others = a->others > a->merged ? a->others - a->merged : 0;
}

int mem_area_find(struct mem_area *area, const struct mem_maps *maps, bool *taken)
{
	for (unsigned i = 0; i < maps->nr; i++) {
		const struct mem_map *m = &maps->v[i];

		if (taken[i] || m->shared != area->shared || !is_its_size(area, m))
			continue;
		taken[i] = true;
		take(area, m);
		return (int)i;
	}
	return -ENOENT;
}

void mem_area_allocated(struct mem_area *a, uint64_t bytes)
{
	uint64_t there = bytes < a->size ? bytes : a->size;

	if (!a->shared || there <= a->resident + a->swapped)
		return;
	a->resident = there - a->swapped;
	a->untouched = a->size - there;
}

/* --- what it takes --- */

uint64_t mem_area_new(const struct mem_area *a)
{
	if (a->backing == MEM_UNKNOWN)
		return a->size;
	return a->untouched + a->swapped + a->template + a->merged + a->others;
}

static void add_huge(struct mem_need *need, const struct mem_area *a)
{
	need->pin += a->size;
	if (a->reserved || !a->untouched)
		return;
	need->huge += a->untouched;
	if (!need->huge_page)
		need->huge_page = a->page_bytes;
}

static void add(struct mem_need *need, const struct mem_area *a)
{
	need->is_private = need->is_private || !a->shared;
	if (a->backing == MEM_HUGETLB) {
		add_huge(need, a);
		return;
	}
	need->pin += a->size;
	need->fresh += mem_area_new(a);
	if (a->backing == MEM_UNKNOWN) {
		need->unknown += a->size;
		return;
	}
	need->swapped += a->swapped;
	need->untouched += a->untouched;
	need->unmerged += a->merged;
	need->copied += a->template + a->others;
	need->template += a->template;
	need->alone += a->alone;
}

/* Backends may hold more than what is RAM now: what virtio-mem may plug yet, what is no RAM at all. That is not there, and nobody pins it. */
static void leave_out(struct mem_need *need, uint64_t bytes)
{
	uint64_t small = bytes < need->untouched ? bytes : need->untouched, huge = bytes - small;

	need->untouched -= small;
	need->fresh -= small;
	need->huge -= huge < need->huge ? huge : need->huge;
	need->pin -= bytes;
}

void mem_need_of(const struct mem_area *areas, unsigned nr, uint64_t ram, uint64_t merged, struct mem_need *ret)
{
	struct mem_need need = { 0 };
	uint64_t own = 0; /* private, there, and not known to be anybody else's */

	for (unsigned i = 0; i < nr; i++) {
		/* a VMM that declares more than 2^64 bytes has none of it: what it says of all its RAM was checked */
		if (need.pin + areas[i].size < need.pin)
			continue;
		add(&need, &areas[i]);
		if (!areas[i].shared && (areas[i].backing == MEM_ANONYMOUS || areas[i].backing == MEM_FILE))
			own += areas[i].resident - areas[i].merged - areas[i].others;
	}
	if (ram > need.pin) {
		need.is_private = true; /* anonymous, of the VMM's own */
		need.unknown += ram - need.pin;
		need.fresh += ram - need.pin;
		need.pin = ram;
	} else if (ram) {
		leave_out(&need, need.pin - ram);
	}
	/* an older kernel tells of the process alone */
	if (merged > need.unmerged + need.copied) {
		uint64_t more = merged - need.unmerged - need.copied;

		more = more < own ? more : own;
		need.unmerged += more;
		need.fresh += more;
	}
	*ret = need;
}

/* --- what there is --- */

static uint64_t less(uint64_t bytes, uint64_t margin)
{
	return bytes == UINT64_MAX ? bytes : bytes > margin ? bytes - margin : 0;
}

static uint64_t huge_room(const struct mem_host *host, uint64_t page_bytes)
{
	const struct mem_pool *pool = page_bytes ? mem_host_pool(host, page_bytes) : NULL;
	uint64_t pages, bytes;

	if (!pool)
		return 0;
	pages = pool->free > pool->reserved ? pool->free - pool->reserved : 0;
	pages += pool->overcommit > pool->surplus ? pool->overcommit - pool->surplus : 0;
	return __builtin_mul_overflow(pages, page_bytes, &bytes) ? UINT64_MAX : bytes;
}

void mem_room_of(const struct mem_host *host, const struct mem_cgroup *cgroup, const struct mem_need *need, uint64_t margin,
		 struct mem_room *ret)
{
	struct mem_room room = { .host = host->available, .cgroup = cgroup ? cgroup->room : UINT64_MAX };

	room.by_cgroup = room.cgroup < room.host;
	room.bytes = less(room.by_cgroup ? room.cgroup : room.host, margin);
	room.huge = huge_room(host, need->huge_page);
	*ret = room;
}

bool mem_fits(const struct mem_need *need, const struct mem_room *room)
{
	return need->fresh <= room->bytes && need->huge <= room->huge;
}

const char *mem_text(uint64_t bytes, char buf[static MEM_TEXT_MAX])
{
	if (bytes >= 1ull << 30)
		snprintf(buf, MEM_TEXT_MAX, "%.1f GiB", (double)bytes / (1ull << 30));
	else if (bytes >= 1ull << 20)
		snprintf(buf, MEM_TEXT_MAX, "%.1f MiB", (double)bytes / (1ull << 20));
	else
		snprintf(buf, MEM_TEXT_MAX, "%" PRIu64 " KiB", bytes >> 10);
	return buf;
}
