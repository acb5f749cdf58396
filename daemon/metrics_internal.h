/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What metrics_http.c and metrics_listen.c share. */
#ifndef GANGWAY_METRICS_INTERNAL_H
#define GANGWAY_METRICS_INTERNAL_H

#include "config.h"
#include "metrics_http.h"

/* A listening socket at config->metrics_listen, non-blocking, the caller's; -errno "metrics.listen". */
int metrics_listen(const struct config *config, struct err *err);

#endif
