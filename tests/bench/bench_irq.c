/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_irq: what following the interrupts of 7 guests costs, each with a VF of 3 vectors and 2 vCPUs, at a look a second: processor time of a
 * look, as gangwayd makes one (handed to a worker and back), of this machine's own files: a device with MSI-X, threads of this process.
 * Reading the guests' tables, every 5 seconds, is the VMM's time and its answers' decoding; that is not in it. One JSON object.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "err.h"
#include "irq_affinity.h"
#include "irq_count.h"
#include "irq_route.h"
#include "irq_thread.h"
#include "sys.h"
#include "work.h"

#define GUESTS 7
#define VECTORS 3
#define VCPUS 2
#define LOOKS 500

static struct sys *sys;
static unsigned irqs[VECTORS];
static char bdf[64]; /* that has them */
static pid_t tids[VCPUS];
static struct irq_route *routes[GUESTS];
static uint64_t now_us;

static void *vcpu_main(void *arg)
{
	*(pid_t *)arg = (pid_t)syscall(SYS_gettid);
	pause();
	return NULL;
}

/* A device of this machine with as many interrupts. */
static bool find_device(void)
{
	char path[300], **devices, **names = NULL;
	bool found = false;

	if (sys->ops->list(sys, "/sys/bus/pci/devices", &devices) < 0)
		return false;
	for (char **d = devices; *d && !found; d++) {
		unsigned n = 0;

		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.200s/msi_irqs", *d);
		if (sys->ops->list(sys, path, &names) < 0)
			continue;
		for (; n < VECTORS && names[n]; n++)
			irqs[n] = (unsigned)strtoul(names[n], NULL, 10);
		sys_list_free(names);
		found = n == VECTORS;
		snprintf(bdf, sizeof(bdf), "%.60s", *d);
	}
	sys_list_free(devices);
	return found;
}

static void look_at_vector(unsigned irq, struct irq_route_irq *ret)
{
	static uint64_t counts[IRQ_CPUS_MAX];
	unsigned nr;

	*ret = (struct irq_route_irq){ .irq = irq, .msi = { .why = MSI_KNOWN, .vector = 34 } };
	ret->known = irq_affinity_read(sys, irq, &ret->affinity, NULL) == 0 &&
		     irq_effective_read(sys, irq, &ret->effective, NULL) == 0;
	irq_count_cpus(sys, irq, counts, IRQ_CPUS_MAX, &nr);
}

static int look(void *arg)
{
	struct irq_route_irq seen[VECTORS];
	struct irq_route_vcpu vcpus[VCPUS] = { 0 };
	struct irq_route_order orders[VECTORS];
	struct irq_host hosts[VECTORS];
	struct irq_route_look l = { .now_us = now_us, .vcpus = vcpus, .nr_vcpus = VCPUS, .irqs = seen, .nr_irqs = VECTORS };
	struct irq_thread thread;
	unsigned nr;

	/* lists them and reads who takes each, as of a VF's; that is not VFIO here */
	if (irq_online_cpus(sys, &l.online, NULL) < 0 || irq_host_list(sys, bdf, hosts, VECTORS, &nr, NULL) < 0)
		return -EIO;
	for (unsigned i = 0; i < VECTORS; i++)
		look_at_vector(irqs[i], &seen[i]);
	for (unsigned i = 0; i < VCPUS; i++) {
		vcpus[i].id = (struct msi_vcpu){ .apic_id = i, .has_apic_id = true };
		vcpus[i].tid = tids[i];
		vcpus[i].known = irq_thread_read(sys, getpid(), tids[i], &thread, NULL) == 0 &&
				 irq_thread_allowed(sys, getpid(), tids[i], &vcpus[i].allowed, NULL) == 0;
		vcpus[i].cpu = thread.cpu;
	}
	return irq_route_look(*(struct irq_route **)arg, &l, orders);
}

static void looked(int r, void *arg)
{
	(void)arg;
	if (r < 0) {
		fprintf(stderr, "a look: %s\n", strerror(-r));
		exit(1);
	}
	now_us++;
}

static double cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int main(void)
{
	static const struct irq_route_config config = { .settle_looks = 3, .writes_max = 8, .window_us = 60000000 };
	struct work_pool *pool;
	sd_event *event;
	pthread_t thread;
	double us;

	sys = sys_linux_new("");
	if (!sys || sd_event_new(&event) < 0 || work_pool_new(event, &pool) < 0)
		return 1;
	if (!find_device()) {
		puts("{\"skipped\": \"no PCI function here has 3 interrupts\"}");
		return 0;
	}
	for (unsigned i = 0; i < VCPUS; i++) {
		pthread_create(&thread, NULL, vcpu_main, &tids[i]);
		while (!*(volatile pid_t *)&tids[i])
			usleep(100);
	}
	for (unsigned i = 0; i < GUESTS; i++)
		if (irq_route_new(&config, &routes[i]) < 0)
			return 1;
	us = cpu_us();
	for (unsigned n = 0; n < LOOKS; n++)
		for (unsigned i = 0; i < GUESTS; i++) {
			uint64_t before = now_us;

			work_submit(pool, look, looked, &routes[i]);
			while (now_us == before)
				sd_event_run(event, UINT64_MAX);
		}
	us = (cpu_us() - us) / LOOKS;
	printf("{\"guests\": %d, \"vectors\": %d, \"vcpus\": %d, \"all_us\": %.0f, \"percent_of_a_cpu\": %.3f}\n", GUESTS,
	       GUESTS * VECTORS, GUESTS * VCPUS, us, us / 1e4);
	fflush(stdout);
	_exit(0); /* the threads stay where they are */
}
