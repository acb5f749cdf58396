/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attach says where VF and guest are on different NUMA nodes, and goes on. */
#include <criterion/criterion.h>

#include "attach_test.h"
#include "fake_internal.h"
#include "fake_irq.h"

static void put_node(int node, const char *cpus)
{
	fake_mkdir(h->fake, "/sys/devices/system/node/node%d", node);
	fake_put(h->fake, cpus, "/sys/devices/system/node/node%d/cpulist", node);
}

/* A thread of the VMM, and the memory that it may have. */
static void put_vmm(const char *cpus, const char *mems)
{
	char text[256];

	fake_put_thread(h->fake, vm1->pid, vm1->pid, "qemu", 0, cpus);
	snprintf(text, sizeof(text), "Name:\tqemu\nCpus_allowed_list:\t%s\nMems_allowed_list:\t%s\n", cpus, mems);
	fake_put(h->fake, text, "/proc/%d/task/%d/status", vm1->pid, vm1->pid);
}

struct row {
	const char *vf_node, *cpus, *mems; /* of the VF; that the VMM may use */
	const char *says; /* "" nothing */
	const char *vcpu; /* CPUs of a thread that has the name of one; NULL none */
};

static void check(const struct row *r)
{
	json_t *result, *warnings, *w;
	const char *found = "";
	size_t i;

	begin(2);
	put_node(0, "0-3\n");
	put_node(1, "4-7\n");
	put_node(2, "\n");
	put_vmm(r->cpus, r->mems);
	if (r->vcpu) {
		fake_put_thread(h->fake, vm1->pid, FAKE_TID, "CPU 0/KVM", 0, r->vcpu);
		fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU 11/KVM", 0, r->vcpu);
		fake_put_thread(h->fake, vm1->pid, FAKE_TID + 2, "CPU hog", 0, r->cpus);
	}
	fake_put(h->fake, r->vf_node, "/sys/bus/pci/devices/%s/numa_node", FAKE_VF0_BDF);
	result = attach(json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "via", "vfio-pci"));
	warnings = member(result, "warnings");
	json_array_foreach (warnings, i, w)
		if (strstr(json_string_value(w), "NUMA"))
			found = json_string_value(w);
	cr_assert_eq(found[0] != '\0', r->says[0] != '\0', "VF on %s, VMM on %s: %s", r->vf_node, r->cpus, found);
	cr_assert(strstr(found, r->says), "VF on %s, VMM on %s: %s", r->vf_node, r->cpus, found);
	json_decref(result);
	end();
}

Test(numa, attach_says_what_is_apart)
{
	static const struct row rows[] = {
		{ "0\n", "0-7", "0-2", "", NULL },
		{ "0\n", "3-5", "0", "", NULL },
		{ "1\n", "0-3", "0-2", "NUMA node 1, where the guest's vCPUs may not be", NULL },
		{ "1\n", "0-7", "0", "NUMA node 1, where the guest's memory may not be", NULL },
		{ "1\n", "0-3", "0", "NUMA node 1, where the guest's vCPUs and memory may not be", NULL },
		{ "2\n", "0-7", "0-2", "", NULL }, /* a node without CPUs */
		{ "-1\n", "0-3", "0", "", NULL }, /* it does not say */
		{ "9\n", "0-3", "0", "", NULL }, /* no such node */
		/* what else the VMM runs may run anywhere */
		{ "1\n", "0-7", "0-2", "NUMA node 1, where the guest's vCPUs may not be", "0-3" },
		{ "0\n", "0-7", "0-2", "", "0-3" },
		{ "1\n", "0-3", "0-2", "", "3-4" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&rows[i]);
}

/* The vCPU's thread is the last of so many, as text too: at the limit it is seen, above it is not. */
Test(numa, threads_at_the_limit_and_above)
{
	for (unsigned above = 0; above < 2; above++) {
		const char *says = above ? "" : "NUMA node 1, where the guest's vCPUs may not be";
		json_t *result, *warnings, *w;
		const char *found = "";
		size_t i;

		begin(2);
		put_node(0, "0-3\n");
		put_node(1, "4-7\n");
		put_vmm("0-7", "0-2");
		for (unsigned n = 2; n < LIMIT_VMM_THREADS + above; n++)
			fake_mkdir(h->fake, "/proc/%d/task/%u", vm1->pid, 1000000 + n);
		fake_put_thread(h->fake, vm1->pid, 999999999, "CPU 0/KVM", 0, "0-3");
		fake_put(h->fake, "1\n", "/sys/bus/pci/devices/%s/numa_node", FAKE_VF0_BDF);
		result = attach(json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "via", "vfio-pci"));
		warnings = member(result, "warnings");
		json_array_foreach (warnings, i, w)
			if (strstr(json_string_value(w), "NUMA"))
				found = json_string_value(w);
		cr_assert_eq(found[0] != '\0', says[0] != '\0', "%s", found);
		cr_assert(strstr(found, says), "%s", found);
		json_decref(result);
		end();
	}
}

/* --- several PFs --- */

#define PF2_BDF "0000:3c:00.0"

/* eth0 with 2 VFs on node 0, eth2 with @vfs on node 1; the guest's vCPUs on @vcpu, its memory on @mems. */
static void begin_two(unsigned vfs, const char *vcpu, const char *mems)
{
	char text[8];

	begin(2);
	fake_add_pf(h->fake, PF2_BDF, "eth2", "igb", "igbvf", 8);
	snprintf(text, sizeof(text), "%u", vfs);
	if (vfs)
		cr_assert_eq(fake_sys(h->fake)->ops->write_file(fake_sys(h->fake),
								"/sys/bus/pci/devices/" PF2_BDF "/sriov_numvfs", text),
			     0);
	put_node(0, "0-3\n");
	put_node(1, "4-7\n");
	fake_put(h->fake, "0\n", "/sys/bus/pci/devices/%s/numa_node", FAKE_PF_BDF);
	fake_put(h->fake, "1\n", "/sys/bus/pci/devices/%s/numa_node", PF2_BDF);
	put_vmm("0-7", mems);
	if (vcpu)
		fake_put_thread(h->fake, vm1->pid, FAKE_TID, "CPU 0/KVM", 0, vcpu);
	before_again();
}

static json_t *among(const char *pfs)
{
	return json_pack("{s:s, s:s, s:s}", "guest", "vm1", "target", pfs, "via", "vfio-pci");
}

static void takes(const char *pfs, const char *pf)
{
	json_t *result = attach(among(pfs));

	cr_assert_str_eq(text_of(result, "lease.pf"), pf, "of %s: %s", pfs, text_of(result, "lease.pf"));
	json_decref(result);
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
}

Test(numa, of_several_pfs_the_nearest)
{
	static const struct {
		const char *vcpu, *mems, *pf;
	} rows[] = {
		{ "0-3", "0-1", "eth0" }, { "4-7", "0-1", "eth2" }, { NULL, "1", "eth2" }, { NULL, "0", "eth0" },
		{ NULL, "0-1", NULL },	  { "0-7", "0-1", NULL },   { "4-7", "0", NULL }, /* neither suits */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin_two(2, rows[i].vcpu, rows[i].mems);
		takes("eth0,eth2", rows[i].pf ? rows[i].pf : "eth0");
		takes("eth2," FAKE_PF_BDF, rows[i].pf ? rows[i].pf : "eth2");
		end();
	}
}

/* The nearest has none, or no link: another one will do. */
Test(numa, of_several_pfs_one_that_has_a_vf)
{
	begin_two(0, "4-7", "0-1");
	takes("eth0,eth2", "eth0");
	takes("eth2,eth0", "eth0");
	end();
	begin_two(2, "4-7", "0-1");
	fake_link(h->fake, "eth2")->up = fake_link(h->fake, "eth2")->carrier = false;
	before_again();
	takes("eth0,eth2", "eth0");
	end();
}

/* One that is up and has no link is no use, however near it is; but better than one that is down. */
Test(numa, of_several_pfs_one_that_has_a_link)
{
	begin_two(2, "4-7", "0-1");
	fake_link(h->fake, "eth2")->carrier = false;
	before_again();
	takes("eth0,eth2", "eth0");
	takes("eth2,eth0", "eth0");
	fake_link(h->fake, "eth0")->carrier = false;
	before_again();
	takes("eth0,eth2", "eth2");
	fake_link(h->fake, "eth2")->up = false;
	before_again();
	takes("eth0,eth2", "eth0");
	takes("eth2,eth0", "eth0");
	end();
}

Test(numa, several_pfs_that_cannot_be)
{
	char many[400] = "eth0";

	begin_two(2, "4-7", "0-1");
	fail("sriov.no-such-device", ENOENT, "attach", among("eth0,eth9"));
	fail("sriov.bad-name", EINVAL, "attach", among("eth0,"));
	fail("sriov.bad-name", EINVAL, "attach", among(",eth0"));
	fail("sriov.not-a-pf", EINVAL, "attach", among("eth0,eth2/vf0"));
	for (unsigned i = 1; i < LIMIT_PFS_NAMED; i++)
		strcat(many, ",eth2");
	takes(many, "eth2");
	strcat(many, ",eth0");
	fail("attach.too-many-pfs", E2BIG, "attach", among(many));
	for (unsigned i = 0; i < 50; i++)
		strcat(many, ",eth0");
	fail("sriov.bad-name", EINVAL, "attach", among(many));
	unchanged();
	fake_remove_function(h->fake, PF2_BDF);
	before_again();
	fail("sriov.no-such-device", ENOENT, "attach", among("eth0,eth2"));
	unchanged();
	end();
}

Test(numa, several_pfs_without_a_free_vf)
{
	begin_two(0, NULL, "0-1");
	for (unsigned i = 2; i < 4; i++) {
		char name[8];

		snprintf(name, sizeof(name), "vm%u", i);
		fake_guest_add(h, name, true);
		json_decref(attach(json_pack("{s:s, s:s, s:s}", "guest", name, "target", "eth0", "via", "vfio-pci")));
	}
	fail("sriov.no-free-vf", EBUSY, "attach", among("eth2,eth0"));
	end();
}

/* Nothing of it is to be had: nothing is said. */
Test(numa, what_makes_no_sense)
{
	check(&(struct row){ "1\n", "what?", "", "", NULL });
	check(&(struct row){ "what?\n", "0-3", "0", "", NULL });
}
