/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every limit on what a peer or an operator can make gangway hold, in one place. Each has a test at and above it. */
#ifndef GANGWAY_LIMITS_H
#define GANGWAY_LIMITS_H

#define LIMIT_NAME 63 /* guest and NIC names: characters, [A-Za-z0-9][A-Za-z0-9._-]* */
#define LIMIT_GUESTS 1024 /* guests known to the daemon */
#define LIMIT_LEASES 1024 /* leases in all */
#define LIMIT_LEASES_PER_GUEST 16 /* NICs of one guest */

#define LIMIT_PFS_NAMED 8 /* PFs among which an attach may choose */

#define LIMIT_VCPUS 1024 /* vCPUs of a guest that are taken */
#define LIMIT_VMM_THREADS 4096 /* threads of a VMM that are looked at for the CPUs that it may use */
#define LIMIT_VMM_FDS 8192 /* descriptors of a process that are looked at for the VF's group */
#define LIMIT_IRQ_WRITES 8 /* orders that an interrupt may have within LIMIT_IRQ_WRITES_SEC, whatever guest and threads do */
#define LIMIT_IRQ_WRITES_SEC 60
#define LIMIT_IRQS_BANNED                                                                                                        \
	256 /* interrupts of a list of irqbalance's, which takes some 90 in the one message that makes its list */
#define LIMIT_IRQ_VECTORS 128 /* vectors of a VF that are followed; what is beyond stays where the host has put it */

#define DEVICE_UID_MIN 65536u /* what a gangway-device process may run as */
#define DEVICE_UID_MAX 4294967294u

#define LIMIT_METRICS_CLIENTS 8 /* HTTP connections at once; more wait in the kernel */
#define LIMIT_METRICS_REQUEST (16 << 10) /* bytes that one may make us hold for its request: more is answered 4xx, and it ends */
#define LIMIT_METRICS_IDLE_SEC                                                                                                   \
	10 /* seconds for its request, and again for taking the answer, whatever it says meanwhile; else it ends */
#define LIMIT_METRICS_PAUSE_MS                                                                                                   \
	100 /* from one time that they are gathered to the next, whoever asks: all who ask meanwhile get the same */
#define LIMIT_MEM_BOOKED_SEC 60 /* seconds from when memory is admitted to when it is to be pinned: then others may have it */
#define LIMIT_METRICS_VECTORS 8192 /* vectors with metrics of their own, of all leases: their answer is below LIMIT_CTL_BACKLOG */

#define LIMIT_CTL_CLIENTS 64 /* control connections at once */
#define LIMIT_CTL_REQUEST (64 << 10) /* bytes of one request line */
#define LIMIT_CTL_BACKLOG (4 << 20) /* bytes queued to a client that does not read, then it is dropped */
#define LIMIT_CTL_IDLE_SEC 30 /* seconds that a half-sent request may take */

#define LIMIT_QMP_LINE (8 << 20) /* bytes of one QMP answer (query-qmp-schema is the largest: under 1 MiB) */
#define LIMIT_QMP_PENDING 64 /* commands waiting for their answer */
#define LIMIT_QMP_TIMEOUT_MS 10000 /* default deadline of a command */

#define LIMIT_VUSER_MSG (64 << 10) /* bytes of one vfio-user message we take (max_data_xfer_size that we offer is below) */
#define LIMIT_VUSER_FDS 8 /* descriptors in one vfio-user message */
#define LIMIT_DMA_RANGES 65535 /* live mappings: type1's own dma_entry_limit default */

/* Of one lease's faults in FAULT_WINDOW_SEC: a storm is thousands a second, and tells no more than its first lines. */
#define LIMIT_FAULT_LINES 5 /* lines in the log, and one that sums up the rest */
#define LIMIT_FAULT_EVENTS 10 /* events to monitors, and one that sums up the rest */
#define FAULT_WINDOW_SEC 10 /* twice what the kernel's own limit takes: one of its sums is in each */

#endif
