/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSI messages as the manuals define them (see msi.h for the sections), and what a guest may write instead. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "msi.h"

#define F MSI_FIXED
#define L MSI_LOWEST

struct row {
	const char *what;
	struct msi_message m;
	unsigned flags;
	struct msi is;
};

/* clang-format off */
static const struct row rows[] = {
	/* SDM 11.11: FEE in 31:20, destination in 19:12, redirection hint 3, destination mode 2; trigger 15, level 14, delivery mode 10:8 */
	{ "fixed to APIC id 0", { 0xfee00000, 0, 0x0041, 0 }, 0, { .delivery = F, .vector = 0x41 } },
	{ "fixed to APIC id 1", { 0xfee01000, 0, 0x4041, 0 }, 0, { .delivery = F, .vector = 0x41, .destination = 1, .assert = true } },
	{ "fixed to APIC id FEH, masked", { 0xfeefe000, 0, 0x00fe, 1 }, 0, { .masked = true, .vector = 0xfe, .destination = 0xfe } },
	{ "physical broadcast", { 0xfeeff000, 0, 0x0030, 0 }, 0, { .vector = 0x30, .destination = 0xff } },
	{ "logical, no hint: Linux's apic_flat", { 0xfee02004, 0, 0x4022, 0 }, 0,
	  { .logical = true, .vector = 0x22, .destination = 2, .assert = true } },
	{ "logical with hint, lowest priority: SDM's own", { 0xfee0f00c, 0, 0x4161, 0 }, 0,
	  { .delivery = L, .logical = true, .one_of = true, .vector = 0x61, .destination = 0x0f, .assert = true } },
	{ "hint and physical: no redirection, one destination", { 0xfee03008, 0, 0x0051, 0 }, 0,
	  { .one_of = true, .vector = 0x51, .destination = 3 } },
	{ "hint, logical, fixed", { 0xfee0300c, 0, 0x0051, 0 }, 0, { .logical = true, .one_of = true, .vector = 0x51, .destination = 3 } },
	{ "lowest priority without hint", { 0xfee01004, 0, 0x0151, 0 }, 0,
	  { .delivery = L, .logical = true, .one_of = true, .vector = 0x51, .destination = 1 } },
	{ "level-triggered, assert", { 0xfee00000, 0, 0xc0a0, 0 }, 0, { .level = true, .assert = true, .vector = 0xa0 } },
	{ "level-triggered, deassert", { 0xfee00000, 0, 0x80a0, 0 }, 0, { .level = true, .vector = 0xa0 } },
	{ "SMI: vector zero", { 0xfee00000, 0, 0x0200, 0 }, 0, { .delivery = MSI_SMI } },
	{ "NMI: vector does not count", { 0xfee01000, 0, 0x0402, 0 }, 0, { .delivery = MSI_NMI, .vector = 2, .destination = 1 } },
	{ "INIT", { 0xfee01000, 0, 0x0500, 0 }, 0, { .delivery = MSI_INIT, .destination = 1 } },
	{ "ExtINT", { 0xfee00000, 0, 0x0700, 0 }, 0, { .delivery = MSI_EXTINT } },
	{ "don't care: address 1:0, data 31:16 and 13:11", { 0xfee01003, 0, 0xffff3841, 0 }, 0, { .vector = 0x41, .destination = 1 } },
	{ "vector 16, the first", { 0xfee00000, 0, 16, 0 }, 0, { .vector = 16 } },
	{ "vector 255, the last", { 0xfee00000, 0, 255, 0 }, 0, { .vector = 255 } },
	{ "control: reserved bits and steering tag are not the mask", { 0xfee00000, 0, 0x41, 0xfffffffe }, 0, { .vector = 0x41 } },

	/* KVM_FEATURE_MSI_EXT_DEST_ID: address 11:5 are destination 14:8 */
	{ "APIC id 256", { 0xfee00020, 0, 0x41, 0 }, MSI_EXT_DEST_ID, { .vector = 0x41, .destination = 0x100 } },
	{ "APIC id 32767", { 0xfeefffe0, 0, 0x41, 0 }, MSI_EXT_DEST_ID, { .vector = 0x41, .destination = 0x7fff } },
	{ "APIC id 5, nothing above", { 0xfee05000, 0, 0x41, 0 }, MSI_EXT_DEST_ID, { .vector = 0x41, .destination = 5 } },
	{ "the same bits, not offered", { 0xfee00020, 0, 0x41, 0 }, 0, { .why = MSI_RESERVED_BITS } },
	{ "each of them counts", { 0xfee00800, 0, 0x41, 0 }, 0, { .why = MSI_RESERVED_BITS } },

	/* VT-d 5.1.2.2: format 4, handle 19:5 and 2, SHV 3, subhandle in the data */
	{ "remappable, handle 5", { 0xfee000b0, 0, 0, 0 }, 0, { .why = MSI_REMAPPABLE, .handle = 5 } },
	{ "remappable, SHV, subhandle 3", { 0xfee000b8, 0, 3, 1 }, 0,
	  { .why = MSI_REMAPPABLE, .masked = true, .handle = 5, .subhandle = 3, .subhandle_valid = true } },
	{ "remappable, handle 15 set", { 0xfeeffff4, 0, 0xffff, 0 }, 0, { .why = MSI_REMAPPABLE, .handle = 0xffff } },
	{ "remappable wins over the extended id", { 0xfee000b0, 0, 0x41, 0 }, MSI_EXT_DEST_ID, { .why = MSI_REMAPPABLE, .handle = 5 } },
	/* AMD IOMMU 2.2.5.1: like any other, data 10:0 the offset */
	{ "AMD vIOMMU", { 0xfee00000, 0, 0x0141, 0 }, MSI_AMD_REMAPS, { .why = MSI_REMAPPABLE, .handle = 0x141 } },
	{ "AMD vIOMMU, offset 0", { 0xfee00000, 0, 0, 0 }, MSI_AMD_REMAPS, { .why = MSI_REMAPPABLE } },

	/* hostile */
	{ "as after a reset", { 0, 0, 0, 1 }, 0, { .why = MSI_EMPTY, .masked = true } },
	{ "zero, unmasked", { 0, 0, 0, 0 }, 0, { .why = MSI_EMPTY } },
	{ "no address but data", { 0, 0, 0x41, 0 }, 0, { .why = MSI_NOT_LAPIC } },
	{ "all ones", { ~0u, ~0u, ~0u, ~0u }, 0, { .why = MSI_ALL_ONES, .masked = true } },
	{ "all ones, low address only", { ~0u, 0, 0, 0 }, 0, { .why = MSI_ALL_ONES } },
	{ "RAM", { 0x12345678, 0, 0x41, 0 }, 0, { .why = MSI_NOT_LAPIC } },
	{ "just below", { 0xfedff000, 0, 0x41, 0 }, 0, { .why = MSI_NOT_LAPIC } },
	{ "just above", { 0xfef00000, 0, 0x41, 0 }, 0, { .why = MSI_NOT_LAPIC } },
	{ "above 4 GiB", { 0xfee00000, 1, 0x41, 0 }, 0, { .why = MSI_NOT_LAPIC } },
	{ "KVM's own high destination bits", { 0xfee00000, 0x100, 0x41, 0 }, MSI_EXT_DEST_ID, { .why = MSI_NOT_LAPIC } },
	{ "AMD vIOMMU, not its address", { 0x1000, 0, 0x41, 0 }, MSI_AMD_REMAPS, { .why = MSI_NOT_LAPIC } },
	{ "delivery mode 011b", { 0xfee00000, 0, 0x0341, 0 }, 0, { .why = MSI_RESERVED_MODE } },
	{ "delivery mode 110b", { 0xfee00000, 0, 0x0641, 0 }, 0, { .why = MSI_RESERVED_MODE } },
	{ "vector 15", { 0xfee00000, 0, 15, 0 }, 0, { .why = MSI_BAD_VECTOR } },
	{ "vector 0, lowest priority", { 0xfee0100c, 0, 0x0100, 0 }, 0, { .why = MSI_BAD_VECTOR } },
};
/* clang-format on */

Test(msi, messages)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct msi *is = &rows[i].is;
		struct msi got;

		memset(&got, 0xa5, sizeof(got));
		msi_decode(&rows[i].m, rows[i].flags, &got);
		cr_assert_eq(got.why, is->why, "%s: %s", rows[i].what, msi_why_to_string(got.why));
		cr_assert_eq(got.masked, is->masked, "%s", rows[i].what);
		cr_assert_eq(got.delivery, is->delivery, "%s", rows[i].what);
		cr_assert(got.logical == is->logical && got.one_of == is->one_of, "%s", rows[i].what);
		cr_assert(got.level == is->level && got.assert == is->assert, "%s", rows[i].what);
		cr_assert_eq(got.vector, is->vector, "%s", rows[i].what);
		cr_assert_eq(got.destination, is->destination, "%s: %#x", rows[i].what, got.destination);
		cr_assert_eq(got.handle, is->handle, "%s: %#x", rows[i].what, got.handle);
		cr_assert(got.subhandle == is->subhandle && got.subhandle_valid == is->subhandle_valid, "%s", rows[i].what);
	}
}

Test(msi, words)
{
	for (int why = MSI_KNOWN; why < MSI_NUM_WHYS; why++)
		cr_assert_str_neq(msi_why_to_string((enum msi_why)why), "?");
	cr_assert_str_eq(msi_why_to_string(MSI_NUM_WHYS), "?");
}

/* --- which vCPUs --- */

/* clang-format off */
#define PHYS(id) { id, true, MSI_MODEL_UNKNOWN, 0 }
#define FLAT(id, ldr) { id, true, MSI_MODEL_FLAT, ldr }
#define CLUSTER(id, ldr) { id, true, MSI_MODEL_CLUSTER, ldr }
#define X2(id) { id, true, MSI_MODEL_X2APIC, 0 }
#define LOGICAL(dest) { 0xfee00004 | (dest) << 12, 0, 0x41, 0 }
#define PHYSICAL(dest) { 0xfee00000 | (dest) << 12, 0, 0x41, 0 }
/* clang-format on */

struct whom {
	const char *what;
	struct msi_message m;
	struct msi_vcpu vcpus[8];
	unsigned nr;
	int n;
	const char *targets; /* indexes */
};

/* clang-format off */
static const struct whom whoms[] = {
	{ "a gap between sockets: ids are no indexes", PHYSICAL(4), { PHYS(0), PHYS(1), PHYS(2), PHYS(4) }, 4, 1, "3" },
	{ "nobody", PHYSICAL(3), { PHYS(0), PHYS(1), PHYS(2), PHYS(4) }, 4, 0, "" },
	{ "an id that could not be asked", PHYSICAL(0), { { 0 }, PHYS(1) }, 2, 0, "" },
	{ "everybody", PHYSICAL(0xff), { PHYS(0), { 0 }, PHYS(2) }, 3, 3, "0-2" },
	{ "a vCPU has id 255", PHYSICAL(0xff), { PHYS(0), PHYS(254), PHYS(255) }, 3, 1, "2" },
	{ "no vCPUs", PHYSICAL(0xff), { PHYS(0) }, 0, 0, "" },
	{ "flat, one bit", LOGICAL(4), { FLAT(0, 1), FLAT(1, 2), FLAT(2, 4), FLAT(3, 8) }, 4, 1, "2" },
	{ "flat, three bits", LOGICAL(0xb), { FLAT(0, 1), FLAT(1, 2), FLAT(2, 4), FLAT(3, 8) }, 4, 3, "0-1,3" },
	{ "flat, all of them", LOGICAL(0xff), { FLAT(0, 1), FLAT(1, 2) }, 2, 2, "0-1" },
	{ "flat, all of them, though none has an id", LOGICAL(0xff), { FLAT(0, 0), FLAT(1, 0) }, 2, 2, "0-1" },
	{ "flat, none has an id yet", LOGICAL(0x7f), { FLAT(0, 0), FLAT(1, 0) }, 2, 0, "" },
	{ "x2APIC, all of them", LOGICAL(0xff), { X2(0), X2(9), X2(300) }, 3, 3, "0-2" },
	{ "flat, ids in another order", LOGICAL(1), { FLAT(0, 2), FLAT(1, 1) }, 2, 1, "1" },
	{ "cluster 2, member 1", LOGICAL(0x22), { CLUSTER(0, 0x11), CLUSTER(1, 0x12), CLUSTER(2, 0x21), CLUSTER(3, 0x22) }, 4, 1, "3" },
	{ "cluster 1, both", LOGICAL(0x13), { CLUSTER(0, 0x11), CLUSTER(1, 0x12), CLUSTER(2, 0x21), CLUSTER(3, 0x22) }, 4, 2, "0-1" },
	{ "clusters, all", LOGICAL(0xff), { CLUSTER(0, 0x11), CLUSTER(1, 0x21) }, 2, 2, "0-1" },
	{ "cluster without members", LOGICAL(0x10), { CLUSTER(0, 0x11) }, 1, 0, "" },
	{ "x2APIC, ids are their own bits", LOGICAL(0x82), { X2(0), X2(1), X2(7), X2(9), X2(17) }, 5, 2, "1-2" },
	{ "one whose model is not known", LOGICAL(1), { FLAT(0, 1), PHYS(1) }, 2, -ENODATA, "" },
	{ "physical does not mind", PHYSICAL(1), { FLAT(0, 1), PHYS(1) }, 2, 1, "1" },
	{ "an unknown message", { 0, 0, 0, 0 }, { PHYS(0) }, 1, 0, "" },
};
/* clang-format on */

Test(msi, targets)
{
	for (size_t i = 0; i < sizeof(whoms) / sizeof(whoms[0]); i++) {
		char text[IRQ_CPUS_TEXT_MAX];
		struct irq_cpus set;
		struct msi msi;

		memset(&set, 0xa5, sizeof(set));
		msi_decode(&whoms[i].m, 0, &msi);
		cr_assert_eq(msi_targets(&msi, whoms[i].vcpus, whoms[i].nr, &set), whoms[i].n, "%s", whoms[i].what);
		irq_cpus_format(&set, text);
		cr_assert_str_eq(text, whoms[i].targets, "%s", whoms[i].what);
	}
}

/* x2APIC with 15 bits: members 8 to 14 of cluster 0 have a bit too. More vCPUs than a set has room for do not overrun it. */
Test(msi, targets_at_the_edges)
{
	static struct msi_vcpu many[IRQ_CPUS_MAX + 1];
	struct msi_message m = { 0xfee00044, 0, 0x41, 0 };
	struct msi_vcpu x2[] = { X2(8), X2(9), X2(10), X2(32) };
	struct irq_cpus set;
	struct msi msi;

	msi_decode(&m, MSI_EXT_DEST_ID, &msi);
	cr_assert_eq(msi.destination, 0x200);
	cr_assert_eq(msi_targets(&msi, x2, 4, &set), 1);
	cr_assert(irq_cpus_has(&set, 1));
	for (unsigned i = 0; i <= IRQ_CPUS_MAX; i++)
		many[i] = (struct msi_vcpu){ .apic_id = i, .has_apic_id = i != 255 };
	m = (struct msi_message){ 0xfeeff000, 0, 0x41, 0 };
	msi_decode(&m, MSI_EXT_DEST_ID, &msi);
	cr_assert_eq(msi_targets(&msi, many, IRQ_CPUS_MAX + 1, &set), IRQ_CPUS_MAX);
	cr_assert_eq(irq_cpus_count(&set), IRQ_CPUS_MAX);
}

Test(msi, logical_ids_as_the_monitor_shows_them)
{
	struct msi_message to_second = { 0xfee02004, 0, 0x41, 0 };
	struct msi_vcpu vcpus[3] = { { .apic_id = 0, .has_apic_id = true },
				     { .apic_id = 1, .has_apic_id = true },
				     { .apic_id = 2, .has_apic_id = true } };
	struct irq_cpus set;
	struct msi msi;

	msi_decode(&to_second, 0, &msi);
	cr_assert_eq(msi_targets(&msi, vcpus, 3, &set), -ENODATA);
	for (unsigned i = 0; i < 3; i++)
		msi_vcpu_set_logical(&vcpus[i], true, (uint8_t)(4 >> i)); /* the other way round */
	cr_assert_eq(msi_targets(&msi, vcpus, 3, &set), 1);
	cr_assert(irq_cpus_has(&set, 1));
	for (unsigned i = 0; i < 3; i++)
		msi_vcpu_set_logical(&vcpus[i], i % 2, 0); /* x2APIC */
	cr_assert_eq(msi_targets(&msi, vcpus, 3, &set), 1);
	cr_assert(irq_cpus_has(&set, 1));
	for (unsigned i = 0; i < 3; i++)
		msi_vcpu_set_logical(&vcpus[i], false, (uint8_t)(1 << i));
	cr_assert_eq(msi_targets(&msi, vcpus, 3, &set), 1, "cluster 0");
	cr_assert(irq_cpus_has(&set, 1));
}
