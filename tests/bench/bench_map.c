/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_map: the interval map of iommu/ beside the simplest thing that works, a sorted array with binary search and memmove, at 10, 1000
 * and 1000000 ranges. Lookups a second, and pairs of map and unmap a second at random places; their ratios as JSON, one object a size.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../iommu/range_map.h"

#define STRIDE UINT64_C(0x2000) /* a range of 4 KiB, a hole of 4 KiB */
#define SIZE UINT64_C(0x1000)
#define ROUNDS 5 /* of each, in turn; the best counts: noise only slows down */
#define MIN_SECONDS 0.1

struct span {
	uint64_t first, last;
	struct range_node *node; /* the object, as the map tells it, too */
};

struct bed {
	size_t nr;
	struct range_map map;
	struct range_node *nodes;
	struct span *array;
	size_t nr_array;
	uint64_t seed;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t any(struct bed *b)
{
	b->seed ^= b->seed << 13;
	b->seed ^= b->seed >> 7;
	b->seed ^= b->seed << 17;
	return b->seed;
}

/* --- the sorted array --- */

/* Index of the first span whose last is at or above @addr. */
static size_t array_from(const struct bed *b, uint64_t addr)
{
	size_t low = 0, high = b->nr_array;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (b->array[mid].last < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int array_insert(struct bed *b, struct span s)
{
	size_t i = array_from(b, s.first);

	if (i < b->nr_array && b->array[i].first <= s.last)
		return -1;
	memmove(&b->array[i + 1], &b->array[i], (b->nr_array - i) * sizeof(s));
	b->array[i] = s;
	b->nr_array++;
	return 0;
}

static void array_remove(struct bed *b, uint64_t first)
{
	size_t i = array_from(b, first);

	memmove(&b->array[i], &b->array[i + 1], (b->nr_array - i - 1) * sizeof(b->array[0]));
	b->nr_array--;
}

/* --- what is measured: each does @n of it --- */

static uint64_t sink; /* what was found: it must be looked for */

static void map_lookups(struct bed *b, size_t n)
{
	while (n--) {
		sink += (uintptr_t)range_map_find(&b->map, any(b) % (b->nr * STRIDE));
	}
}

static void array_lookups(struct bed *b, size_t n)
{
	while (n--) {
		uint64_t addr = any(b) % (b->nr * STRIDE);
		size_t i = array_from(b, addr);

		sink += i < b->nr_array && b->array[i].first <= addr ? (uintptr_t)b->array[i].node : 0;
	}
}

static void map_changes(struct bed *b, size_t n)
{
	while (n--) {
		struct range_node *node = &b->nodes[any(b) % b->nr];

		range_map_remove(&b->map, node);
		if (range_map_insert(&b->map, node) < 0)
			abort();
	}
}

static void array_changes(struct bed *b, size_t n)
{
	while (n--) {
		struct range_node *node = &b->nodes[any(b) % b->nr];

		array_remove(b, node->first);
		if (array_insert(b, (struct span){ node->first, node->last, node }) < 0)
			abort();
	}
}

/* How many a second. */
static double rate(struct bed *b, void (*fn)(struct bed *, size_t))
{
	size_t n = 16, done = 0;
	double from = now(), t;

	do {
		fn(b, n);
		done += n;
		t = now() - from;
		if (t < MIN_SECONDS / 8)
			n *= 2;
	} while (t < MIN_SECONDS);
	return (double)done / t;
}

static void best(struct bed *b, void (*ours)(struct bed *, size_t), void (*peer)(struct bed *, size_t), double *ret_ours,
		 double *ret_peer)
{
	*ret_ours = *ret_peer = 0;
	for (int i = 0; i < ROUNDS; i++) {
		double o = rate(b, ours), p = rate(b, peer);

		*ret_ours = o > *ret_ours ? o : *ret_ours;
		*ret_peer = p > *ret_peer ? p : *ret_peer;
	}
}

static void measure(size_t nr)
{
	struct bed b = { .nr = nr, .seed = 88172645463325252ull };
	double find[2], change[2];

	b.nodes = calloc(nr, sizeof(*b.nodes));
	b.array = calloc(nr + 1, sizeof(*b.array));
	if (!b.nodes || !b.array)
		abort();
	for (size_t i = 0; i < nr; i++) {
		b.nodes[i].first = b.array[i].first = i * STRIDE;
		b.nodes[i].last = b.array[i].last = i * STRIDE + SIZE - 1;
	}
	b.nr_array = nr;
	for (size_t i = nr; i > 1; i--) { /* a peer maps in whatever order */
		size_t k = any(&b) % i;
		struct range_node t = b.nodes[i - 1];

		b.nodes[i - 1] = b.nodes[k];
		b.nodes[k] = t;
	}
	for (size_t i = 0; i < nr; i++) {
		range_map_insert(&b.map, &b.nodes[i]);
		b.array[b.nodes[i].first / STRIDE].node = &b.nodes[i];
	}
	best(&b, map_lookups, array_lookups, &find[0], &find[1]);
	best(&b, map_changes, array_changes, &change[0], &change[1]);
	printf("{\"ranges\":%zu,\"lookups_per_s\":%.0f,\"array_lookups_per_s\":%.0f,\"lookup_ratio\":%.2f,"
	       "\"changes_per_s\":%.0f,\"array_changes_per_s\":%.0f,\"change_ratio\":%.2f}\n",
	       nr, find[0], find[1], find[0] / find[1], change[0], change[1], change[0] / change[1]);
	for (size_t i = 0; i < nr; i++)
		range_map_remove(&b.map, &b.nodes[i]);
	free(b.nodes);
	free(b.array);
}

int main(void)
{
	measure(10);
	measure(1000);
	measure(1000000);
	return sink == 0; /* cannot be */
}
