/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics_text: what the method `metrics` answers, as the text that Prometheus reads: version 0.0.4 of its exposition format, which node_exporter's
 * textfile collector takes as well (https://prometheus.io/docs/instrumenting/exposition_formats/).
 */
#ifndef GANGWAY_METRICS_TEXT_H
#define GANGWAY_METRICS_TEXT_H

#include <jansson.h>

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/*
 * @tree is believed in nothing: a member that is missing, null or of another type has no sample, a list that is none no samples. Values of labels
 * may hold whatever UTF-8 can: they are escaped, and control characters become '?'. The caller's to free; NULL: no memory.
 */
char *metrics_text(const json_t *tree);

#endif
