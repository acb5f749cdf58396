/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * range_map: an ordered set of inclusive ranges [first, last] that never overlap. An AVL tree: map, unmap and lookup are
 * O(log n) whatever order a peer maps in. Nodes live inside the caller's objects; nothing here allocates.
 */
#ifndef GANGWAY_RANGE_MAP_H
#define GANGWAY_RANGE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct range_node {
	uint64_t first, last; /* inclusive, so that a range may end at 2^64 - 1 */
	struct range_node *child[2];
	int height;
};

struct range_map {
	struct range_node *root;
	size_t nr;
};

/* Adds @node, whose first and last are set. -EEXIST: it overlaps a range in the map. */
int range_map_insert(struct range_map *map, struct range_node *node);
/* Takes @node, which is in the map, out. */
void range_map_remove(struct range_map *map, struct range_node *node);
/* The range that holds @addr; NULL: none. */
struct range_node *range_map_find(const struct range_map *map, uint64_t addr);
/* The lowest range with last >= @addr, i.e. the first one met from @addr upwards; NULL: none. */
struct range_node *range_map_from(const struct range_map *map, uint64_t addr);
/* The range after @node; NULL: it is the highest. */
struct range_node *range_map_next(const struct range_map *map, const struct range_node *node);

#endif
