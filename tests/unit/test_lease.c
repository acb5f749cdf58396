/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leases: their states, their names, their record in the state database, and that no damaged record becomes a lease. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "err.h"
#include "lease.h"

static struct daemon d;
static struct err err;

static void setup(void)
{
	d = (struct daemon){ .boot_id = "boot-1", .config.device_uid_first = 100000 };
	TAILQ_INIT(&d.guests);
	TAILQ_INIT(&d.leases);
	err_clear(&err);
}

static void teardown(void)
{
	while (TAILQ_FIRST(&d.leases))
		lease_free(TAILQ_FIRST(&d.leases));
	cr_expect_eq(d.nr_leases, 0);
}

TestSuite(lease, .init = setup, .fini = teardown);

static struct lease *must_new(const char *guest, const char *nic)
{
	struct lease *l;

	cr_assert_eq(lease_new(&d, guest, nic, &l, &err), 0, "%s", err.msg);
	return l;
}

/* --- states --- */

/* As the picture in lease_fsm.c: rows from, columns to, in the order of the enum. */
static const char *const picture[LEASE_STATE_NUM_] = {
	[LEASE_ATTACHING] = ".PA.FG", [LEASE_PREPARED] = "..AD.G", [LEASE_ATTACHED] = ".P.D.G",
	[LEASE_DETACHING] = "..A.FG", [LEASE_FAILED] = "T..D.G",   [LEASE_GONE] = "......",
};

Test(lease, every_transition)
{
	for (int from = 0; from < LEASE_STATE_NUM_; from++)
		for (int to = 0; to < LEASE_STATE_NUM_; to++) {
			struct lease *l = must_new("vm1", "nic0");
			bool legal = picture[from][to] != '.';

			cr_assert_eq(lease_transition_legal((enum lease_state)from, (enum lease_state)to), legal, "%s -> %s",
				     lease_state_to_string((enum lease_state)from), lease_state_to_string((enum lease_state)to));
			l->state = (enum lease_state)from; /* where it is for this test */
			lease_set_state(l, (enum lease_state)to, "test");
			cr_assert_eq((int)l->state, legal ? to : from);
			cr_assert_str_eq(l->why, legal ? "test" : "");
			lease_free(l);
		}
	cr_assert_not(lease_transition_legal(LEASE_STATE_NUM_, LEASE_GONE));
	cr_assert_not(lease_transition_legal(LEASE_GONE, LEASE_STATE_NUM_));
}

Test(lease, words_of_states_legs_and_reasons)
{
	for (int i = 0; i < LEASE_STATE_NUM_; i++)
		cr_assert_eq((int)lease_state_from_string(lease_state_to_string((enum lease_state)i)), i);
	cr_assert_eq(lease_state_from_string("bored"), LEASE_STATE_NUM_);
	cr_assert_str_eq(lease_state_to_string(LEASE_STATE_NUM_), "?");
	cr_assert_str_eq(lease_leg_to_string(LEG_NUM_), "?");
	cr_assert_null(lease_reason_to_string(REASON_NONE));
	for (int i = REASON_NONE + 1; i < REASON_NUM_; i++)
		cr_assert(lease_reason_to_string((enum lease_reason)i));
}

Test(lease, via)
{
	enum lease_via via = VIA_AUTO;

	cr_assert_eq(lease_via_from_string("vfio-user", &via), 0);
	cr_assert_eq(via, VIA_VFIO_USER);
	cr_assert_eq(lease_via_from_string("vfio", &via), -EINVAL);
	cr_assert_eq(via, VIA_VFIO_USER);
	cr_assert_str_eq(lease_via_to_string(VIA_VFIO_PCI), "vfio-pci");
}

/* --- names and limits --- */

Test(lease, names)
{
	static const char *const good[] = { "a", "0", "vm1", "a.b_c-D9", "A" }, *const bad[] = { "",	".",   "-a",  "_a",
												 "a/b", "a b", "a\n", "\xc3\xa4",
												 "a:b", "../x" };
	char text[LIMIT_NAME + 2];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		cr_assert_eq(name_check("guest", good[i], &err), 0, "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(name_check("guest", bad[i], &err), -EINVAL, "%s", bad[i]);
		cr_assert_str_eq(err.code, "name.bad");
	}
	memset(text, 'x', sizeof(text));
	text[LIMIT_NAME] = '\0';
	cr_assert_eq(name_check("guest", text, &err), 0);
	text[LIMIT_NAME] = 'x';
	text[LIMIT_NAME + 1] = '\0';
	cr_assert_eq(name_check("guest", text, &err), -EINVAL);
}

Test(lease, the_longest_names_fit)
{
	char guest[LIMIT_NAME + 1], nic[LIMIT_NAME + 1], want[2 * LIMIT_NAME + 16];
	struct lease *l;

	memset(guest, 'g', LIMIT_NAME);
	memset(nic, 'n', LIMIT_NAME);
	guest[LIMIT_NAME] = nic[LIMIT_NAME] = '\0';
	l = must_new(guest, nic);
	snprintf(want, sizeof(want), "%s/%s", guest, nic);
	cr_assert_str_eq(l->id, want);
	snprintf(want, sizeof(want), "gangway-%s", nic);
	cr_assert_str_eq(l->device_id, want);
}

Test(lease, limits)
{
	char guest[16], nic[16];
	struct lease *l;

	for (int i = 0; i < LIMIT_LEASES; i++) {
		snprintf(guest, sizeof(guest), "vm%d", i / LIMIT_LEASES_PER_GUEST);
		snprintf(nic, sizeof(nic), "nic%d", i % LIMIT_LEASES_PER_GUEST);
		must_new(guest, nic);
		if (i != LIMIT_LEASES_PER_GUEST - 1)
			continue;
		cr_assert_eq(lease_new(&d, guest, "one-more", &l, &err), -ENOSPC);
		cr_assert_str_eq(err.code, "lease.too-many");
	}
	cr_assert_eq(lease_new(&d, "another", "nic0", &l, &err), -ENOSPC);
	cr_assert_eq(lease_new(&d, "vm0", "nic0", &l, &err), -EEXIST);
	cr_assert_str_eq(err.code, "lease.exists");
}

Test(lease, finding)
{
	struct lease *a = must_new("vm1", "nic0"), *b = must_new("vm1", "nic1"), *c = must_new("vm2", "nic0");

	lease_set_vf(b, "0000:3b:02.1");
	strcpy(b->pf_key, "mac=x");
	b->vf_index = 3;
	cr_assert_str_eq(b->file_id, "0000-3b-02.1");
	cr_assert_eq(lease_find(&d, "vm1", NULL), a);
	cr_assert_eq(lease_find(&d, "vm1", "nic1"), b);
	cr_assert_eq(lease_find(&d, "vm2", "nic0"), c);
	cr_assert_null(lease_find(&d, "vm2", "nic1"));
	cr_assert_null(lease_find(&d, "vm3", NULL));
	cr_assert_eq(lease_count(&d, "vm1"), 2);
	cr_assert_eq(lease_of_vf(&d, "0000:3b:02.1"), b);
	cr_assert_null(lease_of_vf(&d, "0000:3b:02.2"));
	cr_assert_eq(lease_of_vf_index(&d, "mac=x", 3), b);
	cr_assert_null(lease_of_vf_index(&d, "mac=x", 2));
	cr_assert_null(lease_of_vf_index(&d, "", 0), "a lease without VF yet is nobody's");
}

/* Each lease's process is another user; the lowest number that is free is taken, also below one that came from a record. */
Test(lease, a_uid_of_its_own)
{
	struct lease *a = must_new("vm1", "nic0"), *b = must_new("vm1", "nic1"), *c = must_new("vm2", "nic0");
	char guest[16];

	cr_assert_eq(a->device_uid, 100000);
	cr_assert_eq(b->device_uid, 100001);
	cr_assert_eq(c->device_uid, 100002);
	lease_free(b);
	b = must_new("vm3", "nic0");
	cr_assert_eq(b->device_uid, 100001);
	/* one of another configuration, and one of an older gangwayd */
	a->device_uid = 200000;
	c->device_uid = 0;
	cr_assert_eq(must_new("vm4", "nic0")->device_uid, 100000);
	cr_assert_eq(must_new("vm5", "nic0")->device_uid, 100002);
	for (unsigned i = d.nr_leases; i < LIMIT_LEASES; i++) {
		struct lease *l;

		snprintf(guest, sizeof(guest), "g%u", i);
		cr_assert_eq(lease_new(&d, guest, "nic0", &l, &err), 0);
		cr_assert_leq(l->device_uid, 100000 + LIMIT_LEASES - 1);
	}
}

/* --- the record --- */

static const struct lease_undo undo = { .valid = true,
					.binding = { .driver = "igbvf", .override = "" },
					.policy = { .fields = SYS_VF_MAC, .mac = { 2, 0, 0, 0, 0, 1 } },
					.touched = SYS_VF_MAC | SYS_VF_VLAN,
					.group_id = 33,
					.group_uid = 107,
					.group_gid = 108 };

static json_t *a_record(void)
{
	struct lease *l = must_new("vm1", "nic0");
	json_t *j;

	strcpy(l->pf_key, "mac=52:54:00:3b:00:10,path=pci0000:3b/0000:3b:00.0");
	strcpy(l->pf_name, "eth0");
	lease_set_vf(l, "0000:3b:10.2");
	l->vf_index = 1;
	l->group_id = 33;
	l->via = VIA_VFIO_USER;
	l->prepared = true;
	l->want = (struct sys_vf){ .fields = SYS_VF_VLAN, .vlan = 5 };
	l->owner_uid = 4294967294u;
	l->owner_gid = 65534;
	l->device_uid = 4294967294u;
	l->port = LIMIT_LEASES_PER_GUEST;
	err_set(&l->no_standby, -ENOSPC, "vmm.no-slot", "lease vm1/nic0: no emulated leg: no port is free");
	err_hint(&l->no_standby, "one more");
	j = lease_to_record(l, &undo);
	cr_assert(j);
	lease_free(l);
	return j;
}

Test(lease, record_there_and_back)
{
	json_t *j = a_record(), *again;
	char *text = json_dumps(j, 0);
	struct lease *l;

	/* as the database does it */
	json_decref(j);
	j = json_loads(text, 0, NULL);
	free(text);
	cr_assert_eq(lease_from_record(&d, j, &l, &err), 0, "%s", err.msg);
	cr_assert_str_eq(l->id, "vm1/nic0");
	cr_assert_str_eq(l->vf_bdf, "0000:3b:10.2");
	cr_assert_eq(l->state, LEASE_ATTACHING);
	cr_assert_eq(l->via, VIA_VFIO_USER);
	cr_assert(l->prepared);
	cr_assert_eq(l->owner_uid, 4294967294u);
	cr_assert_eq(l->device_uid, 4294967294u);
	cr_assert_eq(l->port, LIMIT_LEASES_PER_GUEST);
	cr_assert(l->undo.valid);
	cr_assert_str_eq(l->undo.binding.driver, "igbvf");
	cr_assert_eq(l->undo.touched, (unsigned)(SYS_VF_MAC | SYS_VF_VLAN));
	cr_assert_eq(l->undo.group_uid, 107);
	cr_assert_eq(l->no_standby.num, -ENOSPC);
	cr_assert_str_eq(l->no_standby.code, "vmm.no-slot");
	cr_assert_str_eq(l->no_standby.hint, "one more");
	again = lease_to_record(l, &l->undo);
	cr_assert(json_equal(j, again));
	/* a second one of the same name */
	cr_assert_eq(lease_from_record(&d, j, &l, &err), -EEXIST);
	json_decref(again);
	json_decref(j);
}

static void must_refuse(const json_t *j, const char *what)
{
	struct lease *l = NULL;
	int r = lease_from_record(&d, j, &l, &err);

	cr_assert_eq(r, -EINVAL, "%s: %d", what, r);
	cr_assert(!strcmp(err.code, "state.bad-record") || !strcmp(err.code, "name.bad"), "%s: %s", what, err.code);
	cr_assert_null(l);
	cr_assert_eq(d.nr_leases, 0, "%s", what);
}

Test(lease, a_record_of_an_older_gangwayd)
{
	json_t *j = a_record();
	struct lease *l;

	json_object_del(j, "device_uid");
	json_object_del(j, "port");
	json_object_del(j, "no_standby");
	json_object_del(j, "memory");
	cr_assert_eq(lease_from_record(&d, j, &l, &err), 0, "%s", err.msg);
	cr_assert(!l->memory.adaptive && !l->memory.unshare && l->memory.priority == LEASE_PRIORITY);
	cr_assert_eq(l->device_uid, 0);
	cr_assert_eq(l->port, 1, "the first that is free");
	json_decref(j);
}

Test(lease, a_record_of_what_memory_it_may_have)
{
	static const char *const bad[] = { "{}",
					   "{\"policy\": \"lots\"}",
					   "{\"policy\": 1}",
					   "{\"policy\": \"pin\", \"priority\": 10}",
					   "{\"policy\": \"pin\", \"priority\": -1}",
					   "{\"policy\": \"pin\", \"unshare\": 1}",
					   "[]",
					   "3" };
	json_t *j = a_record(), *again;
	struct lease *l;

	json_object_set_new(j, "memory", json_pack("{s:s, s:b, s:i}", "policy", "adaptive", "unshare", 1, "priority", 9));
	cr_assert_eq(lease_from_record(&d, j, &l, &err), 0, "%s", err.msg);
	cr_assert(l->memory.adaptive && l->memory.unshare && l->memory.priority == 9);
	again = lease_to_record(l, &l->undo);
	cr_assert(json_equal(j, again));
	json_decref(again);
	lease_free(l);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_object_set_new(j, "memory", json_loads(bad[i], JSON_DECODE_ANY, NULL));
		must_refuse(j, bad[i]);
	}
	json_decref(j);
}

Test(lease, a_record_of_a_quarantined_lease)
{
	json_t *j = a_record();
	struct lease *l;

	json_object_set_new(j, "quarantined", json_true());
	cr_assert_eq(lease_from_record(&d, j, &l, &err), 0, "%s", err.msg);
	cr_assert(l->faults.due, "to be seen to");
	cr_assert_not(l->faults.quarantined);
	lease_free(l);
	json_object_del(j, "quarantined");
	cr_assert_eq(lease_from_record(&d, j, &l, &err), 0, "%s", err.msg);
	cr_assert_not(l->faults.due);
	json_decref(j);
}

static void damage_each(json_t *good, json_t *object, const char *prefix)
{
	json_t *whole = json_copy(object), *value;
	const char *key;

	json_object_foreach (whole, key, value) {
		char what[64];

		snprintf(what, sizeof(what), "%s%s", prefix, key);
		json_object_del(object, key);
		if (strcmp(key, "device_uid") && strcmp(key, "port") && strcmp(key, "quarantined") && strcmp(key, "again") &&
		    strcmp(key, "no_standby") && strcmp(key, "memory")) /* one before this did not write them */
			must_refuse(good, what);
		json_object_set_new(object, key, json_array());
		must_refuse(good, what);
		json_object_set_new(object, key, json_null());
		must_refuse(good, what);
		json_object_set(object, key, value);
	}
	json_decref(whole);
}

Test(lease, a_record_with_a_member_missing_or_of_another_type)
{
	json_t *j = a_record();

	damage_each(j, j, "");
	damage_each(j, json_object_get(j, "undo"), "undo.");
	damage_each(j, json_object_get(j, "no_standby"), "no_standby.");
	json_object_set_new(json_object_get(j, "no_standby"), "errno", json_integer(-28));
	must_refuse(j, "no_standby.errno");
	json_decref(j);
	must_refuse(NULL, "no JSON");
	j = json_array();
	must_refuse(j, "a list");
	json_decref(j);
}

Test(lease, a_record_out_of_range)
{
	static const struct {
		const char *key, *text; /* as JSON */
	} rows[] = {
		{ "record", "0" },
		{ "record", "2" },
		{ "guest", "\"\"" },
		{ "guest", "\"../x\"" },
		{ "nic", "\"a b\"" },
		{ "state", "\"gone\"" },
		{ "state", "\"bored\"" },
		{ "via", "\"ivshmem\"" },
		{ "vf_bdf", "\"\"" },
		{ "vf_bdf", "\"../../x\"" },
		{ "vf_index", "-1" },
		{ "device_uid", "-1" },
		{ "device_uid", "1000" },
		{ "device_uid", "4294967295" },
		{ "device_uid", "4295032832" },
		{ "port", "-1" },
		{ "port", "17" },
		{ "port", "4294967297" },
		{ "vf_index", "256" },
		{ "vf_index", "4294967297" },
		{ "boot_id", "\"0123456789012345678901234567890123456789\"" },
		{ "pf_name", "\"an-interface-name-too-long\"" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *j = a_record();

		json_object_set_new(j, rows[i].key, json_loads(rows[i].text, JSON_DECODE_ANY, NULL));
		must_refuse(j, rows[i].text);
		json_decref(j);
	}
	for (int i = 0; i < 2; i++) {
		json_t *j = a_record();

		/* these become parts of paths below /sys */
		json_object_set_new(json_object_get(j, "undo"), i ? "driver" : "override", json_string("../../../etc"));
		must_refuse(j, "a driver with slashes");
		json_decref(j);
	}
}

Test(lease, as_json)
{
	struct lease *l = must_new("vm1", "nic0");
	json_t *j = lease_to_json(l);

	cr_assert(j, "also before it has a VF");
	cr_assert(json_is_null(json_object_get(j, "vf")));
	cr_assert(json_is_null(json_object_get(j, "error")));
	cr_assert_str_eq(json_string_value(json_object_get(j, "state")), "attaching");
	json_decref(j);
	err_set(&l->error, -EIO, "test.x", "y");
	lease_set_vf(l, "0000:3b:10.2");
	j = lease_to_json(l);
	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "error"), "code")), "test.x");
	json_decref(j);
}
