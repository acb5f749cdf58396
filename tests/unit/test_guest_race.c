/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest.add, guest.remove and attach that meet while the guest's row is on its way to the disk, and a disk that says no. */
#include <criterion/criterion.h>

#include "attach_test.h"
#include "guests.h"

static json_int_t send_guest(const char *method, const char *name)
{
	json_t *params = json_pack("{s:s}", "name", name);

	if (!strcmp(method, "guest.add"))
		json_object_set_new(params, "qmp", json_string("/nowhere/vm.qmp"));
	return fake_host_send(h, method, params);
}

/* "" is success */
static void wait_for(json_int_t id, const char *code)
{
	json_t *a = fake_host_wait(h, id);
	const char *got = member(a, "error") ? text_of(a, "error.data.code") : "";

	cr_assert_str_eq(got, code, "call %d: %s, not %s", (int)id, got, code);
	if (!strcmp(code, "guest.busy"))
		cr_assert_gt(strlen(text_of(a, "error.data.hint")), 0, "%s has no hint", code);
	json_decref(a);
}

/* All lines of one turn are begun before any of them has ended. */
Test(guest_race, while_it_is_added)
{
	static const char *const methods[] = { "guest.add", "guest.add", "guest.remove" };
	json_int_t ids[3], attaching;

	begin(1);
	for (int i = 0; i < 3; i++)
		ids[i] = send_guest(methods[i], "vm2");
	attaching = fake_host_send(h, "attach", json_pack("{s:s, s:s}", "guest", "vm2", "target", "eth0"));
	wait_for(ids[0], "");
	wait_for(ids[1], "guest.busy");
	wait_for(ids[2], "guest.busy");
	wait_for(attaching, "guest.busy");
	cr_assert(guest_find(&h->d, "vm2"));
	succeed("guest.remove", json_pack("{s:s}", "name", "vm2"));
	unchanged();
	end();
}

Test(guest_race, while_it_is_removed)
{
	static const char *const methods[] = { "guest.remove", "guest.remove", "guest.add" };
	json_int_t ids[3], attaching;

	begin(1);
	for (int i = 0; i < 3; i++)
		ids[i] = send_guest(methods[i], "vm1");
	attaching = fake_host_send(h, "attach", json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0"));
	wait_for(ids[0], "");
	wait_for(ids[1], "guest.busy");
	wait_for(ids[2], "guest.busy");
	wait_for(attaching, "guest.busy");
	cr_assert_null(guest_find(&h->d, "vm1"));
	wait_for(send_guest("guest.add", "vm1"), "");
	cr_assert_eq(h->d.nr_guests, 1);
	/* and that is what the disk has, too */
	fake_host_stop(h);
	fake_host_start(h);
	cr_assert(guest_find(&h->d, "vm1"));
	end();
}

Test(guest_race, a_disk_that_takes_no_row)
{
	begin(1);
	sql("create trigger no_more before insert on guest begin select raise(fail, 'full'); end");
	wait_for(send_guest("guest.add", "vm2"), "db.failed");
	cr_assert_null(guest_find(&h->d, "vm2"));
	sql("drop trigger no_more");
	wait_for(send_guest("guest.add", "vm2"), "");
	succeed("guest.remove", json_pack("{s:s}", "name", "vm2"));
	unchanged();
	end();
}

/* What the disk still has is still known: or it would be back after the next start, to everybody's surprise. */
Test(guest_race, a_disk_that_keeps_its_row)
{
	begin(1);
	sql("create trigger no_less before delete on guest begin select raise(fail, 'full'); end");
	wait_for(send_guest("guest.remove", "vm1"), "db.failed");
	cr_assert(fake_host_guest_up(h, "vm1"));
	json_decref(attach(json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0")));
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	sql("drop trigger no_less");
	succeed("guest.remove", json_pack("{s:s}", "name", "vm1"));
	cr_assert_eq(h->d.nr_guests, 0);
	unchanged();
	end();
}
