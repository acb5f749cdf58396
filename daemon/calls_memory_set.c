/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memory.set: what a lease may have of its guest's memory, recorded on a worker before it holds. memory.release: its guest's is unpinned for a while. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "calls.h"
#include "daemon.h"
#include "db.h"
#include "guests.h"
#include "lease.h"
#include "lease_memory.h"
#include "mem_watch.h"
#include "work.h"

#define RELEASE_S 600 /* where it is not said; nobody stays off its VF for ever by a call */
#define RELEASE_S_MAX 86400

struct set_job {
	struct daemon *d;
	struct ctl_req *req;
	struct lease *lease; /* it is marked busy: so it stays */
	struct lease_memory before;
	char id[LEASE_ID_MAX];
	json_t *record;
	struct err err;
};

static int record(void *arg)
{
	struct set_job *j = arg;

	return db_put_lease(j->d->db, j->id, j->record, &j->err);
}

static void recorded(int r, void *arg)
{
	struct set_job *j = arg;
	struct lease *l = j->lease;

	if (r < 0) {
		/* what else is there may have changed meanwhile, and not by us */
		l->memory.adaptive = j->before.adaptive;
		l->memory.unshare = j->before.unshare;
		l->memory.priority = j->before.priority;
		ctl_fail(j->req, &j->err);
	} else {
		json_t *warnings = json_array();

		lease_memory_warn(l, warnings);
		lease_memory_changed(l, &j->before);
		ctl_reply(j->req, json_pack("{s:o, s:o}", "lease", lease_to_json(l), "warnings", warnings));
	}
	json_decref(j->record);
	free(j);
	attach_unbusy(l);
}

static int find(struct daemon *d, const char *guest, const char *nic, struct lease **ret, struct err *err)
{
	struct lease *l = NULL;
	struct guest *g;
	int r = guest_get(d, guest, &g, err);

	if (r < 0)
		return r;
	r = lease_get(d, guest, nic, "memory set", " POLICY", &l, err);
	if (r < 0)
		return r;
	if (l->op || l->busy) {
		err_set(err, -EBUSY, "lease.busy", "lease %s: %s", l->id, l->busy ? l->busy : "it is being attached or detached");
		err_hint(err, "`gangway status %s` shows when that is over", guest);
		return -EBUSY;
	}
	*ret = l;
	return 0;
}

static int submit(struct set_job *j, const struct lease_memory *memory)
{
	struct lease *l = j->lease;

	j->before = l->memory;
	l->memory = *memory;
	j->record = lease_to_record(l, &l->undo);
	if (j->record && work_submit(j->d->pool, record, recorded, j) == 0) {
		l->busy = "its memory policy is being recorded";
		return 0;
	}
	l->memory = j->before;
	json_decref(j->record);
	return err_set(&j->err, -ENOMEM, "daemon.no-memory", "no memory for the call");
}

void call_memory_set(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	const char *guest, *nic = NULL, *policy = NULL;
	json_int_t priority = -1;
	struct lease_memory memory;
	struct lease *l = NULL;
	struct set_job *j;
	struct err err;
	int unshare = -1, r;

	if (!call_params(req, params, "{s:s, s?:s, s?:s, s?:b, s?:I !}", "guest", &guest, "nic", &nic, "memory", &policy,
			 "unshare", &unshare, "priority", &priority))
		return;
	if (priority < -1 || priority > LEASE_PRIORITY_MAX) {
		ctl_fail_params(req, "priority: 0 to 9");
		return;
	}
	r = find(d, guest, nic, &l, &err);
	if (r == 0) {
		memory = l->memory; /* NOLINT(clang-analyzer-core.NullDereference): find() gave one, and 0 */
		r = policy ? lease_memory_from_string(policy, &memory.adaptive, &err) : 0;
	}
	j = r == 0 ? calloc(1, sizeof(*j)) : NULL;
	if (r == 0 && !j)
		err_set(&err, -ENOMEM, "daemon.no-memory", "no memory for the call");
	if (!j) {
		ctl_fail(req, &err);
		return;
	}
	memory.unshare = unshare >= 0 ? unshare : memory.unshare;
	memory.priority = priority >= 0 ? (unsigned)priority : memory.priority;
	*j = (struct set_job){ .d = d, .req = req, .lease = l };
	memcpy(j->id, l->id, sizeof(j->id));
	if (submit(j, &memory) < 0) {
		ctl_fail(req, &j->err);
		free(j);
	}
}

void call_memory_release(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	json_int_t seconds = RELEASE_S, bytes = 0;
	const char *guest;
	struct guest *g;
	struct err err;
	int r;

	if (!call_params(req, params, "{s:s, s?:I, s?:I !}", "guest", &guest, "for_s", &seconds, "until_bytes", &bytes))
		return;
	if (seconds < 1 || seconds > RELEASE_S_MAX || bytes < 0) {
		ctl_fail_params(req, seconds < 1 || seconds > RELEASE_S_MAX ? "for_s: 1 to 86400" : "until_bytes: 0 and up");
		return;
	}
	r = guest_get(d, guest, &g, &err);
	if (r == 0)
		r = mem_watch_release(d, guest, (uint64_t)seconds * 1000, (uint64_t)bytes, &err);
	if (r < 0)
		ctl_fail(req, &err);
	else
		ctl_reply(req, json_pack("{s:s, s:I, s:I}", "guest", guest, "for_s", seconds, "until_bytes", bytes));
}
