/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the faults*.c files share. */
#ifndef GANGWAY_FAULTS_INTERNAL_H
#define GANGWAY_FAULTS_INTERNAL_H

#include "faults.h"

/* faults.c: faults_tick() is to be called. NULL is fine: the log is not read. */
void faults_start_timer(struct faults *faults);

/* faults_owner.c: who has the function that @f is of; NULL: nobody, or that is not sure. */
struct lease *faults_owner(struct daemon *d, const struct fault *f);

/* faults_tell.c: there is something to be said of @l; its last fault is said, or counted for the end of the window. */
void faults_open_window(struct lease *l);
void faults_tell(struct lease *l);
/* The one line, and the one event, for all that had none. */
void faults_close_window(struct lease *l);

#endif
