/* SPDX-License-Identifier: GPL-2.0-or-later */
/* doctor: is this host fit to give VFs to guests, and what is to be done where it is not? One check, one finding, one remedy. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "accounts.h"
#include "calls.h"
#include "daemon.h"
#include "err.h"
#include "faults.h"
#include "guests.h"
#include "mem_area.h"
#include "sriov.h"
#include "vmm.h"
#include "work.h"

struct checkup {
	struct daemon *d;
	struct ctl_req *req;
	json_t *findings;
	bool ok;
};

/* @status: "ok", "info", "warn", "fail" */
static void __attribute__((format(printf, 5, 6)))
find(struct checkup *c, const char *check, const char *status, const char *hint, const char *fmt, ...)
{
	struct err text; /* what peers and drivers say, made fit for JSON even where it is cut */
	va_list ap;

	va_start(ap, fmt);
	err_vset(&text, 0, "", fmt, ap);
	va_end(ap);
	err_hint(&text, "%s", hint);
	if (!strcmp(status, "fail"))
		c->ok = false;
	json_array_append_new(c->findings, json_pack("{s:s, s:s, s:s, s:s}", "check", check, "status", status, "detail", text.msg,
						     "hint", text.hint));
}

static size_t count(struct sys *sys, const char *path)
{
	char **names;
	size_t n = 0;

	if (sys->ops->list(sys, path, &names) < 0)
		return 0;
	while (names[n])
		n++;
	sys_list_free(names);
	return n;
}

static void check_iommu(struct checkup *c)
{
	size_t n = count(c->d->sys, "/sys/kernel/iommu_groups");

	if (n)
		find(c, "iommu", "ok", "", "on, %zu groups", n);
	else
		find(c, "iommu", "fail",
		     "switch VT-d or AMD-Vi on in the firmware, and on Intel add intel_iommu=on to the kernel's command line "
		     "(GRUB_CMDLINE_LINUX in "
		     "/etc/default/grub, update-grub, reboot)",
		     "no IOMMU groups: the IOMMU is off");
}

/* The kernel names interrupt chips that remap "IR-...": the one sign of it that needs no privilege and no log. */
static void check_remapping(struct checkup *c)
{
	char *text = malloc(1 << 20);
	ssize_t n = text ? c->d->sys->ops->read_file(c->d->sys, "/proc/interrupts", text, (1 << 20) - 1) : -ENOMEM;
	uint64_t unsafe = 0;
	char flag[8];

	if (n >= 0) {
		text[n] = '\0';
		if (strstr(text, " IR-")) {
			find(c, "interrupt-remapping", "ok", "", "on");
		} else {
			if (sys_read_str(c->d->sys, "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", flag,
					 sizeof(flag)) == 0)
				unsafe = flag[0] == 'Y';
			find(c, "interrupt-remapping", unsafe ? "warn" : "fail",
			     "switch interrupt remapping (x2APIC opt-out off) on in the firmware; only on a host whose guests "
			     "are all trusted: "
			     "vfio_iommu_type1.allow_unsafe_interrupts=1",
			     unsafe ? "off, allowed by allow_unsafe_interrupts: a guest can inject interrupts into the host"
				    : "off: VFIO refuses to give devices to guests");
		}
	}
	free(text);
}

static void check_vhost(struct checkup *c)
{
	struct stat st;

	if (c->d->sys->ops->stat(c->d->sys, "/dev/vhost-net", &st) == 0)
		find(c, "vhost", "ok", "", "emulated legs have vhost");
	else
		find(c, "vhost", "warn", "modprobe vhost_net; for good: echo vhost_net >/etc/modules-load.d/vhost_net.conf",
		     "no /dev/vhost-net: emulated legs are slower, and dark while a VF is plugged");
}

static void check_modules(struct checkup *c)
{
	struct sys *sys = c->d->sys;

	if (sys_exists(sys, "/sys/bus/pci/drivers/vfio-pci") && sys_exists(sys, "/dev/vfio/vfio"))
		find(c, "vfio", "ok", "", "vfio-pci is loaded");
	else
		find(c, "vfio", "fail", "modprobe vfio-pci; for good: echo vfio-pci >/etc/modules-load.d/vfio-pci.conf",
		     "vfio-pci is not loaded");
	if (sys_exists(sys, "/dev/kvm"))
		find(c, "kvm", "ok", "", "/dev/kvm is there");
	else
		find(c, "kvm", "warn", "modprobe kvm_intel or kvm_amd; switch virtualization on in the firmware",
		     "no /dev/kvm: guests would run by emulation, and interrupts would pass through the VMM");
}

static void check_pfs(struct checkup *c)
{
	struct sriov_pf *pfs = NULL;
	size_t nr = 0;
	struct err err, left_out;

	if (sriov_pf_list(c->d->sys, &pfs, &nr, &left_out, &err) < 0) {
		find(c, "pf", "fail", "", "%s", err.msg);
		return;
	}
	if (left_out.num)
		find(c, "pf", "fail", "", "%s", left_out.msg);
	else if (nr == 0)
		find(c, "pf", "fail",
		     "SR-IOV is to be switched on in the firmware (BIOS and, on some NICs, the NIC's own setup); lspci -vv shows "
		     "it",
		     "no SR-IOV capable NIC");
	for (size_t i = 0; i < nr; i++) {
		const struct sriov_pf *p = &pfs[i];
		const char *name = p->ifname[0] ? p->ifname : p->bdf;
		char hint[128] = "", check[32];

		snprintf(check, sizeof(check), "pf %s", name);
		if (p->ifname[0] && !p->link.up) {
			snprintf(hint, sizeof(hint), "ip link set %s up", name);
			find(c, check, "warn", hint, "PF is not online: its VFs cannot come up");
		} else if (p->nr_vfs == 0) {
			snprintf(hint, sizeof(hint), "gangway pf set %s vfs N (1 to %u)", name, p->total_vfs);
			find(c, check, "warn", hint, "no VFs are enabled");
		} else {
			find(c, check, p->ifname[0] && !p->link.carrier ? "warn" : "ok", "", "%u of %u VFs%s", p->nr_vfs,
			     p->total_vfs, p->ifname[0] && !p->link.carrier ? ", no carrier" : "");
		}
	}
	free(pfs);
}

static void check_memory(struct checkup *c)
{
	uint64_t entries, huge = 0;

	if (sys_read_u64(c->d->sys, "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", &entries) == 0)
		find(c, "dma-entries", entries < 65535 ? "warn" : "ok",
		     entries < 65535 ? "vfio_iommu_type1.dma_entry_limit=65535" : "", "%" PRIu64 " mappings a device", entries);
	sys_read_u64(c->d->sys, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", &huge);
	find(c, "hugepages", "info",
	     huge ? "" : "guests on 2 MiB pages are mapped faster and translate better: sysctl vm.nr_hugepages=N",
	     "%" PRIu64 " pages of 2 MiB reserved", huge);
}

/* By what is it known that memory is short? */
static void check_pressure(struct checkup *c)
{
	char text[512];
	ssize_t n = c->d->sys->ops->read_file(c->d->sys, "/proc/pressure/memory", text, sizeof(text));

	if (n >= 0)
		find(c, "pressure", "ok", "", "the kernel tells of stalls for want of memory");
	else
		find(c, "pressure", "warn", "psi=1 on the kernel's command line; it needs CONFIG_PSI",
		     "no pressure stall information (%s): guests with memory adaptive leave their VFs by what is available and "
		     "what is "
		     "swapped, looked at every %u ms; one that is at the limit of its own cgroup does not",
		     strerror((int)-n), c->d->config.poll_ms);
}

static void check_ksm(struct checkup *c)
{
	uint64_t run, pages = 0;
	char merged[MEM_TEXT_MAX];

	if (sys_read_u64(c->d->sys, "/sys/kernel/mm/ksm/run", &run) < 0)
		return; /* a kernel without it */
	sys_read_u64(c->d->sys, "/sys/kernel/mm/ksm/pages_sharing", &pages);
	if (pages > UINT64_MAX / (uint64_t)sysconf(_SC_PAGESIZE))
		pages = 0;
	mem_text(pages * (uint64_t)sysconf(_SC_PAGESIZE), merged);
	if (run == 1)
		find(c, "ksm", "info", "`gangway memory show GUEST` tells what of it is a guest's",
		     "on, and saves %s: what of that is a guest's is copied when it has a VF", merged);
	else
		find(c, "ksm", "ok", "", "off%s%s", pages ? ", and what it has merged still saves " : "", pages ? merged : "");
}

static void check_install(struct checkup *c)
{
	const struct config *conf = &c->d->config;

	if (access(conf->device_program, X_OK) == 0)
		find(c, "gangway-device", "ok", "", "%s", conf->device_program);
	else
		find(c, "gangway-device", "fail", "install gangway whole, or set device_program in gangway.conf", "%s: %s",
		     conf->device_program, strerror(errno));
}

/*
 * An account among the numbers of the device processes could signal them, and be starved of descriptors by them. They are each a group's
 * number, too.
 */
static void check_uids(struct checkup *c)
{
	static const struct {
		const char *path, *kind;
	} files[] = { { "/etc/passwd", "user" }, { "/etc/group", "group" } };
	unsigned first = c->d->config.device_uid_first, last = first + LIMIT_LEASES - 1;
	bool ok = true;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char name[64];
		uint32_t id;
		int r = accounts_find(files[i].path, first, last, name, sizeof(name), &id);

		ok = ok && r == 0;
		if (r > 0)
			find(c, "device-uids", "warn",
			     "gangway.conf: device_uid_first = the first of 1024 numbers that nobody has",
			     "%s %s has number %" PRIu32 ", one of those of gangway-device (%u to %u)", files[i].kind, name, id,
			     first, last);
		else if (r < 0)
			find(c, "device-uids", "warn", "",
			     "%s: %s: whether a %s has a number of gangway-device (%u to %u) is not known", files[i].path,
			     strerror(-r), files[i].kind, first, last);
	}
	if (ok)
		find(c, "device-uids", "ok", "", "each gangway-device runs as a user of its own, %u to %u", first, last);
}

/* On a worker: everything that looks at the host. */
static int run(void *arg)
{
	struct checkup *c = arg;

	check_iommu(c);
	check_remapping(c);
	check_modules(c);
	check_vhost(c);
	check_pfs(c);
	check_memory(c);
	check_pressure(c);
	check_ksm(c);
	check_install(c);
	check_uids(c);
	return 0;
}

/* A VMM without CAP_IPC_LOCK locks a guest's RAM against RLIMIT_MEMLOCK; the exact number is part of attach's own check. */
static void check_guests(struct checkup *c)
{
	struct guest *g;
	char check[LIMIT_NAME + 16];

	TAILQ_FOREACH(g, &c->d->guests, link)
	{
		const struct err *why = vmm_why(g->vmm);
		struct vmm_version version;

		snprintf(check, sizeof(check), "guest %s", g->name);
		switch (vmm_get_state(g->vmm)) {
		case VMM_UP:
			vmm_get_version(g->vmm, &version);
			find(c, check, "ok", "", "QEMU %s, %s %d: vfio-pci%s", version.text,
			     g->manager[0] ? "by way of a manager, pid" : "pid", (int)vmm_pid(g->vmm),
			     !version.vfio_user		? ""
			     : version.unplug_vfio_user ? ", vfio-user"
							: ", vfio-user (until the guest ends: unplugging it aborts this QEMU)");
			break;
		case VMM_DOWN:
		case VMM_CONNECTING:
			find(c, check, "info", "", "does not run");
			break;
		case VMM_DENIED:
			find(c, check, "warn", why ? why->hint : "", "%s", why ? why->msg : "refused");
			break;
		}
	}
}

/* Of functions that have a lease `status` tells. */
static void check_faults(struct checkup *c)
{
	uint64_t nr = faults_of_others(c->d->faults);

	if (!c->d->faults)
		find(c, "faults", "warn", "restart gangwayd as root on the host itself; its log says why",
		     "the kernel's log cannot be read: IOMMU faults of VFs are not seen");
	else if (nr)
		find(c, "faults", "warn", "dmesg | grep -E 'DMAR|AMD-Vi|smmu|PCIe Bus Error' names the functions",
		     "%" PRIu64 " IOMMU faults and PCIe errors of functions without a lease since gangwayd started", nr);
	else
		find(c, "faults", "ok", "", "none of functions without a lease since gangwayd started");
}

static void done(int r, void *arg)
{
	struct checkup *c = arg;

	(void)r;
	check_guests(c);
	check_faults(c);
	ctl_reply(c->req, json_pack("{s:b, s:o}", "ok", c->ok, "findings", c->findings));
	free(c);
}

void call_doctor(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	struct checkup *c;
	struct err err;

	if (!call_params(req, params, "{!}"))
		return;
	c = calloc(1, sizeof(*c));
	if (c) {
		*c = (struct checkup){ .d = d, .req = req, .findings = json_array(), .ok = true };
		if (c->findings && work_submit(d->pool, run, done, c) == 0)
			return;
		json_decref(c->findings);
		free(c);
	}
	err_set(&err, -ENOMEM, "daemon.no-memory", "no memory for the call");
	ctl_fail(req, &err);
}
