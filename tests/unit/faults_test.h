/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of faults share: two guests with a VF each, the kernel's log, gangwayd's, and the VF's bus master bit. */
#ifndef GANGWAY_FAULTS_TEST_H
#define GANGWAY_FAULTS_TEST_H

#include <linux/pci_regs.h>
#include <sys/mman.h>

#include "attach_test.h"
#include "faults.h"
#include "gangway_limits.h"
#include "log.h"

#define WINDOW_US (FAULT_WINDOW_SEC * 1000000ull)

static struct lease *l1, *l2;
static int log_fd = -1, log_keep;

/* From here on what gangwayd logs can be read. */
static inline void log_begin(void)
{
	unsetenv("JOURNAL_STREAM");
	log_init("gangwayd", LOG_LVL_WARN);
	log_fd = memfd_create("log", MFD_CLOEXEC);
	log_keep = dup(STDERR_FILENO);
	cr_assert(log_fd >= 0 && log_keep >= 0 && dup2(log_fd, STDERR_FILENO) >= 0);
}

/* Lines with @text so far. */
static inline unsigned log_lines(const char *text)
{
	static char buf[1 << 16];
	ssize_t n = pread(log_fd, buf, sizeof(buf) - 1, 0);
	unsigned nr = 0;

	buf[n > 0 ? n : 0] = '\0';
	for (char *line = strtok(buf, "\n"); line; line = strtok(NULL, "\n"))
		nr += strstr(line, text) != NULL;
	return nr;
}

static inline void log_end(void)
{
	if (log_fd < 0)
		return;
	dup2(log_keep, STDERR_FILENO);
	close(log_keep);
	close(log_fd);
	log_fd = -1;
}

/* The kernel logs @nr faults of @dev ("3b:10.0"), a turn of the loop each few: a log has no end, the fake's socket has. */
static inline void kernel_faults(const char *dev, unsigned nr)
{
	char line[160];

	for (unsigned i = 0; i < nr; i++) {
		snprintf(line, sizeof(line),
			 "DMAR: [DMA Write NO_PASID] Request device [%s] fault addr 0x%x [fault reason 0x05] PTE Write access is "
			 "not set",
			 dev, 0x12340000 + i * 4096);
		fake_log(h->fake, line);
		if (i % 32 == 31)
			fake_host_settle(h);
	}
	fake_host_settle(h);
}

static inline void kernel_says(const char *line)
{
	fake_log(h->fake, line);
	fake_host_settle(h);
}

static inline bool vf_master(const char *bdf)
{
	char path[PATH_MAX];
	uint8_t command = 0;
	int fd;

	snprintf(path, sizeof(path), "%.3000s/sys/bus/pci/devices/%s/config", fake_root(h->fake), bdf);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0 && pread(fd, &command, 1, PCI_COMMAND) == 1);
	close(fd);
	return command & PCI_COMMAND_MASTER;
}

/* What the VMM may do at any time. */
static inline void vmm_sets_master(const char *bdf)
{
	uint8_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%.3000s/sys/bus/pci/devices/%s/config", fake_root(h->fake), bdf);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert(fd >= 0 && pwrite(fd, &command, 1, PCI_COMMAND) == 1);
	close(fd);
}

static inline bool is_idle(void *arg)
{
	struct lease *l = arg;

	return !l->busy;
}

/* What it does on a worker is done. */
static inline void until_idle(struct lease *l)
{
	cr_assert(fake_host_until(h, is_idle, l, 5000));
	fake_host_settle(h);
}

/* vm1 and vm2 with a VF each, the first and the second of four; what gangwayd logs can be read. @configure: before they attach. */
static inline void two_attached(void (*configure)(void))
{
	h = fake_host_new(4);
	vm1 = fake_guest_add(h, "vm1", true);
	fake_guest_add(h, "vm2", true);
	before_again();
	if (configure)
		configure();
	json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0")));
	json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm2", "target", "eth0")));
	l1 = lease_find(&h->d, "vm1", NULL);
	l2 = lease_find(&h->d, "vm2", NULL);
	cr_assert_str_eq(l1->vf_bdf, FAKE_VF0_BDF);
	cr_assert_str_eq(l2->vf_bdf, FAKE_VF1_BDF);
	log_begin();
}

static inline void two_detached(void)
{
	log_end();
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	succeed("detach", json_pack("{s:s}", "guest", "vm2"));
	unchanged();
	end();
}

static inline json_int_t others(void)
{
	json_t *a = fake_host_call(h, "status", NULL);
	json_int_t n = json_integer_value(member(a, "result.daemon.faults.others"));

	json_decref(a);
	return n;
}

#endif
