/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hex64.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int hex64_parse(const char *text, uint64_t *ret)
{
	size_t len;

	if (!text || text[0] != '0' || text[1] != 'x')
		return -EINVAL;
	len = strspn(text + 2, "0123456789abcdef");
	if (len < 1 || len > 16 || text[2 + len])
		return -EINVAL;
	*ret = strtoull(text + 2, NULL, 16);
	return 0;
}

const char *hex64_format(uint64_t v, char buf[HEX64_SIZE])
{
	snprintf(buf, HEX64_SIZE, "0x%" PRIx64, v);
	return buf;
}

json_t *hex64_json(uint64_t v)
{
	char buf[HEX64_SIZE];

	return json_string(hex64_format(v, buf));
}
