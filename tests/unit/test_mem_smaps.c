/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process has mapped, as the kernel says it; and text that it never writes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "err.h"
#include "fake_internal.h"
#include "mem_process.h"
#include "mem_test.h"

#define MIB (1ull << 20)
#define HEAD "7f0000000000-7f0004000000 rw-s 00000000 00:01 1029"

static int parse(const char *text, struct mem_maps *ret)
{
	size_t len = strlen(text);
	char *exact = malloc(len ? len : 1); /* for the sanitizer: no byte behind it */
	int r;

	memcpy(exact, text, len);
	r = mem_smaps_parse(exact, len, ret);
	free(exact);
	return r;
}

Test(mem_smaps, each_kind)
{
	static const char small[] =
		SMAP("560000000000-560000010000 rw-p 00000000 00:00 0 [heap]", "4", "8", "8", "8", "0", "0", "0", "rd");
	static const char text[] = SMAP("560000000000-560000010000 rw-p 00000000 00:00 0 [heap]", "4", "8", "8", "8", "0", "0",
					"0", "rd") SMAP_MEMFD SMAP_ANON SMAP_TEMPLATE SMAP_HUGE("nr");
	struct mem_maps maps = { 0 };

	cr_assert_eq(parse(text, &maps), 0);
	cr_assert_eq(maps.nr, 4u);
	cr_assert(maps.v[0].shared && maps.v[0].inode == 1029 && maps.v[0].resident == 16 * MIB && maps.v[0].swapped == 8 * MIB);
	cr_assert_str_eq(maps.v[0].name, "/memfd:memory-backend-memfd (deleted)");
	/* split by a policy, and one again */
	cr_assert(!maps.v[1].shared && maps.v[1].end - maps.v[1].start == 64 * MIB && maps.v[1].resident == 40 * MIB &&
		  maps.v[1].merged == 10 * MIB && maps.v[1].swapped == 2 * MIB && maps.v[1].unique == 26 * MIB);
	cr_assert(!maps.v[2].shared && maps.v[2].inode == 77 && maps.v[2].anonymous == 8 * MIB);
	cr_assert(maps.v[3].page_bytes == 2 * MIB && maps.v[3].resident == 20 * MIB && maps.v[3].noreserve);
	mem_maps_free(&maps);
	cr_assert_eq(parse(small, &maps), 0);
	cr_assert_eq(maps.nr, 0u, "what is small is no RAM");
	mem_maps_free(&maps);
	cr_assert_eq(parse("", &maps), 0);
	mem_maps_free(&maps);
}

Test(mem_smaps, not_joined)
{
	/* a guard between, another file, the same file from elsewhere */
	static const char text[] = SMAP("10000000-10200000 rw-s 00000000 00:01 5 /a", "4", "0", "0", "0", "0", "0", "0", "rd")
		SMAP("10200000-10400000 rw-s 00200000 00:01 5 /a", "4", "4", "0", "0", "0", "0", "0", "rd")
			SMAP("10400000-10600000 rw-s 00600000 00:01 5 /a", "4", "0", "0", "0", "0", "0", "0", "rd")
				SMAP("10600000-10800000 rw-s 00800000 00:01 6 /b", "4", "0", "0", "0", "0", "0", "0", "rd");
	struct mem_maps maps = { 0 };

	cr_assert_eq(parse(text, &maps), 0);
	cr_assert_eq(maps.nr, 3u);
	cr_assert(maps.v[0].end - maps.v[0].start == 4 * MIB && maps.v[0].resident == 4096);
	mem_maps_free(&maps);
}

Test(mem_smaps, makes_no_sense)
{
	static const char *const texts[] = {
		"what?\n",
		"\n",
		"Rss: 4 kB\n", /* of what? */
		HEAD, /* cut */
		HEAD " /x\nRss: 4 kB", /* cut */
		HEAD " /x\nRss: kB\n",
		HEAD " /x\nRss: -4 kB\n",
		HEAD " /x\nRss: 99999999999999999999999 kB\n",
		HEAD " /x\nRss: 18014398509481984 kB\n", /* 2^64 bytes */
		HEAD " /x\nRss: 65537 kB\n", /* more than it is large */
		"7f0000000000-7f0004000000 rw-p 00000000 00:01 1029 /x\nRss: 65536 kB\nSwap: 4 kB\n",
		HEAD " /x\nRss: 4 kB\nAnonymous: 8 kB\n",
		HEAD " /x\nRss: 4 kB\nKSM: 8 kB\n",
		HEAD " /x\nPrivate_Clean: 18014398509481983 kB\nPrivate_Dirty: 18014398509481983 kB\n",
		"7f0004000000-7f0000000000 rw-s 00000000 00:01 1029\n", /* backwards */
		"7f0000000000-7f0004000000 rw-x 00000000 00:01 1029\n",
		"7f0000000000-7f0004000000 rw\n",
		"7f0000000000\n",
		"10000000000000000-10000000000000001 rw-s 0 0:0 0\n", /* 17 digits */
		"7f0000000000-7f0004000000 rw-s 00000000 00:01 \n",
	};
	struct mem_maps maps = { .nr = 77 };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		cr_assert_eq(parse(texts[i], &maps), -EPROTO, "%s", texts[i]);
		cr_assert(maps.nr == 77 && !maps.v, "%s", texts[i]);
	}
}

/* A page of shared memory that was read from swap between the kernel's two countings. */
Test(mem_smaps, counted_twice)
{
	struct mem_maps maps = { 0 };

	cr_assert_eq(parse(HEAD " /x\nRss: 65536 kB\nSwap: 4 kB\n", &maps), 0);
	cr_assert_eq(maps.nr, 1);
	cr_expect(maps.v[0].resident == 64 * MIB && !maps.v[0].swapped);
	mem_maps_free(&maps);
}

/* As many as are taken, and one more. */
static int parse_many(unsigned nr, struct mem_maps *ret)
{
	char *text = malloc(nr * 64u), *at = text;
	int r;

	for (unsigned i = 0; i < nr; i++)
		at += sprintf(at, "%llx-%llx rw-s 00000000 00:01 %u /x\n", (2ull * i + 2) * MIB, (2ull * i + 3) * MIB, i + 1);
	r = mem_smaps_parse(text, (size_t)(at - text), ret);
	free(text);
	return r;
}

Test(mem_smaps, limit)
{
	struct mem_maps maps = { 0 };

	cr_assert_eq(parse_many(MEM_MAPS_MAX, &maps), 0);
	cr_assert_eq(maps.nr, (unsigned)MEM_MAPS_MAX);
	mem_maps_free(&maps);
	cr_assert_eq(parse_many(MEM_MAPS_MAX + 1, &maps), -E2BIG);
}

/* --- a process --- */

#define STATUS "Name:\tqemu\nVmLck:\t  4096 kB\nVmPin:\t       8 kB\nVmSwap:\t      12 kB\nCapEff:\t%016llx\n"

static void put_process(struct fake *fake, unsigned long long caps)
{
	char text[256];

	fake_mkdir(fake, "/proc/7");
	snprintf(text, sizeof(text), STATUS, caps);
	fake_put(fake, text, "/proc/7/status");
	fake_put(fake, "Limit  Soft  Hard  Units\nMax locked memory         8388608              8388608              bytes\n",
		 "/proc/7/limits");
	fake_put(fake, "ksm_rmap_items 0\nksm_zero_pages 0\nksm_merging_pages 3\nksm_process_profit -9\n", "/proc/7/ksm_stat");
}

Test(mem_process, read)
{
	struct fake *fake = fake_new();
	struct mem_process p = { 0 };
	struct err err;

	put_process(fake, 0);
	cr_assert_eq(mem_process_read(fake_sys(fake), 7, &p, &err), 0);
	cr_assert(p.locked == 4096 << 10 && p.pinned == 8 << 10 && p.swapped == 12 << 10);
	cr_assert(p.knows_limit && p.lock_limit == 8388608 && p.knows_merged && p.merged == 3u * (unsigned)sysconf(_SC_PAGESIZE));
	/* CAP_IPC_LOCK: no limit; a kernel without KSM */
	put_process(fake, 1ull << 14);
	fake_remove(fake, "/proc/7/ksm_stat");
	p = (struct mem_process){ 0 };
	cr_assert_eq(mem_process_read(fake_sys(fake), 7, &p, &err), 0);
	cr_assert(p.lock_limit == MEM_NO_LIMIT && !p.knows_merged);
	/* 6.1 */
	fake_put(fake, "5\n", "/proc/7/ksm_merging_pages");
	cr_assert_eq(mem_process_read(fake_sys(fake), 7, &p, &err), 0);
	cr_assert(p.knows_merged && p.merged == 5u * (unsigned)sysconf(_SC_PAGESIZE));
	fake_free(fake);
}

Test(mem_process, bad)
{
	struct fake *fake = fake_new();
	struct mem_process p = { .locked = 77 };
	struct mem_maps maps = { .nr = 77 };
	char *large = malloc(MEM_SMAPS_MAX + 2);
	struct err err;

	cr_assert_eq(mem_process_read(fake_sys(fake), 7, &p, &err), -ESRCH);
	cr_assert_str_eq(err.code, "mem.process-gone");
	cr_assert_eq(mem_process_maps(fake_sys(fake), 7, &maps, &err), -ESRCH);
	fake_mkdir(fake, "/proc/7");
	fake_put(fake, "Name:\tqemu\n", "/proc/7/status");
	cr_assert_eq(mem_process_read(fake_sys(fake), 7, &p, &err), -EPROTO);
	cr_assert_str_eq(err.code, "mem.bad-status");
	fake_put(fake, "", "/proc/7/smaps"); /* a zombie */
	cr_assert_eq(mem_process_maps(fake_sys(fake), 7, &maps, &err), -ESRCH);
	fake_put(fake, "Rss:", "/proc/7/smaps");
	cr_assert_eq(mem_process_maps(fake_sys(fake), 7, &maps, &err), -EPROTO);
	cr_assert_str_eq(err.code, "mem.bad-smaps");
	/* as much as is taken is text; one byte more is too large, whatever it says */
	memset(large, '\n', MEM_SMAPS_MAX + 1);
	large[MEM_SMAPS_MAX] = '\0';
	fake_put(fake, large, "/proc/7/smaps");
	cr_assert_eq(mem_process_maps(fake_sys(fake), 7, &maps, &err), -EPROTO);
	large[MEM_SMAPS_MAX] = '\n';
	large[MEM_SMAPS_MAX + 1] = '\0';
	fake_put(fake, large, "/proc/7/smaps");
	cr_assert_eq(mem_process_maps(fake_sys(fake), 7, &maps, &err), -EOVERFLOW);
	cr_assert_str_eq(err.code, "mem.too-large");
	cr_assert(maps.nr == 77 && p.locked == 77);
	free(large);
	fake_free(fake);
}

Test(mem_process, file_bytes)
{
	struct fake *fake = fake_new();
	struct mem_map map = { .start = 0x7f0000000000, .end = 0x7f0004000000, .shared = true, .inode = 5, .page_bytes = 4096 };
	uint64_t bytes = 0;

	fake_mkdir(fake, "/proc/7/map_files");
	fake_put(fake, "33554432", "/proc/7/map_files/7f0000000000-7f0004000000");
	strcpy(map.name, "/memfd:x (deleted)");
	cr_assert_eq(mem_map_file_bytes(fake_sys(fake), 7, &map, &bytes), 0);
	cr_assert_eq(bytes, 32 * MIB);
	/* blocks on a disk say nothing of memory */
	strcpy(map.name, "/var/lib/guest.ram");
	cr_assert_eq(mem_map_file_bytes(fake_sys(fake), 7, &map, &bytes), -EOPNOTSUPP);
	map.page_bytes = 2 * MIB;
	cr_assert_eq(mem_map_file_bytes(fake_sys(fake), 7, &map, &bytes), 0);
	map.end++;
	cr_assert_eq(mem_map_file_bytes(fake_sys(fake), 7, &map, &bytes), -ENOENT);
	fake_free(fake);
}

/* A trigger of the kernel that runs here, if it has any; and what is none. */
Test(mem_process, psi_of_this_kernel)
{
	struct sys *sys = sys_linux_new("");
	int fd = sys->ops->psi_open(sys, "/proc/pressure/memory", "some 300000 2000000");

	cr_assert(fd >= 0 || fd == -ENOENT || fd == -EOPNOTSUPP || fd == -EPERM || fd == -EACCES || fd == -EROFS, "%d", fd);
	if (fd >= 0) {
		sys->ops->close(sys, fd);
		cr_assert_eq(sys->ops->psi_open(sys, "/proc/pressure/memory", "all of it"), -EINVAL);
	}
	cr_assert_eq(sys->ops->psi_open(sys, "/proc/pressure/patience", "some 300000 2000000"), -ENOENT);
	sys_linux_free(sys);
}

/* The kernel that runs here: a memfd of which a part was touched, and a part more by another mapping. */
Test(mem_process, this_kernel)
{
	struct sys *sys = sys_linux_new("");
	const size_t size = 8 * MIB;
	int fd = memfd_create("gangway-test", MFD_CLOEXEC);
	char *at, *other;
	struct mem_maps maps = { 0 };
	struct mem_process p = { 0 };
	uint64_t bytes = 0;
	bool found = false;

	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	other = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert(at != MAP_FAILED && other != MAP_FAILED);
	memset(other, 1, MIB);
	memset(at + 4 * MIB, 1, MIB);
	cr_assert_eq(mem_process_read(sys, 0, &p, NULL), 0);
	cr_assert_eq(mem_process_maps(sys, 0, &maps, NULL), 0);
	for (unsigned i = 0; i < maps.nr; i++) {
		if (maps.v[i].start != (uintptr_t)at)
			continue;
		found = true;
		cr_assert(maps.v[i].shared && maps.v[i].resident >= MIB && maps.v[i].end - maps.v[i].start == size);
		if (mem_map_file_bytes(sys, 0, &maps.v[i], &bytes) == 0) /* CAP_CHECKPOINT_RESTORE */
			cr_assert_geq(bytes, 2 * MIB);
	}
	cr_assert(found);
	mem_maps_free(&maps);
	munmap(at, size);
	munmap(other, MIB);
	close(fd);
	sys_linux_free(sys);
}
