/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unplugging, with every way a guest has of not letting go. */
#include "vmm_test.h"

#define DELETED fq_event("DEVICE_DELETED", "{\"device\": \"vf0\", \"path\": \"/machine/peripheral/vf0\"}")
#define REFUSED fq_event("DEVICE_UNPLUG_GUEST_ERROR", "{\"device\": \"vf0\", \"path\": \"/machine/peripheral/vf0\"}")
#define BUSY fq_error("GenericError", "Hot-unplug failed: guest is busy (power indicator blinking)")
#define HERE "[{\"name\": \"type\", \"type\": \"string\"}, {\"name\": \"vf0\", \"type\": \"child<vfio-pci>\"}]"
#define GONE "[{\"name\": \"type\", \"type\": \"string\"}]"

static void unplug(const struct fake_qmp_step *script, unsigned deadline_ms, struct outcome *o)
{
	start(script);
	until_state(VMM_UP);
	cr_assert_eq(vmm_unplug(vmm, "vf0", deadline_ms, on_done, o, NULL), 0);
	until_done(o);
}

static uint64_t now_ms(void)
{
	uint64_t us;

	sd_event_now(bed.event, CLOCK_MONOTONIC, &us);
	return us / 1000;
}

struct good {
	const char *name;
	struct fake_qmp_step script[44];
	const char *deleted;
};

static const struct good good[] = {
	{ "obeys",
	  { fq_hello_vmm, fq_expect_with("device_del", "{\"id\": \"vf0\"}"), fq_return("{}"), fq_pause(20),
	    fq_event("DEVICE_DELETED", "{\"path\": \"/machine/peripheral/vf0/virtio-backend\"}"),
	    fq_event("DEVICE_DELETED", "{\"device\": \"vf1\", \"path\": \"/machine/peripheral/vf1\"}"), DELETED, fq_end },
	  "vf1 vf0 " },
	{ "obeys before it answers", { fq_hello_vmm, fq_expect("device_del"), DELETED, fq_return("{}"), fq_end }, "vf0 " },
	{ "the event has only the path",
	  { fq_hello_vmm, fq_expect("device_del"), fq_return("{}"),
	    fq_event("DEVICE_DELETED", "{\"path\": \"/machine/peripheral/vf0\"}"), fq_end },
	  "" },
	{ "has no such device",
	  { fq_hello_vmm, fq_expect("device_del"), fq_error("DeviceNotFound", "Device 'vf0' not found"), fq_end },
	  "" },
	{ "is unplugging it already",
	  { fq_hello_vmm, fq_expect("device_del"), fq_error("GenericError", "Device vf0 is already in the process of unplug"),
	    fq_pause(20), DELETED, fq_end },
	  "vf0 " },
	{ "is busy twice",
	  { fq_hello_vmm, fq_expect("device_del"), BUSY, fq_expect("device_del"), BUSY, fq_expect("device_del"), fq_return("{}"),
	    DELETED, fq_end },
	  "vf0 " },
	{ "refuses once",
	  { fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), REFUSED, fq_expect("device_del"), fq_return("{}"), DELETED,
	    fq_end },
	  "vf0 " },
	{ "dies before it answers", { fq_hello_vmm, fq_expect("device_del"), fq_do(FQ_DIE), fq_end }, "" },
	{ "dies later", { fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), fq_pause(20), fq_do(FQ_DIE), fq_end }, "" },
	{ "is killed", { fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), fq_pause(20), fq_do(FQ_REFUSE), fq_end }, "" },
	{ "dies while it is busy", { fq_hello_vmm, fq_expect("device_del"), BUSY, fq_do(FQ_DIE), fq_end }, "" },
	{ "hangs up; the device is gone meanwhile",
	  { fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), fq_do(FQ_CLOSE), fq_hello_vmm, fq_expect("qom-list"),
	    fq_return(GONE), fq_end },
	  "" },
	{ "hangs up; the device is still there",
	  { fq_hello_vmm, fq_expect("device_del"), fq_do(FQ_CLOSE), fq_hello_vmm, fq_expect("qom-list"), fq_return(HERE),
	    fq_expect("device_del"), fq_return("{}"), DELETED, fq_end },
	  "vf0 " },
};

Test(vmm_unplug, ends_well, .timeout = 60)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct outcome o = { 0 };

		unplug(good[i].script, 4000, &o);
		cr_assert_eq(o.r, 0, "%s: %s", good[i].name, o.err.msg);
		until_script_done();
		bed_run_ms(&bed, 10);
		cr_assert_eq(o.calls, 1, "%s", good[i].name);
		cr_assert_str_eq(deleted, good[i].deleted, "%s", good[i].name);
		stop();
	}
}

struct bad {
	const char *name;
	struct fake_qmp_step script[36];
	unsigned deadline_ms;
	int num;
	const char *code, *says;
};

static const struct bad bad[] = {
	{ "does not answer",
	  { fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), fq_end },
	  150,
	  -ETIMEDOUT,
	  "vmm.unplug-timeout",
	  "the guest did not answer" },
	{ "is paused",
	  { fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), fq_event("STOP", NULL), fq_end },
	  150,
	  -ETIMEDOUT,
	  "vmm.unplug-timeout",
	  "the guest is paused" },
	{ "is busy for ever",
	  { fq_hello_vmm, fq_expect("device_del"), BUSY, fq_expect("device_del"), BUSY, fq_end },
	  700,
	  -ETIMEDOUT,
	  "vmm.unplug-timeout",
	  "still blinking" },
	{ "refuses twice",
	  { fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), REFUSED, fq_expect("device_del"), fq_return("{}"), REFUSED,
	    fq_end },
	  4000,
	  -EBUSY,
	  "vmm.unplug-refused",
	  "refuses" },
	{ "is migrating",
	  { fq_hello_vmm, fq_expect("device_del"), fq_error("GenericError", "device_del not allowed while migrating"), fq_end },
	  4000,
	  -EBUSY,
	  "vmm.migrating",
	  "not allowed while migrating" },
	{ "cannot at all",
	  { fq_hello_vmm, fq_expect("device_del"), fq_error("GenericError", "Bus 'rp1' does not support hotplugging"), fq_end },
	  4000,
	  -EOPNOTSUPP,
	  "vmm.no-hotplug",
	  "does not support hotplugging" },
	{ "turns into something else",
	  { fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), fq_raw("hello\n"), fq_do(FQ_CLOSED), fq_do(FQ_ACCEPT),
	    fq_end },
	  300,
	  -ETIMEDOUT,
	  "vmm.unplug-timeout",
	  "does not speak QMP" },
};

Test(vmm_unplug, ends_badly, .timeout = 60)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct outcome o = { 0 };
		uint64_t begin;

		start(bad[i].script);
		until_state(VMM_UP);
		begin = now_ms();
		cr_assert_eq(vmm_unplug(vmm, "vf0", bad[i].deadline_ms, on_done, &o, NULL), 0);
		until_done(&o);
		cr_assert_eq(o.r, bad[i].num, "%s: %d %s", bad[i].name, o.r, o.err.msg);
		cr_assert_str_eq(o.err.code, bad[i].code, "%s", bad[i].name);
		cr_assert(strstr(o.err.msg, bad[i].says), "%s: %s", bad[i].name, o.err.msg);
		cr_assert_lt(now_ms() - begin, bad[i].deadline_ms + 300);
		if (o.r == -ETIMEDOUT)
			cr_assert_geq(now_ms() - begin + 1, bad[i].deadline_ms);
		stop();
	}
}

Test(vmm_unplug, a_late_event_still_arrives)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm,	fq_expect("device_del"),
						       fq_return("{}"), fq_pause(200),
						       DELETED,		fq_end };
	struct outcome o = { 0 };

	unplug(script, 50, &o);
	cr_assert_eq(o.r, -ETIMEDOUT);
	cr_assert_str_empty(deleted);
	until_script_done();
	bed_run_ms(&bed, 20);
	cr_assert_str_eq(deleted, "vf0 ");
	cr_assert_eq(o.calls, 1);
	stop();
}

Test(vmm_unplug, two_at_once_and_one_device_twice)
{
	static const struct fake_qmp_step script[] = {
		fq_hello_vmm,
		fq_expect("device_del"),
		fq_return("{}"),
		fq_expect("device_del"),
		fq_error("GenericError", "Device vf0 is already in the process of unplug"),
		fq_expect_with("device_del", "vf1"),
		fq_return("{}"),
		fq_event("DEVICE_DELETED", "{\"device\": \"vf1\", \"path\": \"/machine/peripheral/vf1\"}"),
		fq_pause(20),
		DELETED,
		fq_end,
	};
	struct outcome a = { 0 }, b = { 0 }, c = { 0 };

	start(script);
	until_state(VMM_UP);
	cr_assert_eq(vmm_unplug(vmm, "vf0", 3000, on_done, &a, NULL), 0);
	cr_assert_eq(vmm_unplug(vmm, "vf0", 3000, on_done, &b, NULL), 0);
	cr_assert_eq(vmm_unplug(vmm, "vf1", 3000, on_done, &c, NULL), 0);
	until_done(&c);
	cr_assert_eq(a.calls + b.calls, 0);
	until_done(&a);
	until_done(&b);
	cr_assert_eq(a.r + b.r + c.r, 0);
	cr_assert_str_eq(deleted, "vf1 vf0 ");
	stop();
}

Test(vmm_unplug, cancelled_in_each_phase)
{
	static const struct fake_qmp_step phases[][28] = {
		{ fq_hello_vmm, fq_end },
		{ fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), fq_end },
		{ fq_hello_vmm, fq_expect("device_del"), BUSY, fq_end },
		{ fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), REFUSED, fq_end },
		{ fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), fq_do(FQ_CLOSE), fq_do(FQ_ACCEPT), fq_end },
	};

	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		struct outcome o = { 0 };

		start(phases[i]);
		until_state(VMM_UP);
		cr_assert_eq(vmm_unplug(vmm, "vf0", 3000, on_done, &o, NULL), 0);
		until_script_done();
		bed_run_ms(&bed, 20);
		cr_assert_eq(o.calls, 0);
		stop();
		cr_assert_eq(o.calls, 1);
		cr_assert_eq(o.r, -ECANCELED);
	}
}

static void free_it(void *ctx, int r, const struct err *err)
{
	on_done(ctx, r, err);
	vmm = vmm_free(vmm);
}

Test(vmm_unplug, freed_from_the_callback_of_an_event)
{
	static const struct fake_qmp_step script[] = {
		fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), fq_expect("device_del"), fq_return("{}"), DELETED, fq_end
	};
	struct outcome a = { 0 }, b = { 0 };

	start(script);
	until_state(VMM_UP);
	cr_assert_eq(vmm_unplug(vmm, "vf0", 3000, free_it, &a, NULL), 0);
	cr_assert_eq(vmm_unplug(vmm, "vf0", 3000, free_it, &b, NULL), 0);
	until_done(&a);
	cr_assert_eq(a.calls + b.calls, 2);
	cr_assert_eq(a.r + b.r, -ECANCELED); /* one ended well and gave the guest up, which ended the other */
	cr_assert_str_empty(deleted);
	stop();
}
