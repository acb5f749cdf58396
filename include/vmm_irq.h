/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm_irq: what a guest's interrupts depend on, asked of its VMM: where a device's BARs are, what is in guest-physical memory, which thread
 * is which vCPU. Asynchronous like all of vmm.h, with the same rules for callbacks and errors. QEMU 7.2.22 and 11.1.3 were looked at.
 *
 * One question at a time per guest: while any of these operations is under way, another one is refused (-EBUSY vmm.irq-busy). They are asked
 * again and again, and each costs: the VMM's main loop answers, and for a monitor command it makes the kernel stop vCPU 0 (vmm_query_lapic:
 * the one that is asked for) and fetch its registers (mon_get_cpu() -> cpu_synchronize_state()).
 */
#ifndef GANGWAY_VMM_IRQ_H
#define GANGWAY_VMM_IRQ_H

#include "vmm.h"

#define VMM_BARS 6
#define VMM_READ_WORDS_MAX 8192 /* words of 4 bytes in one read: the largest MSI-X table */

struct vmm_bar {
	uint64_t address; /* guest-physical; 0: not mapped, because the guest has memory decoding off or has not got that far */
	uint64_t size; /* bytes; 0: no such BAR, or one of I/O ports. The second half of a 64-bit one is none */
};

/* @r 0 with VMM_BARS of them in @bars, which is valid only during the call. */
typedef void (*vmm_bars_fn)(void *ctx, int r, const struct vmm_bar *bars, const struct err *err);

/*
 * The BARs of the device with @id. -ENODEV vmm.no-device: not in the guest's PCI tree, which it is only once firmware has numbered the bus
 * it is on; -EINVAL vmm.bad-id; -EPROTO vmm.bad-answer.
 * Of a guest that moves its BARs: what is true now need not be when memory is read by it. Only the guest itself is fooled by that.
 */
int vmm_query_bars(struct vmm *vmm, const char *id, vmm_bars_fn done, void *ctx, struct err *err);

/* @r 0 with what the monitor wrote, @len bytes and a NUL; valid only during the call. It is not looked into. */
typedef void (*vmm_text_fn)(void *ctx, int r, const char *text, size_t len, const struct err *err);

/*
 * "xp /@nr_words wx @address": @nr_words (1 to VMM_READ_WORDS_MAX) words of 4 bytes from guest-physical @address (a multiple of 4, below
 * 2^63). Reading a device's registers may change the device: read MSI-X tables and RAM, nothing else. -EINVAL vmm.bad-address; -EPROTO
 * vmm.bad-answer: longer than so many words can be, or no text.
 */
int vmm_read_words(struct vmm *vmm, uint64_t address, unsigned nr_words, vmm_text_fn done, void *ctx, struct err *err);

struct vmm_vcpu {
	unsigned index; /* cpu-index of query-cpus-fast */
	pid_t tid; /* as the VMM sees it. Hostile: look it up below /proc/PID/task of the VMM alone. Under TCG vCPUs may share one */
	uint32_t apic_id;
	bool has_apic_id; /* false: not an x86, or it was unplugged meanwhile */
};

/* @r 0 with @nr vCPUs by ascending index, at least one; valid only during the call. */
typedef void (*vmm_vcpus_fn)(void *ctx, int r, const struct vmm_vcpu *vcpus, unsigned nr, const struct err *err);

/*
 * All vCPUs there are: query-cpus-fast, then the APIC id of each. Both change only when a vCPU is plugged or unplugged, or with a new VMM:
 * not to be asked at each look. -E2BIG vmm.too-many-vcpus; -EPROTO vmm.bad-answer: no vCPUs, an index or APIC id twice, types.
 */
int vmm_query_vcpus(struct vmm *vmm, vmm_vcpus_fn done, void *ctx, struct err *err);

/* What decides how the guest's messages are to be read (enum msi_flag of msi.h). */
struct vmm_platform {
	bool vtd_remaps; /* there is an intel-iommu that remaps interrupts: messages with bit 4 of the address set */
	bool amd_remaps; /* an amd-iommu: all messages look as if they were not remapped, and are */
	bool ext_dest_id; /* vCPUs have kvm-msi-ext-dest-id, which QEMU takes away where it cannot be (no split irqchip) */
};

typedef void (*vmm_platform_fn)(void *ctx, int r, const struct vmm_platform *platform, const struct err *err);

/*
 * Looks for vIOMMUs among the guest's devices and at the first vCPU, with six questions at most. It does not change while the VMM runs. A
 * vIOMMU that does not say whether it remaps is taken to. Whether the guest makes use of it is the guest's business: with VT-d each message
 * tells, with AMD's none does. -EPROTO vmm.bad-answer.
 */
int vmm_query_platform(struct vmm *vmm, vmm_platform_fn done, void *ctx, struct err *err);

/* Of a local APIC what logical destinations are compared with. */
struct vmm_lapic {
	bool enabled; /* by software (SVR bit 8) */
	bool flat; /* DFR 1111b; else cluster */
	uint8_t ldr; /* bits 31:24. 0: not set, or the guest is in x2APIC mode, where QEMU does not show it and it follows from the APIC id */
};

typedef void (*vmm_lapic_fn)(void *ctx, int r, const struct vmm_lapic *lapic, const struct err *err);

/*
 * "info lapic" of the vCPU with cpu-index @index. By index and not by APIC id: with that QEMU shows what it knew when it last looked, not
 * what KVM has. A guest's kernel sets these once, when it boots. -EOPNOTSUPP vmm.no-lapic; -EPROTO vmm.bad-answer.
 */
int vmm_query_lapic(struct vmm *vmm, unsigned index, vmm_lapic_fn done, void *ctx, struct err *err);

#endif
