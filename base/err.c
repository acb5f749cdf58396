/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* vsnprintf that marks a cut with "..." */
static void __attribute__((format(printf, 3, 0))) put(char *buf, size_t size, const char *fmt, va_list ap)
{
	int n = vsnprintf(buf, size, fmt, ap);

	if (n < 0)
		buf[0] = '\0';
	else if ((size_t)n >= size)
		memcpy(buf + size - 4, "...", 4);
}

void err_clear(struct err *err)
{
	if (err)
		*err = (struct err){ 0 };
}

int err_vset(struct err *err, int num, const char *code, const char *fmt, va_list ap)
{
	if (!err)
		return num;
	err->num = num;
	snprintf(err->code, sizeof(err->code), "%s", code);
	put(err->msg, sizeof(err->msg), fmt, ap);
	err->hint[0] = '\0';
	return num;
}

void err_fill(struct err *err, int num, const char *code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(err, num, code, fmt, ap);
	va_end(ap);
}

void err_prefix(struct err *err, const char *fmt, ...)
{
	char old[ERR_MSG_MAX];
	size_t used;
	va_list ap;

	if (!err)
		return;
	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	put(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	used = strlen(err->msg);
	if (snprintf(err->msg + used, sizeof(err->msg) - used, ": %s", old) >= (int)(sizeof(err->msg) - used))
		memcpy(err->msg + sizeof(err->msg) - 4, "...", 4);
}

void err_hint(struct err *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return;
	va_start(ap, fmt);
	put(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
}

enum exit_code err_exit_code(int num)
{
	switch (num) {
	case 0:
		return EXIT_OK;
	case -ENOENT:
	case -ENODEV:
	case -ESRCH:
	case -ENXIO:
		return EXIT_NOT_FOUND;
	case -EBUSY:
	case -EEXIST:
	case -EALREADY:
		return EXIT_BUSY;
	case -EPERM:
	case -EACCES:
		return EXIT_DENIED;
	case -ETIMEDOUT:
		return EXIT_TIMEOUT;
	case -ECONNREFUSED:
	case -ENOTCONN:
		return EXIT_UNREACHABLE;
	default:
		return EXIT_FAILED;
	}
}
