/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of vendors and devices by libpci. Loading pci.ids takes milliseconds and a megabyte, so it is loaded for one lookup,
 * dropped again, and the few names a host has are kept.
 */
#include <pci/pci.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sriov_internal.h"

#define NAMES_MAX 16 /* kinds of NIC functions in one host; more are looked up each time */

struct names {
	uint16_t vendor, device;
	char vendor_name[64], device_name[96];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct names cache[NAMES_MAX];
static unsigned nr_cached;
static jmp_buf failed; /* under lock */

/* libpci's own handler ends the process, e.g. on a damaged pci.ids; this one must not return either. */
static void __attribute__((noreturn, format(printf, 1, 2))) on_error(char *fmt, ...)
{
	(void)fmt;
	longjmp(failed, 1);
}

static void __attribute__((format(printf, 1, 2))) on_warning(char *fmt, ...)
{
	(void)fmt;
}

static void lookup(struct names *n)
{
	struct pci_access *volatile pci = NULL;

	snprintf(n->vendor_name, sizeof(n->vendor_name), "Vendor %04x", n->vendor);
	snprintf(n->device_name, sizeof(n->device_name), "Device %04x", n->device);
	if (setjmp(failed) == 0) {
		char vendor[sizeof(n->vendor_name)], device[sizeof(n->device_name)];

		pci = pci_alloc();
		if (!pci)
			return;
		pci->error = on_error;
		pci->warning = on_warning;
		pci->debug = on_warning;
		if (pci_lookup_name(pci, vendor, sizeof(vendor), PCI_LOOKUP_VENDOR, n->vendor))
			snprintf(n->vendor_name, sizeof(n->vendor_name), "%s", vendor);
		if (pci_lookup_name(pci, device, sizeof(device), PCI_LOOKUP_DEVICE, n->vendor, n->device))
			snprintf(n->device_name, sizeof(n->device_name), "%s", device);
	}
	if (pci && setjmp(failed) == 0)
		pci_cleanup(pci);
}

void sriov_pci_names(uint16_t vendor, uint16_t device, char *vendor_name, size_t vendor_size, char *device_name,
		     size_t device_size)
{
	struct names n = { .vendor = vendor, .device = device };
	unsigned i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < nr_cached; i++) {
		if (cache[i].vendor == vendor && cache[i].device == device)
			break;
	}
	if (i < nr_cached) {
		n = cache[i];
	} else {
		lookup(&n);
		if (nr_cached < NAMES_MAX)
			cache[nr_cached++] = n;
	}
	pthread_mutex_unlock(&lock);
	snprintf(vendor_name, vendor_size, "%s", n.vendor_name);
	snprintf(device_name, device_size, "%s", n.device_name);
}
