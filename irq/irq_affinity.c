/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "irq_affinity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "sys.h"

#define ACTIONS_MAX 256 /* bytes of an actions line: names of VFIO are 30 */
#define VECTOR_DIGITS 4 /* of IRQ_HOST_MAX - 1 */
#define IRQ_DIGITS 9 /* of an interrupt's number: fits an unsigned */

/* Digits at *@at up to @end, at most @max of them. -1: none, or more. */
static int take_number(const char **at, const char *end, unsigned max)
{
	unsigned v = 0, n = 0;

	for (; *at < end && **at >= '0' && **at <= '9'; ++*at, n++)
		if (n < max)
			v = v * 10 + (unsigned)(**at - '0');
	return n > 0 && n <= max ? (int)v : -1;
}

static bool skip(const char **at, const char *end, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(end - *at) < n || memcmp(*at, word, n) != 0)
		return false;
	*at += n;
	return true;
}

/* One name: "vfio-msix[3](0000:3b:02.1)" or "vfio-msi[0](...)". "vfio-intx(...)" is no message. */
static bool parse_name(const char *at, const char *end, const char *bdf, unsigned *ret_vector, bool *ret_msix)
{
	bool msix;
	int vector;

	if (!skip(&at, end, "vfio-msi"))
		return false;
	msix = skip(&at, end, "x");
	if (!skip(&at, end, "["))
		return false;
	vector = take_number(&at, end, VECTOR_DIGITS);
	if (vector < 0 || vector >= IRQ_HOST_MAX || !skip(&at, end, "](") || !skip(&at, end, bdf) || !skip(&at, end, ")") ||
	    at != end)
		return false;
	*ret_vector = (unsigned)vector;
	*ret_msix = msix;
	return true;
}

int irq_action_parse(const char *text, size_t len, const char *bdf, unsigned *ret_vector, bool *ret_msix)
{
	const char *at = text, *end = text + len, *comma;

	if (len > 0 && end[-1] == '\n')
		end--;
	for (; at < end; at = comma + 1) {
		comma = memchr(at, ',', (size_t)(end - at));
		if (!comma)
			comma = end;
		if (parse_name(at, comma, bdf, ret_vector, ret_msix))
			return 0;
	}
	return -ENOENT;
}

static int read_host(struct sys *sys, const char *bdf, unsigned irq, struct irq_host *ret)
{
	char path[64], text[ACTIONS_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/kernel/irq/%u/actions", irq);
	n = sys->ops->read_file(sys, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	ret->irq = irq;
	return irq_action_parse(text, (size_t)n, bdf, &ret->vector, &ret->msix);
}

int irq_host_check(struct sys *sys, const char *bdf, const struct irq_host *host)
{
	struct irq_host is;
	int r = read_host(sys, bdf, host->irq, &is);

	if (r < 0)
		return r;
	return is.vector == host->vector && is.msix == host->msix ? 0 : -ENOENT;
}

static int by_vector(const void *a, const void *b)
{
	const struct irq_host *x = a, *y = b;

	if (x->vector != y->vector)
		return x->vector < y->vector ? -1 : 1;
	return x->irq < y->irq ? -1 : x->irq > y->irq;
}

int irq_host_list(struct sys *sys, const char *bdf, struct irq_host *ret, unsigned max, unsigned *ret_nr, struct err *err)
{
	unsigned nr = 0;
	char path[96], **names;
	struct stat st;
	int r;

	if (sys->ops->stat(sys, "/sys/kernel/irq", &st) == -ENOENT)
		return err_set(err, -EOPNOTSUPP, "irq.no-sysfs", "vf %s: this kernel has no /sys/kernel/irq", bdf);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/msi_irqs", bdf);
	r = sys->ops->list(sys, path, &names);
	if (r == -ENOENT) { /* it has no vectors, or is gone itself */
		*ret_nr = 0;
		return 0;
	}
	if (r < 0)
		return err_set(err, r, "irq.list", "vf %s: its interrupts: %s", bdf, strerror(-r));
	for (size_t i = 0; names[i] && nr < max && nr < IRQ_HOST_MAX; i++) {
		const char *at = names[i], *end = at + strlen(at);
		int irq = take_number(&at, end, IRQ_DIGITS);

		/* what has gone meanwhile, or is another's, is none */
		if (irq >= 0 && at == end && read_host(sys, bdf, (unsigned)irq, &ret[nr]) == 0)
			nr++;
	}
	sys_list_free(names);
	qsort(ret, nr, sizeof(*ret), by_vector);
	*ret_nr = nr;
	return 0;
}

/* Affinity --------------------------------------------------------------------------------------------------------------- */

static int read_list(struct sys *sys, unsigned irq, const char *which, struct irq_cpus *ret, struct err *err)
{
	char path[64], text[IRQ_CPUS_TEXT_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/irq/%u/%s", irq, which);
	n = sys->ops->read_file(sys, path, text, sizeof(text));
	if (n == -ENOENT)
		return err_set(err, -ENOENT, "irq.gone", "irq %u: %s: no such interrupt", irq, which);
	if (n < 0)
		return err_set(err, (int)n, "irq.affinity-read", "irq %u: %s: %s", irq, which, strerror((int)-n));
	if (irq_cpus_parse(text, (size_t)n, ret) < 0)
		return err_set(err, -EPROTO, "irq.bad-list", "irq %u: %s: no list of CPUs from 0 to %d", irq, which,
			       IRQ_CPUS_MAX - 1);
	return 0;
}

int irq_affinity_read(struct sys *sys, unsigned irq, struct irq_cpus *ret, struct err *err)
{
	return read_list(sys, irq, "smp_affinity_list", ret, err);
}

int irq_effective_read(struct sys *sys, unsigned irq, struct irq_cpus *ret, struct err *err)
{
	struct err why;
	int r = read_list(sys, irq, "effective_affinity_list", ret, &why);
	char path[64];

	if (r == -ENOENT) { /* the file comes with CONFIG_GENERIC_IRQ_EFFECTIVE_AFF_MASK */
		snprintf(path, sizeof(path), "/proc/irq/%u", irq);
		if (sys_exists(sys, path)) {
			*ret = (struct irq_cpus){ 0 };
			return 0;
		}
	}
	if (r < 0 && err)
		*err = why;
	return r;
}

static int explain_write(unsigned irq, int r, const char *cpus, struct err *err)
{
	static const struct {
		int from, to;
		const char *code, *words;
	} rows[] = {
		{ -ENOENT, -ENOENT, "irq.gone", "no such interrupt" },
		{ -EINVAL, -EINVAL, "irq.no-online-cpu", "none of these CPUs is online" },
		{ -EIO, -EIO, "irq.affinity-fixed", "managed by its driver or bound by the hardware" },
		{ -EACCES, -EACCES, "irq.denied", "permission denied" },
		{ -EPERM, -EACCES, "irq.denied", "not permitted" },
		{ -ENOSPC, -ENOSPC, "irq.no-vector-space", "no free interrupt vectors there" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].from == r)
			return err_set(err, rows[i].to, rows[i].code, "irq %u: affinity to CPUs %.128s: %s", irq, cpus,
				       rows[i].words);
	return err_set(err, r, "irq.affinity-refused", "irq %u: affinity to CPUs %.128s: %s", irq, cpus, strerror(-r));
}

int irq_affinity_write(struct sys *sys, unsigned irq, const struct irq_cpus *want, struct err *err)
{
	char path[64], text[IRQ_CPUS_TEXT_MAX];
	int r = -EINVAL;

	snprintf(path, sizeof(path), "/proc/irq/%u/smp_affinity_list", irq);
	if (irq_cpus_format(want, text) > 0) /* the kernel would take an empty list for "choose yourself" */
		r = sys->ops->write_file(sys, path, text);
	return r < 0 ? explain_write(irq, r, text, err) : 0;
}

/* Before and after ------------------------------------------------------------------------------------------------------- */

int irq_affinity_save(struct sys *sys, const struct irq_host *hosts, unsigned nr, struct irq_saved *ret, struct err *err)
{
	int n = 0, first = 0;

	for (unsigned i = 0; i < nr; i++) {
		struct irq_saved *s = &ret[n];
		int r = irq_affinity_read(sys, hosts[i].irq, &s->affinity, first ? NULL : err);

		s->irq = hosts[i].irq;
		s->vector = hosts[i].vector;
		s->msix = hosts[i].msix;
		if (r == 0)
			n++;
		else if (!first)
			first = r;
	}
	if (n > 0 || !first)
		err_clear(err);
	return n > 0 ? n : first;
}

int irq_affinity_restore(struct sys *sys, const char *bdf, const struct irq_saved *saved, unsigned nr, struct err *err)
{
	int first = 0;

	for (unsigned i = 0; i < nr; i++) {
		const struct irq_saved *s = &saved[i];
		struct irq_host host = { .irq = s->irq, .vector = s->vector, .msix = s->msix };
		struct irq_cpus now;
		int r;

		r = irq_host_check(sys, bdf, &host);
		if (r == -ENOENT)
			continue;
		if (r < 0) { /* it may be there yet */
			first = first ? first
				      : err_set(err, r, "irq.not-restored", "irq %u: cannot be looked at: %s", s->irq,
						strerror(-r));
			continue;
		}
		if (irq_affinity_read(sys, s->irq, &now, NULL) == 0 && irq_cpus_equal(&now, &s->affinity))
			continue;
		r = irq_affinity_write(sys, s->irq, &s->affinity, first ? NULL : err);
		if (r < 0 && r != -ENOENT && !first) /* gone since it was looked at: nothing to put back */
			first = r;
		else if (r == -ENOENT && !first)
			err_clear(err);
	}
	return first;
}
