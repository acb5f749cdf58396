/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plugging: what is sent, and what becomes of QEMU's refusals. */
#include "vmm_test.h"

static const struct vmm_plug vfio_pci = { .id = "vf0", .bus = "rp1", .host_bdf = "0000:3b:02.1" };
static const struct vmm_plug vfio_user = {
	.id = "vf0", .bus = "rp1", .socket_path = "/run/gangway/vf0.sock", .failover_pair_id = "net0"
};

Test(vmm_plug, device_add_vfio_pci)
{
	static const struct fake_qmp_step script[] = {
		fq_hello_vmm,
		fq_expect_with("device_add", "{\"addr\": \"0.0\", \"bus\": \"rp1\", \"driver\": \"vfio-pci\", "
					     "\"host\": \"0000:3b:02.1\", \"id\": \"vf0\"}"),
		fq_return("{}"),
		fq_end,
	};
	struct outcome o = { 0 };

	start(script);
	until_state(VMM_UP);
	cr_assert_eq(vmm_plug(vmm, &vfio_pci, on_done, &o, NULL), 0);
	until_done(&o);
	cr_assert_eq(o.r, 0);
	stop();
}

Test(vmm_plug, device_add_vfio_user)
{
	static const struct fake_qmp_step script[] = {
		fq_hello_vmm,
		fq_expect_with(
			"device_add",
			"{\"addr\": \"0.0\", \"bus\": \"rp1\", \"driver\": \"vfio-user-pci\", \"failover_pair_id\": \"net0\", "
			"\"id\": \"vf0\", \"socket\": {\"path\": \"/run/gangway/vf0.sock\", \"type\": \"unix\"}}"),
		fq_return("{}"),
		fq_expect_with("qom-list", "/machine/peripheral\""),
		fq_return("[{\"name\": \"vf0\", \"type\": \"child<vfio-user-pci>\"}]"),
		fq_end,
	};
	struct outcome o = { 0 };

	start(script);
	until_state(VMM_UP);
	cr_assert_eq(vmm_plug(vmm, &vfio_user, on_done, &o, NULL), 0);
	until_done(&o);
	cr_assert_eq(o.r, 0);
	stop();
}

struct hidden {
	struct fake_qmp_step script[24];
	int r;
	const char *code;
};

static const struct hidden hidden[] = {
	/* as QEMU answers before the guest has negotiated: accepted, and not there */
	{ { fq_hello_vmm, fq_expect("device_add"), fq_return("{}"), fq_expect("qom-list"),
	    fq_return("[{\"name\": \"type\", \"type\": \"string\"}, {\"name\": \"net0\", \"type\": \"child<virtio-net-pci>\"}]"),
	    fq_end },
	  1,
	  "" },
	{ { fq_hello_vmm, fq_expect("device_add"), fq_return("{}"), fq_expect("qom-list"), fq_return("{\"vf0\": 1}"), fq_end },
	  -EPROTO,
	  "vmm.bad-answer" },
	{ { fq_hello_vmm, fq_expect("device_add"), fq_return("{}"), fq_expect("qom-list"), fq_error("GenericError", "no"),
	    fq_end },
	  -EIO,
	  "qmp.error" },
	{ { fq_hello_vmm, fq_expect("device_add"), fq_return("{}"), fq_expect("qom-list"), fq_do(FQ_DIE), fq_end },
	  -ECONNRESET,
	  "qmp.closed" },
	{ { fq_hello_vmm, fq_expect("device_add"),
	    fq_error("GenericError", "Cannot attach more than one primary device to 'net0': 'prim0' and 'vf0'"), fq_end },
	  -EBUSY,
	  "vmm.other-primary" },
};

Test(vmm_plug, a_device_of_a_pair_may_be_hidden)
{
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
		struct outcome o = { 0 };

		start(hidden[i].script);
		until_state(VMM_UP);
		cr_assert_eq(vmm_plug(vmm, &vfio_user, on_done, &o, NULL), 0);
		until_done(&o);
		cr_assert_eq(o.r, hidden[i].r, "row %zu: %d", i, o.r);
		cr_assert_str_eq(o.err.code, hidden[i].code, "row %zu", i);
		stop();
	}
}

Test(vmm_plug, argument_of_a_cold_start)
{
	char *text = vmm_plug_argument(&vfio_user);

	cr_assert_str_eq(text,
			 "{\"driver\":\"vfio-user-pci\",\"id\":\"vf0\",\"bus\":\"rp1\",\"addr\":\"0.0\",\"socket\":{\"type\":"
			 "\"unix\",\"path\":\"/run/gangway/vf0.sock\"},\"failover_pair_id\":\"net0\"}");
	free(text);
	text = vmm_plug_argument(&vfio_pci);
	cr_assert_str_eq(text,
			 "{\"driver\":\"vfio-pci\",\"id\":\"vf0\",\"bus\":\"rp1\",\"addr\":\"0.0\",\"host\":\"0000:3b:02.1\"}");
	free(text);
	cr_assert_null(vmm_plug_argument(&(struct vmm_plug){ .id = "0", .bus = "rp1", .host_bdf = "x" }));
}

struct refusal {
	const char *words, *code;
	int num;
	bool hint;
};

/* The wordings of QEMU 4.2 to 11.1: those of 7.2.22 and 11.1.3 for ports, ids and types were seen, the others are its sources'. */
static const struct refusal refusals[] = {
	{ "vfio 0000:3b:02.1: group 12 is not viable", "vmm.group-not-viable", -EBUSY, true },
	{ "vfio 0000:3b:02.1: failed to open /dev/vfio/12: Permission denied", "vmm.vfio-access", -EACCES, true },
	{ "vfio 0000:3b:02.1: Could not open '/dev/vfio/12': Permission denied", "vmm.vfio-access", -EACCES, true },
	{ "vfio 0000:3b:02.1: failed to open /dev/vfio/12: Operation not permitted", "vmm.vfio-access", -EACCES, true },
	{ "vfio 0000:3b:02.1: failed to open /dev/vfio/12: Device or resource busy", "vmm.device-in-use", -EBUSY, true },
	{ "Device is in use", "vmm.device-in-use", -EBUSY, true },
	{ "vfio 0000:3b:02.1: device is already attached", "vmm.device-in-use", -EBUSY, true },
	{ "vfio 0000:3b:02.1: failed to setup container for group 12: memory listener initialization failed: Region pc.ram: "
	  "vfio_container_dma_map(0x55, 0x0, 0x80000000, 0x7f) = -12 (Cannot allocate memory)",
	  "vmm.memlock", -ENOMEM, true },
	{ "VFIO_MAP_DMA failed: Cannot allocate memory", "vmm.memlock", -ENOMEM, true },
	{ "vfio /sys/bus/pci/devices/0000:3b:02.1: no such host device: No such file or directory", "vmm.no-host-device", -ENODEV,
	  true },
	{ "No more available PCI slots", "vmm.no-slot", -ENOSPC, true },
	{ "PCI: no slot/function available for vfio-pci, all in use or reserved", "vmm.no-slot", -ENOSPC, true },
	{ "PCI: slot 0 function 0 not available for vfio-pci, in use by virtio-net-pci,id=n1", "vmm.no-slot", -ENOSPC, true },
	{ "PCI: slot 0 function 0 already occupied by igb, new func vfio-pci cannot be exposed to guest.", "vmm.no-slot", -ENOSPC,
	  true },
	{ "Bus 'pcie.0' does not support hotplugging", "vmm.no-hotplug", -EOPNOTSUPP, true },
	{ "Hot-plug failed: unsupported by the port device 'rp1'", "vmm.no-hotplug", -EOPNOTSUPP, true },
	{ "Duplicate device ID 'vf0'", "vmm.duplicate-id", -EEXIST, true },
	{ "Duplicate ID 'vf0' for device", "vmm.duplicate-id", -EEXIST, true },
	{ "'vfio-user-pci' is not a valid device model name", "vmm.no-device-type", -EOPNOTSUPP, true },
	{ "Failed to connect to '/run/gangway/vf0.sock': Permission denied", "vmm.vfio-user-connect", -EIO, true },
	{ "device_add not allowed while migrating", "vmm.migrating", -EBUSY, true }, /* 7.2.22 and 11.1.3, seen */
	{ "There's a migration process in progress", "vmm.migrating", -EBUSY, true },
	{ "Can't migrate the vm that was paused due to previous migration", "vmm.postmigrate", -ESTALE, true },
	{ "Guest is waiting for an incoming migration", "vmm.incoming", -EBUSY, true },
	{ "0000:00:02.0: VFIO device doesn't support migration", "vmm.migration-blocked", -EBUSY, true },
	{ "No file descriptor supplied via SCM_RIGHTS", "vmm.no-descriptor", -EIO, true },
	{ "Unable to query TUNGETIFF on FD 14: Inappropriate ioctl for device", "vmm.not-a-tap", -EINVAL, true },
	{ "Could not open '/dev/net/tun': Permission denied", "vmm.tap-access", -EACCES, true },
	{ "Property 'virtio-net-device.netdev' can't take value 'gw0', it's in use", "vmm.netdev-in-use", -EBUSY, true },
	{ "Something never heard of", "vmm.refused", -EIO, false },
};

Test(vmm_plug, refusals_have_codes_and_keep_the_words)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct fake_qmp_step script[] = { fq_hello_vmm, fq_expect("device_add"),
						  fq_error("GenericError", refusals[i].words), fq_end };
		struct outcome o = { 0 };

		start(script);
		until_state(VMM_UP);
		cr_assert_eq(vmm_plug(vmm, &vfio_pci, on_done, &o, NULL), 0);
		until_done(&o);
		cr_assert_eq(o.r, refusals[i].num, "%s: %d", refusals[i].words, o.r);
		cr_assert_str_eq(o.err.code, refusals[i].code);
		cr_assert(strstr(o.err.msg, refusals[i].words), "%s", o.err.msg);
		cr_assert_eq(strncmp(o.err.msg, "guest vm1: ", 11), 0);
		cr_assert_eq(o.err.hint[0] != '\0', refusals[i].hint);
		if (!strcmp(refusals[i].code, "vmm.no-slot"))
			cr_assert(strstr(o.err.msg, "No more available PCI slots"));
		stop();
	}
}

Test(vmm_plug, bad_requests_are_never_sent)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm, fq_end };
	static const char long_id[] = "a2345678901234567890123456789012345678901234567890123456789012345678901234567890";
	const struct vmm_plug rows[] = {
		{ .id = "0vf", .bus = "rp1", .host_bdf = "x" },
		{ .id = "", .bus = "rp1", .host_bdf = "x" },
		{ .id = "vf/0", .bus = "rp1", .host_bdf = "x" },
		{ .id = long_id, .bus = "rp1", .host_bdf = "x" },
		{ .id = "vf0", .bus = "", .host_bdf = "x" },
		{ .id = "vf0", .bus = "rp1", .host_bdf = "x", .failover_pair_id = "-" },
		{ .id = "vf0", .bus = "rp1" },
		{ .id = "vf0", .bus = "rp1", .host_bdf = "x", .socket_path = "/y" },
	};
	struct outcome o = { 0 };
	struct err err;

	start(script);
	until_state(VMM_UP);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert_eq(vmm_plug(vmm, &rows[i], on_done, &o, &err), -EINVAL, "row %zu", i);
	cr_assert_eq(vmm_unplug(vmm, long_id, 10, on_done, &o, &err), -EINVAL);
	cr_assert_eq(vmm_has_device(vmm, "a b", on_done, &o, &err), -EINVAL);
	bed_run_ms(&bed, 20);
	stop();
	cr_assert_eq(o.calls, 0);
}

Test(vmm_plug, the_vmm_dies_while_plugging)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm, fq_expect("device_add"), fq_do(FQ_DIE), fq_end };
	struct outcome o = { 0 };

	start(script);
	until_state(VMM_UP);
	cr_assert_eq(vmm_plug(vmm, &vfio_pci, on_done, &o, NULL), 0);
	until_done(&o);
	cr_assert_eq(o.r, -ECONNRESET);
	stop();
}

Test(vmm_plug, is_a_device_there)
{
	static const struct fake_qmp_answer table[] = {
		{ "qom-list", NULL,
		  "\"return\": [{\"name\": \"type\", \"type\": \"string\"}, {\"name\": \"vf0\", \"type\": "
		  "\"child<vfio-pci>\"}]" },
		{ NULL, NULL, NULL },
	};
	static const struct {
		const char *id;
		int r;
	} rows[] = { { "vf0", 1 }, { "vf1", 0 }, { "type", 0 } };

	start(NULL);
	fake_qmp_table(peer, table);
	until_state(VMM_UP);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outcome o = { 0 };

		cr_assert_eq(vmm_has_device(vmm, rows[i].id, on_done, &o, NULL), 0);
		until_done(&o);
		cr_assert_eq(o.r, rows[i].r);
	}
	stop();
}

Test(vmm_plug, operations_are_bounded_and_cancelled)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm, fq_end };
	struct outcome o = { 0 };
	struct err err;
	int r, n = 0;

	start(script);
	until_state(VMM_UP);
	bed_run_ms(&bed, 20); /* the answer to query-status */
	while ((r = vmm_has_device(vmm, "vf0", on_done, &o, &err)) == 0)
		n++;
	cr_assert_eq(r, -EBUSY);
	cr_assert_str_eq(err.code, "vmm.too-many");
	cr_assert_eq(n, 64);
	stop();
	cr_assert_eq(o.calls, 64);
	cr_assert_eq(o.r, -ECANCELED);
}

static void free_it(void *ctx, int r, const struct err *err)
{
	on_done(ctx, r, err);
	vmm = vmm_free(vmm);
}

Test(vmm_plug, freed_from_a_callback)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm, fq_expect("device_add"), fq_error("GenericError", "no"),
						       fq_end };
	struct outcome o = { 0 }, other = { 0 };

	start(script);
	until_state(VMM_UP);
	cr_assert_eq(vmm_plug(vmm, &vfio_pci, free_it, &o, NULL), 0);
	cr_assert_eq(vmm_has_device(vmm, "vf0", on_done, &other, NULL), 0);
	until_done(&o);
	cr_assert_eq(o.r, -EIO);
	cr_assert_eq(other.calls, 1);
	cr_assert_eq(other.r, -ECANCELED);
	stop();
}
