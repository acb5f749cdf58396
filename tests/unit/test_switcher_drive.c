/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a guest that was given its VF back is taken to use it: not before the VF can receive, and in the end in any case. */
#include <criterion/criterion.h>

#include "emul.h"
#include "fake_internal.h"
#include "switcher_internal.h"
#include "switcher_test.h"

/* On its standby, where the host counts interrupts. A guest has ten times as long to start its driver as in other tests. */
static void begin_silent(bool counted)
{
	begin_pair(false);
	h->d.config.guest_timeout_ms = 1000;
	if (counted)
		fake_host_counts_irqs(h);
	before_again();
	attach_pair("macvtap");
	succeed("switch", leg("emulated"));
	vm1->silent = true;
}

static bool drives(void *arg)
{
	(void)arg;
	return vm1->vf[0] && lease() && lease_vf_is_driven(lease());
}

static uint64_t now_ms(void)
{
	uint64_t now;

	sd_event_now(h->event, CLOCK_MONOTONIC, &now);
	return now / 1000;
}

static void run_for(unsigned ms)
{
	uint64_t end = now_ms() + ms;

	while (now_ms() < end)
		cr_assert_geq(sd_event_run(h->event, 5000), 0);
}

static json_int_t back_to_the_vf(void)
{
	json_int_t id = fake_host_send(h, "switch", leg("passthrough"));

	cr_assert(fake_host_until(h, drives, NULL, 5000));
	return id;
}

/* One frame more by its standby. */
static void sends_by_its_standby(void)
{
	static unsigned n;
	char text[16];

	snprintf(text, sizeof(text), "%u\n", ++n);
	fake_put(h->fake, text, "/sys/class/net/gwt0/statistics/tx_packets");
	cr_assert_geq(sd_event_run(h->event, 5000), 0);
}

static void arrives(json_int_t id)
{
	json_t *a = fake_host_wait(h, id);

	cr_assert(member(a, "result"), "%s", text_of(a, "error.message"));
	json_decref(a);
	on_vf();
	detach_pair();
	end();
}

/* The driver is in the middle of its probe: bus master and vectors are on, and nothing can be received. */
Test(switcher_drive, both_legs_carry_until_the_vf_has_interrupted)
{
	json_int_t id;
	uint64_t from;

	begin_silent(true);
	id = back_to_the_vf();
	run_for(10 * h->d.config.settle_ms);
	cr_assert(to_vf() && to_standby());
	cr_assert_str_eq(text_now("leg"), "emulated");
	cr_assert_str_eq(text_now("switch.step"), "await-driver");
	cr_assert_str_eq(text_now("switch.hold"), "the guest starts its driver");
	cr_assert_str_eq(text_now("switch.what"), "wait for the guest's driver (its VF has not interrupted yet)");
	from = now_ms();
	fake_guest_is_heard(vm1);
	until_at("passthrough");
	cr_assert_geq(now_ms(), from + h->d.config.settle_ms, "it settles from then on");
	arrives(id);
}

/* Posted interrupts: nobody counts them. Half of the time that the driver has, and then as if there were one. */
Test(switcher_drive, a_vf_that_is_never_heard)
{
	json_int_t id;
	uint64_t from;

	begin_silent(true);
	id = fake_host_send(h, "switch", leg("passthrough"));
	while (!vm1->vf[0])
		turn();
	from = now_ms();
	until_at("passthrough");
	cr_assert_geq(now_ms(), from + h->d.config.guest_timeout_ms / 2);
	arrives(id);
}

/* Its driver starts late: then it is waited for no longer than it has, and is not given up. */
Test(switcher_drive, a_late_driver_that_is_never_heard)
{
	json_int_t id;

	begin_silent(true);
	vm1->no_driver = true;
	id = fake_host_send(h, "switch", leg("passthrough"));
	while (!vm1->vf[0])
		turn();
	run_for(h->d.config.guest_timeout_ms * 3 / 4);
	fake_guest_drives(vm1, true);
	cr_assert(fake_host_until(h, is_at, "passthrough", 5000), "%s", text_now("error.message"));
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_del"), 1, "only the first one, by order");
	arrives(id);
}

/* A kernel before 4.9: bus master and vectors have to do. */
Test(switcher_drive, a_kernel_that_does_not_count)
{
	json_int_t id;
	uint64_t from;

	begin_silent(false);
	h->d.config.guest_timeout_ms = 600000; /* for what would wait for half of it */
	id = back_to_the_vf();
	from = now_ms();
	until_at("passthrough");
	cr_assert_geq(now_ms() + 10, from + h->d.config.settle_ms);
	arrives(id);
}

/* A reboot, and a VF that comes back by the VMM's own hand: what was heard before is not what is heard now. */
Test(switcher_drive, after_a_reboot_it_is_waited_for_anew)
{
	begin_silent(true);
	vm1->silent = false;
	succeed("switch", leg("passthrough"));
	fake_guest_drives(vm1, false);
	vm1->silent = true;
	fake_guest_drives(vm1, true); /* before gangwayd has looked even once */
	fake_qmp_event(vm1->peer, "RESET", "{\"guest\": true, \"reason\": \"guest-reset\"}");
	run_for(10 * h->d.config.settle_ms);
	cr_assert(to_vf() && to_standby());
	cr_assert_str_eq(text_now("leg"), "emulated");
	fake_guest_is_heard(vm1);
	until_at("passthrough");
	on_vf();
	detach_pair();
	end();
}

/* A guest that goes on sending by its standby until its time is over has a VF all the same: it is not taken away again. */
Test(switcher_drive, a_guest_that_goes_on_sending_by_its_standby)
{
	json_int_t id;

	begin_silent(false);
	h->d.config.settle_ms = 300;
	fake_mkdir(h->fake, "/sys/class/net/gwt0/statistics");
	id = back_to_the_vf();
	while (!is_at("passthrough")) {
		sends_by_its_standby();
		cr_assert_str_neq(text_now("switch.state"), "to-emulated");
	}
	fake_remove(h->fake, "/sys/class/net/gwt0");
	arrives(id);
}

/* A VF whose driver is there and which the guest does not pair: it is never heard, and the guest goes on by its standby. That is left to carry. */
Test(switcher_drive, a_vf_that_is_driven_and_not_used)
{
	json_t *a;
	json_int_t id;

	begin_silent(true);
	h->d.config.settle_ms = 400;
	fake_mkdir(h->fake, "/sys/class/net/gwt0/statistics");
	id = back_to_the_vf();
	while (!is_at("emulated")) {
		sends_by_its_standby();
		cr_assert_str_neq(text_now("switch.state"), "passthrough");
	}
	a = fake_host_wait(h, id);
	cr_assert_str_eq(text_of(a, "error.data.code"), "switch.no-driver");
	json_decref(a);
	on_standby("guest-no-driver");
	fake_remove(h->fake, "/sys/class/net/gwt0");
	detach_pair();
	end();
}

/* One interrupt more of its VF, where the host counts them. */
static void interrupts(void)
{
	static unsigned n = 3;
	char text[16];

	snprintf(text, sizeof(text), "0,%u\n", ++n);
	fake_put(h->fake, text, "/sys/kernel/irq/65/per_cpu_count");
	cr_assert_geq(sd_event_run(h->event, 5000), 0);
}

static json_int_t busy_on_its_standby(unsigned settle_ms)
{
	json_int_t id;
	uint64_t from;

	begin_silent(true);
	vm1->silent = false;
	h->d.config.settle_ms = settle_ms;
	lease()->sw->config.drive_ms = 600000;
	fake_mkdir(h->fake, "/sys/class/net/gwt0/statistics");
	sends_by_its_standby();
	id = back_to_the_vf();
	for (from = now_ms(); now_ms() < from + 300;)
		sends_by_its_standby();
	return id;
}

/* A guest that was busy on its standby, and now is on its VF alone, has gone over when it has settled. */
Test(switcher_drive, a_busy_guest_that_has_gone_over)
{
	json_int_t id = busy_on_its_standby(500);
	uint64_t from = now_ms() - 300;

	while (!is_at("passthrough"))
		interrupts();
	cr_assert_geq(now_ms(), from + h->d.config.settle_ms);
	cr_assert_lt(now_ms(), from + 4 * h->d.config.settle_ms);
	fake_remove(h->fake, "/sys/class/net/gwt0");
	arrives(id);
}

/* It stands still: neither leg has anything of it. That is no reason to take one away, for a long time. */
Test(switcher_drive, a_busy_guest_that_stands_still)
{
	json_int_t id = busy_on_its_standby(400);

	run_for(800);
	cr_assert(to_vf() && to_standby());
	sends_by_its_standby();
	until_at("passthrough");
	fake_remove(h->fake, "/sys/class/net/gwt0");
	arrives(id);
}
