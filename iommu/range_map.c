/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "range_map.h"

#include <errno.h>

static int height(const struct range_node *n)
{
	return n ? n->height : 0;
}

static void update(struct range_node *n)
{
	int l = height(n->child[0]), r = height(n->child[1]);

	n->height = (l > r ? l : r) + 1;
}

/* The child on side @dir comes up in @n's place. */
static struct range_node *rotate(struct range_node *n, int dir)
{
	struct range_node *up = n->child[dir];

	n->child[dir] = up->child[!dir];
	up->child[!dir] = n;
	update(n);
	update(up);
	return up;
}

static struct range_node *balance(struct range_node *n)
{
	int dir, lean = height(n->child[1]) - height(n->child[0]);
	struct range_node *heavy;

	update(n);
	if (lean >= -1 && lean <= 1)
		return n;
	dir = lean > 0;
	heavy = n->child[dir];
	if (height(heavy->child[!dir]) > height(heavy->child[dir]))
		n->child[dir] = rotate(heavy, !dir);
	return rotate(n, dir);
}

/* Recursion is as deep as the tree is high: 1.44 * log2(n), 24 at LIMIT_DMA_RANGES. */
static struct range_node *insert(struct range_node *at, struct range_node *node)
{
	int dir;

	if (!at)
		return node;
	dir = node->first > at->first;
	at->child[dir] = insert(at->child[dir], node);
	return balance(at);
}

static struct range_node *take_lowest(struct range_node *at, struct range_node **ret_lowest)
{
	if (!at->child[0]) {
		*ret_lowest = at;
		return at->child[1];
	}
	at->child[0] = take_lowest(at->child[0], ret_lowest);
	return balance(at);
}

static struct range_node *take(struct range_node *at, struct range_node *node)
{
	struct range_node *heir;

	if (at != node) {
		int dir = node->first > at->first;

		at->child[dir] = take(at->child[dir], node);
		return balance(at);
	}
	if (!at->child[0] || !at->child[1])
		return at->child[0] ? at->child[0] : at->child[1];
	at->child[1] = take_lowest(at->child[1], &heir);
	heir->child[0] = at->child[0];
	heir->child[1] = at->child[1];
	return balance(heir);
}

int range_map_insert(struct range_map *map, struct range_node *node)
{
	struct range_node *hit = range_map_from(map, node->first);

	if (hit && hit->first <= node->last)
		return -EEXIST;
	node->child[0] = node->child[1] = NULL;
	node->height = 1;
	map->root = insert(map->root, node);
	map->nr++;
	return 0;
}

void range_map_remove(struct range_map *map, struct range_node *node)
{
	map->root = take(map->root, node);
	map->nr--;
}

struct range_node *range_map_from(const struct range_map *map, uint64_t addr)
{
	struct range_node *best = NULL;

	for (struct range_node *n = map->root; n; n = n->child[n->last < addr])
		if (n->last >= addr)
			best = n;
	return best;
}

struct range_node *range_map_find(const struct range_map *map, uint64_t addr)
{
	struct range_node *n = range_map_from(map, addr);

	return n && n->first <= addr ? n : NULL;
}

struct range_node *range_map_next(const struct range_map *map, const struct range_node *node)
{
	return node->last == UINT64_MAX ? NULL : range_map_from(map, node->last + 1);
}
