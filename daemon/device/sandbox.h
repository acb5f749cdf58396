/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sandbox: what gangway-device may still do once it holds its descriptors: serve them. In two named stages, because the objects are
 * made between them:
 *   sandbox_drop()   no files, another user, no capabilities, no new privileges, few descriptors
 *   sandbox_seal()   only the system calls of the table in sandbox.c; any other one kills the process
 */
#ifndef GANGWAY_SANDBOX_H
#define GANGWAY_SANDBOX_H

#include <sys/types.h>

struct err;

/* As root: @root (an empty directory; NULL: none) becomes the root directory, and the process @uid:@gid with no groups. Otherwise they must be
 * what the process is already, and @root is left aside. */
int sandbox_drop(const char *root, uid_t uid, gid_t gid, struct err *err);
/* Bytes of memory of its own (RLIMIT_DATA: guest memory, which is shared, does not count); only ever lowered. */
int sandbox_limit_memory(unsigned long bytes, struct err *err);
/* Descriptors that may be open; only ever lowered. */
int sandbox_limit_fds(unsigned nr, struct err *err);
int sandbox_seal(struct err *err);

#endif
