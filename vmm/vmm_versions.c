/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each QEMU version can do: one table, and what it does not list is answered with no. A version newer than the last row
 * that speaks of an ability counts as unsafe until somebody has tried it (lab) and lists it here.
 */
#include <stdio.h>

#include "vmm_internal.h"

#define ANY 9999 /* last of its kind: what QEMU has learnt it keeps, unless a row above says otherwise */

static const struct {
	enum vmm_ability ability;
	struct qmp_version first, last;
	bool can;
	const char *why;
} rows[] = {
	{ VMM_FAILOVER, { 4, 2, 0 }, { ANY, ANY, ANY }, true, "failover_pair_id (hw/net/virtio-net.c)" },
	{ VMM_VFIO_USER, { 10, 1, 0 }, { ANY, ANY, ANY }, true, "vfio-user-pci (hw/vfio-user)" },
	/* seen with 11.1.3: device_del for good ends in "Assertion `subregion->container == mr' failed"; the partial unplug of a
	 * failover primary during a migration does not */
	{ VMM_UNPLUG_VFIO_USER,
	  { 10, 1, 0 },
	  { 11, 1, ANY },
	  false,
	  "unplugging a vfio-user device aborts the guest (memory_region_del_subregion)" },
};

static int compare(const struct qmp_version *a, const struct qmp_version *b)
{
	if (a->major != b->major)
		return a->major < b->major ? -1 : 1;
	if (a->minor != b->minor)
		return a->minor < b->minor ? -1 : 1;
	if (a->micro != b->micro)
		return a->micro < b->micro ? -1 : 1;
	return 0;
}

bool vmm_version_can(const struct qmp_version *version, enum vmm_ability ability, const char **ret_why)
{
	const char *why = "nothing is known of this version";
	bool can = false;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].ability == ability && compare(&rows[i].first, version) <= 0 && compare(version, &rows[i].last) <= 0) {
			can = rows[i].can;
			why = rows[i].why;
			break;
		}
	if (ret_why)
		*ret_why = why;
	return can;
}

void vmm_get_version(const struct vmm *vmm, struct vmm_version *ret)
{
	const struct qmp_version *v = &qmp_get_peer(vmm->qmp)->version;

	*ret = (struct vmm_version){ .vfio_user = vmm_version_can(v, VMM_VFIO_USER, NULL),
				     .unplug_vfio_user = vmm_version_can(v, VMM_UNPLUG_VFIO_USER, NULL) };
	if (v->major)
		snprintf(ret->text, sizeof(ret->text), "%u.%u.%u", v->major, v->minor, v->micro);
}
