/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the switcher share: guest vm1 with two root ports, its lease with a standby, and where that is. */
#ifndef GANGWAY_SWITCHER_TEST_H
#define GANGWAY_SWITCHER_TEST_H

#include "attach_test.h"
#include "switcher.h"

static const uint8_t vm1_mac[SYS_MAC_LEN] = { 0x52, 0x54, 0, 0, 0, 0xaa };

/* A host with bridge br0 that has the PF, if @bridged, and vm1 ready for a pair. */
static inline void begin_pair(bool bridged)
{
	h = fake_host_new(2);
	fake_vmm_takes_taps(h->fake);
	if (bridged) {
		fake_add_bridge(h->fake, "br0", false);
		fake_join(h->fake, "eth0", "br0");
	}
	vm1 = fake_guest_add(h, "vm1", false);
	vm1->ports = 2; /* asked once, when gangwayd connects */
	fake_guest_run(vm1);
	before_again();
}

/* A guest that is yet to come by migration: its VMM waits for that. */
static inline void begin_incoming(unsigned vfs, unsigned ports)
{
	h = fake_host_new(vfs);
	fake_vmm_takes_taps(h->fake);
	vm1 = fake_guest_add(h, "vm1", false);
	vm1->ports = ports;
	vm1->status = "inmigrate";
	fake_guest_run(vm1);
	before_again();
}

static inline json_t *pair_params(const char *standby)
{
	return json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "guest", "vm1", "target", "eth0", "standby", standby, "policy", "mac",
			 "52:54:00:00:00:aa", "max_tx_rate", "100");
}

static inline json_t *leg(const char *leg)
{
	return json_pack("{s:s, s:s}", "guest", "vm1", "leg", leg);
}

static inline json_t *of_vm1(void)
{
	return json_pack("{s:s}", "guest", "vm1");
}

static inline struct lease *lease(void)
{
	return lease_find(&h->d, "vm1", NULL);
}

/* Without a turn of the loop: what is asked twice is answered the same. */
static inline bool is_at(void *state)
{
	struct lease *l = lease();
	json_t *j = l ? switcher_to_json(l) : NULL;
	bool is = l && l->sw && !l->busy && !strcmp(text_of(j, "state"), state);

	json_decref(j);
	return is;
}

static inline void until_at(const char *state)
{
	cr_assert(fake_host_until(h, is_at, (void *)state, 5000), "the switch is %s (%s), step %s (%s), not %s",
		  text_now("switch.state"), text_now("switch.why"), text_now("switch.step"), text_now("switch.hold"), state);
}

/* Attached, and on its VF: what begins the tests. */
static inline void attach_pair(const char *standby)
{
	json_decref(attach(pair_params(standby)));
	until_at("passthrough");
}

/* The guest's MAC leads to the VF; to the standby, a macvtap on the PF. */
static inline bool to_vf(void)
{
	return !memcmp(fake_vf(h->fake, "eth0", 0)->mac, vm1_mac, SYS_MAC_LEN);
}

static inline bool to_standby(void)
{
	return fake_hears(h->fake, "eth0", vm1_mac);
}

/* How much later frames come to the guest by its standby, ms. */
static inline unsigned lag(void)
{
	const struct sys_link *link = fake_link(h->fake, "gwt0");

	return !link ? 0 : fake_delay_ms(h->fake, "gwt0", strcmp(link->kind, "macvtap") ? SYS_EGRESS : SYS_INGRESS);
}

static inline void on_vf(void)
{
	cr_assert_str_eq(text_now("leg"), "passthrough");
	cr_assert_str_eq(vm1->vf, FAKE_VF0_BDF);
	cr_assert(to_vf() && !to_standby() && !lag());
}

static inline void on_standby(const char *reason)
{
	cr_assert_str_eq(text_now("leg"), "emulated");
	cr_assert_str_eq(text_now("reason"), reason);
	cr_assert_str_eq(vm1->device, "");
	cr_assert(!to_vf() && to_standby() && !lag());
	cr_assert_str_eq(driver_of(FAKE_VF0_BDF), "vfio-pci", "the VF stays the lease's");
}

static inline void detach_pair(void)
{
	succeed("detach", of_vm1());
	cr_assert_str_eq(vm1->standby, "");
	cr_assert_str_eq(vm1->tap, "");
	cr_assert_eq(records(), 0);
	unchanged();
}

/* One of a loop that waits for something. */
static inline void turn(void)
{
	static unsigned n;

	cr_assert_lt(n++, 100000);
	cr_assert_geq(sd_event_run(h->event, 1000000), 0);
}

static inline int keep_record(void *ctx, const char *id, const json_t *record, struct err *err)
{
	json_t **ret = ctx;

	(void)id;
	(void)err;
	json_decref(*ret);
	*ret = json_deep_copy(record);
	return 0;
}

/* The only one in the state database, the caller's; NULL: there is none. */
static inline json_t *the_record(void)
{
	json_t *record = NULL;

	cr_assert_eq(db_each_lease(h->d.db, keep_record, &record, NULL), 0);
	return record;
}

#endif
