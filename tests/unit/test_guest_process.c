/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who listens at a guest's QMP socket: its VMM, or somebody else in its place. */
#include <criterion/criterion.h>
#include <signal.h>

#include "attach_test.h"
#include "fake_internal.h"

static json_t *shown(void)
{
	json_t *a = fake_host_call(h, "guest.show", json_pack("{s:s}", "name", "vm1")), *guest = member(a, "result.guest");

	json_incref(guest);
	json_decref(a);
	return guest;
}

/* gangwayd is started anew, and finds that the program at the socket is @exe. */
static json_t *found_to_be(const char *exe)
{
	fake_host_stop(h);
	fake_remove(h->fake, "/proc/%d/exe", (int)vm1->pid);
	fake_symlink(h->fake, exe, "/proc/%d/exe", (int)vm1->pid);
	fake_host_start(h);
	while (!fake_host_guest_up(h, "vm1"))
		cr_assert_geq(sd_event_run(h->event, 5000000), 0);
	return shown();
}

Test(guest_process, a_qemu)
{
	static const char *const names[] = { "/usr/bin/qemu-system-x86_64", "/usr/libexec/qemu-kvm", "/usr/bin/kvm",
					     "/usr/bin/qemu-system-x86_64 (deleted)" };

	begin(2);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		json_t *guest = found_to_be(names[i]);

		cr_assert_eq(json_integer_value(member(guest, "pid")), vm1->pid);
		cr_assert(json_is_null(member(guest, "manager")), "%s", names[i]);
		json_decref(guest);
	}
	end();
}

/* What is its is not taken for the VMM's, and that it lives on is not the guest's life. */
Test(guest_process, a_manager)
{
	json_t *guest, *a;
	pid_t manager;

	begin(2);
	guest = found_to_be("/usr/sbin/virtqemud");
	cr_assert_str_eq(text_of(guest, "manager.program"), "virtqemud");
	json_decref(guest);
	guest = found_to_be("/usr/sbin/lib\x1bvirtd");
	cr_assert(json_is_null(member(guest, "pid")));
	cr_assert_eq(json_integer_value(member(guest, "manager.pid")), vm1->pid);
	cr_assert_str_eq(text_of(guest, "manager.program"), "lib?virtd");
	json_decref(guest);
	/* its limit on locked memory, of which it has none to spare, keeps no guest from its VF */
	fake_put(h->fake, "Max locked memory         65536                65536                bytes\n", "/proc/%d/limits",
		 (int)vm1->pid);
	a = attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0"));
	cr_assert(strstr(json_string_value(json_array_get(member(a, "warnings"), 0)), "is no QEMU"));
	json_decref(a);
	/* the VMM ends, and the manager does not */
	manager = vm1->pid;
	vm1->pid = 0;
	fake_qmp_die(vm1->peer);
	fake_qmp_free(vm1->peer);
	vm1->peer = NULL;
	until_leases(0);
	cr_assert_eq(kill(manager, 0), 0);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	vm1->pid = manager;
	end();
}

/* A VMM that has only lost its connection is there still: its process is. */
Test(guest_process, a_vmm_that_hangs_up)
{
	begin(2);
	json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0")));
	fake_qmp_die(vm1->peer);
	fake_qmp_free(vm1->peer);
	vm1->peer = NULL;
	fake_host_settle(h);
	cr_assert_eq(h->d.nr_leases, 1);
	end();
}
