/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One gangwayd for a runtime directory. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon.h"
#include "err.h"
#include "fdutil.h"

static void refused(const char *dir, int num, const char *code)
{
	struct err err = { 0 };
	int fd = -1;

	cr_assert_eq(daemon_lock(dir, &fd, &err), num);
	cr_assert_str_eq(err.code, code);
	cr_assert_neq(err.hint[0], '\0');
	cr_assert_eq(fd, -1);
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
	refused(dir, -EBUSY, "daemon.running");
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
