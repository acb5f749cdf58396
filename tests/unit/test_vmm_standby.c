/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A standby NIC: plugging it part by part, undoing what was done when a part fails, and unplugging. */
#include "vmm_standby.h"
#include "vmm_test.h"

#include <fcntl.h>
#include <sys/stat.h>

#define MAC "52:54:00:aa:bb:01"
#define ERR(text) fq_error("GenericError", text)
#define NOT_FOUND(id) fq_error("DeviceNotFound", "Device '" id "' not found")
#define DELETED fq_event("DEVICE_DELETED", "{\"device\": \"sb0\", \"path\": \"/machine/peripheral/sb0\"}")
#define STEPS_MAX 40

static const char getfd[] = "{\"fdname\": \"gwnet0\"}";
static const char netdev[] = "{\"fd\": \"gwnet0\", \"id\": \"gwnet0\", \"type\": \"tap\", \"vhost\": false}";
static const char getvhost[] = "{\"fdname\": \"gwnet0-vhost\"}";
static const char netdev_vhost[] =
	"{\"fd\": \"gwnet0\", \"id\": \"gwnet0\", \"type\": \"tap\", \"vhost\": true, \"vhostfd\": \"gwnet0-vhost\"}";
static const char device[] =
	"{\"addr\": \"0.0\", \"bus\": \"rp2\", \"driver\": \"virtio-net-pci\", \"failover\": true, \"id\": \"sb0\", "
	"\"mac\": \"" MAC "\", \"netdev\": \"gwnet0\", \"rx_queue_size\": 1024}";

static struct vmm_standby_plug by_fd(int fd)
{
	return (struct vmm_standby_plug){
		.id = "sb0", .netdev_id = "gwnet0", .bus = "rp2", .mac = MAC, .fd = fd, .vhost_fd = -1
	};
}

/* With a descriptor that must have arrived if @arrives, and be the one that was sent. */
static void plug(const struct fake_qmp_step *script, struct outcome *o, bool arrives)
{
	struct vmm_standby_plug p;
	int pipefd[2], there;

	start(script);
	until_state(VMM_UP);
	cr_assert_eq(pipe(pipefd), 0);
	p = by_fd(pipefd[1]);
	cr_assert_eq(vmm_plug_standby(vmm, &p, on_done, o, NULL), 0);
	close(pipefd[1]); /* not needed any more */
	until_done(o);
	bed_run_ms(&bed, 10);
	there = fake_qmp_last_fd(peer);
	cr_assert_eq(there >= 0, arrives);
	if (there >= 0)
		cr_assert(write(there, "x", 1) == 1 && read(pipefd[0], &(char){ 0 }, 1) == 1);
	if (there >= 0)
		close(there);
	close(pipefd[0]);
}

Test(vmm_standby, plugged_with_a_descriptor)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm,	fq_expect_with("getfd", getfd),
						       fq_return("{}"), fq_expect_with("netdev_add", netdev),
						       fq_return("{}"), fq_expect_with("device_add", device),
						       fq_return("{}"), fq_end };
	struct outcome o = { 0 };

	plug(script, &o, true);
	cr_assert_eq(o.r, 0);
	stop();
}

/* Each descriptor under its own name, and the one for vhost need not stay open, either. */
static void plug_with_vhost(const struct fake_qmp_step *script, struct outcome *o)
{
	struct vmm_standby_plug p;
	int pipefd[2];

	start(script);
	until_state(VMM_UP);
	cr_assert_eq(pipe(pipefd), 0);
	p = by_fd(pipefd[0]);
	p.vhost_fd = pipefd[1];
	cr_assert_eq(vmm_plug_standby(vmm, &p, on_done, o, NULL), 0);
	close(pipefd[0]);
	close(pipefd[1]);
	until_done(o);
	until_script_done();
}

Test(vmm_standby, plugged_with_vhost)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm,	fq_expect_with("getfd", getfd),
						       fq_return("{}"), fq_expect_with("getfd", getvhost),
						       fq_return("{}"), fq_expect_with("netdev_add", netdev_vhost),
						       fq_return("{}"), fq_expect_with("device_add", device),
						       fq_return("{}"), fq_end };
	struct outcome o = { 0 };
	struct stat st;
	int there;

	plug_with_vhost(script, &o);
	cr_assert_eq(o.r, 0);
	there = fake_qmp_last_fd(peer);
	cr_assert(there >= 0 && fstat(there, &st) == 0 && S_ISFIFO(st.st_mode));
	cr_assert_eq(fcntl(there, F_GETFL) & O_ACCMODE, O_WRONLY);
	close(there);
	stop(); /* counts descriptors */
}

Test(vmm_standby, both_names_are_taken_back)
{
	static const struct fake_qmp_step scripts[][STEPS_MAX] = {
		{ fq_hello_vmm, fq_expect("getfd"), fq_return("{}"), fq_expect("getfd"), ERR("no"),
		  fq_expect_with("closefd", getfd), fq_return("{}"), fq_expect_with("closefd", getvhost), ERR("not found"),
		  fq_end },
		{ fq_hello_vmm, fq_expect("getfd"), fq_return("{}"), fq_expect("getfd"), fq_return("{}"), fq_expect("netdev_add"),
		  ERR("no"), fq_expect_with("closefd", getfd), ERR("not found"), fq_expect_with("closefd", getvhost),
		  fq_return("{}"), fq_end },
	};

	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		struct outcome o = { 0 };
		int there;

		plug_with_vhost(scripts[i], &o);
		cr_assert_eq(o.r, -EIO);
		there = fake_qmp_last_fd(peer);
		if (there >= 0)
			close(there);
		stop();
	}
}

struct failure {
	const char *name;
	struct fake_qmp_step script[STEPS_MAX];
	int r;
	const char *code;
};

/* The words are those of QEMU 11.1.3. */
static const struct failure failures[] = {
	{ "no descriptor came",
	  { fq_hello_vmm, fq_expect("getfd"), ERR("No file descriptor supplied via SCM_RIGHTS"), fq_end },
	  -EIO,
	  "vmm.no-descriptor" },
	{ "no tap: the name was used up",
	  { fq_hello_vmm, fq_expect("getfd"), fq_return("{}"), fq_expect("netdev_add"),
	    ERR("Unable to query TUNGETIFF on FD 14: Inappropriate ioctl for device"), fq_expect_with("closefd", getfd),
	    ERR("File descriptor named 'gwnet0' not found"), fq_end },
	  -EINVAL,
	  "vmm.not-a-tap" },
	{ "a netdev of that name: it stays",
	  { fq_hello_vmm, fq_expect("getfd"), fq_return("{}"), fq_expect("netdev_add"), ERR("Duplicate ID 'gwnet0'"),
	    fq_expect("closefd"), fq_return("{}"), fq_end },
	  -EEXIST,
	  "vmm.duplicate-id" },
	{ "no slot",
	  { fq_hello_vmm, fq_expect("getfd"), fq_return("{}"), fq_expect("netdev_add"), fq_return("{}"), fq_expect("device_add"),
	    ERR("PCI: slot 0 function 0 not available for virtio-net-pci, in use by igb,id=n1"),
	    fq_expect_with("netdev_del", "{\"id\": \"gwnet0\"}"), fq_return("{}"), fq_end },
	  -ENOSPC,
	  "vmm.no-slot" },
	{ "a device of that name, and the undo is refused",
	  { fq_hello_vmm, fq_expect("getfd"), fq_return("{}"), fq_expect("netdev_add"), fq_return("{}"), fq_expect("device_add"),
	    ERR("Duplicate device ID 'sb0'"), fq_expect("netdev_del"), ERR("no"), fq_end },
	  -EEXIST,
	  "vmm.duplicate-id" },
	{ "dies at getfd", { fq_hello_vmm, fq_expect("getfd"), fq_do(FQ_DIE), fq_end }, -ECONNRESET, "qmp.closed" },
	{ "dies at netdev_add",
	  { fq_hello_vmm, fq_expect("getfd"), fq_return("{}"), fq_expect("netdev_add"), fq_do(FQ_DIE), fq_end },
	  -ECONNRESET,
	  "qmp.closed" },
	{ "dies at device_add",
	  { fq_hello_vmm, fq_expect("getfd"), fq_return("{}"), fq_expect("netdev_add"), fq_return("{}"), fq_expect("device_add"),
	    fq_do(FQ_DIE), fq_end },
	  -ECONNRESET,
	  "qmp.closed" },
	{ "dies at the undo: the first error is told",
	  { fq_hello_vmm, fq_expect("getfd"), fq_return("{}"), fq_expect("netdev_add"), fq_return("{}"), fq_expect("device_add"),
	    ERR("device_add not allowed while migrating"), fq_expect("netdev_del"), fq_do(FQ_DIE), fq_end },
	  -EBUSY,
	  "vmm.migrating" },
	{ "dies at closefd",
	  { fq_hello_vmm, fq_expect("getfd"), fq_return("{}"), fq_expect("netdev_add"), ERR("no"), fq_expect("closefd"),
	    fq_do(FQ_DIE), fq_end },
	  -EIO,
	  "vmm.refused" },
};

Test(vmm_standby, each_part_may_fail, .timeout = 60)
{
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		struct outcome o = { 0 };

		plug(failures[i].script, &o, true);
		cr_assert_eq(o.r, failures[i].r, "%s: %d %s", failures[i].name, o.r, o.err.msg);
		cr_assert_str_eq(o.err.code, failures[i].code, "%s", failures[i].name);
		if (o.r != -ECONNRESET)
			cr_assert(strstr(o.err.msg, "standby sb0: guest vm1: "), "%s: %s", failures[i].name, o.err.msg);
		until_script_done();
		stop();
	}
}

Test(vmm_standby, bad_requests_are_never_sent)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm, fq_end };
	struct vmm_standby_plug rows[8];
	struct outcome o = { 0 };
	struct err err;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		rows[i] = by_fd(0);
	rows[0].id = "0x";
	rows[1].netdev_id = "";
	rows[2].bus = "a b";
	rows[3].mac = "52:54:00:aa:bb";
	rows[4].mac = "53:54:00:aa:bb:01"; /* multicast */
	rows[5].mac = "00:00:00:00:00:00";
	rows[6].mac = "52:54:00:aa:bb-01";
	rows[7].fd = -1;
	start(script);
	until_state(VMM_UP);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert_eq(vmm_plug_standby(vmm, &rows[i], on_done, &o, &err), -EINVAL, "row %zu", i);
	rows[0] = by_fd(9999);
	cr_assert_eq(vmm_plug_standby(vmm, &rows[0], on_done, &o, &err), -EBADF);
	cr_assert_eq(vmm_unplug_standby(vmm, "sb0", "-", 10, on_done, &o, &err), -EINVAL);
	cr_assert_eq(vmm_unplug_standby(vmm, "-", "gwnet0", 10, on_done, &o, &err), -EINVAL);
	bed_run_ms(&bed, 20);
	stop();
	cr_assert_eq(o.calls, 0);
}

Test(vmm_standby, given_up_in_each_part)
{
	static const struct fake_qmp_step phases[][STEPS_MAX] = {
		{ fq_hello_vmm, fq_expect("getfd"), fq_end },
		{ fq_hello_vmm, fq_expect("getfd"), fq_return("{}"), fq_expect("netdev_add"), fq_end },
		{ fq_hello_vmm, fq_expect("getfd"), fq_return("{}"), fq_expect("netdev_add"), fq_return("{}"),
		  fq_expect("device_add"), fq_end },
		{ fq_hello_vmm, fq_expect("getfd"), fq_return("{}"), fq_expect("netdev_add"), ERR("no"), fq_expect("closefd"),
		  fq_end },
	};

	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		struct vmm_standby_plug p = by_fd(fd);
		struct outcome o = { 0 };

		start(phases[i]);
		until_state(VMM_UP);
		cr_assert_eq(vmm_plug_standby(vmm, &p, on_done, &o, NULL), 0);
		until_script_done();
		bed_run_ms(&bed, 10);
		cr_assert_eq(o.calls, 0);
		stop(); /* counts descriptors */
		cr_assert_eq(o.calls, 1);
		cr_assert_eq(o.r, -ECANCELED);
		close(fd);
	}
}

/* A peer that does not read: the descriptor waits in our queue, and is closed with the connection. */
Test(vmm_standby, a_descriptor_that_is_never_taken)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm, fq_pause(100), fq_do(FQ_DIE), fq_end };
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct vmm_standby_plug p = by_fd(fd);
	struct outcome o[20] = { 0 };

	start(script);
	until_state(VMM_UP);
	for (size_t i = 0; i < 20; i++)
		cr_assert_eq(vmm_plug_standby(vmm, &p, on_done, &o[i], NULL), 0);
	for (size_t i = 0; i < 20; i++)
		until_done(&o[i]);
	cr_assert_eq(o[19].r, -ECONNRESET);
	stop();
	close(fd);
}

/* Unplug --------------------------------------------------------------------------------------------------------------- */

static const struct failure unplugs[] = {
	{ "obeys",
	  { fq_hello_vmm, fq_expect_with("device_del", "{\"id\": \"sb0\"}"), fq_return("{}"), fq_pause(10), DELETED,
	    fq_expect_with("netdev_del", "{\"id\": \"gwnet0\"}"), fq_return("{}"), fq_end },
	  0,
	  "" },
	{ "has neither",
	  { fq_hello_vmm, fq_expect("device_del"), NOT_FOUND("sb0"), fq_expect("netdev_del"), NOT_FOUND("gwnet0"), fq_end },
	  0,
	  "" },
	{ "the backend is refused",
	  { fq_hello_vmm, fq_expect("device_del"), NOT_FOUND("sb0"), fq_expect("netdev_del"), ERR("no"), fq_end },
	  -EIO,
	  "vmm.refused" },
	{ "the device is refused: its backend stays",
	  { fq_hello_vmm, fq_expect("device_del"), ERR("device_del not allowed while migrating"), fq_end },
	  -EBUSY,
	  "vmm.migrating" },
	{ "never lets go", { fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), fq_end }, -ETIMEDOUT, "vmm.unplug-timeout" },
	{ "dies at device_del", { fq_hello_vmm, fq_expect("device_del"), fq_do(FQ_DIE), fq_end }, 0, "" },
	{ "dies at netdev_del",
	  { fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), DELETED, fq_expect("netdev_del"), fq_do(FQ_DIE), fq_end },
	  -ECONNRESET,
	  "qmp.closed" },
};

Test(vmm_standby, unplugged, .timeout = 60)
{
	for (size_t i = 0; i < sizeof(unplugs) / sizeof(unplugs[0]); i++) {
		struct outcome o = { 0 };

		start(unplugs[i].script);
		until_state(VMM_UP);
		cr_assert_eq(vmm_unplug_standby(vmm, "sb0", "gwnet0", 300, on_done, &o, NULL), 0);
		until_done(&o);
		cr_assert_eq(o.r, unplugs[i].r, "%s: %d %s", unplugs[i].name, o.r, o.err.msg);
		cr_assert_str_eq(o.err.code, unplugs[i].code, "%s", unplugs[i].name);
		until_script_done();
		stop();
		cr_assert_eq(o.calls, 1);
	}
}

Test(vmm_standby, unplugging_given_up)
{
	static const struct fake_qmp_step phases[][STEPS_MAX] = {
		{ fq_hello_vmm, fq_end },
		{ fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), fq_end },
		{ fq_hello_vmm, fq_expect("device_del"), fq_return("{}"), DELETED, fq_expect("netdev_del"), fq_end },
	};

	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		struct outcome o = { 0 };

		start(phases[i]);
		until_state(VMM_UP);
		cr_assert_eq(vmm_unplug_standby(vmm, "sb0", "gwnet0", 3000, on_done, &o, NULL), 0);
		until_script_done();
		bed_run_ms(&bed, 10);
		stop();
		cr_assert_eq(o.calls, 1);
		cr_assert_eq(o.r, -ECANCELED);
	}
}
