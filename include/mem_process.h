/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mem_process: what the kernel tells of a process's memory, below /proc/PID: its mappings (smaps), what is locked and pinned (status), what
 * KSM has merged (ksm_stat), how much it may lock (limits).
 *
 * smaps makes the kernel walk the page tables of all that is mapped, about 10 ms a GiB of 4 KiB pages: on a worker, and not often. The process
 * decides what its mappings are called and how many there are: what is larger than the limits here is refused, not cut.
 */
#ifndef GANGWAY_MEM_PROCESS_H
#define GANGWAY_MEM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct sys;

#define MEM_SMAPS_MAX (16u << 20) /* bytes of smaps: more than 20000 mappings; a QEMU has a few hundred */
#define MEM_MAP_MIN (1ull << 20) /* bytes: what is smaller is no guest's RAM */
#define MEM_MAPS_MAX 1024 /* of at least that size */
#define MEM_NO_LIMIT UINT64_MAX

/* Neighbours of the same kind and file, in one piece. Sizes in bytes. */
struct mem_map {
	uint64_t start, end;
	uint64_t file_offset, inode; /* inode 0: anonymous */
	bool shared; /* MAP_SHARED */
	bool deleted; /* its file has no path any more: nobody else comes to it by one */
	bool noreserve; /* nothing was put aside for it */
	char name[96]; /* path, cut where it is longer; "" anonymous */
	uint64_t page_bytes;
	uint64_t resident; /* in this process's page tables, huge pages of hugetlbfs included */
	uint64_t swapped; /* of a shared one, of the file */
	uint64_t anonymous; /* of a private mapping of a file: copied from it already */
	uint64_t merged; /* KSM; 0 where the kernel does not tell by mapping (before 6.7) */
	uint64_t unique; /* of resident: mapped by nobody else */
};

struct mem_maps {
	unsigned nr;
	struct mem_map *v;
};

/*
 * The text of smaps. -EPROTO: not that; -E2BIG: more than MEM_MAPS_MAX mappings that could be RAM; -ENOMEM. @ret's are the caller's:
 * mem_maps_free().
 */
int mem_smaps_parse(const char *text, size_t len, struct mem_maps *ret);
void mem_maps_free(struct mem_maps *maps);

struct mem_process {
	uint64_t locked, pinned; /* VmLck: mlock() and VFIO type1; VmPin: iommufd, io_uring, RDMA */
	uint64_t swapped; /* VmSwap: without shared memory */
	uint64_t resident; /* VmRSS: with it, as far as it has touched that itself; 0 not told */
	uint64_t merged; /* bytes that KSM has merged */
	bool knows_merged; /* false: a kernel before 6.1, or without KSM */
	uint64_t lock_limit; /* RLIMIT_MEMLOCK; MEM_NO_LIMIT also with CAP_IPC_LOCK */
	bool knows_limit;
};

/* @pid 0: ourselves. -ESRCH mem.process-gone; -EPROTO mem.bad-status; else mem.not-told. What older kernels lack is left out. */
int mem_process_read(struct sys *sys, pid_t pid, struct mem_process *ret, struct err *err);
/* -EOVERFLOW mem.too-large: above MEM_SMAPS_MAX; else as mem_smaps_parse(), mem.bad-smaps, and mem_process_read(). */
int mem_process_maps(struct sys *sys, pid_t pid, struct mem_maps *ret, struct err *err);
/*
 * Bytes that the file behind @map has, in memory or in swap, whoever has touched them. Of shmem and hugetlbfs alone: a file on a disk has
 * blocks there. -EOPNOTSUPP: another file; else what sys.h says.
 */
int mem_map_file_bytes(struct sys *sys, pid_t pid, const struct mem_map *map, uint64_t *ret);

#endif
