/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guests: the guests the operator has named, each with its VMM connection, and what happens when one ends. */
#ifndef GANGWAY_GUESTS_H
#define GANGWAY_GUESTS_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "gangway_limits.h"

struct daemon;
struct err;
struct vmm;

struct guest {
	TAILQ_ENTRY(guest) link;
	struct daemon *daemon;
	char name[LIMIT_NAME + 1];
	char *qmp;
	struct vmm *vmm;
	/* the VMM's process: only when it has ended is a lost QMP connection the guest's end */
	int pidfd;
	sd_event_source *exit_source;
	char manager[32]; /* "": who listens at the QMP socket is the VMM; else the program that does so for it */
	struct irq_follow *irq; /* of the VFs' interrupts; NULL: it never had a VF */
	struct migrate_job *migrate; /* a call that waits for its migration (calls_migrate.c); NULL: none */
	bool saving; /* its row in the state database is being written or deleted: the name is not to be used meanwhile */
};

/* Can @qmp be a QMP socket? guest.bad-qmp: -EINVAL, -ENAMETOOLONG: never; -ENOTSOCK: not as it is now. */
int guest_qmp_check(const char *name, const char *qmp, struct err *err);
/* Known from now on; starts connecting. Not written to the state database. */
int guest_new(struct daemon *d, const char *name, const char *qmp, struct guest **ret, struct err *err);
struct guest *guest_free(struct guest *g);
struct guest *guest_find(struct daemon *d, const char *name);
/* -ENOENT guest.unknown with a hint if there is none. */
int guest_get(struct daemon *d, const char *name, struct guest **ret, struct err *err);
/* The same, and -EBUSY guest.busy while it is being added or removed. */
int guest_get_idle(struct daemon *d, const char *name, struct guest **ret, struct err *err);
/* Is the guest's VMM certainly not running: nobody answers at its socket, and the process we knew has ended? */
bool guest_is_gone(const struct guest *g);

/* The VMM's process. 0: not connected, or a manager listens at its socket in its place: then it is not known. */
pid_t guest_vmm_pid(const struct guest *g);

json_t *guest_to_json(const struct guest *g);

#endif
