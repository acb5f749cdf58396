/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "msi.h"

#include <errno.h>

/* Address, SDM 11.11.1. Bits 1:0 are don't care. */
#define ADDRESS_BASE_MASK 0xfff00000u
#define ADDRESS_BASE 0xfee00000u
#define ADDRESS_LOGICAL (1u << 2)
#define ADDRESS_REDIRECT (1u << 3)
#define ADDRESS_REMAPPABLE (1u << 4) /* VT-d 5.1.2.2; reserved in the SDM */
#define ADDRESS_DEST(a) ((a) >> 12 & 0xff)
#define ADDRESS_EXT_DEST(a) ((a) >> 5 & 0x7f)

/* VT-d 5.1.2.2: handle 14:0 in bits 19:5, handle 15 in bit 2, SHV in bit 3; the subhandle is the low half of the data. */
#define REMAP_HANDLE(a) (((a) >> 5 & 0x7fff) | ((a) >> 2 & 1) << 15)
#define REMAP_SHV (1u << 3)

/* Data, SDM 11.11.2. Bits 31:16 and 13:11 are reserved; KVM does not look at them, nor does real hardware fault on them. */
#define DATA_VECTOR(d) ((d)&0xff)
#define DATA_DELIVERY(d) ((d) >> 8 & 7)
#define DATA_ASSERT (1u << 14)
#define DATA_LEVEL (1u << 15)

#define CONTROL_MASKED 1u
#define VECTOR_MIN 16 /* SDM 11.5.2: 16 to 255 are valid */
#define BROADCAST 0xff

static enum msi_why judge(const struct msi_message *m, unsigned flags)
{
	uint32_t delivery = DATA_DELIVERY(m->data);

	if (!m->address_low && !m->address_high && !m->data)
		return MSI_EMPTY;
	if (m->address_low == UINT32_MAX)
		return MSI_ALL_ONES;
	/*
	 * KVM would take address bits 63:40 for destination bits 31:8, as the VMM writes them for what its vIOMMU has remapped.
	 * Of a device they are an address, and not that of a local APIC.
	 */
	if ((m->address_low & ADDRESS_BASE_MASK) != ADDRESS_BASE || m->address_high)
		return MSI_NOT_LAPIC;
	if (m->address_low & ADDRESS_REMAPPABLE || flags & MSI_AMD_REMAPS)
		return MSI_REMAPPABLE;
	if (ADDRESS_EXT_DEST(m->address_low) && !(flags & MSI_EXT_DEST_ID))
		return MSI_RESERVED_BITS;
	if (delivery == 3 || delivery == 6)
		return MSI_RESERVED_MODE;
	if (delivery <= MSI_LOWEST && DATA_VECTOR(m->data) < VECTOR_MIN)
		return MSI_BAD_VECTOR;
	return MSI_KNOWN;
}

static void take_handle(const struct msi_message *m, unsigned flags, struct msi *ret)
{
	if (!(m->address_low &
	      ADDRESS_REMAPPABLE)) { /* AMD IOMMU spec 2.2.5: data 10:0 is the offset into the device's own table */
		if (flags & MSI_AMD_REMAPS)
			ret->handle = m->data & 0x7ff;
		return;
	}
	ret->handle = (uint16_t)REMAP_HANDLE(m->address_low);
	ret->subhandle_valid = m->address_low & REMAP_SHV;
	ret->subhandle = ret->subhandle_valid ? (uint16_t)m->data : 0;
}

void msi_decode(const struct msi_message *m, unsigned flags, struct msi *ret)
{
	*ret = (struct msi){ .why = judge(m, flags), .masked = m->control & CONTROL_MASKED };
	if (ret->why == MSI_REMAPPABLE)
		take_handle(m, flags, ret);
	if (ret->why != MSI_KNOWN)
		return;
	ret->delivery = (enum msi_delivery)DATA_DELIVERY(m->data);
	/*
	 * The SDM says that the destination mode is ignored without the redirection hint. It is not: KVM goes by it, and so do those
	 * who write it (apic_flat of older Linux kernels sends fixed messages to logical ids without the hint).
	 */
	ret->logical = m->address_low & ADDRESS_LOGICAL;
	ret->one_of = ret->delivery == MSI_LOWEST || m->address_low & ADDRESS_REDIRECT;
	ret->level = m->data & DATA_LEVEL;
	ret->assert = m->data & DATA_ASSERT;
	ret->vector = (uint8_t)DATA_VECTOR(m->data);
	ret->destination = ADDRESS_DEST(m->address_low) | ADDRESS_EXT_DEST(m->address_low) << 8;
}

const char *msi_why_to_string(enum msi_why why)
{
	switch (why) {
	case MSI_KNOWN:
		return "known";
	case MSI_EMPTY:
		return "not written yet";
	case MSI_ALL_ONES:
		return "all ones: the device does not answer";
	case MSI_NOT_LAPIC:
		return "the address is not FEExxxxx";
	case MSI_REMAPPABLE:
		return "remapped by the guest's vIOMMU";
	case MSI_RESERVED_BITS:
		return "reserved address bits are set";
	case MSI_RESERVED_MODE:
		return "reserved delivery mode";
	case MSI_BAD_VECTOR:
		return "vector below 16";
	case MSI_NUM_WHYS:
		break;
	}
	return "?";
}

void msi_vcpu_set_logical(struct msi_vcpu *vcpu, bool flat, uint8_t ldr)
{
	vcpu->ldr = ldr;
	if (ldr == 0)
		vcpu->model = MSI_MODEL_X2APIC;
	else
		vcpu->model = flat ? MSI_MODEL_FLAT : MSI_MODEL_CLUSTER;
}

/*
 * All ones are everybody in flat and cluster mode (SDM 11.6.2.2), and KVM makes it so for x2APIC.
 * x2APIC (SDM 11.12.10.2): the logical id of APIC id i is i[19:4] << 16 | 1 << i[3:0]. A message has 8 or 15 bits of it: cluster 0.
 */
static bool hears_logical(const struct msi_vcpu *v, uint32_t destination)
{
	switch (v->model) {
	case MSI_MODEL_UNKNOWN:
		return false;
	case MSI_MODEL_FLAT:
		return destination == BROADCAST || (destination < BROADCAST && destination & v->ldr);
	case MSI_MODEL_CLUSTER:
		return destination == BROADCAST || (destination >> 4 == v->ldr >> 4 && destination & v->ldr & 0xf);
	case MSI_MODEL_X2APIC:
		return destination == BROADCAST || (v->has_apic_id && v->apic_id < 16 && destination >> v->apic_id & 1);
	}
	return false;
}

static bool hears(const struct msi *msi, const struct msi_vcpu *v)
{
	return msi->logical ? hears_logical(v, msi->destination) : v->has_apic_id && v->apic_id == msi->destination;
}

int msi_targets(const struct msi *msi, const struct msi_vcpu *vcpus, unsigned nr, struct irq_cpus *ret)
{
	struct irq_cpus set = { 0 };
	int n = 0;

	*ret = set;
	if (msi->why != MSI_KNOWN)
		return 0;
	if (nr > IRQ_CPUS_MAX)
		nr = IRQ_CPUS_MAX;
	for (unsigned i = 0; i < nr; i++) {
		if (msi->logical && vcpus[i].model == MSI_MODEL_UNKNOWN)
			return -ENODATA;
		if (hears(msi, &vcpus[i])) {
			irq_cpus_add(&set, i);
			n++;
		}
	}
	/* an APIC id FFH is a vCPU's before it is everybody's: KVM's quirk that makes it so is off where there are that many */
	if (n == 0 && !msi->logical && msi->destination == BROADCAST)
		for (; (unsigned)n < nr; n++)
			irq_cpus_add(&set, (unsigned)n);
	*ret = set;
	return n;
}
