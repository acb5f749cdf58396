/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "daemon.h"
#include "db.h"
#include "guests.h"
#include "lease.h"
#include "work.h"

/*
 * A row written or deleted on a worker, then the answer. Workers overtake each other, so there is one job a name at most: while it runs
 * the guest is marked as saving, which keeps it in the list and everybody else away from it.
 */
struct row_job {
	struct daemon *d;
	struct ctl_req *req;
	char name[LIMIT_NAME + 1];
	char *qmp; /* NULL: delete */
	struct err err;
};

static int row_run(void *arg)
{
	struct row_job *j = arg;

	return j->qmp ? db_put_guest(j->d->db, j->name, j->qmp, &j->err) : db_delete_guest(j->d->db, j->name, &j->err);
}

static void row_done(int r, void *arg)
{
	struct row_job *j = arg;
	struct guest *g = guest_find(j->d, j->name);

	if (g && !g->saving)
		g = NULL; /* not ours */
	if (g)
		g->saving = false;
	if (r < 0)
		ctl_fail(j->req, &j->err);
	else
		ctl_reply(j->req, j->qmp && g ? json_pack("{s:o}", "guest", guest_to_json(g)) : json_object());
	/* what is not remembered is not known, and what is remembered stays known */
	if (g && (r < 0) == (j->qmp != NULL))
		guest_free(g);
	free(j->qmp);
	free(j);
}

/* @qmp NULL: delete. False: no memory, nothing was begun and nothing answered. */
static bool row_submit(struct guest *g, struct ctl_req *req, const char *qmp)
{
	struct row_job *j = calloc(1, sizeof(*j));
	struct daemon *d = g->daemon;

	if (!j)
		return false;
	j->d = d;
	j->req = req;
	snprintf(j->name, sizeof(j->name), "%s", g->name);
	j->qmp = qmp ? strdup(qmp) : NULL;
	if ((qmp && !j->qmp) || work_submit(d->pool, row_run, row_done, j) < 0) {
		free(j->qmp);
		free(j);
		return false;
	}
	g->saving = true;
	return true;
}

static void fail_memory(struct ctl_req *req)
{
	struct err err;

	err_set(&err, -ENOMEM, "daemon.no-memory", "no memory for the call");
	ctl_fail(req, &err);
}

void call_guest_add(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	const char *name, *qmp;
	struct guest *g;
	struct err err;

	if (!call_params(req, params, "{s:s, s:s !}", "name", &name, "qmp", &qmp))
		return;
	if (name_check("guest", name, &err) < 0 || guest_qmp_check(name, qmp, &err) < 0 ||
	    guest_new(d, name, qmp, &g, &err) < 0) {
		ctl_fail(req, &err);
		return;
	}
	if (!row_submit(g, req, qmp)) {
		guest_free(g);
		fail_memory(req);
	}
}

void call_guest_list(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	json_t *list;
	struct guest *g;

	if (!call_params(req, params, "{!}"))
		return;
	list = json_array();
	TAILQ_FOREACH(g, &d->guests, link)
	json_array_append_new(list, guest_to_json(g));
	ctl_reply(req, json_pack("{s:o}", "guests", list));
}

void call_guest_show(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	const char *name;
	struct lease *l;
	struct guest *g;
	struct err err;
	json_t *list;

	if (!call_params(req, params, "{s:s !}", "name", &name))
		return;
	if (guest_get(d, name, &g, &err) < 0) {
		ctl_fail(req, &err);
		return;
	}
	list = json_array();
	TAILQ_FOREACH(l, &d->leases, link)
	if (!strcmp(l->guest, name))
		json_array_append_new(list, lease_to_json(l));
	ctl_reply(req, json_pack("{s:o, s:o}", "guest", guest_to_json(g), "leases", list));
}

void call_guest_remove(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	const char *name;
	struct lease *l;
	struct guest *g;
	struct err err;

	if (!call_params(req, params, "{s:s !}", "name", &name))
		return;
	if (guest_get_idle(d, name, &g, &err) < 0) {
		ctl_fail(req, &err);
		return;
	}
	l = lease_find(d, name, NULL);
	if (l) {
		err_set(&err, -EBUSY, "guest.has-lease", "guest %s: it has lease %s", name, l->id);
		err_hint(&err, "gangway detach %s first", name);
		ctl_fail(req, &err);
		return;
	}
	if (!row_submit(g, req, NULL)) {
		fail_memory(req);
	}
}
