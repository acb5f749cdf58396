/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A function's host interrupts and their CPUs, on a kernel where they come, go and refuse. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "fake_internal.h"
#include "fake_irq.h"
#include "irq_affinity.h"
#include "irq_count.h"

#define VF "0000:3b:02.1"
#define OTHER "0000:3b:02.2"

static struct fake *fake;
static struct sys *sys;

static void setup(void)
{
	fake = fake_new();
	sys = fake_sys(fake);
	fake_add_driver(fake, "vfio-pci");
	fake_add_function(fake, VF, "vfio-pci", 7);
	fake_add_function(fake, OTHER, "vfio-pci", 8);
	fake_mkdir(fake, "/sys/kernel/irq");
	fake_online_cpus(fake, "0-3\n");
}

static void teardown(void)
{
	cr_assert_eq(fake_open_fds(fake), 0);
	fake_free(fake);
}

TestSuite(irq_affinity, .init = setup, .fini = teardown);

static struct irq_cpus cpus(const char *list)
{
	struct irq_cpus set;

	cr_assert_eq(irq_cpus_parse(list, strlen(list), &set), 0);
	return set;
}

static void assert_affinity(unsigned irq, const char *is)
{
	char *text = fake_affinity(fake, irq);

	cr_assert_str_eq(text, is, "irq %u: %s", irq, text);
	free(text);
}

/* --- who takes it --- */

static const struct {
	const char *text;
	int r;
	unsigned vector;
	bool msix;
} actions[] = {
	{ "vfio-msix[0](" VF ")\n", 0, 0, true },
	{ "vfio-msix[2047](" VF ")", 0, 2047, true },
	{ "vfio-msi[0](" VF ")\n", 0, 0, false },
	{ "eth0,vfio-msix[3](" VF ")\n", 0, 3, true },
	{ "vfio-msix[3](" VF "),eth0\n", 0, 3, true },
	{ "", -ENOENT, 0, false },
	{ "\n", -ENOENT, 0, false },
	{ "eth0-TxRx-0\n", -ENOENT, 0, false },
	{ "vfio-intx(" VF ")\n", -ENOENT, 0, false },
	{ "vfio-msix[0](" OTHER ")\n", -ENOENT, 0, false },
	{ "vfio-msix[2048](" VF ")\n", -ENOENT, 0, false },
	{ "vfio-msix[12345678901](" VF ")\n", -ENOENT, 0, false },
	{ "vfio-msix[-1](" VF ")\n", -ENOENT, 0, false },
	{ "vfio-msix[](" VF ")\n", -ENOENT, 0, false },
	{ "vfio-msix[0](" VF ")x\n", -ENOENT, 0, false },
	{ "vfio-msix[0](" VF "\n", -ENOENT, 0, false },
	{ "xvfio-msix[0](" VF ")\n", -ENOENT, 0, false },
	{ "vfio-msix[0", -ENOENT, 0, false },
	{ ",,,", -ENOENT, 0, false },
};

Test(irq_affinity, actions)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		size_t len = strlen(actions[i].text);
		char *exact = malloc(len ? len : 1);
		unsigned vector = 4711;
		bool msix = false;

		memcpy(exact, actions[i].text, len);
		cr_assert_eq(irq_action_parse(exact, len, VF, &vector, &msix), actions[i].r, "%s", actions[i].text);
		cr_assert_eq(vector, actions[i].r < 0 ? 4711 : actions[i].vector, "%s", actions[i].text);
		cr_assert_eq(msix, actions[i].msix, "%s", actions[i].text);
		free(exact);
	}
}

Test(irq_affinity, list_of_a_function)
{
	struct irq_host hosts[4];
	struct err err;
	unsigned nr = 4711;

	cr_assert_eq(irq_host_list(sys, VF, hosts, 4, &nr, &err), 0);
	cr_assert_eq(nr, 0, "no vectors");
	fake_add_vector(fake, VF, 128, 0, "0-3");
	fake_add_vector(fake, VF, 64, 2, "0-3");
	fake_add_vector(fake, VF, 65, 1, "0-3");
	fake_add_vector(fake, OTHER, 66, 0, "0-3");
	fake_add_irq(fake, VF, 67, "", "0-3");
	fake_add_irq(fake, VF, 68, "eth7", "0-3");
	fake_put(fake, "msix\n", "/sys/bus/pci/devices/" VF "/msi_irqs/69"); /* has just gone */
	fake_put(fake, "msix\n", "/sys/bus/pci/devices/" VF "/msi_irqs/0x40");
	fake_put(fake, "msix\n", "/sys/bus/pci/devices/" VF "/msi_irqs/1234567890123");
	cr_assert_eq(irq_host_list(sys, VF, hosts, 4, &nr, &err), 0);
	cr_assert_eq(nr, 3);
	for (unsigned i = 0; i < nr; i++)
		cr_assert(hosts[i].vector == i && hosts[i].msix && hosts[i].irq == (i == 0 ? 128u : i == 1 ? 65u : 64u));
	cr_assert_eq(irq_host_list(sys, VF, hosts, 2, &nr, &err), 0);
	cr_assert_eq(nr, 2, "no more than there is room for");
	cr_assert_eq(irq_host_list(sys, "0000:ff:1f.7", hosts, 4, &nr, &err), 0);
	cr_assert_eq(nr, 0, "a function that has gone");
	fake_remove(fake, "/sys/kernel/irq");
	cr_assert_eq(irq_host_list(sys, VF, hosts, 4, &nr, &err), -EOPNOTSUPP);
	cr_assert_str_eq(err.code, "irq.no-sysfs");
}

/* --- its CPUs --- */

Test(irq_affinity, written_and_read)
{
	struct irq_cpus set, two = cpus("2");
	struct err err;

	fake_add_vector(fake, VF, 64, 0, "0-3");
	cr_assert_eq(irq_affinity_read(sys, 64, &set, &err), 0);
	cr_assert_eq(irq_cpus_count(&set), 4);
	cr_assert_eq(irq_affinity_write(sys, 64, &two, &err), 0);
	assert_affinity(64, "2");
	cr_assert_eq(irq_effective_read(sys, 64, &set, &err), 0);
	cr_assert(irq_cpus_equal(&set, &two));
	fake_put(fake, "\n", "/proc/irq/64/effective_affinity_list"); /* not started */
	cr_assert_eq(irq_effective_read(sys, 64, &set, &err), 0);
	cr_assert_eq(irq_cpus_count(&set), 0);
	fake_remove(fake, "/proc/irq/64/effective_affinity_list"); /* this kernel does not tell */
	cr_assert_eq(irq_effective_read(sys, 64, &set, &err), 0);
	cr_assert_eq(irq_cpus_count(&set), 0);
}

Test(irq_affinity, reading_what_makes_no_sense)
{
	static const char *const bad[] = { "all\n", "0-\n", "1024\n", "ffff\n", "-1\n" };
	struct irq_cpus set;
	struct err err;

	cr_assert_eq(irq_affinity_read(sys, 64, &set, &err), -ENOENT);
	cr_assert_str_eq(err.code, "irq.gone");
	cr_assert_eq(irq_effective_read(sys, 64, &set, &err), -ENOENT);
	cr_assert_str_eq(err.code, "irq.gone");
	fake_add_vector(fake, VF, 64, 0, "0-3");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake_put(fake, bad[i], "/proc/irq/64/smp_affinity_list");
		cr_assert_eq(irq_affinity_read(sys, 64, &set, &err), -EPROTO, "%s", bad[i]);
		cr_assert_str_eq(err.code, "irq.bad-list");
	}
	fake_fail_at(fake, 1, -EIO);
	cr_assert_eq(irq_affinity_read(sys, 64, &set, &err), -EIO);
	cr_assert_str_eq(err.code, "irq.affinity-read");
}

Test(irq_affinity, refusals)
{
	static const struct {
		int num, r;
		const char *code;
	} refusals[] = {
		{ -EIO, -EIO, "irq.affinity-fixed" },	   { -EPERM, -EACCES, "irq.denied" },
		{ -EACCES, -EACCES, "irq.denied" },	   { -ENOSPC, -ENOSPC, "irq.no-vector-space" },
		{ -EINVAL, -EINVAL, "irq.no-online-cpu" }, { -EBUSY, -EBUSY, "irq.affinity-refused" },
		{ -ENOENT, -ENOENT, "irq.gone" },
	};
	struct irq_cpus two = cpus("2"), none = { 0 }, offline = cpus("7");
	struct err err;

	fake_add_vector(fake, VF, 64, 0, "0-3");
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		fake_refuse_affinity(fake, 64, refusals[i].num);
		cr_assert_eq(irq_affinity_write(sys, 64, &two, &err), refusals[i].r, "%s", refusals[i].code);
		cr_assert_str_eq(err.code, refusals[i].code);
		cr_assert(strstr(err.msg, "irq 64: affinity to CPUs 2: "), "%s", err.msg);
		cr_assert_eq(irq_affinity_write(sys, 64, &two, NULL), refusals[i].r);
	}
	fake_refuse_affinity(fake, 64, 0);
	cr_assert_eq(irq_affinity_write(sys, 64, &offline, &err), -EINVAL);
	cr_assert_str_eq(err.code, "irq.no-online-cpu");
	cr_assert_eq(irq_affinity_write(sys, 65, &two, &err), -ENOENT);
	assert_affinity(64, "0-3");
	cr_assert_eq(fake_affinity_writes(fake, 64), 15);
	cr_assert_eq(irq_affinity_write(sys, 64, &none, &err), -EINVAL, "nothing is written");
	cr_assert_eq(fake_affinity_writes(fake, 64), 15);
}

/* --- before and after --- */

static unsigned save(struct irq_saved *saved)
{
	struct irq_host hosts[4];
	unsigned nr;
	int r;

	cr_assert_eq(irq_host_list(sys, VF, hosts, 4, &nr, NULL), 0);
	r = irq_affinity_save(sys, hosts, nr, saved, NULL);
	cr_assert_geq(r, 0);
	return (unsigned)r;
}

Test(irq_affinity, saved_and_restored)
{
	struct irq_cpus one = cpus("1");
	struct irq_saved saved[4];
	struct err err;

	fake_add_vector(fake, VF, 64, 0, "0-3");
	fake_add_vector(fake, VF, 65, 1, "2");
	cr_assert_eq(save(saved), 2);
	cr_assert_eq(irq_affinity_write(sys, 64, &one, &err), 0);
	cr_assert_eq(irq_affinity_write(sys, 65, &one, &err), 0);
	for (int again = 0; again < 2; again++) {
		cr_assert_eq(irq_affinity_restore(sys, VF, saved, 2, &err), 0);
		assert_affinity(64, "0-3");
		assert_affinity(65, "2");
		cr_assert_eq(fake_affinity_writes(fake, 64), 2, "what has it is not written again");
	}
}

/* The number has gone, is another device's, or another vector of this one: all of them are left alone. */
Test(irq_affinity, restoring_leaves_others_alone)
{
	struct irq_cpus one = cpus("1");
	struct irq_saved saved[4];
	struct err err;

	for (unsigned i = 0; i < 4; i++)
		fake_add_vector(fake, VF, 64 + i, i, "0-3");
	cr_assert_eq(save(saved), 4);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(irq_affinity_write(sys, 64 + i, &one, &err), 0);
	fake_remove_irq(fake, VF, 64);
	fake_remove_irq(fake, VF, 65);
	fake_remove_irq(fake, VF, 66);
	fake_add_vector(fake, OTHER, 65, 1, "3");
	fake_add_vector(fake, VF, 66, 0, "3");
	cr_assert_eq(irq_affinity_restore(sys, VF, saved, 4, &err), 0);
	assert_affinity(65, "3");
	assert_affinity(66, "3");
	assert_affinity(67, "0-3");
}

Test(irq_affinity, restoring_goes_on)
{
	struct irq_cpus one = cpus("1");
	struct irq_saved saved[4];
	struct err err;

	for (unsigned i = 0; i < 3; i++)
		fake_add_vector(fake, VF, 64 + i, i, "0-3");
	cr_assert_eq(save(saved), 3);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(irq_affinity_write(sys, 64 + i, &one, &err), 0);
	fake_refuse_affinity(fake, 64, -ENOENT); /* goes between looking and writing */
	fake_refuse_affinity(fake, 65, -EIO);
	cr_assert_eq(irq_affinity_restore(sys, VF, saved, 3, &err), -EIO);
	cr_assert_str_eq(err.code, "irq.affinity-fixed");
	assert_affinity(66, "0-3");
	fake_refuse_affinity(fake, 65, 0);
	cr_assert_eq(irq_affinity_restore(sys, VF, saved, 3, &err), 0);
	cr_assert_eq(err.num, 0);
	assert_affinity(65, "0-3");
}

Test(irq_affinity, saving_what_goes)
{
	struct irq_host hosts[] = { { 64, 0, true }, { 65, 1, true } };
	struct irq_saved saved[2];
	struct err err;

	fake_add_vector(fake, VF, 65, 1, "1-2");
	cr_assert_eq(irq_affinity_save(sys, hosts, 2, saved, &err), 1);
	cr_assert(saved[0].irq == 65 && saved[0].vector == 1 && irq_cpus_count(&saved[0].affinity) == 2);
	cr_assert_eq(err.num, 0);
	fake_remove_irq(fake, VF, 65);
	cr_assert_eq(irq_affinity_save(sys, hosts, 2, saved, &err), -ENOENT);
	cr_assert_str_eq(err.code, "irq.gone");
	cr_assert_eq(irq_affinity_save(sys, hosts, 0, saved, &err), 0);
}

/* Each call of a whole round fails once: nothing is taken for what it is not, and the next round mends it. */
Test(irq_affinity, each_call_fails)
{
	for (unsigned n = 1;; n++) {
		struct irq_cpus one = cpus("1");
		struct irq_saved saved[4];
		struct irq_host hosts[4];
		unsigned nr = 0;
		int saves;

		for (unsigned i = 0; i < 2; i++)
			fake_add_vector(fake, VF, 64 + i, i, "0-3");
		fake_fail_at(fake, n, -EIO);
		irq_host_list(sys, VF, hosts, 4, &nr, NULL);
		saves = irq_affinity_save(sys, hosts, nr, saved, NULL);
		for (int i = 0; i < saves; i++) {
			cr_assert_eq(irq_cpus_count(&saved[i].affinity), 4);
			irq_affinity_write(sys, saved[i].irq, &one, NULL);
		}
		if (saves > 0)
			irq_affinity_restore(sys, VF, saved, (unsigned)saves, NULL);
		if (!fake_failed(fake))
			break;
		if (saves > 0)
			cr_assert_eq(irq_affinity_restore(sys, VF, saved, (unsigned)saves, NULL), 0);
		assert_affinity(64, "0-3");
		assert_affinity(65, "0-3");
		cr_assert_lt(n, 40);
	}
}

/* --- counts --- */

Test(irq_affinity, counts_of_each_cpu)
{
	uint64_t counts[4];
	unsigned nr;

	cr_assert_eq(irq_count_cpus(sys, 64, counts, 4, &nr), -ENOENT);
	fake_add_vector(fake, VF, 64, 0, "0-3");
	fake_put(fake, "5,0,4294967295\n", "/sys/kernel/irq/64/per_cpu_count");
	cr_assert_eq(irq_count_cpus(sys, 64, counts, 4, &nr), 0);
	cr_assert(nr == 3 && counts[0] == 5 && counts[1] == 0 && counts[2] == 4294967295);
	cr_assert_eq(irq_count_cpus(sys, 64, counts, 2, &nr), 0);
	cr_assert_eq(nr, 2);
	fake_put(fake, "5,,1\n", "/sys/kernel/irq/64/per_cpu_count");
	cr_assert_eq(irq_count_cpus(sys, 64, counts, 4, &nr), -EPROTO);
	fake_put(fake, "", "/sys/kernel/irq/64/per_cpu_count");
	cr_assert_eq(irq_count_cpus(sys, 64, counts, 4, &nr), -EPROTO);
}

/* A page is full in the middle of a number. */
Test(irq_affinity, counts_of_many_cpus)
{
	uint64_t *counts = calloc(4096, sizeof(*counts));
	char *text = malloc(4097);
	unsigned nr;

	for (size_t i = 0; i < 4096; i++)
		text[i] = i % 4 == 3 ? ',' : '1';
	text[4095] = '1';
	text[4096] = '\0';
	fake_add_vector(fake, VF, 64, 0, "0-3");
	fake_put(fake, text, "/sys/kernel/irq/64/per_cpu_count");
	cr_assert_eq(irq_count_cpus(sys, 64, counts, 4096, &nr), 0);
	cr_assert(nr == 1023 && counts[0] == 111 && counts[1022] == 111, "%u", nr);
	free(text);
	free(counts);
}
