/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm_migrate: migration of a guest, noticed whoever started it, and driven. Asynchronous like all of vmm.h, with the same rules for
 * callbacks and errors.
 *
 * At connect the capability `events` is enabled where it is off, and the present status is asked for. QEMU refuses to enable it while a
 * migration is under way: then the status is asked for each second until it can be. Facts about QEMU: 7.2.22 and 11.1.3, seen.
 */
#ifndef GANGWAY_VMM_MIGRATE_H
#define GANGWAY_VMM_MIGRATE_H

#include "vmm.h"

enum vmm_mig_status { /* QEMU's MigrationStatus, word by word */
		      VMM_MIG_NONE, /* never, or not known: not connected */
		      VMM_MIG_SETUP, /* on the destination also while it only listens */
		      VMM_MIG_WAIT_UNPLUG, /* the guest is asked to let the VF go; a cancel in this status stays `cancelling` until it has */
		      VMM_MIG_ACTIVE,
		      VMM_MIG_PRE_SWITCHOVER,
		      VMM_MIG_DEVICE,
		      VMM_MIG_POSTCOPY_DEVICE,
		      VMM_MIG_POSTCOPY_ACTIVE, /* the guest runs on the destination, pages are still coming */
		      VMM_MIG_POSTCOPY_PAUSED,
		      VMM_MIG_POSTCOPY_RECOVER_SETUP,
		      VMM_MIG_POSTCOPY_RECOVER,
		      VMM_MIG_COLO,
		      VMM_MIG_FAILING,
		      VMM_MIG_CANCELLING,
		      VMM_MIG_COMPLETED,
		      VMM_MIG_FAILED,
		      VMM_MIG_CANCELLED,
		      VMM_MIG_UNKNOWN, /* a word of a later QEMU: under way as far as anybody knows */
		      VMM_MIG_NUM_STATUSES,
};

bool vmm_mig_is_under_way(enum vmm_mig_status status); /* begun and not over: no hotplug, no second migration */

enum vmm_mig_role { VMM_MIG_NO_ROLE, VMM_MIG_SOURCE, VMM_MIG_DESTINATION };

const char *vmm_mig_role_to_string(enum vmm_mig_role role);

struct vmm_migration {
	enum vmm_mig_status status;
	enum vmm_mig_role role; /* of this migration, or the last one */
	char word[24]; /* the status as QEMU says it */
};

/* As of the last event or answer; VMM_MIG_NONE while not VMM_UP. Changes are told by vmm_ops.on_migration. */
void vmm_get_migration(const struct vmm *vmm, struct vmm_migration *ret);

/*
 * May devices be plugged, as far as is known? 0, -ENOTCONN vmm.not-up, -EBUSY vmm.migrating (source) or vmm.incoming (destination), -ESTALE
 * vmm.postmigrate: the guest has left, its VMM is only the shell. vmm_plug() and vmm_plug_standby() refuse the last one themselves.
 */
int vmm_may_plug(const struct vmm *vmm, struct err *err);

#define VMM_MIGRATE_EXEC 1u /* allow exec:COMMAND, which the VMM runs with its rights */
#define VMM_MIGRATE_FILE 2u /* allow file:/PATH, which the VMM writes with its rights: a snapshot */

/*
 * Is @uri one that gangway hands to a VMM: tcp:HOST:PORT, tcp:[ADDRESS]:PORT, unix:/PATH, and what @allow (VMM_MIGRATE_*) adds? 0, -EINVAL
 * vmm.migrate-uri, -EPERM vmm.migrate-exec, vmm.migrate-file, vmm.migrate-fd; all with a hint.
 */
int vmm_migrate_uri_check(const char *uri, unsigned allow, struct err *err);

struct vmm_migrate {
	const char *uri;
	unsigned allow; /* VMM_MIGRATE_* */
	uint64_t bandwidth; /* bytes a second, at most 2^62; 0: as it is set */
	unsigned downtime_ms; /* downtime-limit, at most 2000000; 0: as it is set */
	bool postcopy; /* allow it (postcopy-ram); it begins with vmm_migrate_postcopy() */
	bool background_snapshot; /* the guest runs on, what arrives is its state at the beginning */
};

/*
 * Begin a migration: capabilities (return-path where the URI is a socket's), parameters, then `migrate`. Called back when QEMU has begun it; the rest is told by on_migration, why it
 * failed by vmm_query_migrate(). Capabilities that were changed for it (not `events`) are set back when it is over or refused; parameters
 * stay. -EOPNOTSUPP vmm.no-capability before anything is changed, vmm.migrating, vmm.postmigrate, vmm.incoming, vmm.migration-blocked.
 */
int vmm_migrate_start(struct vmm *vmm, const struct vmm_migrate *migrate, vmm_done_fn done, void *ctx, struct err *err);
int vmm_migrate_postcopy(struct vmm *vmm, vmm_done_fn done, void *ctx, struct err *err); /* from now on by postcopy */
/* Called back when asked for; on_migration tells when it is so. Nothing to cancel is success. */
int vmm_migrate_cancel(struct vmm *vmm, vmm_done_fn done, void *ctx, struct err *err);
/*
 * The VF of a pair that a completed migration (a snapshot: the guest is still here) has left out of the guest is plugged back by the VMM. It
 * takes a migration that fails, of which all hear as of any. Called back when that is over; whether the VF is in the guest, its driver tells.
 */
int vmm_replug(struct vmm *vmm, vmm_done_fn done, void *ctx, struct err *err);

struct vmm_migrate_info { /* numbers that QEMU does not tell (in this status) are 0 */
	struct vmm_migration migration;
	uint64_t transferred, remaining, total; /* bytes of RAM */
	uint64_t dirty_rate; /* bytes of RAM that the guest writes a second */
	uint64_t bandwidth; /* bytes a second, as QEMU measures it */
	uint64_t total_ms, setup_ms, downtime_ms, expected_downtime_ms;
	char error[256]; /* why it failed, in QEMU's words; "" */
};

typedef void (*vmm_migrate_info_fn)(void *ctx, int r, const struct vmm_migrate_info *info, const struct err *err);
int vmm_query_migrate(struct vmm *vmm, vmm_migrate_info_fn done, void *ctx, struct err *err);

#endif
