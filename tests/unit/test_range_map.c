/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interval map against a naive model, and its height. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "../../iommu/range_map.h"

#define SLOTS 512 /* of the model: which slot of addresses belongs to which range */

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* In order, without overlap, and as many as there should be. */
static void check_order(const struct range_map *map)
{
	const struct range_node *before = NULL;
	size_t nr = 0;

	for (const struct range_node *n = range_map_from(map, 0); n; n = range_map_next(map, n)) {
		cr_assert(n->first <= n->last);
		cr_assert(!before || before->last < n->first);
		before = n;
		nr++;
	}
	cr_assert_eq(nr, map->nr);
	cr_assert_eq(map->root == NULL, nr == 0);
}

static void check_lookups(const struct range_map *map, struct range_node *const model[SLOTS])
{
	struct range_node *above = NULL;

	for (int i = SLOTS - 1; i >= 0; i--) {
		if (model[i])
			above = model[i];
		cr_assert_eq(range_map_find(map, (uint64_t)i), model[i]);
		cr_assert_eq(range_map_from(map, (uint64_t)i), above);
	}
}

Test(range_map, agrees_with_a_naive_model)
{
	struct range_node *model[SLOTS] = { 0 };
	struct range_map map = { 0 };
	unsigned inserted = 0, refused = 0, removed = 0;

	for (int step = 0; step < 20000; step++) {
		unsigned first = (unsigned)(next_random() % SLOTS), len = 1 + (unsigned)(next_random() % 12);
		unsigned last = first + len - 1 < SLOTS ? first + len - 1 : SLOTS - 1;
		struct range_node *n;

		if (next_random() % 2 && model[first]) {
			n = model[first];
			range_map_remove(&map, n);
			for (uint64_t i = n->first; i <= n->last; i++)
				model[i] = NULL;
			free(n);
			removed++;
		} else {
			bool clash = false;

			for (unsigned i = first; i <= last; i++)
				clash |= model[i] != NULL;
			n = calloc(1, sizeof(*n));
			n->first = first;
			n->last = last;
			cr_assert_eq(range_map_insert(&map, n), clash ? -EEXIST : 0);
			for (unsigned i = first; !clash && i <= last; i++)
				model[i] = n;
			if (clash)
				free(n);
			clash ? refused++ : inserted++;
		}
		if (step % 50 == 0) {
			check_order(&map);
			check_lookups(&map, model);
		}
	}
	cr_assert(inserted > 1000 && refused > 1000 && removed > 1000);
	while (map.root) {
		struct range_node *n = range_map_from(&map, next_random() % SLOTS);

		n = n ? n : range_map_from(&map, 0);
		range_map_remove(&map, n);
		check_order(&map);
		free(n);
	}
	cr_assert_eq(map.nr, 0);
}

Test(range_map, walks_in_order)
{
	struct range_node nodes[100];
	struct range_map map = { 0 };
	struct range_node *n;
	unsigned seen = 0;

	for (unsigned i = 0; i < 100; i++) {
		unsigned at = i * 37 % 100;

		nodes[at] = (struct range_node){ .first = at * 10, .last = at * 10 + 4 };
		cr_assert_eq(range_map_insert(&map, &nodes[at]), 0);
	}
	for (n = range_map_from(&map, 0); n; n = range_map_next(&map, n))
		cr_assert_eq(n, &nodes[seen++]);
	cr_assert_eq(seen, 100);
	for (unsigned i = 0; i < 100; i++)
		range_map_remove(&map, &nodes[i]);
}

Test(range_map, the_ends_of_the_address_space)
{
	struct range_node low = { .first = 0, .last = 0 }, high = { .first = UINT64_MAX, .last = UINT64_MAX };
	struct range_node all = { .first = 0, .last = UINT64_MAX };
	struct range_map map = { 0 };

	cr_assert_eq(range_map_insert(&map, &high), 0);
	cr_assert_eq(range_map_insert(&map, &low), 0);
	cr_assert_eq(range_map_insert(&map, &all), -EEXIST);
	cr_assert_eq(range_map_next(&map, &low), &high);
	cr_assert_null(range_map_next(&map, &high));
	cr_assert_eq(range_map_find(&map, UINT64_MAX), &high);
	range_map_remove(&map, &low);
	range_map_remove(&map, &high);
	cr_assert_null(map.root);
	cr_assert_eq(range_map_insert(&map, &all), 0);
	cr_assert_eq(range_map_find(&map, 12345), &all);
	range_map_remove(&map, &all);
}

/* Many ranges, put in and taken out in orders that a tree may not like: the height stays logarithmic, and each range is found. */
Test(range_map, stays_flat_in_any_order)
{
	enum { N = 65535 };
	static const unsigned steps[] = { 1, N - 1, 2, 256, 32749 }; /* prime to N: ascending, descending, and jumping */
	struct range_node *nodes = calloc(N, sizeof(*nodes));

	for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
		struct range_map map = { 0 };

		for (unsigned i = 0; i < N; i++) {
			unsigned at = (unsigned)((uint64_t)i * steps[k] % N);

			nodes[at].first = nodes[at].last = at;
			cr_assert_eq(range_map_insert(&map, &nodes[at]), 0);
		}
		cr_assert_leq(map.height, 5, "height %u", map.height);
		check_order(&map);
		for (unsigned i = 0; i < N; i++)
			if (i % 16)
				range_map_remove(&map, &nodes[(unsigned)((uint64_t)i * steps[k] % N)]);
		check_order(&map);
		for (unsigned i = 0; i < N; i++) {
			unsigned at = (unsigned)((uint64_t)i * steps[k] % N);

			cr_assert_eq(range_map_find(&map, at), i % 16 ? NULL : &nodes[at]);
		}
		for (unsigned i = 0; i < N; i += 16)
			range_map_remove(&map, &nodes[(unsigned)((uint64_t)i * steps[k] % N)]);
		cr_assert_null(map.root);
	}
	free(nodes);
}

/* A million random changes on a few thousand ranges, so that nodes split, merge and share all the time. */
Test(range_map, shuffled)
{
	enum { N = 4096 };
	static struct range_node nodes[N];
	static bool in[N];
	struct range_map map = { 0 };

	for (unsigned step = 0; step < 1000000; step++) {
		/* waves: mostly in, then mostly out */
		unsigned at = (unsigned)(next_random() % N);
		bool want = next_random() % 8 < (step / 100000 % 2 ? 1u : 7u);

		if (in[at] == want)
			continue;
		nodes[at].first = at * 10;
		nodes[at].last = at * 10 + 7;
		if (want)
			cr_assert_eq(range_map_insert(&map, &nodes[at]), 0);
		else
			range_map_remove(&map, &nodes[at]);
		in[at] = want;
		if (step % 20000)
			continue;
		check_order(&map);
		for (unsigned i = 0; i < N; i++) {
			cr_assert_eq(range_map_find(&map, i * 10 + 3), in[i] ? &nodes[i] : NULL);
			cr_assert_null(range_map_find(&map, i * 10 + 8));
		}
	}
	for (unsigned i = 0; i < N; i++)
		if (in[i])
			range_map_remove(&map, &nodes[i]);
	cr_assert_null(map.root);
}
