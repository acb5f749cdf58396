/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of qmp and vmm share: a loop, a folder for the socket, running until something holds. */
#ifndef GANGWAY_QMP_TEST_H
#define GANGWAY_QMP_TEST_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "fake_qmp.h"

struct bed {
	sd_event *event;
	char dir[32], path[48];
	unsigned nr_fds; /* open before */
};

static inline unsigned bed_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static inline void bed_setup(struct bed *b)
{
	b->nr_fds = bed_fds();
	cr_assert_geq(sd_event_new(&b->event), 0);
	strcpy(b->dir, "/tmp/gangway-qmp-XXXXXX");
	cr_assert(mkdtemp(b->dir));
	snprintf(b->path, sizeof(b->path), "%s/qmp.sock", b->dir);
}

/* Everything that the test made must be gone. */
static inline void bed_teardown(struct bed *b)
{
	sd_event_unref(b->event);
	unlink(b->path);
	rmdir(b->dir);
	cr_assert_eq(bed_fds(), b->nr_fds, "descriptors leak: %u before, %u after", b->nr_fds, bed_fds());
}

/* Runs the loop until @cond(@arg) or for @ms at most; whether it held. */
static inline bool bed_until(struct bed *b, bool (*cond)(void *arg), void *arg, unsigned ms)
{
	uint64_t now, end;

	sd_event_now(b->event, CLOCK_MONOTONIC, &now);
	end = now + ms * 1000ull;
	while (!cond(arg) && now < end) {
		cr_assert_geq(sd_event_run(b->event, end - now), 0);
		sd_event_now(b->event, CLOCK_MONOTONIC, &now);
	}
	return cond(arg);
}

static inline bool bed_never(void *arg)
{
	(void)arg;
	return false;
}

static inline void bed_run_ms(struct bed *b, unsigned ms)
{
	bed_until(b, bed_never, NULL, ms);
}

#endif
