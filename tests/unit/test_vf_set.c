/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vf.set: all or nothing, and what meets it: detach, the end of the guest, an attach of the same VF. */
#include <criterion/criterion.h>

#include "attach_test.h"

#define MAC "52:54:00:00:00:aa"

static json_t *mac_and_vlan(void)
{
	return json_pack("{s:s, s:{s:s, s:s}}", "vf", "eth0/vf0", "set", "mac", MAC, "vlan", "7");
}

static json_t *vlan(void)
{
	return json_pack("{s:s, s:{s:s}}", "vf", "eth0/vf0", "set", "vlan", "7");
}

static json_t *guest_and_target(void)
{
	return json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0/vf0");
}

Test(vf_set, a_refusal_of_half_of_it)
{
	begin(2);
	fake_refuse_vf_fields(h->fake, "eth0", SYS_VF_VLAN, "no");
	fail("sriov.vf-set-refused", EOPNOTSUPP, "vf.set", mac_and_vlan());
	unchanged();
	end();
}

Test(vf_set, a_refusal_of_half_of_it_with_a_lease)
{
	struct sys_vf was;
	struct lease *l;

	begin(2);
	json_decref(attach(guest_and_target()));
	was = *fake_vf(h->fake, "eth0", 0);
	fake_refuse_vf_fields(h->fake, "eth0", SYS_VF_VLAN, "no");
	fail("sriov.vf-set-refused", EOPNOTSUPP, "vf.set", mac_and_vlan());
	l = TAILQ_FIRST(&h->d.leases);
	cr_assert(!memcmp(fake_vf(h->fake, "eth0", 0)->mac, was.mac, SYS_MAC_LEN));
	cr_assert_eq(l->want.fields & (SYS_VF_MAC | SYS_VF_VLAN), 0);
	/* and should it not have been put back, then the end of the lease does it */
	cr_assert_eq(l->undo.touched & (SYS_VF_MAC | SYS_VF_VLAN), SYS_VF_MAC | SYS_VF_VLAN);
	cr_assert_null(l->busy);
	fake_refuse_vf_fields(h->fake, "eth0", 0, NULL);
	succeed("vf.set", mac_and_vlan());
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
}

static void boot(const char *id)
{
	struct sys *sys = fake_sys(h->fake);

	fake_host_stop(h);
	if (strcmp(h->boot_id, id)) {
		cr_assert_eq(sys->ops->write_file(sys, "/sys/bus/pci/devices/" FAKE_PF_BDF "/sriov_numvfs", "0"), 0);
		cr_assert_eq(sys->ops->write_file(sys, "/sys/bus/pci/devices/" FAKE_PF_BDF "/sriov_numvfs", "2"), 0);
	}
	h->boot_id = id;
	fake_host_start(h);
	fake_host_settle(h);
	cr_assert_eq(h->d.nr_leases, 1);
}

/* What was set on a lease is the lease's: the next gangwayd knows it, and gives a prepared one the same after a boot. */
Test(vf_set, the_next_gangwayd_knows_it)
{
	begin(2);
	fake_guest_die(vm1);
	fake_host_settle(h);
	before_again();
	json_decref(attach(json_pack("{s:s, s:s, s:b, s:{s:s}}", "guest", "vm1", "target", "eth0/vf0", "prepare", 1, "policy",
				     "max_tx_rate", "50")));
	succeed("vf.set", vlan());
	for (int i = 0; i < 2; i++) {
		boot(i ? "boot-2" : h->boot_id);
		cr_assert_str_eq(text_now("policy.vlan"), "7");
		cr_assert_str_eq(text_now("policy.max_tx_rate"), "50");
		cr_assert_eq(fake_vf(h->fake, "eth0", 0)->vlan, 7);
	}
	/* a refusal is not remembered */
	fake_refuse_vf_fields(h->fake, "eth0", SYS_VF_MAC, "no");
	fail("sriov.vf-set-refused", EOPNOTSUPP, "vf.set", mac_and_vlan());
	fake_refuse_vf_fields(h->fake, "eth0", 0, NULL);
	boot(h->boot_id);
	cr_assert_str_eq(text_now("policy.mac"), "(null)");
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
}

static bool carries(void *arg)
{
	struct lease *l = TAILQ_FIRST(&h->d.leases);

	(void)arg;
	return l && l->leg == LEG_PASSTHROUGH;
}

/* The record that is written anew says "attached": the next gangwayd has the leg all the same. */
Test(vf_set, the_leg_after_a_restart)
{
	begin(2);
	json_decref(attach(guest_and_target()));
	succeed("vf.set", vlan());
	fake_host_stop(h);
	fake_host_start(h);
	cr_assert(fake_host_until(h, carries, NULL, 5000));
	cr_assert_str_eq(text_now("state"), "attached");
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	end();
}

/* --- what meets it --- */

static bool is_busy(void *arg)
{
	const struct lease *l = TAILQ_FIRST(&h->d.leases);

	(void)arg;
	return l && l->busy;
}

/* A vf.set of vf0, with a lease, that is on its worker: the PF lets it wait. */
static json_int_t begin_set(void)
{
	json_int_t id;

	begin(2);
	json_decref(attach(guest_and_target()));
	fake_vf_in_reset(h->fake, "eth0", 3);
	id = fake_host_send(h, "vf.set", vlan());
	cr_assert(fake_host_until(h, is_busy, NULL, 5000));
	return id;
}

static void has_result(json_int_t id)
{
	json_t *a = fake_host_wait(h, id);

	cr_assert(member(a, "result"), "%s", text_of(a, "error.message"));
	json_decref(a);
}

Test(vf_set, detach_meanwhile)
{
	json_int_t id = begin_set();

	fail("lease.busy", EBUSY, "detach", json_pack("{s:s}", "guest", "vm1"));
	fail("lease.busy", EBUSY, "vf.set", vlan());
	has_result(id);
	cr_assert_eq(fake_vf(h->fake, "eth0", 0)->vlan, 7);
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	/* nothing is left that would come back */
	fake_host_stop(h);
	fake_host_start(h);
	cr_assert_eq(h->d.nr_leases, 0);
	end();
}

Test(vf_set, the_guest_ends_meanwhile)
{
	json_int_t id = begin_set();

	fake_guest_die(vm1);
	has_result(id);
	until_leases(0);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	cr_assert_eq(fake_vf(h->fake, "eth0", 0)->vlan, 0);
	end();
}

static bool is_held(void *arg)
{
	(void)arg;
	return bdf_is_held(&h->d, FAKE_VF0_BDF);
}

Test(vf_set, attach_meanwhile)
{
	json_int_t id;
	json_t *a;

	begin(2);
	fake_vf_in_reset(h->fake, "eth0", 3);
	id = fake_host_send(h, "vf.set", vlan());
	cr_assert(fake_host_until(h, is_held, NULL, 5000));
	fail("sriov.busy", EBUSY, "attach", guest_and_target());
	fail("sriov.busy", EBUSY, "vf.set", vlan());
	/* where any VF will do, it is another one */
	a = attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0"));
	cr_assert_str_eq(text_of(a, "lease.vf_bdf"), FAKE_VF1_BDF);
	json_decref(a);
	has_result(id);
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	end();
}

/* Whoever is first: what the lease puts back is what the VF had, never what it had before that. */
Test(vf_set, attach_at_the_same_time)
{
	for (int i = 0; i < 40; i++) {
		json_int_t attaching, setting;
		json_t *a, *s;

		begin(2);
		attaching = i % 2 ? fake_host_send(h, "attach", guest_and_target()) : 0;
		setting = fake_host_send(h, "vf.set", vlan());
		if (!attaching)
			attaching = fake_host_send(h, "attach", guest_and_target());
		a = fake_host_wait(h, attaching);
		s = fake_host_wait(h, setting);
		cr_assert(member(a, "result") || !strcmp(text_of(a, "error.data.code"), "sriov.busy"), "%s",
			  text_of(a, "error.message"));
		cr_assert(member(s, "result") || !strcmp(text_of(s, "error.data.code"), "lease.busy"), "%s",
			  text_of(s, "error.message"));
		/* set before it was attached, it stays; set on the lease, it goes with it */
		if (member(a, "result")) {
			bool own = TAILQ_FIRST(&h->d.leases)->want.fields & SYS_VF_VLAN;

			succeed("detach", json_pack("{s:s}", "guest", "vm1"));
			cr_assert_eq(fake_vf(h->fake, "eth0", 0)->vlan, member(s, "result") && !own ? 7 : 0, "round %d", i);
		}
		json_decref(a);
		json_decref(s);
		end();
	}
}
