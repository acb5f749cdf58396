/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a guest's MSI-X table is, and the monitor's text of it: as two QEMUs write it, and as nobody should. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "fake_internal.h"
#include "msix_table.h"

/* --- the text --- */

#define E0 " 0xfee00000 0x00000000 0x00004041 0x00000000"
#define E1 " 0xfee01000 0x00000000 0x00004051 0x00000001"
#define E2 " 0x00000000 0x00000000 0x00000000 0x00000001"
#define ADDR 0xfe840000u

static int parse(const char *text, size_t len, uint64_t addr, unsigned nr, struct msi_message *ret, unsigned *ret_nr)
{
	char *exact = malloc(len ? len : 1); /* one past it would be noticed, with a sanitizer */
	int r;

	memcpy(exact, text, len);
	r = msix_table_parse(exact, len, addr, nr, ret, ret_nr);
	free(exact);
	return r;
}

/* clang-format off */
static const struct {
	const char *what, *text;
	unsigned asked;
	int r;
	unsigned nr;
} rows[] = {
	{ "11.1", "fe840000:" E0 "\r\nfe840010:" E1 "\r\nfe840020:" E2 "\r\n", 3, 0, 3 },
	{ "7.2", "00000000fe840000:" E0 "\r\n00000000fe840010:" E1 "\r\n00000000fe840020:" E2 "\r\n", 3, 0, 3 },
	{ "no CR", "fe840000:" E0 "\nfe840010:" E1 "\n", 2, 0, 2 },
	{ "no end", "fe840000:" E0 "\r\nfe840010:" E1, 2, 0, 2 },
	{ "half an end", "fe840000:" E0 "\r\nfe840010:" E1 "\r", 2, 0, 2 },
	{ "lines of another length", "fe840000:" E0 E1 "\r\nfe840020: 0x00000000 0x00000000\r\nfe840028: 0x00000000 0x00000001\r\n", 3, 0, 3 },
	/* cut */
	{ "nothing", "", 1, -ENODATA, 0 },
	{ "a line missing", "fe840000:" E0 "\r\n", 2, -ENODATA, 1 },
	{ "in a word", "fe840000:" E0 "\r\nfe840010: 0xfee01000 0x0000", 2, -ENODATA, 1 },
	{ "before a word", "fe840000:" E0 "\r\nfe840010: 0xfee01000 0", 2, -ENODATA, 1 },
	{ "between words", "fe840000:" E0 "\r\nfe840010: 0xfee01000", 2, -ENODATA, 1 },
	{ "in an address", "fe840000:" E0 "\r\nfe84", 2, -ENODATA, 1 },
	{ "after an address", "fe840000:" E0 "\r\nfe840010:", 2, -ENODATA, 1 },
	{ "words missing", "fe840000:" E0 "\r\nfe840010: 0xfee01000 0x00000000\r\n", 2, -ENODATA, 1 },
	/* not there */
	{ "nowhere", "fe840000: Cannot access memory\r\n", 2, -EFAULT, 0 },
	{ "from the second on", "fe840000:" E0 "\r\nfe840010: Cannot access memory\r\n", 2, -EFAULT, 1 },
	{ "that was cut", "fe840000:" E0 "\r\nfe840010: Cannot acc", 2, -ENODATA, 1 },
	/* bad */
	{ "another address", "fe850000:" E0 "\r\n", 1, -EBADMSG, 0 },
	{ "another second address", "fe840000:" E0 "\r\nfe840020:" E1 "\r\n", 2, -EBADMSG, 0 },
	{ "the first one again", "fe840000:" E0 "\r\nfe840000:" E1 "\r\n", 2, -EBADMSG, 0 },
	{ "too many digits of address", "0000000000000000fe840000:" E0 "\r\n", 1, -EBADMSG, 0 },
	{ "the high half of another", "1fe840000:" E0 "\r\n", 1, -EBADMSG, 0 },
	{ "too many digits", "fe840000: 0xfee000000 0x00000000 0x00004041 0x00000000\r\n", 1, -EBADMSG, 0 },
	{ "too few digits", "fe840000: 0xfee0000 0x00000000 0x00004041 0x00000000\r\n", 1, -EBADMSG, 0 },
	{ "no 0x", "fe840000: fee00000 00000000 00004041 00000000\r\n", 1, -EBADMSG, 0 },
	{ "capitals", "FE840000:" E0 "\r\n", 1, -EBADMSG, 0 },
	{ "an address alone", "fe840000:\r\n", 1, -EBADMSG, 0 },
	{ "an empty line between", "fe840000:" E0 "\r\n\r\nfe840010:" E1 "\r\n", 2, -EBADMSG, 0 },
	{ "a lone CR", "fe840000:" E0 "\rfe840010:" E1 "\r\n", 2, -EBADMSG, 0 },
	{ "a message of the monitor", "number too large\r\nTry \"help xp\" for more information\r\n", 1, -EBADMSG, 0 },
	{ "an unknown command", "unknown command: 'xp'\r\n", 1, -EBADMSG, 0 },
	{ "another refusal", "fe840000: Cannot compute\r\n", 1, -EBADMSG, 0 },
	{ "bytes", "\xff\xfe\x80", 1, -EBADMSG, 0 },
	/* more than asked for */
	{ "a word more", "fe840000:" E0 " 0x00000000\r\n", 1, -E2BIG, 0 },
	{ "a line more", "fe840000:" E0 "\r\nfe840010:" E1 "\r\n", 1, -E2BIG, 0 },
	{ "something behind", "fe840000:" E0 "\r\n(qemu) ", 1, -E2BIG, 0 },
	/* bad counts */
	{ "none asked for", "", 0, -EINVAL, 0 },
	{ "more than a table has", "", MSIX_MAX + 1, -EINVAL, 0 },
};
/* clang-format on */

Test(msix_table, texts)
{
	static const struct msi_message is[] = { { 0xfee00000, 0, 0x4041, 0 }, { 0xfee01000, 0, 0x4051, 1 }, { 0, 0, 0, 1 } };
	struct msi_message got[4];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned nr = 4711;
		int r;

		memset(got, 0xa5, sizeof(got));
		r = parse(rows[i].text, strlen(rows[i].text), ADDR, rows[i].asked, got, &nr);
		cr_assert_eq(r, rows[i].r, "%s: %d", rows[i].what, r);
		cr_assert_eq(nr, rows[i].nr, "%s: %u", rows[i].what, nr);
		cr_assert_eq(memcmp(got, is, nr * sizeof(is[0])), 0, "%s", rows[i].what);
		cr_assert_eq(got[3].control, 0xa5a5a5a5, "%s", rows[i].what);
	}
}

/* Every cut of a good text, and the text with each byte changed, gives what it has or a reason, and never more than that. */
Test(msix_table, cut_and_spoilt_anywhere)
{
	static const char good[] = "fe840000:" E0 "\r\nfe840010:" E1 "\r\nfe840020:" E2 "\r\n";
	char bad[sizeof(good)];
	struct msi_message got[3];
	unsigned nr;

	for (size_t len = 0; len < sizeof(good) - 1; len++) {
		int r = parse(good, len, ADDR, 3, got, &nr);

		cr_assert_eq(r, len >= sizeof(good) - 3 ? 0 : -ENODATA, "%zu: %d", len, r);
		cr_assert_eq(nr, len >= 163 ? 3 : len >= 108 ? 2 : len >= 53 ? 1 : 0, "%zu: %u", len, nr);
	}
	for (size_t at = 0; at < sizeof(good) - 1; at++) {
		int r;

		memcpy(bad, good, sizeof(good));
		bad[at] = '!';
		r = parse(bad, sizeof(bad) - 1, ADDR, 3, got, &nr);
		cr_assert(r == -EBADMSG || (at == sizeof(good) - 3 && r == -E2BIG) || (at == sizeof(good) - 2 && r == -E2BIG),
			  "%zu: %d", at, r);
		cr_assert_eq(nr, 0);
	}
}

Test(msix_table, the_largest)
{
	uint64_t addr = UINT64_MAX - MSIX_MAX * 16 + 1; /* up to the very end of the address space */
	struct msi_message *got = calloc(MSIX_MAX, sizeof(*got));
	char *text = malloc(MSIX_MAX * 80);
	size_t len = 0;
	unsigned nr;

	for (unsigned i = 0; i < MSIX_MAX; i++)
		len += (size_t)sprintf(text + len, "%016lx: 0xfee00000 0x00000000 0x%08x 0x00000000\r\n",
				       (unsigned long)(addr + i * 16), i);
	cr_assert_eq(parse(text, len, addr, MSIX_MAX, got, &nr), 0);
	cr_assert_eq(nr, MSIX_MAX);
	cr_assert_eq(got[MSIX_MAX - 1].data, MSIX_MAX - 1);
	cr_assert_eq(parse(text, len, addr, MSIX_MAX - 1, got, &nr), -E2BIG);
	free(text);
	free(got);
}

/* --- the capability --- */

static uint8_t config[256];

/* A capability of @id at @at, the next one at @next. */
static void put_cap(unsigned at, uint8_t id, uint8_t next)
{
	config[at] = id;
	config[at + 1] = next;
}

static void put_msix(unsigned at, uint16_t control, uint32_t table)
{
	put_cap(at, 0x11, 0);
	config[at + 2] = (uint8_t)control;
	config[at + 3] = (uint8_t)(control >> 8);
	for (int i = 0; i < 4; i++)
		config[at + 4 + i] = (uint8_t)(table >> 8 * i);
}

static void fresh(uint8_t first)
{
	memset(config, 0, sizeof(config));
	config[6] = 0x10;
	config[0x34] = first;
}

Test(msix_table, capability)
{
	struct msix_cap cap;

	fresh(0x40); /* an igbvf: MSI-X first */
	put_msix(0x40, 0x8002, 3);
	cr_assert_eq(msix_cap_find(config, 256, &cap), 0);
	cr_assert(cap.nr == 3 && cap.bir == 3 && cap.offset == 0);
	fresh(0x50); /* behind others, at the very end, the largest table */
	put_cap(0x50, 1, 0x63); /* the low bits are reserved */
	put_cap(0x60, 0x10, 0xf4);
	put_msix(0xf4, 0xffff, 0xfffffffd);
	cr_assert_eq(msix_cap_find(config, 256, &cap), 0);
	cr_assert(cap.nr == 2048 && cap.bir == 5 && cap.offset == 0xfffffff8);
	cr_assert_eq(msix_cap_find(config, 255, &cap), -ENOENT, "not whole");
	cr_assert_eq(msix_cap_find(config, 64, &cap), -ENOENT, "what is read without privileges");
	cr_assert_eq(msix_cap_find(config, 0, &cap), -ENOENT);
}

Test(msix_table, capabilities_that_make_no_sense)
{
	struct msix_cap cap = { 7, 7, 7 };

	fresh(0x40);
	put_msix(0x40, 0, 6);
	cr_assert_eq(msix_cap_find(config, 256, &cap), -EINVAL);
	put_msix(0x40, 0, 0);
	config[6] = 0;
	cr_assert_eq(msix_cap_find(config, 256, &cap), -ENOENT, "no list");
	fresh(0x40);
	put_cap(0x40, 1, 0x40);
	cr_assert_eq(msix_cap_find(config, 256, &cap), -ENOENT, "a loop");
	fresh(0x40);
	put_cap(0x40, 1, 0x10);
	cr_assert_eq(msix_cap_find(config, 256, &cap), -ENOENT, "into the header");
	fresh(0xf8);
	put_cap(0xf8, 0x11, 0);
	cr_assert_eq(msix_cap_find(config, 256, &cap), -ENOENT, "over the end");
	memset(config, 0xff, sizeof(config));
	cr_assert_eq(msix_cap_find(config, 256, &cap), -ENOENT, "all ones");
	cr_assert(cap.nr == 7 && cap.bir == 7 && cap.offset == 7);
}

Test(msix_table, capability_of_a_function)
{
	static const char bdf[] = "0000:3b:02.1";
	struct fake *fake = fake_new();
	struct sys *sys = fake_sys(fake);
	struct msix_cap cap = { 0 };
	char path[PATH_MAX];
	struct err err;
	FILE *f;

	cr_assert_eq(msix_cap_read(sys, bdf, &cap, &err), -ENOENT);
	cr_assert_str_eq(err.code, "irq.config");
	fake_add_function(fake, bdf, NULL, 7);
	cr_assert_eq(msix_cap_read(sys, bdf, &cap, &err), -ENOENT);
	cr_assert_str_eq(err.code, "irq.no-msix");
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/config", fake_root(fake), bdf);
	for (uint32_t bir = 3; bir < 8; bir += 4) {
		fresh(0x40);
		put_msix(0x40, 2, 0x2000 | bir);
		f = fopen(path, "we");
		cr_assert_eq(fwrite(config, sizeof(config), 1, f), 1);
		fclose(f);
		cr_assert_eq(msix_cap_read(sys, bdf, &cap, &err), bir == 3 ? 0 : -EINVAL);
	}
	cr_assert_str_eq(err.code, "irq.bad-msix");
	cr_assert(cap.nr == 3 && cap.bir == 3 && cap.offset == 0x2000);
	fake_free(fake);
}

/* --- the address --- */

Test(msix_table, address)
{
	struct msix_bar bars[MSIX_BARS] = { [3] = { 0xfe840000, 0x4000 } };
	struct msix_cap cap = { .nr = 3, .bir = 3, .offset = 0x2000 };
	uint64_t addr = 4711;

	cr_assert_eq(msix_table_address(&cap, bars, &addr), 0);
	cr_assert_eq(addr, 0xfe842000);
	cap.nr = 512;
	cr_assert_eq(msix_table_address(&cap, bars, &addr), 0, "up to its end");
	cap.nr = 513;
	cr_assert_eq(msix_table_address(&cap, bars, &addr), -ERANGE, "beyond it");
	cap.nr = 1;
	cap.offset = 0xfffffff8;
	cr_assert_eq(msix_table_address(&cap, bars, &addr), -ERANGE);
	cap.offset = 0;
	cap.bir = 2;
	cr_assert_eq(msix_table_address(&cap, bars, &addr), -ENXIO, "no such BAR");
	cap.bir = 6;
	cr_assert_eq(msix_table_address(&cap, bars, &addr), -ENXIO);
	cap.bir = 3;
	bars[3].address = 0;
	cr_assert_eq(msix_table_address(&cap, bars, &addr), -ENXIO, "not mapped");
	bars[3] = (struct msix_bar){ UINT64_MAX - 0x3fff, 0x4000 };
	cr_assert_eq(msix_table_address(&cap, bars, &addr), 0, "the last page");
	bars[3] = (struct msix_bar){ UINT64_MAX - 0x3ffe, 0x4000 };
	cr_assert_eq(msix_table_address(&cap, bars, &addr), -ERANGE, "wraps");
	cap.nr = 0;
	cr_assert_eq(msix_table_address(&cap, bars, &addr), -ERANGE);
	cap.nr = MSIX_MAX + 1;
	cr_assert_eq(msix_table_address(&cap, bars, &addr), -ERANGE);
}
