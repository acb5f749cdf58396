/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * db: the state database: guests and lease records, in SQLite (WAL, synchronous=FULL: what is committed survives a power cut).
 * All calls but open and close block on the disk: they are made on a worker, or at start. Safe from several threads.
 */
#ifndef GANGWAY_DB_H
#define GANGWAY_DB_H

#include <jansson.h>

struct db;
struct err;

/*
 * Open or create @path, and hold its lock: a second gangwayd gets -EBUSY db.locked. A damaged file is -EUCLEAN db.damaged, one of a newer
 * gangway -EPROTO db.newer; neither is changed.
 */
int db_open(const char *path, struct db **ret, struct err *err);
struct db *db_close(struct db *db);

int db_put_guest(struct db *db, const char *name, const char *qmp, struct err *err);
int db_delete_guest(struct db *db, const char *name, struct err *err);
int db_put_lease(struct db *db, const char *id, const json_t *record, struct err *err);
int db_delete_lease(struct db *db, const char *id, struct err *err);
/*
 * What the lease's interrupts had before they were moved, NULL: nothing any more. Beside its record, which db_put_lease() writes and leaves
 * this alone, and which has to be there: -ENOENT db.no-lease. It goes with the lease, and is read as the record's member "irqs".
 */
int db_put_irqs(struct db *db, const char *id, const json_t *irqs, struct err *err);

/* At start: every row. The callbacks return 0, or a negative errno to stop. @record NULL: what is stored is no JSON. */
int db_each_guest(struct db *db, int (*fn)(void *ctx, const char *name, const char *qmp, struct err *err), void *ctx,
		  struct err *err);
int db_each_lease(struct db *db, int (*fn)(void *ctx, const char *id, const json_t *record, struct err *err), void *ctx,
		  struct err *err);

#endif
