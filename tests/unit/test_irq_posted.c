/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hosts say of interrupts that their hardware posts. */
#include <criterion/criterion.h>

#include "fake_internal.h"
#include "irq_posted.h"

static void put_iommu(struct fake *fake, const char *iommu, const char *make, const char *file, const char *text)
{
	fake_mkdir(fake, "/sys/class/iommu/%s/%s", iommu, make);
	fake_put(fake, text, "/sys/class/iommu/%s/%s/%s", iommu, make, file);
}

Test(irq_posted, hosts)
{
	static const struct {
		const char *apicv, *avic, *intel[2], *amd;
		bool posts;
	} rows[] = {
		{ NULL, NULL, { NULL, NULL }, NULL, false },
		{ "Y\n", NULL, { "8d2078c106f0466\n", "8d2078c106f0466\n" }, NULL, true },
		{ "Y\n", NULL, { "8d2078c106f0466\n", "d2078c106f0462\n" }, NULL, false }, /* one of them cannot */
		{ "N\n", NULL, { "8d2078c106f0466\n", NULL }, NULL, false },
		{ "Y\n", NULL, { NULL, NULL }, NULL, false },
		{ "Y\n", NULL, { "what?\n", NULL }, NULL, false },
		{ "Y\n", NULL, { "\n", NULL }, NULL, false },
		{ "Y\n", NULL, { "8d2078c106f0466 and more\n", NULL }, NULL, false },
		{ NULL, "1\n", { NULL, NULL }, "25bf732fa2295afe:1d\n", true },
		{ NULL, "Y\n", { NULL, NULL }, "25bf732fa2295afe\n", true },
		{ NULL, "Y\n", { NULL, NULL }, "4f77ef22094ada\n", false },
		{ NULL, "N\n", { NULL, NULL }, "25bf732fa2295afe:1d\n", false },
		{ "Y\n", NULL, { NULL, NULL }, "25bf732fa2295afe:1d\n", false }, /* of the other make */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fake *fake = fake_new();

		fake_mkdir(fake, "/sys/module/kvm_intel/parameters");
		fake_mkdir(fake, "/sys/module/kvm_amd/parameters");
		if (rows[i].apicv)
			fake_put(fake, rows[i].apicv, "/sys/module/kvm_intel/parameters/enable_apicv");
		if (rows[i].avic)
			fake_put(fake, rows[i].avic, "/sys/module/kvm_amd/parameters/avic");
		for (int k = 0; k < 2; k++)
			if (rows[i].intel[k])
				put_iommu(fake, k ? "dmar1" : "dmar0", "intel-iommu", "cap", rows[i].intel[k]);
		if (rows[i].amd)
			put_iommu(fake, "ivhd0", "amd-iommu", "features", rows[i].amd);
		cr_assert_eq(irq_host_posts(fake_sys(fake)), rows[i].posts, "row %zu", i);
		fake_free(fake);
	}
}
