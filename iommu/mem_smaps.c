/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc/PID/smaps (fs/proc/task_mmu.c): a line for each mapping, which begins with its address in lower case hexadecimal, and lines about it, which
 * begin with a capital letter. Newlines in the names of files are escaped, so no name can fake a line.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mem_internal.h"
#include "mem_process.h"

#define DELETED " (deleted)" /* d_path() */

struct parser {
	struct mem_maps maps;
	unsigned room;
	struct mem_map one; /* being read */
	bool has_one, guard; /* guard: nobody may touch it */
	uint64_t hugetlb;
};

void mem_maps_free(struct mem_maps *maps)
{
	free(maps->v);
	*maps = (struct mem_maps){ 0 };
}

static bool take_hex(const char **at, const char *end, uint64_t *ret)
{
	const char *start = *at;
	uint64_t v = 0;

	for (; *at < end && *at - start <= 16; ++*at) {
		char c = **at;

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			break;
	}
	*ret = v;
	return *at > start && *at - start <= 16;
}

static bool take_char(const char **at, const char *end, char c)
{
	if (*at == end || **at != c)
		return false;
	++*at;
	return true;
}

/* "7f1b2c000000-7f1b6c000000 rw-s 00000000 00:01 1029   /memfd:mem0 (deleted)" */
static int parse_head(const char *at, const char *end, struct mem_map *ret, bool *ret_guard)
{
	struct mem_map m = { 0 };
	uint64_t major, minor;
	const char *rights;
	size_t n;

	if (!take_hex(&at, end, &m.start) || !take_char(&at, end, '-') || !take_hex(&at, end, &m.end) ||
	    !take_char(&at, end, ' ') || m.end <= m.start || end - at < 5)
		return -EPROTO;
	rights = at;
	at += 4;
	if ((rights[3] != 's' && rights[3] != 'p') || !take_char(&at, end, ' ') || !take_hex(&at, end, &m.file_offset) ||
	    !take_char(&at, end, ' ') || !take_hex(&at, end, &major) || !take_char(&at, end, ':') ||
	    !take_hex(&at, end, &minor) || !take_char(&at, end, ' ') || !mem_take_u64(&at, end, &m.inode))
		return -EPROTO;
	m.shared = rights[3] == 's';
	*ret_guard = rights[0] == '-' && rights[1] == '-';
	while (at < end && *at == ' ')
		at++;
	n = (size_t)(end - at) < sizeof(m.name) - 1 ? (size_t)(end - at) : sizeof(m.name) - 1;
	memcpy(m.name, at, n);
	m.deleted =
		(size_t)(end - at) > sizeof(DELETED) - 1 && !memcmp(end - (sizeof(DELETED) - 1), DELETED, sizeof(DELETED) - 1);
	*ret = m;
	return 0;
}

static bool is_label(const char **at, const char *end, const char *label)
{
	size_t n = strlen(label);

	if ((size_t)(end - *at) < n || memcmp(*at, label, n) != 0)
		return false;
	*at += n;
	while (*at < end && **at == ' ')
		++*at;
	return true;
}

static bool has_flag(const char *at, const char *end, const char *flag)
{
	for (; end - at >= 2; at += 3)
		if (at[0] == flag[0] && at[1] == flag[1] && (end - at == 2 || at[2] == ' '))
			return true;
		else if (end - at < 3)
			break;
	return false;
}

/* A line about the mapping; those of no use, and those of kernels to come, are passed over. */
static int parse_line(struct parser *p, const char *at, const char *end)
{
	const struct {
		const char *label;
		uint64_t *sum;
	} fields[] = {
		{ "KernelPageSize:", &p->one.page_bytes },
		{ "Rss:", &p->one.resident },
		{ "Private_Clean:", &p->one.unique },
		{ "Private_Dirty:", &p->one.unique },
		{ "Anonymous:", &p->one.anonymous },
		{ "KSM:", &p->one.merged },
		{ "Shared_Hugetlb:", &p->hugetlb },
		{ "Private_Hugetlb:", &p->hugetlb },
		{ "Swap:", &p->one.swapped },
	};
	uint64_t v;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (!is_label(&at, end, fields[i].label))
			continue;
		if (!mem_take_u64(&at, end, &v) || v > UINT64_MAX / 1024 ||
		    __builtin_add_overflow(*fields[i].sum, v * 1024, fields[i].sum))
			return -EPROTO;
		return 0;
	}
	if (is_label(&at, end, "VmFlags:"))
		p->one.noreserve = has_flag(at, end, "nr");
	return 0;
}

/* What the mapping cannot have is a lie, or another kernel's idea of it. */
static bool is_plausible(const struct mem_map *m)
{
	uint64_t size = m->end - m->start;

	return m->resident <= size && m->swapped <= size && m->resident + m->swapped <= size && m->anonymous <= m->resident &&
	       m->merged <= m->resident && m->unique <= m->resident;
}

/* A mapping that was split, by other rights or another policy for a part of it, is one again. */
static bool join(struct mem_map *to, const struct mem_map *m)
{
	if (to->end != m->start || to->shared != m->shared || to->noreserve != m->noreserve || to->deleted != m->deleted ||
	    to->inode != m->inode || strcmp(to->name, m->name) != 0 || to->page_bytes != m->page_bytes ||
	    (m->inode && to->file_offset + (to->end - to->start) != m->file_offset))
		return false;
	to->end = m->end;
	to->resident += m->resident;
	to->swapped += m->swapped;
	to->anonymous += m->anonymous;
	to->merged += m->merged;
	to->unique += m->unique;
	return true;
}

/* In the end what is too small goes: not before, it may be a part of what is not. */
static int keep(struct parser *p)
{
	uint64_t size = p->one.end - p->one.start;
	struct mem_maps *maps = &p->maps;
	struct mem_map *v;

	if (!p->has_one)
		return 0;
	p->has_one = false;
	p->one.resident += p->hugetlb;
	p->one.unique += p->hugetlb;
	/* of shared memory the kernel counts what is in swap first: a page that comes from there meanwhile is counted twice */
	if (p->one.shared && p->one.resident <= size && p->one.swapped > size - p->one.resident)
		p->one.swapped = size - p->one.resident;
	if (!is_plausible(&p->one))
		return -EPROTO;
	if (p->guard || (maps->nr && join(&maps->v[maps->nr - 1], &p->one)))
		return 0;
	if (maps->nr && maps->v[maps->nr - 1].end - maps->v[maps->nr - 1].start < MEM_MAP_MIN)
		maps->nr--;
	if (maps->nr == MEM_MAPS_MAX)
		return -E2BIG;
	if (maps->nr == p->room) {
		p->room = p->room ? 2 * p->room : 64;
		v = realloc(maps->v, p->room * sizeof(*v));
		if (!v)
			return -ENOMEM;
		maps->v = v;
	}
	maps->v[maps->nr++] = p->one;
	return 0;
}

static int parse(struct parser *p, const char *at, const char *end)
{
	int r = 0;

	while (r == 0 && at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));

		if (!stop)
			return -EPROTO; /* cut */
		if ((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'f')) {
			r = keep(p);
			if (r == 0)
				r = parse_head(at, stop, &p->one, &p->guard);
			p->has_one = r == 0;
			p->hugetlb = 0;
		} else if (p->has_one && *at >= 'A' && *at <= 'Z') {
			r = parse_line(p, at, stop);
		} else {
			r = -EPROTO;
		}
		at = stop + 1;
	}
	return r == 0 ? keep(p) : r;
}

int mem_smaps_parse(const char *text, size_t len, struct mem_maps *ret)
{
	struct parser p = { 0 };
	int r = parse(&p, text, text + len);

	if (r == 0 && p.maps.nr && p.maps.v[p.maps.nr - 1].end - p.maps.v[p.maps.nr - 1].start < MEM_MAP_MIN)
		p.maps.nr--;
	if (r < 0)
		mem_maps_free(&p.maps);
	else
		*ret = p.maps;
	return r;
}
