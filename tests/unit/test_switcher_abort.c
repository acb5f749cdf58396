/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Migrations that end badly, at each stage and whatever was heard of them: the VMM plugs the VF back by itself. The cases of QEMU's
 * tests/qtest/virtio-net-failover.c among them have its names; the list of all is in test_switcher_failover.c.
 */
#include <criterion/criterion.h>

#include "failover_test.h"

#define ASKED "UNPLUG_PRIMARY"
#define LETS_GO "(the guest lets go)"
#define LATE "(the deadline of an unplug passes)"

static const struct aborted {
	const char *name, *steps[12]; /* of MIGRATION, and of the three above */
} aborted[] = {
	{ "abort/wait-unplug", { "setup", ASKED, "wait-unplug", "cancelling", LETS_GO, "cancelled" } },
	{ "abort/active", { "setup", ASKED, "wait-unplug", LETS_GO, "active", "cancelling", "cancelled" } },
	{ "abort/active in pre-switchover",
	  { "setup", ASKED, "wait-unplug", LETS_GO, "active", "pre-switchover", "cancelling", "cancelled" } },
	{ "abort/active in device", { "setup", ASKED, "wait-unplug", LETS_GO, "active", "device", "failing", "failed" } },
	{ "abort/active, it fails", { "setup", ASKED, "wait-unplug", LETS_GO, "active", "failed" } },
	{ "abort/timeout", { "setup", ASKED, "wait-unplug", "cancelling", LATE, "cancelled" } },
	{ "off/abort", { "setup", "active", "cancelling", "cancelled" } },
	{ "refused before the guest was asked", { "setup", "failed" } },
};

/* Whether the guest had let go, its VF does not carry before its driver is there: the standby does. */
static void vf_comes_back(const struct aborted *a, bool was_out)
{
	cr_assert(to_standby() || !was_out, "%s: nothing carries until the driver is there", a->name);
	run_for(20);
	cr_assert(to_standby() || !was_out, "%s: nothing carries until the driver is there", a->name);
	cr_assert(!was_out || !lag(), "%s: late for a guest that is on its standby", a->name);
	fake_guest_drives(vm1, true);
	until_at("passthrough");
	on_vf();
	cr_assert_str_eq(text_now("reason"), "(null)");
	nothing_sent(a->name);
}

static bool is_step(const char *step, const char *text)
{
	return !strcmp(step, text);
}

static void abort_it(const struct aborted *a)
{
	bool is_out = false;

	begin_attached();
	for (const char *const *step = a->steps; *step; step++) {
		if (is_step(*step, ASKED)) {
			asks_to_unplug("gangway-nic0");
		} else if (is_step(*step, LETS_GO)) {
			fake_guest_drives(vm1, false);
			is_out = true;
		} else if (is_step(*step, LATE)) {
			run_for(h->d.config.unplug_deadline_ms + 100);
		} else {
			migration(*step);
		}
		nothing_sent(a->name);
		cr_assert(to_standby() || !is_out, "%s: %s: nothing carries", a->name, *step);
	}
	vf_comes_back(a, is_out);
	detach_pair();
	end();
}

Test(switcher_abort, aborted)
{
	for (size_t i = 0; i < sizeof(aborted) / sizeof(aborted[0]); i++)
		abort_it(&aborted[i]);
}

/* Out and in again before anybody looks: its driver is the one that has just started, and both legs carry until it has settled. */
Test(switcher_abort, comes_back_at_once)
{
	begin_attached();
	h->d.config.settle_ms = 300;
	migration("setup");
	asks_to_unplug("gangway-nic0");
	migration("wait-unplug");
	until_both();
	migration("cancelling");
	fake_guest_drives(vm1, false);
	fake_guest_drives(vm1, true);
	migration("cancelled");
	run_for(100);
	cr_assert(to_vf() && to_standby());
	until_at("passthrough");
	on_vf();
	nothing_sent("cancelled");
	detach_pair();
	end();
}

/* It is told, and that is all: QEMU may be asked for nothing, and the DMA of a guest that goes on by its VF stays. */
Test(switcher_abort, keeps_its_vf_past_the_deadline)
{
	begin_attached();
	migration("setup");
	asks_to_unplug("gangway-nic0");
	migration("wait-unplug");
	run_for(h->d.config.unplug_deadline_ms + 200);
	cr_assert_str_eq(text_now("leg"), "passthrough");
	cr_assert_str_eq(text_now("error.code"), "switch.unplug-ignored");
	cr_assert(lease_vf_is_driven(lease()), "its bus mastering stays on");
	cr_assert(to_vf() && to_standby() && lag());
	nothing_sent("past the deadline");
	migration("cancelling");
	migration("cancelled");
	until_at("passthrough");
	on_vf();
	cr_assert_str_eq(text_now("error.code"), "(null)");
	nothing_sent("cancelled");
	detach_pair();
	end();
}

Test(switcher_abort, refuses_to_let_go)
{
	begin_attached();
	migration("setup");
	asks_to_unplug("gangway-nic0");
	migration("wait-unplug");
	about("DEVICE_UNPLUG_GUEST_ERROR", "device", "gangway-nic0");
	cr_assert_str_eq(text_now("leg"), "passthrough");
	cr_assert_str_eq(text_now("error.code"), "switch.unplug-refused");
	migration("cancelled");
	until_at("passthrough");
	on_vf();
	nothing_sent("refused, cancelled");
	detach_pair();
	end();
}

/* --- what was not heard --- */

static bool is_down(void *arg)
{
	(void)arg;
	return !fake_host_guest_up(h, "vm1");
}

static bool is_looked_at(void *arg)
{
	(void)arg;
	return fake_host_guest_up(h, "vm1") && lease() && !lease()->looking;
}

/* gangwayd is killed and started, or the connection is lost; the VMM is asked what goes on. */
static void misses_it(bool restarted)
{
	if (restarted) {
		fake_host_stop(h);
		fake_host_start(h);
	} else {
		fake_qmp_lose(vm1->peer);
		cr_assert(fake_host_until(h, is_down, NULL, 5000));
	}
	cr_assert(fake_host_until(h, is_looked_at, NULL, 5000));
	fake_host_settle(h);
}

/* The guest was asked while nobody listened; it lets go later, and the migration ends as @word says. */
static void unheard(bool restarted, bool active, const char *word)
{
	begin_attached();
	asked_says("\"return\": {\"status\": \"wait-unplug\", \"ram\": {}}");
	misses_it(restarted);
	cr_assert_str_eq(text_now("leg"), "passthrough");
	cr_assert(fake_host_until(h, is_looked_at, NULL, 5000));
	fake_guest_drives(vm1, false);
	asked_says(NULL);
	if (active) {
		migration("active");
		until_at("emulated");
		cr_assert_str_eq(text_now("reason"), "migration");
		cr_assert(!to_vf() && to_standby());
	}
	migration("cancelling");
	migration(word);
	run_for(20);
	cr_assert(to_standby(), "the driver is not there yet");
	fake_guest_drives(vm1, true);
	until_at("passthrough");
	on_vf();
	nothing_sent(word);
	detach_pair();
	end();
}

Test(switcher_abort, across_a_restart)
{
	unheard(true, true, "cancelled");
	unheard(true, true, "failed");
	unheard(true, false, "cancelled");
}

Test(switcher_abort, unheard)
{
	unheard(false, true, "cancelled");
	unheard(false, true, "failed");
	unheard(false, false, "cancelled");
}

/* Cancelled already when gangwayd starts, and the guest never lets go: it may have, so both carry until it is over. */
Test(switcher_abort, across_a_restart_while_cancelling)
{
	begin_attached();
	asked_says("\"return\": {\"status\": \"cancelling\", \"ram\": {}}");
	misses_it(true);
	until_at("to-emulated");
	run_for(20);
	cr_assert(to_vf() && to_standby());
	asked_says(NULL);
	migration("cancelled");
	until_at("passthrough");
	on_vf();
	nothing_sent("cancelled");
	detach_pair();
	end();
}

/* Nor was it heard of before the memory was copied: the VF that the guest does not drive is out of it. */
Test(switcher_abort, unheard_until_active)
{
	begin_attached();
	asked_says("\"return\": {\"status\": \"active\", \"ram\": {}}");
	fake_guest_drives(vm1, false);
	misses_it(false);
	until_at("emulated");
	cr_assert_str_eq(text_now("reason"), "migration");
	cr_assert(!to_vf() && to_standby());
	asked_says(NULL);
	migration("cancelled");
	fake_guest_drives(vm1, true);
	until_at("passthrough");
	on_vf();
	nothing_sent("cancelled");
	detach_pair();
	end();
}
