/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lease: one VF, one guest NIC, their policy. What `attach` creates and `detach` ends.
 *
 * Owned by the daemon's list. All of it is written in the loop only; an operation (op.h) holds a lease by lease->op, and its
 * worker steps only read what is fixed since the lease was made.
 */
#ifndef GANGWAY_LEASE_H
#define GANGWAY_LEASE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "again.h"
#include "emul.h"
#include "err.h"
#include "faults.h"
#include "gangway_limits.h"
#include "lease_fsm.h"
#include "mem_account.h"
#include "sriov.h"

struct daemon;
struct devproc;
struct irq_keep;
struct irq_nic;
struct op;
struct switcher;
struct vdev;

enum lease_via { VIA_AUTO, VIA_VFIO_USER, VIA_VFIO_PCI };
const char *lease_via_to_string(enum lease_via via);
/* -EINVAL */
int lease_via_from_string(const char *s, enum lease_via *ret);

#define LEASE_PRIORITY_MAX 9 /* 0: the first to give its VF up, where memory is short */
#define LEASE_PRIORITY 5

/* What of the guest's memory the lease may have, and what keeps it from having it. lease_memory.c */
struct lease_memory {
	bool adaptive; /* it gives its VF up where memory is short; else it keeps it, as long as it has it */
	bool unshare; /* the operator accepts that pages shared with a template are copied */
	unsigned priority; /* up to LEASE_PRIORITY_MAX */
	enum lease_reason
		held; /* REASON_MEMORY_NOT_RESIDENT, REASON_MEMORY_PRIVATE: why it may not have its VF; else REASON_NONE */
	struct err why; /* of that */
	bool pressed; /* it is off its VF because memory is short, or was released by order: mem_watch.h */
};

#define LEASE_BUS_MAX 80 /* VMM_ID_MAX */
#define LEASE_ID_MAX (2 * LIMIT_NAME + 2)

/* What is put back when the lease ends. Committed to the state database before the first change. */
struct lease_undo {
	bool valid;
	struct sriov_binding binding;
	struct sys_vf policy; /* as it was */
	unsigned touched; /* fields of it that we wrote */
	int group_id; /* /dev/vfio/N whose owner we changed, -1: none */
	uid_t group_uid; /* its owner before */
	gid_t group_gid;
};

struct lease {
	TAILQ_ENTRY(lease) link;
	struct daemon *daemon;

	char id[LEASE_ID_MAX]; /* "vm1/nic0" */
	char guest[LIMIT_NAME + 1];
	char nic[LIMIT_NAME + 1];
	char device_id[LIMIT_NAME + 16]; /* in the guest's VMM: "gangway-nic0" */
	char file_id[BDF_LEN]; /* in paths of sockets: the VF's BDF with '-' for ':', short whatever the guest is called */

	enum lease_state state; /* lease_set_state() alone writes it */
	char why[256]; /* of the last transition */
	int64_t since; /* seconds since the epoch */
	bool confirmed; /* false: the state is what the record of a former gangwayd says, its guest has not been asked yet */
	enum lease_leg leg;
	enum lease_reason reason;

	char pf_key[PF_KEY_MAX]; /* identity: survives a reboot, with vf_index */
	unsigned vf_index;
	char pf_bdf[BDF_LEN]; /* "": not known, of a record whose VF is not there */
	bool pf_down; /* it has no link */
	char pf_name[IF_NAMESIZE > BDF_LEN ? IF_NAMESIZE : BDF_LEN]; /* what its interface is called now */
	char vf_bdf[BDF_LEN]; /* "": it has none for now, and is on its emulated leg */
	bool half_vf; /* it has been begun to be given that one, or to be taken it: that is to be undone before it is given any */
	int group_id;
	enum lease_via via;
	bool prepared; /* cold: for a guest that is not started yet; stays when the guest ends */
	unsigned
		port; /* 1 and up, no other lease of the guest has it: numbers the root port of a prepared one, for as long as it lives */
	struct lease_memory memory;
	struct mem_booked booked; /* of its guest's memory, which it is about to pin */
	struct sys_vf want; /* policy asked for */
	uid_t owner_uid; /* the VMM's user: owner of the socket or of /dev/vfio/N */
	gid_t owner_gid;
	uid_t device_uid; /* uid and gid of its gangway-device, no other lease has it; 0: not known (a record of an older gangwayd) */
	char boot_id[40];
	struct lease_undo undo;
	struct lease_again again;

	struct emul_words standby; /* the emulated leg asked for */
	struct err no_standby; /* why it has none, though nobody said none; .num 0: it has one, or is to have none */
	struct emul_leg *emul; /* it, on the host: from "check" of its attach on; NULL: none */
	unsigned leg_nr; /* of it, no other lease has it */
	char standby_id
		[LEASE_BUS_MAX]; /* its NIC in the guest's VMM: "gangway-nic0-standby"; EMUL_OWN: as the guest's is called */
	char netdev_id[LIMIT_NAME + 24];
	pid_t standby_pid; /* EMUL_OWN: of the VMM that has it, 0 not known: the next one of this guest may have one called the same */
	char bus[LEASE_BUS_MAX]; /* root port that the VF is plugged into */
	bool stay_emulated; /* the operator's choice */
	bool revoked; /* as recorded: its guest keeps the VF past the deadline, whose DMA is taken away */
	bool left; /* its guest runs elsewhere: what its VMM still has, nobody uses */
	struct switcher *sw; /* moves it between its legs; NULL: nobody does */

	bool looking, look_again; /* its VMM is being asked what it has of the lease; once more then */

	struct op *op; /* the operation that holds it, NULL: none */
	const char *busy; /* what a call does with it, outside of any operation; NULL: nothing. attach_unbusy() ends it */
	char end_why[64]; /* it has to end once it is not busy any more, and why; "": it has not */
	struct vdev *vdev; /* vfio-user: our duplicates of the VFIO descriptors */
	struct devproc *dev; /* vfio-user: its process */
	struct err error; /* why it is failed, degraded or quarantined */
	struct lease_faults faults;
	struct irq_nic *irq_nic; /* its vectors, while they are followed; NULL: they are not */
	struct irq_keep *irq_keep; /* what was changed of its interrupts; NULL: nothing ever was */
};

/* Would the guest's VMM know the VF of a NIC of this name by the id of another NIC's standby, or the other way round? -EEXIST lease.same-id. */
int lease_check_ids(struct daemon *d, const char *guest, const char *nic, struct err *err);
/* A new lease in LEASE_ATTACHING, in the daemon's list. Errors: lease.exists, lease.too-many, ... */
int lease_new(struct daemon *d, const char *guest, const char *nic, struct lease **ret, struct err *err);
/* Out of the list and freed, sockets and descriptors closed (nothing undone). NULL is fine. */
struct lease *lease_free(struct lease *l);

void lease_set_state(struct lease *l, enum lease_state to, const char *why);
/* The state that was recorded is the one found, because @why. Nothing to do where it was not in doubt. */
void lease_confirm(struct lease *l, const char *why);
void lease_set_leg(struct lease *l, enum lease_leg leg, enum lease_reason reason);

/* Its PF is called something else, or may be: as sysfs has it now. */
void lease_follow_pf(struct lease *l);

struct lease *lease_find(struct daemon *d, const char *guest, const char *nic); /* @nic NULL: the guest's only one */
/*
 * The one that `gangway @verb GUEST [NIC]@words` is about. guest.unknown: no lease and no such guest; -ENOENT lease.none; -EINVAL
 * lease.ambiguous: it has several, and @nic is NULL. A lease outlives its guest where not all of it could be undone.
 */
int lease_get(struct daemon *d, const char *guest, const char *nic, const char *verb, const char *words, struct lease **ret,
	      struct err *err);
unsigned lease_count(struct daemon *d, const char *guest);
/* Who has this VF? NULL: nobody. */
struct lease *lease_of_vf(struct daemon *d, const char *vf_bdf);
struct lease *lease_of_vf_index(struct daemon *d, const char *pf_key, unsigned vf_index);

/* Of its emulated leg: what was asked for and, where nobody asked, what the VF had @before the attach (undo.policy). */
void lease_leg_policy(const struct lease *l, const struct sys_vf *before, struct sys_vf *ret);
/* Has the guest's driver started the VF: bus master on, vectors armed? A config cycle with vfio-pci. */
bool lease_vf_is_driven(struct lease *l);

/* The VF it is for; settles the file id too. */
void lease_set_vf(struct lease *l, const char *vf_bdf);
/* It has none that could be plugged. */
bool lease_lacks_vf(const struct lease *l);
/* It has none any more: of its PF, and of what is to be undone with it, all else is put back. */
void lease_clear_vf(struct lease *l);

/* For the control protocol. */
json_t *lease_to_json(const struct lease *l);
/*
 * The record in the state database, and back (-EINVAL with @err: not ours, or damaged): in the state recorded, to be confirmed by the
 * guest.
 */
json_t *lease_to_record(const struct lease *l, const struct lease_undo *undo);
int lease_from_record(struct daemon *d, const json_t *record, struct lease **ret, struct err *err);

/* Is @s a guest or NIC name: [A-Za-z0-9][A-Za-z0-9._-]*, at most LIMIT_NAME characters? */
int name_check(const char *what, const char *s, struct err *err);

#endif
