/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memory.show: what the VMM says and what the kernel has, in one answer; and what of it cannot be known. */
#include <criterion/criterion.h>

#include "memory_test.h"

static json_t *show(void)
{
	json_t *answer = fake_host_call(h, "memory.show", json_pack("{s:s}", "guest", "vm1"));
	json_t *result = json_incref(json_object_get(answer, "result"));

	cr_assert(result, "%s", json_dumps(answer, 0));
	json_decref(answer);
	return result;
}

static json_int_t mib(json_t *j, const char *path)
{
	return json_is_null(member(j, path)) ? -1 : json_integer_value(member(j, path)) / MIB;
}

Test(memory_show, shared)
{
	json_t *r, *area;

	begin(1);
	put_memory(&(struct put_memory){ .shared = true, .file = "/memfd:mem0 (deleted)", .resident = 100, .swapped = 12 });
	put_available(1000);
	r = show();
	area = json_array_get(member(r, "areas"), 0);
	cr_assert_str_eq(text_of(area, "backing"), "memfd");
	cr_assert_str_eq(text_of(area, "id"), "mem0");
	cr_assert(mib(area, "resident") == 100 && mib(area, "swapped") == 12 && mib(area, "untouched") == 400);
	cr_assert(mib(r, "need.pin") == RAM_MIB && mib(r, "need.fresh") == 412 && mib(r, "room.bytes") == 1000 - 64);
	cr_assert_str_eq(text_of(r, "summary"),
			 "attach would pin 512.0 MiB, 412.0 MiB of it not resident; the host has 936.0 MiB to give");
	cr_assert(json_is_true(member(r, "fits")) && json_is_null(member(r, "error")) && json_is_null(member(r, "balloon")));
	cr_assert_eq(mib(r, "room.cgroup"), -1);
	json_decref(r);
	/* what a device process has touched */
	fake_mkdir(h->fake, "/proc/%d/map_files", vm1->pid);
	fake_put(h->fake, "324009984", "/proc/%d/map_files/7f0000000000-7f0020000000", vm1->pid); /* 309 MiB */
	r = show();
	cr_assert_eq(mib(r, "need.fresh"), 512 - 309 + 12);
	json_decref(r);
	end();
}

Test(memory_show, the_cgroup_has_less)
{
	json_t *r;

	begin(1);
	put_memory(&(struct put_memory){ .shared = true, .file = "/memfd:mem0 (deleted)", .resident = 100 });
	put_cgroup(300, 110);
	r = show();
	cr_assert(mib(r, "room.cgroup") == 190 && mib(r, "room.bytes") == 126 && !json_is_true(member(r, "fits")));
	cr_assert_str_eq(text_of(r, "cgroup.tightest"), "/vm1");
	cr_assert(strstr(text_of(r, "summary"), "; cgroup /vm1 has 126.0 MiB to give"), "%s", text_of(r, "summary"));
	json_decref(r);
	end();
}

/* -m alone, and a QEMU before 5.0: its RAM is a mapping like any other. */
Test(memory_show, without_a_backend)
{
	json_t *r, *area;

	begin(1);
	vm1->no_backend = true;
	fake_guest_update(vm1);
	put_memory(&(struct put_memory){ .resident = 300, .anonymous = 300 });
	r = show();
	area = json_array_get(member(r, "areas"), 0);
	cr_assert_str_eq(text_of(area, "id"), "(ram)");
	cr_assert_str_eq(text_of(area, "backing"), "anonymous");
	cr_assert(json_is_null(member(area, "type")) && json_is_null(member(area, "merge")) &&
		  json_is_null(member(area, "prealloc")));
	cr_assert(mib(r, "need.fresh") == 212 && mib(r, "need.unknown") == 0 && mib(r, "need.pin") == RAM_MIB);
	json_decref(r);
	/* what is not found is not there */
	fake_put(h->fake, "", "/proc/%d/smaps", vm1->pid);
	r = show();
	cr_assert(mib(r, "need.unknown") == RAM_MIB && mib(r, "need.fresh") == RAM_MIB);
	json_decref(r);
	put_memory(&(struct put_memory){ .resident = 300, .anonymous = 300 });
	put_available(212 + 64);
	fail("vmm.memory-private", EOPNOTSUPP, "attach",
	     json_pack("{s:s, s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "via", "vfio-user", "standby", "none"));
	succeed("attach",
		json_pack("{s:s, s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "via", "vfio-pci", "standby", "none"));
	end();
}

Test(memory_show, not_known)
{
	json_t *r;

	begin(1);
	/* a kernel that does not tell */
	r = show();
	cr_assert_str_eq(text_of(r, "error.code"), "mem.bad-status");
	cr_assert(mib(r, "need.unknown") == RAM_MIB && json_is_null(member(r, "process")) && json_is_null(member(r, "cgroup")));
	json_decref(r);
	/* nonsense */
	put_memory(&(struct put_memory){ .shared = true, .file = "/memfd:mem0 (deleted)", .resident = 513 });
	r = show();
	cr_assert_str_eq(text_of(r, "error.code"), "mem.bad-smaps");
	cr_assert_eq(mib(r, "need.fresh"), RAM_MIB);
	json_decref(r);
	/* its cgroup has gone */
	put_memory(&(struct put_memory){ .shared = true, .file = "/memfd:mem0 (deleted)", .resident = 512 });
	fake_remove(h->fake, "/sys/fs/cgroup/vm1");
	r = show();
	cr_assert_str_eq(text_of(r, "cgroup_error.code"), "mem.cgroup-gone");
	cr_assert(json_is_null(member(r, "cgroup")) && mib(r, "need.fresh") == 0);
	json_decref(r);
	end();
}

static bool one_is_read(void *nr)
{
	unsigned most;

	return fake_nr_slow_reads(h->fake, &most) > *(unsigned *)nr;
}

#define NR_SHOWS 5
#define NR_GUESTS 3

/* A reading that takes long is shared by all who ask before it begins; and few are read at once. */
Test(memory_show, by_many, .timeout = 60)
{
	struct fake_guest *guests[NR_GUESTS];
	json_int_t ids[NR_GUESTS][NR_SHOWS];
	unsigned most, nr;
	json_t *r;

	begin(1);
	guests[0] = vm1;
	guests[1] = fake_guest_add(h, "vm2", true);
	guests[2] = fake_guest_add(h, "vm3", true);
	for (unsigned i = 0; i < NR_GUESTS; i++)
		put_memory_of(guests[i], &(struct put_memory){ .shared = true, .file = "/memfd:mem0 (deleted)", .resident = i });
	fake_slow_reads(h->fake, "/smaps", 50);
	for (unsigned k = 0; k < NR_SHOWS; k++)
		for (unsigned i = 0; i < NR_GUESTS; i++)
			ids[i][k] = fake_host_send(h, "memory.show", json_pack("{s:s}", "guest", guests[i]->name));
	for (unsigned k = 0; k < NR_SHOWS; k++)
		for (unsigned i = 0; i < NR_GUESTS; i++) {
			json_t *a = fake_host_wait(h, ids[i][k]);

			cr_assert_eq(mib(a, "result.need.fresh"), RAM_MIB - i);
			json_decref(a);
		}
	/* what comes while one is read has a second one */
	cr_assert_leq(fake_nr_slow_reads(h->fake, &most), 2u * NR_GUESTS);
	cr_assert_eq(most, 2u, "at once, and no more: MEM_READERS_MAX");
	/* and who asks anew is not told what was */
	put_memory(&(struct put_memory){ .shared = true, .file = "/memfd:mem0 (deleted)", .resident = 300 });
	r = show();
	cr_assert_eq(mib(r, "need.fresh"), 212);
	json_decref(r);
	/* nobody waits for the answer any more, nor does gangwayd */
	fake_host_send(h, "memory.show", json_pack("{s:s}", "guest", "vm1"));
	fake_host_send(h, "memory.show", json_pack("{s:s}", "guest", "vm2"));
	nr = fake_nr_slow_reads(h->fake, &most);
	cr_assert(fake_host_until(h, one_is_read, &nr, 5000));
	end();
}

/* Room is for 63 bytes: a name is cut there, and never within a character. What is said of it stays with it. */
Test(memory_show, name_that_is_cut)
{
	json_t *r, *area;
	char text[256], cut[64] = "";

	begin(1);
	put_memory(&(struct put_memory){ .shared = true, .file = "/memfd:mem0 (deleted)", .resident = 100 });
	put_available(1000);
	for (size_t at = 60; at < sizeof(cut); at++) { /* where a character of four bytes begins */
		memset(cut, 'a', at);
		snprintf(
			text, sizeof(text),
			"{\"id\": \"%s\xf0\x9f\x90\xa7z\", \"size\": 4096, \"share\": true, \"prealloc\": true, \"merge\": true}",
			cut);
		vm1->memdev = text;
		fake_guest_update(vm1);
		r = show();
		cr_assert_eq(json_array_size(member(r, "areas")), 2, "%zu", at);
		area = json_array_get(member(r, "areas"), 0);
		cr_assert_str_eq(text_of(area, "id"), cut);
		cr_assert(json_is_true(member(area, "prealloc")) && json_is_true(member(area, "merge")));
		area = json_array_get(member(r, "areas"), 1);
		cr_assert_str_eq(text_of(area, "id"), "mem0");
		cr_assert(json_is_false(member(area, "prealloc")) && json_is_false(member(area, "merge")));
		json_decref(r);
	}
	end();
}

Test(memory_show, refused)
{
	begin(1);
	fail("guest.unknown", ENOENT, "memory.show", json_pack("{s:s}", "guest", "nobody"));
	put_available(1);
	fake_put(h->fake, "MemTotal: 1 kB\n", "/proc/meminfo");
	fail("mem.bad-meminfo", EPROTO, "memory.show", json_pack("{s:s}", "guest", "vm1"));
	fake_guest_die(vm1);
	fake_host_settle(h);
	fail("vmm.not-up", ENOTCONN, "memory.show", json_pack("{s:s}", "guest", "vm1"));
	end();
}
