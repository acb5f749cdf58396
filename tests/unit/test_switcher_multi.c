/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest with two NICs, each a pair: migrate/multi/out and migrate/multi/in of QEMU's tests/qtest/virtio-net-failover.c (the list of all is
 * in test_switcher_failover.c), and what follows from there.
 */
#include <criterion/criterion.h>

#include "failover_test.h"

static const uint8_t mac1[SYS_MAC_LEN] = { 0x52, 0x54, 0, 0, 0, 0xbb };

static struct lease *nic(unsigned i)
{
	return lease_find(&h->d, "vm1", i ? "nic1" : "nic0");
}

static bool nic_leads(unsigned i, bool vf, bool standby)
{
	return !memcmp(fake_vf(h->fake, "eth0", i)->mac, i ? mac1 : vm1_mac, SYS_MAC_LEN) == vf &&
	       fake_hears(h->fake, "eth0", i ? mac1 : vm1_mac) == standby;
}

static bool both_are_at(void *state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct lease *l = nic(i);
		json_t *j = l ? switcher_to_json(l) : NULL;
		bool is = l && l->sw && !l->busy && !strcmp(text_of(j, "state"), state);

		json_decref(j);
		if (!is)
			return false;
	}
	return true;
}

static void both_on_their_vfs(void)
{
	cr_assert(fake_host_until(h, both_are_at, "passthrough", 5000), "%s, %s", lease_leg_to_string(nic(0)->leg),
		  lease_leg_to_string(nic(1)->leg));
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(nic(i)->leg, LEG_PASSTHROUGH, "NIC %u", i);
		cr_assert(nic_leads(i, true, false), "NIC %u", i);
		cr_assert_str_eq(vm1->nics[i].vf, nic(i)->vf_bdf);
	}
}

static void both_on_their_standbys_for(enum lease_reason first, enum lease_reason second)
{
	cr_assert(fake_host_until(h, both_are_at, "emulated", 5000));
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(nic(i)->leg, LEG_EMULATED, "NIC %u", i);
		cr_assert_eq(nic(i)->reason, i ? second : first, "NIC %u: %s", i, lease_reason_to_string(nic(i)->reason));
		cr_assert(nic_leads(i, false, true), "NIC %u", i);
	}
}

static void both_on_their_standbys(enum lease_reason reason)
{
	both_on_their_standbys_for(reason, reason);
}

static void attach_two(void)
{
	json_decref(attach(pair_params("macvtap")));
	json_decref(attach(json_pack("{s:s, s:s, s:s, s:s, s:{s:s}}", "guest", "vm1", "target", "eth0", "nic", "nic1", "standby",
				     "macvtap", "policy", "mac", "52:54:00:00:00:bb")));
}

static void begin_two(void)
{
	begin_pair(false);
	fake_guest_die(vm1);
	vm1->ports = 4;
	fake_guest_run(vm1);
	before_again();
	attach_two();
	both_on_their_vfs();
	from_now_on();
}

static void detach_two(void)
{
	succeed("detach", json_pack("{s:s, s:s}", "guest", "vm1", "nic", "nic1"));
	succeed("detach", json_pack("{s:s, s:s}", "guest", "vm1", "nic", "nic0"));
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}

static bool both_lead_to_both(void *arg)
{
	(void)arg;
	return nic_leads(0, true, true) && nic_leads(1, true, true) && !nic(0)->busy && !nic(1)->busy;
}

/* QEMU waits for both; one that has let go first waits with it. */
static void both_are_asked(void)
{
	migration("setup");
	asks_to_unplug("gangway-nic1");
	asks_to_unplug("gangway-nic0");
	migration("wait-unplug");
	cr_assert(fake_host_until(h, both_lead_to_both, NULL, 5000));
	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(nic(i)->leg, LEG_PASSTHROUGH, "NIC %u", i);
	nothing_sent("wait-unplug");
}

Test(switcher_multi, out)
{
	begin_two();
	both_are_asked();
	fake_guest_drives(vm1, false);
	migration("active");
	both_on_their_standbys(REASON_MIGRATION);
	completes();
	is_left_alone();
}

Test(switcher_multi, abort)
{
	begin_two();
	both_are_asked();
	fake_guest_drives(vm1, false);
	migration("active");
	both_on_their_standbys(REASON_MIGRATION);
	migration("cancelling");
	migration("cancelled");
	fake_guest_drives(vm1, true);
	both_on_their_vfs();
	nothing_sent("cancelled");
	detach_two();
}

/* One is on its standby by the operator's word, and stays there: the other's migration is nothing to it, though QEMU waits for that. */
Test(switcher_multi, one_is_off_by_order)
{
	begin_two();
	succeed("switch", json_pack("{s:s, s:s, s:s}", "guest", "vm1", "nic", "nic1", "leg", "emulated"));
	from_now_on();
	migration("setup");
	asks_to_unplug("gangway-nic0");
	migration("wait-unplug");
	cr_assert_eq(nic(0)->leg, LEG_PASSTHROUGH);
	fake_guest_drives(vm1, false);
	migration("active");
	both_on_their_standbys_for(REASON_MIGRATION, REASON_OPERATOR);
	migration("cancelling");
	migration("cancelled");
	fake_guest_drives(vm1, true);
	while (nic(0)->leg != LEG_PASSTHROUGH || nic(0)->busy)
		turn();
	cr_assert_eq(nic(1)->leg, LEG_EMULATED);
	cr_assert_eq(nic(1)->reason, REASON_OPERATOR);
	cr_assert(nic_leads(1, false, true));
	nothing_sent("cancelled");
	succeed("switch", json_pack("{s:s, s:s, s:s}", "guest", "vm1", "nic", "nic1", "leg", "passthrough"));
	both_on_their_vfs();
	detach_two();
}

/* What QEMU holds of both when a snapshot has ended comes back with one migration that fails. */
Test(switcher_multi, snapshot)
{
	begin_two();
	switcher_snapshot(&h->d, "vm1", true);
	both_are_asked();
	fake_guest_drives(vm1, false);
	migration("active");
	both_on_their_standbys(REASON_SNAPSHOT);
	migration("completed");
	both_on_their_vfs();
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_del"), 0);
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 4);
	cr_assert_leq(fake_qmp_count(vm1->peer, "migrate"), 2);
	detach_two();
}

Test(switcher_multi, in)
{
	begin_incoming(2, 4);
	attach_two();
	from_now_on();
	migration("setup");
	migration("active");
	negotiates("gangway-nic0-standby");
	negotiates("gangway-nic1-standby");
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 2);
	nothing_sent("active");
	run_state("running");
	migration("completed");
	fake_qmp_event(vm1->peer, "RESUME", NULL);
	both_on_their_vfs();
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 4);
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_del"), 0);
	detach_two();
}
