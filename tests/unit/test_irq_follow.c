/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts go where their vCPUs are, and back to where they were. */
#include <criterion/criterion.h>

#include "guests.h"
#include "host_events.h"
#include "irq_follow.h"
#include "irq_follow_test.h"

#define ALL_WAS WAS " " WAS " " WAS

Test(irq_follow, each_to_its_vcpu)
{
	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	until_shown(0, "state", "in-place");
	until_shown(2, "state", "in-place");
	cr_assert_str_eq(shown(1, "vcpu"), "1");
	cr_assert_str_eq(shown(1, "thread"), "701");
	cr_assert_str_eq(shown(1, "ran_on"), "2");
	cr_assert_str_eq(shown(1, "irq"), "121");
	cr_assert_str_eq(shown(1, "affinity"), "2");
	cr_assert_str_eq(shown(1, "message.vector"), "35");
	cr_assert_str_eq(shown(1, "message.mode"), "physical");
	cr_assert_str_eq(shown(1, "why"), "null");
	cr_assert_eq(fake_affinity_writes(h->fake, IRQ0), 1, "once");
	detach_irqs();
	end();
}

/* The guest writes its table, a thread is moved: nothing tells, and it is followed all the same. */
Test(irq_follow, what_moves_is_followed)
{
	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	message_to(0, 1, 34);
	until_shown(0, "vcpu", "1");
	until_affinities("2 2 2");
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 3, "3");
	until_affinities("3 3 3");
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 0, "0-3");
	until_affinities("0 0 0");
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 2, "2");
	detach_irqs();
	end();
}

/* A CPU goes offline: the kernel moves thread and interrupt off it, to wherever; and comes back. */
Test(irq_follow, cpus_go_offline)
{
	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	fake_online_cpus(h->fake, "0-1,3\n");
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 3, "0-3");
	until_affinities("1 3 3");
	fake_online_cpus(h->fake, "0-3\n");
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 2, "2");
	until_affinities("1 2 2");
	/* one that may run on no CPU that is online is left alone */
	fake_online_cpus(h->fake, "0-1,3\n");
	until_shown(1, "state", "unknown");
	cr_assert_str_eq(shown(1, "why"), "the vCPU has no CPU online");
	cr_assert_str_eq(shown(0, "state"), "in-place");
	fake_online_cpus(h->fake, "0-3\n");
	detach_irqs();
	end();
}

/* The kernel tells of CPUs: a guest at rest, which is not looked at for long, is looked at at once. */
Test(irq_follow, cpus_that_are_told_of)
{
	struct sys_event ev = { .kind = SYS_EVENT_CPU };
	struct err err;

	begin_irqs(false);
	cr_assert_eq(host_events_new(&h->d, &err), 0);
	before_again();
	attach_irqs();
	until_affinities("1 2 2");
	until_nothing_is_asked();
	h->d.config.irq_follow_ms = 60000;
	fake_host_until(h, never, NULL, 200); /* the next look is the last that is due */
	fake_online_cpus(h->fake, "0-1,3\n");
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 3, "0-1,3");
	fake_host_until(h, never, NULL, 200);
	cr_assert_str_eq(affinities(), "1 2 2", "nobody has looked");
	for (unsigned i = 0; i < 50 && !has_affinities((void *)"1 3 3"); i++) {
		fake_emit(h->fake, SYS_WATCH_UEVENT, &ev);
		fake_host_until(h, has_affinities, (void *)"1 3 3", 100);
	}
	cr_assert_str_eq(affinities(), "1 3 3");
	h->d.config.irq_follow_ms = 2;
	fake_online_cpus(h->fake, "0-3\n");
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 2, "2");
	fake_emit(h->fake, SYS_WATCH_UEVENT, &ev);
	until_affinities("1 2 2");
	detach_irqs();
	end();
}

/* A vCPU that is plugged is asked for when the VMM tells of it. */
Test(irq_follow, vcpus_are_plugged)
{
	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	message_to(0, 2, 34);
	until_shown(0, "why", "no vCPU with that id");
	fake_guest_has_vcpus(vm1, 3);
	fake_qmp_event(vm1->peer, "ACPI_DEVICE_OST", "{\"info\": {\"slot-type\": \"CPU\"}}");
	until_affinities("3 2 2");
	cr_assert_str_eq(shown(0, "vcpu"), "2");
	fake_remove_thread(h->fake, vm1->pid, FAKE_TID + 2);
	detach_irqs();
	end();
}

/* --- what a guest makes happen as fast as it likes --- */

static void events(const char *event, unsigned nr, unsigned ms)
{
	for (unsigned i = 0; i < nr; i++) {
		fake_qmp_event(vm1->peer, event, event[0] == 'A' ? "{\"info\": {\"slot-type\": \"CPU\"}}" : NULL);
		fake_host_until(h, never, NULL, ms);
	}
}

struct counted {
	const char *command;
	unsigned more_than;
};

static bool has_come(void *arg)
{
	const struct counted *c = arg;

	return fake_qmp_count(vm1->peer, c->command) > c->more_than;
}

/* What they ask for is asked once in table_ms, and not forgotten. */
Test(irq_follow, events_are_not_obeyed_at_once)
{
	struct counted vcpus = { .command = "query-cpus-fast" };
	unsigned tables;

	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	h->d.config.irq_table_ms = 60000;
	events("ACPI_DEVICE_OST", 1, 0);
	until_nothing_is_asked();
	vcpus.more_than = fake_qmp_count(vm1->peer, vcpus.command);
	events("ACPI_DEVICE_OST", 5, 150);
	cr_assert_eq(fake_qmp_count(vm1->peer, vcpus.command), vcpus.more_than, "they were asked a moment ago");
	tables = fake_qmp_count(vm1->peer, "human-monitor-command");
	events("RESET", 5, 150);
	cr_assert_leq(fake_qmp_count(vm1->peer, "human-monitor-command"), tables + 1);
	h->d.config.irq_table_ms = 2;
	cr_assert(fake_host_until(h, has_come, &vcpus, 5000), "it is still to be asked");
	detach_irqs();
	end();
}

/* Vectors that come and go have the table read, each time that there was none for table_ms. */
Test(irq_follow, tables_are_not_read_at_once)
{
	struct counted tables = { .command = "human-monitor-command" };

	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	h->d.config.irq_table_ms = 60000;
	until_nothing_is_asked();
	tables.more_than = fake_qmp_count(vm1->peer, tables.command);
	for (unsigned i = 0; i < 4; i++) {
		fake_remove_irq(h->fake, FAKE_VF0_BDF, IRQ0 + 2);
		fake_host_until(h, never, NULL, 100);
		fake_add_vector(h->fake, FAKE_VF0_BDF, IRQ0 + 2, 2, WAS);
		fake_host_until(h, never, NULL, 100);
	}
	cr_assert_not(has_come(&tables));
	cr_assert(fake_host_until(h, has_affinities, (void *)"1 2 2", 5000), "what is known will do");
	h->d.config.irq_table_ms = 2;
	cr_assert(fake_host_until(h, has_come, &tables, 5000), "it is still to be read");
	detach_irqs();
	end();
}

/* Nor do they keep it from looking. */
Test(irq_follow, events_do_not_put_off_a_look)
{
	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 3, "3");
	for (unsigned i = 0; i < 800 && !has_affinities((void *)"1 3 3"); i++)
		events("ACPI_DEVICE_OST", 1, 5);
	cr_assert_str_eq(affinities(), "1 3 3");
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 2, "2");
	detach_irqs();
	end();
}

Test(irq_follow, what_cannot_be_answered_is_asked_again)
{
	struct counted viommu = { .command = "qom-list" }, vcpus = { .command = "query-cpus-fast" };

	begin_irqs(false);
	vm1->no_vcpus = vm1->no_viommu = true;
	fake_guest_update(vm1);
	attach_irqs();
	until_shown(0, "why", "guest vm1: query-cpus-fast: not the answer of a QEMU");
	vcpus.more_than = fake_qmp_count(vm1->peer, vcpus.command) + 1;
	viommu.more_than = fake_qmp_count(vm1->peer, viommu.command) + 1;
	cr_assert(fake_host_until(h, has_come, &vcpus, 5000));
	cr_assert(fake_host_until(h, has_come, &viommu, 5000));
	h->d.config.irq_table_ms = 60000;
	until_nothing_is_asked();
	vcpus.more_than = fake_qmp_count(vm1->peer, vcpus.command);
	viommu.more_than = fake_qmp_count(vm1->peer, viommu.command);
	fake_host_until(h, never, NULL, 400);
	cr_assert_not(has_come(&vcpus) || has_come(&viommu), "not all the time");
	h->d.config.irq_table_ms = 2;
	vm1->no_vcpus = vm1->no_viommu = false;
	fake_guest_update(vm1);
	until_affinities("1 2 2");
	detach_irqs();
	end();
}

/* Of the other lease. */
static void other_is(const char *want)
{
	char *is = fake_affinity(h->fake, IRQ0 + 3);

	cr_assert_str_eq(is, want);
	free(is);
}

/* A guest is looked at whole: what ends of one of its leases leaves the other as it is. */
Test(irq_follow, two_leases_of_a_guest)
{
	begin_irqs(true);
	fake_vf_has_table(h, FAKE_VF1_BDF, 3);
	before_again();
	attach_irqs();
	json_decref(attach(json_pack("{s:s, s:s, s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "via", "vfio-pci", "standby",
				     "none", "nic", "two")));
	fake_add_vector(h->fake, FAKE_VF1_BDF, IRQ0 + 3, 0, WAS);
	until_affinities("1 2 2");
	until_shown(3, "affinity", "1");
	cr_assert_str_eq(shown(3, "lease"), "vm1/two");
	succeed("detach", json_pack("{s:s, s:s}", "guest", "vm1", "nic", "nic0"));
	cr_assert_str_eq(affinities(), ALL_WAS);
	other_is("1");
	succeed("detach", of_vm1());
	other_is(WAS);
	fake_remove_irq(h->fake, FAKE_VF1_BDF, IRQ0 + 3);
	remove_vectors();
	unchanged();
	end();
}

static bool has_most_there(void *arg)
{
	(void)arg;
	return atof(shown(0, "share")) > 0.6;
}

/* What came while the vCPU stood still, and of that what arrived with it. */
Test(irq_follow, counts)
{
	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	until_shown(0, "state", "in-place");
	for (unsigned n = 100; n < 110; n++) {
		interrupt(n);
		until_shown(1, "state", "in-place");
	}
	for (unsigned i = 0; i < 3; i++) {
		json_t *v = vector_now(i); /* of one moment */

		cr_assert_leq(json_integer_value(member(v, "there")), json_integer_value(member(v, "judged")));
		cr_assert_leq(json_integer_value(member(v, "judged")), json_integer_value(member(v, "count")));
		json_decref(v);
	}
	/* interrupt(): a third on CPU 0, two on CPU 1 */
	until_shown(1, "share", "0.0");
	for (unsigned n = 0; n < TURNS && !fake_host_until(h, has_most_there, NULL, TURN_MS); n++)
		interrupt(200 + n);
	cr_assert(has_most_there(NULL), "%s", shown(0, "share"));
	cr_assert_gt(atoi(shown(0, "count")), 0);
	detach_irqs();
	end();
}

Test(irq_follow, looked_at_and_not_moved)
{
	begin_irqs(false);
	follow(false);
	attach_irqs();
	until_shown(0, "wanted", "1");
	for (unsigned n = 0; n < 30; n++) {
		interrupt(100 + n);
		fake_host_until(h, never, NULL, 5);
	}
	until_shown(0, "state", "left");
	cr_assert_str_eq(affinities(), ALL_WAS);
	cr_assert_eq(fake_affinity_writes(h->fake, IRQ0), 0);
	cr_assert_null(recorded());
	detach_irqs();
	end();
}

/* What was lost with it is done when it is over, at once. */
Test(irq_follow, the_state_database_fails_for_a_while)
{
	begin_irqs(false);
	sql("CREATE TRIGGER no BEFORE UPDATE ON lease BEGIN SELECT RAISE(FAIL, 'no'); END");
	attach_irqs();
	until_shown(0, "state", "failed");
	for (unsigned n = 0; n < 60; n++) {
		interrupt(100 + n);
		fake_host_until(h, never, NULL, 5);
	}
	until_shown(0, "state", "failed");
	cr_assert_eq(fake_affinity_writes(h->fake, IRQ0), 0, "nothing is changed that is not recorded");
	sql("DROP TRIGGER no");
	until_affinities("1 2 2");
	detach_irqs();
	end();
}

Test(irq_follow, not_looked_at)
{
	json_t *a;

	begin_irqs(false);
	h->d.config.irq_follow_ms = 0;
	attach_irqs();
	a = fake_host_call(h, "irq.show", of_vm1());
	cr_assert_eq(json_array_size(member(a, "result.vectors")), 0);
	json_decref(a);
	fail("guest.unknown", ENOENT, "irq.show", json_pack("{s:s}", "guest", "vm2"));
	detach_irqs();
	end();
}

/* --- not known --- */

struct unknown {
	const char *name;
	uint32_t words[4];
	const char *answer; /* of the monitor; NULL: a table with those words */
	const char *why; /* a part of it */
};

/* Vector 0 is what it says; the others are where they belong, unless nothing of the table is to be read. */
Test(irq_follow, what_makes_no_sense_is_left_alone, .timeout = 120)
{
	static const struct unknown rows[] = {
		{ "empty", { 0 }, NULL, "not written" },
		{ "all ones", { ~0u, ~0u, ~0u, ~0u }, NULL, "" },
		{ "elsewhere", { 0x12345000, 0, 0x4022, 0 }, NULL, "" },
		{ "above 4 GiB", { 0xfee00000, 1, 0x4022, 0 }, NULL, "" },
		{ "reserved mode", { 0xfee00000, 0, 0x4322, 0 }, NULL, "" },
		{ "vector 3", { 0xfee00000, 0, 0x4003, 0 }, NULL, "" },
		{ "NMI", { 0xfee00000, 0, 0x4400, 0 }, NULL, "not an interrupt vector" },
		{ "no such APIC id", { 0xfee09000, 0, 0x4022, 0 }, NULL, "no vCPU with that id" },
		{ "remappable", { 0xfee00010, 0, 0, 0 }, NULL, "" },
		{ "garbage", { 0 }, "\"return\": \"xp: what?\\r\\n\"", "not the answer of a monitor" },
		{ "no memory", { 0 }, "\"return\": \"00000000fe840000: Cannot access memory\\r\\n\"", "no memory there" },
		{ "refused", { 0 }, "\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}", "" },
	};

	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned writes = fake_affinity_writes(h->fake, IRQ0);

		memcpy(vm1->messages[0], rows[i].words, sizeof(rows[i].words));
		vm1->table_answer = rows[i].answer;
		fake_guest_update(vm1);
		until_shown(0, "state", "unknown");
		cr_assert(strstr(shown(0, "why"), rows[i].why), "%s: %s", rows[i].name, shown(0, "why"));
		cr_assert_eq(fake_affinity_writes(h->fake, IRQ0), writes, "%s: left alone", rows[i].name);
		cr_assert_str_eq(shown(1, "state"), rows[i].answer ? "unknown" : "in-place", "%s", rows[i].name);
		vm1->table_answer = NULL;
		message_to(0, 0, 34);
		until_shown(0, "state", "in-place");
	}
	detach_irqs();
	end();
}

/* Logical ids, flat: bit 1 is vCPU 1. A vCPU whose APIC is off hears nothing. */
Test(irq_follow, logical_ids)
{
	begin_irqs(false);
	memcpy(vm1->messages[0], (uint32_t[]){ 0xfee0200c, 0, 0x4122, 0 }, 16);
	fake_guest_update(vm1);
	attach_irqs();
	until_affinities("2 2 2");
	cr_assert_str_eq(shown(0, "message.mode"), "logical");
	cr_assert_str_eq(shown(0, "vcpu"), "1");
	vm1->lapic_off = true;
	memcpy(vm1->messages[0], (uint32_t[]){ 0xfee0400c, 0, 0x4122, 0 }, 16);
	fake_guest_update(vm1);
	until_shown(0, "why", "no vCPU with that id");
	memcpy(vm1->messages[0], (uint32_t[]){ 0xfee0100c, 0, 0x4122, 0 }, 16);
	fake_guest_update(vm1);
	until_affinities("1 2 2");
	detach_irqs();
	end();
}

Test(irq_follow, beyond_the_table)
{
	begin_irqs(false);
	attach_irqs();
	fake_add_vector(h->fake, FAKE_VF0_BDF, IRQ0 + 3, 3, WAS);
	until_affinities("1 2 2");
	until_shown(3, "why", "it is beyond the VF's MSI-X table");
	cr_assert_eq(fake_affinity_writes(h->fake, IRQ0 + 3), 0);
	fake_remove_irq(h->fake, FAKE_VF0_BDF, IRQ0 + 3);
	detach_irqs();
	end();
}

Test(irq_follow, threads_and_interrupts_that_vanish)
{
	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	fake_remove_thread(h->fake, vm1->pid, FAKE_TID + 1);
	until_shown(1, "state", "unknown");
	cr_assert_str_eq(shown(1, "why"), "the vCPU's thread is gone");
	cr_assert_str_eq(shown(0, "state"), "in-place");
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 3, "3");
	until_affinities("1 3 3");
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 2, "2");
	/* it comes back as another vector, of another device: neither is ours to give back */
	fake_remove_irq(h->fake, FAKE_VF0_BDF, IRQ0);
	until_shown(0, "irq", "121");
	fake_add_irq(h->fake, FAKE_VF1_BDF, IRQ0, "eth1-rx", "2");
	succeed("detach", of_vm1());
	cr_assert_str_eq(affinities(), "2 " WAS " " WAS);
	cr_assert_eq(fake_affinity_writes(h->fake, IRQ0), 0, "it is another one");
	fake_remove(h->fake, "/sys/bus/pci/devices/%s/msi_irqs", FAKE_VF1_BDF);
	remove_vectors();
	unchanged();
	end();
}

static const struct sys_ops *real_ops;
static struct sys_ops other_ops;

/* While the first is written, the second becomes another device's. */
static int write_and_swap(struct sys *sys, const char *path, const char *text)
{
	char first[64];

	snprintf(first, sizeof(first), "/proc/irq/%u/smp_affinity_list", IRQ0);
	if (sys->ops == &other_ops && !strcmp(path, first)) {
		sys->ops = real_ops;
		fake_remove_irq(h->fake, FAKE_VF0_BDF, IRQ0 + 1);
		fake_add_irq(h->fake, FAKE_VF1_BDF, IRQ0 + 1, "eth1-rx", WAS);
	}
	return real_ops->write_file(sys, path, text);
}

Test(irq_follow, a_number_that_is_anothers_by_now)
{
	struct sys *sys;

	begin_irqs(false);
	sys = fake_sys(h->fake);
	real_ops = sys->ops;
	other_ops = *real_ops;
	other_ops.write_file = write_and_swap;
	sys->ops = &other_ops;
	attach_irqs();
	until_affinities("1 " WAS " 2");
	cr_assert_eq(fake_affinity_writes(h->fake, IRQ0 + 1), 0, "it is no vector of the VF");
	succeed("detach", of_vm1());
	cr_assert_str_eq(affinities(), ALL_WAS);
	cr_assert_eq(fake_affinity_writes(h->fake, IRQ0 + 1), 0);
	fake_remove(h->fake, "/sys/bus/pci/devices/%s/msi_irqs", FAKE_VF1_BDF);
	remove_vectors();
	unchanged();
	end();
}

/* Who listens at the QMP socket is not the VMM: none of its threads can be found, and there is no use in asking again and again. */
Test(irq_follow, a_vmm_whose_process_is_not_known)
{
	unsigned vcpus, tables;

	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	strcpy(guest_find(&h->d, "vm1")->manager, "libvirtd");
	until_shown(0, "why", "the VMM's process is not known: no thread 700");
	vcpus = fake_qmp_count(vm1->peer, "query-cpus-fast");
	tables = fake_qmp_count(vm1->peer, "human-monitor-command");
	for (unsigned i = 0; i < 50; i++) {
		interrupt(1000 + i);
		fake_host_until(h, never, NULL, 10);
	}
	cr_assert_leq(fake_qmp_count(vm1->peer, "query-cpus-fast"), vcpus + 1, "but for what was under way");
	cr_assert_leq(fake_qmp_count(vm1->peer, "human-monitor-command"), tables + 1);
	guest_find(&h->d, "vm1")->manager[0] = '\0';
	until_shown(0, "state", "in-place");
	message_to(0, 1, 34);
	until_affinities("2 2 2");
	detach_irqs();
	end();
}

/* Behind libvirt: by the threads that it names, and by who has the VF. Whose claim is another's threads is not believed. */
Test(irq_follow, a_vmm_behind_a_manager)
{
	int group;

	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	group = lease()->group_id;
	strcpy(guest_find(&h->d, "vm1")->manager, "libvirtd");
	until_shown(0, "state", "unknown");
	fake_mkdir(h->fake, "/proc/%d/fd", vm1->pid);
	for (int i = 0; i < 2; i++) {
		char text[64];

		snprintf(text, sizeof(text), "Name:\tqemu\nTgid:\t%d\n", vm1->pid);
		fake_mkdir(h->fake, "/proc/%d", FAKE_TID + i);
		fake_put(h->fake, text, "/proc/%d/status", FAKE_TID + i);
	}
	interrupt(900);
	fake_qmp_event(vm1->peer, "ACPI_DEVICE_OST", "{\"info\": {\"slot-type\": \"CPU\"}}");
	until_why(0, "has not got /dev/vfio/");
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 3, "3");
	for (unsigned i = 0; i < 20; i++) {
		interrupt(1000 + i);
		fake_host_until(h, never, NULL, 10);
	}
	cr_assert_str_eq(affinities(), "1 2 2", "not before it is known whose they are");
	{
		char node[32];

		snprintf(node, sizeof(node), "/dev/vfio/%d", group);
		fake_symlink(h->fake, node, "/proc/%d/fd/9", vm1->pid);
	}
	until_affinities("1 3 3");
	until_shown(0, "state", "in-place");
	/* vCPUs that are asked for again are looked for again */
	fake_qmp_event(vm1->peer, "ACPI_DEVICE_OST", "{\"info\": {\"slot-type\": \"CPU\"}}");
	fake_remove(h->fake, "/proc/%d/fd/9", vm1->pid);
	until_why(0, "has not got /dev/vfio/");
	fake_remove(h->fake, "/proc/%d/fd", vm1->pid);
	for (int i = 0; i < 2; i++)
		fake_remove(h->fake, "/proc/%d", FAKE_TID + i);
	guest_find(&h->d, "vm1")->manager[0] = '\0';
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 2, "2");
	until_affinities("1 2 2");
	detach_irqs();
	end();
}

/*
 * The first lease is served by vfio-user, whose group the VMM has not got: the second one's VF, which it opens itself, tells whose threads they are,
 * of both. That a lease is one of vfio-user is written by hand: its process would be of no use here.
 */
Test(irq_follow, leases_of_both_kinds_behind_a_manager)
{
	char node[32];

	begin_irqs(true);
	fake_vf_has_table(h, FAKE_VF1_BDF, 3);
	before_again();
	attach_irqs();
	json_decref(attach(json_pack("{s:s, s:s, s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "via", "vfio-pci", "standby",
				     "none", "nic", "two")));
	fake_add_vector(h->fake, FAKE_VF1_BDF, IRQ0 + 3, 0, WAS);
	until_affinities("1 2 2");
	until_nobody_looks();
	lease_find(&h->d, "vm1", "nic0")->via = VIA_VFIO_USER;
	strcpy(guest_find(&h->d, "vm1")->manager, "libvirtd");
	snprintf(node, sizeof(node), "/dev/vfio/%d", lease_find(&h->d, "vm1", "two")->group_id);
	fake_mkdir(h->fake, "/proc/%d/fd", vm1->pid);
	fake_symlink(h->fake, node, "/proc/%d/fd/9", vm1->pid);
	for (int i = 0; i < 2; i++) {
		char text[64];

		snprintf(text, sizeof(text), "Name:\tqemu\nTgid:\t%d\n", vm1->pid);
		fake_mkdir(h->fake, "/proc/%d", FAKE_TID + i);
		fake_put(h->fake, text, "/proc/%d/status", FAKE_TID + i);
	}
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 3, "3");
	until_affinities("1 3 3");
	until_nobody_looks();
	lease_find(&h->d, "vm1", "nic0")->via = VIA_VFIO_PCI;
	guest_find(&h->d, "vm1")->manager[0] = '\0';
	for (int i = 0; i < 2; i++)
		fake_remove(h->fake, "/proc/%d", FAKE_TID + i);
	fake_remove(h->fake, "/proc/%d/fd", vm1->pid);
	succeed("detach", json_pack("{s:s, s:s}", "guest", "vm1", "nic", "two"));
	fake_remove_irq(h->fake, FAKE_VF1_BDF, IRQ0 + 3);
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 2, "2");
	detach_irqs();
	end();
}

Test(irq_follow, the_kernel_refuses)
{
	static const int nums[] = { -EIO, -EACCES };

	for (size_t i = 0; i < 2; i++) {
		begin_irqs(false);
		attach_irqs();
		fake_refuse_affinity(h->fake, IRQ0, nums[i]);
		until_affinities(WAS " 2 2");
		until_shown(0, "state", "refused");
		until_shown(1, "state", "in-place");
		cr_assert(strstr(shown(0, "why"), "affinity to CPUs 1"), "%s", shown(0, "why"));
		cr_assert_leq(fake_affinity_writes(h->fake, IRQ0), 1, "not again");
		detach_irqs();
		end();
	}
}

static bool has_failed(void)
{
	const char *code = shown(0, "error.code");

	return strcmp(code, "(none)") != 0 && strncmp(code, "irq.", 4) != 0;
}

/* What fails here, and not at the interrupt's own file, passes: -EIO and -EACCES mean something else there. */
Test(irq_follow, a_failure_of_our_own_is_no_refusal)
{
	bool failed = false;

	begin_irqs(false);
	sql("CREATE TRIGGER full BEFORE UPDATE OF irqs ON lease BEGIN SELECT RAISE(FAIL, 'no'); END");
	attach_irqs();
	for (unsigned n = 0; n < 200 && !failed; n++) { /* not longer: it would have had its orders for a while */
		interrupt(n);
		failed = has_failed();
	}
	cr_assert(failed, "%s", shown(0, "error.code"));
	cr_assert_str_eq(affinities(), ALL_WAS);
	sql("DROP TRIGGER full");
	until_affinities("1 2 2");
	until_shown(0, "state", "in-place");
	detach_irqs();
	end();
}

/* --- legs --- */

Test(irq_follow, given_back_when_the_guest_leaves_its_vf)
{
	begin_irqs(true);
	json_decref(attach(pair_params("macvtap")));
	add_vectors();
	until_at("passthrough");
	until_affinities("1 2 2");
	succeed("switch", leg("emulated"));
	cr_assert_str_eq(affinities(), ALL_WAS);
	cr_assert_null(recorded());
	remove_vectors();
	succeed("switch", leg("passthrough"));
	add_vectors();
	until_affinities("1 2 2");
	succeed("detach", of_vm1());
	cr_assert_str_eq(affinities(), ALL_WAS);
	remove_vectors();
	cr_assert_eq(records(), 0);
	unchanged();
	end();
}

static bool is_asked_to_unplug(void *arg)
{
	(void)arg;
	return vm1->seen_del > 0;
}

/* Before the VF is asked for; and where the guest keeps it, they are followed again. */
Test(irq_follow, given_back_before_the_unplug)
{
	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	vm1->unplug = FAKE_UNPLUG_IGNORED;
	fake_host_send(h, "detach", of_vm1());
	cr_assert(fake_host_until(h, is_asked_to_unplug, NULL, 5000));
	cr_assert_str_eq(affinities(), ALL_WAS);
	until_affinities("1 2 2");
	json_object_clear(h->answers);
	vm1->unplug = FAKE_UNPLUG_OBEYED;
	detach_irqs();
	end();
}

Test(irq_follow, the_vmm_comes_back)
{
	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	fake_qmp_lose(vm1->peer);
	message_to(0, 1, 34);
	until_affinities("2 2 2");
	fake_qmp_event(vm1->peer, "RESET", NULL);
	message_to(0, 0, 34);
	until_affinities("1 2 2");
	detach_irqs();
	end();
}

/* Its VMM is asked nothing while it does not run: it may not come to answer. The host is looked at all the same. */
Test(irq_follow, a_guest_that_does_not_run)
{
	unsigned nr;

	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	fake_qmp_event(vm1->peer, "STOP", NULL);
	until_nothing_is_asked();
	nr = questions();
	message_to(0, 1, 34);
	for (unsigned i = 0; i < 20; i++) {
		interrupt(100 + i);
		events("RESET", 1, 10);
	}
	events("ACPI_DEVICE_OST", 1, 200);
	cr_assert_eq(questions(), nr);
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 3, "3");
	until_affinities("1 3 3");
	cr_assert_eq(questions(), nr);
	fake_qmp_event(vm1->peer, "RESUME", NULL);
	until_affinities("3 3 3");
	fake_put_thread(h->fake, vm1->pid, FAKE_TID + 1, "CPU/KVM", 2, "2");
	detach_irqs();
	end();
}

static void awaited(const char *status, const char *event)
{
	unsigned nr;

	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	vm1->status = status;
	fake_guest_update(vm1);
	nr = questions();
	fake_qmp_lose(vm1->peer);
	for (unsigned i = 0; i < 50; i++) {
		interrupt(100 + i);
		fake_host_until(h, never, NULL, 10);
	}
	cr_assert_leq(questions(), nr + 1, "but for what was under way");
	vm1->status = "running";
	message_to(0, 1, 34);
	fake_qmp_event(vm1->peer, event, NULL);
	until_affinities("2 2 2");
	detach_irqs();
	end();
}

/* One that comes with a migration: not before it is here; one that sleeps: of its waking there is no RESUME. */
Test(irq_follow, a_guest_that_is_awaited)
{
	awaited("inmigrate", "RESUME");
	awaited("suspended", "WAKEUP");
}

Test(irq_follow, the_guest_dies)
{
	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	fake_guest_die(vm1);
	until_leases(0);
	cr_assert_eq(records(), 0);
	end();
}

/* A driver masks its vectors at each poll: that is no reason to do anything. */
Test(irq_follow, masked_ones_keep_their_route)
{
	unsigned writes;

	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	until_shown(0, "state", "in-place");
	writes = fake_affinity_writes(h->fake, IRQ0);
	for (unsigned masked = 1; masked < 6; masked++) {
		vm1->messages[0][3] = masked & 1;
		fake_guest_update(vm1);
		until_shown(0, "masked", masked & 1 ? "true" : "false");
		cr_assert_str_eq(shown(0, "state"), "in-place");
		cr_assert_str_eq(shown(0, "vcpu"), "0");
	}
	cr_assert_eq(fake_affinity_writes(h->fake, IRQ0), writes);
	detach_irqs();
	end();
}

/* --- what the hardware does by itself, and what is too much --- */

/* Left alone as long as the host counts none: one that it counts was not posted. */
Test(irq_follow, posted_by_the_iommu)
{
	begin_irqs(false);
	fake_mkdir(h->fake, "/sys/module/kvm_intel/parameters");
	fake_put(h->fake, "Y\n", "/sys/module/kvm_intel/parameters/enable_apicv");
	fake_mkdir(h->fake, "/sys/class/iommu/dmar0/intel-iommu");
	fake_put(h->fake, "8d2078c106f0466\n", "/sys/class/iommu/dmar0/intel-iommu/cap");
	before_again();
	attach_irqs();
	for (unsigned i = 0; i < 3; i++)
		until_shown_in_silence(i, "state", "posted");
	cr_assert(strstr(shown(0, "why"), "left alone"));
	fake_host_until(h, never, NULL, 300); /* many looks: none of them is one of the orders that it may have */
	cr_assert_str_eq(affinities(), ALL_WAS);
	cr_assert_eq(fake_affinity_writes(h->fake, IRQ0), 0);
	until_nobody_looks();
	fake_put(h->fake, "0,5,0,0\n", "/sys/kernel/irq/%u/per_cpu_count", IRQ0 + 1);
	fake_advance(h->fake, 1000);
	cr_assert(fake_host_until(h, has_affinities, (void *)WAS " 2 " WAS, 5000), "%s", affinities());
	detach_irqs();
	end();
}

static bool has_error(void *arg)
{
	json_t *a = fake_host_call(h, "irq.show", of_vm1());
	bool has = json_is_object(member(a, "result.error"));

	json_decref(a);
	return has == *(bool *)arg;
}

/* Why it cannot be looked at is told until it can. */
Test(irq_follow, a_look_fails)
{
	bool yes = true, no = false;

	begin_irqs(false);
	attach_irqs();
	until_affinities("1 2 2");
	h->d.config.irq_table_ms = 60000;
	fake_online_cpus(h->fake, "what?\n");
	cr_assert(fake_host_until(h, has_error, &yes, 5000));
	fake_online_cpus(h->fake, "0-3\n");
	cr_assert(fake_host_until(h, has_error, &no, 5000), "it is over");
	detach_irqs();
	end();
}

static bool has_storm(void *arg)
{
	json_t *j = irq_lease_to_json(lease());
	bool is = json_is_true(json_object_get(j, "storm"));

	json_decref(j);
	return is == *(bool *)arg;
}

static bool lists_fail;

static int list_or_fail(struct sys *sys, const char *path, char ***ret)
{
	return lists_fail && strstr(path, "msi_irqs") ? -EIO : real_ops->list(sys, path, ret);
}

static double rate_now(void)
{
	json_t *j = irq_lease_to_json(lease());
	double rate = json_number_value(json_object_get(j, "rate"));

	json_decref(j);
	return rate;
}

static bool is_looked_at(void *arg)
{
	const struct irq_nic *nic = lease()->irq_nic;

	return nic && (nic->err.num != 0) == *(bool *)arg;
}

/* What has come while it could not be looked at came in that time, not since the last try. */
Test(irq_follow, looks_that_are_missed)
{
	bool yes = true, no = false;
	struct sys *sys;

	begin_irqs(false);
	sys = fake_sys(h->fake);
	real_ops = sys->ops;
	other_ops = *real_ops;
	other_ops.list = list_or_fail;
	sys->ops = &other_ops;
	h->d.config.irq_storm_rate = 20000;
	attach_irqs();
	until_affinities("1 2 2");
	interrupt(1000);
	for (unsigned i = 0; i < 400 && (i < 10 || has_storm(&yes)); i++) {
		fake_advance(h->fake, 1000);
		fake_host_until(h, never, NULL, 5);
	}
	lists_fail = true;
	cr_assert(fake_host_until(h, is_looked_at, &yes, 5000));
	for (unsigned n = 1001; n < 1100; n++) {
		interrupt(n); /* 9 in a millisecond */
		fake_host_until(h, never, NULL, 1);
	}
	lists_fail = false;
	cr_assert(fake_host_until(h, is_looked_at, &no, 5000));
	cr_assert_gt(rate_now(), 1000);
	cr_assert_lt(rate_now(), 20000, "%f", rate_now());
	cr_assert(has_storm(&no));
	sys->ops = real_ops;
	detach_irqs();
	end();
}

Test(irq_follow, a_storm_is_told)
{
	bool yes = true, no = false;

	begin_irqs(false);
	h->d.config.irq_storm_rate = 1000000;
	attach_irqs();
	until_affinities("1 2 2");
	for (unsigned n = 1; n < 100 && !has_storm(&yes); n++) {
		interrupt(n * 10000); /* in a millisecond */
		turn();
	}
	cr_assert(has_storm(&yes));
	cr_assert(fake_host_until(h, has_storm, &no, 5000), "it is over");
	h->d.config.irq_storm_rate = 0;
	for (unsigned n = 1; n < 20; n++) {
		interrupt(n * 100000);
		turn();
		cr_assert(has_storm(&no));
	}
	detach_irqs();
	end();
}
