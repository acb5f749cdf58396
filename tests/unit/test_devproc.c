/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gangwayd's side of a device process: what it is given, how it is adopted and ended, and that nothing it says is believed. */
#include <dirent.h>
#include <sys/resource.h>
#include <systemd/sd-event.h>

#include "../../daemon/devproc_internal.h"
#include "device_peer.h"
#include "fake.h"

static sd_event *event;
static struct err err;
static struct fake *fake;
static struct vdev *vdev;
static char dir[64];

static struct {
	struct devproc *proc;
	unsigned nr_status, nr_gone;
	char why[128];
	bool free_in_gone;
} seen;

static void on_status(void *ctx, const struct devproc_status *status)
{
	(void)ctx;
	cr_assert(status->pid > 0);
	seen.nr_status++;
}

static void on_gone(void *ctx, const char *why)
{
	(void)ctx;
	seen.nr_gone++;
	snprintf(seen.why, sizeof(seen.why), "%s", why);
	if (seen.free_in_gone)
		seen.proc = devproc_free(seen.proc);
}

static const struct devproc_ops ops = { .on_status = on_status, .on_gone = on_gone };

/* Without CAP_SYS_RESOURCE a hard limit cannot be raised: then nothing can be started here. */
static bool can_start(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_MEMLOCK, &lim) < 0)
		return false;
	lim.rlim_cur = lim.rlim_max = 65 << 20;
	return setrlimit(RLIMIT_MEMLOCK, &lim) == 0;
}

static void setup(void)
{
	memset(&seen, 0, sizeof(seen));
	cr_assert_eq(sd_event_new(&event), 0);
	strcpy(dir, "/tmp/gangway-run-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	fake = fake_new();
	fake_add_driver(fake, "vfio-pci");
	fake_add_function(fake, PEER_BDF, "vfio-pci", 7);
	cr_assert_eq(vdev_open(fake_sys(fake), PEER_BDF, &vdev, &err), 0, "%s", err.msg);
}

static void teardown(void)
{
	char cmd[128];

	devproc_free(seen.proc);
	vdev_close(vdev);
	fake_free(fake);
	sd_event_unref(event);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(devproc, .init = setup, .fini = teardown);

static struct devproc_config config(const char *program)
{
	return (struct devproc_config){
		.program = program,
		.runtime_dir = dir,
		.id = "lease-1",
		.bdf = PEER_BDF,
		.ram_bytes = 1 << 20,
		.socket_uid = getuid(),
		.socket_gid = getgid(),
		.run_uid = getuid(),
		.run_gid = getgid(),
	};
}

static void run_until_gone(unsigned seconds)
{
	for (unsigned i = 0; i < seconds * 20 && !seen.nr_gone; i++)
		cr_assert(sd_event_run(event, 50000) >= 0);
}

/* A program that is a shell script. */
static const char *script(const char *text)
{
	static char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/program", dir);
	f = fopen(path, "w");
	fprintf(f, "#!/bin/sh\n%s\n", text);
	fclose(f);
	cr_assert_eq(chmod(path, 0755), 0);
	return path;
}

static bool exists(const char *sub)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	return access(path, F_OK) == 0;
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void start_fails(const struct devproc_config *c, int num, const char *code)
{
	int before = count_fds(), r;

	r = devproc_start(event, c, vdev, &ops, NULL, &seen.proc, &err);
	cr_assert_eq(r, num, "%d: %s", r, err.msg);
	cr_assert_str_eq(err.code, code);
	cr_assert_null(seen.proc);
	cr_assert_eq(count_fds(), before);
	cr_assert_not(exists("device/lease-1.ctl") || exists("vm/lease-1.sock"), "sockets removed");
}

Test(devproc, start_failures)
{
	static const char *const bad_ids[] = { "", ".", "..", "../x", "a/b", "-x", "a b", "\xc3\xa4" };
	struct devproc_config c = config("/nonexistent/gangway-device");
	char long_id[80] = "";

	if (!can_start())
		cr_skip_test("needs CAP_SYS_RESOURCE to set RLIMIT_MEMLOCK");
	start_fails(&c, -ENOENT, "devproc.exec-failed");
	cr_assert(*err.hint);
	c.program = "/etc/passwd";
	start_fails(&c, -EACCES, "devproc.exec-failed");
	c.program = script("exit 0");
	for (size_t i = 0; i < sizeof(bad_ids) / sizeof(bad_ids[0]); i++) {
		c.id = bad_ids[i];
		start_fails(&c, -EINVAL, "devproc.bad-id");
	}
	memset(long_id, 'x', 64);
	c.id = long_id;
	start_fails(&c, -EINVAL, "devproc.bad-id");
	c.id = "lease-1";
	c.ram_bytes = 0;
	start_fails(&c, -EINVAL, "devproc.no-ram");
	c.ram_bytes = 1 << 20;
	c.runtime_dir =
		"/tmp/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";
	start_fails(&c, -ENAMETOOLONG, "devproc.path-too-long");
	c.runtime_dir = "/etc/passwd";
	start_fails(&c, -EEXIST, "devproc.runtime-dir");
}

/* One that has ended counts until it is reaped. */
static bool has_child(void)
{
	return waitid(P_ALL, 0, &(siginfo_t){ 0 }, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* One that ends before it is connected to, which is a matter of luck: started until it has been so, or not. */
Test(devproc, ends_at_once)
{
	struct devproc_config c = config("/bin/true");
	int before = 0, r = 0;

	if (!can_start())
		cr_skip_test("needs CAP_SYS_RESOURCE to set RLIMIT_MEMLOCK");
	for (int i = 0; i < 100 && r == 0; i++) {
		seen.nr_gone = 0;
		before = count_fds();
		r = devproc_start(event, &c, vdev, &ops, NULL, &seen.proc, &err);
		if (r == 0) {
			run_until_gone(5);
			seen.proc = devproc_free(seen.proc);
		} else {
			cr_assert_str_eq(err.code, "devproc.start-failed", "%s", err.msg);
		}
		for (int turn = 0; turn < 200 && has_child(); turn++)
			cr_assert_geq(sd_event_run(event, 50000), 0);
		cr_assert_not(has_child());
	}
	cr_assert(r == 0 || count_fds() == before);
	printf("# %s\n", r < 0 ? err.msg : "it was always connected to in time");
}

/* What is in the place of a socket and is none is not ours to remove. */
Test(devproc, foreign_file_stays)
{
	struct devproc_config c = config("/nonexistent/gangway-device");
	static const char *const names[] = { "device/lease-1.ctl", "vm/lease-1.sock" };

	cr_assert_eq(devproc_make_dirs(dir, &err), 0, "%s", err.msg);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		close(open(path, O_CREAT | O_WRONLY, 0600));
		cr_assert_eq(devproc_start(event, &c, vdev, &ops, NULL, &seen.proc, &err), -EEXIST, "%s", err.msg);
		cr_assert(exists(names[i]), "%s", names[i]);
		cr_assert_not(exists(names[1 - i]), "%s", names[1 - i]);
		unlink(path);
	}
}

/* Exactly its descriptors, its limits, its arguments, and a session of its own. */
Test(devproc, what_the_process_is_given)
{
	struct devproc_config c;
	char got[512] = "", want[256], path[96], text[256];
	FILE *f;

	if (!can_start())
		cr_skip_test("needs CAP_SYS_RESOURCE to set RLIMIT_MEMLOCK");
	snprintf(text, sizeof(text), "fds=$(ls /proc/$$/fd | sort -n); exec > %s/out; echo $fds; ulimit -l; echo $*; env", dir);
	c = config(script(text));
	cr_assert_eq(setenv("SECRET_OF_GANGWAYD", "x", 1), 0);
	cr_assert_eq(devproc_start(event, &c, vdev, &ops, NULL, &seen.proc, &err), 0, "%s", err.msg);
	run_until_gone(5);
	cr_assert_eq(seen.nr_gone, 1);
	snprintf(path, sizeof(path), "%s/out", dir);
	f = fopen(path, "r");
	cr_assert_not_null(f);
	cr_assert(fread(got, 1, sizeof(got) - 1, f) > 0);
	fclose(f);
	/* 8 and 10 are the shell's own: the substitution, and the script */
	snprintf(want, sizeof(want),
		 "0 1 2 3 4 5 6 7 8 10\n%d\n--id lease-1 --bdf " PEER_BDF
		 " --ram 1048576 --uid %u --gid %u --root %s/device/empty\n",
		 65 << 10, getuid(), getgid(), dir);
	cr_assert_eq(strncmp(got, want, strlen(want)), 0, "got:\n%s\nwant:\n%s", got, want);
	cr_assert_null(strstr(got, "SECRET"));
}

Test(devproc, sockets_and_their_modes)
{
	struct devproc_config c = config(script("sleep 10"));
	struct stat st;
	char path[128];

	if (!can_start())
		cr_skip_test("needs CAP_SYS_RESOURCE to set RLIMIT_MEMLOCK");
	cr_assert_eq(devproc_start(event, &c, vdev, &ops, NULL, &seen.proc, &err), 0, "%s", err.msg);
	cr_assert_eq(stat(devproc_socket_path(seen.proc), &st), 0);
	cr_assert(S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600);
	snprintf(path, sizeof(path), "%s/device", dir);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0700);
	snprintf(path, sizeof(path), "%s/vm", dir);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0711);
	/* it does not answer: killed after five seconds, and the caller may free in the callback */
	seen.free_in_gone = true;
	devproc_stop(seen.proc);
	devproc_stop(seen.proc);
	run_until_gone(15);
	cr_assert_eq(seen.nr_gone, 1);
	cr_assert_str_eq(seen.why, "stopped");
	cr_assert_not(exists("device/lease-1.ctl") || exists("vm/lease-1.sock"));
}

Test(devproc, how_it_ended_is_told)
{
	struct devproc_config c = config(script("sleep 0.2; exit 3"));

	if (!can_start())
		cr_skip_test("needs CAP_SYS_RESOURCE to set RLIMIT_MEMLOCK");
	cr_assert_eq(devproc_start(event, &c, vdev, &ops, NULL, &seen.proc, &err), 0);
	run_until_gone(5);
	cr_assert_neq(strstr(seen.why, "failed"), NULL, "%s", seen.why);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "no zombie");
	seen.proc = devproc_free(seen.proc);
	seen.nr_gone = 0;
	c.program = script("sleep 0.2; kill -SYS $$");
	cr_assert_eq(devproc_start(event, &c, vdev, &ops, NULL, &seen.proc, &err), 0);
	run_until_gone(5);
	cr_assert_neq(strstr(seen.why, "sandbox"), NULL, "%s", seen.why);
}

/* As after a restart of gangwayd: the process is not our child to know of, its sockets are all there is. */
Test(devproc, adopt_and_stop)
{
	struct devproc_config c = config("/nonexistent");
	struct vdev_fds fds = VDEV_FDS_NONE;
	struct peer peer;
	int sock, memory;

	peer_start(&peer);
	c.runtime_dir = peer.dir;
	cr_assert_eq(devproc_adopt(event, &c, &ops, NULL, &fds, &seen.proc, &err), 0, "%s", err.msg);
	cr_assert(fds.container >= 0 && fds.group >= 0 && fds.device >= 0);
	cr_assert_eq(devproc_get_status(seen.proc)->pid, peer.pid, "told by the kernel");
	cr_assert_str_eq(devproc_socket_path(seen.proc), peer.vuser);
	close(fds.container);
	close(fds.group);
	close(fds.device);
	sock = vmm_connect(peer.vuser);
	cr_assert(sock >= 0);
	for (int i = 0; i < 40 && devproc_get_status(seen.proc)->nr_clients == 0; i++)
		sd_event_run(event, 50000);
	cr_assert_str_eq(devproc_get_status(seen.proc)->vuser_state, "running");
	memory = memfd_create("guest", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(memory, 1 << 20), 0);
	cr_assert_eq(vmm_ask(sock, VUSER_DMA_MAP, &(struct vuser_dma_map_req){ .argsz = 32, .flags = 3, .size = 1 << 20 }, 32,
			     &memory, 1),
		     0);
	cr_assert_eq(devproc_send(seen.proc, "{\"op\":\"status\"}"), 0);
	for (int i = 0; i < 40 && devproc_get_status(seen.proc)->dma_bytes == 0; i++)
		sd_event_run(event, 50000);
	cr_assert_eq(devproc_get_status(seen.proc)->dma_bytes, 1 << 20);
	cr_assert(seen.nr_status > 0);
	devproc_stop(seen.proc);
	run_until_gone(5);
	cr_assert_str_eq(seen.why, "stopped");
	peer_clean(&peer);
}

/* The kernel may hold a process in a call on the device, killed or not: that is told, not waited for without end. */
Test(devproc, a_process_that_does_not_die)
{
	struct devproc_config c = config("/nonexistent");
	struct vdev_fds fds = VDEV_FDS_NONE;
	struct peer peer;

	peer_start(&peer);
	c.runtime_dir = peer.dir;
	cr_assert_eq(devproc_adopt(event, &c, &ops, NULL, &fds, &seen.proc, &err), 0, "%s", err.msg);
	close(fds.container);
	close(fds.group);
	close(fds.device);
	/* its end is not heard of, and it cannot be asked to end */
	seen.proc->pid_source = sd_event_source_disable_unref(seen.proc->pid_source);
	fd_close(&seen.proc->ctl_fd);
	seen.free_in_gone = true;
	devproc_stop(seen.proc);
	run_until_gone(15);
	cr_assert_eq(seen.nr_gone, 1);
	cr_assert_str_eq(seen.why, DEVPROC_NOT_DEAD);
	peer_wait(&peer);
	peer_clean(&peer);
}

Test(devproc, free_leaves_it_running)
{
	struct devproc_config c = config("/nonexistent");
	struct vdev_fds fds = VDEV_FDS_NONE;
	struct peer peer;

	peer_start(&peer);
	c.runtime_dir = peer.dir;
	for (int round = 0; round < 6; round++) {
		cr_assert_eq(devproc_adopt(event, &c, &ops, NULL, &fds, &seen.proc, &err), 0, "round %d: %s", round, err.msg);
		seen.proc = devproc_free(seen.proc);
		close(fds.container);
		close(fds.group);
		close(fds.device);
		usleep(20000);
	}
	cr_assert_eq(kill(peer.pid, 0), 0);
	kill(peer.pid, SIGKILL);
	peer_wait(&peer);
	/* it has died meanwhile: there is none, and what it left is cleared away */
	cr_assert_eq(devproc_adopt(event, &c, &ops, NULL, &fds, &seen.proc, &err), -ENOENT);
	cr_assert_str_eq(err.code, "devproc.gone");
	cr_assert(access(peer.ctl, F_OK) < 0 && access(peer.vuser, F_OK) < 0);
	cr_assert_eq(devproc_adopt(event, &c, &ops, NULL, &fds, &seen.proc, &err), -ENOENT, "nor was there ever");
	peer_clean(&peer);
}

/* A peer that answers hello with @reply and @nr_fds descriptors, then sends @after. */
static void adopt_scripted(const char *reply, size_t nr_fds, int num, const char *code)
{
	struct devproc_config c = config("/nonexistent");
	struct vdev_fds fds = VDEV_FDS_NONE;
	char path[128];
	pid_t test = getpid(), pid;
	int before, sock, r;

	snprintf(path, sizeof(path), "%s/device", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/device/lease-1.ctl", dir);
	sock = fd_listen_unix(path, SOCK_SEQPACKET, 0600);
	cr_assert(sock >= 0);
	before = count_fds();
	pid = fork();
	if (pid == 0) {
		struct pollfd pfd = { .fd = sock, .events = POLLIN };
		int send_fds[4] = { 0, 1, 2, 0 }, conn;

		die_with(test);
		listen(sock, 4);
		poll(&pfd, 1, 2000);
		conn = accept(sock, NULL, NULL);
		if (reply)
			fd_send(conn, reply, strlen(reply), send_fds, nr_fds);
		poll(NULL, 0, 10000);
		_exit(0);
	}
	r = devproc_adopt(event, &c, &ops, NULL, &fds, &seen.proc, &err);
	cr_assert_eq(r, num, "%s: %d %s", reply, r, err.msg);
	cr_assert_str_eq(err.code, code, "%s: %s", reply, err.code);
	cr_assert_eq(fds.device, -1);
	cr_assert_eq(count_fds(), before, "%s", reply);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(sock);
}

#define STATUS                                                                                                                   \
	"{\"vuser_state\":\"idle\",\"nr_messages\":1,\"nr_rejected\":0,\"nr_clients\":0,\"dma_ranges\":0,\"dma_bytes\":0,"       \
	"\"vectors_armed\":0,\"bus_master\":false,\"degraded\":false,\"last_error\":\"\"}"
#define HELLO(version, id, bdf, status)                                                                                          \
	"{\"op\":\"hello\",\"version\":" version ",\"pid\":1,\"id\":\"" id "\",\"bdf\":\"" bdf "\",\"status\":" status "}"

Test(devproc, adopting_a_hostile_process)
{
	adopt_scripted("not json", 0, -EPROTO, "devproc.protocol");
	adopt_scripted(HELLO("1", "lease-1", PEER_BDF, STATUS), 0, -EPROTO, "devproc.protocol");
	adopt_scripted(HELLO("1", "lease-1", PEER_BDF, STATUS), 2, -EPROTO, "devproc.protocol");
	adopt_scripted(HELLO("1", "lease-1", PEER_BDF, STATUS), 4, -EMFILE, "devproc.connect");
	adopt_scripted(HELLO("2", "lease-1", PEER_BDF, STATUS), 3, -EPROTO, "devproc.version");
	adopt_scripted(HELLO("1", "lease-2", PEER_BDF, STATUS), 3, -EPROTO, "devproc.foreign");
	adopt_scripted(HELLO("1", "lease-1", "0000:00:00.0", STATUS), 3, -EPROTO, "devproc.foreign");
	adopt_scripted(HELLO("1", "lease-1", PEER_BDF, "{}"), 3, -EPROTO, "devproc.protocol");
	adopt_scripted("{\"op\":\"status\",\"status\":" STATUS "}", 1, -EPROTO, "devproc.protocol");
	adopt_scripted(NULL, 0, -ETIMEDOUT, "devproc.silent");
}

/* A process that talks without end is heard now and then, and the loop has time for others. */
Test(devproc, flood_of_status)
{
	struct devproc_config c = config("/nonexistent");
	struct vdev_fds fds = VDEV_FDS_NONE;
	char path[128], hello[1024];
	uint64_t from, to;
	pid_t test = getpid(), pid;
	int sock, ready[2];
	char one;

	snprintf(path, sizeof(path), "%s/device", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/device/lease-1.ctl", dir);
	sock = fd_listen_unix(path, SOCK_SEQPACKET, 0600);
	cr_assert_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		static const char status[] = "{\"op\":\"status\",\"status\":" STATUS "}";
		struct pollfd pfd = { .fd = sock, .events = POLLIN };
		int send_fds[3] = { 0, 1, 2 }, conn;

		die_with(test);
		listen(sock, 4);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		poll(&pfd, 1, 2000);
		conn = accept(sock, NULL, NULL);
		snprintf(hello, sizeof(hello),
			 "{\"op\":\"hello\",\"version\":1,\"pid\":%d,\"id\":\"lease-1\",\"bdf\":\"" PEER_BDF
			 "\",\"status\":" STATUS "}",
			 (int)getpid());
		fd_send(conn, hello, strlen(hello), send_fds, 3);
		while (send(conn, status, strlen(status), MSG_NOSIGNAL) > 0)
			;
		_exit(0);
	}
	cr_assert_eq(read(ready[0], &one, 1), 1);
	cr_assert_eq(devproc_adopt(event, &c, &ops, NULL, &fds, &seen.proc, &err), 0, "%s", err.msg);
	sd_event_now(event, CLOCK_MONOTONIC, &from);
	for (to = from; to - from < 1500000; sd_event_now(event, CLOCK_MONOTONIC, &to))
		cr_assert(sd_event_run(event, 100000) >= 0);
	cr_assert(seen.nr_status > 0 && seen.nr_status <= 150, "%u in 1.5 s", seen.nr_status);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fds.container);
	close(fds.group);
	close(fds.device);
	close(sock);
}

static int decode(const char *text, struct devproc_msg *ret)
{
	return devproc_decode(text, strlen(text), "lease-1", PEER_BDF, ret, &err);
}

#define S(state, messages, ranges, vectors, master, last)                                                                        \
	"{\"op\":\"status\",\"status\":{\"vuser_state\":" state ",\"nr_messages\":" messages                                     \
	",\"nr_rejected\":0,\"nr_clients\":0,\"dma_ranges\":" ranges ",\"dma_bytes\":0,\"vectors_armed\":" vectors               \
	",\"bus_master\":" master ",\"degraded\":false,\"last_error\":" last "}}"
#define HELD(held) S("\"idle\"", "1", "1", "1", "true,\"held\":" held, "\"\"")

Test(devproc, decoder)
{
	static const char *const bad[] = {
		"",
		"[]",
		"1",
		"\"status\"",
		"{}",
		"{\"op\":7}",
		"{\"op\":\"exec\"}",
		"{\"op\":\"status\"}",
		"{\"op\":\"status\",\"status\":[]}",
		S("\"0123456789abcdef\"", "1", "1", "1", "true", "\"\""), /* a text too long */
		S("1", "1", "1", "1", "true", "\"\""),
		S("\"idle\"", "-1", "1", "1", "true", "\"\""),
		S("\"idle\"", "1.5", "1", "1", "true", "\"\""),
		S("\"idle\"", "99999999999999999999", "1", "1", "true", "\"\""),
		S("\"idle\"", "1", "4294967296", "1", "true", "\"\""),
		S("\"idle\"", "1", "1", "65537", "true", "\"\""),
		S("\"idle\"", "1", "1", "1", "1", "\"\""),
		S("\"idle\"", "1", "1", "1", "true", "null"),
		HELD("true"),
		HELD("{}"),
		HELD("[1]"),
		HELD("[\"boredom\"]"),
		HELD("[\"pending\",\"pending\",\"pending\",\"pending\"]"),
		"{\"op\":\"status\",\"op\":\"stop\"}",
		"{\"op\":\"stop\"",
	};
	struct devproc_msg msg = { .op = DEVPROC_OP_ERROR };
	char big[DEVICE_PROTO_MAX + 2], *nest = big;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(decode(bad[i], &msg), -EPROTO, "%s", bad[i]);
		cr_assert_str_eq(err.code, "devproc.protocol");
		cr_assert_eq(msg.op, DEVPROC_OP_ERROR, "untouched on failure");
	}
	memset(big, ' ', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	cr_assert_eq(decode(big, &msg), -EPROTO);
	memset(nest, '[', DEVICE_PROTO_MAX);
	nest[DEVICE_PROTO_MAX] = '\0';
	cr_assert_eq(decode(nest, &msg), -EPROTO, "nested as deep as a datagram allows");
	cr_assert_eq(decode(S("\"running\"", "9007199254740993", "3", "65536", "true", "\"bad \\u001b[31m \\n\""), &msg), 0, "%s",
		     err.msg);
	cr_assert_eq(msg.op, DEVPROC_OP_STATUS);
	cr_assert(msg.has_status && msg.status.bus_master && msg.status.vectors_armed == 65536);
	cr_assert_eq(msg.status.nr_messages, 9007199254740993);
	cr_assert_str_eq(msg.status.last_error, "bad ?[31m ?", "nothing that a terminal obeys");
	cr_assert_not(devproc_is_quarantined(&msg.status), "an older process does not say");
	cr_assert_eq(decode(HELD("[\"pending\",\"degraded\"]"), &msg), 0);
	cr_assert_not(devproc_is_quarantined(&msg.status));
	cr_assert_eq(decode(HELD("[\"degraded\",\"quarantine\"]"), &msg), 0);
	cr_assert(devproc_is_quarantined(&msg.status));
	cr_assert_eq(decode("{\"op\":\"quarantine\"}", &msg), 0);
	cr_assert_eq(decode("{\"op\":\"shared\"}", &msg), 0);
	cr_assert_not(msg.has_status);
	cr_assert_eq(decode("{\"op\":\"stop\"}", &msg), 0);
	cr_assert_eq(msg.op, DEVPROC_OP_STOP);
}
