/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "attach.h"
#include "ctl.h"
#include "err.h"
#include "faults.h"
#include "fdutil.h"
#include "guests.h"
#include "irq_balance.h"
#include "lease.h"
#include "mem_check.h"
#include "mem_watch.h"
#include "metrics.h"
#include "metrics_http.h"
#include "sriov_watch.h"
#include "work.h"

bool bdf_is_held(const struct daemon *d, const char *bdf)
{
	const struct hold *held;

	LIST_FOREACH(held, &d->holds, link)
	if (!strcmp(held->bdf, bdf))
		return true;
	return false;
}

int daemon_lock(const char *runtime_dir, int *ret_fd, struct err *err)
{
	char path[PATH_MAX + 8], who[32] = "";
	pid_t holder = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/lock", runtime_dir);
	fd = fd_lock_file(path, &holder);
	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
	if (fd != -EWOULDBLOCK) {
		err_set(err, fd, "daemon.no-dir", "%s: %s", path, strerror(-fd));
		err_hint(err, "gangway.conf(5): runtime_dir is a directory that root can write to, on a local file system");
		return fd;
	}
	if (holder)
		snprintf(who, sizeof(who), ", pid %d,", (int)holder);
	err_set(err, -EBUSY, "daemon.running", "%s: another gangwayd%s has this runtime directory", runtime_dir, who);
	err_hint(err, "systemctl status gangwayd; a second one needs a --runtime, a --socket and a --state of its own");
	return -EBUSY;
}

void daemon_stop(struct daemon *d)
{
	struct guest *g;
	struct lease *l;

	d->stopping = true;
	d->ctl = ctl_free(d->ctl);
	d->again_timer = sd_event_source_disable_unref(d->again_timer);
	sriov_watch_free(d->watch);
	d->watch = NULL;
	d->faults = faults_free(d->faults);
	d->pool = work_pool_free(d->pool);
	d->metrics = metrics_http_free(d->metrics);
	metrics_ask_free(d);
	d->mem_watch = mem_watch_free(d->mem_watch);
	irq_balance_free(d->irq_balance);
	d->irq_balance = NULL;
	/* cancels what the VMMs were asked: the operations hear of it, and leave it at that */
	while ((g = TAILQ_FIRST(&d->guests)))
		guest_free(g);
	attach_abandon(d);
	while ((l = TAILQ_FIRST(&d->leases)))
		lease_free(l);
	mem_checks_end(d);
}
