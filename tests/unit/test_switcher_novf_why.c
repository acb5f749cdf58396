/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a lease has no VF, and what makes it get one after all: what fails on the way, and what happens on the host meanwhile. */
#include <criterion/criterion.h>

#include "host_events.h"
#include "novf_test.h"

/* the disk is full: neither the record nor its undo can be written. */
Test(switcher_novf_why, disk_full)
{
	begin_without_vf();
	come_without_vf();
	succeed("detach", of_vm2());
	while (!lease()->sw->action)
		turn();
	sql("CREATE TRIGGER full BEFORE INSERT ON lease BEGIN SELECT RAISE(ABORT, 'full'); END");
	fake_host_settle(h);
	sql("DROP TRIGGER full");
	cr_assert(lease_lacks_vf(lease()), "it is taken for one that has %s", lease()->vf_bdf);
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

/* the operator asks for what has failed before, with the same error. */
Test(switcher_novf_why, switch_is_answered_once_more)
{
	json_int_t id;
	json_t *a;

	begin_without_vf();
	come_without_vf();
	fake_set_iommu(h->fake, false);
	succeed("detach", of_vm2());
	until_told("vfio.no-iommu");
	id = fake_host_send(h, "switch", leg("passthrough"));
	for (unsigned i = 0; i < 40 && lease()->sw->choice_due; i++)
		turn();
	fake_host_settle(h);
	for (unsigned i = 0; i < 6; i++)
		turn(), fake_host_settle(h);
	cr_assert_null(lease()->sw->req, "nobody has answered");
	a = fake_host_wait(h, id);
	json_decref(a);
	end();
}

/* Without the word incoming the standby is not insisted upon, and yet it is what the guest comes by. */
Test(switcher_novf_why, vmm_refuses_the_standby)
{
	begin_without_vf();
	vm1->standby_error = "no";
	fake_guest_update(vm1);
	fail("vmm.refused", EIO, "attach", pair_params("auto"));
	cr_assert_null(lease(), "a lease with neither a VF nor an emulated leg");
	cr_assert_eq(records(), 1);
	end();
}

/* The same where there is a VF. */
Test(switcher_novf_why, vmm_refuses_the_standby_with_a_vf)
{
	begin_incoming(1, 2);
	vm1->standby_error = "no";
	fake_guest_update(vm1);
	fail("vmm.refused", EIO, "attach", pair_params("auto"));
	unchanged();
	end();
}

/* what is undone with the VF is the leg's policy, too. */
Test(switcher_novf_why, leg_policy_is_undone)
{
	struct sys_vf *vf;

	begin_without_vf();
	come_without_vf();
	vf = fake_vf(h->fake, "eth0", 0);
	vf->spoofchk = true;
	fake_refuse_vf_fields(h->fake, "eth0", SYS_VF_RATE, "no");
	succeed("detach", of_vm2());
	until_told("sriov.vf-set-refused");
	fake_host_settle(h);
	cr_assert(to_standby(), "a guest that was on its emulated leg is cut off");
	cr_assert(!fake_source_checked(h->fake, "gwt1", SYS_EGRESS, vm1_mac));
	end();
}

/* the first that is free is not the only one. */
Test(switcher_novf_why, another_vf_would_do)
{
	begin_incoming(0, 2);
	come_without_vf();
	h->d.config.rate_limit = 32;
	succeed("pf.set", json_pack("{s:s, s:i}", "pf", "eth0", "vfs", 2));
	fake_vf(h->fake, "eth0", 0)->vlan = 5;
	until_at("passthrough");
	end();
}

static void vfio_pci(bool loaded)
{
	char a[256], b[256];

	snprintf(a, sizeof(a), "%s/sys/bus/pci/drivers/vfio-pci", fake_root(h->fake));
	snprintf(b, sizeof(b), "%s/vfio-pci-off", fake_root(h->fake));
	cr_assert_eq(loaded ? rename(b, a) : rename(a, b), 0);
}

/* a VF is free, and what keeps it from being had ends without an event. */
Test(switcher_novf_why, driver_is_loaded_later)
{
	begin_incoming(0, 2);
	vfio_pci(false);
	come_without_vf();
	succeed("pf.set", json_pack("{s:s, s:i}", "pf", "eth0", "vfs", 2));
	until_told("vfio.no-driver");
	fake_host_settle(h);
	vfio_pci(true);
	cr_assert(fake_host_until(h, is_at, "passthrough", 8000), "reason %s, waits for %s", text_now("reason"),
		  text_now("switch.waits_for"));
	end();
}

/* any interface of the host that goes up or down. */
Test(switcher_novf_why, other_interfaces_come_and_go)
{
	unsigned calls;

	begin_without_vf();
	come_without_vf();
	cr_assert_eq(host_events_new(&h->d, &(struct err){ 0 }), 0);
	fake_add_interface(h->fake, "veth0", (uint8_t[6]){ 2, 0, 0, 0, 0, 1 });
	calls = fake_calls(h->fake);
	for (int i = 0; i < 50; i++) {
		fake_emit_link(h->fake, "veth0");
		fake_host_settle(h);
		cr_assert(fake_host_until(h, has_no_vf, NULL, 5000), "%d: %s %s %s", i, text_now("switch.state"),
			  text_now("switch.waits_for"), text_now("switch.step"));
	}
	cr_assert_lt(fake_calls(h->fake) - calls, 200, "%u calls: it is looked for a VF each time", fake_calls(h->fake) - calls);
	end();
}

static void begin_of_none(void)
{
	begin_incoming(0, 2);
	cr_assert_eq(host_events_new(&h->d, &(struct err){ 0 }), 0);
	come_without_vf();
}

/*
 * VFs are made, and the kernel tells of each while pf.set is still at it: writing sriov_numvfs takes as long as all their drivers' probes.
 * What call_pf_set() and nic_job_done() do in the loop, with the write in between.
 */
static void made_while_told(unsigned hints)
{
	begin_of_none();
	for (unsigned i = 0; i < hints; i++) {
		fake_emit_link(h->fake, "eth0");
		fake_host_settle(h);
		cr_assert(fake_host_until(h, has_no_vf, NULL, 5000));
	}
	h->d.nr_numvfs++;
	cr_assert_eq(h->d.sys->ops->write_file(h->d.sys, "/sys/bus/pci/devices/" FAKE_PF_BDF "/sriov_numvfs", "2"), 0);
	(void)fake_host_until(h, was_told, "sriov.busy", 300);
	h->d.nr_numvfs--;
	attach_vf_free(&h->d);
	fake_host_settle(h);
	until_at("passthrough");
	end();
}

Test(switcher_novf_why, told_of_vfs_before_pf_set_has_ended)
{
	made_while_told(0);
}

Test(switcher_novf_why, told_of_vfs_before_pf_set_has_ended_after_hints)
{
	made_while_told(12);
}

/* of a VF that is there and cannot be had, the leg takes nothing: it would be in its VLAN for good. */
Test(switcher_novf_why, nothing_of_a_vf_that_is_forgone)
{
	struct sys_link *link;

	begin_incoming(1, 2);
	vfio_pci(false);
	fake_vf(h->fake, "eth0", 0)->vlan = 5;
	fake_vf(h->fake, "eth0", 0)->state = SYS_VF_STATE_DISABLE;
	json_decref(attach(comes()));
	cr_assert_str_eq(lease()->vf_bdf, "");
	link = fake_link(h->fake, "gwv0");
	cr_assert(!link && to_standby(), "its leg is in a VLAN that nobody asked for, or dark");
	end();
}
