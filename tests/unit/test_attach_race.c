/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attaches that meet: of the same guest, the same VF, the same MAC, and the number of VFs changed under them. */
#include <criterion/criterion.h>

#include "attach_test.h"

Test(attach_race, twice)
{
	begin(2);
	json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0")));
	fail("lease.exists", EEXIST, "attach", json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0"));
	fail("lease.exists", EEXIST, "attach", json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "nic", "nic0"));
	/* with a name of its own it is wanted, but the only VF asked for is taken */
	fail("lease.vf-taken", EBUSY, "attach", json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0/vf0", "nic", "n2"));
	fail("guest.has-lease", EBUSY, "guest.remove", json_pack("{s:s}", "name", "vm1"));
	fail("sriov.vfs-leased", EBUSY, "pf.set", json_pack("{s:s, s:i}", "pf", "eth0", "vfs", 4));
	fail("sriov.vfs-leased", EBUSY, "pf.set", json_pack("{s:s, s:i}", "pf", "eth0", "vfs", 0));
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	fail("lease.none", ENOENT, "detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
}

static unsigned count_errors(json_t *a, const char *code)
{
	return !strcmp(text_of(a, "error.data.code"), code);
}

Test(attach_race, two_at_once)
{
	json_int_t ids[3];
	json_t *a[3];

	begin(2);
	fake_guest_add(h, "vm2", true);
	before_again();
	ids[0] = fake_host_send(h, "attach", json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0/vf0"));
	ids[1] = fake_host_send(h, "attach", json_pack("{s:s, s:s}", "guest", "vm2", "target", "eth0/vf0"));
	ids[2] = fake_host_send(h, "attach", json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0/vf1", "nic", "n2"));
	for (int i = 0; i < 3; i++)
		a[i] = fake_host_wait(h, ids[i]);
	cr_assert_eq(count_errors(a[0], "lease.vf-taken") + count_errors(a[1], "lease.vf-taken"), 1);
	cr_assert_eq(!!member(a[0], "result") + !!member(a[1], "result"), 1, "one has it");
	cr_assert_str_eq(text_of(a[2], "error.data.code"), "lease.busy");
	for (int i = 0; i < 3; i++)
		json_decref(a[i]);
	succeed("detach", json_pack("{s:s}", "guest", TAILQ_FIRST(&h->d.leases)->guest));
	unchanged();
	end();
}

/* Two guests are to get the same MAC at the same time: each VF looked free of it. */
Test(attach_race, one_mac_for_two_at_once)
{
	json_int_t ids[2];
	json_t *a[2];
	unsigned refused = 0;

	begin(2);
	fake_guest_add(h, "vm2", true);
	before_again();
	for (int i = 0; i < 2; i++)
		ids[i] = fake_host_send(h, "attach",
					json_pack("{s:s, s:s, s:{s:s}}", "guest", i ? "vm2" : "vm1", "target", "eth0", "policy",
						  "mac", "52:54:00:00:00:aa"));
	for (int i = 0; i < 2; i++) {
		a[i] = fake_host_wait(h, ids[i]);
		refused += count_errors(a[i], "policy.mac-in-use");
		json_decref(a[i]);
	}
	cr_assert_eq(refused, 1);
	succeed("detach", json_pack("{s:s}", "guest", TAILQ_FIRST(&h->d.leases)->guest));
	unchanged();
	end();
}

/* Either may be first, and both come through when one is quick enough; never is a VF taken away from the other's hands. */
Test(attach_race, pf_set_while_an_attach_is_under_way)
{
	static const char *const too_late[] = { "sriov.busy", "sriov.no-free-vf", "sriov.no-vfs" };
	json_int_t attaching, setting;
	json_t *a, *s;
	bool known = false;

	begin(2);
	attaching = fake_host_send(h, "attach", json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0"));
	setting = fake_host_send(h, "pf.set", json_pack("{s:s, s:i}", "pf", "eth0", "vfs", 4));
	a = fake_host_wait(h, attaching);
	s = fake_host_wait(h, setting);
	cr_assert(member(a, "result") || member(s, "result"));
	if (!member(s, "result"))
		cr_assert_str_eq(text_of(s, "error.data.code"), "sriov.vfs-leased");
	if (member(a, "result")) {
		cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "vfio-pci");
		succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	} else {
		for (size_t i = 0; i < sizeof(too_late) / sizeof(too_late[0]); i++)
			known = known || !strcmp(text_of(a, "error.data.code"), too_late[i]);
		cr_assert(known, "%s", text_of(a, "error.data.code"));
	}
	cr_assert_eq(h->d.nr_leases, 0);
	succeed("pf.set", json_pack("{s:s, s:i}", "pf", "eth0", "vfs", 2));
	json_decref(a);
	json_decref(s);
	end();
}

/* Each method says how it is called with a NIC. */
static void which(const char *method, json_t *more, const char *how)
{
	json_t *params = json_pack("{s:s}", "guest", "vm1"), *a;
	char hint[128];

	json_object_update(params, more);
	a = fake_host_call(h, method, params);
	snprintf(hint, sizeof(hint), "gangway %s; `gangway status vm1` names them", how);
	cr_assert_str_eq(text_of(a, "error.data.code"), "lease.ambiguous");
	cr_assert_str_eq(text_of(a, "error.message"), "guest vm1: it has 2 VFs: which one?");
	cr_assert_str_eq(text_of(a, "error.data.hint"), hint);
	json_decref(more);
	json_decref(a);
}

Test(attach_race, which_nic)
{
	begin(2);
	json_decref(attach(json_pack("{s:s, s:s, s:b, s:s}", "guest", "vm1", "target", "eth0", "prepare", 1, "nic", "a")));
	json_decref(attach(json_pack("{s:s, s:s, s:b, s:s}", "guest", "vm1", "target", "eth0", "prepare", 1, "nic", "b")));
	which("detach", json_object(), "detach vm1 NIC");
	which("switch", json_pack("{s:s}", "leg", "emulated"), "switch vm1 NIC LEG");
	which("memory.set", json_pack("{s:s}", "memory", "pin"), "memory set vm1 NIC POLICY");
	succeed("detach", json_pack("{s:s, s:s}", "guest", "vm1", "nic", "a"));
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
}
