/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vfio-user lease and its process, which is this program again: what it is given, and what becomes of the lease by what it says. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "attach_test.h"
#include "device_proto.h"
#include "devproc.h"
#include "fdutil.h"

/* --- the process: answers with what the files beside its socket say --- */

static char script_dir[108]; /* runtime_dir/device */

static size_t script_read(const char *name, char *buf, size_t size)
{
	char path[160];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", script_dir, name);
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

static void serve_script(int argc, char **argv)
{
	const int vfio[3] = { DEVICE_FD_CONTAINER, DEVICE_FD_GROUP, DEVICE_FD_DEVICE };
	struct sockaddr_un a = { 0 };
	socklen_t len = sizeof(a);
	char text[4096] = "", op[512];

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nobody behind */
	if (getsockname(DEVICE_FD_CTL, (struct sockaddr *)&a, &len) < 0)
		_exit(1);
	snprintf(script_dir, sizeof(script_dir), "%s", a.sun_path);
	*strrchr(script_dir, '/') = '\0';
	for (int i = 1; i < argc; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", argv[i]);
	script_write("args", text);
	listen(DEVICE_FD_CTL, 4);
	for (;;) {
		int conn = accept(DEVICE_FD_CTL, NULL, NULL);
		size_t n;

		while (conn >= 0 && (n = (size_t)recv(conn, op, sizeof(op) - 1, 0)) > 0 && n < sizeof(op)) {
			op[n] = '\0';
			if (strstr(op, "stop"))
				_exit(0);
			n = script_read(strstr(op, "hello") ? "hello" : "status", text, sizeof(text));
			if (strstr(op, "hello") && n) { /* its pid is for it to say */
				char *hole = strstr(text, "\"pid\":0"), rest[4096];

				if (hole) {
					snprintf(rest, sizeof(rest), "%s", hole + 7);
					snprintf(hole, sizeof(text) - (size_t)(hole - text), "\"pid\":%d%s", (int)getpid(), rest);
				}
				fd_send(conn, text, strlen(text), vfio, 3);
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

static struct lease *prepare(void)
{
	ssize_t n;

	begin(1);
	n = readlink("/proc/self/exe", h->d.config.device_program, sizeof(h->d.config.device_program) - 1);
	cr_assert_gt(n, 0);
	snprintf(script_dir, sizeof(script_dir), "%s/device", h->dir);
	fake_guest_die(vm1);
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

	snprintf(want, sizeof(want), "--id 0000-3b-10.0 --bdf %s --ram %llu --uid %u --gid %u ", l->vf_bdf, 4ull << 30,
		 l->device_uid, l->device_uid);
	script_read("args", args, sizeof(args));
	cr_assert_str_eq(args, want);
	cr_assert_eq(l->device_uid, h->d.config.device_uid_first);
	succeed("detach", json_pack("{s:s}", "guest", "vm1"));
	unchanged();
	finish();
}
