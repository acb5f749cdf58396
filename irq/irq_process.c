/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "irq_process.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "gangway_limits.h"
#include "sys.h"

#define STATUS_MAX 4096 /* the label is among the first */
#define TGID "\nTgid:\t"

int irq_tgid_parse(const char *text, size_t len, pid_t *ret)
{
	/* the name above it cannot fake the line: its newlines are escaped */
	const char *at = len ? memmem(text, len, TGID, strlen(TGID)) : NULL, *end = text + len;
	pid_t n = 0;

	if (!at)
		return -EPROTO;
	for (at += strlen(TGID); at < end && *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *at - '0', &n))
			return -EPROTO;
	if (at == end || *at != '\n' || n <= 0)
		return -EPROTO;
	*ret = n;
	return 0;
}

static int gone(pid_t tid, struct err *err)
{
	return err_set(err, -ESRCH, "irq.thread-gone", "no thread %d", tid);
}

static int process_of(struct sys *sys, pid_t tid, pid_t *ret, struct err *err)
{
	char path[64], text[STATUS_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	n = tid > 0 ? sys->ops->read_file(sys, path, text, sizeof(text)) : -ESRCH;
	if (n == -ENOENT || n == -ESRCH)
		return gone(tid, err);
	if (n < 0)
		return err_set(err, (int)n, "irq.thread-read", "%s: %s", path, strerror((int)-n));
	if (irq_tgid_parse(text, (size_t)n, ret) < 0)
		return err_set(err, -EPROTO, "irq.bad-stat", "%s makes no sense", path);
	return 0;
}

/* A file's name is its opener's to choose, who has a mount namespace of its own; but it chooses for itself, not for another process. */
static int has_open(struct sys *sys, pid_t pid, const char *node, struct err *err)
{
	char path[96], target[PATH_MAX], **fds;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	r = sys->ops->list(sys, path, &fds);
	if (r < 0)
		return err_set(err, r, "irq.thread-read", "%s: %s", path, strerror(-r));
	r = -EPERM;
	for (unsigned i = 0; r < 0 && i < LIMIT_VMM_FDS && fds[i]; i++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%.20s", pid, fds[i]);
		if (sys->ops->readlink(sys, path, target, sizeof(target)) >= 0 && !strcmp(target, node))
			r = 0;
	}
	sys_list_free(fds);
	return r < 0 ? err_set(err, r, "irq.not-the-vmm", "process %d, whose threads it names, has not got %s open", pid, node)
		     : 0;
}

int irq_process_find(struct sys *sys, const pid_t *tids, unsigned nr, int group, pid_t *ret, struct err *err)
{
	char node[64], path[64];
	pid_t pid = 0;
	int r;

	r = nr > 0 ? process_of(sys, tids[0], &pid, err) : gone(0, err);
	if (r < 0)
		return r;
	for (unsigned i = 1; i < nr; i++) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d", pid, tids[i]);
		if (!sys_exists(sys, path))
			return err_set(err, -EPERM, "irq.not-the-vmm", "thread %d is none of process %d, as thread %d is",
				       tids[i], pid, tids[0]);
	}
	snprintf(node, sizeof(node), "/dev/vfio/%d", group);
	r = has_open(sys, pid, node, err);
	if (r == 0)
		*ret = pid;
	return r;
}
