/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Driving a migration: what is sent, what is set back, what is asked, and which URIs. */
#include "vmm_migrate.h"
#include "vmm_test.h"

#define CAP(name, state) "{\"capability\": \"" name "\", \"state\": " state "}"
#define CAPS                                                                                                                     \
	"[" CAP("xbzrle", "false") ", " CAP("events", "true") ", " CAP("postcopy-ram", "false") ", " CAP("background-snapshot",  \
													 "false") "]"
#define SNAPSHOT_ON "{\"capabilities\": [{\"capability\": \"background-snapshot\", \"state\": true}]}"
#define SNAPSHOT_OFF "{\"capabilities\": [{\"capability\": \"background-snapshot\", \"state\": false}]}"
#define RETURN_PATH(state) "{\"capabilities\": [{\"capability\": \"return-path\", \"state\": " state "}]}"
#define MIG(word) fq_event("MIGRATION", "{\"status\": \"" word "\"}")
#define RUNNING fq_expect("query-status"), fq_return("{\"status\": \"running\"}")
#define ERR(text) fq_error("GenericError", text)
#define STEPS_MAX 48

static const struct vmm_migrate plain = { .uri = "tcp:[2001:db8::1]:4444" };
static const struct vmm_migrate saved = { .uri = "file:/run/m.saved", .allow = VMM_MIGRATE_FILE };
static const struct vmm_migrate full = {
	.uri = "unix:/run/m.sock", .bandwidth = 125000000, .downtime_ms = 100, .background_snapshot = true
};

struct row {
	const char *name;
	const struct vmm_migrate *migrate;
	struct fake_qmp_step script[STEPS_MAX];
	int r;
	const char *code;
};

static const struct row rows[] = {
	{ "plain: nothing is changed",
	  &plain,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return(CAPS),
	    fq_expect_with("migrate", "{\"uri\": \"tcp:[2001:db8::1]:4444\"}"), MIG("setup"), fq_return("{}"), MIG("active"),
	    MIG("completed"), RUNNING, fq_end },
	  0,
	  "" },
	{ "by a socket, of a VMM that can be answered by it: on for it, and off again",
	  &plain,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return("[" CAP("return-path", "false") "]"),
	    fq_expect_with("migrate-set-capabilities", RETURN_PATH("true")), fq_return("{}"), fq_expect("migrate"), MIG("setup"),
	    fq_return("{}"), MIG("completed"), RUNNING, fq_expect_with("migrate-set-capabilities", RETURN_PATH("false")),
	    fq_return("{}"), fq_end },
	  0,
	  "" },
	{ "into a file: nobody answers from there",
	  &saved,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return("[" CAP("return-path", "false") "]"),
	    fq_expect("migrate"), MIG("setup"), fq_return("{}"), MIG("completed"), RUNNING, fq_end },
	  0,
	  "" },
	{ "plain, where a snapshot was left on: off for it, and on again",
	  &plain,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return("[" CAP("background-snapshot", "true") "]"),
	    fq_expect_with("migrate-set-capabilities", SNAPSHOT_OFF), fq_return("{}"), fq_expect("migrate"), MIG("setup"),
	    fq_return("{}"), MIG("failed"), RUNNING, fq_expect_with("migrate-set-capabilities", SNAPSHOT_ON), fq_return("{}"),
	    fq_end },
	  0,
	  "" },
	{ "all of it, set back at the end",
	  &full,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return(CAPS),
	    fq_expect_with("migrate-set-capabilities", SNAPSHOT_ON), fq_return("{}"),
	    fq_expect_with("migrate-set-parameters", "{\"downtime-limit\": 100, \"max-bandwidth\": 125000000}"), fq_return("{}"),
	    fq_expect("migrate"), MIG("setup"), fq_return("{}"), MIG("active"), fq_pause(20), MIG("completed"), RUNNING,
	    fq_expect_with("migrate-set-capabilities", SNAPSHOT_OFF), fq_return("{}"), fq_end },
	  0,
	  "" },
	{ "a snapshot by a socket: QEMU takes no way back with it (check_caps_background_snapshot)",
	  &full,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"),
	    fq_return("[" CAP("background-snapshot", "false") ", " CAP("return-path", "false") "]"),
	    fq_expect_with("migrate-set-capabilities", SNAPSHOT_ON), fq_return("{}"), fq_expect("migrate-set-parameters"),
	    fq_return("{}"), fq_expect("migrate"), MIG("setup"), fq_return("{}"), MIG("completed"), RUNNING,
	    fq_expect_with("migrate-set-capabilities", SNAPSHOT_OFF), fq_return("{}"), fq_end },
	  0,
	  "" },
	{ "over before it is answered",
	  &full,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return(CAPS), fq_expect("migrate-set-capabilities"),
	    fq_return("{}"), fq_expect("migrate-set-parameters"), fq_return("{}"), fq_expect("migrate"), MIG("setup"),
	    MIG("completed"), fq_return("{}"), fq_expect("query-status"), fq_return_to(0, "{\"status\": \"running\"}"),
	    fq_expect_with("migrate-set-capabilities", SNAPSHOT_OFF), fq_return("{}"), fq_end },
	  0,
	  "" },
	{ "the connection is lost while it is under way",
	  &full,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return(CAPS), fq_expect("migrate-set-capabilities"),
	    fq_return("{}"), fq_expect("migrate-set-parameters"), fq_return("{}"), fq_expect("migrate"), MIG("setup"),
	    fq_return("{}"), fq_pause(10), fq_do(FQ_CLOSE), fq_hello_vmm,
	    fq_expect_with("migrate-set-capabilities", SNAPSHOT_OFF), ERR("no"), fq_end },
	  0,
	  "" },
	{ "refused, set back",
	  &full,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return(CAPS), fq_expect("migrate-set-capabilities"),
	    fq_return("{}"), fq_expect("migrate-set-parameters"), fq_return("{}"), fq_expect("migrate"),
	    ERR("0000:00:02.0: VFIO device doesn't support migration"), fq_expect_with("migrate-set-capabilities", SNAPSHOT_OFF),
	    fq_return("{}"), fq_end },
	  -EBUSY,
	  "vmm.migration-blocked" },
	{ "parameters refused, set back, which is refused too",
	  &full,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return(CAPS), fq_expect("migrate-set-capabilities"),
	    fq_return("{}"), fq_expect("migrate-set-parameters"), ERR("no"), fq_expect("migrate-set-capabilities"),
	    ERR("neither"), fq_end },
	  -EIO,
	  "vmm.refused" },
	{ "capabilities refused: nothing to set back",
	  &full,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return(CAPS), fq_expect("migrate-set-capabilities"),
	    ERR("There's a migration process in progress"), fq_end },
	  -EBUSY,
	  "vmm.migrating" },
	{ "it left already",
	  &plain,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return(CAPS), fq_expect("migrate"),
	    ERR("Can't migrate the vm that was paused due to previous migration"), fq_end },
	  -ESTALE,
	  "vmm.postmigrate" },
	{ "no such capability",
	  &full,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return("[" CAP("events", "true") "]"), fq_end },
	  -EOPNOTSUPP,
	  "vmm.no-capability" },
	{ "capabilities that are none",
	  &plain,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return("[" CAP("events", "1") "]"), fq_end },
	  -EPROTO,
	  "vmm.bad-answer" },
	{ "dies at the first question",
	  &full,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_do(FQ_DIE), fq_end },
	  -ECONNRESET,
	  "qmp.closed" },
	{ "dies at the capabilities",
	  &full,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return(CAPS), fq_expect("migrate-set-capabilities"),
	    fq_do(FQ_DIE), fq_end },
	  -ECONNRESET,
	  "qmp.closed" },
	{ "dies at the parameters",
	  &full,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return(CAPS), fq_expect("migrate-set-capabilities"),
	    fq_return("{}"), fq_expect("migrate-set-parameters"), fq_do(FQ_DIE), fq_end },
	  -ECONNRESET,
	  "qmp.closed" },
	{ "dies at migrate",
	  &full,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return(CAPS), fq_expect("migrate-set-capabilities"),
	    fq_return("{}"), fq_expect("migrate-set-parameters"), fq_return("{}"), fq_expect("migrate"), fq_do(FQ_DIE), fq_end },
	  -ECONNRESET,
	  "qmp.closed" },
	{ "dies when it is under way",
	  &full,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return(CAPS), fq_expect("migrate-set-capabilities"),
	    fq_return("{}"), fq_expect("migrate-set-parameters"), fq_return("{}"), fq_expect("migrate"), MIG("setup"),
	    fq_return("{}"), fq_pause(10), fq_do(FQ_DIE), fq_end },
	  0,
	  "" },
	{ "dies when it is set back",
	  &full,
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return(CAPS), fq_expect("migrate-set-capabilities"),
	    fq_return("{}"), fq_expect("migrate-set-parameters"), ERR("no"), fq_expect("migrate-set-capabilities"), fq_do(FQ_DIE),
	    fq_end },
	  -EIO,
	  "vmm.refused" },
};

Test(vmm_migrate, started, .timeout = 60)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outcome o = { 0 };

		start(rows[i].script);
		until_state(VMM_UP);
		cr_assert_eq(vmm_migrate_start(vmm, rows[i].migrate, on_done, &o, NULL), 0);
		until_done(&o);
		cr_assert_eq(o.r, rows[i].r, "%s: %d %s", rows[i].name, o.r, o.err.msg);
		cr_assert_str_eq(o.err.code, rows[i].code, "%s", rows[i].name);
		until_script_done();
		bed_run_ms(&bed, 5);
		cr_assert_eq(o.calls, 1, "%s", rows[i].name);
		stop();
		cr_assert_eq(o.calls, 1, "%s", rows[i].name);
	}
}

static void free_it(void *ctx, int r, const struct err *err)
{
	on_done(ctx, r, err);
	vmm = vmm_free(vmm);
}

Test(vmm_migrate, given_up)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm,	fq_expect("query-migrate-capabilities"),
						       fq_return(CAPS), fq_expect("migrate-set-capabilities"),
						       fq_return("{}"), fq_expect("migrate-set-parameters"),
						       fq_end };
	static const struct fake_qmp_step begun[] = { fq_hello_vmm,    fq_expect("query-migrate-capabilities"),
						      fq_return(CAPS), fq_expect("migrate-set-capabilities"),
						      fq_return("{}"), fq_expect("migrate-set-parameters"),
						      fq_return("{}"), fq_expect("migrate"),
						      fq_return("{}"), fq_end };
	struct outcome o = { 0 };

	start(script);
	until_state(VMM_UP);
	cr_assert_eq(vmm_migrate_start(vmm, &full, on_done, &o, NULL), 0);
	until_script_done();
	stop();
	cr_assert_eq(o.calls, 1);
	cr_assert_eq(o.r, -ECANCELED);
	o = (struct outcome){ 0 };
	start(begun);
	until_state(VMM_UP);
	cr_assert_eq(vmm_migrate_start(vmm, &full, free_it, &o, NULL), 0);
	until_done(&o);
	cr_assert_eq(o.r, 0);
	stop();
	cr_assert_eq(o.calls, 1);
}

Test(vmm_migrate, bad_requests_are_never_sent)
{
	static const struct fake_qmp_step script[] = { fq_hello_vmm, fq_end };
	static const struct {
		struct vmm_migrate migrate;
		int r;
		const char *code;
	} bad[] = {
		{ { .uri = "exec:id" }, -EPERM, "vmm.migrate-exec" },
		{ { .uri = "tcp:h:1", .bandwidth = (1ull << 62) + 1 }, -ERANGE, "vmm.migrate-range" },
		{ { .uri = "tcp:h:1", .downtime_ms = 2000001 }, -ERANGE, "vmm.migrate-range" },
		{ { .uri = "tcp:h:1", .postcopy = true, .background_snapshot = true }, -EINVAL, "vmm.migrate-both" },
	};
	struct outcome o = { 0 };
	struct err err;

	start(script);
	cr_assert_eq(vmm_migrate_start(vmm, &plain, on_done, &o, &err), -ENOTCONN);
	until_state(VMM_UP);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(vmm_migrate_start(vmm, &bad[i].migrate, on_done, &o, &err), bad[i].r, "row %zu", i);
		cr_assert_str_eq(err.code, bad[i].code);
		cr_assert_eq(strncmp(err.msg, "guest vm1: ", 11), 0);
	}
	bed_run_ms(&bed, 20);
	stop();
	cr_assert_eq(o.calls, 0);
}

/* An answer about capabilities that is none: nothing is begun. */
Test(vmm_migrate, bad_capabilities)
{
	static const char *const bad[] = { "7",
					   "{}",
					   "[7]",
					   "[{\"capability\": 7, \"state\": true}]",
					   "[{\"capability\": \"events\"}]",
					   "[{\"capability\": \"events\", \"state\": \"on\"}]" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct fake_qmp_step script[] = { fq_hello_vmm, fq_expect("query-migrate-capabilities"), fq_return(bad[i]),
							fq_end };
		struct outcome o = { 0 };

		start(script);
		until_state(VMM_UP);
		cr_assert_eq(vmm_migrate_start(vmm, &plain, on_done, &o, NULL), 0);
		until_done(&o);
		cr_assert_eq(o.r, -EPROTO, "%s: %d", bad[i], o.r);
		cr_assert_str_eq(o.err.code, "vmm.bad-answer");
		stop();
	}
}

/* URIs ----------------------------------------------------------------------------------------------------------------- */

Test(vmm_migrate, uris)
{
	static char long_unix[140] = "unix:/", long_exec[600] = "exec:";
	static const struct {
		const char *uri;
		unsigned allow;
		const char *code; /* NULL: fine */
	} uris[] = {
		{ "tcp:10.0.0.2:4444", 0, NULL },
		{ "tcp:host-2.example.org:65535", 0, NULL },
		{ "tcp:[::1]:1", 0, NULL },
		{ "tcp:[fe80::1%eth0.5]:4444", 0, NULL },
		{ "tcp:[fe80::1%]:4444", 0, "vmm.migrate-uri" },
		{ "tcp:[fe80::1%a/b]:4444", 0, "vmm.migrate-uri" },
		{ "unix:/run/m.sock", 0, NULL },
		{ "exec:cat >/x", VMM_MIGRATE_EXEC, NULL },
		{ "file:/var/snap", VMM_MIGRATE_FILE, NULL },
		{ "exec:cat >/x", 0, "vmm.migrate-exec" },
		{ "exec:cat >/x", VMM_MIGRATE_FILE, "vmm.migrate-exec" },
		{ "exec:", VMM_MIGRATE_EXEC, "vmm.migrate-uri" },
		{ "file:/var/snap", VMM_MIGRATE_EXEC, "vmm.migrate-file" },
		{ "file:snap", VMM_MIGRATE_FILE, "vmm.migrate-uri" },
		{ "file:/var/snap,offset=4096", VMM_MIGRATE_FILE, "vmm.migrate-uri" },
		{ "fd:mig", ~0u, "vmm.migrate-fd" },
		{ "", ~0u, "vmm.migrate-uri" },
		{ "tcp", 0, "vmm.migrate-uri" },
		{ "tcp:", 0, "vmm.migrate-uri" },
		{ "tcp::4444", 0, "vmm.migrate-uri" },
		{ "tcp:host", 0, "vmm.migrate-uri" },
		{ "tcp:host:", 0, "vmm.migrate-uri" },
		{ "tcp:host:0", 0, "vmm.migrate-uri" },
		{ "tcp:host:65536", 0, "vmm.migrate-uri" },
		{ "tcp:host:4294967297", 0, "vmm.migrate-uri" },
		{ "tcp:host:44x", 0, "vmm.migrate-uri" },
		{ "tcp:host:4444,ipv4=on", 0, "vmm.migrate-uri" },
		{ "tcp:[::1:4444", 0, "vmm.migrate-uri" },
		{ "tcp:[]:4444", 0, "vmm.migrate-uri" },
		{ "tcp:::1:4444", 0, "vmm.migrate-uri" },
		{ "tcp:host:44\n44", 0, "vmm.migrate-uri" },
		{ "unix:", 0, "vmm.migrate-uri" },
		{ "unix:/", 0, "vmm.migrate-uri" },
		{ "unix:m.sock", 0, "vmm.migrate-uri" },
		{ long_unix, 0, "vmm.migrate-uri" },
		{ long_exec, VMM_MIGRATE_EXEC, "vmm.migrate-uri" },
		{ "rdma:host:4444", ~0u, "vmm.migrate-uri" },
		{ "TCP:host:4444", ~0u, "vmm.migrate-uri" },
		{ "vsock:3:4444", ~0u, "vmm.migrate-uri" },
	};

	memset(long_unix + 6, 'x', sizeof(long_unix) - 7);
	memset(long_exec + 5, 'x', sizeof(long_exec) - 6);
	for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
		struct err err = { 0 };
		int r = vmm_migrate_uri_check(uris[i].uri, uris[i].allow, &err);

		cr_assert_eq(r == 0, !uris[i].code, "%s: %d", uris[i].uri, r);
		if (!uris[i].code)
			continue;
		cr_assert_str_eq(err.code, uris[i].code, "%s", uris[i].uri);
		cr_assert(strstr(err.hint, "tcp:HOST:PORT"));
		cr_assert_eq(vmm_migrate_uri_check(uris[i].uri, uris[i].allow, NULL), r);
	}
}

/* Commands that stand alone -------------------------------------------------------------------------------------------- */

Test(vmm_migrate, simple_commands)
{
	static const struct fake_qmp_step script[] = {
		fq_hello_vmm,
		fq_expect("migrate_cancel"),
		fq_return("{}"),
		fq_expect("migrate-start-postcopy"),
		ERR("Enable postcopy with migrate_set_capability before the start of migration"),
		fq_expect("migrate_cancel"),
		fq_do(FQ_DIE),
		fq_end,
	};
	struct outcome o[3] = { 0 };

	start(script);
	until_state(VMM_UP);
	cr_assert_eq(vmm_migrate_cancel(vmm, on_done, &o[0], NULL), 0);
	cr_assert_eq(vmm_migrate_postcopy(vmm, on_done, &o[1], NULL), 0);
	cr_assert_eq(vmm_migrate_cancel(vmm, on_done, &o[2], NULL), 0);
	for (size_t i = 0; i < 3; i++)
		until_done(&o[i]);
	cr_assert_eq(o[0].r, 0);
	cr_assert_eq(o[1].r, -EIO);
	cr_assert_eq(o[2].r, -ECONNRESET);
	stop();
}
