/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's vIOMMU and the width of its destination ids, as QEMU 7.2.22 shows them, and as nobody should. */
#include "vmm_irq.h"
#include "vmm_table_test.h"

static struct result {
	struct outcome o;
	struct vmm_platform platform;
} res;

static void on_platform(void *ctx, int r, const struct vmm_platform *platform, const struct err *err)
{
	cr_assert_eq(ctx, &res.o);
	cr_assert_eq(r == 0, platform != NULL);
	if (platform)
		res.platform = *platform;
	on_done(ctx, r, err);
}

/* One at a time. */
static int ask(struct outcome *o)
{
	int r = vmm_query_platform(vmm, on_platform, o, NULL);

	cr_assert_eq(vmm_query_platform(vmm, on_platform, o, NULL), -EBUSY);
	return r;
}

/* clang-format off */
#define INTREMAP(path, value) { "qom-get", "\"" path "\", \"property\": \"intremap\"", value }
#define VCPU { "query-cpus-fast", NULL, "\"return\": [{\"qom-path\": \"/m/cpu0\", \"cpu-index\": 0, \"thread-id\": 7}, {}]" }
#define EXT(value) { "qom-get", "\"/m/cpu0\", \"property\": \"kvm-msi-ext-dest-id\"", value }
#define NO "\"error\": {\"class\": \"GenericError\", \"desc\": \"Property 'x.y' not found\"}"

static const struct {
	const char *what;
	struct fake_qmp_answer table[8];
	int r;
	struct vmm_platform is;
} rows[] = {
	{ "none", { DEVS(DEV("rp1", "pcie-root-port")), ANON(""), VCPU, EXT(IS("false")) }, 0, { 0 } },
	{ "wide ids", { DEVS(""), ANON(""), VCPU, EXT(IS("true")) }, 0, { .ext_dest_id = true } },
	{ "no trees, no such property", { VCPU, EXT(NO) }, 0, { 0 } },
	{ "intel, on", { DEVS(""), ANON(DEV("device[0]", "intel-iommu")), INTREMAP("/machine/peripheral-anon/device[0]", IS("\"on\"")),
			 VCPU, EXT(IS("true")) }, 0, { .vtd_remaps = true, .ext_dest_id = true } },
	{ "intel, off", { DEVS(DEV("iommu0", "intel-iommu")), ANON(""), INTREMAP("/machine/peripheral/iommu0", IS("\"off\"")), VCPU,
			  EXT(IS("true")) }, 0, { .ext_dest_id = true } },
	{ "amd, on", { DEVS(DEV("iommu0", "amd-iommu")), ANON(""), INTREMAP("/machine/peripheral/iommu0", IS("\"on\"")), VCPU,
		       EXT(IS("false")) }, 0, { .amd_remaps = true } },
	{ "amd, a boolean", { DEVS(DEV("iommu0", "amd-iommu")), ANON(""), INTREMAP("/machine/peripheral/iommu0", IS("false")), VCPU,
			      EXT(IS("false")) }, 0, { 0 } },
	{ "amd, does not say", { DEVS(DEV("iommu0", "amd-iommu")), ANON(""), VCPU, EXT(IS("false")) }, 0, { .amd_remaps = true } },
	{ "amd, with a name that is no path", { DEVS(DEV("../x", "amd-iommu")), ANON(""), VCPU, EXT(IS("false")) }, 0, { .amd_remaps = true } },
	{ "virtio-iommu remaps nothing", { DEVS(DEV("v", "virtio-iommu-pci")), ANON(""), VCPU, EXT(NO) }, 0, { 0 } },
	{ "two: the first", { DEVS(DEV("a", "amd-iommu")), ANON(DEV("b", "intel-iommu")), INTREMAP("/machine/peripheral/a", IS("\"on\"")),
			      VCPU, EXT(NO) }, 0, { .amd_remaps = true } },
	{ "no vCPUs", { DEVS(""), ANON(""), { "query-cpus-fast", NULL, IS("[]") } }, -EPROTO, { 0 } },
	{ "vCPUs refused", { DEVS(""), ANON("") }, -EOPNOTSUPP, { 0 } },
	{ "a list of numbers", { { "qom-list", NULL, IS("[1]") } }, -EPROTO, { 0 } },
	{ "no list", { { "qom-list", NULL, IS("{}") } }, -EPROTO, { 0 } },
	{ "intremap: a number", { DEVS(DEV("a", "amd-iommu")), ANON(""), INTREMAP("/machine/peripheral/a", IS("1")) }, -EPROTO, { 0 } },
	{ "ext: a word", { DEVS(""), ANON(""), VCPU, EXT(IS("\"on\"")) }, -EPROTO, { 0 } },
};
/* clang-format on */

Test(vmm_platform, rows, .timeout = 60)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		res = (struct result){ 0 };
		ask_by_table(rows[i].table, ask, &res.o);
		cr_assert_eq(res.o.r, rows[i].r, "%s: %d %s", rows[i].what, res.o.r, res.o.err.msg);
		cr_assert_eq(res.platform.vtd_remaps, rows[i].is.vtd_remaps, "%s", rows[i].what);
		cr_assert_eq(res.platform.amd_remaps, rows[i].is.amd_remaps, "%s", rows[i].what);
		cr_assert_eq(res.platform.ext_dest_id, rows[i].is.ext_dest_id, "%s", rows[i].what);
		if (res.o.r == -EPROTO)
			cr_assert_str_eq(res.o.err.code, "vmm.bad-answer");
	}
}

/* It dies, or is given up, at each question in turn. */
Test(vmm_platform, it_dies_at_each_question, .timeout = 60)
{
	static const struct question questions[] = {
		{ "qom-list", "[{\"name\": \"i\", \"type\": \"child<intel-iommu>\"}]" },
		{ "qom-list", "[]" },
		{ "qom-get", "\"on\"" },
		{ "query-cpus-fast", "[{\"qom-path\": \"/m/cpu0\"}]" },
		{ "qom-get", "true" },
	};

	lose_at_each_question(questions, sizeof(questions) / sizeof(questions[0]), ask, &res.o);
}
