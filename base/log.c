/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *tag_text = "gangway";
static enum log_level max_level = LOG_LVL_INFO;
static int to_journal = -1;
static atomic_uint nr_lost; /* lines since the last one written */

static int priority(enum log_level level)
{
	switch (level) {
	case LOG_LVL_ERR:
		return 3;
	case LOG_LVL_WARN:
		return 4;
	case LOG_LVL_INFO:
		return 6;
	case LOG_LVL_DEBUG:
		return 7;
	}
	return 6;
}

void log_init(const char *tag, enum log_level max)
{
	tag_text = tag;
	max_level = max;
}

/*
 * One write: lines of several processes on one stderr do not mix. It is shared with others, so O_NONBLOCK is not ours to set: a socket (the
 * journal's) is asked not to wait, anything else is written to when it is ready. A pipe that is has room for a page, so for a line.
 */
static bool put_line(const char *line, size_t n)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t done = send(STDERR_FILENO, line, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (done < 0 && errno == ENOTSOCK)
		done = poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) ? write(STDERR_FILENO, line, n) : -1;
	return done == (ssize_t)n;
}

/* Before the next line: how many are missing here. */
static bool tell_lost(size_t start, const char *prefix)
{
	unsigned lost = atomic_exchange(&nr_lost, 0);
	char line[128];
	int len;

	if (!lost)
		return true;
	len = snprintf(line, sizeof(line), "%.*s%u lines lost here: nobody read them\n", (int)start, prefix, lost);
	if (len > 0 && (size_t)len < sizeof(line) && put_line(line, (size_t)len))
		return true;
	atomic_fetch_add(&nr_lost, lost);
	return false;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char line[1024];
	size_t start = 0, n;
	va_list ap;
	int len;

	if (level > max_level)
		return;
	if (to_journal < 0)
		to_journal = getenv("JOURNAL_STREAM") != NULL;
	if (to_journal)
		start = (size_t)snprintf(line, sizeof(line), "<%d>", priority(level));
	else
		start = (size_t)snprintf(line, sizeof(line), "%s: ", tag_text);
	va_start(ap, fmt);
	len = vsnprintf(line + start, sizeof(line) - start - 1, fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	n = strlen(line);
	for (size_t i = start; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	if (!tell_lost(start, line) || !put_line(line, n))
		atomic_fetch_add(&nr_lost, 1);
}
