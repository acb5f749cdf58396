/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose threads are they? What a VMM says of that is held against procfs. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "err.h"
#include "fake.h"
#include "fake_internal.h"
#include "fake_irq.h"
#include "gangway_limits.h"
#include "irq_process.h"

#define VMM 4000
#define OTHER 5000
#define GROUP 41

static struct fake *fake;
static struct err err;

static void setup(void)
{
	fake = fake_new();
	fake_put_thread(fake, VMM, VMM, "qemu", 0, "0-3");
	fake_put_thread(fake, VMM, VMM + 1, "CPU 0/KVM", 0, "0-3");
	fake_put_thread(fake, VMM, VMM + 2, "CPU 1/KVM", 1, "0-3");
	fake_put_thread(fake, OTHER, OTHER, "qemu", 0, "0-3");
	fake_put_thread(fake, OTHER, OTHER + 1, "CPU 0/KVM", 0, "0-3");
	for (int i = 0; i < 3; i++) {
		fake_mkdir(fake, "/proc/%d", VMM + i);
		fake_put(fake, "Name:\tCPU 0/KVM\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t4000\nNgid:\t0\n", "/proc/%d/status",
			 VMM + i);
	}
	fake_mkdir(fake, "/proc/%d", OTHER + 1);
	fake_put(fake, "Name:\tCPU 0/KVM\nTgid:\t5000\nNgid:\t0\n", "/proc/%d/status", OTHER + 1);
	fake_mkdir(fake, "/proc/%d/fd", VMM);
	fake_mkdir(fake, "/proc/%d/fd", OTHER);
	fake_symlink(fake, "/dev/null", "/proc/%d/fd/0", VMM);
	fake_symlink(fake, "/dev/vfio/41", "/proc/%d/fd/37", VMM);
	fake_symlink(fake, "/dev/vfio/4", "/proc/%d/fd/3", OTHER);
	fake_symlink(fake, "/dev/vfio/411", "/proc/%d/fd/4", OTHER);
	fake_symlink(fake, "anon_inode:[vfio-device]", "/proc/%d/fd/5", OTHER);
	err_clear(&err);
}

static void teardown(void)
{
	fake_free(fake);
}

TestSuite(irq_process, .init = setup, .fini = teardown);

static int find(const pid_t *tids, unsigned nr, int group)
{
	pid_t pid = 77;
	int r = irq_process_find(fake_sys(fake), tids, nr, group, &pid, &err);

	cr_assert(r <= 0);
	cr_assert_eq(pid, r < 0 ? 77 : VMM);
	return r;
}

static void refused(const pid_t *tids, unsigned nr, int group, int num, const char *code)
{
	cr_assert_eq(find(tids, nr, group), num, "%s", err.msg);
	cr_assert_str_eq(err.code, code);
}

Test(irq_process, the_vmm_that_has_the_group)
{
	cr_assert_eq(find((pid_t[]){ VMM + 1, VMM + 2 }, 2, GROUP), 0, "%s", err.msg);
	cr_assert_eq(find((pid_t[]){ VMM + 2 }, 1, GROUP), 0);
	cr_assert_eq(find((pid_t[]){ VMM }, 1, GROUP), 0);
}

/* A VMM that names another one's threads, some or all. */
Test(irq_process, threads_of_others)
{
	refused((pid_t[]){ OTHER + 1 }, 1, GROUP, -EPERM, "irq.not-the-vmm");
	refused((pid_t[]){ VMM + 1, OTHER + 1 }, 2, GROUP, -EPERM, "irq.not-the-vmm");
	refused((pid_t[]){ OTHER + 1, VMM + 1 }, 2, GROUP, -EPERM, "irq.not-the-vmm");
	refused((pid_t[]){ VMM + 1, VMM + 2 }, 2, 4, -EPERM, "irq.not-the-vmm");
	refused((pid_t[]){ VMM + 1, VMM + 2 }, 2, -1, -EPERM, "irq.not-the-vmm");
}

Test(irq_process, threads_that_are_none)
{
	refused(NULL, 0, GROUP, -ESRCH, "irq.thread-gone");
	refused((pid_t[]){ 0 }, 1, GROUP, -ESRCH, "irq.thread-gone");
	refused((pid_t[]){ -1 }, 1, GROUP, -ESRCH, "irq.thread-gone");
	refused((pid_t[]){ 6000 }, 1, GROUP, -ESRCH, "irq.thread-gone");
	refused((pid_t[]){ VMM + 1, 6000 }, 2, GROUP, -EPERM, "irq.not-the-vmm");
	refused((pid_t[]){ VMM + 1, -1 }, 2, GROUP, -EPERM, "irq.not-the-vmm");
	fake_put(fake, "Name:\tx\n", "/proc/%d/status", VMM + 1);
	refused((pid_t[]){ VMM + 1 }, 1, GROUP, -EPROTO, "irq.bad-stat");
	fake_remove(fake, "/proc/%d/fd", VMM);
	refused((pid_t[]){ VMM + 2 }, 1, GROUP, -ENOENT, "irq.thread-read");
}

/* At the limit it is seen, above it is not. */
Test(irq_process, descriptors_without_end)
{
	fake_remove(fake, "/proc/%d/fd/37", VMM);
	for (unsigned i = 1; i < LIMIT_VMM_FDS - 1; i++)
		fake_symlink(fake, "/dev/null", "/proc/%d/fd/%u", VMM, i);
	fake_symlink(fake, "/dev/vfio/41", "/proc/%d/fd/99999", VMM); /* the last of them, as text too */
	cr_assert_eq(find((pid_t[]){ VMM + 1 }, 1, GROUP), 0, "%s", err.msg);
	fake_symlink(fake, "/dev/null", "/proc/%d/fd/%u", VMM, LIMIT_VMM_FDS - 1);
	refused((pid_t[]){ VMM + 1 }, 1, GROUP, -EPERM, "irq.not-the-vmm");
}

Test(irq_process, texts)
{
	static const struct {
		const char *text;
		int r;
		pid_t pid;
	} rows[] = {
		{ "Name:\tqemu\nTgid:\t17\nPid:\t18\n", 0, 17 },
		{ "Name:\tTgid:\t18\nTgid:\t17\n", 0, 17 },
		{ "Name:\tq\nTgid:\t2147483647\n", 0, 2147483647 },
		{ "Name:\tq\nTgid:\t2147483648\n", -EPROTO, 0 },
		{ "Name:\tq\nTgid:\t99999999999999999999\n", -EPROTO, 0 },
		{ "Name:\tq\nTgid:\t0\n", -EPROTO, 0 },
		{ "Name:\tq\nTgid:\t-1\n", -EPROTO, 0 },
		{ "Name:\tq\nTgid:\t\n", -EPROTO, 0 },
		{ "Name:\tq\nTgid:\t17", -EPROTO, 0 }, /* cut */
		{ "Name:\tq\nTgid:\t17 \n", -EPROTO, 0 },
		{ "Tgid:\t17\n", -EPROTO, 0 },
		{ "", -EPROTO, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pid_t pid = 0;

		cr_assert_eq(irq_tgid_parse(rows[i].text, strlen(rows[i].text), &pid), rows[i].r, "%s", rows[i].text);
		cr_assert_eq(pid, rows[i].pid);
	}
}
