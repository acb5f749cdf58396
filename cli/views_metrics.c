/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of `metrics`: for files that programs read, and for terminals. */
#include <stdlib.h>
#include <string.h>

#include "cli_render.h"
#include "cli_views.h"
#include "metrics_text.h"

/* No line is taken from it, and none is made harmless to a terminal by what another one needs. */
void cli_view_metrics(FILE *out, json_t *result)
{
	char *text = metrics_text(result), *rest = text, *line;

	while (rest && (line = strsep(&rest, "\n"))) {
		char *safe = cli_safe(line);

		if (rest)
			fprintf(out, "%s\n", safe);
		free(safe);
	}
	free(text);
}
