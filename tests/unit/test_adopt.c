/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a gangwayd makes of the leases that a former one recorded, in this boot or another: shown as recorded, then as found. */
#include <criterion/criterion.h>

#include "attach_test.h"

static json_t *hot(void)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s}}", "guest", "vm1", "target", "eth0", "policy", "mac", "52:54:00:00:00:aa",
			 "vlan", "100");
}

static void set_numvfs(const char *n)
{
	struct sys *sys = fake_sys(h->fake);

	cr_assert_eq(sys->ops->write_file(sys, "/sys/bus/pci/devices/" FAKE_PF_BDF "/sriov_numvfs", n), 0);
}

static void is_adopted(const char *state, const char *leg, bool confirmed)
{
	json_t *a = fake_host_call(h, "status", NULL), *l = json_array_get(member(a, "result.leases"), 0);

	cr_assert_str_eq(text_of(l, "state"), state);
	cr_assert_str_eq(text_of(l, "leg"), leg);
	cr_assert_eq(json_is_true(member(l, "confirmed")), confirmed, "%s", text_of(l, "why"));
	cr_assert_eq(strstr(text_of(l, "why"), "has not confirmed") != NULL, !confirmed, "%s", text_of(l, "why"));
	json_decref(a);
}

/* What the record says is shown from the first moment on, as what it is; then what the guest says. */
Test(adopt, adopted_as_recorded)
{
	begin(2);
	json_decref(attach(hot()));
	is_adopted("attached", "passthrough", true);
	fake_host_stop(h);
	fake_host_start(h);
	cr_assert_eq(TAILQ_FIRST(&h->d.leases)->state, LEASE_ATTACHED, "at once");
	cr_assert_not(TAILQ_FIRST(&h->d.leases)->confirmed);
	cr_assert(fake_host_until(h, decided, NULL, 5000));
	is_adopted("attached", "passthrough", true);
	/* the guest gave it back while nobody looked */
	fake_host_stop(h);
	fake_guest_eject(vm1);
	fake_host_start(h);
	cr_assert_eq(TAILQ_FIRST(&h->d.leases)->state, LEASE_ATTACHED);
	until_leases(0);
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}

/* A prepared lease stays one, whether its guest runs with or without the VF, or not at all. */
Test(adopt, a_prepared_lease_is_confirmed)
{
	begin(2);
	fake_guest_die(vm1);
	fake_host_settle(h);
	json_decref(attach(json_pack("{s:s, s:s, s:b}", "guest", "vm1", "target", "eth0", "prepare", 1)));
	fake_host_stop(h);
	fake_host_start(h);
	cr_assert_not(TAILQ_FIRST(&h->d.leases)->confirmed);
	cr_assert(fake_host_until(h, decided, NULL, 5000), "%s", text_now("state"));
	is_adopted("prepared", "none", true);
	fake_guest_run(vm1);
	fake_host_stop(h);
	fake_host_start(h);
	cr_assert(fake_host_until(h, decided, NULL, 5000), "%s", text_now("state"));
	is_adopted("prepared", "none", true);
	end();
}

/* Nothing is undone while it is not known whether the guest has the VF. */
Test(adopt, a_guest_that_does_not_answer_keeps_its_vf)
{
	begin(2);
	json_decref(attach(hot()));
	fake_host_stop(h);
	vm1->hangs_at = "qom-list";
	fake_guest_update(vm1);
	fake_host_start(h);
	fake_host_settle(h);
	cr_assert_eq(h->d.nr_leases, 1);
	is_adopted("attached", "passthrough", false);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "vfio-pci");
	vm1->hangs_at = NULL;
	fake_guest_update(vm1);
	fake_host_stop(h);
	fake_host_start(h);
	cr_assert(fake_host_until(h, decided, NULL, 5000));
	is_adopted("attached", "passthrough", true);
	end();
}

Test(adopt, prepared_survives_and_another_boot_prepares_again)
{
	json_t *a;

	begin(2);
	fake_guest_die(vm1);
	fake_host_settle(h);
	before_again();
	a = attach(json_pack("{s:s, s:s, s:b, s:s, s:s, s:{s:s, s:s}}", "guest", "vm1", "target", "eth0/vf1", "prepare", 1, "nic",
			     "fast", "user", "nobody", "policy", "vlan", "100", "max_tx_rate", "50"));
	json_decref(a);
	fake_host_stop(h);
	fake_host_start(h);
	fake_host_settle(h);
	cr_assert_str_eq(text_now("state"), "prepared");
	cr_assert_str_eq(driver_of(FAKE_VF1_BDF), "vfio-pci");
	/* the host boots: VFs as fresh, another boot id, the same database */
	fake_host_stop(h);
	set_numvfs("0");
	set_numvfs("2");
	h->boot_id = "boot-2";
	fake_host_start(h);
	fake_host_settle(h);
	cr_assert_str_eq(text_now("state"), "prepared");
	cr_assert_str_eq(text_now("nic"), "fast");
	cr_assert_str_eq(text_now("vf"), "eth0/vf1");
	cr_assert_str_eq(driver_of(FAKE_VF1_BDF), "vfio-pci");
	cr_assert_eq(fake_vf(h->fake, "eth0", 1)->vlan, 100);
	cr_assert_eq(fake_vf(h->fake, "eth0", 1)->max_tx_rate, 50);
	cr_assert(snapshot_has(": 65534:"), "for the same user");
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
}

/* All of them, of one guest too. */
Test(adopt, another_boot_prepares_each_again)
{
	begin(3);
	fake_guest_die(vm1);
	fake_host_settle(h);
	before_again();
	for (int i = 0; i < 3; i++)
		json_decref(attach(json_pack("{s:s, s:s, s:b}", "guest", "vm1", "target", "eth0", "prepare", 1)));
	fake_host_stop(h);
	set_numvfs("0");
	set_numvfs("3");
	h->boot_id = "boot-2";
	fake_host_start(h);
	fake_host_settle(h);
	cr_assert_eq(h->d.nr_leases, 3, "%u leases", h->d.nr_leases);
	for (int i = 0; i < 3; i++) {
		char nic[8];

		snprintf(nic, sizeof(nic), "nic%d", i);
		succeed("detach", json_pack("{s:s, s:s}", "guest", "vm1", "nic", nic));
	}
	unchanged();
	end();
}

Test(adopt, another_boot_leaves_nothing_of_a_hot_lease)
{
	begin(2);
	json_decref(attach(hot()));
	fake_host_stop(h);
	strcpy(vm1->device, "");
	set_numvfs("0");
	set_numvfs("2");
	h->boot_id = "boot-2";
	fake_host_start(h);
	fake_host_settle(h);
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}
