/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VF would take of each kind of memory, and whether there is so much. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "mem_area.h"
#include "mem_test.h"

#define MIB (1ull << 20)

static struct mem_maps maps;
static bool taken[16];

static struct mem_area find(const char *text, bool shared, int want)
{
	struct mem_area a = { .id = "mem0", .size = 64 * MIB, .shared = shared };

	memset(taken, 0, sizeof(taken));
	cr_assert_eq(mem_smaps_parse(text, strlen(text), &maps), 0);
	cr_assert_eq(mem_area_find(&a, &maps, taken), want);
	mem_maps_free(&maps);
	return a;
}

Test(mem_area, each_kind)
{
	struct mem_area a = find(SMAP_MEMFD, true, 0);

	cr_assert(a.backing == MEM_MEMFD && a.resident == 16 * MIB && a.swapped == 8 * MIB && a.untouched == 40 * MIB);
	cr_assert_eq(mem_area_new(&a), 48 * MIB);
	/* 32 MiB are allocated: 8 of them in swap, 16 mapped, 8 touched by somebody else */
	mem_area_allocated(&a, 32 * MIB);
	cr_assert(a.resident == 24 * MIB && a.untouched == 32 * MIB);
	cr_assert_eq(mem_area_new(&a), 40 * MIB);
	mem_area_allocated(&a, 1 * MIB); /* less than is mapped: old news */
	cr_assert_eq(a.resident, 24 * MIB);
	mem_area_allocated(&a, UINT64_MAX);
	cr_assert(a.resident == 56 * MIB && a.untouched == 0);

	a = find(SMAP_ANON, false, 0);
	cr_assert(a.backing == MEM_ANONYMOUS && a.resident == 40 * MIB && a.merged == 10 * MIB && a.others == 4 * MIB);
	cr_assert_eq(mem_area_new(&a), (22 + 2 + 10 + 4) * MIB); /* untouched, swapped, merged, another's too */

	a = find(SMAP_TEMPLATE, false, 0);
	cr_assert(a.backing == MEM_FILE && a.resident == 8 * MIB && a.swapped == 4 * MIB && a.template == 52 * MIB);
	cr_assert_eq(a.alone, 0u);
	cr_assert_eq(mem_area_new(&a), 56 * MIB);

	/* and of one that nobody else maps, which may be a template yet: it costs the same */
	a = find(SMAP("7f2000000000-7f2004000000 rw-p 00000000 fe:00 77 /var/lib/ram", "4", "24576", "24576", "8192", "0", "0",
		      "4096", "rd wr"),
		 false, 0);
	cr_assert(a.template == 52 * MIB && a.alone == 16 * MIB);
	cr_assert_eq(mem_area_new(&a), 56 * MIB);

	/* the same of a file that nobody else can come to is no template */
	a = find(SMAP("7f2000000000-7f2004000000 rw-p 00000000 00:01 77 /memfd:mem0 (deleted)", "4", "24576", "8192", "8192", "0",
		      "0", "4096", "rd wr"),
		 false, 0);
	cr_assert(a.backing == MEM_MEMFD && a.template == 0 && a.resident == 24 * MIB && a.others == 16 * MIB &&
		  a.untouched == 36 * MIB);
	cr_assert_eq(mem_area_new(&a), 56 * MIB);

	a = find(SMAP_HUGE(""), true, 0);
	cr_assert(a.backing == MEM_HUGETLB && a.reserved && a.resident == 20 * MIB);
	a = find(SMAP_HUGE("nr"), true, 0);
	cr_assert(!a.reserved);
}

Test(mem_area, not_its_mapping)
{
	struct mem_area a = find(SMAP_MEMFD, false, -ENOENT);

	cr_assert(a.backing == MEM_UNKNOWN && mem_area_new(&a) == 64 * MIB, "what is not found counts as not there");
	find(SMAP_ANON, true, -ENOENT);
	a.size = 63 * MIB;
	cr_assert_eq(mem_area_find(&a, &maps, taken), -ENOENT);
}

Test(mem_area, two_of_a_size_are_two)
{
	static const char text[] = SMAP_MEMFD SMAP_HUGE("");
	struct mem_area a = { .size = 64 * MIB, .shared = true }, b = a, c = a;

	memset(taken, 0, sizeof(taken));
	cr_assert_eq(mem_smaps_parse(text, strlen(text), &maps), 0);
	cr_assert_eq(mem_area_find(&a, &maps, taken), 0);
	cr_assert_eq(mem_area_find(&b, &maps, taken), 1);
	cr_assert_eq(mem_area_find(&c, &maps, taken), -ENOENT);
	mem_maps_free(&maps);
}

Test(mem_area, need)
{
	struct mem_area areas[] = { find(SMAP_MEMFD, true, 0), find(SMAP_ANON, false, 0), find(SMAP_TEMPLATE, false, 0),
				    find(SMAP_HUGE("nr"), true, 0) };
	struct mem_need need;

	mem_need_of(areas, 4, 256 * MIB, 0, &need);
	cr_assert_eq(need.pin, 256 * MIB);
	cr_assert_eq(need.fresh, (48 + 38 + 56) * MIB);
	cr_assert(need.unmerged == 10 * MIB && need.copied == 56 * MIB && need.swapped == 14 * MIB && need.untouched == 62 * MIB);
	cr_assert(need.huge == 44 * MIB && need.huge_page == 2 * MIB && need.is_private && need.unknown == 0);
	/* the process says that more is merged: no more of it than can be */
	mem_need_of(areas, 4, 256 * MIB, 70 * MIB, &need);
	cr_assert_eq(need.unmerged, 14 * MIB);
	mem_need_of(areas, 4, 256 * MIB, 9999 * MIB, &need);
	cr_assert_eq(need.unmerged, (10 + 26 + 8) * MIB);
	/* RAM that no backend speaks of */
	mem_need_of(areas, 1, 100 * MIB, 0, &need);
	cr_assert(need.pin == 100 * MIB && need.unknown == 36 * MIB && need.fresh == 84 * MIB && need.is_private);
	/* a backend that holds more than is RAM: what virtio-mem has not plugged is not there, and not wanted */
	mem_need_of(areas, 4, 200 * MIB, 0, &need);
	cr_assert(need.pin == 200 * MIB && need.untouched == 6 * MIB && need.fresh == (48 + 38 + 56 - 56) * MIB &&
		  need.huge == 44 * MIB);
	mem_need_of(areas, 4, 180 * MIB, 0, &need);
	cr_assert(need.pin == 180 * MIB && need.untouched == 0 && need.huge == (44 - 14) * MIB);
	mem_need_of(areas, 4, 1, 0, &need);
	cr_assert(need.pin == 1 && need.untouched == 0 && need.huge == 0);
	/* more than there are numbers */
	areas[1].size = UINT64_MAX;
	areas[1].backing = MEM_UNKNOWN;
	mem_need_of(areas, 2, 64 * MIB, 0, &need);
	cr_assert_eq(need.pin, 64 * MIB);
}

Test(mem_area, room)
{
	struct mem_host host = { .available = 100 * MIB,
				 .nr_pools = 1,
				 .pools = { { .page_bytes = 2 * MIB, .free = 10, .reserved = 4 } } };
	struct mem_cgroup cgroup = { .room = 50 * MIB };
	struct mem_need need = { .fresh = 40 * MIB, .huge = 12 * MIB, .huge_page = 2 * MIB };
	struct mem_room room;

	mem_room_of(&host, NULL, &need, 60 * MIB, &room);
	cr_assert(room.bytes == 40 * MIB && !room.by_cgroup && room.huge == 12 * MIB);
	cr_assert(mem_fits(&need, &room), "to the byte");
	need.fresh++;
	cr_assert(!mem_fits(&need, &room));
	need.fresh--;
	need.huge++;
	cr_assert(!mem_fits(&need, &room), "huge pages are a matter of their own");
	need.huge = 0;
	mem_room_of(&host, &cgroup, &need, 20 * MIB, &room);
	cr_assert(room.by_cgroup && room.bytes == 30 * MIB && !mem_fits(&need, &room));
	cgroup.room = UINT64_MAX;
	mem_room_of(&host, &cgroup, &need, 200 * MIB, &room);
	cr_assert(room.bytes == 0 && !room.by_cgroup);
	need.fresh = 0;
	cr_assert(mem_fits(&need, &room), "who needs nothing is given it");
	/* surplus pages may be made; those of a size that there is not, may not */
	host.pools[0].overcommit = 5;
	host.pools[0].surplus = 2;
	need.huge = 18 * MIB;
	mem_room_of(&host, NULL, &need, 0, &room);
	cr_assert_eq(room.huge, 18 * MIB);
	need.huge_page = 1024 * MIB;
	mem_room_of(&host, NULL, &need, 0, &room);
	cr_assert_eq(room.huge, 0u);
}

Test(mem_area, words)
{
	char buf[MEM_TEXT_MAX];

	cr_assert_str_eq(mem_text(4ull << 30, buf), "4.0 GiB");
	cr_assert_str_eq(mem_text(1536 << 10, buf), "1.5 MiB");
	cr_assert_str_eq(mem_text(0, buf), "0 KiB");
	cr_assert_str_eq(mem_backing_to_string(MEM_HUGETLB), "hugetlb");
}
