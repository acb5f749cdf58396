/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libFuzzer target: the input is a record of /dev/kmsg. What is taken for a fault is in range and printable. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct fault *f)
{
	size_t n = strnlen(f->bdf, sizeof(f->bdf)), m = strnlen(f->reason, sizeof(f->reason));

	if ((n != 0 && n != 12) || m == sizeof(f->reason) || f->count == 0 || f->count > INT32_MAX)
		abort();
	if (f->kind != FAULT_SUPPRESSED && f->count != 1)
		abort();
	for (size_t i = 0; i < n; i++)
		if (!strchr("0123456789abcdef:.", f->bdf[i]))
			abort();
	for (size_t i = 0; i < m; i++)
		if (f->reason[i] < 0x20 || f->reason[i] > 0x7e)
			abort();
	if (!strcmp(fault_kind_to_string(f->kind), "?"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1); /* exactly as long: reading past the end is found */
	struct fault f;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	if (fault_parse_record(copy, size, &f))
		check(&f);
	if (fault_parse_line(copy, size, &f))
		check(&f);
	free(copy);
	return 0;
}
