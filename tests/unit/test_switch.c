/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The switch in a scripted world: the order of both directions, and what becomes of each thing that can go wrong. */
#include <criterion/criterion.h>

#include "switch_world.h"

static struct world w;

static void setup(void)
{
	world_init(&w);
}

static void teardown(void)
{
	world_done(&w);
	cr_assert_null(switch_free(NULL));
}

TestSuite(switch, .init = setup, .fini = teardown);

static void cause(enum lease_reason reason, bool active)
{
	switch_cause(w.sw, reason, active, w.now);
}

static void choose(enum lease_leg leg)
{
	struct err err;

	cr_assert_eq(switch_choose(w.sw, leg, w.now, &err), 0, "%s", err.msg);
}

/* --- the picture in switch.c --- */

static const char *const picture[SWITCH_STATE_NUM_] = {
	/* columns: off, emulated, to-passthrough, passthrough, to-emulated */
	[SWITCH_OFF] = ".eTpE",		[SWITCH_EMULATED] = "o.T.E",	[SWITCH_TO_PASSTHROUGH] = "o..pE",
	[SWITCH_PASSTHROUGH] = "o.T.E", [SWITCH_TO_EMULATED] = "oeT..",
};

Test(switch, every_transition)
{
	for (int from = 0; from < SWITCH_STATE_NUM_; from++)
		for (int to = 0; to < SWITCH_STATE_NUM_; to++)
			cr_assert_eq(switch_transition_legal((enum switch_state)from, (enum switch_state)to),
				     picture[from][to] != '.');
	cr_assert_not(switch_transition_legal(SWITCH_STATE_NUM_, SWITCH_OFF));
	cr_assert_not(switch_transition_legal(SWITCH_OFF, SWITCH_STATE_NUM_));
}

Test(switch, every_word)
{
	for (int i = 0; i < SWITCH_STATE_NUM_; i++)
		cr_assert(strlen(switch_state_to_string((enum switch_state)i)) > 1);
	for (int i = 0; i < SWITCH_ACTION_NUM_; i++)
		cr_assert(strlen(switch_action_to_string((enum switch_action)i)) > 1);
	cr_assert_str_eq(switch_state_to_string(SWITCH_STATE_NUM_), "?");
	cr_assert_str_eq(switch_action_to_string(SWITCH_ACTION_NUM_), "?");
}

/* --- the order --- */

Test(switch, there_and_back)
{
	world_begin_passthrough(&w);
	assert_state(&w, "passthrough");
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
	choose(LEG_EMULATED);
	world_run(&w, 100);
	assert_trace(&w, TO_EMULATED);
	assert_leg(&w, LEG_EMULATED, REASON_OPERATOR);
	world_run(&w, 10000000);
	assert_state(&w, "emulated");
	world_clear(&w);
	choose(LEG_PASSTHROUGH);
	world_run(&w, 100);
	assert_trace(&w, TO_PASSTHROUGH);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
	cr_assert_str_eq(w.moves, "to-passthrough passthrough");
	cr_assert_eq(w.nr_told, 0);
}

Test(switch, ten_times_by_order_whatever_the_limit)
{
	world_begin_passthrough(&w);
	for (unsigned i = 0; i < 10; i++) {
		choose(LEG_EMULATED);
		world_run(&w, 100);
		assert_state(&w, "emulated");
		choose(LEG_PASSTHROUGH);
		world_run(&w, 100);
		assert_state(&w, "passthrough");
	}
}

Test(switch, an_attach_is_a_begin_with_nothing)
{
	world_begin(&w);
	world_run(&w, 100);
	assert_trace(&w, "ready-standby steer-both drop-vf announce " TO_PASSTHROUGH);
	assert_state(&w, "passthrough");
}

Test(switch, the_standby_carries_until_the_guest_drives_the_vf)
{
	w.has_driver = false;
	world_begin_emulated(&w);
	world_run(&w, 1000);
	assert_trace(&w, "prepare plug steer-both");
	assert_leg(&w, LEG_EMULATED, REASON_NONE);
	cr_assert(w.standby_filter && w.vf_filter);
	w.has_driver = true;
	world_run(&w, 1000);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
	cr_assert_not(w.standby_filter);
}

Test(switch, the_vf_carries_until_the_guest_has_let_go)
{
	world_begin_passthrough(&w);
	cause(REASON_PF_DOWN, true);
	world_end(&w, 0); /* ready-standby */
	world_end(&w, 0); /* steer-both */
	cr_assert_eq(w.pending, SWITCH_UNPLUG);
	cr_assert(w.standby_filter && w.vf_filter);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
	world_end(&w, 0);
	cr_assert_eq(w.pending, SWITCH_DROP_VF);
	assert_leg(&w, LEG_EMULATED, REASON_PF_DOWN);
}

/* --- adopted by a daemon that has just started --- */

static const struct adopted {
	const char *what;
	struct switch_facts facts;
	bool wanted_off;
	const char *first, *trace, *state;
} adopted[] = {
	{ "on its VF", { true, PLACE_IN, true, false, FILTER_YES, FILTER_NO }, false, "passthrough", "", "passthrough" },
	{ "on its VF, filters unknown",
	  { true, PLACE_IN, true, false, FILTER_MAYBE, FILTER_MAYBE },
	  false,
	  "to-passthrough",
	  "steer-both drop-standby announce",
	  "passthrough" },
	{ "on its standby", { false, PLACE_OUT, false, false, FILTER_NO, FILTER_YES }, true, "emulated", "", "emulated" },
	{ "on its standby, filters unknown",
	  { true, PLACE_OUT, false, false, FILTER_MAYBE, FILTER_MAYBE },
	  true,
	  "to-emulated",
	  "ready-standby steer-both drop-vf announce release",
	  "emulated" },
	{ "half-way off",
	  { true, PLACE_IN, true, false, FILTER_YES, FILTER_YES },
	  true,
	  "to-emulated",
	  "unplug drop-vf announce release",
	  "emulated" },
	{ "half-way on",
	  { true, PLACE_IN, false, false, FILTER_YES, FILTER_YES },
	  false,
	  "to-passthrough",
	  "drop-standby announce",
	  "passthrough" },
	{ "held by the VMM", { true, PLACE_HELD, false, false, FILTER_NO, FILTER_YES }, true, "emulated", "", "emulated" },
	{ "taken its DMA",
	  { true, PLACE_IN, true, true, FILTER_NO, FILTER_YES },
	  false,
	  "to-emulated",
	  "revoke-dma announce unplug release " TO_PASSTHROUGH,
	  "passthrough" },
};

Test(switch, adopted)
{
	for (size_t i = 0; i < sizeof(adopted) / sizeof(adopted[0]); i++) {
		const struct adopted *a = &adopted[i];

		world_done(&w);
		world_init(&w);
		w.f = a->facts;
		w.vf_filter = a->facts.vf != FILTER_NO;
		w.standby_filter = a->facts.standby != FILTER_NO;
		cause(REASON_MEMORY_COW, a->wanted_off);
		world_begin(&w);
		cr_assert_eq(strncmp(w.moves, a->first, strlen(a->first)), 0, "%s: %s", a->what, w.moves);
		world_run(&w, 1000);
		cr_assert_str_eq(w.trace, a->trace, "%s: %s", a->what, w.trace);
		cr_assert_str_eq(switch_state_to_string(world_status(&w).state), a->state, "%s", a->what);
	}
}

/* --- failures --- */

/* Each action of the way there fails a few times, and for ever: it never stops trying, nobody is left without a leg. */
Test(switch, a_failure_on_the_way_to_emulated_is_tried_again)
{
	const enum switch_action each[] = { SWITCH_READY_STANDBY, SWITCH_STEER_BOTH, SWITCH_UNPLUG, SWITCH_DROP_VF,
					    SWITCH_RELEASE };

	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		world_done(&w);
		world_init(&w);
		world_begin_passthrough(&w);
		w.answer[each[i]] = -EIO;
		choose(LEG_EMULATED);
		world_run(&w, 20000);
		cr_assert_gt(w.nr_told, 0);
		cr_assert_eq(world_status(&w).state, SWITCH_TO_EMULATED, "%s", switch_action_to_string(each[i]));
		cr_assert_not_null(world_status(&w).error);
		w.answer[each[i]] = 0;
		world_run(&w, 60000);
		assert_state(&w, "emulated");
		assert_leg(&w, LEG_EMULATED, REASON_OPERATOR);
	}
}

/* Each action of the way back: to emulated, with a reason, and again and again until it holds. */
Test(switch, a_failure_on_the_way_back_falls_back)
{
	const enum switch_action each[] = { SWITCH_PREPARE, SWITCH_PLUG, SWITCH_STEER_BOTH };

	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		world_done(&w);
		world_init(&w);
		w.answer[each[i]] = -EIO;
		w.code = "vmm.no-slot";
		world_begin_emulated(&w);
		world_run(&w, 500);
		assert_state(&w, "emulated");
		assert_leg(&w, LEG_EMULATED, REASON_NO_VF);
		assert_told(&w, "vmm.no-slot");
		cr_assert_eq(world_status(&w).wait, CAUSE_WAIT_BACKOFF);
		cr_assert(w.standby_filter && !w.vf_filter);
		cr_assert_not(w.f.prepared, "the VF is free for others");
		world_run(&w, 3600000);
		assert_state(&w, "emulated");
		w.answer[each[i]] = 0;
		world_run(&w, 300000);
		assert_state(&w, "passthrough");
		assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
	}
}

Test(switch, a_filter_that_cannot_be_dropped_keeps_nobody_off)
{
	w.answer[SWITCH_DROP_STANDBY] = -EIO;
	world_begin_emulated(&w);
	world_run(&w, 60000);
	assert_state(&w, "to-passthrough");
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
	cr_assert_eq(w.nr_told, 1, "once");
	w.answer[SWITCH_DROP_STANDBY] = 0;
	world_run(&w, 60000);
	assert_state(&w, "passthrough");
}

Test(switch, an_announcement_that_fails_is_survived)
{
	w.answer[SWITCH_ANNOUNCE] = -EIO;
	world_begin_emulated(&w);
	world_run(&w, 100);
	assert_trace(&w, TO_PASSTHROUGH);
	assert_state(&w, "passthrough");
	cr_assert_eq(w.nr_told, 0);
}

Test(switch, an_action_that_does_not_end_is_told_and_awaited)
{
	world_begin_passthrough(&w);
	choose(LEG_EMULATED);
	cr_assert_eq(switch_wake_ms(w.sw), w.now + w.config.action_ms);
	w.now += w.config.action_ms;
	switch_tick(w.sw, w.now);
	assert_told(&w, "switch.overdue");
	cr_assert_eq(switch_wake_ms(w.sw), CAUSE_NEVER);
	switch_tick(w.sw, w.now + 5);
	cr_assert_eq(w.nr_told, 1);
	assert_trace(&w, "ready-standby");
	world_run(&w, 100);
	assert_state(&w, "emulated");
}

static int refuse_at_once(void *ctx, enum switch_action action, unsigned deadline_ms, struct err *err)
{
	struct world *world = ctx;

	(void)deadline_ms;
	world_append(world->trace, sizeof(world->trace), switch_action_to_string(action));
	return err_set(err, -ENOMEM, "test.memory", "no memory");
}

static int do_at_once(void *ctx, enum switch_action action, unsigned deadline_ms, struct err *err)
{
	struct world *world = ctx;

	world_start(ctx, action, deadline_ms, err);
	world_end(world, 0);
	return 0;
}

Test(switch, actions_may_end_from_within)
{
	const struct switch_ops at_once = { do_at_once, world_moved, world_told };
	const struct switch_ops refusing = { refuse_at_once, world_moved, world_told };

	switch_free(w.sw);
	w.sw = switch_new("vm1/nic0", &w.config, &at_once, &w);
	world_begin_passthrough(&w);
	choose(LEG_EMULATED);
	assert_trace(&w, TO_EMULATED);
	assert_state(&w, "emulated");
	switch_free(w.sw);
	w.sw = switch_new("vm1/nic0", &w.config, &refusing, &w);
	world_clear(&w);
	world_begin_emulated(&w);
	assert_trace(&w, "prepare drop-vf");
	assert_told(&w, "test.memory");
	cr_assert_eq(switch_wake_ms(w.sw), w.now + w.config.retry_first_ms);
}

/* --- guests --- */

Test(switch, a_deaf_guest_loses_its_dma_at_the_stated_deadline)
{
	uint64_t deadline;

	world_begin_passthrough(&w);
	w.deaf = true;
	cause(REASON_MEMORY_PRIVATE, true);
	world_end(&w, 0);
	world_end(&w, 0);
	deadline = world_status(&w).deadline_ms;
	cr_assert_eq(deadline, w.now + w.config.unplug_deadline_ms);
	while (w.pending == SWITCH_UNPLUG)
		world_run(&w, 1);
	cr_assert_eq(w.pending, SWITCH_REVOKE_DMA);
	cr_assert(w.now >= deadline && w.now < deadline + w.config.unplug_ms);
	assert_told(&w, "switch.unplug-ignored");
	world_run(&w, 10);
	assert_trace(&w, "ready-standby steer-both unplug unplug unplug revoke-dma drop-vf announce unplug");
	assert_leg(&w, LEG_EMULATED, REASON_MEMORY_PRIVATE);
	cause(REASON_MEMORY_PRIVATE, false);
	world_run(&w, 3600000);
	assert_state(&w, "to-emulated");
	cr_assert_eq(w.nr_plugs, 0, "not before the guest has let go");
	/* it lets go at last */
	w.deaf = false;
	world_run(&w, 120000);
	assert_state(&w, "passthrough");
	cr_assert_not(w.f.revoked);
}

/*
 * What is left of its DMA is not known then: it is taken for nothing, and asked for again. Also when a migration fails meanwhile, which makes
 * the VMM keep the VF plugged: the lease is not to come back to a VF that does not work.
 */
Test(switch, a_revocation_that_gets_half_way)
{
	for (int replugged = 0; replugged < 2; replugged++) {
		world_done(&w);
		world_init(&w);
		world_begin_passthrough(&w);
		w.deaf = true;
		cause(REASON_MEMORY_PRIVATE, true);
		while (!w.busy || w.pending != SWITCH_REVOKE_DMA)
			world_run(&w, 1);
		world_apply(&w, SWITCH_REVOKE_DMA);
		world_clear(&w);
		world_end(&w, -EIO);
		assert_leg(&w, LEG_EMULATED, REASON_MEMORY_PRIVATE);
		cause(REASON_MEMORY_PRIVATE, false);
		if (replugged) {
			world_qmp(&w, "UNPLUG_PRIMARY", VF_ID);
			world_qmp(&w, "MIGRATION", "setup");
			world_qmp(&w, "MIGRATION", "cancelled");
		}
		world_run(&w, 100000);
		assert_state(&w, "to-emulated");
		cr_assert_eq(world_status(&w).leg, LEG_EMULATED);
		cr_assert(w.standby_filter && !w.vf_filter);
		cr_assert_eq(strncmp(w.trace, "revoke-dma drop-vf announce unplug", 34), 0, "%s", w.trace);
		w.deaf = false;
		world_run(&w, 120000);
		assert_state(&w, "passthrough");
		cr_assert_not(w.f.revoked);
	}
}

Test(switch, a_deaf_guest_that_reboots_lets_go)
{
	world_begin_passthrough(&w);
	w.deaf = true;
	choose(LEG_EMULATED);
	world_end(&w, 0);
	world_end(&w, 0);
	cr_assert_eq(w.pending, SWITCH_UNPLUG);
	/* the VMM completes what is pending */
	w.busy = false;
	world_apply(&w, SWITCH_UNPLUG);
	world_qmp(&w, "DEVICE_DELETED", VF_ID);
	world_qmp(&w, "RESET", NULL);
	switch_done(w.sw, 0, NULL, w.now);
	world_run(&w, 100);
	assert_state(&w, "emulated");
	cr_assert_eq(w.nr_told, 0);
}

Test(switch, a_guest_cannot_put_the_deadline_off)
{
	uint64_t deadline;

	world_begin_passthrough(&w);
	w.deaf = true;
	choose(LEG_EMULATED);
	world_end(&w, 0);
	world_end(&w, 0);
	deadline = world_status(&w).deadline_ms;
	for (unsigned i = 0; i < 20; i++) {
		world_qmp(&w, "RESET", NULL);
		world_qmp(&w, "FAILOVER_NEGOTIATED", STANDBY_ID);
	}
	cr_assert_eq(world_status(&w).deadline_ms, deadline);
}

Test(switch, a_paused_guest_is_not_late)
{
	world_begin_passthrough(&w);
	world_qmp(&w, "STOP", NULL);
	w.running = false;
	choose(LEG_EMULATED);
	world_run(&w, 3600000);
	assert_trace(&w, "ready-standby steer-both");
	cr_assert_str_eq(world_status(&w).hold, "the guest is paused");
	cr_assert_eq(world_status(&w).deadline_ms, CAUSE_NEVER);
	w.running = true;
	world_qmp(&w, "RESUME", NULL);
	cr_assert_eq(world_status(&w).deadline_ms, w.now + w.config.unplug_deadline_ms);
	world_run(&w, 100);
	assert_trace(&w, TO_EMULATED);
}

Test(switch, a_guest_paused_during_the_unplug_is_not_given_up)
{
	world_begin_passthrough(&w);
	choose(LEG_EMULATED);
	world_end(&w, 0);
	world_end(&w, 0);
	world_qmp(&w, "STOP", NULL);
	w.running = false;
	world_run(&w, 3600000);
	assert_trace(&w, "ready-standby steer-both unplug");
	cr_assert_eq(w.nr_told, 0);
	w.running = true;
	world_qmp(&w, "RESUME", NULL);
	world_run(&w, 100);
	assert_state(&w, "emulated");
}

/* The unplug has begun, what comes before it is not done yet: may the VMM still be asked? */
Test(switch, what_forbids_an_action_that_has_begun)
{
	world_begin_passthrough(&w);
	choose(LEG_EMULATED);
	world_end(&w, 0);
	world_end(&w, 0);
	assert_trace(&w, "ready-standby steer-both unplug");
	cr_assert_null(switch_hold(w.sw, SWITCH_UNPLUG));
	world_qmp(&w, "STOP", NULL);
	cr_assert_str_eq(switch_hold(w.sw, SWITCH_UNPLUG), "the guest is paused");
	world_qmp(&w, "RESUME", NULL);
	cr_assert_null(switch_hold(w.sw, SWITCH_UNPLUG));
	world_qmp(&w, "MIGRATION", "setup");
	cr_assert_str_eq(switch_hold(w.sw, SWITCH_UNPLUG), "the VMM asks the guest to let go");
	cr_assert_str_eq(switch_hold(w.sw, SWITCH_PLUG), "the guest migrates");
	cr_assert_null(switch_hold(w.sw, SWITCH_STEER_BOTH));
}

Test(switch, a_paused_guest_gets_no_vf)
{
	w.running = false;
	world_begin_emulated(&w);
	world_run(&w, 3600000);
	assert_trace(&w, "prepare");
	w.running = true;
	world_qmp(&w, "RESUME", NULL);
	world_run(&w, 100);
	assert_state(&w, "passthrough");
}

Test(switch, a_guest_without_driver_stays_emulated)
{
	unsigned plugs;

	w.has_driver = false;
	world_begin_emulated(&w);
	world_run(&w, w.config.drive_ms + 500);
	assert_trace(&w, "prepare plug steer-both unplug drop-vf announce release");
	assert_state(&w, "emulated");
	assert_leg(&w, LEG_EMULATED, REASON_GUEST_NO_DRIVER);
	assert_told(&w, "switch.no-driver");
	world_run(&w, 24 * 3600000);
	cr_assert_lt(w.nr_plugs, 300, "%u in a day", w.nr_plugs);
	plugs = w.nr_plugs;
	/* another system boots, with a driver: at once */
	while (world_status(&w).state != SWITCH_EMULATED)
		world_run(&w, 1000);
	w.has_driver = true;
	world_qmp(&w, "FAILOVER_NEGOTIATED", STANDBY_ID);
	world_run(&w, 500);
	assert_state(&w, "passthrough");
	cr_assert_leq(w.nr_plugs, plugs + 2);
}

Test(switch, a_guest_that_reboots_is_carried_by_its_standby)
{
	world_begin_passthrough(&w);
	w.has_driver = false;
	w.f.driven = false;
	world_qmp(&w, "RESET", NULL);
	world_event(&w, SWITCH_EV_UNDRIVEN);
	world_run(&w, 1000);
	assert_trace(&w, "steer-both");
	assert_leg(&w, LEG_EMULATED, REASON_NONE);
	w.has_driver = true;
	world_run(&w, 1000);
	assert_trace(&w, "steer-both drop-standby announce");
	assert_state(&w, "passthrough");
}

/* A guest whose interface is down, or that hangs in its boot menu, had a driver: its VF stays, and so does the standby's filter. */
Test(switch, a_guest_that_stops_its_driver_keeps_its_vf)
{
	world_begin_passthrough(&w);
	w.has_driver = false;
	w.f.driven = false;
	world_event(&w, SWITCH_EV_UNDRIVEN);
	world_run(&w, 24 * 3600000);
	assert_trace(&w, "steer-both");
	assert_leg(&w, LEG_EMULATED, REASON_GUEST_NO_DRIVER);
	assert_told(&w, "switch.no-driver");
	cr_assert_eq(w.nr_told, 1);
	w.has_driver = true;
	world_run(&w, 10);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
	/* and what is wanted elsewhere comes off all the same */
	w.has_driver = false;
	w.f.driven = false;
	world_event(&w, SWITCH_EV_UNDRIVEN);
	choose(LEG_EMULATED);
	world_run(&w, 100);
	assert_leg(&w, LEG_EMULATED, REASON_OPERATOR);
	assert_state(&w, "emulated");
}

Test(switch, a_vf_that_somebody_else_unplugs)
{
	world_begin_passthrough(&w);
	w.f.place = PLACE_OUT;
	w.f.driven = false;
	world_qmp(&w, "DEVICE_DELETED", VF_ID);
	world_run(&w, 100);
	assert_trace(&w, "ready-standby steer-both drop-vf announce release");
	assert_leg(&w, LEG_EMULATED, REASON_NO_VF);
	cr_assert_eq(world_status(&w).wait, CAUSE_WAIT_BACKOFF);
	world_run(&w, 1000);
	assert_state(&w, "passthrough");
}

/* --- the VMM --- */

Test(switch, busy_is_asked_again_and_not_counted)
{
	world_begin_emulated(&w);
	w.answer[SWITCH_PLUG] = -EAGAIN;
	world_run(&w, 3000);
	assert_state(&w, "to-passthrough");
	cr_assert_geq(w.nr_plugs, 5);
	w.answer[SWITCH_PLUG] = 0;
	world_run(&w, 1000);
	assert_state(&w, "passthrough");
	cr_assert_eq(w.nr_told, 0);
}

Test(switch, busy_for_too_long_is_a_failure)
{
	world_begin_emulated(&w);
	w.answer[SWITCH_PLUG] = -EAGAIN;
	world_run(&w, w.config.plug_ms + 600);
	assert_state(&w, "emulated");
	assert_told(&w, "switch.plug-timeout");
	assert_leg(&w, LEG_EMULATED, REASON_NO_VF);
}

Test(switch, a_plug_without_an_answer_may_have_come_through)
{
	world_begin_emulated(&w);
	world_end(&w, 0);
	cr_assert_eq(w.pending, SWITCH_PLUG);
	world_apply(&w, SWITCH_PLUG);
	world_end(&w, -ETIMEDOUT);
	world_run(&w, 100);
	assert_trace(&w, TO_PASSTHROUGH);
	assert_state(&w, "passthrough");
}

Test(switch, a_plug_without_an_answer_may_have_failed)
{
	world_begin_emulated(&w);
	world_end(&w, 0);
	world_end(&w, -ECONNRESET);
	world_run(&w, 10);
	world_qmp(&w, "DEVICE_DELETED", VF_ID); /* the daemon has looked */
	world_run(&w, 100);
	assert_trace(&w, "prepare plug steer-both drop-vf announce release");
	assert_state(&w, "emulated");
	world_run(&w, 2000);
	assert_state(&w, "passthrough");
}

/* And nobody tells: it is late then, and what is not there is unplugged in no time. */
Test(switch, a_plug_without_an_answer_of_which_nothing_is_heard)
{
	world_begin_emulated(&w);
	world_end(&w, 0);
	world_end(&w, -ETIMEDOUT);
	world_run(&w, w.config.drive_ms - 100);
	assert_leg(&w, LEG_EMULATED, REASON_NONE);
	cr_assert(w.standby_filter);
	world_run(&w, 200);
	assert_trace(&w, "prepare plug steer-both unplug drop-vf announce release");
	assert_leg(&w, LEG_EMULATED, REASON_GUEST_NO_DRIVER);
	world_run(&w, 2000);
	assert_state(&w, "passthrough");
}

Test(switch, refused_while_it_migrates_unknown_to_us)
{
	world_begin_passthrough(&w);
	w.answer[SWITCH_UNPLUG] = -EBUSY;
	w.code = "vmm.migrating";
	choose(LEG_EMULATED);
	world_run(&w, 2000);
	cr_assert_eq(w.nr_told, 0);
	w.answer[SWITCH_UNPLUG] = 0;
	world_run(&w, 1000);
	assert_state(&w, "emulated");
}

Test(switch, the_vmm_ends_with_an_action_under_way)
{
	world_begin_emulated(&w);
	world_end(&w, 0);
	cr_assert_eq(w.pending, SWITCH_PLUG);
	switch_stop(w.sw, "the guest has ended", w.now);
	assert_state(&w, "off");
	cr_assert_eq(world_status(&w).leg, LEG_NONE);
	cr_assert_eq(switch_wake_ms(w.sw), w.now + w.config.plug_ms, "it is still awaited");
	/* it starts again before that is over */
	w.f = (struct switch_facts){ .standby = FILTER_YES };
	world_begin(&w);
	assert_trace(&w, "prepare plug");
	world_end(&w, -ECONNRESET);
	world_run(&w, 100);
	assert_trace(&w, "prepare plug " TO_PASSTHROUGH);
	assert_state(&w, "passthrough");
	cr_assert_eq(w.nr_told, 0);
}

Test(switch, nothing_happens_while_off)
{
	struct switch_facts f;

	for (int e = 0; e < SWITCH_EVENT_NUM_; e++)
		world_event(&w, (enum switch_event)e);
	switch_done(w.sw, 0, NULL, w.now);
	switch_tick(w.sw, w.now);
	switch_stop(w.sw, "again", w.now);
	choose(LEG_EMULATED);
	assert_trace(&w, "");
	assert_state(&w, "off");
	switch_get_facts(w.sw, &f);
	cr_assert_eq(f.place, PLACE_OUT);
	cr_assert_eq(switch_wake_ms(w.sw), CAUSE_NEVER);
	world_begin_emulated(&w);
	world_begin_passthrough(&w);
	assert_state(&w, "emulated");
	cr_assert_eq(world_status(&w).reason, REASON_OPERATOR, "causes are kept");
}

/* --- decisions --- */

Test(switch, no_vf_until_one_frees)
{
	w.free_vf = false;
	world_begin_emulated(&w);
	world_run(&w, 3600000);
	assert_state(&w, "emulated");
	assert_leg(&w, LEG_EMULATED, REASON_NO_VF);
	assert_trace(&w, "prepare drop-vf");
	w.free_vf = true;
	world_event(&w, SWITCH_EV_VF_FREE);
	world_run(&w, 100);
	assert_state(&w, "passthrough");
}

Test(switch, a_cause_that_ends_before_the_unplug_turns_it_back)
{
	world_begin_passthrough(&w);
	cause(REASON_MEMORY_PRESSURE, true);
	world_end(&w, 0);
	cr_assert_eq(w.pending, SWITCH_STEER_BOTH);
	cause(REASON_MEMORY_PRESSURE, false);
	world_run(&w, 100);
	assert_trace(&w, "ready-standby steer-both drop-standby announce");
	assert_state(&w, "passthrough");
}

Test(switch, a_cause_that_ends_after_the_unplug_is_waited_out)
{
	world_begin_passthrough(&w);
	cause(REASON_MEMORY_PRESSURE, true);
	world_end(&w, 0);
	world_end(&w, 0);
	cause(REASON_MEMORY_PRESSURE, false);
	world_run(&w, 2900);
	assert_trace(&w, TO_EMULATED);
	cr_assert_eq(world_status(&w).wait, CAUSE_WAIT_DELAY);
	assert_leg(&w, LEG_EMULATED, REASON_MEMORY_PRESSURE);
	world_run(&w, 200);
	assert_state(&w, "passthrough");
}

Test(switch, a_cause_in_the_middle_of_the_way_back)
{
	/* before each action, and while each is under way */
	for (unsigned nr = 0; nr < 6; nr++) {
		world_done(&w);
		world_init(&w);
		world_begin_emulated(&w);
		for (unsigned i = 0; i < nr && w.busy; i++) {
			world_end(&w, 0);
			world_guest(&w);
		}
		cause(REASON_SNAPSHOT, true);
		world_run(&w, 1000);
		assert_state(&w, "emulated");
		assert_leg(&w, LEG_EMULATED, REASON_SNAPSHOT);
		cr_assert(w.standby_filter && !w.vf_filter && !w.f.prepared);
		cause(REASON_SNAPSHOT, false);
		world_run(&w, 1000);
		assert_state(&w, "passthrough");
	}
}

Test(switch, the_operators_choice_outlives_everything_else)
{
	world_begin_passthrough(&w);
	choose(LEG_EMULATED);
	cause(REASON_PF_DOWN, true);
	cause(REASON_PF_DOWN, false);
	world_run(&w, 24 * 3600000);
	assert_leg(&w, LEG_EMULATED, REASON_OPERATOR);
	cr_assert_eq(w.nr_plugs, 0);
	switch_stop(w.sw, "the guest has ended", w.now);
	world_begin_emulated(&w);
	world_run(&w, 3600000);
	cr_assert_eq(w.nr_plugs, 0);
	cause(REASON_PF_DOWN, true);
	choose(LEG_PASSTHROUGH);
	world_run(&w, 3600000);
	assert_leg(&w, LEG_EMULATED, REASON_PF_DOWN);
}

Test(switch, no_such_leg)
{
	struct err err;

	world_begin_emulated(&w);
	cr_assert_eq(switch_choose(w.sw, LEG_NONE, w.now, &err), -EINVAL);
	cr_assert_str_eq(err.code, "switch.bad-leg");
	cr_assert_eq(switch_choose(w.sw, LEG_NUM_, w.now, &err), -EINVAL);
}

/* --- a VMM that cannot unplug --- */

Test(switch, unsafe_is_refused_and_leaves_no_trace)
{
	struct err err;

	w.config.unplug_unsafe = true;
	world_begin_passthrough(&w);
	cr_assert_eq(switch_choose(w.sw, LEG_EMULATED, w.now, &err), -EBUSY);
	cr_assert_str_eq(err.code, "vmm.unplug-unsafe");
	cr_assert(*err.hint);
	world_run(&w, 1000);
	assert_trace(&w, "");
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
}

Test(switch, unsafe_keeps_its_vf_whatever_the_cause)
{
	w.config.unplug_unsafe = true;
	world_begin_passthrough(&w);
	cause(REASON_PF_DOWN, true);
	world_run(&w, 3600000);
	assert_trace(&w, "");
	assert_leg(&w, LEG_PASSTHROUGH, REASON_VMM_UNPLUG_UNSAFE);
	cause(REASON_PF_DOWN, false);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
}

Test(switch, unsafe_without_driver_stays_plugged_on_both_filters)
{
	w.config.unplug_unsafe = true;
	w.has_driver = false;
	world_begin_emulated(&w);
	world_run(&w, 24 * 3600000);
	assert_trace(&w, "prepare plug steer-both");
	assert_leg(&w, LEG_EMULATED, REASON_GUEST_NO_DRIVER);
	cr_assert_eq(w.nr_told, 1);
	w.has_driver = true;
	world_run(&w, 100);
	assert_state(&w, "passthrough");
}

/* Quarantined before the daemon restarted: on both filters, whatever its driver says. */
Test(switch, unsafe_without_its_dma_never_loses_the_standby)
{
	w.config.unplug_unsafe = true;
	w.f = (struct switch_facts){ true, PLACE_IN, true, true, FILTER_YES, FILTER_YES };
	w.vf_filter = w.standby_filter = true;
	world_begin(&w);
	world_event(&w, SWITCH_EV_DRIVEN);
	world_run(&w, 3600000);
	assert_trace(&w, "");
	cr_assert_eq(world_status(&w).leg, LEG_EMULATED);
}
