/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "irq_count.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sys.h"

#define TEXT_MAX 4096 /* of one vector's counts: what is behind belongs to CPUs above some 2000, or to none */
#define NAME_MAX_LEN 10 /* digits of an IRQ's number */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int irq_count_parse(const char *text, size_t len, uint64_t *ret)
{
	uint64_t sum = 0, n;
	size_t i = 0;

	if (len > 0 && text[len - 1] == '\n')
		len--;
	do {
		if (i == len || !is_digit(text[i]))
			return -EINVAL;
		for (n = 0; i < len && is_digit(text[i]); i++)
			if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(text[i] - '0'), &n))
				n = UINT64_MAX;
		if (__builtin_add_overflow(sum, n, &sum))
			sum = UINT64_MAX;
		if (i < len && text[i++] != ',')
			return -EINVAL;
	} while (i < len);
	*ret = sum;
	return 0;
}

int irq_count_cpus(struct sys *sys, unsigned irq, uint64_t *ret, unsigned max, unsigned *ret_nr)
{
	char path[64], text[TEXT_MAX];
	unsigned nr = 0;
	uint64_t sum;
	ssize_t n;
	bool full; /* the last number may go on behind the end */

	snprintf(path, sizeof(path), "/sys/kernel/irq/%u/per_cpu_count", irq);
	n = sys->ops->read_file(sys, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	full = n == (ssize_t)sizeof(text);
	if (irq_count_parse(text, (size_t)n, &sum) < 0)
		return -EPROTO;
	for (ssize_t at = 0; at < n && nr < max; nr++) {
		ssize_t start = at;

		while (at < n && is_digit(text[at]))
			at++;
		if (at == start || (at == n && full))
			break;
		irq_count_parse(text + start, (size_t)(at - start), &ret[nr]);
		at++;
	}
	*ret_nr = nr;
	return 0;
}

/* An entry of msi_irqs is part of a path from here on. */
static bool is_number(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= NAME_MAX_LEN && strspn(name, "0123456789") == n;
}

/* 0 where it makes no sense. */
static uint64_t count_of(struct sys *sys, const char *irq)
{
	char path[64], text[TEXT_MAX];
	uint64_t count;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/kernel/irq/%s/per_cpu_count", irq);
	n = sys->ops->read_file(sys, path, text, sizeof(text));
	return n > 0 && irq_count_parse(text, (size_t)n, &count) == 0 ? count : 0;
}

int irq_count(struct sys *sys, const char *bdf, uint64_t *ret)
{
	char path[96];
	struct stat st;
	char **irqs;

	*ret = 0;
	if (sys->ops->stat(sys, "/sys/kernel/irq", &st) == -ENOENT)
		return -EOPNOTSUPP;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/msi_irqs", bdf);
	if (sys->ops->list(sys, path, &irqs) < 0)
		return 0;
	for (size_t i = 0; i < IRQ_COUNT_MAX && irqs[i]; i++)
		if (is_number(irqs[i]) && __builtin_add_overflow(*ret, count_of(sys, irqs[i]), ret))
			*ret = UINT64_MAX;
	sys_list_free(irqs);
	return 0;
}
