/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What sysfs says of a function's interrupts, and whatever else it may say. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "fake_internal.h"
#include "irq_count.h"
#include "sys.h"

#define VF "0000:3b:02.1"

/* --- the text --- */

static const struct {
	const char *text;
	size_t len; /* 0: all of it */
	int r;
	uint64_t sum;
} rows[] = {
	{ "0\n", 0, 0, 0 },
	{ "0,0,0,0\n", 0, 0, 0 },
	{ "0,12,0,3\n", 0, 0, 15 },
	{ "7", 0, 0, 7 },
	{ "4294967295,4294967295\n", 0, 0, 8589934590 },
	{ "18446744073709551615\n", 0, 0, UINT64_MAX },
	{ "18446744073709551615,1\n", 0, 0, UINT64_MAX },
	{ "18446744073709551616\n", 0, 0, UINT64_MAX },
	{ "99999999999999999999999999999999999999,5\n", 0, 0, UINT64_MAX },
	/* a page ends anywhere */
	{ "0,0,12", 0, 0, 12 },
	{ "0,0,", 0, 0, 0 },
	{ "000001", 0, 0, 1 },
	/* what it never says */
	{ "", 0, -EINVAL, 0 },
	{ "\n", 0, -EINVAL, 0 },
	{ ",1\n", 0, -EINVAL, 0 },
	{ "1,,2\n", 0, -EINVAL, 0 },
	{ "-1\n", 0, -EINVAL, 0 },
	{ "+1\n", 0, -EINVAL, 0 },
	{ " 1\n", 0, -EINVAL, 0 },
	{ "1 2\n", 0, -EINVAL, 0 },
	{ "0x10\n", 0, -EINVAL, 0 },
	{ "1\n2\n", 0, -EINVAL, 0 },
	{ "1\n\n", 0, -EINVAL, 0 },
	{ "1,2\0003", 5, -EINVAL, 0 },
	{ "many\n", 0, -EINVAL, 0 },
	{ "\xff\xfe\n", 0, -EINVAL, 0 },
};

Test(irq_count, text)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = rows[i].len ? rows[i].len : strlen(rows[i].text);
		char *exact = malloc(len + 1); /* one past it would be noticed, with a sanitizer */
		uint64_t sum = 4711;

		memcpy(exact, rows[i].text, len);
		exact = realloc(exact, len ? len : 1);
		cr_assert_eq(irq_count_parse(exact, len, &sum), rows[i].r, "\"%s\"", rows[i].text);
		cr_assert_eq(sum, rows[i].r < 0 ? 4711 : rows[i].sum, "\"%s\"", rows[i].text);
		free(exact);
	}
}

/* --- the function --- */

static struct fake *fake;

static void setup(void)
{
	fake = fake_new();
	fake_add_driver(fake, "vfio-pci");
	fake_add_function(fake, VF, "vfio-pci", 7);
	fake_mkdir(fake, "/sys/kernel/irq");
}

static void teardown(void)
{
	cr_assert_eq(fake_open_fds(fake), 0);
	fake_free(fake);
}

TestSuite(irq_count_of, .init = setup, .fini = teardown);

static void vector(const char *irq, const char *counts)
{
	fake_mkdir(fake, "/sys/bus/pci/devices/%s/msi_irqs", VF);
	fake_put(fake, "msix\n", "/sys/bus/pci/devices/%s/msi_irqs/%s", VF, irq);
	if (!counts)
		return;
	fake_mkdir(fake, "/sys/kernel/irq/%s", irq);
	fake_put(fake, counts, "/sys/kernel/irq/%s/per_cpu_count", irq);
}

static uint64_t counted(void)
{
	uint64_t n = 4711;

	cr_assert_eq(irq_count(fake_sys(fake), VF, &n), 0);
	return n;
}

Test(irq_count_of, all_of_its_vectors)
{
	cr_assert_eq(counted(), 0, "no vectors");
	fake_mkdir(fake, "/sys/bus/pci/devices/%s/msi_irqs", VF);
	cr_assert_eq(counted(), 0, "none yet");
	vector("64", "0,0\n");
	vector("65", "0,0\n");
	vector("128", "0,0\n");
	cr_assert_eq(counted(), 0);
	vector("65", "0,1\n");
	vector("128", "2,3\n");
	cr_assert_eq(counted(), 6);
	vector("64", "18446744073709551615\n");
	cr_assert_eq(counted(), UINT64_MAX);
}

/* Another function's do not count, nor those that are numbered like a part of one of ours. */
Test(irq_count_of, none_of_anothers)
{
	vector("64", "0,0\n");
	fake_mkdir(fake, "/sys/kernel/irq/6");
	fake_put(fake, "9,9\n", "/sys/kernel/irq/6/per_cpu_count");
	fake_mkdir(fake, "/sys/kernel/irq/65");
	fake_put(fake, "9,9\n", "/sys/kernel/irq/65/per_cpu_count");
	cr_assert_eq(counted(), 0);
}

Test(irq_count_of, odd_names_and_texts)
{
	fake_put(fake, "1\n", "/sys/kernel/irq/per_cpu_count");
	vector("0x41", "1\n");
	vector("12345678901", "1\n");
	vector("-1", "1\n");
	vector("64", "none\n");
	vector("65", "");
	vector("66", NULL); /* has just gone */
	cr_assert_eq(counted(), 0);
	vector("67", "5\n");
	cr_assert_eq(counted(), 5);
}

Test(irq_count_of, at_the_limit_and_above)
{
	char irq[16];

	for (unsigned i = 0; i < IRQ_COUNT_MAX; i++) {
		snprintf(irq, sizeof(irq), "%u", 1000 + i);
		vector(irq, i + 1 == IRQ_COUNT_MAX ? "1\n" : "0\n");
	}
	cr_assert_eq(counted(), 1);
	vector("1255", "0\n");
	vector("9999", "1\n");
	cr_assert_eq(counted(), 0, "what is past the limit is not looked at");
}

/* More CPUs than a page has room for, and than we look at. */
Test(irq_count_of, many_cpus)
{
	char *text = malloc(65536);

	for (size_t i = 0; i < 65535; i++)
		text[i] = i % 2 ? ',' : '0';
	text[65535] = '\0';
	vector("64", text);
	cr_assert_eq(counted(), 0);
	text[4094] = '1';
	vector("64", text);
	cr_assert_eq(counted(), 1);
	free(text);
}

Test(irq_count_of, a_kernel_that_does_not_tell)
{
	vector("64", "1\n");
	fake_remove(fake, "/sys/kernel/irq");
	cr_assert_eq(irq_count(fake_sys(fake), VF, &(uint64_t){ 0 }), -EOPNOTSUPP);
}

Test(irq_count_of, each_call_fails)
{
	static const int is[] = { 1, 0, 0, 1 }; /* what is not known to lack it has it; none is taken for one */

	vector("64", "1\n");
	for (unsigned n = 0; n < sizeof(is) / sizeof(is[0]); n++) {
		fake_fail_at(fake, n + 1, -EIO);
		cr_assert_eq(counted(), is[n], "call %u", n + 1);
	}
	fake_fail_at(fake, 0, 0);
}
