/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that was started with a standby of its own: it is used, and where the guest's MAC leads follows the switch as with one of ours; all else
 * about it is left as it is.
 */
#include <criterion/criterion.h>

#include "fake_internal.h"
#include "mac.h"
#include "switcher_test.h"

#define MAC_OF_VM1 "52:54:00:00:00:aa"

enum backend { BY_FD, BY_NAME, UNKNOWN, ELSEWHERE };

static void make_tap(const char *name, const char *bridge)
{
	struct sys *sys = fake_sys(h->fake);
	struct sys_link link;
	int fd = sys->ops->tap_add(sys, name, NULL);

	cr_assert_geq(fd, 0);
	sys->ops->close(sys, fd); /* the VMM has it */
	cr_assert_eq(sys->ops->link_get(sys, name, &link), 0);
	if (bridge)
		fake_join(h->fake, name, bridge);
}

static void has_own(enum backend backend)
{
	vm1->own = "net0";
	vm1->own_mac = MAC_OF_VM1;
	vm1->own_backend = backend == BY_FD	? "index=0,type=tap,fd=31"
			   : backend == UNKNOWN ? "index=0,type=tap,helper=/usr/lib/h,br=br0"
						: "index=0,type=tap,ifname=vnet0,script=no,downscript=no";
	fake_mkdir(h->fake, "/proc/%d/fdinfo", (int)vm1->pid);
	fake_put(h->fake, "pos:\t0\nflags:\t0100002\nmnt_id:\t15\nino:\t3\n", "/proc/%d/fdinfo/30", (int)vm1->pid);
	fake_put(h->fake, "pos:\t0\nflags:\t0104002\nmnt_id:\t15\nino:\t7\niff:\tvnet0\n", "/proc/%d/fdinfo/31", (int)vm1->pid);
	fake_guest_update(vm1);
}

/* A host whose bridge br0 has the PF and vm1's tap vnet0; elsewhere: that is in another bridge. */
static void begin_own(enum backend backend)
{
	begin_pair(true);
	if (backend == ELSEWHERE)
		fake_add_bridge(h->fake, "br1", false);
	make_tap("vnet0", backend == ELSEWHERE ? "br1" : "br0");
	has_own(backend);
	before_again();
}

static json_t *with_mac(const char *standby)
{
	return json_pack("{s:s, s:s, s:s*, s:{s:s}}", "guest", "vm1", "target", "eth0", "standby", standby, "policy", "mac",
			 MAC_OF_VM1);
}

static void steers_to(const char *port, bool pf_hears)
{
	cr_assert_str_eq(fake_fdb_port(h->fake, vm1_mac, 0), port);
	cr_assert_eq(fake_hears(h->fake, "eth0", vm1_mac), pf_hears);
}

static void moves(const char *there, const char *back)
{
	bool known = there[0];

	steers_to(back, false);
	succeed("switch", leg("emulated"));
	until_at("emulated");
	steers_to(there, known);
	cr_assert(!to_vf());
	succeed("switch", leg("passthrough"));
	until_at("passthrough");
	steers_to(back, false);
	cr_assert(to_vf());
}

static void is_used(enum backend backend, const char *word)
{
	bool steers = backend == BY_FD || backend == BY_NAME;
	json_t *a;

	begin_own(backend);
	h->d.config.standby_auto = true;
	a = attach(with_mac(word));
	cr_assert_str_eq(text_of(a, "lease.standby.kind"), "own");
	cr_assert_str_eq(text_of(a, "lease.standby.id"), "net0");
	cr_assert_str_eq(text_of(a, "lease.standby.interface"), backend == UNKNOWN ? "(null)" : "vnet0");
	cr_assert_eq(json_array_size(member(a, "warnings")), 0);
	json_decref(a);
	until_at("passthrough");
	cr_assert_eq(fake_qmp_count(vm1->peer, "netdev_add"), 0);
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_add"), 1);
	cr_assert(strstr(fake_qmp_args(vm1->peer, "device_add", 0), "\"failover_pair_id\": \"net0\""));
	moves(steers ? "vnet0" : "", steers ? "eth0" : "");
	/* the next gangwayd goes on with it */
	fake_host_stop(h);
	fake_host_start(h);
	until_at("passthrough");
	moves(steers ? "vnet0" : "", steers ? "eth0" : "");
	succeed("detach", of_vm1());
	cr_assert_eq(fake_qmp_count(vm1->peer, "netdev_del"), 0);
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}

Test(attach_own, by_descriptor, .timeout = 60)
{
	is_used(BY_FD, NULL);
	is_used(BY_FD, "own");
}

Test(attach_own, by_name, .timeout = 60)
{
	is_used(BY_NAME, "auto");
}

Test(attach_own, of_an_unknown_interface, .timeout = 60)
{
	is_used(UNKNOWN, "own");
}

Test(attach_own, in_another_bridge, .timeout = 60)
{
	is_used(ELSEWHERE, "own");
}

/* A VMM that names a tap which another has is not believed. */
Test(attach_own, a_tap_that_is_not_its)
{
	json_t *a;

	begin_own(BY_NAME);
	fake_remove(h->fake, "/proc/%d/fdinfo/31", (int)vm1->pid);
	before_again();
	a = attach(with_mac("own"));
	cr_assert_str_eq(text_of(a, "lease.standby.interface"), "(null)");
	json_decref(a);
	until_at("passthrough");
	steers_to("", false);
	succeed("detach", of_vm1());
	unchanged();
	end();
}

/* A VMM in a network namespace of its own (KubeVirt's pods): the host's vnet0 is another guest's. */
Test(attach_own, a_tap_of_another_namespace, .timeout = 60)
{
	for (int other = 0; other < 2; other++)
		for (enum backend backend = BY_FD; backend <= BY_NAME; backend++) {
			json_t *a;

			begin_own(backend);
			fake_mkdir(h->fake, "/proc/self/ns");
			fake_mkdir(h->fake, "/proc/%d/ns", (int)vm1->pid);
			fake_symlink(h->fake, "net:[4026531840]", "/proc/self/ns/net");
			fake_symlink(h->fake, other ? "net:[4026532000]" : "net:[4026531840]", "/proc/%d/ns/net", (int)vm1->pid);
			before_again();
			a = attach(with_mac("own"));
			cr_assert_str_eq(text_of(a, "lease.standby.interface"), other ? "(null)" : "vnet0");
			json_decref(a);
			until_at("passthrough");
			steers_to(other ? "" : "eth0", false);
			succeed("detach", of_vm1());
			unchanged();
			end();
		}
}

static void set_entry(const char *ifname, enum sys_fdb_where where)
{
	struct sys *sys = fake_sys(h->fake);
	struct sys_fdb entry = { .where = where };
	struct sys_link link;

	memcpy(entry.mac, vm1_mac, SYS_MAC_LEN);
	cr_assert_eq(sys->ops->link_get(sys, ifname, &link), 0);
	cr_assert_eq(sys->ops->fdb_set(sys, &link, &entry, true, NULL), 0);
}

/* As an operator has to, for other VFs to reach a guest in the bridge; and as libvirt does for ports that do not learn. */
Test(attach_own, entries_that_were_there, .timeout = 60)
{
	for (unsigned which = 1; which < 4; which++)
		for (unsigned restarts = 0; restarts < 2; restarts++) {
			bool tap = which & 1, self = which & 2;

			begin_own(BY_FD);
			if (tap)
				set_entry("vnet0", SYS_FDB_BRIDGE);
			if (self)
				set_entry("eth0", SYS_FDB_SELF);
			before_again();
			json_decref(attach(with_mac("own")));
			until_at("passthrough");
			moves("vnet0", "eth0");
			if (restarts) {
				fake_host_stop(h);
				fake_host_start(h);
				until_at("passthrough");
			}
			succeed("detach", of_vm1());
			steers_to(tap ? "vnet0" : "", self);
			unchanged();
			end();
		}
}

/* --- whatever fails, and whenever it is killed: the entries are as they were --- */

static void begin_with_entries(void)
{
	begin_own(BY_FD);
	set_entry("vnet0", SYS_FDB_BRIDGE);
	set_entry("eth0", SYS_FDB_SELF);
	before_again();
}

static void detach_with_retry(void)
{
	const char *got = fake_host_expect(h, NULL, "detach", of_vm1());

	if (got) {
		fake_fail_at(h->fake, 0, 0);
		fake_host_settle(h);
		if (h->d.nr_leases)
			succeed("detach", of_vm1());
	}
}

Test(attach_own, each_call_fails_in_turn, .timeout = 120)
{
	unsigned failed = 0;

	for (unsigned n = 1;; n++) {
		json_t *a;
		bool was;

		begin_with_entries();
		fake_fail_at(h->fake, n, -EIO);
		a = fake_host_call(h, "attach", with_mac("own"));
		if (member(a, "result")) {
			detach_with_retry();
		} else {
			failed++;
			fake_host_settle(h);
			if (h->d.nr_leases)
				detach_with_retry();
		}
		json_decref(a);
		was = fake_failed(h->fake);
		fake_fail_at(h->fake, 0, 0);
		fake_host_settle(h);
		until_leases(0);
		cr_assert_eq(records(), 0, "call %u", n);
		unchanged();
		end();
		if (!was)
			break;
		cr_assert_lt(n, 2000);
	}
	cr_assert_gt(failed, 20);
}

Test(attach_own, killed_at_each_turn, .timeout = 120)
{
	unsigned adopted = 0;
	bool answered = false;

	for (unsigned turns = 1; !answered; turns++) {
		char id[32];

		begin_with_entries();
		snprintf(id, sizeof(id), "%lld", (long long)fake_host_send(h, "attach", with_mac("own")));
		for (unsigned i = 0; i < turns && !answered; i++) {
			turn();
			answered = json_object_get(h->answers, id) != NULL;
		}
		json_object_clear(h->answers);
		fake_host_stop(h);
		fake_host_start(h);
		cr_assert(fake_host_until(h, decided, NULL, 5000), "turn %u: undecided", turns);
		fake_host_settle(h);
		adopted += h->d.nr_leases;
		if (h->d.nr_leases) {
			until_at("passthrough");
			succeed("detach", of_vm1());
		}
		cr_assert_eq(records(), 0, "turn %u", turns);
		unchanged();
		end();
	}
	cr_assert_gt(adopted, 0);
}

Test(attach_own, needs_no_second_port)
{
	begin_own(BY_FD);
	fake_guest_die(vm1);
	vm1->ports = 1;
	fake_guest_run(vm1);
	has_own(BY_FD);
	before_again();
	json_decref(attach(with_mac("auto")));
	until_at("passthrough");
	succeed("detach", of_vm1());
	unchanged();
	end();
}

Test(attach_own, policy_is_its_owners)
{
	json_t *p, *a;

	begin_own(BY_FD);
	p = with_mac("own");
	json_object_set_new(json_object_get(p, "policy"), "max_tx_rate", json_string("100"));
	a = attach(p);
	cr_assert_eq(json_array_size(member(a, "warnings")), 1);
	json_decref(a);
	cr_assert_eq(fake_rate(h->fake, "vnet0", SYS_INGRESS), 0);
	until_at("passthrough");
	succeed("detach", of_vm1());
	unchanged();
	end();
}

/* --- what is refused; nothing is changed --- */

static bool has_no_lease(void *arg)
{
	(void)arg;
	return h->d.nr_leases == 0;
}

static void no_nic(void)
{
	vm1->own = NULL;
	fake_guest_update(vm1);
}

static void no_failover(void)
{
	vm1->own_no_failover = true;
	fake_guest_update(vm1);
}

static void foreign_mac(void)
{
	vm1->own_mac = "52:54:00:00:00:ab";
	fake_guest_update(vm1);
}

static void paired(void)
{
	vm1->own_primary = "hostdev0";
	fake_guest_update(vm1);
}

static void in_no_vlan(void)
{
	fake_vf(h->fake, "eth0", 0)->vlan = fake_vf(h->fake, "eth0", 1)->vlan = 5;
}

Test(attach_own, refused, .timeout = 60)
{
	static const struct {
		const char *what, *word;
		void (*arrange)(void);
		const char *code;
	} rows[] = {
		{ "another one was asked for", "bridge:br0", NULL, "attach.own-standby" },
		{ "it has none", "own", no_nic, "attach.no-own-standby" },
		{ "of another MAC", "own", foreign_mac, "attach.no-own-standby" },
		{ "it is no standby", "auto", no_failover, "vmm.standby-no-failover" },
		{ "it has another VF of the pair", "own", paired, "vmm.other-primary" },
		{ "the same, by default", "auto", paired, "vmm.other-primary" },
		{ "the VF is in a VLAN, its bridge filters none", "own", in_no_vlan, "emul.bridge-no-vlan" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *a;

		begin_own(BY_FD);
		if (rows[i].arrange)
			rows[i].arrange();
		before_again();
		a = fake_host_call(h, "attach", with_mac(rows[i].word));
		cr_assert(member(a, "error"), "%s", rows[i].what);
		cr_assert_str_eq(text_of(a, "error.data.code"), rows[i].code, "%s: %s", rows[i].what,
				 text_of(a, "error.message"));
		json_decref(a);
		fake_host_settle(h);
		cr_assert_eq(records(), 0);
		unchanged();
		end();
	}
}

/* A bridge that filters VLANs; the tap is in VLAN @vid, the VF in none: that is the bridge's default, 1. */
static void begin_in_vlan(unsigned vid)
{
	struct sys_link tap;
	struct sys *sys;

	h = fake_host_new(2);
	fake_vmm_takes_taps(h->fake);
	fake_add_bridge(h->fake, "br0", true);
	fake_join(h->fake, "eth0", "br0");
	vm1 = fake_guest_add(h, "vm1", false);
	vm1->ports = 2;
	fake_guest_run(vm1);
	make_tap("vnet0", "br0");
	sys = fake_sys(h->fake);
	cr_assert_eq(sys->ops->link_get(sys, "vnet0", &tap), 0);
	cr_assert_eq(sys->ops->bridge_vlan_set(sys, &tap, 1, vid == 1, NULL), 0);
	cr_assert_eq(sys->ops->bridge_vlan_set(sys, &tap, vid, true, NULL), 0);
	has_own(BY_FD);
	before_again();
}

Test(attach_own, in_the_bridges_vlan)
{
	begin_in_vlan(1);
	json_decref(attach(with_mac("own")));
	until_at("passthrough");
	cr_assert_str_eq(fake_fdb_port(h->fake, vm1_mac, 1), "eth0");
	succeed("switch", leg("emulated"));
	until_at("emulated");
	cr_assert_str_eq(fake_fdb_port(h->fake, vm1_mac, 1), "vnet0");
	succeed("detach", of_vm1());
	unchanged();
	end();
}

/* A dry run says it, too: it is found out before anything is changed. */
Test(attach_own, in_another_vlan)
{
	begin_in_vlan(7);
	for (int dry = 1; dry >= 0; dry--) {
		json_t *p = with_mac("own"), *a;

		json_object_set_new(p, "dry_run", json_boolean(dry));
		a = fake_host_call(h, "attach", p);
		cr_assert_str_eq(text_of(a, "error.data.code"), "emul.bridge-vlan-missing", "%s", text_of(a, "error.message"));
		json_decref(a);
		fake_host_settle(h);
	}
	cr_assert_null(strstr(h->steps, "bind"));
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}

/* The MAC that gangway would make is that of the guest's own, which cannot be done without: the VF has to be given it. */
Test(attach_own, no_mac_can_be_given)
{
	char mac[MAC_TEXT];
	json_t *a;

	begin_own(BY_FD);
	no_nic();
	json_decref(attach(json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "standby", "bridge:br0")));
	mac_format(lease()->want.mac, mac);
	until_at("passthrough");
	succeed("detach", of_vm1());
	has_own(BY_FD);
	vm1->own_mac = mac;
	fake_guest_update(vm1);
	fake_vf(h->fake, "eth0", 0)->fields &= ~(unsigned)SYS_VF_MAC;
	fake_vf(h->fake, "eth0", 1)->fields &= ~(unsigned)SYS_VF_MAC;
	before_again();
	a = fake_host_call(h, "attach", json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "standby", "auto"));
	cr_assert_str_eq(text_of(a, "error.data.code"), "policy.no-mac", "%s", text_of(a, "error.message"));
	json_decref(a);
	fake_host_settle(h);
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}

Test(attach_own, the_vmm_ends_while_it_is_asked)
{
	json_t *a;

	begin_own(BY_FD);
	vm1->dies_at = "human-monitor-command";
	fake_guest_update(vm1);
	a = fake_host_call(h, "attach", with_mac("own"));
	cr_assert(member(a, "error"));
	json_decref(a);
	fake_host_settle(h);
	cr_assert_eq(h->d.nr_leases, 0);
	cr_assert_eq(records(), 0);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	steers_to("", false);
	end();
}

/* gangwayd was not there to see the guest end: the next one of that name was started with a standby of the same name, and is not attached. */
static void is_started_anew(bool same_tap)
{
	struct sys *sys;
	struct sys_link link;

	begin_own(BY_FD);
	json_decref(attach(with_mac("own")));
	until_at("passthrough");
	fake_host_stop(h);
	fake_guest_die(vm1);
	sys = fake_sys(h->fake);
	cr_assert_eq(sys->ops->link_get(sys, "vnet0", &link), 0);
	if (!same_tap) { /* the next VMM makes one of that name */
		cr_assert_eq(sys->ops->link_del(sys, &link, NULL), 0);
		make_tap("vnet0", "br0");
	}
	fake_guest_run(vm1);
	fake_host_start(h);
	cr_assert(fake_host_until(h, has_no_lease, NULL, 5000), "%s", text_now("switch.step"));
	cr_assert_str_eq(vm1->vf, "");
	cr_assert_eq(records(), 0);
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "igbvf");
	steers_to("", false);
	end();
}

Test(attach_own, the_guest_is_started_anew_meanwhile)
{
	is_started_anew(false);
	is_started_anew(true);
}

/* The one that the guest has is of one lease. */
Test(attach_own, of_another_lease)
{
	json_t *p;

	begin_own(BY_FD);
	json_decref(attach(with_mac("own")));
	until_at("passthrough");
	p = with_mac("own");
	json_object_set_new(p, "nic", json_string("nic7"));
	p = fake_host_call(h, "attach", p);
	cr_assert(member(p, "error"));
	json_decref(p);
	succeed("detach", of_vm1());
	unchanged();
	end();
}

Test(attach_own, records_that_are_damaged)
{
	static const char *const own[] = {
		"{\"tap\": \"a/b\", \"ifindex\": 3, \"had_entry\": false, \"had_self\": false, \"bridge\": \"\"}",
		"{\"tap\": \"\", \"ifindex\": 3, \"had_entry\": false, \"had_self\": false, \"bridge\": \"\"}",
		"{\"tap\": \"vnet0\", \"ifindex\": 0, \"had_entry\": false, \"had_self\": false, \"bridge\": \"br0\"}",
		"{\"tap\": \"\", \"ifindex\": 0, \"had_entry\": false, \"had_self\": false, \"bridge\": \"br0\"}",
		"{\"tap\": \"vnet0\", \"ifindex\": 4294967297, \"had_entry\": false, \"had_self\": false, \"bridge\": \"br0\"}",
		"{\"tap\": \"vnet0\", \"ifindex\": 3}",
		"7",
	};
	struct emul_leg *made = NULL;
	json_t *good;

	begin_own(BY_FD);
	json_decref(attach(with_mac("own")));
	until_at("passthrough");
	good = emul_leg_to_json(lease()->emul);
	cr_assert_eq(emul_leg_from_json(fake_sys(h->fake), good, &made, NULL), 0);
	cr_assert_str_eq(emul_leg_ifname(made), "vnet0");
	cr_assert_str_eq(emul_leg_bridge(made), "br0");
	emul_leg_free(made);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		json_object_set_new(good, "own", json_loads(own[i], JSON_DECODE_ANY, NULL));
		cr_assert_eq(emul_leg_from_json(fake_sys(h->fake), good, &made, NULL), -EINVAL, "%s", own[i]);
	}
	json_decref(good);
	succeed("detach", of_vm1());
	unchanged();
	end();
}

/* What was not in the bridge when it was looked at, no entry noted: then the record does not say that it is steered to. */
Test(attach_own, joins_a_bridge_meanwhile)
{
	struct emul_want want = { .words.kind = EMUL_OWN, .pf = "eth0", .tap = "vnet0" };
	static const char *const bridges[][2] = { { NULL, "br0" }, { "br1", "br0" }, { "br0", "br1" } };

	memcpy(want.mac, vm1_mac, SYS_MAC_LEN);
	for (size_t i = 0; i < sizeof(bridges) / sizeof(bridges[0]); i++) {
		struct emul_leg *made = NULL;
		struct err err = { 0 };

		begin_pair(true);
		fake_add_bridge(h->fake, "br1", false);
		make_tap("vnet0", bridges[i][0]);
		cr_assert_eq(emul_leg_new(fake_sys(h->fake), &want, &made, NULL), 0);
		fake_join(h->fake, "vnet0", bridges[i][1]);
		before_again();
		cr_assert_eq(emul_leg_create(made, &err), -EAGAIN);
		cr_assert_str_eq(err.code, "emul.host-changed");
		unchanged();
		emul_leg_free(made);
		end();
	}
}

/* Its owner moves the tap: the guest can leave its VF all the same, and what was in the PF's bridge is not put into another. */
Test(attach_own, leaves_its_bridge, .timeout = 60)
{
	for (int to_other = 0; to_other < 2; to_other++) {
		struct sys_link_want none = { .fields = SYS_LINK_MASTER };
		struct sys_link tap;
		struct sys *sys;

		begin_own(BY_FD);
		fake_add_bridge(h->fake, "br1", false);
		set_entry("vnet0", SYS_FDB_BRIDGE);
		json_decref(attach(with_mac("own")));
		until_at("passthrough");
		sys = fake_sys(h->fake);
		cr_assert_eq(sys->ops->link_get(sys, "vnet0", &tap), 0);
		if (to_other)
			fake_join(h->fake, "vnet0", "br1");
		else
			cr_assert_eq(sys->ops->link_set(sys, &tap, &none, NULL), 0);
		succeed("switch", leg("emulated"));
		until_at("emulated");
		steers_to("", false);
		cr_assert(!to_vf());
		succeed("detach", of_vm1());
		steers_to("", false);
		cr_assert_eq(records(), 0);
		end();
	}
}

/* A detach that came no further than that is tried again: by then a tap of that name may be another guest's. */
Test(attach_own, undone_once_more)
{
	struct emul_leg *read = NULL;
	struct sys_link link;
	struct sys *sys;
	json_t *j;

	begin_own(BY_FD);
	set_entry("vnet0", SYS_FDB_BRIDGE);
	json_decref(attach(with_mac("own")));
	until_at("passthrough");
	sys = fake_sys(h->fake);
	cr_assert_eq(emul_leg_destroy(lease()->emul, NULL), 0);
	steers_to("vnet0", false);
	j = emul_leg_to_json(lease()->emul);
	cr_assert_eq(emul_leg_from_json(sys, j, &read, NULL), 0, "what is recorded now can be read");
	json_decref(j);
	emul_leg_free(read);
	cr_assert_eq(sys->ops->link_get(sys, "vnet0", &link), 0);
	cr_assert_eq(sys->ops->link_del(sys, &link, NULL), 0);
	make_tap("vnet0", "br0");
	steers_to("", false);
	cr_assert_eq(emul_leg_destroy(lease()->emul, NULL), 0);
	steers_to("", false);
	end();
}
