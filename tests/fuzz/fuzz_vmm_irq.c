/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer target: the input is what a VMM sends once it has been greeted, while it is asked about interrupts: vCPUs, BARs, memory, a local
 * APIC, the platform, one after the other, again and again. Each question must be called back exactly once, and what it gives be in range.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../vmm/qmp_internal.h"
#include "../../vmm/vmm_internal.h"
#include "gangway_limits.h"
#include "vmm_irq.h"

#define WORDS 16
#define QUESTIONS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What vmm asks by itself when it connects: the commands 1 to 7. The input answers from 8 on. */
/* clang-format off */
static const char hello[] =
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 3, \"minor\": 1, \"major\": 11}, \"package\": \"\"}, \"capabilities\": []}}\n"
	"{\"id\": 1, \"return\": {}}\n"
	"{\"id\": 2, \"return\": {\"status\": \"running\", \"running\": true}}\n"
	"{\"id\": 3, \"return\": []}\n"
	"{\"id\": 4, \"return\": []}\n"
	"{\"id\": 5, \"return\": []}\n"
	"{\"id\": 6, \"return\": [{\"capability\": \"events\", \"state\": true}]}\n"
	"{\"id\": 7, \"return\": {}}\n";
/* clang-format on */

static struct vmm *vmm;
static unsigned asked, answered;

static void ask(void);

static void check(int r, const struct err *err)
{
	if (r > 0 || (r < 0 && (!err || err->num != r || !err->code[0] || !err->msg[0])))
		abort();
	answered++;
	ask();
}

static void on_vcpus(void *ctx, int r, const struct vmm_vcpu *vcpus, unsigned nr, const struct err *err)
{
	(void)ctx;
	if ((r == 0) != (nr > 0) || nr > LIMIT_VCPUS)
		abort();
	for (unsigned i = 0; i < nr; i++)
		if (vcpus[i].tid <= 0 || (i > 0 && vcpus[i].index <= vcpus[i - 1].index))
			abort();
	check(r, err);
}

static void on_bars(void *ctx, int r, const struct vmm_bar *bars, const struct err *err)
{
	(void)ctx;
	for (int i = 0; r == 0 && i < VMM_BARS; i++)
		if ((bars[i].address && !bars[i].size) || bars[i].address > INT64_MAX || bars[i].size > INT64_MAX)
			abort();
	check(r, err);
}

static void on_text(void *ctx, int r, const char *text, size_t len, const struct err *err)
{
	(void)ctx;
	if ((r == 0) != (text != NULL) || len > WORDS * 32 + 256 || (text && text[len]))
		abort();
	check(r, err);
}

static void on_lapic(void *ctx, int r, const struct vmm_lapic *lapic, const struct err *err)
{
	(void)ctx;
	if ((r == 0) != (lapic != NULL))
		abort();
	check(r, err);
}

static void on_platform(void *ctx, int r, const struct vmm_platform *platform, const struct err *err)
{
	(void)ctx;
	if ((r == 0) != (platform != NULL) || (platform && platform->amd_remaps && platform->vtd_remaps))
		abort();
	check(r, err);
}

static void ask(void)
{
	int r = -1;

	if (asked == QUESTIONS_MAX || vmm_get_state(vmm) != VMM_UP)
		return;
	switch (asked % 5) {
	case 0:
		r = vmm_query_vcpus(vmm, on_vcpus, NULL, NULL);
		break;
	case 1:
		r = vmm_query_bars(vmm, "vf0", on_bars, NULL, NULL);
		break;
	case 2:
		r = vmm_read_words(vmm, 0xfe840000, WORDS, on_text, NULL, NULL);
		break;
	case 3:
		r = vmm_query_lapic(vmm, 1, on_lapic, NULL, NULL);
		break;
	default:
		r = vmm_query_platform(vmm, on_platform, NULL, NULL);
	}
	asked += r == 0;
}

static void on_state(void *ctx, struct vmm *v, enum vmm_state state, const struct err *why)
{
	(void)ctx;
	(void)v;
	(void)why;
	if (state == VMM_UP && asked == answered)
		ask();
}

static void feed(const char *bytes, size_t size)
{
	for (size_t used = 0; used < size && vmm->qmp->fd >= 0;) {
		size_t piece = size - used < 61 ? size - used : 61; /* lines come out whole and torn */

		qmp_feed(vmm->qmp, bytes + used, piece);
		used += piece;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vmm_ops ops = { .on_state = on_state };
	static sd_event *event;
	int pair[2];

	if (!event && sd_event_new(&event) < 0)
		abort();
	asked = answered = 0;
	if (vmm_new(event, "vm1", "/nowhere/qmp.sock", &ops, NULL, &vmm) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 || qmp_attach(vmm->qmp, pair[0]) < 0)
		abort();
	feed(hello, sizeof(hello) - 1);
	if (asked != 1)
		abort();
	feed((const char *)data, size);
	close(pair[1]);
	vmm_free(vmm);
	if (asked != answered)
		abort();
	return 0;
}
