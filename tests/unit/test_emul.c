/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Standby legs on the fake kernel: what is refused, what is made, what carrying is, and that the host is as before. */
#include "emul_test.h"

Test(emul, words)
{
	static const char *const good[] = { "macvtap", "bridge:br0", "bridge:a-15-chars-name", "none" };
	static const char *const bad[] = { "",
					   "bridge",
					   "bridge:",
					   "bridge:.",
					   "bridge:..",
					   "bridge:a/b",
					   "bridge:a b",
					   "bridge:br%d",
					   "bridge:a:b",
					   "bridge:br\n",
					   "bridge:16-chars-long-xx",
					   "macvtap ",
					   "MACVTAP",
					   "tap",
					   "vhost-user:x" };
	struct emul_words w = { .kind = EMUL_BRIDGE }, was = w;
	char text[EMUL_WORDS_MAX];
	struct err err;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (strlen(good[i]) > strlen("bridge:") + 15)
			continue;
		cr_assert_eq(emul_words_parse(good[i], &w, &err), 0, "%s", good[i]);
		emul_words_print(&w, text);
		cr_expect_str_eq(text, good[i]);
	}
	w = was;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_expect_eq(emul_words_parse(bad[i], &w, &err), -EINVAL, "%s", bad[i]);
		cr_expect_str_eq(err.code, "emul.bad-word");
	}
	cr_expect_eq(emul_words_parse("vhost-user", &w, &err), -EOPNOTSUPP);
	cr_expect_str_eq(err.code, "emul.not-yet");
	cr_expect_eq(memcmp(&w, &was, sizeof(w)), 0, "left a trace");
}

/* What is asked for is refused with this errno and code, and nothing has changed. */
static void refused(struct emul_want want, int num, const char *code)
{
	char *was = fake_snapshot(fake), *now;
	struct emul_leg *l = NULL;
	struct err err = { 0 };

	cr_expect_eq(emul_leg_new(sys, &want, &l, &err), num, "%s: %s", code, err.msg);
	cr_expect_str_eq(err.code, code, "%s: %s", err.code, err.msg);
	cr_expect_null(l);
	now = fake_snapshot(fake);
	cr_expect_str_eq(was, now, "%s left a trace", code);
	free(was);
	free(now);
}

Test(emul, bad_input)
{
	struct emul_want w = wanted(EMUL_MACVTAP);

	w.mac[0] = 0x53;
	refused(w, -EINVAL, "emul.bad-mac");
	memset(w.mac, 0, SYS_MAC_LEN);
	refused(w, -EINVAL, "emul.bad-mac");
	w = wanted(EMUL_NONE);
	refused(w, -EINVAL, "emul.bad-word");
	w = wanted(EMUL_MACVTAP);
	w.nr = EMUL_NR_MAX + 1;
	refused(w, -EINVAL, "emul.bad-name");
	w = wanted(EMUL_MACVTAP);
	w.pf = "no/such";
	refused(w, -EINVAL, "emul.bad-name");
	w.pf = "a-name-that-is-too-long";
	refused(w, -EINVAL, "emul.bad-name");
	w.pf = "eth9";
	refused(w, -ENOENT, "emul.no-pf");
	w = wanted(EMUL_BRIDGE);
	strcpy(w.words.bridge, "../x");
	refused(w, -EINVAL, "emul.bad-name");
}

Test(emul, bad_policies)
{
	static const struct sys_vf rows[] = {
		{ .fields = SYS_VF_VLAN, .vlan = 4095, .proto = 0x8100 }, { .fields = SYS_VF_VLAN, .vlan = 65535 },
		{ .fields = SYS_VF_VLAN, .vlan = 5, .qos = 8 },		  { .fields = SYS_VF_VLAN, .vlan = 0, .qos = 1 },
		{ .fields = SYS_VF_VLAN, .vlan = 5, .proto = 0x0800 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct emul_want w = wanted(EMUL_MACVTAP);

		w.policy = rows[i];
		refused(w, -EINVAL, "emul.bad-policy");
	}
}

Test(emul, a_host_that_does_not_fit)
{
	struct emul_want macvtap = wanted(EMUL_MACVTAP), bridge = wanted(EMUL_BRIDGE), vlan = wanted(EMUL_BRIDGE);
	static const uint8_t mac[SYS_MAC_LEN] = { 2, 0, 0, 0, 0, 9 };

	vlan.policy = (struct sys_vf){ .fields = SYS_VF_VLAN, .vlan = 100, .proto = 0x8100 };
	refused(bridge, -ENOENT, "emul.no-bridge");
	fake_add_bridge(fake, "br0", false);
	refused(bridge, -EINVAL, "emul.pf-not-in-bridge");
	strcpy(bridge.words.bridge, "eth1");
	refused(bridge, -EINVAL, "emul.not-a-bridge");
	fake_join(fake, "eth0", "br0");
	refused(macvtap, -EBUSY, "emul.pf-is-port");
	strcpy(bridge.words.bridge, "br0");
	fake_link(fake, "br0")->up = false;
	refused(bridge, -ENETDOWN, "emul.bridge-down");
	fake_link(fake, "br0")->up = true;
	refused(vlan, -EOPNOTSUPP, "emul.bridge-no-vlan");
	fake_link(fake, "eth0")->up = false;
	refused(bridge, -ENETDOWN, "emul.pf-down");
	fake_link(fake, "eth0")->up = true;
	fake_add_interface(fake, "gwt7", mac);
	refused(bridge, -EEXIST, "emul.name-taken");
	refresh();
}

Test(emul, a_bridge_that_filters)
{
	struct emul_want w = wanted(EMUL_BRIDGE);

	fake_add_bridge(fake, "br0", true);
	fake_join(fake, "eth0", "br0");
	w.policy = (struct sys_vf){ .fields = SYS_VF_VLAN, .vlan = 100, .proto = 0x8100 };
	refused(w, -EOPNOTSUPP, "emul.bridge-vlan-missing");
	w.policy.qos = 3;
	refused(w, -EOPNOTSUPP, "emul.bridge-qos");
	w.policy.qos = 0;
	w.policy.proto = 0x88a8;
	refused(w, -EOPNOTSUPP, "emul.bridge-no-vlan");
	/* without a VLAN: that of all ports, if the PF is in it */
	w.policy = (struct sys_vf){ 0 };
	port_vlan("eth0", 1, false);
	refused(w, -EOPNOTSUPP, "emul.bridge-vlan-missing");
	refresh();
}

Test(emul, a_macvtap_carries_when_it_is_up)
{
	struct emul_leg *l = leg(wanted(EMUL_MACVTAP));
	const struct sys_link *link;
	struct err err = { 0 };
	int fd;

	cr_expect_str_eq(emul_leg_ifname(l), "gwt7");
	cr_assert_null(fake_link(fake, "gwt7"), "the check makes nothing");
	cr_assert_eq(emul_leg_create(l, NULL), 0);
	link = fake_link(fake, "gwt7");
	cr_expect(!link->up && link->lower == fake_link(fake, "eth0")->ifindex);
	cr_expect_eq(memcmp(link->mac, guest, SYS_MAC_LEN), 0);
	cr_expect_not(fake_hears(fake, "eth0", guest));
	cr_expect_eq(emul_leg_announce(l, NULL, 0, NULL, 0, &err), -ENETDOWN);
	for (int twice = 0; twice < 2; twice++)
		cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
	cr_expect(fake_hears(fake, "eth0", guest));
	cr_expect_eq(emul_leg_announce(l, NULL, 0, NULL, 0, NULL), 0);
	cr_expect_eq(fake_announced(fake), 1);
	fd = emul_leg_open(l, NULL);
	cr_assert_geq(fd, 0);
	cr_expect_eq(emul_leg_open(l, &err), -EALREADY);
	cr_expect_str_eq(err.code, "emul.opened");
	cr_expect_eq(fake_tap_opens(fake, "gwt7"), 1, "a second queue would take half the frames");
	sys->ops->close(sys, fd);
	for (int twice = 0; twice < 2; twice++)
		cr_assert_eq(emul_leg_carry(l, false, NULL), 0);
	cr_expect_not(fake_hears(fake, "eth0", guest));
	gone(l);
}

/* Towards the guest, and nothing else of it. */
Test(emul, a_lag)
{
	static const uint8_t another[SYS_MAC_LEN] = { 2, 0, 0, 0, 0, 7 };

	for (int kind = EMUL_MACVTAP; kind <= EMUL_BRIDGE; kind++) {
		enum sys_side to_guest = kind == EMUL_MACVTAP ? SYS_INGRESS : SYS_EGRESS;
		struct err err = { 0 };
		struct emul_leg *l;

		if (kind == EMUL_BRIDGE)
			bridged(false);
		l = leg(wanted((enum emul_kind)kind));
		cr_assert_eq(emul_leg_create(l, NULL), 0);
		cr_assert_eq(emul_leg_lag(l, false, NULL), 0, "there was none");
		cr_expect_null(fake_link(fake, "gwl7"));
		/* the name is another's, who keeps it */
		cr_assert_eq(sys->ops->ifb_add(sys, "gwl7", another, NULL), 0);
		cr_expect_eq(emul_leg_lag(l, true, &err), -EEXIST);
		cr_expect_str_eq(err.code, "emul.name-taken");
		cr_expect_eq(emul_leg_lag(l, false, NULL), 0);
		cr_expect_eq(fake_delay_ms(fake, "gwt7", to_guest), 0);
		cr_assert_eq(sys->ops->link_del(sys, fake_link(fake, "gwl7"), NULL), 0);
		for (int twice = 0; twice < 2; twice++)
			cr_assert_eq(emul_leg_lag(l, true, &err), 0, "%s", err.msg);
		cr_expect_eq(fake_delay_ms(fake, "gwt7", to_guest), 150);
		cr_expect_eq(fake_delay_ms(fake, "gwt7", to_guest == SYS_EGRESS ? SYS_INGRESS : SYS_EGRESS), 0);
		for (int twice = 0; twice < 2; twice++)
			cr_assert_eq(emul_leg_lag(l, false, NULL), 0);
		cr_expect_eq(fake_delay_ms(fake, "gwt7", to_guest), 0);
		cr_expect(fake_link(fake, "gwl7"), "frames are under way in it");
		/* somebody removes it meanwhile, and takes its name: what goes there is lost until the lag ends */
		for (int taken = 0; taken < 2; taken++) {
			cr_assert_eq(emul_leg_lag(l, true, NULL), 0);
			cr_assert_eq(sys->ops->link_del(sys, fake_link(fake, "gwl7"), NULL), 0);
			if (taken)
				cr_assert_eq(sys->ops->ifb_add(sys, "gwl7", another, NULL), 0);
			cr_assert_eq(emul_leg_lag(l, false, NULL), 0);
			cr_expect_eq(fake_delay_ms(fake, "gwt7", to_guest), 0);
		}
		cr_assert_eq(sys->ops->link_del(sys, fake_link(fake, "gwl7"), NULL), 0);
		cr_assert_eq(emul_leg_lag(l, true, NULL), 0);
		gone(l);
	}
}

/* Its interface went with the VMM: the detour is of no use, and goes, too. */
Test(emul, a_lag_without_a_leg)
{
	struct emul_leg *l = leg(wanted(EMUL_MACVTAP));
	struct err err = { 0 };

	cr_assert_eq(emul_leg_create(l, NULL), 0);
	cr_assert_eq(emul_leg_lag(l, true, NULL), 0);
	cr_assert_eq(sys->ops->link_del(sys, fake_link(fake, "gwt7"), NULL), 0);
	cr_expect_eq(emul_leg_lag(l, true, &err), -ENODEV);
	cr_expect_eq(emul_leg_lag(l, false, NULL), 0);
	gone(l);
}

Test(emul, a_policy_on_a_macvtap)
{
	struct emul_want w = wanted(EMUL_MACVTAP);
	struct emul_leg *l;
	struct err err;

	w.policy = policy_of(0, 0);
	l = leg(w);
	cr_assert_eq(emul_leg_create(l, NULL), 0);
	cr_expect_eq(fake_rate(fake, "gwt7", SYS_EGRESS), 1000);
	cr_expect(fake_source_checked(fake, "gwt7", SYS_EGRESS, guest));
	w.policy.max_tx_rate = 50;
	w.policy.spoofchk = false;
	cr_assert_eq(emul_leg_apply(l, &w.policy, NULL), 0);
	cr_expect_eq(fake_rate(fake, "gwt7", SYS_EGRESS), 50);
	cr_expect_not(fake_source_checked(fake, "gwt7", SYS_EGRESS, guest));
	w.policy.max_tx_rate = 0;
	cr_assert_eq(emul_leg_apply(l, &w.policy, NULL), 0);
	cr_expect_eq(fake_rate(fake, "gwt7", SYS_EGRESS), 0);
	/* a VF that is disabled has no link: nor has its standby */
	cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
	w.policy.fields |= SYS_VF_STATE;
	w.policy.state = SYS_VF_STATE_DISABLE;
	cr_assert_eq(emul_leg_apply(l, &w.policy, NULL), 0);
	cr_expect_not(fake_hears(fake, "eth0", guest));
	w.policy.state = SYS_VF_STATE_AUTO;
	cr_assert_eq(emul_leg_apply(l, &w.policy, NULL), 0);
	cr_expect(fake_hears(fake, "eth0", guest));
	w.policy.fields |= SYS_VF_VLAN;
	w.policy.vlan = 9;
	cr_expect_eq(emul_leg_apply(l, &w.policy, &err), -EOPNOTSUPP);
	cr_expect_str_eq(err.code, "emul.vlan-fixed");
	gone(l);
}

Test(emul, legs_share_a_vlan_link)
{
	struct emul_want w = wanted(EMUL_MACVTAP), w2 = w;
	struct emul_leg *a, *b;

	w.policy = w2.policy = policy_of(100, 3);
	w2.nr = 8;
	w2.mac[5]++;
	a = leg(w);
	b = leg(w2);
	cr_assert_eq(emul_leg_create(a, NULL), 0);
	cr_expect(fake_link(fake, "gwv7")->up && fake_link(fake, "gwv7")->vlan == 100 && fake_link(fake, "gwv7")->vlan_qos == 3);
	cr_expect_eq(fake_link(fake, "gwt7")->lower, fake_link(fake, "gwv7")->ifindex);
	cr_assert_eq(emul_leg_create(b, NULL), 0);
	cr_expect_eq(fake_link(fake, "gwt8")->lower, fake_link(fake, "gwv7")->ifindex);
	cr_assert_null(fake_link(fake, "gwv8"));
	cr_assert_eq(emul_leg_carry(b, true, NULL), 0);
	cr_expect(fake_hears(fake, "eth0", w2.mac));
	/* another QoS on the same VLAN cannot be had */
	w.nr = 9;
	w.mac[5] += 2;
	w.policy.qos = 4;
	refused(w, -EEXIST, "emul.vlan-qos");
	/* the one who made it goes first: it stays for the other */
	cr_assert_eq(emul_leg_destroy(a, NULL), 0);
	emul_leg_free(a);
	cr_assert_not_null(fake_link(fake, "gwv7"));
	cr_expect(fake_hears(fake, "eth0", w2.mac));
	gone(b);
	cr_expect_null(fake_link(fake, "gwv7"));
}

Test(emul, an_operators_vlan_link_is_used_and_left)
{
	const struct sys_vlan vlan = { .id = 100, .proto = 0x8100 };
	struct emul_want w = wanted(EMUL_MACVTAP);
	struct emul_leg *l;
	char *with;

	cr_assert_eq(sys->ops->vlan_add(sys, fake_link(fake, "eth0"), "eth0.100", &vlan, NULL), 0);
	w.policy = policy_of(100, 0);
	refused(w, -ENETDOWN, "emul.vlan-down");
	fake_link(fake, "eth0.100")->up = true;
	with = fake_snapshot(fake);
	l = leg(w);
	cr_assert_eq(emul_leg_create(l, NULL), 0);
	cr_expect_eq(fake_link(fake, "gwt7")->lower, fake_link(fake, "eth0.100")->ifindex);
	cr_assert_eq(emul_leg_destroy(l, NULL), 0);
	emul_leg_free(l);
	free(before);
	before = with;
}

/* As good as down: it hears nothing, and nothing that a guest sends has that source. */
static void port_is_shut(void)
{
	static const uint8_t nobody[SYS_MAC_LEN];
	struct sys_port p = fake_port(fake, "gwt7");

	cr_expect_not(p.learns || p.floods || p.hears);
	cr_expect(fake_source_checked(fake, "gwt7", SYS_INGRESS, nobody));
}

static void port_is_open(bool trust)
{
	struct sys_port p = fake_port(fake, "gwt7");

	cr_expect(p.hears && p.learns == trust && p.floods == trust);
}

Test(emul, a_tap_in_a_bridge)
{
	struct emul_want w = wanted(EMUL_BRIDGE);
	struct emul_leg *l;
	int fd;

	bridged(false);
	fake_link(fake, "eth0")->mtu = fake_link(fake, "br0")->mtu = 9000;
	refresh();
	w.policy = policy_of(0, 0);
	l = leg(w);
	cr_assert_eq(emul_leg_create(l, NULL), 0);
	cr_expect_eq(fake_link(fake, "br0")->mtu, 9000, "a small port would have made the bridge's MTU small");
	cr_expect(fake_link(fake, "gwt7")->up && fake_link(fake, "gwt7")->master == fake_link(fake, "br0")->ifindex);
	cr_expect_eq(fake_link(fake, "gwt7")->mac[0], 0xfe, "not the guest's");
	cr_expect_eq(fake_rate(fake, "gwt7", SYS_INGRESS), 1000);
	port_is_shut();
	cr_expect_not(fake_hears(fake, "eth0", guest));
	cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
	port_is_open(false);
	cr_expect(fake_source_checked(fake, "gwt7", SYS_INGRESS, guest));
	cr_expect(fake_hears(fake, "eth0", guest));
	cr_expect_str_eq(fake_fdb_port(fake, guest, 0), "gwt7");
	cr_assert_eq(emul_leg_announce(l, NULL, 0, NULL, 0, NULL), 0);
	fd = emul_leg_open(l, NULL);
	cr_assert_geq(fd, 0);
	cr_expect_eq(emul_leg_open(l, NULL), -EALREADY);
	w.policy.trust = true;
	cr_assert_eq(emul_leg_apply(l, &w.policy, NULL), 0);
	port_is_open(true);
	w.policy.spoofchk = false;
	cr_assert_eq(emul_leg_apply(l, &w.policy, NULL), 0);
	cr_expect_not(fake_source_checked(fake, "gwt7", SYS_INGRESS, guest));
	/* dark: neither does it hear, nor is it heard */
	w.policy.fields |= SYS_VF_STATE;
	w.policy.state = SYS_VF_STATE_DISABLE;
	cr_assert_eq(emul_leg_apply(l, &w.policy, NULL), 0);
	port_is_shut();
	cr_expect_str_eq(fake_fdb_port(fake, guest, 0), "eth0");
	w.policy.state = SYS_VF_STATE_AUTO;
	cr_assert_eq(emul_leg_apply(l, &w.policy, NULL), 0);
	port_is_open(true);
	cr_assert_eq(emul_leg_carry(l, false, NULL), 0);
	port_is_shut();
	/* a policy that comes meanwhile opens nothing */
	w.policy.spoofchk = true;
	cr_assert_eq(emul_leg_apply(l, &w.policy, NULL), 0);
	port_is_shut();
	cr_expect_not(fake_hears(fake, "eth0", guest));
	cr_expect_str_eq(fake_fdb_port(fake, guest, 0), "eth0");
	sys->ops->close(sys, fd);
	cr_expect_null(fake_link(fake, "gwt7"), "the last descriptor was its life");
	gone(l);
}

Test(emul, a_tap_in_a_vlan_of_the_bridge)
{
	struct emul_want w = wanted(EMUL_BRIDGE);
	struct emul_leg *l;

	bridged(true);
	port_vlan("eth0", 100, true);
	refresh();
	w.policy = policy_of(100, 0);
	l = leg(w);
	cr_assert_eq(emul_leg_create(l, NULL), 0);
	cr_expect(fake_vlan_member(fake, "gwt7", 100));
	cr_expect_not(fake_vlan_member(fake, "gwt7", 1), "or it would hear VLAN 1, too");
	cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
	cr_expect_str_eq(fake_fdb_port(fake, guest, 100), "gwt7");
	gone(l);
	/* none asked for: that of all ports */
	w.policy = (struct sys_vf){ 0 };
	l = leg(w);
	cr_assert_eq(emul_leg_create(l, NULL), 0);
	cr_expect(fake_vlan_member(fake, "gwt7", 1));
	cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
	cr_expect_str_eq(fake_fdb_port(fake, guest, 1), "gwt7");
	gone(l);
}

/* The PF left the VLAN or the bridge meanwhile: destroying must not fail for ever. */
Test(emul, a_bridge_that_changed_meanwhile)
{
	struct emul_want w = wanted(EMUL_BRIDGE);
	struct emul_leg *l;

	bridged(true);
	l = leg(w);
	cr_assert_eq(emul_leg_create(l, NULL), 0);
	cr_assert_eq(emul_leg_carry(l, false, NULL), 0);
	port_vlan("eth0", 1, false);
	cr_expect_eq(emul_leg_destroy(l, NULL), 0);
	cr_expect_null(fake_link(fake, "gwt7"));
	emul_leg_free(l);
	refresh();
}

Test(emul, a_kernel_that_lacks_something)
{
	static const char *const kinds[] = { "macvtap", "vlan", "tbf", "bpf", "police" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		bool police = strcmp(kinds[i], "police") == 0;
		struct emul_want w = wanted(police ? EMUL_BRIDGE : EMUL_MACVTAP);
		struct err err = { 0 };
		struct emul_leg *l;

		if (police)
			bridged(false);
		w.policy = policy_of(police ? 0 : 100, 0);
		l = leg(w);
		fake_lacks(fake, kinds[i]);
		cr_expect_lt(emul_leg_create(l, &err), 0);
		cr_expect_str_eq(err.code, "net.refused");
		cr_expect(strstr(err.hint, "module"), "%s: %s", err.msg, err.hint);
		fake_lacks(fake, NULL);
		emul_leg_free(l);
		unchanged();
	}
}
