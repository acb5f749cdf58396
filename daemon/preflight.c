/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "preflight.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "op.h"
#include "vdev.h"

static int check_pf(const struct op *op, struct err *err)
{
	if (!op->pf.ifname[0] || op->pf.link.up)
		return 0;
	err_set(err, -ENETDOWN, "sriov.pf-down", "PF %s: PF is not online: its VFs cannot come up", op->pf.ifname);
	err_hint(err, "ip link set %s up", op->pf.ifname);
	return -ENETDOWN;
}

static int check_vfio(struct op *op, struct err *err)
{
	struct sys *sys = op->d->sys;

	if (sys_exists(sys, "/sys/bus/pci/drivers/vfio-pci") && sys_exists(sys, "/dev/vfio/vfio"))
		return 0;
	err_set(err, -ENODEV, "vfio.no-driver", "VF %s: the kernel's vfio-pci driver is not loaded", op->vf.bdf);
	err_hint(err, "modprobe vfio-pci; for good: echo vfio-pci >/etc/modules-load.d/vfio-pci.conf");
	return -ENODEV;
}

/* The value behind "Label:" in a /proc file. NULL: not there. */
static const char *find_line(const char *text, const char *label)
{
	const char *p = strstr(text, label);

	return p ? p + strlen(label) : NULL;
}

/*
 * vfio-pci: the VMM itself pins, against its own RLIMIT_MEMLOCK, unless it has CAP_IPC_LOCK. A VMM whose /proc files cannot be read is let
 * through: the kernel decides.
 */
static int check_memlock(struct op *op, struct err *err)
{
	uint64_t limit, need = op->info.ram_bytes;
	char path[64], text[4096];
	const char *v;

	if (op->lease->via != VIA_VFIO_PCI || op->lease->prepared || op->vmm_pid <= 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)op->vmm_pid);
	if (sys_read_str(op->d->sys, path, text, sizeof(text)) < 0)
		return 0;
	v = find_line(text, "CapEff:");
	if (v && (strtoull(v, NULL, 16) & (1ULL << CAP_IPC_LOCK)))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/limits", (int)op->vmm_pid);
	if (sys_read_str(op->d->sys, path, text, sizeof(text)) < 0)
		return 0;
	v = find_line(text, "Max locked memory");
	if (!v || strncmp(v + strspn(v, " "), "unlimited", 9) == 0)
		return 0;
	limit = strtoull(v, NULL, 10);
	if (limit >= need)
		return 0;
	err_set(err, -ENOMEM, "vfio.memlock",
		"guest %s: its VMM (pid %d) may lock %" PRIu64 " MiB of memory, the VF needs its %" PRIu64 " MiB of RAM locked",
		op->lease->guest, (int)op->vmm_pid, limit >> 20, need >> 20);
	err_hint(err,
		 "prlimit --pid %d --memlock=%" PRIu64 " (bytes; for good: LimitMEMLOCK= of its service), or --via vfio-user",
		 (int)op->vmm_pid, need + ((uint64_t)64 << 20));
	return -ENOMEM;
}

static int read_host_ram(struct op *op, struct err *err)
{
	char text[8192];
	const char *v;
	int r;

	r = sys_read_str(op->d->sys, "/proc/meminfo", text, sizeof(text));
	v = r < 0 ? NULL : find_line(text, "MemTotal:");
	op->host_ram = v ? strtoull(v, NULL, 10) << 10 : 0; /* tells in kB */
	if (op->host_ram)
		return 0;
	r = r < 0 ? r : -EIO;
	return err_set(err, r, "daemon.no-meminfo", "/proc/meminfo does not tell how much RAM the host has: %s", strerror(-r));
}

/* The limit on what may be mapped and locked is made of what the VMM says: so that has to be possible. All of it is to be locked. */
static int check_ram(const struct op *op, struct err *err)
{
	if (op->info.ram_bytes <= op->host_ram)
		return 0;
	err_set(err, -ENOMEM, "vmm.ram-implausible",
		"guest %s: its VMM claims %" PRIu64 " MiB of RAM, the host has %" PRIu64 " MiB: a VF needs all of it locked",
		op->lease->guest, op->info.ram_bytes >> 20, op->host_ram >> 20);
	err_hint(err, "start it with less memory (-m, plugged DIMMs included)");
	return -ENOMEM;
}

/* Of the VF: whatever is wrong with it, the guest may do without. */
static int check_vf(struct op *op, struct err *err)
{
	int group, r = vdev_check_group(op->d->sys, op->vf.bdf, &group, err);

	if (r == 0)
		r = check_vfio(op, err);
	/* an emulated leg that nobody insists on is what is done without, where it was only for its sake that a MAC was made */
	if (r < 0 || op->lease->standby.kind == EMUL_NONE || op_mac_is_for_standby(op))
		return r;
	return op_check_mac_settable(op, err);
}

int preflight_host(struct op *op, struct err *err)
{
	struct lease *l = op->lease;
	int r;

	r = check_pf(op, err);
	if (r == 0)
		r = read_host_ram(op, err);
	if (r == 0)
		r = policy_check(&l->want, err);
	if (r == 0 && (l->want.fields & SYS_VF_MAC))
		r = policy_check_mac(op->d->sys, &op->pf, l->vf_bdf[0] ? l->vf_index : SYS_VF_MAX, l->want.mac, err);
	if (r == 0 && l->vf_bdf[0])
		r = op_forgo_vf(op, check_vf(op, err), err);
	return r < 0 || op->vf_only ? r : op_check_standby(op, err);
}

int preflight_memory(struct op *op, struct err *err)
{
	int r;

	r = check_ram(op, err);
	if (r == 0 && op->info.ram_bytes)
		r = vdev_check_reserved(op->d->sys, op->lease->group_id, op->info.ram_bytes, err);
	if (r == 0)
		r = check_memlock(op, err);
	return r;
}

static int settle_via(struct op *op, struct err *err)
{
	const struct vmm_info *i = &op->info;
	struct lease *l = op->lease;

	l->via = op->via_asked;
	if (l->via == VIA_AUTO)
		l->via = i->has_vfio_user && i->unplug_vfio_user_safe && i->ram_shared ? VIA_VFIO_USER : VIA_VFIO_PCI;
	if (l->via == VIA_VFIO_USER && !i->has_vfio_user) {
		err_set(err, -EOPNOTSUPP, "vmm.no-vfio-user", "guest %s: its VMM (QEMU %s) has no vfio-user-pci", l->guest,
			i->version);
		err_hint(err, "QEMU has it since 10.1; --via vfio-pci works with every QEMU since 4.2");
		return -EOPNOTSUPP;
	}
	if (l->via == VIA_VFIO_PCI && !i->has_vfio_pci) {
		err_set(err, -EOPNOTSUPP, "vmm.no-vfio-pci", "guest %s: its VMM (QEMU %s) has no vfio-pci", l->guest, i->version);
		err_hint(err, "a QEMU built with VFIO (CONFIG_VFIO_PCI); distributions' packages are");
		return -EOPNOTSUPP;
	}
	return l->via == VIA_VFIO_USER ? preflight_shared(op, err) : 0;
}

/* Nobody insists on the emulated leg: is this a guest that had better be without? */
static void settle_standby(struct op *op)
{
	const struct vmm_info *i = &op->info;
	struct lease *l = op->lease;
	struct err why;

	/* one that is yet to come by migration needs a leg that it can come to */
	if (!op_plugs_standby(op) || !op->standby_auto || i->incoming)
		return;
	if (i->free_ports[0][0] && !i->free_ports[1][0]) {
		err_set(&why, -ENOSPC, "vmm.no-slot",
			"guest %s: its VF and a standby need a pcie-root-port each, one is free (No more available PCI slots)",
			l->guest);
		err_hint(&why, "start it with one more: -device pcie-root-port,id=rpN,chassis=N");
		op_without_standby(op, &why);
	} else if (l->via == VIA_VFIO_USER && !i->unplug_vfio_user_safe) {
		err_set(&why, -EOPNOTSUPP, "vmm.unplug-unsafe",
			"guest %s: QEMU %s aborts the guest when a vfio-user device is unplugged, but for a migration", l->guest,
			i->version);
		err_hint(&why, "--via vfio-pci; or, only to be able to migrate, --standby macvtap");
		op_without_standby(op, &why);
	}
}

static bool is_migrating(const struct op *op)
{
	const char *state = op->info.run_state;

	return !strcmp(state, "postmigrate") || !strcmp(state, "finish-migrate") ||
	       (!strcmp(state, "inmigrate") && !op->incoming);
}

static int check_migrating(const struct op *op, struct err *err)
{
	if (!is_migrating(op))
		return 0;
	err_set(err, -EBUSY, "vmm.migrating", "guest %s: it is being migrated (%s)", op->lease->guest, op->info.run_state);
	err_hint(err, "attach it when that is over, on the host where it runs then");
	return -EBUSY;
}

/* What a lease that is told to be for a guest that is yet to come, or that has to do without a VF for now, is for. */
static int check_incoming(const struct op *op, struct err *err)
{
	if (op->must_come && !op->incoming) {
		err_set(err, -EINVAL, "guest.not-incoming", "guest %s: it does not wait for a migration, it is %s",
			op->lease->guest, op->info.run_state);
		err_hint(err, "start its QEMU with -incoming; for a guest that runs: gangway attach");
		return -EINVAL;
	}
	if (op->no_vf.num && !op->incoming) {
		*err = op->no_vf;
		return op->no_vf.num;
	}
	return 0;
}

int preflight_guest(struct op *op, struct err *err)
{
	struct lease *l = op->lease;
	unsigned vf; /* the first port is the standby's: so at source and destination alike */
	int r;

	if (op->vf_only) /* all else was settled when the lease was made */
		return check_migrating(op, err);
	r = settle_via(op, err);
	if (r < 0)
		return r;
	settle_standby(op);
	vf = op_plugs_standby(op) ? 1 : 0;
	if (l->standby.kind == EMUL_NONE && op->info.incoming && l->no_standby.num) {
		*err = l->no_standby;
		return err->num;
	}
	op->incoming = l->standby.kind != EMUL_NONE && !strcmp(op->info.run_state, "inmigrate");
	if (op->incoming) /* there is nothing else that it could come by */
		op->standby_auto = false;
	r = check_migrating(op, err);
	if (r == 0)
		r = check_incoming(op, err);
	if (r < 0)
		return r;
	if (!op->info.free_ports[vf][0]) {
		err_set(err, -ENOSPC, "vmm.no-slot", "guest %s: No more available PCI slots: %s", l->guest,
			vf && op->info.free_ports[0][0] ? "its VF and the standby need a pcie-root-port each, one is free"
							: "no pcie-root-port is free");
		err_hint(err, "start it with one more: -device pcie-root-port,id=rpN,chassis=N%s",
			 vf ? ", or --standby none" : "");
		return -ENOSPC;
	}
	if (l->via == VIA_VFIO_USER && !op->info.unplug_vfio_user_safe)
		op_warn(op,
			"QEMU %s aborts the guest when a vfio-user device is unplugged: this lease can end only with the guest "
			"(vmm-unplug-unsafe)",
			op->info.version);
	snprintf(op->standby_bus, sizeof(op->standby_bus), "%s", op->info.free_ports[0]);
	snprintf(l->bus, sizeof(l->bus), "%s", op->info.free_ports[vf]);
	return 0;
}
