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

/* Nothing of it is to be had: nothing is said. */
Test(numa, what_makes_no_sense)
{
	check(&(struct row){ "1\n", "what?", "", "", NULL });
	check(&(struct row){ "what?\n", "0-3", "0", "", NULL });
}
