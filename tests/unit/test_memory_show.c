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
