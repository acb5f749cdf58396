/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the switcher files share. */
#ifndef GANGWAY_SWITCHER_INTERNAL_H
#define GANGWAY_SWITCHER_INTERNAL_H

#include <stdint.h>
#include <systemd/sd-event.h>

#include "err.h"
#include "migration.h"
#include "switch.h"
#include "switcher.h"

struct switcher {
	struct lease *lease;
	struct switch_config config;
	struct leg_switch *sw;
	struct migration *migration;
	sd_event_source *timer;
	enum switch_action action; /* under way; SWITCH_ACTION_NUM_: none */
	unsigned act_ms; /* its time, where something comes before it */
	uint64_t act_until; /* switcher_now_ms() when that is over */
	struct mem_check *check; /* of the guest's memory, before SWITCH_PREPARE; NULL: none */
	void *job; /* on a worker, and its record: ours to free where gangwayd stops before it is done; NULL: none */
	json_t *record;
	uint64_t driving_since; /* milliseconds: the guest's driver has started the VF; 0: it has not */
	uint64_t up_since; /* and the VF has interrupted, or need not; 0: not yet */
	uint64_t irqs, irqs_at; /* its interrupts at the last look; when they are to be looked at again */
	bool irqs_told; /* the kernel counts them */
	unsigned nr_lively; /* looks at which there were more, since the guest last sent by its standby */
	bool unheard; /* up_since: not because it has interrupted */
	bool settled; /* and it is used since then */
	uint64_t sent, quiet_since; /* frames that the guest has sent by its standby, and since when no more */
	uint64_t sent_before; /* until it started the VF */
	bool left; /* the guest runs elsewhere: the lease is to end, once nothing is under way */
	bool had_vf; /* its VMM had the VF still when it left */
	bool had_revoked; /* whose DMA had been taken away */
	unsigned nr_cleared; /* of what is to be taken away then (switcher_left.c) */
	bool negotiated; /* failover, and what the VMM has is being asked: the switch hears of it then */
	bool told; /* the lease's error is the switch's */
	bool look_due; /* what the VMM has was not told, or came at a bad time: it is to be asked when nothing is under way */

	struct ctl_req *req; /* waits for @wanted; NULL: nobody does */
	enum lease_leg wanted;
	uint64_t asked_us; /* when */
	unsigned nr_shown; /* steps that @req was told of */
	char shown[160]; /* the last of them, in words */

	bool choice_due; /* @wanted is to be recorded, and then chosen */
	bool stayed; /* the choice before */
	bool held; /* the action that ended meanwhile is not booked yet */
	int held_r; /* how it ended */
	struct err held_err;
};

/* The loop's clock, milliseconds. */
uint64_t switcher_now_ms(const struct switcher *s);
/* After any call of the switch. @s may be gone after this. */
void switcher_settle(struct switcher *s);
/* switcher_drive.c: has the guest's driver started the VF, long enough ago? Tells the switch where it has another idea, or @always. */
void switcher_look_at_driver(struct switcher *s, bool always);
/* The VF has left the guest, or comes anew. */
void switcher_forget_driver(struct switcher *s);
/* The begin of an action, which ends in switcher_acted(): as struct switch_ops wants it. switcher_act.c */
int switcher_act(void *ctx, enum switch_action action, unsigned deadline_ms, struct err *err);
/* The same, with what the record is to know of before. switcher_record.c */
int switcher_act_recorded(void *ctx, enum switch_action action, unsigned deadline_ms, struct err *err);

/* SWITCH_PREPARE: switcher_memory.c looks whether it may be, and switcher_act.c does it. Both as switcher_act(). */
int switcher_check_memory(struct switcher *s, struct err *err);
int switcher_prepare(struct switcher *s, struct err *err);

/* switcher.c: causes as the lease has them. */
void switcher_begin_causes(struct switcher *s);
/* What a migration under way has done with the VF before somebody listened. */
void switcher_missed(struct switcher *s);

/* switcher_left.c. The guest has left, and nothing is under way. @s may be gone after this. */
void switcher_left(struct switcher *s);
/* What was under way for that has ended. */
void switcher_cleared(struct switcher *s, int r, const struct err *err);
/* The guest runs here: if it had left, it has come back. */
void switcher_comes_back(struct switcher *s);

/* switcher_show.c: the lease as operators see it, and how far the switch has come to who waits for it. */
void switcher_show(struct switcher *s, const struct switch_status *status);
/* To who waits, if anybody does; @err NULL: it is there. */
void switcher_answer(struct switcher *s, const struct err *err);

/* switcher_record.c: write the lease's record; the lease is @busy with that until @done is called. -ENOMEM: it is not, nor was it before. */
typedef void (*switcher_recorded_fn)(struct switcher *s, int r, const struct err *err);
int switcher_record(struct switcher *s, const char *busy, switcher_recorded_fn done);
/* switcher_choose.c: record the choice that is due; nothing is under way, and the lease is busy until then. */
void switcher_record_choice(struct switcher *s);

#endif
