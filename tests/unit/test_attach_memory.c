/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An attach whose guest's memory cannot be pinned: refused, or begun on the emulated leg, before anything is mapped. And the way to the VF later. Guest
 * vm1 has 512 MiB.
 */
#include <criterion/criterion.h>

#include "memory_test.h"
#include "switcher_test.h"

#define TEMPLATE "/var/lib/template"
#define MEMFD "/memfd:mem0 (deleted)"

static json_t *params(const char *via, const char *standby)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "via", via, "standby", standby);
}

static void private_memory(void)
{
	vm1->shared = false;
	fake_guest_update(vm1);
}

struct row {
	const char *what;
	bool is_private;
	struct put_memory memory;
	unsigned available, cgroup; /* MiB; cgroup: memory.max, of which 100 are used; 0 no limit */
	const char *via;
	const char *code; /* NULL: it succeeds */
	int num;
};

static const struct row rows[] = {
	{ "all there", false, { true, MEMFD, 512, 0, 0, 0 }, 64, 0, "vfio-pci", NULL, 0 },
	{ "half there, and as much free", false, { true, MEMFD, 256, 0, 0, 0 }, 256 + 64, 0, "vfio-pci", NULL, 0 },
	{ "one MiB less", false, { true, MEMFD, 256, 0, 0, 0 }, 256 + 63, 0, "vfio-pci", "attach.memory-not-resident", ENOMEM },
	{ "in swap", false, { true, MEMFD, 256, 0, 0, 256 }, 256, 0, "vfio-pci", "attach.memory-not-resident", ENOMEM },
	{ "its cgroup has none",
	  false,
	  { true, MEMFD, 256, 0, 0, 0 },
	  4000,
	  400,
	  "vfio-pci",
	  "attach.memory-not-resident",
	  ENOMEM },
	{ "its cgroup has enough", false, { true, MEMFD, 256, 0, 0, 0 }, 4000, 420, "vfio-pci", NULL, 0 },
	/* gangway-device brings the pages: that is in another cgroup */
	{ "another's cgroup", false, { true, MEMFD, 256, 0, 0, 0 }, 4000, 101, "vfio-user", NULL, 0 },
	{ "anonymous", true, { false, NULL, 256, 256, 0, 0 }, 320, 0, "vfio-pci", NULL, 0 },
	{ "merged", true, { false, NULL, 256, 256, 128, 0 }, 320 + 127, 0, "vfio-pci", "attach.memory-not-resident", ENOMEM },
	{ "merged, and there is room", true, { false, NULL, 256, 256, 128, 0 }, 320 + 128, 0, "vfio-pci", NULL, 0 },
	{ "a template", true, { false, TEMPLATE, 256, 64, 0, 0 }, 4000, 0, "vfio-pci", "attach.memory-private", EOPNOTSUPP },
	{ "unlinked, so nobody's template",
	  true,
	  { false, "/dev/shm/ram (deleted)", 256, 256, 0, 0 },
	  320,
	  0,
	  "vfio-pci",
	  NULL,
	  0 },
	{ "a template, all of it copied", true, { false, TEMPLATE, 512, 512, 0, 0 }, 64, 0, "vfio-pci", NULL, 0 },
	{ "private", true, { false, NULL, 512, 512, 0, 0 }, 4000, 0, "vfio-user", "vmm.memory-private", EOPNOTSUPP },
	/* the VMM has made it so: nothing counts as there */
	{ "nonsense", false, { true, MEMFD, 513, 0, 0, 0 }, 500, 0, "vfio-pci", "attach.memory-not-resident", ENOMEM },
};

static void check(const struct row *r)
{
	const char *got;
	char want[96];
	json_t *p;

	begin(1);
	if (r->is_private)
		private_memory();
	put_memory(&r->memory);
	put_available(r->available);
	if (r->cgroup)
		put_cgroup(r->cgroup, 100);
	before_again();
	snprintf(want, sizeof(want), "%s/%d", r->code ? r->code : "", r->num);
	p = params(r->via, "none");
	if (!r->code && !strcmp(r->via, "vfio-user")) /* a device process needs more than a test has */
		json_object_set_new(p, "dry_run", json_true());
	got = fake_host_expect(h, r->code ? want : NULL, "attach", p);
	cr_assert_null(got, "%s: %s", r->what, got);
	if (r->code) {
		cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 0u, "%s", r->what);
		unchanged();
		until_leases(0);
	}
	end();
}

Test(attach_memory, rows, .timeout = 120)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&rows[i]);
}

/* What cannot be looked at, for no fault of the VMM's, is no reason to refuse: the kernel decides. It is said where it may be too little. */
Test(attach_memory, not_known)
{
	json_t *a;

	begin(1);
	put_available(500);
	fake_remove(h->fake, "/proc/%d/status", vm1->pid);
	a = attach(params("vfio-pci", "none"));
	cr_assert(strstr(json_string_value(json_array_get(member(a, "warnings"), 0)), "what is resident is not known"), "%s",
		  json_dumps(a, 0));
	json_decref(a);
	end();
}

/* By another VF, wherever smaps finds it. */
Test(attach_memory, locked_already)
{
	const struct put_memory none = { true, MEMFD, 0, 0, 0, 0 };

	begin(1);
	put_memory(&none);
	put_available(100);
	fake_put(h->fake, "VmLck:\t 524287 kB\nVmPin:\t 0 kB\nVmSwap:\t 0 kB\nCapEff:\t0000000000000000\n", "/proc/%d/status",
		 vm1->pid);
	fail("attach.memory-not-resident", ENOMEM, "attach", params("vfio-pci", "none"));
	fake_put(h->fake, "VmLck:\t 524288 kB\nVmPin:\t 0 kB\nVmSwap:\t 0 kB\nCapEff:\t0000000000000000\n", "/proc/%d/status",
		 vm1->pid);
	json_decref(attach(params("vfio-pci", "none")));
	end();
}

Test(attach_memory, bad_words)
{
	json_t *p;

	begin(1);
	p = params("auto", "none");
	json_object_set_new(p, "memory", json_string("lots"));
	fail("attach.bad-memory", EINVAL, "attach", p);
	unchanged();
	end();
}

/* The operator accepts that a template's pages are copied; then what matters is whether there is room for them. */
Test(attach_memory, unshare)
{
	json_t *p = params("vfio-pci", "none");

	begin(1);
	private_memory();
	put_memory(&(struct put_memory){ false, TEMPLATE, 256, 64, 0, 0 });
	put_available(448 + 64 - 1);
	before_again();
	json_object_set_new(p, "unshare", json_true());
	fail("attach.memory-not-resident", ENOMEM, "attach", json_incref(p));
	unchanged();
	put_available(448 + 64);
	succeed("attach", p);
	end();
}

/* --- begun on the emulated leg --- */

static void begin_held(const char *standby)
{
	json_t *a;

	begin_pair(false);
	h->d.config.return_delay_ms = 0;
	put_memory(&(struct put_memory){ true, MEMFD, 256, 0, 0, 0 });
	put_available(100);
	before_again();
	a = attach(pair_params(standby));
	cr_assert_str_eq(text_of(a, "lease.leg"), "emulated");
	cr_assert_str_eq(text_of(a, "lease.reason"), "memory-not-resident");
	cr_assert(strstr(json_string_value(json_array_get(member(a, "warnings"), 0)), "it begins on its emulated leg"));
	json_decref(a);
	until_at("emulated");
	on_standby("memory-not-resident");
	cr_assert_eq(vm1->seen_add, 1u, "the standby alone");
}

Test(attach_memory, begins_emulated, .timeout = 60)
{
	begin_held("macvtap");
	cr_assert_str_eq(text_now("memory.policy"), "pin");
	cr_assert_str_eq(text_now("memory.why.code"), "attach.memory-not-resident");
	detach_pair();
	end();
}

Test(attach_memory, by_default_too, .timeout = 60)
{
	begin_held("auto");
	detach_pair();
	end();
}

/* A leg that the VMM refuses: neither, then. */
Test(attach_memory, no_leg_at_all)
{
	begin_pair(false);
	put_memory(&(struct put_memory){ true, MEMFD, 256, 0, 0, 0 });
	put_available(100);
	vm1->standby_error = "no";
	fake_guest_update(vm1);
	before_again();
	fail("attach.memory-not-resident", ENOMEM, "attach", pair_params("auto"));
	unchanged();
	end();
}

/* Sent back by its operator: there is still no room; then there is. */
Test(attach_memory, is_looked_at_on_the_way_back, .timeout = 60)
{
	begin_pair(false);
	h->d.config.return_delay_ms = 0;
	put_memory(&(struct put_memory){ true, MEMFD, 512, 0, 0, 0 });
	put_available(100);
	attach_pair("macvtap");
	succeed("switch", leg("emulated"));
	put_memory(&(struct put_memory){ true, MEMFD, 256, 0, 0, 0 });
	fail("switch.held", EBUSY, "switch", leg("passthrough"));
	until_at("emulated");
	on_standby("memory-not-resident");
	succeed("detach", of_vm1());
	end();
}

/* It is known for what it is by the next gangwayd. */
Test(attach_memory, across_a_restart, .timeout = 60)
{
	begin_held("macvtap");
	fake_host_stop(h);
	fake_host_start(h);
	cr_assert(fake_host_until(h, decided, NULL, 5000));
	until_at("emulated");
	cr_assert_str_eq(text_now("leg"), "emulated");
	fake_host_settle(h);
	until_at("emulated");
	on_standby("memory-not-resident");
	detach_pair();
	end();
}

/* A template, and a leg that was asked for by name: it waits there for the operator's word. */
Test(attach_memory, private_waits_for_a_word, .timeout = 60)
{
	json_t *p = pair_params("macvtap");

	begin_pair(false);
	h->d.config.return_delay_ms = 0;
	private_memory();
	put_memory(&(struct put_memory){ false, TEMPLATE, 256, 64, 0, 0 });
	before_again();
	json_object_set_new(p, "via", json_string("vfio-pci"));
	json_decref(attach(p));
	until_at("emulated");
	on_standby("memory-private");
	cr_assert(strstr(text_now("memory.why.message"), "maps privately (share=off)"), "%s", text_now("memory.why.message"));
	cr_assert(strstr(text_now("memory.why.message"), "192.0 MiB of them nobody else maps now"), "%s",
		  text_now("memory.why.message"));
	fail("attach.bad-memory", EINVAL, "memory.set", json_pack("{s:s, s:s}", "guest", "vm1", "memory", "lots"));
	succeed("memory.set", json_pack("{s:s, s:s, s:b}", "guest", "vm1", "memory", "pin", "unshare", 1));
	until_at("passthrough");
	on_vf();
	end();
}

/* --- memory.set --- */

Test(attach_memory, set, .timeout = 60)
{
	json_t *answer;

	begin_pair(false);
	fail("lease.none", ENOENT, "memory.set", json_pack("{s:s, s:s}", "guest", "vm1", "memory", "pin"));
	fail("guest.unknown", ENOENT, "memory.set", json_pack("{s:s, s:s}", "guest", "vm9", "memory", "pin"));
	attach_pair("macvtap");
	succeed("memory.set", json_pack("{s:s, s:s, s:i}", "guest", "vm1", "memory", "adaptive", "priority", 9));
	cr_assert_str_eq(text_now("memory.policy"), "adaptive");
	answer = fake_host_call(h, "memory.set", json_pack("{s:s, s:i}", "guest", "vm1", "priority", 10));
	cr_assert(json_object_get(answer, "error"));
	json_decref(answer);
	fake_host_stop(h);
	fake_host_start(h);
	cr_assert(fake_host_until(h, decided, NULL, 5000));
	cr_assert_str_eq(text_now("memory.policy"), "adaptive");
	cr_assert(lease()->memory.priority == 9);
	until_at("passthrough");
	end();
}

/* Said when it is asked for, not when memory is gone. */
Test(attach_memory, adaptive_that_cannot_be)
{
	json_t *p = params("vfio-pci", "none"), *a;

	begin(1);
	json_object_set_new(p, "memory", json_string("adaptive"));
	a = attach(p);
	cr_assert(strstr(json_string_value(json_array_get(member(a, "warnings"), 0)), "no emulated leg to go to"), "%s",
		  json_dumps(a, 0));
	json_decref(a);
	end();
}
