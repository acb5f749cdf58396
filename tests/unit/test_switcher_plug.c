/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A plug of which is not known how it ended, and a VMM that has something else than it was given: it is asked, and nothing stays as it was. */
#include <criterion/criterion.h>

#include "switcher_test.h"

/* On its standby by order; device_add was sent twice by then, for the standby and the VF, device_del once. */
static void begin_emulated(void)
{
	begin_pair(false);
	h->d.config.guest_timeout_ms = 10000; /* what is not asked for shows as a time-out of the test */
	attach_pair("macvtap");
	succeed("switch", leg("emulated"));
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 2);
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_del"), 1);
}

static void finish(unsigned plugs, unsigned unplugs)
{
	until_at("passthrough");
	on_vf();
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 2 + plugs);
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_del"), 1 + unplugs);
	detach_pair();
	end();
}

static bool is_in_step(const char *step)
{
	json_t *j = switcher_to_json(lease());
	bool is = lease()->busy && !strcmp(text_of(j, "step"), step);

	json_decref(j);
	return is;
}

/* The VMM does not answer, and the connection is lost. */
static json_int_t plug_unanswered(void)
{
	json_int_t id;

	vm1->hangs_at = "device_add";
	fake_guest_update(vm1);
	id = fake_host_send(h, "switch", leg("passthrough"));
	while (vm1->seen_add < 3)
		turn();
	vm1->hangs_at = NULL;
	fake_guest_update(vm1);
	return id;
}

Test(switcher_plug, unanswered_and_it_arrived)
{
	json_int_t id;
	json_t *a;

	begin_emulated();
	id = plug_unanswered();
	cr_assert_str_eq(vm1->vf, FAKE_VF0_BDF);
	fake_qmp_lose(vm1->peer);
	a = fake_host_wait(h, id);
	cr_assert(member(a, "result"), "%s", text_of(a, "error.message"));
	json_decref(a);
	finish(1, 0);
}

Test(switcher_plug, unanswered_and_it_did_not_arrive)
{
	json_int_t id;
	json_t *a;

	begin_emulated();
	vm1->add_error = "the VMM died of it, nearly";
	id = plug_unanswered();
	cr_assert_str_eq(vm1->vf, "");
	vm1->add_error = NULL;
	fake_guest_update(vm1);
	fake_qmp_lose(vm1->peer);
	a = fake_host_wait(h, id);
	cr_assert(member(a, "result"), "%s", text_of(a, "error.message"));
	json_decref(a);
	finish(2, 0);
}

/* The answer comes while the next action is under way: it is not the last word, but it is not lost either. */
Test(switcher_plug, what_is_found_during_an_action)
{
	json_int_t id;
	json_t *a;

	begin_emulated();
	id = fake_host_send(h, "switch", leg("passthrough"));
	while (!is_in_step("steer-both"))
		turn();
	fake_guest_drives(vm1, false);
	vm1->device[0] = vm1->vf[0] = vm1->in_port[1][0] = '\0'; /* it has gone, and no event tells */
	fake_guest_update(vm1);
	switcher_found(lease(), false);
	cr_assert(is_in_step("steer-both"));
	a = fake_host_wait(h, id);
	cr_assert(member(a, "result"), "%s", text_of(a, "error.message"));
	json_decref(a);
	finish(2, 0); /* nobody asks a guest to let go what it does not have */
}

/* The VMM has it already: plugged by itself, or by a plug that came through though it was said to have failed. Else for ever refused. */
Test(switcher_plug, refused_because_it_is_there)
{
	begin_emulated();
	fake_guest_replug(vm1);
	vm1->add_error = "Duplicate device ID 'gangway-nic0'";
	fake_guest_update(vm1);
	fail("vmm.duplicate-id", EEXIST, "switch", leg("passthrough"));
	finish(1, 0);
}

/* Let go again before the plug was answered: what says then that it is in the guest is of before. */
Test(switcher_plug, gone_before_it_was_answered)
{
	json_int_t id;
	json_t *a;

	begin_emulated();
	id = fake_host_send(h, "switch", leg("passthrough"));
	while (!vm1->device[0])
		turn();
	cr_assert(is_in_step("plug"));
	fake_guest_eject(vm1);
	a = fake_host_wait(h, id);
	cr_assert(member(a, "result"), "%s", text_of(a, "error.message"));
	json_decref(a);
	finish(2, 0);
}

/* What the VMM holds for a migration is in its tree, and not in the guest. */
Test(switcher_plug, found_and_only_held)
{
	begin_pair(false);
	attach_pair("macvtap");
	json_decref(fake_host_call(h, "monitor", NULL));
	switcher_snapshot(&h->d, "vm1", true);
	fake_qmp_event(vm1->peer, "MIGRATION", "{\"status\": \"setup\"}");
	fake_qmp_event(vm1->peer, "UNPLUG_PRIMARY", "{\"device-id\": \"gangway-nic0\"}");
	fake_qmp_event(vm1->peer, "MIGRATION", "{\"status\": \"wait-unplug\"}");
	fake_guest_drives(vm1, false);
	fake_qmp_event(vm1->peer, "MIGRATION", "{\"status\": \"active\"}");
	until_at("emulated");
	switcher_found(lease(), true);
	fake_qmp_event(vm1->peer, "MIGRATION", "{\"status\": \"completed\"}");
	while (!is_in_step("replug"))
		turn();
	fake_host_settle(h);
	cr_assert_null(strstr(h->events, ">off "), "%s", h->events);
	end();
}
