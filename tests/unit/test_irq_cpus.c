/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of CPUs as the kernel writes them, and whatever else a file may hold. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "irq_cpus.h"

static const struct {
	const char *text;
	int r;
	unsigned count;
	int first, last;
	const char *again; /* as we write it; NULL: the same text */
} rows[] = {
	{ "", 0, 0, -1, -1, NULL },
	{ "0", 0, 1, 0, 0, NULL },
	{ "0-1", 0, 2, 0, 1, NULL },
	{ "3,5-7,64,127-128", 0, 7, 3, 128, NULL },
	{ "0-1023", 0, 1024, 0, 1023, NULL },
	{ "1023", 0, 1, 1023, 1023, NULL },
	{ "0,1,2", 0, 3, 0, 2, "0-2" },
	{ "7,3", 0, 2, 3, 7, "3,7" },
	{ "2-2", 0, 1, 2, 2, "2" },
	{ "00004", 0, 1, 4, 4, "4" },
	{ "1024", -ERANGE, 0, 0, 0, NULL },
	{ "0-1024", -ERANGE, 0, 0, 0, NULL },
	{ "99999999999999999999999999", -ERANGE, 0, 0, 0, NULL },
	{ "4294967296", -ERANGE, 0, 0, 0, NULL },
	{ "3-1", -EINVAL, 0, 0, 0, NULL },
	{ "-1", -EINVAL, 0, 0, 0, NULL },
	{ "1-", -EINVAL, 0, 0, 0, NULL },
	{ "1,", -EINVAL, 0, 0, 0, NULL },
	{ ",1", -EINVAL, 0, 0, 0, NULL },
	{ "1,,2", -EINVAL, 0, 0, 0, NULL },
	{ "1 2", -EINVAL, 0, 0, 0, NULL },
	{ " 1", -EINVAL, 0, 0, 0, NULL },
	{ "0-10:2/4", -EINVAL, 0, 0, 0, NULL },
	{ "+1", -EINVAL, 0, 0, 0, NULL },
	{ "0x1", -EINVAL, 0, 0, 0, NULL },
	{ "all", -EINVAL, 0, 0, 0, NULL },
	{ "1\n2", -EINVAL, 0, 0, 0, NULL },
	{ "1\n\n", -EINVAL, 0, 0, 0, NULL },
	{ "\xff", -EINVAL, 0, 0, 0, NULL },
};

static int parse(const char *text, size_t len, struct irq_cpus *ret)
{
	char *exact = malloc(len ? len : 1); /* one past it would be noticed, with a sanitizer */
	int r;

	memcpy(exact, text, len);
	r = irq_cpus_parse(exact, len, ret);
	free(exact);
	return r;
}

Test(irq_cpus, lists)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct irq_cpus set, with_newline, untouched;
		char text[IRQ_CPUS_TEXT_MAX], line[64];

		memset(&set, 0xa5, sizeof(set));
		untouched = set;
		cr_assert_eq(parse(rows[i].text, strlen(rows[i].text), &set), rows[i].r, "\"%s\"", rows[i].text);
		if (rows[i].r < 0) {
			cr_assert(irq_cpus_equal(&set, &untouched), "\"%s\"", rows[i].text);
			continue;
		}
		cr_assert_eq(irq_cpus_count(&set), rows[i].count, "\"%s\"", rows[i].text);
		cr_assert_eq(irq_cpus_nth(&set, 0), rows[i].first, "\"%s\"", rows[i].text);
		if (rows[i].count)
			cr_assert_eq(irq_cpus_nth(&set, rows[i].count - 1), rows[i].last, "\"%s\"", rows[i].text);
		cr_assert_eq(irq_cpus_nth(&set, rows[i].count), -1);
		cr_assert_eq(irq_cpus_format(&set, text), strlen(text));
		cr_assert_str_eq(text, rows[i].again ? rows[i].again : rows[i].text);
		snprintf(line, sizeof(line), "%s\n", rows[i].text);
		cr_assert_eq(parse(line, strlen(line), &with_newline), 0);
		cr_assert(irq_cpus_equal(&set, &with_newline));
	}
}

/* The longest text there is comes back whole, and a NUL in it is no end. */
Test(irq_cpus, the_longest)
{
	struct irq_cpus odd = { 0 }, again;
	char text[IRQ_CPUS_TEXT_MAX];
	size_t n;

	for (unsigned cpu = 1; cpu < IRQ_CPUS_MAX; cpu += 2)
		irq_cpus_add(&odd, cpu);
	irq_cpus_add(&odd, IRQ_CPUS_MAX);
	n = irq_cpus_format(&odd, text);
	cr_assert(n == strlen(text) && n < IRQ_CPUS_TEXT_MAX - 1);
	cr_assert_eq(parse(text, n, &again), 0);
	cr_assert(irq_cpus_equal(&odd, &again));
	cr_assert_not(irq_cpus_has(&odd, IRQ_CPUS_MAX));
	cr_assert_not(irq_cpus_has(&odd, UINT32_MAX));
	cr_assert_eq(parse("1\0,2", 4, &again), -EINVAL);
}

Test(irq_cpus, both)
{
	struct irq_cpus a, b, both;

	cr_assert_eq(parse("0-3,64-70", 9, &a), 0);
	cr_assert_eq(parse("2-66", 4, &b), 0);
	both = irq_cpus_and(&a, &b);
	cr_assert_eq(irq_cpus_count(&both), 5);
	cr_assert(irq_cpus_has(&both, 2) && irq_cpus_has(&both, 66) && !irq_cpus_has(&both, 67));
}
