/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BARs, memory and local APICs of a guest: as QEMU 7.2.22 and 11.1.3 answer, and as nobody should. */
#include "vmm_irq.h"
#include "vmm_test.h"

struct result {
	struct outcome o;
	struct vmm_bar bars[VMM_BARS];
	struct vmm_lapic lapic;
	char text[256];
	size_t len;
};

static void on_bars(void *ctx, int r, const struct vmm_bar *bars, const struct err *err)
{
	struct result *res = ctx;

	cr_assert_eq(r == 0, bars != NULL);
	if (bars)
		memcpy(res->bars, bars, sizeof(res->bars));
	on_done(&res->o, r, err);
}

static void on_text(void *ctx, int r, const char *text, size_t len, const struct err *err)
{
	struct result *res = ctx;

	cr_assert_eq(r == 0, text != NULL);
	res->len = len;
	if (text)
		snprintf(res->text, sizeof(res->text), "%s", text);
	on_done(&res->o, r, err);
}

static void on_lapic(void *ctx, int r, const struct vmm_lapic *lapic, const struct err *err)
{
	struct result *res = ctx;

	cr_assert_eq(r == 0, lapic != NULL);
	if (lapic)
		res->lapic = *lapic;
	on_done(&res->o, r, err);
}

enum what { BARS, TEXT, LAPIC };

static int begin(enum what what, struct result *res, struct err *err)
{
	switch (what) {
	case BARS:
		return vmm_query_bars(vmm, "vf0", on_bars, res, err);
	case TEXT:
		return vmm_read_words(vmm, 0xfe842000, 12, on_text, res, err);
	case LAPIC:
		return vmm_query_lapic(vmm, 1, on_lapic, res, err);
	}
	return -EINVAL;
}

/* One question, answered with @value; NULL: the VMM dies. */
static struct result one(enum what what, const char *value)
{
	static const char *const commands[] = { "query-pci", "human-monitor-command", "human-monitor-command" };
	static const char *const args[] = { NULL, "\"xp /12wx 0xfe842000\"", "\"info lapic\", \"cpu-index\": 1" };
	const struct fake_qmp_step script[] = { fq_hello_vmm,
						{ .what = FQ_EXPECT, .a = commands[what], .b = args[what] },
						{ .what = value ? FQ_RETURN : FQ_DIE, .a = value },
						fq_end };
	struct result res = { 0 };

	start(script);
	until_state(VMM_UP);
	cr_assert_eq(begin(what, &res, NULL), 0);
	until_done(&res.o);
	stop();
	cr_assert_eq(res.o.calls, 1);
	return res;
}

/* --- BARs --- */

#define MEM(n, address, size)                                                                                                    \
	"{\"prefetch\": true, \"mem_type_64\": true, \"bar\": " #n ", \"size\": " #size ", \"address\": " #address               \
	", \"type\": \"memory\"}"
#define IO "{\"bar\": 2, \"size\": 32, \"address\": 49152, \"type\": \"io\"}"
#define DEVICE(id, more, regions)                                                                                                \
	"{\"irq_pin\": 0, \"bus\": 1, \"qdev_id\": \"" id "\", \"slot\": 0, \"function\": 0, " more "\"regions\": [" regions "]" \
	"}"
#define BUS(devices) "{\"bus\": 0, \"devices\": [" devices "]}"
#define BRIDGE(id, devices)                                                                                                      \
	DEVICE(id, "\"pci_bridge\": {\"bus\": {\"number\": 0, \"secondary\": 1}, \"devices\": [" devices "]}, ",                 \
	       MEM(0, 4267704320, 4096))
#define VF(regions) "[" BUS(DEVICE("", "", "") ", " BRIDGE("rp1", DEVICE("vf0", "", regions))) "]"
#define IGBVF MEM(0, 4269801472, 16384) ", " MEM(3, 4269817856, 16384)

Test(vmm_irq, bars)
{
	struct result r = one(BARS, VF(IGBVF ", " IO ", " MEM(6, -1, 262144)));

	cr_assert_eq(r.o.r, 0, "%s", r.o.err.msg);
	cr_assert(r.bars[0].address == 4269801472 && r.bars[0].size == 16384);
	cr_assert(r.bars[3].address == 4269817856 && r.bars[3].size == 16384);
	for (int i = 0; i < VMM_BARS; i++)
		cr_assert(i == 0 || i == 3 || (r.bars[i].address == 0 && r.bars[i].size == 0));
}

Test(vmm_irq, bars_that_are_not_mapped)
{
	struct result r = one(BARS, VF(MEM(0, -1, 16384) ", " MEM(3, 0, 16384)));

	cr_assert_eq(r.o.r, 0);
	cr_assert(r.bars[0].address == 0 && r.bars[0].size == 16384);
	cr_assert(r.bars[3].address == 0 && r.bars[3].size == 16384);
	r = one(BARS, VF(""));
	cr_assert_eq(r.o.r, 0);
	cr_assert_eq(r.bars[0].size, 0);
}

/* A number above 2^63 anywhere in the answer makes reals of all others; a second root bus; bridges behind bridges. */
Test(vmm_irq, bars_elsewhere)
{
	struct result r = one(BARS, "[" BUS(DEVICE("x", "", MEM(0, 18446744073709551615, 4096))) ", " BUS(BRIDGE(
					    "a", BRIDGE("b", BRIDGE("c", DEVICE("vf0", "", IGBVF ", " MEM(5, -1, 4096)))))) "]");

	cr_assert_eq(r.o.r, 0, "%s", r.o.err.msg);
	cr_assert(r.bars[3].address == 4269817856 && r.bars[3].size == 16384);
	cr_assert(r.bars[5].address == 0 && r.bars[5].size == 4096);
}

Test(vmm_irq, no_such_device, .timeout = 60)
{
	static const char *const none[] = {
		"[]",
		"[" BUS("") "]",
		"[" BUS(DEVICE("", "", IGBVF)) "]",
		"[" BUS(DEVICE("vf00", "", IGBVF)) "]",
		"[" BUS(BRIDGE("rp1", "")) "]",
		"[1, null, {}, [], {\"devices\": 7}, {\"devices\": [1, \"vf0\", {\"qdev_id\": 0, \"pci_bridge\": []}]}]",
		"[{\"devices\": [{\"pci_bridge\": {\"devices\": {\"qdev_id\": \"vf0\"}}}]}]",
	};

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		struct result r = one(BARS, none[i]);

		cr_assert_eq(r.o.r, -ENODEV, "%s: %d", none[i], r.o.r);
		cr_assert_str_eq(r.o.err.code, "vmm.no-device");
	}
}

Test(vmm_irq, hostile_bars, .timeout = 60)
{
	static const char *const bad[] = {
		"7",
		"{}",
		"null",
		"[" BUS("{\"qdev_id\": \"vf0\"}") "]",
		"[" BUS("{\"qdev_id\": \"vf0\", \"regions\": {}}") "]",
		VF("1"),
		VF("{\"bar\": 0, \"size\": 4096, \"address\": 4096}"),
		VF("{\"bar\": \"0\", \"size\": 4096, \"address\": 4096, \"type\": \"memory\"}"),
		VF("{\"size\": 4096, \"address\": 4096, \"type\": \"memory\"}"),
		VF("{\"bar\": 0, \"address\": 4096, \"type\": \"memory\"}"),
		VF("{\"bar\": 0, \"size\": 4096, \"type\": \"memory\"}"),
		VF(MEM(0, 4096, 0)),
		VF(MEM(0, 4096, -1)),
		VF(MEM(0, -2, 4096)),
		VF(MEM(0, -9223372036854775808, 4096)),
		VF(MEM(0, 4096, 1e300)),
		VF(MEM(0, 1e17, 4096)),
		VF(MEM(0, "4096", 4096)),
		VF(MEM(0, 4096, 4096) ", " MEM(0, 8192, 4096)),
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct result r = one(BARS, bad[i]);

		cr_assert_eq(r.o.r, -EPROTO, "%s: %d", bad[i], r.o.r);
		cr_assert_str_eq(r.o.err.code, "vmm.bad-answer");
	}
}

/* --- memory --- */

Test(vmm_irq, memory)
{
	struct result r = one(TEXT, "\"fe842000: 0xfee00000 0x00000000 0x00004041 0x00000000\\r\\n\"");

	cr_assert_eq(r.o.r, 0);
	cr_assert_str_eq(r.text, "fe842000: 0xfee00000 0x00000000 0x00004041 0x00000000\r\n");
	cr_assert_eq(r.len, strlen(r.text));
	r = one(TEXT, "\"\"");
	cr_assert_eq(r.o.r, 0);
	cr_assert_eq(r.len, 0);
	cr_assert_eq(one(TEXT, "{}").o.r, -EPROTO);
	cr_assert_eq(one(TEXT, "null").o.r, -EPROTO);
}

/* 12 words are bounded by 12 * 32 + 256 bytes. */
Test(vmm_irq, memory_too_long)
{
	char text[700];

	for (unsigned n = 640; n <= 641; n++) {
		struct result r;

		memset(text, 'x', n + 1);
		text[0] = text[n + 1] = '"';
		text[n + 2] = '\0';
		r = one(TEXT, text);
		cr_assert_eq(r.o.r, n == 640 ? 0 : -EPROTO, "%u: %d", n, r.o.r);
		cr_assert_eq(r.len, n == 640 ? 640 : 0);
	}
}

/* --- local APICs --- */

#define LAPIC_TEXT(svr, regs)                                                                                                    \
	"\"dumping local APIC state for CPU 1 \\r\\n\\r\\nLVT0\\t 0x00010000 active-hi edge  masked  Fixed  (vec 0)\\r\\n"       \
	"SPIV\\t 0x000001ff APIC " svr ", focus=off, spurious vec 255\\r\\nICR\\t 0x000c4610 physical edge assert all\\r\\n"     \
	"ISR\\t (none)\\r\\nIRR\\t (none)\\r\\n\\r\\nAPR 0x00 TPR 0x00 " regs " PPR 0x00\\r\\n\""

Test(vmm_irq, lapic, .timeout = 60)
{
	static const struct {
		const char *text;
		int r;
		struct vmm_lapic is;
	} rows[] = {
		{ LAPIC_TEXT("enabled", "DFR 0x0f LDR 0x02"), 0, { .enabled = true, .flat = true, .ldr = 2 } },
		{ LAPIC_TEXT("disabled", "DFR 0x0f LDR 0x00"), 0, { .flat = true } },
		{ LAPIC_TEXT("enabled", "DFR 0x00 LDR 0x21(cluster 2: id 1)"), 0, { .enabled = true, .ldr = 0x21 } },
		{ LAPIC_TEXT("enabled", "DFR 0x0f"), -EPROTO, { 0 } },
		{ LAPIC_TEXT("enabled", "LDR 0x02"), -EPROTO, { 0 } },
		{ LAPIC_TEXT("enabled", "DFR 0x07 LDR 0x02"), -EPROTO, { 0 } },
		{ LAPIC_TEXT("enabled", "DFR 0x0f LDR 2"), -EPROTO, { 0 } },
		{ LAPIC_TEXT("enabled", "DFR 0x0f LDR 0xzz"), -EPROTO, { 0 } },
		{ "\"\"", -EPROTO, { 0 } },
		{ "[]", -EPROTO, { 0 } },
		{ "\"local apic state not available\\r\\n\"", -EOPNOTSUPP, { 0 } },
		{ "\"No CPU available\\r\\n\"", -EPROTO, { 0 } },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct result r = one(LAPIC, rows[i].text);

		cr_assert_eq(r.o.r, rows[i].r, "%s: %d", rows[i].text, r.o.r);
		cr_assert(r.lapic.enabled == rows[i].is.enabled && r.lapic.flat == rows[i].is.flat, "%s", rows[i].text);
		cr_assert_eq(r.lapic.ldr, rows[i].is.ldr, "%s", rows[i].text);
		cr_assert_str_eq(r.o.err.code, r.o.r == 0 ? "" : r.o.r == -EPROTO ? "vmm.bad-answer" : "vmm.no-lapic");
	}
}

/* --- all of them --- */

Test(vmm_irq, bad_arguments)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm, fq_end };
	struct result res = { 0 };
	struct err err;

	start(script);
	cr_assert_eq(begin(BARS, &res, &err), -ENOTCONN);
	until_state(VMM_UP);
	cr_assert_eq(vmm_query_bars(vmm, "", on_bars, &res, &err), -EINVAL);
	cr_assert_eq(vmm_query_bars(vmm, "0000:3b:02.1", on_bars, &res, &err), -EINVAL);
	cr_assert_str_eq(err.code, "vmm.bad-id");
	cr_assert_eq(vmm_read_words(vmm, 4096, 0, on_text, &res, &err), -EINVAL);
	cr_assert_eq(vmm_read_words(vmm, 4096, VMM_READ_WORDS_MAX + 1, on_text, &res, &err), -EINVAL);
	cr_assert_eq(vmm_read_words(vmm, 4098, 1, on_text, &res, &err), -EINVAL);
	cr_assert_eq(vmm_read_words(vmm, UINT64_MAX - 3, 1, on_text, &res, &err), -EINVAL);
	cr_assert_eq(vmm_read_words(vmm, INT64_MAX - 3, 1, on_text, &res, &err), -EINVAL);
	cr_assert_str_eq(err.code, "vmm.bad-address");
	stop();
	cr_assert_eq(res.o.calls, 0);
}

/* A refusal has QEMU's words; the VMM dies, or is given up, while it is asked. */
Test(vmm_irq, no_answer, .timeout = 60)
{
	for (enum what what = BARS; what <= LAPIC; what++) {
		static const struct fake_qmp_step refuse[] = { fq_hello_vmm, fq_do(FQ_SERVE), fq_end };
		struct result res = one(what, NULL);

		cr_assert_eq(res.o.r, -ECONNRESET);
		res = (struct result){ 0 };
		start(refuse);
		until_state(VMM_UP);
		cr_assert_eq(begin(what, &res, NULL), 0);
		until_done(&res.o);
		cr_assert_eq(res.o.r, -EOPNOTSUPP);
		res = (struct result){ 0 };
		cr_assert_eq(begin(what, &res, NULL), 0);
		stop();
		cr_assert_eq(res.o.calls, 1);
		cr_assert_eq(res.o.r, -ECANCELED);
	}
}

/* One at a time on a guest, whatever the kind; the next one may come out of the callback of the one before. */
Test(vmm_irq, one_at_a_time)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm,	  fq_expect("query-pci"),
						       fq_return("[]"),	  fq_expect("human-monitor-command"),
						       fq_return("\"\""), fq_end };
	struct result bars = { 0 }, text = { 0 };
	struct err err;

	start(script);
	until_state(VMM_UP);
	cr_assert_eq(begin(BARS, &bars, &err), 0);
	for (enum what what = BARS; what <= LAPIC; what++) {
		cr_assert_eq(begin(what, &text, &err), -EBUSY);
		cr_assert_str_eq(err.code, "vmm.irq-busy");
	}
	until_done(&bars.o);
	cr_assert_eq(begin(TEXT, &text, &err), 0);
	until_done(&text.o);
	stop();
	cr_assert_eq(text.o.calls, 1);
}
