/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which PFs and VFs there are, and what a wrong name is told. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "err.h"
#include "fake.h"
#include "fake_internal.h"
#include "sriov.h"

#define PF "0000:3b:00.0"

static struct fake *fake;
static struct sys *sys;

static void setup(void)
{
	fake = fake_new();
	sys = fake_sys(fake);
	fake_add_pf(fake, PF, "eth0", "igb", "igbvf", 8);
	fake_add_pf(fake, "0000:3d:00.0", "eth1", "igb", NULL, 4);
	fake_add_pf(fake, "0000:3f:00.1", NULL, NULL, NULL, 4);
	fake_add_function(fake, "0000:00:03.0", "e1000e", 5);
}

static void teardown(void)
{
	cr_expect_eq(fake_open_fds(fake), 0);
	fake_free(fake);
}

TestSuite(inventory, .init = setup, .fini = teardown);

static void set_vfs(const char *name, unsigned nr)
{
	struct err err = { 0 };
	struct sriov_pf pf;

	cr_assert_eq(sriov_pf_get(sys, name, &pf, &err), 0, "%s", err.msg);
	cr_assert_eq(sriov_pf_set_numvfs(sys, &pf, nr, &err), 0, "%s", err.msg);
}

/* The interface of a virtio NIC is not its function's, but that of a virtio device on it. */
Test(inventory, virtio_nic)
{
	char ifname[IF_NAMESIZE];
	struct err err = { 0 };
	struct sriov_pf pf;

	fake_add_function(fake, "0000:00:04.0", "virtio-pci", 6);
	fake_mkdir(fake, "/sys/devices/pci0000:00/0000:00:04.0/virtio3/net/ens4");
	fake_mkdir(fake, "/sys/class/net/ens4");
	fake_mkdir(fake, "/sys/bus/virtio/devices");
	fake_symlink(fake, "../../../virtio3", "/sys/class/net/ens4/device");
	fake_symlink(fake, "../../../devices/pci0000:00/0000:00:04.0/virtio3", "/sys/bus/virtio/devices/virtio3");
	cr_assert_eq(sriov_ifname(sys, "0000:00:04.0", ifname), 0);
	cr_assert_str_eq(ifname, "ens4");
	cr_assert_eq(sriov_pf_get(sys, "ens4", &pf, &err), -EINVAL);
	cr_assert_str_eq(err.code, "sriov.no-sriov");
	cr_assert_null(strstr(err.msg, "not an interface"), "its function is found, and has no VFs: %s", err.msg);
	fake_remove(fake, "/sys/bus/virtio/devices/virtio3");
	cr_assert_eq(sriov_pf_get(sys, "ens4", &pf, &err), -EINVAL);
	cr_assert(strstr(err.msg, "not an interface"), "%s", err.msg);
}

Test(inventory, bdf_forms)
{
	static const struct {
		const char *text, *want;
	} forms[] = {
		{ "0000:65:02.1", "0000:65:02.1" },
		{ "65:02.1", "0000:65:02.1" },
		{ "pci_0000_65_02_1", "0000:65:02.1" },
		{ "0001:AB:1f.7", "0001:ab:1f.7" },
		{ "", NULL },
		{ "65:02", NULL },
		{ "65:20.0", NULL },
		{ "65:02.8", NULL },
		{ "0000:65:02.1 ", NULL },
		{ "000:65:02.1", NULL },
		{ "10000:65:02.1", NULL },
		{ "0000:65:02.1/..", NULL },
		{ "pci_65_02_1", NULL },
		{ "0000_65_02_1", NULL },
		{ "-000:65:02.1", NULL },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		char bdf[BDF_LEN] = "untouched";
		int r = bdf_parse(forms[i].text, bdf);

		cr_expect_eq(r, forms[i].want ? 0 : -EINVAL, "'%s'", forms[i].text);
		cr_expect_str_eq(bdf, forms[i].want ? forms[i].want : "untouched", "'%s'", forms[i].text);
	}
}

Test(inventory, pf_list)
{
	struct sriov_pf *pfs;
	size_t nr;

	set_vfs("eth0", 3);
	cr_assert_eq(sriov_pf_list(sys, &pfs, &nr, NULL, NULL), 0);
	cr_assert_eq(nr, 3);
	cr_expect_str_eq(pfs[0].bdf, PF);
	cr_expect_str_eq(pfs[0].ifname, "eth0");
	cr_expect_str_eq(pfs[0].driver, "igb");
	cr_expect_eq(pfs[0].vendor, 0x8086);
	cr_expect_eq(pfs[0].total_vfs, 8);
	cr_expect_eq(pfs[0].nr_vfs, 3);
	cr_expect(pfs[0].autoprobe && pfs[0].link.up && pfs[0].numa_node == 0);
	cr_expect_str_eq(pfs[0].key, "mac=52:54:00:3b:00:10,path=pci0000:3b/0000:3b:00.0");
	cr_expect_str_eq(pfs[2].bdf, "0000:3f:00.1");
	cr_expect_str_eq(pfs[2].ifname, "");
	cr_expect_str_eq(pfs[2].key, "path=pci0000:3f/0000:3f:00.1");
	cr_expect(pfs[0].vendor_name[0] && pfs[0].device_name[0]);
	free(pfs);
}

/* Whichever call fails, the other PFs are there, and what is left out is told; only what all hang on fails. */
Test(inventory, pf_list_where_one_call_fails)
{
	struct err err = { 0 }, left_out;
	unsigned n, calls, nr_short = 0, nr_failed = 0;
	struct sriov_pf *pfs, pf;
	size_t nr;
	int r;

	cr_assert_eq(sriov_pf_get(sys, "eth0", &pf, NULL), 0);
	calls = fake_calls(fake);
	cr_assert_eq(sriov_pf_list(sys, &pfs, &nr, &left_out, NULL), 0);
	calls = fake_calls(fake) - calls;
	cr_expect_eq(left_out.num, 0);
	free(pfs);
	for (n = 1; n <= calls; n++) {
		pfs = NULL;
		fake_fail_at(fake, n, -EIO);
		r = sriov_pf_list(sys, &pfs, &nr, &left_out, &err);
		fake_fail_at(fake, 0, 0);
		nr_failed += r < 0;
		if (r < 0)
			continue;
		cr_expect(nr == 3 || (nr == 2 && left_out.num), "call %u of %u", n, calls);
		cr_expect(!left_out.num || (left_out.num == -EIO && !strcmp(left_out.code, "sriov.sysfs")), "call %u", n);
		nr_short += nr == 2;
		if (left_out.num && nr == 2 && strcmp(pfs[0].bdf, PF)) {
			fake_fail_at(fake, n, -EIO);
			cr_expect_eq(sriov_pf_by_key(sys, pf.key, &pf, &err), -EIO, "it may be the one that is left out");
			fake_fail_at(fake, 0, 0);
		}
		free(pfs);
	}
	cr_expect_eq(nr_failed, 1);
	cr_expect_gt(nr_short, 8);
}

Test(inventory, vf_list_and_get)
{
	struct sriov_vf *vfs, vf;
	struct sriov_pf pf;
	size_t nr;

	set_vfs("eth0", 8);
	cr_assert_eq(sriov_pf_get(sys, "3b:00.0", &pf, NULL), 0);
	cr_assert_eq(sriov_vf_list(sys, &pf, &vfs, &nr, NULL), 0);
	cr_assert_eq(nr, 8);
	for (unsigned i = 0; i < nr; i++) {
		char names[3][32];

		cr_expect_eq(vfs[i].index, i);
		snprintf(names[0], sizeof(names[0]), "eth0/vf%u", i);
		snprintf(names[1], sizeof(names[1]), PF "/vf%u", i);
		snprintf(names[2], sizeof(names[2]), "eth0v%u", i);
		for (size_t n = 0; n < 3; n++) {
			cr_assert_eq(sriov_vf_get(sys, names[n], &vf, &pf, NULL), 0, "%s", names[n]);
			cr_expect_str_eq(vf.bdf, vfs[i].bdf);
		}
		cr_assert_eq(sriov_vf_get(sys, vfs[i].bdf, &vf, NULL, NULL), 0);
		cr_expect_eq(vf.index, i);
		cr_expect_eq(vf.group_id, vfs[i].group_id);
		cr_expect_str_eq(vf.pf_ifname, "eth0");
		cr_expect_str_eq(vf.driver, "igbvf");
		cr_expect_str_eq(vf.override, "");
		cr_expect_neq(vf.policy.fields, 0);
		cr_expect_gt(vf.group_id, 0);
	}
	free(vfs);
}

Test(inventory, over_100_vfs)
{
	struct sriov_vf *vfs;
	struct sriov_pf pf;
	size_t nr;

	fake_add_pf(fake, "0000:80:00.0", "eth7", "mlx5_core", NULL, 256);
	set_vfs("eth7", 256);
	fake_vf(fake, "eth7", 255)->vlan = 9;
	cr_assert_eq(sriov_pf_get(sys, "eth7", &pf, NULL), 0);
	cr_assert_eq(sriov_vf_list(sys, &pf, &vfs, &nr, NULL), 0);
	cr_assert_eq(nr, 256);
	cr_expect_eq(vfs[255].policy.vlan, 9);
	cr_expect_str_eq(vfs[255].bdf, "0000:82:0f.6");
	free(vfs);
}

Test(inventory, wrong_names_are_told_apart_and_leave_no_trace)
{
	static const struct {
		const char *name;
		bool vf;
		int num;
		const char *code, *words;
	} cases[] = {
		{ "eth9", false, -ENOENT, "sriov.no-such-device", "eth9: no such device" },
		{ "0000:99:00.0", false, -ENOENT, "sriov.no-such-device", "0000:99:00.0: no such device" },
		{ "eth0v0", false, -EINVAL, "sriov.not-a-pf", "is a VF of 0000:3b:00.0" },
		{ "0000:3b:10.0", false, -EINVAL, "sriov.not-a-pf", "is a VF of 0000:3b:00.0" },
		{ "eth0/vf0", false, -EINVAL, "sriov.not-a-pf", "is a VF" },
		{ "00:03.0", false, -EINVAL, "sriov.no-sriov", "has no SR-IOV" },
		{ "br0", false, -EINVAL, "sriov.no-sriov", "br0 has no SR-IOV" },
		{ "", false, -EINVAL, "sriov.bad-name", NULL },
		{ "..", false, -EINVAL, "sriov.bad-name", NULL },
		{ ".", true, -EINVAL, "sriov.bad-name", NULL },
		{ "../vf0", true, -EINVAL, "sriov.bad-name", NULL },
		{ "../../../etc/passwd", false, -EINVAL, "sriov.bad-name", NULL },
		{ "eth0/../eth1", true, -EINVAL, "sriov.bad-name", NULL },
		{ "eth0/", true, -EINVAL, "sriov.bad-name", NULL },
		{ "eth0/v", true, -EINVAL, "sriov.bad-name", NULL },
		{ "eth0/vf", true, -EINVAL, "sriov.bad-name", NULL },
		{ "eth0/vf-1", true, -EINVAL, "sriov.bad-name", NULL },
		{ "eth0/vf01", true, -EINVAL, "sriov.bad-name", NULL },
		{ "eth0/vf4294967296", true, -EINVAL, "sriov.bad-name", NULL },
		{ "eth0 ", false, -EINVAL, "sriov.bad-name", NULL },
		{ "averyveryverylongname", false, -EINVAL, "sriov.bad-name", NULL },
		{ "eth0/vf2", true, -ENOENT, "sriov.no-such-vf", "eth0 has 2, vf0 to vf1" },
		{ "eth0/vf99999", true, -ENOENT, "sriov.no-such-vf", NULL },
		{ "eth1/vf0", true, -ENOENT, "sriov.no-such-vf", "eth1 has no VFs enabled" },
		{ "eth9/vf0", true, -ENOENT, "sriov.no-such-device", "eth9: no such device" },
		{ "eth0", true, -EINVAL, "sriov.not-a-vf", "eth0 is a PF, not a VF" },
		{ PF, true, -EINVAL, "sriov.not-a-vf", "is a PF" },
		{ "00:03.0", true, -EINVAL, "sriov.not-a-vf", "without SR-IOV" },
		{ "00:03.0/vf0", true, -EINVAL, "sriov.no-sriov", "00:03.0 has no SR-IOV" },
		{ "eth0v1/vf0", true, -EINVAL, "sriov.not-a-pf", "eth0v1 is a VF" },
	};
	static const uint8_t mac[SYS_MAC_LEN] = { 2, 0, 0, 0, 0, 1 };
	char *before, *after;

	set_vfs("eth0", 2);
	fake_add_interface(fake, "br0", mac);
	before = fake_snapshot(fake);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { 0 };
		struct sriov_pf pf;
		struct sriov_vf vf;
		int r = cases[i].vf ? sriov_vf_get(sys, cases[i].name, &vf, NULL, &err)
				    : sriov_pf_get(sys, cases[i].name, &pf, &err);

		cr_expect_eq(r, cases[i].num, "'%s': %d", cases[i].name, r);
		cr_expect_eq(err.num, cases[i].num, "'%s': %d", cases[i].name, err.num);
		cr_expect_str_eq(err.code, cases[i].code, "'%s': %s", cases[i].name, err.code);
		cr_expect(!cases[i].words || strstr(err.msg, cases[i].words), "'%s': %s", cases[i].name, err.msg);
		cr_expect(err.hint[0], "'%s' has no hint", cases[i].name);
	}
	after = fake_snapshot(fake);
	cr_expect_str_eq(before, after);
	free(before);
	free(after);
}

/* A name that ends where the memory ends: nothing behind its NUL is looked at. */
Test(inventory, a_name_is_read_no_further_than_its_end)
{
	static const char *const names[] = { "eth0/", "eth0/v", "eth0/vf", "eth0", "0000:3b:00.0/", "" };
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *room = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(room, MAP_FAILED);
	cr_assert_eq(mprotect(room + page, page, PROT_NONE), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *name = room + page - strlen(names[i]) - 1;
		struct sriov_vf vf;

		strcpy(name, names[i]);
		cr_expect_eq(sriov_vf_get(sys, name, &vf, NULL, NULL), -EINVAL, "'%s'", name);
	}
	munmap(room, 2 * page);
}

Test(inventory, a_key_survives_a_new_name_and_a_new_place)
{
	struct sriov_pf pf, found;
	char key[PF_KEY_MAX];

	cr_assert_eq(sriov_pf_get(sys, "eth0", &pf, NULL), 0);
	cr_assert_eq(sriov_pf_by_key(sys, pf.key, &found, NULL), 0);
	cr_expect_str_eq(found.bdf, PF);
	/* another card moved the bus numbers */
	snprintf(key, sizeof(key), "mac=52:54:00:3b:00:10,path=pci0000:00/0000:01:00.0");
	cr_assert_eq(sriov_pf_by_key(sys, key, &found, NULL), 0);
	cr_expect_str_eq(found.bdf, PF);
	/* two have that MAC: neither is taken for the other */
	memcpy(fake_link(fake, "eth1")->perm_mac, pf.link.perm_mac, SYS_MAC_LEN);
	cr_expect_eq(sriov_pf_by_key(sys, key, &found, NULL), -ENOENT);
	cr_expect_eq(sriov_pf_by_key(sys, pf.key, &found, NULL), 0);
	/* another card in the same slot */
	cr_expect_eq(sriov_pf_by_key(sys, "mac=52:54:00:99:00:10,path=pci0000:3b/0000:3b:00.0", &found, NULL), -ENOENT);
	cr_expect_eq(sriov_pf_by_key(sys, "path=pci0000:3f/0000:3f:00.1", &found, NULL), 0);
	cr_expect_eq(sriov_pf_by_key(sys, "", &found, NULL), -ENOENT);
}

Test(inventory, use_by_the_host)
{
	struct err err = { 0 };
	struct sriov_vf vf;

	set_vfs("eth0", 2);
	cr_assert_eq(sriov_vf_get(sys, "eth0/vf0", &vf, NULL, NULL), 0);
	cr_expect_eq(sriov_vf_check_unused(&vf, NULL), 0);
	fake_link(fake, "eth0v0")->nr_addrs = 1;
	cr_assert_eq(sriov_vf_get(sys, "eth0/vf0", &vf, NULL, NULL), 0);
	cr_expect_eq(sriov_vf_check_unused(&vf, &err), -EBUSY);
	cr_expect_str_eq(err.code, "sriov.vf-in-use");
	cr_expect(strstr(err.msg, "in use by driver igbvf") && strstr(err.msg, "eth0v0"), "%s", err.msg);
	vf.link.nr_addrs = 0;
	vf.link.nr_routes = 1;
	cr_expect_eq(sriov_vf_check_unused(&vf, &err), -EBUSY);
	vf.link.nr_routes = 0;
	vf.link.master = 7;
	cr_expect_eq(sriov_vf_check_unused(&vf, &err), -EBUSY);
	fake_link(fake, "eth0v0")->nr_addrs = 0;
	fake_add_upper(fake, "eth0v0", "eth0v0.7");
	cr_assert_eq(sriov_vf_get(sys, "eth0/vf0", &vf, NULL, NULL), 0);
	cr_expect_eq(sriov_vf_check_unused(&vf, &err), -EBUSY);
	cr_expect(strstr(err.msg, "eth0v0.7"), "%s", err.msg);
}

/* Whatever call fails, a get says so, and nothing leaks. */
Test(inventory, every_call_may_fail)
{
	unsigned calls;
	struct sriov_vf vf;

	set_vfs("eth0", 2);
	calls = fake_calls(fake);
	cr_assert_eq(sriov_vf_get(sys, "eth0/vf1", &vf, NULL, NULL), 0);
	calls = fake_calls(fake) - calls;
	for (unsigned n = 1; n <= calls; n++) {
		struct err err = { 0 };
		int r;

		fake_fail_at(fake, n, -EIO);
		r = sriov_vf_get(sys, "eth0/vf1", &vf, NULL, &err);
		cr_expect(fake_failed(fake));
		/* numa node, key's path and autoprobe are survived: unknown */
		cr_expect(r == 0 || (r < 0 && err.code[0] && err.num == r), "call %u: %d %s", n, r, err.code);
	}
	fake_fail_at(fake, 0, 0);
}
