/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli_progress.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli_render.h"

#define SHOW_AFTER_MS 1000 /* whatever is done within a second needs no comment */

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* A line that wraps cannot be rewritten, so it is cut to the terminal. */
static int columns(FILE *out)
{
	struct winsize ws;

	if (ioctl(fileno(out), TIOCGWINSZ, &ws) < 0 || ws.ws_col < 20)
		return 79;
	return ws.ws_col - 1;
}

static void draw(struct cli_progress *p)
{
	long long elapsed = now_ms() - p->started_ms;
	char line[256];

	if (!p->on || elapsed < SHOW_AFTER_MS)
		return;
	if (p->of > 0)
		snprintf(line, sizeof(line), "[%lld/%lld] %s, %lld s", p->index, p->of, p->what, elapsed / 1000);
	else
		snprintf(line, sizeof(line), "%s, %lld s", p->what, elapsed / 1000);
	fprintf(p->out, "\r\033[K%.*s", columns(p->out), line);
	fflush(p->out);
	p->shown = true;
}

static void set_what(struct cli_progress *p, const char *what)
{
	char *safe = cli_safe(what);

	snprintf(p->what, sizeof(p->what), "%s", safe);
	free(safe);
}

void cli_progress_init(struct cli_progress *p, FILE *out, bool on, const char *what)
{
	*p = (struct cli_progress){ .out = out, .on = on, .started_ms = now_ms() };
	set_what(p, what);
}

void cli_progress_notify(void *progress, const char *method, json_t *params)
{
	struct cli_progress *p = progress;
	const char *what = cli_str(params, "what");

	if (strcmp(method, "progress") != 0)
		return;
	if (!what || !*what)
		what = cli_str(params, "step");
	if (!what)
		return;
	set_what(p, what);
	p->index = json_integer_value(json_object_get(params, "index")) + 1; /* people count from one */
	p->of = json_integer_value(json_object_get(params, "of"));
	draw(p);
}

void cli_progress_tick(void *progress)
{
	draw(progress);
}

void cli_progress_done(struct cli_progress *p)
{
	if (!p->shown)
		return;
	fputs("\r\033[K", p->out);
	fflush(p->out);
	p->shown = false;
}
