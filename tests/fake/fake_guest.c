/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guests of fake_host: QMP answers by what the guest has, and what its kernel does with a VF. */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

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
	char byte = 0;
	pid_t pid;

	if (pipe(ready) < 0)
		fake_die("pipe");
	pid = fork();
	if (pid < 0)
		fake_die("fork");
	if (pid == 0) {
		if ((g->uid && (setresgid(g->uid, g->uid, g->uid) < 0 || setresuid(g->uid, g->uid, g->uid) < 0)) ||
		    listen(fd, 16) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			_exit(1);
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

static void drive(struct fake_guest *g, bool on)
{
	char path[PATH_MAX];
	uint8_t command = 0;
	int fd;

	snprintf(path, sizeof(path), "%.4000s/sys/bus/pci/devices/%s/msi_irqs", fake_root(g->host->fake), g->vf);
	if (on ? mkdir(path, 0755) : rmdir(path))
		return; /* the function is gone, or was not driven */
	snprintf(path, sizeof(path), "%.4000s/sys/bus/pci/devices/%s/config", fake_root(g->host->fake), g->vf);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (on)
		command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (fd < 0 || pwrite(fd, &command, 1, PCI_COMMAND) != 1)
		fake_die("%s", path);
	close(fd);
}

static void lose_device(struct fake_guest *g)
{
	if (g->vf[0])
		drive(g, false);
	g->device[0] = g->vf[0] = '\0';
}

/* --- QMP --- */

static void add_row(struct fake_guest *g, size_t *n, const char *command, const char *match, const char *reply)
{
	bool silent = (g->dies_at && !strcmp(g->dies_at, command)) || (g->hangs_at && !strcmp(g->hangs_at, command));

	g->answers[(*n)++] = (struct fake_qmp_answer){ command, match, silent ? NULL : reply };
}

static const char *__attribute__((format(printf, 3, 4))) text(struct fake_guest *g, unsigned i, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(g->text[i], sizeof(g->text[i]), fmt, ap);
	va_end(ap);
	return g->text[i];
}

void fake_guest_update(struct fake_guest *g)
{
	static const char no_device[] = "\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"Device not found\"}";
	char device[160] = "", mem[128];
	unsigned long long ram = (unsigned long long)g->minor_ram_mib << 20;
	size_t n = 0;

	if (g->device[0])
		snprintf(device, sizeof(device), ", {\"name\": \"%s\", \"type\": \"child<vfio-pci>\"}", g->device);
	add_row(g, &n, "query-status", NULL, text(g, 0, "\"return\": {\"status\": \"%s\", \"running\": true}", g->status));
	snprintf(mem, sizeof(mem), "%llu", ram);
	add_row(g, &n, "query-memory-size-summary", NULL, text(g, 1, "\"return\": {\"base-memory\": %s}", mem));
	snprintf(mem, sizeof(mem), "\"size\": %llu, \"share\": %s", ram, g->shared ? "true" : "false");
	add_row(g, &n, "query-memdev", NULL, text(g, 2, "\"return\": [{\"id\": \"mem0\", %s}]", mem));
	add_row(g, &n, "device-list-properties", "\"vfio-user-pci\"", g->vfio_user ? "\"return\": []" : no_device);
	add_row(g, &n, "device-list-properties", "\"vfio-pci\"", "\"return\": []");
	add_row(g, &n, "qom-list", "/machine/peripheral\"",
		text(g, 3, "\"return\": [{\"name\": \"rp1\", \"type\": \"child<pcie-root-port>\"}%s]", device));
	add_row(g, &n, "qom-list", "/rp1/rp1",
		g->device[0] || g->no_free_port ? "\"return\": [{\"name\": \"child[0]\", \"type\": \"link<x>\"}]"
						: "\"return\": []");
	add_row(g, &n, "qom-get", NULL, "\"return\": true");
	add_row(g, &n, "device_add", NULL,
		g->add_error ? text(g, 4, "\"error\": {\"class\": \"GenericError\", \"desc\": \"%s\"}", g->add_error)
			     : "\"return\": {}");
	add_row(g, &n, "device_del", NULL, g->device[0] ? "\"return\": {}" : no_device);
	g->answers[n] = (struct fake_qmp_answer){ 0 };
	if (g->peer)
		fake_qmp_table(g->peer, g->answers);
}

static void plugged(struct fake_guest *g)
{
	struct lease *l = lease_find(&g->host->d, g->name, NULL);

	if (!l || g->add_error)
		return;
	snprintf(g->device, sizeof(g->device), "%s", l->device_id);
	snprintf(g->vf, sizeof(g->vf), "%s", l->vf_bdf);
	if (!g->no_driver)
		drive(g, true);
}

void fake_guest_eject(struct fake_guest *g)
{
	char data[256];

	snprintf(data, sizeof(data), "{\"device\": \"%s\", \"path\": \"/machine/peripheral/%s\"}", g->device, g->device);
	lose_device(g);
	fake_guest_update(g);
	fake_qmp_event(g->peer, "DEVICE_DELETED", data);
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
	lose_device(g);
}

static void asked_to_unplug(struct fake_guest *g)
{
	char data[256];

	if (!g->device[0] || g->unplug == FAKE_UNPLUG_IGNORED)
		return;
	if (g->unplug == FAKE_UNPLUG_OBEYED) {
		fake_guest_eject(g);
		return;
	}
	snprintf(data, sizeof(data), "{\"device\": \"%s\", \"path\": \"/machine/peripheral/%s\"}", g->device, g->device);
	fake_qmp_event(g->peer, "DEVICE_UNPLUG_GUEST_ERROR", data);
}

/* After whatever the loop did: has the guest been told something? */
static int on_post(sd_event_source *s, void *ctx)
{
	struct fake_guest *g = ctx;
	unsigned n;

	(void)s;
	if (!g->peer)
		return 0;
	if (g->dies_at && fake_qmp_count(g->peer, g->dies_at)) {
		die(g);
		return 0;
	}
	n = fake_qmp_count(g->peer, "device_add");
	if (n != g->seen_add) {
		g->seen_add = n;
		plugged(g);
		fake_guest_update(g);
	}
	n = fake_qmp_count(g->peer, "device_del");
	if (n != g->seen_del) {
		g->seen_del = n;
		asked_to_unplug(g);
	}
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
	g->seen_add = g->seen_del = 0;
	fake_guest_update(g);
	g->pid = start_process(g);
	snprintf(proc, sizeof(proc), "/proc/%d", (int)g->pid);
	fake_mkdir(g->host->fake, "%s", proc);
	fake_put(g->host->fake, "CapEff:\t0000000000000000\n", "%s/status", proc);
	fake_put(g->host->fake, "Max locked memory         unlimited            unlimited            bytes\n", "%s/limits", proc);
	if (!g->post && sd_event_add_post(g->host->event, &g->post, on_post, g) < 0)
		fake_die("no post source");
	if (!fake_host_until(g->host, is_up, g, 5000))
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
	*g = (struct fake_guest){ .host = h, .shared = true, .vfio_user = true, .minor_ram_mib = 512, .status = "running" };
	snprintf(g->name, sizeof(g->name), "%s", name);
	snprintf(g->qmp, sizeof(g->qmp), "%s/%s.qmp", h->dir, name);
	failed = fake_host_expect(h, NULL, "guest.add", json_pack("{s:s, s:s}", "name", g->name, "qmp", g->qmp));
	if (failed)
		fake_die("guest.add: %s", failed);
	if (run)
		fake_guest_run(g);
	return g;
}
