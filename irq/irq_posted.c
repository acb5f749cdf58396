/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "irq_posted.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

#define IOMMUS "/sys/class/iommu"

/* The two makes: a module's parameter, and of each IOMMU a hexadecimal number with a bit that has to be set. */
static const struct make {
	const char *parameter, *prefix, *file;
	unsigned bit;
} makes[] = {
	{ "/sys/module/kvm_intel/parameters/enable_apicv", "dmar", "intel-iommu/cap", 59 },
	{ "/sys/module/kvm_amd/parameters/avic", "ivhd", "amd-iommu/features", 21 },
};

static bool is_on(struct sys *sys, const char *parameter)
{
	char text[8];

	return sys_read_str(sys, parameter, text, sizeof(text)) == 0 && (text[0] == 'Y' || text[0] == '1');
}

/* "c40780c106f0462"; of AMD's newer kernels a second number behind a colon */
static bool has_bit(struct sys *sys, const char *iommu, const struct make *m)
{
	char path[128], text[64], *end;
	unsigned long long n;

	snprintf(path, sizeof(path), IOMMUS "/%.32s/%s", iommu, m->file);
	if (sys_read_str(sys, path, text, sizeof(text)) < 0)
		return false;
	n = strtoull(text, &end, 16);
	return end > text && (*end == '\0' || *end == ':') && (n >> m->bit & 1);
}

static bool all_have(struct sys *sys, const struct make *m)
{
	unsigned nr = 0;
	bool all = true;
	char **names;

	if (sys->ops->list(sys, IOMMUS, &names) < 0)
		return false;
	for (char **n = names; *n; n++) {
		if (strncmp(*n, m->prefix, strlen(m->prefix)) != 0)
			continue;
		nr++;
		all = all && has_bit(sys, *n, m);
	}
	sys_list_free(names);
	return nr > 0 && all;
}

bool irq_host_posts(struct sys *sys)
{
	for (size_t i = 0; i < sizeof(makes) / sizeof(makes[0]); i++)
		if (is_on(sys, makes[i].parameter) && all_have(sys, &makes[i]))
			return true;
	return false;
}
