/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem_facts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "sys.h"
#include "vmm_memory.h"

_Static_assert(MEM_AREAS_MAX >= VMM_MEMDEVS_MAX, "backends that a VMM tells of have no room");

/* QEMU before 5.0 makes its RAM without a backend where -m is all that is said, and then it is private. */
static void ask_about_rest(struct mem_facts *f, uint64_t bytes)
{
	if (f->nr == MEM_AREAS_MAX || f->ram <= bytes)
		return;
	f->areas[f->nr] = (struct mem_area){ .id = "(ram)", .size = f->ram - bytes };
	f->nr++;
}

void mem_facts_ask(struct mem_facts *f, const struct vmm_memdevs *memdevs, uint64_t ram, pid_t vmm, enum lease_via via,
		   uint64_t margin)
{
	*f = (struct mem_facts){ .vmm = vmm, .vmm_pins = via != VIA_VFIO_USER, .ram = ram, .margin = margin, .nr = memdevs->nr };
	for (unsigned i = 0; i < memdevs->nr; i++) {
		memcpy(f->areas[i].id, memdevs->v[i].id, sizeof(f->areas[i].id));
		f->areas[i].size = memdevs->v[i].size;
		f->areas[i].shared = memdevs->v[i].shared;
	}
	ask_about_rest(f, memdevs->bytes);
}

/* What of each backend is there. Without what only a more privileged gangwayd may see, a little too little. */
static void look_for_areas(struct sys *sys, struct mem_facts *f, const struct mem_maps *maps)
{
	bool *taken = calloc(maps->nr ? maps->nr : 1, sizeof(*taken));
	uint64_t bytes;

	for (unsigned i = 0; taken && i < f->nr; i++) {
		int at = mem_area_find(&f->areas[i], maps, taken);

		if (at >= 0 && mem_map_file_bytes(sys, f->vmm, &maps->v[at], &bytes) == 0)
			mem_area_allocated(&f->areas[i], bytes);
	}
	free(taken);
}

static void read_vmm(struct sys *sys, struct mem_facts *f)
{
	struct mem_maps maps = { 0 };

	if (f->vmm <= 0) {
		err_set(&f->process_err, -ESRCH, "mem.no-process",
			"the VMM's process is not known: what of its memory is there, neither");
		return;
	}
	if (mem_process_read(sys, f->vmm, &f->process, &f->process_err) < 0 ||
	    mem_process_maps(sys, f->vmm, &maps, &f->process_err) < 0)
		return;
	err_clear(&f->process_err);
	look_for_areas(sys, f, &maps);
	mem_maps_free(&maps);
}

/* All of it is there for good, for another VF as a rule: one more takes nothing. */
static bool is_locked_already(const struct mem_facts *f)
{
	const struct mem_process *p = &f->process;

	return !f->process_err.num && f->ram && f->vmm_pins && (p->locked >= f->ram || p->pinned >= f->ram);
}

int mem_facts_look_again(struct sys *sys, struct mem_facts *f, struct err *err)
{
	bool has_cgroup;
	int r = mem_host_read(sys, &f->host, err);

	if (r < 0)
		return r;
	if (f->vmm_pins && f->vmm <= 0)
		f->cgroup_err = f->process_err;
	else if (mem_cgroup_read(sys, f->vmm_pins ? f->vmm : 0, &f->cgroup, &f->cgroup_err) == 0)
		err_clear(&f->cgroup_err);
	has_cgroup = !f->cgroup_err.num;
	mem_room_of(&f->host, has_cgroup ? &f->cgroup : NULL, &f->need, f->margin, &f->room);
	return 0;
}

int mem_facts_read(struct sys *sys, struct mem_facts *f, struct err *err)
{
	read_vmm(sys, f);
	mem_need_of(f->areas, f->nr, f->ram, f->process.knows_merged ? f->process.merged : 0, &f->need);
	if (is_locked_already(f))
		f->need = (struct mem_need){ .pin = f->need.pin, .is_private = f->need.is_private };
	return mem_facts_look_again(sys, f, err); /* last: the above may take seconds */
}

void mem_facts_text(const struct mem_facts *f, char buf[static MEM_FACTS_TEXT_MAX])
{
	char pin[MEM_TEXT_MAX], fresh[MEM_TEXT_MAX], room[MEM_TEXT_MAX], huge[MEM_TEXT_MAX], left[MEM_TEXT_MAX];
	int n = snprintf(buf, MEM_FACTS_TEXT_MAX, "attach would pin %s, %s of it not resident; %s%.100s has %s to give",
			 mem_text(f->need.pin, pin), mem_text(f->need.fresh + f->need.huge, fresh),
			 f->room.by_cgroup ? "cgroup " : "the host", f->room.by_cgroup ? f->cgroup.tightest : "",
			 mem_text(f->room.bytes, room));

	if (f->booked && n > 0 && n < MEM_FACTS_TEXT_MAX)
		n += snprintf(buf + n, (size_t)(MEM_FACTS_TEXT_MAX - n), " beside the %s that other guests are about to have",
			      mem_text(f->booked, left));
	if (f->need.huge && n > 0 && n < MEM_FACTS_TEXT_MAX)
		snprintf(buf + n, (size_t)(MEM_FACTS_TEXT_MAX - n), ", and %s of the %s of huge pages",
			 mem_text(f->room.huge, left), mem_text(f->need.huge, huge));
}

/* --- JSON --- */

static json_t *bytes_or_null(bool known, uint64_t bytes)
{
	return known && bytes <= INT64_MAX ? json_integer((json_int_t)bytes) : json_null();
}

static json_t *bytes_of(uint64_t bytes)
{
	return bytes_or_null(true, bytes);
}

/* What the kernel has of @a, and what the VMM says of its backend. */
/* @m NULL: it has no backend. */
static json_t *area_to_json(const struct mem_area *a, const struct vmm_memdev *m)
{
	bool known = a->backing != MEM_UNKNOWN;

	return json_pack("{s:s, s:s, s:b, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", a->id, "backing",
			 mem_backing_to_string(a->backing), "shared", a->shared, "size", bytes_of(a->size), "page_size",
			 bytes_or_null(known, a->page_bytes), "reserved", a->reserved, "resident",
			 bytes_or_null(known, a->resident), "swapped", bytes_or_null(known, a->swapped), "untouched",
			 bytes_or_null(known, a->untouched), "merged", bytes_or_null(known, a->merged), "shared_pages",
			 bytes_or_null(known, a->template + a->others), "fresh", bytes_of(mem_area_new(a)), "type",
			 m && m->type[0] ? json_string(m->type) : json_null(), "prealloc",
			 m ? json_boolean(m->prealloc) : json_null(), "merge", m ? json_boolean(m->merge) : json_null());
}

static json_t *areas_to_json(const struct mem_facts *f, const struct vmm_memdevs *memdevs)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < f->nr; i++)
		json_array_append_new(list, area_to_json(&f->areas[i], i < memdevs->nr ? &memdevs->v[i] : NULL));
	return list;
}

static json_t *pools_to_json(const struct mem_host *h)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < h->nr_pools; i++) {
		const struct mem_pool *p = &h->pools[i];

		json_array_append_new(list, json_pack("{s:n, s:o, s:o, s:o, s:o, s:o, s:o}", "node", "page_size",
						      bytes_of(p->page_bytes), "total", bytes_of(p->total), "free",
						      bytes_of(p->free), "reserved", bytes_of(p->reserved), "surplus",
						      bytes_of(p->surplus), "overcommit", bytes_of(p->overcommit)));
	}
	for (unsigned i = 0; i < h->nr_node_pools; i++) {
		const struct mem_node_pool *p = &h->node_pools[i];

		json_array_append_new(list, json_pack("{s:i, s:o, s:o, s:o, s:n, s:n, s:n}", "node", p->node, "page_size",
						      bytes_of(p->page_bytes), "total", bytes_of(p->total), "free",
						      bytes_of(p->free), "reserved", "surplus", "overcommit"));
	}
	return list;
}

static json_t *host_to_json(const struct mem_host *h)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "total", bytes_of(h->total), "available",
			 bytes_of(h->available), "swap_total", bytes_of(h->swap_total), "swap_free", bytes_of(h->swap_free),
			 "commit_limit", bytes_of(h->commit_limit), "committed", bytes_of(h->committed), "overcommit",
			 h->overcommit >= 0 ? json_integer(h->overcommit) : json_null(), "hugepages", pools_to_json(h));
}

static json_t *cgroup_to_json(const struct mem_facts *f)
{
	const struct mem_cgroup *g = &f->cgroup;

	if (f->cgroup_err.num)
		return json_null();
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:s?}", "path", g->path, "max", bytes_of(g->max), "high", bytes_of(g->high),
			 "current", bytes_of(g->current), "room", bytes_of(g->room), "tightest",
			 g->tightest[0] ? g->tightest : NULL);
}

static json_t *process_to_json(const struct mem_facts *f)
{
	const struct mem_process *p = &f->process;

	if (f->process_err.num)
		return json_null();
	return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:b}", "pid", (int)f->vmm, "locked", bytes_of(p->locked), "pinned",
			 bytes_of(p->pinned), "swapped", bytes_of(p->swapped), "merged",
			 bytes_or_null(p->knows_merged, p->merged), "lock_limit", bytes_or_null(p->knows_limit, p->lock_limit),
			 "lock_unlimited", p->knows_limit && p->lock_limit == MEM_NO_LIMIT);
}

json_t *mem_facts_to_json(const struct mem_facts *f, const struct vmm_memdevs *memdevs)
{
	const struct mem_need *n = &f->need;
	char text[MEM_FACTS_TEXT_MAX];

	mem_facts_text(f, text);
	return json_pack(
		"{s:s, s:b, s:o, s:{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}, s:{s:o, s:o, s:o, s:o, s:o, s:o}, "
		"s:o, s:o, s:o, "
		"s:o, s:o}",
		"summary", text, "fits", mem_fits(&f->need, &f->room), "areas", areas_to_json(f, memdevs), "need", "pin",
		bytes_of(n->pin), "fresh", bytes_of(n->fresh), "swapped", bytes_of(n->swapped), "untouched",
		bytes_of(n->untouched), "unmerged", bytes_of(n->unmerged), "copied", bytes_of(n->copied), "alone",
		bytes_of(n->alone), "unknown", bytes_of(n->unknown), "huge", bytes_of(n->huge), "huge_page",
		bytes_or_null(n->huge_page != 0, n->huge_page), "room", "bytes", bytes_of(f->room.bytes), "margin",
		bytes_of(f->margin), "host", bytes_of(f->room.host), "cgroup", bytes_of(f->room.cgroup), "huge",
		bytes_of(f->room.huge), "booked", bytes_of(f->booked), "process", process_to_json(f), "host",
		host_to_json(&f->host), "cgroup", cgroup_to_json(f), "error", err_to_json(&f->process_err), "cgroup_error",
		err_to_json(&f->cgroup_err));
}
