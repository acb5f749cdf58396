/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a guest of fake_host the host sees of its interrupts: threads of its vCPUs, the MSI-X capability of its VF. */
#include <linux/pci_regs.h>
#include <string.h>

#include "fake_host.h"
#include "fake_internal.h"
#include "fake_irq.h"

void fake_guest_has_vcpus(struct fake_guest *g, unsigned nr)
{
	struct fake *fake = g->host->fake;
	char cpu[16];

	fake_host_counts_irqs(g->host);
	fake_online_cpus(fake, "0-3\n");
	for (unsigned i = 0; i < nr; i++) {
		snprintf(cpu, sizeof(cpu), "%u", i + 1);
		fake_put_thread(fake, g->pid, (int)(FAKE_TID + i), "CPU/KVM", i + 1, cpu);
	}
	g->vcpus = nr;
	fake_guest_update(g);
}

void fake_vf_has_table(struct fake_host *h, const char *bdf, unsigned messages)
{
	uint8_t config[256];
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%.4000s/sys/bus/pci/devices/%.20s/config", fake_root(h->fake), bdf);
	f = fopen(path, "r+e");
	if (!f || fread(config, sizeof(config), 1, f) != 1)
		fake_die("read %s", path);
	config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	config[PCI_CAPABILITY_LIST] = 0x70;
	config[0x70] = PCI_CAP_ID_MSIX;
	config[0x70 + PCI_MSIX_FLAGS] = (uint8_t)(messages - 1);
	config[0x70 + PCI_MSIX_TABLE] = 3; /* BAR 3, from its begin */
	rewind(f);
	if (fwrite(config, sizeof(config), 1, f) != 1 || fclose(f))
		fake_die("write %s", path);
}
