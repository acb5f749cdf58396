/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the switch needs to have in the lease's record: the operator's choice (switcher_choose.c), and that the VF's DMA is taken away from a
 * guest that does not let it go: by the device alone the next gangwayd could not tell, and would take the leg for one that carries.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "daemon.h"
#include "db.h"
#include "lease.h"
#include "log.h"
#include "switcher_internal.h"
#include "work.h"

struct job {
	struct switcher *s; /* its lease is marked busy: so it stays */
	struct db *db;
	char id[LEASE_ID_MAX];
	json_t *record;
	switcher_recorded_fn done;
	struct err err;
};

static int job_run(void *arg)
{
	struct job *j = arg;

	return db_put_lease(j->db, j->id, j->record, &j->err);
}

static void job_done(int r, void *arg)
{
	struct job *j = arg;
	struct switcher *s = j->s;
	switcher_recorded_fn done = j->done;
	struct err err = j->err;

	json_decref(j->record);
	s->record = NULL;
	s->job = NULL;
	free(j);
	done(s, r, &err);
}

int switcher_record(struct switcher *s, const char *busy, switcher_recorded_fn done)
{
	struct job *j = calloc(1, sizeof(*j));
	struct lease *l = s->lease;

	if (j) {
		*j = (struct job){ .s = s, .db = l->daemon->db, .record = lease_to_record(l, &l->undo), .done = done };
		memcpy(j->id, l->id, sizeof(j->id));
	}
	if (j && j->record && work_submit(l->daemon->pool, job_run, job_done, j) == 0) {
		s->job = j;
		s->record = j->record;
		l->busy = busy;
		return 0;
	}
	if (j)
		json_decref(j->record);
	free(j);
	return -ENOMEM;
}

/* --- DMA that was taken away --- */

/* What is not recorded must not keep a VF from being taken away: it is tried again with the next action. */
static void not_recorded(struct lease *l, const char *why)
{
	log_warn("lease %s: that its VF's DMA is %s is not recorded: %s, ignoring", l->id,
		 l->revoked ? "taken away" : "taken away no more", why);
	l->revoked = !l->revoked;
}

static void revoked_recorded(struct switcher *s, int r, const struct err *why)
{
	enum switch_action action = s->action;
	struct lease *l = s->lease;
	struct switch_status status;
	struct err err;

	if (l->daemon->stopping)
		return;
	if (r < 0)
		not_recorded(l, why->msg);
	switch_get_status(s->sw, &status);
	/* it ends, its guest has left, or the operator has made a choice that waits for the action's end: it is asked for again */
	if (l->end_why[0] || s->choice_due || status.state == SWITCH_OFF) {
		switcher_acted(s, -EAGAIN, NULL);
		return;
	}
	l->busy = NULL;
	s->action = SWITCH_ACTION_NUM_;
	r = switcher_act(s, action, s->act_ms, &err);
	if (r < 0)
		switch_done(s->sw, r, &err, switcher_now_ms(s));
	switcher_settle(s);
}

int switcher_act_recorded(void *ctx, enum switch_action action, unsigned deadline_ms, struct err *err)
{
	struct switcher *s = ctx;
	struct lease *l = s->lease;
	struct switch_facts facts;

	switch_get_facts(s->sw, &facts);
	if (facts.revoked == l->revoked || l->op || l->busy)
		return switcher_act(s, action, deadline_ms, err);
	l->revoked = facts.revoked;
	if (switcher_record(s, "its NIC is being switched", revoked_recorded) < 0) {
		not_recorded(l, "no memory");
		return switcher_act(s, action, deadline_ms, err);
	}
	s->action = action;
	s->act_ms = deadline_ms;
	return 0;
}
