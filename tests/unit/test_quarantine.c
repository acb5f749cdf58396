/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VF that faults without end loses its bus mastering, and no other does. By vfio-pci; a vfio-user lease: test_attach_serve.c. */
#include "faults_test.h"
#include "host_events.h"
#include "sriov_watch.h"

#define LIMIT 20
#define ATTACH(vm) json_decref(attach(json_pack("{s:s, s:s}", "guest", vm, "target", "eth0")))

static void set_limit(void)
{
	h->d.config.fault_limit = LIMIT;
	h->d.config.fault_window = 10;
}

static void setup(void)
{
	two_attached(set_limit);
}

TestSuite(quarantine, .init = setup, .fini = two_detached);

static void quarantined(struct lease *l)
{
	until_idle(l);
	cr_assert(l->faults.quarantined);
	cr_assert_not(vf_master(l->vf_bdf));
	cr_assert_eq(l->leg, LEG_PASSTHROUGH);
	cr_assert_eq(l->reason, REASON_VF_FAULT);
	cr_assert_eq(l->state, LEASE_ATTACHED);
	cr_assert_str_eq(l->error.code, "vf.quarantined");
	cr_assert(strstr(l->error.hint, "gangway detach vm1 nic0"), "%s", l->error.hint);
}

static void carries(struct lease *l)
{
	cr_assert_not(l->faults.quarantined);
	cr_assert(vf_master(l->vf_bdf));
	cr_assert_eq(l->reason, REASON_NONE);
	cr_assert_eq(l->error.num, 0);
}

Test(quarantine, past_the_limit)
{
	struct err err;

	kernel_faults("3b:10.0", LIMIT);
	until_idle(l1);
	carries(l1);
	kernel_faults("3b:10.0", 1);
	quarantined(l1);
	carries(l2);
	cr_assert_eq(log_lines("it is quarantined"), 1);
	cr_assert_str_eq(text_now("reason"), "vf-fault");
	cr_assert_str_eq(text_now("error.code"), "vf.quarantined");
	/* a link that goes and comes is not a reason to carry */
	cr_assert_eq(host_events_new(&h->d, &err), 0);
	for (int carrier = 0; carrier < 2; carrier++) {
		fake_link(h->fake, "eth0")->carrier = carrier;
		fake_emit_link(h->fake, "eth0");
		fake_host_settle(h);
	}
	sriov_watch_free(h->d.watch);
	h->d.watch = NULL;
	cr_assert_eq(l1->reason, REASON_VF_FAULT);
	/* and once more is not news */
	fake_advance(h->fake, 2000000);
	kernel_faults("3b:10.0", 50);
	quarantined(l1);
	cr_assert_eq(log_lines("it is quarantined"), 1);
	/* detach and attach end it */
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	ATTACH("vm1");
	l1 = lease_find(&h->d, "vm1", NULL);
	carries(l1);
	cr_assert_eq(l1->faults.nr, 0);
}

Test(quarantine, slower_than_the_limit_and_without_one)
{
	for (int i = 0; i < 5; i++) {
		kernel_faults("3b:10.0", LIMIT);
		fake_advance(h->fake, 10000000);
	}
	until_idle(l1);
	carries(l1);
	h->d.config.fault_limit = 0;
	kernel_faults("3b:10.0", 10 * LIMIT);
	until_idle(l1);
	carries(l1);
}

/* Two lines are seen, and the rest is known by its number. */
Test(quarantine, by_what_the_kernel_has_left_out)
{
	kernel_faults("3b:10.0", 2);
	kernel_faults("3b:10.6", 2);
	kernel_says("dmar_fault: 300 callbacks suppressed");
	quarantined(l1);
	carries(l2);
}

/* The VMM has the last word on the bit, until the VF faults again. */
Test(quarantine, switched_on_again)
{
	kernel_faults("3b:10.0", LIMIT + 1);
	quarantined(l1);
	vmm_sets_master(FAKE_VF0_BDF);
	kernel_faults("3b:10.0", 1);
	until_idle(l1);
	cr_assert(vf_master(FAKE_VF0_BDF), "looked at once a second at the most");
	fake_advance(h->fake, 11000000);
	faults_tick(h->d.faults);
	kernel_faults("3b:10.0", 1);
	quarantined(l1);
	cr_assert_eq(log_lines("has switched bus mastering on"), 1);
}

/* Not while somebody else has the lease; not forgotten either. */
Test(quarantine, put_off)
{
	l1->busy = "it is being tested";
	kernel_faults("3b:10.0", LIMIT + 1);
	carries(l1);
	cr_assert(l1->faults.due);
	attach_unbusy(l1);
	faults_tick(h->d.faults);
	quarantined(l1);
	/* and a call that comes meanwhile is told what it waits for */
	l1->busy = "its VF is being quarantined";
	fail("lease.busy", EBUSY, "detach", json_pack("{s:s}", "guest", "vm1"));
	attach_unbusy(l1);
}

static bool is_quarantined(void *arg)
{
	(void)arg;
	return l1->faults.quarantined && !l1->busy;
}

/* What another gangwayd has begun is in force again soon; its counts are its own. */
Test(quarantine, over_a_restart)
{
	kernel_faults("3b:10.0", LIMIT + 1);
	quarantined(l1);
	fake_host_stop(h);
	vmm_sets_master(FAKE_VF0_BDF);
	fake_host_start(h);
	set_limit();
	l1 = lease_find(&h->d, "vm1", NULL);
	l2 = lease_find(&h->d, "vm2", NULL);
	cr_assert(fake_host_until(h, is_quarantined, NULL, 5000), "by itself");
	fake_host_settle(h);
	quarantined(l1);
	cr_assert_eq(l1->faults.nr, 0);
	cr_assert_not(l2->faults.quarantined);
}

/* Whichever call fails: the VF is quarantined in the end, or gangwayd has said that it is blind. */
Test(quarantine, fail_nth)
{
	bool through = false;

	for (unsigned n = 1; !through && n < 60; n++) {
		kernel_faults("3b:10.0", LIMIT);
		fake_log(h->fake, "DMAR: [DMA Write] Request device [3b:10.0] fault addr 1000 [fault reason 05] x");
		fake_fail_at(h->fake, n, -EIO);
		fake_host_settle(h);
		until_idle(l1);
		through = !fake_failed(h->fake);
		fake_fail_at(h->fake, 0, 0);
		if (l1->faults.due) {
			cr_assert_gt(log_lines("cannot be switched off"), 0);
			faults_tick(h->d.faults);
		}
		if (l1->faults.nr > LIMIT)
			quarantined(l1);
		else
			cr_assert_gt(log_lines("not seen any more"), 0);
		carries(l2);
		if (through)
			break;
		succeed("detach", json_pack("{s:s}", "guest", "vm1"));
		h->d.faults = faults_free(h->d.faults);
		cr_assert_eq(faults_new(&h->d, &h->d.faults, NULL), 0);
		ATTACH("vm1");
		l1 = lease_find(&h->d, "vm1", NULL);
		if (n % 3 == 0) {
			log_end();
			log_begin();
		}
	}
	cr_assert(through);
}
