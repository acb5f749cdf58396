/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irq_process: whose threads are those that a VMM names as its vCPUs'? Asked where a manager (libvirt) has opened the QMP socket, so that the
 * socket does not tell the VMM's process. Through struct sys alone, nothing waits.
 *
 * What it names is a claim, and a VMM that is hostile can name any thread of the host. Believed, it would have its VF's interrupts follow that
 * thread, to a CPU that it may not run on itself, and take time from whoever has it; `irq show` would tell where that thread runs; more
 * does not hang on it. So the claim is held against what the kernel says: all of them are threads of one process, which has the VF's
 * /dev/vfio/GROUP open. The kernel lets one open it; another process has it only if it has accepted the descriptor, or inherited it.
 */
#ifndef GANGWAY_IRQ_PROCESS_H
#define GANGWAY_IRQ_PROCESS_H

#include <sys/types.h>

struct err;
struct sys;

/*
 * The process of @nr threads @tids that has group @group open. 0; -ESRCH "irq.thread-gone": there is no such thread, in this PID namespace, or @nr
 * is 0; -EPERM "irq.not-the-vmm": they are several processes', or it has not got the group open; -EPROTO "irq.bad-stat"; other errnos of reading.
 */
int irq_process_find(struct sys *sys, const pid_t *tids, unsigned nr, int group, pid_t *ret, struct err *err);

/* The number behind "Tgid:" of a status text. 0, -EPROTO. */
int irq_tgid_parse(const char *text, size_t len, pid_t *ret);

#endif
