/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration: follows the migrations of one lease's guest, whoever starts them, through the VMM's events; turns them into causes and
 * events of the lease's switch. Each side on its own: there is no protocol between the hosts.
 *
 * Source.       setup: cause `migration`; the VMM asks the guest to let the VF go (UNPLUG_PRIMARY) and waits (wait-unplug); once it copies
 *               (active), the guest has let go, the VMM keeps the device. failed, cancelled at any stage: the VMM plugs it back itself,
 *               without an event, the cause ends. completed: the lease ends here.
 * Destination.  cause `migration` until the guest runs (RESUME), with postcopy cause `postcopy` until the last page is here (completed).
 * Snapshot.     (a migration to a file, or the capability background-snapshot) as at the source, with cause `snapshot`, and completed
 *               ends the cause: the guest stays here.
 *
 * Facts: QEMU's hw/net/virtio-net.c (failover), migration/migration.c, tests/qtest/virtio-net-failover.c. The event MIGRATION is sent
 * only when the migration capability `events` is on: the daemon sets it when it connects. Without, UNPLUG_PRIMARY still tells the begin.
 */
#ifndef GANGWAY_MIGRATION_H
#define GANGWAY_MIGRATION_H

#include <stdbool.h>
#include <stdint.h>

struct leg_switch;
struct migration;

struct migration_ops {
	/* The guest runs elsewhere now. The switch has been stopped; the lease is to be ended. May call migration_free(). */
	void (*left)(void *ctx);
};

/* @vf_id, @standby_id: device ids in the VMM. All must live as long. NULL: no memory. */
struct migration *migration_new(struct leg_switch *sw, const char *vf_id, const char *standby_id, const struct migration_ops *ops,
				void *ctx);
/* NULL is fine; returns NULL. */
struct migration *migration_free(struct migration *m);

/* The VMM waits for an incoming migration (run state "inmigrate"). Before switch_begin(). */
void migration_incoming(struct migration *m, uint64_t now_ms);
/* The migration under way, or the next one, goes to a file or is a background snapshot. Forgotten when it has ended. */
void migration_set_snapshot(struct migration *m, bool snapshot, uint64_t now_ms);
/* vmm_replug() begins: the migration that follows is no migration, and it fails. Before it begins, for each lease of the guest. Or it has not
 * begun: the next one is one like any. */
void migration_expect_replug(struct migration *m, bool on);

/* The member of the event's data that migration_event() wants as @word; NULL: none, or the event does not matter. */
const char *migration_word_of(const char *event);
/*
 * A QMP event as it came. @word: may be NULL, and is not trusted. What does not matter is ignored. Of query-migrate, after a reconnect:
 * event "MIGRATION" with its status.
 */
void migration_event(struct migration *m, const char *event, const char *word, uint64_t now_ms);

enum migration_role { MIGRATION_NONE, MIGRATION_SOURCE, MIGRATION_DESTINATION };
enum migration_role migration_role(const struct migration *m);

#endif
