/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that was started with a standby of its own: it is used, and where the guest's MAC leads follows the switch as with one of ours; all else
 * about it is left as it is.
 */
#include "attach_own_test.h"

static void is_used(enum backend backend, const char *word)
{
	bool steers = backend == BY_FD || backend == BY_NAME;
	json_t *a;

	begin_own(backend);
	h->d.config.standby_auto = true;
	a = attach(with_mac(word));
	cr_assert_str_eq(text_of(a, "lease.standby.kind"), "own");
	cr_assert_str_eq(text_of(a, "lease.standby.id"), "net0");
	cr_assert_str_eq(text_of(a, "lease.standby.interface"), backend == UNKNOWN ? "(null)" : "vnet0");
	cr_assert_eq(json_array_size(member(a, "warnings")), 0);
	json_decref(a);
	until_at("passthrough");
	cr_assert_eq(fake_qmp_count(vm1->peer, "netdev_add"), 0);
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 1);
	cr_assert(strstr(fake_qmp_args(vm1->peer, "device_add", 0), "\"failover_pair_id\": \"net0\""));
	moves(steers ? "vnet0" : "", steers ? "eth0" : "");
	/* the next gangwayd goes on with it */
	fake_host_stop(h);
	fake_host_start(h);
	until_at("passthrough");
	moves(steers ? "vnet0" : "", steers ? "eth0" : "");
	succeed("detach", of_vm1());
	cr_assert_eq(fake_qmp_count(vm1->peer, "netdev_del"), 0);
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}

Test(attach_own, by_descriptor, .timeout = 60)
{
	is_used(BY_FD, NULL);
	is_used(BY_FD, "own");
}

Test(attach_own, by_name, .timeout = 60)
{
	is_used(BY_NAME, "auto");
}

Test(attach_own, of_an_unknown_interface, .timeout = 60)
{
	is_used(UNKNOWN, "own");
}

Test(attach_own, in_another_bridge, .timeout = 60)
{
	is_used(ELSEWHERE, "own");
}

/* A VMM that names a tap which another has is not believed. */
Test(attach_own, a_tap_that_is_not_its)
{
	json_t *a;

	begin_own(BY_NAME);
	fake_remove(h->fake, "/proc/%d/fdinfo/31", (int)vm1->pid);
	before_again();
	a = attach(with_mac("own"));
	cr_assert_str_eq(text_of(a, "lease.standby.interface"), "(null)");
	json_decref(a);
	until_at("passthrough");
	steers_to("", false);
	succeed("detach", of_vm1());
	unchanged();
	end();
}

/* A VMM in a network namespace of its own (KubeVirt's pods): the host's vnet0 is another guest's. */
Test(attach_own, a_tap_of_another_namespace, .timeout = 60)
{
	for (int other = 0; other < 2; other++)
		for (enum backend backend = BY_FD; backend <= BY_NAME; backend++) {
			json_t *a;

			begin_own(backend);
			fake_mkdir(h->fake, "/proc/self/ns");
			fake_mkdir(h->fake, "/proc/%d/ns", (int)vm1->pid);
			fake_symlink(h->fake, "net:[4026531840]", "/proc/self/ns/net");
			fake_symlink(h->fake, other ? "net:[4026532000]" : "net:[4026531840]", "/proc/%d/ns/net", (int)vm1->pid);
			before_again();
			a = attach(with_mac("own"));
			cr_assert_str_eq(text_of(a, "lease.standby.interface"), other ? "(null)" : "vnet0");
			json_decref(a);
			until_at("passthrough");
			steers_to(other ? "" : "eth0", false);
			succeed("detach", of_vm1());
			unchanged();
			end();
		}
}

/* As an operator has to, for other VFs to reach a guest in the bridge; and as libvirt does for ports that do not learn. */
Test(attach_own, entries_that_were_there, .timeout = 60)
{
	for (unsigned which = 1; which < 4; which++)
		for (unsigned restarts = 0; restarts < 2; restarts++) {
			bool tap = which & 1, self = which & 2;

			begin_own(BY_FD);
			if (tap)
				set_entry("vnet0", SYS_FDB_BRIDGE);
			if (self)
				set_entry("eth0", SYS_FDB_SELF);
			before_again();
			json_decref(attach(with_mac("own")));
			until_at("passthrough");
			moves("vnet0", "eth0");
			if (restarts) {
				fake_host_stop(h);
				fake_host_start(h);
				until_at("passthrough");
			}
			succeed("detach", of_vm1());
			steers_to(tap ? "vnet0" : "", self);
			unchanged();
			end();
		}
}

Test(attach_own, needs_no_second_port)
{
	begin_own(BY_FD);
	fake_guest_die(vm1);
	vm1->ports = 1;
	fake_guest_run(vm1);
	has_own(BY_FD);
	before_again();
	json_decref(attach(with_mac("auto")));
	until_at("passthrough");
	succeed("detach", of_vm1());
	unchanged();
	end();
}

Test(attach_own, policy_is_its_owners)
{
	json_t *p, *a;

	begin_own(BY_FD);
	p = with_mac("own");
	json_object_set_new(json_object_get(p, "policy"), "max_tx_rate", json_string("100"));
	a = attach(p);
	cr_assert_eq(json_array_size(member(a, "warnings")), 1);
	json_decref(a);
	cr_assert_eq(fake_rate(h->fake, "vnet0", SYS_INGRESS), 0);
	until_at("passthrough");
	succeed("detach", of_vm1());
	unchanged();
	end();
}
