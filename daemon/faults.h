/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * faults: the IOMMU faults and PCIe errors of VFs, read from the kernel's log from the start of gangwayd on, and given to the leases
 * whose VFs they are. faults.c counts, faults_owner.c knows whose they are, faults_tell.c tells, quarantine.c acts on a VF that does not stop.
 */
#ifndef GANGWAY_FAULTS_H
#define GANGWAY_FAULTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "fault.h"

struct daemon;
struct err;
struct faults;
struct lease;

/* What a lease keeps of its faults: always as much, however many there are. All zero: none. */
struct lease_faults {
	uint64_t nr; /* since it was made, or gangwayd was started */
	struct fault last; /* where nr is not 0 */
	int64_t last_time; /* seconds since the epoch */

	/* the window in which only so much is told */
	bool telling;
	uint64_t told_from_us;
	unsigned nr_lines, nr_events;
	uint64_t nr_unwritten, nr_untold; /* faults without a line, without an event of their own */

	/* the window of fault_limit */
	uint64_t limit_from_us;
	uint64_t nr_limit;

	unsigned nr_sample; /* lines of the kernel since it last said how many it has left out */
	enum {
		SEGMENT_UNASKED,
		SEGMENT_ASKED,
		SEGMENT_SURE,
		SEGMENT_DOUBTED
	} segment; /* has its bus, device and function a twin in another segment? */

	bool due; /* past the limit, and not dealt with yet */
	bool failing; /* it is due, was tried, and this was said */
	bool quarantined;
	uint64_t acted_us; /* when its bus mastering was last switched off, or looked at */
};

/* -errno faults.log: the kernel's log cannot be read; faults are not seen then. */
int faults_new(struct daemon *d, struct faults **ret, struct err *err);
/* NULL is fine. */
struct faults *faults_free(struct faults *faults);
/* Windows that are over are closed, and what was put off is tried again. Called by a timer while there is something to do. */
void faults_tick(struct faults *faults);
/* One more line about @l is fit to be written: it is within what a window has. */
bool faults_may_log(struct lease *l);

/* @l has a VF now: what has to be known to tell its faults from others' is found out, on a worker. */
void faults_expect(struct lease *l);

/* For the control protocol. @faults NULL: the log is not read. */
json_t *faults_host_to_json(const struct faults *faults);
json_t *faults_to_json(const struct lease *l);
uint64_t faults_of_others(const struct faults *faults); /* of functions without lease, and of nobody knows whom */

/* quarantine.c */

/* Switch off the VF's bus mastering and keep it so. Put off while an operation or a call has the lease: @l->faults.due stays. */
void quarantine_start(struct lease *l);
/* It faults all the same: look whether somebody has switched bus mastering on again. */
void quarantine_again(struct lease *l);
/* Its process says what it withholds: also of what a former gangwayd has asked for. */
void quarantine_seen(struct lease *l, bool held);

#endif
