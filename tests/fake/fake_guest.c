/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guests of fake_host: what is plugged, and what a guest's kernel does with a VF. fake_guest_qmp.c: what QMP says of it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "die_with.h"
#include "fake_host.h"
#include "fake_internal.h"
#include "guests.h"
#include "lease.h"
#include "vmm.h"

/* --- the process behind the socket --- */

static int listener_of(const char *path)
{
	for (int fd = 3; fd < 1024; fd++) {
		struct sockaddr_un a = { 0 };
		socklen_t len = sizeof(a), one = sizeof(int);
		int listens = 0;

		if (getsockname(fd, (struct sockaddr *)&a, &len) == 0 && a.sun_family == AF_UNIX && !strcmp(a.sun_path, path) &&
		    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &one) == 0 && listens)
			return fd;
	}
	fake_die("nobody listens on %s", path);
}

/* SO_PEERCRED names who called listen(2) last: a child of ours, which then is the VMM's process. */
static pid_t start_process(struct fake_guest *g)
{
	int fd = listener_of(g->qmp), ready[2];
	pid_t pid, test = getpid();
	char byte = 0;

	if (pipe(ready) < 0)
		fake_die("pipe");
	pid = fork();
	if (pid < 0)
		fake_die("fork");
	if (pid == 0) {
		if ((g->uid && (setresgid(g->uid, g->uid, g->uid) < 0 || setresuid(g->uid, g->uid, g->uid) < 0)) ||
		    listen(fd, 16) < 0)
			_exit(1);
		die_with(test);
		/* first: the state database's lock is among them, and gangwayd may be stopped and started at once */
		if (dup2(ready[1], 0) < 0 || close_range(1, ~0U, 0) < 0 || write(0, &byte, 1) != 1)
			_exit(1);
		close(0);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		fake_die("the process of guest %s did not start", g->name);
	close(ready[0]);
	return pid;
}

/* --- what the guest's kernel does: bus mastering and vectors --- */

#define FIRST_IRQ 64

/* The vectors that the guest's driver has asked for, two of them: on a host whose kernel tells of such. */
static void count_irqs(struct fake_guest *g, const struct fake_nic *nic, bool on)
{
	struct fake *fake = g->host->fake;
	unsigned irq = FIRST_IRQ + 2 * (FAKE_NICS * (unsigned)(g - g->host->guests) + (unsigned)(nic - g->nics));

	if (!sys_exists(fake_sys(fake), "/sys/kernel/irq"))
		return;
	for (unsigned i = irq; i < irq + 2; i++) {
		fake_remove(fake, "/sys/kernel/irq/%u", i);
		if (!on)
			continue;
		fake_mkdir(fake, "/sys/kernel/irq/%u", i);
		fake_put(fake, i > irq && !g->silent ? "0,3\n" : "0,0\n", "/sys/kernel/irq/%u/per_cpu_count", i);
		fake_put(fake, "msix\n", "/sys/bus/pci/devices/%s/msi_irqs/%u", nic->vf, i);
	}
}

static void drive(struct fake_guest *g, const struct fake_nic *nic, bool on)
{
	char path[PATH_MAX];
	uint8_t command = 0;
	int fd;

	snprintf(path, sizeof(path), "%.4000s/sys/bus/pci/devices/%s/msi_irqs", fake_root(g->host->fake), nic->vf);
	if (on ? mkdir(path, 0755) : access(path, F_OK))
		return; /* the function is gone, or was not driven */
	if (!on)
		fake_remove(g->host->fake, "/sys/bus/pci/devices/%s/msi_irqs", nic->vf);
	count_irqs(g, nic, on);
	snprintf(path, sizeof(path), "%.4000s/sys/bus/pci/devices/%s/config", fake_root(g->host->fake), nic->vf);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (on)
		command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (fd < 0 || pwrite(fd, &command, 1, PCI_COMMAND) != 1)
		fake_die("%s", path);
	close(fd);
}

/* --- what is plugged --- */

static void arg(const char *args, const char *key, char *buf, size_t size)
{
	json_t *j = json_loads(args, 0, NULL);
	const char *v = json_string_value(json_object_get(j, key));

	snprintf(buf, size, "%s", v ? v : "");
	json_decref(j);
}

static void into_port(struct fake_guest *g, const char *args, const char *id)
{
	char bus[16];

	arg(args, "bus", bus, sizeof(bus));
	if (bus[0] == 'r' && bus[2] >= '1' && bus[2] < '1' + FAKE_PORTS)
		snprintf(g->in_port[bus[2] - '1'], sizeof(g->in_port[0]), "%s", id);
}

static void out_of_port(struct fake_guest *g, const char *id)
{
	for (unsigned i = 0; i < FAKE_PORTS; i++)
		if (!strcmp(g->in_port[i], id))
			g->in_port[i][0] = '\0';
}

void fake_guest_tell_pinned(struct fake_guest *g)
{
	bool has_vf = g->unpins_late;
	char text[256];

	for (const struct fake_nic *nic = g->nics; nic < g->nics + FAKE_NICS; nic++)
		has_vf = has_vf || nic->vf[0];
	if (!g->pins || g->pid <= 0)
		return;
	snprintf(text, sizeof(text), "VmLck:\t %u kB\nVmPin:\t 0 kB\nVmRSS:\t %u kB\nVmSwap:\t 0 kB\nCapEff:\t0000000000000000\n",
		 has_vf ? g->minor_ram_mib << 10 : 0, g->rss_mib << 10);
	fake_put(g->host->fake, text, "/proc/%d/status", (int)g->pid);
}

static void lose_device(struct fake_guest *g, struct fake_nic *nic)
{
	if (nic->vf[0])
		drive(g, nic, false);
	out_of_port(g, nic->device);
	nic->device[0] = nic->vf[0] = '\0';
	fake_guest_tell_pinned(g);
}

/* The tap goes with the last descriptor of it. */
static void lose_netdev(struct fake_guest *g, struct fake_nic *nic)
{
	const struct sys_link *link = nic->tap[0] ? fake_link(g->host->fake, nic->tap) : NULL;

	if (link && !strcmp(link->kind, "tun"))
		fake_vmm_holds_tap(g->host->fake, nic->tap, false);
	nic->tap[0] = '\0';
}

static void lose_standby(struct fake_guest *g, struct fake_nic *nic)
{
	out_of_port(g, nic->standby);
	nic->standby[0] = '\0';
}

/* What the guest has of the lease already, or nothing yet. */
static struct fake_nic *nic_of(struct fake_guest *g, const struct lease *l)
{
	struct fake_nic *nic;

	for (nic = g->nics; nic < g->nics + FAKE_NICS; nic++)
		if (!strcmp(nic->device, l->device_id) || !strcmp(nic->standby, l->standby_id) ||
		    (l->emul && nic->tap[0] && !strcmp(nic->tap, emul_leg_ifname(l->emul))))
			return nic;
	for (nic = g->nics; nic < g->nics + FAKE_NICS; nic++)
		if (!nic->device[0] && !nic->standby[0] && !nic->tap[0])
			return nic;
	return g->nics;
}

static void plug_vf(struct fake_guest *g, struct lease *l)
{
	struct fake_nic *nic = nic_of(g, l);

	snprintf(nic->device, sizeof(nic->device), "%s", l->device_id);
	snprintf(nic->vf, sizeof(nic->vf), "%s", l->vf_bdf);
	if (g->takes_mib)
		fake_host_put_available(g->host, g->host->available_mib - g->takes_mib);
	g->takes_mib = 0;
	fake_guest_tell_pinned(g);
	if (!g->no_driver)
		drive(g, nic, true);
}

static void plugged(struct fake_guest *g, const char *args)
{
	struct lease *l;
	char id[80];

	arg(args, "id", id, sizeof(id));
	TAILQ_FOREACH(l, &g->host->d.leases, link)
	{
		if (strcmp(l->guest, g->name))
			continue;
		if (!strcmp(l->standby_id, id) && !g->standby_error) {
			snprintf(nic_of(g, l)->standby, sizeof(g->standby), "%s", id);
			into_port(g, args, id);
		} else if (!strcmp(l->device_id, id) && !g->add_error && !(strstr(args, "failover_pair_id") && g->no_failover)) {
			plug_vf(g, l);
			into_port(g, args, id);
		}
	}
}

void fake_guest_replug(struct fake_guest *g)
{
	plug_vf(g, lease_find(&g->host->d, g->name, NULL));
	fake_guest_update(g);
}

void fake_guest_drives(struct fake_guest *g, bool on)
{
	for (const struct fake_nic *nic = g->nics; nic < g->nics + FAKE_NICS; nic++)
		if (nic->vf[0])
			drive(g, nic, on);
}

void fake_guest_is_heard(struct fake_guest *g)
{
	g->silent = false;
	count_irqs(g, g->nics, true);
}

static void deleted(struct fake_guest *g, const char *id)
{
	char data[256];

	snprintf(data, sizeof(data), "{\"device\": \"%s\", \"path\": \"/machine/peripheral/%s\"}", id, id);
	fake_guest_update(g);
	fake_qmp_event(g->peer, "DEVICE_DELETED", data);
}

static void eject(struct fake_guest *g, struct fake_nic *nic)
{
	char id[80];

	memcpy(id, nic->device, sizeof(id));
	lose_device(g, nic);
	deleted(g, id);
}

void fake_guest_eject(struct fake_guest *g)
{
	eject(g, g->nics);
}

static void eject_standby(struct fake_guest *g, struct fake_nic *nic)
{
	char id[80];

	memcpy(id, nic->standby, sizeof(id));
	lose_standby(g, nic);
	deleted(g, id);
}

void fake_guest_eject_standby(struct fake_guest *g)
{
	eject_standby(g, g->nics);
}

static void die(struct fake_guest *g)
{
	if (g->pid <= 0)
		return;
	kill(g->pid, SIGKILL);
	waitpid(g->pid, NULL, 0);
	fake_remove(g->host->fake, "/proc/%d", (int)g->pid);
	g->pid = 0;
	g->post = sd_event_source_disable_unref(g->post);
	if (g->peer)
		fake_qmp_die(g->peer);
	fake_qmp_free(g->peer);
	g->peer = NULL;
	for (struct fake_nic *nic = g->nics; nic < g->nics + FAKE_NICS; nic++) {
		lose_device(g, nic);
		lose_standby(g, nic);
		lose_netdev(g, nic);
	}
}

static void asked_to_unplug(struct fake_guest *g, const char *args)
{
	struct fake_nic *nic, *with_vf = NULL, *with_standby = NULL;
	char data[256], id[80];

	arg(args, "id", id, sizeof(id));
	for (nic = g->nics; nic < g->nics + FAKE_NICS; nic++) {
		with_vf = nic->device[0] && !strcmp(id, nic->device) ? nic : with_vf;
		with_standby = nic->standby[0] && !strcmp(id, nic->standby) ? nic : with_standby;
	}
	if (with_standby && !g->keeps_standby)
		eject_standby(g, with_standby);
	if (!with_vf || with_standby || g->unplug == FAKE_UNPLUG_IGNORED)
		return;
	if (g->unplug == FAKE_UNPLUG_OBEYED) {
		eject(g, with_vf);
		return;
	}
	snprintf(data, sizeof(data), "{\"device\": \"%s\", \"path\": \"/machine/peripheral/%s\"}", id, id);
	fake_qmp_event(g->peer, "DEVICE_UNPLUG_GUEST_ERROR", data);
}

/* The lease whose netdev this is, and the interface with it. */
static struct lease *lease_of_netdev(struct fake_guest *g, const char *args)
{
	struct lease *l;
	char id[96];

	arg(args, "id", id, sizeof(id));
	TAILQ_FOREACH(l, &g->host->d.leases, link)
	if (!strcmp(l->guest, g->name) && !strcmp(l->netdev_id, id))
		return l;
	return NULL;
}

static void got_netdev(struct fake_guest *g, const char *args)
{
	struct lease *l = lease_of_netdev(g, args);

	if (l && l->emul)
		snprintf(nic_of(g, l)->tap, sizeof(g->tap), "%s", emul_leg_ifname(l->emul));
}

static void asked_for_netdev(struct fake_guest *g, const char *args)
{
	struct lease *l = lease_of_netdev(g, args);

	lose_netdev(g, l ? nic_of(g, l) : g->nics);
}

/* Into a pipe that nobody reads: what the VMM holds for a migration is plugged back. */
static void migrates(struct fake_guest *g)
{
	for (; g->seen_migrate < fake_qmp_count(g->peer, "migrate"); g->seen_migrate++) {
		if (!strstr(fake_qmp_args(g->peer, "migrate", g->seen_migrate), "gangway-replug") || g->no_replug)
			continue;
		fake_qmp_event(g->peer, "MIGRATION", "{\"status\": \"setup\"}");
		fake_guest_drives(g, true);
		fake_qmp_event(g->peer, "MIGRATION", "{\"status\": \"failed\"}");
	}
}

/* After whatever the loop did: has the guest been told something? */
static int on_post(sd_event_source *s, void *ctx)
{
	struct fake_guest *g = ctx;

	(void)s;
	if (!g->peer)
		return 0;
	if (g->dies_at && fake_qmp_count(g->peer, g->dies_at)) {
		die(g);
		return 0;
	}
	migrates(g);
	for (; g->seen_netdev_add < fake_qmp_count(g->peer, "netdev_add"); g->seen_netdev_add++)
		got_netdev(g, fake_qmp_args(g->peer, "netdev_add", g->seen_netdev_add));
	for (; g->seen_add < fake_qmp_count(g->peer, "device_add"); g->seen_add++)
		plugged(g, fake_qmp_args(g->peer, "device_add", g->seen_add));
	for (; g->seen_del < fake_qmp_count(g->peer, "device_del"); g->seen_del++)
		asked_to_unplug(g, fake_qmp_args(g->peer, "device_del", g->seen_del));
	for (; g->seen_netdev_del < fake_qmp_count(g->peer, "netdev_del"); g->seen_netdev_del++)
		asked_for_netdev(g, fake_qmp_args(g->peer, "netdev_del", g->seen_netdev_del));
	fake_guest_update(g);
	return 0;
}

/* --- its life --- */

bool fake_host_guest_up(struct fake_host *h, const char *name)
{
	struct guest *g = guest_find(&h->d, name);

	return g && vmm_get_state(g->vmm) == VMM_UP;
}

static bool is_up(void *arg)
{
	struct fake_guest *g = arg;

	return fake_host_guest_up(g->host, g->name);
}

void fake_guest_run(struct fake_guest *g)
{
	char proc[64];

	g->peer = fake_qmp_new(g->host->event, g->qmp, NULL);
	g->seen_migrate = 0;
	g->seen_add = g->seen_del = g->seen_netdev_add = g->seen_netdev_del = 0;
	fake_guest_update(g);
	g->pid = start_process(g);
	snprintf(proc, sizeof(proc), "/proc/%d", (int)g->pid);
	fake_mkdir(g->host->fake, "%s", proc);
	fake_put(g->host->fake, "CapEff:\t0000000000000000\n", "%s/status", proc);
	fake_put(g->host->fake, "Max locked memory         unlimited            unlimited            bytes\n", "%s/limits", proc);
	if (!g->post && sd_event_add_post(g->host->event, &g->post, on_post, g) < 0)
		fake_die("no post source");
	if (g->host->running && !fake_host_until(g->host, is_up, g, 5000))
		fake_die("guest %s is not up", g->name);
}

static bool is_not_up(void *arg)
{
	return !is_up(arg);
}

void fake_guest_die(struct fake_guest *g)
{
	die(g);
	if (g->host->running && !fake_host_until(g->host, is_not_up, g, 5000))
		fake_die("guest %s: its end was not noticed", g->name);
}

struct fake_guest *fake_guest_add(struct fake_host *h, const char *name, bool run)
{
	struct fake_guest *g = &h->guests[h->nr_guests++];
	const char *failed;

	if (h->nr_guests > FAKE_GUESTS_MAX)
		fake_die("too many guests");
	*g = (struct fake_guest){
		.host = h, .shared = true, .vfio_user = true, .minor_ram_mib = 512, .status = "running", .ports = 1
	};
	snprintf(g->name, sizeof(g->name), "%s", name);
	snprintf(g->qmp, sizeof(g->qmp), "%s/%s.qmp", h->dir, name);
	failed = fake_host_expect(h, NULL, "guest.add", json_pack("{s:s, s:s}", "name", g->name, "qmp", g->qmp));
	if (failed)
		fake_die("guest.add: %s", failed);
	if (run)
		fake_guest_run(g);
	return g;
}
