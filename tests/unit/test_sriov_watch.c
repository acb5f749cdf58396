/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes followed in an event loop: on the fake kernel, and (as root) on a network namespace of the real one. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "err.h"
#include "fake_internal.h"
#include "sriov_watch.h"

#define PF "0000:3b:00.0"

struct seen {
	struct sriov_watch *watch;
	unsigned nr, nr_cpus, nr_resyncs, by_kind[4];
	struct sriov_change last;
	bool free_it;
};

static void on_changed(void *arg, const struct sriov_change *change)
{
	struct seen *seen = arg;

	seen->nr++;
	seen->by_kind[change->kind]++;
	seen->last = *change;
	if (seen->free_it) {
		sriov_watch_free(seen->watch);
		seen->watch = NULL;
	}
}

static void on_resync(void *arg)
{
	((struct seen *)arg)->nr_resyncs++;
}

static void on_cpus(void *arg)
{
	((struct seen *)arg)->nr_cpus++;
}

static const struct sriov_watch_ops ops = { .changed = on_changed, .cpus = on_cpus, .resync = on_resync };
static struct fake *fake;
static struct sys *sys;
static sd_event *event;

static void setup(void)
{
	fake = fake_new();
	sys = fake_sys(fake);
	fake_add_pf(fake, PF, "eth0", "igb", "igbvf", 64);
	cr_assert_geq(sd_event_new(&event), 0);
}

static void teardown(void)
{
	sd_event_unref(event);
	cr_expect_eq(fake_open_fds(fake), 0);
	fake_free(fake);
}

TestSuite(watch, .init = setup, .fini = teardown);

static unsigned turns(void)
{
	unsigned nr = 0;

	while (sd_event_run(event, 0) > 0)
		nr++;
	return nr;
}

Test(watch, functions_and_links)
{
	struct seen seen = { 0 };
	struct sriov_pf pf;

	cr_assert_eq(sriov_watch_new(sys, event, &ops, &seen, &seen.watch, NULL), 0);
	fake_link(fake, "eth0")->carrier = false;
	fake_emit_link(fake, "eth0");
	turns();
	cr_expect_eq(seen.nr, 1);
	cr_expect(seen.last.kind == SRIOV_CHANGE_LINK && seen.last.has_state && seen.last.up && !seen.last.carrier);
	cr_expect_str_eq(seen.last.ifname, "eth0");
	cr_assert_eq(sriov_pf_get(sys, "eth0", &pf, NULL), 0);
	cr_assert_eq(sriov_pf_set_numvfs(sys, &pf, 2, NULL), 0);
	turns();
	cr_expect_eq(seen.by_kind[SRIOV_CHANGE_VF], 4, "two came, two were bound");
	cr_expect_eq(seen.by_kind[SRIOV_CHANGE_PF], 1);
	cr_expect_eq(seen.by_kind[SRIOV_CHANGE_LINK], 3);
	cr_assert_eq(sriov_pf_set_numvfs(sys, &pf, 0, NULL), 0);
	turns();
	cr_expect_geq(seen.by_kind[SRIOV_CHANGE_FUNCTION], 2, "what is gone cannot be asked");
	fake_emit_link(fake, NULL);
	turns();
	cr_expect_eq(seen.nr_resyncs, 1);
	cr_expect_eq(seen.nr_cpus, 0);
	sriov_watch_free(seen.watch);
	sriov_watch_free(NULL);
}

/* Told to who wants to know; no function has changed. */
Test(watch, cpus)
{
	static const struct sriov_watch_ops deaf = { .changed = on_changed, .resync = on_resync };
	struct sys_event ev = { .kind = SYS_EVENT_CPU };
	struct seen seen = { 0 }, other = { 0 };

	cr_assert_eq(sriov_watch_new(sys, event, &ops, &seen, &seen.watch, NULL), 0);
	cr_assert_eq(sriov_watch_new(sys, event, &deaf, &other, &other.watch, NULL), 0);
	fake_emit(fake, SYS_WATCH_UEVENT, &ev);
	turns();
	cr_expect_eq(seen.nr_cpus, 1);
	cr_expect_eq(seen.nr + other.nr + seen.nr_resyncs, 0);
	sriov_watch_free(seen.watch);
	sriov_watch_free(other.watch);
}

Test(watch, a_storm_is_taken_in_turns)
{
	struct seen seen = { 0 };

	cr_assert_eq(sriov_watch_new(sys, event, &ops, &seen, &seen.watch, NULL), 0);
	for (unsigned i = 0; i < 200; i++) {
		fake_emit_link(fake, "eth0");
		if (i == 9) /* the socket of a fake holds few: read them away */
			cr_expect_eq(turns(), 1);
	}
	cr_assert_gt(sd_event_run(event, 0), 0);
	cr_expect_leq(seen.nr, 10 + 64);
	sriov_watch_free(seen.watch);
}

Test(watch, may_be_freed_by_its_callback)
{
	struct seen seen = { .free_it = true };

	cr_assert_eq(sriov_watch_new(sys, event, &ops, &seen, &seen.watch, NULL), 0);
	fake_emit_link(fake, "eth0");
	fake_emit_link(fake, "eth0");
	turns();
	cr_expect_eq(seen.nr, 1);
	cr_expect_null(seen.watch);
}

Test(watch, opening_may_fail)
{
	struct sriov_watch *watch = NULL;
	struct err err = { 0 };

	for (unsigned n = 1; n <= 2; n++) {
		fake_fail_at(fake, n, -EMFILE);
		cr_expect_eq(sriov_watch_new(sys, event, &ops, NULL, &watch, &err), -EMFILE);
		cr_expect_str_eq(err.code, "sriov.watch");
		cr_expect_null(watch);
		cr_expect_eq(fake_open_fds(fake), 0);
	}
}

Test(watch, a_broken_socket_does_not_spin)
{
	struct seen seen = { 0 };

	cr_assert_eq(sriov_watch_new(sys, event, &ops, &seen, &seen.watch, NULL), 0);
	fake_emit_link(fake, "eth0");
	fake_fail_at(fake, 1, -EIO);
	cr_expect_leq(turns(), 2);
	cr_expect_eq(seen.nr_resyncs, 1);
	sriov_watch_free(seen.watch);
}

/* The real kernel: bringing up the loopback of a namespace of our own is an event; a forged uevent is none. */
Test(watch_linux, real_events_and_forged_ones)
{
	static const char forged[] = "add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:3b:10.0";
	struct sys *linux_sys = sys_linux_new("");
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(addr);
	struct sys_event ev = { 0 };
	int link, uevent, sock, r;

	if (unshare(CLONE_NEWNET) < 0) {
		sys_linux_free(linux_sys);
		cr_skip_test("needs a network namespace of its own: not root");
	}
	link = linux_sys->ops->watch_open(linux_sys, SYS_WATCH_LINK);
	uevent = linux_sys->ops->watch_open(linux_sys, SYS_WATCH_UEVENT);
	cr_assert(link >= 0 && uevent >= 0);
	cr_expect_eq(linux_sys->ops->watch_read(linux_sys, link, &ev), -EAGAIN);
	cr_assert_eq(system("ip link set lo up"), 0);
	cr_assert_eq(linux_sys->ops->watch_read(linux_sys, link, &ev), 0);
	cr_expect_str_eq(ev.ifname, "lo");
	cr_expect(ev.kind == SYS_EVENT_LINK && ev.up && !ev.gone);

	cr_assert_eq(getsockname(uevent, (struct sockaddr *)&addr, &len), 0);
	sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	cr_assert_geq(sock, 0);
	addr.nl_groups = 0;
	r = (int)sendto(sock, forged, sizeof(forged), 0, (struct sockaddr *)&addr, sizeof(addr));
	cr_expect_eq(r, sizeof(forged), "sending a forged event is possible for root");
	cr_expect_eq(linux_sys->ops->watch_read(linux_sys, uevent, &ev), -EAGAIN, "and has no effect");
	close(sock);
	linux_sys->ops->close(linux_sys, link);
	linux_sys->ops->close(linux_sys, uevent);
	sys_linux_free(linux_sys);
}
