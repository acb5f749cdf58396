/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A migration that must fail, so that the VMM plugs back what it holds: what is sent, who closes what, when it is over. */
#include "vmm_migrate.h"
#include "vmm_test.h"

#include <poll.h>
#include <unistd.h>

#define MIG(word) fq_event("MIGRATION", "{\"status\": \"" word "\"}")
#define RUNNING fq_expect("query-status"), fq_return("{\"status\": \"running\"}")
#define ERR(text) fq_error("GenericError", text)
#define CAPS(state)                                                                                                              \
	fq_expect("query-migrate-capabilities"), fq_return("[{\"capability\": \"background-snapshot\", \"state\": " state "}]")
#define SET(state)                                                                                                               \
	fq_expect_with("migrate-set-capabilities",                                                                               \
		       "{\"capabilities\": [{\"capability\": \"background-snapshot\", \"state\": " state "}]}")
#define GETFD CAPS("false"), GETFD_ALONE
#define GETFD_ALONE fq_expect_with("getfd", "{\"fdname\": \"gangway-replug\"}")
#define MIGRATE fq_expect_with("migrate", "{\"uri\": \"fd:gangway-replug\"}")
#define CLOSEFD fq_expect_with("closefd", "{\"fdname\": \"gangway-replug\"}")
#define HELLO_ACTIVE                                                                                                             \
	fq_hello, fq_expect("query-status"), fq_return("{\"status\": \"running\"}"), fq_expect("device-list-properties"),        \
		fq_return("[]"), fq_expect("device-list-properties"), fq_return("[]"), fq_expect("qom-list"), fq_return("[]"),   \
		fq_expect("query-migrate-capabilities"), fq_return("[{\"capability\": \"events\", \"state\": true}]"),           \
		fq_expect("query-migrate"), fq_return("{\"status\": \"active\", \"ram\": {}}")
#define STEPS_MAX 60

static const struct {
	const char *name;
	struct fake_qmp_step script[STEPS_MAX];
	int r;
	const char *code;
} rows[] = {
	{ "fails, as it should",
	  { fq_hello_vmm, GETFD, fq_return("{}"), MIGRATE, MIG("setup"), fq_return("{}"), MIG("active"), MIG("failing"),
	    MIG("failed"), RUNNING, fq_end },
	  0,
	  "" },
	{ "over before it is answered",
	  { fq_hello_vmm, GETFD, fq_return("{}"), MIGRATE, MIG("setup"), MIG("failed"), fq_return("{}"), fq_end },
	  0,
	  "" },
	{ "a snapshot in the background was left on: off for it, and on again",
	  { fq_hello_vmm, CAPS("true"), SET("false"), fq_return("{}"), GETFD_ALONE, fq_return("{}"), MIGRATE, MIG("setup"),
	    fq_return("{}"), MIG("failed"), RUNNING, SET("true"), fq_return("{}"), fq_end },
	  0,
	  "" },
	{ "and what does not go into a pipe",
	  { fq_hello_vmm, fq_expect("query-migrate-capabilities"),
	    fq_return("[{\"capability\": \"multifd\", \"state\": true}, {\"capability\": \"events\", \"state\": true}, "
		      "{\"capability\": \"mapped-ram\", \"state\": false}]"),
	    fq_expect_with("migrate-set-capabilities", "{\"capabilities\": [{\"capability\": \"multifd\", \"state\": false}]}"),
	    fq_return("{}"), GETFD_ALONE, fq_return("{}"), MIGRATE, MIG("setup"), fq_return("{}"), MIG("failed"), RUNNING,
	    fq_expect_with("migrate-set-capabilities", "{\"capabilities\": [{\"capability\": \"multifd\", \"state\": true}]}"),
	    fq_return("{}"), fq_end },
	  0,
	  "" },
	{ "that is not set back",
	  { fq_hello_vmm, CAPS("true"), SET("false"), fq_return("{}"), GETFD_ALONE, fq_return("{}"), MIGRATE, ERR("no"), CLOSEFD,
	    fq_return("{}"), SET("true"), ERR("never"), fq_end },
	  -EIO,
	  "vmm.refused" },
	{ "nor set off", { fq_hello_vmm, CAPS("true"), SET("false"), ERR("no"), fq_end }, -EIO, "vmm.refused" },
	{ "no descriptor came",
	  { fq_hello_vmm, GETFD, ERR("No file descriptor supplied via SCM_RIGHTS"), fq_end },
	  -EIO,
	  "vmm.no-descriptor" },
	{ "one is under way: its name is taken back",
	  { fq_hello_vmm, GETFD, fq_return("{}"), MIGRATE, ERR("There's a migration process in progress"), CLOSEFD,
	    fq_return("{}"), fq_end },
	  -EBUSY,
	  "vmm.migrating" },
	{ "refused, and the name is not taken back",
	  { fq_hello_vmm, GETFD, fq_return("{}"), MIGRATE, ERR("no"), CLOSEFD, ERR("no"), fq_end },
	  -EIO,
	  "vmm.refused" },
	{ "dies at getfd", { fq_hello_vmm, GETFD, fq_do(FQ_DIE), fq_end }, -ECONNRESET, "qmp.closed" },
	{ "dies at migrate",
	  { fq_hello_vmm, GETFD, fq_return("{}"), MIGRATE, fq_do(FQ_DIE), fq_end },
	  -ECONNRESET,
	  "qmp.closed" },
	{ "dies when it has begun",
	  { fq_hello_vmm, GETFD, fq_return("{}"), MIGRATE, MIG("setup"), fq_return("{}"), fq_do(FQ_DIE), fq_end },
	  -ECONNRESET,
	  "vmm.gone" },
	{ "hangs up when it has begun: over when it is asked anew",
	  { fq_hello_vmm, GETFD, fq_return("{}"), MIGRATE, MIG("setup"), fq_return("{}"), fq_do(FQ_CLOSE), fq_hello_vmm, fq_end },
	  0,
	  "" },
	{ "hangs up when it has begun, and is not over then",
	  { fq_hello_vmm, GETFD, fq_return("{}"), MIGRATE, MIG("setup"), fq_return("{}"), fq_do(FQ_CLOSE), HELLO_ACTIVE,
	    MIG("failed"), RUNNING, fq_end },
	  0,
	  "" },
};

Test(vmm_replug, each_end, .timeout = 60)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outcome o = { 0 };
		int fd;

		start(rows[i].script);
		until_state(VMM_UP);
		cr_assert_eq(vmm_replug(vmm, on_done, &o, NULL), 0);
		until_done(&o);
		cr_assert_eq(o.r, rows[i].r, "%s: %d %s", rows[i].name, o.r, o.err.msg);
		cr_assert_str_eq(o.err.code, rows[i].code, "%s", rows[i].name);
		fd = fake_qmp_last_fd(peer);
		if (fd >= 0) {
			struct pollfd p = { .fd = fd };

			/* what the VMM writes to must not be able to take anything: nobody is at the other end */
			cr_assert(poll(&p, 1, 0) == 1 && (p.revents & POLLERR), "%s", rows[i].name);
			close(fd);
		}
		stop(); /* counts descriptors */
		cr_assert_eq(o.calls, 1);
	}
}

Test(vmm_replug, given_up_in_each_part)
{
	static const struct fake_qmp_step phases[][STEPS_MAX] = {
		{ fq_hello_vmm, GETFD, fq_end },
		{ fq_hello_vmm, GETFD, fq_return("{}"), MIGRATE, fq_end },
		{ fq_hello_vmm, GETFD, fq_return("{}"), MIGRATE, MIG("setup"), fq_return("{}"), fq_pause(5), fq_end },
	};

	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		struct outcome o = { 0 };

		start(phases[i]);
		until_state(VMM_UP);
		cr_assert_eq(vmm_replug(vmm, on_done, &o, NULL), 0);
		until_script_done();
		bed_run_ms(&bed, 10);
		stop();
		cr_assert_eq(o.calls, 1);
		cr_assert_eq(o.r, -ECANCELED);
	}
}

Test(vmm_replug, of_a_vmm_that_is_not_there)
{
	static const struct fake_qmp_step script[] = { fq_do(FQ_DIE), fq_end };
	struct outcome o = { 0 };
	struct err err;

	start(script);
	cr_assert_eq(vmm_replug(vmm, on_done, &o, &err), -ENOTCONN);
	stop();
	cr_assert_eq(o.calls, 0);
}
