/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fake kernel behaves as the real one does where the product depends on it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pci/pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "fake.h"

#define PF "0000:3b:00.0"
#define VF0 "0000:3b:10.0"
#define PF_DIR "/sys/bus/pci/devices/" PF
#define VF0_DIR "/sys/bus/pci/devices/" VF0

static struct fake *fake;
static struct sys *sys;

static void setup(void)
{
	fake = fake_new();
	sys = fake_sys(fake);
	fake_add_pf(fake, PF, "eth0", "igb", "igbvf", 8);
	fake_add_driver(fake, "vfio-pci");
}

static void teardown(void)
{
	cr_expect_eq(fake_open_fds(fake), 0);
	fake_free(fake);
}

TestSuite(fake, .init = setup, .fini = teardown);

static int put(const char *path, const char *text)
{
	return sys->ops->write_file(sys, path, text);
}

static void expect_link(const char *path, const char *want)
{
	char name[64] = "";
	int r = sys_link_name(sys, path, name, sizeof(name));

	if (want)
		cr_expect_str_eq(name, want, "%s is %s", path, name);
	else
		cr_expect_eq(r, -ENOENT, "%s is %s", path, name);
}

static void expect_text(const char *path, const char *want)
{
	char text[64] = "";

	cr_expect_eq(sys_read_str(sys, path, text, sizeof(text)), 0, "%s", path);
	cr_expect_str_eq(text, want);
}

Test(fake, numvfs)
{
	static const struct {
		const char *text;
		int want;
	} writes[] = { { "9", -ERANGE }, { "x", -EINVAL }, { "4", 0 }, { "4\n", 0 }, { "5", -EBUSY }, { "0", 0 }, { "8", 0 } };

	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++)
		cr_expect_eq(put(PF_DIR "/sriov_numvfs", writes[i].text), writes[i].want, "%s", writes[i].text);
	expect_text(PF_DIR "/sriov_numvfs", "8");
	expect_link(PF_DIR "/virtfn7", "0000:3b:11.6");
	expect_link(VF0_DIR "/physfn", PF);
	expect_link(VF0_DIR "/driver", "igbvf");
	expect_link("/sys/class/net/eth0v0/device", VF0);
	cr_expect_eq(fake_link(fake, "eth0")->nr_vfs, 8);
	cr_expect_eq(put(PF_DIR "/sriov_numvfs", "0"), 0);
	cr_expect_not(sys_exists(sys, VF0_DIR));
	cr_expect_not(sys_exists(sys, "/sys/class/net/eth0v0"));
	cr_expect_not(sys_exists(sys, PF_DIR "/virtfn0"));
}

Test(fake, numvfs_without_autoprobe_or_driver)
{
	cr_expect_eq(put(PF_DIR "/sriov_drivers_autoprobe", "0"), 0);
	cr_expect_eq(put(PF_DIR "/sriov_numvfs", "1"), 0);
	expect_link(VF0_DIR "/driver", NULL);
	cr_expect_eq(put("/sys/bus/pci/drivers_probe", VF0), 0);
	expect_link(VF0_DIR "/driver", "igbvf");
	cr_expect_eq(put(PF_DIR "/sriov_numvfs", "0"), 0);
	cr_expect_eq(put("/sys/bus/pci/drivers/igb/unbind", PF), 0);
	cr_expect_eq(put(PF_DIR "/sriov_numvfs", "1"), -ENOENT);
	fake_add_pf(fake, "0000:3c:00.0", "eth1", "bnxt_en", NULL, 4);
	fake_refuse_numvfs(fake, "0000:3c:00.0", -ENOMEM);
	cr_expect_eq(put("/sys/bus/pci/devices/0000:3c:00.0/sriov_numvfs", "1"), -ENOMEM);
}

Test(fake, binding)
{
	struct stat st;
	char path[64];

	cr_assert_eq(put(PF_DIR "/sriov_numvfs", "1"), 0);
	snprintf(path, sizeof(path), "/dev/vfio/%d", FAKE_FIRST_GROUP + 1);
	expect_text(VF0_DIR "/driver_override", "(null)");
	cr_expect_eq(put("/sys/bus/pci/drivers/vfio-pci/bind", VF0), -ENODEV, "no match without override");
	cr_expect_eq(put("/sys/bus/pci/drivers/igbvf/bind", VF0), -EBUSY, "bound already");
	cr_expect_eq(put(VF0_DIR "/driver_override", "vfio-pci"), 0);
	cr_expect_eq(put("/sys/bus/pci/drivers/vfio-pci/bind", VF0), -EBUSY);
	cr_expect_eq(put("/sys/bus/pci/drivers/vfio-pci/unbind", VF0), -ENODEV, "not its driver");
	cr_expect_eq(put(VF0_DIR "/driver/unbind", VF0), 0);
	cr_expect_eq(put(VF0_DIR "/driver/unbind", VF0), -ENOENT);
	cr_expect_eq(put("/sys/bus/pci/drivers/igbvf/bind", VF0), -ENODEV, "override is for another");
	cr_expect_not(sys_exists(sys, path));
	cr_expect_eq(put("/sys/bus/pci/drivers/vfio-pci/bind", VF0 "\n"), 0);
	expect_link(VF0_DIR "/driver", "vfio-pci");
	expect_link("/sys/bus/pci/drivers/vfio-pci/" VF0, VF0);
	cr_expect_not(sys_exists(sys, "/sys/class/net/eth0v0"));
	cr_expect_eq(sys->ops->stat(sys, path, &st), 0);
	cr_expect(S_ISCHR(st.st_mode) && (st.st_mode & 0777) == 0600 && st.st_uid == 0);
	cr_expect_eq(sys->ops->chown(sys, path, 107, 108), 0);
	cr_expect_eq(sys->ops->stat(sys, path, &st), 0);
	cr_expect(st.st_uid == 107 && st.st_gid == 108);
	cr_expect_eq(put(VF0_DIR "/driver/unbind", VF0), 0);
	cr_expect_not(sys_exists(sys, path));
	cr_expect_eq(put("/sys/bus/pci/drivers/igb/bind", "0000:99:00.0"), -ENODEV);
}

Test(fake, vfio_needs_a_group)
{
	fake_set_iommu(fake, false);
	cr_assert_eq(put(PF_DIR "/sriov_numvfs", "1"), 0);
	expect_link(VF0_DIR "/iommu_group", NULL);
	cr_assert_eq(put(VF0_DIR "/driver/unbind", VF0), 0);
	cr_assert_eq(put(VF0_DIR "/driver_override", "vfio-pci"), 0);
	cr_expect_eq(put("/sys/bus/pci/drivers/vfio-pci/bind", VF0), -EINVAL);
}

Test(fake, groups)
{
	char **names;

	cr_assert_eq(put(PF_DIR "/sriov_numvfs", "2"), 0);
	fake_add_function(fake, "0000:00:03.0", "e1000e", 5);
	fake_set_group(fake, VF0, 5);
	expect_link(VF0_DIR "/iommu_group", "5");
	cr_assert_eq(sys->ops->list(sys, "/sys/kernel/iommu_groups/5/devices", &names), 0);
	cr_expect_str_eq(names[0], "0000:00:03.0");
	cr_expect_str_eq(names[1], VF0);
	cr_expect_null(names[2]);
	sys_list_free(names);
	expect_text("/sys/kernel/iommu_groups/5/reserved_regions", "0x00000000fee00000 0x00000000feefffff msi");
	fake_set_group(fake, VF0, -1);
	expect_link(VF0_DIR "/iommu_group", NULL);
}

Test(fake, vf_settings)
{
	struct sys_vf want = { .fields = SYS_VF_MAC | SYS_VF_TRUST, .mac = { 0x52, 0x54, 0, 1, 2, 3 }, .trust = true };
	struct err err = { 0 };
	struct sys_vf vfs[4];
	size_t nr;

	cr_assert_eq(put(PF_DIR "/sriov_numvfs", "4"), 0);
	cr_expect_eq(sys->ops->vf_set(sys, "eth0", 4, &want, &err), -EINVAL);
	cr_expect_eq(sys->ops->vf_set(sys, "eth9", 0, &want, &err), -ENODEV);
	cr_expect_eq(sys->ops->vf_set(sys, "eth0", 3, &want, &err), 0);
	cr_expect_eq(sys->ops->vf_list(sys, "eth0", vfs, 4, &nr), 0);
	cr_expect_eq(nr, 4);
	cr_expect(memcmp(vfs[3].mac, want.mac, SYS_MAC_LEN) == 0 && vfs[3].trust && !vfs[2].trust);
	fake_refuse_vf_fields(fake, "eth0", SYS_VF_TRUST, "VFs are never trusted here");
	cr_expect_eq(sys->ops->vf_set(sys, "eth0", 2, &want, &err), -EOPNOTSUPP);
	cr_expect_str_eq(err.code, "sriov.vf-set-refused");
	cr_expect(strstr(err.msg, "eth0/vf2: trust refused: VFs are never trusted here"), "%s", err.msg);
	/* the VF's driver takes the MAC when it is bound anew */
	cr_expect(memcmp(fake_link(fake, "eth0v3")->mac, want.mac, SYS_MAC_LEN));
	cr_expect_eq(put("/sys/bus/pci/drivers/igbvf/unbind", "0000:3b:10.6"), 0);
	cr_expect_eq(put("/sys/bus/pci/drivers/igbvf/bind", "0000:3b:10.6"), 0);
	cr_expect_eq(memcmp(fake_link(fake, "eth0v3")->mac, want.mac, SYS_MAC_LEN), 0);
	expect_text("/sys/class/net/eth0v3/address", "52:54:00:01:02:03");
}

Test(fake, calls_fail_when_told)
{
	struct sys_link link;
	struct stat st;

	fake_fail_at(fake, 2, -EIO);
	cr_expect_eq(sys->ops->link_get(sys, "eth0", &link), 0);
	cr_expect_not(fake_failed(fake));
	cr_expect_eq(sys->ops->stat(sys, PF_DIR, &st), -EIO);
	cr_expect(fake_failed(fake));
	cr_expect_eq(sys->ops->stat(sys, PF_DIR, &st), 0);
	fake_fail_at(fake, 1, -EIO);
	cr_expect_eq(put(PF_DIR "/sriov_numvfs", "1"), -EIO);
	cr_expect_not(sys_exists(sys, VF0_DIR));
}

Test(fake, descriptors_are_counted_and_a_failed_close_closes)
{
	int fd = sys->ops->open(sys, PF_DIR "/config", O_RDONLY);
	uint16_t vendor = 0;

	cr_assert_geq(fd, 0);
	cr_expect_eq(fake_open_fds(fake), 1);
	cr_expect_eq(sys->ops->pread(sys, fd, &vendor, 2, 0), 2);
	cr_expect_eq(vendor, 0x8086);
	fake_fail_at(fake, 1, -EIO);
	cr_expect_eq(sys->ops->close(sys, fd), -EIO);
	cr_expect_eq(fake_open_fds(fake), 0);
	cr_expect_eq(fcntl(fd, F_GETFD), -1);
	cr_expect_eq(sys->ops->open(sys, "/dev/vfio/77", O_RDWR), -ENOENT);
}

Test(fake, snapshot_tells_a_change_and_its_undoing)
{
	char *before, *during, *after;

	cr_assert_eq(put(PF_DIR "/sriov_numvfs", "2"), 0);
	before = fake_snapshot(fake);
	cr_assert_eq(put(VF0_DIR "/driver/unbind", VF0), 0);
	during = fake_snapshot(fake);
	cr_assert_eq(put("/sys/bus/pci/drivers_probe", VF0), 0);
	after = fake_snapshot(fake);
	cr_expect_str_neq(before, during);
	cr_expect_str_eq(before, after);
	free(during);
	fake_vf(fake, "eth0", 1)->vlan = 7;
	during = fake_snapshot(fake);
	cr_expect_str_neq(before, during);
	free(before);
	free(during);
	free(after);
}

Test(fake, events_and_clock)
{
	int fd = sys->ops->watch_open(sys, SYS_WATCH_UEVENT);
	struct sys_event ev;
	uint64_t t = sys->ops->now_us(sys);

	cr_assert_geq(fd, 0);
	cr_expect_eq(sys->ops->watch_read(sys, fd, &ev), -EAGAIN);
	cr_assert_eq(put(PF_DIR "/sriov_numvfs", "1"), 0);
	cr_expect_eq(sys->ops->watch_read(sys, fd, &ev), 0);
	cr_expect(ev.kind == SYS_EVENT_PCI && !ev.gone);
	cr_expect_str_eq(ev.bdf, VF0);
	cr_expect_eq(sys->ops->close(sys, fd), 0);
	fake_advance(fake, 1500);
	cr_expect_eq(sys->ops->now_us(sys), t + 1500);
}

static void quiet(char *fmt, ...)
{
	(void)fmt;
}

Test(fake, libpci_reads_the_tree)
{
	struct pci_access *pci = pci_alloc();
	char path[256];
	int nr = 0;

	cr_assert_eq(put(PF_DIR "/sriov_numvfs", "3"), 0);
	snprintf(path, sizeof(path), "%s/sys/bus/pci", fake_root(fake));
	pci->method = PCI_ACCESS_SYS_BUS_PCI;
	pci->warning = quiet;
	cr_assert_eq(pci_set_param(pci, "sysfs.path", path), 0);
	pci_init(pci);
	pci_scan_bus(pci);
	for (struct pci_dev *d = pci->devices; d; d = d->next) {
		pci_fill_info(d, PCI_FILL_IDENT);
		cr_expect_eq(d->vendor_id, 0x8086);
		nr++;
	}
	cr_expect_eq(nr, 4);
	pci_cleanup(pci);
}
