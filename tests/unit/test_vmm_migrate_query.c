/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far a migration has come, from answers good and bad. */
#include "vmm_migrate.h"
#include "vmm_test.h"

struct result {
	struct outcome o;
	struct vmm_migrate_info info;
};

static void on_migrate_info(void *ctx, int r, const struct vmm_migrate_info *info, const struct err *err)
{
	struct result *res = ctx;

	cr_assert_eq(r == 0, info != NULL);
	if (info)
		res->info = *info;
	on_done(&res->o, r, err);
}

static void query(const char *answer, bool dies, struct result *res)
{
	const struct fake_qmp_step script[] = {
		fq_hello_vmm, fq_expect("query-migrate"), { .what = dies ? FQ_DIE : FQ_RETURN, .a = answer }, fq_end
	};

	start(script);
	until_state(VMM_UP);
	cr_assert_eq(vmm_query_migrate(vmm, on_migrate_info, res, NULL), 0);
	until_done(&res->o);
	stop();
	cr_assert_eq(res->o.calls, 1);
}

Test(vmm_migrate_query, as_qemu_answers)
{
	struct result r = { 0 };

	query("{\"expected-downtime\": 300, \"remaining\": 446464, \"status\": \"active\", \"setup-time\": 87, \"total-time\": "
	      "1525, \"ram\": "
	      "{\"total\": 68165632, \"postcopy-requests\": 0, \"dirty-sync-count\": 1, \"page-size\": 4096, \"remaining\": "
	      "315392, \"mbps\": "
	      "10.5, \"transferred\": 1542016, \"dirty-pages-rate\": 320, \"normal\": 340}}",
	      false, &r);
	cr_assert_eq(r.o.r, 0);
	cr_assert_eq(r.info.migration.status, VMM_MIG_ACTIVE);
	cr_assert_str_eq(r.info.migration.word, "active");
	cr_assert_eq(r.info.transferred, 1542016);
	cr_assert_eq(r.info.remaining, 315392);
	cr_assert_eq(r.info.total, 68165632);
	cr_assert_eq(r.info.dirty_rate, 320 * 4096);
	cr_assert_eq(r.info.bandwidth, 1312500);
	cr_assert_eq(r.info.total_ms, 1525);
	cr_assert_eq(r.info.setup_ms, 87);
	cr_assert_eq(r.info.expected_downtime_ms, 300);
	cr_assert_eq(r.info.downtime_ms, 0);
	r = (struct result){ 0 };
	query("{\"status\": \"failed\", \"error-desc\": \"Failed to connect to '127.0.0.1:1':\\nConnection refused\"}", false,
	      &r);
	cr_assert_eq(r.info.migration.status, VMM_MIG_FAILED);
	cr_assert_str_eq(r.info.error, "Failed to connect to '127.0.0.1:1': Connection refused");
	r = (struct result){ 0 };
	query("{}", false, &r);
	cr_assert_eq(r.o.r, 0);
	cr_assert_eq(r.info.migration.status, VMM_MIG_NONE);
	cr_assert_str_eq(r.info.migration.word, "none");
	r = (struct result){ 0 };
	/* one number above 2^63 makes reals of all others in its line */
	query("{\"status\": \"active\", \"ram\": {\"multifd-bytes\": 18446744073709551615, \"transferred\": 1542016}}", false,
	      &r);
	cr_assert_eq(r.o.r, 0);
	cr_assert_eq(r.info.transferred, 1542016);
}

Test(vmm_migrate_query, hostile_answers, .timeout = 60)
{
	static const char *const bad[] = {
		"7",
		"[]",
		"null",
		"{\"status\": 7}",
		"{\"status\": \"active\", \"ram\": []}",
		"{\"status\": \"active\", \"ram\": {\"transferred\": -1}}",
		"{\"status\": \"active\", \"ram\": {\"remaining\": \"5\"}}",
		"{\"status\": \"active\", \"ram\": {\"total\": 18446744073709551615}}",
		"{\"status\": \"active\", \"ram\": {\"total\": true}}",
		"{\"status\": \"active\", \"ram\": {\"dirty-pages-rate\": 9223372036854775807, \"page-size\": 4096}}",
		"{\"status\": \"active\", \"ram\": {\"mbps\": -0.5}}",
		"{\"status\": \"active\", \"ram\": {\"mbps\": 1e300}}",
		"{\"status\": \"active\", \"ram\": {\"mbps\": \"fast\"}}",
		"{\"status\": \"active\", \"total-time\": -1}",
		"{\"status\": \"active\", \"setup-time\": {}}",
		"{\"status\": \"active\", \"downtime\": -9223372036854775808}",
		"{\"status\": \"active\", \"expected-downtime\": null}",
		"{\"status\": \"failed\", \"error-desc\": [\"x\"]}",
	};
	struct result r;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		r = (struct result){ 0 };
		query(bad[i], false, &r);
		cr_assert_eq(r.o.r, -EPROTO, "%s: %d", bad[i], r.o.r);
		cr_assert_str_eq(r.o.err.code, "vmm.bad-answer");
	}
	r = (struct result){ 0 };
	query("{\"status\": \"a\\u001b[31mword that is longer than any\", \"error-desc\": \"\\u001b[2J\"}", false, &r);
	cr_assert_eq(r.o.r, 0);
	cr_assert_eq(r.info.migration.status, VMM_MIG_UNKNOWN);
	cr_assert_str_eq(r.info.migration.word, "a?[31mword that is long");
	cr_assert_str_eq(r.info.error, " [2J");
	r = (struct result){ 0 };
	query(NULL, true, &r);
	cr_assert_eq(r.o.r, -ECONNRESET);
}
