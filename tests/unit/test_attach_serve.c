/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vfio-user lease and its process, which is this program again: what it is given, and what becomes of the lease by what it says. */
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "../../daemon/devproc_internal.h"
#include "attach_test.h"
#include "device_proto.h"
#include "devproc.h"
#include "die_with.h"
#include "fdutil.h"
#include "guests.h"
#include "vdev.h"

/* --- the process: answers with what the files beside its socket say --- */

static char script_dir[108]; /* runtime_dir/device */

/* What NAME.once says is said once, and before NAME. */
static size_t script_read(const char *name, char *buf, size_t size)
{
	char path[160];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s.once", script_dir, name);
	fd = open(path, O_RDONLY);
	if (fd >= 0)
		unlink(path);
	snprintf(path, sizeof(path), "%s/%s", script_dir, name);
	if (fd < 0)
		fd = open(path, O_RDONLY);
	n = fd < 0 ? 0 : read(fd, buf, size - 1);
	if (fd >= 0)
		close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static void script_write(const char *name, const char *text)
{
	char path[160], to[168];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", script_dir, name);
	snprintf(to, sizeof(to), "%s.new", path);
	f = fopen(to, "we");
	if (!f || fputs(text, f) < 0 || fclose(f) || rename(to, path) < 0)
		abort();
}

/* Who made the socket has started it: it knows nothing else of its parent, and may have lost it before. */
static void die_with_the_test(void)
{
	struct ucred maker = { 0 };
	socklen_t len = sizeof(maker);

	if (getsockopt(DEVICE_FD_CTL, SOL_SOCKET, SO_PEERCRED, &maker, &len) < 0)
		_exit(1);
	die_with(maker.pid);
}

static void serve_script(int argc, char **argv)
{
	const int vfio[] = { DEVICE_FD_CONTAINER, DEVICE_FD_GROUP, DEVICE_FD_DEVICE, DEVICE_FD_CONTAINER, DEVICE_FD_GROUP };
	struct sockaddr_un a = { 0 };
	socklen_t len = sizeof(a);
	char text[4096] = "", op[512];

	die_with_the_test();
	if (getsockname(DEVICE_FD_CTL, (struct sockaddr *)&a, &len) < 0)
		_exit(1);
	snprintf(script_dir, sizeof(script_dir), "%s", a.sun_path);
	*strrchr(script_dir, '/') = '\0';
	for (int i = 1; i < argc; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", argv[i]);
	script_write("args", text);
	listen(DEVICE_FD_CTL, 4);
	for (;;) {
		struct pollfd pfd = { .fd = DEVICE_FD_CTL, .events = POLLIN };
		int conn = poll(&pfd, 1, -1) == 1 ? accept(DEVICE_FD_CTL, NULL, NULL) : -1;
		size_t n;

		if (conn < 0)
			_exit(1);
		while ((n = (size_t)recv(conn, op, sizeof(op) - 1, 0)) > 0 && n < sizeof(op)) {
			op[n] = '\0';
			if (strstr(op, "stop"))
				_exit(0);
			if (strstr(op, "quarantine"))
				script_write("quarantine", op);
			n = script_read(strstr(op, "hello") ? "hello" : "status", text, sizeof(text));
			if (strstr(op, "hello") && n) { /* its pid is for it to say */
				char *hole = strstr(text, "\"pid\":0"), rest[4096];

				if (hole) {
					snprintf(rest, sizeof(rest), "%s", hole + 7);
					snprintf(hole, sizeof(text) - (size_t)(hole - text), "\"pid\":%d%s", (int)getpid(), rest);
				}
				hole = strstr(text, "\"turn\":");
				fd_send(conn, text, strlen(text), vfio + (hole ? hole[7] - '0' : 0), 3);
			} else if (n) {
				fd_send(conn, text, n, NULL, 0);
			}
		}
		close(conn);
	}
}

static void __attribute__((constructor)) be_a_device(int argc, char **argv)
{
	if (argc && !strcmp(argv[0], "gangway-device"))
		serve_script(argc, argv);
}

/* What is locked is test_devproc.c's business, and needs CAP_SYS_RESOURCE; a lease does not. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *lim)
{
	(void)resource;
	(void)lim;
	return 0;
}

/* --- the lease --- */

static bool has_args(void *arg)
{
	(void)arg;
	return script_read("args", (char[16]){ 0 }, 16) > 0;
}

static bool is_gone(void *arg)
{
	(void)arg;
	return guest_is_gone(guest_find(&h->d, "vm1"));
}

static struct lease *prepare(void)
{
	ssize_t n;

	begin(1);
	n = readlink("/proc/self/exe", h->d.config.device_program, sizeof(h->d.config.device_program) - 1);
	cr_assert_gt(n, 0);
	snprintf(script_dir, sizeof(script_dir), "%s/device", h->dir);
	fake_guest_die(vm1);
	cr_assert(fake_host_until(h, is_gone, NULL, 5000));
	fake_host_settle(h);
	before_again();
	json_decref(
		attach(json_pack("{s:s, s:s, s:b, s:s}", "guest", "vm1", "target", "eth0", "prepare", 1, "via", "vfio-user")));
	cr_assert(fake_host_until(h, has_args, NULL, 5000));
	return lease_find(&h->d, "vm1", NULL);
}

/* The runtime directory is not fake_host's to know of. */
static void finish(void)
{
	char cmd[160];

	snprintf(cmd, sizeof(cmd), "rm -rf %s/device %s/vm", h->dir, h->dir);
	cr_assert_eq(system(cmd), 0);
	end();
}

/* Nobody has said how much RAM the guest will have: it is not "any". */
Test(attach_serve, what_the_process_is_given)
{
	struct lease *l = prepare();
	char args[512], want[256];

	snprintf(want, sizeof(want), "--id 0000-3b-10.0 --bdf %s --ram %llu --uid %u --gid %u --root %s/device/empty ", l->vf_bdf,
		 4ull << 30, l->device_uid, l->device_uid, h->dir);
	script_read("args", args, sizeof(args));
	cr_assert_str_eq(args, want);
	cr_assert_eq(l->device_uid, h->d.config.device_uid_first);
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	finish();
}

#define STATUS(degraded)                                                                                                         \
	"{\"vuser_state\":\"idle\",\"nr_messages\":1,\"nr_rejected\":0,\"nr_clients\":0,\"dma_ranges\":0,\"dma_bytes\":0,"       \
	"\"vectors_armed\":0,\"bus_master\":false,\"degraded\":" degraded ",\"last_error\":\"\"}"
#define HELLO "{" HELLO_REST
#define HELLO_REST                                                                                                               \
	"\"op\":\"hello\",\"version\":1,\"pid\":0,\"id\":\"0000-3b-10.0\",\"bdf\":\"" FAKE_VF0_BDF                               \
	"\",\"status\":" STATUS("false") "}"

/* --- adopted after a restart --- */

/* The fake kernel knows no process but this one: what the device process holds open has to be held here, too. */
static void hold(struct lease *l, struct vdev_fds *ret)
{
	struct sys *sys = fake_sys(h->fake);
	struct vdev_fds fds = vdev_get_fds(l->vdev);

	*ret = (struct vdev_fds){ dup(fds.container), dup(fds.group), dup(fds.device) };
	sys->ops->ioctl(sys, ret->container, VFIO_GET_API_VERSION, NULL);
	sys->ops->ioctl(sys, ret->group, VFIO_GROUP_GET_STATUS, &(struct vfio_group_status){ .argsz = 8 });
	sys->ops->ioctl(sys, ret->device, VFIO_DEVICE_GET_INFO, &(struct vfio_device_info){ .argsz = 16 });
}

static void drop(struct vdev_fds *fds)
{
	struct sys *sys = fake_sys(h->fake);

	sys->ops->close(sys, fds->device);
	sys->ops->close(sys, fds->group);
	sys->ops->close(sys, fds->container);
}

static struct lease *restart(void)
{
	fake_host_stop(h);
	fake_host_start(h);
	fake_host_settle(h);
	cr_assert_eq(h->d.nr_leases, 1);
	return lease_find(&h->d, "vm1", NULL);
}

/* A first answer that is none says nothing about the process: it is asked again. */
Test(attach_serve, adopted_at_the_second_try)
{
	struct lease *l = prepare();
	struct vdev_fds fds;
	uid_t uid = l->device_uid;

	hold(l, &fds);
	script_write("hello", HELLO);
	script_write("hello.once", "not json");
	l = restart();
	cr_assert_eq(l->error.num, 0, "%s", l->error.msg);
	cr_assert(l->dev && l->vdev);
	cr_assert_eq(l->device_uid, uid, "as whom it runs is recorded");
	drop(&fds);
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	finish();
}

/* @code: why it is not adopted; @dead: it is no more. */
static void not_adopted(const char *hello, const char *code, bool dead)
{
	struct lease *l = prepare();
	pid_t pid = devproc_get_status(l->dev)->pid;

	script_write("hello", hello);
	if (dead) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	l = restart();
	cr_assert_str_eq(l->error.code, code, "%s: %s", l->error.code, l->error.msg);
	cr_assert_null(l->dev, "nothing is left of an adoption that failed");
	cr_assert_null(l->vdev);
	cr_assert_eq(l->reason, REASON_DEVICE_PROCESS_LOST);
	cr_assert_eq(strstr(l->error.msg, "may still run") != NULL, !dead, "%s", l->error.msg);
	cr_assert_eq(strstr(l->error.msg, "process is gone") != NULL, dead, "%s", l->error.msg);
	if (!dead) {
		cr_assert_eq(kill(pid, 0), 0);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	finish();
}

Test(attach_serve, a_process_that_is_gone)
{
	not_adopted(HELLO, "devproc.gone", true);
}

Test(attach_serve, a_process_that_talks_nonsense_may_still_run)
{
	not_adopted("not json", "devproc.protocol", false);
}

/* It answers, and what it sends is no VFIO (any more). */
Test(attach_serve, a_process_with_other_descriptors_may_still_run)
{
	not_adopted(HELLO, "devproc.bad-fds", false);
}

/* The real kernel, with what there is on any host. */
Test(attach_serve, what_the_kernel_says_of_descriptors)
{
	struct sys *sys = sys_linux_new("");
	char link[64], path[64];
	mode_t type;
	dev_t rdev;
	int fd;

	fd = sys->ops->open(sys, "/dev/null", O_RDONLY);
	cr_assert_eq(sys->ops->fd_type(sys, fd, &type, &rdev), 0);
	cr_assert(S_ISCHR(type));
	cr_assert_eq(rdev, makedev(1, 3));
	close(fd);
	cr_assert_eq(sys->ops->fd_type(sys, fd, &type, &rdev), -EBADF);
	fd = eventfd(0, EFD_CLOEXEC);
	cr_assert_eq(sys->ops->fd_type(sys, fd, &type, &rdev), 0);
	cr_assert_not(S_ISCHR(type));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	cr_assert_geq(sys->ops->readlink(sys, path, link, sizeof(link)), 0);
	cr_assert_str_eq(link, "anon_inode:[eventfd]");
	close(fd);
	sys_linux_free(sys);
}

/* All three are VFIO's, and none is what it is said to be. */
Test(attach_serve, a_process_with_descriptors_in_another_order)
{
	static const char *const hellos[] = { "{\"turn\":1," HELLO_REST, "{\"turn\":2," HELLO_REST };

	for (size_t i = 0; i < sizeof(hellos) / sizeof(hellos[0]); i++) {
		struct lease *l = prepare();
		struct vdev_fds fds;
		pid_t pid;

		hold(l, &fds);
		pid = devproc_get_status(l->dev)->pid;
		script_write("hello", hellos[i]);
		l = restart();
		cr_assert_str_eq(l->error.code, "devproc.bad-fds", "%s: %s", l->error.code, l->error.msg);
		cr_assert(!l->dev && !l->vdev);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		drop(&fds);
		succeed("detach", json_pack("{s:s}", "guest", "vm1"));
		unchanged();
		finish();
	}
}

/* --- what it says --- */

static bool has_error(void *arg)
{
	return (lease_find(&h->d, "vm1", NULL)->error.num != 0) == *(bool *)arg;
}

/* Says @status when asked: whether the lease then has an error is @error. */
static void says(const char *status, bool error)
{
	script_write("status", status);
	cr_assert_eq(devproc_send(lease_find(&h->d, "vm1", NULL)->dev, "{\"op\":\"status\"}"), 0);
	cr_assert(fake_host_until(h, has_error, &error, 5000), "%s: %s", status, lease_find(&h->d, "vm1", NULL)->error.msg);
}

/* The hole in the guest's memory goes with the client that made it; another error is not its business. */
Test(attach_serve, degraded_comes_and_goes)
{
	struct lease *l = prepare();

	for (int i = 0; i < 2; i++) {
		says("{\"op\":\"status\",\"status\":" STATUS("true") "}", true);
		cr_assert_str_eq(l->error.code, "iommu.degraded");
		says("{\"op\":\"status\",\"status\":" STATUS("false") "}", false);
	}
	err_set(&l->error, -EIO, "test.other", "x");
	says("{\"op\":\"status\",\"status\":" STATUS("true") "}", true);
	fake_host_settle(h);
	says("{\"op\":\"status\",\"status\":" STATUS("false") "}", true);
	fake_host_settle(h);
	cr_assert_str_eq(l->error.code, "test.other");
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	finish();
}

/* --- faults of its VF --- */

#define HELD                                                                                                                     \
	"{\"vuser_state\":\"idle\",\"nr_messages\":1,\"nr_rejected\":0,\"nr_clients\":0,\"dma_ranges\":0,\"dma_bytes\":0,"       \
	"\"vectors_armed\":0,\"bus_master\":true,\"degraded\":false,\"held\":[\"quarantine\"],\"last_error\":\"\"}"

static bool was_asked(void *arg)
{
	(void)arg;
	return script_read("quarantine", (char[16]){ 0 }, 16) > 0;
}

static void faults(unsigned nr)
{
	while (nr--)
		fake_log(h->fake,
			 "vfio-pci " FAKE_VF0_BDF ": AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x1 address=0x1000 flags=0x20]");
	fake_host_settle(h);
}

/* Its process is asked, and again when the VF faults on; the next gangwayd hears of it from the process. */
Test(attach_serve, quarantined_by_its_process)
{
	struct lease *l = prepare();
	struct vdev_fds fds;
	char op[64];

	h->d.config.fault_limit = 20;
	script_write("status", "{\"op\":\"status\",\"status\":" HELD "}");
	faults(20);
	cr_assert_not(l->faults.quarantined);
	faults(1);
	cr_assert(l->faults.quarantined);
	cr_assert_str_eq(l->error.code, "vf.quarantined");
	cr_assert(fake_host_until(h, was_asked, NULL, 5000));
	script_read("quarantine", op, sizeof(op));
	cr_assert_str_eq(op, "{\"op\":\"quarantine\",\"on\":true}");
	script_write("quarantine", "");
	fake_advance(h->fake, 2000000);
	faults(1);
	cr_assert(fake_host_until(h, was_asked, NULL, 5000), "again");

	hold(l, &fds);
	script_write("hello", "{\"op\":\"hello\",\"version\":1,\"pid\":0,\"id\":\"0000-3b-10.0\",\"bdf\":\"" FAKE_VF0_BDF
			      "\",\"status\":" HELD "}");
	l = restart();
	cr_assert(l->faults.quarantined);
	cr_assert_str_eq(l->error.code, "vf.quarantined");
	cr_assert_eq(l->faults.nr, 0);
	cr_assert_str_eq(text_now("reason"), "vf-fault");
	drop(&fds);
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	finish();
}

/* --- the end --- */

/* A VMM that keeps the VF's descriptors keeps no DMA: the lease cannot end, but what was mapped is not any more. */
Test(attach_serve, a_vf_that_is_held_is_unmapped)
{
	struct lease *l = prepare();
	static uint8_t page[4096] __attribute__((aligned(4096)));
	struct vfio_iommu_type1_dma_map m = {
		.argsz = sizeof(m), .flags = VFIO_DMA_MAP_FLAG_READ, .vaddr = (uintptr_t)page, .size = 4096
	};
	struct sys *sys = fake_sys(h->fake);
	struct vdev_fds fds;

	hold(l, &fds);
	cr_assert_eq(sys->ops->ioctl(sys, fds.container, VFIO_IOMMU_MAP_DMA, &m), 0);
	fail("vfio.group-in-use", EBUSY, "detach", json_pack("{s:s}", "guest", "vm1"));
	cr_assert_eq(fake_iommu_mappings(h->fake), 0);
	drop(&fds);
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	finish();
}

/* --- with a standby --- */

static bool process_is_lost(void *arg)
{
	struct lease *l = arg;

	return !l->dev && l->reason == REASON_DEVICE_PROCESS_LOST;
}

/* A cause to leave the VF: but this VMM must not be asked to unplug it, nor given it again, and the operator is told. */
Test(attach_serve, a_lost_process_is_a_cause)
{
	struct lease *l;
	json_t *a;

	begin(1);
	cr_assert_gt(readlink("/proc/self/exe", h->d.config.device_program, sizeof(h->d.config.device_program) - 1), 0);
	snprintf(script_dir, sizeof(script_dir), "%s/device", h->dir);
	fake_guest_die(vm1);
	vm1->ports = 2;
	vm1->no_driver = true;
	fake_guest_run(vm1);
	a = attach(json_pack("{s:s, s:s, s:s, s:s}", "guest", "vm1", "target", "eth0", "via", "vfio-user", "standby", "macvtap"));
	cr_assert_geq(json_array_size(member(a, "warnings")), 1);
	json_decref(a);
	l = lease_find(&h->d, "vm1", NULL);
	cr_assert_eq(kill(devproc_get_status(l->dev)->pid, SIGKILL), 0);
	cr_assert(fake_host_until(h, process_is_lost, l, 5000), "reason %s", text_now("reason"));
	cr_assert_str_eq(text_now("error.code"), "device.lost");
	cr_assert_str_eq(text_now("leg"), "emulated");
	fake_host_settle(h);
	cr_assert_eq(fake_qmp_count(vm1->peer, "device_del"), 0);
	fail("vmm.unplug-unsafe", EBUSY, "switch", json_pack("{s:s, s:s}", "guest", "vm1", "leg", "emulated"));
	cr_assert_str_eq(text_now("reason"), "device-process-lost");
	fake_guest_die(vm1);
	until_leases(0);
	finish();
}
