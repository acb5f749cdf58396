/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Driver binding: there, back, and back from anywhere in between. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "fake.h"
#include "sriov.h"

#define PF "0000:3b:00.0"
#define VF "0000:3b:10.2"
#define VF_DIR "/sys/bus/pci/devices/" VF

static struct fake *fake;
static struct sys *sys;
static char *before;

static void setup(void)
{
	struct sriov_pf pf;

	fake = fake_new();
	sys = fake_sys(fake);
	fake_add_pf(fake, PF, "eth0", "igb", "igbvf", 8);
	fake_add_driver(fake, "vfio-pci");
	cr_assert_eq(sriov_pf_get(sys, "eth0", &pf, NULL), 0);
	cr_assert_eq(sriov_pf_set_numvfs(sys, &pf, 2, NULL), 0);
	before = fake_snapshot(fake);
}

static void teardown(void)
{
	cr_expect_eq(fake_open_fds(fake), 0);
	free(before);
	fake_free(fake);
}

TestSuite(binding, .init = setup, .fini = teardown);

static void expect_unchanged(const char *when, unsigned n)
{
	char *after = fake_snapshot(fake);

	cr_expect_str_eq(before, after, "%s, call %u", when, n);
	free(after);
}

static void expect_bound(const char *driver, const char *override)
{
	struct sriov_binding b;

	cr_assert_eq(sriov_binding_get(sys, VF, &b, NULL), 0);
	cr_expect_str_eq(b.driver, driver);
	cr_expect_str_eq(b.override, override);
}

Test(binding, there_and_back)
{
	struct sriov_binding old;
	unsigned calls;

	cr_assert_eq(sriov_binding_get(sys, VF, &old, NULL), 0);
	cr_expect_str_eq(old.driver, "igbvf");
	cr_expect_eq(sriov_bind(sys, VF, "vfio-pci", NULL), 0);
	expect_bound("vfio-pci", "vfio-pci");
	calls = fake_calls(fake);
	cr_expect_eq(sriov_bind(sys, VF, "vfio-pci", NULL), 0);
	cr_expect_leq(fake_calls(fake) - calls, 2, "bound already: looked at, not written");
	cr_expect_eq(sriov_binding_restore(sys, VF, &old, NULL), 0);
	expect_unchanged("after restore", 0);
	cr_expect_eq(sriov_binding_restore(sys, VF, &old, NULL), 0);
	expect_unchanged("after the second restore", 0);
}

Test(binding, what_was_there_may_be_anything)
{
	static const struct sriov_binding olds[] = {
		{ "", "" },	    { "igbvf", "" },	     { "igbvf", "igbvf" }, { "vfio-pci", "vfio-pci" },
		{ "", "vfio-pci" }, { "igbvf", "vfio-pci" }, { "vfio-pci", "" },
	};

	for (size_t i = 0; i < sizeof(olds) / sizeof(olds[0]); i++) {
		for (size_t j = 0; j < sizeof(olds) / sizeof(olds[0]); j++) {
			/* a driver bound by an override that was taken away since cannot be bound like that by us */
			if (strcmp(olds[j].driver, "vfio-pci") == 0 && !olds[j].override[0])
				continue;
			sriov_binding_restore(sys, VF, &olds[i], NULL);
			cr_expect_eq(sriov_binding_restore(sys, VF, &olds[j], NULL), 0, "%zu to %zu", i, j);
			expect_bound(olds[j].driver, olds[j].override);
		}
	}
}

Test(binding, refusals)
{
	struct err err = { 0 };

	cr_expect_eq(sriov_bind(sys, VF, "uio_pci_generic", &err), -ENODEV);
	cr_expect_str_eq(err.code, "sriov.no-driver");
	cr_expect_str_eq(err.hint, "modprobe uio_pci_generic");
	cr_expect_eq(sriov_bind(sys, VF, "../vfio-pci", &err), -EINVAL);
	cr_expect_eq(sriov_bind(sys, VF, "", &err), -EINVAL);
	cr_expect_eq(sriov_bind(sys, "0000:99:00.0", "vfio-pci", &err), -ENOENT);
	cr_expect_str_eq(err.code, "sriov.no-such-device");
	expect_unchanged("after refusals", 0);
}

Test(binding, without_iommu_the_old_driver_comes_back)
{
	struct err err = { 0 };

	free(before);
	fake_set_iommu(fake, false);
	before = fake_snapshot(fake);
	cr_expect_eq(sriov_bind(sys, VF, "vfio-pci", &err), -EINVAL);
	cr_expect_str_eq(err.code, "sriov.bind");
	cr_expect(strstr(err.hint, "IOMMU"), "%s", err.hint);
	expect_unchanged("without IOMMU", 0);
}

Test(binding, a_function_that_is_gone_needs_no_restore)
{
	static const struct sriov_binding old = { "igbvf", "" };
	struct err err = { 0 };

	cr_assert_eq(sriov_bind(sys, VF, "vfio-pci", NULL), 0);
	fake_remove_function(fake, VF);
	cr_expect_eq(sriov_binding_restore(sys, VF, &old, &err), 0);
	cr_expect_str_eq(err.code, "");
}

Test(binding, a_driver_unloaded_meanwhile)
{
	static const struct sriov_binding old = { "gone_drv", "" };
	struct err err = { 0 };

	cr_assert_eq(sriov_bind(sys, VF, "vfio-pci", NULL), 0);
	cr_expect_eq(sriov_binding_restore(sys, VF, &old, &err), -ENODEV);
	cr_expect_str_eq(err.code, "sriov.no-driver");
	expect_bound("vfio-pci", "");
}

Test(binding, bind_fails_at_any_call_and_leaves_no_trace)
{
	unsigned n;

	for (n = 1; n < 100; n++) {
		struct err err = { 0 };
		int r;

		fake_fail_at(fake, n, -EIO);
		r = sriov_bind(sys, VF, "vfio-pci", &err);
		if (!fake_failed(fake)) {
			cr_expect_eq(r, 0);
			break;
		}
		fake_fail_at(fake, 0, 0);
		cr_assert_lt(r, 0, "call %u failed unseen", n);
		cr_expect(err.code[0] && err.num == r, "call %u", n);
		expect_unchanged("after a failed bind", n);
	}
	cr_expect_gt(n, 5);
	cr_expect_lt(n, 100);
	fake_fail_at(fake, 0, 0);
}

Test(binding, restore_fails_at_any_call_and_the_next_one_ends_it)
{
	static const struct sriov_binding old = { "igbvf", "" };
	unsigned n;

	for (n = 1; n < 100; n++) {
		int r;

		cr_assert_eq(sriov_bind(sys, VF, "vfio-pci", NULL), 0);
		fake_fail_at(fake, n, -EIO);
		r = sriov_binding_restore(sys, VF, &old, NULL);
		if (!fake_failed(fake)) {
			cr_expect_eq(r, 0);
			break;
		}
		fake_fail_at(fake, 0, 0);
		cr_expect_lt(r, 0, "call %u", n);
		cr_expect_eq(sriov_binding_restore(sys, VF, &old, NULL), 0, "after call %u", n);
		expect_unchanged("after a second restore", n);
	}
	cr_expect_gt(n, 5);
	cr_expect_lt(n, 100);
	fake_fail_at(fake, 0, 0);
}
