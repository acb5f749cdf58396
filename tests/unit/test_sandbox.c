/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the sandbox forbids, it forbids by death. That it lets the work pass is what test_device.c shows: it runs sealed. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "sandbox.h"

static void do_open(void)
{
	syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static void do_socket(void)
{
	socket(AF_UNIX, SOCK_STREAM, 0);
}

static void do_fork(void)
{
	syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void do_exec(void)
{
	char *argv[] = { (char *)"true", NULL };

	execv("/bin/true", argv);
}

static void do_kill(void)
{
	kill(getppid(), 0);
}

static void do_ptrace(void)
{
	syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
}

static void do_exec_memory(void)
{
	syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void do_exec_protect(void)
{
	static char page[8192] __attribute__((aligned(4096)));

	syscall(SYS_mprotect, page, 4096, PROT_READ | PROT_EXEC);
}

static void do_other_ioctl(void)
{
	int n;

	ioctl(0, FIONREAD, &n);
}

/* VFIO's, but not what serving a device takes */
static void do_open_device(void)
{
	ioctl(0, VFIO_GROUP_GET_DEVICE_FD, "0000:3b:02.1");
}

static void do_device_feature(void)
{
	ioctl(0, VFIO_DEVICE_FEATURE, NULL);
}

static void do_other_fcntl(void)
{
	fcntl(0, F_SETOWN, 1);
}

static void do_setuid(void)
{
	syscall(SYS_setuid, 0);
}

static void do_stat_path(void)
{
	struct stat st;

	syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &st, 0);
}

static void do_connect(void)
{
	syscall(SYS_connect, 0, NULL, 0);
}

static void do_dumpable(void)
{
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void do_allowed(void)
{
	static const unsigned long requests[] = {
		VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_SET_IRQS, VFIO_DEVICE_RESET,
		VFIO_IOMMU_GET_INFO,	     VFIO_IOMMU_MAP_DMA,       VFIO_IOMMU_UNMAP_DMA,
	};
	struct stat st;
	void *p;

	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || munmap(p, 4096) < 0 || fstat(0, &st) < 0 || fcntl(0, F_GETFL) < 0)
		_exit(2);
	/* the requests of a served device pass to the kernel, which knows that this is none */
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (ioctl(0, requests[i], NULL) >= 0 || errno == EPERM)
			_exit(3);
}

/* How a sealed child ends that calls @fn. */
static int ends(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	cr_assert(pid >= 0);
	if (pid == 0) {
		struct err err;

		if (sandbox_drop(NULL, getuid(), getgid(), &err) < 0 || sandbox_seal(&err) < 0)
			_exit(1);
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void killed(void (*fn)(void), const char *what)
{
	int status = ends(fn);

	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s: status 0x%x", what, status);
}

#define KILLED(fn) killed(fn, #fn)

Test(sandbox, forbidden_calls_kill)
{
	KILLED(do_open);
	KILLED(do_socket);
	KILLED(do_connect);
	KILLED(do_fork);
	KILLED(do_exec);
	KILLED(do_kill);
	KILLED(do_ptrace);
	KILLED(do_exec_memory);
	KILLED(do_exec_protect);
	KILLED(do_other_ioctl);
	KILLED(do_open_device);
	KILLED(do_device_feature);
	KILLED(do_other_fcntl);
	KILLED(do_setuid);
	KILLED(do_stat_path);
	KILLED(do_dumpable);
}

Test(sandbox, needed_calls_pass)
{
	int status = ends(do_allowed);

#ifdef __SANITIZE_ADDRESS__
	cr_skip_test("the sanitizer's run-time makes calls of its own");
#endif
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", status);
}

/* Values of /proc/self/status after the privileges have gone. */
static int check_dropped(uid_t uid, gid_t gid)
{
	static const char *const zero[] = { "CapInh:", "CapPrm:", "CapEff:", "CapAmb:" };
	char line[256];
	struct err err;
	int seen = 0;
	FILE *f;

	if (sandbox_drop(NULL, uid, gid, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 2;
	if (getuid() != uid || geteuid() != uid || getgid() != gid || getgroups(0, NULL) > 0)
		return 3;
	/* no longer our own file, now that the process is not dumpable: for root only */
	f = fopen("/proc/thread-self/status", "r");
	while (f && fgets(line, sizeof(line), f))
		for (size_t i = 0; i < sizeof(zero) / sizeof(zero[0]); i++)
			if (!strncmp(line, zero[i], strlen(zero[i])))
				seen += strstr(line, "0000000000000000") != NULL;
	if (f && seen != 4)
		return 4;
	/* root cannot be had back */
	return setuid(0) == 0 && uid != 0 ? 5 : 0;
}

Test(sandbox, privileges_go)
{
	pid_t pid;
	int status;

	if (geteuid() != 0)
		cr_skip_test("needs root");
	pid = fork();
	if (pid == 0)
		_exit(check_dropped(65534, 65534));
	waitpid(pid, &status, 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "step %d", WEXITSTATUS(status));
}

Test(sandbox, another_user_is_not_to_be_had_without_root)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct err err;

		if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
			_exit(2);
		_exit(sandbox_drop(NULL, getuid() + 1, getgid(), &err) == -EPERM ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(sandbox, descriptors_are_limited)
{
	struct rlimit lim;
	struct err err;

	cr_assert_eq(sandbox_limit_fds(100, &err), 0);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
	cr_assert_eq(lim.rlim_max, 100);
	cr_assert_eq(sandbox_limit_fds(200, &err), 0);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
	cr_assert_eq(lim.rlim_max, 100, "only ever lowered");
}

/* 0: in an empty root, and out of its reach. */
static int check_root(const char *root)
{
	struct err err;

	if (sandbox_drop(root, 65534, 65534, &err) < 0)
		return 1;
	if (access("/etc/passwd", F_OK) == 0 || access("../../../etc/passwd", F_OK) == 0)
		return 2;
	if (open("/x", O_CREAT | O_WRONLY, 0600) >= 0)
		return 3;
	return 0;
}

Test(sandbox, no_file_is_to_be_seen)
{
	char dir[] = "/tmp/gangway-empty-XXXXXX";
	int status;
	pid_t pid;

	if (geteuid() != 0)
		cr_skip_test("needs root");
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chmod(dir, 0555), 0);
	pid = fork();
	if (pid == 0)
		_exit(check_root(dir));
	waitpid(pid, &status, 0);
	rmdir(dir);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", status);
	pid = fork();
	if (pid == 0)
		_exit(check_root("/nonexistent") == 1 && geteuid() == 0 ? 0 : 1);
	waitpid(pid, &status, 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "no root, no process");
}

static int check_memory(void)
{
	const size_t size = 256ul << 20;
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct err err;

	if (sandbox_limit_memory(64ul << 20, &err) < 0 || ftruncate(fd, (off_t)size) < 0)
		return 1;
	if (mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		return 2;
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? 3 : 0;
}

Test(sandbox, own_memory_is_limited_and_the_guests_is_not)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(check_memory());
	waitpid(pid, &status, 0);
#ifdef __SANITIZE_ADDRESS__
	cr_skip_test("the sanitizer's shadow is memory of its own");
#endif
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", status);
}
