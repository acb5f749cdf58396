/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gangwayd is killed, or the guest ends, at every point of an attach and a detach. The next gangwayd has the state database, the host as it
 * was left, and what the guest says: it adopts the lease or brings the host back, never half of it.
 */
#include <criterion/criterion.h>

#include "attach_test.h"

static json_t *params(const char *verb)
{
	if (!strcmp(verb, "detach"))
		return json_pack("{s:s}", "guest", "vm1");
	return json_pack("{s:s, s:s, s:{s:s, s:s}}", "guest", "vm1", "target", "eth0", "policy", "mac", "52:54:00:00:00:aa",
			 "vlan", "100");
}

/* After a restart: either the guest has the VF and a lease says so, or it has not and nothing is left. */
static void all_or_nothing(const char *when)
{
	struct lease *l;

	cr_assert(fake_host_until(h, decided, NULL, 5000), "%s: undecided: %s", when, text_now("state"));
	fake_host_settle(h);
	l = TAILQ_FIRST(&h->d.leases);
	cr_assert_eq(vm1->device[0] != '\0', l != NULL, "%s: the guest has \"%s\", the lease is %s", when, vm1->device,
		     l ? lease_state_to_string(l->state) : "not there");
	if (l) {
		cr_assert_eq(l->leg, LEG_PASSTHROUGH);
		cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "vfio-pci");
		succeed("detach", params("detach"));
	}
	cr_assert_eq(records(), 0, "%s", when);
	unchanged();
}

/* The host as before; what was noted of the guest's process went with it. */
static void same_host_without_guest(void)
{
	char *now = fake_snapshot(h->fake), *p, *line;

	while ((p = strstr(before, "/proc/"))) {
		line = p + strcspn(p, "\n") + 1;
		memmove(p, line, strlen(line) + 1);
	}
	while ((p = strstr(now, "/proc/"))) {
		line = p + strcspn(p, "\n") + 1;
		memmove(p, line, strlen(line) + 1);
	}
	cr_assert_str_eq(now, before, "the host has changed: %s", difference(before, now));
	free(now);
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static void fake_host_run_ms(unsigned ms)
{
	fake_host_until(h, never, NULL, ms);
}

/* Turns of the event loop that a call takes. */
static unsigned turns_until_answered(const char *verb, unsigned most, bool *ret_answered)
{
	json_int_t id = fake_host_send(h, verb, params(verb));
	char text[32];
	unsigned n = 0;

	snprintf(text, sizeof(text), "%lld", (long long)id);
	while (n < most && !json_object_get(h->answers, text)) {
		cr_assert_geq(sd_event_run(h->event, 5000000), 0);
		n++;
	}
	*ret_answered = json_object_get(h->answers, text) != NULL;
	json_object_clear(h->answers);
	return n;
}

/* Killed after each turn of the loop, so between any two things that it does there. */
static void killed_during(const char *verb)
{
	unsigned adopted = 0, turn;
	bool answered = false;

	for (turn = 1; !answered; turn++) {
		char when[64];

		begin(2);
		if (!strcmp(verb, "detach"))
			json_decref(attach(params("attach")));
		turns_until_answered(verb, turn, &answered);
		fake_host_stop(h);
		fake_host_start(h);
		snprintf(when, sizeof(when), "%s, turn %u", verb, turn);
		cr_assert(fake_host_until(h, decided, NULL, 5000), "%s: undecided", when);
		adopted += h->d.nr_leases;
		all_or_nothing(when);
		end();
	}
	printf("# %s: killed at %u points, adopted %u times\n", verb, turn - 1, adopted);
	cr_assert_gt(turn, 8);
	cr_assert_gt(adopted, 0);
}

Test(attach_crash, killed_during_attach)
{
	killed_during("attach");
}

Test(attach_crash, killed_during_detach)
{
	killed_during("detach");
}

/* The guest ended while nobody looked. */
Test(attach_crash, the_guest_ends_meanwhile)
{
	begin(2);
	json_decref(attach(params("attach")));
	fake_host_stop(h);
	fake_guest_die(vm1);
	fake_host_start(h);
	until_leases(0);
	cr_assert_eq(records(), 0);
	same_host_without_guest();
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	cr_assert_eq(fake_vf(h->fake, "eth0", 0)->vlan, 0);
	end();
}

/* --- the guest ends while gangwayd runs --- */

static const char *const commands[] = { "query-memdev", "device-list-properties", "qom-list", "qom-get", "device_add" };

Test(attach_crash, the_guest_dies_at_each_question)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		json_t *a;

		begin(2);
		vm1->dies_at = commands[i];
		fake_guest_update(vm1);
		a = fake_host_call(h, "attach", params("attach"));
		cr_assert(member(a, "error"), "%s", commands[i]);
		json_decref(a);
		until_leases(0);
		cr_assert_eq(records(), 0);
		vm1->dies_at = NULL;
		same_host_without_guest();
		end();
	}
}

Test(attach_crash, the_guest_dies_while_its_driver_is_awaited)
{
	json_int_t id;
	json_t *a;

	begin(2);
	vm1->no_driver = true;
	h->d.config.guest_timeout_ms = 60000;
	id = fake_host_send(h, "attach", params("attach"));
	while (!vm1->device[0])
		cr_assert_geq(sd_event_run(h->event, 5000000), 0);
	fake_guest_die(vm1);
	a = fake_host_wait(h, id);
	cr_assert(member(a, "error"));
	json_decref(a);
	until_leases(0);
	same_host_without_guest();
	end();
}

static void eject(struct fake_guest *g)
{
	if (g->device[0])
		fake_guest_eject(g);
}

/* Whenever it is lost, also while the attach is all but over: there is a lease if the guest has the VF, else nothing. */
static void lost_during_attach(void (*lose)(struct fake_guest *g))
{
	bool answered = false;

	for (unsigned turn = 1; !answered; turn++) {
		begin(2);
		turns_until_answered("attach", turn, &answered);
		lose(vm1);
		fake_host_settle(h);
		until_leases(vm1->device[0] != '\0');
		end();
	}
}

Test(attach_crash, the_guest_dies_at_each_turn)
{
	lost_during_attach(fake_guest_die);
}

Test(attach_crash, the_guest_ejects_at_each_turn)
{
	lost_during_attach(eject);
}

/* It lets the device go instead of starting it. */
Test(attach_crash, the_guest_ejects_while_its_driver_is_awaited)
{
	json_int_t id;
	json_t *a;

	begin(2);
	vm1->no_driver = true;
	h->d.config.guest_timeout_ms = 3000;
	id = fake_host_send(h, "attach", params("attach"));
	while (!vm1->device[0])
		cr_assert_geq(sd_event_run(h->event, 5000000), 0);
	fake_host_run_ms(20);
	fake_guest_eject(vm1);
	a = fake_host_wait(h, id);
	cr_assert(member(a, "error"), "a VF that the guest has given back is not attached");
	json_decref(a);
	until_leases(0);
	unchanged();
	end();
}

Test(attach_crash, the_guest_dies_with_its_vf)
{
	begin(2);
	json_decref(attach(params("attach")));
	fake_guest_die(vm1);
	until_leases(0);
	same_host_without_guest();
	end();
}

Test(attach_crash, the_guest_dies_instead_of_unplugging)
{
	begin(2);
	json_decref(attach(params("attach")));
	vm1->dies_at = "device_del";
	fake_guest_update(vm1);
	succeed("detach", params("detach"));
	vm1->dies_at = NULL;
	until_leases(0);
	same_host_without_guest();
	end();
}

/* A connection that breaks is no guest that ended. */
Test(attach_crash, a_lost_connection_is_made_again)
{
	begin(2);
	json_decref(attach(params("attach")));
	fake_qmp_die(vm1->peer);
	fake_qmp_free(vm1->peer);
	vm1->peer = NULL;
	fake_host_settle(h);
	cr_assert_eq(h->d.nr_leases, 1);
	cr_assert_str_eq(text_now("state"), "attached");
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "vfio-pci");
	fail("guest.down", ENXIO, "detach", params("detach"));
	cr_assert_str_eq(text_now("state"), "attached");
	end();
}

static void begin_prepared(void)
{
	h = fake_host_new(2);
	vm1 = fake_guest_add(h, "vm1", false);
	before_again();
	json_decref(attach(json_pack("{s:s, s:s, s:b}", "guest", "vm1", "target", "eth0", "prepare", 1)));
}

/* A prepared lease has no guest that could be asked: it is whole, or undone to the end. */
Test(attach_crash, killed_during_detach_of_a_prepared_lease)
{
	bool answered = false;
	unsigned n;

	for (n = 1; !answered; n++) {
		begin_prepared();
		turns_until_answered("detach", n, &answered);
		fake_host_stop(h);
		fake_host_start(h);
		fake_host_settle(h);
		cr_assert(fake_host_until(h, decided, NULL, 5000), "turn %u: undecided: %s", n, text_now("state"));
		fake_host_settle(h);
		if (TAILQ_FIRST(&h->d.leases)) {
			cr_assert_str_eq(text_now("state"), "prepared", "turn %u", n);
			cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "vfio-pci", "turn %u", n);
			succeed("detach", params("detach"));
		}
		cr_assert_eq(records(), 0, "turn %u", n);
		unchanged();
		end();
	}
	cr_assert_gt(n, 4);
}

/*
 * The host is as it was, and the record is there still: what that says is all that tells the next gangwayd. Whether a worker has begun with the
 * last step when gangwayd is killed is chance, so here it fails.
 */
Test(attach_crash, killed_before_the_record_of_a_prepared_lease_is_removed)
{
	json_t *a;

	begin_prepared();
	sql("CREATE TRIGGER kept BEFORE DELETE ON lease BEGIN SELECT RAISE(ABORT, 'kept'); END");
	a = fake_host_call(h, "detach", params("detach"));
	cr_assert(member(a, "error"));
	json_decref(a);
	cr_assert_eq(records(), 1);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	fake_host_stop(h);
	sql("DROP TRIGGER kept");
	fake_host_start(h);
	until_leases(0);
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}
