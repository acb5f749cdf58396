/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses as text, there and back, and what is none. */
#include <criterion/criterion.h>
#include <errno.h>

#include "hex64.h"

Test(hex64, there_and_back)
{
	static const struct {
		uint64_t v;
		const char *text;
	} rows[] = { { 0, "0x0" },
		     { 0x9ffff, "0x9ffff" },
		     { UINT64_C(1) << 63, "0x8000000000000000" },
		     { UINT64_MAX, "0xffffffffffffffff" } };
	char buf[HEX64_SIZE];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t v = ~rows[i].v;

		cr_assert_str_eq(hex64_format(rows[i].v, buf), rows[i].text);
		cr_assert_eq(hex64_parse(rows[i].text, &v), 0, "%s", rows[i].text);
		cr_assert_eq(v, rows[i].v);
	}
}

Test(hex64, what_is_none)
{
	static const char *const bad[] = { NULL,
					   "",
					   "0",
					   "0x",
					   "x0",
					   "10",
					   "0X1",
					   "0xF",
					   "0x 1",
					   " 0x1",
					   "0x1 ",
					   "0x-1",
					   "-0x1",
					   "0x1g",
					   "0x+1",
					   "0x1.0",
					   "0x10000000000000000",
					   "0x00000000000000001",
					   "0x0x1",
					   "0x1\n" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t v = 7;

		cr_assert_eq(hex64_parse(bad[i], &v), -EINVAL, "%s", bad[i]);
		cr_assert_eq(v, 7, "untouched on failure");
	}
}
