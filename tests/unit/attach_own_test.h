/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of attach_own share: vm1 was started with a standby of its own, whose tap is in a bridge. */
#ifndef GANGWAY_ATTACH_OWN_TEST_H
#define GANGWAY_ATTACH_OWN_TEST_H

#include <criterion/criterion.h>

#include "fake_internal.h"
#include "mac.h"
#include "switcher_test.h"

#define MAC_OF_VM1 "52:54:00:00:00:aa"

enum backend { BY_FD, BY_NAME, UNKNOWN, ELSEWHERE };

static inline void make_tap(const char *name, const char *bridge)
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

static inline void has_own(enum backend backend)
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
static inline void begin_own(enum backend backend)
{
	begin_pair(true);
	if (backend == ELSEWHERE)
		fake_add_bridge(h->fake, "br1", false);
	make_tap("vnet0", backend == ELSEWHERE ? "br1" : "br0");
	has_own(backend);
	before_again();
}

static inline json_t *with_mac(const char *standby)
{
	return json_pack("{s:s, s:s, s:s*, s:{s:s}}", "guest", "vm1", "target", "eth0", "standby", standby, "policy", "mac",
			 MAC_OF_VM1);
}

static inline void steers_to(const char *port, bool pf_hears)
{
	cr_assert_str_eq(fake_fdb_port(h->fake, vm1_mac, 0), port);
	cr_assert_eq(fake_hears(h->fake, "eth0", vm1_mac), pf_hears);
}

static inline void moves(const char *there, const char *back)
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

static inline void set_entry(const char *ifname, enum sys_fdb_where where)
{
	struct sys *sys = fake_sys(h->fake);
	struct sys_fdb entry = { .where = where };
	struct sys_link link;

	memcpy(entry.mac, vm1_mac, SYS_MAC_LEN);
	cr_assert_eq(sys->ops->link_get(sys, ifname, &link), 0);
	cr_assert_eq(sys->ops->fdb_set(sys, &link, &entry, true, NULL), 0);
}

#endif
