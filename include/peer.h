/* SPDX-License-Identifier: GPL-2.0-or-later */
/* peer: the process at the other end of a Unix socket, by a descriptor that a pid which is used again cannot mislead. */
#ifndef GANGWAY_PEER_H
#define GANGWAY_PEER_H

#include <stdint.h>
#include <sys/types.h>

/* Microseconds since the host has booted, CLOCK_BOOTTIME: what the kernel dates processes by. */
uint64_t peer_now_us(void);

/*
 * A pidfd (the caller's, close-on-exec) of who called listen(2) on the socket that @sock is connected to, and whom SO_PEERCRED calls @pid.
 * Linux 6.5 and later say (SO_PEERPIDFD); before, it is peer_open(). -ESRCH: it has ended. Or another negative errno.
 */
int peer_pidfd(int sock, pid_t pid, uint64_t connected_us);

/* The same of @pid; -ESRCH too where the process of that number is a later one: it has started after @before_us, of peer_now_us(). */
int peer_open(pid_t pid, uint64_t before_us);

#endif
