/* SPDX-License-Identifier: GPL-2.0-or-later */
/* calls: the methods of the control protocol, one table, grouped by object in calls_*.c. */
#ifndef GANGWAY_CALLS_H
#define GANGWAY_CALLS_H

#include <jansson.h>
#include <stddef.h>

#include "ctl.h"
#include "err.h"

struct sriov_pf;
struct sriov_vf;

extern const struct ctl_method call_table[];
extern const size_t call_table_len;

/* calls_nic.c: pf.* and vf.* look at sysfs and rtnetlink, which may block: on a worker */
void call_pf_list(struct daemon *d, struct ctl_req *req, const json_t *params);
void call_pf_show(struct daemon *d, struct ctl_req *req, const json_t *params);
void call_pf_set(struct daemon *d, struct ctl_req *req, const json_t *params);
void call_vf_list(struct daemon *d, struct ctl_req *req, const json_t *params);
void call_vf_show(struct daemon *d, struct ctl_req *req, const json_t *params);
void call_vf_set(struct daemon *d, struct ctl_req *req, const json_t *params);

/* calls_dma.c */
void call_vf_dma(struct daemon *d, struct ctl_req *req, const json_t *params);

/* calls_guest.c */
void call_guest_add(struct daemon *d, struct ctl_req *req, const json_t *params);
void call_guest_list(struct daemon *d, struct ctl_req *req, const json_t *params);
void call_guest_show(struct daemon *d, struct ctl_req *req, const json_t *params);
void call_guest_remove(struct daemon *d, struct ctl_req *req, const json_t *params);

/* calls_migrate.c */
struct guest;
struct vmm_migration;
void call_migrate(struct daemon *d, struct ctl_req *req, const json_t *params);
void call_migrate_cancel(struct daemon *d, struct ctl_req *req, const json_t *params);
/* A migration of @g goes on, or is over. */
void calls_migration_changed(struct guest *g, const struct vmm_migration *migration);
/* @g is being forgotten: nobody waits for its migration any more. */
void calls_guest_gone(struct guest *g);

/* calls_memory.c */
void call_memory_release(struct daemon *d, struct ctl_req *req, const json_t *params);
void call_memory_set(struct daemon *d, struct ctl_req *req, const json_t *params);
void call_memory_show(struct daemon *d, struct ctl_req *req, const json_t *params);

/* doctor.c */
void call_doctor(struct daemon *d, struct ctl_req *req, const json_t *params);

/* json_unpack() of @params; a mismatch is answered and gives false. */
bool call_params(struct ctl_req *req, const json_t *params, const char *fmt, ...);

#endif
