/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gangwayd asks a device process for its DMA address space: pages, limits, and processes that lie, fall silent or die. */
#include <sys/resource.h>
#include <systemd/sd-event.h>

#include "../../daemon/devproc_internal.h"
#include "scripted_device.h"

static sd_event *event;
static struct devproc *proc;
static struct peer peer;
static struct err err;

static struct {
	unsigned nr, nr_gone;
	struct devproc_dma page;
	struct err err;
} seen;

static void on_status(void *ctx, const struct devproc_status *status)
{
	(void)ctx;
	(void)status;
}

static void on_gone(void *ctx, const char *why)
{
	(void)ctx;
	(void)why;
	seen.nr_gone++;
}

static const struct devproc_ops ops = { .on_status = on_status, .on_gone = on_gone };

static void on_page(void *ctx, const struct devproc_dma *page, const struct err *e)
{
	(void)ctx;
	cr_assert_neq(page == NULL, e == NULL, "one of the two");
	seen.nr++;
	if (page)
		seen.page = *page;
	seen.err = e ? *e : (struct err){ 0 };
}

static void adopt(void)
{
	struct devproc_config c = { .runtime_dir = peer.dir, .id = "lease-1", .bdf = PEER_BDF };
	struct vdev_fds fds = VDEV_FDS_NONE;

	memset(&seen, 0, sizeof(seen));
	cr_assert_eq(sd_event_new(&event), 0);
	cr_assert_eq(devproc_adopt(event, &c, &ops, NULL, &fds, &proc, &err), 0, "%s", err.msg);
	close(fds.container);
	close(fds.group);
	close(fds.device);
}

/* Runs the loop until @nr questions have been answered, at most @ms. */
static void until(unsigned nr, unsigned ms)
{
	uint64_t now, end;

	sd_event_now(event, CLOCK_MONOTONIC, &now);
	end = now + ms * 1000ull;
	while (seen.nr < nr && now < end) {
		cr_assert(sd_event_run(event, end - now) >= 0);
		sd_event_now(event, CLOCK_MONOTONIC, &now);
	}
	cr_assert_eq(seen.nr, nr, "%u answers, not %u", seen.nr, nr);
}

static void ask(uint64_t from)
{
	cr_assert_eq(devproc_ask_dma(proc, from, on_page, NULL, &err), 0, "%s", err.msg);
}

static void finish(void)
{
	if (proc && !proc->gone)
		devproc_stop(proc);
	for (int i = 0; i < 200 && proc && !seen.nr_gone; i++)
		cr_assert(sd_event_run(event, 50000) >= 0);
	proc = devproc_free(proc);
	sd_event_unref(event);
	peer_clean(&peer);
}

/* --- a process that does its work --- */

Test(devproc_dma, page_after_page)
{
	unsigned nr = 0, pages = 0;
	uint64_t from = 0;
	bool more = true;
	int vmm;

	peer_start(&peer);
	adopt();
	vmm = vmm_connect(peer.vuser);
	cr_assert(vmm >= 0);
	for (unsigned i = 0; i < 200; i++) {
		struct vuser_dma_map_req req = { .argsz = sizeof(req), .flags = 1, .address = i * 0x10000ull, .size = 0x1000 };

		cr_assert_eq(vmm_ask(vmm, VUSER_DMA_MAP, &req, sizeof(req), NULL, 0), 0);
	}
	for (; more; pages++) {
		ask(from);
		until(pages + 1, 5000);
		cr_assert_eq(seen.err.num, 0, "%s", seen.err.msg);
		for (size_t i = 0; i < seen.page.nr; i++)
			cr_assert_eq(seen.page.ranges[i].first, nr++ * 0x10000ull);
		more = seen.page.more;
		from = seen.page.next;
		cr_assert_eq(seen.page.nr_recorded, 200);
	}
	cr_assert(nr == 200 && pages == 10, "%u ranges, %u pages", nr, pages);
	cr_assert(seen.page.kernel_tells && seen.page.kernel_entries == 0 && seen.page.entries == 0);
	close(vmm);
	finish();
}

/* As many as allowed, and one more; then there is room again. */
Test(devproc_dma, questions_at_and_above_the_limit)
{
	peer_start(&peer);
	adopt();
	for (unsigned round = 1; round <= 2; round++) {
		for (unsigned i = 0; i < DEVPROC_DMA_ASKS; i++)
			ask(0x1000 * i);
		cr_assert_eq(devproc_ask_dma(proc, 0, on_page, NULL, &err), -EBUSY);
		cr_assert_str_eq(err.code, "devproc.busy");
		until(round * DEVPROC_DMA_ASKS, 5000);
		cr_assert_eq(seen.err.num, 0, "%s", seen.err.msg);
	}
	finish();
	cr_assert_eq(seen.nr, 2 * DEVPROC_DMA_ASKS, "each once");
}

Test(devproc_dma, not_asked_any_more_when_it_stops)
{
	peer_start(&peer);
	adopt();
	ask(0);
	devproc_stop(proc);
	cr_assert_eq(devproc_ask_dma(proc, 0, on_page, NULL, &err), -ECONNRESET);
	cr_assert_str_eq(err.code, "devproc.lost");
	until(1, 5000);
	finish();
	cr_assert_eq(seen.nr, 1);
}

/* --- processes that do not --- */

#define TOTALS                                                                                                                   \
	"\"totals\":{\"ranges\":1,\"bytes\":4096,\"recorded\":0,\"pending\":0,\"parked\":0,\"entries\":1,\"kernel_entries\":1}"
#define RANGE(first, last)                                                                                                       \
	"{\"first\":\"" first "\",\"last\":\"" last                                                                              \
	"\",\"prot\":\"rw\",\"page_size\":4096,\"sealed\":true,\"pinned\":4096,\"pending\":0}"
#define PAGE(tag, ranges, next) "{\"op\":\"dma\",\"tag\":" tag ",\"ranges\":[" ranges "],\"next\":" next "," TOTALS "}"

/* One question at @from, of which this is to become. */
static void scripted(enum script script, const char *text, uint64_t from, int num, const char *code, unsigned ms)
{
	scripted_start(&peer, script, text);
	adopt();
	ask(from);
	until(1, ms);
	cr_assert_eq(seen.err.num, num, "%s: %s", text, seen.err.msg);
	cr_assert_str_eq(seen.err.code, code);
	finish();
	cr_assert_eq(seen.nr, 1, "once");
}

Test(devproc_dma, answered)
{
	scripted(SCRIPT_SAY, PAGE("TAG", RANGE("0x0", "0xfff"), "null"), 0, 0, "", 5000);
	cr_assert(seen.page.nr == 1 && !seen.page.more && seen.page.ranges[0].pinned == 4096);
}

Test(devproc_dma, dies_meanwhile)
{
	scripted(SCRIPT_DIE, NULL, 0, -ECONNRESET, "devproc.lost", 5000);
}

Test(devproc_dma, silent)
{
	scripted(SCRIPT_BE_SILENT, NULL, 0, -ETIMEDOUT, "devproc.silent", DEVPROC_DMA_MS + 5000);
}

Test(devproc_dma, of_an_older_gangway)
{
	scripted(SCRIPT_SAY, "{\"op\":\"error\",\"message\":\"unknown op\"}", 0, -EOPNOTSUPP, "devproc.old", 5000);
}

/* It broke the protocol, and is killed. */
Test(devproc_dma, talks_nonsense)
{
	scripted(SCRIPT_SAY, "{\"op\":\"dma\",\"tag\":TAG,\"ranges\":7}", 0, -ECONNRESET, "devproc.lost", 5000);
}

Test(devproc_dma, answers_with_what_is_below)
{
	scripted(SCRIPT_SAY, PAGE("TAG", RANGE("0x0", "0xfff"), "null"), 0x1000, -ECONNRESET, "devproc.lost", 5000);
}

/* An answer to a question that was never asked, or is not waited for any more, is no answer to this one. */
Test(devproc_dma, with_another_tag)
{
	scripted(SCRIPT_SAY, PAGE("7777", RANGE("0x0", "0xfff"), "null"), 0, -ETIMEDOUT, "devproc.silent", DEVPROC_DMA_MS + 5000);
}

Test(devproc_dma, freed_meanwhile)
{
	scripted_start(&peer, SCRIPT_BE_SILENT, NULL);
	adopt();
	ask(0);
	ask(0x1000);
	proc = devproc_free(proc);
	cr_assert_eq(seen.nr, 2);
	cr_assert_str_eq(seen.err.code, "devproc.lost");
	kill(peer.pid, SIGKILL);
	peer_wait(&peer);
	finish();
}

/* An error is the answer to what was said first: here "shared", which the process does not know; then it knows no "dma", either. */
Test(devproc_dma, an_error_that_answers_something_else)
{
	scripted_start(&peer, SCRIPT_BE_SILENT, NULL);
	adopt();
	cr_assert_eq(devproc_hold_shared(proc, true), 0);
	ask(0);
	cr_assert_eq(devproc_answered(proc, &(struct devproc_msg){ .op = DEVPROC_OP_ERROR }), 0);
	cr_assert_eq(seen.nr, 0);
	cr_assert_eq(devproc_hold_shared(proc, true), -EOPNOTSUPP);
	cr_assert_eq(devproc_answered(proc, &(struct devproc_msg){ .op = DEVPROC_OP_ERROR }), 0);
	cr_assert_str_eq(seen.err.code, "devproc.old");
	finish();
}

/* --- the decoder --- */

#define R(first, last, prot, page, sealed, pinned, pending)                                                                      \
	"{\"first\":" first ",\"last\":" last ",\"prot\":" prot ",\"page_size\":" page ",\"sealed\":" sealed                     \
	",\"pinned\":" pinned ",\"pending\":" pending "}"
#define P(ranges) PAGE("1", ranges, "null")
#define T(totals) "{\"op\":\"dma\",\"tag\":1,\"ranges\":[],\"next\":null,\"totals\":" totals "}"

static int decode(const char *text, struct devproc_msg *ret)
{
	return devproc_decode(text, strlen(text), "lease-1", PEER_BDF, ret, &err);
}

Test(devproc_dma, hostile_answers)
{
	static const char *const bad[] = {
		"{\"op\":\"dma\"}",
		PAGE("null", "", "null"),
		PAGE("\"1\"", "", "null"),
		PAGE("1.0", "", "null"),
		PAGE("1", "", "7"),
		PAGE("1", "", "\"0x1000\""), /* a next without a range would lead round and round */
		PAGE("1", RANGE("0x0", "0xfff"), "\"0xfff\""),
		PAGE("1", RANGE("0x0", "0xfff"), "\"4096\""),
		PAGE("1", RANGE("0x0", "0xfff"), "\"0x10000000000000000\""),
		P("7"),
		P("[]"),
		P("{}"),
		P(RANGE("0x1000", "0xfff")),
		P(RANGE("-0x1", "0xfff")),
		P(RANGE("0", "0xfff")),
		P(RANGE("0x0", "")),
		P(RANGE("0x0", "0xFFF")),
		P(RANGE("0x1000", "0x1fff") "," RANGE("0x0", "0xfff")), /* out of order */
		P(RANGE("0x0", "0xfff") "," RANGE("0x0", "0xfff")),
		P(RANGE("0x0", "0x1fff") "," RANGE("0x1000", "0x2fff")), /* overlap */
		P(RANGE("0x0", "0xffffffffffffffff")), /* backed, all of 2^64 */
		P(R("0", "\"0xfff\"", "\"rw\"", "4096", "true", "0", "0")),
		P(R("\"0x0\"", "null", "\"rw\"", "4096", "true", "0", "0")),
		P(R("\"0x0\"", "\"0xfff\"", "\"\"", "4096", "true", "0", "0")),
		P(R("\"0x0\"", "\"0xfff\"", "\"wr\"", "4096", "true", "0", "0")),
		P(R("\"0x0\"", "\"0xfff\"", "\"rwx\\u001b[2J\"", "4096", "true", "0", "0")),
		P(R("\"0x0\"", "\"0xfff\"", "3", "4096", "true", "0", "0")),
		P(R("\"0x0\"", "\"0xfff\"", "\"r\"", "1", "true", "0", "0")),
		P(R("\"0x0\"", "\"0xfff\"", "\"r\"", "2048", "true", "0", "0")),
		P(R("\"0x0\"", "\"0xfff\"", "\"r\"", "12288", "true", "0", "0")),
		P(R("\"0x0\"", "\"0xfff\"", "\"r\"", "-4096", "true", "0", "0")),
		P(R("\"0x0\"", "\"0xfff\"", "\"r\"", "2199023255552", "true", "0", "0")),
		P(R("\"0x0\"", "\"0xfff\"", "\"r\"", "4096", "1", "0", "0")),
		P(R("\"0x0\"", "\"0xfff\"", "\"r\"", "4096", "true", "-1", "0")),
		P(R("\"0x0\"", "\"0xfff\"", "\"r\"", "4096", "true", "0", "-1")),
		P(R("\"0x0\"", "\"0xfff\"", "\"r\"", "4096", "true", "4097", "0")),
		P(R("\"0x0\"", "\"0xfff\"", "\"r\"", "4096", "true", "4096", "1")),
		P(R("\"0x0\"", "\"0xfff\"", "\"r\"", "4096", "true", "1", "9223372036854775807")),
		P(R("\"0x0\"", "\"0xfff\"", "\"r\"", "4096", "true", "99999999999999999999", "0")),
		P(R("\"0x0\"", "\"0xfff\"", "\"r\"", "0", "false", "1", "0")), /* recorded only, and pinned */
		P(R("\"0x0\"", "\"0xfff\"", "\"r\"", "0", "true", "0", "0")),
		T("null"),
		T("[]"),
		T("{}"),
		T("{\"ranges\":-1,\"bytes\":0,\"recorded\":0,\"pending\":0,\"parked\":0,\"entries\":0,\"kernel_entries\":0}"),
		T("{\"ranges\":4294967296,\"bytes\":0,\"recorded\":0,\"pending\":0,\"parked\":0,\"entries\":0,\"kernel_entries\":"
		  "0}"),
		T("{\"ranges\":0,\"bytes\":\"0\",\"recorded\":0,\"pending\":0,\"parked\":0,\"entries\":0,\"kernel_entries\":0}"),
		T("{\"ranges\":0,\"bytes\":0,\"recorded\":0,\"pending\":0,\"parked\":0,\"entries\":4294967296,\"kernel_entries\":"
		  "0}"),
		T("{\"ranges\":0,\"bytes\":0,\"recorded\":0,\"pending\":0,\"parked\":0,\"entries\":0,\"kernel_entries\":false}"),
		T("{\"ranges\":0,\"bytes\":0,\"recorded\":0,\"pending\":0,\"parked\":0,\"entries\":0}"),
	};
	struct devproc_msg msg = { .op = DEVPROC_OP_ERROR };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(decode(bad[i], &msg), -EPROTO, "%s", bad[i]);
		cr_assert_str_eq(err.code, "devproc.protocol");
		cr_assert_eq(msg.op, DEVPROC_OP_ERROR, "untouched on failure");
	}
}

/* A page at the limit, and a range more. */
Test(devproc_dma, too_many_ranges)
{
	char text[2 * DEVICE_PROTO_MAX], ranges[DEVICE_PROTO_MAX] = "";
	struct devproc_msg msg;

	for (unsigned i = 0; i <= DEVPROC_DMA_RANGES; i++) {
		snprintf(ranges + strlen(ranges), sizeof(ranges) - strlen(ranges),
			 "%s{\"first\":\"0x%x000\",\"last\":\"0x%xfff\",\"prot\":\"w\",\"page_size\":0,\"sealed\":false,"
			 "\"pinned\":0,\"pending\":0}",
			 i ? "," : "", i, i);
		snprintf(text, sizeof(text), PAGE("1", "%s", "null"), ranges);
		cr_assert(strlen(text) <= DEVICE_PROTO_MAX);
		cr_assert_eq(decode(text, &msg), i < DEVPROC_DMA_RANGES ? 0 : -EPROTO, "%u ranges: %s", i + 1, err.msg);
	}
	cr_assert_eq(msg.dma.nr, DEVPROC_DMA_RANGES);
}

/* The ends of what is taken, and what a newer process may add. */
Test(devproc_dma, odd_and_valid)
{
	static const char text[] = "{\"op\":\"dma\",\"tag\":1,\"new\":[],\"ranges\":[" R(
		"\"0x0\"", "\"0xfffffffffffffffe\"", "\"r\"", "0", "false", "0",
		"0") "," R("\"0xffffffffffffffff\"", "\"0xffffffffffffffff\"", "\"w\"", "1099511627776", "true", "0",
			   "1") "],"
				"\"next\":null,\"totals\":{\"ranges\":4294967295,\"bytes\":9223372036854775807,\"recorded\":0,"
				"\"pending\":1,"
				"\"parked\":0,\"entries\":0,\"kernel_entries\":null,\"new\":1}}";
	struct devproc_msg msg;

	cr_assert_eq(decode(text, &msg), 0, "%s", err.msg);
	cr_assert(msg.op == DEVPROC_OP_DMA && msg.tag == 1 && msg.dma.nr == 2 && !msg.dma.more && !msg.dma.kernel_tells);
	cr_assert_eq(msg.dma.ranges[1].first, UINT64_MAX);
	cr_assert_str_eq(msg.dma.ranges[1].prot, "w");
	cr_assert_eq(msg.dma.ranges[1].pending, 1);
}
