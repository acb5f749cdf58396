/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irq_posted: does this host's hardware bring a VF's interrupts to the vCPUs by itself? VT-d posted interrupts, AMD's AVIC with a guest virtual
 * APIC log: then the affinity of the host's interrupt says nothing about where it arrives, and the host does not count it.
 */
#ifndef GANGWAY_IRQ_POSTED_H
#define GANGWAY_IRQ_POSTED_H

#include <stdbool.h>

struct sys;

/*
 * KVM uses it (enable_apicv of kvm_intel, avic of kvm_amd), and every IOMMU has it (drivers/iommu: capability bit 59 of each of Intel's,
 * irq_remapping_cap(); GAM bit 21 of the extended features of each of AMD's). An interrupt that names several vCPUs is not posted all the same
 * (vmx_pi_update_irte(), avic_pi_update_irte()): one that the host counts was not. Does not block.
 */
bool irq_host_posts(struct sys *sys);

#endif
