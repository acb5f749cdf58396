/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *tag_text = "gangway";
static enum log_level max_level = LOG_LVL_INFO;
static int to_journal = -1;

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
	/* one write(2): lines of several processes on one stderr do not mix. A full or closed stderr loses the line. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}
