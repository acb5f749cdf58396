/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * msix_table: a guest's MSI-X table, read from outside. Where it lies in guest-physical memory: the BAR's address in the guest (vmm_irq.h)
 * and the function's MSI-X capability. What it holds: the text of the monitor's "xp /NNwx ADDR" over it. Parsing of untrusted input, and no I/O but msix_cap_read().
 */
#ifndef GANGWAY_MSIX_TABLE_H
#define GANGWAY_MSIX_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "msi.h"

#define MSIX_MAX 2048 /* entries of a table: the capability has 11 bits for it */
#define MSIX_ENTRY_WORDS 4 /* of 4 bytes: PCIe Base Spec, MSI-X table structure */
#define MSIX_BARS 6

/* The MSI-X capability, as far as the table goes. */
struct msix_cap {
	unsigned nr; /* entries, 1 to 2048 */
	unsigned bir; /* BAR, 0 to 5 */
	uint32_t offset; /* of the table in it, a multiple of 8 */
};

/*
 * Finds it in @config, a function's config space of @len bytes (256 of /sys/bus/pci/devices/BDF/config; a process without privileges
 * gets 64). 0; -ENOENT: it has none, or the list of capabilities makes no sense (loops, leads outside); -EINVAL: BIR 6 or 7.
 * The guest's own copy is the same: VMMs pass BIR and offset on, unless told to move the table (QEMU's x-msix-relocation).
 */
int msix_cap_find(const uint8_t *config, size_t len, struct msix_cap *ret);

struct err;
struct sys;

/* The same of @bdf on the host, through sysfs. It never changes: once for a lease. -ENOENT "irq.no-msix"; -EINVAL "irq.bad-msix"; what
 * reading it gives, "irq.config". */
int msix_cap_read(struct sys *sys, const char *bdf, struct msix_cap *ret, struct err *err);

/* A BAR as the guest has placed it. @size 0: there is none. */
struct msix_bar {
	uint64_t address, size;
};

/*
 * The guest-physical address of the table, which lies within the BAR whole. -ENXIO: no such BAR, or not mapped (address 0: the guest has
 * switched memory decoding off or is in its firmware); -ERANGE: the table does not fit in the BAR, or the BAR wraps.
 */
int msix_table_address(const struct msix_cap *cap, const struct msix_bar bars[static MSIX_BARS], uint64_t *ret);

/*
 * Parses @len bytes of @text (no NUL needed), the answer to "xp /Nwx @addr" with N = 4 * @nr words, @nr at most MSIX_MAX, into @ret. As
 * monitor/hmp-cmds-target.c memory_dump() writes it: lines of "ADDR: 0xWORD 0xWORD 0xWORD 0xWORD", ended by CR LF over QMP; ADDR of 16
 * digits in QEMU 7.2, of 8 and more in 11.1. What is cut off or beyond the guest's memory leaves the entries before it valid.
 *
 * *ret_nr: entries that are valid. 0: all of them; -EFAULT: "Cannot access memory" after those; -ENODATA: the text ends after those;
 * -EBADMSG: no such text (another command's answer, an address that is not the next one), none are valid; -E2BIG: more words than were
 * asked for, none are valid; -EINVAL: @nr. @ret beyond those is undefined.
 */
int msix_table_parse(const char *text, size_t len, uint64_t addr, unsigned nr, struct msi_message *ret, unsigned *ret_nr);

#endif
