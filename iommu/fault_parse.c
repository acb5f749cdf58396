/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault lines of the kernel, as drivers/iommu/intel/dmar.c, drivers/iommu/amd/iommu.c, drivers/iommu/arm/ and drivers/pci/pcie/aer.c have
 * printed them from Linux 3.x on. A line is recognised from its first byte: names that a process, a USB device or a guest's VMM chooses stand
 * inside of other lines.
 */
#include "fault.h"

#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 512 /* what is behind is left out: addresses stand in front */

/*
 * The kernel's limit counts more than faults: for one fault, dmar_fault() asks it for the status line, for the fault and for the record after
 * it, which turns out to be empty. Under load several faults share the other two, so a third is what there were at the least.
 */
#define DMAR_CALLS_PER_FAULT 3

/* A cursor over a line, which is NUL-terminated; what is taken moves it. */
struct cur {
	const char *p;
};

static bool eat(struct cur *c, const char *text)
{
	size_t n = strlen(text);

	if (strncmp(c->p, text, n) != 0)
		return false;
	c->p += n;
	return true;
}

static int digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* 1 to @max hexadecimal digits, "0x" before them or not. More of them are no number. */
static bool eat_hex(struct cur *c, unsigned max, uint64_t *ret)
{
	struct cur s = *c;
	uint64_t v = 0;
	unsigned n = 0;

	eat(&s, "0x");
	for (; digit(*s.p) >= 0; s.p++, n++)
		if (n < max)
			v = v << 4 | (uint64_t)digit(*s.p);
	if (n == 0 || n > max)
		return false;
	*c = s;
	*ret = v;
	return true;
}

static bool eat_decimal(struct cur *c, uint64_t max, uint64_t *ret)
{
	struct cur s = *c;
	uint64_t v = 0;

	for (; *s.p >= '0' && *s.p <= '9'; s.p++) {
		v = v * 10 + (uint64_t)(*s.p - '0');
		if (v > max)
			return false;
	}
	if (s.p == c->p)
		return false;
	*c = s;
	*ret = v;
	return true;
}

/* Behind the next @text, wherever that is. */
static bool find(struct cur *c, const char *text)
{
	const char *at = strstr(c->p, text);

	if (at)
		c->p = at + strlen(text);
	return at != NULL;
}

/* "00:12.0", "0000:00:12.0", and "0x04:0x00.0" of Linux 5.14. */
static bool eat_bdf(struct cur *c, struct fault *f)
{
	uint64_t part[3] = { 0 }, fn;
	struct cur s = *c;
	unsigned nr = 0;

	do {
		if (!eat_hex(&s, nr == 0 ? 4 : 2, &part[nr]))
			return false;
	} while (++nr < 3 && eat(&s, ":"));
	if (nr < 2 || !eat(&s, ".") || !eat_hex(&s, 1, &fn))
		return false;
	if (nr == 2) {
		part[2] = part[1];
		part[1] = part[0];
		part[0] = 0;
	}
	if (part[1] > 0xff || part[2] > 0x1f || fn > 7)
		return false;
	snprintf(f->bdf, sizeof(f->bdf), "%04x:%02x:%02x.%x", (unsigned)part[0] & 0xffff, (unsigned)part[1] & 0xff,
		 (unsigned)part[2] & 0x1f, (unsigned)fn & 7);
	f->has_segment = nr == 3;
	*c = s;
	return true;
}

/* "vfio-pci 0000:04:10.0: ": what dev_printk() puts in front. */
static bool eat_device(struct cur *c, struct fault *f)
{
	size_t n = strcspn(c->p, " ");
	struct cur s = { c->p + n };

	if (n == 0 || !eat(&s, " ") || !eat_bdf(&s, f) || !eat(&s, ": "))
		return false;
	*c = s;
	return true;
}

static void take_reason(struct fault *f, const char *text, size_t len)
{
	size_t n = 0;

	for (; n < len && text[n] && n < sizeof(f->reason) - 1; n++)
		f->reason[n] = (unsigned char)text[n] < 0x20 || (unsigned char)text[n] > 0x7e ? '?' : text[n];
	while (n > 0 && f->reason[n - 1] == ' ')
		n--;
	f->reason[n] = '\0';
}

/* "[fault reason 0x05] PTE Write access is not set"; on a line of its own before Linux 4.5, which the log then has as one text. */
static void take_intel_reason(struct cur *c, struct fault *f)
{
	if (find(c, "[fault reason ") && find(c, "] "))
		take_reason(f, c->p, strlen(c->p));
}

/* "DMAR: [DMA Write NO_PASID] Request device [00:12.0] fault addr 0x1000 [fault reason 0x05] PTE Write access is not set" */
static bool parse_intel_dma(struct cur c, struct fault *f)
{
	eat(&c, "dmar: ");
	if (!eat(&c, "DMAR:"))
		return false;
	eat(&c, " ");
	if (!eat(&c, "[DMA "))
		return false;
	if (eat(&c, "Write"))
		f->direction = FAULT_WRITE;
	else if (eat(&c, "Read"))
		f->direction = FAULT_READ;
	else
		return false;
	if (!find(&c, "] Request device [") || !eat_bdf(&c, f) || !find(&c, "fault addr "))
		return false;
	f->has_address = eat_hex(&c, 16, &f->address);
	take_intel_reason(&c, f);
	return true;
}

/* "DMAR: [INTR-REMAP] Request device [f0:1f.0] fault index 0x0 [fault reason 0x25] Blocked a compatibility format interrupt request" */
static bool parse_intel_interrupt(struct cur c, struct fault *f)
{
	eat(&c, "dmar: ");
	if (!eat(&c, "DMAR: "))
		return false;
	if (eat(&c, "INTR-REMAP: Request device [[")) /* up to Linux 4.x */
		;
	else if (!eat(&c, "[INTR-REMAP] Request device ["))
		return false;
	f->kind = FAULT_INTERRUPT;
	if (!eat_bdf(&c, f) || !find(&c, "fault index "))
		return false;
	f->has_address = eat_hex(&c, 16, &f->address);
	take_intel_reason(&c, f);
	return true;
}

#define AMD_FLAG_INTERRUPT 0x008 /* AMD I/O Virtualization Technology specification, IO_PAGE_FAULT event: I */
#define AMD_FLAG_WRITE 0x020 /* RW */

/*
 * "AMD-Vi: Event logged [IO_PAGE_FAULT device=07:00.0 domain=0x0007 address=0xffffc02000 flags=0x0020]", or with the function in front and
 * none inside. In front of other events it is the IOMMU itself.
 */
static bool parse_amd(struct cur c, struct fault *f)
{
	uint64_t flags = 0;
	struct cur at;

	eat_device(&c, f);
	eat(&c, "AMD-Vi: ");
	if (!eat(&c, "Event logged ["))
		return false;
	take_reason(f, c.p, strcspn(c.p, " ]"));
	at = c;
	if (find(&at, " device=") && !eat_bdf(&at, f))
		return false;
	at = c;
	f->has_address = find(&at, " address=") && eat_hex(&at, 16, &f->address);
	at = c;
	if (!find(&at, " flags=") || !eat_hex(&at, 8, &flags))
		return true;
	if (flags & AMD_FLAG_INTERRUPT)
		f->kind = FAULT_INTERRUPT;
	else
		f->direction = flags & AMD_FLAG_WRITE ? FAULT_WRITE : FAULT_READ;
	return true;
}

/*
 * "arm-smmu-v3 arm-smmu-v3.5.auto: event: F_TRANSLATION client: 0001:06:00.0 sid: 0x20600 ssid: 0x0 iova: 0xff9bc000 ipa: 0x0" (Linux 6.14
 * on; the raw words that older ones print name a stream, not a function), "arm-smmu 5000000.iommu: Unhandled context fault: fsr=0x402, ...".
 */
static bool parse_arm(struct cur c, struct fault *f)
{
	struct cur at;

	if (!eat(&c, "arm-smmu"))
		return false;
	if (find(&c, ": event: ")) {
		take_reason(f, c.p, strcspn(c.p, " "));
		at = c;
		if (find(&at, " client: "))
			eat_bdf(&at, f);
		at = c;
		f->has_address = find(&at, " iova: ") && eat_hex(&at, 16, &f->address);
		return true;
	}
	if (!find(&c, ": Unhandled context fault: "))
		return false;
	f->has_address = find(&c, "iova=") && eat_hex(&c, 16, &f->address);
	take_reason(f, "context fault", 13);
	return true;
}

/*
 * "vfio-pci 0000:3b:10.0: AER: PCIe Bus Error: severity=Uncorrected (Fatal), type=Inaccessible, (Unregistered Agent ID)". What the root port
 * says before ("AER: Uncorrected (Fatal) error received: 0000:3b:10.0") is the same error; corrected ones are none.
 */
static bool parse_aer(struct cur c, struct fault *f)
{
	if (!eat_device(&c, f))
		return false;
	eat(&c, "AER: ");
	if (!eat(&c, "PCIe Bus Error: severity=") || strncmp(c.p, "Uncorrected", 11) != 0)
		return false;
	f->kind = FAULT_AER;
	take_reason(f, c.p, strlen(c.p));
	return true;
}

/* "dmar_fault: 893 callbacks suppressed" */
static bool parse_suppressed(struct cur c, struct fault *f)
{
	static const struct {
		const char *function;
		unsigned calls; /* that it makes for one fault */
	} rows[] = {
		{ "dmar_fault: ", DMAR_CALLS_PER_FAULT },
		{ "amd_iommu_report_page_fault: ", 1 },
		{ "arm_smmu_evtq_thread: ", 1 },
		{ "arm_smmu_context_fault: ", 1 },
	};
	size_t i = 0;

	while (i < sizeof(rows) / sizeof(rows[0]) && !eat(&c, rows[i].function))
		i++;
	if (i == sizeof(rows) / sizeof(rows[0]) || !eat_decimal(&c, INT32_MAX, &f->count) || !eat(&c, " callbacks suppressed"))
		return false;
	f->kind = FAULT_SUPPRESSED;
	f->count /= rows[i].calls;
	return f->count > 0;
}

static bool (*const parsers[])(struct cur c, struct fault *f) = {
	parse_intel_dma, parse_intel_interrupt, parse_amd, parse_arm, parse_aer, parse_suppressed,
};

bool fault_parse_line(const char *line, size_t len, struct fault *ret)
{
	char text[LINE_MAX_BYTES];

	len = strnlen(line, len < sizeof(text) ? len : sizeof(text) - 1);
	memcpy(text, line, len);
	text[len] = '\0';
	for (size_t i = 0; i < sizeof(parsers) / sizeof(parsers[0]); i++) {
		struct fault f = { .count = 1 };

		if (!parsers[i]((struct cur){ text }, &f))
			continue;
		*ret = f;
		return true;
	}
	return false;
}

bool fault_parse_record(const char *record, size_t len, struct fault *ret)
{
	const char *text = memchr(record, ';', len), *end;
	char head[16];
	struct cur c = { head };
	uint64_t priority;

	if (!text || len == 0)
		return false;
	snprintf(head, sizeof(head), "%.*s", len < sizeof(head) ? (int)len : (int)sizeof(head) - 1, record);
	if (!eat_decimal(&c, INT32_MAX, &priority) || !eat(&c, ",") || priority >> 3 != 0)
		return false;
	text++;
	len -= (size_t)(text - record);
	end = memchr(text, '\n', len);
	return fault_parse_line(text, end ? (size_t)(end - text) : len, ret);
}

const char *fault_kind_to_string(enum fault_kind kind)
{
	switch (kind) {
	case FAULT_DMA:
		return "dma";
	case FAULT_INTERRUPT:
		return "interrupt";
	case FAULT_AER:
		return "aer";
	case FAULT_SUPPRESSED:
		return "suppressed";
	}
	return "?";
}

const char *fault_direction_to_string(enum fault_direction direction)
{
	switch (direction) {
	case FAULT_UNKNOWN:
		return NULL;
	case FAULT_READ:
		return "read";
	case FAULT_WRITE:
		return "write";
	}
	return NULL;
}
