/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many VFs: the ways there, and what the kernel's refusals mean. */
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

static void setup(void)
{
	fake = fake_new();
	sys = fake_sys(fake);
	fake_add_pf(fake, PF, "eth0", "bnxt_en", "bnxt_en", 8);
}

static void teardown(void)
{
	fake_free(fake);
}

TestSuite(numvfs, .init = setup, .fini = teardown);

static int set(unsigned nr, struct err *err)
{
	struct sriov_pf pf;

	cr_assert_eq(sriov_pf_get(sys, "eth0", &pf, NULL), 0);
	err_clear(err);
	return sriov_pf_set_numvfs(sys, &pf, nr, err);
}

static unsigned count(void)
{
	struct sriov_pf pf;

	cr_assert_eq(sriov_pf_get(sys, "eth0", &pf, NULL), 0);
	return pf.nr_vfs;
}

Test(numvfs, up_down_and_across)
{
	static const unsigned steps[] = { 4, 4, 8, 1, 0, 0, 2 };

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		cr_expect_eq(set(steps[i], NULL), 0);
		cr_expect_eq(count(), steps[i]);
	}
}

Test(numvfs, the_same_count_writes_nothing)
{
	char *before, *after;

	cr_assert_eq(set(4, NULL), 0);
	fake_vf(fake, "eth0", 2)->vlan = 5;
	before = fake_snapshot(fake);
	cr_expect_eq(set(4, NULL), 0);
	after = fake_snapshot(fake);
	cr_expect_str_eq(before, after);
	free(before);
	free(after);
}

Test(numvfs, too_many)
{
	struct err err;

	cr_assert_eq(set(2, NULL), 0);
	cr_expect_eq(set(9, &err), -ERANGE);
	cr_expect_str_eq(err.code, "sriov.too-many-vfs");
	cr_expect(strstr(err.msg, "at most 8") && strstr(err.hint, "vfs 8"), "%s (%s)", err.msg, err.hint);
	cr_expect_eq(count(), 2);
	cr_expect_eq(set(8, &err), 0);
}

Test(numvfs, refusals_have_a_cause)
{
	static const struct {
		int kernel, num;
		bool down;
		const char *code, *words;
	} cases[] = {
		{ -EBUSY, -EBUSY, false, "sriov.numvfs-busy", "in use" },
		{ -ENOMEM, -ENOMEM, false, "sriov.no-room", "not enough MMIO space or bus numbers" },
		{ -ENOENT, -EOPNOTSUPP, false, "sriov.no-sriov-driver", "makes no VFs" },
		{ -EIO, -EIO, false, "sriov.numvfs", "Input/output error" },
		{ -EINVAL, -EINVAL, true, "sriov.numvfs", "PF is not online" },
		{ 1, -EIO, true, "sriov.numvfs-not-taken", "PF is not online" },
		{ 1, -EIO, false, "sriov.numvfs-not-taken", "made 0 of 3" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err;

		fake_refuse_numvfs(fake, PF, cases[i].kernel);
		fake_link(fake, "eth0")->up = !cases[i].down;
		cr_expect_eq(set(3, &err), cases[i].num);
		cr_expect_str_eq(err.code, cases[i].code);
		cr_expect(strstr(err.msg, cases[i].words), "%s", err.msg);
		cr_expect(err.hint[0], "%s", err.code);
		cr_expect_eq(count(), 0);
	}
}

/* A change that fails half-way leaves the count there was. */
Test(numvfs, every_call_may_fail)
{
	unsigned calls;

	cr_assert_eq(set(4, NULL), 0);
	calls = fake_calls(fake);
	cr_assert_eq(set(6, NULL), 0);
	calls = fake_calls(fake) - calls;
	cr_assert_eq(set(4, NULL), 0);
	for (unsigned n = 1; n <= calls; n++) {
		struct sriov_pf pf;
		struct err err = { 0 };
		int r;

		cr_assert_eq(sriov_pf_get(sys, "eth0", &pf, NULL), 0);
		fake_fail_at(fake, n, -EIO);
		r = sriov_pf_set_numvfs(sys, &pf, 6, &err);
		if (!fake_failed(fake)) {
			fake_fail_at(fake, 0, 0);
			cr_expect_eq(r, 0);
			break;
		}
		cr_expect_eq(r, -EIO, "call %u", n);
		cr_expect_eq(count(), 4, "call %u: %u", n, count());
	}
}
