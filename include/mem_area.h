/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mem_area: a guest's RAM, as its VMM declares it and as the kernel has it: what of it is there, what a VF would have to bring there, and
 * whether that can be had. Pure logic on what mem_process.h and mem_host.h have read.
 */
#ifndef GANGWAY_MEM_AREA_H
#define GANGWAY_MEM_AREA_H

#include <stdbool.h>
#include <stdint.h>

#include "mem_host.h"
#include "mem_process.h"

struct err;

#define MEM_AREAS_MAX 32 /* backends of one guest that are looked at; what is beyond counts as not resident */

enum mem_backing {
	MEM_UNKNOWN, /* not found among the VMM's mappings */
	MEM_ANONYMOUS,
	MEM_MEMFD, /* or other shared memory without a path: /dev/zero, System V */
	MEM_HUGETLB, /* by a memfd, too */
	MEM_FILE, /* of a file system, /dev/shm included */
};
const char *mem_backing_to_string(enum mem_backing backing);

/* Bytes. resident + swapped + untouched is size, where the backing is known. */
struct mem_area {
	/* what the VMM says */
	char id[64];
	uint64_t size;
	bool shared;
	/* what the kernel says */
	enum mem_backing backing;
	uint64_t page_bytes;
	bool reserved; /* huge pages that are put aside for it */
	uint64_t resident, swapped;
	uint64_t untouched; /* no page has ever been there; of a private mapping of a file: nor in it, nor of our own */
	uint64_t merged; /* of resident: shared by KSM */
	uint64_t template; /* of a private mapping of a file: pages of that file, which a write, or a pin, has copied */
	uint64_t alone; /* of template: pages that nobody else maps now. That nobody will, only who made the file knows */
	uint64_t others; /* of resident, private: shared with another process otherwise, after a fork */
};

/*
 * Take the mapping that is @area's; @taken (one for each of @maps) says which are another's already. Its index, or -ENOENT: there is none, and
 * nothing of @area is changed.
 */
int mem_area_find(struct mem_area *area, const struct mem_maps *maps, bool *taken);
/* The file behind a shared one has @bytes allocated: pages that nobody has mapped count as there, too. */
void mem_area_allocated(struct mem_area *area, uint64_t bytes);

/* What pinning all of @area takes that it does not have now: pages made, brought from swap, copied. */
uint64_t mem_area_new(const struct mem_area *area);

struct mem_need { /* bytes, of all areas */
	uint64_t pin; /* all of it is pinned */
	uint64_t fresh; /* of that, what takes memory that is not the guest's now; huge pages not counted */
	uint64_t swapped, unmerged, copied, untouched; /* of fresh: from swap; shared by KSM; of a template; never there */
	uint64_t template; /* of copied: of a file */
	uint64_t alone; /* of template: nobody else maps them now */
	uint64_t huge; /* huge pages that are to be taken and are not put aside */
	uint64_t huge_page; /* their size: the first kind where there are several */
	uint64_t unknown; /* of fresh: what was not found, and counts as not there */
	bool is_private; /* some of it is not shared */
};

/*
 * @merged: bytes that KSM has merged in the whole process, where the areas do not tell; 0 not known. @ram: of the guest, what no area
 * speaks of counts as unknown.
 */
void mem_need_of(const struct mem_area *areas, unsigned nr, uint64_t ram, uint64_t merged, struct mem_need *ret);

struct mem_room { /* bytes that can be given; UINT64_MAX no limit */
	uint64_t bytes; /* the least of host and cgroup, the margin taken off */
	uint64_t host, cgroup; /* each without the margin */
	uint64_t huge; /* free huge pages of the size needed, not put aside for others */
	bool by_cgroup; /* it is the cgroup that leaves least */
};

/* @cgroup NULL: not known, or none. */
void mem_room_of(const struct mem_host *host, const struct mem_cgroup *cgroup, const struct mem_need *need, uint64_t margin,
		 struct mem_room *ret);
bool mem_fits(const struct mem_need *need, const struct mem_room *room);

/* "4.0 GiB", "512.0 MiB", "12 KiB" */
#define MEM_TEXT_MAX 24
const char *mem_text(uint64_t bytes, char buf[static MEM_TEXT_MAX]);

#endif
