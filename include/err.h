/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * err: one error, from the place that knows the cause to the operator's terminal.
 *
 * A function that can fail returns 0 or a negative errno; where an operator can trigger the failure its last
 * parameter is a `struct err *` (NULL: the caller does not care). It is filled once, where the cause is known,
 * and prefixed on the way up. No allocation; text that does not fit is cut and ends in "...". Message and hint are always UTF-8:
 * bytes that are not, a character cut in two included, become '?'.
 */
#ifndef GANGWAY_ERR_H
#define GANGWAY_ERR_H

#include <stdarg.h>
#include <stddef.h>

#define ERR_CODE_MAX 48
#define ERR_MSG_MAX 512
#define ERR_HINT_MAX 384

struct err {
	int num; /* negative errno; 0: no error */
	char code[ERR_CODE_MAX]; /* stable, "module.what-is-wrong", e.g. "iommu.map-overlap" */
	char msg[ERR_MSG_MAX]; /* one line, names the object first */
	char hint[ERR_HINT_MAX]; /* what the operator can do; may be empty */
};

/* Exit codes of the CLI; an err's errno decides which (err_exit_code()). */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_FOUND = 3,
	EXIT_UNREACHABLE = 4,
	EXIT_BUSY = 5,
	EXIT_DENIED = 6,
	EXIT_TIMEOUT = 7,
};

/* Back to "no error". NULL is fine. */
void err_clear(struct err *err);

/*
 * Fill @err (replacing what it held, hint included; NULL is fine). @num: negative errno. @code: stable code. @fmt: message.
 * err_set() gives @num, so that `return err_set(...)` works; a macro, so that analyzers see that it does.
 */
void err_fill(struct err *err, int num, const char *code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
#define err_set(err, num, ...)                                                                                                   \
	({                                                                                                                       \
		const int err_num_ = (num);                                                                                      \
		err_fill(err, err_num_, __VA_ARGS__);                                                                            \
		err_num_;                                                                                                        \
	})
int err_vset(struct err *err, int num, const char *code, const char *fmt, va_list ap) __attribute__((format(printf, 4, 0)));

/* Put "text: " before the message. */
void err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Say what to do about it. Replaces an earlier hint. */
void err_hint(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * The exit code that belongs to negative errno @num: -ENOENT/-ENODEV/-ESRCH/-ENXIO 3, -EBUSY/-EEXIST/-EALREADY/-EADDRINUSE 5,
 * -EPERM/-EACCES 6, -ETIMEDOUT 7, -ECONNREFUSED/-ENOTCONN 4, anything else 1.
 */
enum exit_code err_exit_code(int num);

#endif
