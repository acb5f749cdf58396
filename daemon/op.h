/* SPDX-License-Identifier: GPL-2.0-or-later */
/* op: one attach or detach under way: the context of the step table. Private to the attach*.c files. */
#ifndef GANGWAY_OP_H
#define GANGWAY_OP_H

#include <jansson.h>
#include <systemd/sd-event.h>

#include "attach.h"
#include "lease.h"
#include "steps.h"
#include "vmm.h"
#include "vmm_standby.h"

struct guest;
struct mem_facts;

struct op {
	struct daemon *d;
	struct lease *lease;
	struct steps *steps;
	struct ctl_req *req; /* NULL: nobody waits for the answer */
	bool detach, dry_run;
	bool beginning, over; /* vf_only: attach_get_vf() is to see how it ended, and so it did */
	int over_r;
	struct err over_err;
	bool vf_only; /* attach_vf.c: a VF for a lease that has none; the steps of the VF alone, and their undo */
	char why[128]; /* detach: what for */
	bool had_switcher, had_vf; /* detach: the lease had one, and the guest the VF */
	unsigned wait_ms; /* for the guest: driver start, or unplug */
	enum lease_via via_asked;

	/* what workers find; the loop reads it in .after */
	char target[256]; /* a VF, a PF, or PFs with commas between */
	bool as_recorded; /* the target is the VF that the lease had: step_find() names it */
	struct sriov_pf pf;
	struct sriov_vf vf;
	bool any_vf; /* the target is a PF */
	bool none_free; /* and this is why there is none */
	struct err no_vf; /* why none of it can be had; a guest that is yet to come does without for now. .num 0: one was found */
	char (*leased)[BDF_LEN]; /* VFs with a lease or held by a call, as of when the worker was started */
	size_t nr_leased;
	unsigned nr_changes; /* of the daemon, as of then */
	struct err found_err;
	struct lease_undo undo;
	struct vdev *vdev;
	uint64_t host_ram; /* bytes of RAM that the host has: no guest is believed to have more */

	unsigned nr_mem_settled; /* of the daemon, before these were looked at */
	struct mem_facts *facts; /* what the VF costs the guest's memory; NULL: not looked at */
	enum lease_reason memory_held; /* why that may not be: it stays on its emulated leg; REASON_NONE: it may */
	struct err memory_err;
	struct vmm_info info; /* the guest, as asked */
	pid_t vmm_pid;
	struct vmm_question *question; /* the VMM was asked, NULL: it has answered */
	int answer_r; /* what it answered: 0 with info, or an error */
	struct err answer_err;
	int own_r; /* whether the guest has a standby of its own: 1 with .own, 0, or an error; 0 where that was not asked */
	struct err own_err;
	struct vmm_standby own;
	uint64_t asked_us, answered_us; /* 0: not asked */
	bool awaiting_answer; /* the "answer" step is under way */
	struct emul_leg *leg; /* checked, not the lease's yet */
	bool standby_auto; /* an emulated leg that cannot be had is done without */
	bool made_mac; /* for its sake */
	struct err standby_err; /* why it cannot be had; .num 0 */
	int tap_fd, vhost_fd; /* of the emulated leg, for the VMM; -1: none */
	char standby_bus[VMM_ID_MAX]; /* root port the standby NIC goes into */
	bool must_come; /* the guest has to be one that is yet to come by migration */
	bool incoming; /* the guest is yet to come by migration: the VF is plugged when it runs */
	bool hidden; /* the VMM keeps the VF from the guest until that has negotiated failover */
	bool awaiting_guest; /* the "drive" step is under way */
	const char *lost; /* what became of the guest or its device since that began, NULL: nothing */
	bool awaiting_process; /* the undo of "serve" is under way */
	bool awaiting_vmm; /* whether the VMM runs is waited for */
	int (*vmm_awaited_by)(void *ctx, struct err *err); /* the step that does, or has: each does once */
	sd_event_source *timer; /* of the step under way */
	uint64_t deadline_us;
	json_t *warnings;
};

extern const struct step attach_table[];
extern const size_t attach_table_len;

#define VFIO_DRIVER "vfio-pci"

/* attach_find.c: which VF */
int step_find(void *ctx, struct err *err);
int step_reserve(void *ctx, struct err *err);

/* attach_host.c: the steps on the host */
int step_check(void *ctx, struct err *err);
int step_check_memory(void *ctx, struct err *err);
int step_bind(void *ctx, struct err *err);
int undo_bind(void *ctx, struct err *err);
int step_policy(void *ctx, struct err *err);
int step_grant(void *ctx, struct err *err);
int undo_grant(void *ctx, struct err *err);
int step_open(void *ctx, struct err *err);
void after_open(void *ctx);
int undo_open(void *ctx, struct err *err);

/* preflight_memory.c: can host and cgroup give what the VF takes? Else refused, or op->memory_held; what they are to give is booked. */
int step_admit(void *ctx, struct err *err);

/* attach_vf.c: a lease and its VF */
/* The lease ends up with a VF, as far as is known. */
bool op_has_vf(const struct op *op);
/* On a worker, of a step about the VF that is to be taken: an error that a lease with an emulated leg may do without a VF for is kept. */
int op_forgo_vf(struct op *op, int r, struct err *err);
/* It is over: as struct steps_ops has it. */
void op_vf_finished(struct op *op, int r, const struct err *err, const struct step *stuck);

/* attach_record.c: the lease's record */
int step_save(void *ctx, struct err *err);
void after_save(void *ctx);
int undo_save(void *ctx, struct err *err);
int step_record(void *ctx, struct err *err);
int undo_record(void *ctx, struct err *err);

/* attach_ask.c: what the guest is like */
int step_ask_guest(void *ctx, struct err *err);
int step_answer(void *ctx, struct err *err);
/* The operation ends: an answer that is still to come finds nobody. */
void op_forget_question(struct op *op);

/* attach_guest.c: the VF in the guest */
int step_plug(void *ctx, struct err *err);
int step_unplug(void *ctx, struct err *err);
int step_drive(void *ctx, struct err *err);
int step_publish(void *ctx, struct err *err);
void after_publish(void *ctx);
/* Has the guest's driver started the VF? Called on every hint; ends the "drive" step when it has. */
void op_check_driven(struct op *op);
/* The guest is not to be waited for any more, because @what (a literal): what is under way with it, or is about to be published, fails. */
void op_guest_lost(struct op *op, const char *what);
void op_plug_of(const struct op *op, struct vmm_plug *ret);

/* attach_vmm.c: is the guest's VMM there? */
void op_timer_off(struct op *op);
/* The guest, if its VMM can be talked to now. */
int op_need_vmm(struct op *op, struct guest **ret, struct err *err);
/* The same for @step, which may come a little early: STEP_PENDING, and @step is called again when it is known. */
int op_vmm_to_ask(struct op *op, int (*step)(void *ctx, struct err *err), struct guest **ret, struct err *err);
/*
 * The VMM that the undo @step is to ask: 0 and *@ret (NULL: it is gone, and all that it had), STEP_PENDING: @step is called again when it is
 * known, or negative: it may have the guest's devices still, and cannot be reached.
 */
int op_vmm_to_undo(struct op *op, int (*step)(void *ctx, struct err *err), struct guest **ret, struct err *err);

/* attach_standby.c: the emulated leg */
int op_check_standby(struct op *op, struct err *err);
/* The MAC is there for the sake of an emulated leg that nobody insists on. */
bool op_mac_is_for_standby(const struct op *op);
/* It is plugged into the guest, into a port of its own: the guest has none. */
bool op_plugs_standby(const struct op *op);
/* The guest has answered: has it a standby that is to be used? */
int op_choose_standby(struct op *op, struct err *err);
int step_own_standby(void *ctx, struct err *err);
void after_own_standby(void *ctx);
/* Both legs need the same MAC: can the VF be given one? */
int op_check_mac_settable(const struct op *op, struct err *err);
void after_check(void *ctx);
int step_standby(void *ctx, struct err *err);
/* The leg was made before there was a VF: what the VF has that nobody asked for, it is to have, too. */
int step_leg_policy(void *ctx, struct err *err);
int undo_leg_policy(void *ctx, struct err *err);
void op_close_leg_fds(struct op *op); /* that the VMM was to have */
void after_standby(void *ctx);
bool op_has_refused_standby(const void *ctx);
int step_drop_standby(void *ctx, struct err *err);
/* It cannot be had, because @why, and nobody insisted: the lease does without, and says so. */
void op_without_standby(struct op *op, const struct err *why);
int undo_standby(void *ctx, struct err *err);
int step_plug_standby(void *ctx, struct err *err);
int step_unplug_standby(void *ctx, struct err *err);
/* True: it had none. */
bool lease_default_mac(struct lease *l);

/* attach_irq.c: the VF's interrupts */
int undo_interrupts(void *ctx, struct err *err);

/* attach_serve.c: gangway-device */
int step_serve(void *ctx, struct err *err);
int step_unserve(void *ctx, struct err *err);
int lease_adopt_process(struct lease *l, struct err *err);

/* attach_answer.c: to who asked for it, if anybody did */
void op_answer(struct op *op);
void op_answer_error(struct op *op, const struct err *err); /* said in the log, too */
void op_step_words(const struct op *op, const struct step *step, char *buf, size_t size);

/* The step under way, which was pending, has ended. */
void op_step_done(struct op *op, int r, const struct err *err);
struct op *op_new(struct lease *l, struct ctl_req *req); /* NULL: no memory */
struct op *op_free(struct op *op); /* NULL is fine; returns NULL */
/* Before step_find, in the loop: which VFs have a lease or are held. */
int op_copy_leased(struct op *op, struct err *err);
void op_warn(struct op *op, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Begin to undo a lease that no operation holds. */
int op_undo_start(struct lease *l, struct ctl_req *req, const char *why, unsigned wait_ms, struct err *err);
/* The same where nobody has asked for it: @l has to end, because @why. guest_reports.c */
void op_end(struct lease *l, const char *why);

#endif
