/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hex64: addresses in JSON. They are text there, "0x1f000": an integer of jansson is signed, and 2^63 is an address. */
#ifndef GANGWAY_HEX64_H
#define GANGWAY_HEX64_H

#include <stdint.h>

struct json_t; /* jansson */

#define HEX64_SIZE 19 /* "0x", 16 digits, NUL */

/* "0x" and 1 to 16 lower case digits, nothing else. NULL is none. 0 or -EINVAL. */
int hex64_parse(const char *text, uint64_t *ret);
/* Returns @buf. */
const char *hex64_format(uint64_t v, char buf[HEX64_SIZE]);
/* As JSON, the caller's; NULL: no memory. */
struct json_t *hex64_json(uint64_t v);

#endif
