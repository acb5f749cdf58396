/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long a guest that migrates is dark, as its old host hears it. */
#include <criterion/criterion.h>

#include "switcher_test.h"

static unsigned fds_at_rest; /* of the pair on its VF */

static void migration(const char *status)
{
	char data[64];

	snprintf(data, sizeof(data), "{\"status\": \"%s\"}", status);
	fake_qmp_event(vm1->peer, "MIGRATION", data);
}

static void answers(const char *status)
{
	static char reply[128];

	snprintf(reply, sizeof(reply), "\"return\": {\"status\": \"%s\", \"ram\": {\"total\": 1000, \"remaining\": 10}}", status);
	vm1->migration = reply;
	fake_guest_update(vm1);
}

/* Up to where the guest stands still. */
static json_int_t begin_migration(const char *uri)
{
	json_int_t id;

	begin_pair(false);
	attach_pair("macvtap");
	fds_at_rest = fake_open_fds(h->fake);
	answers("active");
	id = fake_host_send(h, "migrate", json_pack("{s:s, s:s}", "guest", "vm1", "uri", uri));
	while (!fake_qmp_count(vm1->peer, "migrate"))
		turn();
	migration("setup");
	fake_qmp_event(vm1->peer, "UNPLUG_PRIMARY", "{\"device-id\": \"gangway-nic0\"}");
	migration("wait-unplug");
	fake_guest_drives(vm1, false);
	migration("active");
	until_at("emulated");
	cr_assert_eq(fake_frame_comes(h->fake, "eth0", vm1_mac), 0, "it runs here: nobody listens");
	return id;
}

static bool listens(void *arg)
{
	(void)arg;
	return fake_open_fds(h->fake) > fds_at_rest;
}

static void stands_still(void)
{
	fake_qmp_event(vm1->peer, "STOP", NULL);
	migration("device");
	cr_assert(fake_host_until(h, listens, NULL, 5000));
}

static void completes(void)
{
	unsigned asked = fake_qmp_count(vm1->peer, "query-migrate");

	answers("completed");
	vm1->status = "postmigrate";
	fake_guest_update(vm1);
	migration("completed");
	while (fake_qmp_count(vm1->peer, "query-migrate") == asked)
		turn();
}

/* The caller's. */
static json_t *dark_of(json_int_t id)
{
	json_t *a = fake_host_wait(h, id), *ms = json_incref(member(a, "result.migration.dark_ms"));

	cr_assert(ms, "%s", text_of(a, "error.message"));
	json_decref(a);
	return ms;
}

static void over(void)
{
	if (vm1->peer)
		fake_guest_die(vm1);
	until_leases(0);
	cr_assert_eq(records(), 0);
	cr_assert_leq(fake_open_fds(h->fake), fds_at_rest);
	end();
}

static void heard(bool early)
{
	const uint8_t other[SYS_MAC_LEN] = { 0x52, 0x54, 0, 0, 0, 0xbb };
	json_int_t id = begin_migration("tcp:127.0.0.1:1");
	json_t *ms;

	stands_still();
	cr_assert_eq(fake_frame_comes(h->fake, "eth0", other), 0);
	if (!early)
		completes();
	cr_assert_eq(fake_frame_comes(h->fake, "eth0", vm1_mac), 1);
	if (early)
		completes();
	ms = dark_of(id);
	cr_assert(json_is_integer(ms));
	cr_assert_lt(json_integer_value(ms), 60000);
	cr_assert_eq(fake_frame_comes(h->fake, "eth0", vm1_mac), 0, "nobody listens any more");
	json_decref(ms);
	over();
}

Test(dark, heard_before_the_end)
{
	heard(true);
}

Test(dark, heard_after_the_end)
{
	heard(false);
}

/* On another Ethernet: the answer comes all the same. */
Test(dark, not_heard)
{
	json_int_t id = begin_migration("tcp:127.0.0.1:1");
	json_t *ms;

	stands_still();
	completes();
	ms = dark_of(id);
	cr_assert(json_is_null(ms));
	json_decref(ms);
	over();
}

/* It runs on here: what is heard of it then means nothing. */
Test(dark, fails_at_the_last)
{
	json_int_t id = begin_migration("tcp:127.0.0.1:1");
	json_t *a;

	stands_still();
	answers("failed");
	fake_qmp_event(vm1->peer, "RESUME", NULL);
	migration("failed");
	a = fake_host_wait(h, id);
	cr_assert(member(a, "error"));
	json_decref(a);
	cr_assert_eq(fake_frame_comes(h->fake, "eth0", vm1_mac), 0);
	fake_guest_drives(vm1, true);
	until_at("passthrough");
	cr_assert_eq(fake_open_fds(h->fake), fds_at_rest);
	succeed("detach", of_vm1());
	unchanged();
	end();
}

/* A snapshot goes nowhere. */
Test(dark, of_no_snapshot)
{
	json_int_t id = begin_migration("file:/tmp/x");
	json_t *ms;

	fake_qmp_event(vm1->peer, "STOP", NULL);
	migration("device");
	completes();
	ms = dark_of(id);
	cr_assert(json_is_null(ms));
	json_decref(ms);
	cr_assert_eq(fake_open_fds(h->fake), fds_at_rest);
	over();
}

Test(dark, its_vmm_ends_meanwhile)
{
	json_int_t id = begin_migration("tcp:127.0.0.1:1");
	json_t *a;

	stands_still();
	completes();
	fake_guest_die(vm1);
	a = fake_host_wait(h, id);
	cr_assert(member(a, "result") || member(a, "error"));
	json_decref(a);
	over();
}
