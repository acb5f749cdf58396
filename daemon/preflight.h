/* SPDX-License-Identifier: GPL-2.0-or-later */
/* preflight: everything that can be known to fail, found before anything is changed. */
#ifndef GANGWAY_PREFLIGHT_H
#define GANGWAY_PREFLIGHT_H

struct err;
struct op;

/* The host: PF, group, IOVA ranges, VFIO, policy, memory that may be locked. On a worker. */
int preflight_host(struct op *op, struct err *err);
/* The guest, from op->info: memory, slot; settles via and bus. In the loop. */
int preflight_guest(struct op *op, struct err *err);

#endif
