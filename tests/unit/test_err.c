/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever an error quotes and wherever it is cut, its text is UTF-8: it goes out as JSON, which takes nothing else. */
#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "err.h"

static void check_text(const char *text, const char *what)
{
	json_t *v = json_string(text);

	cr_expect(v, "%s: no UTF-8: %s", what, text);
	json_decref(v);
}

/* Two, three and four bytes a character, and every place within one that a cut can fall on. */
Test(err, a_cut_within_a_character)
{
	static const char *const chars[] = { "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\xa7" };

	for (size_t c = 0; c < sizeof(chars) / sizeof(chars[0]); c++) {
		for (size_t shift = 0; shift < 4; shift++) {
			char quoted[2 * ERR_MSG_MAX] = "", precise[64];
			struct err err;

			memset(quoted, 'x', shift);
			while (strlen(quoted) + 8 < sizeof(quoted))
				strcat(quoted, chars[c]);
			err_set(&err, -EIO, "test.cut", "%s", quoted);
			err_hint(&err, "%s", quoted);
			check_text(err.msg, "message");
			check_text(err.hint, "hint");
			cr_expect_str_eq(err.msg + strlen(err.msg) - 3, "...");
			cr_expect(strlen(err.msg) > ERR_MSG_MAX - 8);

			/* "%.40s" of a name, a buffer too small for it */
			err_set(&err, -EIO, "test.cut", "\"%.40s\"", quoted);
			check_text(err.msg, "precision");
			snprintf(precise, sizeof(precise), "%s", quoted);
			err_set(&err, -EIO, "test.cut", "%s: bad", precise);
			check_text(err.msg, "buffer");
			cr_expect_str_eq(err.msg + strlen(err.msg) - 5, ": bad");

			err_set(&err, -EIO, "test.cut", "%s", quoted);
			err_prefix(&err, "%.250s", quoted);
			check_text(err.msg, "prefix");
		}
	}
}

/* From a driver or a path: bytes that never were UTF-8, as RFC 3629 has it. */
Test(err, bytes_that_are_no_text)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain", "plain" },
		{ "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa7", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa7" },
		{ "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf" },
		{ "caf\xe9", "caf?" }, /* Latin-1 */
		{ "\x80 \xff \xfe", "? ? ?" },
		{ "\xc0\xaf", "??" }, /* overlong */
		{ "\xe0\x80\xaf", "???" },
		{ "\xf0\x80\x80\xaf", "????" },
		{ "\xed\xa0\x80", "???" }, /* a surrogate */
		{ "\xf4\x90\x80\x80", "????" }, /* above U+10FFFF */
		{ "\xe2\x82", "??" },
		{ "\xe2\x82x", "??x" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err;

		err_set(&err, -EIO, "test.bytes", "%s", cases[i].in);
		cr_expect_str_eq(err.msg, cases[i].out, "case %zu: %s", i, err.msg);
		check_text(err.msg, "message");
		err_prefix(&err, "%s", cases[i].in);
		check_text(err.msg, "prefix");
	}
}

Test(err, exit_codes)
{
	static const struct {
		int num, code;
	} rows[] = {
		{ 0, EXIT_OK },
		{ -ENOENT, EXIT_NOT_FOUND },
		{ -ENODEV, EXIT_NOT_FOUND },
		{ -ESRCH, EXIT_NOT_FOUND },
		{ -ENXIO, EXIT_NOT_FOUND },
		{ -EBUSY, EXIT_BUSY },
		{ -EEXIST, EXIT_BUSY },
		{ -EALREADY, EXIT_BUSY },
		{ -EADDRINUSE, EXIT_BUSY },
		{ -EPERM, EXIT_DENIED },
		{ -EACCES, EXIT_DENIED },
		{ -ETIMEDOUT, EXIT_TIMEOUT },
		{ -ECONNREFUSED, EXIT_UNREACHABLE },
		{ -ENOTCONN, EXIT_UNREACHABLE },
		{ -EINVAL, EXIT_FAILED },
		{ -EIO, EXIT_FAILED },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert_eq((int)err_exit_code(rows[i].num), rows[i].code, "%d", rows[i].num);
}
