/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an operator can get wrong: each with its code and errno, and the host exactly as it was. */
#include <criterion/criterion.h>

#include "attach_test.h"

#define OTHER_BDF "0000:00:1f.6"

static void an_address(void)
{
	fake_link(h->fake, "eth0v0")->nr_addrs = 1;
}

static void a_route(void)
{
	fake_link(h->fake, "eth0v0")->nr_routes = 1;
}

static void a_bridge(void)
{
	fake_link(h->fake, "eth0v0")->master = 7;
}

static void both_used(void)
{
	an_address();
	fake_link(h->fake, "eth0v1")->nr_addrs = 2;
}

static void group_with_others(void)
{
	fake_add_driver(h->fake, "e1000e");
	fake_add_function(h->fake, OTHER_BDF, "e1000e", 90);
	fake_set_group(h->fake, FAKE_VF0_BDF, 90);
}

static void pf_down(void)
{
	fake_link(h->fake, "eth0")->up = false;
}

static void plain_function(void)
{
	fake_add_function(h->fake, OTHER_BDF, NULL, 91);
}

static void iommu_off(void)
{
	fake_set_iommu(h->fake, false);
}

static void no_vfio_pci(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -r %s/sys/bus/pci/drivers/vfio-pci", fake_root(h->fake));
	cr_assert_eq(system(cmd), 0);
}

static void memlock_too_low(void)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/%d/limits", fake_root(h->fake), (int)vm1->pid);
	f = fopen(path, "we");
	cr_assert(f && fputs("Max locked memory         536870911            536870911            bytes\n", f) >= 0 &&
		  !fclose(f));
}

static void more_ram_than_the_host(void)
{
	vm1->minor_ram_mib = 4097;
}

static void host_ram_not_told(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/proc/meminfo", fake_root(h->fake));
	cr_assert_eq(truncate(path, 0), 0);
}

static void private_memory(void)
{
	vm1->shared = false;
}

/* what a VMM can do it is asked once: another VMM, then */
static void without_vfio_user(void)
{
	fake_guest_die(vm1);
	vm1->vfio_user = false;
	fake_guest_run(vm1);
}

static void no_free_port(void)
{
	vm1->no_free_port = true;
}

static void migrating(void)
{
	vm1->status = "inmigrate";
}

static void refused_by_qemu(void)
{
	vm1->add_error = "vfio 0000:3b:10.0: group 33 is not viable";
}

static void refused_by_driver(void)
{
	fake_refuse_vf_fields(h->fake, "eth0", SYS_VF_TRUST, "no");
}

static void swallowed_by_driver(void)
{
	fake_swallow_vf_fields(h->fake, "eth0", SYS_VF_VLAN);
}

/* clang-format off */
static const struct bad {
	const char *what;
	void (*arrange)(void); /* NULL: nothing */
	const char *code;
	int num;
	const char *method, *params;
} bads[] = {
	{ "a BDF that does not exist", NULL, "sriov.no-such-device", ENOENT, "attach", "{'guest':'vm1','target':'0000:ff:00.0'}" },
	{ "an interface that does not exist", NULL, "sriov.no-such-device", ENOENT, "attach", "{'guest':'vm1','target':'eth9'}" },
	{ "no such VF", NULL, "sriov.no-such-vf", ENOENT, "attach", "{'guest':'vm1','target':'eth0/vf7'}" },
	{ "no name", NULL, "sriov.bad-name", EINVAL, "attach", "{'guest':'vm1','target':'../../etc'}" },
	{ "an empty name", NULL, "sriov.bad-name", EINVAL, "attach", "{'guest':'vm1','target':''}" },
	{ "no VF and no PF", plain_function, "sriov.no-sriov", EINVAL, "attach", "{'guest':'vm1','target':'" OTHER_BDF "'}" },
	{ "the PF where a VF is wanted", NULL, "sriov.not-a-vf", EINVAL, "vf.show", "{'vf':'" FAKE_PF_BDF "'}" },
	{ "a VF where the PF is wanted", NULL, "sriov.not-a-pf", EINVAL, "pf.show", "{'pf':'" FAKE_VF0_BDF "'}" },
	{ "a VF with an address", an_address, "sriov.vf-in-use", EBUSY, "attach", "{'guest':'vm1','target':'" FAKE_VF0_BDF "'}" },
	{ "a VF with a route", a_route, "sriov.vf-in-use", EBUSY, "attach", "{'guest':'vm1','target':'eth0/vf0'}" },
	{ "a VF in a bridge", a_bridge, "sriov.vf-in-use", EBUSY, "attach", "{'guest':'vm1','target':'eth0v0'}" },
	{ "a PF whose VFs are all in use", both_used, "sriov.no-free-vf", EBUSY, "attach", "{'guest':'vm1','target':'eth0'}" },
	{ "a group with others", group_with_others, "vfio.group-not-viable", EBUSY, "attach", "{'guest':'vm1','target':'eth0/vf0'}" },
	{ "PF down", pf_down, "sriov.pf-down", ENETDOWN, "attach", "{'guest':'vm1','target':'eth0'}" },
	{ "IOMMU off", iommu_off, "vfio.no-iommu", EPERM, "attach", "{'guest':'vm1','target':'eth0'}" },
	{ "no vfio-pci", no_vfio_pci, "vfio.no-driver", ENODEV, "attach", "{'guest':'vm1','target':'eth0'}" },
	{ "more RAM than the host", more_ram_than_the_host, "vmm.ram-implausible", ENOMEM, "attach", "{'guest':'vm1','target':'eth0'}" },
	{ "the host's RAM not told", host_ram_not_told, "daemon.no-meminfo", EIO, "attach", "{'guest':'vm1','target':'eth0'}" },
	{ "memlock too low", memlock_too_low, "vfio.memlock", ENOMEM, "attach", "{'guest':'vm1','target':'eth0'}" },
	{ "more VFs than the PF has", NULL, "sriov.too-many-vfs", ERANGE, "pf.set", "{'pf':'eth0','vfs':9}" },
	{ "far more VFs", NULL, "ctl.bad-params", EINVAL, "pf.set", "{'pf':'eth0','vfs':65536}" },
	{ "less than no VFs", NULL, "ctl.bad-params", EINVAL, "pf.set", "{'pf':'eth0','vfs':-1}" },
	{ "VFs of a VF", NULL, "sriov.not-a-pf", EINVAL, "pf.set", "{'pf':'eth0/vf0','vfs':1}" },
	{ "multicast MAC", NULL, "policy.bad-value", EINVAL, "attach", "{'guest':'vm1','target':'eth0','policy':{'mac':'01:00:5e:00:00:01'}}" },
	{ "zero MAC", NULL, "policy.bad-value", EINVAL, "attach", "{'guest':'vm1','target':'eth0','policy':{'mac':'00:00:00:00:00:00'}}" },
	{ "no MAC", NULL, "policy.bad-value", EINVAL, "attach", "{'guest':'vm1','target':'eth0','policy':{'mac':'52:54:00'}}" },
	{ "the PF's MAC", NULL, "policy.mac-in-use", EEXIST, "attach", "{'guest':'vm1','target':'eth0','policy':{'mac':'52:54:00:3b:00:10'}}" },
	{ "another VF's MAC", NULL, "policy.mac-in-use", EEXIST, "attach", "{'guest':'vm1','target':'eth0/vf0','policy':{'mac':'02:54:00:3b:82:10'}}" },
	{ "VLAN 4095", NULL, "policy.bad-value", EINVAL, "attach", "{'guest':'vm1','target':'eth0','policy':{'vlan':'4095'}}" },
	{ "QoS without VLAN", NULL, "policy.bad-value", EINVAL, "attach", "{'guest':'vm1','target':'eth0','policy':{'qos':'3'}}" },
	{ "no policy word", NULL, "policy.bad-word", EINVAL, "attach", "{'guest':'vm1','target':'eth0','policy':{'colour':'red'}}" },
	{ "a number for a word", NULL, "ctl.bad-params", EINVAL, "attach", "{'guest':'vm1','target':'eth0','policy':{'vlan':5}}" },
	{ "a list for a policy", NULL, "ctl.bad-params", EINVAL, "attach", "{'guest':'vm1','target':'eth0','policy':[]}" },
	{ "what the driver refuses", refused_by_driver, "sriov.vf-set-refused", EOPNOTSUPP, "attach", "{'guest':'vm1','target':'eth0','policy':{'mac':'52:54:00:00:00:aa','vlan':'7','trust':'on'}}" },
	{ "what the driver swallows", swallowed_by_driver, "policy.not-taken", EIO, "attach", "{'guest':'vm1','target':'eth0','policy':{'mac':'52:54:00:00:00:aa','vlan':'7'}}" },
	{ "unknown guest", NULL, "guest.unknown", ENOENT, "attach", "{'guest':'vm9','target':'eth0'}" },
	{ "memory not shared", private_memory, "vmm.memory-private", EOPNOTSUPP, "attach", "{'guest':'vm1','target':'eth0','via':'vfio-user'}" },
	{ "no vfio-user", without_vfio_user, "vmm.no-vfio-user", EOPNOTSUPP, "attach", "{'guest':'vm1','target':'eth0','via':'vfio-user'}" },
	{ "no free slot", no_free_port, "vmm.no-slot", ENOSPC, "attach", "{'guest':'vm1','target':'eth0'}" },
	{ "a guest that migrates", migrating, "vmm.migrating", EBUSY, "attach", "{'guest':'vm1','target':'eth0'}" },
	{ "refused by QEMU", refused_by_qemu, "vmm.group-not-viable", EBUSY, "attach", "{'guest':'vm1','target':'eth0','policy':{'vlan':'7'}}" },
	{ "no such way", NULL, "attach.bad-via", EINVAL, "attach", "{'guest':'vm1','target':'eth0','via':'ivshmem'}" },
	{ "no such standby", NULL, "emul.bad-word", EINVAL, "attach", "{'guest':'vm1','target':'eth0','standby':'carrier pigeon'}" },
	{ "waiting too long", NULL, "attach.bad-wait", EINVAL, "attach", "{'guest':'vm1','target':'eth0','wait_ms':600001}" },
	{ "waiting back in time", NULL, "attach.bad-wait", EINVAL, "attach", "{'guest':'vm1','target':'eth0','wait_ms':-1}" },
	{ "a user for a running guest", NULL, "attach.bad-user", EINVAL, "attach", "{'guest':'vm1','target':'eth0','user':'nobody'}" },
	{ "a NIC without name", NULL, "name.bad", EINVAL, "attach", "{'guest':'vm1','target':'eth0','nic':''}" },
	{ "a NIC with a path", NULL, "name.bad", EINVAL, "attach", "{'guest':'vm1','target':'eth0','nic':'../x'}" },
	{ "no target", NULL, "ctl.bad-params", EINVAL, "attach", "{'guest':'vm1'}" },
	{ "one parameter too many", NULL, "ctl.bad-params", EINVAL, "attach", "{'guest':'vm1','target':'eth0','x':1}" },
	{ "a number for a guest", NULL, "ctl.bad-params", EINVAL, "attach", "{'guest':1,'target':'eth0'}" },
	{ "version with a parameter", NULL, "ctl.bad-params", EINVAL, "version", "{'x':1}" },
	{ "monitor with a parameter", NULL, "ctl.bad-params", EINVAL, "monitor", "{'x':1}" },
	{ "detach of nothing", NULL, "lease.none", ENOENT, "detach", "{'guest':'vm1'}" },
	{ "detach of no such NIC", NULL, "lease.none", ENOENT, "detach", "{'guest':'vm1','nic':'nic4'}" },
	{ "detach of an unknown guest", NULL, "guest.unknown", ENOENT, "detach", "{'guest':'vm9'}" },
	{ "detach that waits too long", NULL, "ctl.bad-params", EINVAL, "detach", "{'guest':'vm1','wait_ms':600001}" },
	{ "a guest known already", NULL, "guest.exists", EEXIST, "guest.add", "{'name':'vm1','qmp':'/x'}" },
	{ "a guest without name", NULL, "name.bad", EINVAL, "guest.add", "{'name':'','qmp':'/x'}" },
	{ "a guest with a slash", NULL, "name.bad", EINVAL, "guest.add", "{'name':'a/b','qmp':'/x'}" },
	{ "QMP at no absolute path", NULL, "guest.bad-qmp", EINVAL, "guest.add", "{'name':'vm2','qmp':'vm2.qmp'}" },
	{ "QMP at a folder", NULL, "guest.bad-qmp", EINVAL, "guest.add", "{'name':'vm2','qmp':'/run/'}" },
	{ "QMP at what is no socket", NULL, "guest.bad-qmp", ENOTSOCK, "guest.add", "{'name':'vm2','qmp':'/dev/null'}" },
	{ "removing an unknown guest", NULL, "guest.unknown", ENOENT, "guest.remove", "{'name':'vm9'}" },
	{ "status of an unknown guest", NULL, "guest.unknown", ENOENT, "status", "{'guest':'vm9'}" },
	{ "policy of a VF, VLAN 4095", NULL, "policy.bad-value", EINVAL, "vf.set", "{'vf':'eth0/vf0','set':{'vlan':'4095'}}" },
	{ "policy of the PF", NULL, "sriov.not-a-vf", EINVAL, "vf.set", "{'vf':'eth0','set':{'vlan':'5'}}" },
	{ "MAC of another VF", NULL, "policy.mac-in-use", EEXIST, "vf.set", "{'vf':'eth0/vf0','set':{'mac':'52:54:00:3b:00:10'}}" },
};
/* clang-format on */

static json_t *params_of(const char *text)
{
	char *json = strdup(text);
	json_t *j;

	for (char *p = json; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	j = json_loads(json, 0, NULL);
	cr_assert(j, "%s", text);
	free(json);
	return j;
}

Test(attach_bad, each_is_refused_and_leaves_no_trace)
{
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		const struct bad *b = &bads[i];
		const char *got;
		char want[96];

		begin(2);
		if (b->arrange)
			b->arrange();
		fake_guest_update(vm1);
		before_again();
		snprintf(want, sizeof(want), "%s/%d", b->code, b->num);
		got = fake_host_expect(h, want, b->method, params_of(b->params));
		cr_expect_null(got, "%s: wanted %s, got %s", b->what, want, got);
		fake_host_settle(h);
		unchanged();
		cr_assert_eq(h->d.nr_guests, 1);
		end();
	}
}

Test(attach_bad, a_pf_without_vfs)
{
	begin(0);
	fail("sriov.no-vfs", ENODEV, "attach", json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0"));
	fail("sriov.no-such-vf", ENOENT, "attach", json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0/vf0"));
	unchanged();
	end();
}

/* --- peers that are no VMM --- */

static void qmp_is(const struct fake_qmp_step *script, const char *code, int num)
{
	struct fake_qmp *peer;
	char path[128];

	begin(1);
	snprintf(path, sizeof(path), "%s/vm2.qmp", h->dir);
	peer = script ? fake_qmp_new(h->event, path, script) : NULL;
	if (peer)
		cr_assert_geq(sd_event_run(h->event, 1000000), 0); /* it begins */
	succeed("guest.add", json_pack("{s:s, s:s}", "name", "vm2", "qmp", path));
	fake_host_settle(h);
	fail(code, num, "attach", json_pack("{s:s, s:s}", "guest", "vm2", "target", "eth0"));
	unchanged();
	fake_qmp_free(peer);
	unlink(path);
	end();
}

Test(attach_bad, qmp_missing)
{
	qmp_is(NULL, "guest.down", ENXIO);
}

Test(attach_bad, qmp_refusing)
{
	static const struct fake_qmp_step script[] = { fq_do(FQ_REFUSE), fq_end };

	qmp_is(script, "guest.down", ENXIO);
}

Test(attach_bad, qmp_hanging)
{
	static const struct fake_qmp_step script[] = { fq_do(FQ_ACCEPT), fq_end };

	qmp_is(script, "guest.down", ENXIO);
}

Test(attach_bad, not_qmp)
{
	static const struct fake_qmp_step script[] = { fq_do(FQ_ACCEPT), fq_raw("220 mail.example.org ESMTP\r\n"), fq_end };

	qmp_is(script, "qmp.not-qmp", EPROTO);
}

/* It hangs in the middle: the deadline of a QMP command is not configurable, so the VMM dies instead of ours running out. */
Test(attach_bad, qmp_hanging_at_plug)
{
	json_int_t id;
	json_t *a;

	begin(1);
	vm1->hangs_at = "device_add";
	fake_guest_update(vm1);
	id = fake_host_send(h, "attach", json_pack("{s:s, s:s}", "guest", "vm1", "target", "eth0"));
	while (!fake_qmp_count(vm1->peer, "device_add"))
		cr_assert_geq(sd_event_run(h->event, 5000000), 0);
	fake_guest_die(vm1);
	a = fake_host_wait(h, id);
	cr_assert(member(a, "error"));
	json_decref(a);
	until_leases(0);
	fake_guest_run(vm1); /* only for what was noted of its process */
	fake_guest_die(vm1);
	end();
}
