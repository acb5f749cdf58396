/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process of a test's does not outlive it: a stray one spoils what is measured on the same machine. */
#ifndef GANGWAY_TESTS_DIE_WITH_H
#define GANGWAY_TESTS_DIE_WITH_H

#include <signal.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

/* In a child of @parent, after it has changed its user, if it does: that would take the signal back. The parent may have ended already. */
static inline void die_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
}

#endif
