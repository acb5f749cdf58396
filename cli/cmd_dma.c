/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vf show --dma: page after page is asked for, and printed as one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_cmds.h"
#include "cli_render.h"
#include "cli_views.h"
#include "err.h"
#include "gangway_limits.h"
#include "hex64.h"

static uint64_t count(json_t *obj, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(obj, key));

	return v > 0 ? (uint64_t)v : 0;
}

/* "640 KiB", exactly: of the units that leave no rest, the largest. */
static char *size_text(uint64_t v, const char *space, const char *iec)
{
	static const char units[] = "KMGTPE";
	size_t unit = 0;

	while (v && v % 1024 == 0 && unit < sizeof(units) - 1) {
		v /= 1024;
		unit++;
	}
	if (!unit)
		return cli_text("%llu", (unsigned long long)v);
	return cli_text("%llu%s%c%s", (unsigned long long)v, space, units[unit - 1], iec);
}

static char *fmt_size(json_t *obj, const char *key)
{
	return json_is_integer(json_object_get(obj, key)) ? size_text(count(obj, key), " ", "iB") : cli_cell(obj, key);
}

static bool is_recorded(json_t *range)
{
	const char *backing = cli_str(range, "backing");

	return backing && strcmp(backing, "none") == 0;
}

/* "shmem", "hugetlb 2M", "none" */
static char *fmt_backing(json_t *range, const char *key)
{
	char *backing = cli_cell(range, key), *page, *text;

	if (strcmp(backing, "hugetlb") != 0)
		return backing;
	page = size_text(count(range, "page_size"), "", "");
	text = cli_text("%s %s", backing, page);
	free(page);
	free(backing);
	return text;
}

static char *fmt_sealed(json_t *range, const char *key)
{
	json_t *v = json_object_get(range, key);

	if (is_recorded(range) || !json_is_boolean(v))
		return cli_text("-");
	return cli_text(json_is_true(v) ? "yes" : "no");
}

static char *fmt_pinned(json_t *range, const char *key)
{
	return is_recorded(range) ? cli_text("-") : fmt_size(range, key);
}

/* What is neither in the IOMMU nor on its way has failed. */
static char *fmt_state(json_t *range, const char *key)
{
	uint64_t pending = count(range, key);

	if (is_recorded(range))
		return cli_text("recorded");
	if (pending)
		return cli_text("pending");
	return cli_text(count(range, "pinned") == count(range, "size") ? "mapped" : "failed");
}

static char *fmt_agree(json_t *totals, const char *key)
{
	json_t *v = json_object_get(totals, key);
	uint64_t ours = count(totals, "entries"), theirs = count(totals, "kernel_entries");

	if (json_is_true(v))
		return cli_text("both counts agree");
	if (json_is_false(v))
		return cli_text("the counts DIFFER by %llu: please report this",
				(unsigned long long)(ours > theirs ? ours - theirs : theirs - ours));
	if (count(totals, "pending"))
		return cli_text("not known while memory is on its way");
	return cli_text("not known: this kernel does not tell");
}

void cli_view_dma(FILE *out, json_t *result)
{
	static const struct cli_col cols[] = {
		{ .head = "FIRST", .key = "first", .right = true },
		{ .head = "LAST", .key = "last", .right = true },
		{ .head = "SIZE", .key = "size", .fmt = fmt_size, .right = true },
		{ .head = "PROT", .key = "prot" },
		{ .head = "BACKING", .key = "backing", .fmt = fmt_backing },
		{ .head = "SEALED", .key = "sealed", .fmt = fmt_sealed },
		{ .head = "PINNED", .key = "pinned", .fmt = fmt_pinned, .right = true },
		{ .head = "STATE", .key = "pending", .fmt = fmt_state },
	};
	static const struct cli_col totals[] = {
		{ .head = "ranges", .key = "ranges" },
		{ .head = "size", .key = "bytes", .fmt = fmt_size },
		{ .head = "recorded only", .key = "recorded" },
		{ .head = "pinned", .key = "pinned", .fmt = fmt_size },
		{ .head = "pending", .key = "pending", .fmt = fmt_size },
		{ .head = "parked", .key = "parked", .fmt = fmt_size },
		{ .head = "iommu entries", .key = "entries" },
		{ .head = "kernel's count", .key = "kernel_entries" },
		{ .head = "agreement", .key = "agree", .fmt = fmt_agree },
	};
	char *vf = cli_cell(result, "vf"), *lease = cli_cell(result, "lease");

	fprintf(out, "DMA address space of VF %s, lease %s\n", vf, lease);
	cli_render_table(out, cols, CLI_NR(cols), json_object_get(result, "ranges"));
	fputc('\n', out);
	cli_render_fields(out, totals, CLI_NR(totals), json_object_get(result, "totals"));
	free(vf);
	free(lease);
}

/* --- asking --- */

static int nonsense(const struct cli *cli, const char *what)
{
	struct err err = { 0 };

	err_set(&err, -EPROTO, "cli.bad-answer", "gangwayd answered `vf.dma` with %s", what);
	err_hint(&err, "do daemon and command have the same version? `gangway version` tells");
	return cli_fail(cli, &err);
}

/* Another lease has the VF meanwhile: its pages do not go with those of the first. */
static int changed(const struct cli *cli, const char *vf)
{
	struct err err = { 0 };

	err_set(&err, -EBUSY, "cli.changed", "VF %s: another guest got it meanwhile", vf);
	err_hint(&err, "ask again");
	return cli_fail(cli, &err);
}

/* @page, taken over, behind what there is of *@whole; NULL: it is the first. Its totals are those that stay, they are the latest. */
static void append(json_t **whole, json_t *page)
{
	if (!*whole) {
		*whole = page;
		return;
	}
	json_array_extend(json_object_get(*whole, "ranges"), json_object_get(page, "ranges"));
	json_object_set(*whole, "totals", json_object_get(page, "totals"));
	json_decref(page);
}

/* Is there more behind @page? 1: from *@at on, 0: no, -EPROTO: it leads nowhere. */
static int next_page(json_t *page, uint64_t *at)
{
	json_t *more = json_object_get(page, "next");
	uint64_t next;

	if (!more || json_is_null(more))
		return 0;
	if (!json_array_size(json_object_get(page, "ranges")) || hex64_parse(json_string_value(more), &next) < 0 || next <= *at)
		return -EPROTO;
	*at = next;
	return 1;
}

static void add_pinned(json_t *whole)
{
	json_int_t sum = 0;
	json_t *range;
	size_t i;

	json_array_foreach (json_object_get(whole, "ranges"), i, range) {
		json_int_t pinned = json_integer_value(json_object_get(range, "pinned"));

		sum += pinned > 0 && pinned <= INT64_MAX - sum ? pinned : 0;
	}
	json_object_set_new(json_object_get(whole, "totals"), "pinned", json_integer(sum));
	json_object_del(whole, "next");
}

/* Every page has a range and begins above the one before, and there are only so many ranges: whatever the daemon says, this ends. */
static int ask_all(const struct cli *cli, const char *vf, json_t **whole)
{
	char from[HEX64_SIZE];
	uint64_t at = 0;
	int more = 1;

	while (more) {
		struct cli_request req = { .method = "vf.dma", .shape = "ranges[ totals{" };
		json_t *page;
		int code;

		req.params = json_pack("{s:s,s:s}", "vf", vf, "from", hex64_format(at, from));
		code = cli_request(cli, &req, &page);
		if (code != EXIT_OK)
			return code;
		if (*whole && !json_equal(json_object_get(*whole, "lease"), json_object_get(page, "lease"))) {
			json_decref(page);
			return changed(cli, vf);
		}
		more = next_page(page, &at);
		append(whole, page);
		if (more < 0)
			return nonsense(cli, "a page that leads nowhere");
		if (json_array_size(json_object_get(*whole, "ranges")) > LIMIT_DMA_RANGES)
			return nonsense(cli, "more ranges than there can be");
	}
	return EXIT_OK;
}

int cli_show_dma(struct cli *cli, const char *vf)
{
	json_t *whole = NULL;
	int code;

	code = ask_all(cli, vf, &whole);
	if (code == EXIT_OK) {
		add_pinned(whole);
		code = cli_show(cli, whole, cli_view_dma);
	}
	json_decref(whole);
	return code;
}
