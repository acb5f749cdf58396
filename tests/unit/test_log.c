/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A log that nobody reads costs lines, never time. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

/* Fill @wr, log 3 lines into it, empty @rd, log another. */
static void nobody_reads(int rd, int wr)
{
	int flags = fcntl(wr, F_GETFL), keep = dup(STDERR_FILENO);
	char buf[4096] = { 0 };
	ssize_t n;

	unsetenv("JOURNAL_STREAM");
	log_init("test", LOG_LVL_INFO);
	cr_assert_eq(fcntl(wr, F_SETFL, flags | O_NONBLOCK), 0);
	while (write(wr, buf, sizeof(buf)) > 0)
		;
	while (write(wr, buf, 1) > 0)
		;
	cr_assert_eq(fcntl(wr, F_SETFL, flags), 0, "as a daemon gets its stderr: it would wait");
	cr_assert_eq(fcntl(rd, F_SETFL, fcntl(rd, F_GETFL) | O_NONBLOCK), 0);

	alarm(5); /* what waits is killed, and the test with it */
	dup2(wr, STDERR_FILENO);
	for (int i = 0; i < 3; i++)
		log_info("line %d", i);
	while (read(rd, buf, sizeof(buf)) > 0)
		;
	log_info("here again");
	dup2(keep, STDERR_FILENO);
	alarm(0);

	n = read(rd, buf, sizeof(buf) - 1);
	cr_assert_gt(n, 0);
	buf[n] = '\0';
	cr_assert_str_eq(buf, "test: 3 lines lost here: nobody read them\ntest: here again\n", "%s", buf);
}

Test(log, pipe_that_nobody_reads)
{
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	nobody_reads(fds[0], fds[1]);
}

Test(log, socket_that_nobody_reads)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	nobody_reads(fds[0], fds[1]);
}

Test(log, closed)
{
	int keep = dup(STDERR_FILENO);

	close(STDERR_FILENO);
	log_info("into the void");
	dup2(keep, STDERR_FILENO);
}
