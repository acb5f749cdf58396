/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guests.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "calls.h"
#include "ctl.h"
#include "daemon.h"
#include "err.h"
#include "fdutil.h"
#include "irq_follow.h"
#include "lease.h"
#include "log.h"
#include "switcher.h"
#include "sys.h"
#include "vmm.h"
#include "vmm_migrate.h"

static void forget_process(struct guest *g)
{
	g->exit_source = sd_event_source_disable_unref(g->exit_source);
	fd_close(&g->pidfd);
}

bool guest_is_gone(const struct guest *g)
{
	return vmm_get_state(g->vmm) == VMM_DOWN && g->pidfd < 0;
}

static void check_gone(struct guest *g)
{
	if (guest_is_gone(g))
		attach_guest_gone(g->daemon, g->name);
}

static int on_vmm_exit(sd_event_source *s, int fd, uint32_t revents, void *ctx)
{
	struct guest *g = ctx;

	(void)s;
	(void)fd;
	(void)revents;
	forget_process(g);
	check_gone(g);
	attach_vmm_changed(g->daemon, g->name);
	return 0;
}

/* By its beginning: virtqemud is a manager. */
static bool is_vmm_name(const char *name)
{
	return !strncmp(name, "qemu", 4) || !strcmp(name, "kvm") || !strncmp(name, "kvm-", 4);
}

/*
 * The kernel names who called listen(2). A manager that opens the socket and passes it on is no VMM: it may live for ever, and what it may
 * do and lock is not the VMM's. QMP does not tell a process, so the name of its program does.
 */
static void look_at_process(struct guest *g)
{
	char path[32], name[sizeof(g->manager)];

	g->manager[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)vmm_pid(g->vmm));
	if (sys_link_name(g->daemon->sys, path, name, sizeof(name)) < 0 || is_vmm_name(name))
		return;
	for (char *p = name; *p; p++)
		if (*p < ' ' || *p > '~') /* a file may be called anything */
			*p = '?';
	memcpy(g->manager, name, sizeof(name));
	log_warn("guest %s: %s, pid %d, listens at its QMP socket, and is no QEMU: the VMM's process is not known, ignoring",
		 g->name, name, (int)vmm_pid(g->vmm));
}

/*
 * Follow the life of the VMM's process. Without a pidfd (it has ended already, or is not known) there is nothing to follow: that nobody
 * listens at the socket any more says that it has ended.
 */
static void follow_process(struct guest *g)
{
	int pidfd = vmm_pidfd(g->vmm);

	forget_process(g);
	look_at_process(g);
	if (pidfd < 0 || g->manager[0])
		return;
	g->pidfd = fcntl(pidfd, F_DUPFD_CLOEXEC, 3);
	if (g->pidfd >= 0 && sd_event_add_io(g->daemon->event, &g->exit_source, g->pidfd, EPOLLIN, on_vmm_exit, g) < 0)
		forget_process(g);
}

static void on_state(void *ctx, struct vmm *vmm, enum vmm_state state, const struct err *why)
{
	struct guest *g = ctx;

	ctl_event(g->daemon->ctl, "guest", g->name,
		  json_pack("{s:s, s:o}", "state", vmm_state_to_string(state), "why", err_to_json(why)));
	switch (state) {
	case VMM_UP:
		log_info("guest %s: its VMM is there, pid %d", g->name, (int)vmm_pid(vmm));
		follow_process(g);
		irq_follow_vmm_up(g);
		attach_guest_up(g->daemon, g->name);
		break;
	case VMM_DOWN:
		check_gone(g);
		break;
	case VMM_DENIED:
		log_warn("guest %s: %s", g->name, why ? why->msg : "refused");
		break;
	case VMM_CONNECTING:
		break;
	}
	attach_vmm_changed(g->daemon, g->name);
}

static void on_device_deleted(void *ctx, struct vmm *vmm, const char *id)
{
	struct guest *g = ctx;

	(void)vmm;
	attach_device_deleted(g->daemon, g->name, id);
}

static void on_event(void *ctx, struct vmm *vmm, const char *event, struct json_t *data)
{
	struct guest *g = ctx;

	(void)vmm;
	irq_follow_event(g, event);
	if (strcmp(event, "MIGRATION") != 0) /* comes by on_migration, which knows of it without the event, too */
		switcher_guest_event(g->daemon, g->name, event, data);
}

static void on_migration(void *ctx, struct vmm *vmm, const struct vmm_migration *migration)
{
	struct guest *g = ctx;
	json_t *data = json_pack("{s:s}", "status", migration->word);

	(void)vmm;
	log_info("guest %s: migration, as %s: %s", g->name, vmm_mig_role_to_string(migration->role), migration->word);
	ctl_event(g->daemon->ctl, "migration", g->name,
		  json_pack("{s:s, s:s}", "status", migration->word, "role", vmm_mig_role_to_string(migration->role)));
	switcher_guest_event(g->daemon, g->name, "MIGRATION", data);
	json_decref(data);
	calls_migration_changed(g, migration);
}

static const struct vmm_ops guest_vmm_ops = {
	.on_state = on_state, .on_device_deleted = on_device_deleted, .on_migration = on_migration, .on_event = on_event
};

int guest_qmp_check(const char *name, const char *qmp, struct err *err)
{
	struct err why;
	int r = vmm_path_check(qmp, &why);

	if (r == 0)
		return 0;
	err_set(err, r, "guest.bad-qmp", "guest %s: %s", name, why.msg);
	err_hint(err, "QEMU's argument: -qmp unix:/run/%s.qmp,server=on,wait=off", name);
	return r;
}

static int busy(const char *name, struct err *err)
{
	err_set(err, -EBUSY, "guest.busy", "guest %s: it is just being added or removed", name);
	err_hint(err, "wait for the answer to that; `gangway guest list` shows how it came out");
	return -EBUSY;
}

int guest_new(struct daemon *d, const char *name, const char *qmp, struct guest **ret, struct err *err)
{
	struct guest *g;
	int r;

	r = name_check("guest", name, err);
	if (r < 0)
		return r;
	g = guest_find(d, name);
	if (g && g->saving)
		return busy(name, err);
	if (g) {
		err_set(err, -EEXIST, "guest.exists", "guest %s: known already", name);
		err_hint(err, "`gangway guest show %s`; `gangway guest remove %s` forgets it", name, name);
		return -EEXIST;
	}
	r = guest_qmp_check(name, qmp, err);
	if (r < 0 && r != -ENOTSOCK) /* that may mend itself */
		return r;
	if (d->nr_guests >= LIMIT_GUESTS) {
		err_set(err, -ENOSPC, "guest.too-many", "guest %s: no more than %d guests", name, LIMIT_GUESTS);
		err_hint(err, "`gangway guest list`; `gangway guest remove NAME` forgets one");
		return -ENOSPC;
	}
	g = calloc(1, sizeof(*g));
	if (!g)
		return err_set(err, -ENOMEM, "daemon.no-memory", "no memory for guest %s", name);
	g->daemon = d;
	g->pidfd = -1;
	snprintf(g->name, sizeof(g->name), "%s", name);
	g->qmp = strdup(qmp);
	r = g->qmp ? vmm_new(d->event, g->name, g->qmp, &guest_vmm_ops, g, &g->vmm) : -ENOMEM;
	if (r < 0) {
		free(g->qmp);
		free(g);
		return err_set(err, r, "daemon.no-memory", "no memory for guest %s", name);
	}
	TAILQ_INSERT_TAIL(&d->guests, g, link);
	d->nr_guests++;
	*ret = g;
	return 0;
}

struct guest *guest_free(struct guest *g)
{
	if (!g)
		return NULL;
	calls_guest_gone(g);
	TAILQ_REMOVE(&g->daemon->guests, g, link);
	g->daemon->nr_guests--;
	irq_follow_stop(g->irq);
	vmm_free(g->vmm);
	irq_follow_free(g->irq);
	forget_process(g);
	free(g->qmp);
	free(g);
	return NULL;
}

struct guest *guest_find(struct daemon *d, const char *name)
{
	struct guest *g;

	TAILQ_FOREACH(g, &d->guests, link)
	if (!strcmp(g->name, name))
		return g;
	return NULL;
}

int guest_get(struct daemon *d, const char *name, struct guest **ret, struct err *err)
{
	*ret = guest_find(d, name);
	if (*ret)
		return 0;
	err_set(err, -ENOENT, "guest.unknown", "guest %.80s: not known", name);
	err_hint(err, "`gangway guest list` shows the known ones; make it known: gangway guest add %.60s --qmp PATH", name);
	return -ENOENT;
}

int guest_get_idle(struct daemon *d, const char *name, struct guest **ret, struct err *err)
{
	struct guest *g;
	int r = guest_get(d, name, &g, err);

	if (r < 0)
		return r;
	if (g->saving)
		return busy(g->name, err);
	*ret = g;
	return 0;
}

pid_t guest_vmm_pid(const struct guest *g)
{
	return g->manager[0] ? 0 : vmm_pid(g->vmm);
}

json_t *guest_to_json(const struct guest *g)
{
	json_t *leases = json_array(), *manager = json_null();
	enum vmm_state state = vmm_get_state(g->vmm);
	pid_t pid = guest_vmm_pid(g);
	struct lease *l;

	if (g->manager[0] && vmm_pid(g->vmm) > 0)
		manager = json_pack("{s:i, s:s}", "pid", (int)vmm_pid(g->vmm), "program", g->manager);

	TAILQ_FOREACH(l, &g->daemon->leases, link)
	if (!strcmp(l->guest, g->name))
		json_array_append_new(leases, json_string(l->id));
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "name", g->name, "qmp", g->qmp, "state",
			 vmm_state_to_string(state), "why", state == VMM_UP ? json_null() : err_to_json(vmm_why(g->vmm)), "pid",
			 pid > 0 ? json_integer(pid) : json_null(), "manager", manager, "leases", leases);
}
