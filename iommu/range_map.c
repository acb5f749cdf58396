/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A B+ tree. An entry of a leaf is a range; an entry of an inner node is a child, with a bound: no range below it ends above the bound, none
 * of the next child's ends at or below it. A bound may be higher than what is left of its child, so a search may come out at the end of a
 * leaf: the next leaf, which is never empty, goes on. The last bound of each level is UINT64_MAX.
 *
 * search() has no branch that depends on an address: nothing is guessed wrong, and the processor has several lookups under way at once. A
 * change looks for its place in the leaf with a plain loop instead: one wrong guess, but what follows, two searches and two moves on the
 * same memory, does not wait for loads.
 *
 * A node that gets too thin is merged with a neighbour where both fit well into one, else they share: but for the root none has fewer than
 * THIN entries.
 */
#include "range_map.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define GROUP 4 /* entries searched or moved at a time: a loop that goes round less often is guessed wrong less often */
#define FANOUT (7 * GROUP)
#define SLOTS (FANOUT + GROUP)
#define THIN (FANOUT / 4)
#define HEIGHT_MAX 16 /* of THIN children each: 7^16 */

struct entry {
	uint64_t first; /* leaf */
	union {
		struct range_node *range;
		struct range_tree *child;
	};
};

/* Slots from nr on are UINT64_MAX and NULL: a search needs not know nr, and a move of whole groups may run into them. */
struct range_tree {
	uint64_t last[SLOTS]; /* of the range, or the bound of the child: all that is compared, in four cache lines */
	struct entry entry[SLOTS];
	struct range_tree *next; /* leaf: the one after it */
	unsigned nr;
} __attribute__((aligned(64)));

/* The way from the root to a leaf. */
struct path {
	struct range_tree *node[HEIGHT_MAX];
	unsigned at[HEIGHT_MAX];
};

/*
 * Index of the first entry whose last is at or above @addr; nr: none. First the group, by the last one of each but the last group, then in
 * the group. Each comparison is an addition.
 */
static unsigned search(const struct range_tree *t, uint64_t addr)
{
	const uint64_t *group;
	unsigned below = 0;

#pragma GCC unroll 16
	for (unsigned i = GROUP - 1; i < FANOUT - 1; i += GROUP)
		below += t->last[i] < addr;
	below *= GROUP;
	group = &t->last[below];
#pragma GCC unroll 16
	for (unsigned i = 0; i < GROUP; i++)
		below += group[i] < addr;
	return below;
}

static struct range_tree *descend(const struct range_map *map, uint64_t addr, struct path *path)
{
	struct range_tree *t = map->root;

	for (unsigned level = 0; level + 1 < map->height; level++) {
		path->node[level] = t;
		path->at[level] = search(t, addr);
		t = t->entry[path->at[level]].child;
	}
	return t;
}

/* NULL: the map is empty. */
static struct range_tree *leaf_of(const struct range_map *map, uint64_t addr)
{
	struct range_tree *t = map->root;

	for (unsigned level = map->height; level > 1; level--)
		t = t->entry[search(t, addr)].child;
	if (map->height > 1) /* the leaf may not be in a cache, and which entry it is will only be known when the ends are */
		for (unsigned i = 0; i < FANOUT; i += GROUP)
			__builtin_prefetch(&t->entry[i]);
	return t;
}

/* Of the lowest range with last >= @addr. NULL: none. */
static inline const struct entry *entry_from(const struct range_map *map, uint64_t addr)
{
	const struct range_tree *t = leaf_of(map, addr);
	unsigned at = t ? search(t, addr) : 0;

	if (t && at < t->nr)
		return &t->entry[at];
	return t && t->next ? t->next->entry : NULL;
}

struct range_node *range_map_from(const struct range_map *map, uint64_t addr)
{
	const struct entry *e = entry_from(map, addr);

	return e ? e->range : NULL;
}

struct range_node *range_map_find(const struct range_map *map, uint64_t addr)
{
	const struct entry *e = entry_from(map, addr);
	uintptr_t hit;

	if (!e)
		return NULL;
	/* a mask: the address may as well be in a hole, and a branch that is guessed wrong is known only when the loads are there */
	hit = (uintptr_t)e->range & -(uintptr_t)(e->first <= addr);
	return (struct range_node *)hit; /* NOLINT(performance-no-int-to-ptr) */
}

struct range_node *range_map_next(const struct range_map *map, const struct range_node *node)
{
	return node->last == UINT64_MAX ? NULL : range_map_from(map, node->last + 1);
}

/* --- inserting --- */

/* Entries from @at on make room for one: the highest group first, which starts at or below nr. */
static void open_gap(struct range_tree *t, size_t at)
{
	for (size_t from = at + (t->nr - at) / GROUP * GROUP;; from -= GROUP) {
#pragma GCC unroll 16
		for (size_t i = GROUP; i > 0; i--) {
			t->last[from + i] = t->last[from + i - 1];
			t->entry[from + i] = t->entry[from + i - 1];
		}
		if (from == at)
			break;
	}
	t->nr++;
}

static void close_gap(struct range_tree *t, size_t at)
{
	do {
#pragma GCC unroll 16
		for (size_t i = 0; i < GROUP; i++) {
			t->last[at + i] = t->last[at + i + 1];
			t->entry[at + i] = t->entry[at + i + 1];
		}
		at += GROUP;
	} while (at < t->nr);
	t->nr--;
}

/* Slots from nr to @end are no more. */
static void clear(struct range_tree *t, unsigned end)
{
	for (unsigned i = t->nr; i < end; i++) {
		t->last[i] = UINT64_MAX;
		t->entry[i] = (struct entry){ 0 };
	}
}

/* Append entries [@from, nr) of @t to @to. */
static void move_tail(struct range_tree *to, struct range_tree *t, unsigned from)
{
	unsigned n = t->nr - from;

	memcpy(&to->last[to->nr], &t->last[from], n * sizeof(t->last[0]));
	memcpy(&to->entry[to->nr], &t->entry[from], n * sizeof(t->entry[0]));
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
	struct range_tree *t = parent->entry[at].child;

	move_tail(fresh, t, FANOUT / 2);
	fresh->next = t->next;
	t->next = fresh;
	open_gap(parent, at);
	parent->entry[at].child = t;
	parent->last[at] = t->last[t->nr - 1];
	parent->entry[at + 1].child = fresh;
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
			while (list)
				free(take(&list));
			return NULL;
		}
		t->nr = 0;
		clear(t, SLOTS);
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
	root->entry[0].child = map->root;
	map->root = root;
	map->height++;
}

/* How many nodes an insertion into a full leaf needs: one for each full node from the leaf up, without a gap, and one for a new root. */
static unsigned nodes_needed(const struct range_map *map, const struct path *path)
{
	unsigned nr = 0, level = map->height;

	do
		nr++, level--;
	while (level && path->node[level - 1]->nr == FANOUT);
	return level ? nr : nr + 1;
}

/*
 * The leaf where @addr belongs, which is full, or the first one, with room in it: nodes split from the top down, so that every parent has
 * room for one more. NULL: no memory. Not inlined: few insertions need what is on the stack here.
 */
static __attribute__((noinline)) struct range_tree *make_room(struct range_map *map, uint64_t addr)
{
	struct range_tree *t, *list;
	struct path path;
	unsigned nr;

	if (!map->root) {
		map->root = new_list(1);
		map->height = map->root ? 1 : 0;
		return map->root;
	}
	descend(map, addr, &path);
	nr = nodes_needed(map, &path);
	list = new_list(nr);
	if (!list)
		return NULL;
	if (nr > map->height)
		grow(map, take(&list));
	t = map->root;
	for (unsigned level = map->height; level > 1; level--) {
		unsigned at = search(t, addr);

		/* the nodes were counted from the leaf up: those above the gap are left as they are, full or not */
		if (t->entry[at].child->nr == FANOUT && list && level - 1 <= nr) {
			split(t, at, take(&list));
			at = search(t, addr);
		}
		t = t->entry[at].child;
	}
	return t;
}

/* Does @node overlap a range? It belongs at @at of @leaf: only its neighbours there can. */
static bool overlaps(const struct range_map *map, const struct range_tree *leaf, unsigned at, const struct range_node *node)
{
	const struct range_node *hit;

	if (at > 0 && at < leaf->nr)
		return leaf->last[at - 1] >= node->first || leaf->entry[at].first <= node->last;
	hit = range_map_from(map, node->first); /* a neighbour is in another leaf */
	return hit && hit->first <= node->last;
}

int range_map_insert(struct range_map *map, struct range_node *node)
{
	struct range_tree *leaf = leaf_of(map, node->last);
	unsigned at = 0;

	while (leaf && leaf->last[at] < node->last)
		at++;
	if (leaf && overlaps(map, leaf, at, node))
		return -EEXIST;
	if (!leaf || leaf->nr == FANOUT) {
		leaf = make_room(map, node->last);
		if (!leaf)
			return -ENOMEM;
		at = search(leaf, node->last);
	}
	open_gap(leaf, at);
	leaf->last[at] = node->last;
	leaf->entry[at] = (struct entry){ .first = node->first, .range = node };
	map->nr++;
	return 0;
}

/* --- removing --- */

/* Merge children @at and @at + 1 of @parent into the lower. */
static void merge(struct range_tree *parent, unsigned at)
{
	struct range_tree *low = parent->entry[at].child, *high = parent->entry[at + 1].child;

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
	struct range_tree *low = parent->entry[at].child, *high = parent->entry[at + 1].child, rest = *high;
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

/* A root with one child is a level too many; one with nothing, all of it. */
static void shrink(struct range_map *map)
{
	while (map->height > 1 && map->root->nr == 1) {
		struct range_tree *t = map->root;

		map->root = t->entry[0].child;
		map->height--;
		free(t);
	}
	if (map->root->nr)
		return;
	free(map->root);
	map->root = NULL;
	map->height = 0;
}

/* The leaf where @addr belongs has got thin. Not inlined: few removals need what is on the stack here. */
static __attribute__((noinline)) void thicken(struct range_map *map, uint64_t addr)
{
	struct path path;
	struct range_tree *t = descend(map, addr, &path);

	for (unsigned level = map->height - 1; level > 0 && t->nr < THIN; level--) {
		unsigned low;

		t = path.node[level - 1]; /* NOLINT(clang-analyzer-core.uninitialized.Assign): descend() has filled it */
		low = path.at[level - 1];
		low -= low + 1 == t->nr; /* with its neighbour: a parent has two children at least */
		if (t->entry[low].child->nr + t->entry[low + 1].child->nr <= FANOUT * 3 / 4)
			merge(t, low);
		else
			share(t, low);
	}
	shrink(map);
}

void range_map_remove(struct range_map *map, struct range_node *node)
{
	struct range_tree *t = leaf_of(map, node->last);
	unsigned at = 0;

	while (t->entry[at].range != node)
		at++;
	close_gap(t, at);
	map->nr--;
	if (t->nr < THIN)
		thicken(map, node->last);
}
