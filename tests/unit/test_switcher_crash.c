/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gangwayd is killed, the guest ends or lets go, or a call to the kernel fails, at every point of an attach with a standby, of a switch each
 * way, and of a detach. Then the lease is whole and gets where it ought to be, or the host is as before.
 */
#include <criterion/criterion.h>

#include "switcher_test.h"

/* What is done, and how the lease is before. */
struct verb {
	const char *name, *method, *leg;
	bool attached, emulated; /* before */
};

static const struct verb verbs[] = {
	{ "attach", "attach", NULL, false, false },
	{ "to emulated", "switch", "emulated", true, false },
	{ "to passthrough", "switch", "passthrough", true, true },
	{ "detach", "detach", NULL, true, false },
	{ "detach from the standby", "detach", NULL, true, true },
};
#define NR (sizeof(verbs) / sizeof(verbs[0]))

static json_t *params_of(const struct verb *v)
{
	return v->leg ? leg(v->leg) : v->attached ? of_vm1() : pair_params("macvtap");
}

static void begin_for(const struct verb *v)
{
	begin_pair(false);
	if (v->attached)
		attach_pair("macvtap");
	if (v->emulated)
		succeed("switch", leg("emulated"));
}

/* Not each of them: a minute, not five. GANGWAY_EVERY_TURN in the environment takes them all. */
static unsigned next_turn(unsigned n)
{
	return n + 1 + (getenv("GANGWAY_EVERY_TURN") ? 0 : n / 8);
}

/* So many turns of the loop, or until it is answered. */
static bool some_turns(const struct verb *v, unsigned most)
{
	json_int_t id = fake_host_send(h, v->method, params_of(v));
	bool answered = false;
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)id);
	for (unsigned n = 0; n < most && !answered; n++) {
		turn();
		answered = json_object_get(h->answers, text) != NULL;
	}
	json_object_clear(h->answers);
	return answered;
}

static bool is_decided(void *arg)
{
	struct lease *l = lease();

	(void)arg;
	return !l || (!l->op && !l->busy && l->confirmed && l->sw && is_at(l->stay_emulated ? "emulated" : "passthrough"));
}

/* The choice that is recorded holds, the guest has at least one leg, and a detach brings the host back. */
static void whole(const char *when)
{
	struct lease *l;

	cr_assert(fake_host_until(h, is_decided, NULL, 5000), "%s: undecided: %s, switch %s, step %s", when, text_now("state"),
		  text_now("switch.state"), text_now("switch.step"));
	fake_host_settle(h);
	l = lease();
	if (l && l->stay_emulated)
		on_standby("operator");
	else if (l)
		on_vf();
	if (l)
		succeed("detach", of_vm1());
	cr_assert_str_eq(vm1->device, "", "%s", when);
	cr_assert_str_eq(vm1->standby, "", "%s", when);
	cr_assert_eq(records(), 0, "%s", when);
	unchanged();
}

/* @v begun anew for each turn of the loop, at which @happens. How many. */
static unsigned at_each_turn(const struct verb *v, unsigned (*next)(unsigned n), void (*happens)(const char *when))
{
	bool answered = false;
	unsigned nr = 0;

	for (unsigned n = 1; !answered; n = next(n), nr++) {
		char when[80];

		begin_for(v);
		snprintf(when, sizeof(when), "%s, turn %u", v->name, n);
		answered = some_turns(v, n);
		happens(when);
		end();
	}
	return nr;
}

static void is_killed(const char *when)
{
	fake_host_stop(h);
	fake_host_start(h);
	h->d.config.rate_limit = 32;
	whole(when);
}

static void killed_during(const struct verb *v)
{
	unsigned nr = at_each_turn(v, next_turn, is_killed);

	printf("# %s: killed at %u points\n", v->name, nr);
	cr_assert_gt(nr, 6);
}

Test(switcher_crash, killed_during_attach)
{
	killed_during(&verbs[0]);
}

Test(switcher_crash, killed_on_the_way_to_emulated)
{
	killed_during(&verbs[1]);
}

Test(switcher_crash, killed_on_the_way_to_passthrough)
{
	killed_during(&verbs[2]);
}

Test(switcher_crash, killed_during_detach)
{
	killed_during(&verbs[3]);
}

Test(switcher_crash, killed_during_detach_from_the_standby)
{
	killed_during(&verbs[4]);
}

/* --- a guest that keeps its VF --- */

static bool record_says_revoked(void *arg)
{
	json_t *record = the_record();
	bool is = json_is_true(member(record, "emul.revoked")) == *(bool *)arg;

	json_decref(record);
	return is;
}

static void until_recorded_revoked(bool revoked)
{
	cr_assert(fake_host_until(h, record_says_revoked, &revoked, 5000), "recorded as %srevoked", revoked ? "not " : "");
}

static bool is_driven(void *arg)
{
	(void)arg;
	return lease_vf_is_driven(lease());
}

static bool is_not_driven(void *arg)
{
	return !is_driven(arg);
}

/* Past the deadline, its DMA taken away; and it switches bus mastering on again. */
static void keeps_it(void)
{
	bool yes = true;

	begin_pair(false);
	attach_pair("macvtap");
	vm1->unplug = FAKE_UNPLUG_IGNORED;
	fail("vmm.unplug-timeout", ETIMEDOUT, "switch", leg("emulated"));
	while (to_vf()) {
		cr_assert(is_driven(NULL) || record_says_revoked(&yes), "it is recorded before it is done");
		turn();
	}
	until_recorded_revoked(true);
	fake_guest_drives(vm1, false);
	fake_guest_drives(vm1, true);
	cr_assert(is_driven(NULL));
}

/* A VF whose DMA was taken away carries nothing, whatever it looks like to the next gangwayd. */
Test(switcher_crash, killed_when_the_dma_was_taken)
{
	keeps_it();
	fake_host_stop(h);
	fake_host_start(h);
	cr_assert_eq(lease()->leg, LEG_EMULATED, "as recorded");
	cr_assert(fake_host_until(h, is_not_driven, NULL, 5000), "once more: it may have been noted and not done");
	cr_assert_str_eq(text_now("leg"), "emulated");
	cr_assert_str_eq(text_now("reason"), "operator");
	cr_assert_str_eq(vm1->vf, FAKE_VF0_BDF);
	while (to_vf())
		turn();
	cr_assert(to_standby());
	/* it lets go at last, and what it has next is another matter */
	vm1->unplug = FAKE_UNPLUG_OBEYED;
	fake_guest_eject(vm1);
	until_at("emulated");
	on_standby("operator");
	until_recorded_revoked(false);
	succeed("switch", leg("passthrough"));
	on_vf();
	fake_host_stop(h);
	fake_host_start(h);
	cr_assert_eq(lease()->leg, LEG_PASSTHROUGH);
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

/* It lets go while no gangwayd is there, and the VMM plugs it again: then it is not the one that was taken away. */
Test(switcher_crash, let_go_unseen_when_the_dma_was_taken)
{
	keeps_it();
	vm1->unplug = FAKE_UNPLUG_OBEYED;
	fake_host_stop(h);
	fake_guest_drives(vm1, false);
	vm1->device[0] = vm1->vf[0] = vm1->in_port[1][0] = '\0';
	fake_guest_update(vm1);
	fake_host_start(h);
	until_at("emulated");
	on_standby("operator");
	until_recorded_revoked(false);
	succeed("switch", leg("passthrough"));
	on_vf();
	detach_pair();
	end();
}

/* Asked in vain, at each turn until all has been taken from it; then gangwayd is killed, and it obeys the next one. */
Test(switcher_crash, killed_while_the_guest_keeps_its_vf)
{
	bool yes = true, taken = false;
	unsigned nr = 0;

	for (unsigned n = 1; !taken; n += 2) {
		char when[80];

		begin_for(&verbs[1]);
		vm1->unplug = FAKE_UNPLUG_IGNORED;
		fake_host_send(h, "switch", leg("emulated"));
		for (unsigned i = 0; i < n; i++)
			turn();
		json_object_clear(h->answers);
		taken = !to_vf();
		nr += record_says_revoked(&yes);
		vm1->unplug = FAKE_UNPLUG_OBEYED;
		snprintf(when, sizeof(when), "keeps its VF, turn %u", n);
		is_killed(when);
		end();
	}
	cr_assert_gt(nr, 0, "which of the turns are between the record and the VF's filter is chance");
}

/* --- the guest --- */

/* As @text, without what was noted of the guest's process: that went with it. */
static char *without_process(const char *text)
{
	char *copy = strdup(text), *p;

	while ((p = strstr(copy, "/proc/"))) {
		char *line = p + strcspn(p, "\n") + 1;

		memmove(p, line, strlen(line) + 1);
	}
	return copy;
}

static void same_host_without_guest(const char *when)
{
	char *snapshot = fake_snapshot(h->fake), *now = without_process(snapshot), *was = without_process(before);

	cr_assert_str_eq(now, was, "%s: the host has changed: %s", when, difference(was, now));
	free(snapshot);
	free(now);
	free(was);
}

/* The VMM ends, and all that the lease is on the host with it. */
static void guest_dies(const char *when)
{
	fake_guest_die(vm1);
	fake_host_settle(h);
	until_leases(0);
	cr_assert_eq(records(), 0, "%s", when);
	same_host_without_guest(when);
}

static void guest_dies_during(const struct verb *v)
{
	at_each_turn(v, next_turn, guest_dies);
}

Test(switcher_crash, the_guest_dies_during_attach)
{
	guest_dies_during(&verbs[0]);
}

Test(switcher_crash, the_guest_dies_on_the_way_to_emulated)
{
	guest_dies_during(&verbs[1]);
}

Test(switcher_crash, the_guest_dies_on_the_way_to_passthrough)
{
	guest_dies_during(&verbs[2]);
}

Test(switcher_crash, the_guest_dies_during_detach)
{
	guest_dies_during(&verbs[3]);
}

static void guest_ejects(const char *when)
{
	if (vm1->device[0])
		fake_guest_eject(vm1);
	fake_host_settle(h);
	whole(when);
}

static unsigned sixth_turn(unsigned n)
{
	return n + 6;
}

/* It lets the VF go by itself, at any moment: the lease is whole all the same. Not at each turn: the way back waits a second each time. */
Test(switcher_crash, the_guest_ejects_at_any_turn)
{
	at_each_turn(&verbs[1], sixth_turn, guest_ejects);
	at_each_turn(&verbs[2], sixth_turn, guest_ejects);
}

/* --- the n-th call fails --- */

struct tally {
	unsigned runs, failed[NR];
	bool hit;
};

static void calls_work(struct tally *t)
{
	t->hit = t->hit || fake_failed(h->fake);
	fake_fail_at(h->fake, 0, 0);
}

/* @v once, and again where it failed, with all calls working then. */
static void do_it(struct tally *t, size_t i, unsigned n)
{
	json_t *a = fake_host_call(h, verbs[i].method, params_of(&verbs[i]));
	const char *got;

	fake_host_settle(h);
	if (!member(a, "result")) {
		cr_assert_gt(json_integer_value(member(a, "error.data.errno")), 0, "call %u", n);
		t->failed[i]++;
		calls_work(t);
		if (lease() && !verbs[i].attached && lease()->state == LEASE_FAILED) {
			got = fake_host_expect(h, NULL, "detach", of_vm1());
			cr_assert_null(got, "call %u: detach after a failed attach: %s", n, got);
		}
		got = fake_host_expect(h, NULL, verbs[i].method, params_of(&verbs[i]));
		cr_assert_null(got, "call %u: %s, again: %s", n, verbs[i].name, got);
	}
	json_decref(a);
}

static bool round_trip(struct tally *t, unsigned n, int num)
{
	t->hit = false;
	fake_fail_at(h->fake, n, num);
	do_it(t, 0, n);
	do_it(t, 1, n);
	/* not by calls of our own, which would count */
	cr_assert(!vm1->device[0] && !to_vf() && to_standby(), "call %u", n);
	do_it(t, 2, n);
	do_it(t, 3, n);
	calls_work(t);
	fake_host_settle(h);
	t->runs += t->hit;
	return t->hit;
}

static void sweep(int num)
{
	struct tally t = { 0 };

	begin_pair(false);
	h->d.config.settle_ms = 0;
	for (unsigned n = 1; round_trip(&t, n, num); n++) {
		char *now = fake_snapshot(h->fake);

		cr_assert_str_eq(now, before, "call %u failed: the host has changed: %s", n, difference(before, now));
		free(now);
		unchanged();
		cr_assert_eq(records(), 0, "call %u failed: a record is left", n);
		cr_assert_lt(n, 5000);
	}
	unchanged();
	end();
	printf("# errno %d: %u calls failed one by one; attach %u times, to emulated %u, to passthrough %u, detach %u\n", -num,
	       t.runs, t.failed[0], t.failed[1], t.failed[2], t.failed[3]);
	cr_assert_gt(t.runs, 50);
	cr_assert_gt(t.failed[0], 20);
	cr_assert_gt(t.failed[1] + t.failed[2], 3);
}

Test(switcher_crash, a_call_fails_with_an_io_error)
{
	sweep(-EIO);
}

Test(switcher_crash, a_call_fails_for_want_of_memory)
{
	sweep(-ENOMEM);
}
