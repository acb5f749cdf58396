/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_map: the interval map of iommu/ beside the simplest thing that works, a sorted array with binary search and memmove, at 10, 1000
 * and 1000000 ranges. Lookups a second, and pairs of map and unmap a second at random places; their ratios as JSON, one object a size.
 *
 * GANGWAY_BENCH_PEER=FILE.so measures another map in the same run, too. It is filled in the same order, and has these symbols, of the types
 * of struct peer below:
 *   peer_new(nr)                        a map for @nr ranges; NULL: it cannot hold so many, which leaves this size out
 *   peer_map(map, first, last, object)  0, or not: that ends the run
 *   peer_unmap(map, first, last)        takes out what was put in with the same two
 *   peer_lookup(map, addr)              what holds @addr: anything but NULL; NULL: nothing
 */
#include <dlfcn.h>
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

static struct peer {
	void *(*new)(size_t nr);
	int (*map)(void *map, uint64_t first, uint64_t last, void *object);
	int (*unmap)(void *map, uint64_t first, uint64_t last);
	void *(*lookup)(void *map, uint64_t addr);
} peer;

struct bed {
	size_t nr;
	struct range_map map;
	struct range_node *nodes;
	struct span *array;
	size_t nr_array;
	void *peer;
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

static void peer_lookups(struct bed *b, size_t n)
{
	while (n--)
		sink += (uintptr_t)peer.lookup(b->peer, any(b) % (b->nr * STRIDE));
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

static void peer_changes(struct bed *b, size_t n)
{
	while (n--) {
		struct range_node *node = &b->nodes[any(b) % b->nr];

		if (peer.unmap(b->peer, node->first, node->last) || peer.map(b->peer, node->first, node->last, node))
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

/* The best of each in turn: the map, the array, the peer if there is one. */
static void best(struct bed *b, void (*const fn[3])(struct bed *, size_t), double ret[3])
{
	for (int i = 0; i < ROUNDS; i++) {
		for (int k = 0; k < (b->peer ? 3 : 2); k++) {
			double r = rate(b, fn[k]);

			ret[k] = r > ret[k] ? r : ret[k];
		}
	}
}

static void fill_peer(struct bed *b)
{
	b->peer = peer.new ? peer.new(b->nr) : NULL;
	for (size_t i = 0; b->peer && i < b->nr; i++)
		if (peer.map(b->peer, b->nodes[i].first, b->nodes[i].last, &b->nodes[i]))
			abort();
	for (int i = 0; b->peer && i < 10000; i++) { /* does it find the same? */
		uint64_t addr = any(b) % (b->nr * STRIDE);

		if (!peer.lookup(b->peer, addr) != !range_map_find(&b->map, addr))
			abort();
	}
}

static void measure(size_t nr)
{
	struct bed b = { .nr = nr, .seed = 88172645463325252ull };
	double find[3] = { 0 }, change[3] = { 0 };

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
	fill_peer(&b);
	best(&b, (void (*[])(struct bed *, size_t)){ map_lookups, array_lookups, peer_lookups }, find);
	best(&b, (void (*[])(struct bed *, size_t)){ map_changes, array_changes, peer_changes }, change);
	printf("{\"ranges\":%zu,\"lookups_per_s\":%.0f,\"array_lookups_per_s\":%.0f,\"lookup_ratio\":%.2f,"
	       "\"changes_per_s\":%.0f,\"array_changes_per_s\":%.0f,\"change_ratio\":%.2f",
	       nr, find[0], find[1], find[0] / find[1], change[0], change[1], change[0] / change[1]);
	if (b.peer)
		printf(",\"peer_lookups_per_s\":%.0f,\"peer_lookup_ratio\":%.2f,"
		       "\"peer_changes_per_s\":%.0f,\"peer_change_ratio\":%.2f",
		       find[2], find[0] / find[2], change[2], change[0] / change[2]);
	puts("}");
	for (size_t i = 0; b.peer && i < nr; i++)
		peer.unmap(b.peer, b.nodes[i].first, b.nodes[i].last);
	for (size_t i = 0; i < nr; i++)
		range_map_remove(&b.map, &b.nodes[i]);
	free(b.nodes);
	free(b.array);
}

static void *symbol(void *lib, const char *name)
{
	void *p = dlsym(lib, name);

	if (p)
		return p;
	fprintf(stderr, "bench_map: %s\n", dlerror());
	exit(2);
}

static void load_peer(const char *file)
{
	void *lib = dlopen(file, RTLD_NOW | RTLD_LOCAL);

	if (!lib) {
		fprintf(stderr, "bench_map: %s\n", dlerror());
		exit(2);
	}
	*(void **)&peer.new = symbol(lib, "peer_new");
	*(void **)&peer.map = symbol(lib, "peer_map");
	*(void **)&peer.unmap = symbol(lib, "peer_unmap");
	*(void **)&peer.lookup = symbol(lib, "peer_lookup");
}

int main(void)
{
	const char *file = getenv("GANGWAY_BENCH_PEER");

	if (file)
		load_peer(file);
	measure(10);
	measure(1000);
	measure(1000000);
	return sink == 0; /* cannot be */
}
