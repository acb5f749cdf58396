/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VF policies: the words, what may be asked, writing with read back, and the way back. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "fake.h"
#include "sriov.h"

#define PF "0000:3b:00.0"

static struct fake *fake;
static struct sys *sys;
static struct sriov_pf pf;

static void setup(void)
{
	fake = fake_new();
	sys = fake_sys(fake);
	fake_add_pf(fake, PF, "eth0", "igb", "igbvf", 8);
	fake_add_pf(fake, "0000:3d:00.0", "eth1", "igb", NULL, 8);
	cr_assert_eq(sriov_pf_get(sys, "eth1", &pf, NULL), 0);
	cr_assert_eq(sriov_pf_set_numvfs(sys, &pf, 2, NULL), 0);
	cr_assert_eq(sriov_pf_get(sys, "eth0", &pf, NULL), 0);
	cr_assert_eq(sriov_pf_set_numvfs(sys, &pf, 4, NULL), 0);
}

static void teardown(void)
{
	cr_expect_eq(fake_open_fds(fake), 0);
	fake_free(fake);
}

TestSuite(policy, .init = setup, .fini = teardown);

Test(policy, words_good)
{
	static const char *const words[][2] = {
		{ "mac", "52:54:00:AB:cd:01" }, { "vlan", "4094" },	  { "qos", "7" },
		{ "proto", "802.1ad" },		{ "spoofchk", "off" },	  { "trust", "on" },
		{ "state", "disable" },		{ "min_tx_rate", "100" }, { "max_tx_rate", "1000" }
	};
	static const uint8_t mac[SYS_MAC_LEN] = { 0x52, 0x54, 0, 0xab, 0xcd, 1 };
	struct sys_vf vf = { 0 };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		cr_expect_eq(policy_parse_word(words[i][0], words[i][1], &vf, NULL), 0, "%s", words[i][0]);
	cr_expect_eq(vf.fields, SYS_VF_MAC | SYS_VF_VLAN | SYS_VF_SPOOFCHK | SYS_VF_TRUST | SYS_VF_STATE | SYS_VF_RATE);
	cr_expect_eq(memcmp(vf.mac, mac, SYS_MAC_LEN), 0);
	cr_expect(vf.vlan == 4094 && vf.qos == 7 && vf.proto == 0x88a8 && !vf.spoofchk && vf.trust);
	cr_expect(vf.state == SYS_VF_STATE_DISABLE && vf.min_tx_rate == 100 && vf.max_tx_rate == 1000);
	cr_expect_eq(policy_check(&vf, NULL), 0);
	cr_expect_eq(policy_parse_word("vlan", "0", &vf, NULL), 0);
	cr_expect_eq(vf.vlan, 0);
}

Test(policy, words_bad)
{
	static const char *const words[][2] = {
		{ "mac", "00:00:00:00:00:00" },
		{ "mac", "01:00:5e:00:00:01" },
		{ "mac", "ff:ff:ff:ff:ff:ff" },
		{ "mac", "52:54:00:00:00" },
		{ "mac", "52-54-00-00-00-01" },
		{ "mac", "52:54:00:00:00:0g" },
		{ "mac", "52:54:00:00:00:012" },
		{ "mac", "" },
		{ "vlan", "4095" },
		{ "vlan", "4096" },
		{ "vlan", "-1" },
		{ "vlan", "" },
		{ "vlan", "0x10" },
		{ "vlan", "1 " },
		{ "vlan", "99999999999999999999" },
		{ "qos", "8" },
		{ "proto", "802.1x" },
		{ "spoofchk", "yes" },
		{ "trust", "1" },
		{ "state", "up" },
		{ "min_tx_rate", "4294967295" },
		{ "max_tx_rate", "-5" },
		{ "max_tx_rate", "1.5" },
	};
	struct sys_vf vf = { 0 };
	struct err err;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		err_clear(&err);
		cr_expect_eq(policy_parse_word(words[i][0], words[i][1], &vf, &err), -EINVAL, "%s %s", words[i][0], words[i][1]);
		cr_expect_str_eq(err.code, "policy.bad-value");
		cr_expect(strstr(err.msg, words[i][0]), "%s", err.msg);
		cr_expect_eq(vf.fields, 0, "%s %s left a trace", words[i][0], words[i][1]);
	}
	cr_expect_eq(policy_parse_word("colour", "red", &vf, &err), -EINVAL);
	cr_expect_str_eq(err.code, "policy.bad-word");
	cr_expect(strstr(err.hint, "spoofchk"), "%s", err.hint);
}

/* "qos 0" to a VF in VLAN 5 must not take it out of that VLAN: the three are one attribute, and 0 would be written. */
Test(policy, qos_and_proto_need_a_vlan_said)
{
	static const char *const words[][2] = { { "qos", "0" }, { "qos", "3" }, { "proto", "802.1Q" }, { "proto", "802.1ad" } };
	struct err err;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct sys_vf vf = { 0 };

		cr_assert_eq(policy_parse_word(words[i][0], words[i][1], &vf, NULL), 0);
		cr_expect_eq(policy_check(&vf, &err), -EINVAL, "%s %s alone", words[i][0], words[i][1]);
		cr_expect_str_eq(err.code, "policy.bad-value");
		cr_expect(strstr(err.msg, "without a vlan"), "%s", err.msg);
		/* in any order */
		cr_assert_eq(policy_parse_word("vlan", "5", &vf, NULL), 0);
		cr_expect_eq(policy_check(&vf, &err), 0, "%s", err.msg);
		cr_expect_eq(vf.vlan, 5);
	}
}

Test(policy, check_what_single_words_cannot)
{
	static const struct {
		struct sys_vf vf;
		int want;
	} cases[] = {
		{ { .fields = SYS_VF_VLAN, .vlan = 5, .qos = 3, .proto = 0x88a8 }, 0 },
		{ { .fields = SYS_VF_VLAN, .proto = 0x8100 }, 0 },
		{ { .fields = SYS_VF_VLAN, .qos = 3 }, -EINVAL },
		{ { .fields = SYS_VF_VLAN, .proto = 0x88a8 }, -EINVAL },
		{ { .fields = SYS_VF_VLAN, .vlan = 4095 }, -EINVAL },
		{ { .fields = SYS_VF_RATE, .min_tx_rate = 10, .max_tx_rate = 9 }, -EINVAL },
		{ { .fields = SYS_VF_RATE, .min_tx_rate = 10, .max_tx_rate = 0 }, 0 },
		{ { .fields = SYS_VF_RATE, .min_tx_rate = 10, .max_tx_rate = SYS_VF_RATE_KEEP }, 0 },
		{ { .fields = SYS_VF_RATE, .min_tx_rate = SYS_VF_RATE_KEEP, .max_tx_rate = 9 }, 0 },
		{ { .fields = SYS_VF_MAC }, -EINVAL },
		{ { .fields = SYS_VF_MAC, .mac = { 1, 2, 3, 4, 5, 6 } }, -EINVAL },
		{ { .fields = 0, .min_tx_rate = 10, .max_tx_rate = 9, .qos = 3 }, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(policy_check(&cases[i].vf, NULL), cases[i].want, "case %zu", i);
}

Test(policy, whose_mac)
{
	static const uint8_t free_mac[SYS_MAC_LEN] = { 0x52, 0x54, 0, 9, 9, 9 }, bridge[SYS_MAC_LEN] = { 2, 1, 1, 1, 1, 1 };
	struct err err = { 0 };
	uint8_t mac[SYS_MAC_LEN];

	fake_add_interface(fake, "br0", bridge);
	cr_expect_eq(policy_check_mac(sys, &pf, 1, free_mac, &err), 0, "%s", err.msg);
	memcpy(mac, fake_vf(fake, "eth0", 1)->mac, SYS_MAC_LEN);
	cr_expect_eq(policy_check_mac(sys, &pf, 1, mac, &err), 0, "its own: %s", err.msg);
	cr_expect_eq(policy_check_mac(sys, &pf, 2, mac, &err), -EEXIST);
	cr_expect_str_eq(err.code, "policy.mac-in-use");
	cr_expect(strstr(err.msg, "eth0/vf1 has it"), "%s", err.msg);
	fake_vf(fake, "eth1", 1)->mac[0] = 0x02;
	cr_expect_eq(policy_check_mac(sys, &pf, 1, fake_vf(fake, "eth1", 1)->mac, &err), -EEXIST);
	cr_expect(strstr(err.msg, "eth1/vf1 has it"), "%s", err.msg);
	cr_expect_eq(policy_check_mac(sys, &pf, 1, fake_link(fake, "eth1")->mac, &err), -EEXIST);
	cr_expect_eq(policy_check_mac(sys, &pf, 1, pf.link.mac, &err), -EEXIST);
	cr_expect_eq(policy_check_mac(sys, &pf, 1, bridge, &err), -EEXIST);
	cr_expect(strstr(err.msg, "br0 has it"), "%s", err.msg);
	memcpy(fake_link(fake, "eth0v3")->mac, free_mac, SYS_MAC_LEN);
	cr_expect_eq(policy_check_mac(sys, &pf, 1, free_mac, &err), -EEXIST, "another VF's interface");
	cr_expect_eq(policy_check_mac(sys, &pf, 3, free_mac, &err), 0);
}

Test(policy, whether_a_mac_is_free_may_be_unknown)
{
	static const uint8_t mac[SYS_MAC_LEN] = { 0x52, 0x54, 0, 9, 9, 9 };
	unsigned calls = fake_calls(fake);

	cr_assert_eq(policy_check_mac(sys, &pf, 1, mac, NULL), 0);
	calls = fake_calls(fake) - calls;
	for (unsigned n = 1; n <= calls; n++) {
		struct err err = { 0 };

		fake_fail_at(fake, n, -EIO);
		cr_expect_eq(policy_check_mac(sys, &pf, 1, mac, &err), -EIO, "call %u", n);
		cr_expect(err.code[0]);
	}
}

Test(policy, apply_writes_what_was_asked_and_no_more)
{
	struct sys_vf want = { .fields = SYS_VF_VLAN, .vlan = 100, .qos = 2 }, *vf = fake_vf(fake, "eth0", 2), before = *vf;

	want.proto = 0x8100;
	fake_refuse_vf_fields(fake, "eth0", ~(unsigned)SYS_VF_VLAN, "not asked for");
	cr_expect_eq(policy_apply(sys, &pf, 2, &want, NULL), 0);
	cr_expect(vf->vlan == 100 && vf->qos == 2);
	before.vlan = 100;
	before.qos = 2;
	cr_expect_eq(memcmp(vf, &before, sizeof(before)), 0, "another field was touched");
}

Test(policy, one_rate_leaves_the_other)
{
	struct sys_vf want = { 0 };

	fake_vf(fake, "eth0", 0)->min_tx_rate = 50;
	cr_assert_eq(policy_parse_word("max_tx_rate", "500", &want, NULL), 0);
	cr_expect_eq(policy_apply(sys, &pf, 0, &want, NULL), 0);
	cr_expect_eq(fake_vf(fake, "eth0", 0)->min_tx_rate, 50);
	cr_expect_eq(fake_vf(fake, "eth0", 0)->max_tx_rate, 500);
	cr_assert_eq(policy_parse_word("max_tx_rate", "20", &want, NULL), 0);
	cr_expect_eq(policy_apply(sys, &pf, 0, &want, NULL), -EINVAL, "50 is over 20");
}

Test(policy, refusals_and_lies)
{
	struct sys_vf want = { .fields = SYS_VF_SPOOFCHK | SYS_VF_TRUST, .trust = true };
	struct err err = { 0 };

	fake_refuse_vf_fields(fake, "eth0", SYS_VF_TRUST, "igb: VF trust needs firmware 2.0");
	cr_expect_eq(policy_apply(sys, &pf, 0, &want, &err), -EOPNOTSUPP);
	cr_expect_str_eq(err.code, "sriov.vf-set-refused");
	cr_expect(strstr(err.msg, "eth0/vf0: trust refused: igb: VF trust needs firmware 2.0"), "%s", err.msg);
	fake_refuse_vf_fields(fake, "eth0", 0, "");
	fake_swallow_vf_fields(fake, "eth0", SYS_VF_TRUST);
	cr_expect_eq(policy_apply(sys, &pf, 0, &want, &err), -EIO);
	cr_expect_str_eq(err.code, "policy.not-taken");
	cr_expect(strstr(err.msg, "trust"), "%s", err.msg);
	cr_expect_eq(policy_apply(sys, &pf, 4, &want, &err), -ENOENT);
	cr_expect_str_eq(err.code, "sriov.no-such-vf");
	/* what the driver does not report cannot be read back */
	fake_vf(fake, "eth0", 1)->fields &= ~(unsigned)SYS_VF_TRUST;
	cr_expect_eq(policy_apply(sys, &pf, 1, &want, &err), 0, "%s", err.msg);
	pf.ifname[0] = '\0';
	cr_expect_eq(policy_apply(sys, &pf, 1, &want, &err), -EOPNOTSUPP);
}

Test(policy, a_vf_in_reset_is_tried_again)
{
	struct sys_vf want = { .fields = SYS_VF_STATE, .state = SYS_VF_STATE_ENABLE };
	struct err err = { 0 };

	fake_vf_in_reset(fake, "eth0", 3);
	cr_expect_eq(policy_apply(sys, &pf, 0, &want, &err), 0);
	cr_expect_str_eq(err.code, "");
	fake_vf_in_reset(fake, "eth0", 1000);
	cr_expect_eq(policy_apply(sys, &pf, 0, &want, &err), -EAGAIN);
}

static const struct sys_vf all = {
	.fields = SYS_VF_MAC | SYS_VF_VLAN | SYS_VF_SPOOFCHK | SYS_VF_TRUST | SYS_VF_STATE | SYS_VF_RATE,
	.mac = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 },
	.vlan = 10,
	.proto = 0x8100,
	.trust = true,
	.state = SYS_VF_STATE_ENABLE,
	.max_tx_rate = 1000,
};

Test(policy, apply_and_restore_fail_at_any_call)
{
	struct sys_vf saved = *fake_vf(fake, "eth0", 1);
	char *before = fake_snapshot(fake), *after;
	unsigned n;

	for (n = 1; n < 100; n++) {
		struct err err = { 0 };
		bool failed;
		int r;

		fake_fail_at(fake, n, -EIO);
		r = policy_apply(sys, &pf, 1, &all, &err);
		failed = fake_failed(fake);
		cr_expect_eq(r, failed ? -EIO : 0, "call %u", n);
		cr_expect(!failed || err.code[0], "call %u", n);
		if (failed) /* the same call of the restore fails as well, and the second restore ends it */
			fake_fail_at(fake, n, -EIO);
		r = policy_restore(sys, &pf, 1, &saved, all.fields, &err);
		fake_fail_at(fake, 0, 0);
		cr_expect_eq(policy_restore(sys, &pf, 1, &saved, all.fields, &err), 0, "call %u: %s", n, err.msg);
		after = fake_snapshot(fake);
		cr_expect_str_eq(before, after, "call %u", n);
		free(after);
		if (!failed)
			break;
	}
	for (n = 1; n < 100; n++) {
		int r;

		cr_assert_eq(policy_apply(sys, &pf, 1, &all, NULL), 0);
		fake_fail_at(fake, n, -EIO);
		r = policy_restore(sys, &pf, 1, &saved, all.fields, NULL);
		if (!fake_failed(fake)) {
			cr_expect_eq(r, 0);
			break;
		}
		cr_expect_eq(r, -EIO, "call %u", n);
		cr_expect_eq(policy_restore(sys, &pf, 1, &saved, all.fields, NULL), 0, "call %u", n);
		after = fake_snapshot(fake);
		cr_expect_str_eq(before, after, "call %u", n);
		free(after);
	}
	fake_fail_at(fake, 0, 0);
	cr_expect_gt(n, 10);
	cr_expect_lt(n, 100);
	free(before);
}

Test(policy, restore_touches_what_was_touched)
{
	struct sys_vf saved = *fake_vf(fake, "eth0", 1), *vf = fake_vf(fake, "eth0", 1);

	cr_assert_eq(policy_apply(sys, &pf, 1, &all, NULL), 0);
	cr_expect_eq(policy_restore(sys, &pf, 1, &saved, SYS_VF_VLAN, NULL), 0);
	cr_expect(vf->vlan == 0 && vf->trust && vf->max_tx_rate == 1000);
	/* a refusal of one does not keep the others from being put back */
	fake_refuse_vf_fields(fake, "eth0", SYS_VF_TRUST, "no");
	cr_expect_eq(policy_restore(sys, &pf, 1, &saved, all.fields, NULL), -EOPNOTSUPP);
	cr_expect(vf->trust && vf->max_tx_rate == 0 && vf->state == saved.state);
	cr_expect_eq(memcmp(vf->mac, saved.mac, SYS_MAC_LEN), 0);
}

Test(policy, a_zero_mac_refused_or_ignored_becomes_one_of_its_own)
{
	uint8_t own[4][SYS_MAC_LEN];
	unsigned calls;

	fake_refuse_zero_mac(fake, "eth0");
	for (unsigned i = 0; i < 4; i++) {
		struct sys_vf saved = *fake_vf(fake, "eth0", i),
			      want = { .fields = SYS_VF_MAC, .mac = { 0x52, 0x54, 0, 7, 7, 7 } };
		struct err err = { 0 };

		memset(saved.mac, 0, SYS_MAC_LEN);
		fake_swallow_vf_fields(fake, "eth0", 0);
		cr_assert_eq(policy_apply(sys, &pf, i, &want, NULL), 0);
		cr_expect_eq(policy_restore(sys, &pf, i, &saved, SYS_VF_MAC, &err), 0, "%s", err.msg);
		cr_expect_str_eq(err.code, "");
		memcpy(own[i], fake_vf(fake, "eth0", i)->mac, SYS_MAC_LEN);
		cr_expect_eq(own[i][0] & 3, 2, "locally administered, unicast");
		for (unsigned j = 0; j < i; j++)
			cr_expect(memcmp(own[i], own[j], SYS_MAC_LEN), "vf%u and vf%u", i, j);
		calls = fake_calls(fake);
		cr_expect_eq(policy_restore(sys, &pf, i, &saved, SYS_VF_MAC, NULL), 0);
		cr_expect_eq(fake_calls(fake) - calls, 1, "done before: only looked at");
	}
}

Test(policy, what_is_gone_needs_no_restore)
{
	struct sys_vf saved = *fake_vf(fake, "eth0", 3);

	cr_assert_eq(sriov_pf_set_numvfs(sys, &pf, 2, NULL), 0);
	cr_expect_eq(policy_restore(sys, &pf, 3, &saved, all.fields, NULL), 0);
	fake_remove_function(fake, PF);
	cr_expect_eq(policy_restore(sys, &pf, 1, &saved, all.fields, NULL), 0);
}
