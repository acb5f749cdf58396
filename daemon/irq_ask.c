/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest's VMM is asked: its vCPUs and vIOMMU once, the MSI-X table of a VF now and then, a vCPU's logical id where a message has one.
 * One question at a time. An answer that comes when the follower has gone on with another VMM or lease is about what is no more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "guests.h"
#include "irq_internal.h"
#include "log.h"
#include "vmm_irq.h"

static void asked(struct irq_follow *f)
{
	f->asking = false;
	irq_go_on(f);
}

/* What could be asked at all. What was answered is another's business: tables and logical ids have errors of their own. */
static void asked_for(struct irq_follow *f, enum irq_what what)
{
	irq_succeeded(f, what);
	asked(f);
}

static int begun(struct irq_follow *f, int r)
{
	f->asking = r == 0;
	return r;
}

/* --- vIOMMU --- */

static void on_platform(void *ctx, int r, const struct vmm_platform *platform, const struct err *err)
{
	struct irq_follow *f = ctx;

	if (r < 0) { /* messages are read as without until it is: that is what nearly every guest has */
		f->platform_stale = true;
		log_debug("guest %s: its vIOMMU is not known: %s, ignoring", f->guest->name, err->msg);
	} else {
		f->flags = (platform->amd_remaps ? MSI_AMD_REMAPS : 0) | (platform->ext_dest_id ? MSI_EXT_DEST_ID : 0);
		f->vtd_remaps = platform->vtd_remaps;
	}
	asked_for(f, IRQ_PLATFORM);
}

int irq_ask_platform(struct irq_follow *f, struct err *err)
{
	int r;

	f->platform_due = false;
	f->platform_us = irq_now_us(f);
	r = begun(f, vmm_query_platform(f->guest->vmm, on_platform, f, err));
	f->platform_stale = r < 0;
	return r;
}

/* --- vCPUs --- */

static int take_vcpus(struct irq_follow *f, const struct vmm_vcpu *vcpus, unsigned nr)
{
	struct irq_vcpu *new = calloc(nr, sizeof(*new));

	if (!new)
		return -ENOMEM;
	for (unsigned i = 0; i < nr; i++) {
		new[i] = (struct irq_vcpu){ .index = vcpus[i].index,
					    .apic_id = vcpus[i].apic_id,
					    .has_apic_id = vcpus[i].has_apic_id };
		new[i].at.tid = vcpus[i].tid;
		new[i].at.id = (struct msi_vcpu){ .apic_id = vcpus[i].apic_id, .has_apic_id = vcpus[i].has_apic_id };
	}
	free(f->vcpus);
	f->vcpus = new;
	f->nr_vcpus = nr;
	irq_forget_pid(f);
	f->pid = guest_vmm_pid(f->guest);
	return 0;
}

static void on_vcpus(void *ctx, int r, const struct vmm_vcpu *vcpus, unsigned nr, const struct err *err)
{
	struct irq_follow *f = ctx;
	struct err why;

	if (r < 0)
		why = *err;
	else if (take_vcpus(f, vcpus, nr) < 0)
		r = err_set(&why, -ENOMEM, "daemon.no-memory", "guest %s: no memory for its vCPUs", f->guest->name);
	f->vcpus_stale = f->vcpus_stale || r < 0;
	if (r < 0)
		irq_failed(f, IRQ_VCPUS, &why);
	else
		irq_succeeded(f, IRQ_VCPUS);
	f->look_due = f->look_due || r == 0;
	asked(f);
}

int irq_ask_vcpus(struct irq_follow *f, struct err *err)
{
	int r;

	f->vcpus_due = false;
	f->vcpus_us = irq_now_us(f);
	r = begun(f, vmm_query_vcpus(f->guest->vmm, on_vcpus, f, err));
	f->vcpus_stale = f->vcpus_stale || r < 0;
	return r;
}

/* --- the table of a VF --- */

/* Of the lease that was asked about; NULL: it is another VF's now, or nobody's. */
static struct irq_nic *asked_about(const struct irq_follow *f)
{
	struct lease *l = NULL;

	while ((l = irq_next(f, l)))
		if (!strcmp(l->id, f->asking_id))
			return l->irq_nic;
	return NULL;
}

static void no_table(struct irq_nic *nic, const struct err *err)
{
	nic->has_table = false;
	nic->nr_table = 0;
	nic->table_err = *err;
}

static int parse_table(struct irq_nic *nic, const char *text, size_t len)
{
	size_t size = nic->cap.nr * sizeof(*nic->table);
	struct msi_message *before = malloc(size);
	int r;

	if (!before)
		return -ENOMEM;
	memcpy(before, nic->table, size);
	r = msix_table_parse(text, len, nic->address, nic->cap.nr, nic->table, &nic->nr_table);
	if (memcmp(before, nic->table, nic->nr_table * sizeof(*before)) != 0)
		nic->table_changed = true;
	free(before);
	return r;
}

static void on_words(void *ctx, int r, const char *text, size_t len, const struct err *err)
{
	struct irq_follow *f = ctx;
	struct irq_nic *nic = asked_about(f);
	struct err why = { 0 };

	if (!nic || !nic->table) { /* of another VF than it was */
		asked_for(f, IRQ_TABLE);
		return;
	}
	nic->nr_table = 0;
	if (r < 0)
		why = *err;
	else
		r = parse_table(nic, text, len);
	if (r < 0 && !why.num)
		err_set(&why, r, "irq.bad-table", "VF %s: the guest's MSI-X table at %#llx: %s", nic->bdf,
			(unsigned long long)nic->address, r == -EFAULT ? "no memory there" : "not the answer of a monitor");
	if (r < 0 && nic->nr_table == 0) {
		no_table(nic, &why);
	} else { /* entries before the one that could not be read are as good as any */
		nic->has_table = true;
		nic->table_err = why;
	}
	f->route_due = true;
	asked_for(f, IRQ_TABLE);
}

static int read_table(struct irq_follow *f, struct irq_nic *nic, const struct vmm_bar *bars, struct err *err)
{
	struct msix_bar at[MSIX_BARS];
	int r;

	for (unsigned i = 0; i < MSIX_BARS; i++)
		at[i] = (struct msix_bar){ .address = bars[i].address, .size = bars[i].size };
	r = msix_table_address(&nic->cap, at, &nic->address);
	if (r < 0)
		return err_set(err, r, "irq.no-table", "VF %s: its MSI-X table is not where the guest could reach it: %s",
			       nic->bdf, r == -ENXIO ? "the BAR is not mapped" : "it does not fit into the BAR");
	if (!nic->table)
		nic->table = calloc(nic->cap.nr, sizeof(*nic->table));
	if (!nic->table)
		return err_set(err, -ENOMEM, "daemon.no-memory", "VF %s: no memory for its MSI-X table", nic->bdf);
	return vmm_read_words(f->guest->vmm, nic->address, nic->cap.nr * MSIX_ENTRY_WORDS, on_words, f, err);
}

static void on_bars(void *ctx, int r, const struct vmm_bar *bars, const struct err *err)
{
	struct irq_follow *f = ctx;
	struct irq_nic *nic = asked_about(f);
	struct err why = { 0 };

	if (r < 0)
		why = *err;
	if (nic && r == 0)
		r = read_table(f, nic, bars, &why);
	if (nic && r == 0)
		return; /* on_words() goes on */
	if (nic)
		no_table(nic, &why);
	f->route_due = true;
	asked_for(f, IRQ_TABLE);
}

static struct lease *lease_with_table_due(const struct irq_follow *f)
{
	struct lease *l = NULL;

	while ((l = irq_next(f, l)))
		if (l->irq_nic->table_due && irq_wait_us(f, l->irq_nic->table_us) == 0)
			return l;
	return NULL;
}

bool irq_table_is_due(const struct irq_follow *f)
{
	return lease_with_table_due(f) != NULL;
}

/* A guest that maps its BARs elsewhere is rare, and another question costs it nothing: only the second one stops a vCPU. */
int irq_ask_table(struct irq_follow *f, struct err *err)
{
	struct lease *l = lease_with_table_due(f);

	l->irq_nic->table_due = false; /* NOLINT(clang-analyzer-core.NullDereference): irq_table_is_due() was true */
	l->irq_nic->table_us = irq_now_us(f);
	memcpy(f->asking_id, l->id, sizeof(f->asking_id));
	return begun(f, vmm_query_bars(f->guest->vmm, l->device_id, on_bars, f, err));
}

/* --- logical ids --- */

static bool is_lapic_left(const struct irq_follow *f)
{
	for (unsigned i = 0; f->vcpus && i < f->nr_vcpus; i++)
		if (!f->vcpus[i].lapic_asked)
			return true;
	return false;
}

/* Once all of them are known, messages are looked through again: each time counts as a look. */
static void on_lapic(void *ctx, int r, const struct vmm_lapic *lapic, const struct err *err)
{
	struct irq_follow *f = ctx;
	struct irq_vcpu *v = f->asking_vcpu < f->nr_vcpus ? &f->vcpus[f->asking_vcpu] : NULL;

	if (v && r == 0) {
		msi_vcpu_set_logical(&v->at.id, lapic->flat, lapic->ldr);
		v->at.id.has_apic_id = v->has_apic_id && lapic->enabled;
	} else if (v) {
		log_debug("guest %s: vCPU %u: %s, ignoring", f->guest->name, v->index, err->msg);
	}
	f->route_due = f->route_due || !is_lapic_left(f);
	asked_for(f, IRQ_LAPIC);
}

/* The next that was not asked; all of them have been where there is none. */
int irq_ask_lapic(struct irq_follow *f, struct err *err)
{
	unsigned i = 0;

	while (i < f->nr_vcpus && f->vcpus[i].lapic_asked)
		i++;
	if (i == f->nr_vcpus) {
		f->lapic_due = false;
		return 0;
	}
	f->vcpus[i].lapic_asked = true;
	f->asking_vcpu = i;
	return begun(f, vmm_query_lapic(f->guest->vmm, f->vcpus[i].index, on_lapic, f, err));
}
