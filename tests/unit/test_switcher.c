/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A lease with a standby: attached, moved between its legs, detached; on the fake kernel, with guests that unplug and plug. */
#include <criterion/criterion.h>

#include "switcher_test.h"

static const char *step_state(json_t *answer, const char *name)
{
	json_t *step;
	size_t i;

	json_array_foreach (member(answer, "steps"), i, step)
		if (!strcmp(text_of(step, "name"), name))
			return text_of(step, "state");
	return "(none)";
}

/* --- attach and detach --- */

Test(switcher, attach_makes_both_legs)
{
	json_t *a, *record;

	begin_pair(false);
	a = attach(pair_params("macvtap"));
	cr_assert_str_eq(step_state(a, "standby"), "done");
	cr_assert_str_eq(step_state(a, "plug-standby"), "done");
	cr_assert_str_eq(text_of(a, "lease.standby.kind"), "macvtap");
	cr_assert_str_eq(text_of(a, "lease.standby.interface"), "gwt0");
	cr_assert_str_eq(text_of(a, "lease.standby.id"), "gangway-nic0-standby");
	json_decref(a);
	/* the standby first, and in the first port: so at source and destination of a migration */
	cr_assert(strstr(fake_qmp_args(vm1->peer, "device_add", 0), "\"failover\": true"));
	cr_assert(strstr(fake_qmp_args(vm1->peer, "device_add", 0), "\"mac\": \"52:54:00:00:00:aa\""));
	cr_assert(strstr(fake_qmp_args(vm1->peer, "device_add", 0), "\"bus\": \"rp1\""));
	cr_assert(strstr(fake_qmp_args(vm1->peer, "device_add", 1), "\"failover_pair_id\": \"gangway-nic0-standby\""));
	cr_assert(strstr(fake_qmp_args(vm1->peer, "device_add", 1), "\"bus\": \"rp2\""));
	until_at("passthrough");
	on_vf();
	cr_assert_eq(fake_rate(h->fake, "gwt0", SYS_EGRESS), 100, "the policy holds on both legs");
	record = the_record();
	cr_assert_str_eq(text_of(record, "emul.words"), "macvtap");
	cr_assert_str_eq(text_of(record, "emul.bus"), "rp2");
	json_decref(record);
	detach_pair();
	end();
}

/* What is made is on disk before. */
Test(switcher, the_record_comes_first)
{
	json_t *record;

	begin_pair(false);
	fake_host_send(h, "attach", pair_params("macvtap"));
	while (!fake_link(h->fake, "gwt0"))
		turn();
	record = the_record();
	cr_assert_str_eq(text_of(record, "emul.leg.standby"), "macvtap");
	cr_assert_str_eq(text_of(record, "state"), "attaching");
	json_decref(record);
	until_at("passthrough");
	detach_pair();
	end();
}

Test(switcher, a_bridge)
{
	begin_pair(true);
	attach_pair("bridge:br0");
	cr_assert_str_eq(text_now("standby.kind"), "bridge:br0");
	cr_assert(fake_link(h->fake, "gwt0")->master);
	succeed("switch", leg("emulated"));
	cr_assert_str_eq(vm1->device, "");
	cr_assert_not(to_vf());
	cr_assert_str_eq(fake_fdb_port(h->fake, vm1_mac, 0), "gwt0");
	succeed("switch", leg("passthrough"));
	cr_assert(to_vf());
	detach_pair();
	end();
}

Test(switcher, a_dry_run_changes_nothing)
{
	json_t *params, *a;

	begin_pair(false);
	params = pair_params("macvtap");
	json_object_set_new(params, "dry_run", json_true());
	a = attach(params);
	cr_assert_str_eq(step_state(a, "standby"), "planned");
	cr_assert_str_eq(step_state(a, "plug-standby"), "planned");
	json_decref(a);
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 0);
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}

/* Each way that the table can fail behind the standby: all of it goes. */
Test(switcher, attach_that_fails_takes_the_standby_away)
{
	begin_pair(false);
	vm1->add_error = "Device is in use";
	fake_guest_update(vm1);
	fail("vmm.device-in-use", EBUSY, "attach", pair_params("macvtap"));
	cr_assert_str_eq(vm1->standby, "");
	unchanged();
	vm1->add_error = NULL;
	vm1->standby_error = "failover is no property";
	fake_guest_update(vm1);
	cr_assert(fake_host_expect(h, NULL, "attach", pair_params("macvtap")));
	cr_assert_geq(fake_qmp_count(vm1->peer, "netdev_del"), 2, "after the VF was refused, and after the standby was");
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}

/* The VMM may have plugged it, or not, when the connection is lost: it is asked once it can be, before its leg is taken away. */
Test(switcher, the_connection_is_lost_while_the_standby_is_plugged)
{
	json_int_t id;
	json_t *a;

	begin_pair(false);
	vm1->hangs_at = "device_add";
	fake_guest_update(vm1);
	id = fake_host_send(h, "attach", pair_params("macvtap"));
	while (!vm1->standby[0])
		turn();
	fake_qmp_lose(vm1->peer);
	vm1->hangs_at = NULL;
	fake_guest_update(vm1);
	a = fake_host_wait(h, id);
	cr_assert_eq(json_integer_value(member(a, "error.data.errno")), ECONNRESET, "%s", text_of(a, "error.message"));
	json_decref(a);
	cr_assert_str_eq(vm1->standby, "");
	cr_assert_str_eq(vm1->tap, "");
	cr_assert_eq(records(), 0);
	unchanged();
	attach_pair("macvtap");
	detach_pair();
	end();
}

/* Without --mac it is made of the names: the same each time, another one for another NIC, and nobody else's. */
Test(switcher, a_mac_of_its_own)
{
	char first[32], mac[32];
	json_t *a;

	begin_pair(false);
	for (int i = 0; i < 2; i++) {
		a = attach(json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "standby", "macvtap"));
		snprintf(i ? mac : first, sizeof(mac), "%s", text_of(a, "lease.policy.mac"));
		json_decref(a);
		detach_pair();
	}
	cr_assert_str_eq(first, mac);
	cr_assert_eq(strtoul(mac, NULL, 16) & 3, 2, "%s: local, unicast", mac);
	a = attach(json_pack("{s:s, s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "standby", "macvtap", "nic", "lan"));
	cr_assert_str_neq(text_of(a, "lease.policy.mac"), first);
	json_decref(a);
	detach_pair();
	end();
}

/* --- there and back --- */

Test(switcher, there_and_back)
{
	unsigned announced;
	json_int_t id;
	json_t *a;

	begin_pair(false);
	attach_pair("macvtap");
	json_decref(fake_host_call(h, "monitor", NULL));
	announced = fake_announced(h->fake);
	h->steps[0] = '\0';
	id = fake_host_send(h, "switch", leg("emulated"));
	while (!fake_qmp_count(vm1->peer, "device_del")) {
		cr_assert(to_vf(), "not before the guest has let go");
		turn();
	}
	cr_assert(to_standby(), "make before break");
	a = fake_host_wait(h, id);
	cr_assert_str_eq(text_of(a, "result.lease.leg"), "emulated");
	cr_assert(json_is_real(member(a, "result.total_ms")));
	json_decref(a);
	cr_assert_str_eq(h->steps, "steer-both unplug drop-vf announce ");
	on_standby("operator");
	cr_assert_eq(fake_announced(h->fake), announced + 1);
	cr_assert(strstr(h->events, "passthrough>to-emulated to-emulated>emulated "), "%s", h->events);

	h->steps[0] = '\0';
	succeed("switch", leg("passthrough"));
	cr_assert_str_eq(h->steps, "prepare plug steer-both await-driver await-driver drop-standby announce ");
	on_vf();
	cr_assert_eq(fake_announced(h->fake), announced + 2);
	cr_assert(strstr(h->events, "emulated>to-passthrough to-passthrough>passthrough "), "%s", h->events);
	cr_assert_str_eq(text_now("reason"), "(null)");
	detach_pair();
	end();
}

/* Again and again: the driver of a guest that starts at once is seen each time, and both legs carry while it settles. */
Test(switcher, the_driver_settles_each_time)
{
	begin_pair(false);
	h->d.config.settle_ms = 200;
	attach_pair("macvtap");
	for (int i = 0; i < 3; i++) {
		json_int_t id;
		uint64_t from, to;

		succeed("switch", leg("emulated"));
		id = fake_host_send(h, "switch", leg("passthrough"));
		while (!vm1->device[0])
			turn();
		sd_event_now(h->event, CLOCK_MONOTONIC, &from);
		json_decref(fake_host_wait(h, id));
		sd_event_now(h->event, CLOCK_MONOTONIC, &to);
		cr_assert_geq(to - from, 190000, "round %d: %llu us", i, (unsigned long long)(to - from));
		on_vf();
	}
	detach_pair();
	end();
}

Test(switcher, already_there)
{
	begin_pair(false);
	attach_pair("macvtap");
	succeed("switch", leg("passthrough"));
	succeed("switch", leg("emulated"));
	succeed("switch", leg("emulated"));
	on_standby("operator");
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_del"), 1);
	detach_pair();
	end();
}

/* Both legs of a pair have the policy of `vf set`, or neither. */
Test(switcher, policy_on_both_legs)
{
	json_t *record;

	begin_pair(false);
	attach_pair("macvtap");
	succeed("vf.set", json_pack("{s:s, s:{s:s}}", "vf", "eth0/vf0", "set", "max_tx_rate", "50"));
	cr_assert_eq(fake_vf(h->fake, "eth0", 0)->max_tx_rate, 50);
	cr_assert_eq(fake_rate(h->fake, "gwt0", SYS_EGRESS), 50);
	record = the_record();
	cr_assert_eq(json_integer_value(member(record, "emul.leg.policy.rate")), 50);
	json_decref(record);
	/* refused by the PF: the standby goes back */
	fake_refuse_vf_fields(h->fake, "eth0", SYS_VF_TRUST, "no");
	fail("sriov.vf-set-refused", EOPNOTSUPP, "vf.set",
	     json_pack("{s:s, s:{s:s, s:s}}", "vf", "eth0/vf0", "set", "max_tx_rate", "20", "trust", "on"));
	cr_assert_eq(fake_rate(h->fake, "gwt0", SYS_EGRESS), 50);
	cr_assert_eq(fake_vf(h->fake, "eth0", 0)->max_tx_rate, 50);
	fake_refuse_vf_fields(h->fake, "eth0", 0, NULL);
	/* what a standby cannot change: nothing is */
	fail("emul.vlan-fixed", EOPNOTSUPP, "vf.set",
	     json_pack("{s:s, s:{s:s, s:s}}", "vf", "eth0/vf0", "set", "vlan", "7", "max_tx_rate", "20"));
	cr_assert_eq(fake_vf(h->fake, "eth0", 0)->vlan, 0);
	cr_assert_eq(fake_vf(h->fake, "eth0", 0)->max_tx_rate, 50);
	cr_assert_eq(fake_rate(h->fake, "gwt0", SYS_EGRESS), 50);
	fail("emul.mac-fixed", EOPNOTSUPP, "vf.set",
	     json_pack("{s:s, s:{s:s}}", "vf", "eth0/vf0", "set", "mac", "52:54:00:00:00:ab"));
	/* the same MAC is no wish to have it on the VF while the standby carries */
	succeed("switch", leg("emulated"));
	succeed("vf.set",
		json_pack("{s:s, s:{s:s, s:s}}", "vf", "eth0/vf0", "set", "mac", "52:54:00:00:00:aa", "max_tx_rate", "30"));
	on_standby("operator");
	cr_assert_eq(fake_rate(h->fake, "gwt0", SYS_EGRESS), 30);
	succeed("switch", leg("passthrough"));
	cr_assert_eq(fake_vf(h->fake, "eth0", 0)->max_tx_rate, 30);
	detach_pair();
	end();
}

/* --- detach --- */

Test(switcher, detach_from_either_leg)
{
	begin_pair(false);
	attach_pair("macvtap");
	succeed("switch", leg("emulated"));
	detach_pair();
	attach_pair("macvtap");
	detach_pair();
	end();
}

/* The guest keeps the VF: the lease is as it was, and goes on by its switch. */
Test(switcher, detach_of_a_guest_that_keeps_the_vf)
{
	begin_pair(false);
	attach_pair("macvtap");
	vm1->unplug = FAKE_UNPLUG_IGNORED;
	fail("vmm.unplug-timeout", ETIMEDOUT, "detach", of_vm1());
	cr_assert_str_eq(text_now("state"), "attached");
	vm1->unplug = FAKE_UNPLUG_OBEYED;
	until_at("passthrough");
	succeed("switch", leg("emulated"));
	detach_pair();
	end();
}

/* The standby stays in the guest: it has that NIC left; the lease waits for it to let go. */
Test(switcher, detach_of_a_guest_that_keeps_the_standby)
{
	char id[80];
	char data[200];

	begin_pair(false);
	attach_pair("macvtap");
	vm1->keeps_standby = true;
	fail("vmm.unplug-timeout", ETIMEDOUT, "detach", of_vm1());
	cr_assert_str_eq(text_now("state"), "failed");
	cr_assert_str_neq(vm1->standby, "");
	cr_assert(fake_link(h->fake, "gwt0"), "what the guest has is not taken away under it");
	/* later, by itself */
	memcpy(id, vm1->standby, sizeof(id));
	vm1->standby[0] = '\0';
	vm1->in_port[0][0] = '\0';
	snprintf(data, sizeof(data), "{\"device\": \"%.79s\", \"path\": \"/x\"}", id);
	fake_guest_update(vm1);
	fake_qmp_event(vm1->peer, "DEVICE_DELETED", data);
	until_leases(0);
	unchanged();
	end();
}
