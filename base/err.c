/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the UTF-8 character at @s, 0: it is none (RFC 3629, section 4). The NUL is where a character that was cut stops. */
static size_t utf8_len(const unsigned char *s)
{
	static const struct {
		unsigned char first, last, low, high; /* range of the first byte, and of the second one behind it */
		size_t len;
	} forms[] = {
		{ 0x01, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	size_t i = 0, n = sizeof(forms) / sizeof(forms[0]);

	while (i < n && (s[0] < forms[i].first || s[0] > forms[i].last))
		i++;
	if (i == n)
		return 0;
	for (size_t k = 1; k < forms[i].len; k++)
		if (s[k] < (k == 1 ? forms[i].low : 0x80) || s[k] > (k == 1 ? forms[i].high : 0xbf))
			return 0;
	return forms[i].len;
}

/*
 * Errors quote what peers, drivers and operators say, and are cut wherever the room ends. They go out as JSON, which takes UTF-8 and
 * nothing else: an error that is none would not reach anybody.
 */
static void make_text(char *s)
{
	for (size_t n; *s; s += n) {
		n = utf8_len((const unsigned char *)s);
		if (n == 0) {
			*s = '?';
			n = 1;
		}
	}
}

/* vsnprintf that marks a cut with "..." and leaves text */
static void __attribute__((format(printf, 3, 0))) put(char *buf, size_t size, const char *fmt, va_list ap)
{
	int n = vsnprintf(buf, size, fmt, ap);

	if (n < 0)
		buf[0] = '\0';
	else if ((size_t)n >= size)
		memcpy(buf + size - 4, "...", 4);
	make_text(buf);
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
	make_text(err->msg);
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
	case -EADDRINUSE:
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
