/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One gangwayd for a runtime directory. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "die_with.h"
#include "err.h"
#include "fdutil.h"

static const char *refused(const char *dir, int num, const char *code)
{
	static struct err err;
	int fd = -1;

	cr_assert_eq(daemon_lock(dir, &fd, &err), num);
	cr_assert_str_eq(err.code, code);
	cr_assert_neq(err.hint[0], '\0');
	cr_assert_eq(fd, -1);
	return err.msg;
}

static const char *names(pid_t pid)
{
	static char text[32];

	snprintf(text, sizeof(text), ", pid %d,", (int)pid);
	return text;
}

Test(daemon_lock, one_at_a_time)
{
	char dir[] = "/tmp/gangway-lock-XXXXXX", path[64];
	struct err err;
	int fd, flags;

	cr_assert(mkdtemp(dir));
	cr_assert_eq(daemon_lock(dir, &fd, &err), 0);
	flags = fcntl(fd, F_GETFD);
	cr_assert(flags & FD_CLOEXEC, "a gangway-device would keep it");
	cr_assert(strstr(refused(dir, -EBUSY, "daemon.running"), names(getpid())), "who has it is told");
	fd_close(&fd);
	/* the file is still there, as after a kill */
	cr_assert_eq(daemon_lock(dir, &fd, &err), 0);
	fd_close(&fd);
	snprintf(path, sizeof(path), "%s/lock", dir);
	unlink(path);
	/* nobody is led to another file */
	cr_assert_eq(symlink("/etc/passwd", path), 0);
	refused(dir, -ELOOP, "daemon.no-dir");
	unlink(path);
	rmdir(dir);
	refused(dir, -ENOENT, "daemon.no-dir");
}

/* What stands in the file is not believed: of a process that is no more, or no number at all. */
Test(daemon_lock, a_holder_that_is_not_known)
{
	static const char *const texts[] = { "", "-1\n", "0\n", "99999999999999\n", "pid", "2147483646\n" };
	char dir[] = "/tmp/gangway-lock-XXXXXX", path[64];
	struct err err;
	int fd, other;

	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/lock", dir);
	cr_assert_eq(daemon_lock(dir, &fd, &err), 0);
	other = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_geq(other, 0);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		cr_assert_eq(ftruncate(other, 0), 0);
		cr_assert_eq(pwrite(other, texts[i], strlen(texts[i]), 0), (ssize_t)strlen(texts[i]));
		cr_assert_null(strstr(refused(dir, -EBUSY, "daemon.running"), "pid"), "%s", texts[i]);
	}
	close(other);
	fd_close(&fd);
	unlink(path);
	rmdir(dir);
}

#define RIVALS 16

/* Of many that start in the same instant one has it. */
Test(daemon_lock, all_at_once)
{
	char dir[] = "/tmp/gangway-lock-XXXXXX", path[64];
	int go[2], done[2], status, nr = 0;
	pid_t test = getpid();
	char byte;

	cr_assert(mkdtemp(dir) && pipe(go) == 0 && pipe(done) == 0);
	for (int i = 0; i < RIVALS; i++) {
		pid_t pid = fork();

		cr_assert_geq(pid, 0);
		if (pid == 0) {
			struct err err;
			int fd = -1, r;

			die_with(test);
			close(go[1]);
			(void)!read(go[0], &byte, 1); /* the end of the pipe: now */
			r = daemon_lock(dir, &fd, &err);
			byte = 0;
			(void)!write(done[1], &byte, 1);
			close(done[1]);
			/* it is kept until all have tried */
			while (r == 0 && access(dir, F_OK) == 0)
				usleep(1000);
			_exit(r == 0);
		}
	}
	close(go[0]);
	close(go[1]);
	for (int i = 0; i < RIVALS; i++)
		cr_assert_eq(read(done[0], &byte, 1), 1);
	snprintf(path, sizeof(path), "%s/lock", dir);
	unlink(path);
	rmdir(dir);
	while (wait(&status) > 0)
		nr += WEXITSTATUS(status);
	cr_assert_eq(nr, 1);
	close(done[0]);
	close(done[1]);
}
