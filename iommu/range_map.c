/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A B+ tree. An entry of a leaf is a range; an entry of an inner node is a child, with a bound: no range below it ends above the bound, none
 * of the next child's ends at or below it. A bound may be higher than what is left of its child, so a search may come out at the end of a
 * leaf: the next leaf, which is never empty, goes on. The last bound of each level is UINT64_MAX.
 *
 * A node that gets too thin is merged with a neighbour where both fit well into one, else they share: but for the root none has fewer than
 * THIN entries.
 */
#include "range_map.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FANOUT 16 /* ends of two cache lines */
#define THIN (FANOUT / 4)
#define HEIGHT_MAX 16 /* of THIN children each: 4^16 */

/* Entries from nr on are UINT64_MAX and NULL, so that a search needs not know nr. */
struct range_tree {
	uint64_t last[FANOUT]; /* of the range, or the bound of the child */
	uint64_t first[FANOUT]; /* leaf */
	union {
		struct range_node *range[FANOUT];
		struct range_tree *child[FANOUT];
	};
	struct range_tree *next; /* leaf: the one after it */
	unsigned nr;
} __attribute__((aligned(64)));

/* The way from the root to a leaf. */
struct path {
	struct range_tree *node[HEIGHT_MAX];
	unsigned at[HEIGHT_MAX];
};

/*
 * Index of the first entry whose last is at or above @addr; nr: none. All of them are looked at: no branch depends on an address, and no load
 * on another one, which beats halving for so few.
 */
static unsigned search(const struct range_tree *t, uint64_t addr)
{
	unsigned below = 0;

	for (unsigned i = 0; i < FANOUT; i++)
		below += t->last[i] < addr;
	return below;
}

static struct range_tree *descend(const struct range_map *map, uint64_t addr, struct path *path)
{
	struct range_tree *t = map->root;

	for (unsigned level = 0; level + 1 < map->height; level++) {
		path->node[level] = t;
		path->at[level] = search(t, addr);
		t = t->child[path->at[level]];
	}
	return t;
}

static const struct range_tree *leaf_of(const struct range_map *map, uint64_t addr)
{
	const struct range_tree *t = map->root;

	for (unsigned level = map->height; level > 1; level--)
		t = t->child[search(t, addr)];
	return t;
}

struct range_node *range_map_from(const struct range_map *map, uint64_t addr)
{
	const struct range_tree *t = leaf_of(map, addr);
	unsigned at = t ? search(t, addr) : 0;

	if (t && at < FANOUT && t->range[at])
		return t->range[at];
	return t && t->next ? t->next->range[0] : NULL;
}

struct range_node *range_map_find(const struct range_map *map, uint64_t addr)
{
	const struct range_tree *t = leaf_of(map, addr);
	unsigned at = t ? search(t, addr) : 0;

	if (t && (at == FANOUT || !t->range[at])) {
		t = t->next;
		at = 0;
	}
	return t && t->first[at] <= addr ? t->range[at] : NULL;
}

struct range_node *range_map_next(const struct range_map *map, const struct range_node *node)
{
	return node->last == UINT64_MAX ? NULL : range_map_from(map, node->last + 1);
}

/* --- inserting --- */

/* By hand: for so few, calls of memmove(3) cost more than they move. */
static void open_gap(struct range_tree *t, unsigned at)
{
	for (unsigned i = t->nr; i > at; i--) {
		t->last[i] = t->last[i - 1];
		t->first[i] = t->first[i - 1];
		t->child[i] = t->child[i - 1];
	}
	t->nr++;
}

/* Entries from nr to @end are no more. */
static void clear(struct range_tree *t, unsigned end)
{
	for (unsigned i = t->nr; i < end; i++) {
		t->last[i] = UINT64_MAX;
		t->child[i] = NULL;
	}
}

static void close_gap(struct range_tree *t, unsigned at)
{
	unsigned end = t->nr - 1;

	for (unsigned i = at; i < end; i++) {
		t->last[i] = t->last[i + 1];
		t->first[i] = t->first[i + 1];
		t->child[i] = t->child[i + 1];
	}
	t->nr = end;
	clear(t, end + 1);
}

/* Append entries [@from, nr) of @t to @to. */
static void move_tail(struct range_tree *to, struct range_tree *t, unsigned from)
{
	unsigned n = t->nr - from;

	memcpy(&to->last[to->nr], &t->last[from], n * sizeof(t->last[0]));
	memcpy(&to->first[to->nr], &t->first[from], n * sizeof(t->first[0]));
	memcpy(&to->child[to->nr], &t->child[from], n * sizeof(struct range_tree *));
	to->nr += n;
	t->nr = from;
	clear(t, from + n);
}

/*
 * Split child @at of @parent in the middle; the upper half goes into @fresh, which is empty. A search for what goes between the halves
 * comes out in the upper one.
 */
static void split(struct range_tree *parent, unsigned at, struct range_tree *fresh)
{
	struct range_tree *t = parent->child[at];

	move_tail(fresh, t, FANOUT / 2);
	fresh->next = t->next;
	t->next = fresh;
	open_gap(parent, at);
	parent->child[at] = t;
	parent->last[at] = t->last[t->nr - 1];
	parent->child[at + 1] = fresh;
}

static void free_list(struct range_tree *list)
{
	while (list) {
		struct range_tree *next = list->next;

		free(list);
		list = next;
	}
}

static struct range_tree *take(struct range_tree **list)
{
	struct range_tree *t = *list;

	*list = t->next;
	t->next = NULL;
	return t;
}

/* New nodes, @nr of them, in a list. NULL: no memory, if @nr is not 0. */
static struct range_tree *new_list(unsigned nr)
{
	struct range_tree *list = NULL;

	while (nr--) {
		struct range_tree *t = aligned_alloc(_Alignof(struct range_tree), sizeof(*t));

		if (!t) {
			free_list(list);
			return NULL;
		}
		t->nr = 0;
		clear(t, FANOUT);
		t->next = list;
		list = t;
	}
	return list;
}

/* A level on top. */
static void grow(struct range_map *map, struct range_tree *root)
{
	root->nr = 1;
	root->last[0] = UINT64_MAX;
	root->child[0] = map->root;
	map->root = root;
	map->height++;
}

/* How many nodes an insertion below needs: one for each full node from the leaf up, without a gap, and one for a new root. */
static unsigned nodes_needed(const struct range_map *map, const struct path *path, const struct range_tree *leaf)
{
	unsigned nr = 0, level = map->height;

	if (leaf->nr < FANOUT)
		return 0;
	do
		nr++, level--;
	while (level && path->node[level - 1]->nr == FANOUT);
	return level ? nr : nr + 1;
}

/* Make room in the leaf where @addr belongs, from the top down, so that every parent has room for one more. */
static struct range_tree *make_room(struct range_map *map, uint64_t addr, struct range_tree *list, unsigned nr)
{
	struct range_tree *t;

	if (nr > map->height)
		grow(map, take(&list));
	t = map->root;
	for (unsigned level = map->height; level > 1; level--) {
		unsigned at = search(t, addr);

		/* the nodes were counted from the leaf up: those above the gap are left as they are, full or not */
		if (t->child[at]->nr == FANOUT && list && level - 1 <= nr) {
			split(t, at, take(&list));
			at = search(t, addr);
		}
		t = t->child[at];
	}
	return t;
}

/* Does @node overlap a range? It belongs at @at of @leaf: only its neighbours there can. */
static bool overlaps(const struct range_map *map, const struct range_tree *leaf, unsigned at, const struct range_node *node)
{
	const struct range_node *hit;

	if (at > 0 && at < leaf->nr)
		return leaf->last[at - 1] >= node->first || leaf->first[at] <= node->last;
	hit = range_map_from(map, node->first); /* a neighbour is in another leaf */
	return hit && hit->first <= node->last;
}

int range_map_insert(struct range_map *map, struct range_node *node)
{
	struct range_tree *leaf, *list = NULL;
	struct path path;
	unsigned at, nr;

	if (!map->root) {
		map->root = new_list(1);
		if (!map->root)
			return -ENOMEM;
		map->height = 1;
	}
	leaf = descend(map, node->last, &path);
	at = search(leaf, node->last);
	if (overlaps(map, leaf, at, node))
		return -EEXIST;
	nr = nodes_needed(map, &path, leaf);
	if (nr) {
		list = new_list(nr);
		if (!list)
			return -ENOMEM;
		leaf = make_room(map, node->last, list, nr);
		at = search(leaf, node->last);
	}
	open_gap(leaf, at);
	leaf->first[at] = node->first;
	leaf->last[at] = node->last;
	leaf->range[at] = node;
	map->nr++;
	return 0;
}

/* --- removing --- */

/* Merge children @at and @at + 1 of @parent into the lower. */
static void merge(struct range_tree *parent, unsigned at)
{
	struct range_tree *low = parent->child[at], *high = parent->child[at + 1];

	/* the lower one's own last bound, on an inner level, is the parent's: what is above it is in the upper one */
	move_tail(low, high, 0);
	low->next = high->next;
	parent->last[at] = parent->last[at + 1];
	close_gap(parent, at + 1);
	free(high);
}

/* Children @at and @at + 1 of @parent, one of them thin and the other not, share what they have. */
static void share(struct range_tree *parent, unsigned at)
{
	struct range_tree *low = parent->child[at], *high = parent->child[at + 1], rest = *high;
	unsigned half = (low->nr + high->nr) / 2;

	high->nr = 0;
	clear(high, FANOUT);
	if (low->nr > half) {
		move_tail(high, low, half);
		move_tail(high, &rest, 0);
	} else {
		move_tail(high, &rest, half - low->nr);
		move_tail(low, &rest, 0);
	}
	parent->last[at] = low->last[low->nr - 1];
}

/* Child @at of @parent has got thin. A parent has two children at least. */
static void thicken(struct range_tree *parent, unsigned at)
{
	unsigned low = at + 1 < parent->nr ? at : at - 1;

	if (parent->child[low]->nr + parent->child[low + 1]->nr <= FANOUT * 3 / 4)
		merge(parent, low);
	else
		share(parent, low);
}

/* A root with one child is a level too many; one with nothing, all of it. */
static void shrink(struct range_map *map)
{
	while (map->height > 1 && map->root->nr == 1) {
		struct range_tree *t = map->root;

		map->root = t->child[0];
		map->height--;
		free(t);
	}
	if (map->root->nr)
		return;
	free(map->root);
	map->root = NULL;
	map->height = 0;
}

void range_map_remove(struct range_map *map, struct range_node *node)
{
	struct path path;
	struct range_tree *t = descend(map, node->last, &path);

	close_gap(t, search(t, node->last));
	map->nr--;
	for (unsigned level = map->height - 1; level > 0 && t->nr < THIN; level--) {
		t = path.node[level - 1]; /* NOLINT(clang-analyzer-core.uninitialized.Assign): descend() has filled it */
		thicken(t, path.at[level - 1]);
	}
	shrink(map);
}
