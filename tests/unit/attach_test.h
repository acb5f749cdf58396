/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of attach share: a host with one PF and guest vm1, calls and what came of them, and the host as it was before. */
#ifndef GANGWAY_ATTACH_TEST_H
#define GANGWAY_ATTACH_TEST_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "db.h"
#include "fake_host.h"
#include "lease.h"
#include "sys.h"

static struct fake_host *h;
static struct fake_guest *vm1;
static char *before;
static unsigned fds_before;

/* The host as it is now is what it has to come back to. */
static inline void before_again(void)
{
	free(before);
	before = fake_snapshot(h->fake);
	fds_before = fake_open_fds(h->fake);
}

static inline void begin(unsigned vfs)
{
	h = fake_host_new(vfs);
	vm1 = fake_guest_add(h, "vm1", true);
	before_again();
}

static inline void end(void)
{
	fake_host_free(h);
	free(before);
	before = NULL;
}

/* First line that differs, for the message. */
static inline const char *difference(const char *a, const char *b)
{
	static char text[512];

	while (*a && *b) {
		size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");

		if (n != m || strncmp(a, b, n))
			break;
		a += n + 1;
		b += m + 1;
	}
	snprintf(text, sizeof(text), "was: %.*s; is: %.*s", (int)strcspn(a, "\n"), a, (int)strcspn(b, "\n"), b);
	return text;
}

/* Is the host as it was, with nothing leaked and no lease left? */
static inline void unchanged(void)
{
	char *now = fake_snapshot(h->fake);

	cr_assert_str_eq(now, before, "the host has changed: %s", difference(before, now));
	free(now);
	cr_assert_eq(fake_open_fds(h->fake), fds_before);
	cr_assert_eq(fake_mapped(h->fake), 0);
	cr_assert_eq(fake_iommu_mappings(h->fake), 0);
	cr_assert_eq(h->d.nr_leases, 0, "%u leases are left", h->d.nr_leases);
}

static inline bool snapshot_has(const char *text)
{
	char *now = fake_snapshot(h->fake);
	bool has = strstr(now, text) != NULL;

	free(now);
	return has;
}

static inline void succeed(const char *method, json_t *params)
{
	const char *got = fake_host_expect(h, NULL, method, params);

	cr_assert_null(got, "%s: %s", method, got);
}

static inline void fail(const char *code, int num, const char *method, json_t *params)
{
	const char *got;
	char want[96];

	snprintf(want, sizeof(want), "%s/%d", code, num);
	got = fake_host_expect(h, want, method, params);
	cr_assert_null(got, "%s: wanted %s, got %s", method, want, got);
}

/* The result of an attach that has to work, the caller's. */
static inline json_t *attach(json_t *params)
{
	json_t *answer = fake_host_call(h, "attach", params), *result = json_incref(json_object_get(answer, "result"));
	char *text = json_dumps(answer, 0);

	cr_assert(result, "attach: %s", text);
	free(text);
	json_decref(answer);
	return result;
}

/* A member by its path, as in "lease.state". */
static inline json_t *member(json_t *j, const char *path)
{
	char name[64];
	size_t n;

	for (; j && *path; path += n + (path[n] == '.')) {
		n = strcspn(path, ".");
		snprintf(name, sizeof(name), "%.*s", (int)n, path);
		j = json_object_get(j, name);
	}
	return j;
}

static inline const char *text_of(json_t *j, const char *path)
{
	const char *s = json_string_value(member(j, path));

	return s ? s : "(null)";
}

/* A member of the first lease in status. */
static inline const char *text_now(const char *path)
{
	static char texts[4][256]; /* of a message's few */
	static unsigned n;
	char *text = texts[n++ % 4];
	json_t *a = fake_host_call(h, "status", NULL);

	snprintf(text, sizeof(texts[0]), "%s", text_of(json_array_get(member(a, "result.leases"), 0), path));
	json_decref(a);
	return text;
}

static inline const char *driver_of(const char *bdf)
{
	static char name[64];
	struct sys *sys = fake_sys(h->fake);
	char path[96];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", bdf);
	if (sys_link_name(sys, path, name, sizeof(name)) < 0)
		name[0] = '\0';
	return name;
}

static inline bool has_leases(void *arg)
{
	struct lease *l = TAILQ_FIRST(&h->d.leases);

	return h->d.nr_leases == *(unsigned *)arg && !(l && l->op);
}

static inline void until_leases(unsigned nr)
{
	cr_assert(fake_host_until(h, has_leases, &nr, 5000), "%u leases, not %u", h->d.nr_leases, nr);
}

static inline int count_record(void *ctx, const char *id, const json_t *record, struct err *err)
{
	(void)id;
	(void)record;
	(void)err;
	++*(unsigned *)ctx;
	return 0;
}

static inline unsigned records(void)
{
	unsigned n = 0;

	cr_assert_eq(db_each_lease(h->d.db, count_record, &n, NULL), 0);
	return n;
}

/* To the state database, past gangwayd. */
static inline void sql(const char *text)
{
	sqlite3 *db;

	cr_assert_eq(sqlite3_open(h->d.config.state, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK, "%s: %s", text, sqlite3_errmsg(db));
	sqlite3_close(db);
}

/* Is it known what became of the lease of a former gangwayd? */
static inline bool decided(void *arg)
{
	struct lease *l = TAILQ_FIRST(&h->d.leases);

	(void)arg;
	return !l || (!l->op && l->confirmed && (l->state == LEASE_ATTACHED || l->state == LEASE_PREPARED));
}

#endif
