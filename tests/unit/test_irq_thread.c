/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where threads run and may run: the kernel's texts, names that try to be more, threads that vanish. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "fake_internal.h"
#include "fake_irq.h"
#include "irq_thread.h"

#define TAIL                                                                                                                     \
	" S 1 1 1 0 -1 138477632 0 0 0 0 7 3 0 0 20 0 4 0 4711 1048576 2048 18446744073709551615 1 1 0 0 0 0 0 4096 1 0 0 0 -1 "
#define END " 0 0 0 0 0 0 0 0 0 0 0 0 0\n"

static const struct {
	const char *text;
	int r;
	unsigned cpu;
} stats[] = {
	{ "13550 (CPU 1/KVM)" TAIL "3" END, 0, 3 },
	{ "13550 (CPU 1/KVM)" TAIL "1023" END, 0, 1023 },
	{ "13550 (CPU 1/KVM)" TAIL "3\n", 0, 3 },
	{ "7 (a) R 1 2 3 4 5) (b)" TAIL "0" END, 0, 0 },
	{ "7 (\n)" TAIL "0" END, 0, 0 },
	{ "7 ()" TAIL "0" END, 0, 0 },
	{ "13550 (CPU 1/KVM)" TAIL "1024" END, -EPROTO, 0 },
	{ "13550 (CPU 1/KVM)" TAIL "99999999999999999999999" END, -EPROTO, 0 },
	{ "13550 (CPU 1/KVM)" TAIL "-1" END, -EPROTO, 0 },
	{ "13550 (CPU 1/KVM)" TAIL END, -EPROTO, 0 },
	{ "13550 (CPU 1/KVM)" TAIL "3", -EPROTO, 0 }, /* may have been cut */
	{ "13550 (CPU 1/KVM)" TAIL, -EPROTO, 0 },
	{ "13550 (CPU 1/KVM) S 1 2 3\n", -EPROTO, 0 },
	{ "13550 (CPU 1/KVM)\n", -EPROTO, 0 },
	{ "13550 (CPU 1/KVM", -EPROTO, 0 },
	{ "13550 CPU" TAIL "3" END, -EPROTO, 0 },
	{ ") SS 1 2 3", -EPROTO, 0 },
	{ ")   1 2 3", -EPROTO, 0 },
	{ ")", -EPROTO, 0 },
	{ "", -EPROTO, 0 },
};

Test(irq_thread_text, stat)
{
	for (size_t i = 0; i < sizeof(stats) / sizeof(stats[0]); i++) {
		struct irq_thread t = { .cpu = 77, .start = 77, .state = 'x' };
		size_t len = strlen(stats[i].text);
		char *exact = malloc(len ? len : 1);

		memcpy(exact, stats[i].text, len);
		cr_assert_eq(irq_stat_parse(exact, len, &t), stats[i].r, "%s", stats[i].text);
		cr_assert_eq(t.cpu, stats[i].r < 0 ? 77 : stats[i].cpu, "%s", stats[i].text);
		cr_assert_eq(t.start, stats[i].r < 0 ? 77u : 4711u, "%s", stats[i].text);
		cr_assert_eq(t.state, stats[i].r < 0 ? 'x' : 'S', "%s", stats[i].text);
		free(exact);
	}
}

Test(irq_thread_text, names)
{
	static const struct {
		const char *text, *name;
		bool is_vcpu;
	} rows[] = {
		{ "1 (CPU 0/KVM)" TAIL "3" END, "CPU 0/KVM", true },
		{ "1 (CPU 1023/TCG)" TAIL "3" END, "CPU 1023/TCG", true },
		{ "1 (CPU 12345/KVM-and-more)" TAIL "3" END, "CPU 12345/KVM-a", true },
		{ "1 (CPU /KVM)" TAIL "3" END, "CPU /KVM", false },
		{ "1 (CPU 0)" TAIL "3" END, "CPU 0", false },
		{ "1 (CPU)" TAIL "3" END, "CPU", false },
		{ "1 ((CPU 0/KVM))" TAIL "3" END, "(CPU 0/KVM)", false },
		{ "1 ()" TAIL "3" END, "", false },
		{ ")" TAIL "3" END, "", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct irq_thread t;

		cr_assert_eq(irq_stat_parse(rows[i].text, strlen(rows[i].text), &t), 0, "%s", rows[i].text);
		cr_assert_str_eq(t.name, rows[i].name);
		cr_assert_eq(irq_thread_is_vcpu(&t), rows[i].is_vcpu, "%s", t.name);
	}
}

static const struct {
	const char *text;
	int r;
	unsigned count;
} statuses[] = {
	{ "Name:\tq\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\nMems_allowed:\t1\n", 0, 4 },
	{ "Name:\tq\nCpus_allowed_list:\t2\n", 0, 1 },
	{ "Name:\tCpus_allowed_list:\t0-9\nCpus_allowed_list:\t2\n", 0, 1 },
	{ "Name:\tq\\nCpus_allowed_list:\t0-9\nCpus_allowed_list:\t2\n", 0, 1 },
	{ "Name:\tq\nCpus_allowed_list:\t2", -EPROTO, 0 }, /* cut */
	{ "Name:\tq\nCpus_allowed_list:\t\n", -EPROTO, 0 },
	{ "Name:\tq\nCpus_allowed_list:\tall\n", -EPROTO, 0 },
	{ "Name:\tq\nCpus_allowed_list:\t0-1024\n", -EPROTO, 0 },
	{ "Name:\tq\n", -EPROTO, 0 },
	{ "", -EPROTO, 0 },
};

Test(irq_thread_text, status)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		size_t len = strlen(statuses[i].text);
		char *exact = malloc(len ? len : 1);
		struct irq_cpus set = { 0 };

		memcpy(exact, statuses[i].text, len);
		cr_assert_eq(irq_status_parse(exact, len, &set), statuses[i].r, "%s", statuses[i].text);
		cr_assert_eq(irq_cpus_count(&set), statuses[i].count, "%s", statuses[i].text);
		free(exact);
	}
}

static struct fake *fake;

static void setup(void)
{
	fake = fake_new();
}

static void teardown(void)
{
	fake_free(fake);
}

TestSuite(irq_thread, .init = setup, .fini = teardown);

Test(irq_thread, comes_moves_goes)
{
	struct sys *sys = fake_sys(fake);
	struct irq_thread t;
	struct irq_cpus set;
	struct err err;

	cr_assert_eq(irq_thread_read(sys, 100, 101, &t, &err), -ESRCH);
	cr_assert_str_eq(err.code, "irq.thread-gone");
	fake_put_thread(fake, 100, 101, "CPU 0/KVM", 1, "0-1");
	cr_assert_eq(irq_thread_read(sys, 100, 101, &t, &err), 0);
	cr_assert(t.cpu == 1 && t.start == 1101 && t.state == 'S');
	cr_assert_eq(irq_thread_allowed(sys, 100, 101, &set, &err), 0);
	cr_assert_eq(irq_cpus_count(&set), 2);
	fake_put_thread(fake, 100, 101, "CPU 0/KVM", 0, "0");
	cr_assert_eq(irq_thread_read(sys, 100, 101, &t, &err), 0);
	cr_assert_eq(t.cpu, 0);
	cr_assert_eq(irq_thread_read(sys, 200, 101, &t, &err), -ESRCH, "another process");
	fake_remove_thread(fake, 100, 101);
	cr_assert_eq(irq_thread_allowed(sys, 100, 101, &set, &err), -ESRCH);
	cr_assert_eq(irq_thread_read(sys, 100, 0, &t, &err), -ESRCH);
	cr_assert_eq(irq_thread_read(sys, 0, 1, &t, &err), -ESRCH);
	cr_assert_eq(irq_thread_read(sys, 100, -1, &t, NULL), -ESRCH);
}

Test(irq_thread, refusals)
{
	static const struct {
		int num, r;
		const char *code;
	} rows[] = {
		{ -ESRCH, -ESRCH, "irq.thread-gone" }, /* between open and read */
		{ -EACCES, -EACCES, "irq.thread-read" },
		{ -EIO, -EIO, "irq.thread-read" },
	};
	struct sys *sys = fake_sys(fake);
	struct irq_thread t;
	struct irq_cpus set;
	struct err err;

	fake_put_thread(fake, 100, 101, "CPU 0/KVM", 1, "0-1");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fake_fail_at(fake, 1, rows[i].num);
		cr_assert_eq(irq_thread_read(sys, 100, 101, &t, &err), rows[i].r);
		cr_assert_str_eq(err.code, rows[i].code);
		fake_fail_at(fake, 1, rows[i].num);
		cr_assert_eq(irq_thread_allowed(sys, 100, 101, &set, &err), rows[i].r);
		cr_assert_str_eq(err.code, rows[i].code);
	}
	fake_put(fake, "nonsense\n", "/proc/100/task/101/stat");
	cr_assert_eq(irq_thread_read(sys, 100, 101, &t, &err), -EPROTO);
	cr_assert_str_eq(err.code, "irq.bad-stat");
	fake_put(fake, "", "/proc/100/task/101/status");
	cr_assert_eq(irq_thread_allowed(sys, 100, 101, &set, &err), -EPROTO);
	cr_assert_str_eq(err.code, "irq.bad-stat");
}

Test(irq_thread, online)
{
	struct sys *sys = fake_sys(fake);
	struct irq_cpus set;
	struct err err;

	cr_assert_eq(irq_online_cpus(sys, &set, &err), -ENOENT);
	cr_assert_str_eq(err.code, "irq.no-cpus");
	fake_online_cpus(fake, "0-3,6\n");
	cr_assert_eq(irq_online_cpus(sys, &set, &err), 0);
	cr_assert_eq(irq_cpus_count(&set), 5);
	fake_online_cpus(fake, "\n");
	cr_assert_eq(irq_online_cpus(sys, &set, &err), -EPROTO);
	fake_online_cpus(fake, "0-2000\n");
	cr_assert_eq(irq_online_cpus(sys, &set, &err), -EPROTO);
	cr_assert_str_eq(err.code, "irq.bad-list");
}

/* The real kernel's own texts, of this process. */
Test(irq_thread, real)
{
	struct sys *sys = sys_linux_new("");
	struct irq_thread t, again;
	struct irq_cpus allowed, online;

	cr_assert_eq(irq_online_cpus(sys, &online, NULL), 0);
	cr_assert_eq(irq_thread_read(sys, getpid(), getpid(), &t, NULL), 0);
	cr_assert_eq(irq_thread_read(sys, getpid(), getpid(), &again, NULL), 0);
	cr_assert_eq(irq_thread_allowed(sys, getpid(), getpid(), &allowed, NULL), 0);
	cr_assert(irq_cpus_has(&allowed, t.cpu) && irq_cpus_has(&online, t.cpu));
	cr_assert_eq(t.state, 'R');
	cr_assert(t.start > 0 && t.start == again.start);
	cr_assert_eq(irq_thread_read(sys, getpid(), 1, &t, NULL), getpid() == 1 ? 0 : -ESRCH, "another process's");
	sys_linux_free(sys);
}
