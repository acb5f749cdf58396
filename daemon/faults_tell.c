/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said of a lease's faults: in the log and as events, so many in each window and then one for all the others; and on request. */
#include <inttypes.h>
#include <stdio.h>

#include "ctl.h"
#include "daemon.h"
#include "faults_internal.h"
#include "lease.h"
#include "log.h"
#include "sys.h"

static void fault_words(const struct fault *f, char *buf, size_t size)
{
	const char *direction = fault_direction_to_string(f->direction);
	const char *what = f->kind == FAULT_AER ? "PCIe error" : f->kind == FAULT_INTERRUPT ? "interrupt refused" : "DMA fault";
	char address[40] = "";

	if (f->has_address)
		snprintf(address, sizeof(address), "%s 0x%" PRIx64, f->kind == FAULT_INTERRUPT ? ", index" : " at", f->address);
	snprintf(buf, size, "%s%s%s%s%s%s", what, direction ? ", " : "", direction ? direction : "", address,
		 f->reason[0] ? ": " : "", f->reason);
}

static json_t *fault_to_json(const struct fault *f)
{
	char address[24];

	snprintf(address, sizeof(address), "0x%" PRIx64, f->address);
	return json_pack("{s:s, s:s?, s:s?, s:s?}", "kind", fault_kind_to_string(f->kind), "address",
			 f->has_address ? address : NULL, "direction", fault_direction_to_string(f->direction), "reason",
			 f->reason[0] ? f->reason : NULL);
}

void faults_open_window(struct lease *l)
{
	struct lease_faults *lf = &l->faults;

	if (lf->telling)
		return;
	lf->telling = true;
	lf->told_from_us = l->daemon->sys->ops->now_us(l->daemon->sys);
	lf->nr_lines = lf->nr_events = 0;
	lf->nr_unwritten = lf->nr_untold = 0;
	faults_start_timer(l->daemon->faults);
}

bool faults_may_log(struct lease *l)
{
	faults_open_window(l);
	if (l->faults.nr_lines == LIMIT_FAULT_LINES)
		return false;
	l->faults.nr_lines++;
	return true;
}

/* @more: so many that had no event. */
static void event(struct lease *l, uint64_t more)
{
	json_t *j = fault_to_json(&l->faults.last);

	json_object_set_new(j, "vf", json_string(l->vf_bdf));
	json_object_set_new(j, "count", json_integer((json_int_t)l->faults.nr));
	if (more)
		json_object_set_new(j, "more", json_integer((json_int_t)more));
	ctl_event(l->daemon->ctl, "fault", l->id, j);
}

void faults_tell(struct lease *l)
{
	struct lease_faults *lf = &l->faults;
	char words[FAULT_REASON_MAX + 80];

	fault_words(&lf->last, words, sizeof(words));
	if (faults_may_log(l))
		log_warn("lease %s: VF %s: %s", l->id, l->vf_bdf, words);
	else
		lf->nr_unwritten++;
	if (lf->nr_events == LIMIT_FAULT_EVENTS) {
		lf->nr_untold++;
		return;
	}
	lf->nr_events++;
	event(l, 0);
}

void faults_close_window(struct lease *l)
{
	struct lease_faults *lf = &l->faults;

	lf->telling = false;
	if (lf->nr_unwritten)
		log_warn("lease %s: VF %s: %" PRIu64 " more faults in %d s, %" PRIu64 " in all", l->id, l->vf_bdf,
			 lf->nr_unwritten, FAULT_WINDOW_SEC, lf->nr);
	if (lf->nr_untold)
		event(l, lf->nr_untold);
}

json_t *faults_to_json(const struct lease *l)
{
	json_t *last = l->faults.last_time ? fault_to_json(&l->faults.last) : json_null();

	if (json_is_object(last))
		json_object_set_new(last, "time", json_integer(l->faults.last_time));
	return json_pack("{s:I, s:b, s:o}", "count", (json_int_t)l->faults.nr, "quarantined", l->faults.quarantined, "last",
			 last);
}
