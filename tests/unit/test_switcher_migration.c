/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A lease with a standby whose guest migrates: what its VMM tells, and what it does not, because nobody listened. */
#include <criterion/criterion.h>

#include "guests.h"
#include "switcher_internal.h"
#include "switcher_test.h"
#include "vmm.h"

static void migration(const char *status)
{
	char data[64];

	snprintf(data, sizeof(data), "{\"status\": \"%s\"}", status);
	fake_qmp_event(vm1->peer, "MIGRATION", data);
}

static void status(const char *status)
{
	vm1->status = status;
	fake_guest_update(vm1);
}

/* The guest has let its VF go, and its memory is being copied. */
static void copies(void)
{
	migration("setup");
	fake_qmp_event(vm1->peer, "UNPLUG_PRIMARY", "{\"device-id\": \"gangway-nic0\"}");
	migration("wait-unplug");
	fake_guest_drives(vm1, false);
	migration("active");
}

/* The VMM holds the VF. */
static void on_standby_but_held(const char *reason)
{
	cr_assert_str_eq(text_now("leg"), "emulated");
	cr_assert_str_eq(text_now("reason"), reason);
	cr_assert(!to_vf() && to_standby());
}

static bool has_left(void *arg)
{
	struct lease *l = lease();

	(void)arg;
	return l && l->left && !l->busy && l->sw->nr_cleared == 2;
}

static void led_nowhere(void)
{
	cr_assert(fake_host_until(h, has_left, NULL, 5000), "leg %s", text_now("leg"));
	cr_assert_str_eq(text_now("leg"), "none");
	cr_assert(!to_vf() && !to_standby());
}

static void leaves(void)
{
	copies();
	until_at("emulated");
	fake_qmp_event(vm1->peer, "STOP", NULL);
	status("postmigrate");
	migration("completed");
	led_nowhere();
}

static bool is_down(void *arg)
{
	(void)arg;
	return vmm_get_state(guest_find(&h->d, "vm1")->vmm) != VMM_UP;
}

static bool is_up(void *arg)
{
	return !is_down(arg);
}

static bool is_looked_at(void *arg)
{
	(void)arg;
	return lease() && !lease()->looking;
}

static void connection_is_lost(void)
{
	fake_qmp_lose(vm1->peer);
	cr_assert(fake_host_until(h, is_down, NULL, 5000));
	cr_assert(fake_host_until(h, is_up, NULL, 5000));
	cr_assert(fake_host_until(h, is_looked_at, NULL, 5000));
	fake_host_settle(h);
}

static void vmm_ends(void)
{
	fake_guest_die(vm1);
	until_leases(0);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	cr_assert_eq(records(), 0);
	end();
}

/* --- it leaves --- */

/* What is left of it has the VF; nothing leads there, whatever is asked of it and however often it is looked at. */
Test(switcher_migration, what_is_left_of_a_guest)
{
	begin_pair(false);
	attach_pair("macvtap");
	leaves();
	connection_is_lost();
	led_nowhere();
	fail("lease.busy", EBUSY, "switch", leg("emulated"));
	fail("lease.busy", EBUSY, "switch", leg("passthrough"));
	fake_host_stop(h);
	fake_host_start(h);
	led_nowhere();
	vmm_ends();
}

/* Its migration is over before the switch has come to the VF's filter, and somebody else has the lease. */
Test(switcher_migration, leaves_in_a_hurry)
{
	begin_pair(false);
	attach_pair("macvtap");
	lease()->busy = "it is being looked at";
	copies();
	fake_qmp_event(vm1->peer, "STOP", NULL);
	status("postmigrate");
	migration("completed");
	while (!lease()->left)
		turn();
	fake_host_settle(h);
	cr_assert(to_vf());
	lease()->busy = NULL;
	led_nowhere();
	vmm_ends();
}

/* Its VMM is told to go on: a guest that was saved, or whose destination died with it. */
static void goes_on(bool restarted, bool heard)
{
	begin_pair(false);
	attach_pair("macvtap");
	leaves();
	if (restarted) {
		fake_host_stop(h);
		fake_host_start(h);
		led_nowhere();
	}
	status("running");
	if (heard)
		fake_qmp_event(vm1->peer, "RESUME", NULL);
	else
		connection_is_lost();
	until_at("passthrough");
	on_vf();
	succeed("switch", leg("emulated"));
	on_standby("operator");
	detach_pair();
	end();
}

Test(switcher_migration, goes_on_here_after_all)
{
	goes_on(false, true);
}

Test(switcher_migration, goes_on_here_unheard)
{
	goes_on(false, false);
}

Test(switcher_migration, goes_on_here_after_a_restart)
{
	goes_on(true, true);
}

static bool recorded_as_revoked(void)
{
	json_t *record = the_record();
	bool is = json_is_true(member(record, "emul.revoked"));

	json_decref(record);
	return is;
}

/*
 * The same of a guest that kept its VF past the deadline and let it go for the migration alone: what its VMM then plugs back is the device whose
 * DMA was taken away, and no leg that carries. The guest has to let it go, and is given it anew.
 */
static void goes_on_with_what_was_revoked(bool restarted)
{
	begin_pair(false);
	attach_pair("macvtap");
	vm1->unplug = FAKE_UNPLUG_IGNORED;
	fail("vmm.unplug-timeout", ETIMEDOUT, "switch", leg("emulated"));
	while (to_vf())
		turn();
	leaves();
	vm1->unplug = FAKE_UNPLUG_OBEYED;
	if (restarted) {
		fake_host_stop(h);
		fake_host_start(h);
		led_nowhere();
	}
	status("running");
	fake_qmp_event(vm1->peer, "RESUME", NULL);
	until_at("emulated");
	on_standby_but_held("operator");
	cr_assert(recorded_as_revoked());
	succeed("switch", leg("passthrough"));
	on_vf();
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 3, "the pair, when it was attached, and the VF once more");
	cr_assert_not(recorded_as_revoked());
	detach_pair();
	end();
}

Test(switcher_migration, goes_on_here_with_what_was_revoked)
{
	goes_on_with_what_was_revoked(false);
}

Test(switcher_migration, goes_on_here_with_what_was_revoked_after_a_restart)
{
	goes_on_with_what_was_revoked(true);
}

/* --- it stays --- */

static bool leads_to_both(void *arg)
{
	(void)arg;
	return to_vf() && to_standby() && !lease()->busy;
}

/*
 * Cancelled while the VMM waits for the guest to let its VF go, which it does after that (@lets_go) or never: no word tells which. Until its driver is
 * there again, the standby has to carry.
 */
static void is_cancelled_early(bool lets_go)
{
	begin_pair(false);
	attach_pair("macvtap");
	migration("setup");
	fake_qmp_event(vm1->peer, "UNPLUG_PRIMARY", "{\"device-id\": \"gangway-nic0\"}");
	migration("wait-unplug");
	cr_assert(fake_host_until(h, leads_to_both, NULL, 5000));
	migration("cancelling");
	if (lets_go)
		fake_guest_drives(vm1, false);
	migration("cancelled");
	if (lets_go) {
		until_at("to-passthrough");
		fake_host_settle(h);
		cr_assert(is_at("to-passthrough") && to_vf() && to_standby());
		fake_guest_drives(vm1, true);
	}
	until_at("passthrough");
	on_vf();
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 2, "the pair, when it was attached");
	detach_pair();
	end();
}

Test(switcher_migration, cancelled_before_it_lets_go)
{
	is_cancelled_early(true);
}

Test(switcher_migration, cancelled_and_never_let_go)
{
	is_cancelled_early(false);
}

/* A VMM that sends the last of its guest to a destination that takes nothing answers nobody: how that ended is asked when it does again. */
static void comes_to_nothing_unheard(const char *how)
{
	char reply[80];

	begin_pair(false);
	attach_pair("macvtap");
	copies();
	migration("device");
	fake_qmp_event(vm1->peer, "STOP", NULL);
	until_at("emulated");
	on_standby_but_held("migration");
	snprintf(reply, sizeof(reply), "\"return\": {\"status\": \"%s\", \"ram\": {}}", how);
	vm1->migration = reply;
	fake_guest_update(vm1);
	connection_is_lost();
	until_at("to-passthrough");
	cr_assert(to_vf() && to_standby());
	fake_guest_drives(vm1, true);
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

Test(switcher_migration, cancelled_unheard)
{
	comes_to_nothing_unheard("cancelled");
}

Test(switcher_migration, failed_unheard)
{
	comes_to_nothing_unheard("failed");
}

/*
 * gangwayd is killed while the VMM waits for the guest to let its VF go, or once that wait was cancelled; or its connection is lost, and
 * what it has missed is all of it.
 */
static void unheard_while_asked(bool restarted, const char *status_then, const char *next)
{
	char reply[80];

	begin_pair(false);
	attach_pair("macvtap");
	if (restarted) {
		migration("setup");
		fake_qmp_event(vm1->peer, "UNPLUG_PRIMARY", "{\"device-id\": \"gangway-nic0\"}");
		migration("wait-unplug");
		cr_assert(fake_host_until(h, leads_to_both, NULL, 5000));
	}
	snprintf(reply, sizeof(reply), "\"return\": {\"status\": \"%s\", \"ram\": {}}", status_then);
	vm1->migration = reply;
	fake_guest_update(vm1);
	if (restarted) {
		fake_host_stop(h);
		fake_host_start(h);
	} else {
		connection_is_lost();
	}
	until_at("to-emulated");
	fake_host_settle(h);
	cr_assert(to_vf() && to_standby(), "nobody knows which of them the guest has");
	fake_guest_drives(vm1, false);
	if (next) {
		migration(next);
		until_at("emulated");
		on_standby_but_held("migration");
	}
	migration("cancelled");
	until_at("to-passthrough");
	fake_host_settle(h);
	cr_assert(is_at("to-passthrough") && to_vf() && to_standby());
	fake_guest_drives(vm1, true);
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

Test(switcher_migration, restarted_while_asked)
{
	unheard_while_asked(true, "wait-unplug", "active");
	unheard_while_asked(true, "wait-unplug", NULL);
	unheard_while_asked(true, "cancelling", NULL);
}

Test(switcher_migration, unheard_while_asked)
{
	unheard_while_asked(false, "wait-unplug", "active");
	unheard_while_asked(false, "wait-unplug", NULL);
	unheard_while_asked(false, "cancelling", NULL);
}

/* Or it hears of all that when the guest has let go already. */
Test(switcher_migration, unheard_until_it_copies)
{
	begin_pair(false);
	attach_pair("macvtap");
	vm1->migration = "\"return\": {\"status\": \"active\", \"ram\": {}}";
	fake_guest_drives(vm1, false);
	fake_guest_update(vm1);
	connection_is_lost();
	until_at("emulated");
	on_standby_but_held("migration");
	fake_guest_drives(vm1, true);
	migration("failed");
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

/* A background snapshot that somebody else takes, or a former gangwayd: the guest runs all the while. */
static void is_snapshotted(bool restarted)
{
	begin_pair(false);
	attach_pair("macvtap");
	copies();
	until_at("emulated");
	on_standby_but_held("migration");
	vm1->migration = "\"return\": {\"status\": \"active\", \"ram\": {}}";
	fake_guest_update(vm1);
	if (restarted) {
		fake_host_stop(h);
		fake_host_start(h);
	}
	until_at("emulated");
	vm1->migration = NULL; /* what begins from now on is gangwayd's own, to have the VF back */
	fake_guest_update(vm1);
	migration("completed");
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

Test(switcher_migration, a_snapshot_by_somebody_else)
{
	is_snapshotted(false);
}

Test(switcher_migration, a_snapshot_across_a_restart)
{
	is_snapshotted(true);
}

static json_t *to_a_file(void)
{
	return json_pack("{s:s, s:s}", "guest", "vm1", "uri", "file:/srv/vm1");
}

/* The connection is lost before the VMM has said that it begins: it has. */
Test(switcher_migration, a_snapshot_that_is_not_answered)
{
	json_int_t id;
	json_t *a;

	begin_pair(false);
	attach_pair("macvtap");
	vm1->migration = "\"return\": {\"status\": \"active\", \"ram\": {}}";
	vm1->hangs_at = "migrate";
	fake_guest_update(vm1);
	id = fake_host_send(h, "migrate", to_a_file());
	while (!fake_qmp_count(vm1->peer, "migrate"))
		turn();
	copies();
	until_at("emulated");
	on_standby_but_held("snapshot");
	connection_is_lost();
	a = fake_host_wait(h, id);
	cr_assert_eq(json_integer_value(member(a, "error.data.errno")), ECONNRESET);
	json_decref(a);
	on_standby_but_held("snapshot");
	fake_qmp_event(vm1->peer, "STOP", NULL);
	status("postmigrate");
	migration("completed");
	fake_host_settle(h);
	cr_assert_not(lease()->left);
	vm1->migration = vm1->hangs_at = NULL;
	status("running");
	fake_qmp_event(vm1->peer, "RESUME", NULL);
	until_at("passthrough");
	on_vf();
	/* the next one is no snapshot */
	leaves();
	vmm_ends();
}

/* Nor has it begun: what comes later is no snapshot. */
Test(switcher_migration, a_snapshot_that_does_not_begin)
{
	json_int_t id;
	json_t *a;

	begin_pair(false);
	attach_pair("macvtap");
	vm1->migration = "\"return\": {\"status\": \"none\"}";
	vm1->hangs_at = "migrate";
	fake_guest_update(vm1);
	id = fake_host_send(h, "migrate", to_a_file());
	while (!fake_qmp_count(vm1->peer, "migrate"))
		turn();
	connection_is_lost();
	a = fake_host_wait(h, id);
	cr_assert_eq(json_integer_value(member(a, "error.data.errno")), ECONNRESET);
	json_decref(a);
	leaves();
	vmm_ends();
}

/* Asked for while the guest migrates: it is refused, and the migration is none the less one. */
Test(switcher_migration, a_snapshot_meanwhile)
{
	begin_pair(false);
	attach_pair("macvtap");
	copies();
	until_at("emulated");
	fail("vmm.migrating", EBUSY, "migrate", to_a_file());
	on_standby_but_held("migration");
	cr_assert_eq(fake_qmp_count(vm1->peer, "query-migrate-capabilities"), 1, "when gangwayd connected");
	fake_qmp_event(vm1->peer, "STOP", NULL);
	status("postmigrate");
	migration("completed");
	led_nowhere();
	vmm_ends();
}

/* The VMM will not plug it back: the next migration is none the less one. */
Test(switcher_migration, a_replug_that_is_refused)
{
	begin_pair(false);
	attach_pair("macvtap");
	leaves();
	status("running");
	vm1->no_replug = true;
	fake_guest_update(vm1);
	fake_qmp_event(vm1->peer, "RESUME", NULL);
	while (!fake_qmp_count(vm1->peer, "migrate"))
		turn();
	until_at("emulated");
	/* without a VF in the guest nobody is asked to let it go */
	migration("setup");
	migration("active");
	fake_qmp_event(vm1->peer, "STOP", NULL);
	status("postmigrate");
	migration("completed");
	led_nowhere();
	vmm_ends();
}

/* --- it comes --- */

/* It runs here before its memory is: gangwayd is killed meanwhile, or not. */
static void comes_by_postcopy(bool restarted)
{
	h = fake_host_new(2);
	vm1 = fake_guest_add(h, "vm1", false);
	vm1->ports = 2;
	vm1->status = "inmigrate";
	vm1->migration = "\"return\": {\"status\": \"active\"}";
	fake_guest_run(vm1);
	before_again();
	json_decref(attach(pair_params("macvtap")));
	migration("postcopy-active");
	status("running");
	fake_qmp_event(vm1->peer, "RESUME", NULL);
	fake_host_settle(h);
	cr_assert_str_eq(text_now("reason"), "postcopy");
	vm1->migration = "\"return\": {\"status\": \"postcopy-active\"}";
	fake_guest_update(vm1);
	if (restarted) {
		fake_host_stop(h);
		fake_host_start(h);
	}
	until_at("emulated");
	on_standby("postcopy");
	migration("completed");
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

Test(switcher_migration, comes_by_postcopy)
{
	comes_by_postcopy(false);
}

Test(switcher_migration, comes_by_postcopy_across_a_restart)
{
	comes_by_postcopy(true);
}

/* So much is left to be copied when gangwayd asks next. */
static void left_to_copy(const char *bytes)
{
	static char reply[200];
	unsigned asked = fake_qmp_count(vm1->peer, "query-migrate");

	snprintf(reply, sizeof(reply),
		 "\"return\": {\"status\": \"active\", \"ram\": {\"transferred\": 1, \"remaining\": %s, \"total\": 1000}}",
		 bytes);
	vm1->migration = reply;
	fake_guest_update(vm1);
	while (fake_qmp_count(vm1->peer, "query-migrate") < asked + 2) /* one may have been under way */
		turn();
}

/* What was asked for begins when most memory has been copied and there is more to copy again, and only then. */
Test(switcher_migration, postcopy)
{
	json_int_t id;
	json_t *a;

	begin_pair(false);
	attach_pair("macvtap");
	vm1->migration = "\"return\": {\"status\": \"active\", \"ram\": {}}";
	fake_guest_update(vm1);
	id = fake_host_send(h, "migrate", json_pack("{s:s, s:s, s:b}", "guest", "vm1", "uri", "tcp:127.0.0.1:1", "postcopy", 1));
	while (!fake_qmp_count(vm1->peer, "migrate"))
		turn();
	copies();
	until_at("emulated");
	left_to_copy("900");
	left_to_copy("950"); /* the guest writes: nothing is over yet */
	left_to_copy("400");
	left_to_copy("100");
	cr_assert_eq(fake_qmp_count(vm1->peer, "migrate-start-postcopy"), 0);
	left_to_copy("300");
	left_to_copy("100");
	left_to_copy("300");
	cr_assert_eq(fake_qmp_count(vm1->peer, "migrate-start-postcopy"), 1);
	migration("postcopy-active");
	fake_qmp_event(vm1->peer, "STOP", NULL);
	vm1->migration = "\"return\": {\"status\": \"completed\", \"ram\": {}}";
	status("postmigrate");
	migration("completed");
	a = fake_host_wait(h, id);
	cr_assert(member(a, "result"), "%s", text_of(a, "error.message"));
	json_decref(a);
	vmm_ends();
}
