/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way back of standby legs: with the n-th call to the kernel failing, for every n there is; from the record alone, after a crash at any
 * call; and from records that are damaged, or of interfaces that are not ours any more.
 */
#include "emul_test.h"

#include "mac.h"

struct row {
	enum emul_kind kind;
	bool filters;
	unsigned vlan, qos;
};

static const struct row rows[] = {
	{ EMUL_MACVTAP, false, 0, 0 },
	{ EMUL_MACVTAP, false, 100, 3 },
	{ EMUL_BRIDGE, false, 0, 0 },
	{ EMUL_BRIDGE, true, 100, 0 },
};
#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

/* A host for the row, and what is wanted on it. */
static struct emul_want begin(const struct row *row)
{
	struct emul_want w = wanted(row->kind);

	if (row->kind == EMUL_BRIDGE) {
		bridged(row->filters);
		if (row->vlan)
			port_vlan("eth0", row->vlan, true);
		refresh();
	}
	w.policy = policy_of(row->vlan, row->qos);
	return w;
}

/* The next row has its own host. */
static void next_host(void)
{
	teardown();
	setup();
}

/* All a leg lives through, until something fails. What it returned. */
static int live(struct emul_leg *l, struct sys_vf policy, struct err *err)
{
	int fd, r = emul_leg_create(l, err);

	if (r == 0)
		r = emul_leg_carry(l, true, err);
	if (r == 0)
		r = emul_leg_announce(l, NULL, 0, NULL, 0, err);
	if (r == 0)
		r = emul_leg_lag(l, true, err);
	if (r == 0)
		r = emul_leg_lag(l, false, err);
	policy.max_tx_rate = 20;
	if (r == 0)
		r = emul_leg_apply(l, &policy, err);
	if (r == 0)
		r = emul_leg_carry(l, false, err);
	if (r < 0)
		return r;
	fd = emul_leg_open(l, err);
	if (fd < 0)
		return fd;
	sys->ops->close(sys, fd);
	return emul_leg_destroy(l, err);
}

static void sweep(const struct row *row, int num)
{
	struct emul_want w = begin(row);
	unsigned n, failed = 0;

	for (n = 1;; n++) {
		struct emul_leg *l = leg(w);
		struct err err = { 0 };
		bool hit;
		int r;

		fake_fail_at(fake, n, num);
		r = live(l, w.policy, &err);
		hit = fake_failed(fake);
		fake_fail_at(fake, 0, 0);
		cr_expect(r == 0 || (err.code[0] && err.msg[0]), "call %u: %d without an error", n, r);
		failed += r < 0;
		gone(l);
		if (!hit || n > 500)
			break;
	}
	cr_expect_gt(failed, 10);
	cr_assert_leq(n, 500);
	next_host();
}

Test(emul, fail_nth)
{
	for (size_t i = 0; i < NR_ROWS; i++) {
		sweep(&rows[i], -EIO);
		sweep(&rows[i], -ENOMEM);
		sweep(&rows[i], -EBUSY);
	}
}

/* Create alone: when it failed, it left nothing, without anybody destroying. */
Test(emul, a_create_that_fails_undoes_itself)
{
	for (size_t i = 0; i < NR_ROWS; i++) {
		struct emul_want w = begin(&rows[i]);

		for (unsigned n = 1; n < 500; n++) {
			struct emul_leg *l = leg(w);
			int r;

			fake_fail_at(fake, n, -EIO);
			r = emul_leg_create(l, NULL);
			fake_fail_at(fake, 0, 0);
			if (r == 0)
				emul_leg_destroy(l, NULL);
			emul_leg_free(l);
			unchanged();
			if (r == 0)
				break;
		}
		next_host();
	}
}

static struct emul_leg *reread(const json_t *record)
{
	struct emul_leg *l = NULL;

	cr_assert_eq(emul_leg_from_json(sys, record, &l, NULL), 0);
	return l;
}

/*
 * gangwayd is killed in the n-th call: all later ones fail, its own undoing too, its descriptors are closed. The record of before create is
 * all that is left.
 */
Test(emul, killed_anywhere)
{
	for (size_t i = 0; i < NR_ROWS; i++) {
		struct emul_want w = begin(&rows[i]);
		bool more = true;

		for (unsigned n = 1; more && n < 500; n++) {
			struct emul_leg *l = leg(w);
			json_t *record = emul_leg_to_json(l);

			fake_die_at(fake, n);
			more = live(l, w.policy, NULL) < 0;
			fake_die_at(fake, 0);
			emul_leg_free(l);
			gone(reread(record));
			json_decref(record);
		}
		next_host();
	}
}

/* QEMU holds its descriptor: the leg lives on, is taken over by its record, and goes when it is destroyed. */
Test(emul, a_leg_outlives_us)
{
	for (size_t i = 0; i < NR_ROWS; i++) {
		struct emul_want w = begin(&rows[i]);
		struct emul_leg *l = leg(w);
		json_t *record, *again;
		int fd;

		cr_assert_eq(emul_leg_create(l, NULL), 0);
		fd = emul_leg_open(l, NULL);
		cr_assert_geq(fd, 0);
		cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
		record = emul_leg_to_json(l);
		if (w.words.kind == EMUL_BRIDGE)
			fake_vmm_holds_tap(fake, "gwt7", true);
		sys->ops->close(sys, fd);
		emul_leg_free(l);

		l = reread(record);
		again = emul_leg_to_json(l);
		cr_expect(json_equal(record, again));
		cr_expect(json_is_true(json_object_get(record, "carries")));
		cr_expect_eq(emul_leg_open(l, NULL), -EALREADY);
		cr_assert_eq(emul_leg_carry(l, false, NULL), 0);
		cr_expect_not(fake_hears(fake, "eth0", guest));
		cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
		cr_assert_eq(emul_leg_apply(l, &w.policy, NULL), 0);
		cr_expect(fake_hears(fake, "eth0", guest));
		gone(l);
		json_decref(record);
		json_decref(again);
		next_host();
	}
}

/* udev, or an operator, calls the PF something else, and something else as the PF was called. */
Test(emul, a_pf_that_is_renamed)
{
	for (size_t i = 0; i < NR_ROWS; i++) {
		struct emul_want w = begin(&rows[i]);
		struct emul_leg *l = leg(w);
		struct err err = { 0 };
		json_t *record;

		cr_assert_eq(emul_leg_create(l, NULL), 0);
		cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
		record = emul_leg_to_json(l);
		fake_rename_interface(fake, "eth0", "lan0");
		fake_rename_interface(fake, "eth1", "eth0");
		cr_expect_eq(emul_leg_carry(l, false, &err), 0, "%s", err.msg);
		cr_expect_not(fake_hears(fake, "lan0", guest));
		cr_expect_eq(emul_leg_carry(l, true, &err), 0, "%s", err.msg);
		cr_expect(fake_hears(fake, "lan0", guest));
		cr_expect_eq(emul_leg_announce(l, NULL, 0, NULL, 0, &err), 0, "%s", err.msg);
		if (w.words.kind == EMUL_BRIDGE) /* the record of before does as well; a tap lives by our descriptor */
			cr_expect_eq(emul_leg_destroy(l, &err), 0, "%s", err.msg);
		emul_leg_free(l);
		l = reread(record);
		cr_expect_eq(emul_leg_destroy(l, &err), 0, "%s", err.msg);
		fake_rename_interface(fake, "eth0", "eth1");
		fake_rename_interface(fake, "lan0", "eth0");
		gone(l);
		json_decref(record);
		next_host();
	}
}

/* Something else has our name now: another kind, another MAC, another device below. It is not touched. */
Test(emul, what_is_not_ours_stays)
{
	static const uint8_t other[SYS_MAC_LEN] = { 0x52, 0x54, 0, 0, 0, 0xbb };
	struct err err;

	for (int i = 0; i < 3; i++) {
		struct emul_leg *l = leg(wanted(EMUL_MACVTAP));

		if (i == 0)
			fake_add_interface(fake, "gwt7", guest);
		else
			cr_assert_eq(sys->ops->macvtap_add(sys, fake_link(fake, i == 1 ? "eth0" : "eth1"), "gwt7",
							   i == 1 ? other : guest, NULL),
				     0);
		refresh();
		cr_expect_eq(emul_leg_create(l, &err), -EEXIST);
		cr_expect_str_eq(err.code, "emul.name-taken");
		cr_expect_eq(emul_leg_carry(l, true, &err), -ENODEV);
		cr_expect_str_eq(err.code, "emul.gone");
		gone(l);
		next_host();
	}
}

Test(emul, a_pf_that_is_another_one)
{
	struct emul_leg *l = leg(wanted(EMUL_MACVTAP));
	struct err err = { 0 };

	fake_remove_function(fake, "0000:3b:00.0");
	fake_add_pf(fake, "0000:3b:00.0", "eth0", "igb", "igbvf", 8);
	refresh();
	cr_expect_eq(emul_leg_create(l, &err), -EAGAIN);
	cr_expect_str_eq(err.code, "emul.host-changed");
	gone(l);
}

Test(emul, damaged_records)
{
	static const struct {
		const char *key;
		const char *value;
	} damage[] = {
		{ "standby", "\"none\"" },
		{ "standby", "\"bridge:../x\"" },
		{ "standby", "7" },
		{ "pf", "\"a/b\"" },
		{ "pf", "\"\"" },
		{ "pf_ifindex", "0" },
		{ "pf_ifindex", "-1" },
		{ "pf_ifindex", "99999999999" },
		{ "nr", "-1" },
		{ "nr", "1000000" },
		{ "mac", "\"01:00:5e:00:00:01\"" },
		{ "mac", "\"00:00:00:00:00:00\"" },
		{ "mac", "\"x\"" },
		{ "port_vlan", "4095" },
		{ "carries", "1" },
		{ "policy", "{}" },
		{ "policy", "[]" },
		{ "policy",
		  "{\"vlan\":4095,\"qos\":0,\"proto\":33024,\"spoofchk\":true,\"trust\":false,\"dark\":false,\"rate\":0}" },
		{ "policy", "{\"vlan\":0,\"qos\":3,\"proto\":0,\"spoofchk\":true,\"trust\":false,\"dark\":false,\"rate\":0}" },
		{ "policy", "{\"vlan\":0,\"qos\":0,\"proto\":0,\"spoofchk\":true,\"trust\":false,\"dark\":false,\"rate\":-1}" },
	};
	struct emul_leg *l = leg(wanted(EMUL_MACVTAP)), *bad = NULL;
	json_t *record = emul_leg_to_json(l);
	struct err err;

	for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
		json_t *j = json_deep_copy(record);

		json_object_set_new(j, damage[i].key, json_loads(damage[i].value, JSON_DECODE_ANY, NULL));
		cr_expect_eq(emul_leg_from_json(sys, j, &bad, &err), -EINVAL, "%s %s", damage[i].key, damage[i].value);
		cr_expect_str_eq(err.code, "state.bad-record");
		json_object_del(j, damage[i].key);
		cr_expect_eq(emul_leg_from_json(sys, j, &bad, &err), -EINVAL, "without %s", damage[i].key);
		json_decref(j);
	}
	cr_expect_eq(emul_leg_from_json(sys, NULL, &bad, &err), -EINVAL);
	cr_expect_null(bad);
	json_decref(record);
	emul_leg_free(l);
	emul_leg_free(NULL);
}

Test(emul, too_many_addresses)
{
	struct in_addr ip4[SYS_ANNOUNCE_ADDRS_MAX + 1] = { 0 };
	struct emul_leg *l = leg(wanted(EMUL_MACVTAP));
	struct err err;

	cr_assert_eq(emul_leg_create(l, NULL), 0);
	cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
	cr_expect_eq(emul_leg_announce(l, ip4, SYS_ANNOUNCE_ADDRS_MAX, NULL, 0, NULL), 0);
	cr_expect_eq(emul_leg_announce(l, ip4, SYS_ANNOUNCE_ADDRS_MAX + 1, NULL, 0, &err), -E2BIG);
	cr_expect_str_eq(err.code, "emul.too-many-addresses");
	gone(l);
}

Test(mac, what_can_be_a_nics_own)
{
	static const struct {
		const char *text;
		bool own;
	} macs[] = { { "52:54:00:00:00:01", true },  { "00:00:00:00:00:01", true },  { "fe:ff:ff:ff:ff:ff", true },
		     { "00:00:00:00:00:00", false }, { "01:00:5e:00:00:01", false }, { "ff:ff:ff:ff:ff:ff", false } };
	uint8_t m[SYS_MAC_LEN];
	char text[MAC_TEXT];

	for (size_t i = 0; i < sizeof(macs) / sizeof(macs[0]); i++) {
		cr_assert_eq(mac_parse(macs[i].text, m), 0);
		cr_expect_eq(mac_is_own(m), macs[i].own, "%s", macs[i].text);
		mac_format(m, text);
		cr_expect_str_eq(text, macs[i].text);
	}
	cr_expect_eq(mac_parse("52:54:00:00:00", m), -EINVAL);
}
