/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults of VFs: whose they are, how much is told of them, and how much is not. */
#include "fake_internal.h"
#include "faults_test.h"

static void setup(void)
{
	two_attached(NULL);
	json_decref(fake_host_call(h, "monitor", NULL));
}

TestSuite(faults, .init = setup, .fini = two_detached);

Test(faults, told_of_the_lease_that_has_the_vf)
{
	json_t *a, *last;

	kernel_says("DMAR: DRHD: handling fault status reg 2");
	kernel_says("DMAR: [DMA Write NO_PASID] Request device [3b:10.0] fault addr 0x12345000 [fault reason 0x05] PTE Write "
		    "access is "
		    "not set");
	cr_assert_eq(l1->faults.nr, 1);
	cr_assert_eq(l2->faults.nr, 0);
	cr_assert_eq(
		log_lines("lease vm1/nic0: VF " FAKE_VF0_BDF ": DMA fault, write at 0x12345000: PTE Write access is not set"), 1);
	cr_assert_eq(h->nr_faults, 1);
	cr_assert_str_eq(text_of(h->last_fault, "object"), "vm1/nic0");
	cr_assert_str_eq(text_of(h->last_fault, "vf"), FAKE_VF0_BDF);
	cr_assert_str_eq(text_of(h->last_fault, "address"), "0x12345000");
	cr_assert_str_eq(text_of(h->last_fault, "direction"), "write");
	cr_assert_str_eq(text_of(h->last_fault, "kind"), "dma");
	cr_assert_eq(json_integer_value(member(h->last_fault, "count")), 1);

	a = fake_host_call(h, "vf.show", json_pack("{s:s}", "vf", "eth0/vf0"));
	last = member(a, "result.vf.faults.last");
	cr_assert_eq(json_integer_value(member(a, "result.vf.faults.count")), 1);
	cr_assert_str_eq(text_of(last, "reason"), "PTE Write access is not set");
	cr_assert_gt(json_integer_value(member(last, "time")), 0);
	json_decref(a);
	a = fake_host_call(h, "vf.show", json_pack("{s:s}", "vf", "eth0/vf3"));
	cr_assert(json_is_null(member(a, "result.vf.faults")), "it has no lease");
	json_decref(a);
	a = fake_host_call(h, "status", json_pack("{s:s}", "guest", "vm2"));
	last = json_array_get(member(a, "result.leases"), 0);
	cr_assert_eq(json_integer_value(member(last, "faults.count")), 0);
	cr_assert(json_is_null(member(last, "faults.last")));
	json_decref(a);
	cr_assert_eq(others(), 0);
}

Test(faults, every_kind)
{
	kernel_says("vfio-pci 0000:3b:10.2: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0037 address=0x7b657064 flags=0x0000]");
	cr_assert_eq(l2->faults.last.direction, FAULT_READ);
	kernel_says("DMAR: [INTR-REMAP] Request device [3b:10.2] fault index 0x8080 [fault reason 0x25] Blocked");
	cr_assert_eq(l2->faults.last.kind, FAULT_INTERRUPT);
	kernel_says("vfio-pci 0000:3b:10.2: AER: PCIe Bus Error: severity=Uncorrected (Fatal), type=Inaccessible, (Unregistered "
		    "Agent ID)");
	cr_assert_str_eq(text_of(h->last_fault, "kind"), "aer");
	cr_assert(json_is_null(member(h->last_fault, "address")) && json_is_null(member(h->last_fault, "direction")));
	cr_assert_eq(l2->faults.nr, 3);
	cr_assert_eq(l1->faults.nr, 0);
}

Test(faults, of_nobody)
{
	json_t *a, *f, *found = NULL;
	size_t i;

	kernel_says("DMAR: [DMA Read] Request device [3b:10.6] fault addr 1000 [fault reason 06] x"); /* a VF without lease */
	kernel_says("AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:07:00.0 domain=0x0007 address=0xffffc02000 flags=0x0000]");
	kernel_says("arm-smmu 5000000.iommu: Unhandled context fault: fsr=0x402, iova=0x9b0cc000, fsynr=0x1, cb=3");
	kernel_says("amd_iommu_report_page_fault: 7 callbacks suppressed");
	cr_assert_eq(others(), 10);
	cr_assert_eq(h->nr_faults, 0);
	a = fake_host_call(h, "doctor", NULL);
	json_array_foreach (member(a, "result.findings"), i, f)
		if (!strcmp(text_of(f, "check"), "faults"))
			found = f;
	cr_assert_str_eq(text_of(found, "status"), "warn");
	cr_assert(strstr(text_of(found, "detail"), "10 IOMMU faults"));
	json_decref(a);
}

/* Who can write into the log cannot write as the kernel. */
Test(faults, forged_and_lost_records)
{
	json_t *a;

	fake_log_record(h->fake,
			"12,1,2,-;DMAR: [DMA Write] Request device [3b:10.0] fault addr 1000 [fault reason 05] forged\n");
	fake_log_record(h->fake, "");
	fake_log_record(h->fake, ";;;");
	kernel_says(NULL);
	cr_assert_eq(l1->faults.nr, 0);
	a = fake_host_call(h, "status", NULL);
	cr_assert_eq(json_integer_value(member(a, "result.daemon.faults.lost")), 1);
	json_decref(a);
	kernel_faults("3b:10.0", 1);
	cr_assert_eq(l1->faults.nr, 1, "it is read on");
}

/* Intel does not say which segment: where it could be another's, nobody is blamed. */
Test(faults, a_twin_in_another_segment)
{
	fake_add_function(h->fake, "0001:3b:10.0", NULL, -1);
	lease_set_vf(l1, FAKE_VF0_BDF); /* as if it had been there before */
	cr_assert_eq(l1->faults.segment, SEGMENT_ASKED, "not in the loop");
	kernel_faults("3b:10.0", 1);
	cr_assert_eq(l1->faults.nr, 0);
	cr_assert_eq(others(), 1);
	kernel_faults("0001:3b:10.0", 1);
	cr_assert_eq(l1->faults.nr, 0);
	kernel_faults("0000:3b:10.0", 1);
	cr_assert_eq(l1->faults.nr, 1);
	kernel_faults("3b:10.2", 1);
	cr_assert_eq(l2->faults.nr, 1, "it has no twin");
	fake_remove_function(h->fake, "0001:3b:10.0");
	fake_remove(h->fake, "/sys/devices/pci0001:3b");
}

/* However many: so many lines and events in a window, and one of each that sums up. */
Test(faults, a_storm_is_told_in_short)
{
	for (unsigned round = 1; round <= 2; round++) {
		kernel_faults("3b:10.0", 300);
		cr_assert_eq(l1->faults.nr, round * 300);
		cr_assert_eq(log_lines("DMA fault"), round * LIMIT_FAULT_LINES);
		cr_assert_eq(h->nr_faults, round * (LIMIT_FAULT_EVENTS + 1) - 1);
		fake_advance(h->fake, WINDOW_US - 1);
		faults_tick(h->d.faults);
		cr_assert_eq(log_lines("more faults"), round - 1);
		fake_advance(h->fake, 1);
		faults_tick(h->d.faults);
		fake_host_settle(h);
		cr_assert_eq(log_lines("more faults"), round);
		cr_assert_eq(h->nr_faults, round * (LIMIT_FAULT_EVENTS + 1));
		cr_assert_eq(json_integer_value(member(h->last_fault, "more")), 300 - LIMIT_FAULT_EVENTS);
		cr_assert_eq(json_integer_value(member(h->last_fault, "count")), round * 300);
	}
	cr_assert_eq(log_lines(": 295 more faults in 10 s, 600 in all"), 1);
	/* another lease has lines of its own */
	kernel_faults("3b:10.2", 1);
	cr_assert_eq(log_lines("lease vm2/nic0"), 1);
	fake_advance(h->fake, WINDOW_US);
	faults_tick(h->d.faults);
	cr_assert_eq(log_lines("more faults"), 2, "nothing to sum up");
}

/* What the kernel has left out goes to whom the lines before it name. */
Test(faults, what_was_suppressed_is_shared_out)
{
	kernel_faults("3b:10.0", 4);
	kernel_says("dmar_fault: 3000 callbacks suppressed");
	cr_assert_eq(l1->faults.nr, 4 + 1000, "one fault is up to three calls");
	kernel_faults("3b:10.0", 3);
	kernel_faults("3b:10.2", 1);
	kernel_says("dmar_fault: 1200 callbacks suppressed");
	cr_assert_eq(l1->faults.nr, 1007 + 300);
	cr_assert_eq(l2->faults.nr, 1 + 100);
	/* once, beside a storm */
	kernel_faults("3b:10.0", 4);
	kernel_faults("3b:10.2", 1);
	kernel_says("dmar_fault: 1500 callbacks suppressed");
	cr_assert_eq(l1->faults.nr, 1311 + 400);
	cr_assert_eq(l2->faults.nr, 102);
	cr_assert_eq(others(), 100);
	/* long ago */
	kernel_faults("3b:10.2", 1);
	fake_advance(h->fake, 11000000);
	kernel_faults("3b:10.0", 1);
	kernel_says("dmar_fault: 300 callbacks suppressed");
	cr_assert_eq(l1->faults.nr, 1712 + 100);
	cr_assert_eq(l2->faults.nr, 103);
	/* nobody was named */
	kernel_says("dmar_fault: 300 callbacks suppressed");
	cr_assert_eq(others(), 200);
}

/* A log that cannot be read any more does not spin, and all else goes on. */
Test(faults, a_broken_log)
{
	fake_log(h->fake, "DMAR: [DMA Write] Request device [3b:10.0] fault addr 1000 [fault reason 05] x");
	fake_fail_at(h->fake, 1, -EIO);
	fake_host_settle(h);
	cr_assert(fake_failed(h->fake));
	cr_assert_eq(log_lines("faults of VFs are not seen any more"), 1);
	kernel_faults("3b:10.0", 3);
	cr_assert_eq(l1->faults.nr, 0);
}

Test(faults_start, without_a_log)
{
	struct faults *faults = NULL;
	struct err err;

	begin(1);
	fake_fail_at(h->fake, 1, -EPERM);
	cr_assert_eq(faults_new(&h->d, &faults, &err), -EPERM);
	cr_assert_str_eq(err.code, "faults.log");
	cr_assert_null(faults);
	cr_assert_null(faults_free(NULL));
	cr_assert_eq(faults_of_others(NULL), 0);
	h->d.faults = faults_free(h->d.faults);
	cr_assert(json_is_null(faults_host_to_json(h->d.faults)));
	end();
}

/* The real kernel: what a process writes into the log comes along, and is no fault. */
Test(faults_linux, a_process_cannot_be_the_kernel)
{
	static const char forged[] =
		"<3>DMAR: [DMA Write] Request device [3b:10.0] fault addr 1000 [fault reason 05] a test of gangway\n";
	struct sys *sys = sys_linux_new("");
	int fd = sys->ops->watch_open(sys, SYS_WATCH_KMSG), out = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	bool seen = false;
	struct sys_event ev;
	struct fault f;
	int r = 0;

	if (fd < 0 || out < 0) {
		if (fd >= 0)
			sys->ops->close(sys, fd);
		sys_linux_free(sys);
		cr_skip_test("needs /dev/kmsg: not root");
	}
	cr_assert_eq(write(out, forged, sizeof(forged) - 1), sizeof(forged) - 1);
	for (int i = 0; i < 10000 && r != -EAGAIN; i++) {
		r = sys->ops->watch_read(sys, fd, &ev);
		if (r < 0 || !strstr(ev.record, "a test of gangway"))
			continue;
		seen = true;
		cr_assert_eq(ev.kind, SYS_EVENT_KMSG);
		cr_assert_not(fault_parse_record(ev.record, strlen(ev.record), &f), "%s", ev.record);
	}
	cr_assert(seen);
	close(out);
	cr_assert_eq(sys->ops->close(sys, fd), 0);
	sys_linux_free(sys);
}
