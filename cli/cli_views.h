/* SPDX-License-Identifier: GPL-2.0-or-later */
/* views: the text form of each result of the control protocol. All are cli_view_fn; @result has passed cli_shape(). */
#ifndef GANGWAY_CLI_VIEWS_H
#define GANGWAY_CLI_VIEWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

void cli_view_doctor(FILE *out, json_t *result);
void cli_view_pfs(FILE *out, json_t *result);
void cli_view_pf(FILE *out, json_t *result);
void cli_view_pf_set(FILE *out, json_t *result);
void cli_view_vfs(FILE *out, json_t *result);
void cli_view_vf(FILE *out, json_t *result);
void cli_view_dma(FILE *out, json_t *result);
void cli_view_guests(FILE *out, json_t *result);
void cli_view_guest(FILE *out, json_t *result);
void cli_view_guest_added(FILE *out, json_t *result);
void cli_view_status(FILE *out, json_t *result);
void cli_view_metrics(FILE *out, json_t *result); /* as Prometheus reads it */
void cli_view_irqs(FILE *out, json_t *result);
void cli_view_memory_released(FILE *out, json_t *result);
void cli_view_memory_set(FILE *out, json_t *result);
/* Lines about what of its memory keeps @lease off its VF, or is unusual; nothing where there is nothing to say. */
void cli_explain_memory(FILE *out, json_t *lease);
/* Lines about the host's memory, @watch of `status`; nothing where it is plenty and all are at home. */
void cli_explain_pressure(FILE *out, json_t *watch);
void cli_view_memory(FILE *out, json_t *result);
void cli_view_attached(FILE *out, json_t *result); /* one line: what was attached, how, in what time */
void cli_view_detached(FILE *out, json_t *result);
void cli_view_migrated(FILE *out, json_t *result);
void cli_view_switched(FILE *out, json_t *result);
void cli_view_plan(FILE *out, json_t *result); /* the steps of --dry-run */
void cli_view_timing(FILE *out, json_t *result); /* the steps with their times */
void cli_view_event(FILE *out, json_t *event); /* one line */

/* The table of `status` alone, with the lines that explain; nothing if there are no leases. */
void cli_view_leases(FILE *out, json_t *leases);

/* Lines about the legs of @lease: why it is on that one, what its switch is at. False: it has no switch, nothing was printed. */
bool cli_explain_leg(FILE *out, json_t *lease);

/* A line about the interrupts of @lease; nothing where it has none. */
void cli_explain_irqs(FILE *out, json_t *lease);

/* For columns: "macvtap gwt0"; since when the reason, or the state where there is none. */
char *cli_fmt_standby(json_t *obj, const char *key);
char *cli_fmt_since(json_t *obj, const char *key);

/* Bytes as "4.0 GiB". For a column. */
char *cli_fmt_bytes(json_t *obj, const char *key);

/* An object's "faults" in a line; "-" where it has none. For a column. */
char *cli_fmt_faults(json_t *obj, const char *key);

#endif
