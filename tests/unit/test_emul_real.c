/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Standby legs on the kernel that the tests run on, in a network namespace of their own: a veth is the PF, its peer the wire. What the kernel cannot
 * do here (no module, not root) is skipped with its own words. That a frame does not come is told by the one sent after it, which does.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "emul.h"
#include "err.h"
#include "net_wire_leg.h"

#define VNET_HDR sizeof(struct virtio_net_hdr)
#define PATIENCE_MS 10000 /* of a frame that must come; a machine under load is slow */

static const uint8_t guest[SYS_MAC_LEN] = { 0x52, 0x54, 0, 0, 0, 0xaa }, peer[SYS_MAC_LEN] = { 0x52, 0x54, 0, 0, 0, 0x11 };
static const uint8_t stranger[SYS_MAC_LEN] = { 0x52, 0x54, 0, 0, 0, 0xee }, all[SYS_MAC_LEN] = { 255, 255, 255, 255, 255, 255 };
static struct sys *sys;
static int wire = -1, tap = -1;

static void run(const char *command)
{
	cr_assert_eq(system(command), 0, "%s", command);
}

static void setup(void)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		cr_skip_test("needs namespaces of its own: not root");
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("sysfs", "/sys", "sysfs", 0, NULL) < 0)
		cr_skip_test("needs a sysfs of its own");
	if (system("ip link add pf0 type veth peer name wire0 2>/dev/null") != 0)
		cr_skip_test("this kernel has no veth");
	run("for i in pf0 wire0; do ip link set $i addrgenmode none up; done");
	sys = sys_linux_new("");
	wire = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	ll.sll_ifindex = (int)if_nametoindex("wire0");
	cr_assert(wire >= 0 && bind(wire, (struct sockaddr *)&ll, sizeof(ll)) == 0);
}

static void teardown(void)
{
	close(wire);
	sys_linux_free(sys);
}

TestSuite(emul_real, .init = setup, .fini = teardown);

static struct emul_want wanted(const char *words)
{
	struct emul_want w = { .pf = "pf0", .nr = 7 };

	memcpy(w.mac, guest, SYS_MAC_LEN);
	cr_assert_eq(emul_words_parse(words, &w.words, NULL), 0);
	return w;
}

/* Made, or the test is skipped where this kernel lacks a module. */
static struct emul_leg *made(const struct emul_want *w)
{
	struct emul_leg *l = NULL;
	struct err err = { 0 };
	char why[ERR_MSG_MAX];
	int r;

	cr_assert_eq(emul_leg_new(sys, w, &l, &err), 0, "%s", err.msg);
	r = emul_leg_create(l, &err);
	if (r < 0 && strstr(err.hint, "module")) {
		emul_leg_free(l);
		snprintf(why, sizeof(why), "%s", err.msg);
		for (char *c = why; *c; c++) /* a line of TAP */
			*c = *c == '#' || *c == '\n' ? ' ' : *c;
		cr_skip_test("%s", why);
	}
	cr_assert_eq(r, 0, "%s", err.msg);
	tap = emul_leg_open(l, &err);
	cr_assert_geq(tap, 0, "%s", err.msg);
	return l;
}

/* A frame whose last byte is @mark. @vlan: tagged. */
static size_t frame_of(const uint8_t *to, const uint8_t *from, unsigned vlan, uint8_t mark, uint8_t ret[static 128])
{
	size_t at = 12;

	memset(ret, 0, 128);
	memcpy(ret, to, SYS_MAC_LEN);
	memcpy(ret + 6, from, SYS_MAC_LEN);
	if (vlan) {
		memcpy(ret + at, (uint8_t[]){ 0x81, 0, (uint8_t)(vlan >> 8), (uint8_t)vlan }, 4);
		at += 4;
	}
	memcpy(ret + at, "\x88\xb5", 2); /* for experiments */
	ret[99] = mark;
	return 100;
}

static void from_wire(const uint8_t *to, uint8_t mark)
{
	uint8_t frame[128];
	size_t len = frame_of(to, peer, 0, mark, frame);

	cr_assert_eq(send(wire, frame, len, 0), (ssize_t)len);
}

static void from_guest(const uint8_t *from, unsigned vlan, uint8_t mark)
{
	uint8_t buf[VNET_HDR + 128] = { 0 };
	size_t len = VNET_HDR + frame_of(peer, from, vlan, mark, buf + VNET_HDR);

	cr_assert_eq(write(tap, buf, len), (ssize_t)len, "%s", strerror(errno));
}

/* The mark of the next frame of ours that comes, 0: none came. */
static uint8_t next_mark(int fd, size_t skip)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t buf[2048];
	ssize_t n;

	while (poll(&p, 1, PATIENCE_MS) == 1) {
		struct sockaddr_ll from = { 0 };
		socklen_t len = sizeof(from);

		n = skip ? read(fd, buf, sizeof(buf)) : recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);
		if (n < (ssize_t)skip + 96 || (!skip && from.sll_pkttype == PACKET_OUTGOING))
			continue;
		/* a tag is taken off a packet socket's frame: count from the end */
		if (n <= (ssize_t)skip + 100 && buf[n - 1])
			return buf[n - 1];
	}
	return 0;
}

static uint8_t at_guest(void)
{
	return next_mark(tap, VNET_HDR);
}

static uint8_t at_wire(void)
{
	return next_mark(wire, 0);
}

static bool says(const char *command, const char *what)
{
	char line[256];
	FILE *f = popen(command, "r");
	bool found = false;

	while (f && fgets(line, sizeof(line), f))
		found = found || strstr(line, what);
	if (f)
		pclose(f);
	return found;
}

/* The bridge's own entry for the guest. */
static bool entry_at(const char *port, const char *vlan)
{
	char command[128];

	snprintf(command, sizeof(command), "bridge fdb show dev %s | grep -q '52:54:00:00:00:aa.*%ssticky.*master br7.*static'",
		 port, vlan);
	return system(command) == 0;
}

static void gone(struct emul_leg *l)
{
	struct err err = { 0 };

	for (int twice = 0; twice < 2; twice++)
		cr_expect_eq(emul_leg_destroy(l, &err), 0, "%s", err.msg);
	emul_leg_free(l);
	close(tap);
	cr_expect_eq(if_nametoindex("gwt7"), 0);
	cr_expect_not(says("bridge fdb show", "52:54:00:00:00:aa"), "an entry was left");
}

Test(emul_real, a_macvtap)
{
	struct emul_want w = wanted("macvtap");
	struct emul_leg *l;

	w.policy = (struct sys_vf){ .fields = SYS_VF_SPOOFCHK | SYS_VF_RATE, .spoofchk = true, .max_tx_rate = 1000 };
	l = made(&w);
	cr_expect_not(says("bridge fdb show dev pf0", "52:54:00:00:00:aa"));
	from_wire(guest, 1);
	cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
	cr_expect(says("bridge fdb show dev pf0", "52:54:00:00:00:aa"), "the PF's filter");
	cr_expect(says("tc qdisc show dev gwt7", "rate 1Gbit"));
	cr_expect_not(says("ip -6 address show dev gwt7", "fe80"), "the host has the guest's address");
	from_wire(stranger, 2);
	from_wire(guest, 3);
	cr_expect_eq(at_guest(), 3);
	from_wire((const uint8_t[]){ 0x33, 0x33, 0xff, 0, 0, 0xaa }, 4);
	cr_expect_eq(at_guest(), 4, "the guest's IPv6 needs multicast that nobody here joined");
	from_guest(stranger, 0, 5);
	from_guest(guest, 0, 6);
	cr_expect_eq(at_wire(), 6, "spoofed");
	from_guest(stranger, 9, 7);
	from_guest(guest, 9, 8);
	cr_expect_eq(at_wire(), 8, "spoofed under a tag");
	w.policy.spoofchk = false;
	cr_assert_eq(emul_leg_apply(l, &w.policy, NULL), 0);
	from_guest(stranger, 0, 9);
	cr_expect_eq(at_wire(), 9);
	cr_assert_eq(emul_leg_announce(l, NULL, 0, NULL, 0, NULL), 0);
	cr_assert_eq(emul_leg_carry(l, false, NULL), 0);
	from_wire(guest, 10);
	cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
	from_wire(all, 11);
	cr_expect_eq(at_guest(), 11);
	gone(l);
}

/* What was sent in between comes later, what is sent after it at once. */
static void lags(const char *words)
{
	struct emul_want w = wanted(words);
	struct emul_leg *l = made(&w);
	struct err err = { 0 };

	cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
	cr_assert_eq(emul_leg_lag(l, false, &err), 0, "there was none: %s", err.msg);
	if (emul_leg_lag(l, true, &err) < 0) {
		struct err err2 = { 0 };

		cr_assert_eq(emul_leg_lag(l, false, &err2), 0, "half of one: %s", err2.msg);
		gone(l);
		cr_assert(strstr(err.hint, "module"), "%s", err.msg);
		cr_skip_test("%s", err.msg);
	}
	from_wire(guest, 1);
	from_guest(guest, 0, 2);
	cr_expect_eq(at_wire(), 2, "what it sends is not concerned");
	cr_assert_eq(emul_leg_lag(l, false, &err), 0, "%s", err.msg);
	from_wire(guest, 3);
	cr_expect_eq(at_guest(), 3);
	cr_expect_eq(at_guest(), 1);
	gone(l);
	cr_expect_eq(if_nametoindex("gwl7"), 0);
}

/* What a lag is made of, but for the delay, which not every kernel has. */
static void detours(const char *words, enum sys_side to_guest)
{
	struct sys_link_want up = { .fields = SYS_LINK_UP, .up = true };
	struct emul_want w = wanted(words);
	struct emul_leg *l = made(&w);
	struct sys_link link, by;
	struct err err = { 0 };
	int r;

	cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
	cr_assert_eq(sys->ops->link_get(sys, "gwt7", &link), 0);
	r = sys->ops->ifb_add(sys, "gwl7", guest, &err);
	if (r == 0) {
		cr_assert_eq(sys->ops->link_get(sys, "gwl7", &by), 0);
		cr_assert_eq(sys->ops->link_set(sys, &by, &up, &err), 0, "%s", err.msg);
		for (int twice = 0; twice < 2 && r == 0; twice++)
			r = sys->ops->detour_set(sys, &link, to_guest, &by, &err);
	}
	if (r < 0) {
		gone(l);
		cr_assert(strstr(err.hint, "module"), "%s", err.msg);
		cr_skip_test("%s", err.msg);
	}
	from_wire(guest, 1);
	cr_expect_eq(at_guest(), 1);
	cr_expect_eq(system("test $(cat /sys/class/net/gwl7/statistics/tx_packets) -gt 0"), 0, "it went by way of it");
	from_guest(guest, 0, 2);
	cr_expect_eq(at_wire(), 2);
	/* removed by somebody: then frames are lost until the lag ends */
	cr_assert_eq(sys->ops->link_del(sys, &by, NULL), 0);
	from_wire(guest, 3);
	cr_assert_eq(emul_leg_lag(l, false, &err), 0, "%s", err.msg);
	from_wire(guest, 4);
	cr_expect_eq(at_guest(), 4);
	gone(l);
}

Test(emul_real, a_macvtap_with_a_detour)
{
	detours("macvtap", SYS_INGRESS);
}

Test(emul_real, a_tap_with_a_detour)
{
	if (system("ip link add br7 type bridge 2>/dev/null") != 0)
		cr_skip_test("this kernel has no bridge");
	run("ip link set br7 addrgenmode none up; ip link set pf0 master br7");
	detours("bridge:br7", SYS_EGRESS);
}

Test(emul_real, a_macvtap_that_lags)
{
	lags("macvtap");
}

Test(emul_real, a_tap_that_lags)
{
	if (system("ip link add br7 type bridge 2>/dev/null") != 0)
		cr_skip_test("this kernel has no bridge");
	run("ip link set br7 addrgenmode none up; ip link set pf0 master br7");
	lags("bridge:br7");
}

Test(emul_real, a_macvtap_in_a_vlan)
{
	struct emul_want w = wanted("macvtap");
	struct emul_leg *l;

	w.policy = (struct sys_vf){ .fields = SYS_VF_VLAN, .vlan = 100, .qos = 3, .proto = 0x8100 };
	l = made(&w);
	cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
	cr_expect(says("ip -d link show gwv7", "0:3"));
	from_wire(guest, 1); /* without tag: not for that VLAN */
	from_guest(guest, 0, 2);
	cr_expect_eq(at_wire(), 2);
	gone(l);
	cr_expect_eq(if_nametoindex("gwv7"), 0);
}

Test(emul_real, a_tap_in_a_bridge)
{
	struct emul_want w = wanted("bridge:br7");
	struct emul_leg *l;

	if (system("ip link add br7 type bridge 2>/dev/null") != 0)
		cr_skip_test("this kernel has no bridge");
	run("ip link set pf0 mtu 4000; ip link set br7 addrgenmode none up; ip link set pf0 master br7");
	w.policy = (struct sys_vf){ .fields = SYS_VF_SPOOFCHK, .spoofchk = true };
	l = made(&w);
	cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
	cr_expect(says("ip link show br7", "mtu 4000"));
	cr_expect(says("bridge fdb show dev pf0", "52:54:00:00:00:aa"), "the PF's filter");
	cr_expect(entry_at("gwt7", ""));
	from_wire(stranger, 1);
	from_wire(guest, 2);
	cr_expect_eq(at_guest(), 2, "it is not sent what is not for it");
	from_guest(stranger, 0, 3);
	from_guest(guest, 9, 4);
	cr_expect_eq(at_wire(), 4, "spoofed");
	cr_assert_eq(emul_leg_announce(l, NULL, 0, NULL, 0, NULL), 0);
	cr_assert_eq(emul_leg_carry(l, false, NULL), 0);
	cr_expect(entry_at("pf0", ""));
	cr_expect_not(says("bridge fdb show dev gwt7", "52:54:00:00:00:aa"));
	cr_expect_not(says("bridge fdb show dev pf0", "52:54:00:00:00:aa self"));
	gone(l);
	cr_expect(says("ip link show pf0", "master br7"), "the operator's bridge is as it was");
}

Test(emul_real, a_tap_limited_in_a_bridge)
{
	struct emul_want w = wanted("bridge:br7");
	struct emul_leg *l;

	if (system("ip link add br7 type bridge 2>/dev/null") != 0)
		cr_skip_test("this kernel has no bridge");
	run("ip link set br7 addrgenmode none up; ip link set pf0 master br7");
	w.policy = (struct sys_vf){ .fields = SYS_VF_RATE, .max_tx_rate = 100 };
	l = made(&w);
	cr_expect(says("tc filter show dev gwt7 ingress", "rate 100Mbit"));
	w.policy.max_tx_rate = 100000;
	cr_assert_eq(emul_leg_apply(l, &w.policy, NULL), 0);
	cr_expect(says("tc filter show dev gwt7 ingress", "rate 100Gbit"));
	w.policy.max_tx_rate = 0;
	cr_assert_eq(emul_leg_apply(l, &w.policy, NULL), 0);
	cr_expect_not(says("tc filter show dev gwt7 ingress", "rate"));
	gone(l);
}

Test(emul_real, a_tap_in_a_vlan_of_the_bridge)
{
	struct emul_want w = wanted("bridge:br7");
	struct err err = { 0 };
	struct emul_leg *l;

	if (system("ip link add br7 type bridge vlan_filtering 1 2>/dev/null") != 0)
		cr_skip_test("this kernel has no bridge that filters VLANs");
	run("ip link set br7 addrgenmode none up; ip link set pf0 master br7");
	w.policy = (struct sys_vf){ .fields = SYS_VF_VLAN, .vlan = 100, .proto = 0x8100 };
	cr_expect_eq(emul_leg_new(sys, &w, &l, &err), -EOPNOTSUPP);
	cr_expect_str_eq(err.code, "emul.bridge-vlan-missing");
	run("bridge vlan add dev pf0 vid 100");
	l = made(&w);
	cr_assert_eq(emul_leg_carry(l, true, NULL), 0);
	cr_expect(entry_at("gwt7", "vlan 100.*"));
	cr_expect_not(says("bridge vlan show dev gwt7", " 1 "));
	from_wire(guest, 1);
	from_guest(guest, 0, 2);
	cr_expect_eq(at_wire(), 2);
	gone(l);
}

Test(emul_real, the_kernels_words)
{
	struct emul_want w = wanted("macvtap");
	struct emul_leg *l = made(&w);
	struct sys_link pf, leg;
	struct err err = { 0 };

	cr_assert_eq(sys->ops->link_get(sys, "pf0", &pf), 0);
	cr_assert_eq(sys->ops->link_get(sys, "gwt7", &leg), 0);
	cr_expect(strcmp(leg.kind, "macvtap") == 0 && leg.lower == pf.ifindex);
	cr_expect_eq(sys->ops->macvtap_add(sys, &pf, "gwt7", guest, &err), -EEXIST);
	cr_expect_str_eq(err.code, "net.refused");
	cr_expect_eq(sys->ops->tap_add(sys, "gwt7", &err), -EBUSY, "never somebody else's");
	cr_expect_eq(sys->ops->tap_open(sys, &pf, &err), -ENODEV, "no macvtap");
	cr_expect_eq(emul_leg_new(sys, &w, &l, &err), -EEXIST);
	gone(l);
	cr_expect_eq(sys->ops->link_set(sys, &leg, &(struct sys_link_want){ .fields = SYS_LINK_UP }, &err), -ENODEV);
	cr_expect_eq(sys->ops->link_del(sys, &leg, &err), 0, "gone already");
}
