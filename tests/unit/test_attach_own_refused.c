/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A standby of the guest's own that cannot be used: nothing is changed. */
#include "attach_own_test.h"

static void no_nic(void)
{
	vm1->own = NULL;
	fake_guest_update(vm1);
}

static void no_failover(void)
{
	vm1->own_no_failover = true;
	fake_guest_update(vm1);
}

static void foreign_mac(void)
{
	vm1->own_mac = "52:54:00:00:00:ab";
	fake_guest_update(vm1);
}

static void paired(void)
{
	vm1->own_primary = "hostdev0";
	fake_guest_update(vm1);
}

static void in_no_vlan(void)
{
	fake_vf(h->fake, "eth0", 0)->vlan = fake_vf(h->fake, "eth0", 1)->vlan = 5;
}

Test(attach_own_refused, refused, .timeout = 60)
{
	static const struct {
		const char *what, *word;
		void (*arrange)(void);
		const char *code;
	} rows[] = {
		{ "another one was asked for", "bridge:br0", NULL, "attach.own-standby" },
		{ "it has none", "own", no_nic, "attach.no-own-standby" },
		{ "of another MAC", "own", foreign_mac, "attach.no-own-standby" },
		{ "it is no standby", "auto", no_failover, "vmm.standby-no-failover" },
		{ "it has another VF of the pair", "own", paired, "vmm.other-primary" },
		{ "the same, by default", "auto", paired, "vmm.other-primary" },
		{ "the VF is in a VLAN, its bridge filters none", "own", in_no_vlan, "emul.bridge-no-vlan" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *a;

		begin_own(BY_FD);
		if (rows[i].arrange)
			rows[i].arrange();
		before_again();
		a = fake_host_call(h, "attach", with_mac(rows[i].word));
		cr_assert(member(a, "error"), "%s", rows[i].what);
		cr_assert_str_eq(text_of(a, "error.data.code"), rows[i].code, "%s: %s", rows[i].what,
				 text_of(a, "error.message"));
		json_decref(a);
		fake_host_settle(h);
		cr_assert_eq(records(), 0);
		unchanged();
		end();
	}
}

/* A bridge that filters VLANs; the tap is in VLAN @vid, the VF in none: that is the bridge's default, 1. */
static void begin_in_vlan(unsigned vid)
{
	struct sys_link tap;
	struct sys *sys;

	h = fake_host_new(2);
	fake_vmm_takes_taps(h->fake);
	fake_add_bridge(h->fake, "br0", true);
	fake_join(h->fake, "eth0", "br0");
	vm1 = fake_guest_add(h, "vm1", false);
	vm1->ports = 2;
	fake_guest_run(vm1);
	make_tap("vnet0", "br0");
	sys = fake_sys(h->fake);
	cr_assert_eq(sys->ops->link_get(sys, "vnet0", &tap), 0);
	cr_assert_eq(sys->ops->bridge_vlan_set(sys, &tap, 1, vid == 1, NULL), 0);
	cr_assert_eq(sys->ops->bridge_vlan_set(sys, &tap, vid, true, NULL), 0);
	has_own(BY_FD);
	before_again();
}

Test(attach_own_refused, in_the_bridges_vlan)
{
	begin_in_vlan(1);
	json_decref(attach(with_mac("own")));
	until_at("passthrough");
	cr_assert_str_eq(fake_fdb_port(h->fake, vm1_mac, 1), "eth0");
	succeed("switch", leg("emulated"));
	until_at("emulated");
	cr_assert_str_eq(fake_fdb_port(h->fake, vm1_mac, 1), "vnet0");
	succeed("detach", of_vm1());
	unchanged();
	end();
}

/* A dry run says it, too: it is found out before anything is changed. */
Test(attach_own_refused, in_another_vlan)
{
	begin_in_vlan(7);
	for (int dry = 1; dry >= 0; dry--) {
		json_t *p = with_mac("own"), *a;

		json_object_set_new(p, "dry_run", json_boolean(dry));
		a = fake_host_call(h, "attach", p);
		cr_assert_str_eq(text_of(a, "error.data.code"), "emul.bridge-vlan-missing", "%s", text_of(a, "error.message"));
		json_decref(a);
		fake_host_settle(h);
	}
	cr_assert_null(strstr(h->steps, "bind"));
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}

/* The MAC that gangway would make is that of the guest's own, which cannot be done without: the VF has to be given it. */
Test(attach_own_refused, no_mac_can_be_given)
{
	char mac[MAC_TEXT];
	json_t *a;

	begin_own(BY_FD);
	no_nic();
	json_decref(attach(json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "standby", "bridge:br0")));
	mac_format(lease()->want.mac, mac);
	until_at("passthrough");
	succeed("detach", of_vm1());
	has_own(BY_FD);
	vm1->own_mac = mac;
	fake_guest_update(vm1);
	fake_vf(h->fake, "eth0", 0)->fields &= ~(unsigned)SYS_VF_MAC;
	fake_vf(h->fake, "eth0", 1)->fields &= ~(unsigned)SYS_VF_MAC;
	before_again();
	a = fake_host_call(h, "attach", json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "standby", "auto"));
	cr_assert_str_eq(text_of(a, "error.data.code"), "policy.no-mac", "%s", text_of(a, "error.message"));
	json_decref(a);
	fake_host_settle(h);
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}

/* The one that the guest has is of one lease. */
Test(attach_own_refused, of_another_lease)
{
	json_t *p;

	begin_own(BY_FD);
	json_decref(attach(with_mac("own")));
	until_at("passthrough");
	p = with_mac("own");
	json_object_set_new(p, "nic", json_string("nic7"));
	p = fake_host_call(h, "attach", p);
	cr_assert(member(p, "error"));
	json_decref(p);
	succeed("detach", of_vm1());
	unchanged();
	end();
}
