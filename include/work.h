/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * work: run something that may block (a driver unbind, a function-level reset, opening VFIO) on a thread of its own, and
 * go on in the event loop when it has ended. At most WORK_MAX run at once, more wait in order.
 */
#ifndef GANGWAY_WORK_H
#define GANGWAY_WORK_H

#include <systemd/sd-event.h>

struct work_pool;

#define WORK_MAX 8

typedef int (*work_fn)(void *arg); /* on a thread: may block, must touch nothing but what @arg gives it */
typedef void (*work_done_fn)(int r, void *arg); /* in the loop, with what work_fn returned */

int work_pool_new(sd_event *event, struct work_pool **ret);
/* Waits for what runs; what has not begun is dropped without its done callback. NULL is fine. */
struct work_pool *work_pool_free(struct work_pool *pool);
/* 0, or -ENOMEM with neither function called. */
int work_submit(struct work_pool *pool, work_fn fn, work_done_fn done, void *arg);

#endif
