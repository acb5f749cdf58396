/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process at the other end of a socket: found, ended, or another one by the same number. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "die_with.h"
#include "peer.h"

static pid_t child(void)
{
	pid_t test = getpid(), pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		die_with(test);
		/* a name that looks like the end of one, and more fields */
		prctl(PR_SET_NAME, ") 1 2 3");
		for (;;)
			pause();
	}
	return pid;
}

static bool has_ended(int pidfd)
{
	return poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, 0) == 1;
}

static void end_of(pid_t pid)
{
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(peer, by_pid)
{
	pid_t pid = child();
	int fd = peer_open(pid, peer_now_us() + 1000000);

	cr_assert_geq(fd, 0);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_not(has_ended(fd));
	end_of(pid);
	cr_assert(has_ended(fd));
	close(fd);
	cr_assert_eq(peer_open(pid, peer_now_us()), -ESRCH);
	cr_assert_eq(peer_open(0, peer_now_us()), -ESRCH);
	cr_assert_eq(peer_open(-1, peer_now_us()), -ESRCH);
}

/* It has started after we had connected: so it cannot be who listened. */
Test(peer, a_pid_that_is_used_again)
{
	pid_t pid = child();

	cr_assert_eq(peer_open(pid, 1), -ESRCH, "it did not start a microsecond after the boot");
	cr_assert_geq(peer_open(getpid(), peer_now_us()), 0);
	end_of(pid);
}

Test(peer, of_a_socket)
{
	int pair[2], fd;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fd = peer_pidfd(pair[0], getpid(), peer_now_us());
	cr_assert_geq(fd, 0);
	cr_assert_not(has_ended(fd));
	close(fd);
	close(pair[0]);
	close(pair[1]);
}
