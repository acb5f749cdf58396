/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "irq_thread.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "sys.h"

#define STAT_MAX 1024 /* 52 numbers and a name of 64 bytes */
#define STATUS_MAX 32768 /* before the list stand the groups, and the same CPUs as a mask */
#define FIELD_START 22 /* proc_pid_stat(5) */
#define FIELD_CPU 39
#define ALLOWED "\nCpus_allowed_list:\t"
#define MEMS "\nMems_allowed_list:\t"

/* Decimal digits at *@at, which moves behind them. False: none, or too large. */
static bool take_u64(const char **at, const char *end, uint64_t *ret)
{
	const char *start = *at;
	uint64_t v = 0;

	for (; *at < end && **at >= '0' && **at <= '9'; ++*at)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(**at - '0'), &v))
			return false;
	*ret = v;
	return *at > start;
}

/* Between the first parenthesis and the last: it may have some itself. */
static void take_name(const char *text, const char *end, char ret[static IRQ_THREAD_NAME_MAX])
{
	const char *at = memchr(text, '(', (size_t)(end - text));
	size_t len = at ? (size_t)(end - at - 1) : 0;

	if (len >= IRQ_THREAD_NAME_MAX)
		len = IRQ_THREAD_NAME_MAX - 1;
	if (len)
		memcpy(ret, at + 1, len);
	ret[len] = '\0';
}

bool irq_thread_is_vcpu(const struct irq_thread *t)
{
	const char *at = t->name + 4;

	if (strncmp(t->name, "CPU ", 4) != 0 || *at < '0' || *at > '9')
		return false;
	while (*at >= '0' && *at <= '9')
		at++;
	return *at == '/';
}

int irq_stat_parse(const char *text, size_t len, struct irq_thread *ret)
{
	const char *end = text + len, *at = len ? memrchr(text, ')', len) : NULL;
	struct irq_thread t = { 0 };
	uint64_t cpu = UINT64_MAX;

	/* ") S 1 2 ...": no field behind the name has a parenthesis */
	if (!at || end - at < 4 || at[1] != ' ' || at[2] == ' ' || at[3] != ' ')
		return -EPROTO;
	take_name(text, at, t.name);
	t.state = at[2];
	at += 3;
	for (int field = 4; field <= FIELD_CPU; field++) {
		if (at == end || *at++ != ' ')
			return -EPROTO;
		if (field == FIELD_START || field == FIELD_CPU) {
			if (!take_u64(&at, end, field == FIELD_CPU ? &cpu : &t.start))
				return -EPROTO;
			continue;
		}
		while (at < end && *at != ' ')
			at++;
	}
	if (at == end || (*at != ' ' && *at != '\n') || cpu >= IRQ_CPUS_MAX) /* the number may have been cut */
		return -EPROTO;
	t.cpu = (unsigned)cpu;
	*ret = t;
	return 0;
}

static int parse_status(const char *text, size_t len, const char *label, struct irq_cpus *ret)
{
	/* the name above it cannot fake the line: its newlines are escaped */
	const char *at = len ? memmem(text, len, label, strlen(label)) : NULL, *end;

	if (!at)
		return -EPROTO;
	at += strlen(label);
	end = memchr(at, '\n', (size_t)(text + len - at));
	if (!end || end == at)
		return -EPROTO;
	return irq_cpus_parse(at, (size_t)(end - at), ret) < 0 ? -EPROTO : 0;
}

int irq_status_parse(const char *text, size_t len, struct irq_cpus *ret)
{
	return parse_status(text, len, ALLOWED, ret);
}

static ssize_t read_task(struct sys *sys, pid_t pid, pid_t tid, const char *file, char *text, size_t size, struct err *err)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, file);
	n = pid > 0 && tid > 0 ? sys->ops->read_file(sys, path, text, size) : -ESRCH;
	if (n == -ENOENT || n == -ESRCH)
		return err_set(err, -ESRCH, "irq.thread-gone", "process %d: it has no thread %d", pid, tid);
	if (n < 0)
		return err_set(err, (int)n, "irq.thread-read", "process %d: thread %d: %s: %s", pid, tid, file,
			       strerror((int)-n));
	return n;
}

static int bad(pid_t pid, pid_t tid, const char *file, struct err *err)
{
	return err_set(err, -EPROTO, "irq.bad-stat", "process %d: thread %d: %s makes no sense, or has a CPU above %d", pid, tid,
		       file, IRQ_CPUS_MAX - 1);
}

int irq_thread_read(struct sys *sys, pid_t pid, pid_t tid, struct irq_thread *ret, struct err *err)
{
	char text[STAT_MAX];
	ssize_t n = read_task(sys, pid, tid, "stat", text, sizeof(text), err);

	if (n < 0)
		return (int)n;
	return irq_stat_parse(text, (size_t)n, ret) < 0 ? bad(pid, tid, "stat", err) : 0;
}

static int read_status(struct sys *sys, pid_t pid, pid_t tid, const char *label, struct irq_cpus *ret, struct err *err)
{
	char *text = malloc(STATUS_MAX);
	ssize_t n;
	int r;

	if (!text)
		return err_set(err, -ENOMEM, "irq.no-memory", "out of memory");
	n = read_task(sys, pid, tid, "status", text, STATUS_MAX, err);
	if (n < 0)
		r = (int)n;
	else
		r = parse_status(text, (size_t)n, label, ret) < 0 ? bad(pid, tid, "status", err) : 0;
	free(text);
	return r;
}

int irq_thread_allowed(struct sys *sys, pid_t pid, pid_t tid, struct irq_cpus *ret, struct err *err)
{
	return read_status(sys, pid, tid, ALLOWED, ret, err);
}

int irq_thread_mems(struct sys *sys, pid_t pid, pid_t tid, struct irq_cpus *ret, struct err *err)
{
	return read_status(sys, pid, tid, MEMS, ret, err);
}

int irq_node_cpus(struct sys *sys, int node, struct irq_cpus *ret, struct err *err)
{
	char path[64], text[IRQ_CPUS_TEXT_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/cpulist", node);
	n = sys->ops->read_file(sys, path, text, sizeof(text));
	if (n < 0)
		return err_set(err, (int)n, "irq.no-node", "%s: %s", path, strerror((int)-n));
	if (irq_cpus_parse(text, (size_t)n, ret) < 0)
		return err_set(err, -EPROTO, "irq.bad-list", "%s: no list of CPUs from 0 to %d", path, IRQ_CPUS_MAX - 1);
	return 0;
}

int irq_online_cpus(struct sys *sys, struct irq_cpus *ret, struct err *err)
{
	char text[IRQ_CPUS_TEXT_MAX];
	struct irq_cpus set;
	ssize_t n = sys->ops->read_file(sys, "/sys/devices/system/cpu/online", text, sizeof(text));

	if (n < 0)
		return err_set(err, (int)n, "irq.no-cpus", "/sys/devices/system/cpu/online: %s", strerror((int)-n));
	if (irq_cpus_parse(text, (size_t)n, &set) < 0 || irq_cpus_nth(&set, 0) < 0)
		return err_set(err, -EPROTO, "irq.bad-list", "/sys/devices/system/cpu/online: no list of CPUs from 0 to %d",
			       IRQ_CPUS_MAX - 1);
	*ret = set;
	return 0;
}
