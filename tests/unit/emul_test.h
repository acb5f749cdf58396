/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of standby legs share: a host with two PFs, and its state before and after. */
#ifndef GANGWAY_EMUL_TEST_H
#define GANGWAY_EMUL_TEST_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "emul.h"
#include "err.h"
#include "fake.h"

static const uint8_t guest[SYS_MAC_LEN] = { 0x52, 0x54, 0, 0, 0, 0xaa };
static struct fake *fake;
static struct sys *sys;
static char *before;

static inline void refresh(void)
{
	free(before);
	before = fake_snapshot(fake);
}

static inline void unchanged(void)
{
	char *now = fake_snapshot(fake);

	cr_expect_str_eq(before, now, "the host has changed");
	cr_expect_eq(fake_open_fds(fake), 0);
	free(now);
}

static void setup(void)
{
	fake = fake_new();
	sys = fake_sys(fake);
	fake_add_pf(fake, "0000:3b:00.0", "eth0", "igb", "igbvf", 8);
	fake_add_pf(fake, "0000:3d:00.0", "eth1", "igb", NULL, 8);
	refresh();
}

static void teardown(void)
{
	unchanged();
	free(before);
	before = NULL;
	fake_free(fake);
}

TestSuite(emul, .init = setup, .fini = teardown);

/* Of guest, on eth0, number 7; a bridge is br0. */
static inline struct emul_want wanted(enum emul_kind kind)
{
	struct emul_want w = { .words = { .kind = kind }, .pf = "eth0", .nr = 7 };

	if (kind == EMUL_BRIDGE)
		strcpy(w.words.bridge, "br0");
	memcpy(w.mac, guest, SYS_MAC_LEN);
	return w;
}

static inline struct sys_vf policy_of(unsigned vlan, unsigned qos)
{
	return (struct sys_vf){ .fields = SYS_VF_VLAN | SYS_VF_SPOOFCHK | SYS_VF_TRUST | SYS_VF_RATE,
				.vlan = (uint16_t)vlan,
				.qos = (uint8_t)qos,
				.proto = vlan ? 0x8100 : 0,
				.spoofchk = true,
				.min_tx_rate = SYS_VF_RATE_KEEP,
				.max_tx_rate = 1000 };
}

static inline struct emul_leg *leg(struct emul_want w)
{
	struct emul_leg *l = NULL;
	struct err err = { 0 };

	cr_assert_eq(emul_leg_new(sys, &w, &l, &err), 0, "%s", err.msg);
	return l;
}

/* br0 with eth0 in it belongs to the host from here on. */
static inline void bridged(bool filters)
{
	fake_add_bridge(fake, "br0", filters);
	fake_join(fake, "eth0", "br0");
	refresh();
}

static inline void port_vlan(const char *port, unsigned vid, bool member)
{
	cr_assert_eq(sys->ops->bridge_vlan_set(sys, fake_link(fake, port), vid, member, NULL), 0);
}

/* Destroyed twice and freed; the host is as before. */
static inline void gone(struct emul_leg *l)
{
	for (int twice = 0; twice < 2; twice++)
		cr_expect_eq(emul_leg_destroy(l, NULL), 0);
	emul_leg_free(l);
	unchanged();
}

#endif
