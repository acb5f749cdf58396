/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fault: what the kernel's log says of devices that reached where they may not: IOMMU faults (Intel, AMD, ARM SMMU), blocked
 * interrupts, uncorrected PCIe errors. Text in, struct out: no state, nothing is asked of the host.
 *
 * The kernel limits these lines (10 in 5 s on x86) and then says how many it left out, without saying whose they were.
 */
#ifndef GANGWAY_FAULT_H
#define GANGWAY_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault_kind {
	FAULT_DMA, /* a memory access was refused */
	FAULT_INTERRUPT, /* an interrupt request was refused */
	FAULT_AER, /* an uncorrected PCIe error: device or link */
	FAULT_SUPPRESSED, /* lines that the kernel left out: @count faults of nobody knows whom */
};

enum fault_direction { FAULT_UNKNOWN, FAULT_READ, FAULT_WRITE };

#define FAULT_REASON_MAX 96
#define FAULT_BDF_MAX 16

struct fault {
	enum fault_kind kind;
	enum fault_direction direction;
	char bdf[FAULT_BDF_MAX]; /* "0000:3b:10.0"; "" where the line names no function */
	bool has_segment; /* the line says which PCI segment; else 0000 is put */
	bool has_address;
	uint64_t address; /* IOVA; the index of FAULT_INTERRUPT */
	uint64_t count; /* at least so many faults: 1, or more for FAULT_SUPPRESSED */
	char reason[FAULT_REASON_MAX]; /* the kernel's words, printable ASCII, cut to fit; "" none */
};

/*
 * A record of /dev/kmsg ("PRIORITY,SEQUENCE,...;TEXT\n" and what follows). Only the kernel's own count: what a process writes into the log
 * cannot be of facility 0. False: no fault, or not understood; *@ret is untouched.
 */
bool fault_parse_record(const char *record, size_t len, struct fault *ret);
/* One line of the kernel's, without its time stamp. */
bool fault_parse_line(const char *line, size_t len, struct fault *ret);

const char *fault_kind_to_string(enum fault_kind kind);
const char *fault_direction_to_string(enum fault_direction direction); /* FAULT_UNKNOWN: NULL */

#endif
