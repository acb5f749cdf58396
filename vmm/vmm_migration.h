/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files about migration share. */
#ifndef GANGWAY_VMM_MIGRATION_H
#define GANGWAY_VMM_MIGRATION_H

#include "vmm_internal.h"
#include "vmm_migrate.h"

enum vmm_mig_status vmm_mig_status_parse(const char *word);

enum vmm_capability { /* bits */
		      VMM_CAP_EVENTS = 1,
		      VMM_CAP_POSTCOPY_RAM = 2,
		      VMM_CAP_BACKGROUND_SNAPSHOT = 4,
		      VMM_CAP_MULTIFD = 8,
		      VMM_CAP_MAPPED_RAM = 16,
		      VMM_CAP_RETURN_PATH = 32,
};

/* The answer to query-migrate-capabilities, those the VMM has (which does not say that the host's kernel does) and of these the ones on: bits of enum vmm_capability. 0, -EPROTO. */
int vmm_capabilities_take(const json_t *ret, unsigned *ret_known, unsigned *ret_on);
/* Arguments for migrate-set-capabilities: those of @which as in @on. NULL: no memory. */
json_t *vmm_capabilities_args(unsigned which, unsigned on);

#endif
