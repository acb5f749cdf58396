/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leases that were prepared before the host booted: what the operator asked for is never lost, whatever keeps it from being so. */
#include <criterion/criterion.h>

#include "attach_test.h"
#include "host_events.h"

static void set_numvfs(const char *n)
{
	struct sys *sys = fake_sys(h->fake);

	cr_assert_eq(sys->ops->write_file(sys, "/sys/bus/pci/devices/" FAKE_PF_BDF "/sriov_numvfs", n), 0);
}

static struct lease *the_lease(void)
{
	return TAILQ_FIRST(&h->d.leases);
}

static bool is_prepared(void *arg)
{
	(void)arg;
	return the_lease() && !the_lease()->op && the_lease()->state == LEASE_PREPARED;
}

static void as_asked_for(void)
{
	cr_assert(fake_host_until(h, is_prepared, NULL, 20000), "%s: %s", text_now("state"), text_now("error.message"));
	cr_assert_str_eq(text_now("nic"), "fast");
	cr_assert_str_eq(text_now("vf"), "eth0/vf1");
	cr_assert_str_eq(text_now("error"), "(null)");
	cr_assert_str_eq(driver_of(FAKE_VF1_BDF), "vfio-pci");
	cr_assert_eq(fake_vf(h->fake, "eth0", 1)->vlan, 100);
	cr_assert(snapshot_has(": 65534:"), "for the same user");
	cr_assert_eq(records(), 1);
}

static json_t *asked_for(void)
{
	return json_pack("{s:s, s:s, s:b, s:s, s:s, s:{s:s}}", "guest", "vm1", "target", "eth0/vf1", "prepare", 1, "nic", "fast",
			 "user", "nobody", "policy", "vlan", "100");
}

/* A lease is prepared, then the host boots: without VFs. */
static void boot_without_vfs(void)
{
	begin(2);
	fake_guest_die(vm1);
	fake_host_settle(h);
	before_again();
	json_decref(attach(asked_for()));
	fake_host_stop(h);
	set_numvfs("0");
	h->boot_id = "boot-2";
	fake_host_start(h);
	fake_host_settle(h);
}

static void waits_for_its_vf(void)
{
	cr_assert_eq(h->d.nr_leases, 1);
	cr_assert_eq(records(), 1);
	cr_assert_str_eq(text_now("state"), "failed");
	cr_assert_str_eq(text_now("error.code"), "sriov.no-such-vf");
	cr_assert_str_neq(text_now("error.hint"), "");
}

static void give_up(void)
{
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}

Test(again, the_vfs_come_later)
{
	struct err err;

	boot_without_vfs();
	waits_for_its_vf();
	cr_assert_eq(host_events_new(&h->d, &err), 0);
	set_numvfs("2");
	as_asked_for();
	fake_host_stop(h);
	fake_host_start(h);
	as_asked_for();
	give_up();
}

Test(again, it_waits_over_restarts_and_guests)
{
	boot_without_vfs();
	for (int i = 0; i < 3; i++) {
		fake_host_stop(h);
		fake_host_start(h);
		fake_host_settle(h);
		waits_for_its_vf();
	}
	fake_guest_run(vm1);
	fake_host_settle(h);
	waits_for_its_vf();
	fake_guest_die(vm1);
	fake_host_settle(h);
	waits_for_its_vf();
	set_numvfs("2");
	give_up();
}

/* The number of VFs can be set, its own VF is kept for it, and another lease gets another one. */
Test(again, its_vf_is_kept)
{
	json_t *a;

	boot_without_vfs();
	succeed("pf.set", json_pack("{s:s, s:i}", "pf", "eth0", "vfs", 2));
	fake_host_settle(h);
	if (!is_prepared(NULL)) {
		fail("lease.vf-taken", EBUSY, "attach",
		     json_pack("{s:s, s:s, s:b, s:s}", "guest", "vm1", "target", "eth0/vf1", "prepare", 1, "nic", "other"));
		a = attach(json_pack("{s:s, s:s, s:b, s:s}", "guest", "vm1", "target", "eth0", "prepare", 1, "nic", "other"));
		cr_assert_str_eq(text_of(a, "lease.vf"), "eth0/vf0");
		json_decref(a);
		succeed("detach", json_pack("{s:s, s:s}", "guest", "vm1", "nic", "other"));
	}
	as_asked_for(); /* the end of pf.set is a hint */
	give_up();
}

Test(again, the_operator_asks_again)
{
	json_t *p = asked_for();

	boot_without_vfs();
	fail("sriov.no-such-vf", ENOENT, "attach", asked_for());
	waits_for_its_vf();
	set_numvfs("2");
	/* the same lease, though it is not named */
	json_object_del(p, "nic");
	json_decref(attach(p));
	as_asked_for();
	give_up();
}

Test(again, a_guest_that_is_not_known_any_more)
{
	boot_without_vfs();
	fail("guest.has-lease", EBUSY, "guest.remove", json_pack("{s:s}", "name", "vm1"));
	set_numvfs("2");
	give_up();
}

/* gangwayd is killed at each turn of preparing it again. */
Test(again, killed_meanwhile)
{
	for (unsigned turn = 1; turn < 30; turn++) {
		boot_without_vfs();
		fake_host_stop(h);
		set_numvfs("2");
		fake_host_start(h);
		for (unsigned i = 0; i < turn && !is_prepared(NULL); i++)
			cr_assert_geq(sd_event_run(h->event, 1000000), 0);
		fake_host_stop(h);
		fake_host_start(h);
		as_asked_for();
		give_up();
	}
}

/* Each call to the kernel fails once. */
Test(again, fails_at_each_call)
{
	unsigned waited = 0, n;

	for (n = 1;; n++) {
		bool failed;

		boot_without_vfs();
		set_numvfs("2");
		fake_fail_at(h->fake, n, -EIO);
		attach_again(the_lease());
		fake_host_settle(h);
		failed = fake_failed(h->fake);
		fake_fail_at(h->fake, 0, 0);
		cr_assert_eq(h->d.nr_leases, 1, "call %u", n);
		cr_assert_eq(records(), 1, "call %u", n);
		if (!is_prepared(NULL)) {
			waited++;
			cr_assert_str_eq(text_now("state"), "failed", "call %u", n);
			succeed("attach", asked_for());
		}
		as_asked_for();
		succeed("detach", json_pack("{s:s}", "guest", "vm1"));
		end();
		if (!failed)
			break;
	}
	printf("# %u calls failed one by one, after %u of them it waited\n", n - 1, waited);
	cr_assert_gt(waited, 0);
}
