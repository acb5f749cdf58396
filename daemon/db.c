/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "db.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "fdutil.h"

/* PRAGMA user_version; a database with a larger one was written by a newer gangway */
#define SCHEMA_VERSION 2

/* lease.irqs: what the lease's interrupts had before gangway moved them. A column of its own, as who writes the record knows nothing of it. */
static const char schema[] = "BEGIN IMMEDIATE;"
			     "CREATE TABLE guest(name TEXT PRIMARY KEY, qmp TEXT NOT NULL) STRICT, WITHOUT ROWID;"
			     "CREATE TABLE lease(id TEXT PRIMARY KEY, record TEXT NOT NULL, irqs TEXT) STRICT, WITHOUT ROWID;"
			     "PRAGMA user_version = 2;"
			     "COMMIT;";

static const char schema_from_1[] = "BEGIN IMMEDIATE;"
				    "ALTER TABLE lease ADD COLUMN irqs TEXT;"
				    "PRAGMA user_version = 2;"
				    "COMMIT;";

#define DAMAGED_HINT "stop gangwayd, move the file away (leases it knew are then given back by hand) and start again"
/* SQLite's header. It takes a file too short for even its first line for a new one. */
#define HEADER_BYTES 100

struct db {
	sqlite3 *sql;
	int lock_fd;
	char path[PATH_MAX];
};

/* SQLite's trouble as ours. */
static int fail(struct db *db, int rc, struct err *err, const char *doing)
{
	int num = -EIO;

	switch (rc & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		err_set(err, -EUCLEAN, "db.damaged", "%s: %s: %s", db->path, doing, sqlite3_errmsg(db->sql));
		err_hint(err, DAMAGED_HINT);
		return -EUCLEAN;
	case SQLITE_FULL:
		num = -ENOSPC;
		break;
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		num = -EACCES;
		break;
	case SQLITE_NOMEM:
		num = -ENOMEM;
		break;
	default:
		break;
	}
	return err_set(err, num, "db.failed", "%s: %s: %s", db->path, doing, sqlite3_errmsg(db->sql));
}

static int take_lock(struct db *db, struct err *err)
{
	char path[PATH_MAX + 8], who[32] = "";
	pid_t holder = 0;
	int fd;

	snprintf(path, sizeof(path), "%s.lock", db->path);
	fd = fd_lock_file(path, &holder);
	if (fd >= 0) {
		db->lock_fd = fd;
		return 0;
	}
	if (fd != -EWOULDBLOCK)
		return err_set(err, fd, "db.failed", "%s: %s", path, strerror(-fd));
	if (holder)
		snprintf(who, sizeof(who), ", pid %d,", (int)holder);
	err_set(err, -EBUSY, "db.locked", "%s: another gangwayd%s uses this state", db->path, who);
	err_hint(err, "a second one needs a --runtime, a --socket and a --state of its own");
	return -EBUSY;
}

static int damaged(struct db *db, struct err *err, const char *how)
{
	err_set(err, -EUCLEAN, "db.damaged", "%s: %s", db->path, how);
	err_hint(err, DAMAGED_HINT);
	return -EUCLEAN;
}

/* The first value of a statement's first row. */
static int ask_int(struct db *db, const char *text, int *ret, struct err *err)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db->sql, text, -1, &st, NULL);

	if (rc == SQLITE_OK) {
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW)
			*ret = sqlite3_column_int(st, 0);
		sqlite3_finalize(st);
	}
	return rc == SQLITE_ROW ? 0 : fail(db, rc, err, "reading it");
}

/* quick_check says "ok", or what is wrong, in rows. */
static int on_check(void *ctx, int nr, char **values, char **names)
{
	char *first = ctx;

	(void)nr;
	(void)names;
	if (!first[0])
		snprintf(first, 128, "%s", values[0] ? values[0] : "?");
	return 0;
}

/* All of it is looked at before the first write (WAL mode is one): a file that is refused is left as it was. */
static int check_file(struct db *db, int *ret_version, struct err *err)
{
	char found[128] = "";
	int nr_tables = 0, rc, r;

	r = ask_int(db, "PRAGMA user_version", ret_version, err);
	if (r < 0)
		return r;
	if (*ret_version > SCHEMA_VERSION) {
		err_set(err, -EPROTO, "db.newer", "%s: written by a newer gangway (schema %d, this one knows %d)", db->path,
			*ret_version, SCHEMA_VERSION);
		err_hint(err, "install that gangway again; the file was not touched");
		return -EPROTO;
	}
	rc = sqlite3_exec(db->sql, "PRAGMA quick_check(1)", on_check, found, NULL);
	if (rc != SQLITE_OK)
		return fail(db, rc, err, "checking it");
	if (strcmp(found, "ok"))
		return damaged(db, err, found);
	r = ask_int(db, "SELECT count(*) FROM sqlite_master WHERE type = 'table'", &nr_tables, err);
	if (r == 0 && nr_tables != (*ret_version > 0 ? 2 : 0))
		r = damaged(db, err, "this is no database of gangway's");
	return r;
}

static int prepare_schema(struct db *db, struct err *err)
{
	int version = 0, rc, r;

	r = check_file(db, &version, err);
	if (r < 0)
		return r;
	/*
	 * A lease's record is for a gangwayd that died, and survives that without a sync of the disk. After a power cut the host has
	 * booted, and nothing is left of what the record would undo. What an operator has typed is synced: see keep().
	 */
	rc = sqlite3_exec(db->sql, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return fail(db, rc, err, "opening");
	if (version < SCHEMA_VERSION) {
		rc = sqlite3_exec(db->sql, version == 0 ? schema : schema_from_1, NULL, NULL, NULL);
		if (rc != SQLITE_OK)
			return fail(db, rc, err, "creating tables");
	}
	return 0;
}

int db_open(const char *path, struct db **ret, struct err *err)
{
	struct db *db = calloc(1, sizeof(*db));
	struct stat st;
	mode_t old;
	int r, rc;

	if (!db)
		return err_set(err, -ENOMEM, "daemon.no-memory", "no memory for the state database");
	db->lock_fd = -1;
	snprintf(db->path, sizeof(db->path), "%s", path);
	r = take_lock(db, err);
	if (r == 0 && lstat(path, &st) == 0 && st.st_size > 0 && st.st_size < HEADER_BYTES)
		r = damaged(db, err, "cut short");
	if (r < 0)
		goto err_close;
	old = umask(0077);
	rc = sqlite3_open_v2(path, &db->sql,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	umask(old);
	r = rc == SQLITE_OK ? 0 : fail(db, rc, err, "opening");
	if (r == 0)
		r = prepare_schema(db, err);
	if (r < 0)
		goto err_close;
	*ret = db;
	return 0;

err_close:
	db_close(db);
	return r;
}

struct db *db_close(struct db *db)
{
	if (db) {
		sqlite3_close(db->sql);
		fd_close(&db->lock_fd);
		free(db);
	}
	return NULL;
}

/* One statement with one or two text parameters: a transaction of its own. */
static int execute(struct db *db, const char *text, const char *a, const char *b, struct err *err, const char *doing)
{
	sqlite3_stmt *st;
	int rc;

	rc = sqlite3_prepare_v2(db->sql, text, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return fail(db, rc, err, doing);
	rc = sqlite3_bind_text(st, 1, a, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK && b)
		rc = sqlite3_bind_text(st, 2, b, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : fail(db, rc, err, doing);
}

/* Bring what was written to the disk itself: in WAL mode a checkpoint syncs. @r: of the write. */
static int keep(struct db *db, int r, struct err *err)
{
	int rc;

	if (r < 0)
		return r;
	rc = sqlite3_wal_checkpoint_v2(db->sql, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return rc == SQLITE_OK || rc == SQLITE_BUSY ? 0 : fail(db, rc, err, "syncing");
}

int db_put_guest(struct db *db, const char *name, const char *qmp, struct err *err)
{
	int r = execute(db, "INSERT OR REPLACE INTO guest(name, qmp) VALUES(?, ?)", name, qmp, err, "writing a guest");

	return keep(db, r, err);
}

int db_delete_guest(struct db *db, const char *name, struct err *err)
{
	return keep(db, execute(db, "DELETE FROM guest WHERE name = ?", name, NULL, err, "removing a guest"), err);
}

int db_put_lease(struct db *db, const char *id, const json_t *record, struct err *err)
{
	char *text = json_dumps(record, JSON_COMPACT);
	int r;

	if (!text)
		return err_set(err, -ENOMEM, "daemon.no-memory", "no memory for a lease record");
	r = execute(db, "INSERT INTO lease(id, record) VALUES(?, ?) ON CONFLICT(id) DO UPDATE SET record = excluded.record", id,
		    text, err, "writing a lease");
	free(text);
	return r;
}

int db_delete_lease(struct db *db, const char *id, struct err *err)
{
	return execute(db, "DELETE FROM lease WHERE id = ?", id, NULL, err, "removing a lease");
}

/* One that changes nothing is another failure: the mutex keeps other threads' statements from being counted. */
static int change_irqs(struct db *db, const char *id, const char *text, struct err *err)
{
	int r, nr;

	sqlite3_mutex_enter(sqlite3_db_mutex(db->sql));
	r = execute(db, "UPDATE lease SET irqs = ?2 WHERE id = ?1", id, text, err, "writing a lease");
	nr = sqlite3_changes(db->sql);
	sqlite3_mutex_leave(sqlite3_db_mutex(db->sql));
	return r == 0 && nr == 0 ? err_set(err, -ENOENT, "db.no-lease", "lease %s: it has no record", id) : r;
}

int db_put_irqs(struct db *db, const char *id, const json_t *irqs, struct err *err)
{
	char *text;
	int r;

	if (!irqs)
		return execute(db, "UPDATE lease SET irqs = NULL WHERE id = ?", id, NULL, err, "writing a lease");
	text = json_dumps(irqs, JSON_COMPACT);
	if (!text)
		return err_set(err, -ENOMEM, "daemon.no-memory", "no memory for a lease record");
	r = change_irqs(db, id, text, err);
	free(text);
	return r;
}

int db_each_guest(struct db *db, int (*fn)(void *ctx, const char *name, const char *qmp, struct err *err), void *ctx,
		  struct err *err)
{
	sqlite3_stmt *st;
	int rc, r = 0;

	rc = sqlite3_prepare_v2(db->sql, "SELECT name, qmp FROM guest ORDER BY name", -1, &st, NULL);
	if (rc != SQLITE_OK)
		return fail(db, rc, err, "reading guests");
	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
		r = fn(ctx, (const char *)sqlite3_column_text(st, 0), (const char *)sqlite3_column_text(st, 1), err);
	sqlite3_finalize(st);
	if (r == 0 && rc != SQLITE_DONE)
		r = fail(db, rc, err, "reading guests");
	return r;
}

int db_each_lease(struct db *db, int (*fn)(void *ctx, const char *id, const json_t *record, struct err *err), void *ctx,
		  struct err *err)
{
	sqlite3_stmt *st;
	int rc, r = 0;

	rc = sqlite3_prepare_v2(db->sql, "SELECT id, record, irqs FROM lease ORDER BY id", -1, &st, NULL);
	if (rc != SQLITE_OK)
		return fail(db, rc, err, "reading leases");
	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *id = (const char *)sqlite3_column_text(st, 0);
		const char *irqs = (const char *)sqlite3_column_text(st, 2);
		json_t *record = json_loads((const char *)sqlite3_column_text(st, 1), 0, NULL);

		if (record && irqs)
			json_object_set_new(record, "irqs", json_loads(irqs, 0, NULL)); /* what is no JSON is not set */
		r = fn(ctx, id, record, err);
		json_decref(record);
	}
	sqlite3_finalize(st);
	if (r == 0 && rc != SQLITE_DONE)
		r = fail(db, rc, err, "reading leases");
	return r;
}
