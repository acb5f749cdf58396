/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_irq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake_internal.h"
#include "irq_cpus.h"

#define ONLINE "/sys/devices/system/cpu/online"

/* A file of the tree as text, "" if it is not there. free(). */
static char *slurp(const struct fake *fake, const char *path)
{
	char full[PATH_MAX], *text = calloc(1, IRQ_CPUS_TEXT_MAX);
	FILE *f;

	snprintf(full, sizeof(full), "%.4000s%.90s", fake->root, path);
	f = fopen(full, "re");
	if (!text || (f && fread(text, 1, IRQ_CPUS_TEXT_MAX - 1, f) == 0 && ferror(f)))
		fake_die("read %s", full);
	if (f)
		fclose(f);
	return text;
}

static char *irq_file(const struct fake *fake, unsigned irq, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/irq/%u/%s", irq, file);
	return slurp(fake, path);
}

void fake_online_cpus(struct fake *fake, const char *list)
{
	fake_mkdir(fake, "/sys/devices/system/cpu");
	fake_put(fake, list, ONLINE);
}

static int set_affinity(struct fake *fake, unsigned irq, const char *list)
{
	char *online_text = slurp(fake, ONLINE), text[IRQ_CPUS_TEXT_MAX];
	struct irq_cpus want, online, both;
	int r = irq_cpus_parse(list, strlen(list), &want);

	if (r == 0 && irq_cpus_parse(online_text, strlen(online_text), &online) < 0)
		fake_die("online CPUs: %s", online_text);
	free(online_text);
	if (r < 0)
		return r;
	both = irq_cpus_and(&want, &online);
	if (irq_cpus_nth(&both, 0) < 0)
		return -EINVAL;
	strcpy(text + irq_cpus_format(&want, text), "\n");
	fake_put(fake, text, "/proc/irq/%u/smp_affinity_list", irq);
	snprintf(text, sizeof(text), "%d\n", irq_cpus_nth(&both, 0));
	fake_put(fake, text, "/proc/irq/%u/effective_affinity_list", irq);
	return 0;
}

void fake_add_irq(struct fake *fake, const char *bdf, unsigned irq, const char *action, const char *affinity)
{
	char line[128];

	fake_mkdir(fake, "/sys/bus/pci/devices/%s/msi_irqs", bdf);
	fake_put(fake, "msix\n", "/sys/bus/pci/devices/%s/msi_irqs/%u", bdf, irq);
	fake_mkdir(fake, "/sys/kernel/irq/%u", irq);
	snprintf(line, sizeof(line), "%s\n", action);
	fake_put(fake, line, "/sys/kernel/irq/%u/actions", irq);
	fake_put(fake, "0,0,0,0\n", "/sys/kernel/irq/%u/per_cpu_count", irq);
	fake_mkdir(fake, "/proc/irq/%u", irq);
	if (set_affinity(fake, irq, affinity) < 0)
		fake_die("irq %u: affinity %s", irq, affinity);
}

void fake_add_vector(struct fake *fake, const char *bdf, unsigned irq, unsigned vector, const char *affinity)
{
	char action[64];

	snprintf(action, sizeof(action), "vfio-msix[%u](%s)", vector, bdf);
	fake_add_irq(fake, bdf, irq, action, affinity);
}

void fake_remove_irq(struct fake *fake, const char *bdf, unsigned irq)
{
	fake_remove(fake, "/sys/bus/pci/devices/%s/msi_irqs/%u", bdf, irq);
	fake_remove(fake, "/sys/kernel/irq/%u", irq);
	fake_remove(fake, "/proc/irq/%u", irq);
}

/* What the fake has to remember of an interrupt is in files of its own beside the kernel's. */
void fake_refuse_affinity(struct fake *fake, unsigned irq, int num)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", num);
	fake_put(fake, text, "/proc/irq/%u/.refuses", irq);
}

int fake_irq_write(struct fake *fake, const char *path, const char *text)
{
	unsigned irq = (unsigned)strtoul(path + strlen("/proc/irq/"), NULL, 10), writes;
	char *refuses = irq_file(fake, irq, ".refuses"), *before = irq_file(fake, irq, ".writes"), count[16];
	int r = atoi(refuses);

	writes = (unsigned)atoi(before) + 1;
	free(refuses);
	free(before);
	snprintf(count, sizeof(count), "%u", writes);
	fake_put(fake, count, "/proc/irq/%u/.writes", irq);
	return r < 0 ? r : set_affinity(fake, irq, text);
}

char *fake_affinity(const struct fake *fake, unsigned irq)
{
	char *text = irq_file(fake, irq, "smp_affinity_list");

	text[strcspn(text, "\n")] = '\0';
	return text;
}

unsigned fake_affinity_writes(const struct fake *fake, unsigned irq)
{
	char *text = irq_file(fake, irq, ".writes");
	unsigned n = (unsigned)atoi(text);

	free(text);
	return n;
}

void fake_put_thread(struct fake *fake, int pid, int tid, const char *name, unsigned cpu, const char *allowed)
{
	char text[512];

	fake_mkdir(fake, "/proc/%d/task/%d", pid, tid);
	snprintf(
		text, sizeof(text),
		"%d (%s) S 1 1 1 0 -1 138477632 0 0 0 0 7 3 0 0 20 0 4 0 %d 1048576 2048 18446744073709551615 1 1 0 0 0 0 0 4096 "
		"1 0 0 0 -1 %u 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
		tid, name, 1000 + tid, cpu);
	fake_put(fake, text, "/proc/%d/task/%d/stat", pid, tid);
	snprintf(text, sizeof(text),
		 "Name:\tqemu\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t%d\nPid:\t%d\nCpus_allowed:\tff\n"
		 "Cpus_allowed_list:\t%s\nMems_allowed:\t1\nMems_allowed_list:\t0\n",
		 pid, tid, allowed);
	fake_put(fake, text, "/proc/%d/task/%d/status", pid, tid);
}

void fake_remove_thread(struct fake *fake, int pid, int tid)
{
	fake_remove(fake, "/proc/%d/task/%d", pid, tid);
}
