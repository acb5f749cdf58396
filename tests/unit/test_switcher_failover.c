/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cases of QEMU's tests/qtest/virtio-net-failover.c, by their names there, from a whole gangwayd's side: what it sends to a VMM that
 * answers and tells of events like QEMU, what it must not send, which leg carries, and that the VF comes back. (test_migration.c has the
 * same with the switch alone, and times of hours.)
 *
 *	params/error/id, params/error/pcie	refused; sent_in_order: it has no cause to
 *	params/on, params/enabled		hidden_until_negotiated, negotiated_after_it_was_given_up
 *	params/guest_off			guest_off_out; test_switcher_guest.c: without_failover
 *	params/off, params/on_mismatch		sent_in_order: gangway plugs the standby with failover=on, and the VF names it. A VMM
 *						without it: test_switcher.c, attach_that_fails_takes_the_standby_away
 *	hotplug/1, hotplug/2			sent_in_order
 *	hotplug/1_reverse, hotplug/2_reverse	never in that order: sent_in_order; negotiated_with_the_vf_in
 *	migrate/on/out				out
 *	migrate/on/in				comes, row "on/in"; the source is not asked: so is migrate/off/in
 *	migrate/off/out				off_out
 *	migrate/off/abort			test_switcher_abort.c: aborted, row "off/abort"
 *	migrate/guest_off/out			guest_off_out
 *	migrate/guest_off/in			comes, row "guest_off/in"
 *	migrate/guest_off/abort			guest_off_abort
 *	migrate/abort/wait-unplug		test_switcher_abort.c: aborted, row of this name; comes_back_at_once, across_a_restart, unheard
 *	migrate/abort/active			test_switcher_abort.c: aborted, rows of this name
 *	migrate/abort/timeout			test_switcher_abort.c: aborted, row of this name; keeps_its_vf_past_the_deadline
 *	migrate/multi/out, migrate/multi/in	test_switcher_multi.c: out, in, and abort, snapshot
 */
#include <criterion/criterion.h>

#include "failover_test.h"

/* --- params, hotplug --- */

/* What QEMU refuses: said in its words, and all of it is undone. */
Test(switcher_failover, refused)
{
	static const struct {
		const char *words, *code;
		int num;
	} rows[] = {
		{ "Device with failover_pair_id needs to have id", "vmm.refused", EIO },
		{ "Bus 'pcie.0' does not support hotplugging", "vmm.no-hotplug", EOPNOTSUPP },
		{ "Duplicate device ID 'gangway-nic0'", "vmm.duplicate-id", EEXIST },
		{ "Cannot attach more than one primary device to 'gangway-nic0-standby': 'a' and 'b'", "vmm.other-primary",
		  EBUSY },
	};

	begin_pair(false);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		vm1->add_error = rows[i].words;
		fake_guest_update(vm1);
		fail(rows[i].code, rows[i].num, "attach", pair_params("macvtap"));
		cr_assert_str_eq(vm1->standby, "");
		cr_assert_str_eq(vm1->tap, "");
		cr_assert_eq(records(), 0);
		unchanged();
	}
	end();
}

/* The standby first, then the VF that names it; both with an id, on a root port each, not on pcie.0. */
Test(switcher_failover, sent_in_order)
{
	static const char *const standby[] = { "\"driver\": \"virtio-net-pci\"", "\"failover\": true",
					       "\"id\": \"gangway-nic0-standby\"", "\"bus\": \"rp1\"" };
	static const char *const vf[] = { "\"driver\": \"vfio-pci\"", "\"failover_pair_id\": \"gangway-nic0-standby\"",
					  "\"id\": \"gangway-nic0\"", "\"bus\": \"rp2\"" };

	begin_attached();
	for (size_t i = 0; i < sizeof(vf) / sizeof(vf[0]); i++) {
		const char *first = fake_qmp_args(vm1->peer, "device_add", 0);
		const char *second = fake_qmp_args(vm1->peer, "device_add", 1);

		cr_assert(strstr(first, standby[i]), "%s: %s", standby[i], first);
		cr_assert(strstr(second, vf[i]), "%s: %s", vf[i], second);
	}
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 2);
	detach_pair();
	end();
}

/* With the VF there already: the guest's virtio driver has just started later, or anew. */
Test(switcher_failover, negotiated_with_the_vf_in)
{
	begin_attached();
	negotiates("gangway-nic0-standby");
	negotiates("another");
	on_vf();
	nothing_sent("negotiated");
	detach_pair();
	end();
}

/* Plugged, and no such device until the guest's virtio driver has taken failover; then QEMU plugs it. */
Test(switcher_failover, hidden_until_negotiated)
{
	begin_pair(false);
	h->d.config.guest_timeout_ms = 300;
	vm1->no_failover = true;
	json_decref(attach(pair_params("macvtap")));
	cr_assert_str_eq(text_now("leg"), "emulated");
	while (strcmp(text_now("switch.step"), "await-driver") != 0)
		turn();
	cr_assert(to_standby(), "it carries meanwhile");
	cr_assert_str_eq(vm1->device, "");
	from_now_on();
	fake_guest_replug(vm1);
	negotiates("gangway-nic0-standby");
	until_at("passthrough");
	on_vf();
	nothing_sent("hidden, then plugged by QEMU itself");
	detach_pair();
	end();
}

/* QEMU remembers the VF that it hides, whatever is asked of it: it plugs it when the guest is there at last. */
Test(switcher_failover, negotiated_after_it_was_given_up)
{
	begin_pair(false);
	vm1->no_failover = true;
	json_decref(attach(pair_params("macvtap")));
	cr_assert(fake_host_until(h, has_reason, "guest-no-driver", 5000));
	until_at("emulated");
	cr_assert(!to_vf() && to_standby());
	from_now_on();
	fake_guest_replug(vm1);
	negotiates("gangway-nic0-standby");
	until_at("passthrough");
	on_vf();
	nothing_sent("plugged by QEMU itself");
	detach_pair();
	end();
}

/* --- out --- */

/* Both legs are led to while QEMU waits for the guest, and nobody but QEMU asks it for anything. */
Test(switcher_failover, out)
{
	begin_attached();
	migration("setup");
	asks_to_unplug("gangway-nic0");
	migration("wait-unplug");
	until_both();
	cr_assert_str_eq(text_now("leg"), "passthrough");
	cr_assert_str_eq(text_now("switch.state"), "to-emulated");
	cr_assert_str_eq(text_now("switch.step"), "unplug");
	cr_assert_str_eq(text_now("switch.hold"), "the VMM asks the guest to let go");
	nothing_sent("wait-unplug");
	fake_guest_drives(vm1, false);
	migration("active");
	until_at("emulated");
	cr_assert_str_eq(text_now("leg"), "emulated");
	cr_assert_str_eq(text_now("reason"), "migration");
	cr_assert(!to_vf() && to_standby());
	migration("device");
	completes();
	is_left_alone();
}

/* QEMU does not know the two as a pair: it copies at once, and the guest has its VF to the end. */
Test(switcher_failover, off_out)
{
	begin_attached();
	migration("setup");
	migration("active");
	until_both();
	cr_assert_str_eq(text_now("leg"), "passthrough");
	nothing_sent("active");
	completes();
	is_left_alone();
}

/* The guest does not know failover: it has no VF that it could let go. */
static void begin_guest_off(void)
{
	begin_pair(false);
	vm1->no_failover = true;
	json_decref(attach(pair_params("macvtap")));
	cr_assert(fake_host_until(h, has_reason, "guest-no-driver", 5000));
	until_at("emulated");
	from_now_on();
}

Test(switcher_failover, guest_off_out)
{
	begin_guest_off();
	migration("setup");
	migration("active");
	until_at("emulated");
	cr_assert(!to_vf() && to_standby());
	cr_assert_str_eq(text_now("reason"), "migration");
	run_for(1200); /* it would be tried again about now */
	nothing_sent("active");
	completes();
	is_left_alone();
}

Test(switcher_failover, guest_off_abort)
{
	begin_guest_off();
	migration("setup");
	migration("active");
	migration("cancelling");
	nothing_sent("cancelling");
	migration("cancelled");
	cr_assert(to_standby());
	/* it is tried again, as without a migration; and when the guest can, it has it */
	vm1->no_failover = false;
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

/* --- in --- */

static const struct comes {
	const char *name;
	bool negotiates;
	const char *end; /* "passthrough", or stays on its standby */
} comes[] = {
	{ "on/in", true, "passthrough" },
	{ "guest_off/in", false, "emulated" },
};

/* No VF for a guest that is not here yet, whatever its VMM tells of it; one when it runs. */
Test(switcher_failover, comes)
{
	for (size_t i = 0; i < sizeof(comes) / sizeof(comes[0]); i++) {
		const struct comes *c = &comes[i];

		begin_incoming(2, 2);
		vm1->no_failover = !c->negotiates;
		json_decref(attach(pair_params("macvtap")));
		from_now_on();
		migration("setup");
		migration("active");
		if (c->negotiates)
			negotiates("gangway-nic0-standby");
		cr_assert_str_eq(text_now("leg"), "emulated");
		cr_assert_str_eq(text_now("reason"), "migration");
		cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 1, "%s", c->name);
		nothing_sent(c->name);
		run_state("running");
		migration("completed");
		fake_qmp_event(vm1->peer, "RESUME", NULL);
		if (c->negotiates) {
			until_at(c->end);
			on_vf();
		} else {
			cr_assert(fake_host_until(h, has_reason, "guest-no-driver", 5000));
			until_at(c->end);
			cr_assert(!to_vf() && to_standby());
		}
		cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 2, "%s", c->name);
		cr_assert(strstr(fake_qmp_args(vm1->peer, "device_add", 1), "\"failover_pair_id\": \"gangway-nic0-standby\""));
		cr_assert_eq(fake_qmp_count(vm1->peer, "migrate"), 0);
		detach_pair();
		end();
	}
}
