/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RANGE  {"first":"0x...","last":"0x...","prot":"r"|"w"|"rw","page_size":N,"sealed":bool,"pinned":BYTES,"pending":BYTES}; page_size is
 *        that of the memory behind it, 0: there is none, the range is only recorded
 * totals {"ranges","bytes","recorded","pending","parked","entries","kernel_entries"}: ranges and bytes with memory behind them, ranges
 *        without, bytes on their way and parked, entries of the IOMMU's table as we count, and as the kernel does (null: it does not say)
 */
#include "devctl_dma.h"

#include "hex64.h"

void devctl_dma_look(const struct iommu *iommu, uint64_t from, struct devctl_dma *ret)
{
	struct iommu_range range;
	uint64_t at = from;
	bool found;

	*ret = (struct devctl_dma){ 0 };
	while ((found = iommu_next_range(iommu, at, &range)) && ret->nr < DEVICE_DMA_RANGES) {
		ret->ranges[ret->nr++] = range;
		at = range.last + 1;
		if (!at) { /* nothing is above 2^64 */
			found = false;
			break;
		}
	}
	ret->more = found;
	ret->next = found ? range.first : 0;
	iommu_get_stats(iommu, &ret->stats);
	ret->kernel_tells = iommu_kernel_entries(iommu, &ret->kernel_entries) == 0;
}

/* JSON's integers end at 2^63; no sum of real memory comes near. */
static json_t *number(uint64_t v)
{
	return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

static const char *prot_to_string(unsigned prot)
{
	if (prot & IOMMU_PROT_READ)
		return prot & IOMMU_PROT_WRITE ? "rw" : "r";
	return "w"; /* neither is refused: iommu.prot-none */
}

static json_t *range_json(const struct iommu_range *r)
{
	return json_pack("{s:o, s:o, s:s, s:o, s:b, s:o, s:o}", "first", hex64_json(r->first), "last", hex64_json(r->last),
			 "prot", prot_to_string(r->prot), "page_size", number(r->backed ? r->page_size : 0), "sealed",
			 r->backed && r->sealed, "pinned", number(r->pinned), "pending", number(r->pending));
}

static json_t *totals_json(const struct devctl_dma *dma)
{
	const struct iommu_stats *s = &dma->stats;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "ranges", number(s->nr_ranges), "bytes", number(s->bytes),
			 "recorded", number(s->nr_unbacked), "pending", number(s->bytes_pending), "parked",
			 number(s->bytes_parked), "entries", (json_int_t)s->nr_entries, "kernel_entries",
			 dma->kernel_tells ? json_integer(dma->kernel_entries) : json_null());
}

char *devctl_dma_text(const struct devctl_dma *dma, json_int_t tag)
{
	json_t *ranges = json_array(), *root;
	char *text;

	for (size_t i = 0; i < dma->nr; i++)
		json_array_append_new(ranges, range_json(&dma->ranges[i]));
	root = json_pack("{s:s, s:I, s:o, s:o, s:o}", "op", "dma", "tag", tag, "ranges", ranges, "next",
			 dma->more ? hex64_json(dma->next) : json_null(), "totals", totals_json(dma));
	text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	return text;
}

char *devctl_dma_answer(const struct iommu *iommu, const json_t *request)
{
	const json_t *tag = json_object_get(request, "tag");
	struct devctl_dma dma;
	uint64_t from;

	if (!iommu || hex64_parse(json_string_value(json_object_get(request, "from")), &from) < 0 ||
	    (tag && !json_is_integer(tag)))
		return NULL;
	devctl_dma_look(iommu, from, &dma);
	return devctl_dma_text(&dma, json_integer_value(tag));
}
