/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer target: everything that is read about interrupts from a guest's memory, a VMM's monitor, sysfs and procfs. The same bytes go to
 * each decoder: as the monitor's text of an MSI-X table, as table entries, as config space, as a list of CPUs, as names, as /proc texts.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "irq_affinity.h"
#include "irq_balance.h"
#include "irq_count.h"
#include "irq_process.h"
#include "irq_thread.h"
#include "msix_table.h"

#define ENTRIES 8
#define ADDRESS 0xfe840000u
#define GUARD 0x5a5a5a5au

static void check_balance(const char *text, size_t len)
{
	unsigned irqs[4];

	if (irq_balance_parse(text, len, irqs, 4) > 4)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_tgid(const char *text, size_t len)
{
	pid_t pid = -7;
	int r = irq_tgid_parse(text, len, &pid);

	check(r == 0 ? pid > 0 : r == -EPROTO && pid == -7);
}

/* A known message has a vector and a destination that a message has room for; an unknown one has nothing. */
static void check_message(const struct msi_message *m, unsigned flags)
{
	static const struct msi_vcpu vcpus[] = {
		{ 0, true, MSI_MODEL_FLAT, 1 },
		{ 1, true, MSI_MODEL_CLUSTER, 0x12 },
		{ 255, true, MSI_MODEL_X2APIC, 0 },
		{ 0, false, MSI_MODEL_FLAT, 0xff },
	};
	struct irq_cpus set;
	struct msi msi;
	int n;

	msi_decode(m, flags, &msi);
	check(msi.why < MSI_NUM_WHYS && strcmp(msi_why_to_string(msi.why), "?") != 0);
	check(msi.masked == (m->control & 1));
	check(msi.destination < (flags & MSI_EXT_DEST_ID ? 0x8000 : 0x100));
	check(msi.why != MSI_KNOWN || msi.delivery > MSI_LOWEST || msi.vector >= 16);
	check(msi.why != MSI_KNOWN || (m->address_low >> 20 == 0xfee && !m->address_high && !(flags & MSI_AMD_REMAPS)));
	check(msi.why == MSI_KNOWN || (!msi.vector && !msi.destination && !msi.logical));
	n = msi_targets(&msi, vcpus, 4, &set);
	check(n >= 0 && n <= 4 && (unsigned)n == irq_cpus_count(&set) && (msi.why == MSI_KNOWN || n == 0));
}

static void check_table(const char *text, size_t size)
{
	struct msi_message entries[ENTRIES + 1];
	unsigned nr;

	for (unsigned asked = 1; asked <= ENTRIES; asked += 3) {
		int r;

		memset(entries, 0x5a, sizeof(entries));
		r = msix_table_parse(text, size, ADDRESS, asked, entries, &nr);
		check(r == 0 || r == -EFAULT || r == -ENODATA || r == -EBADMSG || r == -E2BIG);
		check(nr <= asked && (r != 0 || nr == asked) && (nr == 0 || r == 0 || r == -EFAULT || r == -ENODATA));
		check(entries[asked].address_low == GUARD && entries[asked].control == GUARD);
		for (unsigned i = 0; i < nr; i++)
			for (unsigned flags = 0; flags < 4; flags++)
				check_message(&entries[i], flags);
	}
}

static void check_config(const uint8_t *config, size_t size)
{
	struct msix_bar bars[MSIX_BARS];
	struct msix_cap cap;
	uint64_t addr;

	if (msix_cap_find(config, size, &cap) < 0)
		return;
	check(cap.nr >= 1 && cap.nr <= MSIX_MAX && cap.bir < MSIX_BARS && cap.offset % 8 == 0);
	for (unsigned i = 0; i < MSIX_BARS; i++)
		bars[i] = (struct msix_bar){ (uint64_t)config[i] << 56 | 0xfffff000, (uint64_t)config[i + 8] << 13 };
	if (msix_table_address(&cap, bars, &addr) == 0)
		check(addr >= bars[cap.bir].address && addr + cap.nr * 16 - bars[cap.bir].address <= bars[cap.bir].size);
}

static void check_cpus(const char *text, size_t size)
{
	char again[IRQ_CPUS_TEXT_MAX];
	struct irq_cpus set, same;

	if (irq_cpus_parse(text, size, &set) < 0)
		return;
	check(irq_cpus_parse(again, irq_cpus_format(&set, again), &same) == 0 && irq_cpus_equal(&set, &same));
}

static void check_texts(const char *text, size_t size)
{
	struct irq_thread thread;
	unsigned vector;
	uint64_t sum;
	bool msix;

	if (irq_action_parse(text, size, "0000:3b:02.1", &vector, &msix) == 0)
		check(vector < IRQ_HOST_MAX);
	if (irq_stat_parse(text, size, &thread) == 0)
		check(thread.cpu < IRQ_CPUS_MAX);
	irq_count_parse(text, size, &sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1); /* exactly as long: reading past the end is found */
	struct msi_message m;
	struct irq_cpus set;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	check_table(copy, size);
	check_config((const uint8_t *)copy, size);
	check_cpus(copy, size);
	check_texts(copy, size);
	check_tgid(copy, size);
	irq_status_parse(copy, size, &set);
	check_balance(copy, size);
	for (size_t at = 0; at + sizeof(m) <= size; at += sizeof(m)) {
		memcpy(&m, copy + at, sizeof(m));
		for (unsigned flags = 0; flags < 4; flags++)
			check_message(&m, flags);
	}
	free(copy);
	return 0;
}
