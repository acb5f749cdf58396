/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens to a PF with leases: its link, and its name. */
#include <criterion/criterion.h>

#include "attach_test.h"
#include "host_events.h"

static struct lease *l;

static void follow(void)
{
	struct err err;

	cr_assert_eq(host_events_new(&h->d, &err), 0);
}

static void setup(void)
{
	begin(2);
	follow();
	json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0")));
	l = TAILQ_FIRST(&h->d.leases);
}

static void teardown(void)
{
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	end();
}

TestSuite(host_events, .init = setup, .fini = teardown);
TestSuite(host_renames);

static void carrier(const char *ifname, bool on)
{
	fake_link(h->fake, ifname)->carrier = on;
	fake_emit_link(h->fake, ifname);
	fake_host_settle(h);
}

static void rename_pf(const char *from, const char *to)
{
	fake_rename_interface(h->fake, from, to);
	fake_emit_link(h->fake, to);
	fake_host_settle(h);
}

Test(host_events, a_link_that_goes_and_comes)
{
	carrier("eth0", false);
	cr_assert_eq(l->reason, REASON_PF_DOWN);
	carrier("eth0", true);
	cr_assert_eq(l->reason, REASON_NONE);
}

Test(host_events, a_renamed_pf)
{
	json_t *a;

	json_decref(fake_host_call(h, "monitor", NULL));
	rename_pf("eth0", "lan0");
	cr_assert_str_eq(text_now("pf"), "lan0");
	cr_assert_str_eq(text_now("vf"), "lan0/vf0");
	/* its link still counts, and that of whoever has its old name does not */
	carrier("lan0", false);
	cr_assert_eq(l->reason, REASON_PF_DOWN);
	fake_add_interface(h->fake, "eth0", (const uint8_t[SYS_MAC_LEN]){ 2, 0, 0, 0, 0, 9 });
	carrier("eth0", true);
	cr_assert_eq(l->reason, REASON_PF_DOWN);
	carrier("eth0", false);
	carrier("lan0", true);
	cr_assert_eq(l->reason, REASON_NONE);
	carrier("eth0", false);
	cr_assert_eq(l->reason, REASON_NONE);
	/* inventory and policy go by the new name, and know the lease */
	a = fake_host_call(h, "vf.show", json_pack("{s:s}", "vf", "lan0/vf0"));
	cr_assert_str_eq(text_of(a, "result.vf.lease"), "vm1/nic0");
	json_decref(a);
	succeed("vf.set", json_pack("{s:s, s:{s:s}}", "vf", "lan0/vf0", "set", "vlan", "7"));
	cr_assert_eq(fake_vf(h->fake, "lan0", 0)->vlan, 7);
	fail("sriov.vfs-leased", EBUSY, "pf.set", json_pack("{s:s, s:i}", "pf", "lan0", "vfs", 4));
	/* detach puts back what there was before the rename */
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	cr_assert_eq(fake_vf(h->fake, "lan0", 0)->vlan, 0);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "lan0")));
}

/* Events that were lost are made up for by a look. */
Test(host_events, renamed_unseen)
{
	fake_rename_interface(h->fake, "eth0", "lan0");
	cr_assert_str_eq(text_now("pf"), "eth0");
	fake_emit_link(h->fake, NULL);
	fake_host_settle(h);
	cr_assert_str_eq(text_now("pf"), "lan0");
	rename_pf("lan0", "eth0");
	cr_assert_str_eq(text_now("pf"), "eth0");
}

Test(host_events, renamed_while_gangwayd_was_not_there)
{
	fake_host_stop(h);
	fake_rename_interface(h->fake, "eth0", "lan0");
	fake_host_start(h);
	follow();
	l = TAILQ_FIRST(&h->d.leases);
	cr_assert_str_eq(text_now("vf"), "lan0/vf0");
	rename_pf("lan0", "eth0");
}

/* Renamed at each turn of an attach: the policy goes to the PF that was found, or the attach fails and leaves nothing. */
Test(host_renames, during_an_attach)
{
	unsigned nr_attached = 0;
	bool answered = false;

	for (unsigned turn = 1; !answered; turn++) {
		json_int_t id;
		json_t *a;

		begin(2);
		follow();
		id = fake_host_send(h, "attach",
				    json_pack("{s:s, s:s, s:{s:s}}", "guest", "vm1", "target", "eth0", "policy", "vlan", "7"));
		for (unsigned i = 0; i < turn && !json_object_size(h->answers); i++)
			cr_assert_geq(sd_event_run(h->event, 5000000), 0);
		answered = json_object_size(h->answers) > 0;
		rename_pf("eth0", "lan0");
		a = fake_host_wait(h, id);
		fake_host_settle(h);
		cr_assert_eq(member(a, "result") != NULL, h->d.nr_leases == 1, "turn %u", turn);
		cr_assert_eq(fake_vf(h->fake, "lan0", 0)->vlan, h->d.nr_leases ? 7 : 0, "turn %u", turn);
		if (h->d.nr_leases) {
			nr_attached++;
			cr_assert_str_eq(text_now("vf"), "lan0/vf0", "turn %u", turn);
			succeed("detach", json_pack("{s:s}", "guest", "vm1"));
		}
		cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf", "turn %u", turn);
		cr_assert_eq(records(), 0, "turn %u", turn);
		json_decref(a);
		end();
	}
	cr_assert_gt(nr_attached, 0);
}
