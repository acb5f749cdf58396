/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state database: what is written comes back; a file that is damaged, foreign or locked is refused and left as it is. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "db.h"
#include "err.h"

static char dir[64], path[96];
static struct err err;

static void setup(void)
{
	strcpy(dir, "/tmp/gangway-db-XXXXXX");
	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/state.db", dir);
	err_clear(&err);
}

static void teardown(void)
{
	static const char *const names[] = { "state.db", "state.db-wal", "state.db-shm", "state.db.lock",
					     "other.db", "link.db",	 "link.db.lock" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char name[128];

		snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
		unlink(name);
	}
	cr_expect_eq(rmdir(dir), 0, "something is left in %s", dir);
}

TestSuite(db, .init = setup, .fini = teardown);

static struct db *must_open(void)
{
	struct db *db = NULL;

	cr_assert_eq(db_open(path, &db, &err), 0, "%s", err.msg);
	return db;
}

static void must_refuse(int r, const char *code)
{
	struct db *db = NULL;
	int got = db_open(path, &db, &err);

	cr_assert_eq(got, r, "%d %s", got, err.msg);
	cr_assert_str_eq(err.code, code, "%s: %s", err.code, err.msg);
	cr_assert(strstr(err.msg, path), "%s", err.msg);
	cr_assert_null(db, "the output is untouched");
}

static void put_lease(struct db *db, const char *id, int n)
{
	json_t *record = json_pack("{s:i}", "n", n);

	cr_assert_eq(db_put_lease(db, id, record, &err), 0, "%s", err.msg);
	json_decref(record);
}

/* "name=value " of every row */
static char seen[4096];

static int on_guest(void *ctx, const char *name, const char *qmp, struct err *why)
{
	(void)ctx;
	(void)why;
	snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s=%s ", name, qmp);
	return 0;
}

static int on_lease(void *ctx, const char *id, const json_t *record, struct err *why)
{
	int stop_at = ctx ? *(int *)ctx : -1, n = (int)json_integer_value(json_object_get(record, "n"));

	snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s=%d ", id, n);
	return n == stop_at ? err_set(why, -ECANCELED, "test.stop", "enough") : 0;
}

static const char *guests(struct db *db)
{
	seen[0] = '\0';
	cr_assert_eq(db_each_guest(db, on_guest, NULL, &err), 0, "%s", err.msg);
	return seen;
}

static const char *leases(struct db *db)
{
	seen[0] = '\0';
	cr_assert_eq(db_each_lease(db, on_lease, NULL, &err), 0, "%s", err.msg);
	return seen;
}

static char *slurp(size_t *ret_len)
{
	static char buf[1 << 20];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, buf, sizeof(buf));

	cr_assert(fd >= 0 && n >= 0);
	close(fd);
	*ret_len = (size_t)n;
	return buf;
}

static void spill(const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	close(fd);
}

/* A database with enough in it to fill several pages. */
static char *full_database(size_t *ret_len)
{
	struct db *db = must_open();
	char name[64], *copy, *bytes;

	cr_assert_eq(sqlite3_threadsafe() != 0, true);
	for (int i = 0; i < 150; i++) {
		snprintf(name, sizeof(name), "guest-with-a-rather-long-name-%03d/nic0", i);
		put_lease(db, name, i);
		cr_assert_eq(db_put_guest(db, name, "/run/somewhere/over/the/rainbow.qmp", &err), 0);
	}
	db_close(db);
	bytes = slurp(ret_len);
	copy = malloc(*ret_len);
	memcpy(copy, bytes, *ret_len);
	return copy;
}

Test(db, what_is_written_comes_back)
{
	struct db *db = must_open();
	struct stat st;

	cr_assert_str_eq(guests(db), "");
	cr_assert_eq(db_put_guest(db, "vm2", "/b", &err), 0);
	cr_assert_eq(db_put_guest(db, "vm1", "/a'\"; DROP TABLE guest;--", &err), 0);
	cr_assert_eq(db_put_guest(db, "vm2", "/c", &err), 0);
	put_lease(db, "vm1/nic0", 1);
	put_lease(db, "vm1/nic1", 2);
	put_lease(db, "vm1/nic0", 3);
	db_close(db);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600, "nobody else's business: %o", st.st_mode);
	db = must_open();
	cr_assert_str_eq(guests(db), "vm1=/a'\"; DROP TABLE guest;-- vm2=/c ");
	cr_assert_str_eq(leases(db), "vm1/nic0=3 vm1/nic1=2 ");
	cr_assert_eq(db_delete_lease(db, "vm1/nic0", &err), 0);
	cr_assert_eq(db_delete_lease(db, "vm9/nic0", &err), 0, "what is not there is deleted");
	cr_assert_eq(db_delete_guest(db, "vm1", &err), 0);
	db_close(db);
	db = must_open();
	cr_assert_str_eq(guests(db), "vm2=/c ");
	cr_assert_str_eq(leases(db), "vm1/nic1=2 ");
	db_close(db);
	cr_assert_null(db_close(NULL));
}

/* Without a close, as after a crash: what was committed is there. */
Test(db, a_crash_loses_nothing_committed)
{
	struct db *db;
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		db = must_open();
		put_lease(db, "vm1/nic0", 7);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	db = must_open();
	cr_assert_str_eq(leases(db), "vm1/nic0=7 ");
	db_close(db);
}

Test(db, a_callback_stops_the_walk)
{
	struct db *db = must_open();
	int stop_at = 2;

	put_lease(db, "a", 1);
	put_lease(db, "b", 2);
	put_lease(db, "c", 3);
	seen[0] = '\0';
	cr_assert_eq(db_each_lease(db, on_lease, &stop_at, &err), -ECANCELED);
	cr_assert_str_eq(err.code, "test.stop");
	cr_assert_str_eq(seen, "a=1 b=2 ");
	db_close(db);
}

Test(db, one_at_a_time)
{
	struct db *db = must_open();

	must_refuse(-EBUSY, "db.locked");
	db_close(db);
	db_close(must_open());
}

/* Cut anywhere: never believed, never changed. Cut to nothing it is a new one. */
Test(db, a_truncated_file_is_refused)
{
	size_t len, now;
	char *bytes = full_database(&len);

	cr_assert_gt(len, 4 * 4096, "%zu", len);
	for (size_t cut = 1; cut < len; cut += cut < 200 ? 33 : 1021) {
		spill(bytes, cut);
		must_refuse(-EUCLEAN, "db.damaged");
		cr_assert(err.hint[0]);
		cr_assert(!memcmp(slurp(&now), bytes, cut) && now == cut, "changed at %zu", cut);
	}
	spill(bytes, 0);
	db_close(must_open());
	free(bytes);
}

Test(db, garbage_is_refused)
{
	char garbage[8192];
	size_t now;

	memset(garbage, 0x5a, sizeof(garbage));
	spill(garbage, sizeof(garbage));
	must_refuse(-EUCLEAN, "db.damaged");
	cr_assert(!memcmp(slurp(&now), garbage, sizeof(garbage)) && now == sizeof(garbage));
}

/* A good header with pages overwritten behind it. */
Test(db, damaged_pages_are_refused)
{
	size_t len, now, nr_refused = 0, pages;
	char *bytes = full_database(&len), *hurt = malloc(len);

	pages = len / 4096;
	for (size_t page = 0; page < pages; page++) {
		memcpy(hurt, bytes, len);
		memset(hurt + page * 4096 + (page ? 0 : 100), 0xa5, page ? 4096 : 3996);
		spill(hurt, len);
		must_refuse(-EUCLEAN, "db.damaged");
		cr_assert(!memcmp(slurp(&now), hurt, len) && now == len, "changed, page %zu", page);
		nr_refused++;
	}
	cr_assert_eq(nr_refused, pages);
	free(hurt);
	free(bytes);
}

static void sql(const char *text)
{
	sqlite3 *raw;

	cr_assert_eq(sqlite3_open(path, &raw), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(raw, text, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(raw));
	sqlite3_close(raw);
}

Test(db, a_newer_one_is_refused_and_left_alone)
{
	size_t len, now;
	char *copy;

	db_close(must_open());
	sql("PRAGMA user_version = 3");
	copy = slurp(&len);
	copy = memcpy(malloc(len), copy, len);
	must_refuse(-EPROTO, "db.newer");
	cr_assert(err.hint[0]);
	cr_assert(!memcmp(slurp(&now), copy, len) && now == len);
	free(copy);
	sql("PRAGMA user_version = 2147483647");
	must_refuse(-EPROTO, "db.newer");
}

static int keep_irqs(void *ctx, const char *id, const json_t *record, struct err *why)
{
	char *text = json_dumps(json_object_get(record, "irqs"), JSON_COMPACT | JSON_ENCODE_ANY), *all = ctx;

	(void)why;
	snprintf(all + strlen(all), 256 - strlen(all), "%s=%s ", id, text ? text : "none");
	free(text);
	return 0;
}

static const char *irqs(struct db *db)
{
	static char all[256];

	all[0] = '\0';
	cr_assert_eq(db_each_lease(db, keep_irqs, all, NULL), 0);
	return all;
}

/* What its interrupts had is in a lease's row, and no business of who writes its record. */
Test(db, irqs_of_a_lease)
{
	json_t *record = json_pack("{s:i}", "n", 1), *had = json_pack("{s:s}", "cpus", "0-3");
	struct db *db = must_open();

	cr_assert_eq(db_put_irqs(db, "a/nic0", had, &err), -ENOENT);
	cr_assert_str_eq(err.code, "db.no-lease");
	cr_assert_eq(db_put_irqs(db, "a/nic0", NULL, &err), 0, "nothing to forget");
	cr_assert_eq(db_put_lease(db, "a/nic0", record, &err), 0);
	cr_assert_eq(db_put_lease(db, "b/nic0", record, &err), 0);
	cr_assert_eq(db_put_irqs(db, "a/nic0", had, &err), 0);
	cr_assert_eq(db_put_lease(db, "a/nic0", record, &err), 0);
	cr_assert_str_eq(irqs(db), "a/nic0={\"cpus\":\"0-3\"} b/nic0=none ");
	db_close(db);
	db = must_open();
	cr_assert_str_eq(irqs(db), "a/nic0={\"cpus\":\"0-3\"} b/nic0=none ");
	cr_assert_eq(db_put_irqs(db, "a/nic0", NULL, &err), 0);
	cr_assert_str_eq(irqs(db), "a/nic0=none b/nic0=none ");
	cr_assert_eq(db_put_irqs(db, "a/nic0", had, &err), 0);
	cr_assert_eq(db_delete_lease(db, "a/nic0", &err), 0);
	cr_assert_eq(db_put_lease(db, "a/nic0", record, &err), 0);
	cr_assert_str_eq(irqs(db), "a/nic0=none b/nic0=none ", "they went with the lease");
	db_close(db);
	sql("UPDATE lease SET irqs = 'no JSON' WHERE id = 'a/nic0'");
	db = must_open();
	cr_assert_str_eq(irqs(db), "a/nic0=none b/nic0=none ");
	db_close(db);
	json_decref(record);
	json_decref(had);
}

/* As schema 1 had it. */
Test(db, one_of_an_older_gangway_is_taken_over)
{
	json_t *had = json_pack("{s:s}", "cpus", "0-3");
	struct db *db;

	sql("CREATE TABLE guest(name TEXT PRIMARY KEY, qmp TEXT NOT NULL) STRICT, WITHOUT ROWID;"
	    "CREATE TABLE lease(id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT, WITHOUT ROWID;"
	    "INSERT INTO lease VALUES('a/nic0', '{\"n\": 1}'); PRAGMA user_version = 1");
	for (int i = 0; i < 2; i++) {
		db = must_open();
		cr_assert_str_eq(leases(db), "a/nic0=1 ");
		cr_assert_eq(db_put_irqs(db, "a/nic0", had, &err), 0);
		db_close(db);
	}
	json_decref(had);
}

Test(db, somebody_elses_is_refused)
{
	sql("CREATE TABLE recipe(name TEXT)");
	must_refuse(-EUCLEAN, "db.damaged");
	unlink(path);
	db_close(must_open());
	sql("PRAGMA user_version = -1");
	must_refuse(-EUCLEAN, "db.damaged");
	unlink(path);
	db_close(must_open());
	sql("DROP TABLE lease");
	must_refuse(-EUCLEAN, "db.damaged");
}

Test(db, a_record_that_is_no_json)
{
	struct db *db;

	db_close(must_open());
	sql("INSERT INTO lease(id, record) VALUES('a/nic0', '{\"n\": 1}'), ('b/nic0', '{\"n\": '), ('c/nic0', '{\"n\": 3}')");
	db = must_open();
	/* one bad record must not hide the others */
	cr_assert_str_eq(leases(db), "a/nic0=1 b/nic0=0 c/nic0=3 ");
	db_close(db);
}

Test(db, a_symlink_is_not_followed)
{
	struct db *db = NULL;
	char link[96], other[96];

	snprintf(other, sizeof(other), "%s/other.db", dir);
	snprintf(link, sizeof(link), "%s/link.db", dir);
	cr_assert_eq(symlink(other, link), 0);
	cr_assert_lt(db_open(link, &db, &err), 0);
	cr_assert_neq(access(other, F_OK), 0, "made through a symlink");
	snprintf(other, sizeof(other), "%s/state.db.lock", dir);
	cr_assert_eq(symlink("/dev/null", other), 0);
	cr_assert_eq(db_open(path, &db, &err), -ELOOP);
	cr_assert_str_eq(err.code, "db.failed");
	cr_assert_null(db);
}

Test(db, a_folder_that_cannot_be_written)
{
	struct db *db = NULL;

	db_close(must_open());
	if (geteuid() != 0)
		cr_skip_test("needs root to become somebody who may not");
	cr_assert_eq(chmod(dir, 0755), 0);
	cr_assert_eq(seteuid(65534), 0);
	cr_expect_eq(db_open(path, &db, &err), -EACCES, "%s", err.msg);
	cr_expect_str_eq(err.code, "db.failed");
	cr_expect_null(db);
	cr_assert_eq(seteuid(0), 0);
	snprintf(path, sizeof(path), "%s/not/there.db", dir);
	must_refuse(-ENOENT, "db.failed");
	snprintf(path, sizeof(path), "%s/state.db", dir);
}
