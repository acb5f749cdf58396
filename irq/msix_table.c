/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "msix_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "sys.h"

/* Config space: PCI Local Bus Spec 3.0, 6.1, 6.7 and 6.8.2. */
#define CONFIG_LEN 256
#define CONFIG_STATUS 0x06
#define STATUS_CAPABILITIES 0x10
#define CONFIG_FIRST_CAP 0x34
#define CONFIG_CAPS_START 0x40
#define CAPS_MAX 48 /* 192 bytes, at least 4 each */
#define CAP_MSIX 0x11
#define CAP_MSIX_LEN 12
#define MSIX_SIZE_MASK 0x7ff
#define MSIX_BIR_MASK 7u

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int msix_cap_find(const uint8_t *config, size_t len, struct msix_cap *ret)
{
	unsigned at;

	if (len > CONFIG_LEN)
		len = CONFIG_LEN;
	if (len < CONFIG_CAPS_START || !(config[CONFIG_STATUS] & STATUS_CAPABILITIES))
		return -ENOENT;
	at = config[CONFIG_FIRST_CAP] & ~3u;
	for (unsigned i = 0; i < CAPS_MAX && at >= CONFIG_CAPS_START && at + 2 <= len; i++) {
		uint32_t table;

		if (config[at] != CAP_MSIX) {
			at = config[at + 1] & ~3u;
			continue;
		}
		if (at + CAP_MSIX_LEN > len)
			return -ENOENT;
		table = le32(config + at + 4);
		if ((table & MSIX_BIR_MASK) >= MSIX_BARS)
			return -EINVAL;
		ret->nr = (le32(config + at) >> 16 & MSIX_SIZE_MASK) + 1;
		ret->bir = table & MSIX_BIR_MASK;
		ret->offset = table & ~MSIX_BIR_MASK;
		return 0;
	}
	return -ENOENT;
}

int msix_cap_read(struct sys *sys, const char *bdf, struct msix_cap *ret, struct err *err)
{
	uint8_t config[CONFIG_LEN];
	char path[96];
	ssize_t n;
	int r;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	n = sys->ops->read_file(sys, path, config, sizeof(config));
	if (n < 0)
		return err_set(err, (int)n, "irq.config", "vf %s: config space: %s", bdf, strerror((int)-n));
	r = msix_cap_find(config, (size_t)n, ret);
	if (r == -ENOENT)
		return err_set(err, r, "irq.no-msix", "vf %s: it has no MSI-X capability", bdf);
	if (r < 0)
		return err_set(err, r, "irq.bad-msix", "vf %s: its MSI-X capability names no BAR", bdf);
	return 0;
}

int msix_table_address(const struct msix_cap *cap, const struct msix_bar bars[static MSIX_BARS], uint64_t *ret)
{
	uint64_t bytes = (uint64_t)cap->nr * MSIX_ENTRY_WORDS * 4, end, last;
	const struct msix_bar *bar;

	if (cap->bir >= MSIX_BARS || !bars[cap->bir].size || !bars[cap->bir].address)
		return -ENXIO;
	bar = &bars[cap->bir];
	end = cap->offset + bytes; /* 32 bits and 16: no wrap */
	if (cap->nr == 0 || cap->nr > MSIX_MAX || end > bar->size || __builtin_add_overflow(bar->address, bar->size - 1, &last))
		return -ERANGE;
	*ret = bar->address + cap->offset;
	return 0;
}

/* The text --------------------------------------------------------------------------------------------------------------- */

struct text {
	const char *at, *end;
};

static bool at_end(const struct text *t)
{
	return t->at == t->end;
}

static bool skip(struct text *t, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(t->end - t->at) < n || memcmp(t->at, word, n) != 0)
		return false;
	t->at += n;
	return true;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Up to @max digits. How many there were. */
static unsigned take_hex(struct text *t, unsigned max, uint64_t *ret)
{
	uint64_t v = 0;
	unsigned n = 0;

	for (; n < max && !at_end(t) && digit(*t->at) >= 0; n++)
		v = v << 4 | (uint64_t)digit(*t->at++);
	*ret = v;
	return n;
}

/* At the end of the text, and up to there it is the beginning of @word: no sign of a bad peer, an answer that was cut. */
static int cut_or_bad(const struct text *t, const char *word)
{
	size_t n = (size_t)(t->end - t->at);

	return n < strlen(word) && !memcmp(t->at, word, n) ? -ENODATA : -EBADMSG;
}

struct table {
	struct msi_message *entries;
	unsigned nr_words, have; /* asked for, and read */
};

static void put(struct table *table, uint32_t word)
{
	struct msi_message *m = &table->entries[table->have / MSIX_ENTRY_WORDS];

	switch (table->have++ % MSIX_ENTRY_WORDS) {
	case 0:
		m->address_low = word;
		break;
	case 1:
		m->address_high = word;
		break;
	case 2:
		m->data = word;
		break;
	default:
		m->control = word;
	}
}

static int take_address(struct text *t, uint64_t addr)
{
	uint64_t v;

	if (!take_hex(t, 16, &v) || !skip(t, ":"))
		return at_end(t) ? -ENODATA : -EBADMSG;
	if (v != addr)
		return -EBADMSG;
	if (!skip(t, " C"))
		return 0;
	return skip(t, "annot access memory") ? -EFAULT : cut_or_bad(t, "annot access memory");
}

static int take_word(struct text *t, struct table *table)
{
	uint64_t v;

	if (!skip(t, " 0x"))
		return cut_or_bad(t, " 0x");
	if (take_hex(t, 8, &v) != 8)
		return at_end(t) ? -ENODATA : -EBADMSG;
	if (table->have == table->nr_words)
		return -E2BIG;
	put(table, (uint32_t)v);
	return 0;
}

static int take_line(struct text *t, uint64_t addr, struct table *table)
{
	int r = take_address(t, addr);

	if (r == 0) /* a line has a word at least */
		r = take_word(t, table);
	while (r == 0 && !at_end(t) && !skip(t, "\r\n") && !skip(t, "\n"))
		r = *t->at == '\r' ? cut_or_bad(t, "\r\n") : take_word(t, table);
	return r;
}

int msix_table_parse(const char *text, size_t len, uint64_t addr, unsigned nr, struct msi_message *ret, unsigned *ret_nr)
{
	struct table table = { .entries = ret, .nr_words = nr * MSIX_ENTRY_WORDS };
	struct text t = { text, text + len };
	int r = 0;

	*ret_nr = 0;
	if (nr == 0 || nr > MSIX_MAX)
		return -EINVAL;
	while (r == 0 && !at_end(&t))
		r = table.have < table.nr_words ? take_line(&t, addr + (uint64_t)table.have * 4, &table) : -E2BIG;
	if (r == 0 && table.have < table.nr_words)
		r = -ENODATA;
	if (r == -ENODATA && table.have == table.nr_words)
		r = 0; /* all that was missing is the end of the last line */
	if (r == 0 || r == -EFAULT || r == -ENODATA)
		*ret_nr = table.have / MSIX_ENTRY_WORDS;
	return r;
}
