/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migrate and migrate.cancel: begin a guest's migration, tell how far it is, answer when it is over. What it means for the guest's leases
 * is no matter of these calls: the switch follows every migration, whoever begins it (switcher.h).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "daemon.h"
#include "dark.h"
#include "guests.h"
#include "lease.h"
#include "log.h"
#include "switcher.h"
#include "vmm.h"
#include "vmm_migrate.h"

#define PROGRESS_US 250000 /* nothing tells how many bytes have gone: it is asked */
#define DARK_US 2000000 /* the answer waits so long at most for the guest to be heard elsewhere */

/* The guest may be forgotten meanwhile: so it is looked for by name. */
struct migrate_job {
	struct daemon *d;
	struct ctl_req *req;
	char guest[LIMIT_NAME + 1];
	sd_event_source *timer;
	uint64_t began_us;
	bool asking; /* an answer is awaited: the job must stay */
	bool postcopy; /* is yet to begin */
	uint64_t remaining; /* bytes, when last asked */
	bool over; /* on_migration has told the end; the answer to come is the last one */
	bool leaves; /* it is no snapshot */
	struct dark *dark; /* from when the guest stands still; NULL: it does not, or nothing can tell */
	struct vmm_migrate_info done; /* it is complete, the answer waits for the end of .dark: status COMPLETED */
};

static void job_free(struct migrate_job *j)
{
	struct guest *g = guest_find(j->d, j->guest);

	if (g && g->migrate == j)
		g->migrate = NULL;
	sd_event_source_disable_unref(j->timer);
	dark_free(j->dark);
	free(j);
}

static void fail(struct migrate_job *j, const struct err *err)
{
	ctl_fail(j->req, err);
	job_free(j);
}

static json_t *info_to_json(const struct vmm_migrate_info *i, const struct dark *dark)
{
	json_t *ms = dark && dark_is_over(dark) ? json_integer((json_int_t)dark_ms(dark)) : json_null();

	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "status", i->migration.word, "role",
			 vmm_mig_role_to_string(i->migration.role), "transferred", (json_int_t)i->transferred, "remaining",
			 (json_int_t)i->remaining, "total", (json_int_t)i->total, "dirty_rate", (json_int_t)i->dirty_rate,
			 "bandwidth", (json_int_t)i->bandwidth, "total_ms", (json_int_t)i->total_ms, "setup_ms",
			 (json_int_t)i->setup_ms, "downtime_ms", (json_int_t)i->downtime_ms, "expected_downtime_ms",
			 (json_int_t)i->expected_downtime_ms, "dark_ms", ms);
}

static void tell_progress(struct migrate_job *j, const struct vmm_migrate_info *i)
{
	uint64_t done = i->total > i->remaining ? i->total - i->remaining : 0;
	char what[192], dark[48] = "";

	if (j->dark)
		snprintf(dark, sizeof(dark), ", dark %s%" PRIu64 " ms", dark_is_over(j->dark) ? "" : "for ", dark_ms(j->dark));

	if (!i->total)
		snprintf(what, sizeof(what), "%s", i->migration.word);
	else
		snprintf(what, sizeof(what),
			 "%s: %" PRIu64 " of %" PRIu64 " MiB, dirty %" PRIu64 " MiB/s, downtime %" PRIu64 " ms%s",
			 i->migration.word, done >> 20, i->total >> 20, i->dirty_rate >> 20, i->expected_downtime_ms, dark);
	ctl_progress(j->req, i->migration.word, i->total ? (size_t)(done * 100 / i->total) : 0, 100, what);
}

static void succeed(struct migrate_job *j)
{
	ctl_reply(j->req, json_pack("{s:s, s:o}", "guest", j->guest, "migration", info_to_json(&j->done, j->dark)));
	job_free(j);
}

/* A guest that is complete elsewhere announces itself there a moment later. */
static void complete(struct migrate_job *j, const struct vmm_migrate_info *i)
{
	uint64_t now;

	j->done = *i;
	if (!j->dark || dark_is_over(j->dark) || sd_event_now(j->d->event, CLOCK_MONOTONIC, &now) < 0 ||
	    sd_event_source_set_time(j->timer, now + DARK_US) < 0 || sd_event_source_set_enabled(j->timer, SD_EVENT_ONESHOT) < 0)
		succeed(j);
}

static bool is_complete(const struct migrate_job *j)
{
	return j->done.migration.status == VMM_MIG_COMPLETED;
}

static void on_heard(void *ctx)
{
	struct migrate_job *j = ctx;

	if (is_complete(j))
		succeed(j);
}

/* QEMU has stopped the guest when it says one of these. */
static bool stands_still(enum vmm_mig_status status)
{
	return status == VMM_MIG_PRE_SWITCHOVER || status == VMM_MIG_DEVICE || status == VMM_MIG_POSTCOPY_DEVICE ||
	       status == VMM_MIG_POSTCOPY_ACTIVE;
}

static void finish(struct migrate_job *j, const struct vmm_migrate_info *i)
{
	struct err err;

	if (i->migration.status == VMM_MIG_COMPLETED) {
		complete(j, i);
		return;
	}
	err_set(&err, i->migration.status == VMM_MIG_CANCELLED ? -ECANCELED : -EIO,
		i->migration.status == VMM_MIG_CANCELLED ? "vmm.migrate-cancelled" : "vmm.migrate-failed",
		"guest %s: its migration %s%s%s", j->guest, i->migration.status == VMM_MIG_CANCELLED ? "was cancelled" : "failed",
		i->error[0] ? ": " : "", i->error);
	err_hint(&err, "it runs on here; `gangway status %s` shows its NICs, which return to their VFs", j->guest);
	fail(j, &err);
}

static void on_postcopy(void *ctx, int r, const struct err *err)
{
	(void)ctx;
	if (r < 0)
		log_warn("%s: its memory is copied before it goes, ignoring", err->msg);
}

/*
 * Once most of its memory has been copied, what the guest has written meanwhile follows it: it goes no sooner than it has to, and writes as
 * it likes. A pass is over when there is more to be copied than a moment ago; QEMU's own count of them begins long before the first one ends.
 */
static void consider_postcopy(struct migrate_job *j, struct guest *g, const struct vmm_migrate_info *i)
{
	bool over = i->remaining > j->remaining && j->remaining < i->total / 2;
	struct err err;

	if (!i->total)
		return;
	j->remaining = i->remaining;
	if (!j->postcopy || !over || i->migration.status != VMM_MIG_ACTIVE)
		return;
	j->postcopy = false;
	if (vmm_migrate_postcopy(g->vmm, on_postcopy, NULL, &err) < 0)
		on_postcopy(NULL, err.num, &err);
}

static void on_info(void *ctx, int r, const struct vmm_migrate_info *info, const struct err *why)
{
	struct migrate_job *j = ctx;
	struct guest *g = guest_find(j->d, j->guest);

	j->asking = false;
	if (r < 0 && (j->over || !g || vmm_get_state(g->vmm) != VMM_UP)) {
		fail(j, why);
		return;
	}
	if (r == 0 && !vmm_mig_is_under_way(info->migration.status)) {
		finish(j, info);
		return;
	}
	if (r < 0)
		return;
	tell_progress(j, info);
	if (g)
		consider_postcopy(j, g, info);
}

static void ask(struct migrate_job *j)
{
	struct guest *g = guest_find(j->d, j->guest);
	struct err err;
	int r;

	if (j->asking)
		return;
	r = g ? vmm_query_migrate(g->vmm, on_info, j, &err) : err_set(&err, -ENOENT, "guest.unknown", "guest %s: gone", j->guest);
	if (r < 0)
		fail(j, &err);
	else
		j->asking = true;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *ctx)
{
	if (is_complete(ctx)) {
		succeed(ctx);
		return 0;
	}
	sd_event_source_set_time(s, usec + PROGRESS_US);
	sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	ask(ctx);
	return 0;
}

void calls_migration_changed(struct guest *g, const struct vmm_migration *migration)
{
	struct migrate_job *j = g->migrate;

	if (!j || is_complete(j))
		return;
	if (j->leaves && !j->dark && stands_still(migration->status))
		j->dark = dark_begin(j->d, j->guest, on_heard, j);
	if (vmm_mig_is_under_way(migration->status))
		return;
	j->over = true;
	ask(j);
}

void calls_guest_gone(struct guest *g)
{
	struct err err;

	/* one that awaits an answer hears from the VMM's end */
	if (!g->migrate || g->migrate->asking)
		return;
	if (is_complete(g->migrate)) {
		succeed(g->migrate);
		return;
	}
	err_set(&err, -ECANCELED, "guest.unknown", "guest %s: it is not known any more, its migration is not watched", g->name);
	fail(g->migrate, &err);
}

static void on_begun(void *ctx, int r, const struct err *err)
{
	struct migrate_job *j = ctx;
	struct err no_timer;

	j->asking = false;
	if (r < 0) {
		/* else the next migration, which goes to another host, would be taken for this snapshot; but it may have begun unheard */
		if (r != -ECONNRESET && r != -ETIMEDOUT)
			switcher_snapshot(j->d, j->guest, false);
		fail(j, err);
		return;
	}
	r = sd_event_add_time(j->d->event, &j->timer, CLOCK_MONOTONIC, j->began_us, 10000, on_timer, j);
	if (r < 0) {
		err_set(&no_timer, r, "daemon.no-memory", "guest %s: its migration goes on, but there is no timer to watch it",
			j->guest);
		fail(j, &no_timer);
	}
}

static struct migrate_job *job_new(struct guest *g, struct ctl_req *req, struct err *err)
{
	struct migrate_job *j;

	if (g->migrate) {
		err_set(err, -EBUSY, "vmm.migrating", "guest %s: it is being migrated already", g->name);
		err_hint(err, "gangway migrate %s --abort", g->name);
		return NULL;
	}
	j = calloc(1, sizeof(*j));
	if (!j) {
		err_set(err, -ENOMEM, "daemon.no-memory", "no memory for the call");
		return NULL;
	}
	j->d = g->daemon;
	j->req = req;
	j->asking = true;
	j->remaining = UINT64_MAX;
	sd_event_now(g->daemon->event, CLOCK_MONOTONIC, &j->began_us);
	snprintf(j->guest, sizeof(j->guest), "%s", g->name);
	return j;
}

/* What the VMM would refuse, or worse, do: a VF without a standby stays in the guest. */
static int check_leases(struct daemon *d, const char *guest, struct err *err)
{
	struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	{
		if (strcmp(l->guest, guest) != 0 || l->emul || !l->vf_bdf[0])
			continue;
		err_set(err, -EBUSY, "migrate.no-standby", "guest %s: its NIC %s has a VF and no emulated leg: it cannot migrate",
			guest, l->nic);
		err_hint(err, "gangway detach %s %s, then attach it with --standby macvtap", guest, l->nic);
		return -EBUSY;
	}
	return 0;
}

/* The VMM would refuse it, too; but until then a snapshot asked for would be taken for the migration that is under way. */
static int check_idle(const struct guest *g, struct err *err)
{
	struct vmm_migration m;

	vmm_get_migration(g->vmm, &m);
	return vmm_mig_is_under_way(m.status) ? vmm_may_plug(g->vmm, err) : 0;
}

static int begin(struct daemon *d, struct ctl_req *req, const char *guest, const struct vmm_migrate *m, struct err *err)
{
	struct migrate_job *j;
	struct guest *g;
	int r = guest_get_idle(d, guest, &g, err);

	if (r == 0)
		r = vmm_migrate_uri_check(m->uri, m->allow, err);
	if (r == 0)
		r = check_leases(d, guest, err);
	if (r == 0)
		r = check_idle(g, err);
	if (r < 0)
		return r;
	j = job_new(g, req, err);
	if (!j)
		return err->num;
	r = vmm_migrate_start(g->vmm, m, on_begun, j, err);
	if (r < 0) {
		free(j);
		return r;
	}
	g->migrate = j;
	j->postcopy = m->postcopy;
	j->leaves = strncmp(m->uri, "file:", 5) != 0 && !m->background_snapshot;
	if (!j->leaves)
		switcher_snapshot(d, guest, true);
	return 0;
}

void call_migrate(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	struct vmm_migrate m = { .allow = VMM_MIGRATE_FILE };
	json_int_t bandwidth = 0, downtime_ms = 0;
	int postcopy = 0, background = 0;
	struct err err = { 0 };
	const char *guest;

	if (!call_params(req, params, "{s:s, s:s, s?:I, s?:I, s?:b, s?:b !}", "guest", &guest, "uri", &m.uri, "bandwidth",
			 &bandwidth, "downtime_ms", &downtime_ms, "postcopy", &postcopy, "background_snapshot", &background))
		return;
	if (bandwidth < 0 || bandwidth > (json_int_t)1 << 62 || downtime_ms < 0 || downtime_ms > 2000000) {
		ctl_fail_params(req, "bandwidth: bytes a second; downtime_ms: 0 to 2000000");
		return;
	}
	m.bandwidth = (uint64_t)bandwidth;
	m.downtime_ms = (unsigned)downtime_ms;
	m.postcopy = postcopy;
	m.background_snapshot = background;
	if (begin(d, req, guest, &m, &err) < 0)
		ctl_fail(req, &err);
}

static void on_cancelled(void *ctx, int r, const struct err *err)
{
	struct ctl_req *req = ctx;

	if (r < 0)
		ctl_fail(req, err);
	else
		ctl_reply(req, json_object());
}

void call_migrate_cancel(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	const char *guest;
	struct guest *g;
	struct err err;

	if (!call_params(req, params, "{s:s !}", "guest", &guest))
		return;
	if (guest_get_idle(d, guest, &g, &err) < 0 || vmm_migrate_cancel(g->vmm, on_cancelled, req, &err) < 0)
		ctl_fail(req, &err);
}
