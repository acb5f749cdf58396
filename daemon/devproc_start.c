/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting a gangway-device process. It gets exactly the descriptors of device_proto.h and nothing else of gangwayd's: no socket, no
 * database, no other lease's device. gangwayd has threads, so between fork and exec only async-signal-safe calls are made.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device/device_proto.h"
#include "devproc_internal.h"
#include "fdutil.h"
#include "gangway_limits.h"

#define EMPTY_DIR "/device/empty" /* the root directory of the processes; no socket there is called so */
#define FD_ABOVE 32 /* where descriptors wait to be moved to their places */

enum { SRC_CTL, SRC_VUSER, SRC_CONTAINER, SRC_GROUP, SRC_DEVICE, SRC_ERR, SRC_NUM };

static bool valid_id(const char *id)
{
	size_t len = strlen(id);

	return len && len <= LIMIT_NAME && id[0] != '.' && id[0] != '-' &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

int devproc_paths_init(const struct devproc_config *config, struct devproc_paths *ret, struct err *err)
{
	if (!valid_id(config->id))
		return err_set(err, -EINVAL, "devproc.bad-id", "lease id \"%.70s\" cannot be a file name", config->id);
	if (snprintf(ret->ctl, sizeof(ret->ctl), "%s/device/%s.ctl", config->runtime_dir, config->id) >= (int)sizeof(ret->ctl) ||
	    snprintf(ret->vuser, sizeof(ret->vuser), "%s/vm/%s.sock", config->runtime_dir, config->id) >= (int)sizeof(ret->vuser))
		return err_set(err, -ENAMETOOLONG, "devproc.path-too-long", "lease %s: its socket's path in %s is too long",
			       config->id, config->runtime_dir);
	return 0;
}

static int make_dir(const char *base, const char *sub, mode_t mode, struct err *err)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s%s", base, sub);
	if (mkdir(path, mode) == 0) {
		/* whatever the umask is */
		if (chmod(path, mode) == 0)
			return 0;
	} else if (errno == EEXIST) {
		if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
			return 0;
		return err_set(err, -EEXIST, "devproc.runtime-dir", "%s is no directory of ours", path);
	}
	return err_set(err, -errno, "devproc.runtime-dir", "%s: %s", path, strerror(errno));
}

int devproc_make_dirs(const char *runtime_dir, struct err *err)
{
	int r;

	r = make_dir(runtime_dir, "", 0755, err);
	if (r == 0)
		r = make_dir(runtime_dir, "/device", 0700, err);
	if (r == 0)
		r = make_dir(runtime_dir, EMPTY_DIR, 0555, err);
	if (r == 0)
		r = make_dir(runtime_dir, "/vm", 0711, err);
	return r;
}

static int listen_at(const char *path, int type, int *ret, struct err *err)
{
	int fd = fd_listen_unix(path, type, 0600);

	if (fd >= 0) {
		*ret = fd;
		return 0;
	}
	err_set(err, fd, "devproc.socket", "%s: %s", path, strerror(-fd));
	if (fd == -EADDRINUSE)
		err_hint(err, "an earlier process of this VF still runs, `ss -xlp` names it: end it once no guest has the VF");
	return fd;
}

static int make_sockets(const struct devproc_config *config, const struct devproc_paths *paths, int src[SRC_NUM], struct err *err)
{
	int r;

	r = devproc_make_dirs(config->runtime_dir, err);
	if (r == 0)
		r = listen_at(paths->ctl, SOCK_SEQPACKET, &src[SRC_CTL], err);
	if (r == 0)
		r = listen_at(paths->vuser, SOCK_STREAM, &src[SRC_VUSER], err);
	if (r < 0)
		return r;
	if (lchown(paths->vuser, config->socket_uid, config->socket_gid) < 0)
		return err_set(err, -errno, "devproc.socket", "%s: give it to %u:%u: %s", paths->vuser, config->socket_uid,
			       config->socket_gid, strerror(errno));
	return 0;
}

/* What the child says through the pipe when it does not come as far as the program. */
struct child_error {
	int num; /* errno */
	bool memlock; /* it was the limit on locked memory */
};

/* In the child; never returns. @src are all at FD_ABOVE or higher, so that no move overwrites one that is still to be moved. */
static void child(const struct devproc_config *config, const int src[SRC_NUM], char *const argv[], char *const envp[])
{
	const int err_fd = DEVICE_FD_END;
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	struct rlimit lim;
	struct child_error e = { 0 };
	sigset_t none;
	int null;

	lim.rlim_cur = (rlim_t)device_ram_limit(config->ram_bytes);
	lim.rlim_max = lim.rlim_cur;
	if (dup3(src[SRC_ERR], err_fd, O_CLOEXEC) < 0)
		_exit(127);
	for (int i = 0; i < SRC_ERR; i++)
		if (dup2(src[i], DEVICE_FD_CTL + i) < 0)
			goto fail;
	null = open("/dev/null", O_RDONLY);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || close_range(DEVICE_FD_END + 1, UINT_MAX, 0) < 0)
		goto fail;
	for (int s = 1; s < NSIG; s++)
		sigaction(s, &dfl, NULL);
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || setsid() < 0)
		goto fail;
	e.memlock = true;
	if (setrlimit(RLIMIT_MEMLOCK, &lim) < 0)
		goto fail;
	e.memlock = false;
	execve(config->program, argv, envp);
fail:
	e.num = errno;
	if (write(err_fd, &e, sizeof(e)) < 0)
		_exit(126);
	_exit(127);
}

/* Move @fd out of the way of the places 3 to 8. */
static int move_up(int fd)
{
	int up = fcntl(fd, F_DUPFD_CLOEXEC, FD_ABOVE);

	return up < 0 ? -errno : up;
}

/* 0 once the program runs, or what stopped it. The pipe closes at exec, so this waits no longer than exec takes. */
static int wait_exec(int pipe_fd, const struct devproc_config *config, struct err *err)
{
	struct child_error e = { 0 };
	ssize_t n;

	do {
		n = read(pipe_fd, &e, sizeof(e));
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	if (n != sizeof(e) || e.num <= 0)
		e = (struct child_error){ .num = EIO };
	if (e.memlock) {
		err_set(err, -e.num, "devproc.memlock",
			"lease %s: the limit on locked memory cannot be raised to the guest's %llu bytes: %s", config->id,
			(unsigned long long)config->ram_bytes, strerror(e.num));
		err_hint(err, "gangwayd needs CAP_SYS_RESOURCE, or LimitMEMLOCK=infinity in its unit");
		return -e.num;
	}
	err_set(err, -e.num, "devproc.exec-failed", "%s does not start: %s", config->program, strerror(e.num));
	if (e.num == ENOENT || e.num == EACCES)
		err_hint(err, "is gangway installed completely? gangwayd looks for its device process at this path");
	return -e.num;
}

struct strings {
	char ram[24], uid[16], gid[16], journal[128], root[PATH_MAX];
};

static int fork_exec(const struct devproc_config *config, int src[SRC_NUM], int pipe_rd, pid_t *ret_pid, int *ret_pidfd,
		     struct err *err)
{
	struct strings s;
	char *argv[] = { (char *)"gangway-device",
			 (char *)"--id",
			 (char *)config->id,
			 (char *)"--bdf",
			 (char *)config->bdf,
			 (char *)"--ram",
			 s.ram,
			 (char *)"--uid",
			 s.uid,
			 (char *)"--gid",
			 s.gid,
			 (char *)"--root",
			 s.root,
			 NULL };
	/* the log goes where gangwayd's goes; nothing else of its environment is the process's business */
	char *envp[] = { s.journal, NULL };
	const char *journal = getenv("JOURNAL_STREAM");
	int pidfd, r;
	pid_t pid;

	snprintf(s.ram, sizeof(s.ram), "%llu", (unsigned long long)config->ram_bytes);
	snprintf(s.uid, sizeof(s.uid), "%u", config->run_uid);
	snprintf(s.gid, sizeof(s.gid), "%u", config->run_gid);
	snprintf(s.root, sizeof(s.root), "%s" EMPTY_DIR, config->runtime_dir);
	snprintf(s.journal, sizeof(s.journal), "JOURNAL_STREAM=%.100s", journal ? journal : "");
	if (!journal)
		envp[0] = NULL;
	pid = fork();
	if (pid < 0)
		return err_set(err, -errno, "devproc.fork", "fork: %s", strerror(errno));
	if (pid == 0)
		child(config, src, argv, envp);
	fd_close(&src[SRC_ERR]); /* or the pipe would never end */
	/* our child, not waited for yet: the number is its */
	pidfd = pidfd_open(pid, 0);
	r = pidfd < 0 ? err_set(err, -errno, "devproc.pidfd", "pidfd_open: %s", strerror(errno))
		      : wait_exec(pipe_rd, config, err);
	if (r < 0) {
		/* it has not come to be gangway-device, and has nothing of VFIO's for itself alone: no wait to speak of */
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		fd_close(&pidfd);
		return r;
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}

int devproc_spawn(const struct devproc_config *config, const struct devproc_paths *paths, const struct vdev_fds *vfio,
		  pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
	int src[SRC_NUM] = { -1, -1, vfio->container, vfio->group, vfio->device, -1 };
	int up[SRC_NUM] = { -1, -1, -1, -1, -1, -1 };
	int pipe_fds[2] = { -1, -1 };
	bool made[2]; /* what is there now that was not, or was a socket that nobody listens to any more */
	int r;

	if (!config->ram_bytes)
		return err_set(err, -EINVAL, "devproc.no-ram", "lease %s: how much RAM its guest may have is not said",
			       config->id);
	r = make_sockets(config, paths, src, err);
	made[0] = src[SRC_CTL] >= 0;
	made[1] = src[SRC_VUSER] >= 0;
	if (r == 0 && pipe2(pipe_fds, O_CLOEXEC) < 0)
		r = err_set(err, -errno, "devproc.pipe", "pipe: %s", strerror(errno));
	src[SRC_ERR] = pipe_fds[1];
	for (int i = 0; r == 0 && i < SRC_NUM; i++) {
		up[i] = move_up(src[i]);
		if (up[i] < 0)
			r = err_set(err, up[i], "devproc.fds", "descriptor for the device process: %s", strerror(-up[i]));
	}
	fd_close(&pipe_fds[1]);
	fd_close(&src[SRC_CTL]);
	fd_close(&src[SRC_VUSER]);
	if (r == 0)
		r = fork_exec(config, up, pipe_fds[0], ret_pid, ret_pidfd, err);
	fd_close(&pipe_fds[0]);
	for (int i = 0; i < SRC_NUM; i++)
		fd_close(&up[i]);
	if (r < 0 && made[0])
		unlink(paths->ctl);
	if (r < 0 && made[1])
		unlink(paths->vuser);
	return r;
}
