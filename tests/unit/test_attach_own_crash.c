/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A standby of the guest's own, where something fails or ends, and where others move it meanwhile: what was there before is there again. */
#include "attach_own_test.h"

/* --- whatever fails, and whenever it is killed: the entries are as they were --- */

static void begin_with_entries(void)
{
	begin_own(BY_FD);
	set_entry("vnet0", SYS_FDB_BRIDGE);
	set_entry("eth0", SYS_FDB_SELF);
	before_again();
}

static void detach_with_retry(void)
{
	const char *got = fake_host_expect(h, NULL, "detach", of_vm1());

	if (got) {
		fake_fail_at(h->fake, 0, 0);
		fake_host_settle(h);
		if (h->d.nr_leases)
			succeed("detach", of_vm1());
	}
}

Test(attach_own_crash, each_call_fails_in_turn, .timeout = 120)
{
	unsigned failed = 0;

	for (unsigned n = 1;; n++) {
		json_t *a;
		bool was;

		begin_with_entries();
		fake_fail_at(h->fake, n, -EIO);
		a = fake_host_call(h, "attach", with_mac("own"));
		if (member(a, "result")) {
			detach_with_retry();
		} else {
			failed++;
			fake_host_settle(h);
			if (h->d.nr_leases)
				detach_with_retry();
		}
		json_decref(a);
		was = fake_failed(h->fake);
		fake_fail_at(h->fake, 0, 0);
		fake_host_settle(h);
		until_leases(0);
		cr_assert_eq(records(), 0, "call %u", n);
		unchanged();
		end();
		if (!was)
			break;
		cr_assert_lt(n, 2000);
	}
	cr_assert_gt(failed, 20);
}

Test(attach_own_crash, killed_at_each_turn, .timeout = 120)
{
	unsigned adopted = 0;
	bool answered = false;

	for (unsigned turns = 1; !answered; turns++) {
		char id[32];

		begin_with_entries();
		snprintf(id, sizeof(id), "%lld", (long long)fake_host_send(h, "attach", with_mac("own")));
		for (unsigned i = 0; i < turns && !answered; i++) {
			turn();
			answered = json_object_get(h->answers, id) != NULL;
		}
		json_object_clear(h->answers);
		fake_host_stop(h);
		fake_host_start(h);
		cr_assert(fake_host_until(h, decided, NULL, 5000), "turn %u: undecided", turns);
		fake_host_settle(h);
		adopted += h->d.nr_leases;
		if (h->d.nr_leases) {
			until_at("passthrough");
			succeed("detach", of_vm1());
		}
		cr_assert_eq(records(), 0, "turn %u", turns);
		unchanged();
		end();
	}
	cr_assert_gt(adopted, 0);
}

/* --- the guest ends --- */

static bool has_no_lease(void *arg)
{
	(void)arg;
	return h->d.nr_leases == 0;
}

Test(attach_own_crash, the_vmm_ends_while_it_is_asked)
{
	json_t *a;

	begin_own(BY_FD);
	vm1->dies_at = "human-monitor-command";
	fake_guest_update(vm1);
	a = fake_host_call(h, "attach", with_mac("own"));
	cr_assert(member(a, "error"));
	json_decref(a);
	fake_host_settle(h);
	cr_assert_eq(h->d.nr_leases, 0);
	cr_assert_eq(records(), 0);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	steers_to("", false);
	end();
}

/* gangwayd was not there to see the guest end: the next one of that name was started with a standby of the same name, and is not attached. */
static void is_started_anew(bool same_tap)
{
	struct sys *sys;
	struct sys_link link;

	begin_own(BY_FD);
	json_decref(attach(with_mac("own")));
	until_at("passthrough");
	fake_host_stop(h);
	fake_guest_die(vm1);
	sys = fake_sys(h->fake);
	cr_assert_eq(sys->ops->link_get(sys, "vnet0", &link), 0);
	if (!same_tap) { /* the next VMM makes one of that name */
		cr_assert_eq(sys->ops->link_del(sys, &link, NULL), 0);
		make_tap("vnet0", "br0");
	}
	fake_guest_run(vm1);
	fake_host_start(h);
	cr_assert(fake_host_until(h, has_no_lease, NULL, 5000), "%s", text_now("switch.step"));
	cr_assert_str_eq(vm1->vf, "");
	cr_assert_eq(records(), 0);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	steers_to("", false);
	end();
}

Test(attach_own_crash, the_guest_is_started_anew_meanwhile)
{
	is_started_anew(false);
	is_started_anew(true);
}

Test(attach_own_crash, records_that_are_damaged)
{
	static const char *const own[] = {
		"{\"tap\": \"a/b\", \"ifindex\": 3, \"had_entry\": false, \"had_self\": false, \"bridge\": \"\"}",
		"{\"tap\": \"\", \"ifindex\": 3, \"had_entry\": false, \"had_self\": false, \"bridge\": \"\"}",
		"{\"tap\": \"vnet0\", \"ifindex\": 0, \"had_entry\": false, \"had_self\": false, \"bridge\": \"br0\"}",
		"{\"tap\": \"\", \"ifindex\": 0, \"had_entry\": false, \"had_self\": false, \"bridge\": \"br0\"}",
		"{\"tap\": \"vnet0\", \"ifindex\": 4294967297, \"had_entry\": false, \"had_self\": false, \"bridge\": \"br0\"}",
		"{\"tap\": \"vnet0\", \"ifindex\": 3}",
		"7",
	};
	struct emul_leg *made = NULL;
	json_t *good;

	begin_own(BY_FD);
	json_decref(attach(with_mac("own")));
	until_at("passthrough");
	good = emul_leg_to_json(lease()->emul);
	cr_assert_eq(emul_leg_from_json(fake_sys(h->fake), good, &made, NULL), 0);
	cr_assert_str_eq(emul_leg_ifname(made), "vnet0");
	cr_assert_str_eq(emul_leg_bridge(made), "br0");
	emul_leg_free(made);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		json_object_set_new(good, "own", json_loads(own[i], JSON_DECODE_ANY, NULL));
		cr_assert_eq(emul_leg_from_json(fake_sys(h->fake), good, &made, NULL), -EINVAL, "%s", own[i]);
	}
	json_decref(good);
	succeed("detach", of_vm1());
	unchanged();
	end();
}

/* What was not in the bridge when it was looked at, no entry noted: then the record does not say that it is steered to. */
Test(attach_own_crash, joins_a_bridge_meanwhile)
{
	struct emul_want want = { .words.kind = EMUL_OWN, .pf = "eth0", .tap = "vnet0" };
	static const char *const bridges[][2] = { { NULL, "br0" }, { "br1", "br0" }, { "br0", "br1" } };

	memcpy(want.mac, vm1_mac, SYS_MAC_LEN);
	for (size_t i = 0; i < sizeof(bridges) / sizeof(bridges[0]); i++) {
		struct emul_leg *made = NULL;
		struct err err = { 0 };

		begin_pair(true);
		fake_add_bridge(h->fake, "br1", false);
		make_tap("vnet0", bridges[i][0]);
		cr_assert_eq(emul_leg_new(fake_sys(h->fake), &want, &made, NULL), 0);
		fake_join(h->fake, "vnet0", bridges[i][1]);
		before_again();
		cr_assert_eq(emul_leg_create(made, &err), -EAGAIN);
		cr_assert_str_eq(err.code, "emul.host-changed");
		unchanged();
		emul_leg_free(made);
		end();
	}
}

/* Its owner moves the tap: the guest can leave its VF all the same, and what was in the PF's bridge is not put into another. */
Test(attach_own_crash, leaves_its_bridge, .timeout = 60)
{
	for (int to_other = 0; to_other < 2; to_other++) {
		struct sys_link_want none = { .fields = SYS_LINK_MASTER };
		struct sys_link tap;
		struct sys *sys;

		begin_own(BY_FD);
		fake_add_bridge(h->fake, "br1", false);
		set_entry("vnet0", SYS_FDB_BRIDGE);
		json_decref(attach(with_mac("own")));
		until_at("passthrough");
		sys = fake_sys(h->fake);
		cr_assert_eq(sys->ops->link_get(sys, "vnet0", &tap), 0);
		if (to_other)
			fake_join(h->fake, "vnet0", "br1");
		else
			cr_assert_eq(sys->ops->link_set(sys, &tap, &none, NULL), 0);
		succeed("switch", leg("emulated"));
		until_at("emulated");
		steers_to("", false);
		cr_assert(!to_vf());
		succeed("detach", of_vm1());
		steers_to("", false);
		cr_assert_eq(records(), 0);
		end();
	}
}

/* A detach that came no further than that is tried again: by then a tap of that name may be another guest's. */
Test(attach_own_crash, undone_once_more)
{
	struct emul_leg *read = NULL;
	struct sys_link link;
	struct sys *sys;
	json_t *j;

	begin_own(BY_FD);
	set_entry("vnet0", SYS_FDB_BRIDGE);
	json_decref(attach(with_mac("own")));
	until_at("passthrough");
	sys = fake_sys(h->fake);
	cr_assert_eq(emul_leg_destroy(lease()->emul, NULL), 0);
	steers_to("vnet0", false);
	j = emul_leg_to_json(lease()->emul);
	cr_assert_eq(emul_leg_from_json(sys, j, &read, NULL), 0, "what is recorded now can be read");
	json_decref(j);
	emul_leg_free(read);
	cr_assert_eq(sys->ops->link_get(sys, "vnet0", &link), 0);
	cr_assert_eq(sys->ops->link_del(sys, &link, NULL), 0);
	make_tap("vnet0", "br0");
	steers_to("", false);
	cr_assert_eq(emul_leg_destroy(lease()->emul, NULL), 0);
	steers_to("", false);
	end();
}
