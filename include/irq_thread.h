/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irq_thread: where a vCPU's thread runs, and where it may. Through struct sys alone, nothing waits. A thread id comes from a VMM, which is
 * not trusted: it is only ever looked up below /proc/PID/task of that VMM's own process, so that no other process can be named.
 * A VMM in a PID namespace of its own names its threads by other numbers: those are "irq.thread-gone".
 */
#ifndef GANGWAY_IRQ_THREAD_H
#define GANGWAY_IRQ_THREAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "irq_cpus.h"

struct err;
struct sys;

#define IRQ_THREAD_NAME_MAX 16 /* TASK_COMM_LEN: with its NUL */

struct irq_thread {
	unsigned cpu; /* the last it ran on, or runs on now (stat, field 39) */
	uint64_t start; /* clock ticks since boot (field 22): another thread of the same number has another one */
	char name[IRQ_THREAD_NAME_MAX]; /* as the thread has chosen it, cut off where it is longer */
	char state; /* field 3: 'R', 'S', ... A vCPU that idles is 'S' and stays where it was */
};

/*
 * /proc/@pid/task/@tid/stat (fs/proc/array.c). -ESRCH "irq.thread-gone": no such thread; -EPROTO "irq.bad-stat": makes no sense, or a CPU
 * above IRQ_CPUS_MAX - 1. Costs a few microseconds.
 */
int irq_thread_read(struct sys *sys, pid_t pid, pid_t tid, struct irq_thread *ret, struct err *err);

/* Is that the name that QEMU gives to the thread of a vCPU (-name debug-threads=on, as libvirt has it): "CPU 0/KVM"? */
bool irq_thread_is_vcpu(const struct irq_thread *t);

/* Cpus_allowed_list of /proc/@pid/task/@tid/status: affinity and cpuset together. The same errors; costs more than the above. */
int irq_thread_allowed(struct sys *sys, pid_t pid, pid_t tid, struct irq_cpus *ret, struct err *err);

/* Mems_allowed_list of the same: nodes of memory, as a set of numbers. A memory policy may be narrower. */
int irq_thread_mems(struct sys *sys, pid_t pid, pid_t tid, struct irq_cpus *ret, struct err *err);

/* CPUs of NUMA node @node, /sys/devices/system/node/nodeN/cpulist. Empty: it has none. -ENOENT: no such node, "irq.no-node". */
int irq_node_cpus(struct sys *sys, int node, struct irq_cpus *ret, struct err *err);

/* /sys/devices/system/cpu/online. Never empty. -EPROTO "irq.bad-list", or the errno of reading it, "irq.no-cpus". */
int irq_online_cpus(struct sys *sys, struct irq_cpus *ret, struct err *err);

/* Field 39, field 22 and field 3 of a line of stat. The name in it is the thread's own to choose. 0, -EPROTO. */
int irq_stat_parse(const char *text, size_t len, struct irq_thread *ret);
/* The list behind "Cpus_allowed_list:" of a status text. 0, -EPROTO. */
int irq_status_parse(const char *text, size_t len, struct irq_cpus *ret);

#endif
