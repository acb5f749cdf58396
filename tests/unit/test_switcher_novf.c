/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that comes by migration to a host where no VF is to be had: its lease is there without one, on its emulated leg, and is given one when
 * there is one. gangwayd is killed, the guest ends, or a call to the kernel fails, at every point of that.
 */
#include <criterion/criterion.h>

#include "novf_test.h"

Test(switcher_novf, is_brought_up_when_one_frees)
{
	begin_without_vf();
	come_without_vf();
	succeed("detach", of_vm2());
	gets_one();
}

Test(switcher_novf, of_what_was_made)
{
	begin_incoming(0, 2);
	json_decref(attach(comes()));
	runs_here();
	until_no_vf();
	succeed("pf.set", json_pack("{s:s, s:i}", "pf", "eth0", "vfs", 2));
	until_at("passthrough");
	on_vf();
	succeed("detach", of_vm1());
	cr_assert_eq(records(), 0);
	end();
}

/* A VF of a PF that is down is no use: one that is up and has none to spare lets the guest come. To one that runs it is told so. */
Test(switcher_novf, of_several_pfs_one_that_is_up)
{
	static const char *const targets[] = { "eth0,eth2", "eth2,eth0" };

	begin_without_vf();
	fake_add_pf(h->fake, "0000:3c:00.0", "eth2", "igb", "igbvf", 8);
	cr_assert_eq(fake_sys(h->fake)->ops->write_file(fake_sys(h->fake), "/sys/bus/pci/devices/0000:3c:00.0/sriov_numvfs", "2"),
		     0);
	fake_link(h->fake, "eth2")->up = fake_link(h->fake, "eth2")->carrier = false;
	for (unsigned i = 0; i < 2; i++) {
		json_t *params = comes(), *a;

		json_object_set_new(params, "target", json_string(targets[i]));
		a = attach(params);
		cr_assert_str_eq(text_of(a, "lease.pf"), "eth0", "%s", targets[i]);
		cr_assert(json_is_null(member(a, "lease.vf")));
		json_decref(a);
		succeed("detach", of_vm1());
	}
	fake_guest_add(h, "vm3", true);
	fail("sriov.no-free-vf", EBUSY, "attach", json_pack("{s:s, s:s}", "guest", "vm3", "target", "eth0,eth2"));
	fake_link(h->fake, "eth0")->up = false;
	fail("sriov.pf-down", ENETDOWN, "attach", json_pack("{s:s, s:s}", "guest", "vm3", "target", "eth0,eth2"));
	end();
}

/* The next gangwayd knows as much. */
Test(switcher_novf, across_a_restart)
{
	begin_without_vf();
	json_decref(attach(comes()));
	fake_host_stop(h);
	fake_host_start(h);
	until_at("emulated");
	runs_here();
	until_no_vf();
	fake_host_stop(h);
	fake_host_start(h);
	cr_assert_eq(lease()->leg, LEG_EMULATED, "as recorded, before the guest was asked");
	cr_assert_eq(lease()->reason, REASON_NO_VF);
	until_no_vf();
	succeed("detach", of_vm2());
	gets_one();
}

/* What its VF has that nobody asked for, the leg it came by has from then on, too; a VLAN it cannot be given any more. */
Test(switcher_novf, leg_with_the_policy_of_the_vf)
{
	struct sys_vf *vf;

	begin_without_vf();
	come_without_vf();
	vf = fake_vf(h->fake, "eth0", 0);
	vf->spoofchk = true;
	cr_assert(!fake_source_checked(h->fake, "gwt1", SYS_EGRESS, vm1_mac));
	succeed("detach", of_vm2());
	until_at("passthrough");
	cr_assert(fake_source_checked(h->fake, "gwt1", SYS_EGRESS, vm1_mac));
	succeed("detach", of_vm1());
	cr_assert_eq(records(), 0);
	end();
}

Test(switcher_novf, no_vf_of_another_vlan)
{
	begin_without_vf();
	come_without_vf();
	fake_vf(h->fake, "eth0", 0)->vlan = 5;
	succeed("detach", of_vm2());
	until_told("sriov.no-vf-fits");
	until_no_vf();
	cr_assert(strstr(text_now("switch.error.message"), "another VLAN"), "%s", text_now("switch.error.message"));
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	end();
}

static json_t *set_state(const char *state)
{
	return json_pack("{s:s, s:{s:s}}", "vf", "eth0/vf0", "set", "state", state);
}

/* The leg is to have what the VF has that nobody asked for: with this one it would be switched off under a guest that runs on it. */
Test(switcher_novf, no_vf_that_is_switched_off)
{
	begin_without_vf();
	come_without_vf();
	fake_vf(h->fake, "eth0", 0)->state = SYS_VF_STATE_DISABLE;
	succeed("detach", of_vm2());
	until_told("sriov.no-vf-fits");
	until_no_vf();
	cr_assert(strstr(text_now("switch.error.message"), "state disable"), "%s", text_now("switch.error.message"));
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	h->d.config.rate_limit = 32;
	succeed("vf.set", set_state("auto"));
	gets_one();
}

/* Where that is what was asked for, both legs are. */
Test(switcher_novf, a_leg_that_is_switched_off_gets_one_that_is)
{
	json_t *params;

	begin_without_vf();
	params = comes();
	json_object_set_new(json_object_get(params, "policy"), "state", json_string("disable"));
	json_decref(attach(params));
	runs_here();
	cr_assert(fake_host_until(h, has_no_vf, NULL, 5000));
	fake_vf(h->fake, "eth0", 0)->state = SYS_VF_STATE_DISABLE;
	succeed("detach", of_vm2());
	until_at("passthrough");
	cr_assert_str_eq(vm1->vf, FAKE_VF0_BDF);
	end();
}

/* What was asked for holds on whichever VF it is: this one is switched on for it. */
Test(switcher_novf, a_vf_that_is_switched_on_for_it)
{
	json_t *params;

	begin_without_vf();
	params = comes();
	json_object_set_new(json_object_get(params, "policy"), "state", json_string("enable"));
	json_decref(attach(params));
	runs_here();
	until_no_vf();
	fake_vf(h->fake, "eth0", 0)->state = SYS_VF_STATE_DISABLE;
	succeed("detach", of_vm2());
	until_at("passthrough");
	on_vf();
	cr_assert_eq(fake_vf(h->fake, "eth0", 0)->state, SYS_VF_STATE_ENABLE);
	end();
}

/* The VF of another one is not its to give. */
Test(switcher_novf, ends_without)
{
	begin_without_vf();
	come_without_vf();
	succeed("detach", of_vm1());
	cr_assert_str_eq(vm1->standby, "");
	cr_assert_eq(records(), 1);
	succeed("detach", of_vm2());
	unchanged();
	end();
}

Test(switcher_novf, the_guest_ends_without)
{
	begin_without_vf();
	come_without_vf();
	fake_guest_die(vm1);
	until_leases(1);
	cr_assert_eq(records(), 1);
	succeed("detach", of_vm2());
	end();
}

/* What frees is not what it needs: it is looked for each time, and that costs the guest nothing, so it is not what the rate limit counts. */
Test(switcher_novf, is_not_kept_waiting_for_hints)
{
	begin_without_vf();
	come_without_vf();
	h->d.config.rate_limit = 2;
	for (unsigned i = 0; i < 10; i++) {
		attach_vf_free(&h->d);
		fake_host_settle(h);
		until_no_vf();
	}
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 1, "the standby alone");
	succeed("detach", of_vm2());
	gets_one();
}

/* The one that is there frees while it is looked for, a moment too late for that look. */
Test(switcher_novf, frees_while_it_is_looked_for)
{
	bool there = false;

	for (unsigned n = 0; !there; n++) {
		begin_without_vf();
		come_without_vf();
		h->d.config.rate_limit = 32;
		fake_host_send(h, "detach", of_vm2());
		for (unsigned i = 0; i < n; i++)
			turn();
		there = !lease_find(&h->d, "vm2", NULL);
		attach_vf_free(&h->d);
		until_at("passthrough");
		on_vf();
		detach_pair();
		end();
	}
}

/* A VF that cannot be had otherwise is tried again after a pause, though trying makes events that look as if one were free. */
Test(switcher_novf, is_not_tried_in_haste)
{
	unsigned calls;

	begin_without_vf();
	come_without_vf();
	succeed("detach", of_vm2());
	fake_set_iommu(h->fake, false);
	while (!lease()->sw->action)
		turn();
	fake_host_settle(h);
	calls = fake_calls(h->fake);
	for (unsigned i = 0; i < 20; i++) {
		attach_vf_free(&h->d);
		fake_host_settle(h);
	}
	cr_assert_lt(fake_calls(h->fake) - calls, 20, "%u calls", fake_calls(h->fake) - calls);
	fake_set_iommu(h->fake, true);
	until_at("passthrough");
	on_vf();
	end();
}

Test(switcher_novf, is_for_who_comes_alone)
{
	begin_without_vf();
	vm1->status = "running";
	fake_guest_update(vm1);
	fake_guest_die(vm1);
	fake_guest_run(vm1);
	fake_host_settle(h);
	fail("sriov.no-free-vf", EBUSY, "attach", pair_params("macvtap"));
	fail("guest.not-incoming", EINVAL, "attach", comes());
	succeed("detach", of_vm2());
	fail("guest.not-incoming", EINVAL, "attach", comes());
	end();
}

Test(switcher_novf, refused)
{
	json_t *params;

	begin_without_vf();
	/* that one, and no other */
	params = comes();
	json_object_set_new(params, "target", json_string("eth0/vf0"));
	fail("lease.vf-taken", EBUSY, "attach", params);
	params = comes();
	json_object_set_new(params, "standby", json_string("none"));
	fail("attach.bad-standby", EINVAL, "attach", params);
	params = comes();
	json_object_set_new(params, "prepare", json_true());
	json_object_set_new(params, "standby", json_string("auto"));
	fail("attach.bad-incoming", EINVAL, "attach", params);
	cr_assert_eq(h->d.nr_leases, 1);
	cr_assert_str_eq(vm1->standby, "");
	end();
}

/* A NIC whose VFs cannot be given the guest's MAC is no use to a pair: its emulated leg is. */
Test(switcher_novf, no_vf_can_have_its_mac)
{
	begin_incoming(1, 2);
	fake_vf(h->fake, "eth0", 0)->fields &= ~(unsigned)SYS_VF_MAC;
	before_again();
	come_without_vf();
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	cr_assert_str_eq(text_now("switch.error.code"), "policy.no-mac");
	detach_pair();
	end();
}

/* --- at every point of being given one --- */

static bool decided_with_vf(void *arg)
{
	struct lease *l = lease();

	(void)arg;
	return l && !l->op && !l->busy && l->confirmed && l->sw && is_at("passthrough");
}

/* As it is just before: vm1 runs without a VF, and the one there is, is free. */
static void begin_freed(void)
{
	begin_without_vf();
	come_without_vf();
	succeed("detach", of_vm2());
}

static void whole(const char *when)
{
	cr_assert(fake_host_until(h, decided_with_vf, NULL, 10000), "%s: leg %s, switch %s, step %s, %s", when, text_now("leg"),
		  text_now("switch.state"), text_now("switch.step"), text_now("switch.error.message"));
	on_vf();
	detach_pair();
}

Test(switcher_novf, killed_while_it_is_given_one)
{
	bool there = false;
	unsigned n, nr = 0;

	for (n = 0; !there; n++, nr++) {
		char when[40];

		begin_freed();
		for (unsigned i = 0; i < n; i++)
			turn();
		there = decided_with_vf(NULL);
		fake_host_stop(h);
		fake_host_start(h);
		snprintf(when, sizeof(when), "turn %u", n);
		whole(when);
		end();
	}
	printf("# killed at %u points\n", nr);
	cr_assert_gt(nr, 6);
}

Test(switcher_novf, the_guest_ends_while_it_is_given_one)
{
	bool there = false;

	for (unsigned n = 0; !there; n++) {
		begin_freed();
		for (unsigned i = 0; i < n; i++)
			turn();
		there = decided_with_vf(NULL);
		fake_guest_die(vm1);
		until_leases(0);
		fake_host_settle(h);
		cr_assert_eq(records(), 0, "turn %u", n);
		cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf", "turn %u", n);
		cr_assert(!to_vf() && !to_standby(), "turn %u", n);
		end();
	}
}

/* Not each of them, but with GANGWAY_EVERY_TURN in the environment. */
static unsigned next(unsigned n)
{
	return n + 1 + (getenv("GANGWAY_EVERY_TURN") ? 0 : n / 8);
}

/* What failed is undone, the emulated leg carries, and the next try succeeds. */
static void given_one_while(int num)
{
	bool hit = true;
	unsigned n, nr = 0;

	for (n = 1; hit; n = next(n), nr++) {
		char when[40];

		begin_without_vf();
		come_without_vf();
		h->d.config.rate_limit = 32;
		fake_host_send(h, "detach", of_vm2());
		while (lease_find(&h->d, "vm2", NULL))
			turn();
		fake_fail_at(h->fake, n, num);
		for (unsigned i = 0; i < 400 && !decided_with_vf(NULL) && !fake_failed(h->fake); i++)
			turn();
		hit = fake_failed(h->fake);
		fake_host_settle(h);
		fake_fail_at(h->fake, 0, 0);
		cr_assert(lease() && lease()->state == LEASE_ATTACHED, "call %u", n);
		attach_vf_free(&h->d);
		snprintf(when, sizeof(when), "call %u, %d", n, num);
		whole(when);
		end();
	}
	printf("# %d at %u of %u calls\n", num, nr, n);
	cr_assert_gt(nr, 10);
}

Test(switcher_novf, given_one_while_calls_fail)
{
	given_one_while(-EIO);
}

Test(switcher_novf, given_one_while_calls_are_refused)
{
	given_one_while(-EBUSY);
}
