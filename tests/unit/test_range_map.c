/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interval map against a naive model, and its balance. */
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

/* Order, no overlap, heights and balance of the whole tree; how many nodes. */
static size_t check_tree(const struct range_node *n, const struct range_node *low, const struct range_node *high)
{
	int l, r;

	if (!n)
		return 0;
	cr_assert(n->first <= n->last);
	cr_assert(!low || low->last < n->first);
	cr_assert(!high || n->last < high->first);
	l = n->child[0] ? n->child[0]->height : 0;
	r = n->child[1] ? n->child[1]->height : 0;
	cr_assert(abs(l - r) <= 1, "unbalanced: %d and %d", l, r);
	cr_assert_eq(n->height, (l > r ? l : r) + 1);
	return 1 + check_tree(n->child[0], low, n) + check_tree(n->child[1], n, high);
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
			cr_assert_eq(check_tree(map.root, NULL, NULL), map.nr);
			check_lookups(&map, model);
		}
	}
	cr_assert(inserted > 1000 && refused > 1000 && removed > 1000);
	while (map.root) {
		struct range_node *n = map.root;

		range_map_remove(&map, n);
		cr_assert_eq(check_tree(map.root, NULL, NULL), map.nr);
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
	cr_assert_eq(range_map_insert(&map, &all), 0);
	cr_assert_eq(range_map_find(&map, 12345), &all);
}

/* The worst order for a tree without balance: the height stays logarithmic. */
Test(range_map, ascending_order_stays_flat)
{
	enum { N = 65535 };
	struct range_node *nodes = calloc(N, sizeof(*nodes));
	struct range_map map = { 0 };

	for (unsigned i = 0; i < N; i++) {
		nodes[i].first = nodes[i].last = i;
		cr_assert_eq(range_map_insert(&map, &nodes[i]), 0);
	}
	cr_assert(map.root->height <= 24, "height %d", map.root->height);
	for (unsigned i = 0; i < N; i += 2)
		range_map_remove(&map, &nodes[i]);
	cr_assert_eq(check_tree(map.root, NULL, NULL), map.nr);
	free(nodes);
}
