/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attach to a guest whose VMM is just being connected to: its hello is waited for, and what comes instead is told. */
#include <criterion/criterion.h>

#include "attach_test.h"
#include "fake_internal.h"
#include "guests.h"
#include "vmm.h"

static bool is_connecting(void *arg)
{
	struct guest *g = guest_find(&h->d, arg);

	return g && vmm_get_state(g->vmm) == VMM_CONNECTING;
}

/* vm2 is running, takes its time to say hello, and is known only now; attached to at once. */
static json_t *attach_to(const struct fake_qmp_step *script, struct fake_guest *vm2)
{
	json_int_t id;
	json_t *a;

	begin(2);
	*vm2 = (struct fake_guest){ .host = h, .name = "vm2", .shared = true, .minor_ram_mib = 512, .status = "running" };
	snprintf(vm2->qmp, sizeof(vm2->qmp), "%s/vm2.qmp", h->dir);
	vm2->peer = fake_qmp_new(h->event, vm2->qmp, script);
	fake_guest_update(vm2);
	/* the test itself is the process at the other end */
	fake_mkdir(h->fake, "/proc/%d", (int)getpid());
	fake_put(h->fake, "CapEff:\t0000000000004000\n", "/proc/%d/status", (int)getpid());
	fake_put(h->fake, "Max locked memory         unlimited            unlimited            bytes\n", "/proc/%d/limits",
		 (int)getpid());
	before_again();
	succeed("guest.add", json_pack("{s:s, s:s}", "name", "vm2", "qmp", vm2->qmp));
	cr_assert(is_connecting("vm2"));
	id = fake_host_send(h, "attach", json_pack("{s:s, s:s}", "guest", "vm2", "target", "eth0"));
	a = fake_host_wait(h, id);
	return a;
}

static void is_refused(const struct fake_qmp_step *script, const char *code)
{
	struct fake_guest vm2;
	json_t *a = attach_to(script, &vm2);

	cr_assert_str_eq(text_of(a, "error.data.code"), code);
	json_decref(a);
	unchanged();
	fake_qmp_free(vm2.peer);
	unlink(vm2.qmp);
	end();
}

Test(attach_connecting, it_says_hello)
{
	static const struct fake_qmp_step script[] = { fq_do(FQ_ACCEPT), fq_pause(200),
						       fq_do(FQ_GREET),	 fq_expect("qmp_capabilities"),
						       fq_return("{}"),	 fq_do(FQ_SERVE) };
	struct fake_guest vm2;
	json_t *a = attach_to(script, &vm2);

	cr_assert_str_eq(text_of(a, "result.lease.state"), "attached", "%s", text_of(a, "error.message"));
	json_decref(a);
	succeed("detach", json_pack("{s:s}", "guest", "vm2"));
	unchanged();
	fake_qmp_free(vm2.peer);
	unlink(vm2.qmp);
	end();
}

Test(attach_connecting, it_says_something_else)
{
	static const struct fake_qmp_step script[] = { fq_do(FQ_ACCEPT), fq_pause(200), fq_raw("220 mail.example.org ESMTP\r\n"),
						       fq_end };

	is_refused(script, "qmp.not-qmp");
}

Test(attach_connecting, it_ends)
{
	static const struct fake_qmp_step script[] = { fq_do(FQ_ACCEPT), fq_pause(200), fq_do(FQ_DIE), fq_end };

	is_refused(script, "guest.down");
}

/* The connection is lost, and that the VMM is gone is known only from the next attempt: that is waited for. */
Test(attach_connecting, detach_right_after_the_end)
{
	for (int prepared = 0; prepared < 2; prepared++) {
		begin(1);
		if (prepared) {
			fake_guest_die(vm1);
			fake_host_settle(h);
			json_decref(attach(json_pack("{s:s, s:s, s:b}", "guest", "vm1", "target", "eth0", "prepare", 1)));
			strcpy(vm1->device, "gangway-nic0");
			strcpy(vm1->vf, FAKE_VF0_BDF);
			fake_guest_run(vm1);
		} else {
			json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0")));
		}
		fake_guest_die(vm1);
		cr_assert(is_connecting("vm1"));
		succeed("detach", json_pack("{s:s}", "guest", "vm1"));
		cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
		cr_assert_eq(h->d.nr_leases, 0);
		end();
	}
}

/* gangwayd stops while it is waited for */
Test(attach_connecting, nobody_waits_any_more)
{
	static const struct fake_qmp_step script[] = { fq_do(FQ_ACCEPT), fq_end };
	struct fake_qmp *peer;
	char path[128];

	begin(2);
	snprintf(path, sizeof(path), "%s/vm2.qmp", h->dir);
	peer = fake_qmp_new(h->event, path, script);
	succeed("guest.add", json_pack("{s:s, s:s}", "name", "vm2", "qmp", path));
	fake_host_send(h, "attach", json_pack("{s:s, s:s}", "guest", "vm2", "target", "eth0"));
	/* the lease is there, then it waits */
	for (unsigned calls = 0; calls != fake_calls(h->fake) || !h->d.nr_leases;) {
		calls = fake_calls(h->fake);
		cr_assert_geq(sd_event_run(h->event, 100000), 0);
	}
	fake_host_stop(h);
	fake_qmp_free(peer);
	unlink(path);
	fake_host_start(h);
	unchanged();
	end();
}
