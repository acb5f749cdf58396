/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attach and detach by vfio-pci, from the control socket to the fake kernel and back: what they do, and that they leave nothing. */
#include <criterion/criterion.h>

#include "attach_test.h"

Test(attach, there_and_back)
{
	struct lease *l;
	json_t *a;

	begin(2);
	succeed("monitor", NULL);
	a = attach(json_pack("{s:s, s:s, s:{s:s, s:s}}", "guest", "vm1", "target", "eth0", "policy", "mac", "52:54:00:00:00:aa",
			     "vlan", "100"));
	cr_assert_str_eq(text_of(a, "lease.state"), "attached");
	cr_assert_str_eq(text_of(a, "lease.leg"), "passthrough");
	cr_assert_str_eq(text_of(a, "lease.vf"), "eth0/vf0");
	cr_assert_str_eq(text_of(a, "lease.via"), "vfio-pci");
	cr_assert_eq(json_array_size(member(a, "warnings")), 0);
	json_decref(a);
	l = lease_find(&h->d, "vm1", NULL);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "vfio-pci");
	cr_assert_str_eq(vm1->vf, FAKE_VF0_BDF);
	cr_assert_eq(fake_vf(h->fake, "eth0", 0)->vlan, 100);
	cr_assert_eq(fake_vf(h->fake, "eth0", 0)->mac[5], 0xaa);
	cr_assert_eq(l->state, LEASE_ATTACHED);
	cr_assert_gt(h->nr_progress, 5);
	cr_assert_str_eq(h->events, "attaching>attached ");
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	cr_assert_str_eq(h->events, "attaching>attached attached>detaching detaching>gone ");
	unchanged();
	end();
}

/* The second VF of a guest, and one for another guest. */
Test(attach, a_vf_each)
{
	struct fake_guest *vm2;

	begin(2);
	vm2 = fake_guest_add(h, "vm2", true);
	before_again();
	json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0")));
	json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm2", "target", "eth0")));
	cr_assert_str_eq(vm1->vf, FAKE_VF0_BDF);
	cr_assert_str_eq(vm2->vf, FAKE_VF1_BDF);
	succeed("detach", json_pack("{s:s}", "guest", "vm2"));
	cr_assert_eq(h->d.nr_leases, 1);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "vfio-pci");
	succeed("detach", json_pack("{s:s, s:s}", "guest", "vm1", "nic", "nic0"));
	unchanged();
	end();
}

Test(attach, every_way_to_name_a_vf)
{
	static const char *const names[] = { "eth0", "eth0/vf0", FAKE_VF0_BDF, FAKE_PF_BDF "/vf0", "3b:10.0", "eth0v0" };

	begin(1);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", names[i])));
		cr_assert_str_eq(vm1->vf, FAKE_VF0_BDF);
		succeed("detach", json_pack("{s:s}", "guest", "vm1"));
		unchanged();
	}
	end();
}

Test(attach, a_dry_run_changes_nothing)
{
	json_t *a, *step;
	unsigned planned = 0;
	size_t i;

	begin(1);
	a = attach(json_pack("{s:s, s:s, s:b, s:{s:s}}", "guest", "vm1", "target", "eth0", "dry_run", 1, "policy", "vlan", "5"));
	json_array_foreach (member(a, "steps"), i, step)
		planned += !strcmp(json_string_value(json_object_get(step, "state")), "planned");
	cr_assert_geq(planned, 5, "save, bind, policy, plug, drive, publish");
	json_decref(a);
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 0);
	cr_assert_eq(h->d.nr_leases, 0);
	unchanged();
	end();
}

Test(attach, the_vmms_user_gets_the_group)
{
	char owner[64];

	if (geteuid() != 0)
		cr_skip_test("needs root to run a VMM as somebody else");
	begin(1);
	fake_guest_die(vm1);
	vm1->uid = 65534;
	fake_guest_run(vm1);
	before_again();
	json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0")));
	snprintf(owner, sizeof(owner), "owner /dev/vfio/%d: 65534:", FAKE_FIRST_GROUP + 1);
	cr_assert(snapshot_has(owner), "%s", owner);
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
}

/* No driver in the guest: the VF is plugged and works as soon as one comes. Said, and no failure. */
Test(attach, a_guest_without_driver)
{
	json_t *a;

	begin(1);
	vm1->no_driver = true;
	a = attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0"));
	cr_assert_eq(json_array_size(member(a, "warnings")), 1);
	cr_assert_str_eq(text_of(a, "lease.state"), "attached");
	cr_assert_str_eq(text_of(a, "lease.reason"), "guest-no-driver");
	json_decref(a);
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
}

Test(attach, detach_of_a_guest_that_keeps_the_vf)
{
	begin(1);
	json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0")));
	vm1->unplug = FAKE_UNPLUG_IGNORED;
	fail("vmm.unplug-timeout", ETIMEDOUT, "detach", json_pack("{s:s}", "guest", "vm1"));
	cr_assert_str_eq(text_now("state"), "attached", "nothing was taken away yet");
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "vfio-pci");
	/* the guest changes its mind later: the lease ends by itself */
	fake_guest_eject(vm1);
	until_leases(0);
	unchanged();
	end();
}

Test(attach, detach_that_is_tried_again)
{
	begin(1);
	json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0")));
	vm1->unplug = FAKE_UNPLUG_REFUSED;
	fail("vmm.unplug-refused", EBUSY, "detach", json_pack("{s:s, s:i}", "guest", "vm1", "wait_ms", 5000));
	cr_assert_str_eq(text_now("state"), "attached");
	vm1->unplug = FAKE_UNPLUG_OBEYED;
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
}

/* The kernel would wait in the unbind for ever: a group that somebody has open keeps its driver, and a second detach ends it. */
Test(attach, a_group_that_stays_open)
{
	struct sys *sys;
	char node[32];
	int fd;

	begin(1);
	sys = fake_sys(h->fake);
	json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0")));
	snprintf(node, sizeof(node), "/dev/vfio/%d", lease_find(&h->d, "vm1", NULL)->group_id);
	fd = sys->ops->open(sys, node, O_RDWR);
	cr_assert_geq(fd, 0);
	fail("vfio.group-in-use", EBUSY, "detach", json_pack("{s:s}", "guest", "vm1"));
	cr_assert_str_eq(text_now("state"), "failed");
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "vfio-pci");
	sys->ops->close(sys, fd);
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
}

static bool prepared(void *arg)
{
	(void)arg;
	return lease_find(&h->d, "vm1", NULL)->state == LEASE_PREPARED;
}

static bool attached(void *arg)
{
	(void)arg;
	return lease_find(&h->d, "vm1", NULL)->state == LEASE_ATTACHED;
}

Test(attach, prepared_for_a_guest_not_started)
{
	json_t *a;

	begin(1);
	fake_guest_die(vm1);
	fake_host_settle(h);
	before_again();
	a = attach(json_pack("{s:s, s:s, s:b, s:{s:s}}", "guest", "vm1", "target", "eth0", "prepare", 1, "policy", "mac",
			     "52:54:00:00:00:aa"));
	cr_assert_str_eq(text_of(a, "lease.state"), "prepared");
	cr_assert_eq(json_array_size(member(a, "qemu_args")), 4);
	cr_assert(strstr(json_string_value(json_array_get(member(a, "qemu_args"), 3)), FAKE_VF0_BDF));
	json_decref(a);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "vfio-pci");
	/* the guest starts with it, ends, and starts again */
	for (int i = 0; i < 2; i++) {
		strcpy(vm1->device, "gangway-nic0");
		strcpy(vm1->vf, FAKE_VF0_BDF);
		fake_guest_run(vm1);
		cr_assert(fake_host_until(h, attached, NULL, 5000));
		fake_guest_die(vm1);
		cr_assert(fake_host_until(h, prepared, NULL, 5000), "%s", text_now("state"));
	}
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
}

/* The longest name of a NIC is good for every id that is made of it. */
Test(attach, the_longest_name)
{
	static const char nic[] = "n23456789012345678901234567890123456789012345678901234567890123";
	const char *device;
	json_t *a;

	begin(1);
	json_decref(attach(json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "nic", nic)));
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	a = attach(json_pack("{s:s, s:s, s:s, s:b}", "guest", "vm1", "target", "eth0", "nic", nic, "prepare", 1));
	device = json_string_value(json_array_get(member(a, "qemu_args"), 3));
	cr_assert_eq(device[0], '{', "%s", device);
	json_decref(a);
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
}

static unsigned chassis_of(const char *nic)
{
	json_t *a = attach(json_pack("{s:s, s:s, s:s, s:b}", "guest", "vm1", "target", "eth0", "nic", nic, "prepare", 1));
	const char *port = json_string_value(json_array_get(member(a, "qemu_args"), 1)), *chassis = strstr(port, ",chassis=");
	unsigned n = chassis ? (unsigned)atoi(chassis + strlen(",chassis=")) : 0;

	json_decref(a);
	return n;
}

/* What a guest is started with stays good whatever comes and goes: a chassis number is given to one port alone. */
Test(attach, prepared_ports_have_numbers_of_their_own)
{
	static const char *const nics[] = { "a", "b", "c" };
	unsigned a, b;

	begin(3);
	fake_guest_die(vm1);
	fake_host_settle(h);
	before_again();
	cr_assert_eq(chassis_of("a"), 201);
	b = chassis_of("b");
	succeed("detach", json_pack("{s:s, s:s}", "guest", "vm1", "nic", "a"));
	a = chassis_of("a");
	cr_assert_neq(a, b);
	succeed("detach", json_pack("{s:s, s:s}", "guest", "vm1", "nic", "a"));
	/* and after a restart */
	fake_host_stop(h);
	fake_host_start(h);
	fake_host_settle(h);
	a = chassis_of("a");
	cr_assert_neq(a, b);
	b = chassis_of("c");
	cr_assert_neq(a, b);
	for (size_t i = 0; i < sizeof(nics) / sizeof(nics[0]); i++)
		succeed("detach", json_pack("{s:s, s:s}", "guest", "vm1", "nic", nics[i]));
	unchanged();
	end();
}

Test(attach, prepared_for_a_user)
{
	char owner[64];

	begin(1);
	before_again();
	json_decref(attach(json_pack("{s:s, s:s, s:b, s:s}", "guest", "vm1", "target", "eth0", "prepare", 1, "user", "nobody")));
	snprintf(owner, sizeof(owner), "owner /dev/vfio/%d: 65534:", FAKE_FIRST_GROUP + 1);
	cr_assert(snapshot_has(owner), "%s", owner);
	fail("attach.no-user", ENOENT, "attach",
	     json_pack("{s:s, s:s, s:b, s:s, s:s}", "guest", "vm1", "target", "eth0", "prepare", 1, "user", "no-such-user", "nic",
		       "n2"));
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
}
