/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a gangway-device process answers to "dma", decoded. Nothing is believed: devproc_msg.c. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "device/device_proto.h"
#include "devproc_internal.h"
#include "hex64.h"

_Static_assert(DEVPROC_DMA_RANGES == DEVICE_DMA_RANGES, "a page is what an answer holds");

#define PAGE_MIN 4096
#define PAGE_MAX (INT64_C(1) << 40) /* the largest huge pages there are have 16 GiB */

static bool take_address(const json_t *obj, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_string(v) && hex64_parse(json_string_value(v), ret) == 0;
}

static bool take_prot(const char *prot, char ret[3])
{
	if (strcmp(prot, "r") && strcmp(prot, "w") && strcmp(prot, "rw"))
		return false;
	strcpy(ret, prot);
	return true;
}

/* Does it hang together? Of what is only recorded nothing is pinned, and of no range more than there is. */
static bool is_whole(const struct devproc_dma_range *r, json_int_t page_size, json_int_t pinned, json_int_t pending)
{
	uint64_t size = r->last - r->first + 1; /* 0: all of 64 bits, which no memory fills */

	if (pinned < 0 || pending < 0)
		return false;
	if (!page_size)
		return !pinned && !pending && !r->sealed;
	return page_size >= PAGE_MIN && page_size <= PAGE_MAX && !(page_size & (page_size - 1)) && (uint64_t)pinned <= size &&
	       (uint64_t)pending <= size - (uint64_t)pinned;
}

static bool take_range(const json_t *obj, struct devproc_dma_range *ret)
{
	json_int_t page_size, pinned, pending;
	const char *prot;
	int sealed;

	if (json_unpack((json_t *)obj, "{s:s, s:I, s:b, s:I, s:I}", "prot", &prot, "page_size", &page_size, "sealed", &sealed,
			"pinned", &pinned, "pending", &pending) < 0)
		return false;
	ret->sealed = sealed;
	if (!take_prot(prot, ret->prot) || !take_address(obj, "first", &ret->first) || !take_address(obj, "last", &ret->last) ||
	    ret->last < ret->first || !is_whole(ret, page_size, pinned, pending))
		return false;
	ret->page_size = (uint64_t)page_size;
	ret->pinned = (uint64_t)pinned;
	ret->pending = (uint64_t)pending;
	return true;
}

/* Each above the one before, and the next page above them all: who asks page after page comes to an end. */
static bool take_ranges(const json_t *root, struct devproc_dma *ret)
{
	const json_t *list = json_object_get(root, "ranges"), *next = json_object_get(root, "next");

	if (!json_is_array(list) || json_array_size(list) > DEVPROC_DMA_RANGES)
		return false;
	for (; ret->nr < json_array_size(list); ret->nr++) {
		struct devproc_dma_range *r = &ret->ranges[ret->nr];

		if (!take_range(json_array_get(list, ret->nr), r) || (ret->nr && r->first <= r[-1].last))
			return false;
	}
	ret->more = !json_is_null(next);
	return !ret->more || (take_address(root, "next", &ret->next) && ret->nr && ret->next > ret->ranges[ret->nr - 1].last);
}

static bool take_count(const json_t *obj, const char *key, json_int_t max, uint64_t *ret)
{
	const json_t *v = json_object_get(obj, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
		return false;
	*ret = (uint64_t)json_integer_value(v);
	return true;
}

static bool take_totals(const json_t *totals, struct devproc_dma *ret)
{
	ret->kernel_tells = !json_is_null(json_object_get(totals, "kernel_entries"));
	return take_count(totals, "ranges", UINT32_MAX, &ret->nr_ranges) && take_count(totals, "bytes", INT64_MAX, &ret->bytes) &&
	       take_count(totals, "recorded", UINT32_MAX, &ret->nr_recorded) &&
	       take_count(totals, "pending", INT64_MAX, &ret->pending) && take_count(totals, "parked", INT64_MAX, &ret->parked) &&
	       take_count(totals, "entries", UINT32_MAX, &ret->entries) &&
	       (!ret->kernel_tells || take_count(totals, "kernel_entries", UINT32_MAX, &ret->kernel_entries));
}

bool devproc_take_dma(const json_t *root, int64_t *ret_tag, struct devproc_dma *ret)
{
	const json_t *tag = json_object_get(root, "tag");

	if (!json_is_integer(tag) || !take_ranges(root, ret) || !take_totals(json_object_get(root, "totals"), ret))
		return false;
	*ret_tag = json_integer_value(tag);
	return true;
}
