/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Migrations as QEMU tells of them. The scenarios of its tests/qtest/virtio-net-failover.c, by their names there, from gangway's side:
 *
 *	params/error/id, params/error/pcie	qtest_plug_refused
 *	params/on, params/enabled		qtest_hidden_until_negotiated
 *	params/on_mismatch, params/off		qtest_no_failover_pair
 *	hotplug/1, hotplug/2			qtest_hotplug
 *	hotplug/1_reverse, hotplug/2_reverse	qtest_hotplug_before_the_standby
 *	migrate/on/out				qtest_out
 *	migrate/on/in				qtest_in
 *	migrate/abort/wait-unplug		qtest_abort_wait_unplug
 *	migrate/abort/active			qtest_abort_active
 *	migrate/abort/timeout			qtest_abort_timeout
 *	migrate/multi/out, migrate/multi/in	qtest_multi_out, qtest_multi_in
 */
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
	cr_assert_null(migration_free(NULL));
}

TestSuite(migration, .init = setup, .fini = teardown);

#define FOLLOWED "ready-standby steer-both drop-vf announce"
#define BACK "steer-both drop-standby announce"

static void status(const char *word)
{
	world_qmp(&w, "MIGRATION", word);
}

/* The VMM begins: it takes no device_add any more, and asks the guest. */
static void qemu_begins(void)
{
	w.migrating = true;
	status("setup");
	world_qmp(&w, "UNPLUG_PRIMARY", VF_ID);
	status("wait-unplug");
}

static void guest_lets_go(void)
{
	w.f.place = PLACE_HELD;
	w.f.driven = false;
}

/* failed or cancelled: the event, and then the VMM plugs the VF back. */
static void qemu_gives_up(const char *word)
{
	w.migrating = false;
	if (w.f.place == PLACE_HELD)
		w.f.place = PLACE_IN;
	status(word);
	world_look(&w);
}

static void emulated_by_migration(void)
{
	world_begin_passthrough(&w);
	qemu_begins();
	world_run(&w, 100);
	guest_lets_go();
	status("active");
	world_run(&w, 100);
	assert_trace(&w, FOLLOWED);
	assert_state(&w, "emulated");
	assert_leg(&w, LEG_EMULATED, REASON_MIGRATION);
	world_clear(&w);
}

/* --- the qtest --- */

Test(migration, qtest_plug_refused)
{
	w.answer[SWITCH_PLUG] = -EOPNOTSUPP;
	w.code = "vmm.no-hotplug";
	world_begin_emulated(&w);
	world_run(&w, 100);
	assert_state(&w, "emulated");
	assert_told(&w, "vmm.no-hotplug");
	assert_trace(&w, "prepare plug drop-vf release");
}

/* The VF is on the VMM's command line, or was plugged early: it is hidden until the guest's virtio driver is there. */
Test(migration, qtest_hidden_until_negotiated)
{
	w.has_driver = false;
	w.f = (struct switch_facts){ .prepared = true, .place = PLACE_IN, .standby = FILTER_YES };
	w.standby_filter = true;
	world_begin(&w);
	world_run(&w, 1000);
	assert_leg(&w, LEG_EMULATED, REASON_NONE);
	world_qmp(&w, "FAILOVER_NEGOTIATED", "another");
	world_qmp(&w, "FAILOVER_NEGOTIATED", STANDBY_ID);
	cr_assert_eq(world_status(&w).deadline_ms, w.now + w.config.drive_ms, "from now on");
	w.has_driver = true;
	world_run(&w, 1000);
	assert_trace(&w, BACK);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
}

/* The VMM does not know the two as a pair: it does not unplug, and the migration fails. */
Test(migration, qtest_no_failover_pair)
{
	world_begin_passthrough(&w);
	w.migrating = true;
	status("setup");
	status("active");
	world_run(&w, w.config.unplug_deadline_ms + 1000);
	assert_trace(&w, "ready-standby steer-both");
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
	assert_told(&w, "switch.unplug-ignored");
	qemu_gives_up("failed");
	world_run(&w, 100);
	assert_trace(&w, "ready-standby steer-both drop-standby announce");
	assert_state(&w, "passthrough");
}

Test(migration, qtest_hotplug)
{
	world_begin_emulated(&w);
	world_qmp(&w, "FAILOVER_NEGOTIATED", STANDBY_ID);
	world_run(&w, 100);
	assert_trace(&w, TO_PASSTHROUGH);
}

Test(migration, qtest_hotplug_before_the_standby)
{
	w.f = (struct switch_facts){ .prepared = true, .place = PLACE_IN, .driven = true, .vf = FILTER_YES };
	w.vf_filter = true;
	world_begin(&w);
	world_qmp(&w, "FAILOVER_NEGOTIATED", STANDBY_ID);
	world_run(&w, 100);
	assert_trace(&w, "");
	assert_state(&w, "passthrough");
}

Test(migration, qtest_out)
{
	emulated_by_migration();
	status("device");
	world_qmp(&w, "STOP", NULL);
	status("completed");
	cr_assert_eq(w.nr_left, 1);
	assert_state(&w, "off");
	assert_trace(&w, "");
	cr_assert_eq(migration_role(w.mig), MIGRATION_NONE);
	status("completed");
	cr_assert_eq(w.nr_left, 1, "once");
}

/* In wait-unplug nothing moves until the guest lets go, however long that takes; both filters are set meanwhile. */
Test(migration, qtest_out_waits)
{
	world_begin_passthrough(&w);
	qemu_begins();
	world_run(&w, 3600000);
	assert_trace(&w, "ready-standby steer-both");
	assert_state(&w, "to-emulated");
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
	cr_assert_str_eq(world_status(&w).hold, "the VMM asks the guest to let go");
	assert_told(&w, "switch.unplug-ignored");
	cr_assert_eq(w.nr_told, 1);
	cr_assert_eq(switch_wake_ms(w.sw), CAUSE_NEVER);
}

Test(migration, qtest_in)
{
	w.running = false;
	migration_incoming(w.mig, w.now);
	cr_assert_eq(migration_role(w.mig), MIGRATION_DESTINATION);
	world_begin_emulated(&w);
	status("setup");
	world_qmp(&w, "FAILOVER_NEGOTIATED", STANDBY_ID);
	status("active");
	world_run(&w, 1000);
	assert_trace(&w, "");
	assert_leg(&w, LEG_EMULATED, REASON_MIGRATION);
	w.running = true;
	world_qmp(&w, "RESUME", NULL);
	status("completed");
	world_run(&w, 100);
	assert_trace(&w, "announce " TO_PASSTHROUGH);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
	cr_assert_eq(w.nr_left, 0, "completed is not the source's here");
	/* and from here it may go on to a third host */
	world_clear(&w);
	qemu_begins();
	cr_assert_eq(migration_role(w.mig), MIGRATION_SOURCE);
}

Test(migration, qtest_abort_wait_unplug)
{
	world_begin_passthrough(&w);
	qemu_begins();
	world_run(&w, 100);
	status("cancelling");
	world_run(&w, 1000);
	assert_trace(&w, "ready-standby steer-both");
	guest_lets_go(); /* it does so only now, the VMM has waited for it */
	qemu_gives_up("cancelled");
	assert_trace(&w, "ready-standby steer-both steer-both");
	assert_state(&w, "to-passthrough"); /* the standby carries until its driver is there again, and without the lag */
	world_run(&w, 1000);
	assert_trace(&w, "ready-standby steer-both steer-both drop-standby announce");
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
	cr_assert_eq(w.nr_plugs, 0, "the VMM has plugged it");
}

Test(migration, qtest_abort_active)
{
	const char *const each[] = { "active", "pre-switchover", "device", "postcopy-active", "postcopy-paused" };

	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		world_done(&w);
		world_init(&w);
		emulated_by_migration();
		status(each[i]);
		status("cancelling");
		world_run(&w, 1000);
		assert_trace(&w, "");
		qemu_gives_up("cancelled");
		cr_assert_eq(w.pending, SWITCH_STEER_BOTH, "at once");
		world_run(&w, 1000);
		assert_trace(&w, BACK);
		assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
		cr_assert_eq(w.nr_plugs, 0);
	}
}

/* The guest never lets go: after 30 s the VMM cancels all the same, and the guest has had its VF all the time. */
Test(migration, qtest_abort_timeout)
{
	world_begin_passthrough(&w);
	qemu_begins();
	status("cancelling");
	world_run(&w, 30000);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
	qemu_gives_up("cancelled");
	world_run(&w, 100);
	assert_trace(&w, "ready-standby steer-both steer-both drop-standby announce");
	assert_state(&w, "passthrough");
}

/* Two NICs: the VMM waits for both; each follower hears of the other's. */
Test(migration, qtest_multi_out)
{
	world_begin_passthrough(&w);
	w.migrating = true;
	status("setup");
	world_qmp(&w, "UNPLUG_PRIMARY", "gangway-nic1");
	world_qmp(&w, "UNPLUG_PRIMARY", VF_ID);
	status("wait-unplug");
	world_qmp(&w, "DEVICE_UNPLUG_GUEST_ERROR", "gangway-nic1");
	world_qmp(&w, "DEVICE_DELETED", "gangway-nic1");
	world_run(&w, 1000);
	assert_trace(&w, "ready-standby steer-both");
	cr_assert_eq(w.nr_told, 0);
	guest_lets_go();
	status("active");
	world_run(&w, 100);
	assert_trace(&w, FOLLOWED);
	status("completed");
	cr_assert_eq(w.nr_left, 1);
}

Test(migration, qtest_multi_in)
{
	w.running = false;
	migration_incoming(w.mig, w.now);
	world_begin_emulated(&w);
	status("setup");
	world_qmp(&w, "FAILOVER_NEGOTIATED", STANDBY_ID);
	world_qmp(&w, "FAILOVER_NEGOTIATED", "standby1");
	w.running = true;
	world_qmp(&w, "RESUME", NULL);
	world_run(&w, 100);
	assert_trace(&w, "announce " TO_PASSTHROUGH);
}

/* --- more of the source --- */

/* A migration that ends badly at each stage brings the VF back, and again and again if need be. */
Test(migration, failed_at_each_stage)
{
	const char *const stages[] = { "setup", "wait-unplug", "active", "device", "failing" };

	for (unsigned nr = 0; nr <= sizeof(stages) / sizeof(stages[0]); nr++) {
		world_done(&w);
		world_init(&w);
		world_begin_passthrough(&w);
		w.migrating = true;
		for (unsigned i = 0; i < nr; i++) {
			status(stages[i]);
			if (i == 0)
				world_qmp(&w, "UNPLUG_PRIMARY", VF_ID);
			if (i == 1)
				guest_lets_go();
			world_run(&w, 10);
		}
		qemu_gives_up("failed");
		w.answer[SWITCH_STEER_BOTH] = -EIO;
		world_run(&w, 5000);
		w.answer[SWITCH_STEER_BOTH] = 0;
		world_run(&w, 300000);
		assert_state(&w, "passthrough");
		cr_assert_eq(migration_role(w.mig), MIGRATION_NONE);
	}
}

Test(migration, failed_before_anything_was_asked)
{
	world_begin_passthrough(&w);
	status("setup");
	world_end(&w, 0);
	status("failed");
	world_run(&w, 100);
	assert_trace(&w, "ready-standby steer-both drop-standby announce");
	assert_state(&w, "passthrough");
}

Test(migration, without_the_events_capability)
{
	world_begin_passthrough(&w);
	w.migrating = true;
	world_qmp(&w, "UNPLUG_PRIMARY", VF_ID);
	cr_assert_eq(migration_role(w.mig), MIGRATION_SOURCE);
	world_run(&w, 100);
	assert_trace(&w, "ready-standby steer-both");
}

/* Nobody was connected when the guest was asked: the VMM waits for nothing else. */
Test(migration, asked_for_unheard)
{
	world_begin_passthrough(&w);
	w.migrating = true;
	status("wait-unplug");
	world_run(&w, 100);
	assert_trace(&w, "ready-standby steer-both");
	guest_lets_go();
	status("active");
	world_run(&w, 100);
	assert_trace(&w, FOLLOWED);
	assert_leg(&w, LEG_EMULATED, REASON_MIGRATION);
	qemu_gives_up("failed");
	world_run(&w, 1000);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
}

Test(migration, met_half_way_by_a_daemon_that_has_just_started)
{
	migration_event(w.mig, "MIGRATION", "active", w.now);
	w.migrating = true;
	w.f = (struct switch_facts){ .prepared = true, .place = PLACE_HELD, .standby = FILTER_YES };
	w.standby_filter = true;
	world_begin(&w);
	world_run(&w, 1000);
	assert_trace(&w, "");
	assert_leg(&w, LEG_EMULATED, REASON_MIGRATION);
	status("completed");
	cr_assert_eq(w.nr_left, 1);
}

Test(migration, what_is_over_says_nothing)
{
	world_begin_passthrough(&w);
	status("none");
	status("completed");
	status("failed");
	status("cancelled");
	status("some-new-word");
	status("");
	world_qmp(&w, "MIGRATION", NULL);
	world_qmp(&w, "UNPLUG_PRIMARY", NULL);
	world_qmp(&w, "POWERDOWN", NULL);
	world_qmp(&w, "NO_SUCH_EVENT", "x");
	world_run(&w, 1000);
	assert_trace(&w, "");
	cr_assert_eq(w.nr_left, 0);
	assert_state(&w, "passthrough");
}

/* QEMU refuses device_del during a migration: what the operator wants waits for its end. */
Test(migration, an_operator_s_unplug_meets_a_migration)
{
	struct err err;

	world_begin_passthrough(&w);
	cr_assert_eq(switch_choose(w.sw, LEG_EMULATED, w.now, &err), 0);
	world_end(&w, 0);
	status("setup");
	w.migrating = true;
	world_run(&w, 1000);
	assert_trace(&w, "ready-standby steer-both");
	qemu_gives_up("failed");
	world_run(&w, 1000);
	assert_trace(&w, TO_EMULATED);
	assert_leg(&w, LEG_EMULATED, REASON_OPERATOR);
}

/* The VMM plugs the VF back, and the operator does not want it there. */
Test(migration, replugged_against_another_cause)
{
	struct err err;

	emulated_by_migration();
	cr_assert_eq(switch_choose(w.sw, LEG_EMULATED, w.now, &err), 0);
	qemu_gives_up("cancelled");
	world_run(&w, 1000);
	assert_trace(&w, "steer-both unplug drop-vf announce release");
	assert_leg(&w, LEG_EMULATED, REASON_OPERATOR);
}

Test(migration, the_guest_refuses)
{
	world_begin_passthrough(&w);
	qemu_begins();
	world_run(&w, 10);
	world_qmp(&w, "DEVICE_UNPLUG_GUEST_ERROR", VF_ID);
	assert_told(&w, "switch.unplug-refused");
	world_qmp(&w, "DEVICE_UNPLUG_GUEST_ERROR", VF_ID);
	cr_assert_eq(w.nr_told, 1);
	qemu_gives_up("cancelled");
	world_run(&w, 10);
	assert_state(&w, "passthrough");
}

/* The guest reboots in wait-unplug: what the VMM asked for, it completes at the reset. */
Test(migration, the_guest_reboots_in_wait_unplug)
{
	world_begin_passthrough(&w);
	qemu_begins();
	world_run(&w, 10);
	guest_lets_go();
	world_qmp(&w, "RESET", NULL);
	world_event(&w, SWITCH_EV_UNDRIVEN);
	status("active");
	world_run(&w, 100);
	assert_trace(&w, FOLLOWED);
	assert_state(&w, "emulated");
}

Test(migration, a_paused_guest_cannot_let_go)
{
	world_begin_passthrough(&w);
	world_qmp(&w, "STOP", NULL);
	w.running = false;
	qemu_begins();
	world_run(&w, 3600000);
	assert_trace(&w, "ready-standby steer-both");
	cr_assert_eq(w.nr_told, 0, "it is not the guest's fault");
	w.running = true;
	world_qmp(&w, "RESUME", NULL);
	guest_lets_go();
	status("active");
	world_run(&w, 10);
	assert_trace(&w, FOLLOWED);
}

/* What the VMM keeps when a snapshot is complete it plugs back itself, when it is made to. */
Test(migration, the_vmm_keeps_it)
{
	emulated_by_migration();
	w.migrating = false;
	migration_set_snapshot(w.mig, true, w.now);
	assert_leg(&w, LEG_EMULATED, REASON_SNAPSHOT);
	status("completed");
	cr_assert_eq(w.nr_left, 0, "a snapshot leaves the guest here");
	world_run(&w, 1000);
	assert_trace(&w, "replug " BACK);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
}

Test(migration, a_snapshot_known_before)
{
	world_begin_passthrough(&w);
	migration_set_snapshot(w.mig, true, w.now);
	qemu_begins();
	world_run(&w, 100);
	guest_lets_go();
	status("active");
	world_run(&w, 100);
	assert_leg(&w, LEG_EMULATED, REASON_SNAPSHOT);
	qemu_gives_up("failed");
	world_run(&w, 100);
	assert_state(&w, "passthrough");
	/* the next one is a migration again */
	world_clear(&w);
	qemu_begins();
	guest_lets_go();
	status("active");
	status("completed");
	cr_assert_eq(w.nr_left, 1);
}

/* --- more of the destination --- */

/* As gangwayd begins: what the filters are it does not know. While the guest runs at the source, its traffic must go there. */
Test(migration, a_guest_is_announced_when_it_is_here)
{
	w.running = false;
	w.f = (struct switch_facts){ .prepared = true, .vf = FILTER_MAYBE, .standby = FILTER_MAYBE };
	w.standby_filter = true;
	migration_incoming(w.mig, w.now);
	world_begin(&w);
	world_run(&w, 60000);
	assert_trace(&w, "ready-standby steer-both drop-vf release");
	assert_state(&w, "emulated");
	status("setup");
	status("active");
	world_run(&w, 60000);
	world_clear(&w);
	w.running = true;
	world_qmp(&w, "RESUME", NULL);
	status("completed");
	world_run(&w, 100);
	assert_trace(&w, "announce " TO_PASSTHROUGH);
}

Test(migration, postcopy_gets_its_vf_with_the_last_page)
{
	w.running = false;
	migration_incoming(w.mig, w.now);
	world_begin_emulated(&w);
	status("setup");
	status("active");
	status("postcopy-active");
	w.running = true;
	world_qmp(&w, "RESUME", NULL);
	world_run(&w, 60000);
	assert_leg(&w, LEG_EMULATED, REASON_POSTCOPY);
	status("postcopy-paused");
	status("postcopy-recover");
	status("postcopy-active");
	world_run(&w, 60000);
	assert_trace(&w, "announce");
	status("completed");
	world_run(&w, 100);
	assert_trace(&w, "announce " TO_PASSTHROUGH);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
}

Test(migration, no_vf_at_the_destination)
{
	w.running = false;
	w.free_vf = false;
	migration_incoming(w.mig, w.now);
	world_begin_emulated(&w);
	w.running = true;
	world_qmp(&w, "RESUME", NULL);
	status("completed");
	world_run(&w, 60000);
	assert_leg(&w, LEG_EMULATED, REASON_NO_VF);
	w.free_vf = true;
	world_event(&w, SWITCH_EV_VF_FREE);
	world_run(&w, 100);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
}

Test(migration, a_guest_that_arrives_paused)
{
	w.running = false;
	migration_incoming(w.mig, w.now);
	world_begin_emulated(&w);
	status("completed");
	world_run(&w, 60000);
	assert_trace(&w, "prepare");
	w.running = true;
	world_qmp(&w, "RESUME", NULL);
	world_run(&w, 100);
	assert_state(&w, "passthrough");
}

/* --- a VMM that cannot unplug (vfio-user on QEMU 11.1.3): its own unplug of a migration is the only one --- */

Test(migration, unsafe_follows_and_comes_back)
{
	w.config.unplug_unsafe = true;
	emulated_by_migration();
	qemu_gives_up("cancelled");
	world_run(&w, 1000);
	assert_trace(&w, BACK);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
}

Test(migration, unsafe_and_kept_by_the_vmm_comes_back)
{
	w.config.unplug_unsafe = true;
	emulated_by_migration();
	migration_set_snapshot(w.mig, true, w.now);
	w.migrating = false;
	status("completed");
	world_run(&w, 1000);
	assert_trace(&w, "replug " BACK);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
}

/* The migration that makes the VMM plug back is none; the next one is. */
Test(migration, what_makes_the_vmm_plug_back_is_no_cause)
{
	emulated_by_migration();
	migration_set_snapshot(w.mig, true, w.now);
	w.migrating = false;
	status("completed");
	cr_assert_eq(w.pending, SWITCH_REPLUG);
	migration_expect_replug(w.mig, true);
	status("setup");
	status("active");
	w.f.place = PLACE_IN;
	status("failing");
	status("failed");
	cr_assert_eq(migration_role(w.mig), MIGRATION_NONE);
	world_run(&w, 1000);
	assert_trace(&w, "replug " BACK);
	assert_leg(&w, LEG_PASSTHROUGH, REASON_NONE);
	status("setup");
	cr_assert_eq(migration_role(w.mig), MIGRATION_SOURCE);
}

Test(migration, words)
{
	cr_assert_str_eq(migration_word_of("MIGRATION"), "status");
	cr_assert_str_eq(migration_word_of("UNPLUG_PRIMARY"), "device-id");
	cr_assert_str_eq(migration_word_of("FAILOVER_NEGOTIATED"), "device-id");
	cr_assert_str_eq(migration_word_of("DEVICE_DELETED"), "device");
	cr_assert_str_eq(migration_word_of("DEVICE_UNPLUG_GUEST_ERROR"), "device");
	cr_assert_null(migration_word_of("RESUME"));
	cr_assert_null(migration_word_of("no such event"));
}
