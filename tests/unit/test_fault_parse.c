/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fault lines as kernels have printed them, and lines that only look like some. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "fault.h"

static const struct {
	const char *line;
	enum fault_kind kind;
	enum fault_direction direction;
	const char *bdf;
	bool has_segment;
	long long address; /* -1: none */
	const char *reason;
	unsigned count; /* 0: 1 */
} faults[] = {
	/* Intel, Linux 6.x */
	{ "DMAR: [DMA Write NO_PASID] Request device [05:00.0] fault addr 0x69974000 [fault reason 0x05] PTE Write access is not "
	  "set",
	  FAULT_DMA, FAULT_WRITE, "0000:05:00.0", false, 0x69974000, "PTE Write access is not set", 0 },
	{ "DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x0 [fault reason 0x06] PTE Read access is not set",
	  FAULT_DMA, FAULT_READ, "0000:00:02.0", false, 0, "PTE Read access is not set", 0 },
	{ "DMAR: [DMA Write PASID 0x1] Request device [6a:01.0] fault addr 0xfffffffffffff000 [fault reason 0x71] SM: Present "
	  "bit in "
	  "first-level paging entry is clear",
	  FAULT_DMA, FAULT_WRITE, "0000:6a:01.0", false, -4096, "SM: Present bit in first-level paging entry is clear", 0 },
	{ "DMAR: [DMA Write NO_PASID] Request device [0x04:0x00.0] fault addr 0x69974000 [fault reason 0x05] PTE Write access is "
	  "not "
	  "set",
	  FAULT_DMA, FAULT_WRITE, "0000:04:00.0", false, 0x69974000, "PTE Write access is not set", 0 },
	/* 5.x, 4.x, 3.x */
	{ "DMAR: [DMA Write] Request device [00:14.0] PASID ffffffff fault addr 7b000000 [fault reason 05] PTE Write access is "
	  "not "
	  "set",
	  FAULT_DMA, FAULT_WRITE, "0000:00:14.0", false, 0x7b000000, "PTE Write access is not set", 0 },
	{ "DMAR: [DMA Read] Request device [03:00.1] fault addr ffffe000 [fault reason 02] Present bit in context entry is clear",
	  FAULT_DMA, FAULT_READ, "0000:03:00.1", false, 0xffffe000, "Present bit in context entry is clear", 0 },
	{ "DMAR:[DMA Write] Request device [05:01.0] fault addr ffbfe000 \\x0aDMAR:[fault reason 02] Present bit in context "
	  "entry is "
	  "clear",
	  FAULT_DMA, FAULT_WRITE, "0000:05:01.0", false, 0xffbfe000, "Present bit in context entry is clear", 0 },
	{ "dmar: DMAR:[DMA Read] Request device [00:02.0] fault addr 6df084000 ", FAULT_DMA, FAULT_READ, "0000:00:02.0", false,
	  0x6df084000, "", 0 },
	/* with a segment */
	{ "DMAR: [DMA Write] Request device [0001:3b:10.7] fault addr 1000 [fault reason 05] PTE Write access is not set",
	  FAULT_DMA, FAULT_WRITE, "0001:3b:10.7", true, 0x1000, "PTE Write access is not set", 0 },
	/* interrupts */
	{ "DMAR: [INTR-REMAP] Request device [f0:1f.0] fault index 0x8080 [fault reason 0x25] Blocked a compatibility format "
	  "interrupt request",
	  FAULT_INTERRUPT, FAULT_UNKNOWN, "0000:f0:1f.0", false, 0x8080, "Blocked a compatibility format interrupt request", 0 },
	{ "DMAR: INTR-REMAP: Request device [[f0:1f.7] fault index 7000000000", FAULT_INTERRUPT, FAULT_UNKNOWN, "0000:f0:1f.7",
	  false, 0x7000000000, "", 0 },
	/* AMD */
	{ "vfio-pci 0000:04:10.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0037 address=0x7b657064 flags=0x0020]", FAULT_DMA,
	  FAULT_WRITE, "0000:04:10.0", true, 0x7b657064, "IO_PAGE_FAULT", 0 },
	{ "xhci_hcd 0000:02:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000f address=0xff00ffffffefe000 flags=0x0000]",
	  FAULT_DMA, FAULT_READ, "0000:02:00.0", true, (long long)0xff00ffffffefe000, "IO_PAGE_FAULT", 0 },
	{ "AMD-Vi: Event logged [IO_PAGE_FAULT device=0a:00.0 domain=0x001d address=0x000000000637c000 flags=0x0000]", FAULT_DMA,
	  FAULT_READ, "0000:0a:00.0", false, 0x637c000, "IO_PAGE_FAULT", 0 },
	{ "AMD-Vi: Event logged [IO_PAGE_FAULT device=0001:07:00.0 domain=0x0007 address=0xffffc02000 flags=0x0030]", FAULT_DMA,
	  FAULT_WRITE, "0001:07:00.0", true, 0xffffc02000, "IO_PAGE_FAULT", 0 },
	{ "vfio-pci 0000:04:10.0: Event logged [IO_PAGE_FAULT domain=0x0037 address=0xfdf8000000 flags=0x0008]", FAULT_INTERRUPT,
	  FAULT_UNKNOWN, "0000:04:10.0", true, 0xfdf8000000, "IO_PAGE_FAULT", 0 },
	/* in front: the IOMMU; inside: whose fault it is */
	{ "pci 0000:00:00.2: AMD-Vi: Event logged [INVALID_DEVICE_REQUEST device=0000:04:10.0 pasid=0x00000 "
	  "address=0xfffffffdf8000000 "
	  "flags=0x0a00]",
	  FAULT_DMA, FAULT_READ, "0000:04:10.0", true, (long long)0xfffffffdf8000000, "INVALID_DEVICE_REQUEST", 0 },
	/* ARM */
	{ "arm-smmu-v3 arm-smmu-v3.5.auto: event: F_TRANSLATION client: 0001:06:00.0 sid: 0x20600 ssid: 0x0 iova: 0xff9bc000 "
	  "ipa: 0x0",
	  FAULT_DMA, FAULT_UNKNOWN, "0001:06:00.0", true, 0xff9bc000, "F_TRANSLATION", 0 },
	{ "arm-smmu 5000000.iommu: Unhandled context fault: fsr=0x402, iova=0x9b0cc000, fsynr=0x1, cbfrsynra=0x400, cb=3",
	  FAULT_DMA, FAULT_UNKNOWN, "", false, 0x9b0cc000, "context fault", 0 },
	/* PCIe */
	{ "vfio-pci 0000:3b:10.0: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Transaction Layer, (Requester ID)",
	  FAULT_AER, FAULT_UNKNOWN, "0000:3b:10.0", true, -1, "Uncorrected (Non-Fatal), type=Transaction Layer, (Requester ID)",
	  0 },
	{ "igb 0000:09:00.0: AER: PCIe Bus Error: severity=Uncorrected (Fatal), type=Inaccessible, (Unregistered Agent ID)",
	  FAULT_AER, FAULT_UNKNOWN, "0000:09:00.0", true, -1, "Uncorrected (Fatal), type=Inaccessible, (Unregistered Agent ID)",
	  0 },
	/* left out by the kernel */
	{ "dmar_fault: 893 callbacks suppressed", FAULT_SUPPRESSED, FAULT_UNKNOWN, "", false, -1, "", 297 },
	{ "dmar_fault: 3 callbacks suppressed", FAULT_SUPPRESSED, FAULT_UNKNOWN, "", false, -1, "", 1 },
	{ "amd_iommu_report_page_fault: 44 callbacks suppressed", FAULT_SUPPRESSED, FAULT_UNKNOWN, "", false, -1, "", 44 },
};

Test(fault_parse, lines_of_kernels)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		const char *line = faults[i].line;
		struct fault f = { 0 };
		char record[640];

		cr_assert(fault_parse_line(line, strlen(line), &f), "%s", line);
		cr_expect_eq(f.kind, faults[i].kind, "%s: %s", line, fault_kind_to_string(f.kind));
		cr_expect_eq(f.direction, faults[i].direction, "%s: direction %d", line, f.direction);
		cr_expect_str_eq(f.bdf, faults[i].bdf, "%s: %s", line, f.bdf);
		cr_expect_eq(f.has_segment, faults[i].has_segment, "%s: segment", line);
		cr_expect_eq(f.has_address, faults[i].address != -1, "%s: address", line);
		cr_expect(!f.has_address || f.address == (uint64_t)faults[i].address, "%s: %llx", line,
			  (unsigned long long)f.address);
		cr_expect_str_eq(f.reason, faults[i].reason, "%s: %s", line, f.reason);
		cr_expect_eq(f.count, faults[i].count ? faults[i].count : 1, "%s: %llu", line, (unsigned long long)f.count);
		snprintf(record, sizeof(record), "3,1201,5140900,-,caller=T12;%s\n SUBSYSTEM=pci\n", line);
		cr_expect(fault_parse_record(record, strlen(record), &f), "%s", record);
	}
}

static const char *const no_faults[] = {
	"",
	"DMAR: DRHD: handling fault status reg 2", /* the faults themselves follow */
	"DMAR: IOMMU enabled",
	"DMAR:[fault reason 05] PTE Write access is not set",
	"DMAR: [DMA Write] Request device [",
	"DMAR: [DMA Write] Request device [00:12.0]",
	"DMAR: [DMA Write] Request device [00:12.0 fault",
	"DMAR: [DMA Write] Request device [00:12.8] fault addr 1000 ",
	"DMAR: [DMA Write] Request device [00:20.0] fault addr 1000 ",
	"DMAR: [DMA Write] Request device [100:12.0] fault addr 1000 ", /* neither a bus nor a segment with a bus */
	"DMAR: [DMA Write] Request device [10000:00:12.0] fault addr 1000 ",
	"DMAR: [DMA Move] Request device [00:12.0] fault addr 1000 ",
	"DMAR: [INTR-REMAP] Request device [00:12.0]",
	"AMD-Vi: Event logged",
	"AMD-Vi: Event logged [IO_PAGE_FAULT device=xx:00.0 domain=0x0007 address=0x1000 flags=0x0000]",
	"AMD-Vi: AMD IOMMUv2 loaded and initialized",
	"arm-smmu-v3 arm-smmu-v3.5.auto: event 0x10 received:",
	/* the same error again, and errors that were corrected */
	"pcieport 0000:00:01.1: AER: Uncorrected (Fatal) error received: 0000:09:00.0",
	"pcieport 0000:00:1c.0: AER: Corrected error received: 0000:00:1c.0",
	"pcieport 0000:00:1c.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)",
	"pcieport 0000:00:1c.0: PCIe Bus Error: severity=Correctable, type=Data Link Layer, (Receiver ID)",
	"igb 0000:09:00.0: AER:   device [8086:1537] error status/mask=00004000/00000000",
	/* somebody else's limit, and numbers that are none */
	"net_ratelimit: 12 callbacks suppressed",
	"dmar_fault: 0 callbacks suppressed",
	"dmar_fault: 2 callbacks suppressed", /* may be a status line and the end of the records */
	"dmar_fault: -3 callbacks suppressed",
	"dmar_fault: 99999999999999999999 callbacks suppressed",
	"dmar_fault: callbacks suppressed",
	/* what others chose the name of */
	"usb 1-1: Product: DMAR: [DMA Write] Request device [00:12.0] fault addr 1000 [fault reason 05] x",
	"evil[12]: DMAR: [DMA Write] Request device [00:12.0] fault addr 1000 [fault reason 05] x",
	" DMAR: [DMA Write] Request device [00:12.0] fault addr 1000 [fault reason 05] x",
};

Test(fault_parse, other_lines)
{
	for (size_t i = 0; i < sizeof(no_faults) / sizeof(no_faults[0]); i++) {
		struct fault f = { .count = 77 };

		cr_expect_not(fault_parse_line(no_faults[i], strlen(no_faults[i]), &f), "%s", no_faults[i]);
		cr_expect_eq(f.count, 77, "%s: *ret was touched", no_faults[i]);
	}
}

#define LINE "DMAR: [DMA Write] Request device [00:12.0] fault addr 1000 [fault reason 05] PTE Write access is not set"

static const struct {
	const char *record;
	bool fault;
} records[] = {
	{ "3,1,2,-;" LINE "\n", true },
	{ "6,1,2,-;" LINE "\n", true },
	{ "3,1,2,-;" LINE, true }, /* cut */
	{ "3,1,2,c,caller=T1;" LINE "\n", true },
	/* of user space, whatever it calls itself */
	{ "11,1,2,-;" LINE "\n", false },
	{ "12,1,2,-;" LINE "\n", false },
	{ "4294967299,1,2,-;" LINE "\n", false }, /* 3, in its low half */
	{ "-5,1,2,-;" LINE "\n", false },
	{ ",1,2,-;" LINE "\n", false },
	{ "3;" LINE "\n", false },
	{ "x,1,2,-;" LINE "\n", false },
	{ LINE "\n", false },
	{ "3,1,2,-;\n " LINE "\n", false },
	{ "3,1,2,-;", false },
	{ ";", false },
	{ "", false },
};

Test(fault_parse, records)
{
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		struct fault f;

		cr_expect_eq(fault_parse_record(records[i].record, strlen(records[i].record), &f), records[i].fault, "%s",
			     records[i].record);
	}
}

/* Cut anywhere: no more is made of it than is there. */
Test(fault_parse, cut_records)
{
	const char *whole = "3,1,2,-;" LINE "\n";

	for (size_t n = 0; n <= strlen(whole); n++) {
		char *cut = malloc(n ? n : 1);
		struct fault f;

		memcpy(cut, whole, n);
		if (fault_parse_record(cut, n, &f)) {
			cr_expect_str_eq(f.bdf, "0000:00:12.0");
			cr_expect_leq(f.address, 0x1000);
		}
		free(cut);
	}
}

Test(fault_parse, what_is_too_long_or_not_printable)
{
	char line[2048];
	struct fault f;
	size_t n;

	n = (size_t)snprintf(line, sizeof(line),
			     "DMAR: [DMA Write] Request device [00:12.0] fault addr 1000 [fault reason 05] a\x1b\xff");
	memset(line + n, 'x', sizeof(line) - n);
	cr_assert(fault_parse_line(line, sizeof(line), &f));
	cr_expect_eq(strlen(f.reason), FAULT_REASON_MAX - 1);
	cr_expect_eq(strncmp(f.reason, "a??xxx", 6), 0, "%s", f.reason);
	/* an address of 17 digits is none */
	cr_assert(fault_parse_line("DMAR: [DMA Read] Request device [00:12.0] fault addr 12345678123456789 ", 71, &f));
	cr_expect_not(f.has_address);
}
