/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pf.set: the VFs there were go away with it, so nobody may be using one: the host, or a program that is not ours. */
#include <criterion/criterion.h>

#include "attach_test.h"
#include "sriov.h"

static json_t *vfs(int n)
{
	return json_pack("{s:s, s:i}", "pf", "eth0", "vfs", n);
}

static void refused(void)
{
	before_again();
	fail("sriov.vf-in-use", EBUSY, "pf.set", vfs(4));
	fail("sriov.vf-in-use", EBUSY, "pf.set", vfs(0));
	unchanged();
	succeed("pf.set", vfs(2)); /* nothing changes */
	unchanged();
}

Test(pf_set, an_interface_in_use)
{
	struct sys_link *link;

	begin(2);
	link = fake_link(h->fake, "eth0v1");
	link->nr_addrs = 1;
	refused();
	link->nr_addrs = 0;
	link->nr_routes = 1;
	refused();
	link->nr_routes = 0;
	link->master = 7;
	refused();
	link->master = 0;
	succeed("pf.set", vfs(4));
	end();
}

/* Two at once would write their numbers into each other's: one comes after the other, or is told. */
Test(pf_set, two_at_once)
{
	unsigned busy = 0;

	for (int i = 0; i < 40; i++) {
		json_int_t ids[2];

		begin(2);
		for (int k = 0; k < 2; k++)
			ids[k] = fake_host_send(h, "pf.set", vfs(k ? 3 : 4));
		for (int k = 0; k < 2; k++) {
			json_t *a = fake_host_wait(h, ids[k]);

			cr_assert(member(a, "result") || !strcmp(text_of(a, "error.data.code"), "sriov.busy"), "round %d: %s", i,
				  text_of(a, "error.message"));
			busy += !member(a, "result");
			json_decref(a);
		}
		succeed("pf.set", vfs(2));
		end();
	}
	cr_log_info("%u were told", busy);
}

/* As libvirt's or a QEMU that was started by hand. */
Test(pf_set, a_group_that_somebody_has_open)
{
	struct sys *sys;
	struct err err;
	char node[64];
	int fd, group;

	begin(2);
	sys = fake_sys(h->fake);
	cr_assert_eq(sriov_bind(sys, FAKE_VF1_BDF, "vfio-pci", &err), 0, "%s", err.msg);
	group = FAKE_FIRST_GROUP + 2; /* PF, VF 0, VF 1 */
	snprintf(node, sizeof(node), "/dev/vfio/%d", group);
	fd = sys->ops->open(sys, node, O_RDWR);
	cr_assert_geq(fd, 0, "%s", strerror(-fd));
	refused();
	sys->ops->close(sys, fd);
	fds_before--;
	succeed("pf.set", vfs(4));
	cr_assert_eq(fake_open_fds(h->fake), fds_before);
	end();
}
