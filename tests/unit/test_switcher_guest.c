/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest, its VMM, the host and the operator do to a lease with a standby, outside of a plain switch. */
#include <criterion/criterion.h>

#include "faults.h"
#include "host_events.h"
#include "switcher_test.h"

static void restart(void)
{
	fake_host_stop(h);
	fake_host_start(h);
}

static bool has_reason(void *reason)
{
	struct lease *l = lease();
	const char *is = l ? lease_reason_to_string(l->reason) : NULL;

	return is && !strcmp(is, reason);
}

/* --- the guest --- */

/* By itself: it goes on by its standby, and is given its VF again after a pause. */
Test(switcher_guest, ejects_its_vf)
{
	begin_pair(false);
	attach_pair("macvtap");
	fake_guest_eject(vm1);
	until_at("emulated");
	on_standby("no-vf");
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

/* Then what is sent to it while it hears neither leg is lost, and all else is as it should be. */
Test(switcher_guest, a_kernel_without_the_lag)
{
	static const char *const lacks[] = { "ifb", "netem", "mirred" };

	for (size_t i = 0; i < sizeof(lacks) / sizeof(lacks[0]); i++) {
		begin_pair(false);
		attach_pair("macvtap");
		fake_lacks(h->fake, lacks[i]);
		succeed("switch", leg("emulated"));
		on_standby("operator");
		succeed("switch", leg("passthrough"));
		on_vf();
		detach_pair();
		end();
	}
}

/* From before it is asked to let go until it has. */
Test(switcher_guest, lags_while_it_lets_go)
{
	static const char *const standbys[] = { "macvtap", "bridge:br0" };

	for (size_t i = 0; i < sizeof(standbys) / sizeof(standbys[0]); i++) {
		begin_pair(i == 1);
		attach_pair(standbys[i]);
		vm1->unplug = FAKE_UNPLUG_IGNORED;
		fake_host_send(h, "switch", leg("emulated"));
		while (!fake_qmp_count(vm1->peer, "device_del")) {
			cr_assert_str_eq(vm1->vf, FAKE_VF0_BDF);
			turn();
		}
		cr_assert_eq(lag(), 150);
		vm1->unplug = FAKE_UNPLUG_OBEYED;
		fake_guest_eject(vm1);
		while (!is_at((void *)"emulated"))
			turn();
		cr_assert_eq(lag(), 0);
		detach_pair();
		end();
	}
}

/* Off its VF it would have nothing: whoever asks for that is refused. */
Test(switcher_guest, ejects_its_standby)
{
	begin_pair(false);
	attach_pair("macvtap");
	fake_guest_eject_standby(vm1);
	while (strcmp(text_now("error.code"), "lease.standby-gone") != 0)
		turn();
	fail("lease.busy", EBUSY, "switch", leg("emulated"));
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_del"), 0);
	on_vf();
	detach_pair();
	end();
}

/* With both gone there is nothing left to lease. */
Test(switcher_guest, ejects_its_standby_and_has_no_vf)
{
	begin_pair(false);
	attach_pair("macvtap");
	succeed("switch", leg("emulated"));
	fake_guest_eject_standby(vm1);
	until_leases(0);
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}

/* Until its driver is there again both legs carry, and no longer. */
Test(switcher_guest, reboots_on_its_vf)
{
	begin_pair(false);
	attach_pair("macvtap");
	fake_guest_drives(vm1, false);
	fake_qmp_event(vm1->peer, "RESET", "{\"guest\": true, \"reason\": \"guest-reset\"}");
	until_at("to-passthrough");
	cr_assert_str_eq(text_now("leg"), "emulated");
	while (!to_standby())
		turn();
	cr_assert(to_vf());
	cr_assert_str_eq(text_now("switch.step"), "await-driver");
	fake_guest_drives(vm1, true);
	until_at("passthrough");
	on_vf();
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_del"), 0, "a reboot is no reason to take it away");
	detach_pair();
	end();
}

/* The VMM plugs what the guest had before when failover is negotiated anew: not wanted, so it goes again. */
Test(switcher_guest, reboots_on_its_standby)
{
	begin_pair(false);
	attach_pair("macvtap");
	succeed("switch", leg("emulated"));
	fake_guest_replug(vm1);
	fake_qmp_event(vm1->peer, "RESET", "{\"guest\": true, \"reason\": \"guest-reset\"}");
	fake_qmp_event(vm1->peer, "FAILOVER_NEGOTIATED", "{\"device-id\": \"gangway-nic0-standby\"}");
	while (fake_qmp_count(vm1->peer, "device_del") < 2)
		turn();
	until_at("emulated");
	on_standby("operator");
	detach_pair();
	end();
}

/* It has a VF that it does not drive: it hears its standby, and hears it in time. */
Test(switcher_guest, is_on_its_standby_while_it_lets_go)
{
	begin_pair(false);
	attach_pair("macvtap");
	succeed("switch", leg("emulated"));
	vm1->unplug = FAKE_UNPLUG_IGNORED;
	fake_guest_replug(vm1);
	fake_guest_drives(vm1, false);
	fake_qmp_event(vm1->peer, "FAILOVER_NEGOTIATED", "{\"device-id\": \"gangway-nic0-standby\"}");
	while (fake_qmp_count(vm1->peer, "device_del") < 2) {
		cr_assert(!lag());
		turn();
	}
	cr_assert(!lag());
	vm1->unplug = FAKE_UNPLUG_OBEYED;
	fake_guest_eject(vm1);
	until_at("emulated");
	on_standby("operator");
	detach_pair();
	end();
}

/* Its driver does not know failover: the VF is hidden, and counts as plugged. */
Test(switcher_guest, without_failover)
{
	begin_pair(false);
	vm1->no_failover = true;
	json_decref(attach(pair_params("macvtap")));
	cr_assert_str_eq(text_now("state"), "attached");
	cr_assert_str_eq(text_now("leg"), "emulated");
	cr_assert(to_standby());
	cr_assert(fake_host_until(h, has_reason, "guest-no-driver", 5000), "%s", text_now("reason"));
	until_at("emulated");
	detach_pair();
	end();
}

/* However often it says so, it is asked once at a time, and once more. */
Test(switcher_guest, floods_with_events)
{
	unsigned before_flood;

	begin_pair(false);
	attach_pair("macvtap");
	succeed("switch", leg("emulated"));
	before_flood = fake_qmp_count(vm1->peer, "qom-list");
	for (int i = 0; i < 1000; i++)
		fake_qmp_event(vm1->peer, "FAILOVER_NEGOTIATED", "{\"device-id\": \"gangway-nic0-standby\"}");
	for (int i = 0; i < 200; i++)
		cr_assert_geq(sd_event_run(h->event, 1000), 0);
	cr_assert_lt(fake_qmp_count(vm1->peer, "qom-list") - before_flood, 100);
	on_standby("operator");
	detach_pair();
	end();
}

static void ask_in_vain(const char *code, int num)
{
	vm1->unplug = FAKE_UNPLUG_IGNORED;
	fail(code, num, "switch", leg("emulated"));
}

/* Past the deadline its DMA goes, and the standby carries; when it lets go later, that is all. */
Test(switcher_guest, keeps_its_vf)
{
	begin_pair(false);
	attach_pair("macvtap");
	ask_in_vain("vmm.unplug-timeout", ETIMEDOUT);
	cr_assert_str_eq(text_now("state"), "attached");
	while (to_vf())
		turn();
	cr_assert(to_standby());
	cr_assert_str_eq(text_now("leg"), "emulated");
	cr_assert_str_eq(text_now("error.code"), "switch.unplug-ignored");
	cr_assert_str_eq(vm1->vf, FAKE_VF0_BDF);
	cr_assert_not(lease_vf_is_driven(lease()), "its bus mastering is off");
	vm1->unplug = FAKE_UNPLUG_OBEYED;
	fake_guest_eject(vm1);
	until_at("emulated");
	on_standby("operator");
	cr_assert_str_eq(text_now("error.code"), "(null)");
	succeed("switch", leg("passthrough"));
	on_vf();
	detach_pair();
	end();
}

/* A paused guest cannot answer: it is not asked, and not late. */
Test(switcher_guest, is_paused)
{
	json_int_t id;
	json_t *a;

	begin_pair(false);
	attach_pair("macvtap");
	fake_qmp_event(vm1->peer, "STOP", NULL);
	fake_host_settle(h);
	id = fake_host_send(h, "switch", leg("emulated"));
	while (strcmp(text_now("switch.step"), "unplug") != 0)
		turn();
	cr_assert_str_eq(text_now("switch.hold"), "the guest is paused");
	cr_assert_str_eq(text_now("switch.what"), "have the guest let its VF go (the guest is paused)");
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_del"), 0);
	fake_qmp_event(vm1->peer, "RESUME", NULL);
	a = fake_host_wait(h, id);
	cr_assert(member(a, "result"));
	json_decref(a);
	on_standby("operator");
	detach_pair();
	end();
}

/* Who asked for a switch does not wait until a paused guest goes on: another choice can be made. */
Test(switcher_guest, is_paused_and_not_waited_for)
{
	begin_pair(false);
	attach_pair("macvtap");
	fake_qmp_event(vm1->peer, "STOP", NULL);
	fake_host_settle(h);
	fake_host_send(h, "switch", leg("emulated"));
	while (strcmp(text_now("switch.step"), "unplug") != 0)
		turn();
	fail("lease.busy", EBUSY, "switch", leg("passthrough"));
	fake_host_hang_up(h);
	succeed("switch", leg("passthrough"));
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_del"), 0);
	fake_qmp_event(vm1->peer, "RESUME", NULL);
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

/* Yet to come by migration: the standby is there, and the VF comes when it runs. */
Test(switcher_guest, is_incoming)
{
	json_t *a;

	begin_incoming(2, 2);
	a = attach(pair_params("macvtap"));
	cr_assert_str_eq(text_of(a, "lease.state"), "attached");
	cr_assert_str_eq(text_of(a, "lease.leg"), "emulated");
	cr_assert_str_eq(text_of(a, "lease.reason"), "migration");
	json_decref(a);
	cr_assert_str_eq(vm1->standby, "gangway-nic0-standby");
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 1);
	/* known to the next gangwayd, too */
	restart();
	until_at("emulated");
	cr_assert_str_eq(text_now("reason"), "migration");
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 1);
	vm1->status = "running";
	fake_guest_update(vm1);
	fake_qmp_event(vm1->peer, "RESUME", NULL);
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

/* --- the operator --- */

Test(switcher_guest, the_choice_survives_a_restart)
{
	begin_pair(false);
	attach_pair("macvtap");
	succeed("switch", leg("emulated"));
	restart();
	cr_assert_str_eq(text_now("leg"), "emulated", "as recorded, before the guest was asked");
	until_at("emulated");
	on_standby("operator");
	succeed("switch", leg("passthrough"));
	restart();
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

/* It comes while the switch is on its way by itself: taken when the action under way has ended, and recorded. */
Test(switcher_guest, the_choice_on_the_way)
{
	json_int_t id;
	json_t *a;

	begin_pair(false);
	attach_pair("macvtap");
	succeed("switch", leg("emulated"));
	id = fake_host_send(h, "switch", leg("passthrough"));
	while (fake_qmp_count(vm1->peer, "device_add") < 3)
		turn();
	fail("lease.busy", EBUSY, "switch", leg("emulated"));
	a = fake_host_wait(h, id);
	cr_assert(member(a, "result"));
	json_decref(a);
	/* nobody waits for the next one's way back */
	fake_guest_eject(vm1);
	while (fake_qmp_count(vm1->peer, "device_add") < 4)
		turn();
	succeed("switch", leg("emulated"));
	on_standby("operator");
	restart();
	until_at("emulated");
	on_standby("operator");
	detach_pair();
	end();
}

Test(switcher_guest, detach_during_a_switch)
{
	json_int_t id;
	json_t *a;

	begin_pair(false);
	attach_pair("macvtap");
	id = fake_host_send(h, "switch", leg("emulated"));
	vm1->unplug = FAKE_UNPLUG_IGNORED;
	while (!fake_qmp_count(vm1->peer, "device_del"))
		turn();
	fail("lease.busy", EBUSY, "detach", of_vm1());
	/* the guest's end needs no leave: it is done when the action is over */
	fake_guest_die(vm1);
	until_leases(0);
	a = fake_host_wait(h, id);
	cr_assert(member(a, "error"));
	json_decref(a);
	cr_assert_eq(records(), 0);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	end();
}

/* --- migration, by whoever --- */

static void migration_is(const char *status)
{
	char data[64];

	snprintf(data, sizeof(data), "{\"status\": \"%s\"}", status);
	fake_qmp_event(vm1->peer, "MIGRATION", data);
	fake_host_settle(h);
}

static bool has_left(void *ctx)
{
	(void)ctx;
	return lease()->left && !lease()->busy;
}

static void is_copied(void)
{
	migration_is("setup");
	fake_qmp_event(vm1->peer, "UNPLUG_PRIMARY", "{\"device-id\": \"gangway-nic0\"}");
	migration_is("wait-unplug");
	migration_is("active");
	until_at("emulated");
	fake_qmp_event(vm1->peer, "STOP", NULL);
}

static void migrates_away(void)
{
	is_copied();
	migration_is("completed");
	cr_assert(fake_host_until(h, has_left, NULL, 5000));
}

/* Its VMM keeps the VF until it ends; what is sent to the guest goes to where it is now. */
Test(switcher_guest, a_guest_that_migrates_away)
{
	begin_pair(false);
	attach_pair("macvtap");
	migrates_away();
	cr_assert_str_eq(text_now("leg"), "none");
	cr_assert_str_eq(text_now("reason"), "migration");
	cr_assert(!to_vf() && !to_standby());
	fake_guest_die(vm1);
	until_leases(0);
	cr_assert_eq(records(), 0);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	end();
}

/* Nobody had said that it was a snapshot. Or its operator lets it go on, as the destination has failed. */
Test(switcher_guest, a_guest_that_runs_here_again)
{
	begin_pair(false);
	attach_pair("macvtap");
	migrates_away();
	fake_qmp_event(vm1->peer, "RESUME", NULL);
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

/* At once: the emulated leg is still on its way down. */
Test(switcher_guest, a_guest_that_runs_here_again_at_once)
{
	begin_pair(false);
	attach_pair("macvtap");
	is_copied();
	fake_qmp_event(vm1->peer, "MIGRATION", "{\"status\": \"completed\"}");
	fake_qmp_event(vm1->peer, "RESUME", NULL);
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

/* --- the host --- */

static void faults(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fake_log(h->fake,
			 "DMAR: [DMA Write NO_PASID] Request device [3b:10.0] fault addr 0x12345000 [fault reason 0x05] PTE "
			 "Write access is not set");
}

Test(switcher_guest, a_vf_in_quarantine_is_left)
{
	begin_pair(false);
	h->d.config.fault_limit = 20;
	attach_pair("macvtap");
	faults(25);
	cr_assert(fake_host_until(h, has_reason, "vf-fault", 5000));
	until_at("emulated");
	on_standby("vf-fault");
	cr_assert_str_eq(text_now("error.code"), "vf.quarantined", "a switch that arrives does not hide it");
	/* the operator can take a side, and the cause holds all the same */
	fail("switch.held", EBUSY, "switch", leg("passthrough"));
	on_standby("vf-fault");
	restart();
	until_at("emulated");
	on_standby("vf-fault");
	detach_pair();
	end();
}

static void carrier(const char *ifname, bool on)
{
	fake_link(h->fake, ifname)->carrier = on;
	fake_emit_link(h->fake, ifname);
	fake_host_settle(h);
}

/* A macvtap on the same PF is no better off. */
Test(switcher_guest, a_pf_without_link)
{
	struct err err;

	begin_pair(false);
	cr_assert_eq(host_events_new(&h->d, &err), 0);
	before_again();
	attach_pair("macvtap");
	carrier("eth0", false);
	cr_assert_str_eq(text_now("leg"), "passthrough");
	cr_assert_str_eq(text_now("reason"), "pf-down");
	carrier("eth0", true);
	cr_assert_str_eq(text_now("reason"), "(null)");
	on_vf();
	detach_pair();
	end();
}

static void operstate(const char *ifname, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/sys/class/net/%s/operstate", fake_root(h->fake), ifname);
	f = fopen(path, "we");
	cr_assert(f && fputs(text, f) >= 0 && !fclose(f));
}

static void bridge_with_another_nic(void)
{
	struct err err;

	begin_pair(true);
	fake_add_pf(h->fake, "0000:3d:00.0", "eth1", "igb", NULL, 8);
	fake_join(h->fake, "eth1", "br0");
	operstate("eth1", "up\n");
	operstate("eth0", "up\n");
	cr_assert_eq(host_events_new(&h->d, &err), 0);
	before_again();
}

/* The bridge has another NIC that has a link: there the guest is better off. */
Test(switcher_guest, a_pf_without_link_beside_another_nic)
{
	bridge_with_another_nic();
	attach_pair("bridge:br0");
	carrier("eth0", false);
	until_at("emulated");
	cr_assert_str_eq(text_now("leg"), "emulated");
	cr_assert_str_eq(text_now("reason"), "pf-down");
	cr_assert_str_eq(vm1->device, "");
	carrier("eth0", true);
	until_at("passthrough");
	cr_assert_str_eq(text_now("reason"), "(null)");
	detach_pair();
	end();
}

/* No event tells of it: gangwayd was not there, or they were lost. */
Test(switcher_guest, a_pf_without_link_unseen)
{
	struct err err;

	bridge_with_another_nic();
	attach_pair("bridge:br0");
	carrier("eth0", false);
	until_at("emulated");
	operstate("eth0", "down\n");
	restart();
	cr_assert_eq(host_events_new(&h->d, &err), 0);
	until_at("emulated");
	cr_assert_str_eq(text_now("reason"), "pf-down");
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 2, "it was not led to a VF without link");
	operstate("eth0", "up\n");
	fake_emit_link(h->fake, NULL);
	until_at("passthrough");
	operstate("eth0", "lowerlayerdown\n");
	fake_emit_link(h->fake, NULL);
	until_at("emulated");
	operstate("eth0", "up\n");
	fake_link(h->fake, "eth0")->carrier = true;
	detach_pair();
	end();
}

/* The guest's VF is plugged while no gangwayd looks: not wanted, so it goes again. */
Test(switcher_guest, plugged_unseen)
{
	begin_pair(false);
	attach_pair("macvtap");
	succeed("switch", leg("emulated"));
	fake_guest_replug(vm1); /* no event tells */
	restart();
	until_at("emulated");
	on_standby("operator");
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_del"), 2);
	detach_pair();
	end();
}

/* The standby has gone while nobody looked: the guest is not cut off from its VF. */
Test(switcher_guest, without_its_standby)
{
	begin_pair(false);
	attach_pair("macvtap");
	fake_host_stop(h);
	vm1->standby[0] = '\0';
	vm1->in_port[0][0] = '\0';
	fake_guest_update(vm1);
	fake_host_start(h);
	while (strcmp(text_now("error.code"), "lease.standby-gone") != 0)
		turn();
	cr_assert_str_eq(text_now("leg"), "passthrough");
	fail("lease.busy", EBUSY, "switch", leg("emulated"));
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_del"), 0);
	detach_pair();
	end();
}

/* --- what an operator can get wrong --- */

static void refused(const char *code, int num, json_t *params)
{
	fail(code, num, "attach", params);
	fake_host_settle(h);
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 0);
	unchanged();
}

static json_t *with(const char *standby, const char *word, const char *value)
{
	return json_pack("{s:s, s:s, s:s, s:{s:s}}", "guest", "vm1", "target", "eth0", "standby", standby, "policy", word, value);
}

Test(switcher_guest, bad_standbys)
{
	json_t *params;

	begin_pair(false);
	fake_add_bridge(h->fake, "br9", false);
	before_again();
	refused("emul.not-yet", EOPNOTSUPP, pair_params("vhost-user"));
	refused("emul.bad-word", EINVAL, pair_params("bridge:"));
	refused("emul.bad-word", EINVAL, pair_params(""));
	refused("emul.no-bridge", ENOENT, pair_params("bridge:br7"));
	refused("emul.pf-not-in-bridge", EINVAL, pair_params("bridge:br9"));
	refused("emul.not-a-bridge", EINVAL, pair_params("bridge:eth0v1"));
	params = pair_params("macvtap");
	json_object_set_new(params, "prepare", json_true());
	refused("attach.bad-standby", EOPNOTSUPP, params);
	fake_add_interface(h->fake, "gwt0", (const uint8_t[SYS_MAC_LEN]){ 2, 0, 0, 0, 0, 9 });
	before_again();
	refused("emul.name-taken", EEXIST, pair_params("macvtap"));
	refused("policy.mac-in-use", EEXIST, with("macvtap", "mac", "02:00:00:00:00:09"));
	end();
}

Test(switcher_guest, bad_bridges)
{
	begin_pair(true);
	refused("emul.bridge-no-vlan", EOPNOTSUPP, with("bridge:br0", "vlan", "7"));
	refused("emul.pf-is-port", EBUSY, pair_params("macvtap"));
	end();
}

Test(switcher_guest, only_one_free_port)
{
	begin(2);
	fail("vmm.no-slot", ENOSPC, "attach", pair_params("macvtap"));
	unchanged();
	json_decref(attach(pair_params("none")));
	fail("switch.no-standby", EOPNOTSUPP, "switch", leg("emulated"));
	succeed("detach", of_vm1());
	unchanged();
	end();
}

Test(switcher_guest, the_mac_of_another_guest)
{
	struct fake_guest *vm2;

	begin_pair(false);
	vm2 = fake_guest_add(h, "vm2", false);
	vm2->ports = 2;
	fake_guest_run(vm2);
	before_again();
	attach_pair("macvtap");
	fail("policy.mac-in-use", EEXIST, "attach",
	     json_pack("{s:s, s:s, s:s, s:{s:s}}", "guest", "vm2", "target", "eth0", "standby", "macvtap", "policy", "mac",
		       "52:54:00:00:00:aa"));
	/* also while the VF does not have it */
	succeed("switch", leg("emulated"));
	fail("policy.mac-in-use", EEXIST, "attach",
	     json_pack("{s:s, s:s, s:s, s:{s:s}}", "guest", "vm2", "target", "eth0", "standby", "macvtap", "policy", "mac",
		       "52:54:00:00:00:aa"));
	detach_pair();
	end();
}

/* What the VMM knows by one id would be taken away in another's place. */
Test(switcher_guest, a_nic_called_as_the_standby_of_another)
{
	begin_pair(false);
	vm1->ports = 3;
	attach_pair("macvtap");
	fail("lease.same-id", EEXIST, "attach",
	     json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "nic", "nic0-standby"));
	fake_host_settle(h);
	cr_assert_str_eq(vm1->standby, "gangway-nic0-standby");
	on_vf();
	detach_pair();
	json_decref(attach(json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "nic", "nic0-standby")));
	fail("lease.same-id", EEXIST, "attach",
	     json_pack("{s:s, s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "nic", "nic0", "standby", "macvtap"));
	detach_pair();
	end();
}

Test(switcher_guest, bad_switches)
{
	begin_pair(false);
	attach_pair("macvtap");
	fail("guest.unknown", ENOENT, "switch", json_pack("{s:s, s:s}", "guest", "vm9", "leg", "emulated"));
	fail("lease.none", ENOENT, "switch", json_pack("{s:s, s:s, s:s}", "guest", "vm1", "nic", "nic7", "leg", "emulated"));
	fail("ctl.bad-params", EINVAL, "switch", leg("other"));
	fail("ctl.bad-params", EINVAL, "switch", of_vm1());
	fail("ctl.bad-params", EINVAL, "switch", json_pack("{s:s, s:i}", "guest", "vm1", "leg", 1));
	fail("ctl.bad-params", EINVAL, "switch", json_pack("{s:s, s:s, s:i}", "guest", "vm1", "leg", "emulated", "x", 1));
	on_vf();
	detach_pair();
	end();
}
