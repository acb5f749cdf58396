/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * range_map: an ordered set of inclusive ranges [first, last] that never overlap. A B+ tree over the ranges' ends: map, unmap and lookup
 * are O(log n) whatever order a peer maps in, and few ranges, as guests have, are one sorted array. The caller's objects hold the ranges;
 * the tree points at them.
 */
#ifndef GANGWAY_RANGE_MAP_H
#define GANGWAY_RANGE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct range_tree;

struct range_node {
	uint64_t first, last; /* inclusive, so that a range may end at 2^64 - 1; not to be changed while in a map */
};

struct range_map {
	struct range_tree *root; /* NULL: empty */
	unsigned height; /* levels */
	size_t nr;
};

/* Adds @node, whose first and last are set. -EEXIST: it overlaps a range in the map; -ENOMEM: nothing has changed. */
int range_map_insert(struct range_map *map, struct range_node *node);
/* Takes @node, which is in the map, out. The last one out leaves no memory behind. */
void range_map_remove(struct range_map *map, struct range_node *node);
/* The range that holds @addr; NULL: none. */
struct range_node *range_map_find(const struct range_map *map, uint64_t addr);
/* The lowest range with last >= @addr, i.e. the first one met from @addr upwards; NULL: none. */
struct range_node *range_map_from(const struct range_map *map, uint64_t addr);
/* The range after @node; NULL: it is the highest. */
struct range_node *range_map_next(const struct range_map *map, const struct range_node *node);

#endif
