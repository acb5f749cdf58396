/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "irq_cpus.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WORDS (IRQ_CPUS_MAX / 64)

unsigned irq_cpus_count(const struct irq_cpus *set)
{
	unsigned n = 0;

	for (unsigned i = 0; i < WORDS; i++)
		n += (unsigned)__builtin_popcountll(set->bits[i]);
	return n;
}

int irq_cpus_nth(const struct irq_cpus *set, unsigned n)
{
	for (unsigned i = 0; i < WORDS; i++) {
		uint64_t word = set->bits[i];

		for (; word; word &= word - 1)
			if (n-- == 0)
				return (int)(i * 64) + __builtin_ctzll(word);
	}
	return -1;
}

bool irq_cpus_equal(const struct irq_cpus *a, const struct irq_cpus *b)
{
	return !memcmp(a, b, sizeof(*a));
}

struct irq_cpus irq_cpus_and(const struct irq_cpus *a, const struct irq_cpus *b)
{
	struct irq_cpus both;

	for (unsigned i = 0; i < WORDS; i++)
		both.bits[i] = a->bits[i] & b->bits[i];
	return both;
}

/* Digits at *@at, which moves behind them. -EINVAL: none; -ERANGE: too many, or too large. */
static int take_cpu(const char *text, size_t len, size_t *at)
{
	size_t start = *at;
	int cpu = 0;

	for (; *at < len && text[*at] >= '0' && text[*at] <= '9'; ++*at)
		if (cpu < IRQ_CPUS_MAX) /* no more is needed to know that it is too large */
			cpu = cpu * 10 + (text[*at] - '0');
	if (*at == start)
		return -EINVAL;
	return cpu < IRQ_CPUS_MAX ? cpu : -ERANGE;
}

int irq_cpus_parse(const char *text, size_t len, struct irq_cpus *ret)
{
	struct irq_cpus set = { 0 };
	size_t at = 0;

	if (len > 0 && text[len - 1] == '\n')
		len--;
	while (at < len) {
		int first = take_cpu(text, len, &at), last = first;

		if (first >= 0 && at < len && text[at] == '-') {
			at++;
			last = take_cpu(text, len, &at);
		}
		if (first < 0 || last < 0)
			return first < 0 ? first : last;
		if (last < first)
			return -EINVAL;
		for (int cpu = first; cpu <= last; cpu++)
			irq_cpus_add(&set, (unsigned)cpu);
		/* a comma, and something behind it */
		if (at < len && (text[at++] != ',' || at == len))
			return -EINVAL;
	}
	*ret = set;
	return 0;
}

size_t irq_cpus_format(const struct irq_cpus *set, char buf[static IRQ_CPUS_TEXT_MAX])
{
	size_t n = 0;

	buf[0] = '\0';
	for (unsigned cpu = 0; cpu < IRQ_CPUS_MAX; cpu++) {
		unsigned first = cpu;

		if (!irq_cpus_has(set, cpu))
			continue;
		while (irq_cpus_has(set, cpu + 1))
			cpu++;
		n += (size_t)snprintf(buf + n, IRQ_CPUS_TEXT_MAX - n, "%s%u", n ? "," : "", first);
		if (cpu > first)
			n += (size_t)snprintf(buf + n, IRQ_CPUS_TEXT_MAX - n, "-%u", cpu);
	}
	return n;
}
