/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * msi: where one MSI or MSI-X message of an x86 guest goes. Pure decoding of four words that the guest wrote, which may be anything.
 *
 * Sources. Format: Intel SDM vol. 3, "Message Signalled Interrupts" (11.11; 10.11 before 2022); the same in AMD's APM vol. 2, ch. 16. Table
 * entry: PCIe Base Spec, MSI-X capability and table structures. Logical ids: SDM 11.6.2.2 (xAPIC), 11.12.10.2 (x2APIC). Remappable format:
 * VT-d spec 5.1.2.2. Address bits 11:5 as destination bits 14:8: KVM_FEATURE_MSI_EXT_DEST_ID in Linux, Documentation/virt/kvm/x86/cpuid.rst.
 * What KVM makes of all that: arch/x86/kvm/irq.c kvm_set_msi_irq() (irq_comm.c before 6.16), lapic.c kvm_apic_match_dest().
 */
#ifndef GANGWAY_MSI_H
#define GANGWAY_MSI_H

#include <stdbool.h>
#include <stdint.h>

#include "irq_cpus.h"

/* One entry of an MSI-X table, as it lies in the BAR. */
struct msi_message {
	uint32_t address_low, address_high, data;
	uint32_t control; /* vector control: bit 0 masked */
};

/* What of the guest's platform decides how it is read. */
enum msi_flag {
	MSI_EXT_DEST_ID = 1 << 0, /* the guest was offered KVM_FEATURE_MSI_EXT_DEST_ID: QEMU with a split irqchip */
	MSI_AMD_REMAPS = 1 << 1, /* an AMD vIOMMU remaps interrupts: its messages look like any other, with an index as data */
};

enum msi_why {
	MSI_KNOWN,
	MSI_EMPTY, /* all zero: the guest has not written it */
	MSI_ALL_ONES, /* the device does not answer */
	MSI_NOT_LAPIC, /* the address is not FEExxxxxH: a write to memory, or to nothing */
	MSI_REMAPPABLE, /* only the guest's vIOMMU knows: the handle is an index into a table in its memory */
	MSI_RESERVED_BITS, /* address bits 11:5 are set, and nobody gave them a meaning */
	MSI_RESERVED_MODE, /* delivery mode 011b or 110b */
	MSI_BAD_VECTOR, /* below 16: no APIC takes it */
	MSI_NUM_WHYS,
};

enum msi_delivery {
	MSI_FIXED = 0,
	MSI_LOWEST = 1,
	MSI_SMI = 2,
	MSI_NMI = 4,
	MSI_INIT = 5,
	MSI_EXTINT = 7,
};

struct msi {
	enum msi_why why; /* MSI_KNOWN, else the rest but @masked is zero, handles aside */
	bool masked; /* by the table entry; the function or the VMM may mask too. Says nothing about the message */
	enum msi_delivery delivery;
	bool logical; /* @destination is a logical id, else an APIC id */
	bool one_of; /* of those it names, one gets it: lowest priority, or the redirection hint */
	bool level, assert; /* trigger mode; level to assert, of a level-triggered one */
	uint8_t vector; /* 16 to 255 of a fixed and lowest priority one; others have none that counts */
	uint32_t destination; /* 8 bits, 15 with MSI_EXT_DEST_ID */
	uint16_t handle, subhandle; /* MSI_REMAPPABLE: the interrupt index is their sum (@subhandle valid), or @handle */
	bool subhandle_valid;
};

/* Decodes @message. @flags: enum msi_flag, or-ed. Always fills all of @ret. */
void msi_decode(const struct msi_message *message, unsigned flags, struct msi *ret);

/* A few words for an operator: "not written yet", ... Never NULL. */
const char *msi_why_to_string(enum msi_why why);

/* How a local APIC compares logical destinations with its logical id. */
enum msi_model {
	MSI_MODEL_UNKNOWN, /* nobody asked: the vCPU cannot be found by logical id */
	MSI_MODEL_FLAT, /* xAPIC, DFR 1111b: a bit for each of eight */
	MSI_MODEL_CLUSTER, /* xAPIC, DFR 0000b: four bits of cluster, one bit for each of its four */
	MSI_MODEL_X2APIC, /* 16 bits of cluster, 16 of its members; follows from the APIC id */
};

struct msi_vcpu {
	uint32_t apic_id;
	bool has_apic_id; /* false: matches nothing but a broadcast */
	enum msi_model model;
	uint8_t ldr; /* flat, cluster: LDR bits 31:24 */
};

/*
 * Set the model from what a monitor shows of the local APIC: @flat (DFR 1111b) and @ldr (bits 31:24 of LDR). An LDR of 0 is taken for x2APIC
 * mode, where those 8 bits are 0 up to APIC id 4095: in xAPIC mode such a vCPU would get no logical message but a broadcast, and both models
 * agree on that. A vCPU whose APIC is off hears nothing: give it no APIC id.
 */
void msi_vcpu_set_logical(struct msi_vcpu *vcpu, bool flat, uint8_t ldr);

/*
 * Which of @nr vCPUs (at most IRQ_CPUS_MAX) @msi goes to, as their indexes in @vcpus: all of them get it, or one does (one_of). An APIC
 * id that a vCPU has goes to that one; FFH otherwise to all. Returns how many; 0: no vCPU has that id, or @msi is not known. -ENODATA: a
 * logical destination, and some vCPU's model is unknown. @ret: empty unless positive.
 */
int msi_targets(const struct msi *msi, const struct msi_vcpu *vcpus, unsigned nr, struct irq_cpus *ret);

#endif
