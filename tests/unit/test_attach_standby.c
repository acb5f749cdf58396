/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The emulated leg that nobody asked for: a macvtap where it can be had; else the attach goes on without, and says why, then and in status.
 * One that was asked for is refused where it cannot be had.
 */
#include <criterion/criterion.h>

#include "switcher_test.h"

static void begin_auto(bool bridged)
{
	begin_pair(bridged);
	h->d.config.standby_auto = true;
}

static json_t *plain(const char *via)
{
	return json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "via", via ? via : "vfio-pci");
}

static json_t *with_standby(json_t *params, const char *word)
{
	json_object_set_new(params, "standby", json_string(word));
	return params;
}

static const char *warning(json_t *answer, size_t i)
{
	const char *s = json_string_value(json_array_get(member(answer, "warnings"), i));

	return s ? s : "(none)";
}

Test(attach_standby, by_default_a_macvtap)
{
	json_t *a;

	begin_auto(false);
	a = attach(plain(NULL));
	cr_assert_str_eq(text_of(a, "lease.standby.kind"), "macvtap");
	cr_assert(json_is_null(member(a, "lease.no_standby")));
	cr_assert_eq(json_array_size(member(a, "warnings")), 0, "%s", warning(a, 0));
	json_decref(a);
	until_at("passthrough");
	succeed("switch", leg("emulated"));
	detach_pair();
	end();
}

/* --- where it cannot be had --- */

static void one_port(void)
{
	fake_guest_die(vm1);
	vm1->ports = 1;
	fake_guest_run(vm1);
}

static void no_macvtap(void)
{
	fake_lacks(h->fake, "macvtap");
}

static void vmm_refuses(void)
{
	vm1->standby_error = "Property 'virtio-net-pci.failover' not found";
	fake_guest_update(vm1);
}

/* The VF's driver reports none of its MACs. */
static void no_mac(void)
{
	fake_vf(h->fake, "eth0", 0)->fields &= ~(unsigned)SYS_VF_MAC;
	fake_vf(h->fake, "eth0", 1)->fields &= ~(unsigned)SYS_VF_MAC;
}

static const struct cannot {
	const char *what;
	bool bridged;
	void (*arrange)(void);
	const char *via, *code;
	bool keeps_mac; /* that was made for it: it was set before this was found out */
	const char *refused; /* code, where it was asked for */
} cannots[] = {
	{ "the guest has one free port", false, one_port, NULL, "vmm.no-slot", false, "vmm.no-slot" },
	{ "the PF is a port of a bridge", true, NULL, NULL, "emul.pf-is-port", false, "emul.pf-is-port" },
	{ "the kernel has no macvtap", false, no_macvtap, NULL, "net.refused", true, "net.refused" },
	{ "the VMM refuses it", false, vmm_refuses, NULL, "vmm.refused", true, "vmm.refused" },
	{ "the PF's driver sets no MACs", false, no_mac, NULL, "policy.no-mac", false, NULL },
};
#define NR (sizeof(cannots) / sizeof(cannots[0]))

Test(attach_standby, the_attach_goes_on_without)
{
	for (size_t i = 0; i < NR; i++) {
		const struct cannot *c = &cannots[i];
		json_t *a, *why;

		begin_auto(c->bridged);
		if (c->arrange)
			c->arrange();
		before_again();
		a = attach(plain(c->via));
		cr_assert(json_is_null(member(a, "lease.standby")), "%s", c->what);
		cr_assert_str_eq(text_of(a, "lease.no_standby.code"), c->code, "%s: %s", c->what,
				 text_of(a, "lease.no_standby.message"));
		cr_assert_eq(strncmp(text_of(a, "lease.no_standby.message"), "lease vm1/nic0: no emulated leg: ", 33), 0);
		cr_assert(text_of(a, "lease.no_standby.hint")[0]);
		cr_assert_eq(strncmp(warning(a, 0), "no emulated leg: ", 17), 0, "%s: %s", c->what, warning(a, 0));
		cr_assert_eq(json_is_string(member(a, "lease.policy.mac")), c->keeps_mac, "%s", c->what);
		json_decref(a);
		cr_assert_str_eq(text_now("leg"), "passthrough", "%s", c->what);
		cr_assert_str_eq(vm1->vf, FAKE_VF0_BDF);
		cr_assert_str_eq(vm1->standby, "");
		cr_assert_null(fake_link(h->fake, "gwt0"), "%s", c->what);
		cr_assert_null(strstr(fake_qmp_args(vm1->peer, "device_add", fake_qmp_count(vm1->peer, "device_add") - 1),
				      "failover_pair_id"));
		fail("switch.no-standby", EOPNOTSUPP, "switch", leg("emulated"));
		/* status says so, the next gangwayd's, too */
		cr_assert_str_eq(text_now("no_standby.code"), c->code);
		why = the_record();
		cr_assert_str_eq(text_of(why, "no_standby.code"), c->code, "%s", c->what);
		cr_assert_null(member(why, "emul"));
		json_decref(why);
		fake_host_stop(h);
		fake_host_start(h);
		cr_assert(fake_host_until(h, decided, NULL, 5000), "%s", c->what);
		cr_assert_str_eq(text_now("no_standby.code"), c->code, "%s", c->what);
		cr_assert_str_eq(text_now("leg"), "passthrough");
		succeed("detach", of_vm1());
		unchanged();
		end();
	}
}

Test(attach_standby, asked_for_it_is_refused)
{
	for (size_t i = 0; i < NR; i++) {
		const struct cannot *c = &cannots[i];

		if (!c->refused)
			continue;
		for (int by_config = 0; by_config < 2; by_config++) {
			json_t *params = plain(c->via), *a;

			begin_auto(c->bridged);
			if (c->arrange)
				c->arrange();
			before_again();
			if (by_config)
				h->d.config.standby_auto = false, h->d.config.standby.kind = EMUL_MACVTAP;
			else
				with_standby(params, "macvtap");
			a = fake_host_call(h, "attach", params);
			cr_assert_str_eq(text_of(a, "error.data.code"), c->refused, "%s", c->what);
			json_decref(a);
			fake_host_settle(h);
			cr_assert_eq(records(), 0);
			unchanged();
			end();
		}
	}
}

/* --- what nobody asked for, but the VF has --- */

static json_t *set_of_vf0(const char *word, const char *value)
{
	return json_pack("{s:s, s:{s:s}}", "vf", "eth0/vf0", "set", word, value);
}

static void leg_has(unsigned vlan, uint32_t rate, bool checked)
{
	cr_assert_eq(fake_link(h->fake, "gwv0")->vlan, vlan);
	cr_assert_eq(fake_rate(h->fake, "gwt0", SYS_EGRESS), rate);
	cr_assert_eq(fake_source_checked(h->fake, "gwt0", SYS_EGRESS, lease()->want.mac), checked);
}

/* The VF keeps it, and so does the leg that stands in for it: else a guest would leave its VLAN by being moved. */
Test(attach_standby, has_what_the_vf_had)
{
	struct sys_vf *vf;

	begin_auto(false);
	vf = fake_vf(h->fake, "eth0", 0);
	vf->vlan = 5;
	vf->max_tx_rate = 100;
	vf->spoofchk = true;
	before_again();
	json_decref(attach(plain(NULL)));
	until_at("passthrough");
	cr_assert_str_eq(text_now("policy.vlan"), "(null)", "what is asked for is another matter");
	leg_has(5, 100, true);
	/* a word that is set leaves the others */
	succeed("vf.set", set_of_vf0("min_tx_rate", "10"));
	leg_has(5, 100, true);
	succeed("vf.set", set_of_vf0("spoofchk", "off"));
	leg_has(5, 100, false);
	fail("emul.vlan-fixed", EOPNOTSUPP, "vf.set", set_of_vf0("vlan", "7"));
	/* the next gangwayd knows it, too */
	fake_host_stop(h);
	fake_host_start(h);
	until_at("passthrough");
	succeed("vf.set", set_of_vf0("spoofchk", "on"));
	leg_has(5, 100, true);
	succeed("vf.set", set_of_vf0("max_tx_rate", "50"));
	leg_has(5, 50, true);
	/* a refusal puts back what it had */
	fake_refuse_vf_fields(h->fake, "eth0", SYS_VF_TRUST, "no");
	fail("sriov.vf-set-refused", EOPNOTSUPP, "vf.set",
	     json_pack("{s:s, s:{s:s, s:s}}", "vf", "eth0/vf0", "set", "max_tx_rate", "20", "trust", "on"));
	fake_refuse_vf_fields(h->fake, "eth0", 0, NULL);
	leg_has(5, 50, true);
	detach_pair();
	end();
}

/* Option over what the VF had; and what it had is refused as an option would be. */
Test(attach_standby, asked_for_over_what_the_vf_had)
{
	json_t *params = with_standby(plain(NULL), "macvtap");

	begin_auto(false);
	fake_vf(h->fake, "eth0", 0)->vlan = 5;
	fake_vf(h->fake, "eth0", 0)->max_tx_rate = 100;
	before_again();
	json_object_set_new(params, "policy", json_pack("{s:s, s:s, s:s}", "vlan", "7", "spoofchk", "off", "min_tx_rate", "10"));
	json_decref(attach(params));
	until_at("passthrough");
	leg_has(7, 100, false);
	detach_pair();
	end();
	begin_pair(true);
	fake_vf(h->fake, "eth0", 0)->vlan = 5;
	before_again();
	fail("emul.bridge-no-vlan", EOPNOTSUPP, "attach",
	     with_standby(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0/vf0"), "bridge:br0"));
	unchanged();
	end();
}

/* It would be there for migrations alone; who wants it for that says so. */
Test(attach_standby, a_vmm_that_cannot_unplug)
{
	json_t *params, *a;

	begin_auto(false);
	params = plain("vfio-user");
	json_object_set_new(params, "dry_run", json_true());
	a = attach(params);
	cr_assert_str_eq(text_of(a, "lease.no_standby.code"), "vmm.unplug-unsafe");
	json_decref(a);
	params = with_standby(plain("vfio-user"), "macvtap");
	json_object_set_new(params, "dry_run", json_true());
	a = attach(params);
	cr_assert(json_is_null(member(a, "lease.no_standby")));
	json_decref(a);
	unchanged();
	end();
}

/* It cannot be told from one that is yet to boot: the pair stays, and what it waits for is said. */
Test(attach_standby, a_guest_that_knows_no_failover)
{
	json_t *a, *params = plain(NULL);

	begin_auto(false);
	vm1->no_failover = true;
	json_object_set_new(params, "policy", json_pack("{s:s}", "mac", "52:54:00:00:00:aa"));
	a = attach(params);
	cr_assert_str_eq(text_of(a, "lease.standby.kind"), "macvtap");
	cr_assert(strstr(warning(a, 0), "net_failover") && strstr(warning(a, 0), "--standby none"), "%s", warning(a, 0));
	json_decref(a);
	cr_assert_str_eq(vm1->vf, "");
	vm1->no_failover = false; /* its system has booted */
	fake_guest_replug(vm1);
	fake_qmp_event(vm1->peer, "FAILOVER_NEGOTIATED", "{\"device-id\": \"gangway-nic0-standby\"}");
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

/* --- guests that are not there --- */

static json_t *prepared(const char *word)
{
	json_t *params = plain(NULL);

	json_object_set_new(params, "prepare", json_true());
	return word ? with_standby(params, word) : params;
}

Test(attach_standby, prepared_for_a_cold_start)
{
	json_t *a;

	begin_auto(false);
	a = attach(prepared(NULL));
	cr_assert_str_eq(text_of(a, "lease.state"), "prepared");
	cr_assert_str_eq(text_of(a, "lease.no_standby.code"), "attach.bad-standby");
	cr_assert_str_eq(warning(a, 0), "no emulated leg: not for a guest that is not started yet");
	cr_assert(json_is_array(member(a, "qemu_args")));
	json_decref(a);
	succeed("detach", of_vm1());
	a = attach(prepared("none"));
	cr_assert(json_is_null(member(a, "lease.no_standby")), "none is what was asked for");
	json_decref(a);
	succeed("detach", of_vm1());
	fail("attach.bad-standby", EOPNOTSUPP, "attach", prepared("macvtap"));
	h->d.config.standby_auto = false;
	h->d.config.standby.kind = EMUL_MACVTAP;
	fail("attach.bad-standby", EOPNOTSUPP, "attach", prepared(NULL));
	unchanged();
	end();
}

/* It is to come by migration: a leg that it can come to is needed. */
Test(attach_standby, incoming)
{
	json_t *a;

	h = fake_host_new(2);
	h->d.config.standby_auto = true;
	vm1 = fake_guest_add(h, "vm1", false);
	vm1->ports = 2;
	vm1->status = "inmigrate";
	fake_guest_run(vm1);
	before_again();
	a = attach(plain(NULL));
	cr_assert_str_eq(text_of(a, "lease.standby.kind"), "macvtap");
	json_decref(a);
	detach_pair();
	end();
}

/* --- whose word holds --- */

Test(attach_standby, the_call_before_the_configuration)
{
	static const struct {
		bool config_auto;
		enum emul_kind config;
		const char *call, *kind; /* NULL: not said; none */
	} rows[] = {
		{ true, EMUL_NONE, NULL, "macvtap" },	  { true, EMUL_NONE, "none", NULL },
		{ false, EMUL_NONE, NULL, NULL },	  { false, EMUL_NONE, "auto", "macvtap" },
		{ false, EMUL_MACVTAP, NULL, "macvtap" }, { false, EMUL_MACVTAP, "none", NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *a;

		begin_auto(false);
		h->d.config.standby_auto = rows[i].config_auto;
		h->d.config.standby.kind = rows[i].config;
		a = attach(rows[i].call ? with_standby(plain(NULL), rows[i].call) : plain(NULL));
		cr_assert_str_eq(text_of(a, "lease.standby.kind"), rows[i].kind ? rows[i].kind : "(null)", "row %zu", i);
		cr_assert(json_is_null(member(a, "lease.no_standby")), "row %zu", i);
		json_decref(a);
		fake_host_settle(h);
		end();
	}
}

/* --- what fails on the way --- */

/* A lost VMM is not one that refuses. */
Test(attach_standby, the_vmm_ends_at_its_plug)
{
	json_t *a;

	begin_auto(false);
	vm1->dies_at = "netdev_add";
	fake_guest_update(vm1);
	a = fake_host_call(h, "attach", plain(NULL));
	cr_assert(member(a, "error"));
	json_decref(a);
	until_leases(0);
	cr_assert_null(fake_link(h->fake, "gwt0"));
	cr_assert_eq(records(), 0);
	end();
}

/* Each call of the kernel's fails: the VF comes with its leg, or without, or not at all and then the host is as before. */
static void sweep(int num)
{
	unsigned with = 0, without = 0, failed = 0;

	begin_auto(false);
	for (unsigned n = 1;; n++) {
		const char *got;
		json_t *a;
		bool hit;

		fake_fail_at(h->fake, n, num);
		a = fake_host_call(h, "attach", plain(NULL));
		fake_host_settle(h);
		hit = fake_failed(h->fake);
		fake_fail_at(h->fake, 0, 0);
		if (member(a, "result")) {
			bool has = json_is_object(member(a, "result.lease.standby"));

			cr_assert_eq(has, json_is_null(member(a, "result.lease.no_standby")), "call %u", n);
			cr_assert_eq(has, fake_link(h->fake, "gwt0") != NULL, "call %u", n);
			cr_assert_eq(has, vm1->standby[0] != '\0', "call %u", n);
			cr_assert_str_eq(vm1->vf, FAKE_VF0_BDF, "call %u", n);
			with += has;
			without += !has;
		} else {
			failed++;
		}
		json_decref(a);
		if (lease()) {
			if (lease()->sw)
				until_at("passthrough");
			got = fake_host_expect(h, NULL, "detach", of_vm1());
			cr_assert_null(got, "call %u: detach: %s", n, got);
		}
		cr_assert_eq(records(), 0, "call %u", n);
		unchanged();
		if (!hit)
			break;
		cr_assert_lt(n, 2000);
	}
	end();
	printf("# errno %d: with its leg %u times, without %u, failed %u\n", -num, with, without, failed);
	cr_assert_gt(without, 5);
	cr_assert_gt(failed, 20);
}

Test(attach_standby, a_call_fails_with_an_io_error)
{
	sweep(-EIO);
}

Test(attach_standby, a_call_fails_for_want_of_memory)
{
	sweep(-ENOMEM);
}
