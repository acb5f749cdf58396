/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fdutil: file descriptors that know who owns them, and descriptors sent over Unix sockets.
 */
#ifndef GANGWAY_FDUTIL_H
#define GANGWAY_FDUTIL_H

#include <stddef.h>
#include <sys/types.h>

/* Close *@fd unless it is negative, and set it to -1. Keeps errno. */
void fd_close(int *fd);

/* Give *@fd away: returns it and leaves -1 behind. */
int fd_take(int *fd);

/*
 * One sendmsg(2) of @len bytes with @nr_fds descriptors (0 to FD_MSG_MAX), MSG_NOSIGNAL | MSG_DONTWAIT. The caller keeps the
 * descriptors. Returns bytes sent or a negative errno (-EAGAIN: would block).
 */
ssize_t fd_send(int sock, const void *buf, size_t len, const int *fds, size_t nr_fds);

/*
 * One recvmsg(2), MSG_DONTWAIT | MSG_CMSG_CLOEXEC. Descriptors received are stored in @fds (room for @max_fds, at most
 * FD_MSG_MAX), their number in *@ret_nr_fds; they belong to the caller. If the kernel had more than fit (MSG_CTRUNC) or any
 * are surplus, all are closed and -EMFILE is returned. Returns bytes (0: end of stream) or a negative errno.
 */
ssize_t fd_recv(int sock, void *buf, size_t len, int *fds, size_t max_fds, size_t *ret_nr_fds);

#define FD_MSG_MAX 16

/*
 * The file @path, made where it is not there (0600, no symbolic link), locked for as long as the descriptor returned is open. It names its
 * holder: -EWOULDBLOCK, and in *@ret_holder the pid of who has it, 0 if that is not known. Or another negative errno.
 */
int fd_lock_file(const char *path, pid_t *ret_holder);

/* Listening Unix socket (SOCK_CLOEXEC | SOCK_NONBLOCK) of @type at @path with @mode; an old socket there is removed, one
 * that somebody listens to is -EADDRINUSE, anything else there is -EEXIST. Returns the fd or a negative errno. */
int fd_listen_unix(const char *path, int type, mode_t mode);

/* Connecting, non-blocking, close-on-exec Unix socket; returns the fd or a negative errno (-EAGAIN: the backlog is full). */
int fd_connect_unix(const char *path, int type);

#endif
