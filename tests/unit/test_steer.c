/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VF's filter: given the guest's MAC, and taken away again, whatever the driver thinks of that. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "err.h"
#include "fake.h"
#include "sriov_steer.h"

static const uint8_t guest[SYS_MAC_LEN] = { 0x52, 0x54, 0, 0, 0, 0xaa }, other[SYS_MAC_LEN] = { 0x52, 0x54, 0, 0, 0, 0xbb };
static const uint8_t zero[SYS_MAC_LEN];
static struct fake *fake;
static struct sys *sys;
static struct sriov_pf pf;

static void setup(void)
{
	fake = fake_new();
	sys = fake_sys(fake);
	fake_add_pf(fake, "0000:3b:00.0", "eth0", "igb", "igbvf", 8);
	cr_assert_eq(sriov_pf_get(sys, "eth0", &pf, NULL), 0);
	cr_assert_eq(sriov_pf_set_numvfs(sys, &pf, 2, NULL), 0);
	cr_assert_eq(sriov_pf_get(sys, "eth0", &pf, NULL), 0);
}

static void teardown(void)
{
	fake_free(fake);
}

TestSuite(steer, .init = setup, .fini = teardown);

static bool vf_has(const uint8_t *mac)
{
	return memcmp(fake_vf(fake, "eth0", 1)->mac, mac, SYS_MAC_LEN) == 0;
}

Test(steer, to_the_vf_and_off_again)
{
	const struct sys_vf none = { .fields = SYS_VF_MAC },
			    admin = { .fields = SYS_VF_MAC, .mac = { 0x52, 0x54, 0, 0, 0, 0xbb } };
	const struct sys_vf same = { .fields = SYS_VF_MAC, .mac = { 0x52, 0x54, 0, 0, 0, 0xaa } }, unknown = { 0 };
	const struct {
		const struct sys_vf *saved;
		const uint8_t *want;
	} rows[] = { { &none, zero }, { &admin, other }, { &same, zero }, { &unknown, zero } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int twice = 0; twice < 2; twice++)
			cr_assert_eq(sriov_steer_to_vf(sys, &pf, 1, guest, NULL), 0);
		cr_expect(vf_has(guest), "row %zu", i);
		for (int twice = 0; twice < 2; twice++)
			cr_assert_eq(sriov_steer_off_vf(sys, &pf, 1, guest, rows[i].saved, NULL), 0);
		cr_expect(vf_has(rows[i].want), "row %zu", i);
	}
}

Test(steer, another_mac_is_left_alone)
{
	const struct sys_vf none = { .fields = SYS_VF_MAC };

	cr_assert_eq(sriov_steer_to_vf(sys, &pf, 1, other, NULL), 0);
	cr_expect_eq(sriov_steer_off_vf(sys, &pf, 1, guest, &none, NULL), 0);
	cr_expect(vf_has(other));
}

Test(steer, a_driver_that_refuses_to_have_none)
{
	const struct sys_vf none = { .fields = SYS_VF_MAC };

	fake_refuse_zero_mac(fake, "eth0");
	cr_assert_eq(sriov_steer_to_vf(sys, &pf, 1, guest, NULL), 0);
	cr_expect_eq(sriov_steer_off_vf(sys, &pf, 1, guest, &none, NULL), 0);
	cr_expect_not(vf_has(guest));
	cr_expect_not(vf_has(zero));
}

Test(steer, a_driver_that_keeps_it)
{
	const struct sys_vf none = { .fields = SYS_VF_MAC };
	struct err err = { 0 };

	cr_assert_eq(sriov_steer_to_vf(sys, &pf, 1, guest, NULL), 0);
	fake_swallow_vf_fields(fake, "eth0", SYS_VF_MAC);
	cr_expect_eq(sriov_steer_off_vf(sys, &pf, 1, guest, &none, &err), -EIO);
	cr_expect_str_eq(err.code, "steer.not-dropped");
	cr_expect_eq(sriov_steer_to_vf(sys, &pf, 1, other, &err), -EIO);
	cr_expect_str_eq(err.code, "policy.not-taken");
}

Test(steer, what_is_not_there)
{
	const struct sys_vf none = { .fields = SYS_VF_MAC };
	struct err err = { 0 };

	cr_expect_eq(sriov_steer_to_vf(sys, &pf, 7, guest, &err), -ENOENT);
	cr_expect_str_eq(err.code, "sriov.no-such-vf");
	cr_expect_eq(sriov_steer_off_vf(sys, &pf, 7, guest, &none, &err), 0);
	fake_remove_function(fake, "0000:3b:00.0");
	cr_expect_eq(sriov_steer_off_vf(sys, &pf, 1, guest, &none, &err), 0);
}

Test(steer, fail_nth)
{
	const struct sys_vf none = { .fields = SYS_VF_MAC };
	unsigned n;

	for (n = 1; n < 100; n++) {
		struct err err = { 0 };
		bool hit;
		int r;

		cr_assert_eq(sriov_steer_to_vf(sys, &pf, 1, guest, NULL), 0);
		fake_fail_at(fake, n, -EIO);
		r = sriov_steer_off_vf(sys, &pf, 1, guest, &none, &err);
		hit = fake_failed(fake);
		fake_fail_at(fake, 0, 0);
		if (!hit)
			break;
		cr_expect(r == 0 || err.code[0], "call %u", n);
		cr_assert_eq(sriov_steer_off_vf(sys, &pf, 1, guest, &none, NULL), 0);
		cr_expect(vf_has(zero) || !vf_has(guest), "call %u", n);
	}
	cr_expect(n > 3 && n < 100);
}
