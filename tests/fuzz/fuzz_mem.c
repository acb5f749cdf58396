/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libFuzzer target: a process's mappings as the kernel tells them, whose names and number the process decides; and what is made of them. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mem_area.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_area(const struct mem_maps *maps, const struct mem_map *m)
{
	struct mem_area a = { .id = "mem0", .size = m->end - m->start, .shared = m->shared };
	bool taken[MEM_MAPS_MAX] = { false };
	struct mem_need need;

	check(mem_area_find(&a, maps, taken) >= 0);
	check(a.resident + a.swapped + a.untouched + a.template == a.size);
	check(a.merged <= a.resident && a.others <= a.resident);
	mem_area_allocated(&a, a.size / 2);
	check(a.resident + a.swapped + a.untouched + a.template == a.size);
	check(mem_area_new(&a) <= a.size);
	mem_need_of(&a, 1, a.size, a.size, &need);
	check(need.pin == a.size && need.fresh <= need.pin && need.huge <= need.pin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mem_maps maps = { 0 };
	int r = mem_smaps_parse((const char *)data, size, &maps);

	check(r == 0 || r == -EPROTO || r == -E2BIG || r == -ENOMEM);
	check((r == 0 || !maps.nr) && maps.nr <= MEM_MAPS_MAX);
	for (unsigned i = 0; i < maps.nr && i < 16; i++) {
		const struct mem_map *m = &maps.v[i];

		check(m->end > m->start && m->end - m->start >= MEM_MAP_MIN && memchr(m->name, '\0', sizeof(m->name)));
		check_area(&maps, m);
	}
	mem_maps_free(&maps);
	return 0;
}
